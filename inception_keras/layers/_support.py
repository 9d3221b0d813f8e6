"""What every layer here needs of Keras."""

from functools import cache
from typing import Any

import keras

register = keras.saving.register_keras_serializable("inception_keras")


def tensorflow() -> Any:
    """TensorFlow where it is Keras's backend, else None: some of its ops do in one pass what takes Keras several."""
    if keras.config.backend() != "tensorflow":
        return None
    import tensorflow

    return tensorflow


@cache
def on_cpu(tf: Any) -> bool:
    """Whether TensorFlow sees no GPU."""
    return not tf.config.list_physical_devices("GPU")


def in_step(tf: Any) -> bool:
    """Whether what is called now is traced for one of Keras's `fit`, `evaluate` and `predict`, by their graphs' names.

    Any other graph may end in a file, whose format knows fewer ops than TensorFlow.
    """
    return tf.inside_function() and "_step_on_" in tf.compat.v1.get_default_graph().name

"""Helpers that several layers share."""

from functools import cache
from types import ModuleType

import keras

register = keras.saving.register_keras_serializable("inception_keras")


def tensorflow() -> ModuleType | None:
    """The TensorFlow module if it is Keras's backend, else None.

    Some TensorFlow ops do in one pass what takes several Keras ops.
    """
    if keras.config.backend() != "tensorflow":
        return None
    import tensorflow

    return tensorflow


@cache
def on_cpu(tf: ModuleType) -> bool:
    """Whether TensorFlow sees no GPU."""
    return not tf.config.list_physical_devices("GPU")


def in_step(tf: ModuleType) -> bool:
    """Whether this call is being traced inside Keras's `fit`, `evaluate` or `predict`; the graph's name shows it.

    Any other graph may be exported to a file, and file formats know fewer ops than TensorFlow.
    """
    return tf.inside_function() and "_step_on_" in tf.compat.v1.get_default_graph().name

"""What every layer here needs of Keras."""

from typing import Any

import keras

register = keras.saving.register_keras_serializable("inception_keras")


def tensorflow() -> Any:
    """TensorFlow where it is Keras's backend, else None: some of its ops do in one pass what takes Keras several."""
    if keras.config.backend() != "tensorflow":
        return None
    import tensorflow

    return tensorflow

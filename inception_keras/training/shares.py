"""A device's share of a batch may be empty: then an image of zeros goes through the net, and nothing comes out."""

import tensorflow as tf


def at_least_one(images: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """An input of a net for so many images. For none, that of a black image without objects: class indices are -1."""
    sides = [tf.shape(values)[i] if side is None else side for i, side in enumerate(values.shape)][1:]
    nothing = tf.fill((1, *sides), tf.constant(-1 if values.dtype.is_integer else 0, values.dtype))
    return tf.cond(images > 0, lambda: values, lambda: nothing)


def first(scores: tf.Tensor, images: tf.Tensor) -> tf.Tensor:
    """The first rows of the scores, computed by the same op.

    Keras looks at that op for the logits. From scores alone, its loss cannot exceed 16.
    """
    activation = {"Softmax": tf.nn.softmax, "Sigmoid": tf.sigmoid}.get(scores.op.type)
    return activation(scores.op.inputs[0][:images]) if activation else scores[:images]

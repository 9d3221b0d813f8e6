"""Xception: "Deep Learning with Depthwise Separable Convolutions", Chollet 2016, arXiv:1610.02357."""

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, checked
from ..blocks import classifier, conv_bn, image_input

FIGURE_5 = {  # filters of a module's separable 3x3 convolutions, strides of its pool
    #                                 output at 299 x 299
    "block_1": ((128, 128), 2),     # (74, 74, 128)
    "block_2": ((256, 256), 2),     # (37, 37, 256)
    "block_3": ((728, 728), 2),     # (19, 19, 728)
    **{f"block_{i}": ((728, 728, 728), 1) for i in range(4, 12)},
    "block_12": ((728, 1024), 2),   # (10, 10, 1024)
}


def separable_bn(x: KerasTensor, filters: int, *, name: str) -> KerasTensor:
    """A depthwise 3x3 convolution, a 1x1 convolution and batch norm: (h, w, c) -> (h, w, filters).

    Examples:
        >>> separable_bn(keras.Input((19, 19, 728)), 1024, name="block_12-conv_2").shape
        (None, 19, 19, 1024)
    """
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name=f"{name}-depthwise")(x)
    return conv_bn(x, filters, 1, activation=None, name=name)


@checked
def build_xception(
    input_shape: InputShape = (299, 299, 3),
    *,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "xception",
) -> Model:
    """Builds figure 5, with entry, middle and exit flow, padded as in `keras.applications`.

    The pools pad as TensorFlow does. Ports to torch pad one pixel on every side, which is the same only for maps of odd
    sizes. At 299 x 299, the results differ in `block_2`.

    Args:
        input_shape: (height, width, channels), at least 7 pixels; height and width may be None for any size.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Reference:
        `keras.applications.Xception`, by the author of the paper.

    Examples:
        >>> build_xception().count_params()
        22910480
    """
    image = image_input(input_shape, min_size=7)
    x = conv_bn(image, 32, 3, 2, padding="valid", name="conv_1")  # (149, 149, 32)
    x = conv_bn(x, 64, 3, padding="valid", name="conv_2")  # (147, 147, 64)
    for row, (filters, strides) in FIGURE_5.items():
        shortcut = x
        if strides > 1:
            shortcut = conv_bn(x, filters[-1], 1, strides, activation=None, name=f"{row}-shortcut")
        for i, count in enumerate(filters, 1):
            if row != "block_1" or i > 1:  # conv_2 already ends with a ReLU
                x = layers.Activation("relu", name=f"{row}-conv_{i}-relu")(x)
            x = separable_bn(x, count, name=f"{row}-conv_{i}")
        if strides > 1:
            x = layers.MaxPooling2D(3, strides, "same", name=f"{row}-pool")(x)
        x = layers.Add(name=row)([x, shortcut])
    for i, count in ((3, 1536), (4, 2048)):
        x = separable_bn(x, count, name=f"conv_{i}")
        x = layers.Activation("relu", name=f"conv_{i}-relu")(x)  # (10, 10, 2048)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (2048,)
    x = classifier(x, classes, classifier_activation)  # (1000,)
    return Model(image, x, name=name)

"""The CIFAR-10 nets of "Deep Residual Learning", section 4.2: He et al. 2015, arXiv:1512.03385."""

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, checked
from ..blocks import classifier, conv_bn, image_input, unique_name

DEPTHS = (20, 32, 44, 56, 110)  # table 6
FILTERS = (16, 32, 64)  # of the maps of 32x32, 16x16 and 8x8 pixels


def basic_cifar(
    x: KerasTensor, filters: int, strides: int = 1, name: str | None = None, *, residual: bool = True
) -> KerasTensor:
    """Two 3x3 convolutions and a shortcut without parameters: (h, w, c) -> (h / strides, w / strides, filters).

    Args:
        x: Feature maps.
        filters: Filters of both convolutions. If `strides` is 2, it must be twice the number of channels of `x`.
        strides: Step of the first convolution in pixels.
        name: Name of the output; the layers inside are `name-conv_1` and so on.
        residual: False leaves the shortcut out and gives a block of the paper's plain nets.

    Returns:
        The sum, or without `residual` the second convolution, after a ReLU.

    Examples:
        >>> basic_cifar(keras.Input((32, 32, 16)), 32, strides=2).shape
        (None, 16, 16, 32)
    """
    name = name or unique_name("basic_cifar")
    y = conv_bn(x, filters, 3, strides, epsilon=1e-5, name=f"{name}-conv_1")
    y = conv_bn(y, filters, 3, epsilon=1e-5, activation=None, name=f"{name}-conv_2")
    if residual:
        if strides > 1:  # option A: every second pixel, and zeros for the new channels
            x = layers.MaxPooling2D(1, strides, name=f"{name}-pixels")(x)
            zeros = layers.Rescaling(0.0, name=f"{name}-zeros")(x)
            x = layers.Concatenate(name=f"{name}-shortcut")([x, zeros])
        y = layers.Add(name=f"{name}-add")([x, y])
    return layers.Activation("relu", name=name)(y)


@checked
def build_resnet_cifar(
    input_shape: InputShape = (32, 32, 3),
    *,
    depth: int = 20,
    residual: bool = True,
    classes: int = 10,
    classifier_activation: str | None = "softmax",
    name: str = "resnet20_cifar",
) -> Model:
    """Builds a net of section 4.2, with 6n + 2 layers.

    It has a 3x3 convolution, three stages of 2n convolutions each, global average pooling and a classifier.

    Args:
        input_shape: (height, width, channels), at least 1 pixel; height and width may be None for any size.
        depth: 20, 32, 44, 56 or 110.
        residual: False leaves the shortcuts out and gives one of the plain nets that the paper compares with.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape, the depth or the number of classes.

    Examples:
        >>> build_resnet_cifar().output_shape
        (None, 10)
    """
    if depth not in DEPTHS:
        raise ValueError(f"depth must be one of {', '.join(map(str, DEPTHS))}, got {depth!r}.")
    image = image_input(input_shape)
    x = conv_bn(image, 16, 3, epsilon=1e-5, name="conv_1")  # (32, 32, 16)
    for i, filters in enumerate(FILTERS):
        for j in range((depth - 2) // 6):  # (32, 32, 16), (16, 16, 32), (8, 8, 64)
            label, strides = f"stage_{i + 2}-block_{j + 1}", 2 if i and not j else 1
            x = basic_cifar(x, filters, strides, residual=residual, name=label)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (64,)
    return Model(image, classifier(x, classes, classifier_activation), name=name)

"""AlexNet: "ImageNet Classification with Deep Convolutional Neural Networks", Krizhevsky et al., NIPS 2012."""

from keras import Model, layers

from ..arguments import InputShape, checked
from ..blocks import classifier, conv, fixed_input
from ..layers import AdaptiveAveragePooling2D, LocalResponseNormalization

SECTION_3_5 = {
    #          filters, kernel, strides, groups, LRN and pool   output at 227 x 227
    "conv_1": (96,      11,     4,       1,      True),       # (27, 27, 96)
    "conv_2": (256,     5,      1,       2,      True),       # (13, 13, 256)
    "conv_3": (384,     3,      1,       1,      False),      # (13, 13, 384)
    "conv_4": (384,     3,      1,       2,      False),      # (13, 13, 384)
    "conv_5": (256,     3,      1,       2,      False),      # (13, 13, 256)
}
ONE_TOWER = {  # Krizhevsky, "One weird trick", arXiv:1404.5997; torchvision's conv_4 has 256 filters, not 384
    #          filters, kernel, strides, groups, pool           output at 224 x 224
    "conv_1": (64,      11,     4,       1,      True),       # (27, 27, 64)
    "conv_2": (192,     5,      1,       1,      True),       # (13, 13, 192)
    "conv_3": (384,     3,      1,       1,      False),      # (13, 13, 384)
    "conv_4": (256,     3,      1,       1,      False),      # (13, 13, 256)
    "conv_5": (256,     3,      1,       1,      False),      # (13, 13, 256)
}


@checked
def build_alexnet_2012(
    input_shape: InputShape = (227, 227, 3),
    *,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "alexnet_2012",
) -> Model:
    """Figure 2, as in Caffe's `bvlc_alexnet`.

    The two GPUs of the figure are two groups of a convolution. Maps are normalised before they are pooled.

    Args:
        input_shape: (height, width, channels), at least 67 pixels. The paper says 224, but its 55x55 map after the
            first convolution requires 227.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Reference:
        `models/bvlc_alexnet` of Caffe. It differs from the paper in local response normalization: k is 1 instead of 2,
        and alpha is divided by n.

    Examples:
        >>> build_alexnet_2012().count_params()
        60965224
    """
    x = image = fixed_input(input_shape, min_size=67, net="AlexNet")
    for row, (filters, kernel, strides, groups, normalised) in SECTION_3_5.items():
        padding = {"padding": "valid"} if row == "conv_1" else {}
        x = conv(x, filters, kernel, strides, groups=groups, name=row, **padding)
        if normalised:
            x = LocalResponseNormalization(name=f"{row}-norm")(x)
            x = layers.MaxPooling2D(3, 2, name=f"{row}-pool")(x)
    x = layers.MaxPooling2D(3, 2, name="conv_5-pool")(x)  # (6, 6, 256)

    x = layers.Flatten(name="flatten")(x)  # (9216,)
    for row in ("fc_6", "fc_7"):
        x = layers.Dense(4096, activation="relu", name=row)(x)  # (4096,)
        x = layers.Dropout(0.5, name=f"{row}-dropout")(x)
    return Model(image, classifier(x, classes, classifier_activation), name=name)


@checked
def build_alexnet(
    input_shape: InputShape = (224, 224, 3),
    *,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "alexnet",
) -> Model:
    """AlexNet in one tower, without local response normalization, as in torchvision.

    Args:
        input_shape: (height, width, channels), at least 63 pixels. If the last map is not 6x6, adaptive average
            pooling makes it 6x6, so that the number of parameters stays the same.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Reference:
        `torchvision/models/alexnet.py`.

    Examples:
        >>> build_alexnet().count_params()
        61100840
    """
    image = fixed_input(input_shape, min_size=63, net="AlexNet")
    x = layers.ZeroPadding2D(2, name="conv_1-padding")(image)  # (228, 228, 3)
    for row, (filters, kernel, strides, groups, pooled) in ONE_TOWER.items():
        padding = {"padding": "valid"} if row == "conv_1" else {}
        x = conv(x, filters, kernel, strides, groups=groups, name=row, **padding)
        if pooled:
            x = layers.MaxPooling2D(3, 2, name=f"{row}-pool")(x)
    x = layers.MaxPooling2D(3, 2, name="conv_5-pool")(x)  # (6, 6, 256)

    if x.shape[1:3] != (6, 6):
        x = AdaptiveAveragePooling2D(6, name="adaptive_pool")(x)  # (6, 6, 256)
    x = layers.Flatten(name="flatten")(x)  # (9216,)
    for row in ("fc_6", "fc_7"):
        x = layers.Dropout(0.5, name=f"{row}-dropout")(x)
        x = layers.Dense(4096, activation="relu", name=row)(x)  # (4096,)
    return Model(image, classifier(x, classes, classifier_activation), name=name)

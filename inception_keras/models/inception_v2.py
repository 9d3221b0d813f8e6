"""BN-Inception: "Batch Normalization: Accelerating Deep Network Training", Ioffe, Szegedy 2015, arXiv:1502.03167."""

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, checked
from ..blocks import classifier, conv_bn, image_input
from ..layers import BatchNormalization

FIGURE_5 = {  # a module with neither a 1x1 convolution nor a projection has strides 2
    #                1x1  3x3 reduce, 3x3  double 3x3 reduce, 3x3  pool, proj          output at 224 x 224
    "inception_3a": (64,   64,  64,         64,  96,               ("avg", 32)),     # (28, 28, 256)
    "inception_3b": (64,   64,  96,         64,  96,               ("avg", 64)),     # (28, 28, 320)
    "inception_3c": (0,   128, 160,         64,  96,               ("max", 0)),      # (14, 14, 576)
    "inception_4a": (224,  64,  96,         96, 128,               ("avg", 128)),    # (14, 14, 576)
    "inception_4b": (192,  96, 128,         96, 128,               ("avg", 128)),    # (14, 14, 576)
    "inception_4c": (160, 128, 160,        128, 160,               ("avg", 96)),     # (14, 14, 576)
    "inception_4d": (96,  128, 192,        160, 192,               ("avg", 96)),     # (14, 14, 576)
    "inception_4e": (0,   128, 192,        192, 256,               ("max", 0)),      # (7, 7, 1024)
    "inception_5a": (352, 192, 320,        160, 224,               ("avg", 128)),    # (7, 7, 1024)
    "inception_5b": (352, 192, 320,        192, 224,               ("max", 128)),    # (7, 7, 1024)
}


def inception_bn(
    x: KerasTensor,
    conv_1x1: int,
    reduce_3x3: int,
    conv_3x3: int,
    reduce_double: int,
    conv_double: int,
    pool_proj: tuple[str, int],
    *,
    name: str,
) -> KerasTensor:
    """GoogLeNet's module with two 3x3 convolutions instead of a 5x5: (h, w, c) -> (h, w, sum of the branches).

    Args:
        x: Feature maps.
        conv_1x1: Filters of the 1x1 convolution. 0 leaves it out and halves height and width.
        reduce_3x3: Filters of the 1x1 convolution before the 3x3.
        conv_3x3: Filters of the 3x3 convolution.
        reduce_double: Filters of the 1x1 convolution before the two 3x3 convolutions.
        conv_double: Filters of each of these two 3x3 convolutions.
        pool_proj: `"avg"` or `"max"`, and the filters of the 1x1 convolution after the pool; 0 leaves that convolution
            out.
        name: Name of the output; the layers inside are `name-conv_1x1` and so on.

    Returns:
        The branches, concatenated.

    Examples:
        >>> inception_bn(keras.Input((28, 28, 192)), 64, 64, 64, 64, 96, ("avg", 32), name="inception_3a").shape
        (None, 28, 28, 256)
    """
    strides = 1 if conv_1x1 else 2
    kind, proj = pool_proj
    branches = [conv_bn(x, conv_1x1, 1, name=f"{name}-conv_1x1")] if conv_1x1 else []
    b = conv_bn(x, reduce_3x3, 1, name=f"{name}-reduce_3x3")
    b = conv_bn(b, conv_3x3, 3, strides, padding="same", name=f"{name}-conv_3x3")
    c = conv_bn(x, reduce_double, 1, name=f"{name}-reduce_double")
    c = conv_bn(c, conv_double, 3, name=f"{name}-double_1")
    c = conv_bn(c, conv_double, 3, strides, padding="same", name=f"{name}-double_2")
    pool = {"avg": layers.AveragePooling2D, "max": layers.MaxPooling2D}[kind]
    d = pool(3, strides, padding="same", name=f"{name}-pool")(x)
    if proj:
        d = conv_bn(d, proj, 1, name=f"{name}-pool_proj")
    return layers.Concatenate(name=name)([*branches, b, c, d])


@checked
def build_inception_v2(
    input_shape: InputShape = (224, 224, 3),
    *,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "inception_v2",
) -> Model:
    """Builds figure 5, top to bottom, padded as in TensorFlow. The first convolution is separable, with multiplier 8.

    In 4c and 4d, the projections after the pools have 96 filters, as in TF-Slim. So the outputs of 4a to 4d all have
    576 channels.

    Args:
        input_shape: (height, width, channels), at least 1 pixel; height and width may be None for any size.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Reference:
        `research/slim/nets/inception_v2.py` of tensorflow/models.

    Examples:
        >>> build_inception_v2().get_layer("inception_5b").output.shape
        (None, 7, 7, 1024)
    """
    image = image_input(input_shape)
    x = layers.SeparableConv2D(64, 7, 2, "same", depth_multiplier=8, use_bias=False, name="conv_1")(image)
    x = BatchNormalization(momentum=0.9, name="conv_1-bn")(x)
    x = layers.Activation("relu", name="conv_1-relu")(x)  # (112, 112, 64)
    x = layers.MaxPooling2D(3, 2, "same", name="pool_1")(x)  # (56, 56, 64)
    x = conv_bn(x, 64, 1, name="conv_2-reduce")  # (56, 56, 64)
    x = conv_bn(x, 192, 3, name="conv_2")  # (56, 56, 192)
    x = layers.MaxPooling2D(3, 2, "same", name="pool_2")(x)  # (28, 28, 192)
    for row, filters in FIGURE_5.items():
        x = inception_bn(x, *filters, name=row)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (1024,)
    x = classifier(x, classes, classifier_activation)  # (1000,)
    return Model(image, x, name=name)

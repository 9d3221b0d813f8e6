"""MobileNet: "Efficient Convolutional Neural Networks for Mobile Vision", Howard et al. 2017, arXiv:1704.04861."""

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, checked
from ..blocks import classifier, conv_bn, image_input
from ..layers import BatchNormalization

TABLE_1 = (  # each row is the paper's "Conv dw" and the 1x1 "Conv" after it
    # filters, strides    output at 224 x 224
    (64,       1),      # (112, 112, 64)
    (128,      2),      # (56, 56, 128)
    (128,      1),      # (56, 56, 128)
    (256,      2),      # (28, 28, 256)
    (256,      1),      # (28, 28, 256)
    (512,      2),      # (14, 14, 512)
    (512,      1),      # (14, 14, 512)
    (512,      1),      # (14, 14, 512)
    (512,      1),      # (14, 14, 512)
    (512,      1),      # (14, 14, 512)
    (512,      1),      # (14, 14, 512)
    (1024,     2),      # (7, 7, 1024)
    (1024,     1),      # (7, 7, 1024); the paper's "s2" would leave (4, 4, 1024)
)


def depthwise_separable(x: KerasTensor, filters: int, strides: int = 1, *, name: str) -> KerasTensor:
    """Figure 3, right: (h, w, c) -> (h / strides, w / strides, filters).

    With strides of 2, only the right and the bottom are padded. TensorFlow did so at even sizes when the authors
    trained the published weights, which need this padding.

    Args:
        x: Feature maps.
        filters: Filters of the 1x1 convolution.
        strides: Step of the depthwise 3x3 convolution in pixels.
        name: Name of the output; the layers inside are `name-depthwise`, `name-pointwise` and so on.

    Returns:
        The output of the 1x1 convolution, after batch norm and ReLU6.

    Examples:
        >>> depthwise_separable(keras.Input((112, 112, 64)), 128, strides=2, name="block_2").shape
        (None, 56, 56, 128)
    """
    if strides > 1:
        x = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"{name}-pad")(x)
    padding = "valid" if strides > 1 else "same"
    x = layers.DepthwiseConv2D(3, strides, padding, use_bias=False, name=f"{name}-depthwise")(x)
    x = BatchNormalization(momentum=0.9, name=f"{name}-depthwise-bn")(x)
    x = layers.Activation("relu6", name=f"{name}-depthwise-relu6")(x)
    x = conv_bn(x, filters, 1, activation=None, name=f"{name}-pointwise")
    return layers.Activation("relu6", name=name)(x)


@checked
def build_mobilenet_v1(
    input_shape: InputShape = (224, 224, 3),
    *,
    width: float = 1.0,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "mobilenet_v1",
) -> Model:
    """Builds Table 1, top to bottom, padded as in the authors' release and `keras.applications.MobileNet`.

    Args:
        input_shape: (height, width, channels), at least 31 pixels; height and width may be None for any size.
        width: Factor of every number of filters. There are published weights for 1, 0.75, 0.5 and 0.25.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape, the width or the number of classes.

    Reference:
        `research/slim/nets/mobilenet_v1.py` of tensorflow/models.

    Examples:
        >>> build_mobilenet_v1().count_params()
        4253864
    """
    if int(32 * width) < 1:
        raise ValueError(f"width must leave at least one filter of 32, got {width!r}.")
    image = image_input(input_shape, min_size=31)
    x = conv_bn(image, int(32 * width), 3, 2, padding="same", activation="relu6", name="conv_1")  # (112, 112, 32)
    for i, (filters, strides) in enumerate(TABLE_1, 1):
        x = depthwise_separable(x, int(filters * width), strides, name=f"block_{i}")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (1024,)
    x = layers.Dropout(1e-3, name="dropout")(x)
    x = classifier(x, classes, classifier_activation)  # (1000,)
    return Model(image, x, name=name)

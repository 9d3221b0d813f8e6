"""MobileNetV2: "Inverted Residuals and Linear Bottlenecks", Sandler et al. 2018, arXiv:1801.04381."""

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, checked
from ..blocks import classifier, conv_bn, depthwise_bn, image_input, squeeze_excite, unique_name

TABLE_2 = (  # bottlenecks: expansion t, channels c, repeats n, strides s of the first repeat
    (1, 16, 1, 1),  # (112, 112, 16)
    (6, 24, 2, 2),  # (56, 56, 24)
    (6, 32, 3, 2),  # (28, 28, 32)
    (6, 64, 4, 2),  # (14, 14, 64)
    (6, 96, 3, 1),  # (14, 14, 96)
    (6, 160, 3, 2),  # (7, 7, 160)
    (6, 320, 1, 1),  # (7, 7, 320)
)


def inverted_residual(
    x: KerasTensor,
    filters: int,
    expanded: int,
    strides: int = 1,
    name: str | None = None,
    *,
    kernel_size: int = 3,
    excited: int = 0,
    activation: str = "relu6",
    epsilon: float = 1e-5,
) -> KerasTensor:
    """Figure 4(d): (h, w, c) -> (h / strides, w / strides, filters).

    Args:
        x: Feature maps.
        filters: Channels of the output. The output has no activation.
        expanded: Channels between the two 1x1 convolutions. If `x` has as many, the first convolution is left out.
        strides: Step of the depthwise convolution in pixels.
        name: Name of the output; the layers inside are `name-expand` and so on.
        kernel_size: Kernel of the depthwise convolution in pixels.
        excited: Width of a squeeze-and-excitation after the depthwise convolution, as in MobileNetV3; 0 for none.
        activation: Activation after each of the first two convolutions.
        epsilon: The epsilon of the batch norms.

    Returns:
        The new maps; `x` is added to them if it has the same shape.

    Examples:
        >>> inverted_residual(keras.Input((56, 56, 24)), 32, 144, strides=2).shape
        (None, 28, 28, 32)
    """
    name = name or unique_name("inverted_residual")
    y = x
    if expanded != x.shape[-1]:
        y = conv_bn(y, expanded, 1, activation=activation, epsilon=epsilon, name=f"{name}-expand")
    y = depthwise_bn(y, kernel_size, strides, activation=activation, epsilon=epsilon, name=f"{name}-depthwise")
    if excited:
        y = squeeze_excite(y, excited, gate="hard_sigmoid", name=f"{name}-se")
    y = conv_bn(y, filters, 1, activation=None, epsilon=epsilon, name=f"{name}-project")
    return layers.Add(name=name)([x, y]) if strides == 1 and x.shape[-1] == filters else y


@checked
def build_mobilenet_v2(
    input_shape: InputShape = (224, 224, 3),
    *,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "mobilenet_v2",
) -> Model:
    """Builds Table 2, top to bottom.

    Args:
        input_shape: (height, width, channels), at least 1 pixel; height and width may be None for any size.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Examples:
        >>> build_mobilenet_v2().output_shape
        (None, 1000)
    """
    image = image_input(input_shape)
    x = conv_bn(image, 32, 3, strides=2, activation="relu6", epsilon=1e-5, name="conv_1")  # (112, 112, 32)
    block = 0
    for expansion, filters, repeats, strides in TABLE_2:
        for i in range(repeats):
            block += 1
            expanded = expansion * x.shape[-1]
            x = inverted_residual(x, filters, expanded, 1 if i else strides, name=f"block_{block}")
    x = conv_bn(x, 1280, 1, activation="relu6", epsilon=1e-5, name="conv_2")  # (7, 7, 1280)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (1280,)
    x = layers.Dropout(0.2, name="dropout")(x)
    return Model(image, classifier(x, classes, classifier_activation), name=name)

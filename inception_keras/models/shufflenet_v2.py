"""ShuffleNet V2: "Practical Guidelines for Efficient CNN Architecture Design", Ma et al. 2018, arXiv:1807.11164."""

from functools import partial

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, checked
from ..blocks import classifier, conv_bn, depthwise_bn, image_input, max_pool, unique_name
from ..layers import ChannelShuffle, ChannelSplit

TABLE_5 = {  # output channels of stages 2, 3, 4 and of conv_5
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}
REPEATS = (4, 8, 4)

_conv_bn, _depthwise_bn = partial(conv_bn, epsilon=1e-5), partial(depthwise_bn, epsilon=1e-5)


def shuffle_unit(x: KerasTensor, filters: int, strides: int = 1, name: str | None = None) -> KerasTensor:
    """Figure 3(c), or 3(d) with strides 2: (h, w, c) -> (h / strides, w / strides, filters).

    Args:
        x: Feature maps. With strides of 1, the number of channels must be `filters`.
        filters: Channels of the output, an even number.
        strides: Step of the depthwise convolutions in pixels.
        name: Name of the output; the layers inside are `name-conv_1` and so on.

    Returns:
        Both halves, concatenated and shuffled.

    Examples:
        >>> shuffle_unit(keras.Input((56, 56, 24)), 116, strides=2).shape
        (None, 28, 28, 116)
    """
    name = name or unique_name("shuffle_unit")
    half = filters // 2
    if strides == 1:
        a, b = ChannelSplit(half, name=f"{name}-split")(x)
    else:
        a = _depthwise_bn(x, 3, strides, activation=None, name=f"{name}-left_depthwise")
        a, b = _conv_bn(a, half, 1, name=f"{name}-left_conv"), x
    b = _conv_bn(b, half, 1, name=f"{name}-conv_1")
    b = _depthwise_bn(b, 3, strides, activation=None, name=f"{name}-depthwise")
    b = _conv_bn(b, half, 1, name=f"{name}-conv_2")
    x = layers.Concatenate(name=f"{name}-concat")([a, b])
    return ChannelShuffle(2, name=name)(x)


@checked
def build_shufflenet_v2(
    input_shape: InputShape = (224, 224, 3),
    *,
    width: float = 1.0,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "shufflenet_v2_x1_0",
) -> Model:
    """Builds a column of Table 5, top to bottom.

    Args:
        input_shape: (height, width, channels), at least 1 pixel; height and width may be None for any size.
        width: 0.5, 1.0, 1.5 or 2.0.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape, the width or the number of classes.

    Examples:
        >>> build_shufflenet_v2().output_shape
        (None, 1000)
    """
    if width not in TABLE_5:
        raise ValueError(f"width must be one of {', '.join(map(str, TABLE_5))}, got {width!r}.")
    *stages, last = TABLE_5[width]
    image = image_input(input_shape)
    x = _conv_bn(image, 24, 3, strides=2, name="conv_1")  # (112, 112, 24)
    x = max_pool(x, 3, strides=2, ceil=False, name="pool_1")  # (56, 56, 24)
    for i, (filters, repeats) in enumerate(zip(stages, REPEATS, strict=True), 2):
        for j in range(1, repeats + 1):  # (28, 28, 116), (14, 14, 232), (7, 7, 464)
            x = shuffle_unit(x, filters, 2 if j == 1 else 1, name=f"stage_{i}-unit_{j}")
    x = _conv_bn(x, last, 1, name="conv_5")  # (7, 7, 1024)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (1024,)
    return Model(image, classifier(x, classes, classifier_activation), name=name)

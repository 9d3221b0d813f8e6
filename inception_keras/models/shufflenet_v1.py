"""ShuffleNet: "An Extremely Efficient Convolutional Neural Network", Zhang et al. 2017, arXiv:1707.01083."""

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, checked
from ..blocks import classifier, conv_bn, image_input, max_pool
from ..layers import BatchNormalization, ChannelShuffle, DepthwiseConv2D

TABLE_1 = {  # for each number of groups, the filters of the stages
    #   stage 2, stage 3, stage 4
    1: (144,     288,     576),
    2: (200,     400,     800),
    3: (240,     480,     960),
    4: (272,     544,     1088),
    8: (384,     768,     1536),
}
REPEATS = (4, 8, 4)  # units in stages 2, 3 and 4; the first unit of each has strides 2


def shuffle_unit(
    x: KerasTensor, filters: int, groups: int, first_groups: int, strides: int = 1, *, name: str
) -> KerasTensor:
    """Figure 2(b), or 2(c) with strides 2: (h, w, c) -> (h / strides, w / strides, filters).

    Args:
        x: Feature maps.
        filters: Channels of the output.
        groups: Groups of the last 1x1 convolution and of the shuffle.
        first_groups: Groups of the first 1x1 convolution.
        strides: Step in pixels. With 1, the input is added; with 2, a 3x3 average pool of the input is concatenated.
        name: Name of the output; the layers inside are `name-conv_1` and so on.

    Returns:
        The sum or the concatenation, after a ReLU.

    Examples:
        >>> shuffle_unit(keras.Input((56, 56, 24)), 240, 3, 1, strides=2, name="stage_2-unit_1").shape
        (None, 28, 28, 240)
    """
    inner, out = filters // 4, filters - (x.shape[-1] if strides > 1 else 0)
    y = conv_bn(x, inner, 1, groups=first_groups, name=f"{name}-conv_1", epsilon=1e-5)
    y = ChannelShuffle(groups, name=f"{name}-shuffle")(y)
    y = DepthwiseConv2D(3, strides=strides, use_bias=False, name=f"{name}-depthwise")(y)
    y = BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}-depthwise-bn")(y)
    y = conv_bn(y, out, 1, groups=groups, activation=None, name=f"{name}-conv_2", epsilon=1e-5)
    if strides > 1:
        x = layers.ZeroPadding2D(1, name=f"{name}-pad")(x)
        x = layers.AveragePooling2D(3, strides, name=f"{name}-pool")(x)
        y = layers.Concatenate(name=f"{name}-concat")([x, y])
    else:
        y = layers.Add(name=f"{name}-add")([x, y])
    return layers.Activation("relu", name=name)(y)


@checked
def build_shufflenet_v1(
    input_shape: InputShape = (224, 224, 3),
    *,
    groups: int = 3,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "shufflenet_v1_g3",
) -> Model:
    """Builds a column of Table 1, top to bottom.

    Args:
        input_shape: (height, width, channels), at least 1 pixel; height and width may be None for any size.
        groups: Groups of the 1x1 convolutions: 1, 2, 3, 4 or 8.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape, the number of groups or the number of classes.

    Examples:
        >>> build_shufflenet_v1(groups=3).output_shape
        (None, 1000)
    """
    if groups not in TABLE_1:
        raise ValueError(f"groups must be one of {', '.join(map(str, TABLE_1))}, got {groups!r}.")
    image = image_input(input_shape)
    x = conv_bn(image, 24, 3, strides=2, name="conv_1", epsilon=1e-5)  # (112, 112, 24)
    x = max_pool(x, 3, strides=2, ceil=False, name="pool_1")  # (56, 56, 24)
    for i, (filters, count) in enumerate(zip(TABLE_1[groups], REPEATS, strict=True), 2):
        for j in range(1, count + 1):
            first = 1 if i == 2 and j == 1 else groups  # 24 channels are too few to be grouped
            x = shuffle_unit(x, filters, groups, first, 2 if j == 1 else 1, name=f"stage_{i}-unit_{j}")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (960,)
    x = classifier(x, classes, classifier_activation)  # (1000,)
    return Model(image, x, name=name)

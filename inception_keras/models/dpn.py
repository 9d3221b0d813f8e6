"""DPN: "Dual Path Networks", Chen et al. 2017, arXiv:1707.01629."""

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, checked
from ..blocks import classifier, conv, conv_bn, image_input, max_pool
from ..layers import BatchNormalization, ChannelSplit

TABLE_1 = {  # 68 and 107 are later releases of the authors, in the form of the table
    #    stem: filters, kernel  conv2: 1x1, 3x3  groups  residual  blocks          dense increment, conv2 to conv5
    68:  ((10, 3),              128,             32,      64,      (3, 4, 12, 3),  (16, 32, 32, 64)),
    92:  ((64, 7),               96,             32,     256,      (3, 4, 20, 3),  (16, 32, 24, 128)),
    98:  ((96, 7),              160,             40,     256,      (3, 6, 20, 3),  (16, 32, 32, 128)),
    107: ((128, 7),             200,             50,     256,      (4, 8, 20, 3),  (20, 64, 64, 128)),
    131: ((128, 7),             160,             40,     256,      (4, 8, 28, 3),  (16, 32, 32, 128)),
}


def dual_path(
    x: KerasTensor, inner: int, residual: int, increment: int, groups: int, strides: int | None, name: str
) -> KerasTensor:
    """Figure 2(d): the first `residual` channels are added as in a ResNet, the others concatenated as in a DenseNet.

    (h, w, c) -> (h, w, c + increment); at the start of a stage,
    (h, w, c) -> (h / strides, w / strides, residual + 3 * increment).

    Args:
        x: Feature maps, with both paths concatenated.
        inner: Filters of the first 1x1 convolution and of the grouped 3x3 convolution.
        residual: Channels of the residual path.
        increment: Number of channels by which the dense path grows.
        groups: Groups of the 3x3 convolution.
        strides: For a block that starts a stage, and so has a projection, its step in pixels; None for other blocks.
        name: Name of the output; the layers inside are `name-conv_1` and so on.

    Returns:
        Both paths, concatenated.

    Examples:
        >>> dual_path(keras.Input((56, 56, 64)), 96, 256, 16, 32, strides=1, name="stage_2-block_1").shape
        (None, 56, 56, 304)
    """
    paths = x
    if strides:
        paths = _bn_conv(x, residual + 2 * increment, 1, strides, name=f"{name}-project")
    x = _bn_conv(x, inner, 1, name=f"{name}-conv_1")
    x = _bn_conv(x, inner, 3, strides or 1, groups=groups, name=f"{name}-conv_2")
    x = _bn_conv(x, residual + increment, 1, name=f"{name}-conv_3")
    before, dense = ChannelSplit(residual, name=f"{name}-input")(paths)
    more, grown = ChannelSplit(residual, name=f"{name}-output")(x)
    added = layers.Add(name=f"{name}-add")([before, more])
    return layers.Concatenate(name=name)([added, dense, grown])


@checked
def build_dpn(
    input_shape: InputShape = (224, 224, 3),
    *,
    depth: int = 92,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "dpn92",
) -> Model:
    """Builds a column of Table 1, top to bottom, as the authors released it for MXNet.

    Args:
        input_shape: (height, width, channels), at least 1 pixel; height and width may be None for any size.
        depth: 68, 92, 98, 107 or 131.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape, the depth or the number of classes.

    Reference:
        The authors' release, `cypw/DPNs`.

    Examples:
        >>> build_dpn(depth=68).output_shape
        (None, 1000)
    """
    if depth not in TABLE_1:
        raise ValueError(f"depth must be one of {', '.join(map(str, TABLE_1))}, got {depth!r}.")
    stem, inner, groups, residual, blocks, increments = TABLE_1[depth]

    image = image_input(input_shape)
    x = conv_bn(image, *stem, strides=2, name="conv_1")  # (112, 112, 64)
    x = max_pool(x, 3, strides=2, ceil=False, name="pool_1")  # (56, 56, 64)
    for i, (count, increment) in enumerate(zip(blocks, increments, strict=True)):
        for j in range(count):
            strides = (2 if i else 1) if j == 0 else None
            label = f"stage_{i + 2}-block_{j + 1}"
            x = dual_path(x, inner << i, residual << i, increment, groups, strides, name=label)
    x = BatchNormalization(momentum=0.9, epsilon=1e-3, name="norm_5")(x)  # (7, 7, 2688)
    x = layers.Activation("relu", name="norm_5-relu")(x)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (2688,)
    x = classifier(x, classes, classifier_activation)  # (1000,)
    return Model(image, x, name=name)


def _bn_conv(
    x: KerasTensor, filters: int, kernel_size: int, strides: int = 1, *, name: str, groups: int = 1
) -> KerasTensor:
    """Batch norm, ReLU and a convolution without bias: (h, w, c) -> (h / strides, w / strides, filters)."""
    x = BatchNormalization(momentum=0.9, epsilon=1e-3, name=f"{name}-bn")(x)
    x = layers.Activation("relu", name=f"{name}-relu")(x)
    return conv(x, filters, kernel_size, strides, groups=groups, activation=None, use_bias=False, name=name)

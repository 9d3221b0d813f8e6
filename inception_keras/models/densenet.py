"""DenseNet: "Densely Connected Convolutional Networks", Huang et al. 2016, arXiv:1608.06993."""

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, checked
from ..blocks import bn, classifier, conv, conv_bn, image_input, max_pool, unique_name

TABLE_1 = {
    #    growth  stem  layers of the four dense blocks
    121: (32,    64,   (6, 12, 24, 16)),
    161: (48,    96,   (6, 12, 36, 24)),
    169: (32,    64,   (6, 12, 32, 32)),
    201: (32,    64,   (6, 12, 48, 32)),
}


def dense_layer(x: KerasTensor, growth: int, name: str | None = None) -> KerasTensor:
    """A layer of DenseNet-B, with a 1x1 and a 3x3 convolution: (h, w, c) -> (h, w, c + growth).

    Args:
        x: Feature maps.
        growth: Filters of the 3x3 convolution, the paper's growth rate k. The 1x1 convolution has four times as many.
        name: Name of the output; the layers inside are `name-conv_1` and so on.

    Returns:
        The input and the new maps, concatenated.

    Examples:
        >>> dense_layer(keras.Input((56, 56, 64)), 32).shape
        (None, 56, 56, 96)
    """
    name = name or unique_name("dense_layer")
    y = _bn_conv(x, 4 * growth, 1, name=f"{name}-conv_1")
    y = _bn_conv(y, growth, 3, name=f"{name}-conv_2")
    return layers.Concatenate(name=name)([x, y])


def transition(x: KerasTensor, name: str | None = None) -> KerasTensor:
    """A 1x1 convolution that halves the channels, then a 2x2 average pool: (h, w, c) -> (h / 2, w / 2, c / 2).

    Args:
        x: Feature maps.
        name: Name of the output; the layers inside are `name-conv` and so on.

    Returns:
        The smaller maps.

    Examples:
        >>> transition(keras.Input((56, 56, 256))).shape
        (None, 28, 28, 128)
    """
    name = name or unique_name("transition")
    x = _bn_conv(x, x.shape[-1] // 2, 1, name=f"{name}-conv")
    return layers.AveragePooling2D(2, name=name)(x)


@checked
def build_densenet(
    input_shape: InputShape = (224, 224, 3),
    *,
    depth: int = 121,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "densenet121",
) -> Model:
    """Builds a column of Table 1, top to bottom.

    Args:
        input_shape: (height, width, channels), at least 29 pixels; height and width may be None for any size.
        depth: 121, 161, 169 or 201.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape, the depth or the number of classes.

    Examples:
        >>> build_densenet().output_shape
        (None, 1000)
    """
    if depth not in TABLE_1:
        raise ValueError(f"depth must be one of {', '.join(map(str, TABLE_1))}, got {depth!r}.")
    growth, stem, counts = TABLE_1[depth]

    image = image_input(input_shape, min_size=29)
    x = conv_bn(image, stem, 7, strides=2, epsilon=1e-5, name="conv_1")  # (112, 112, 64)
    x = max_pool(x, 3, strides=2, ceil=False, name="pool_1")  # (56, 56, 64)
    for i, count in enumerate(counts, 1):  # (56, 56, 256) to (7, 7, 1024)
        for j in range(1, count + 1):
            x = dense_layer(x, growth, name=f"dense_{i}-layer_{j}")
        if i < len(counts):
            x = transition(x, name=f"transition_{i}")
    x = bn(x, "norm_5", epsilon=1e-5)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (1024,)
    return Model(image, classifier(x, classes, classifier_activation), name=name)


def _bn_conv(x: KerasTensor, filters: int, kernel_size: int, *, name: str) -> KerasTensor:
    """Batch norm, ReLU and a convolution without bias: (h, w, c) -> (h, w, filters)."""
    return conv(bn(x, name, epsilon=1e-5), filters, kernel_size, activation=None, use_bias=False, name=name)

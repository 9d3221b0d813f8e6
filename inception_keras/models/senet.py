"""SENet: "Squeeze-and-Excitation Networks", Hu, Shen, Albanie, Sun, Wu 2017, arXiv:1709.01507."""

from collections.abc import Callable

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, checked
from ..blocks import classifier, conv_bn, image_input, max_pool, squeeze_excite
from .googlenet import inception
from .googlenet import table_1 as googlenet_table_1

TABLE_1 = {
    #                       blocks          (kernel, multiple of filters)   groups
    "seresnet18":          ((2, 2, 2, 2),   ((3, 1), (3, 1)),               1),
    "seresnet34":          ((3, 4, 6, 3),   ((3, 1), (3, 1)),               1),
    "seresnet50":          ((3, 4, 6, 3),   ((1, 1), (3, 1), (1, 4)),       1),
    "seresnet101":         ((3, 4, 23, 3),  ((1, 1), (3, 1), (1, 4)),       1),
    "seresnet152":         ((3, 8, 36, 3),  ((1, 1), (3, 1), (1, 4)),       1),
    "seresnext50_32x4d":   ((3, 4, 6, 3),   ((1, 2), (3, 2), (1, 4)),       32),
    "seresnext101_32x4d":  ((3, 4, 23, 3),  ((1, 2), (3, 2), (1, 4)),       32),
    "senet154":            ((3, 8, 36, 3),  ((1, 2), (3, 4), (1, 4)),       64),
}
REDUCTION = 16
_BN: dict = {"epsilon": 1e-5}


def se_residual(
    x: KerasTensor, filters: int, units: tuple, groups: int = 1, strides: int = 1, shortcut: int = 1, *, name: str
) -> KerasTensor:
    """Figure 3: a residual block with squeeze-and-excitation before the sum.

    (h, w, c) -> (h / strides, w / strides, filters of the last unit).

    Args:
        x: Feature maps.
        filters: Filters of the stage, 64 to 512.
        units: For each convolution, its kernel size in pixels and its number of filters as a multiple of `filters`.
        groups: Groups of the 3x3 convolution.
        strides: Step of the block in pixels. The second convolution has it if `groups` is above 1, else the first.
        shortcut: Kernel size in pixels of the convolution in the shortcut, which is there only if the shape changes.
        name: Name of the output; the layers inside are `name-conv_1` and so on.

    Returns:
        The sum, after a ReLU.

    Examples:
        >>> se_residual(keras.Input((56, 56, 256)), 64, ((1, 1), (3, 1), (1, 4)), name="stage_2-block_2").shape
        (None, 56, 56, 256)
    """
    out = filters * units[-1][1]
    residual = x
    if strides > 1 or x.shape[-1] != out:
        residual = conv_bn(x, out, shortcut, strides, activation=None, name=f"{name}-shortcut", **_BN)
    strided = 2 if groups > 1 else 1
    for i, (kernel, factor) in enumerate(units, 1):
        options: dict = {"groups": groups} if i == 2 else {}
        # a basic block has a ReLU before squeeze-and-excitation, a bottleneck has none
        activation = None if i == len(units) == 3 else "relu"
        step = strides if i == strided else 1
        x = conv_bn(x, filters * factor, kernel, step, activation=activation, name=f"{name}-conv_{i}", **_BN, **options)
    x = squeeze_excite(x, out // REDUCTION, name=f"{name}-se")
    x = layers.Add(name=f"{name}-add")([x, residual])
    return layers.Activation("relu", name=name)(x)


@checked
def build_senet(
    input_shape: InputShape = (224, 224, 3),
    *,
    variant: str = "seresnet50",
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "seresnet50",
) -> Model:
    """Builds a net of the paper's table 1, or SENet-154 of section 5.1, as the authors released them for Caffe.

    Args:
        input_shape: (height, width, channels), at least 3 pixels; height and width may be None for any size.
        variant: A key of `TABLE_1`.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape, the variant or the number of classes.

    Reference:
        The authors' release, `hujie-frank/SENet`.

    Examples:
        >>> build_senet(variant="seresnet18").output_shape
        (None, 1000)
    """
    if variant not in TABLE_1:
        raise ValueError(f"variant must be one of {', '.join(TABLE_1)}, got {variant!r}.")
    blocks, units, groups = TABLE_1[variant]
    wide = variant == "senet154"

    x = image = image_input(input_shape, min_size=3)
    if wide:  # three 3x3 convolutions instead of the 7x7, 3x3 shortcuts after stage 2, and dropout
        for i, filters in enumerate((64, 64, 128), 1):
            x = conv_bn(x, filters, 3, 2 if i == 1 else 1, name=f"conv_1-conv_{i}", **_BN)
    else:
        x = conv_bn(x, 64, 7, 2, name="conv_1", **_BN)  # (112, 112, 64)
    x = max_pool(x, 3, strides=2, name="pool_1")  # (56, 56, 64)
    for i, count in enumerate(blocks):
        for j in range(count):
            strides = 2 if i and not j else 1
            shortcut = 3 if wide and i else 1
            x = se_residual(x, 64 << i, units, groups, strides, shortcut, name=f"stage_{i + 2}-block_{j + 1}")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (2048,)
    if wide:
        x = layers.Dropout(0.2, name="dropout")(x)
    x = classifier(x, classes, classifier_activation)  # (1000,)
    return Model(image, x, name=name)


@checked
def build_seinception(
    input_shape: InputShape = (224, 224, 3),
    *,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "seinception",
) -> Model:
    """Builds GoogLeNet with batch norm, with the SE-Inception module of figure 2 in all nine places.

    Args:
        input_shape: (height, width, channels), at least 31 pixels; height and width may be None for any size.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Examples:
        >>> build_seinception().output_shape
        (None, 1000)
    """
    image = image_input(input_shape, min_size=31)
    x = conv_bn(image, 64, 7, strides=2, name="conv_1")  # (112, 112, 64)
    x = max_pool(x, 3, strides=2, name="pool_1")  # (56, 56, 64)
    x = conv_bn(x, 64, 1, name="conv_2-reduce")  # (56, 56, 64)
    x = conv_bn(x, 192, 3, name="conv_2")  # (56, 56, 192)
    x = max_pool(x, 3, strides=2, name="pool_2")  # (28, 28, 192)
    x, _ = googlenet_table_1(x, _se_inception)  # (7, 7, 1024)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (1024,)
    x = layers.Dropout(0.4, name="dropout")(x)
    x = classifier(x, classes, classifier_activation)  # (1000,)
    return Model(image, x, name=name)


def _se_inception(x: KerasTensor, *filters: int, name: str) -> KerasTensor:
    """Figure 2: an inception module, its channels scaled by squeeze-and-excitation."""
    module: Callable = inception
    x = module(x, *filters, name=name, conv_block=conv_bn)
    return squeeze_excite(x, x.shape[-1] // REDUCTION, name=f"{name}-se")

"""MobileNetV3: "Searching for MobileNetV3", Howard et al. 2019, arXiv:1905.02244."""

from keras import Model, layers

from ..arguments import InputShape, checked
from ..blocks import classifier, conv_bn, image_input, make_divisible
from .mobilenet_v2 import inverted_residual

TABLE_1 = (  # large
    # kernel, expanded, out, SE,    h-swish, strides   output at 224 x 224
    (3,       16,       16,  False, False,   1),     # (112, 112, 16)
    (3,       64,       24,  False, False,   2),     # (56, 56, 24)
    (3,       72,       24,  False, False,   1),
    (5,       72,       40,  True,  False,   2),     # (28, 28, 40)
    (5,       120,      40,  True,  False,   1),
    (5,       120,      40,  True,  False,   1),
    (3,       240,      80,  False, True,    2),     # (14, 14, 80)
    (3,       200,      80,  False, True,    1),
    (3,       184,      80,  False, True,    1),
    (3,       184,      80,  False, True,    1),
    (3,       480,      112, True,  True,    1),     # (14, 14, 112)
    (3,       672,      112, True,  True,    1),
    (5,       672,      160, True,  True,    2),     # (7, 7, 160)
    (5,       960,      160, True,  True,    1),
    (5,       960,      160, True,  True,    1),
)
TABLE_2 = (  # small
    # kernel, expanded, out, SE,    h-swish, strides   output at 224 x 224
    (3,       16,       16,  True,  False,   2),     # (56, 56, 16)
    (3,       72,       24,  False, False,   2),     # (28, 28, 24)
    (3,       88,       24,  False, False,   1),
    (5,       96,       40,  True,  True,    2),     # (14, 14, 40)
    (5,       240,      40,  True,  True,    1),
    (5,       240,      40,  True,  True,    1),
    (5,       120,      48,  True,  True,    1),     # (14, 14, 48)
    (5,       144,      48,  True,  True,    1),
    (5,       288,      96,  True,  True,    2),     # (7, 7, 96)
    (5,       576,      96,  True,  True,    1),
    (5,       576,      96,  True,  True,    1),
)
SIZES = {"large": (TABLE_1, 960, 1280), "small": (TABLE_2, 576, 1024)}  # table, last convolution, dense layer


@checked
def build_mobilenet_v3(
    input_shape: InputShape = (224, 224, 3),
    *,
    size: str = "large",
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "mobilenet_v3_large",
) -> Model:
    """Builds Table 1 or 2, top to bottom.

    Args:
        input_shape: (height, width, channels), at least 1 pixel; height and width may be None for any size.
        size: `"large"` or `"small"`.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape, the size or the number of classes.

    Examples:
        >>> build_mobilenet_v3(size="small").output_shape
        (None, 1000)
    """
    if size not in SIZES:
        raise ValueError(f"size must be one of {', '.join(SIZES)}, got {size!r}.")
    table, last, dense = SIZES[size]
    image = image_input(input_shape)
    x = conv_bn(image, 16, 3, strides=2, activation="hard_silu", name="conv_1")  # (112, 112, 16)
    for i, (kernel, expanded, filters, excited, swish, strides) in enumerate(table, 1):
        x = inverted_residual(
            x,
            filters,
            expanded,
            strides,
            kernel_size=kernel,
            excited=make_divisible(expanded // 4) if excited else 0,
            activation="hard_silu" if swish else "relu",
            epsilon=1e-3,
            name=f"block_{i}",
        )
    x = conv_bn(x, last, 1, activation="hard_silu", name="conv_2")  # (7, 7, 960)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (960,)
    x = layers.Dense(dense, activation="hard_silu", name="fc")(x)  # (1280,)
    x = layers.Dropout(0.2, name="dropout")(x)
    return Model(image, classifier(x, classes, classifier_activation), name=name)

"""SqueezeNet: "AlexNet-level accuracy with 50x fewer parameters", Iandola et al. 2016, arXiv:1602.07360."""

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, checked
from ..blocks import conv, image_input, max_pool, unique_name

TABLE_1: dict[str, tuple[int, int, int] | None] = {  # None is a row "maxpool 3x3/2"
    #        squeeze 1x1  expand 1x1, 3x3   output at 224 x 224
    "pool_1": None,                       # (54, 54, 96)
    "fire_2": (16,        64, 64),        # (54, 54, 128)
    "fire_3": (16,        64, 64),        # (54, 54, 128)
    "fire_4": (32,       128, 128),       # (54, 54, 256)
    "pool_4": None,                       # (27, 27, 256)
    "fire_5": (32,       128, 128),       # (27, 27, 256)
    "fire_6": (48,       192, 192),       # (27, 27, 384)
    "fire_7": (48,       192, 192),       # (27, 27, 384)
    "fire_8": (64,       256, 256),       # (27, 27, 512)
    "pool_8": None,                       # (13, 13, 512)
    "fire_9": (64,       256, 256),       # (13, 13, 512)
}
# The authors' second release: the first convolution is smaller, and the pools come earlier.
ROWS_1_1 = (
    *("pool_1", "fire_2", "fire_3", "pool_3", "fire_4", "fire_5", "pool_5"),
    *("fire_6", "fire_7", "fire_8", "fire_9"),
)


@checked
def fire(x: KerasTensor, squeeze_1x1: int, expand_1x1: int, expand_3x3: int, name: str | None = None) -> KerasTensor:
    """Figure 1: (h, w, c) -> (h, w, expand_1x1 + expand_3x3).

    Args:
        x: Feature maps.
        squeeze_1x1: Filters of the 1x1 convolution that the other two convolutions read.
        expand_1x1: Filters of the second 1x1 convolution.
        expand_3x3: Filters of the 3x3 convolution.
        name: Name of the output; the layers inside are `name-squeeze_1x1` and so on.

    Returns:
        The two expanded branches, concatenated.

    Examples:
        >>> fire(keras.Input((55, 55, 96)), 16, 64, 64).shape
        (None, 55, 55, 128)
    """
    name = name or unique_name("fire")
    x = conv(x, squeeze_1x1, 1, name=f"{name}-squeeze_1x1")
    a = conv(x, expand_1x1, 1, name=f"{name}-expand_1x1")
    b = conv(x, expand_3x3, 3, name=f"{name}-expand_3x3")
    return layers.Concatenate(name=name)([a, b])


@checked
def build_squeezenet(
    input_shape: InputShape = (224, 224, 3),
    *,
    version: str = "1.0",
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "squeezenet1_0",
) -> Model:
    """Builds Table 1, top to bottom. Version "1.1" is the authors' second release, with 2.4 times fewer operations.

    Args:
        input_shape: (height, width, channels), at least 21 pixels (version "1.1": 17); height and width may be None
            for any size.
        version: `"1.0"` or `"1.1"`.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model. Its logits have passed a ReLU, as in the authors' release.

    Raises:
        ValueError: If the net cannot take the input shape, the version or the number of classes.

    Examples:
        >>> build_squeezenet().count_params(), build_squeezenet(version="1.1").count_params()
        (1248424, 1235496)
    """
    stems = {"1.0": (96, 7, 21, tuple(TABLE_1)), "1.1": (64, 3, 17, ROWS_1_1)}
    if version not in stems:
        raise ValueError(f"version must be '1.0' or '1.1', got {version!r}.")
    width, kernel, min_size, rows = stems[version]

    image = image_input(input_shape, min_size=min_size)
    x = layers.Conv2D(width, kernel, strides=2, activation="relu", name="conv_1")(image)  # no padding
    for row in rows:
        filters = TABLE_1.get(row)
        x = fire(x, *filters, name=row) if filters else max_pool(x, 3, strides=2, name=row)
    x = layers.Dropout(0.5, name="dropout")(x)
    x = conv(x, classes, 1, name="conv_10")                                     # (13, 13, 1000)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)                       # (1000,)
    x = layers.Activation(classifier_activation or "linear", dtype="float32", name="predictions")(x)
    return Model(image, x, name=name)

"""VGG: "Very Deep Convolutional Networks for Large-Scale Image Recognition", Simonyan 2014, arXiv:1409.1556."""

from collections.abc import Callable
from functools import partial

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, checked
from ..blocks import classifier, conv, conv_bn, fixed_input, max_pool
from ..layers import AdaptiveAveragePooling2D

TABLE_1 = {  # number of 3x3 convolutions before each "maxpool", with 64, 128, 256, 512 and 512 filters
    11: (1, 1, 2, 2, 2),  # A
    13: (2, 2, 2, 2, 2),  # B
    16: (2, 2, 3, 3, 3),  # D
    19: (2, 2, 4, 4, 4),  # E
}
FILTERS = (64, 128, 256, 512, 512)


@checked
def build_vgg(
    input_shape: InputShape = (224, 224, 3),
    *,
    depth: int = 16,
    batch_norm: bool = False,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "vgg16",
) -> Model:
    """Builds a column of Table 1, top to bottom.

    Args:
        input_shape: (height, width, channels), at least 32 pixels. If the last map is not 7x7, adaptive average
            pooling makes it 7x7, as in torchvision, so that the number of parameters stays the same.
        depth: 11, 13, 16 or 19: columns A, B, D and E.
        batch_norm: Puts a batch norm after each convolution, which keeps its bias. This is not in the paper.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape, the depth or the number of classes.

    Reference:
        The authors' release for Caffe; for batch norm, `torchvision/models/vgg.py`.

    Examples:
        >>> build_vgg().output_shape
        (None, 1000)
    """
    if depth not in TABLE_1:
        raise ValueError(f"depth must be one of {', '.join(map(str, TABLE_1))}, got {depth!r}.")
    image = fixed_input(input_shape, min_size=32, net="VGG")
    convolve = partial(conv_bn, epsilon=1e-5, use_bias=True) if batch_norm else conv
    x = vgg_maps(image, convolve, depth=depth, pool=_floor_pool)["pool_5"]  # (7, 7, 512)
    if x.shape[1:3] != (7, 7):
        x = AdaptiveAveragePooling2D(7, name="adaptive_pool")(x)  # (7, 7, 512)
    x = layers.Flatten(name="flatten")(x)  # (25088,)
    for row in ("fc_6", "fc_7"):
        x = layers.Dense(4096, activation="relu", name=row)(x)  # (4096,)
        x = layers.Dropout(0.5, name=f"{row}-dropout")(x)
    x = classifier(x, classes, classifier_activation)  # (1000,)
    return Model(image, x, name=name)


def vgg_maps(
    x: KerasTensor,
    convolve: Callable[..., KerasTensor],
    *,
    depth: int = 16,
    width: float = 1.0,
    blocks: int = 5,
    pool: Callable[..., KerasTensor] = max_pool,
) -> dict[str, KerasTensor]:
    """The convolutions and pools of a column of Table 1, for this and for other nets: (224, 224, 3) -> (7, 7, 512).

    Args:
        x: Images.
        convolve: `(x, filters, kernel_size, name=...) -> x`, such as `conv` or `conv_bn`.
        depth: 11, 13, 16 or 19.
        width: The share of the filters.
        blocks: The number of blocks, from the first on.
        pool: `(x, size, strides=..., name=...) -> x`. By default it rounds up, as in Caffe.

    Returns:
        The last map of each block, by the names "conv_1" to "conv_5", and each pool, "pool_1" to "pool_5".
    """
    maps = {}
    for block, (filters, count) in enumerate(zip(FILTERS[:blocks], TABLE_1[depth], strict=False), 1):
        for i in range(1, count + 1):
            x = convolve(x, round(width * filters), 3, name=f"conv_{block}_{i}")
        maps[f"conv_{block}"] = x
        x = maps[f"pool_{block}"] = pool(x, 2, strides=2, name=f"pool_{block}")  # half the side
    return maps


def _floor_pool(x: KerasTensor, size: int, *, strides: int, name: str) -> KerasTensor:
    return layers.MaxPooling2D(size, strides, name=name)(x)

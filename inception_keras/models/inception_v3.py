"""Inception-v3: "Rethinking the Inception Architecture for Computer Vision", Szegedy et al. 2015, arXiv:1512.00567."""

from typing import Any

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, checked
from ..blocks import classifier, conv_bn, image_input

# A module is a tuple of branches, and a branch is a tuple of steps. "max" is a 3x3 max pool with strides 2; "avg" is
# a 3x3 average pool with strides 1. (filters, kernel) is a padded convolution; (filters, kernel, strides) is one
# without padding. A list holds convolutions that read the same input in parallel.


def _figure_5(proj: int) -> tuple:
    return (
        ((64, 1),),
        ((48, 1), (64, 5)),  # the paper has two 3x3, every release a 5x5
        ((64, 1), (96, 3), (96, 3)),
        ("avg", (proj, 1)),
    )


def _figure_6(c: int) -> tuple:
    return (
        ((192, 1),),
        ((c, 1), (c, (1, 7)), (192, (7, 1))),
        ((c, 1), (c, (7, 1)), (c, (1, 7)), (c, (7, 1)), (192, (1, 7))),
        ("avg", (192, 1)),
    )


FIGURE_7 = (
    ((320, 1),),
    ((384, 1), [(384, (1, 3)), (384, (3, 1))]),
    ((448, 1), (384, 3), [(384, (1, 3)), (384, (3, 1))]),
    ("avg", (192, 1)),
)
TABLE_1 = {  # from its row "3 x Inception" on                                       output at 299 x 299
    "inception_5b": _figure_5(32),                                                # (35, 35, 256)
    "inception_5c": _figure_5(64),                                                # (35, 35, 288)
    "inception_5d": _figure_5(64),                                                # (35, 35, 288)
    "reduction_6a": (((384, 3, 2),), ((64, 1), (96, 3), (96, 3, 2)), ("max",)),   # (17, 17, 768), figure 10
    "inception_6b": _figure_6(128),                                               # (17, 17, 768)
    "inception_6c": _figure_6(160),                                               # (17, 17, 768)
    "inception_6d": _figure_6(160),                                               # (17, 17, 768)
    "inception_6e": _figure_6(192),                                               # (17, 17, 768)
    "reduction_7a": (                                                             # (8, 8, 1280)
        ((192, 1), (320, 3, 2)), ((192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3, 2)), ("max",),
    ),
    "inception_7b": FIGURE_7,                                                     # (8, 8, 2048)
    "inception_7c": FIGURE_7,                                                     # (8, 8, 2048)
}
AUX_AFTER = "inception_6e"


def module(x: KerasTensor, branches: tuple, name: str) -> KerasTensor:
    """Concatenates the branches of a module: (h, w, c) -> (h', w', sum of the branches).

    Args:
        x: Feature maps.
        branches: The branches, in the form of the table.
        name: Name of the output; the layers inside are `name-branch_1-conv_1` and so on.

    Returns:
        The branches, concatenated.

    Examples:
        >>> module(keras.Input((35, 35, 192)), TABLE_1["inception_5b"], name="inception_5b").shape
        (None, 35, 35, 256)
    """
    outputs = []
    for i, steps in enumerate(branches, 1):
        y = [x]
        for j, step in enumerate(steps, 0 if steps[0] in ("avg", "max") else 1):
            label = f"{name}-branch_{i}-" + (f"conv_{j}" if j else "pool")
            if isinstance(step, list):
                y = [_step(y[0], part, f"{label}{letter}") for part, letter in zip(step, "ab", strict=True)]
            else:
                y = [_step(y[0], step, label)]
        outputs += y
    return layers.Concatenate(name=name)(outputs)


def aux_head(x: KerasTensor, classes: int, activation: str | None = "softmax", *, name: str = "aux_1") -> KerasTensor:
    """The auxiliary head of figure 8: (17, 17, 768) -> (5, 5, 128) -> (1, 1, 768) -> (classes,).

    Args:
        x: Feature maps of at least 17 pixels.
        classes: Number of classes.
        activation: `"softmax"`, or None for logits.
        name: Name of the output; the layers inside are `name-pool` and so on.

    Returns:
        The scores of the classes.

    Raises:
        ValueError: If the map is too small.

    Examples:
        >>> aux_head(keras.Input((17, 17, 768)), 1000).shape
        (None, 1000)
    """
    if any(size is not None and size < 17 for size in x.shape[1:3]):
        raise ValueError(f"The auxiliary head needs maps of 17 pixels, images of 299, got maps of {x.shape[1:3]}.")
    x = layers.AveragePooling2D(5, 3, name=f"{name}-pool")(x)  # (5, 5, 768)
    x = conv_bn(x, 128, 1, name=f"{name}-conv_1")  # (5, 5, 128)
    x = conv_bn(x, 768, 5, padding="valid", name=f"{name}-conv_2")  # (1, 1, 768)
    x = layers.GlobalAveragePooling2D(name=f"{name}-avg_pool")(x)  # (768,)
    return classifier(x, classes, activation, name=name)


@checked
def build_inception_v3(
    input_shape: InputShape = (299, 299, 3),
    *,
    classes: int = 1000,
    aux: bool = False,
    classifier_activation: str | None = "softmax",
    name: str = "inception_v3",
) -> Model:
    """Builds Table 1 as released, top to bottom. As in torchvision, average pools count the padding as zeros.

    Args:
        input_shape: (height, width, channels), at least 75 pixels, or 299 with `aux`; height and width may be None
            for any size.
        classes: Number of classes.
        aux: Adds the auxiliary head of section 4, after the last of the 17x17 maps.
        classifier_activation: `"softmax"`, or None for logits; for both heads.
        name: Name of the model.

    Returns:
        A Model with one output, or with the outputs `{"predictions", "aux_1"}`.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Reference:
        `torchvision/models/inception.py`, with the authors' weights.

    Examples:
        >>> build_inception_v3().output_shape
        (None, 1000)
    """
    image = image_input(input_shape, min_size=75)
    x = conv_bn(image, 32, 3, 2, padding="valid", name="conv_1a")  # (149, 149, 32)
    x = conv_bn(x, 32, 3, padding="valid", name="conv_2a")  # (147, 147, 32)
    x = conv_bn(x, 64, 3, name="conv_2b")  # (147, 147, 64)
    x = layers.MaxPooling2D(3, 2, name="pool_3a")(x)  # (73, 73, 64)
    x = conv_bn(x, 80, 1, name="conv_3b")  # (73, 73, 80)
    x = conv_bn(x, 192, 3, padding="valid", name="conv_4a")  # (71, 71, 192)
    x = layers.MaxPooling2D(3, 2, name="pool_5a")(x)  # (35, 35, 192)
    heads = {}
    for row, branches in TABLE_1.items():
        x = module(x, branches, name=row)
        if aux and row == AUX_AFTER:
            heads["aux_1"] = aux_head(x, classes, classifier_activation)

    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (2048,)
    x = layers.Dropout(0.5, name="dropout")(x)
    x = classifier(x, classes, classifier_activation)  # (1000,)
    return Model(image, {"predictions": x, **heads} if aux else x, name=name)


def _step(x: KerasTensor, step: Any, name: str) -> KerasTensor:
    """Applies one step of a branch, given in the form of the table."""
    if step == "max":
        return layers.MaxPooling2D(3, 2, name=name)(x)
    if step == "avg":
        x = layers.ZeroPadding2D(1, name=f"{name}-padding")(x)
        return layers.AveragePooling2D(3, 1, name=name)(x)
    filters, kernel, *strides = step
    options: dict = {"padding": "valid"} if strides else {}
    return conv_bn(x, filters, kernel, *strides, name=name, **options)

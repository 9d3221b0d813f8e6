"""Inception-v4 and Inception-ResNet-v2: Szegedy, Ioffe, Vanhoucke, Alemi 2016, arXiv:1602.07261."""

from typing import Any

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, checked
from ..blocks import classifier, conv_bn, image_input

# A module is a tuple of branches, and a branch is a tuple of steps. "max" is a 3x3 max pool with strides 2; "avg" is
# a 3x3 average pool with strides 1. (filters, kernel) is a padded convolution; (filters, kernel, strides) is one
# without padding. A list holds convolutions that read the same input in parallel.
INCEPTION_A = (  # figure 4
    ((96, 1),),
    ((64, 1), (96, 3)),
    ((64, 1), (96, 3), (96, 3)),
    ("avg", (96, 1)),
)
INCEPTION_B = (  # figure 5
    ((384, 1),),
    ((192, 1), (224, (1, 7)), (256, (7, 1))),
    ((192, 1), (192, (7, 1)), (224, (1, 7)), (224, (7, 1)), (256, (1, 7))),
    ("avg", (128, 1)),
)
INCEPTION_C = (  # figure 6
    ((256, 1),),
    ((384, 1), [(256, (1, 3)), (256, (3, 1))]),
    ((384, 1), (448, (3, 1)), (512, (1, 3)), [(256, (1, 3)), (256, (3, 1))]),
    ("avg", (256, 1)),
)
FIGURE_9 = {  # Inception-v4 after its first three convolutions                              output at 299 x 299
    "stem_1": (("max",), ((96, 3, 2),)),                                                      # (73, 73, 160)
    "stem_2": (((64, 1), (96, 3, 1)), ((64, 1), (64, (1, 7)), (64, (7, 1)), (96, 3, 1))),     # (71, 71, 192)
    "stem_3": (((192, 3, 2),), ("max",)),                                                     # (35, 35, 384)
    **{f"inception_a_{i}": INCEPTION_A for i in range(1, 5)},                                 # (35, 35, 384)
    "reduction_a": (((384, 3, 2),), ((192, 1), (224, 3), (256, 3, 2)), ("max",)),             # (17, 17, 1024)
    **{f"inception_b_{i}": INCEPTION_B for i in range(1, 8)},                                 # (17, 17, 1024)
    "reduction_b": (                                                                          # (8, 8, 1536)
        ((192, 1), (192, 3, 2)), ((256, 1), (256, (1, 7)), (320, (7, 1)), (320, 3, 2)), ("max",),
    ),
    **{f"inception_c_{i}": INCEPTION_C for i in range(1, 4)},                                 # (8, 8, 1536)
}

RESNET_A = (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3)))                      # figure 16
RESNET_B = (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1))))                            # figure 17
RESNET_C = (((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1))))                            # figure 19
FIGURE_15 = {  # Inception-ResNet-v2 after its stem: branches, scale of a residual             output at 299 x 299
    "stem_6": ((((96, 1),), ((48, 1), (64, 5)), ((64, 1), (96, 3), (96, 3)), ("avg", (64, 1))), None),  # (35, 35, 320)
    **{f"inception_a_{i}": (RESNET_A, 0.17) for i in range(1, 11)},                           # (35, 35, 320)
    "reduction_a": ((((384, 3, 2),), ((256, 1), (256, 3), (384, 3, 2)), ("max",)), None),     # (17, 17, 1088)
    **{f"inception_b_{i}": (RESNET_B, 0.1) for i in range(1, 21)},                            # (17, 17, 1088)
    "reduction_b": (                                                                          # (8, 8, 2080)
        (((256, 1), (384, 3, 2)), ((256, 1), (288, 3, 2)), ((256, 1), (288, 3), (320, 3, 2)), ("max",)), None,
    ),
    **{f"inception_c_{i}": (RESNET_C, 0.2) for i in range(1, 10)},                            # (8, 8, 2080)
    "inception_c_10": (RESNET_C, 1.0),                                                        # (8, 8, 2080)
}


def branches(x: KerasTensor, module: tuple, *, name: str) -> KerasTensor:
    """Concatenates the branches of a module: (h, w, c) -> (h', w', sum of the branches).

    Args:
        x: Feature maps.
        module: The branches, in the form of the tables.
        name: Name of the output; the layers inside are `name-branch_1-conv_1` and so on.

    Returns:
        The branches, concatenated.

    Examples:
        >>> branches(keras.Input((35, 35, 384)), INCEPTION_A, name="inception_a_1").shape
        (None, 35, 35, 384)
    """
    return layers.Concatenate(name=name)(_branches(x, module, name))


def inception_resnet(x: KerasTensor, module: tuple, scale: float, *, activation: bool = True, name: str) -> KerasTensor:
    """Figures 16, 17 and 19: adds the scaled output of a module to its input. The shape stays (h, w, c).

    Args:
        x: Feature maps.
        module: The branches, in the form of the tables.
        scale: Factor of the residual, 0.1 to 0.3 in section 3.3. Without it, wide nets die in training.
        activation: Whether a ReLU follows.
        name: Name of the output.

    Returns:
        The sum.

    Examples:
        >>> inception_resnet(keras.Input((35, 35, 320)), RESNET_A, 0.17, name="inception_a_1").shape
        (None, 35, 35, 320)
    """
    y = layers.Concatenate(name=f"{name}-concat")(_branches(x, module, name))
    y = layers.Conv2D(x.shape[-1], 1, name=f"{name}-up")(y)
    y = layers.Rescaling(scale, name=f"{name}-scale")(y)
    if not activation:
        return layers.Add(name=name)([x, y])
    x = layers.Add(name=f"{name}-add")([x, y])
    return layers.Activation("relu", name=name)(x)


@checked
def build_inception_v4(
    input_shape: InputShape = (299, 299, 3),
    *,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "inception_v4",
) -> Model:
    """Builds figure 9, top to bottom.

    Args:
        input_shape: (height, width, channels), at least 75 pixels; height and width may be None for any size.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Examples:
        >>> build_inception_v4().get_layer("inception_c_3").output.shape
        (None, 8, 8, 1536)
    """
    image = image_input(input_shape, min_size=75)
    x = conv_bn(image, 32, 3, 2, padding="valid", name="conv_1")  # (149, 149, 32)
    x = conv_bn(x, 32, 3, padding="valid", name="conv_2")  # (147, 147, 32)
    x = conv_bn(x, 64, 3, name="conv_3")  # (147, 147, 64)
    for row, module in FIGURE_9.items():
        x = branches(x, module, name=row)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (1536,)
    x = layers.Dropout(0.2, name="dropout")(x)
    x = classifier(x, classes, classifier_activation)  # (1000,)
    return Model(image, x, name=name)


@checked
def build_inception_resnet_v2(
    input_shape: InputShape = (299, 299, 3),
    *,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "inception_resnet_v2",
) -> Model:
    """Builds figure 15, top to bottom, with the stem and the widths that the authors released in TF-Slim.

    Args:
        input_shape: (height, width, channels), at least 75 pixels; height and width may be None for any size.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Reference:
        `research/slim/nets/inception_resnet_v2.py` of tensorflow/models.

    Examples:
        >>> build_inception_resnet_v2().get_layer("inception_c_10").output.shape
        (None, 8, 8, 2080)
    """
    image = image_input(input_shape, min_size=75)
    x = conv_bn(image, 32, 3, 2, padding="valid", name="stem_1")  # (149, 149, 32)
    x = conv_bn(x, 32, 3, padding="valid", name="stem_2")  # (147, 147, 32)
    x = conv_bn(x, 64, 3, name="stem_3")  # (147, 147, 64)
    x = layers.MaxPooling2D(3, 2, name="pool_3")(x)  # (73, 73, 64)
    x = conv_bn(x, 80, 1, name="stem_4")  # (73, 73, 80)
    x = conv_bn(x, 192, 3, padding="valid", name="stem_5")  # (71, 71, 192)
    x = layers.MaxPooling2D(3, 2, name="pool_5")(x)  # (35, 35, 192)
    for row, (module, scale) in FIGURE_15.items():
        if scale is None:
            x = branches(x, module, name=row)
        else:
            x = inception_resnet(x, module, scale, activation=row != "inception_c_10", name=row)
    x = conv_bn(x, 1536, 1, name="conv_7")  # (8, 8, 1536)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (1536,)
    x = layers.Dropout(0.2, name="dropout")(x)
    x = classifier(x, classes, classifier_activation)  # (1000,)
    return Model(image, x, name=name)


def _branches(x: KerasTensor, module: tuple, name: str) -> list:
    """A list of the outputs of the branches of a module."""
    outputs = []
    for i, steps in enumerate(module, 1):
        y = [x]
        for j, step in enumerate(steps, 0 if steps[0] in ("avg", "max") else 1):
            label = f"{name}-branch_{i}-" + (f"conv_{j}" if j else "pool")
            if isinstance(step, list):
                y = [_step(y[0], part, f"{label}{letter}") for part, letter in zip(step, "ab", strict=True)]
            else:
                y = [_step(y[0], step, label)]
        outputs += y
    return outputs


def _step(x: KerasTensor, step: Any, name: str) -> KerasTensor:
    """Applies one step of a branch, given in the form of the tables."""
    if step == "max":
        return layers.MaxPooling2D(3, 2, name=name)(x)
    if step == "avg":
        return layers.AveragePooling2D(3, 1, "same", name=name)(x)
    filters, kernel, *strides = step
    options: dict = {"padding": "valid"} if strides else {}
    return conv_bn(x, filters, kernel, *strides, name=name, **options)

"""LeNet-5: "Gradient-Based Learning Applied to Document Recognition", LeCun et al., Proc. IEEE 1998."""

import numpy as np
from keras import KerasTensor, Model, initializers, layers

from ..arguments import InputShape, checked
from ..blocks import classifier, image_input
from ..layers import RadialBasis, Subsampling2D, TableConv2D, scaled_tanh

TABLE_1 = (  # for each map of C3, the maps of S2 that it reads
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
)
DIGITS = """
 .###...  ...#...  .#####.  .#####.  .....#.  #######  ..####.  #######  .#####.  .#####.
 #...#..  ..##...  #.....#  #.....#  ....##.  #......  .#.....  #.....#  #.....#  #.....#
 #...##.  .###...  ......#  ......#  ...#.#.  #......  #......  ......#  #.....#  #.....#
 #....##  ...#...  ......#  ......#  ..#..#.  #......  #......  .....#.  #.....#  #.....#
 #.....#  ...#...  .....#.  .....#.  .#...#.  #.####.  #......  .....#.  .#...#.  #....##
 #.....#  ...#...  ....#..  ..###..  #....#.  ##....#  #.####.  ....#..  ..###..  .####.#
 #.....#  ...#...  ...#...  .....#.  #######  ......#  ##....#  ....#..  .#...#.  ......#
 #.....#  ...#...  ..#....  ......#  .....#.  ......#  #.....#  ...#...  #.....#  ......#
 #.....#  ...#...  .#.....  ......#  .....#.  ......#  #.....#  ...#...  #.....#  ......#
 ##....#  ...#...  #......  #.....#  .....#.  #.....#  #.....#  ..#....  #.....#  .....#.
 .#...#.  ...#...  #......  #.....#  .....#.  #.....#  .#...#.  ..#....  #.....#  ....#..
 ..###..  .#####.  #######  .#####.  .....#.  .#####.  ..###..  ..#....  .#####.  .###...
"""


def digit_codes() -> np.ndarray:
    """Ten pictures of digits of 7x12 pixels, with 1 for ink and -1 for paper, as an array of shape (10, 84).

    Figure 3 shows the authors' pictures, but the paper does not list their pixels. These are drawn in the same style.

    Examples:
        >>> digit_codes().shape
        (10, 84)
    """
    rows = [[[1 if dot == "#" else -1 for dot in row] for row in line.split()] for line in DIGITS.split("\n")[1:-1]]
    return np.array(rows, "float32").transpose(1, 0, 2).reshape(10, 84)


@checked
def build_lenet5(
    input_shape: InputShape = (32, 32, 1),
    *,
    classes: int = 10,
    rbf: bool = True,
    classifier_activation: str | None = "softmax",
    name: str = "lenet5",
) -> Model:
    """Builds the net of section II.B, layer by layer, with the paper's names, initial values and squashing function.

    Args:
        input_shape: (height, width, channels), at least 32 pixels. The paper uses pixel values of -0.1 for white and
            1.175 for ink.
        classes: Number of classes. If it is not ten, the codes are random signs, which the paper allows too.
        rbf: Whether the output is the distance to a fixed code for each class. The code of a digit is a picture of it
            in 7x12 pixels. With False, the output is a dense layer.
        classifier_activation: `"softmax"`, or None for logits. With `rbf`, the logits are the negative distances.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Examples:
        >>> build_lenet5().count_params(), build_lenet5(rbf=False).count_params()
        (60000, 60850)
    """
    image = _image(input_shape)
    x = layers.Conv2D(6, 5, activation=scaled_tanh, **_start(25 * image.shape[-1]), name="c1")(image)  # (28, 28, 6)
    x = Subsampling2D(scaled_tanh, _start(4)["kernel_initializer"], name="s2")(x)  # (14, 14, 6)
    x = TableConv2D(TABLE_1, 5, scaled_tanh, **_start(25 * 60 / 16), name="c3")(x)  # (10, 10, 16)
    x = Subsampling2D(scaled_tanh, _start(4)["kernel_initializer"], name="s4")(x)  # (5, 5, 16)
    x = layers.Conv2D(120, 5, activation=scaled_tanh, **_start(25 * 16), name="c5")(x)  # (1, 1, 120)
    x = layers.Flatten(name="flatten")(x)  # (120,)
    x = layers.Dense(84, activation=scaled_tanh, **_start(x.shape[-1]), name="f6")(x)  # (84,)
    if not rbf:
        return Model(image, classifier(x, classes, classifier_activation), name=name)
    codes = digit_codes() if classes == 10 else np.random.default_rng(0).choice([-1.0, 1.0], (classes, 84))
    x = RadialBasis(codes, dtype="float32", name="rbf")(x)  # (10,)
    x = layers.Rescaling(-1.0, dtype="float32", name="rbf-negative")(x)
    x = layers.Activation(classifier_activation or "linear", dtype="float32", name="predictions")(x)
    return Model(image, x, name=name)


@checked
def build_lenet5_modern(
    input_shape: InputShape = (32, 32, 1),
    *,
    classes: int = 10,
    classifier_activation: str | None = "softmax",
    name: str = "lenet5_modern",
) -> Model:
    """Builds LeNet-5 as today's courses do, with the original widths.

    It has ReLU, plain max pools, a C3 that reads all maps, and a dense output.

    Args:
        input_shape: (height, width, channels), at least 32 pixels.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Examples:
        >>> build_lenet5_modern().count_params()
        61706
    """
    image = _image(input_shape)
    x = layers.Conv2D(6, 5, activation="relu", name="c1")(image)  # (28, 28, 6)
    x = layers.MaxPooling2D(2, name="s2")(x)  # (14, 14, 6)
    x = layers.Conv2D(16, 5, activation="relu", name="c3")(x)  # (10, 10, 16)
    x = layers.MaxPooling2D(2, name="s4")(x)  # (5, 5, 16)
    x = layers.Conv2D(120, 5, activation="relu", name="c5")(x)  # (1, 1, 120)
    x = layers.Flatten(name="flatten")(x)  # (120,)
    x = layers.Dense(84, activation="relu", name="f6")(x)  # (84,)
    return Model(image, classifier(x, classes, classifier_activation), name=name)


def _image(input_shape: InputShape) -> KerasTensor:
    """The input. Its size must be known, because F6 reads every pixel of C5."""
    image = image_input(input_shape, min_size=32)
    if None in input_shape:
        raise ValueError(f"input_shape must be a known (height, width, channels), got {tuple(input_shape)}.")
    return image


def _start(fan_in: float) -> dict:
    """Appendix A: initial weights are uniform between -2.4 / fan_in and 2.4 / fan_in."""
    return {"kernel_initializer": initializers.RandomUniform(-2.4 / fan_in, 2.4 / fan_in)}

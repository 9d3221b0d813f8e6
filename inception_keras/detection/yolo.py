"""YOLO: "You Only Look Once: Unified, Real-Time Object Detection", Redmon et al. 2015, arXiv:1506.02640, as released.

The nets of darknet: those of November 2015, with the paper, and those that stand there today under the name of YOLO v1.
"""

from typing import NamedTuple

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, ObjectClasses, checked
from ..blocks import bn, classifier, conv, fixed_input, image_input, max_pool
from ..checks import check_choice
from ..layers import LocallyConnected2D
from .yolo_grid import ORDERS, YoloGrid

Rows = dict[str, tuple[int, int, int] | None]

# fmt: off
# filters, kernel size and strides of a convolution; None is a 2x2 pool that halves the map
EXTRACTION: Rows = {                            # the 20 convolutions that are pretrained, at 448 x 448
    "conv_1": (64, 7, 2),                       # (224, 224, 64)
    "pool_1": None,                             # (112, 112, 64)
    "conv_2": (192, 3, 1),                      # (112, 112, 192)
    "pool_2": None,                             # (56, 56, 192)
    "conv_3": (128, 1, 1), "conv_4": (256, 3, 1),
    "conv_5": (256, 1, 1), "conv_6": (512, 3, 1),
    "pool_3": None,                             # (28, 28, 512)
    "conv_7": (256, 1, 1), "conv_8": (512, 3, 1),
    "conv_9": (256, 1, 1), "conv_10": (512, 3, 1),
    "conv_11": (256, 1, 1), "conv_12": (512, 3, 1),
    "conv_13": (256, 1, 1), "conv_14": (512, 3, 1),
    "conv_15": (512, 1, 1), "conv_16": (1024, 3, 1),
    "pool_4": None,                             # (14, 14, 1024)
    "conv_17": (512, 1, 1), "conv_18": (1024, 3, 1),
    "conv_19": (512, 1, 1), "conv_20": (1024, 3, 1),
}
FIGURE_3: Rows = EXTRACTION | {
    "conv_21": (1024, 3, 1),
    "conv_22": (1024, 3, 2),                    # (7, 7, 1024)
    "conv_23": (1024, 3, 1),
    "conv_24": (1024, 3, 1),
}
TINY: Rows = {
    "conv_1": (16, 3, 1), "pool_1": None,       # (224, 224, 16)
    "conv_2": (32, 3, 1), "pool_2": None,       # (112, 112, 32)
    "conv_3": (64, 3, 1), "pool_3": None,       # (56, 56, 64)
    "conv_4": (128, 3, 1), "pool_4": None,      # (28, 28, 128)
    "conv_5": (256, 3, 1), "pool_5": None,      # (14, 14, 256)
    "conv_6": (512, 3, 1), "pool_6": None,      # (7, 7, 512)
    "conv_7": (1024, 3, 1),
}
# fmt: on


class Net(NamedTuple):
    """The layers of a net before its grid."""

    rows: Rows
    dense: dict[str, tuple[int, bool]] = {}  # noqa: RUF012 (units, and whether leaky; nothing changes it)
    local: int = 0  # filters of a locally connected 3x3 layer
    boxes: int = 2
    batch_norm: bool = False


NETS = {
    "paper": Net(FIGURE_3, {"fc_1": (4096, True)}),
    "fast": Net(TINY | {"conv_8": (1024, 3, 1), "conv_9": (1024, 3, 1)}, {"fc_1": (256, False), "fc_2": (4096, True)}),
    "small": Net(FIGURE_3, {"fc_1": (512, True), "fc_2": (4096, True)}),
    "yolov1": Net(FIGURE_3, local=256, boxes=3, batch_norm=True),
    "yolov1-tiny": Net(TINY | {"conv_8": (256, 3, 1)}, batch_norm=True),
}


@checked
def build_yolo_v1(
    input_shape: InputShape = (448, 448, 3),
    *,
    release: str = "paper",
    grid: int = 7,
    boxes: int | None = None,
    classes: ObjectClasses = 20,
    order: str = "darknet",
    name: str = "yolo_v1",
) -> Model:
    """Builds a net of YOLO v1.

    Args:
        input_shape: (height, width, channels), at least 64 pixels.
        release: `"paper"`: figure 3, with 24 convolutions. `"fast"`: Fast YOLO, with 9 convolutions. `"small"`: figure
            3 with a dense layer of 512 before that of 4096. These three are of 2015. `"yolov1"` and `"yolov1-tiny"`
            are darknet's files of these names today, with batch norm and without the layer of 4096.
        grid: Cells along each side of the image, S.
        boxes: Boxes of a cell, B. None for the released number: 3 for `"yolov1"`, else 2.
        classes: Number of classes, C.
        order: The order of the numbers in the output, `"darknet"` or `"cells"`, see `YoloGrid`.
        name: Name of the model.

    Returns:
        A Model. Its output has `grid * grid * (boxes * 5 + classes)` numbers; `detections` makes boxes of them.

    Raises:
        ValueError: If the net cannot take the input shape or an option.

    Examples:
        >>> build_yolo_v1().output_shape
        (None, 1470)
    """
    net = NETS[check_choice("release", release, tuple(NETS))]
    check_choice("order", order, ORDERS)
    x = image = fixed_input(input_shape, min_size=64, net="YOLO")
    x = convolutions(x, net.rows, net.batch_norm)  # (7, 7, 1024)
    if net.local:
        x = LocallyConnected2D(net.local, 3, name="local_25")(x)  # (7, 7, 256)
        x = leaky(x, "local_25")
        x = layers.Dropout(0.5, name="local_25-dropout")(x)
    x = layers.Flatten(name="flatten")(x)  # (50176,)
    for row, (units, is_leaky) in net.dense.items():
        x = layers.Dense(units, name=row)(x)  # (4096,)
        x = leaky(x, row) if is_leaky else x
    if net.dense:
        x = layers.Dropout(0.5, name=f"{row}-dropout")(x)
    return Model(image, predictions(x, grid, boxes or net.boxes, classes, order), name=name)  # (1470,)


@checked
def build_extraction(
    input_shape: InputShape = (224, 224, 3),
    *,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "extraction",
) -> Model:
    """Builds the classifier that YOLO's first 20 convolutions are pretrained as. Darknet calls it Extraction.

    Args:
        input_shape: (height, width, channels), at least 32 pixels; height and width may be None for any size.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Examples:
        >>> build_extraction().output_shape
        (None, 1000)
    """
    x = image = image_input(input_shape, min_size=32)
    x = convolutions(x, EXTRACTION)  # (7, 7, 1024)
    x = layers.GlobalAveragePooling2D(name="pool_5")(x)  # (1024,)
    return Model(image, classifier(x, classes, classifier_activation), name=name)  # (1000,)


def convolutions(x: KerasTensor, rows: Rows, batch_norm: bool = False) -> KerasTensor:
    """The convolutions and pools of a table; each convolution is leaky."""
    for row, sizes in rows.items():
        if sizes is None:
            x = max_pool(x, 2, strides=2, name=row)
            continue
        x = conv(x, *sizes, activation=None, use_bias=not batch_norm, name=row)
        if batch_norm:
            x = bn(x, row, epsilon=1e-5, activation=None)
        x = leaky(x, row)
    return x


def leaky(x: KerasTensor, name: str) -> KerasTensor:
    """X where it is positive, else 0.1 x (equation 2). The shape stays."""
    return layers.LeakyReLU(0.1, name=f"{name}-leaky_relu")(x)


def predictions(x: KerasTensor, grid: int, boxes: int, classes: int, order: str) -> KerasTensor:
    """The grid of a net, in float32 even with mixed precision: (features,) -> (S * S * (B * 5 + C),)."""
    return YoloGrid(grid, boxes, classes, order=order, dtype="float32", name="predictions")(x)

"""YOLO v1 of other nets: its grid, loss and boxes on any backbone, and a small net."""

import keras
from keras import KerasTensor, Model

from ..arguments import InputShape, ObjectClasses, checked
from ..blocks import fixed_input
from ..checks import check_model
from ..feature_maps import ends_of_strides
from ..graph import functional, outputs_of
from .yolo import Rows, convolutions
from .yolo_grid import YoloConvGrid

# fmt: off
MINI: Rows = {                                  # filters, kernel size and strides, at 96 x 96
    "conv_1": (16, 3, 1), "pool_1": None,       # (48, 48, 16)
    "conv_2": (32, 3, 1), "pool_2": None,       # (24, 24, 32)
    "conv_3": (64, 3, 1), "pool_3": None,       # (12, 12, 64)
    "conv_4": (128, 3, 1), "conv_5": (64, 1, 1), "conv_6": (128, 3, 1),
    "pool_4": None,                             # (6, 6, 128)
    "conv_7": (256, 3, 1), "conv_8": (128, 1, 1), "conv_9": (256, 3, 1),
    "conv_10": (128, 3, 1),
}
# fmt: on


@checked
def yolo(
    backbone: keras.Model,
    *,
    boxes: int = 2,
    classes: ObjectClasses = 20,
    name: str | None = None,
) -> Model:
    """Makes a YOLO v1 of a classifier or its trunk.

    The pixels of the last map of the backbone are the cells. A 1x1 convolution gives each its boxes and scores, where
    the paper has dense layers. The loss and the boxes are those of YOLO v1.

    Args:
        backbone: A net of `create_model` for square images of a known size, or another functional model of images.
            Dense layers are left out. Its layers and weights are shared.
        boxes: Boxes of a cell, B.
        classes: Number of classes, C.
        name: Name of the model; by default that of the backbone with `yolo_`.

    Returns:
        A Model whose output has the numbers of all cells, in the order "cells" of `YoloGrid`.

    Raises:
        TypeError: If the backbone is not a Keras model.
        ValueError: If the backbone has no last map, or one that is not a square of known size.

    Examples:
        >>> yolo(create_model("resnet18", include_top=False), classes=3).output_shape
        (None, 637)
    """
    backbone = functional(check_model("backbone", backbone))
    x = outputs_of(backbone, ends_of_strides(backbone)[1][-1:])[0]
    return Model(backbone.inputs[0], predictions(x, boxes, classes), name=name or f"yolo_{backbone.name}")


@checked
def build_yolo_v1_mini(
    input_shape: InputShape = (96, 96, 3),
    *,
    boxes: int = 2,
    classes: ObjectClasses = 20,
    name: str = "yolo_v1_mini",
) -> Model:
    """Builds a YOLO v1 that learns in minutes on a CPU and without pretrained weights.

    It has ten convolutions with batch norm. A cell is a pixel of the last map, 16 pixels of the image, and all cells
    share the weights of a 1x1 convolution. The paper's dense layers need far more images to learn from.

    Args:
        input_shape: (height, width, channels), a square of at least 16 pixels.
        boxes: Boxes of a cell, B.
        classes: Number of classes, C.
        name: Name of the model.

    Returns:
        A Model. With S = 6 at 96 pixels, its output has `S * S * (boxes * 5 + classes)` numbers; `detections` makes
        boxes of them.

    Raises:
        ValueError: If the net cannot take the input shape or an option.

    Examples:
        >>> build_yolo_v1_mini(classes=3).output_shape
        (None, 468)
    """
    image = fixed_input(input_shape, min_size=16, net="YOLO")
    x = convolutions(image, MINI, batch_norm=True)  # (6, 6, 128)
    return Model(image, predictions(x, boxes, classes), name=name)  # (1080,)


def predictions(x: KerasTensor, boxes: int, classes: int) -> KerasTensor:
    """The grid of a map, in float32 even with mixed precision: (S, S, c) -> (S * S * (B * 5 + C),)."""
    return YoloConvGrid(boxes, classes, dtype="float32", name="predictions")(x)

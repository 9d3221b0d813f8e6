"""The output of YOLO: layers that end in a grid, and the order of its numbers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import KerasTensor, initializers, layers, ops

from ..arguments import Shape
from ..checks import check_choice, check_count, got
from ..layers._support import register

ORDERS = ("darknet", "cells")


class Cells(NamedTuple):
    """What the numbers of an output are: S, B, C and their order."""

    grid: int
    boxes: int
    classes: int
    order: str


@register
class YoloGrid(layers.Dense):
    """The last layer of YOLO: grid x grid cells of `boxes` boxes and `classes` scores each, as one vector.

    (n, features) -> (n, grid * grid * (boxes * 5 + classes)), S x S x (B * 5 + C) in the paper. Cells are counted row
    by row from the top left. A box is x, y, sqrt(w), sqrt(h): its centre in shares of its cell, and the square roots
    of its sides in shares of the image. The order of the numbers is one of these:

    - `"darknet"`, as in the authors' code: the scores of all classes of all cells; then the confidences of all boxes of
      all cells; then the boxes.
    - `"cells"`, as in the paper and in most other implementations: cell by cell, for each of its boxes x, y, sqrt(w),
      sqrt(h) and the confidence; then the scores of its classes.

    `reorder` turns numbers in one order into the other.

    Args:
        grid: Cells along each side of the image, S.
        boxes: Boxes of a cell, B.
        classes: Number of classes, C.
        order: The order of the numbers.
        **kwargs: As for `keras.layers.Dense`, without `units`.

    Raises:
        ValueError: If an argument is not valid.

    Examples:
        >>> YoloGrid(7, 2, 20)(keras.Input((4096,))).shape
        (None, 1470)
    """

    family = "inception_keras.detection.yolo_loss"  # the module with the functions of the family

    def __init__(self, grid: int = 7, boxes: int = 2, classes: int = 20, *, order: str = "darknet", **kwargs: Any):
        self.grid, self.boxes, self.classes = (
            check_count(label, value) for label, value in (("grid", grid), ("boxes", boxes), ("classes", classes))
        )
        self.order = check_choice("order", order, ORDERS)
        super().__init__(grid * grid * (boxes * 5 + classes), **kwargs)

    @property
    def places(self) -> np.ndarray | None:
        """For each output, its index in the order "darknet"; None if that is the order of the layer."""
        return None if self.order == "darknet" else _places(self.grid, self.boxes, self.classes)

    def classes_of(self, outputs: int) -> int | None:
        """The number of classes of a layer with so many outputs and the same cells and boxes; None if there is none."""
        cells = self.grid * self.grid
        classes = outputs // cells - 5 * self.boxes
        return classes if outputs % cells == 0 and classes > 0 else None

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        config = super().get_config()
        del config["units"]
        return config | {"grid": self.grid, "boxes": self.boxes, "classes": self.classes, "order": self.order}


@register
class YoloConvGrid(layers.Conv2D):
    """The last layer of a YOLO whose cells are the pixels of a map and share their weights: a 1x1 convolution.

    (n, grid, grid, c) -> (n, grid * grid * (boxes * 5 + classes)). The numbers are those of a `YoloGrid` with the order
    "cells". A `YoloGrid` reads the whole map for each cell, and needs far more images to learn from. The kernel starts
    with a standard deviation of 0.01, so that outputs start near zero.

    Args:
        boxes: Boxes of a cell, B.
        classes: Number of classes, C.
        **kwargs: As for `keras.layers.Conv2D`, without `filters` and `kernel_size`.

    Raises:
        ValueError: If an argument is not valid, or the map is not a square of known size.

    Examples:
        >>> YoloConvGrid(2, 20)(keras.Input((7, 7, 1024))).shape
        (None, 1470)
    """

    family = YoloGrid.family
    order, places = "cells", None

    def __init__(self, boxes: int = 2, classes: int = 20, **kwargs: Any):
        self.boxes, self.classes = check_count("boxes", boxes), check_count("classes", classes)
        super().__init__(
            boxes * 5 + classes, 1, **({"kernel_initializer": initializers.RandomNormal(0, 0.01)} | kwargs)
        )

    def build(self, input_shape: Shape) -> None:
        """Makes the kernel."""
        self.compute_output_shape(input_shape)
        self.grid = input_shape[1]
        super().build(input_shape)

    @property
    def units(self) -> int:
        """The number of outputs."""
        return self.grid * self.grid * self.filters

    def classes_of(self, outputs: int) -> int | None:
        """The number of classes of a layer with so many filters and the same boxes; None if there is none."""
        return outputs - 5 * self.boxes if outputs > 5 * self.boxes else None

    def call(self, inputs: KerasTensor) -> KerasTensor:
        """(n, grid, grid, c) -> (n, outputs)."""
        return ops.reshape(super().call(inputs), (-1, self.units))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(n, grid, grid, c) -> (n, outputs)."""
        if None in input_shape[1:3] or input_shape[1] != input_shape[2]:
            raise ValueError(f"A grid needs a square map of known size, got {tuple(input_shape[1:3])}.")
        return (input_shape[0], input_shape[1] ** 2 * self.filters)

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        config = super().get_config()
        for name in ("filters", "kernel_size"):
            del config[name]
        return config | {"boxes": self.boxes, "classes": self.classes}


Grid = YoloGrid | YoloConvGrid


def reorder(values: Any, grid: Grid, order: str, axis: int = -1) -> np.ndarray:
    """Puts the numbers of YOLO's output into another order.

    Args:
        values: An array with as many numbers along `axis` as `grid` has outputs, in the order of `grid`: outputs of the
            net, or the kernel or bias of a `YoloGrid`.
        grid: The last layer of the net, which says how many cells, boxes and classes there are.
        order: The order of the result, `"darknet"` or `"cells"`.
        axis: The axis of the outputs.

    Returns:
        An array of the same shape.

    Raises:
        ValueError: If there is no such order, or the axis has another number of outputs.
        TypeError: If `grid` is no grid.

    Examples:
        >>> grid = YoloGrid(1, 1, 2)  # two scores, a confidence and a box
        >>> reorder([0.9, 0.1, 0.8, 0.5, 0.5, 0.7, 0.6], grid, "cells").tolist()
        [0.5, 0.5, 0.7, 0.6, 0.8, 0.9, 0.1]
    """
    cells_of(grid)
    check_choice("order", order, ORDERS)
    array = np.asarray(values)
    if array.ndim == 0 or array.shape[axis] != grid.units:
        raise ValueError(f"values must have {grid.units:,} numbers along axis {axis}, got the shape {array.shape}.")
    if order == grid.order:
        return array
    places = _places(grid.grid, grid.boxes, grid.classes)  # where a number of "cells" stands in "darknet"
    return np.take(array, places if order == "cells" else np.argsort(places), axis=axis)


def _places(grid: int, boxes: int, classes: int) -> np.ndarray:
    """For each number of the order "cells", its index in the order "darknet"."""
    cells = grid * grid
    index = np.arange(cells * (classes + 5 * boxes))
    scores, confidences, corners = np.split(index, [cells * classes, cells * (classes + boxes)])
    of_boxes = np.concatenate(
        [corners.reshape(cells, boxes, 4), confidences.reshape(cells, boxes, 1)], axis=-1
    ).reshape(cells, 5 * boxes)
    return np.concatenate([of_boxes, scores.reshape(cells, classes)], axis=1).ravel()


def cells_of(grid: Any) -> Cells:
    """S, B, C and the order of a layer, or of a dict of them, as a saved layer has."""
    if isinstance(grid, dict):
        return Cells(**grid)
    if not isinstance(grid, (Grid, Cells)):
        raise TypeError(f"grid must be the last layer of a YOLO net, a YoloGrid, got {got(grid)}.")
    return Cells(grid.grid, grid.boxes, grid.classes, grid.order)


def check_size(size: Any) -> tuple[int, int]:
    """Returns `size` as a tuple if it is the height and width of an image; otherwise raises a ValueError."""
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise ValueError(f"size must be the (height, width) of the input in pixels, got {got(size)}.")
    height, width = (check_count("a side in size", side) for side in size)
    return height, width


def parts(values: KerasTensor, grid: Grid | Cells) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
    """The scores (n, cells, C), confidences (n, cells, B) and boxes (n, cells, B, 4) in the output of a net."""
    cells, boxes, classes = grid.grid * grid.grid, grid.boxes, grid.classes
    values = ops.cast(values, "float32")
    if grid.order == "cells":
        values = ops.reshape(values, (-1, cells, 5 * boxes + classes))
        of_boxes = ops.reshape(values[..., : 5 * boxes], (-1, cells, boxes, 5))
        return values[..., 5 * boxes :], of_boxes[..., 4], of_boxes[..., :4]
    scores, confidences, of_boxes = ops.split(values, [cells * classes, cells * (classes + boxes)], axis=-1)
    shapes: Sequence[tuple[int, ...]] = ((cells, classes), (cells, boxes), (cells, boxes, 4))
    return tuple(
        ops.reshape(part, (-1, *shape)) for part, shape in zip((scores, confidences, of_boxes), shapes, strict=True)
    )

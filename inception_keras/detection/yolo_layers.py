"""The output of YOLO, the boxes in it, and the five terms of its loss."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import KerasTensor, layers, ops

from ..checks import check_choice, check_count, got
from ..layers._support import register

ORDERS = ("darknet", "cells")


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

    def __init__(self, grid: int = 7, boxes: int = 2, classes: int = 20, *, order: str = "darknet", **kwargs: Any):
        self.grid, self.boxes, self.classes = (
            check_count(label, value) for label, value in (("grid", grid), ("boxes", boxes), ("classes", classes))
        )
        self.order = check_choice("order", order, ORDERS)
        super().__init__(grid * grid * (boxes * 5 + classes), **kwargs)

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


def reorder(values: Any, grid: YoloGrid, order: str, axis: int = -1) -> np.ndarray:
    """Puts the numbers of YOLO's output into another order.

    Args:
        values: An array with as many numbers along `axis` as `grid` has outputs, in the order of `grid`: outputs of the
            net, or the kernel or bias of its last layer.
        grid: The last layer of the net, which says how many cells, boxes and classes there are.
        order: The order of the result, `"darknet"` or `"cells"`.
        axis: The axis of the outputs.

    Returns:
        An array of the same shape.

    Raises:
        ValueError: If there is no such order, or the axis has another number of outputs.
        TypeError: If `grid` is not a `YoloGrid`.

    Examples:
        >>> grid = YoloGrid(1, 1, 2)  # two scores, a confidence and a box
        >>> reorder([0.9, 0.1, 0.8, 0.5, 0.5, 0.7, 0.6], grid, "cells").tolist()
        [0.5, 0.5, 0.7, 0.6, 0.8, 0.9, 0.1]
    """
    if not isinstance(grid, YoloGrid):
        raise TypeError(f"grid must be the last layer of a YOLO net, a YoloGrid, got {got(grid)}.")
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


def parts(values: KerasTensor, grid: YoloGrid) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
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

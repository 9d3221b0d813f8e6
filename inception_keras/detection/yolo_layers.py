"""The output of YOLO, the boxes in it, and the five terms of its loss."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import KerasTensor, layers, ops

from ..checks import check_choice, check_count, check_share, got
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
    if not isinstance(grid, (YoloGrid, Cells)):
        raise TypeError(f"grid must be the last layer of a YOLO net, a YoloGrid, got {got(grid)}.")
    return Cells(grid.grid, grid.boxes, grid.classes, grid.order)


def check_size(size: Any) -> tuple[int, int]:
    """Returns `size` as a tuple if it is the height and width of an image; otherwise raises a ValueError."""
    if not isinstance(size, (tuple, list)) or len(size) != 2:
        raise ValueError(f"size must be the (height, width) of the input in pixels, got {got(size)}.")
    height, width = (check_count("a side in size", side) for side in size)
    return height, width


def parts(values: KerasTensor, grid: YoloGrid | Cells) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
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


@register
class YoloDetections(layers.Layer):
    """The objects in the output of a YOLO net: (n, outputs) -> "boxes" (n, most, 4), "classes" and "scores" (n, most).

    The box of the numbers x, y, sqrt(w), sqrt(h) in column `col` has its centre at (col + x) / grid and the width w,
    in shares of the image's width; rows and heights are alike. Its score for a class is its confidence times the score
    of its cell for this class. A box may be found for several classes. Non-maximum suppression goes class by class.
    Boxes are clipped to the image after it.

    Args:
        grid: The last layer of the net.
        size: Height and width of the net's input in pixels.
        score_threshold: Objects with a higher score than this are found. Darknet shows those above 0.2, and measures
            with 0.001.
        iou_threshold: Of two boxes of a class with a larger IoU than this, the better one is kept. Darknet shows with
            0.4, and measures with 0.5.
        most: Largest number of objects of an image.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is not valid.

    Examples:
        >>> found = YoloDetections(YoloGrid(7, 2, 20), (448, 448))(keras.Input((1470,)))
        >>> found["boxes"].shape, found["classes"].dtype
        ((None, 100, 4), 'int32')
    """

    def __init__(
        self,
        grid: YoloGrid,
        size: Sequence[int],
        *,
        score_threshold: float = 0.2,
        iou_threshold: float = 0.4,
        most: int = 100,
        **kwargs: Any,
    ):
        super().__init__(**(kwargs | {"dtype": "float32"}))
        self.cells, self.size = cells_of(grid), check_size(size)
        self.score_threshold = check_share("score_threshold", score_threshold)
        self.iou_threshold = check_share("iou_threshold", iou_threshold)
        self.most = check_count("most", most)
        self.supports_jit = False  # XLA has no non-maximum suppression

    def call(self, inputs: KerasTensor, training: bool | None = None) -> dict[str, KerasTensor]:
        """(n, outputs) -> boxes, classes and scores. In training there are none, which saves time."""
        import tensorflow as tf

        count = tf.shape(inputs)[0]
        if training:
            fills = {"boxes": ((4,), 0.0), "classes": ((), -1), "scores": ((), 0.0)}
            return {name: tf.fill((count, self.most, *shape), value) for name, (shape, value) in fills.items()}
        scores, confidences, boxes = parts(inputs, self.cells)
        corners = tf.reshape(self._corners(boxes), (count, -1, 1, 4))
        scores = tf.reshape(confidences[..., None] * scores[:, :, None], (count, -1, self.cells.classes))
        boxes, scores, classes, found = tf.image.combined_non_max_suppression(
            corners, scores, self.most, self.most, self.iou_threshold, self.score_threshold, clip_boxes=False
        )
        is_real = tf.range(self.most) < found[:, None]
        height, width = self.size
        boxes = tf.clip_by_value(boxes, 0.0, tf.constant([height, width, height, width], tf.float32))
        return {
            "boxes": tf.where(is_real[..., None], tf.gather(boxes, [1, 0, 3, 2], axis=-1), 0.0),
            "classes": tf.where(is_real, tf.cast(classes, tf.int32), -1),
            "scores": tf.where(is_real, scores, 0.0),
        }

    def _corners(self, boxes: KerasTensor) -> KerasTensor:
        """The corners y1, x1, y2, x2 of boxes (n, cells, B, 4) in pixels."""
        side = self.cells.grid
        rows, columns = np.divmod(np.arange(side * side, dtype="float32")[:, None], np.float32(side))
        height, width = self.size
        x, y = (columns + boxes[..., 0]) / side * width, (rows + boxes[..., 1]) / side * height
        half_w, half_h = (boxes[..., i] ** 2 * pixels / 2 for i, pixels in ((2, width), (3, height)))
        return ops.stack([y - half_h, x - half_w, y + half_h, x + half_w], axis=-1)

    def compute_output_spec(self, inputs: KerasTensor, training: bool | None = None) -> dict[str, KerasTensor]:
        """The shapes and types of the outputs."""
        shape = (inputs.shape[0], self.most)
        kinds = {"boxes": ((4,), "float32"), "classes": ((), "int32"), "scores": ((), "float32")}
        return {name: KerasTensor((*shape, *rest), dtype) for name, (rest, dtype) in kinds.items()}

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        own = {"score_threshold": self.score_threshold, "iou_threshold": self.iou_threshold, "most": self.most}
        return super().get_config() | {"grid": self.cells._asdict(), "size": self.size} | own

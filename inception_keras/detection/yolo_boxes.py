"""The boxes in the output of YOLO."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import KerasTensor, layers, ops

from ..checks import check_count, check_share
from ..layers._support import register
from .yolo_grid import Grid, cells_of, check_size, parts


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
        >>> from inception_keras.detection.yolo_grid import YoloGrid
        >>> found = YoloDetections(YoloGrid(7, 2, 20), (448, 448))(keras.Input((1470,)))
        >>> found["boxes"].shape, found["classes"].dtype
        ((None, 100, 4), 'int32')
    """

    def __init__(
        self,
        grid: Grid,
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

"""Functions on boxes: areas, overlaps, offsets between boxes, and non-maximum suppression.

A box is x1, y1, x2, y2 in pixels, where x = 0 is the left edge of the first pixel. Boxes are the last axis of an array
of any other axes, (..., 4), or (n, 4) where only that makes sense; n may be 0. Arrays of NumPy, lists and tensors are
taken, and computed with in float32. Every function can be called on its own and within a graph of TensorFlow.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from ..checks import check_count, check_number, check_share, got

Array = Any  # a tensor, or what TensorFlow makes one of: an array of NumPy, nested lists
MAX_LOG = math.log(1000 / 16)  # the largest log of a ratio of sizes that torchvision and Detectron decode
UNIT_WEIGHTS = (1.0, 1.0, 1.0, 1.0)


def area(boxes: Array, *, extra: float = 0.0) -> tf.Tensor:
    """The areas of boxes in square pixels: (..., 4) -> (...).

    Args:
        boxes: (..., 4).
        extra: Pixels that are added to each width and height. The code of Pascal VOC and of R-CNN to Faster R-CNN takes
            x2 as the index of the last pixel, so that a box is x2 - x1 + 1 pixels wide: this is `extra=1`.

    Raises:
        ValueError: If the last axis of `boxes` does not have four numbers.

    Examples:
        >>> area([[0, 0, 3, 2]]).numpy(), area([[0, 0, 3, 2]], extra=1).numpy()
        (array([6.], dtype=float32), array([12.], dtype=float32))
    """
    x1, y1, x2, y2 = tf.unstack(as_boxes("boxes", boxes), axis=-1)
    return (x2 - x1 + extra) * (y2 - y1 + extra)


def iou(boxes: Array, others: Array, *, extra: float = 0.0) -> tf.Tensor:
    """Intersection over union of each box with each of the others: (..., n, 4), (..., m, 4) -> (..., n, m).

    A box without area has the IoU 0 with every box.

    Args:
        boxes: (..., n, 4).
        others: (..., m, 4).
        extra: Pixels that are added to each width and height, see `area`. Boxes that touch overlap if it is 1.

    Returns:
        float32 (..., n, m), from 0 to 1.

    Raises:
        ValueError: If the last axis of `boxes` or `others` does not have four numbers.

    Examples:
        >>> iou([[0, 0, 2, 2]], [[0, 0, 2, 2], [1, 0, 3, 2], [2, 0, 4, 2]]).numpy().round(3).tolist()
        [[1.0, 0.3330000042915344, 0.0]]
    """
    a, b = as_boxes("boxes", boxes), as_boxes("others", others)
    sides = tf.minimum(a[..., :, None, 2:], b[..., None, :, 2:]) - tf.maximum(a[..., :, None, :2], b[..., None, :, :2])
    sides = tf.maximum(sides + extra, 0.0)
    inside = sides[..., 0] * sides[..., 1]
    union = area(a, extra=extra)[..., :, None] + area(b, extra=extra)[..., None, :] - inside
    return tf.math.divide_no_nan(inside, union)


def clip(boxes: Array, size: Sequence[int] | tf.Tensor, *, extra: float = 0.0) -> tf.Tensor:
    """Moves the corners of boxes that are outside the image to its edge: (..., 4) -> (..., 4).

    Args:
        boxes: (..., 4).
        size: (height, width) of the image in pixels.
        extra: 1 for boxes whose x2 is the index of the last pixel, so that x2 is at most width - 1.

    Raises:
        ValueError: If the last axis of `boxes` does not have four numbers.

    Examples:
        >>> clip([[-5, 10, 700, 500]], size=(480, 640)).numpy().tolist()
        [[0.0, 10.0, 640.0, 480.0]]
    """
    height, width = tf.unstack(tf.cast(size, tf.float32), 2)
    return tf.clip_by_value(as_boxes("boxes", boxes), 0.0, tf.stack([width, height, width, height]) - extra)


def encode(boxes: Array, anchors: Array, weights: Sequence[float] = UNIT_WEIGHTS, *, extra: float = 0.0) -> tf.Tensor:
    """The offsets that move anchors to boxes: (..., 4), (..., 4) -> (..., 4).

    Offsets are dx = (x - xa) / wa, dy = (y - ya) / ha, dw = log(w / wa) and dh = log(h / ha), of centres and sizes,
    each multiplied by its weight.

    Args:
        boxes: (..., 4), the boxes to move to.
        anchors: (..., 4), the boxes to move. Other axes than the last are broadcast.
        weights: Of dx, dy, dw and dh. Faster R-CNN's head has (10, 10, 5, 5), that is, it divides by the standard
            deviations (0.1, 0.1, 0.2, 0.2).
        extra: Pixels that are added to each width and height: 1 in py-faster-rcnn, 1e-14 in Fast R-CNN's code.

    Returns:
        float32 (..., 4). Offsets to or from a box without width or height are infinite or not a number.

    Raises:
        ValueError: If boxes or anchors do not have four numbers, or `weights` are not four numbers above 0.

    Reference:
        Girshick et al., arXiv:1311.2524, appendix C.

    Examples:
        >>> encode([[20, 20, 40, 60]], [[10, 10, 50, 50]]).numpy().round(4).tolist()
        [[0.0, 0.25, -0.6930999755859375, 0.0]]
    """
    centres, sizes = _centres(as_boxes("boxes", boxes), extra)
    origins, scales = _centres(as_boxes("anchors", anchors), extra)
    offsets = tf.concat([(centres - origins) / scales, tf.math.log(sizes / scales)], -1)
    return offsets * _weights(weights)


def decode(
    offsets: Array,
    anchors: Array,
    weights: Sequence[float] = UNIT_WEIGHTS,
    *,
    extra: float = 0.0,
    max_log: float | None = MAX_LOG,
) -> tf.Tensor:
    """The boxes that offsets move anchors to, the inverse of `encode`: (..., 4), (..., 4) -> (..., 4).

    Args:
        offsets: (..., 4), as a net predicts them.
        anchors: (..., 4). Other axes than the last are broadcast.
        weights: Of dx, dy, dw and dh, by which the offsets are divided.
        extra: Pixels that are added to the width and height of an anchor, as in `encode`. As in py-faster-rcnn they
            are not taken off again: with `extra=1`, x2 and y2 are one more than those of the box that was encoded.
        max_log: The largest dw and dh, so that a new net gives no infinite boxes; None for no limit, as in the code of
            R-CNN to Faster R-CNN. The default is torchvision's, log(1000 / 16).

    Returns:
        float32 (..., 4). Boxes may reach beyond the image.

    Raises:
        ValueError: If offsets or anchors do not have four numbers, or `weights` are not four numbers above 0.

    Examples:
        >>> decode([[0, 0.25, np.log(0.5), 0]], [[10, 10, 50, 50]]).numpy().round(3).tolist()
        [[20.0, 20.0, 40.0, 60.0]]
    """
    offsets = as_boxes("offsets", offsets) / _weights(weights)
    origins, scales = _centres(as_boxes("anchors", anchors), extra)
    logs = offsets[..., 2:] if max_log is None else tf.minimum(offsets[..., 2:], max_log)
    centres, halves = offsets[..., :2] * scales + origins, 0.5 * (tf.exp(logs) * scales)
    return tf.concat([centres - halves, centres + halves], -1)


def nms(
    boxes: Array, scores: Array, threshold: float, *, max_boxes: int | None = None, extra: float = 0.0
) -> tf.Tensor:
    """Greedy non-maximum suppression: the indices of boxes that overlap no better box too much.

    The box of the highest score is kept, and every box with which it has an IoU above the threshold is dropped; then
    the same with the best of the rest. Of boxes with equal scores, the first is the better one. Results are those of
    `torchvision.ops.nms`.

    Args:
        boxes: (n, 4).
        scores: (n,). A score that is not a number or minus infinity drops the box.
        threshold: IoU from 0 to 1. A box whose IoU equals it is kept.
        max_boxes: The largest number of boxes to keep; None for any number.
        extra: Pixels that are added to each width and height, see `area`.

    Returns:
        int32 (kept,): indices, the best box first.

    Raises:
        ValueError: If boxes, scores, `threshold` or `max_boxes` do not fit.

    Examples:
        >>> nms([[0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10]], [0.8, 0.9, 0.7], threshold=0.5).numpy()
        array([1, 2], dtype=int32)
    """
    boxes, scores = _scored(boxes, scores)
    threshold = check_share("threshold", threshold)
    count = tf.shape(scores)[0] if max_boxes is None else check_count("max_boxes", max_boxes)
    # torchvision compares a float32 with a float64; no float32 lies between the threshold and this one
    limit = np.float32(threshold)
    limit = limit if float(limit) <= threshold else np.nextafter(limit, np.float32(0))
    if extra:
        boxes = boxes + tf.constant([0, 0, extra, extra], tf.float32)
    return tf.image.non_max_suppression(boxes, scores, count, limit)


def batched_nms(
    boxes: Array,
    scores: Array,
    groups: Array,
    threshold: float,
    *,
    max_boxes: int | None = None,
    extra: float = 0.0,
) -> tf.Tensor:
    """Non-maximum suppression in each group on its own, such as each class or each level of a pyramid.

    Args:
        boxes: (n, 4).
        scores: (n,).
        groups: (n,), ints. Boxes of different groups do not suppress each other.
        threshold: IoU from 0 to 1. A box whose IoU equals it is kept.
        max_boxes: The largest number of boxes to keep of all groups together; None for any number.
        extra: Pixels that are added to each width and height, see `area`.

    Returns:
        int32 (kept,): indices, the best box of all groups first.

    Raises:
        ValueError: If boxes, scores, groups, `threshold` or `max_boxes` do not fit.

    Examples:
        >>> boxes = [[0, 0, 10, 10], [1, 0, 11, 10], [1, 0, 11, 10]]
        >>> batched_nms(boxes, [0.8, 0.9, 0.7], groups=[3, 3, 5], threshold=0.5).numpy()
        array([1, 2], dtype=int32)
    """
    boxes, scores = _scored(boxes, scores)
    groups = tf.convert_to_tensor(groups)
    if groups.shape.rank != 1 or not (groups.dtype.is_integer or groups.shape[0] == 0):
        raise ValueError(f"groups must be ints (n,), got {groups.dtype.name} {tuple(groups.shape)}.")
    if max_boxes is not None:
        check_count("max_boxes", max_boxes)
    groups = tf.cast(groups, tf.int64)
    present = tf.unique(groups)[0]

    def add_group(number: tf.Tensor, kept: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        members = tf.where(groups == present[number])[:, 0]
        best = nms(tf.gather(boxes, members), tf.gather(scores, members), threshold, max_boxes=max_boxes, extra=extra)
        added = tf.gather(members, best)[:, None]
        return number + 1, tf.tensor_scatter_nd_update(kept, added, tf.ones_like(added[:, 0], tf.bool))

    start = (tf.constant(0), tf.zeros_like(scores, tf.bool))
    _, kept = tf.while_loop(lambda number, kept: number < tf.size(present), add_group, start)
    indices = tf.where(kept)[:, 0]
    order = tf.argsort(tf.gather(scores, indices), direction="DESCENDING", stable=True)[:max_boxes]
    return tf.cast(tf.gather(indices, order), tf.int32)


def smooth_l1(predictions: Array, targets: Array, beta: float = 1.0) -> tf.Tensor:
    """The smooth L1 loss of each element: d² / (2 beta) where |d| < beta, and |d| - beta / 2 elsewhere.

    Args:
        predictions: An array of any shape.
        targets: An array of a shape that fits.
        beta: Where the parabola ends and the line begins. Fast R-CNN's loss has 1, the region proposal network 1 / 9,
            which their code writes as sigma 3: beta is 1 / sigma². 0 gives |d|.

    Returns:
        float32: the loss of each element.

    Raises:
        ValueError: If `beta` is not a number of at least 0.

    Reference:
        Girshick, arXiv:1504.08083, equation 3.

    Examples:
        >>> smooth_l1([0.0, 0.5, 2.0], [0.0, 0.0, 0.0]).numpy()
        array([0.   , 0.125, 1.5  ], dtype=float32)
    """
    beta = check_number("beta", beta, least=0)
    distance = tf.abs(_float(predictions) - _float(targets))
    if not beta:
        return distance
    return tf.where(distance < beta, 0.5 * distance**2 / beta, distance - 0.5 * beta)


def as_boxes(label: str, boxes: Array) -> tf.Tensor:
    """Boxes as a float32 tensor; a ValueError if their last axis does not have four numbers."""
    boxes = _float(boxes)
    if boxes.shape.rank in (None, 0) or boxes.shape[-1] != 4:
        raise ValueError(f"{label} must have the shape (..., 4), got {tuple(boxes.shape)}.")
    return boxes


def _float(values: Array) -> tf.Tensor:
    return tf.cast(tf.convert_to_tensor(values), tf.float32)


def _centres(boxes: tf.Tensor, extra: float) -> tuple[tf.Tensor, tf.Tensor]:
    """The centres (..., 2) and the widths and heights (..., 2)."""
    sizes = boxes[..., 2:] - boxes[..., :2] + extra
    return boxes[..., :2] + 0.5 * sizes, sizes


def _weights(weights: Sequence[float]) -> tf.Tensor:
    values = np.asarray(weights, np.float32)
    if values.shape != (4,) or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError(f"weights must be four numbers above 0, got {got(weights)}.")
    return tf.constant(values)


def _scored(boxes: Array, scores: Array) -> tuple[tf.Tensor, tf.Tensor]:
    boxes, scores = as_boxes("boxes", boxes), _float(scores)
    if boxes.shape.rank != 2 or scores.shape.rank != 1 or not boxes.shape[:1].is_compatible_with(scores.shape):
        shapes = f"{tuple(boxes.shape)} and {tuple(scores.shape)}"
        raise ValueError(f"boxes and scores must have the shapes (n, 4) and (n,), got {shapes}.")
    return boxes, scores

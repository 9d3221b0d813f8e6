"""The loss and the measure of a net that finds objects by box, while it trains.

What a net finds in an image, and what there is, are packed into one array each, as Keras gives a metric one output:
detections (n, most, 6) are x1, y1, x2, y2, the class and the score; objects (n, most, 6) are x1, y1, x2, y2, the class
and whether the object is difficult. Padding has the class -1.
"""

import math
from typing import Any

import keras
import tensorflow as tf

from ..checks import check_count, check_share
from ..detection.boxes import iou
from ..layers._support import register

PACKED = "detections"  # the output of a packed training form that has the detections
_LOGIT = 12.0  # scores are told apart up to this logit, which is a probability of 0.999994


@register
class PackDetections(keras.layers.Layer):
    """Packs a dict of "boxes", "classes" and "scores" into one array, float32 (n, most, 6).

    Examples:
        >>> ones = keras.ops.ones
        >>> found = {"boxes": ones((1, 1, 4)), "classes": ones((1, 1), "int32"), "scores": ones((1, 1)) / 2}
        >>> PackDetections()(found).numpy().tolist()
        [[[1.0, 1.0, 1.0, 1.0, 1.0, 0.5]]]
    """

    def call(self, found: dict[str, Any]) -> Any:
        """Of the shape (n, most, 6)."""
        boxes, classes, scores = (keras.ops.cast(found[name], "float32") for name in ("boxes", "classes", "scores"))
        return keras.ops.concatenate([boxes, classes[..., None], scores[..., None]], axis=-1)

    def compute_output_shape(self, shapes: dict[str, tuple]) -> tuple:
        """The shape (n, most, 6)."""
        return (*shapes["boxes"][:-1], 6)


@register
class Term(keras.losses.Loss):
    """The mean over images of an output that is a term of the loss itself, (n,). What it is compared with is ignored.

    Args:
        name: Name of the loss.

    Examples:
        >>> float(Term()([0.0, 0.0], [1.0, 2.0]))
        1.5
    """

    def __init__(self, name: str = "term"):
        super().__init__(name=name)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The term of each image."""
        return y_pred

    def get_config(self) -> dict:
        """The arguments that `from_config` needs."""
        return {"name": self.name}


@register
class MeanTerm(keras.metrics.Mean):
    """The mean of a term of the loss over all images so far.

    Args:
        name: Name of the metric.
        dtype: As for `keras.metrics.Metric`.

    Examples:
        >>> float(MeanTerm()([0.0, 0.0], [1.0, 2.0]))
        1.5
    """

    def __init__(self, name: str = "mean", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)
        self._direction = "down"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of terms (n,)."""
        super().update_state(y_pred)


@register
class MeanAveragePrecision(keras.metrics.Metric):
    """Mean average precision by VOC's rule with all points, as `voc_average_precision`, of all images so far.

    Which detections are hits is decided exactly. Their scores are sorted into bins, whose counts are whole numbers, so
    that no batch size and no number of devices changes the result. Detections in one bin count as of equal score: this
    is all that differs from the exact measure. Bins are equally wide in the logit of the score.

    Args:
        classes: Number of classes.
        threshold: An IoU from 0 to 1, which a hit must exceed.
        bins: Number of bins of the scores, at least 100.
        name: Name of the metric.
        dtype: As for `keras.metrics.Metric`.

    Raises:
        ValueError: If an argument is not valid.

    Examples:
        >>> metric = MeanAveragePrecision(classes=2)
        >>> truth = [[[0, 0, 10, 10, 1, 0], [20, 20, 40, 40, 1, 0]]]
        >>> float(metric(truth, [[[0, 0, 10, 9, 1, 0.9], [50, 50, 60, 60, 1, 0.3]]]))
        0.5
    """

    def __init__(self, classes: int, threshold: float = 0.5, bins: int = 2000, name: str = "map_50", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)
        self.classes, self.bins = check_count("classes", classes), check_count("bins", bins, least=100)
        self.threshold = check_share("threshold", threshold)
        self.hits = self.add_variable((classes, bins), "zeros", dtype="int64", name="hits")
        self.misses = self.add_variable((classes, bins), "zeros", dtype="int64", name="misses")
        self.objects = self.add_variable((classes,), "zeros", dtype="int64", name="objects")
        self._direction = "up"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of objects (n, most, 6) and detections (n, most, 6). Weights are ignored."""
        truth, found = (tf.cast(tf.convert_to_tensor(values), tf.float32) for values in (y_true, y_pred))
        hits, misses = matched(truth, found, self.threshold)
        label, score = tf.cast(found[..., 4], tf.int32), found[..., 5]
        # the logit; scores are from 0 to 1, and those of other nets are clipped
        logit = tf.math.log(tf.clip_by_value(score, 1e-30, 1.0)) - tf.math.log(tf.clip_by_value(1 - score, 1e-30, 1.0))
        place = tf.cast(tf.floor((logit / _LOGIT + 1) / 2 * self.bins), tf.int32)
        cell = label * self.bins + tf.clip_by_value(place, 0, self.bins - 1)
        for counts, chosen in ((self.hits, hits), (self.misses, misses)):
            counts.assign_add(tf.reshape(_counted(cell, chosen, self.classes * self.bins), (self.classes, self.bins)))
        there = (truth[..., 4] >= 0) & (truth[..., 5] == 0)
        self.objects.assign_add(_counted(tf.cast(truth[..., 4], tf.int32), there, self.classes))

    def result(self) -> Any:
        """The mean over the classes that have objects; NaN if none has."""
        # from the best bin on
        hits, misses = (
            tf.cast(tf.cumsum(v, axis=1, reverse=True)[:, ::-1], tf.float64) for v in (self.hits, self.misses)
        )
        objects = tf.cast(tf.convert_to_tensor(self.objects), tf.float64)
        precision = tf.math.divide_no_nan(hits, hits + misses)
        step = 1
        while step < self.bins:  # the largest precision at this or a later bin, in doubled steps
            later = tf.pad(precision[:, step:], ((0, 0), (0, step)))
            precision, step = tf.maximum(precision, later), 2 * step
        gained = tf.math.divide_no_nan(hits - tf.pad(hits[:, :-1], ((0, 0), (1, 0))), objects[:, None])
        areas = tf.reduce_sum(gained * precision, axis=1)
        classes = tf.reduce_sum(tf.cast(objects > 0, tf.float64))
        mean = tf.reduce_sum(tf.where(objects > 0, areas, 0.0)) / classes
        return tf.cast(tf.where(classes > 0, mean, tf.constant(math.nan, tf.float64)), self.dtype)

    def get_config(self) -> dict:
        """The arguments that `from_config` needs."""
        own = {"classes": self.classes, "threshold": self.threshold, "bins": self.bins}
        return super().get_config() | own


def matched(truth: tf.Tensor, found: tf.Tensor, threshold: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Which detections are hits and which are false by VOC's rule; those of difficult objects are neither.

    Args:
        truth: Objects, float32 (n, k, 6).
        found: Detections, float32 (n, m, 6), in any order.
        threshold: An IoU that a hit must exceed.

    Returns:
        Two tensors of bool (n, m).
    """
    truth = tf.pad(truth, ((0, 0), (0, 1), (0, 0)), constant_values=-1.0)  # so that there is one to look at
    order = tf.argsort(found[..., 5], axis=1, direction="DESCENDING", stable=True)
    best_first = tf.gather(found, order, axis=1, batch_dims=1)
    same = best_first[:, :, None, 4] == truth[:, None, :, 4]
    overlaps = tf.where(same, iou(best_first[..., :4], truth[..., :4]), -1.0)
    nearest = tf.argmax(overlaps, axis=2)
    real = best_first[..., 4] >= 0
    enough = real & (tf.reduce_max(overlaps, axis=2) > threshold)
    taken = tf.one_hot(nearest, tf.shape(truth)[1]) * tf.cast(enough, tf.float32)[..., None]
    earlier = tf.reduce_sum(tf.cumsum(taken, axis=1, exclusive=True) * taken, axis=2) > 0
    difficult = enough & (tf.gather(truth[..., 5], nearest, axis=1, batch_dims=1) > 0)
    hits = enough & ~earlier & ~difficult
    back = tf.argsort(order, axis=1)
    return tuple(tf.gather(mask, back, axis=1, batch_dims=1) for mask in (hits, real & ~hits & ~difficult))


def _counted(cells: tf.Tensor, chosen: tf.Tensor, count: int) -> tf.Tensor:
    """How many of the chosen entries are in each cell, int64 (count,)."""
    cells = tf.reshape(tf.where(chosen, cells, count), (-1,))
    return tf.math.unsorted_segment_sum(tf.ones_like(cells, tf.int64), cells, count + 1)[:count]

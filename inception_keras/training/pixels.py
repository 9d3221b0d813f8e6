"""Cross-entropy and the measures of a net that scores every pixel. Pixels of the value 255 are void: they do not count.

The four measures are those of Long, Shelhamer and Darrell, "Fully Convolutional Networks for Semantic Segmentation",
2015, arXiv:1411.4038, section 5. Their rules for absent classes are those of the authors' released code.
"""

from typing import Any

import keras
from keras import ops

from ..checks import check_bool, check_choice, check_count
from ..data.mask_file import VOID
from ..layers._support import register

FIGURES = ("pixel_accuracy", "mean_accuracy", "mean_iou", "frequency_weighted_iou")


@register
class PixelCrossEntropy(keras.losses.Loss):
    """The mean cross-entropy of all pixels of a batch that are not void; 0 if there are none.

    Masks are class indices (n, h, w), scores are logits (n, h, w, classes). Weights of pixels, (n, h, w), multiply
    their losses; the sum is divided by the number of pixels, not by the sum of the weights.

    Args:
        summed: Sums the pixels of each image, and takes the mean over images, as the authors of FCN trained.
        name: Name of the loss.

    Examples:
        >>> scores = keras.ops.zeros((1, 1, 3, 2))
        >>> [round(float(PixelCrossEntropy(summed)([[[0, 1, 255]]], scores)), 4) for summed in (False, True)]
        [0.6931, 1.3863]
    """

    def __init__(self, summed: bool = False, name: str = "cross_entropy"):
        super().__init__(name=name)
        self.summed = check_bool("summed", summed)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Losses (n, h, w) whose mean over all places, also the void ones, is the loss of the batch."""
        losses = pixel_losses(y_true, y_pred)
        size = ops.cast(ops.size(losses), "float32")
        return losses * (size / ops.maximum(self.count(y_true), 1.0))

    def count(self, y_true: Any) -> Any:
        """What the loss is a mean over: the number of pixels that are not void, or of images. `Steps` weighs by it."""
        y_true = ops.cast(y_true, "int32")
        if self.summed:
            return ops.cast(ops.shape(y_true)[0], "float32")
        return ops.sum(ops.cast(ops.not_equal(y_true, VOID), "float32"))

    def get_config(self) -> dict:
        """The arguments that `from_config` needs."""
        return {"summed": self.summed, "name": self.name}


def pixel_losses(y_true: Any, y_pred: Any) -> Any:
    """The cross-entropy of each pixel, float32 (n, h, w); 0 for void."""
    y_true = ops.cast(y_true, "int32")
    counts = ops.not_equal(y_true, VOID)
    losses = keras.losses.sparse_categorical_crossentropy(
        ops.where(counts, y_true, 0), ops.cast(y_pred, "float32"), from_logits=True
    )
    return ops.where(counts, losses, 0.0)


@register
class MeanPixelCrossEntropy(keras.metrics.Mean):
    """The mean cross-entropy of all pixels so far that are not void.

    Args:
        name: Name of the metric.
        dtype: As for `keras.metrics.Metric`.

    Examples:
        >>> metric = MeanPixelCrossEntropy()
        >>> round(float(metric([[[0, 1, 255]]], keras.ops.zeros((1, 1, 3, 2)))), 4)
        0.6931
    """

    def __init__(self, name: str = "cross_entropy", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)
        self._direction = "down"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of masks (n, h, w) and scores (n, h, w, classes). Weights are ignored."""
        count = PixelCrossEntropy().count(y_true)
        mean = ops.sum(pixel_losses(y_true, y_pred)) / ops.maximum(count, 1.0)
        super().update_state(mean, sample_weight=count)


@register
class PixelMetric(keras.metrics.Metric):
    """One of the four measures of FCN's paper, from a confusion matrix of all pixels so far that are not void.

    The matrix has whole numbers, so that no batch size and no number of devices changes the result.

    Args:
        figure: `"pixel_accuracy"`, `"mean_accuracy"`, `"mean_iou"` or `"frequency_weighted_iou"`.
        classes: Number of classes.
        name: Name of the metric; by default, `figure`.
        dtype: As for `keras.metrics.Metric`.

    Raises:
        ValueError: If there is no such measure, or fewer than 1 or more than 255 classes.

    Examples:
        >>> metric = PixelMetric("mean_iou", classes=2)
        >>> float(metric([[[0, 1, 255]]], [[[[2.0, 1.0], [2.0, 1.0], [2.0, 1.0]]]]))
        0.25
    """

    def __init__(self, figure: str, classes: int, name: str | None = None, dtype: Any = None):
        super().__init__(name=name or check_choice("figure", figure, FIGURES), dtype=dtype)
        self.figure, self.classes = check_choice("figure", figure, FIGURES), check_count("classes", classes, most=VOID)
        # float32 would lose pixels from 16.7 million on
        self.matrix = self.add_variable((classes, classes), "zeros", dtype="int64", name="matrix")
        self._direction = "up"

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Adds a batch of masks (n, h, w) and scores (n, h, w, classes). Weights are ignored."""
        # all four metrics of a model count the same pixels; TensorFlow's graphs do this only once
        self.matrix.assign_add(confusion(y_true, ops.argmax(ops.convert_to_tensor(y_pred), axis=-1), self.classes))

    def result(self) -> Any:
        """The measure; NaN if there was no pixel that is not void."""
        return ops.cast(figures(self.matrix)[self.figure], self.dtype)

    def get_config(self) -> dict:
        """The arguments that `from_config` needs."""
        return super().get_config() | {"figure": self.figure, "classes": self.classes}


def confusion(truth: Any, guess: Any, classes: int) -> Any:
    """Counts pixels by their true class (rows) and their predicted class (columns): int64 (classes, classes).

    Args:
        truth: Class indices of any shape; void is not counted.
        guess: Class indices of the same shape.
        classes: Number of classes.
    """
    truth, guess = (ops.reshape(ops.cast(indices, "int32"), (-1,)) for indices in (truth, guess))
    cells = ops.where(ops.equal(truth, VOID), classes**2, truth * classes + guess)  # the last cell collects void
    counts = ops.segment_sum(ops.ones_like(cells), cells, classes**2 + 1)
    return ops.cast(ops.reshape(counts[:-1], (classes, classes)), "int64")


def figures(matrix: Any) -> dict[str, Any]:
    """The measures of a confusion matrix.

    Returns:
        The four `FIGURES`, and `"iou"` and `"accuracy"` of each class, float64 (classes,). A class without true pixels
        has the accuracy NaN, and is left out of the mean. Its IoU is 0 if it was predicted, and NaN otherwise.
    """
    matrix = ops.cast(matrix, "float64")
    hits, true, guessed = ops.diagonal(matrix), ops.sum(matrix, 1), ops.sum(matrix, 0)
    accuracy, iou, share = hits / true, hits / (true + guessed - hits), true / ops.sum(true)
    return {
        "pixel_accuracy": ops.sum(hits) / ops.sum(true),
        "mean_accuracy": _mean(accuracy),
        "mean_iou": _mean(iou),
        "frequency_weighted_iou": ops.sum(ops.where(true > 0, share * iou, share)),
        "iou": iou,
        "accuracy": accuracy,
    }


def _mean(values: Any) -> Any:
    """The mean of the values that are not NaN."""
    there = ops.logical_not(ops.isnan(values))
    return ops.sum(ops.where(there, values, 0.0)) / ops.sum(ops.cast(there, values.dtype))

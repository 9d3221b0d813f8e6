"""Cross-entropy and accuracy of a classifier, for every form of labels that data sets have."""

from typing import Any

import keras
from keras import KerasTensor, ops

from ..layers._support import register, tensorflow


@register
class CrossEntropy(keras.losses.Loss):
    """Combines Keras's two categorical cross-entropies: labels may be class indices or shares of each class.

    Args:
        from_logits: Whether the scores are logits. Otherwise they are probabilities.
        label_smoothing: Share of each label that is spread evenly over all classes.
        **kwargs: As for `keras.losses.Loss`.

    Examples:
        >>> loss = CrossEntropy(from_logits=False)
        >>> scores = keras.ops.array([[0.5, 0.25, 0.25]])
        >>> [round(float(loss(labels, scores)), 4) for labels in ([0], [[0]], [[1, 0, 0]])]
        [0.6931, 0.6931, 0.6931]
    """

    def __init__(self, from_logits: bool, label_smoothing: float = 0.0, name: str = "cross_entropy", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.from_logits, self.label_smoothing = from_logits, label_smoothing

    def __call__(
        self, y_true: KerasTensor, y_pred: KerasTensor, sample_weight: KerasTensor | None = None
    ) -> KerasTensor:
        """The weighted mean over the batch; weights (n, 1) are treated as (n,)."""
        check_numbers(y_true)
        if sample_weight is not None:
            sample_weight = ops.convert_to_tensor(sample_weight)
            if len(y_pred.shape) == 2:  # one weight an image; Keras would broadcast (n, ?) to (n, n)
                sample_weight = ops.reshape(sample_weight, (-1,))
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: KerasTensor, y_pred: KerasTensor) -> KerasTensor:
        """The loss of each image, (n,). Labels are (n,), (n, 1) or (n, classes), scores (n, classes)."""
        y_true, are_shares = labels_for(y_true, y_pred)
        if not are_shares:
            y_true = _checked(y_true, y_pred.shape[-1])
            if not self.label_smoothing:
                return keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=self.from_logits)
            y_true = ops.one_hot(ops.cast(y_true, "int32"), y_pred.shape[-1])
        return keras.losses.categorical_crossentropy(
            y_true, y_pred, from_logits=self.from_logits, label_smoothing=self.label_smoothing
        )

    def get_config(self) -> dict:
        """The arguments that `from_config` needs."""
        return super().get_config() | {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing}


@register
class MeanCrossEntropy(keras.metrics.MeanMetricWrapper):
    """The mean of `CrossEntropy` over all images so far.

    Args:
        from_logits: As for `CrossEntropy`.
        label_smoothing: As for `CrossEntropy`.
        name: Name of the metric.
        dtype: As for `keras.metrics.Metric`.

    Examples:
        >>> metric = MeanCrossEntropy(from_logits=False)
        >>> round(float(metric([0], keras.ops.array([[0.5, 0.25, 0.25]]))), 4)
        0.6931
    """

    def __init__(
        self, from_logits: bool, label_smoothing: float = 0.0, name: str = "cross_entropy", dtype: str | None = None
    ):
        super().__init__(CrossEntropy(from_logits, label_smoothing).call, name=name, dtype=dtype)
        self.from_logits, self.label_smoothing = from_logits, label_smoothing
        self._direction = "down"

    def get_config(self) -> dict:
        """The arguments that `from_config` needs."""
        options = {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing}
        return keras.metrics.Mean.get_config(self) | options


@register
class Accuracy(keras.metrics.MeanMetricWrapper):
    """The share of images whose own class has the highest score.

    If labels are shares of classes, the class with the largest share counts as the image's class.

    Args:
        name: Name of the metric.
        dtype: As for `keras.metrics.Metric`.

    Examples:
        >>> scores = keras.ops.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
        >>> float(Accuracy()([[0], [1]], scores))
        0.5
    """

    def __init__(self, name: str = "accuracy", dtype: str | None = None):
        super().__init__(_hits, name=name, dtype=dtype)
        self._direction = "up"

    def get_config(self) -> dict:
        """The arguments that `from_config` needs."""
        return keras.metrics.Mean.get_config(self)


def _hits(y_true: KerasTensor, y_pred: KerasTensor) -> KerasTensor:
    """1 if the class of an image has the highest score, else 0: (n,). Labels are (n,), (n, 1) or (n, classes)."""
    y_pred = ops.convert_to_tensor(y_pred)
    check_numbers(y_true)
    y_true, are_shares = labels_for(y_true, y_pred)
    y_true = ops.argmax(ops.cast(y_true, "float32"), -1) if are_shares else y_true
    guess = ops.argmax(y_pred, -1)
    return ops.cast(ops.equal(ops.cast(y_true, "float32"), ops.cast(guess, "float32")), "float32")


def check_numbers(labels: object) -> None:
    """Rejects labels that are text.

    Raises:
        ValueError: If the labels are text.
    """
    dtype = getattr(labels, "dtype", None)
    if str(getattr(dtype, "name", dtype)).startswith(("str", "bytes", "object")):
        raise ValueError("Labels must be numbers, got text: replace each class name by its index, from 0 on.")


def labels_for(y_true: KerasTensor, y_pred: KerasTensor) -> tuple[KerasTensor, bool]:
    """Converts labels of any form to one of two forms.

    Args:
        y_true: Class indices (n,) or (n, 1), as integers, floats or booleans, or shares of each class (n, classes). The
            width or the whole shape may be unknown while a graph is built.
        y_pred: Scores (n, classes).

    Returns:
        Indices (n,) and False, or shares (n, classes) and True.

    Raises:
        ValueError: If the shape of the labels does not fit the scores.
    """
    y_true, scores = ops.convert_to_tensor(y_true), tuple(y_pred.shape)
    if getattr(y_true.shape, "rank", 0) is None:  # TensorFlow does not know the shape at all
        rows = ops.shape(y_pred)[0]
        y_true = ops.reshape(y_true, (rows, ops.size(y_true) // ops.maximum(rows, 1)))
        return _resolved(y_true, scores), True
    while len(y_true.shape) >= len(scores) and y_true.shape[-1] == 1:
        y_true = ops.squeeze(y_true, -1)
    shape = tuple(y_true.shape)
    if len(shape) == len(scores) - 1:
        return y_true, False
    if len(shape) == len(scores) and shape[-1] == scores[-1]:
        return y_true, True
    if len(shape) == len(scores) and shape[-1] is None:
        return _resolved(y_true, scores), True
    raise ValueError(
        f"Labels must be class indices (n,) or (n, 1), or shares of each class (n, {scores[-1]}), "
        f"got the shape {shape}."
    )


def _resolved(y_true: KerasTensor, scores: tuple) -> KerasTensor:
    """Converts labels to shares (n, classes) if their width is known only when the graph runs.

    The width is then 1 or the number of classes.
    """
    classes, width = scores[-1], ops.shape(y_true)[-1]
    y_true = ops.cast(y_true, "float32")
    y_true = _when(
        y_true, ops.logical_or(width == 1, width == classes), f"Labels must have the width 1 or {classes}, got:", width
    )
    # both are computed, and one is selected: with a conditional, TensorFlow runs parts of the other branch too
    indices = _checked(ops.where(width == 1, y_true[..., 0], 0.0), classes)
    one_hot = ops.one_hot(ops.cast(indices, "int32"), classes, dtype="float32")
    return ops.where(width == 1, one_hot, ops.broadcast_to(y_true, ops.shape(one_hot)))


def _checked(labels: KerasTensor, classes: int) -> KerasTensor:
    """Class indices, checked to be whole numbers below the number of classes."""
    numbers = ops.cast(labels, "float32")
    right = (numbers >= 0) & (numbers < classes) & (numbers == ops.floor(numbers))
    message = f"Labels must be whole numbers from 0 to {classes - 1}, the classes of the model, got among others:"
    return _when(labels, ops.all(right), message, ops.min(ops.where(right, float("inf"), numbers)))


def _when(x: KerasTensor, condition: KerasTensor, message: str, value: KerasTensor) -> KerasTensor:
    """Returns `x`, but raises an error if the condition fails when the graph runs.

    With XLA and on other backends, the condition is not checked.
    """
    tf = tensorflow()
    if tf is None:
        return x
    check = tf.debugging.Assert(condition, [message, value])
    if check is None:  # eager mode, in which Assert has checked the condition already
        return x
    with tf.control_dependencies([check]):
        return tf.identity(x)

"""The head of Fast and Faster R-CNN: regions drawn for training, their loss, and detections."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from keras import KerasTensor, layers

from ..checks import check_count, check_number, check_share
from ..layers._support import register
from . import boxes as box_ops

WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # of offsets: their standard deviations are taken to be 0.1, 0.1, 0.2 and 0.2


class Float32Layer(layers.Layer):
    """A layer that computes in float32 and takes its inputs as they are."""

    def __init__(self, **kwargs: Any):
        super().__init__(**(kwargs | {"dtype": "float32"}), autocast=False)
        self.supports_jit = False


class _PerClass(layers.Dense):
    """A dense layer with `each` outputs for each class and for background, which comes first."""

    each = 1

    def __init__(self, classes: int, **kwargs: Any):
        self.classes = check_count("classes", classes)
        super().__init__(self.each * (classes + 1), **kwargs)

    def classes_of(self, outputs: int) -> int | None:
        """The number of classes of a layer with so many outputs; None if there is none."""
        return outputs // self.each - 1 if outputs % self.each == 0 and outputs > self.each else None

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        config = super().get_config()
        del config["units"]
        return config | {"classes": self.classes}


@register
class RegionScores(_PerClass):
    """The scores of a region: (n, k, features) -> (n, k, classes + 1), as logits. The first is that of background.

    Args:
        classes: Number of classes, without the background.
        **kwargs: As for `keras.layers.Dense`, without `units`.

    Raises:
        ValueError: If `classes` is not a positive int.

    Examples:
        >>> RegionScores(20)(keras.Input((300, 4096))).shape
        (None, 300, 21)
    """


@register
class RegionOffsets(_PerClass):
    """The offsets of a region, for each class on its own: (n, k, features) -> (n, k, 4 * (classes + 1)).

    The first four are those of background, which are not used.

    Args:
        classes: Number of classes, without the background.
        **kwargs: As for `keras.layers.Dense`, without `units`.

    Raises:
        ValueError: If `classes` is not a positive int.

    Examples:
        >>> RegionOffsets(20)(keras.Input((300, 4096))).shape
        (None, 300, 84)
    """

    each = 4


@register
class RegionLoss(Float32Layer):
    """The loss of a head (equation 1 of Fast R-CNN), two terms for each image.

    - `"class"`: the mean cross-entropy of the regions that are drawn.
    - `"box"`: the smooth L1 loss of the offsets of the true class, summed over four offsets and all regions of
      foreground, and divided by the number of drawn regions. A head without offsets has no such term.

    [logits (n, k, classes + 1), labels (n, k)], or [logits, labels, offsets (n, k, 4 * (classes + 1)), targets
    (n, k, 4)] -> a dict of terms (n,).

    Args:
        beta: Of smooth L1.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If `beta` is not a number of at least 0.

    Examples:
        >>> logits, labels = tf.zeros((1, 2, 4)), tf.constant([[3, -1]])
        >>> offsets, targets = tf.zeros((1, 2, 16)), tf.ones((1, 2, 4))
        >>> terms = RegionLoss()([logits, labels, offsets, targets])
        >>> {name: round(float(term[0]), 3) for name, term in terms.items()}  # log 4, and 4 times 0.5
        {'class': 1.386, 'box': 2.0}
    """

    def __init__(self, beta: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.beta = check_number("beta", beta, least=0)

    def call(self, inputs: Sequence[KerasTensor]) -> dict[str, KerasTensor]:
        """[logits, labels], or [logits, labels, offsets, targets] -> terms (n,)."""
        logits, labels, *more = inputs
        labels = tf.cast(labels, tf.int32)
        used, found = tf.cast(labels >= 0, tf.float32), tf.cast(labels > 0, tf.float32)
        count = tf.maximum(tf.reduce_sum(used, 1), 1)
        logits, known = tf.cast(logits, tf.float32), tf.maximum(labels, 0)
        entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=known, logits=logits)
        terms = {"class": tf.reduce_sum(used * entropy, 1) / count}
        if more:
            offsets, targets = (tf.cast(values, tf.float32) for values in more)
            offsets = tf.reshape(offsets, tf.concat([tf.shape(offsets)[:2], [offsets.shape[-1] // 4, 4]], 0))
            own = tf.gather(offsets, known, axis=2, batch_dims=2)
            distance = tf.reduce_sum(box_ops.smooth_l1(own, targets, self.beta), -1)
            terms["box"] = tf.reduce_sum(found * distance, 1) / count
        return terms

    def compute_output_spec(self, inputs: Sequence[KerasTensor]) -> dict[str, KerasTensor]:
        """The shapes and types of the terms."""
        names = ("class", "box") if len(inputs) > 2 else ("class",)
        return {name: KerasTensor((inputs[0].shape[0],), "float32") for name in names}

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        return super().get_config() | {"beta": self.beta}


@register
class RegionDetections(Float32Layer):
    """What a head finds: the regions, moved by the offsets of each class, after non-maximum suppression class by class.

    [images, proposals (n, k, 4), logits (n, k, classes + 1), offsets (n, k, 4 * (classes + 1))] -> a dict: "boxes",
    float32 (n, most, 4); "classes", int32 (n, most); "scores", float32 (n, most), best first. Row 0 of logits and
    offsets is background, which is left out. Padding has the class -1, and proposals of zeros find nothing. Without
    offsets the proposals are the boxes. In training nothing is found, to save time.

    Args:
        score_threshold: Scores must be above it.
        iou_threshold: The IoU above which the worse of two boxes of a class is left out.
        most: The largest number of detections of an image.
        min_size: The smallest width and height of a box in pixels.
        weights: Of the offsets, see `boxes.decode`.
        extra: 1 for proposals whose x2 is the index of the last pixel, see `boxes.area`.
        max_log: As for `boxes.decode`.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is not valid.

    Examples:
        >>> layer = RegionDetections(score_threshold=0.5, extra=0)
        >>> logits, offsets = tf.constant([[[0.0, 0, 9], [0, 0, 8]]]), tf.zeros((1, 2, 12))
        >>> proposals = tf.constant([[[0.0, 0, 9, 9], [0, 0, 9, 8]]])
        >>> found = layer([tf.zeros((1, 50, 50, 3)), proposals, logits, offsets])
        >>> found["boxes"][0, :2].numpy().tolist(), found["classes"][0, :2].numpy().tolist()
        ([[0.0, 0.0, 9.0, 9.0], [0.0, 0.0, 0.0, 0.0]], [1, -1])
    """

    family = "inception_keras.detection.region_forms"  # the module with the functions of the family
    rounding = "nearest"  # of the sides of a photograph that is resized for the net; or "down"

    def __init__(
        self,
        *,
        score_threshold: float = 0.05,
        iou_threshold: float = 0.3,
        most: int = 100,
        min_size: float = 0.0,
        weights: Sequence[float] = WEIGHTS,
        extra: float = 1.0,
        max_log: float | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.score_threshold = check_share("score_threshold", score_threshold)
        self.iou_threshold = check_share("iou_threshold", iou_threshold)
        self.most, self.min_size = check_count("most", most), check_number("min_size", min_size, least=0)
        self.weights_of_offsets, self.extra = tuple(weights), check_number("extra", extra, least=0)
        self.max_log = None if max_log is None else check_number("max_log", max_log)

    def call(self, inputs: Sequence[KerasTensor], training: bool | None = None) -> dict[str, KerasTensor]:
        """[images, proposals, logits, offsets] -> boxes, classes, scores."""
        images, proposals, logits, *offsets = inputs
        n = tf.shape(images)[0]
        if training:
            shape = tf.stack([n, self.most])
            return {
                "boxes": tf.zeros(tf.concat([shape, [4]], 0)),
                "classes": tf.fill(shape, -1),
                "scores": tf.zeros(shape),
            }
        proposals = tf.cast(proposals, tf.float32)
        valid = tf.reduce_any(proposals != 0, -1)
        scores = tf.nn.softmax(tf.cast(logits, tf.float32))[..., 1:]
        scores = tf.where(valid[..., None], scores, 0.0)
        size = tf.shape(images)[1:3]
        boxes = tf.broadcast_to(proposals[:, :, None], tf.concat([tf.shape(scores), [4]], 0))
        if offsets:
            moves = tf.reshape(tf.cast(offsets[0], tf.float32), (n, -1, logits.shape[-1], 4))[:, :, 1:]
            boxes = box_ops.decode(moves, boxes, self.weights_of_offsets, extra=self.extra, max_log=self.max_log)
            boxes = box_ops.clip(boxes, size, extra=self.extra)
        else:
            boxes = box_ops.clip(boxes + tf.constant([0.0, 0.0, self.extra, self.extra]), size)
        labels = tf.broadcast_to(tf.range(logits.shape[-1] - 1), tf.shape(scores))
        flat = (tf.reshape(boxes, (n, -1, 4)), tf.reshape(scores, (n, -1)), tf.reshape(labels, (n, -1)))
        spec = (tf.TensorSpec((None, 4)), tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None,)))
        boxes, labels, scores = tf.map_fn(self._of_image, flat, fn_output_signature=spec)
        shape = (None, self.most)
        return {
            "boxes": tf.ensure_shape(boxes, (*shape, 4)),
            "classes": tf.ensure_shape(labels, shape),
            "scores": tf.ensure_shape(scores, shape),
        }

    def _of_image(self, image: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        boxes, scores, labels = image
        sides = boxes[:, 2:] - boxes[:, :2] + self.extra
        used = tf.where((scores > self.score_threshold) & tf.reduce_all(sides >= self.min_size, -1))[:, 0]
        boxes, scores, labels = (tf.gather(values, used) for values in image)
        kept = box_ops.batched_nms(boxes, scores, labels, self.iou_threshold, max_boxes=self.most, extra=self.extra)
        rest = self.most - tf.size(kept)
        return (
            tf.pad(tf.gather(boxes, kept), [(0, rest), (0, 0)]),
            tf.pad(tf.gather(labels, kept), [(0, rest)], constant_values=-1),
            tf.pad(tf.gather(scores, kept), [(0, rest)]),
        )

    def compute_output_spec(
        self, inputs: Sequence[KerasTensor], training: bool | None = None
    ) -> dict[str, KerasTensor]:
        """The shapes and types of boxes, classes and scores."""
        shape = (inputs[0].shape[0], self.most)
        return {
            "boxes": KerasTensor((*shape, 4)),
            "classes": KerasTensor(shape, "int32"),
            "scores": KerasTensor(shape),
        }

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        names = ("score_threshold", "iou_threshold", "most", "min_size", "extra", "max_log")
        own = {name: getattr(self, name) for name in names} | {"weights": self.weights_of_offsets}
        return super().get_config() | own

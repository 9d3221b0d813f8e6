"""Regions for the head of Fast and Faster R-CNN: those that are given, and those drawn of an image for training."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import KerasTensor

from ..arguments import Shape
from ..checks import check_count, check_number, check_share
from ..layers._support import register
from . import boxes as box_ops
from .region_head import WEIGHTS, Float32Layer
from .rpn import draw


@register
class GivenProposals(Float32Layer):
    """The proposals that are given to a net, as its other layers need them: (n, k, 4) -> (n, k, 4).

    Args:
        extra: 1 if the other layers take x2 as the index of the last pixel: it is then one less than the right edge.
            Rows of zeros, which are padding, stay.
        in_training: Whether all proposals are given in training. If not, only the first one of an image is, so that a
            net that is trained by other layers spends no time on them.
        **kwargs: As for `keras.layers.Layer`.

    Examples:
        >>> GivenProposals()(keras.Input((2000, 4))).shape
        (None, 2000, 4)
    """

    def __init__(self, extra: float = 1.0, *, in_training: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.extra, self.in_training = check_number("extra", extra, least=0), in_training

    def call(self, inputs: KerasTensor, training: bool | None = None) -> KerasTensor:
        """(n, k, 4) -> (n, k, 4)."""
        inputs = tf.cast(inputs if self.in_training or not training else inputs[:, :1], tf.float32)
        moved = inputs - tf.constant([0.0, 0.0, self.extra, self.extra])
        return tf.where(tf.reduce_any(inputs != 0, -1, keepdims=True), moved, 0.0)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        return super().get_config() | {"extra": self.extra, "in_training": self.in_training}


@register
class RegionSamples(Float32Layer):
    """Draws regions of the proposals and the objects of an image, and says what a head is to make of them.

    A region is foreground if its IoU with an object is at least `positive`, and background if its largest IoU is below
    it and in [`low`, `high`). `count` regions of an image are drawn, at most `share` of them foreground.

    [proposals (n, k, 4), boxes (n, most, 4), classes (n, most)] -> regions (n, count, 4), labels int32 (n, count), and
    offsets (n, count, 4) to their objects. The label of background is 0, that of an object its class + 1. If there are
    fewer regions, rows of zeros with the label -1 follow. Proposals of zeros and objects of class -1 are padding.

    Args:
        count: Number of regions drawn of an image.
        share: The largest share of foreground.
        positive: From this IoU on, a region is foreground.
        low: From this IoU on, a region may be background.
        high: Below this IoU, a region may be background.
        add_boxes: Whether the objects themselves are among the regions.
        weights: Of the offsets, see `boxes.encode`.
        extra: 1 for proposals whose x2 is the index of the last pixel, see `boxes.area`.
        seed: Of the draws.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is not valid.

    Examples:
        >>> samples = RegionSamples(4, extra=0)
        >>> proposals = tf.constant([[[0.0, 0, 9, 9], [50, 50, 60, 60], [0, 0, 0, 0]]])
        >>> regions, labels, offsets = samples([proposals, tf.constant([[[0.0, 0, 10, 10]]]), tf.constant([[7]])])
        >>> sorted(labels[0].numpy().tolist())  # of the object and the first proposal, one is drawn
        [-1, -1, 0, 8]
    """

    def __init__(
        self,
        count: int = 128,
        *,
        share: float = 0.25,
        positive: float = 0.5,
        low: float = 0.0,
        high: float = 0.5,
        add_boxes: bool = True,
        weights: Sequence[float] = WEIGHTS,
        extra: float = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.count, self.share = check_count("count", count), check_share("share", share)
        self.positive, self.low = check_share("positive", positive), check_share("low", low)
        self.high, self.add_boxes = check_share("high", high), add_boxes
        self.weights_of_offsets, self.extra = tuple(weights), check_number("extra", extra, least=0)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Sequence[KerasTensor]) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
        """[proposals, boxes, classes] -> regions, labels, offsets."""
        proposals, boxes, classes = inputs
        boxes = tf.cast(boxes, tf.float32) - tf.constant([0.0, 0.0, self.extra, self.extra])
        proposals = tf.cast(tf.stop_gradient(proposals), tf.float32)
        valid = tf.reduce_any(proposals != 0, -1)
        if self.add_boxes:
            proposals, valid = tf.concat([proposals, boxes], 1), tf.concat([valid, classes >= 0], 1)
        noise = keras.random.uniform(tf.shape(valid), seed=self.seed_generator)
        spec = (tf.TensorSpec((None, 4)), tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, 4)))
        images = (proposals, valid, boxes, tf.cast(classes, tf.int32), noise)
        regions, labels, offsets = tf.map_fn(self._of_image, images, fn_output_signature=spec)
        shape = (None, self.count)
        return (
            tf.ensure_shape(regions, (*shape, 4)),
            tf.ensure_shape(labels, shape),
            tf.ensure_shape(offsets, (*shape, 4)),
        )

    def _of_image(self, image: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        proposals, valid, boxes, classes, noise = image
        boxes, classes = tf.pad(boxes, [(0, 1), (0, 0)]), tf.pad(classes, [(0, 1)], constant_values=-1)
        overlaps = tf.where(classes >= 0, box_ops.iou(proposals, boxes, extra=self.extra), 0.0)
        match, best = tf.argmax(overlaps, 1), tf.reduce_max(overlaps, 1)
        positive = valid & (best >= self.positive)
        negative = valid & (best < self.high) & (best >= self.low) & ~positive
        most = round(self.share * self.count)
        (chosen, is_chosen), (others, is_other) = draw(positive, negative, noise, most, self.count)
        index, is_drawn = tf.concat([chosen, others], 0), tf.concat([is_chosen, is_other], 0)
        is_object = tf.concat([is_chosen, tf.zeros_like(is_other)], 0)
        order = tf.argsort(tf.cast(~is_drawn, tf.int32), stable=True)[: self.count]
        index, is_drawn, is_object = (tf.gather(values, order) for values in (index, is_drawn, is_object))
        regions, match = tf.gather(proposals, index), tf.gather(match, index)
        labels = tf.where(is_object, tf.gather(classes, match) + 1, tf.where(is_drawn, 0, -1))
        objects = tf.where(is_object[:, None], tf.gather(boxes, match), regions)
        offsets = box_ops.encode(objects, regions, self.weights_of_offsets, extra=self.extra)
        offsets = tf.where(is_object[:, None], offsets, 0.0)
        rest = self.count - tf.size(index)
        return (
            tf.pad(tf.where(is_drawn[:, None], regions, 0.0), [(0, rest), (0, 0)]),
            tf.pad(labels, [(0, rest)], constant_values=-1),
            tf.pad(offsets, [(0, rest), (0, 0)]),
        )

    def compute_output_spec(self, inputs: Sequence[KerasTensor]) -> tuple[KerasTensor, KerasTensor, KerasTensor]:
        """The shapes and types of regions, labels and offsets."""
        shape = (inputs[0].shape[0], self.count)
        return KerasTensor((*shape, 4)), KerasTensor(shape, "int32"), KerasTensor((*shape, 4))

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        names = ("count", "share", "positive", "low", "high", "add_boxes", "extra", "seed")
        own = {name: getattr(self, name) for name in names} | {"weights": self.weights_of_offsets}
        return super().get_config() | own

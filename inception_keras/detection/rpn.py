"""The region proposal network of Faster R-CNN: the proposals that it makes, and its loss."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import KerasTensor, layers

from ..arguments import Shape
from ..checks import check_bool, check_count, check_number, check_share
from ..layers._support import register
from . import boxes as box_ops
from .anchors import grid

Levels = Sequence[Any]  # the anchors of the first position of each level of a pyramid, or of one map


class _OnAnchors(layers.Layer):
    """What the layers below share: anchors, and how scores and offsets of maps belong to them.

    Maps of scores have one channel for each anchor, a logit; or two: first those of background of all anchors, then
    those of objects, whose difference is the logit. Maps of offsets have four channels for each anchor, one anchor
    after the other.
    """

    def __init__(self, anchors: Levels, *, strides: Sequence[int] | None, multiple: int, extra: float, **kwargs: Any):
        super().__init__(**(kwargs | {"dtype": "float32"}), autocast=False)
        self.anchors = [np.asarray(level, np.float32).reshape(-1, 4) for level in anchors]
        self.strides = None if strides is None else [check_count("a stride", stride) for stride in strides]
        if not self.anchors or (self.strides and len(self.strides) != len(self.anchors)):
            counts = f"{len(self.anchors)} and {len(self.strides or [])}"
            raise ValueError(f"anchors and strides must be of equally many levels, at least one, got {counts}.")
        self.multiple, self.extra = check_count("multiple", multiple), check_number("extra", extra, least=0)
        self.supports_jit = False

    def places(self, images: KerasTensor, maps: Sequence[KerasTensor]) -> list[tf.Tensor]:
        """The anchors of each level, (rows * columns * a, 4)."""
        size = tf.shape(images)[1:3]
        size += -size % self.multiple
        steps = [size // tf.shape(level)[1:3] for level in maps] if self.strides is None else self.strides
        return [
            grid(anchors, tf.shape(level)[1:3], step)
            for anchors, level, step in zip(self.anchors, maps, steps, strict=True)
        ]

    def split(self, inputs: Sequence[KerasTensor]) -> tuple[Sequence, list[tf.Tensor], list[tf.Tensor]]:
        """The maps of scores, and the logits (n, places) and offsets (n, places, 4) of each level."""
        count = len(self.anchors)
        scores, offsets = inputs[:count], inputs[count:]
        logits = []
        for anchors, level in zip(self.anchors, scores, strict=True):
            level = tf.cast(level, tf.float32)
            if level.shape[-1] == 2 * len(anchors):
                level = level[..., len(anchors) :] - level[..., : len(anchors)]
            logits.append(tf.reshape(level, (tf.shape(level)[0], -1)))
        flat = [tf.reshape(tf.cast(level, tf.float32), (tf.shape(level)[0], -1, 4)) for level in offsets]
        return scores, logits, flat

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        own: dict[str, Any] = {"anchors": [level.tolist() for level in self.anchors], "strides": self.strides}
        own |= {"multiple": self.multiple, "extra": self.extra}
        return super().get_config() | own


@register
class Proposals(_OnAnchors):
    """The best boxes of a region proposal network.

    Anchors are moved by their offsets and clipped to the image. Boxes that are too small are left out. Of each level
    the `before` best go through non-maximum suppression, level by level, and the `after` best are kept.

    [images, a map of scores for each level, a map of offsets for each level] -> (n, after, 4). If fewer are left, rows
    of zeros follow. Proposals get no gradient.

    Args:
        anchors: For each level the anchors of the first position, (a, 4).
        strides: For each level, pixels of the image from one position to the next one. None for the side of the image
            divided by that of the map, without rest, as torchvision has it.
        multiple: With `strides` of None, the sides of images are first rounded up to multiples of so many pixels, as
            the net pads them.
        before: The most boxes of each level before non-maximum suppression.
        after: The number of proposals.
        threshold: The IoU above which the worse of two boxes is left out.
        min_size: The smallest width and height of a box in pixels.
        filter_first: Whether boxes that are too small are left out before the `before` best are taken.
        extra: 1 for boxes whose x2 is the index of the last pixel, see `boxes.area`.
        max_log: As for `boxes.decode`.
        in_training: Whether proposals are also made in training. If not, there is one of zeros, so that a net that is
            trained by other layers spends no time on them.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is not valid.

    Examples:
        >>> maps = keras.Input((38, 50, 18)), keras.Input((38, 50, 36))
        >>> from inception_keras.detection.anchors import rcnn_anchors
        >>> Proposals([rcnn_anchors()], strides=[16])([keras.Input((600, 800, 3)), *maps]).shape
        (None, 300, 4)
    """

    def __init__(
        self,
        anchors: Levels,
        *,
        strides: Sequence[int] | None = None,
        multiple: int = 1,
        before: int = 6000,
        after: int = 300,
        threshold: float = 0.7,
        min_size: float = 16.0,
        filter_first: bool = True,
        extra: float = 1.0,
        max_log: float | None = None,
        in_training: bool = False,
        **kwargs: Any,
    ):
        super().__init__(anchors, strides=strides, multiple=multiple, extra=extra, **kwargs)
        self.before, self.after = check_count("before", before), check_count("after", after)
        self.threshold, self.min_size = check_share("threshold", threshold), check_number("min_size", min_size, least=0)
        self.filter_first, self.in_training = check_bool("filter_first", filter_first), in_training
        self.max_log = None if max_log is None else check_number("max_log", max_log)

    def call(self, inputs: Sequence[KerasTensor], training: bool | None = None) -> KerasTensor:
        """[images, scores ..., offsets ...] -> (n, after, 4)."""
        images, *maps = inputs
        if training and not self.in_training:
            return tf.zeros((tf.shape(images)[0], 1, 4))
        scores, logits, offsets = self.split(maps)
        size = tf.shape(images)[1:3]
        best = []
        levels = zip(self.places(images, scores), logits, offsets, strict=True)
        for number, (anchors, logit, offset) in enumerate(levels):
            moved = box_ops.decode(tf.stop_gradient(offset), anchors, extra=self.extra, max_log=self.max_log)
            moved = box_ops.clip(moved, size, extra=self.extra)
            logit = tf.stop_gradient(logit)
            sides = moved[..., 2:] - moved[..., :2] + self.extra
            small = ~tf.reduce_all(sides >= self.min_size, -1)
            lowest = tf.constant(-np.inf, tf.float32)
            if self.filter_first:
                logit = tf.where(small, lowest, logit)
            top, index = tf.math.top_k(logit, tf.minimum(self.before, tf.shape(logit)[1]))
            if not self.filter_first:
                top = tf.where(tf.gather(small, index, batch_dims=1), lowest, top)
            # a box that is left out stays one by its score of minus infinity, of which the sigmoid would be 0
            score = tf.where(top > lowest, tf.sigmoid(top), lowest)
            group = tf.fill(tf.shape(top), number)
            best.append((tf.gather(moved, index, batch_dims=1), score, group))
        return self._suppressed(*(tf.concat(parts, 1) for parts in zip(*best, strict=True)))

    def _suppressed(self, boxes: tf.Tensor, scores: tf.Tensor, groups: tf.Tensor) -> tf.Tensor:
        def of_image(image: tuple[tf.Tensor, ...]) -> tf.Tensor:
            boxes, scores, groups = image
            options: dict[str, Any] = {"max_boxes": self.after, "extra": self.extra}
            if len(self.anchors) == 1:
                kept = box_ops.nms(boxes, scores, self.threshold, **options)
            else:
                kept = box_ops.batched_nms(boxes, scores, groups, self.threshold, **options)
            found = tf.gather(boxes, kept)
            return tf.pad(found, [(0, self.after - tf.shape(found)[0]), (0, 0)])

        spec = tf.TensorSpec((None, 4), tf.float32)
        found = tf.map_fn(of_image, (boxes, scores, groups), fn_output_signature=spec)
        return tf.ensure_shape(found, (None, self.after, 4))

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        """The shape (n, after, 4)."""
        return (input_shape[0][0], self.after, 4)

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        names = ("before", "after", "threshold", "min_size", "filter_first", "max_log", "in_training")
        return super().get_config() | {name: getattr(self, name) for name in names}


@register
class ProposalLoss(_OnAnchors):
    """The loss of a region proposal network (equation 1), two terms for each image.

    An anchor is foreground if its IoU with an object is at least `positive`, or the largest that any anchor has with
    this object, where ties count; it is background if its IoU with every object is below `negative`. All others are
    left out. `count` anchors of an image are drawn, at most half of them foreground.

    - `"rpn_class"`: the mean cross-entropy of the drawn anchors.
    - `"rpn_box"`: the smooth L1 loss of the offsets of drawn foreground anchors, summed over four offsets and all
      anchors, and divided by the number of drawn anchors.

    [images, boxes (n, most, 4), classes (n, most), -1 is padding, a map of scores for each level, a map of offsets for
    each level] -> a dict of two terms (n,).

    Args:
        anchors: As for `Proposals`.
        strides: As for `Proposals`.
        multiple: As for `Proposals`.
        positive: From this IoU on, an anchor is foreground.
        negative: Below this IoU, an anchor is background.
        count: Number of anchors drawn of an image.
        beta: Of smooth L1.
        inside: Whether anchors that cross the border of the image are left out.
        extra: As for `Proposals`.
        seed: Of the draws.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If an argument is not valid.

    Examples:
        >>> loss = ProposalLoss([[[0, 0, 8, 8]]], strides=[8], extra=0)
        >>> boxes, scores, offsets = np.zeros((1, 0, 4)), np.zeros((1, 2, 2, 2)), np.zeros((1, 2, 2, 4))
        >>> terms = loss([np.zeros((1, 16, 16, 3)), boxes, np.zeros((1, 0), int), scores, offsets])
        >>> {name: round(float(term[0]), 3) for name, term in terms.items()}  # log 2 of four background anchors
        {'rpn_class': 0.693, 'rpn_box': 0.0}
    """

    def __init__(
        self,
        anchors: Levels,
        *,
        strides: Sequence[int] | None = None,
        multiple: int = 1,
        positive: float = 0.7,
        negative: float = 0.3,
        count: int = 256,
        beta: float = 1 / 9,
        inside: bool = True,
        extra: float = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(anchors, strides=strides, multiple=multiple, extra=extra, **kwargs)
        self.positive, self.negative = check_share("positive", positive), check_share("negative", negative)
        self.count, self.beta, self.inside = check_count("count", count), beta, check_bool("inside", inside)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs: Sequence[KerasTensor]) -> dict[str, KerasTensor]:
        """[images, boxes, classes, scores ..., offsets ...] -> two terms (n,)."""
        images, boxes, classes, *maps = inputs
        scores, logits, offsets = self.split(maps)
        anchors = tf.concat(self.places(images, scores), 0)
        logit, offset = tf.concat(logits, 1), tf.concat(offsets, 1)
        noise = keras.random.uniform(tf.shape(logit), seed=self.seed_generator)
        height, width = tf.unstack(tf.cast(tf.shape(images)[1:3], tf.float32))
        x1, y1, x2, y2 = tf.unstack(anchors, axis=1)
        usable = (x1 >= 0) & (y1 >= 0) & (x2 <= width - self.extra) & (y2 <= height - self.extra)
        usable = usable if self.inside else tf.ones_like(usable)

        def of_image(image: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
            index, label, matched = self._drawn(anchors, usable, *image)
            return index, label, box_ops.encode(matched, tf.gather(anchors, index), extra=self.extra)

        truth = tf.cast(boxes, tf.float32) - tf.constant([0.0, 0.0, self.extra, self.extra])
        spec = (tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, 4)))
        index, label, target = tf.map_fn(of_image, (truth, classes >= 0, noise), fn_output_signature=spec)
        logit, offset = (tf.gather(values, index, batch_dims=1) for values in (logit, offset))
        used, found = tf.cast(label >= 0, tf.float32), tf.cast(label == 1, tf.float32)
        count = tf.maximum(tf.reduce_sum(used, 1), 1)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=found, logits=logit)
        distance = tf.reduce_sum(box_ops.smooth_l1(offset, target, self.beta), -1)
        return {
            "rpn_class": tf.reduce_sum(used * entropy, 1) / count,
            "rpn_box": tf.reduce_sum(found * distance, 1) / count,
        }

    def _drawn(
        self, anchors: tf.Tensor, usable: tf.Tensor, boxes: tf.Tensor, real: tf.Tensor, noise: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The indices of anchors; whether each is foreground, 1, background, 0, or not drawn, -1; and its box."""
        boxes, real = tf.pad(boxes, [(0, 1), (0, 0)]), tf.pad(real, [(0, 1)])  # so that there is one
        overlaps = tf.where(real, box_ops.iou(anchors, boxes, extra=self.extra), 0.0)
        match, best = tf.argmax(overlaps, 1), tf.reduce_max(overlaps, 1)
        overlaps = tf.where(usable[:, None], overlaps, -1.0)
        of_object = tf.reduce_max(overlaps, 0)
        is_best = tf.reduce_any((overlaps == of_object) & (of_object > 0), 1)
        positive = usable & ((best >= self.positive) | is_best)
        negative = usable & (best < self.negative) & ~positive
        (chosen, is_chosen), (others, is_other) = draw(positive, negative, noise, self.count // 2, self.count)
        index = tf.concat([chosen, others], 0)
        label = tf.concat([tf.where(is_chosen, 1, -1), tf.where(is_other, 0, -1)], 0)
        matched = tf.gather(boxes, tf.gather(match, index))
        return index, label, tf.where((label == 1)[:, None], matched, tf.gather(anchors, index))

    def compute_output_spec(self, inputs: Sequence[KerasTensor]) -> dict[str, KerasTensor]:
        """The shapes and types of the terms."""
        return {name: KerasTensor((inputs[0].shape[0],), "float32") for name in ("rpn_class", "rpn_box")}

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        names = ("positive", "negative", "count", "beta", "inside", "seed")
        return super().get_config() | {name: getattr(self, name) for name in names}


def draw(
    positive: tf.Tensor, negative: tf.Tensor, noise: tf.Tensor, most: int, count: int
) -> tuple[tuple[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Draws at most `most` of the positive elements, and so many negative ones that there are `count` of both.

    Args:
        positive: bool (n,).
        negative: bool (n,).
        noise: float32 (n,) from 0 to 1, independent numbers.
        most: The largest number of positive elements.
        count: The number of elements.

    Returns:
        Indices, int32, of up to `most` and `count` elements, and for each whether it is drawn.
    """
    drawn = []
    left = tf.constant(count)
    for wanted, limit in ((positive, most), (negative, count)):
        top, index = tf.math.top_k(tf.where(wanted, noise, -1.0), tf.minimum(limit, tf.size(noise)))
        is_drawn = (top >= 0) & (tf.range(tf.size(top)) < left)
        left -= tf.reduce_sum(tf.cast(is_drawn, tf.int32))
        drawn.append((index, is_drawn))
    return drawn[0], drawn[1]

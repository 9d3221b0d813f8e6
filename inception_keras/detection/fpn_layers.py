"""Layers of detectors with a feature pyramid: padding, RoIAlign on several levels, and the last layer."""

from collections.abc import Sequence
from math import log2
from typing import Any

import keras
import tensorflow as tf
from keras import KerasTensor, layers

from ..arguments import Shape
from ..checks import check_count
from ..layers._support import register
from ..layers.regions import RoIAlign
from .region_head import RegionDetections


@register
class PadToMultiple(layers.Layer):
    """Pads images with zeros at the bottom and at the right, so that the sides are multiples: (n, h, w, c).

    Args:
        multiple: Of which the sides are multiples afterwards, in pixels.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If `multiple` is not a positive int.

    Examples:
        >>> PadToMultiple(32)(keras.Input((600, 1000, 3))).shape
        (None, 608, 1024, 3)
    """

    def __init__(self, multiple: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.multiple = check_count("multiple", multiple)

    def call(self, inputs: KerasTensor) -> KerasTensor:
        """(n, h, w, c) -> (n, h', w', c)."""
        sides = keras.ops.shape(inputs)[1:3]
        return keras.ops.pad(inputs, [(0, 0), *((0, -side % self.multiple) for side in sides), (0, 0)])

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(n, h, w, c) -> (n, h', w', c); an unknown size stays None."""
        sides = (side and side + -side % self.multiple for side in input_shape[1:3])
        return (input_shape[0], *sides, input_shape[3])

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        return super().get_config() | {"multiple": self.multiple}


@register
class PyramidRoIAlign(RoIAlign):
    """RoIAlign on the level of a feature pyramid that fits the size of each region (equation 1).

    [maps of each level, from the finest, (n, h, w, c), boxes (n, k, 4)] -> (n, k, *output_size, c). Each level has half
    the sides of the one before. A region of 224 x 224 pixels belongs to the level of stride 16, one of half the size to
    the next finer one.

    Args:
        output_size: Number of bins in a column and in a row, an int or two.
        spatial_scale: Pixels of the finest map for one pixel of the image, a power of two such as 1 / 4.
        **kwargs: As for `RoIAlign`.

    Raises:
        ValueError: If an argument is not valid, or the inputs are not maps and boxes.

    Reference:
        `MultiScaleRoIAlign` of `torchvision/ops/poolers.py`.

    Examples:
        >>> maps = [keras.Input((side, side, 256)) for side in (200, 100, 50, 25)]
        >>> PyramidRoIAlign(7, 1 / 4, sampling_ratio=2)([*maps, keras.Input((1000, 4))]).shape
        (None, 1000, 7, 7, 256)
    """

    def call(self, inputs: Sequence[KerasTensor]) -> KerasTensor:
        """[(n, h, w, c), (n, h / 2, w / 2, c) ..., (n, k, 4)] -> (n, k, *output_size, c)."""
        *maps, boxes = inputs
        n, channels = tf.shape(boxes)[0], maps[0].shape[-1]
        sizes = tf.stack([tf.shape(level)[1:3] for level in maps])  # (levels, 2)
        pixels = sizes[:, 0] * sizes[:, 1]
        flat = [tf.reshape(tf.cast(level, self.compute_dtype), (n, -1, channels)) for level in maps]
        flat = tf.reshape(tf.concat(flat, 1), (-1, channels))
        level = self.levels(boxes, len(maps))
        starts = tf.gather(tf.cumsum(pixels, exclusive=True), level) + tf.range(n)[:, None] * tf.reduce_sum(pixels)
        scale = self.spatial_scale / tf.cast(tf.bitwise.left_shift(1, level), tf.float32)
        height, width = tf.unstack(tf.gather(sizes, level), axis=-1)
        aligned = self.align(flat, boxes, scale, starts, height, width)
        return tf.ensure_shape(aligned, self.compute_output_shape([tuple(x.shape) for x in inputs]))

    def levels(self, boxes: KerasTensor, count: int) -> KerasTensor:
        """The level of each region, int32 (n, k); 0 is the finest."""
        sides = tf.cast(boxes[..., 2:] - boxes[..., :2], tf.float32)
        size = tf.sqrt(sides[..., 0] * sides[..., 1])
        level = tf.floor(4 + tf.math.log(size / 224) / tf.math.log(2.0) + 1e-6)
        finest = -log2(self.spatial_scale)  # the 2 of P2 if its stride is 4
        return tf.cast(tf.clip_by_value(level - finest, 0, count - 1), tf.int32)


@register
class PyramidDetections(RegionDetections):
    """As `RegionDetections`; it marks the nets that are trained as torchvision trains them.

    Args:
        **kwargs: As for `RegionDetections`.

    Examples:
        >>> PyramidDetections(extra=0, iou_threshold=0.5).most
        100
    """

    family = "inception_keras.detection.fpn"
    rounding = "down"

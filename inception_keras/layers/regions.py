"""Regions of a feature map, pooled or interpolated to one size: RoI pooling and RoIAlign.

These layers compute with TensorFlow, and need it as Keras's backend.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from keras import KerasTensor, layers, ops

from ..arguments import Shape
from ..checks import check_bool, check_count, check_number, got
from ._support import in_step, register, tensorflow
from .window_maxima import window_maxima


class _Regions(layers.Layer):
    """What the layers below share: `output_size`, `spatial_scale` and shapes."""

    def __init__(self, output_size: int | Sequence[int], spatial_scale: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs, autocast=False)  # half precision has too few digits for coordinates
        self.output_size = _two("output_size", output_size)
        self.spatial_scale = check_number("spatial_scale", spatial_scale)
        if self.spatial_scale <= 0:
            raise ValueError(f"spatial_scale must be a number above 0, got {got(spatial_scale)}.")
        if tensorflow() is None:
            raise RuntimeError(f"{type(self).__name__} needs TensorFlow as Keras's backend.")
        self.supports_jit = False  # the sizes of some tensors depend on the boxes

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        """(n, h, w, c), (n, k, 4) -> (n, k, *output_size, c)."""
        *maps, boxes = input_shape if isinstance(input_shape, (list, tuple)) else [input_shape]
        good = maps and all(isinstance(shape, tuple) and len(shape) == 4 for shape in maps)
        if not good or not isinstance(boxes, tuple) or len(boxes) != 3 or boxes[-1] != 4:
            raise ValueError(f"{self.name} needs [maps (n, h, w, c), boxes (n, k, 4)], got {input_shape}.")
        return (*boxes[:2], *self.output_size, maps[0][-1])

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        return super().get_config() | {"output_size": self.output_size, "spatial_scale": self.spatial_scale}


@register
class RoIPooling(_Regions):
    """The maxima of each region of a feature map over a grid of bins: RoI pooling of Fast R-CNN, as Caffe rounds.

    [maps (n, h, w, c), boxes (n, k, 4)] -> (n, k, *output_size, c). Corners times `spatial_scale` are rounded to whole
    pixels, halves away from zero, and both corners belong to the region, so that it has at least one pixel. Bin i of a
    side of a pixels begins at floor(i a / size) and ends before ceil((i + 1) a / size), so that bins may overlap. Bins
    are cut off at the edge of the map; a bin outside it is 0. Boxes get no gradient.

    The maxima of all windows whose sides are 1, 3, 7, 15 ... pixels are computed once for all regions, and each bin is
    the maximum of four of them. So the time does not depend on the sizes of regions.

    Args:
        output_size: Number of bins in a column and in a row, an int or two: 7 for VGG-16.
        spatial_scale: Pixels of the map for one pixel of the image, such as 1 / 16.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If a size or scale is not positive, or the inputs are not maps and boxes.

    Reference:
        Girshick, arXiv:1504.08083, section 2.1; `roi_pooling_layer.cpp` of Fast R-CNN's Caffe; equal to
        `torchvision.ops.roi_pool`.

    Examples:
        >>> RoIPooling(7, spatial_scale=1 / 16)([keras.Input((38, 50, 512)), keras.Input((300, 4))]).shape
        (None, 300, 7, 7, 512)
    """

    def call(self, inputs: Sequence[KerasTensor], training: bool | None = None) -> KerasTensor:
        """(n, h, w, c), (n, k, 4) -> (n, k, *output_size, c)."""
        tf: Any = tensorflow()
        maps, boxes = tf.cast(inputs[0], self.compute_dtype), inputs[1]
        corners = tf.cast(boxes, tf.float32) * self.spatial_scale
        corners = tf.cast(tf.clip_by_value(_round(tf, corners), -(2.0**22), 2.0**22), tf.int32)
        first, last = corners[..., :2], corners[..., 2:]
        sizes = tf.cast(tf.maximum(last - first + 1, 1), tf.float32)
        shape = tf.shape(maps)
        columns, rows = (
            _bins(tf, first[..., axis], sizes[..., axis], count, shape[2 - axis])
            for axis, count in enumerate(reversed(self.output_size))
        )
        pooled = window_maxima(maps, rows, columns, bool(training))
        return tf.ensure_shape(pooled, self.compute_output_shape([tuple(maps.shape), tuple(boxes.shape)]))


@register
class RoIAlign(_Regions):
    """Each region of a feature map, interpolated bilinearly at a grid of points: RoIAlign of Mask R-CNN.

    [maps (n, h, w, c), boxes (n, k, 4)] -> (n, k, *output_size, c). Nothing is rounded. Each bin is the mean of the map
    at `sampling_ratio` x `sampling_ratio` points. A point less than one pixel outside the map has the value of the
    nearest pixel; one farther outside counts as 0. Boxes get no gradient.

    `tf.image.crop_and_resize` is something else: it takes one point for each bin, and other points.

    Args:
        output_size: Number of bins in a column and in a row, an int or two.
        spatial_scale: Pixels of the map for one pixel of the image, such as 1 / 16.
        sampling_ratio: Points in a column and in a row of a bin; 0 for as many as the bin has pixels, rounded up.
        aligned: Whether coordinates are shifted by half a pixel, so that a point at the centre of a pixel has its
            value, as in Detectron2. If not, regions are at least one pixel wide, as in torchvision's detectors.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If a size, scale or ratio is not positive, or the inputs are not maps and boxes.

    Reference:
        He et al., arXiv:1703.06870, section 3; equal to `torchvision.ops.roi_align`.

    Examples:
        >>> RoIAlign(7, spatial_scale=1 / 16, sampling_ratio=2)([keras.Input((38, 50, 512)), keras.Input((9, 4))]).shape
        (None, 9, 7, 7, 512)
    """

    def __init__(
        self,
        output_size: int | Sequence[int],
        spatial_scale: float = 1.0,
        *,
        sampling_ratio: int = 0,
        aligned: bool = False,
        **kwargs: Any,
    ):
        super().__init__(output_size, spatial_scale, **kwargs)
        self.sampling_ratio = check_count("sampling_ratio", sampling_ratio, least=0)
        self.aligned = check_bool("aligned", aligned)

    def call(self, inputs: Sequence[KerasTensor]) -> KerasTensor:
        """(n, h, w, c), (n, k, 4) -> (n, k, *output_size, c)."""
        tf: Any = tensorflow()
        maps, boxes = tf.cast(inputs[0], self.compute_dtype), inputs[1]
        n, h, w, _ = tf.unstack(tf.shape(maps))
        flat = tf.reshape(maps, (-1, maps.shape[-1]))
        starts = tf.range(n)[:, None] * (h * w) + tf.zeros_like(boxes[..., 0], tf.int32)
        aligned = self.align(flat, boxes, self.spatial_scale, starts, h, w)
        return tf.ensure_shape(aligned, self.compute_output_shape([tuple(maps.shape), tuple(boxes.shape)]))

    def align(
        self,
        flat: KerasTensor,
        boxes: KerasTensor,
        scale: float | KerasTensor,
        starts: KerasTensor,
        height: KerasTensor,
        width: KerasTensor,
    ) -> KerasTensor:
        """The regions of maps whose pixels are rows of one matrix.

        Args:
            flat: (pixels, c).
            boxes: (n, k, 4) in pixels of the image.
            scale: Pixels of the map for one pixel of the image; a number, or (n, k).
            starts: int32 (n, k): the row of `flat` that is the first pixel of the region's map.
            height: int32: height of the map in pixels; a scalar, or (n, k).
            width: int32: width of the map in pixels; a scalar, or (n, k).

        Returns:
            (n, k, *output_size, c).
        """
        tf: Any = tensorflow()
        boxes = tf.cast(tf.stop_gradient(boxes), tf.float32)
        shift = 0.5 if self.aligned else 0.0
        x1, y1, x2, y2 = (side * scale - shift for side in tf.unstack(boxes, axis=-1))
        rows, down = self._taps(y1, y2 - y1, self.output_size[0], height)
        columns, right = self._taps(x1, x2 - x1, self.output_size[1], width)
        width = tf.broadcast_to(width, tf.shape(starts))
        rows = starts[..., None, None] + rows * width[..., None, None]  # (n, k, p, taps)
        places = (rows[..., :, None, :, None] + columns[..., None, :, None, :], down, right)
        dtype, flat = flat.dtype, tf.cast(flat, tf.float32)
        plain = tf.inside_function() and not in_step(tf)  # a graph that may be exported
        sampled = _gathered(tf, flat, *places) if plain else _multiplied(tf, flat, *places)
        sampled = tf.reshape(sampled, (*tf.unstack(tf.shape(boxes))[:2], *self.output_size, flat.shape[-1]))
        return tf.cast(sampled, dtype)

    def _taps(
        self, start: KerasTensor, size: KerasTensor, count: int, side: KerasTensor
    ) -> tuple[KerasTensor, KerasTensor]:
        """The pixels along one axis that each bin is a weighted sum of, and their weights: both (n, k, count, taps)."""
        tf: Any = tensorflow()
        size = size if self.aligned else tf.maximum(size, 1.0)
        step = _divided(tf, size, count)
        if self.sampling_ratio:
            points = most = tf.constant(self.sampling_ratio, tf.float32)
            point = tf.range(self.sampling_ratio, dtype=tf.float32)
        else:
            points = tf.maximum(tf.math.ceil(step), 0)[..., None, None]
            most = tf.maximum(tf.reduce_max(points), 1)
            point = tf.range(most)
        step = step[..., None, None]
        at = start[..., None, None] + tf.range(count, dtype=tf.float32)[:, None] * step
        at += (point + 0.5) * step / tf.maximum(points, 1)
        side = tf.broadcast_to(side, tf.shape(start))[..., None, None]
        inside = (at >= -1) & (at <= tf.cast(side, tf.float32)) & (point < points)
        at = tf.where(inside, tf.maximum(at, 0), 0)
        low = tf.minimum(tf.cast(at, tf.int32), side - 1)
        part = tf.where(low == side - 1, 0.0, at - tf.cast(low, tf.float32))
        share = tf.where(inside, 1 / tf.maximum(points, 1), 0)
        pixels = tf.concat([low, tf.minimum(low + 1, side - 1)], -1)
        return pixels, tf.concat([(1 - part) * share, part * share], -1)

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        return super().get_config() | {"sampling_ratio": self.sampling_ratio, "aligned": self.aligned}


@register
class FlattenRegions(layers.Layer):
    """Makes a vector of each region: (n, k, h, w, c) -> (n, k, h * w * c). k may be another one in each call.

    Args:
        **kwargs: As for `keras.layers.Layer`.

    Examples:
        >>> FlattenRegions()(keras.Input((300, 7, 7, 512))).shape
        (None, 300, 25088)
    """

    def call(self, inputs: KerasTensor) -> KerasTensor:
        """(n, k, h, w, c) -> (n, k, h * w * c)."""
        shape = ops.shape(inputs)
        return ops.reshape(inputs, (*shape[:2], prod(inputs.shape[2:])))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(n, k, h, w, c) -> (n, k, h * w * c)."""
        return (*input_shape[:2], prod(input_shape[2:]))


def _multiplied(tf: Any, flat: KerasTensor, places: KerasTensor, down: KerasTensor, right: KerasTensor) -> KerasTensor:
    """Sums of rows of `flat`, as a product with a sparse matrix: (bins, c). No copy of the map's pixels is made."""
    weights = tf.reshape(down[..., :, None, :, None] * right[..., None, :, None, :], (-1,))
    bins, taps = tf.reduce_prod(tf.shape(places)[:-2]), tf.reduce_prod(tf.shape(places)[-2:])
    row = tf.broadcast_to(tf.range(tf.cast(bins, tf.int64))[:, None], tf.stack([bins, taps]))
    indices = tf.stack([tf.reshape(row, (-1,)), tf.reshape(tf.cast(places, tf.int64), (-1,))], -1)
    shape = tf.cast(tf.stack([bins, tf.shape(flat)[0]]), tf.int64)
    matrix = tf.raw_ops.SparseTensorToCSRSparseMatrix(indices=indices, values=weights, dense_shape=shape)

    @tf.custom_gradient
    def multiply(flat: KerasTensor) -> tuple[KerasTensor, Callable]:
        def product(b: KerasTensor, transpose: bool = False) -> KerasTensor:
            return tf.cond(  # the op ends the process if there are no regions
                bins > 0,
                lambda: tf.raw_ops.SparseMatrixMatMul(a=matrix, b=b, transpose_a=transpose),
                lambda: tf.zeros((tf.cast(shape[int(transpose)], tf.int32), b.shape[-1])),
            )

        return product(flat), lambda dy: product(dy, transpose=True)

    return multiply(flat)


def _gathered(tf: Any, flat: KerasTensor, places: KerasTensor, down: KerasTensor, right: KerasTensor) -> KerasTensor:
    """The same with plain ops, which every export format knows: one pixel of every bin after the other."""
    taps = tf.shape(places)[-2:]

    def add(number: KerasTensor, total: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
        i, j = number // taps[1], number % taps[1]
        weight = tf.gather(down, i, axis=-1)[..., :, None] * tf.gather(right, j, axis=-1)[..., None, :]
        pixels = tf.gather(flat, tf.gather(tf.gather(places, i, axis=-2), j, axis=-1))
        return number + 1, total + weight[..., None] * pixels

    total = tf.zeros(tf.concat([tf.shape(places)[:-2], tf.shape(flat)[1:]], 0))
    count = taps[0] * taps[1]
    shapes = (tf.TensorShape(()), tf.TensorShape([None] * 4).concatenate(flat.shape[1:]))
    return tf.while_loop(lambda number, _: number < count, add, (0, total), shape_invariants=shapes)[1]


def _bins(tf: Any, first: KerasTensor, size: KerasTensor, count: int, side: KerasTensor) -> KerasTensor:
    """The first pixel of each bin along one axis and the one behind its last, cut off at the map: (n, k, count, 2)."""
    # Caffe rounds the quotient and the product to float32, so that 7 * (size / 7) may be above size
    step = _divided(tf, size, count)[..., None]
    bins = tf.range(count + 1, dtype=tf.float32)
    limits = tf.stack([tf.floor(bins[:-1] * step), tf.math.ceil(bins[1:] * step)], -1)
    return tf.clip_by_value(tf.cast(limits, tf.int32) + first[..., None, None], 0, side)


def _divided(tf: Any, x: KerasTensor, count: int) -> KerasTensor:
    """The quotient x / count, correctly rounded. In a graph TensorFlow multiplies by the rounded reciprocal instead."""
    return tf.cast(tf.cast(x, tf.float64) / count, tf.float32)


def _round(tf: Any, x: KerasTensor) -> KerasTensor:
    """To the nearest whole number, halves away from zero, as C's `round`."""
    whole = tf.floor(tf.abs(x))
    return tf.sign(x) * (whole + tf.cast(tf.abs(x) - whole >= 0.5, x.dtype))


def _two(label: str, size: Any) -> tuple[int, int]:
    """A height and a width, given as an int or two."""
    sizes = size if isinstance(size, (tuple, list)) else (size, size)
    if len(sizes) != 2:
        raise ValueError(f"{label} must be an int or two, got {got(size)}.")
    return check_count(label, sizes[0]), check_count(label, sizes[1])

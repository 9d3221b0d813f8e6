"""Pooling that rounds and pads as Caffe and torch do, and adaptive average pooling."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import KerasTensor, layers, ops

from ..arguments import Shape
from ._support import register


@register
class AdaptiveAveragePooling2D(layers.AdaptiveAveragePooling2D):
    """Divides a map of any size evenly into windows and takes their means, by torch's rule.

    Keras's layer of the same name fails in graphs, and so in `fit`, where a side of its input or output has one pixel.
    (n, h, w, c) -> (n, output_size, output_size, c). Row i of the output is the mean of the input's rows
    floor(i h / output_size) to ceil((i + 1) h / output_size) - 1; columns follow the same rule.

    Args:
        output_size: Height and width of the output in pixels, an int or two.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If the input's height or width is not known.

    Examples:
        >>> AdaptiveAveragePooling2D(7)(keras.Input((1, 1, 512))).shape
        (None, 7, 7, 512)
    """

    def call(self, inputs: KerasTensor) -> KerasTensor:
        """(n, h, w, c) -> (n, h', w', c)."""
        _, height, width, channels = self.compute_output_shape(inputs.shape)
        _, h, w, _ = inputs.shape
        if (h, w) == (height, width):
            return inputs
        x = ops.matmul(ops.cast(_means(w, width), inputs.dtype), inputs)
        x = ops.matmul(ops.cast(_means(h, height), inputs.dtype), ops.reshape(x, (-1, h, width * channels)))
        return ops.reshape(x, (-1, height, width, channels))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(n, h, w, c) -> (n, h', w', c)."""
        if None in input_shape[1:3]:
            raise ValueError(f"{self.name} needs a map of known height and width, got {tuple(input_shape)}.")
        return super().compute_output_shape(input_shape)


def _means(n: int, out: int) -> np.ndarray:
    """The weights of n pixels in the means of `out` windows: (out, n)."""
    windows = np.zeros((out, n), "float32")
    for i, window in enumerate(windows):
        window[i * n // out : -(-(i + 1) * n // out)] = 1
    return windows / windows.sum(1, keepdims=True)


class _RoundedUp(layers.Layer):
    """What the pools below share: their output size is rounded up."""

    def __init__(self, pool_size: int | Sequence[int], strides: int | Sequence[int], **kwargs: Any):
        super().__init__(pool_size, strides, **(kwargs | {"padding": "valid"}))
        if any(s > k for s, k in zip(self.strides, self.pool_size, strict=True)):
            raise ValueError(f"strides must be at most pool_size, got strides={strides}, pool_size={pool_size}.")

    def _windows(self, shape: Shape) -> list[tuple]:
        return list(zip(shape[1:3], self.pool_size, self.strides, strict=True))

    def _padding(self, shape: Shape) -> list[tuple[int, int]] | None:
        """The pixels that the last windows lack, in front and behind on each axis; None if no window lacks any."""
        pads = [(n - k) % s and s - (n - k) % s if n else s - 1 for n, k, s in self._windows(shape)]
        return [(0, 0), *((0, pad) for pad in pads), (0, 0)] if any(pads) else None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(n, h, w, c) -> (n, h', w', c); an unknown size stays None."""
        sides = [n and -(-(n - k) // s) + 1 for n, k, s in self._windows(input_shape)]
        if any(side is not None and side < 1 for side in sides):
            raise ValueError(f"A {self.pool_size} pool does not fit on a map of {tuple(input_shape[1:3])} pixels.")
        return (input_shape[0], *sides, input_shape[3])


@register
class CeilMaxPooling2D(_RoundedUp, layers.MaxPooling2D):
    """Max pooling whose output size is rounded up, as in Caffe and in torch with `ceil_mode=True`.

    The last window may reach beyond the right and bottom edges. Nothing is padded at the left and top.
    (n, h, w, c) -> (n, ceil((h - pool_size) / strides) + 1, ceil((w - pool_size) / strides) + 1, c). A 3x3 pool
    with strides 2 equals Keras's `padding="same"` on even sizes only.

    Args:
        pool_size: Height and width of the window in pixels, an int or two; at least `strides`.
        strides: Step of the window in pixels, an int or two.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If `strides` is larger than `pool_size`.

    Examples:
        >>> CeilMaxPooling2D(3, strides=2)(keras.Input((112, 111, 64))).shape
        (None, 56, 55, 64)
    """

    def call(self, inputs: KerasTensor) -> KerasTensor:
        """(n, h, w, c) -> (n, h', w', c)."""
        padding = self._padding(inputs.shape)
        if not padding:
            return ops.max_pool(inputs, self.pool_size, self.strides, "valid")
        if all(self._is_same(*window) for window in self._windows(inputs.shape)):
            return ops.max_pool(inputs, self.pool_size, self.strides, "same")  # no copy of the input
        padded = ops.pad(inputs, padding, constant_values=float("-inf"))
        return ops.max_pool(padded, self.pool_size, self.strides, "valid")

    @staticmethod
    def _is_same(n: int | None, k: int, s: int) -> bool:
        """Whether Keras's "same" gives the same windows on a side of n pixels: as many, with no padding in front."""
        if n is None:
            return False
        count = -(-n // s)
        return count == -(-(n - k) // s) + 1 and (count - 1) * s + k - n <= 1


@register
class CeilAveragePooling2D(_RoundedUp, layers.AveragePooling2D):
    """Average pooling whose output size is rounded up, as in Caffe and in torch with `ceil_mode=True`.

    The windows are those of `CeilMaxPooling2D`. Where a window reaches beyond the edge, the mean is of the pixels
    inside.

    Args:
        pool_size: Height and width of the window in pixels, an int or two; at least `strides`.
        strides: Step of the window in pixels, an int or two.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If `strides` is larger than `pool_size`.

    Examples:
        >>> CeilAveragePooling2D(3, strides=2)(keras.Input((16, 17, 192))).shape
        (None, 8, 8, 192)
    """

    def call(self, inputs: KerasTensor) -> KerasTensor:
        """(n, h, w, c) -> (n, h', w', c)."""
        padding = self._padding(inputs.shape)
        if not padding:
            return ops.average_pool(inputs, self.pool_size, self.strides, "valid")
        ones = ops.ones_like(inputs[:1, ..., :1])
        sums, counts = (
            ops.average_pool(ops.pad(x, padding), self.pool_size, self.strides, "valid") for x in (inputs, ones)
        )
        return sums / counts


@register
class MaxPooling2D(layers.MaxPooling2D):
    """Max pooling with `pool_size // 2` pixels of padding on every side, as in torchvision's nets.

    The padding is minus infinity and so is never the maximum. For an odd window,
    (n, h, w, c) -> (n, ceil(h / strides), ceil(w / strides), c).

    Args:
        pool_size: Height and width of the window in pixels.
        strides: Step of the window in pixels.
        **kwargs: As for `keras.layers.Layer`.

    Examples:
        >>> MaxPooling2D(3, strides=2)(keras.Input((112, 111, 64))).shape
        (None, 56, 56, 64)
    """

    def __init__(self, pool_size: int, strides: int, **kwargs: Any):
        super().__init__(pool_size, strides, **(kwargs | {"padding": "valid"}))
        self._pads = [(0, 0), *((k // 2, k // 2) for k in self.pool_size), (0, 0)]

    def call(self, inputs: KerasTensor) -> KerasTensor:
        """(n, h, w, c) -> (n, h', w', c)."""
        # pad with a separate op: oneDNN's gradient is several times faster but does not know explicit padding
        padded = ops.pad(inputs, self._pads, constant_values=float("-inf"))
        return ops.max_pool(padded, self.pool_size, self.strides, "valid")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(n, h, w, c) -> (n, h', w', c); an unknown size stays None."""
        padded = [n if n is None else n + sum(p) for n, p in zip(input_shape, self._pads, strict=True)]
        return super().compute_output_shape(padded)

"""Layers that bring a map to the size of another one, and transposed convolutions that start as interpolation."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import KerasTensor, initializers, layers, ops

from ..arguments import Shape
from ._support import register, tensorflow


@register
class Bilinear(initializers.Initializer):
    """The kernel of a transposed convolution that interpolates each channel bilinearly.

    Weight i of one axis is 1 - |i - c| / f, where f is (size + 1) // 2. The centre c is f - 1 for an odd size and
    f - 0.5 for an even one. Only the weights between a channel and itself are not zero.

    Args:
        centred: Whether an even kernel is centred on f - 1, too. Its last row and column are then zero, and the rest is
            the kernel of the next smaller size.

    Reference:
        `surgery.py` of Long, Shelhamer and Darrell, arXiv:1411.4038.

    Examples:
        >>> Bilinear()((4, 4, 1, 1))[0, :, 0, 0].numpy().tolist()
        [0.0625, 0.1875, 0.1875, 0.0625]
    """

    def __init__(self, centred: bool = False):
        self.centred = centred

    def __call__(self, shape: Shape, dtype: str | None = None) -> KerasTensor:
        """(height, width, channels, channels), as `keras.layers.Conv2DTranspose` keeps its kernel."""
        *sizes, outputs, inputs = shape
        rows, columns = (_tent(size, self.centred) for size in sizes)
        kernel = (rows[:, None] * columns)[..., None, None] * np.eye(outputs, inputs)
        return ops.convert_to_tensor(kernel, dtype or "float32")

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        return {"centred": self.centred}


def _tent(size: int, centred: bool) -> np.ndarray:
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 or centred else factor - 0.5
    return 1 - np.abs(np.arange(size) - centre) / factor


@register
class BilinearConv2DTranspose(layers.Conv2DTranspose):
    """A transposed convolution without padding and bias that starts as bilinear interpolation.

    Its kernel joins every channel with every other one, as in the released nets of "Fully Convolutional Networks".
    (n, h, w, c) -> (n, strides (h - 1) + kernel_size, strides (w - 1) + kernel_size, filters).

    Args:
        filters: Number of output channels, as many as the input has.
        kernel_size: Height and width of the kernel in pixels, at least `strides`.
        strides: The factor by which the map is enlarged.
        learned: Whether the kernel is trained. By default it stays as it starts, even if the layer is trainable.
        centred: Whether a kernel of an even size interpolates like the next smaller one, see `Bilinear`.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If the kernel is smaller than `strides`, or the input has another number of channels.

    Examples:
        >>> layer = BilinearConv2DTranspose(21, kernel_size=64, strides=32)
        >>> layer(keras.Input((16, 16, 21))).shape, layer.count_params(), len(layer.trainable_weights)
        ((None, 544, 544, 21), 1806336, 0)
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int],
        strides: int | tuple[int, int],
        *,
        learned: bool = False,
        centred: bool = False,
        **kwargs: Any,
    ):
        kwargs |= {"padding": "valid", "use_bias": False, "kernel_initializer": Bilinear(centred)}
        super().__init__(filters, kernel_size, strides, **kwargs)
        if any(k < s for k, s in zip(self.kernel_size, self.strides, strict=True)):
            raise ValueError(f"kernel_size must be at least strides, got {kernel_size} and {strides}.")
        self.learned, self.centred = learned, centred

    def build(self, input_shape: Shape) -> None:
        """Makes the kernel."""
        if input_shape[-1] != self.filters:
            raise ValueError(f"{self.name} needs a map of {self.filters} channels, got {input_shape[-1]}.")
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self.kernel_size, self.filters, input_shape[-1]),
            initializer=self.kernel_initializer,
            trainable=self.learned,  # of the weight and not of the layer, so that unfreezing the layer changes nothing
        )
        self.bias = None

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        names = ("filters", "kernel_size", "strides")
        config = super().get_config()
        own = {name: config[name] for name in names} | {"learned": self.learned, "centred": self.centred}
        return layers.Layer.get_config(self) | own


@register
class CropLike(layers.Layer):
    """Cuts a map to the height and width of another one: (n, h, w, c), (n, h', w', d) -> (n, h', w', c).

    What lies outside the map is zero.

    Args:
        offset: The first row and column of the map that is kept. If it is negative, as many rows and columns of zeros
            come first.
        **kwargs: As for `keras.layers.Layer`.

    Examples:
        >>> CropLike(19)([keras.Input((544, 544, 21)), keras.Input((500, 500, 3))]).shape
        (None, 500, 500, 21)
    """

    def __init__(self, offset: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.offset = offset

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        """(n, h, w, c), (n, h', w', d) -> (n, h', w', c)."""
        x, like = inputs
        rows, columns = ops.shape(like)[1:3]
        pads = [self._pad(*sides) for sides in zip(ops.shape(x)[1:3], (rows, columns), strict=True)]
        if any(not isinstance(side, int) or side for pad in pads for side in pad):
            x = ops.pad(x, [(0, 0), *pads, (0, 0)])
        first = max(self.offset, 0)
        return x[:, first : first + rows, first : first + columns]

    def _pad(self, side: int | KerasTensor, wanted: int | KerasTensor) -> tuple[int, int | KerasTensor]:
        """The rows or columns of zeros before and behind a side of the map."""
        known = isinstance(side, int) and isinstance(wanted, int)
        lacking = self.offset + wanted - side
        return max(-self.offset, 0), max(lacking, 0) if known else ops.maximum(lacking, 0)

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        """(n, h, w, c), (n, h', w', d) -> (n, h', w', c)."""
        x, like = input_shape
        return (x[0], *like[1:3], x[3])

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        return super().get_config() | {"offset": self.offset}


@register
class ResizeLike(layers.Layer):
    """Resizes a map to the height and width of another one: (n, h, w, c), (n, h', w', d) -> (n, h', w', c).

    The interpolation is bilinear between the centres of the pixels, as torch's with `align_corners=False`.

    Args:
        **kwargs: As for `keras.layers.Layer`.

    Examples:
        >>> ResizeLike()([keras.Input((65, 65, 21)), keras.Input((520, 520, 3))]).shape
        (None, 520, 520, 21)
    """

    def call(self, inputs: list[KerasTensor]) -> KerasTensor:
        """(n, h, w, c), (n, h', w', d) -> (n, h', w', c)."""
        x, like = inputs
        size = ops.shape(like)[1:3]
        if tf := tensorflow():
            resized = tf.raw_ops.ResizeBilinear(images=x, size=tf.stack(size), half_pixel_centers=True)
            return tf.ensure_shape(tf.cast(resized, x.dtype), self.compute_output_shape([x.shape, like.shape]))
        return ops.image.resize(x, size, interpolation="bilinear")

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        """(n, h, w, c), (n, h', w', d) -> (n, h', w', c)."""
        x, like = input_shape
        return (x[0], *like[1:3], x[3])

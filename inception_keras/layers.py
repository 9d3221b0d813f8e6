"""Keras layers that Keras lacks; each can be saved, loaded and used with every Keras backend."""

from typing import Any

import keras
import numpy as np
from keras import layers, ops

_register = keras.saving.register_keras_serializable("inception_keras")


def _tensorflow() -> Any:
    """TensorFlow where it is Keras's backend, else None: some of its ops do in one pass what takes Keras several."""
    if keras.config.backend() != "tensorflow":
        return None
    import tensorflow

    return tensorflow


@_register
class Conv2D(layers.Conv2D):
    """Keras's `Conv2D`, weights and all, with `kernel_size // 2` of padding on every side, as in Caffe and torch.

    Keras's `padding="same"` with strides pads right and bottom more than left and top, so that published weights
    do not give published outputs. (n, h, w, c) -> (n, ceil(h / strides), ceil(w / strides), filters) for an odd
    kernel.

    Args:
        filters: Number of output channels.
        kernel_size: Height and width of the kernel in pixels, an int or two.
        **kwargs: As for `keras.layers.Conv2D`, without `padding`.

    Example:
        >>> Conv2D(64, 7, strides=2)(keras.Input((224, 224, 3))).shape
        (None, 112, 112, 64)
    """

    def __init__(self, filters: int, kernel_size: Any, **kwargs: Any):
        super().__init__(filters, kernel_size, **(kwargs | {"padding": "valid"}))
        self._pads = [(0, 0), *((k // 2, k // 2) for k in self.kernel_size), (0, 0)]

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """The convolution alone, without bias and activation."""
        if tf := _tensorflow():
            return tf.nn.conv2d(inputs, kernel, self.strides, self._pads)
        return super().convolution_op(ops.pad(inputs, self._pads), kernel)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(n, h, w, c) -> (n, h', w', filters); None where a size is not known."""
        padded = [n if n is None else n + sum(p) for n, p in zip(input_shape, self._pads, strict=True)]
        return super().compute_output_shape(padded)


@_register
class CeilMaxPooling2D(layers.MaxPooling2D):
    """Max pooling whose output size is rounded up: Caffe's rule, and torch's with `ceil_mode=True`.

    The last window may reach beyond the right and bottom edge; nothing is added at the left and top.
    (n, h, w, c) -> (n, ceil((h - pool_size) / strides) + 1, the like for w, c). Equal to Keras's
    `padding="same"` for 3x3/2 on even sizes only.

    Args:
        pool_size: Height and width of the window in pixels; at least `strides`.
        strides: Step of the window in pixels.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If `strides` is larger than `pool_size`.

    Example:
        >>> CeilMaxPooling2D(3, strides=2)(keras.Input((112, 111, 64))).shape
        (None, 56, 55, 64)
    """

    def __init__(self, pool_size: int, strides: int, **kwargs: Any):
        super().__init__(pool_size, strides, **(kwargs | {"padding": "valid"}))
        if any(s > k for s, k in zip(self.strides, self.pool_size, strict=True)):
            raise ValueError(f"strides must be at most pool_size, got strides={strides}, pool_size={pool_size}.")

    def call(self, inputs: Any) -> Any:
        """(n, h, w, c) -> (n, h', w', c)."""
        pads = [(n - k) % s and s - (n - k) % s if n else s - 1 for n, k, s in self._windows(inputs.shape)]
        if not any(pads):
            return ops.max_pool(inputs, self.pool_size, self.strides, "valid")
        if all(self._is_same(*window) for window in self._windows(inputs.shape)):
            return ops.max_pool(inputs, self.pool_size, self.strides, "same")  # no copy of the input
        widths = [(0, 0), (0, pads[0]), (0, pads[1]), (0, 0)]
        padded = ops.pad(inputs, widths, constant_values=float("-inf"))
        return ops.max_pool(padded, self.pool_size, self.strides, "valid")

    def _windows(self, shape: Any) -> list[tuple]:
        return list(zip(shape[1:3], self.pool_size, self.strides, strict=True))

    @staticmethod
    def _is_same(n: int | None, k: int, s: int) -> bool:
        """Whether Keras's "same" puts the same windows on a side of n pixels: as many, and none before the first."""
        if n is None:
            return False
        count = -(-n // s)
        return count == -(-(n - k) // s) + 1 and (count - 1) * s + k - n <= 1

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(n, h, w, c) -> (n, h', w', c); None where a size is not known."""
        sides = [n and -(-(n - k) // s) + 1 for n, k, s in self._windows(input_shape)]
        if any(side is not None and side < 1 for side in sides):
            raise ValueError(f"A {self.pool_size} pool does not fit on a map of {tuple(input_shape[1:3])} pixels.")
        return (input_shape[0], *sides, input_shape[3])


@_register
class LocalResponseNormalization(layers.Layer):
    """x / (k + alpha / size * sum of x**2 over `size` neighbouring channels) ** beta, as in Caffe and torch.

    AlexNet's section 3.3, with Caffe's division of alpha by `size`. The shape stays (n, h, w, c). The sum over
    channels is a 1x1 convolution with a constant band matrix, with a gradient of its own: on CPU it is
    faster than `tf.nn.local_response_normalization`, which also counts alpha differently.

    Args:
        size: Number of channels summed, odd.
        alpha: Weight of the mean square.
        beta: Exponent.
        k: Constant added before the power.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If `size` is not a positive odd int.

    Reference:
        Krizhevsky et al. 2012; `lrn_layer.cpp` of Caffe.

    Example:
        >>> LocalResponseNormalization()(keras.Input((56, 56, 64))).shape
        (None, 56, 56, 64)
    """

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(size, int) or size < 1 or size % 2 == 0:
            raise ValueError(f"size must be a positive odd int, got {size!r}.")
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def build(self, input_shape: Any) -> None:
        """Makes the (1, 1, c, c) band matrix; it is a constant, not a weight."""
        channel = np.arange(input_shape[-1])
        near = np.abs(channel[:, None] - channel[None]) <= self.size // 2
        self._band = (near * (self.alpha / self.size)).astype("float32")[None, None]

    def call(self, inputs: Any) -> Any:
        """(n, h, w, c) -> (n, h, w, c)."""
        return ops.cast(self._normalise(ops.cast(inputs, "float32")), inputs.dtype)  # squares overflow in float16

    def _normalise(self, x: Any) -> Any:
        @ops.custom_gradient
        def normalise(x: Any) -> Any:
            scale = self.k + ops.conv(x * x, self._band)
            power = self._power(scale)

            def gradient(*args: Any, upstream: Any = None) -> Any:
                dy = upstream if upstream is not None else args[0]
                direct = dy * power
                return direct - 2 * self.beta * x * ops.conv(direct * x / scale, self._band)

            return x * power, gradient

        return normalise(x)

    def _power(self, scale: Any) -> Any:
        if self.beta == 0.75:  # every net of the literature; two roots are faster than a power
            return ops.rsqrt(scale * ops.sqrt(scale))
        return ops.power(scale, -self.beta)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape stays."""
        return input_shape

    def get_config(self) -> dict:
        """What `from_config` needs."""
        own = {"size": self.size, "alpha": self.alpha, "beta": self.beta, "k": self.k}
        return super().get_config() | own

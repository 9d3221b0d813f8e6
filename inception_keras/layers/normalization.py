"""Local response normalization."""

from typing import Any

import numpy as np
from keras import layers, ops

from ._support import register


@register
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

    Examples:
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

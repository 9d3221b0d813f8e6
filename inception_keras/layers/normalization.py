"""Batch and local response normalization."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import ModuleType
from typing import Any

import numpy as np
from keras import KerasTensor, layers, ops

from ..arguments import Shape
from ._support import register, tensorflow
from .folding import folded, widened


@register
class BatchNormalization(layers.BatchNormalization):
    """Keras's `BatchNormalization`, computed by one op instead of a dozen; weights and shape stay.

    On TensorFlow, images go through its fused batch norm. A training step of ResNet-50 then takes a third less time on
    CPU, and in inference the batch norm merges with the convolution before it. The moving variance is n / (n - 1) times
    that of the batch, as in the paper's algorithm 2, Caffe and torch; Keras's own layer lacks this factor. With
    `synchronized`, the devices exchange one sum instead of three.

    Everything else is left to Keras's own code: other backends, inputs that are not images, float64, masks, axes other
    than the last and batch renormalization.

    Args:
        **kwargs: As for `keras.layers.BatchNormalization`.

    Reference:
        Ioffe and Szegedy, Batch Normalization, arXiv:1502.03167.

    Examples:
        >>> BatchNormalization(momentum=0.9)(keras.Input((56, 56, 64))).shape
        (None, 56, 56, 64)
    """

    def call(self, inputs: KerasTensor, training: bool | None = None, mask: KerasTensor | None = None) -> KerasTensor:
        """(n, h, w, c) -> (n, h, w, c)."""
        tf = tensorflow()
        images = len(inputs.shape) == 4 and self.axis in (-1, 3) and inputs.dtype != "float64"
        if tf is None or not images or mask is not None or self.renorm:
            return super().call(inputs, training=training, mask=mask)
        learns = bool(training and self.trainable)
        if learns and self.synchronized and tf.distribute.get_strategy().num_replicas_in_sync > 1:
            return self._call_synchronized(tf, inputs)
        channels = inputs.shape[-1]
        scale = tf.convert_to_tensor(self.gamma) if self.scale else tf.ones(channels)
        offset = tf.convert_to_tensor(self.beta) if self.center else tf.zeros(channels)
        mean, variance = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
        x = inputs
        if extra := -channels % 8 if learns else 0:  # oneDNN's gradient is up to three times slower at 58 than at 64
            x = widened(tf, x, extra)
            scale, offset, mean, variance = (tf.pad(part, [(0, extra)]) for part in (scale, offset, mean, variance))
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=scale,
            offset=offset,
            mean=mean,
            variance=variance,
            epsilon=self.epsilon,
            exponential_avg_factor=1 - self.momentum,
            is_training=learns,
        )
        if learns:
            self.moving_mean.assign(mean[:channels])
            self.moving_variance.assign(variance[:channels])
        if extra:
            return tf.slice(y, [0, 0, 0, 0], tf.shape(inputs))
        return folded(tf, y, training)

    def _call_synchronized(self, tf: ModuleType, inputs: KerasTensor) -> KerasTensor:
        """Normalizes by the statistics of all devices' images. A device that has only padding has weight 0."""
        shift = tf.stop_gradient(tf.convert_to_tensor(self.moving_mean))  # near the mean, to keep squares small
        x = tf.cast(inputs, "float32") - shift
        sums = [tf.reduce_sum(x, (0, 1, 2)), tf.reduce_sum(x * x, (0, 1, 2))]
        count = tf.cast(tf.reduce_prod(tf.shape(x)[:3]), "float32")[None]
        total = tf.distribute.get_replica_context().all_reduce("SUM", tf.concat([*sums, count], 0) * _weight.get())
        mean, square = tf.split(total[:-1] / total[-1], 2)
        variance = tf.maximum(square - mean * mean, 0.0)
        gamma, beta = self.gamma if self.scale else None, self.beta if self.center else None
        y = tf.nn.batch_normalization(x, mean, variance, beta, gamma, self.epsilon)
        unbiased = variance * total[-1] / tf.maximum(total[-1] - 1, 1)
        for moving, now in ((self.moving_mean, mean + shift), (self.moving_variance, unbiased)):
            moving.assign(moving * self.momentum + now * (1 - self.momentum))
        return tf.cast(y, inputs.dtype)


_weight: ContextVar[KerasTensor | float] = ContextVar("weight", default=1.0)


@contextmanager
def weighing(weight: KerasTensor) -> Iterator[None]:
    """Sets the weight of this device's images in synchronized batch norm: 1, or 0 if they are only padding."""
    token = _weight.set(weight)
    yield
    _weight.reset(token)


@register
class LocalResponseNormalization(layers.Layer):
    """x / (k + alpha / size * sum of x**2 over `size` neighbouring channels) ** beta, as in Caffe and torch.

    This is section 3.3 of AlexNet, but alpha is divided by `size`, as in Caffe. The shape stays (n, h, w, c).

    The sum over channels is a 1x1 convolution with a constant band matrix, and the layer defines its own gradient. On
    CPU it is faster than `tf.nn.local_response_normalization`, which also does not divide alpha by the window size.

    Args:
        size: Number of channels in the sum, odd.
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

    def build(self, input_shape: Shape) -> None:
        """Makes the (1, 1, c, c) band matrix, a constant and not a weight."""
        channel = np.arange(input_shape[-1])
        near = np.abs(channel[:, None] - channel[None]) <= self.size // 2
        self._band = (near * (self.alpha / self.size)).astype("float32")[None, None]

    def call(self, inputs: KerasTensor) -> KerasTensor:
        """(n, h, w, c) -> (n, h, w, c)."""
        return ops.cast(self._normalise(ops.cast(inputs, "float32")), inputs.dtype)  # squares overflow in float16

    def _normalise(self, x: KerasTensor) -> KerasTensor:
        @ops.custom_gradient
        def normalise(x: KerasTensor) -> KerasTensor:
            scale = self.k + ops.conv(x * x, self._band)
            power = self._power(scale)

            def gradient(*args: KerasTensor, upstream: KerasTensor | None = None) -> KerasTensor:
                dy = upstream if upstream is not None else args[0]
                direct = dy * power
                return direct - 2 * self.beta * x * ops.conv(direct * x / scale, self._band)

            return x * power, gradient

        return normalise(x)

    def _power(self, scale: KerasTensor) -> KerasTensor:
        if self.beta == 0.75:  # as in every net of the literature; two roots are faster than a power
            return ops.rsqrt(scale * ops.sqrt(scale))
        return ops.power(scale, -self.beta)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        own = {"size": self.size, "alpha": self.alpha, "beta": self.beta, "k": self.k}
        return super().get_config() | own


@register
class WithinChannelNormalization(layers.Layer):
    """x / (k + alpha * mean of x**2 over size x size pixels) ** beta, Caffe's LRN within channels.

    The shape stays (n, h, w, c). Windows that reach beyond the edge have zeros there, which count in the mean. The nets
    of SPPnet and Faster R-CNN called ZF have it where ZFNet normalises across channels.

    Args:
        size: Height and width of the window in pixels, odd.
        alpha: Weight of the mean square.
        beta: Exponent.
        k: Constant added before the power.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If `size` is not a positive odd int.

    Reference:
        `lrn_layer.cpp` of Caffe, with `norm_region: WITHIN_CHANNEL`.

    Examples:
        >>> WithinChannelNormalization()(keras.Input((56, 56, 64))).shape
        (None, 56, 56, 64)
    """

    def __init__(self, size: int = 3, alpha: float = 5e-5, beta: float = 0.75, k: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(size, int) or size < 1 or size % 2 == 0:
            raise ValueError(f"size must be a positive odd int, got {size!r}.")
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def call(self, inputs: KerasTensor) -> KerasTensor:
        """(n, h, w, c) -> (n, h, w, c)."""
        x = ops.cast(inputs, "float32")  # squares overflow in float16
        half = self.size // 2
        squares = ops.pad(x * x, [(0, 0), (half, half), (half, half), (0, 0)])
        mean = ops.average_pool(squares, self.size, 1, "valid")
        return ops.cast(x * ops.power(self.k + self.alpha * mean, -self.beta), inputs.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        own = {"size": self.size, "alpha": self.alpha, "beta": self.beta, "k": self.k}
        return super().get_config() | own

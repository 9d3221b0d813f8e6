"""Keras layers that Keras lacks; each can be saved, loaded and used with every Keras backend."""

from functools import cache
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


@cache
def _grouped_gradient(tf: Any) -> bool:
    """Whether TensorFlow has a gradient of grouped convolutions on this CPU; only oneDNN brings one."""
    shape = (1, 8, 8, 4)
    try:
        with tf.init_scope(), tf.device("CPU"):
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=shape,
                filter=tf.ones((3, 3, 2, 4)),
                out_backprop=tf.ones(shape),
                strides=[1] * 4,
                padding="SAME",
            )
    except tf.errors.OpError:
        return False
    return True


@_register
class Conv2D(layers.Conv2D):
    """Keras's `Conv2D`, weights and all, with `kernel_size // 2` of padding on every side, as in Caffe and torch.

    Keras's `padding="same"` with strides pads right and bottom more than left and top, so that published weights
    do not give published outputs. (n, h, w, c) -> (n, ceil(h / strides), ceil(w / strides), filters) for an odd
    kernel. With `groups` it trains hundreds of times faster on CPU than Keras's own, which then compiles with XLA.

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
        self._pads = _half(self.kernel_size, self.dilation_rate)
        self.supports_jit = self.groups == 1  # XLA takes seconds for a grouped one on CPU

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """The convolution alone, without bias and activation."""
        tf = _tensorflow()
        if tf and self.groups == 1:
            return tf.nn.conv2d(inputs, kernel, self.strides, self._pads, dilations=self.dilation_rate)
        if tf and _grouped_gradient(tf):  # of "SAME" and "VALID" alone
            same = set(self.strides) == {1} and all(k % 2 for k in self.kernel_size)
            image, padding = (inputs, "SAME") if same else (tf.pad(inputs, self._pads), "VALID")
            return tf.nn.conv2d(image, kernel, self.strides, padding, dilations=self.dilation_rate)
        padded = ops.pad(inputs, self._pads)
        convolve = super().convolution_op
        if tf is None:
            return convolve(padded, kernel)
        parts = zip(ops.split(padded, self.groups, -1), ops.split(kernel, self.groups, -1), strict=True)
        return ops.concatenate([convolve(*part) for part in parts], -1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(n, h, w, c) -> (n, h', w', filters); None where a size is not known."""
        return super().compute_output_shape(_padded(input_shape, self._pads))


@_register
class DepthwiseConv2D(layers.DepthwiseConv2D):
    """Keras's `DepthwiseConv2D` with `kernel_size // 2` of padding on every side, as `Conv2D` has it.

    (n, h, w, c) -> (n, ceil(h / strides), ceil(w / strides), c * depth_multiplier) for an odd kernel.

    Args:
        kernel_size: Height and width of the kernel in pixels, an int or two.
        **kwargs: As for `keras.layers.DepthwiseConv2D`, without `padding`.

    Example:
        >>> DepthwiseConv2D(3, strides=2)(keras.Input((112, 112, 32))).shape
        (None, 56, 56, 32)
    """

    def __init__(self, kernel_size: Any, **kwargs: Any):
        super().__init__(kernel_size, **(kwargs | {"padding": "valid"}))
        self._pads = _half(self.kernel_size, self.dilation_rate)

    def call(self, inputs: Any) -> Any:
        """(n, h, w, c) -> (n, h', w', c * depth_multiplier)."""
        # not TensorFlow's own explicit padding: with a bias behind it, its graph optimiser ends the process
        return super().call(ops.pad(inputs, self._pads))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(n, h, w, c) -> (n, h', w', c * depth_multiplier); None where a size is not known."""
        return super().compute_output_shape(_padded(input_shape, self._pads))


def _half(kernel_size: Any, dilation_rate: Any) -> list[tuple[int, int]]:
    """Half the kernel of padding on every side of (n, h, w, c)."""
    sides = [d * (k // 2) for k, d in zip(kernel_size, dilation_rate, strict=True)]
    return [(0, 0), *((side, side) for side in sides), (0, 0)]


def _padded(shape: Any, pads: list[tuple[int, int]]) -> list[int | None]:
    return [n if n is None else n + sum(pad) for n, pad in zip(shape, pads, strict=True)]


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
class MaxPooling2D(layers.MaxPooling2D):
    """Max pooling with `pool_size // 2` pixels of padding on every side that never win, as torch's nets have it.

    (n, h, w, c) -> (n, ceil(h / strides), ceil(w / strides), c) for an odd window.

    Args:
        pool_size: Height and width of the window in pixels.
        strides: Step of the window in pixels.
        **kwargs: As for `keras.layers.Layer`.

    Example:
        >>> MaxPooling2D(3, strides=2)(keras.Input((112, 111, 64))).shape
        (None, 56, 56, 64)
    """

    def __init__(self, pool_size: int, strides: int, **kwargs: Any):
        super().__init__(pool_size, strides, **(kwargs | {"padding": "valid"}))
        self._pads = [(0, 0), *((k // 2, k // 2) for k in self.pool_size), (0, 0)]

    def call(self, inputs: Any) -> Any:
        """(n, h, w, c) -> (n, h', w', c)."""
        if tf := _tensorflow():
            return tf.nn.max_pool2d(inputs, self.pool_size, self.strides, self._pads)
        padded = ops.pad(inputs, self._pads, constant_values=float("-inf"))
        return ops.max_pool(padded, self.pool_size, self.strides, "valid")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(n, h, w, c) -> (n, h', w', c); None where a size is not known."""
        padded = [n if n is None else n + sum(p) for n, p in zip(input_shape, self._pads, strict=True)]
        return super().compute_output_shape(padded)


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


@_register
class ChannelSlice(layers.Layer):
    """The channels from `start` up to, not including, `stop`: (n, h, w, c) -> (n, h, w, stop - start).

    Args:
        start: First channel.
        stop: Channel after the last one; None goes to the end.
        **kwargs: As for `keras.layers.Layer`.

    Example:
        >>> ChannelSlice(64)(keras.Input((28, 28, 80))).shape
        (None, 28, 28, 16)
    """

    def __init__(self, start: int = 0, stop: int | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.start, self.stop = start, stop

    def call(self, inputs: Any) -> Any:
        """(n, h, w, c) -> (n, h, w, stop - start)."""
        return inputs[..., self.start : self.stop]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(n, h, w, c) -> (n, h, w, stop - start)."""
        return (*input_shape[:-1], len(range(input_shape[-1])[self.start : self.stop]))

    def get_config(self) -> dict:
        """What `from_config` needs."""
        return super().get_config() | {"start": self.start, "stop": self.stop}


@_register
class ChannelShuffle(layers.Layer):
    """Lets the next grouped convolution see every group: channel i of group j becomes channel j of group i.

    ShuffleNet's figure 1(c); the shape stays (n, h, w, c).

    Args:
        groups: Number of groups, a divisor of the channels.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If the channels cannot be split into `groups`.

    Example:
        >>> ChannelShuffle(2)(np.arange(6.0).reshape(1, 1, 1, 6))[0, 0, 0].numpy().tolist()
        [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
    """

    def __init__(self, groups: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.groups = groups

    def build(self, input_shape: Any) -> None:
        """Checks the channels; there are no weights."""
        if input_shape[-1] % self.groups:
            raise ValueError(f"groups must divide the channels, got {self.groups} and {input_shape[-1]}.")

    def call(self, inputs: Any) -> Any:
        """(n, h, w, c) -> (n, h, w, c)."""
        shape = ops.shape(inputs)
        x = ops.reshape(inputs, (*shape[:3], self.groups, inputs.shape[-1] // self.groups))
        return ops.reshape(ops.transpose(x, (0, 1, 2, 4, 3)), shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape stays."""
        return input_shape

    def get_config(self) -> dict:
        """What `from_config` needs."""
        return super().get_config() | {"groups": self.groups}


@_register
def scaled_tanh(x: Any) -> Any:
    """1.7159 tanh(2 x / 3), LeNet-5's squashing function: it takes 1 to 1 and -1 to -1.

    Example:
        >>> round(float(scaled_tanh(1.0)), 4)
        1.0
    """
    return 1.7159 * ops.tanh(2 / 3 * x)


@_register
class TableConv2D(layers.Layer):
    """Convolution whose filters each read some of the input maps: LeNet-5's C3, without padding.

    The kernel holds only the connections that there are, (height, width, number of connections), in the order of the
    table. (n, h, w, c) -> (n, h - kernel_size + 1, w - kernel_size + 1, len(table)).

    Args:
        table: For each filter the numbers of the input maps that it reads.
        kernel_size: Height and width of the kernel in pixels.
        activation: As for `keras.layers.Conv2D`.
        kernel_initializer: As for `keras.layers.Conv2D`.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If the table names an input map that there is not.

    Reference:
        LeCun et al. 1998, table 1.

    Example:
        >>> TableConv2D([[0, 1], [1, 2], [0, 1, 2]], 5)(keras.Input((14, 14, 3))).shape
        (None, 10, 10, 3)
    """

    def __init__(
        self,
        table: Any,
        kernel_size: int,
        activation: Any = None,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.table = [list(row) for row in table]
        self.kernel_size = (kernel_size, kernel_size)
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Any) -> None:
        """Makes a kernel of the connections that there are, and a bias."""
        maps = input_shape[-1]
        pairs = [(source, target) for target, row in enumerate(self.table) for source in row]
        if not all(0 <= source < maps for source, _ in pairs):
            raise ValueError(f"The table must name maps from 0 to {maps - 1}, got {self.table}.")
        self.kernel = self.add_weight((*self.kernel_size, len(pairs)), self.kernel_initializer, name="kernel")
        self.bias = self.add_weight((len(self.table),), "zeros", name="bias")
        # one row a connection: where it stands in a full (maps, filters) kernel
        self._place = np.zeros((len(pairs), maps, len(self.table)), "float32")
        for i, pair in enumerate(pairs):
            self._place[(i, *pair)] = 1

    def call(self, inputs: Any) -> Any:
        """(n, h, w, c) -> (n, h', w', filters)."""
        kernel = ops.tensordot(self.kernel, ops.cast(self._place, self.kernel.dtype), 1)
        return self.activation(ops.conv(inputs, ops.cast(kernel, inputs.dtype), padding="valid") + self.bias)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(n, h, w, c) -> (n, h', w', filters); None where a size is not known."""
        sides = [n and n - k + 1 for n, k in zip(input_shape[1:3], self.kernel_size, strict=True)]
        return (input_shape[0], *sides, len(self.table))

    def get_config(self) -> dict:
        """What `from_config` needs."""
        return super().get_config() | {
            "table": self.table,
            "kernel_size": self.kernel_size[0],
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@_register
class Subsampling2D(layers.Layer):
    """The sum of each 2x2 window, times a trained coefficient and plus a trained bias of its map: LeNet-5's S2 and S4.

    (n, h, w, c) -> (n, h // 2, w // 2, c), with 2 c weights.

    Args:
        activation: As for `keras.layers.Dense`.
        coefficient_initializer: What the coefficients start from.
        **kwargs: As for `keras.layers.Layer`.

    Example:
        >>> Subsampling2D()(keras.Input((28, 28, 6))).shape
        (None, 14, 14, 6)
    """

    def __init__(self, activation: Any = None, coefficient_initializer: Any = "glorot_uniform", **kwargs: Any):
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.coefficient_initializer = keras.initializers.get(coefficient_initializer)

    def build(self, input_shape: Any) -> None:
        """Makes a coefficient and a bias for each map."""
        maps = input_shape[-1:]
        self.coefficient = self.add_weight(maps, self.coefficient_initializer, name="coefficient")
        self.bias = self.add_weight(maps, "zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        """(n, h, w, c) -> (n, h // 2, w // 2, c)."""
        return self.activation(4 * ops.average_pool(inputs, 2, 2) * self.coefficient + self.bias)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(n, h, w, c) -> (n, h // 2, w // 2, c); None where a size is not known."""
        return (input_shape[0], *(n and n // 2 for n in input_shape[1:3]), input_shape[3])

    def get_config(self) -> dict:
        """What `from_config` needs."""
        return super().get_config() | {
            "activation": keras.activations.serialize(self.activation),
            "coefficient_initializer": keras.initializers.serialize(self.coefficient_initializer),
        }


@_register
class RadialBasis(layers.Layer):
    """Squared distance of the features to each class's code, a constant: LeNet-5's output. (n, c) -> (n, classes).

    Args:
        codes: (classes, c) numbers.
        **kwargs: As for `keras.layers.Layer`.

    Example:
        >>> RadialBasis([[1, 1], [1, -1]])(np.array([[1.0, 1.0]])).numpy().tolist()
        [[0.0, 4.0]]
    """

    def __init__(self, codes: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.codes = np.asarray(codes, "float32")

    def call(self, inputs: Any) -> Any:
        """(n, c) -> (n, classes)."""
        return ops.sum(ops.square(inputs[:, None] - ops.cast(self.codes, inputs.dtype)), axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """(n, c) -> (n, classes)."""
        return (input_shape[0], len(self.codes))

    def get_config(self) -> dict:
        """What `from_config` needs."""
        return super().get_config() | {"codes": self.codes.tolist()}

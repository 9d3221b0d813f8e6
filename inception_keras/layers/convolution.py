"""Convolutions with symmetric padding, and grouped convolutions that do not need XLA."""

from collections.abc import Callable
from functools import cache, partial
from types import ModuleType
from typing import Any

from keras import KerasTensor, activations, layers, ops

from ..arguments import Shape
from . import winograd
from ._support import on_cpu, register, tensorflow

_FAST = 3  # oneDNN has a fast gradient for depthwise kernels of at most this many columns


@cache
def _has_gradient(tf: ModuleType, dtype: str, *, groups: int = 1, dilation: int = 1) -> bool:
    """Whether TensorFlow has a gradient of grouped or dilated convolutions on this CPU.

    Only oneDNN provides one, and not for float16.
    """
    shape = (1, 8, 8, 4)
    try:
        with tf.init_scope(), tf.device("CPU"):
            tf.raw_ops.Conv2DBackpropInput(
                input_sizes=shape,
                filter=tf.ones((3, 3, 4 // groups, 4), dtype),
                out_backprop=tf.ones(shape, dtype),
                strides=[1] * 4,
                padding="SAME",
                dilations=[1, dilation, dilation, 1],
            )
    except tf.errors.OpError:
        return False
    return True


@register
class Conv2D(layers.Conv2D):
    """Keras's `Conv2D` with `kernel_size // 2` pixels of padding on every side, as in Caffe and torch.

    With strides, Keras's `padding="same"` pads right and bottom more than left and top, so published weights do not
    give published outputs. The weights are those of Keras's layer. For an odd kernel,
    (n, h, w, c) -> (n, ceil(h / strides), ceil(w / strides), filters).

    With `groups`, this layer trains hundreds of times faster on CPU than Keras's own, which compiles grouped
    convolutions with XLA.

    Args:
        filters: Number of output channels.
        kernel_size: Height and width of the kernel in pixels, an int or two.
        **kwargs: As for `keras.layers.Conv2D`, without `padding`.

    Examples:
        >>> Conv2D(64, 7, strides=2)(keras.Input((224, 224, 3))).shape
        (None, 112, 112, 64)
    """

    def __init__(self, filters: int, kernel_size: int | tuple[int, int], **kwargs: Any):
        super().__init__(filters, kernel_size, **(kwargs | {"padding": "valid"}))
        self._pads = _half(self.kernel_size, self.dilation_rate)
        self.supports_jit = self.groups == 1  # on CPU, XLA takes seconds for a grouped convolution

    def call(self, inputs: KerasTensor, training: bool | None = None) -> KerasTensor:
        """(n, h, w, c) -> (n, h', w', filters)."""
        tf = tensorflow()
        if tf is None or training or self.activation is activations.linear:  # the batch norm after it will fold it
            return super().call(inputs)
        x = winograd.faster(tf, self.convolution_op(inputs, self.kernel))
        return self.activation(ops.add(x, self.bias) if self.use_bias else x)

    def convolution_op(self, inputs: KerasTensor, kernel: KerasTensor) -> KerasTensor:
        """The convolution without bias and activation."""
        tf = tensorflow()
        same = set(self.strides) == {1} and all(k % 2 for k in self.kernel_size)
        # pad with a separate op: TensorFlow's explicit padding has a slower gradient, and none at all with groups
        image, padding = (inputs, "same") if same else (ops.pad(inputs, self._pads), "valid")
        groups, dilation = min(self.groups, 2), min(max(self.dilation_rate), 2)
        # Keras lets XLA compile grouped convolutions, and divides dilated ones into many small ones
        if tf and (groups, dilation) != (1, 1):
            if not on_cpu(tf) or _has_gradient(tf, inputs.dtype, groups=groups, dilation=dilation):
                return tf.nn.conv2d(image, kernel, self.strides, padding.upper(), dilations=self.dilation_rate)
        convolve = partial(ops.conv, strides=self.strides, padding=padding, dilation_rate=self.dilation_rate)
        if self.groups == 1:
            return convolve(image, kernel)
        parts = zip(ops.split(image, self.groups, -1), ops.split(kernel, self.groups, -1), strict=True)
        return ops.concatenate([convolve(*part) for part in parts], -1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(n, h, w, c) -> (n, h', w', filters); an unknown size stays None."""
        return super().compute_output_shape(_padded(input_shape, self._pads))


@register
class DepthwiseConv2D(layers.DepthwiseConv2D):
    """Keras's `DepthwiseConv2D` with `kernel_size // 2` pixels of padding on every side, as in `Conv2D` above.

    For an odd kernel, (n, h, w, c) -> (n, ceil(h / strides), ceil(w / strides), c * depth_multiplier).

    Args:
        kernel_size: Height and width of the kernel in pixels, an int or two.
        **kwargs: As for `keras.layers.DepthwiseConv2D`, without `padding`.

    Examples:
        >>> DepthwiseConv2D(3, strides=2)(keras.Input((112, 112, 32))).shape
        (None, 56, 56, 32)
    """

    def __init__(self, kernel_size: int | tuple[int, int], **kwargs: Any):
        super().__init__(kernel_size, **(kwargs | {"padding": "valid"}))
        self._pads = _half(self.kernel_size, self.dilation_rate)

    def call(self, inputs: KerasTensor, training: bool | None = None) -> KerasTensor:
        """(n, h, w, c) -> (n, h', w', c * depth_multiplier)."""
        tf = tensorflow()
        x, kernel, padding = inputs, ops.convert_to_tensor(self.kernel), "same"
        extra = self._extra(inputs.shape)
        if None in extra or (any(extra) and (training or set(self.dilation_rate) != {1})):
            # not TensorFlow's explicit padding: followed by a bias, it makes the graph optimiser crash the process
            x, padding = ops.pad(inputs, self._pads), "valid"
        elif any(extra):
            kernel = ops.pad(kernel, [*((0, side) for side in extra), (0, 0), (0, 0)])
        if tf and training and self.kernel_size[1] > _FAST and set(self.dilation_rate) == {1} and on_cpu(tf):
            x = self._in_columns(tf, x, kernel, padding.upper())
        else:
            x = ops.depthwise_conv(x, kernel, self.strides, padding, dilation_rate=self.dilation_rate)
        x = ops.add(x, self.bias) if self.use_bias else x
        return x if self.activation is None else self.activation(x)

    def _extra(self, shape: Shape) -> list[int | None]:
        """Rows and columns of zeros to append to the kernel, below and right, so that "same" padding gives our windows.

        Enlarging the kernel avoids a padded copy of the image. In training that does not pay: the gradient of the
        larger kernel costs more than the copy. A side is None if its size is not known or the kernel is even there.
        """
        sides = zip(shape[1:3], self.kernel_size, self.strides, strict=True)
        return [None if k % 2 == 0 else 0 if s == 1 else n and (n - 1) % s for n, k, s in sides]

    def _in_columns(self, tf: ModuleType, x: KerasTensor, kernel: KerasTensor, padding: str) -> KerasTensor:
        """The convolution, with the gradient of the kernel computed for at most 3 columns at a time.

        oneDNN has a fast gradient only for kernels of at most 3 columns. A 5x5 kernel in two parts takes half the time.
        """
        strides = [1, *self.strides, 1]
        height, width = self.kernel_size

        @tf.custom_gradient
        def convolve(x: KerasTensor, kernel: KerasTensor) -> tuple[KerasTensor, Callable]:
            def gradient(dy: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
                sizes, options = tf.shape(x), {"out_backprop": dy, "strides": strides}
                dx = tf.raw_ops.DepthwiseConv2dNativeBackpropInput(
                    input_sizes=sizes, filter=kernel, padding=padding, **options
                )
                image = x if padding == "VALID" else tf.pad(x, _half(self.kernel_size, self.dilation_rate))
                reach = (tf.shape(dy)[2] - 1) * self.strides[1]
                parts = []
                for left in range(0, width, _FAST):
                    columns = min(_FAST, width - left)
                    parts.append(
                        tf.raw_ops.DepthwiseConv2dNativeBackpropFilter(
                            input=image[:, :, left : left + reach + columns],
                            filter_sizes=(height, columns, *kernel.shape[2:]),
                            padding="VALID",
                            **options,
                        )
                    )
                return dx, tf.concat(parts, 1)

            return tf.nn.depthwise_conv2d(x, kernel, strides, padding), gradient

        return convolve(x, tf.identity(kernel))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(n, h, w, c) -> (n, h', w', c * depth_multiplier); an unknown size stays None."""
        return super().compute_output_shape(_padded(input_shape, self._pads))


def _half(kernel_size: tuple[int, int], dilation_rate: tuple[int, int]) -> list[tuple[int, int]]:
    """Padding of half the kernel size on both sides of each axis of (n, h, w, c)."""
    sides = [d * (k // 2) for k, d in zip(kernel_size, dilation_rate, strict=True)]
    return [(0, 0), *((side, side) for side in sides), (0, 0)]


def _padded(shape: Shape, pads: list[tuple[int, int]]) -> list[int | None]:
    return [n if n is None else n + sum(pad) for n, pad in zip(shape, pads, strict=True)]

"""Layers that split and reorder channels."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from keras import KerasTensor, layers, ops

from ..arguments import Shape
from ._support import in_step, register, tensorflow


@register
class ChannelSplit(layers.Layer):
    """Splits the channels in two: (n, h, w, c) -> (n, h, w, first), (n, h, w, c - first).

    Args:
        first: Number of channels in the first part.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If `first` is not between 0 and the number of channels.

    Examples:
        >>> [part.shape for part in ChannelSplit(64)(keras.Input((28, 28, 80)))]
        [(None, 28, 28, 64), (None, 28, 28, 16)]
    """

    def __init__(self, first: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.first = first

    def build(self, input_shape: Shape) -> None:
        """Checks the number of channels. The layer has no weights."""
        if not 0 < self.first < input_shape[-1]:
            raise ValueError(f"first must be between 0 and the {input_shape[-1]} channels, got {self.first}.")

    def call(self, inputs: KerasTensor) -> list[KerasTensor]:
        """(n, h, w, c) -> (n, h, w, first), (n, h, w, c - first)."""
        # not two slices: each would have a gradient of the whole size, and the two would have to be added
        if tf := tensorflow():
            return tf.split(inputs, [self.first, inputs.shape[-1] - self.first], -1)
        return ops.split(inputs, [self.first], -1)

    def compute_output_shape(self, input_shape: Shape) -> list[Shape]:
        """(n, h, w, c) -> (n, h, w, first), (n, h, w, c - first)."""
        *sides, channels = input_shape
        return [(*sides, self.first), (*sides, channels - self.first)]

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        return super().get_config() | {"first": self.first}


@register
class ChannelShuffle(layers.Layer):
    """Mixes the groups: channel i of group j becomes channel j of group i.

    The next grouped convolution then reads channels of every group, as in figure 1(c) of ShuffleNet. The shape stays
    (n, h, w, c).

    Args:
        groups: Number of groups; it must divide the number of channels.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If the channels cannot be split into `groups`.

    Examples:
        >>> import numpy as np
        >>> ChannelShuffle(2)(np.arange(6.0).reshape(1, 1, 1, 6))[0, 0, 0].numpy().tolist()
        [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
    """

    def __init__(self, groups: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.groups = groups

    def build(self, input_shape: Shape) -> None:
        """Checks the number of channels. The layer has no weights."""
        if input_shape[-1] % self.groups:
            raise ValueError(f"groups must divide the channels, got {self.groups} and {input_shape[-1]}.")

    def call(self, inputs: KerasTensor, training: bool | None = None) -> KerasTensor:
        """(n, h, w, c) -> (n, h, w, c)."""
        shape = ops.shape(inputs)
        tf = tensorflow()
        if tf and self.groups == 2 and inputs.dtype == "float32" and (training or in_step(tf)):
            return tf.reshape(_interleaved(tf, inputs), shape)
        x = ops.reshape(inputs, (*shape[:3], self.groups, inputs.shape[-1] // self.groups))
        return ops.reshape(ops.transpose(x, (0, 1, 2, 4, 3)), shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the input."""
        return input_shape

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        return super().get_config() | {"groups": self.groups}


def _interleaved(tf: ModuleType, x: KerasTensor) -> KerasTensor:
    """(..., c) -> (..., c / 2, 2): interleaves the two halves of the channels.

    The halves become the real and imaginary parts of complex numbers. This takes a third of the time of a
    transposition.
    """
    halves = _concatenated(tf, x) or tf.split(x, 2, -1)

    @tf.custom_gradient
    def interleave(a: KerasTensor, b: KerasTensor) -> tuple[KerasTensor, Callable]:
        def gradient(dy: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
            pairs = tf.bitcast(dy, tf.complex64)
            return tf.math.real(pairs), tf.math.imag(pairs)

        return tf.bitcast(tf.complex(a, b), tf.float32), gradient

    return interleave(*halves)


def _concatenated(tf: ModuleType, x: KerasTensor) -> list[KerasTensor] | None:
    """The two equal halves that were concatenated into `x`, if `x` is such a concatenation in a graph; else None.

    With the halves at hand, the graph need not compute the concatenation.
    """
    if not tf.is_symbolic_tensor(x) or x.op.type != "ConcatV2":
        return None
    *parts, axis = x.op.inputs
    last = tf.get_static_value(axis) in (-1, len(x.shape) - 1)
    return parts if last and len(parts) == 2 and parts[0].shape[-1] == parts[1].shape[-1] else None

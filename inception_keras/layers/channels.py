"""Layers that choose and order channels."""

from typing import Any

from keras import layers, ops

from ._support import in_step, register, tensorflow


@register
class ChannelSplit(layers.Layer):
    """The first `first` channels and the others: (n, h, w, c) -> (n, h, w, first), (n, h, w, c - first).

    Args:
        first: Channels of the first part.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If there are not more than `first` channels.

    Examples:
        >>> [part.shape for part in ChannelSplit(64)(keras.Input((28, 28, 80)))]
        [(None, 28, 28, 64), (None, 28, 28, 16)]
    """

    def __init__(self, first: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.first = first

    def build(self, input_shape: Any) -> None:
        """Checks the channels; there are no weights."""
        if not 0 < self.first < input_shape[-1]:
            raise ValueError(f"first must be between 0 and the {input_shape[-1]} channels, got {self.first}.")

    def call(self, inputs: Any) -> list[Any]:
        """(n, h, w, c) -> (n, h, w, first), (n, h, w, c - first)."""
        # not a slice each: two gradients of the whole size would have to be made and added
        if tf := tensorflow():
            return tf.split(inputs, [self.first, inputs.shape[-1] - self.first], -1)
        return ops.split(inputs, [self.first], -1)

    def compute_output_shape(self, input_shape: Any) -> list[tuple]:
        """(n, h, w, c) -> (n, h, w, first), (n, h, w, c - first)."""
        *sides, channels = input_shape
        return [(*sides, self.first), (*sides, channels - self.first)]

    def get_config(self) -> dict:
        """What `from_config` needs."""
        return super().get_config() | {"first": self.first}


@register
class ChannelShuffle(layers.Layer):
    """Lets the next grouped convolution see every group: channel i of group j becomes channel j of group i.

    ShuffleNet's figure 1(c); the shape stays (n, h, w, c).

    Args:
        groups: Number of groups, a divisor of the channels.
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

    def build(self, input_shape: Any) -> None:
        """Checks the channels; there are no weights."""
        if input_shape[-1] % self.groups:
            raise ValueError(f"groups must divide the channels, got {self.groups} and {input_shape[-1]}.")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """(n, h, w, c) -> (n, h, w, c)."""
        shape = ops.shape(inputs)
        tf = tensorflow()
        if tf and self.groups == 2 and inputs.dtype == "float32" and (training or in_step(tf)):
            return tf.reshape(_interleaved(tf, inputs), shape)
        x = ops.reshape(inputs, (*shape[:3], self.groups, inputs.shape[-1] // self.groups))
        return ops.reshape(ops.transpose(x, (0, 1, 2, 4, 3)), shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape stays."""
        return input_shape

    def get_config(self) -> dict:
        """What `from_config` needs."""
        return super().get_config() | {"groups": self.groups}


def _interleaved(tf: Any, x: Any) -> Any:
    """(..., c) -> (..., c / 2, 2), the halves in turn, as the parts of complex numbers: a third of a transposition."""
    halves = _concatenated(tf, x) or tf.split(x, 2, -1)

    @tf.custom_gradient
    def interleave(a: Any, b: Any) -> Any:
        def gradient(dy: Any) -> Any:
            pairs = tf.bitcast(dy, tf.complex64)
            return tf.math.real(pairs), tf.math.imag(pairs)

        return tf.bitcast(tf.complex(a, b), tf.float32), gradient

    return interleave(*halves)


def _concatenated(tf: Any, x: Any) -> list[Any] | None:
    """The halves that `x` was made of in a graph: there, what nobody needs is not computed."""
    if not tf.is_symbolic_tensor(x) or x.op.type != "ConcatV2":
        return None
    *parts, axis = x.op.inputs
    last = tf.get_static_value(axis) in (-1, len(x.shape) - 1)
    return parts if last and len(parts) == 2 and parts[0].shape[-1] == parts[1].shape[-1] else None

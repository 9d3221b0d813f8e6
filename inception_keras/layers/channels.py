"""Layers that choose and order channels."""

from typing import Any

from keras import layers, ops

from ._support import register, tensorflow


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

"""Layers that choose and order channels."""

from typing import Any

from keras import layers, ops

from ._support import register


@register
class ChannelSlice(layers.Layer):
    """The channels from `start` up to, not including, `stop`: (n, h, w, c) -> (n, h, w, stop - start).

    Args:
        start: First channel.
        stop: Channel after the last one; None goes to the end.
        **kwargs: As for `keras.layers.Layer`.

    Examples:
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

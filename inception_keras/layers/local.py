"""A convolution with a kernel of its own at each pixel."""

from typing import Any

from keras import KerasTensor, activations, initializers, layers, ops

from ..arguments import Shape
from ..checks import check_count
from ._support import register


@register
class LocallyConnected2D(layers.Layer):
    """A 2D convolution with strides of 1 whose kernel and bias differ from pixel to pixel.

    The input is padded by `kernel_size // 2` pixels on every side, as in `Conv2D` of this package. For an odd kernel,
    (n, h, w, c) -> (n, h, w, filters). The kernel is (h, w, kernel_size * kernel_size * c, filters), where the
    third axis is a window row by row, and the bias is (h, w, filters).

    Args:
        filters: Number of output channels.
        kernel_size: Height and width of the kernel in pixels.
        activation: Activation of the output; None for none.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If `filters` or `kernel_size` is not a positive int, or the input's height or width is not known.

    Reference:
        `[local]` in the `yolov1.cfg` of darknet. The layer starts from darknet's initial weights: uniform in
        plus and minus sqrt(2 / (kernel_size * kernel_size * c)).

    Examples:
        >>> layer = LocallyConnected2D(256, 3)
        >>> layer(keras.Input((7, 7, 1024))).shape, layer.count_params()
        ((None, 7, 7, 256), 115618048)
    """

    def __init__(self, filters: int, kernel_size: int, *, activation: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters = check_count("filters", filters)
        self.kernel_size = (check_count("kernel_size", kernel_size),) * 2
        self.activation = activations.get(activation)

    def build(self, input_shape: Shape) -> None:
        """Makes the kernels and biases."""
        _, height, width, filters = self.compute_output_shape(input_shape)
        inputs = self.kernel_size[0] ** 2 * input_shape[-1]
        limit = (2 / inputs) ** 0.5
        self.kernel = self.add_weight(
            name="kernel",
            shape=(height, width, inputs, filters),
            initializer=initializers.RandomUniform(-limit, limit),
        )
        self.bias = self.add_weight(name="bias", shape=(height, width, filters), initializer="zeros")

    def call(self, inputs: KerasTensor) -> KerasTensor:
        """(n, h, w, c) -> (n, h', w', filters)."""
        side = self.kernel_size[0] // 2
        padded = ops.pad(inputs, [(0, 0), (side, side), (side, side), (0, 0)])
        height, width = self.kernel.shape[:2]
        rows = [padded[:, y : y + height] for y in range(self.kernel_size[0])]
        windows = ops.concatenate([row[:, :, x : x + width] for row in rows for x in range(self.kernel_size[1])], -1)
        return self.activation(ops.einsum("nhwi,hwif->nhwf", windows, self.kernel) + self.bias)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(n, h, w, c) -> (n, h', w', filters)."""
        if None in input_shape[1:3]:
            raise ValueError(f"{self.name} needs a map of known height and width, got {tuple(input_shape)}.")
        grown = (self.kernel_size[0] + 1) % 2  # of an even kernel there is one more
        return (input_shape[0], input_shape[1] + grown, input_shape[2] + grown, self.filters)

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        activation = None if self.activation is activations.linear else activations.serialize(self.activation)
        own = {"filters": self.filters, "kernel_size": self.kernel_size[0], "activation": activation}
        return super().get_config() | own

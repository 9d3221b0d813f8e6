"""A dense layer whose kernel is the product of two narrow ones."""

from typing import Any

from keras import KerasTensor, activations, layers, ops

from ..arguments import Shape
from ..checks import check_count
from ._support import register


@register
class LowRankDense(layers.Layer):
    """A dense layer with a kernel of a low rank: (..., inputs) -> (..., units).

    The kernel is `kernel_1`, (inputs, rank), times `kernel_2`, (rank, units). So it has rank * (inputs + units) numbers
    instead of inputs * units. `detection.low_rank.truncated_svd` makes such layers of trained ones.

    Args:
        units: Number of outputs.
        rank: Columns of the first kernel.
        activation: Name of an activation, or None.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If `units` or `rank` is not a positive int.

    Reference:
        Girshick, arXiv:1504.08083, section 3.1.

    Examples:
        >>> layer = LowRankDense(4096, rank=1024, activation="relu")
        >>> layer(keras.Input((25088,))).shape, layer.count_params()
        ((None, 4096), 29888512)
    """

    def __init__(self, units: int, rank: int, activation: str | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.units, self.rank = check_count("units", units), check_count("rank", rank)
        self.activation = activations.get(activation)

    def build(self, input_shape: Shape) -> None:
        """Makes the kernels and the bias."""
        self.kernel_1 = self.add_weight(name="kernel_1", shape=(input_shape[-1], self.rank))
        self.kernel_2 = self.add_weight(name="kernel_2", shape=(self.rank, self.units))
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")

    def call(self, inputs: KerasTensor) -> KerasTensor:
        """(..., inputs) -> (..., units)."""
        x = ops.matmul(ops.matmul(inputs, self.kernel_1), self.kernel_2)
        return self.activation(ops.add(x, self.bias))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(..., inputs) -> (..., units)."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        activation = activations.serialize(self.activation)
        return super().get_config() | {"units": self.units, "rank": self.rank, "activation": activation}

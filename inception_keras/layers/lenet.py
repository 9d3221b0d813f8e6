"""The layers of LeNet-5 (1998) that Keras lacks."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from ..arguments import Shape
from ._support import register


@register
def scaled_tanh(x: KerasTensor) -> KerasTensor:
    """1.7159 tanh(2 x / 3), LeNet-5's squashing function; it maps 1 to 1 and -1 to -1.

    Examples:
        >>> round(float(scaled_tanh(1.0)), 4)
        1.0
    """
    return 1.7159 * ops.tanh(2 / 3 * x)


@register
class TableConv2D(layers.Layer):
    """Convolution in which each filter reads only some of the input maps: LeNet-5's C3.

    The kernel holds only the connections in the table, in the order of the table. Its shape is
    (height, width, number of connections). There is no padding:
    (n, h, w, c) -> (n, h - kernel_size + 1, w - kernel_size + 1, len(table)).

    Args:
        table: For each filter, the indices of the input maps that it reads.
        kernel_size: Height and width of the kernel in pixels.
        activation: As for `keras.layers.Conv2D`.
        kernel_initializer: As for `keras.layers.Conv2D`.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If the table names an input map that does not exist.

    Reference:
        LeCun et al. 1998, table 1.

    Examples:
        >>> TableConv2D([[0, 1], [1, 2], [0, 1, 2]], 5)(keras.Input((14, 14, 3))).shape
        (None, 10, 10, 3)
    """

    def __init__(
        self,
        table: Sequence[Sequence[int]],
        kernel_size: int,
        activation: str | Callable | None = None,
        kernel_initializer: str | Callable = "glorot_uniform",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.table = [list(row) for row in table]
        self.kernel_size = (kernel_size, kernel_size)
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Shape) -> None:
        """Makes a kernel for the connections in the table, and a bias."""
        maps = input_shape[-1]
        pairs = [(source, target) for target, row in enumerate(self.table) for source in row]
        if not all(0 <= source < maps for source, _ in pairs):
            raise ValueError(f"The table must name maps from 0 to {maps - 1}, got {self.table}.")
        self.kernel = self.add_weight((*self.kernel_size, len(pairs)), self.kernel_initializer, name="kernel")
        self.bias = self.add_weight((len(self.table),), "zeros", name="bias")
        # for each connection, its place in a full (maps, filters) kernel
        self._place = np.zeros((len(pairs), maps, len(self.table)), "float32")
        for i, pair in enumerate(pairs):
            self._place[(i, *pair)] = 1

    def call(self, inputs: KerasTensor) -> KerasTensor:
        """(n, h, w, c) -> (n, h', w', filters)."""
        kernel = ops.tensordot(self.kernel, ops.cast(self._place, self.kernel.dtype), 1)
        return self.activation(ops.conv(inputs, ops.cast(kernel, inputs.dtype), padding="valid") + self.bias)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(n, h, w, c) -> (n, h', w', filters); an unknown size stays None."""
        sides = [n and n - k + 1 for n, k in zip(input_shape[1:3], self.kernel_size, strict=True)]
        return (input_shape[0], *sides, len(self.table))

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        return super().get_config() | {
            "table": self.table,
            "kernel_size": self.kernel_size[0],
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@register
class Subsampling2D(layers.Layer):
    """Sums each 2x2 window, multiplies by a coefficient and adds a bias: LeNet-5's S2 and S4.

    Each map has one trained coefficient and one trained bias, so the layer has 2 c weights.
    (n, h, w, c) -> (n, h // 2, w // 2, c).

    Args:
        activation: As for `keras.layers.Dense`.
        coefficient_initializer: Initializer of the coefficients.
        **kwargs: As for `keras.layers.Layer`.

    Examples:
        >>> Subsampling2D()(keras.Input((28, 28, 6))).shape
        (None, 14, 14, 6)
    """

    def __init__(
        self,
        activation: str | Callable | None = None,
        coefficient_initializer: str | Callable = "glorot_uniform",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.activation = keras.activations.get(activation)
        self.coefficient_initializer = keras.initializers.get(coefficient_initializer)

    def build(self, input_shape: Shape) -> None:
        """Makes a coefficient and a bias for each map."""
        maps = input_shape[-1:]
        self.coefficient = self.add_weight(maps, self.coefficient_initializer, name="coefficient")
        self.bias = self.add_weight(maps, "zeros", name="bias")

    def call(self, inputs: KerasTensor) -> KerasTensor:
        """(n, h, w, c) -> (n, h // 2, w // 2, c)."""
        return self.activation(4 * ops.average_pool(inputs, 2, 2) * self.coefficient + self.bias)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(n, h, w, c) -> (n, h // 2, w // 2, c); an unknown size stays None."""
        return (input_shape[0], *(n and n // 2 for n in input_shape[1:3]), input_shape[3])

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        return super().get_config() | {
            "activation": keras.activations.serialize(self.activation),
            "coefficient_initializer": keras.initializers.serialize(self.coefficient_initializer),
        }


@register
class RadialBasis(layers.Layer):
    """Squared distance of the features to a fixed code for each class: LeNet-5's output layer.

    (n, c) -> (n, classes), or (n, h, w, c) -> (n, h, w, classes).

    Args:
        codes: The codes, an array of shape (classes, c).
        **kwargs: As for `keras.layers.Layer`.

    Examples:
        >>> RadialBasis([[1, 1], [1, -1]])(np.array([[1.0, 1.0]])).numpy().tolist()
        [[0.0, 4.0]]
    """

    def __init__(self, codes: Sequence[Sequence[float]] | np.ndarray, **kwargs: Any):
        super().__init__(**kwargs)
        self.codes = np.asarray(codes, "float32")

    def call(self, inputs: KerasTensor) -> KerasTensor:
        """(..., c) -> (..., classes)."""
        return ops.sum(ops.square(inputs[..., None, :] - ops.cast(self.codes, inputs.dtype)), axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(..., c) -> (..., classes)."""
        return (*input_shape[:-1], len(self.codes))

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        return super().get_config() | {"codes": self.codes.tolist()}

"""Spatial pyramid pooling: a map of any size becomes a vector of one size."""

from collections.abc import Sequence
from typing import Any

from keras import KerasTensor, layers, ops

from ..arguments import Shape
from ..checks import check_choice, check_count, check_type
from ._support import register


@register
class SpatialPyramidPooling2D(layers.Layer):
    """The maxima of a map over grids of 1, 4, 9 ... bins, joined to one vector, as in SPPnet.

    (n, h, w, c) -> (n, bins * c), where bins is the sum of the squares of `levels`. Height and width may be unknown.
    The vector has one level after the other, in their order. In each, bins stand row by row, and the channels of a bin
    together. (The authors' code has all bins of the first channel first.)

    The bins of a level with n x n of them are those of their code for detection, which are also torch's adaptive max
    pooling: on a side of a pixels, bin i begins at floor(i a / n) and ends before ceil((i + 1) a / n). The paper's rule
    for classification has windows of ceil(a / n) pixels and strides of floor(a / n). Both are the same on 13 x 13
    pixels with the paper's levels, but not on 10 x 10, its second training size: there the paper's 6 x 6 windows leave
    out the last three rows and columns.

    Args:
        levels: Number of bins in a row of each level.
        bins: `"adaptive"` for the rule of the code for detection, `"paper"` for that of section 2.3.
        **kwargs: As for `keras.layers.Layer`.

    Raises:
        ValueError: If a level is not a positive int, there is no such rule, or the paper's rule has no stride because
            the map has fewer pixels than the level has bins.

    Reference:
        He et al., arXiv:1406.4729; `spm_pool_caffe_mex.cpp` of the authors' code.

    Examples:
        >>> SpatialPyramidPooling2D((4, 2, 1))(keras.Input((64, 64, 256))).shape
        (None, 5376)
        >>> SpatialPyramidPooling2D((6, 3, 2, 1))(keras.Input((None, None, 256))).shape
        (None, 12800)
    """

    def __init__(self, levels: Sequence[int] = (6, 3, 2, 1), *, bins: str = "adaptive", **kwargs: Any):
        super().__init__(**kwargs)
        sizes: Sequence[int] = check_type("levels", levels, (tuple, list), "a list of ints")
        self.levels = tuple(check_count("a level of levels", level) for level in sizes)
        if not self.levels:
            raise ValueError("levels must have at least one level, got none.")
        self.bins = check_choice("bins", bins, ("adaptive", "paper"))

    def call(self, inputs: KerasTensor) -> KerasTensor:
        """(n, h, w, c) -> (n, bins * c)."""
        _, h, w, c = inputs.shape
        height, width = (known or given for known, given in zip((h, w), ops.shape(inputs)[1:3], strict=True))
        pooled = []
        for level in self.levels:
            rows = [ops.max(inputs[:, a:b], 1) for a, b in self._limits(height, level)]
            for row in rows:
                pooled += [ops.max(row[:, a:b], 1) for a, b in self._limits(width, level)]
        return ops.reshape(ops.concatenate(pooled, -1), (-1, sum(level**2 for level in self.levels) * c))

    def _limits(self, side: Any, level: int) -> list[tuple[Any, Any]]:
        """Where the bins along one axis begin and end."""
        if self.bins == "adaptive":
            return [(i * side // level, -(-(i + 1) * side // level)) for i in range(level)]
        step, window = side // level, -(-side // level)
        return [(i * step, i * step + window) for i in range(level)]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """(n, h, w, c) -> (n, bins * c)."""
        least = max(self.levels)
        if self.bins == "paper" and any(side is not None and side < least for side in input_shape[1:3]):
            raise ValueError(f"{self.name} needs a map of at least {least} x {least} pixels, got {input_shape[1:3]}.")
        return (input_shape[0], sum(level**2 for level in self.levels) * input_shape[-1])

    def get_config(self) -> dict:
        """The arguments of `__init__`, for `from_config`."""
        return super().get_config() | {"levels": self.levels, "bins": self.bins}

"""Where the pixels of a map lie on the image: their distance, and the place of the first one."""

from typing import Any, NamedTuple

import keras
from keras import layers

from ..graph import Graph, Node
from ..layers import CropLike, ResizeLike

_SIZE = 256  # assumed where TensorFlow's "same" padding depends on a size that is not known


class Grid(NamedTuple):
    """Pixel i of a map is centred on pixel `stride * i + centre` of the image."""

    stride: float
    centre: float


def grids(graph: Graph) -> dict[str, Grid]:
    """The grid of each map, by the name of its node, from kernels, strides and padding alone.

    A tensor that joins several maps has the grid of the first of them. What is no map has none.

    Raises:
        ValueError: If a layer has another stride or padding in one direction than in the other.

    Examples:
        >>> from inception_keras.graph import read
        >>> from inception_keras.segmentation.alignment import grids
        >>> grids(read(create_model("googlenet")))["inception_5b"]
        Grid(stride=32, centre=30.0)
    """
    found: dict[str, Grid] = {}
    for node in graph.nodes:
        if not node.inputs and len(node.output_shapes[0]) == 3:
            found[node.name] = Grid(1, 0.0)
        before = [found[name] for name in node.inputs if name in found]
        if before and len(node.output_shapes[0]) == 3 and "Global" not in node.kind:
            found[node.name] = _after(node, before)
    return found


def enlargement(coarse: Grid, fine: Grid) -> tuple[int, bool, int]:
    """How a transposed convolution brings a map to a finer grid.

    Its kernel has twice the size of the factor. Interpolation between the centres of pixels that are halved, as those
    of a 2x2 pool, takes the usual kernel. Where the centre of a coarse pixel is that of a fine one, as with a 3x3 pool,
    it takes the kernel that is centred on a pixel.

    Returns:
        The factor, whether the kernel is centred on a pixel, and the first row and column of the enlarged map to keep.

    Raises:
        ValueError: If the factor is no whole number.

    Examples:
        >>> from inception_keras.segmentation.alignment import Grid, enlargement
        >>> enlargement(Grid(32, 15.5), Grid(16, 7.5)), enlargement(Grid(32, 30.0), Grid(16, 14.0))
        ((2, False, 1), (2, True, 0))
    """
    factor = round(coarse.stride / fine.stride)
    if factor * fine.stride != coarse.stride:
        raise ValueError(f"A map of stride {coarse.stride} cannot be enlarged to stride {fine.stride}.")
    shift = (coarse.centre - fine.centre) / fine.stride
    places = {centred: factor - (1.0 if centred else 0.5) - shift for centred in (False, True)}
    centred = min(places, key=lambda kind: abs(places[kind] - round(places[kind])))
    return factor, centred, round(places[centred])


def _after(node: Node, before: list[Grid]) -> Grid:
    layer, (stride, centre) = node.layer, before[0]
    if isinstance(layer, ResizeLike):
        return before[-1]
    if isinstance(layer, CropLike):
        return Grid(stride, centre + stride * layer.offset)
    if isinstance(layer, layers.ZeroPadding2D):
        return Grid(stride, centre - stride * _one(layer, [pad[0] for pad in layer.padding]))
    if isinstance(layer, layers.Cropping2D):
        return Grid(stride, centre + stride * _one(layer, [crop[0] for crop in layer.cropping]))
    kernel = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if kernel is None:
        return before[0]
    steps = _pair(getattr(layer, "strides", 1))
    step = _one(layer, steps)
    dilated = _pair(getattr(layer, "dilation_rate", 1))
    reach = [d * (k - 1) for k, d in zip(_pair(kernel), dilated, strict=True)]
    if isinstance(layer, layers.Conv2DTranspose):
        middle = (_one(layer, reach) - getattr(layer, "centred", False)) / 2
        finer = stride // step if stride % step == 0 else stride / step
        return Grid(finer, centre - finer * middle)
    pads = [_in_front(layer, i, n, node) for i, n in enumerate(reach)]
    return Grid(stride * step, centre + stride * _one(layer, [n / 2 - pad for n, pad in zip(reach, pads, strict=True)]))


def _in_front(layer: Any, axis: int, reach: int, node: Node) -> int:
    """The pixels of padding before the first row or column."""
    if hasattr(layer, "_pads"):  # of our layers that pad all sides alike
        return layer._pads[axis + 1][0]
    if getattr(layer, "padding", "valid") != "same":
        return 0
    step, size = _pair(layer.strides)[axis], node.input_shapes[0][axis] or _SIZE
    return max((-(-size // step) - 1) * step + reach + 1 - size, 0) // 2


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _one(layer: keras.Operation, values: Any) -> Any:
    """The value of both directions."""
    first, second = values
    if first != second:
        raise ValueError(f"{layer.name} moves a map by {first} pixels in height and {second} in width.")
    return first

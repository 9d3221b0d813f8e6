"""Reads darknet's `.weights` files: a header, then the numbers of all layers in their order, without names.

Only the net says which number belongs where. A layer has its biases; with batch norm then the scales, means and
variances; then its kernel. A convolution's kernel is (filters, channels, height, width). A dense kernel is (outputs,
inputs), and its inputs are a map's channels, rows and columns. A locally connected layer has the kernel of a
convolution for each pixel.
"""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from ..feature_maps import flattened_map
from ..graph import Graph, Node
from ..graph import read as read_graph
from ..layers import LocallyConnected2D
from .store import Misfit

NUMBERS, TRANSPOSED = "darknet", "darknet, dense kernels transposed"  # the only entry of a file


def is_darknet(head: bytes, size: int) -> bool:
    """Whether a file begins like a `.weights` file.

    Args:
        head: The first bytes of the file, 16 or more.
        size: The size of the file in bytes.

    Examples:
        >>> from inception_keras.weights.darknet import is_darknet
        >>> is_darknet(bytes([0, 0, 0, 0, 2, 0, 0, 0] + 12 * [0]), 24), is_darknet(b"{" * 20, 24)
        (True, False)
    """
    if len(head) < 16 or size % 4:
        return False
    major, minor, revision = struct.unpack("<3i", head[:12])
    if (major, minor) in ((0, 1), (0, 2)):
        return 0 <= revision < 1000
    # until 2015 the learning rate, the momentum and the decay
    rate, momentum, decay = struct.unpack("<3f", head[:12])
    return 1e-8 <= rate <= 10 and 0 <= momentum < 1 and 0 <= decay < 1 and (momentum == 0 or momentum > 1e-3)


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the numbers of a file. `named` gives them names.

    Files of version 0.1 count the images that were seen with 32 bits, those of version 0.2 with 64. Files of before
    have a learning rate, a momentum and a decay in place of a version, and their dense kernels are transposed.

    Args:
        path: A `.weights` file.

    Returns:
        The numbers, float32, as one entry whose name says whether dense kernels are transposed. They are read from disk
        when they are used.

    Raises:
        ValueError: If the file is not a `.weights` file, or has no weights.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file {path}.")
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
    if not is_darknet(head, size - size % 4):
        raise ValueError(f"{path} is not a .weights file of darknet: it begins with neither of its headers.")
    if size % 4:
        raise ValueError(f"{path} is not a whole .weights file: its {size:,} bytes are no whole number of float32.")
    major, minor, _ = struct.unpack("<3i", head[:12])
    is_old = major > 1000 or minor > 1000
    header = 20 if not is_old and major * 10 + minor >= 2 else 16
    if size <= header:
        raise ValueError(f"{path} has no weights: it ends with its header.")
    return {TRANSPOSED if is_old else NUMBERS: np.memmap(path, "<f4", "r", offset=header)}


def holds_numbers(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether arrays are those of `read`."""
    return len(arrays) == 1 and next(iter(arrays)) in (NUMBERS, TRANSPOSED)


class _Part(NamedTuple):
    """A layer with its numbers in a file: biases, statistics of its batch norm if it has one, and its kernel."""

    layer: keras.Layer
    norm: keras.Layer | None
    biases: int
    inputs: int  # numbers of the kernel for each output
    map: tuple[int, ...] | None  # the map that a dense layer reads

    @property
    def size(self) -> int:
        kernel = self.biases * self.inputs
        return kernel + self.biases * (4 if self.norm else 1)


def named(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The numbers of a file under our names and in our shapes.

    The file may end before the last layer, or have another number of outputs in it.

    Args:
        model: The net, without branches.
        arrays: What `read` gave.

    Raises:
        Misfit: If the file has more or fewer numbers than the net.
        ValueError: If the net has branches, or layers that files of darknet are not read for.
    """
    ((kind, numbers),) = arrays.items()
    *trunk, last = _parts(model)
    if trunk and isinstance(trunk[0].layer, layers.Conv2D):  # of three channels in the file; it is adapted later
        trunk[0] = trunk[0]._replace(inputs=trunk[0].inputs // model.inputs[0].shape[-1] * 3)
    rest = numbers.size - sum(part.size for part in trunk)
    outputs = rest // (last.inputs + 1)
    is_head = isinstance(last.layer, layers.Dense) and rest == outputs * (last.inputs + 1)
    if rest != 0 and rest != last.size and not (is_head and _could_have(last.layer, outputs)):
        wanted = sum(part.size for part in (*trunk, last))
        raise Misfit(f"it has {numbers.size:,} numbers, and {model.name} has {wanted:,} weights.")
    parts = [*trunk, last._replace(biases=outputs if is_head else last.biases)] if rest else trunk
    found, start = dict[str, np.ndarray](), 0
    for part in parts:
        found |= dict(_named(part, numbers[start : start + part.size], kind == TRANSPOSED))
        start += part.size
    return found


def _could_have(layer: keras.Layer, outputs: int) -> bool:
    """Whether a layer could have so many outputs, if it had another number of classes."""
    classes_of = getattr(layer, "classes_of", None)
    return outputs > 1 and (classes_of is None or classes_of(outputs) is not None)


def _parts(model: keras.Model) -> list[_Part]:
    graph = read_graph(model)
    norms = {node.inputs[0]: node for node in graph.nodes if isinstance(node.layer, layers.BatchNormalization)}
    parts = [_part(graph, node, norms) for node in graph.nodes if node.weights and node not in norms.values()]
    if any(len(node.inputs) > 1 for node in graph.nodes) or not parts or None in parts:
        raise ValueError(f"files of darknet are read for its nets, such as yolo_v1, and not for {model.name}.")
    return [part for part in parts if part]


def _part(graph: Graph, node: Node, norms: Mapping[str, Node]) -> _Part | None:
    layer = node.layer
    if not isinstance(layer, (layers.Conv2D, layers.Dense, LocallyConnected2D)):
        return None
    *_, inputs, outputs = layer.kernel.shape
    norm = norms[node.name].layer if node.name in norms else None
    if isinstance(layer, layers.Dense):
        return _Part(layer, norm, outputs, inputs, flattened_map(graph, node))
    if isinstance(layer, LocallyConnected2D):
        return _Part(layer, norm, int(np.prod(layer.bias.shape)), inputs, None)
    return _Part(layer, norm, outputs, int(np.prod(layer.kernel.shape[:-1])), None)


def _named(part: _Part, numbers: np.ndarray, transposed: bool) -> Iterator[tuple[str, np.ndarray]]:
    """The weights of a layer, and of its batch norm, by name."""
    layer, count = part.layer, part.biases
    rows = iter(numbers[i * count : (i + 1) * count] for i in range(4 if part.norm else 1))
    bias, kernel = next(rows), numbers[count * (4 if part.norm else 1) :]
    if isinstance(layer, LocallyConnected2D):
        height, width, _, filters = layer.kernel.shape
        yield f"{layer.name}/bias", bias.reshape(filters, height, width).transpose(1, 2, 0)
        kernel = kernel.reshape(height, width, filters, -1, *layer.kernel_size).transpose(0, 1, 4, 5, 3, 2)
        yield f"{layer.name}/kernel", kernel.reshape(tuple(layer.kernel.shape))
        return
    if part.norm:
        yield f"{part.norm.name}/beta", bias
        for variable, row in zip(("gamma", "moving_mean", "moving_variance"), rows, strict=True):
            yield f"{part.norm.name}/{variable}", row
    if isinstance(layer, layers.Conv2D):
        kernel = kernel.reshape(count, -1, *layer.kernel_size).transpose(2, 3, 1, 0)
    else:
        kernel = kernel.reshape(-1, count) if transposed else kernel.reshape(count, -1).T
        if part.map:
            height, width, channels = part.map
            kernel = kernel.reshape(channels, height, width, count).transpose(1, 2, 0, 3).reshape(-1, count)
    places = getattr(layer, "places", None)  # where darknet has the outputs of a grid whose order is another
    if places is not None and count == layer.kernel.shape[-1]:
        bias, kernel = bias[places], kernel[:, places]
    if not part.norm:
        yield f"{layer.name}/bias", bias
    yield f"{layer.name}/kernel", kernel

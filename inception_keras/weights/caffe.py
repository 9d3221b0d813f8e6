"""Reads the weights in Caffe's `.caffemodel` files without the caffe package.

Every generation of the format is read, and HDF5 as well. Of `caffe.proto`, only the parts that weights need are read:
the layers of a NetParameter, with their names, bottoms and blobs.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .protobuf import fields, floats, integers, message, text

_HDF5 = b"\x89HDF\r\n\x1a\n"
_V1_LAYERS, _LAYERS = 2, 100  # fields of NetParameter
# the first bytes of its fields in a file: layers and layer; then input, input_dim, state and so on
_LAYER_KEYS, _OTHER_KEYS = (b"\x12", b"\xa2\x06"), (b"\x1a", b"\x20", b"\x22", b"\x28", b"\x32", b"\x38", b"\x42")
_DIMS, _DATA, _SHAPE, _DOUBLES = (1, 2, 3, 4), 5, 7, 8  # fields of BlobProto; _DIMS: num, channels, height, width
_RAW_TYPE, _RAW = 10, 12  # fields of BlobProto that NVIDIA's Caffe and OpenCV add
_DTYPES = {0: "<f8", 1: "<f4", 2: "<f2"}  # the values of raw_data_type


class _Fields(NamedTuple):
    """The field numbers of a layer message."""

    name: int
    bottom: int
    blobs: int


_LAYER = _Fields(1, 3, 7)  # LayerParameter
_V1_LAYER = _Fields(4, 2, 6)  # V1LayerParameter, of 2014
_V0_LAYER, _V0_FIELDS = 1, _Fields(1, 0, 50)  # V0LayerParameter, of 2013, which is a field of V1LayerParameter


class _Layer(NamedTuple):
    name: str
    bottoms: list[str]
    blobs: list[np.ndarray]


def is_caffemodel(head: bytes) -> bool:
    r"""Whether a file begins like a net in Caffe's binary format.

    Args:
        head: The first bytes of the file: 200 are enough unless the net has a very long name.

    Examples:
        >>> from inception_keras.weights.caffe import is_caffemodel
        >>> is_caffemodel(b"\x0a\x03net\xa2\x06\x0c"), is_caffemodel(b'name: "net"')
        (True, False)
    """
    if head.startswith(_LAYER_KEYS):  # the net has no name
        return True
    if len(head) < 3 or head[0] != 0x0A:
        return False
    size, start = (head[1], 2) if head[1] < 128 else (head[1] & 127 | head[2] << 7, 3)
    name, rest = head[start : start + size], head[start + size :]
    return name.decode(errors="replace").isprintable() and rest.startswith(_LAYER_KEYS + _OTHER_KEYS)


def is_hdf5(path: str | Path) -> bool:
    """Whether a file is HDF5 as Caffe writes it: a weights file with a group `data`, or the state of a solver."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return "layer_names" not in file.attrs and ("data" in file or "learned_net" in file)
    except OSError:
        return False


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the weights of a file, with Caffe's names of the layers.

    Args:
        path: A `.caffemodel` of any generation, or a `.caffemodel.h5`.

    Returns:
        Arrays in float32, in Caffe's shapes. A layer has `layer.weight` and, if it has a second blob, `layer.bias`.
        A batch norm has `layer.running_mean` and `layer.running_var`. Both are divided by the moving-average factor,
        which Caffe keeps as the third blob.

    Raises:
        ValueError: If the file is not a complete `.caffemodel`, has no weights, or holds CaffeNet. CaffeNet has the
            layer names and shapes of AlexNet but computes something else. FCN-AlexNet is read.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file {path}.")
    content = path.read_bytes()
    if content.startswith(_HDF5):
        layers = _hdf5_layers(path)
    else:
        if not is_caffemodel(content[:20_000]):
            raise ValueError(f"{path} {other_kind(content) or 'is not a .caffemodel'}.")
        try:
            layers = list(_layers(memoryview(content)))
        except (ValueError, OverflowError) as error:
            raise ValueError(f"{path} is not a whole .caffemodel: {str(error).rstrip('.')}.") from None
    pairs = [pair for layer in layers for pair in _entries(layer)]
    arrays = dict(pairs)
    if len(arrays) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"{path} has two layers that are called {twice.rpartition('.')[0]!r}, both with weights.")
    if not arrays:
        raise ValueError(f"{path} has no weights: no layer has a blob.")
    if any(layer.name == "norm1" and layer.bottoms == ["pool1"] for layer in layers):
        refuse_caffenet(path, arrays)
    return arrays


def refuse_caffenet(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Raises a ValueError if a net has the layers of AlexNet. Call it for nets that pool before they normalise."""
    if {"conv5.weight", "fc6.weight", "fc7.weight"} <= arrays.keys() and "score_fr.weight" not in arrays:
        raise ValueError(
            f"{path} is CaffeNet, which pools before it normalises; alexnet_2012 normalises first, as bvlc_alexnet "
            "does, and would give other scores. No classifier here is CaffeNet."
        )


def _layers(net: memoryview) -> Iterator[_Layer]:
    """The layers of a NetParameter."""
    for number, value in fields(net):
        if number == _LAYERS:
            yield _layer(message(value), _LAYER)
        elif number == _V1_LAYERS:
            inner = [message(value) for number, value in fields(message(value)) if number == _V0_LAYER]
            layer = _layer(message(value), _V1_LAYER)
            yield _layer(inner[0], _V0_FIELDS)._replace(bottoms=layer.bottoms) if inner else layer


def _layer(content: memoryview, numbers: _Fields) -> _Layer:
    layer = _Layer("", [], [])
    for number, value in fields(content):
        if number == numbers.name:
            layer = layer._replace(name=text(value))
        elif number == numbers.bottom:
            layer.bottoms.append(text(value))
        elif number == numbers.blobs:
            layer.blobs.append(_blob(message(value), layer.name))
    return layer


def _blob(content: memoryview, layer: str) -> np.ndarray:
    """The numbers of a BlobProto as an array. Blobs in the old format always have four axes."""
    sizes: dict[int, int] = {}
    shape: list[int] | None = None
    parts: dict[int, list[memoryview]] = {_DATA: [], _DOUBLES: [], _RAW: []}
    raw = 0
    for number, value in fields(content):
        if number in _DIMS:
            (sizes[number],) = integers(value)
        elif number == _SHAPE:
            shape = [size for _, packed in fields(message(value)) for size in integers(packed)]
        elif number == _RAW_TYPE:
            (raw,) = integers(value)
        elif number in parts:
            parts[number].append(message(value))
    if parts[_RAW] and raw not in _DTYPES:
        raise ValueError(f"layer {layer} keeps integers as weights")
    dtypes = {_DATA: "<f4", _DOUBLES: "<f8", _RAW: _DTYPES.get(raw, "")}
    used = next((number for number, found in parts.items() if found), _DATA)
    array = floats(parts[used], dtypes[used])
    if shape is None:
        shape = [sizes.get(number, 1) for number in _DIMS] if sizes else [array.size]
    if min(shape, default=1) < 0 or np.prod(shape, dtype=object) != array.size:
        raise ValueError(f"layer {layer} has {array.size} numbers for the shape {tuple(shape)}")
    return array.reshape(shape)


def _entries(layer: _Layer) -> Iterator[tuple[str, np.ndarray]]:
    """The blobs of a layer by name. A layer with three blobs, the last a single number, is a batch norm."""
    name, blobs = layer.name, layer.blobs
    if len(blobs) == 3 and blobs[2].size == 1:
        factor = blobs[2].item()
        scale = np.float32(1 / factor if factor else 0)  # as in Caffe: a factor of 0 means no statistics yet
        yield f"{name}.running_mean", blobs[0] * scale
        yield f"{name}.running_var", blobs[1] * scale
        return
    for i, blob in enumerate(blobs):
        yield f"{name}.{('weight', 'bias')[i] if len(blobs) < 3 else f'blob_{i}'}", blob


def _hdf5_layers(path: Path) -> list[_Layer]:
    """The layers of a `.caffemodel.h5`, which holds `data/LAYER/0`, `data/LAYER/1` and so on.

    The file does not say how the layers are connected.
    """
    import h5py

    blobs: dict[str, dict[int, np.ndarray]] = {}

    def visit(name: str, item: object) -> None:
        layer, _, index = name.rpartition("/")
        if isinstance(item, h5py.Dataset) and index.isdecimal():
            blobs.setdefault(layer, {})[int(index)] = item[()].astype("float32")

    try:
        with h5py.File(path, "r") as file:
            if "history" in file:
                raise ValueError(f"{path} is the state of a solver; the weights are in the .caffemodel.h5 beside it.")
            if "data" not in file:
                raise ValueError(f"{path} is not a .caffemodel.h5: it has no group data.")
            file["data"].visititems(visit)
    except OSError as error:
        raise ValueError(f"{path} is not a whole .caffemodel.h5: {error}.") from None
    return [_Layer(name, [], [found[i] for i in sorted(found)]) for name, found in blobs.items()]


def other_kind(content: bytes) -> str | None:
    """Says what kind of file without weights this is, such as "is the state of a solver".

    None if it is no such file.
    """
    if not content:
        return "is empty"
    head = content[:200].decode(errors="replace").removesuffix("\ufffd")  # a character may be cut at the end
    if all(character.isprintable() or character.isspace() for character in head):
        return "is text, as a .prototxt is, which describes a net and has no weights: they are in its .caffemodel"
    try:
        found = dict(fields(memoryview(content)))
    except ValueError:
        found = {}
    if isinstance(found.get(1), int) and 1 in found.keys() <= {1, 2, 3, 4}:  # SolverState: iter, learned_net, history
        learned = found.get(2)
        weights = bytes(learned).decode(errors="replace") if isinstance(learned, memoryview) else "the .caffemodel"
        return f"is the state of a solver; the weights are in {weights}"
    if isinstance(found.get(1), int) and _DATA in found:
        return "is one blob, as a mean image (.binaryproto) is, and no net; Preprocessing(mean=...) takes its means"
    return None

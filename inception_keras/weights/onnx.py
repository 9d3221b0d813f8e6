"""Reads the weights of `.onnx` files, such as those of Caffe's model zoo, without the onnx package.

Of the protobuf format only what weights need is read: the graph's initializers (`onnx.proto`, TensorProto).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

_GRAPH, _INITIALIZER = 7, 5  # fields of ModelProto and GraphProto
_DIMS, _TYPE, _FLOATS, _NAME, _RAW, _LOCATION = 1, 2, 4, 8, 9, 14  # fields of TensorProto
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5  # wire types
_DTYPES = {1: "<f4", 10: "<f2", 11: "<f8"}  # TensorProto.DataType of what weights are kept in


def read(path: str | Path) -> dict[str, np.ndarray]:
    """The weights of a file, by name; Caffe's `conv_w_0` and `conv_b_0` become `conv.weight` and `conv.bias`.

    Args:
        path: An ONNX model with its weights inside.

    Returns:
        Arrays by name, as the file has them: kernels (out, in, height, width), dense layers (out, in). Initializers
        that are no floats, such as shapes, are left out.

    Raises:
        ValueError: If it is no whole ONNX model, or keeps its weights in another file.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file {path}.")
    try:
        graphs = [value for field, value in _fields(memoryview(path.read_bytes())) if field == _GRAPH]
        tensors = [value for graph in graphs for field, value in _fields(graph) if field == _INITIALIZER]
        arrays = dict(pair for tensor in tensors for pair in _array(tensor))
    except (ValueError, IndexError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a whole ONNX model with its weights inside: {error}.") from None
    if not arrays:
        raise ValueError(f"{path} is not a whole ONNX model with its weights inside: it has no initializers.")
    return arrays


def _array(tensor: memoryview) -> Iterator[tuple[str, np.ndarray]]:
    """The name and the numbers of a TensorProto; nothing, if they are no floats."""
    shape: list[int] = []
    name, kind, data = "", 0, None
    for field, value in _fields(tensor):
        if field == _DIMS:
            shape += [value] if isinstance(value, int) else _varints(value)
        elif field == _TYPE:
            kind = value
        elif field == _NAME:
            name = bytes(value).decode()
        elif field == _RAW or (field == _FLOATS and kind in (0, 1)):
            if isinstance(value, int):
                raise ValueError(f"{name or 'a tensor'} has its floats one by one, which this reader does not know")
            data = value
        elif field == _LOCATION and value:
            raise ValueError(f"{name} is in another file")
    if kind in _DTYPES:
        array = np.frombuffer(data if data is not None else b"", _DTYPES[kind]).reshape(shape)
        yield re.sub(r"_([wb])_0$", lambda end: {"w": ".weight", "b": ".bias"}[end[1]], name), array.astype("float32")


def _fields(message: memoryview) -> Iterator[tuple[int, Any]]:
    """The number and the value of each field of a message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        if key & 7 == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        sizes = {_FIXED_64: 8, _FIXED_32: 4}
        if key & 7 == _BYTES:
            size, at = _varint(message, at)
        elif key & 7 in sizes:
            size = sizes[key & 7]
        else:
            raise ValueError(f"byte {at} has the unknown wire type {key & 7}")
        if at + size > len(message):
            raise ValueError(f"it ends in the middle of field {key >> 3}")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = 0
    for shift in range(0, 64, 7):
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number is longer than 64 bits")


def _varints(packed: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(packed):
        value, at = _varint(packed, at)
        values.append(value)
    return values

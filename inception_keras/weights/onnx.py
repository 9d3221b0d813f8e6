"""Reads the weights in `.onnx` files, such as converted ones of Caffe's model zoo, without the onnx package.

Of the format, only the parts that weights need are read: the graph's initializers (`onnx.proto`, TensorProto) and the
types of its operations.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .caffe import other_kind, refuse_caffenet
from .protobuf import fields, floats, integers, message, text

_GRAPH, _NODE, _INITIALIZER, _OP_TYPE = 7, 1, 5, 4  # fields of ModelProto, GraphProto, GraphProto and NodeProto
_DIMS, _TYPE, _FLOATS, _NAME, _RAW, _LOCATION = 1, 2, 4, 8, 9, 14  # fields of TensorProto
_DTYPES = {1: "<f4", 10: "<f2", 11: "<f8"}  # the values of TensorProto.DataType for floats


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the weights of a file by name. `conv_w_0` and `conv_b_0` become `conv.weight` and `conv.bias`.

    Args:
        path: An ONNX model with its weights inside.

    Returns:
        Arrays by name, with the axes of the file: kernels are (out, in, height, width), dense layers (out, in).
        Initializers that are not floats, such as shapes, are left out.

    Raises:
        ValueError: If the file is not a complete ONNX model, keeps its weights in another file, or holds CaffeNet (see
            `caffe.read`).
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file {path}.")
    content = path.read_bytes()
    try:
        graphs = [message(value) for field, value in fields(memoryview(content)) if field == _GRAPH]
        tensors = [message(value) for graph in graphs for field, value in fields(graph) if field == _INITIALIZER]
        arrays = dict(pair for tensor in tensors for pair in _array(tensor))
        nodes = [message(value) for graph in graphs for field, value in fields(graph) if field == _NODE]
        operations = [text(value) for node in nodes for field, value in fields(node) if field == _OP_TYPE]
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{path} is not a whole ONNX model with its weights inside: {error}.") from None
    if not arrays:
        if content and (kind := other_kind(content)):  # Caffe's files without weights begin like ONNX models
            raise ValueError(f"{path} {kind}.")
        raise ValueError(f"{path} is not a whole ONNX model with its weights inside: it has no initializers.")
    if [name for name in operations if name in ("LRN", "MaxPool")][:2] == ["MaxPool", "LRN"]:
        refuse_caffenet(path, arrays)
    return arrays


def _array(tensor: memoryview) -> Iterator[tuple[str, np.ndarray]]:
    """The name and the numbers of a TensorProto. Yields nothing if the numbers are not floats."""
    shape: list[int] = []
    data: list[memoryview] = []
    name, kind = "", 0
    for field, value in fields(tensor):
        if field == _DIMS:
            shape += integers(value)
        elif field == _TYPE:
            (kind,) = integers(value)
        elif field == _NAME:
            name = text(value)
        elif field == _RAW or (field == _FLOATS and kind in (0, 1)):
            data.append(message(value))
        elif field == _LOCATION and value:
            raise ValueError(f"{name} is in another file")
    if kind in _DTYPES:
        array = floats(data, _DTYPES[kind]).reshape(shape)
        yield re.sub(r"_([wb])_0$", lambda end: {"w": ".weight", "b": ".bias"}[end[1]], name), array

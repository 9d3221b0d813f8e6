"""ONNX files written byte by byte, with initializers."""

import numpy as np


def varint(value: int) -> bytes:
    """A number as a varint: seven bits a byte, the lowest first."""
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


def field(number: int, value: int | bytes) -> bytes:
    """A field of a protobuf message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name: str, array: np.ndarray, kind: int = 1, raw: bool = True) -> bytes:
    """A TensorProto with its numbers in `raw_data` or in `float_data`."""
    dims = b"".join(field(1, size) for size in array.shape)
    return dims + field(2, kind) + field(9 if raw else 4, array.tobytes()) + field(8, name.encode())


def model(*tensors: bytes, operations: tuple[str, ...] = ()) -> bytes:
    """A ModelProto with these initializers and with nodes that have only an operation type."""
    nodes = b"".join(field(1, field(4, operation.encode())) for operation in operations)
    return field(1, 7) + field(7, nodes + field(2, b"graph") + b"".join(field(5, each) for each in tensors))

"""Reads protobuf messages, the format of `.onnx` and `.caffemodel` files, without the protobuf package."""

from collections.abc import Iterator

import numpy as np

Value = int | memoryview

_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5  # wire types
_SIZES = {_FIXED_64: 8, _FIXED_32: 4}


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    r"""Yields the number and the value of each field of a message, in the order of the file.

    Args:
        message: The bytes of one message.

    Yields:
        The field's number and its value: an int for a varint, and the bytes for anything else, which may be a number
        of fixed size, a text, a message or packed numbers.

    Raises:
        ValueError: If the bytes are not a message, or end too early.

    Examples:
        >>> from inception_keras.weights.protobuf import fields
        >>> [(number, bytes(value)) for number, value in fields(memoryview(b"\x0a\x03net"))]
        [(1, b'net')]
    """
    at = 0
    while at < len(message):
        start = at
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in _SIZES:
            size = _SIZES[kind]
        else:
            raise ValueError(f"byte {start} has the unknown wire type {kind}")
        if at + size > len(message):
            raise ValueError(f"it ends in the middle of field {key >> 3}")
        yield key >> 3, message[at : at + size]
        at += size


def message(value: Value) -> memoryview:
    """The bytes of a field that must be a message or a text.

    Raises:
        ValueError: If the field is a number.
    """
    if isinstance(value, int):
        raise ValueError(f"it has the number {value} where a message or a text should be")
    return value


def text(value: Value) -> str:
    """The text of a field.

    Raises:
        ValueError: If the field is a number, or its bytes are not UTF-8.
    """
    try:
        return bytes(message(value)).decode()
    except UnicodeDecodeError:
        raise ValueError("a name in it is not UTF-8") from None


def integers(value: Value) -> list[int]:
    """The integers in one field of a repeated integer: a single one, or several packed into bytes."""
    if isinstance(value, int):
        return [value]
    values, at = [], 0
    while at < len(value):
        number, at = _varint(value, at)
        values.append(number)
    return values


def floats(parts: list[memoryview], dtype: str) -> np.ndarray:
    """The numbers in all fields of a repeated float, written one by one or packed.

    Args:
        parts: The bytes of these fields.
        dtype: How the numbers are stored, such as `"<f4"`.

    Returns:
        A flat float32 array.

    Raises:
        ValueError: If the last number is incomplete.
    """
    return np.frombuffer(parts[0] if len(parts) == 1 else b"".join(parts), dtype).astype("float32")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Reads a varint, seven bits a byte with the lowest first. Returns the number and the position after it."""
    value = 0
    for shift in range(0, 64, 7):
        if at == len(message):
            raise ValueError("it ends in the middle of a number")
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("a number is longer than 64 bits")

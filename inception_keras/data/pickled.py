"""Reads the pickles of CIFAR's Python version, which hold uint8 arrays, without running any code in them."""

import io
from math import prod
from typing import Any

import numpy as np

from ..unpickle import Unpickler


class _Array:
    """An array whose content is set later, or the dtype uint8."""

    def __init__(self, value: object = None):
        self.value = value


def read_pickle(content: bytes) -> object:
    """Reads a pickle of dicts, lists, tuples, strings, bytes, numbers and uint8 arrays.

    Strings of Python 2 become bytes. Arrays of any shape become uint8 arrays.

    Raises:
        ValueError: If the pickle contains anything else, or is incomplete.
    """
    try:
        return _plain(_Reader().read(io.BytesIO(content)))
    except ValueError:
        raise
    except Exception as error:  # a damaged pickle can raise any error
        raise ValueError(f"it is no whole pickle ({type(error).__name__})") from None


class _Reader(Unpickler):
    def find(self, name: str) -> object:
        """A stand-in for one of the names that arrays need."""
        return _NAMES[name] if name in _NAMES else super().find(name)

    def build(self, target: object, state: Any) -> None:
        """Sets the content of an array."""
        if not isinstance(target, _Array):
            raise ValueError(f"it sets the state of a {type(target).__name__}")
        if target.value is np.uint8:
            return  # the state of uint8 is its byte order, which means nothing for one byte
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _Array) or dtype.value is not np.uint8:
            raise ValueError("it has an array that is not uint8")
        target.value = _shaped(content, shape, bool(fortran))


def _dtype(name: object, *_: object) -> _Array:
    if name not in ("u1", b"u1", "|u1", b"|u1"):
        raise ValueError("it asks for a dtype that is not uint8")
    return _Array(np.uint8)


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _frombuffer(content: object, dtype: object, shape: object, order: object) -> _Array:
    if not isinstance(dtype, _Array) or dtype.value is not np.uint8:
        raise ValueError("it has an array that is not uint8")
    return _Array(_shaped(content, shape, order == "F"))


def _encode(text: str, encoding: str) -> bytes:
    if encoding not in ("latin1", "latin-1"):  # how Python 3 writes bytes in old protocols
        raise ValueError("it has bytes in an encoding other than Latin-1")
    return text.encode("latin-1")


_NAMES = {"numpy.ndarray": "ndarray", "numpy.dtype": _dtype, "_codecs.encode": _encode} | {
    f"numpy.{core}.{name}": function
    for core in ("core", "_core")
    for name, function in (("multiarray._reconstruct", _reconstruct), ("numeric._frombuffer", _frombuffer))
}


def _shaped(content: object, shape: Any, fortran: bool) -> np.ndarray:
    sides = shape if isinstance(shape, tuple) and len(shape) <= 4 else (-1,)
    if not isinstance(content, (bytes, bytearray)) or not all(type(n) is int and 0 <= n < 2**32 for n in sides):
        raise ValueError("it has an array of an impossible shape")
    if prod(shape) != len(content):
        raise ValueError(f"it has an array of {len(content)} bytes with another shape")
    return np.frombuffer(content, np.uint8).reshape(shape, order="F" if fortran else "C")


def _plain(value: object) -> object:
    """Replaces array objects by arrays on the first two levels, which are the only ones that CIFAR uses."""
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, dict):
        return {key: item.value if isinstance(item, _Array) else item for key, item in value.items()}
    return value

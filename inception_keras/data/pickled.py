"""Reads pickles as plain data: opcodes are interpreted here, and nothing is imported, called or executed."""

import io
import pickletools
from math import prod
from typing import Any

import numpy as np

_OPCODES = 1_000_000  # opcodes in the largest pickle that is read; CIFAR's pickles have 300,000
_TEXT = ("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE")
_BYTES = ("STRING", "BINSTRING", "SHORT_BINSTRING")  # strings of Python 2, which pickletools decodes as Latin-1
_PLAIN = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", *_TEXT),
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NAMES = {  # the only names allowed, and what each stands for here
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
    "numpy.core.multiarray _reconstruct": "reconstruct",
    "numpy._core.multiarray _reconstruct": "reconstruct",
    "numpy.core.numeric _frombuffer": "frombuffer",
    "numpy._core.numeric _frombuffer": "frombuffer",
    "_codecs encode": "encode",
}
_MARK = object()


class _Name(str):
    """One of the allowed names."""


class _Array:
    """An array whose content BUILD sets, or the dtype uint8."""

    def __init__(self, value: Any = None):
        self.value = value


def read_pickle(content: bytes) -> Any:
    """Reads a pickle of dicts, lists, tuples, strings, bytes, whole numbers and uint8 arrays.

    Strings of Python 2 become bytes. Arrays of any shape become uint8 arrays.

    Raises:
        ValueError: If the pickle contains anything else, or is incomplete.
    """
    try:
        return _plain(_Reader().read(content))
    except ValueError:
        raise
    except Exception as error:  # a damaged pickle can raise any error
        raise ValueError(f"it is no whole pickle ({type(error).__name__})") from None


class _Reader:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def read(self, content: bytes) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(io.BytesIO(content))):
            if count > _OPCODES:
                raise ValueError(f"it has more than {_OPCODES} opcodes")
            name = opcode.name
            if name in _PLAIN:
                self.stack.append(argument)
            elif name in _BYTES:
                self.stack.append(str(argument).encode("latin-1"))
            elif name == "STOP":
                return self.stack.pop()
            else:
                self._step(name, argument)
        raise ValueError("it has no end")

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in ("PROTO", "FRAME"):
            pass
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"):
            stack.append({"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple}[name]())
        elif name in _TUPLES:
            stack[-_TUPLES[name] :] = [tuple(stack[-_TUPLES[name] :])]
        elif name in ("TUPLE", "LIST", "DICT"):
            items = self._marked()
            stack.append(_set({}, items) if name == "DICT" else items if name == "LIST" else tuple(items))
        elif name in ("APPEND", "APPENDS", "SETITEM", "SETITEMS"):
            self._fill(name)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            if name == "STACK_GLOBAL":
                argument = f"{_text(stack.pop(-2))} {_text(stack.pop())}"
            self._name(argument)
        elif name == "REDUCE":
            arguments = stack.pop()
            stack.append(_make(stack.pop(), arguments))
        elif name == "BUILD":
            state = stack.pop()
            _build(stack[-1], state)
        else:
            raise ValueError(f"it has the opcode {name}, which no plain data needs")

    def _marked(self) -> list[Any]:
        """Removes the items above the last mark, and the mark itself, from the stack, and returns the items."""
        items = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def _fill(self, name: str) -> None:
        if name.endswith("S"):
            items = self._marked()
        else:
            items = [self.stack.pop() for _ in range(2 if name == "SETITEM" else 1)][::-1]
        target = self.stack[-1]
        if not isinstance(target, list if name.startswith("APPEND") else dict):
            raise ValueError(f"it fills a {type(target).__name__} by {name}")
        target.extend(items) if isinstance(target, list) else _set(target, items)

    def _name(self, name: str) -> None:
        if name not in _NAMES:
            raise ValueError(f"it asks for {name[:80].replace(' ', '.')}")
        self.stack.append(_Name(_NAMES[name]))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"it has a name of the type {type(value).__name__}")
    return value


def _set(target: dict, items: list[Any]) -> dict:
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, (str, bytes)):  # keys of other types can be crafted to take very long
            raise ValueError(f"it has a key of the type {type(key).__name__}")
        target[key] = value
    return target


def _make(name: Any, arguments: Any) -> Any:
    """What NumPy's functions would return for these arguments, as far as that is uint8."""
    what = str(name) if isinstance(name, _Name) else None
    if what == "dtype" and arguments[0] in ("u1", b"u1", "|u1", b"|u1"):
        return _Array(np.uint8)
    if what == "reconstruct":
        return _Array()
    if what == "encode" and arguments[1] in ("latin1", "latin-1"):  # how Python 3 writes bytes in old protocols
        return arguments[0].encode("latin-1")
    if what == "frombuffer" and arguments[1].value is np.uint8:
        content, _, shape, order = arguments
        return _Array(_shaped(content, shape, order == "F"))
    raise ValueError(f"it calls {what or type(name).__name__} for something that is no uint8 array")


def _build(target: Any, state: Any) -> None:
    if not isinstance(target, _Array):
        raise ValueError(f"it sets the state of a {type(target).__name__}")
    if target.value is np.uint8:
        return  # the state of uint8 is its byte order, which means nothing for one byte
    _, shape, dtype, fortran, content = state
    if not isinstance(dtype, _Array) or dtype.value is not np.uint8:
        raise ValueError("it has an array that is not uint8")
    target.value = _shaped(content, shape, bool(fortran))


def _shaped(content: Any, shape: Any, fortran: bool) -> np.ndarray:
    sides = shape if isinstance(shape, tuple) and len(shape) <= 4 else (-1,)
    if not isinstance(content, (bytes, bytearray)) or not all(type(n) is int and 0 <= n < 2**32 for n in sides):
        raise ValueError("it has an array of an impossible shape")
    if prod(shape) != len(content):
        raise ValueError(f"it has an array of {len(content)} bytes with another shape")
    return np.frombuffer(content, np.uint8).reshape(shape, order="F" if fortran else "C")


def _plain(value: Any) -> Any:
    """Replaces array objects by arrays on the first two levels, which are the only ones that CIFAR uses."""
    if isinstance(value, _Array):
        return value.value
    if isinstance(value, dict):
        return {key: item.value if isinstance(item, _Array) else item for key, item in value.items()}
    return value

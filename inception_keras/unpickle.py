"""Reads pickles as plain data: opcodes are interpreted here, and nothing is imported, called or executed.

Python's own unpickler with an allow-list of names is not enough: 300 bytes can make it compute the hash of a tuple for
ever, or fill the memory.
"""

import pickletools
from collections.abc import Iterable
from types import FunctionType
from typing import Any, BinaryIO

_MOST = 10_000_000  # opcodes in the largest pickle that is read; CIFAR's pickles have 300,000
_VALUES = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE"),
)
_OLD_TEXTS = ("STRING", "BINSTRING", "SHORT_BINSTRING")  # of Python 2; pickletools decodes them as Latin-1
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": list, "EMPTY_TUPLE": tuple}
_FROM_MARK = {"LIST": list, "TUPLE": tuple, "FROZENSET": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


class Unknown(dict):
    """Stands for a class or function that a pickle names, and for all that it would make. `asked` is its name."""

    def __init__(self, asked: str):
        super().__init__()
        self.asked = asked


class Unpickler:
    """Reads one pickle. A subclass says what the names in it stand for.

    The result has dicts, lists, tuples, texts, bytes, numbers, True, False, None, and what the subclass makes. Sets
    become lists. In dicts, a key that is no text, bytes or number becomes a new object.
    """

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def find(self, name: str) -> object:
        """What a name such as "numpy.dtype" stands for. If it is a Python function, the pickle may call it."""
        raise ValueError(f"it asks for {name[:80]}")

    def text(self, value: bytes) -> object:
        """What a string of Python 2 stands for."""
        return value

    def persistent(self, pid: Any) -> object:
        """The object that is stored outside the pickle under an identifier."""
        raise ValueError("it refers to objects outside")

    def build(self, target: object, state: Any) -> None:
        """Sets the state of an object."""

    def read(self, file: BinaryIO) -> Any:
        """Reads a pickle from a file, up to its end.

        Raises:
            ValueError: If it has an opcode that no plain data need, or too many.
            Exception: Any other, if it is damaged.
        """
        for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if count > _MOST:
                raise ValueError(f"it has more than {_MOST} opcodes")
            if opcode.name == "STOP":
                return self._stack.pop()
            if opcode.name in _VALUES:
                self._stack.append(argument)
            else:
                self._step(opcode.name, argument)
        raise ValueError("it has no end")

    def _step(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name in ("PROTO", "FRAME"):
            pass
        elif name == "MARK":
            stack.append(_MARK)
        elif name in _OLD_TEXTS:
            stack.append(self.text(str(argument).encode("latin-1")))
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            self._memo[len(self._memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            stack[-_TUPLES[name] :] = [tuple(stack[-_TUPLES[name] :])]
        elif name in _FROM_MARK:
            stack.append(_FROM_MARK[name](self._marked()))
        elif name == "DICT":
            stack.append(filled({}, self._marked()))
        elif name in ("APPEND", "APPENDS", "ADDITEMS", "SETITEM", "SETITEMS"):
            self._fill(name)
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            self._marked()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name in ("PERSID", "BINPERSID"):
            stack.append(self.persistent(stack.pop() if name == "BINPERSID" else argument))
        elif name == "BUILD":
            state = stack.pop()
            self.build(stack[-1], state)
        else:
            self._call(name, argument)

    def _call(self, name: str, argument: Any) -> None:
        stack = self._stack
        if name == "GLOBAL":
            stack.append(self.find(argument.replace(" ", ".")))
        elif name == "STACK_GLOBAL":
            inner, module = stack.pop(), stack.pop()
            if not isinstance(module, str) or not isinstance(inner, str):
                raise ValueError("it has a name that is no text")
            stack.append(self.find(f"{module}.{inner}"))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments = stack.pop()
            stack.append(_made(stack.pop(), arguments))
        elif name == "NEWOBJ_EX":
            _, arguments = stack.pop(), stack.pop()  # no name that is known takes keywords
            stack.append(_made(stack.pop(), arguments))
        elif name == "INST":
            stack.append(_made(self.find(argument.replace(" ", ".")), self._marked()))
        elif name == "OBJ":
            what, *arguments = self._marked()
            stack.append(_made(what, arguments))
        else:
            raise ValueError(f"it has the opcode {name}, which no plain data need")

    def _marked(self) -> list[Any]:
        """Removes the items above the last mark, and the mark itself, from the stack, and returns the items."""
        items = []
        while (item := self._stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def _fill(self, name: str) -> None:
        if name.endswith("S"):
            items = self._marked()
        else:
            items = [self._stack.pop() for _ in range(2 if name == "SETITEM" else 1)][::-1]
        target = self._stack[-1]
        if name.startswith("SETITEM") and isinstance(target, dict):
            filled(target, items)
        elif isinstance(target, list) and not name.startswith("SETITEM"):
            target.extend(items)
        elif not isinstance(target, Unknown):
            raise ValueError(f"it fills a {type(target).__name__} by {name}")


def filled(target: dict, items: list[Any]) -> dict:
    """The dict, with keys and values that stand in turn in a list."""
    for key, value in zip(items[::2], items[1::2], strict=True):
        # the hash of other keys can take very long, as can finding a place for large numbers
        is_plain = isinstance(key, (str, bytes, float)) or (isinstance(key, int) and abs(key) < 2**32)
        target[key if is_plain else object()] = value
    return target


def _made(what: object, arguments: Iterable) -> object:
    if isinstance(what, Unknown):
        return Unknown(what.asked)
    if not isinstance(what, FunctionType):
        raise ValueError(f"it calls a {type(what).__name__}")
    return what(*arguments)

"""Reads files of `torch.save` without torch, and without running any code in them."""

import io
import warnings
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..unpickle import Unknown, Unpickler, filled

_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file that a torch before 1.6 wrote
_TYPES = {
    "Float": "<f4", "Double": "<f8", "Half": "<f2", "BFloat16": "<u2", "Long": "<i8",
    "Int": "<i4", "Short": "<i2", "Char": "<i1", "Byte": "<u1", "Bool": "?",
}  # fmt: skip
# names of the state dict in the checkpoints of training programs, and of its running average
_PLAIN = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params")
_AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "params_ema")


@dataclass(frozen=True)
class _Storage:
    key: str
    kind: str


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage. The bytes of the storage are read later."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the tensors of a state dict, by name.

    Args:
        path: A file of `torch.save`: a state dict, or a checkpoint that holds one under a common name. Everything else
            in a checkpoint, such as an optimizer or objects of unknown classes, is ignored.

    Returns:
        Arrays by name, without the prefix `module.`; bfloat16 becomes float32.

    Raises:
        ValueError: If the file is damaged, holds no state dict, or holds another object where a tensor should be. No
            class or function named in the file is ever imported or called.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file {path}.")
    try:
        entries, storage = _read_zip(path) if zipfile.is_zipfile(path) else _read_legacy(path)
        found = _state_dict(entries, path)
        tensors = {str(key): value for key, value in found.items() if isinstance(value, _Tensor)}
        return {key.removeprefix("module."): _array(tensor, storage) for key, tensor in tensors.items()}
    except ValueError as error:
        raise ValueError(f"{path} is not a file of torch weights: {error}") from None
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{path} is not a whole file of torch weights ({type(error).__name__}: {error}).") from None


def _state_dict(entries: object, path: Path) -> dict:
    """Finds the state dict in the content of a file. It may hold other values beside the tensors."""
    whole = "a whole model is pickled in it; save its state_dict() instead."
    if _asked(entries) and not entries:
        raise ValueError(f"it asks for {_asked(entries)}: {whole}")
    if not isinstance(entries, dict):
        raise ValueError(f"it holds a {type(entries).__name__.lstrip('_')}, not a state dict.")
    found = {name: entries[name] for name in (*_PLAIN, *_AVERAGED) if _has_tensors(entries.get(name), 2)}
    if found:
        name, *others = found
        if others:
            warnings.warn(f"{path} holds several sets of weights; of {', '.join(found)}, {name} is used.", stacklevel=2)
        return _state_dict(found[name], path)
    if not any(isinstance(value, _Tensor) for value in entries.values()):
        inner = [name for name, value in entries.items() if _has_tensors(value, 1)]
        if len(inner) == 1:
            return _state_dict(entries[inner[0]], path)
        if inner:
            raise ValueError(f"it holds several state dicts, {', '.join(map(str, inner[:10]))}; save one by itself.")
        if models := [_asked(entries[name]) for name in (*_PLAIN, *_AVERAGED) if _asked(entries.get(name))]:
            raise ValueError(f"it asks for {models[0]}: {whole}")
        asked = next(filter(None, map(_asked, entries.values())), "")
        raise ValueError(f"it asks for {asked}, and has no tensors." if asked else "it holds no tensors by name.")
    if wrong := [f"it asks for {_asked(value)} as {key}" for key, value in entries.items() if _asked(value)]:
        raise ValueError(f"{wrong[0]}, where a tensor should be.")
    return entries


def _has_tensors(value: object, depth: int) -> bool:
    """Whether a value is a dict with tensors, or, up to `depth`, with dicts of tensors."""
    if not isinstance(value, dict):
        return False
    return any(isinstance(v, _Tensor) or (depth > 1 and _has_tensors(v, depth - 1)) for v in value.values())


def _asked(value: object) -> str:
    """The unknown class or function that a value needs; empty for known values."""
    return value.asked if isinstance(value, Unknown) else ""


def _read_zip(path: Path) -> tuple[object, Callable[[str], bytes]]:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        index = next((name for name in names if name.endswith("data.pkl")), None)
        if index is None:
            raise ValueError("it has no data.pkl.")
        root = index.removesuffix("data.pkl")
        if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("its bytes are not in little-endian order.")
        entries = _Reader().read(io.BytesIO(archive.read(index)))

    def storage(key: str) -> bytes:
        with zipfile.ZipFile(path) as archive:
            return archive.read(f"{root}data/{key}")

    return entries, storage


def _read_legacy(path: Path) -> tuple[object, Callable[[str], bytes]]:
    """Reads the format from before torch 1.6: five pickles, then the bytes of each storage.

    The pickles are a magic number, a version, system information, the entries and the keys of the storages.
    """
    with path.open("rb") as file:
        if _Reader().read(file) != _MAGIC:
            raise ValueError("its first number is not torch's.")
        for _ in range(2):
            _Reader().read(file)
        reader = _Reader()
        entries, keys = reader.read(file), _Reader().read(file)
        storages = {}
        for key in keys:
            count = int.from_bytes(file.read(8), "little")
            storages[key] = file.read(count * np.dtype(_TYPES[reader.kinds[key]]).itemsize)
        return entries, storages.__getitem__


class _Reader(Unpickler):
    """Reads tensors and dicts. Any other class or function becomes an `Unknown`."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: dict[str, str] = {}

    def find(self, name: str) -> object:
        """The stand-in for a class or function that the file names."""
        module, _, kind = name.rpartition(".")
        if module in ("torch", "torch.storage") and kind.removesuffix("Storage") in _TYPES:
            return kind.removesuffix("Storage")
        return _NAMES[name] if name in _NAMES else Unknown(name)

    def text(self, value: bytes) -> str:
        """The text in a string of Python 2."""
        return value.decode()

    def persistent(self, pid: Any) -> object:
        """A storage, from ("storage", type, key, device, count). In old files, a sixth item marks a view of another."""
        if pid[0] != "storage":  # old torch files keep the source code of a pickled model
            return pid[1]
        kind, key = pid[1], pid[2]
        if len(pid) > 5 and pid[5] is not None:
            kind = "a view of another storage"
        self.kinds[key] = kind
        return _Storage(key, kind)


def _entries(pairs: Iterable[Iterable] = ()) -> dict:
    return filled({}, list(chain.from_iterable(pairs)))


def _tensor(storage: _Storage, offset: int, shape: tuple, strides: tuple, *_: object) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(tensor: _Tensor, *_: object) -> _Tensor:
    return tensor


def _size(sizes: Iterable = ()) -> tuple:
    return tuple(sizes)


_NAMES = {
    "collections.OrderedDict": _entries,
    "torch.Size": _size,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
}


def _array(tensor: _Tensor, storage: Callable[[str], bytes]) -> np.ndarray:
    kind = tensor.storage.kind
    if kind not in _TYPES:
        raise ValueError(f"it has a tensor in an unknown kind of storage, {_asked(kind) or kind}.")
    flat = np.frombuffer(storage(tensor.storage.key), _TYPES[kind])
    if kind == "BFloat16":  # the upper half of a float32
        flat = (flat.astype("<u4") << 16).view("<f4")
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    if min((tensor.offset, *tensor.shape, *tensor.strides)) < 0 or (0 not in tensor.shape and last >= flat.size):
        raise ValueError(f"a tensor of {tensor.shape} reaches beyond its {flat.size} numbers.")
    strides = [step * flat.itemsize for step in tensor.strides]
    return np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, strides).copy()

"""Reads `.pth` and `.pt` files without torch, and without running anything that stands in them."""

import io
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of a file from before torch 1.6
_TYPES = {
    "Float": "<f4", "Double": "<f8", "Half": "<f2", "BFloat16": "<u2", "Long": "<i8",
    "Int": "<i4", "Short": "<i2", "Char": "<i1", "Byte": "<u1", "Bool": "?",
}  # fmt: skip


@dataclass(frozen=True)
class _Storage:
    key: str
    kind: str


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage whose bytes are read later."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: str | Path) -> dict[str, np.ndarray]:
    """The tensors of a state dict, by name.

    Args:
        path: A file of `torch.save`: a state dict, or a dict that has one as `"state_dict"` or `"model"`.

    Returns:
        Arrays by name, without a `module.` before it; bfloat16 becomes float32.

    Raises:
        ValueError: If the file is damaged, or names any class or function but those of tensors; none is ever called.
        FileNotFoundError: If there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file {path}.")
    try:
        entries, storages = _read_zip(path) if zipfile.is_zipfile(path) else _read_legacy(path)
        for name in ("state_dict", "model"):
            entries = entries[name] if isinstance(entries.get(name), dict) else entries
        tensors = {key: value for key, value in entries.items() if isinstance(value, _Tensor)}
        return {key.removeprefix("module."): _array(tensor, storages) for key, tensor in tensors.items()}
    except ValueError as error:
        raise ValueError(f"{path} is not a file of torch weights: {error}") from None
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{path} is not a whole file of torch weights ({type(error).__name__}: {error}).") from None


def _read_zip(path: Path) -> tuple[dict, dict[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        index = next((name for name in archive.namelist() if name.endswith("data.pkl")), None)
        if index is None:
            raise ValueError("it has no data.pkl.")
        root = index.removesuffix("data.pkl")
        if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("its bytes are not in little-endian order.")
        entries = _Unpickler(io.BytesIO(archive.read(index))).load()
        names = [name for name in archive.namelist() if name.startswith(f"{root}data/")]
        return entries, {name.removeprefix(f"{root}data/"): archive.read(name) for name in names}


def _read_legacy(path: Path) -> tuple[dict, dict[str, bytes]]:
    """Five pickles (a number, a version, the machine, the entries, the storages' keys), then each storage's bytes."""
    with path.open("rb") as file:
        if _Unpickler(file).load() != _MAGIC:
            raise ValueError("its first number is not torch's.")
        for _ in range(2):
            _Unpickler(file).load()
        unpickler = _Unpickler(file)
        entries, keys = unpickler.load(), _Unpickler(file).load()
        storages = {}
        for key in keys:
            count = int.from_bytes(file.read(8), "little")
            storages[key] = file.read(count * np.dtype(_TYPES[unpickler.kinds[key]]).itemsize)
        return entries, storages


class _Unpickler(pickle._Unpickler):
    """Knows tensors and dicts; asked for any other class or function, it raises.

    It is the one in Python: that in C makes room for as many memos as nine bytes ask for, and fills the memory.
    """

    def __init__(self, file: BinaryIO):
        super().__init__(file, encoding="utf-8")
        self.kinds: dict[str, str] = {}
        self._allowed = _allowed()

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the file stands for."""
        if module in ("torch", "torch.storage") and name.removesuffix("Storage") in _TYPES:
            return name.removesuffix("Storage")
        if (module, name) in self._allowed:
            return self._allowed[module, name]
        raise ValueError(f"it asks for {module}.{name}.")

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage, from ("storage", type, key, device, count) and, in old files, a view of another."""
        kind, key = pid[1], pid[2]
        if pid[0] != "storage" or kind not in _TYPES or (len(pid) > 5 and pid[5] is not None):
            raise ValueError(f"it has an unknown kind of storage, {pid[:3]}.")
        self.kinds[key] = kind
        return _Storage(key, kind)


def _allowed() -> dict[tuple[str, str], Any]:
    """Stand-ins for the names of a state dict; new ones for each file, which can set attributes on them."""

    class Entries(dict):  # an OrderedDict, with room for the versions that torch notes on it
        pass

    def tensor(storage: _Storage, offset: int, shape: tuple, strides: tuple, *_: Any) -> _Tensor:
        return _Tensor(storage, offset, tuple(shape), tuple(strides))

    def parameter(tensor: _Tensor, *_: Any) -> _Tensor:
        return tensor

    return {
        ("collections", "OrderedDict"): Entries,
        ("torch._utils", "_rebuild_tensor"): tensor,
        ("torch._utils", "_rebuild_tensor_v2"): tensor,
        ("torch._utils", "_rebuild_parameter"): parameter,
    }


def _array(tensor: _Tensor, storages: dict[str, bytes]) -> np.ndarray:
    kind = tensor.storage.kind
    flat = np.frombuffer(storages[tensor.storage.key], _TYPES[kind])
    if kind == "BFloat16":  # the upper half of a float32
        flat = (flat.astype("<u4") << 16).view("<f4")
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    if min((tensor.offset, *tensor.shape, *tensor.strides)) < 0 or (0 not in tensor.shape and last >= flat.size):
        raise ValueError(f"a tensor of {tensor.shape} reaches beyond its {flat.size} numbers.")
    strides = [step * flat.itemsize for step in tensor.strides]
    return np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, strides).copy()

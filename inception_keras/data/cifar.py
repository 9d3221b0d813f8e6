"""Reads CIFAR-10 and CIFAR-100 in their published forms, binary or Python, as archives or unpacked."""

import gzip
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

import numpy as np

from .idx import BROKEN, LARGEST, Bounded, read
from .images import line
from .pickled import read_pickle
from .splits import Part
from .targets import Labels

_LIMIT = LARGEST // 4  # bytes; every CIFAR archive is smaller when unpacked
_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class _Form:
    archive: str
    folder: str  # the folder in the archive
    train: str
    test: str
    names: str
    classes: int
    before: int = 0  # label bytes before each image's pixels; the last one is used. 0 in the Python form

    def has(self, folder: Path) -> bool:
        """Whether the folder holds the training images.

        Any folder may have a file called "train", so that name counts only if "meta" lies beside it.
        """
        wanted = (self.train, self.names) if self.train == "train" else (self.train,)
        return all(any(file.is_file() for file in folder.glob(pattern)) for pattern in wanted)

    def wants(self, name: str) -> bool:
        return any(PurePosixPath(name).match(pattern) for pattern in (self.train, self.test, self.names))


# fmt: off
CIFAR = {
    "cifar10": (
        _Form("cifar-10-binary.tar.gz", "cifar-10-batches-bin",
              "data_batch_*.bin", "test_batch.bin", "batches.meta.txt", classes=10, before=1),
        _Form("cifar-10-python.tar.gz", "cifar-10-batches-py",
              "data_batch_?", "test_batch", "batches.meta", classes=10),
    ),
    "cifar100": (
        _Form("cifar-100-binary.tar.gz", "cifar-100-binary",
              "train.bin", "test.bin", "fine_label_names.txt", classes=100, before=2),
        _Form("cifar-100-python.tar.gz", "cifar-100-python",
              "train", "test", "meta", classes=100),
    ),
}
# fmt: on


def find_cifar(folder: Path, kind: str) -> Path | None:
    """The CIFAR archive in a folder, or the folder with the unpacked files; None if there is neither."""
    for form in CIFAR[kind]:
        for place in (folder, folder / form.folder):
            if form.has(place):
                return place
        if (folder / form.archive).is_file():
            return folder / form.archive
    return None


def read_cifar(source: Path, kind: str) -> tuple[dict[str, Part], tuple[str, ...] | None]:
    """Reads the `train` and `test` splits of CIFAR, and the class names if there are any.

    Args:
        source: An archive, or the folder with its unpacked files.
        kind: `"cifar10"` or `"cifar100"`.

    Raises:
        ValueError: If a file is missing, truncated or not in CIFAR's format.
    """
    forms = CIFAR[kind]
    files = _members(source, forms) if source.is_file() else _contents(source, forms)
    for form in forms:
        train = sorted(name for name in files if PurePosixPath(name).match(form.train))
        if not train:
            continue
        parts = {"train": _part(files, train, form, source)}
        if form.test in files:
            parts["test"] = _part(files, [form.test], form, source)
        return parts, _names(files, form, source)
    raise ValueError(f"{source} has no {' or '.join(form.train for form in forms)} in it.")


def _part(files: Mapping[str, bytes], names: list[str], form: _Form, source: Path) -> Part:
    images, labels = [], []
    for name in names:
        batch = _records if form.before else _batch
        pixels, classes = batch(files[name], form, f"{source}: {name}")
        if classes.max() >= form.classes:
            raise ValueError(f"{source}: {name} has the label {classes.max()}, more than {form.classes - 1}.")
        images.append(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        labels.append(classes)
    return Part(np.concatenate(images), Labels(np.concatenate(labels)))


def _records(content: bytes, form: _Form, where: str) -> tuple[np.ndarray, np.ndarray]:
    """The binary form: the labels of each image, followed by its pixels."""
    record = form.before + _PIXELS
    if not content or len(content) % record:
        wanted = f"a multiple of {record}, the size of a labelled image"
        raise ValueError(f"{where} has {len(content)} bytes, not {wanted}; it may be cut short.")
    rows = np.frombuffer(content, np.uint8).reshape(-1, record)
    return rows[:, form.before :], rows[:, form.before - 1]


def _batch(content: bytes, form: _Form, where: str) -> tuple[np.ndarray, np.ndarray]:
    """The Python form: a pickled dict with the pixels as an array and the labels as a list."""
    batch = _dict(content, where)
    key = "labels" if form.classes == 10 else "fine_labels"
    pixels, labels = batch.get("data"), batch.get(key)
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.shape[1] != _PIXELS or not len(pixels):
        raise ValueError(f"{where} has no data of {_PIXELS} bytes for each image.")
    if not isinstance(labels, list) or len(labels) != len(pixels):
        raise ValueError(f"{where} has no list of {len(pixels)} {key}.")
    if not all(type(label) is int and 0 <= label < 256 for label in labels):
        raise ValueError(f"{where} has {key} that are no class.")
    return pixels, np.array(labels)


def _dict(content: bytes, where: str) -> dict[str, Any]:
    try:
        value = read_pickle(content)
    except ValueError as error:
        raise ValueError(f"{where} is not a batch of CIFAR: {line(error)}.") from None
    if not isinstance(value, dict):
        raise ValueError(f"{where} is not a batch of CIFAR: it holds no dict.")
    return {key.decode(errors="replace") if isinstance(key, bytes) else key: item for key, item in value.items()}


def _names(files: Mapping[str, bytes], form: _Form, source: Path) -> tuple[str, ...] | None:
    if form.names not in files:
        return None
    try:
        if form.before:
            names = files[form.names].decode().split()
        else:
            key = "label_names" if form.classes == 10 else "fine_label_names"
            found = _dict(files[form.names], f"{source}: {form.names}").get(key)
            names = [name.decode() if isinstance(name, bytes) else name for name in found or ()]
    except (UnicodeDecodeError, TypeError):
        raise ValueError(f"{source}: {form.names} is not a text file.") from None
    if len(names) != form.classes or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{source}: {form.names} has {len(names)} names, not {form.classes}.")
    return tuple(names)


def _contents(folder: Path, forms: tuple[_Form, ...]) -> dict[str, bytes]:
    files = {}
    for path in folder.iterdir():
        if path.is_file() and any(form.wants(path.name) for form in forms):
            with path.open("rb") as file:
                files[path.name] = read(Bounded(file, path, _LIMIT), _LIMIT + 1)
    return files


def _members(archive: Path, forms: tuple[_Form, ...]) -> dict[str, bytes]:
    """The wanted files of the archive by name. They are read into memory; nothing is unpacked to disk."""
    files = {}
    try:
        with gzip.open(archive) as unzipped:
            bounded = cast("IO[bytes]", Bounded(unzipped, archive, _LIMIT))
            with tarfile.open(fileobj=bounded, mode="r|") as tar:
                for member in tar:
                    name = PurePosixPath(member.name).name
                    wanted = member.isfile() and any(form.wants(name) for form in forms)
                    content = tar.extractfile(member) if wanted else None
                    if content is not None:
                        files[name] = read(content, member.size)
    except BROKEN as error:
        raise ValueError(f"{archive} is not a whole tar.gz archive: {line(error)}.") from None
    return files

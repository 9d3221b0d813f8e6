"""Readers of the binary files in which MNIST and CIFAR are published. What a file says of itself is not believed."""

import gzip
import struct
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from .images import line
from .parts import Part

_LARGEST = 2**32  # bytes that a file may unfold to
_DEFLATE = 1032  # deflate makes a byte of at most so many
_BROKEN = (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError)


@dataclass(frozen=True)
class _Cifar:
    folder: str  # into which the archive unfolds
    train: str
    test: str
    labels: int  # bytes before the pixels, the last of them the label
    names: str
    classes: int

    @property
    def archive(self) -> str:
        return f"{self.folder.replace('-batches-bin', '-binary')}.tar.gz"


CIFAR = {
    "cifar10": _Cifar("cifar-10-batches-bin", "data_batch_*.bin", "test_batch.bin", 1, "batches.meta.txt", 10),
    "cifar100": _Cifar("cifar-100-binary", "train.bin", "test.bin", 2, "fine_label_names.txt", 100),
}


def find_idx(folder: Path, split: str, content: str) -> Path | None:
    """The file of `"train"` or `"t10k"` with the `"images"` or `"labels"`, by one of the names that it goes by."""
    rank = {"images": 3, "labels": 1}[content]
    names = [f"{split}-{content}{mark}idx{rank}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read_mnist(folder: Path) -> dict[str, Part]:
    """The `train` and `test` of a folder of IDX files; `test` only where its files are there.

    Raises:
        ValueError: If a file is missing, not IDX, cut short or too long, or the files do not fit each other.
    """
    parts = {}
    for part, split in (("train", "train"), ("test", "t10k")):
        images, labels = find_idx(folder, split, "images"), find_idx(folder, split, "labels")
        if images is None and labels is None and part == "test":
            continue
        if images is None or labels is None:
            lacking = "images" if images is None else "labels"
            raise ValueError(f"{folder} has no {split}-{lacking} file beside its other IDX files.")
        pixels, classes = read_idx(images, 3), read_idx(labels, 1)
        if len(pixels) != len(classes):
            raise ValueError(f"{images} has {len(pixels)} images, but {labels} has {len(classes)} labels.")
        parts[part] = Part(pixels[..., None], classes)
    shapes = {part.images.shape[1:3] for part in parts.values()}  # type: ignore[union-attr]
    if len(shapes) > 1:
        raise ValueError(f"{folder} has training and test images of different sizes: {sorted(shapes)}.")
    return parts


def read_idx(path: Path, rank: int) -> np.ndarray:
    """An IDX file of unsigned bytes with `rank` axes, gzipped or not, as uint8.

    Raises:
        ValueError: If it is not such a file, or its length is not what its header says.
    """
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    length = path.stat().st_size
    try:
        with gzip.open(path) if zipped else path.open("rb") as file:
            header = file.read(4 + 4 * rank)
            if len(header) < 4 + 4 * rank or header[:4] != bytes((0, 0, 8, rank)):
                magic = header[:4].hex() or "nothing"
                raise ValueError(
                    f"{path} is not an IDX file of {rank} axes: it begins with {magic}, not 000008{rank:02}."
                )
            shape = struct.unpack(f">{rank}I", header[4:])
            size = prod(shape)
            if not size:
                raise ValueError(f"{path} is empty: its header says {_by(shape)}.")
            possible = min(_LARGEST, length * _DEFLATE if zipped else length - len(header))
            if size > possible:
                raise ValueError(
                    f"{path} is cut short: its header says {_by(shape)} bytes, there are at most {possible}."
                )
            pixels = _read(file, size + 1)
    except _BROKEN as error:
        raise ValueError(f"{path} is not a whole gzip file: {line(error)}.") from None
    if len(pixels) != size:
        found = "more" if len(pixels) > size else f"only {len(pixels)}"
        raise ValueError(f"{path} has {found} bytes where its header says {_by(shape)}.")
    return np.frombuffer(pixels, np.uint8).reshape(shape)


def find_cifar(folder: Path, kind: str) -> Path | None:
    """The archive, or the folder that has its files, in a folder; None where it has neither."""
    layout = CIFAR[kind]
    for place in (folder, folder / layout.folder):
        if any(place.glob(layout.train)):
            return place
    archive = folder / layout.archive
    return archive if archive.is_file() else None


def read_cifar(source: Path, kind: str) -> tuple[dict[str, Part], tuple[str, ...] | None]:
    """The `train` and `test` of a CIFAR archive or of the folder that it unfolds to, and its names of the classes.

    Raises:
        ValueError: If a file is missing, cut short or not of CIFAR's format.
    """
    layout = CIFAR[kind]
    files = _members(source, layout) if source.is_file() else _contents(source, layout)
    train = sorted(name for name in files if PurePosixPath(name).match(layout.train))
    if not train:
        raise ValueError(f"{source} has no {layout.train} in it.")
    parts = {"train": _records(files, train, layout, source)}
    if layout.test in files:
        parts["test"] = _records(files, [layout.test], layout, source)
    return parts, _names(files, layout, source)


def _records(files: Mapping[str, bytes], names: list[str], layout: _Cifar, source: Path) -> Part:
    record = layout.labels + 3 * 32 * 32
    images, labels = [], []
    for name in names:
        content = np.frombuffer(files[name], np.uint8)
        if not len(content) or len(content) % record:
            wanted = f"a multiple of {record}, the size of a labelled image"
            raise ValueError(f"{source}: {name} has {len(content)} bytes, not {wanted}; it may be cut short.")
        rows = content.reshape(-1, record)
        labels.append(rows[:, layout.labels - 1])
        if labels[-1].max() >= layout.classes:
            raise ValueError(f"{source}: {name} has the label {labels[-1].max()}, more than {layout.classes - 1}.")
        images.append(rows[:, layout.labels :].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    return Part(np.concatenate(images), np.concatenate(labels))


def _names(files: Mapping[str, bytes], layout: _Cifar, source: Path) -> tuple[str, ...] | None:
    if layout.names not in files:
        return None
    try:
        names = tuple(files[layout.names].decode().split())
    except UnicodeDecodeError:
        raise ValueError(f"{source}: {layout.names} is not a text file.") from None
    if len(names) != layout.classes:
        raise ValueError(f"{source}: {layout.names} has {len(names)} names, not {layout.classes}.")
    return names


def _wanted(name: str, layout: _Cifar) -> bool:
    return any(PurePosixPath(name).match(pattern) for pattern in (layout.train, layout.test, layout.names))


def _contents(folder: Path, layout: _Cifar) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file() and _wanted(file.name, layout)}


def _members(archive: Path, layout: _Cifar) -> dict[str, bytes]:
    """The archive's files by name, read in memory: nothing is unfolded onto the disk."""
    files = {}
    try:
        with gzip.open(archive) as unzipped:
            bounded: Any = _Bounded(unzipped, archive)
            with tarfile.open(fileobj=bounded, mode="r|") as tar:
                for member in tar:
                    name = PurePosixPath(member.name).name
                    content = tar.extractfile(member) if member.isfile() and _wanted(name, layout) else None
                    if content is not None:
                        files[name] = _read(content, member.size)
    except _BROKEN as error:
        raise ValueError(f"{archive} is not a whole tar.gz archive: {line(error)}.") from None
    return files


class _Bounded:
    """A stream that ends in an error where it gives more than any CIFAR archive has."""

    def __init__(self, file: Any, path: Path):
        self._file, self._path, self._left = file, path, _LARGEST // 4

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise ValueError(f"{self._path} unfolds to more than {_LARGEST // 4} bytes, more than any CIFAR archive.")
        return content


def _read(file: Any, size: int) -> bytes:
    """At most `size` bytes; memory grows with what there is, not with what was asked for."""
    content = bytearray()
    while len(content) < size and (more := file.read(min(size - len(content), 2**20))):
        content += more
    return bytes(content)


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))

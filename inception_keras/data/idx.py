"""Readers of binary files, mainly MNIST's IDX. Sizes stated in a file are never trusted."""

import gzip
import struct
import tarfile
import zlib
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np

from .images import line
from .splits import Part
from .targets import Labels

LARGEST = 2**32  # most bytes that a file may decompress to
BROKEN = (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError)
_DEFLATE = 1032  # the highest compression ratio of deflate


def find_idx(folder: Path, split: str, content: str) -> Path | None:
    """The IDX file of `"train"` or `"t10k"` with its `"images"` or `"labels"`, under any of its usual names."""
    rank = {"images": 3, "labels": 1}[content]
    names = [f"{split}-{content}{mark}idx{rank}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read_mnist(folder: Path) -> dict[str, Part]:
    """The `train` and `test` splits of a folder of IDX files; `test` only if its files exist.

    Raises:
        ValueError: If a file is missing, not IDX, truncated or too long, or the files do not fit each other.
    """
    parts = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = find_idx(folder, prefix, "images"), find_idx(folder, prefix, "labels")
        if images is None and labels is None and split == "test":
            continue
        if images is None or labels is None:
            lacking = "images" if images is None else "labels"
            raise ValueError(f"{folder} has no {prefix}-{lacking} file beside its other IDX files.")
        pixels, classes = read_idx(images, 3), read_idx(labels, 1)
        if len(pixels) != len(classes):
            raise ValueError(f"{images} has {len(pixels)} images, but {labels} has {len(classes)} labels.")
        parts[split] = Part(pixels[..., None], Labels(classes))
    shapes = {part.images.shape[1:3] for part in parts.values()}  # type: ignore[union-attr]
    if len(shapes) > 1:
        raise ValueError(f"{folder} has training and test images of different sizes: {sorted(shapes)}.")
    return parts


def read_idx(path: Path, rank: int) -> np.ndarray:
    """Reads an IDX file of unsigned bytes with `rank` axes as uint8. The file may be gzipped.

    Raises:
        ValueError: If it is not such a file, or its length differs from what its header states.
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
                raise ValueError(f"{path} is empty: its header says {by(shape)}.")
            possible = min(LARGEST, length * _DEFLATE if zipped else length - len(header))
            if size > possible:
                raise ValueError(
                    f"{path} is cut short: its header says {by(shape)} bytes, there are at most {possible}."
                )
            pixels = read(file, size + 1)
    except BROKEN as error:
        raise ValueError(f"{path} is not a whole gzip file: {line(error)}.") from None
    if len(pixels) != size:
        found = "more" if len(pixels) > size else f"only {len(pixels)}"
        raise ValueError(f"{path} has {found} bytes where its header says {by(shape)}.")
    return np.frombuffer(pixels, np.uint8).reshape(shape)


class Readable(Protocol):
    """A binary stream, plain, unpacked or bounded."""

    def read(self, size: int, /) -> bytes:
        """Reads at most `size` bytes."""


class Bounded:
    """A stream that raises an error once it has given more than `limit` bytes."""

    def __init__(self, file: Readable, path: Path, limit: int):
        self._file, self._path, self._left, self._limit = file, path, limit, limit

    def read(self, size: int) -> bytes:
        """Reads at most `size` bytes."""
        content = self._file.read(size)
        self._left -= len(content)
        if self._left < 0:
            raise ValueError(f"{self._path} unfolds to more than {self._limit} bytes.")
        return content


def read(file: Readable, size: int) -> bytes:
    """Reads at most `size` bytes. Memory grows with the bytes that exist, not with the number requested."""
    content = bytearray()
    while len(content) < size and (more := file.read(min(size - len(content), 2**20))):
        content += more
    return bytes(content)


def by(shape: tuple[int, ...]) -> str:
    """A shape as people say it: 2 x 3."""
    return " x ".join(map(str, shape))

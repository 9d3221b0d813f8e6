"""Reads TFRecord shards of encoded images with their labels. Lengths stated in a file are never trusted."""

import gzip
import io
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import tensorflow as tf
from google.protobuf.message import DecodeError

from .idx import BROKEN, LARGEST, Bounded
from .images import Inner, line
from .layout import SPLIT_NAMES, split_of
from .listing import Listing, number

Features = Mapping[str, tf.train.Feature]
_NAME = re.compile(r"(.*\.tfrecords?(-\d{5}-of-\d{5})?|[^.]*-\d{5}-of-\d{5})(\.gz)?", re.IGNORECASE)
_SPLIT = re.compile(rf"(?:^|[-_.])({'|'.join(SPLIT_NAMES)})(?:[-_.]|$)", re.IGNORECASE)
_SHARD = re.compile(r"(.*)-\d{5}-of-(\d{5})(.*)")
_RECORD = 2**28  # most bytes of a record that is read
_IMAGES = ("image/encoded", "image")
_LABELS = ("image/class/label", "image/label", "label")
_TEXT = "image/class/text"


@dataclass(frozen=True, slots=True)
class Record(Inner):
    """The image of one record.

    Gzipped shards cannot be read from the middle, so of these the record holds the bytes of the image itself.
    """

    path: Path
    number: int
    offset: int
    size: int
    content: bytes | None = None

    def open(self, mode: str = "rb") -> BinaryIO:
        """Opens the bytes of the image."""
        if self.content is not None:
            return io.BytesIO(self.content)
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return io.BytesIO(_image(_features(file.read(self.size))))

    def __str__(self) -> str:
        return f"record {self.number} of {self.path}"


def find_tfrecords(root: Path) -> list[Path]:
    """The files named as shards: *.tfrecord, train-00000-of-00002 and the like."""
    return [path for path in sorted(root.iterdir()) if _NAME.fullmatch(path.name) and path.is_file()]


def list_tfrecords(files: list[Path], root: Path) -> Listing:
    """Lists the images of shards.

    A part of a file's name such as val, dev or test gives its split; all other files are for training. A record is a
    tf.train.Example. Its image is `image/encoded` or `image`. Its label is `image/class/label`, `image/label` or
    `label`, a number or text. `image/class/text` gives the class name of a number.

    Raises:
        ValueError: If a shard is missing or broken, or a record has no image or label.
    """
    _check_complete(files)
    images: dict[str, list[Record]] = {}
    labels: dict[str, list[int | str]] = {}
    texts: dict[int | str, set[str]] = {}
    held = 0
    for path in files:
        found = _SPLIT.search(path.name)
        split = (found and split_of(found[1])) or "train"
        for record, features in _read(path):
            try:
                label, text = _label(features)
            except ValueError as error:
                raise ValueError(f"{record} {error}.") from None
            held += len(record.content or b"")
            if held > LARGEST // 2:
                raise ValueError(f"{root} has gzipped shards of more than {LARGEST // 2} bytes: unpack them.")
            images.setdefault(split, []).append(record)
            labels.setdefault(split, []).append(label)
            texts.setdefault(label, set()).add(text)
    numbers, order = number(labels, root)
    names = [next(iter(texts[label])) if len(texts[label]) == 1 else str(label) for label in order]
    return Listing(root, {split: (images[split], numbers[split]) for split in images}, tuple(names))


def _check_complete(files: list[Path]) -> None:
    names = {path.name for path in files}
    for before, count, after in {match.groups() for name in names if (match := _SHARD.fullmatch(name))}:
        found = sum(f"{before}-{i:05}-of-{count}{after}" in names for i in range(int(count)))
        if found < int(count):
            raise ValueError(f"{files[0].parent} has {found} of the {int(count)} shards {before}-*-of-{count}{after}.")


def _read(path: Path) -> Iterator[tuple[Record, Features]]:
    """The records of a file with their features."""
    with path.open("rb") as opened:
        zipped = opened.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if zipped else path.open("rb") as file:
            frames = _frames(Bounded(file, path, LARGEST) if zipped else file, path.stat().st_size, zipped)
            # _frames checks the length of a record before TensorFlow reads its content and compares the checksum
            contents = tf.data.TFRecordDataset(str(path), "GZIP" if zipped else "").as_numpy_iterator()
            for i, ((offset, size), content) in enumerate(zip(frames, contents, strict=True)):
                features = _features(content)
                image = _image(features)
                yield Record(path, i + 1, offset, size, image if zipped else None), features
    except BROKEN as error:
        raise ValueError(f"{path} is not a whole gzip file: {line(error)}.") from None
    except (ValueError, tf.errors.OpError) as error:
        text = "a checksum is wrong" if isinstance(error, tf.errors.OpError) else line(error)
        raise ValueError(f"{path} is not a whole TFRecord file: {text}.") from None


def _frames(file: Any, length: int, zipped: bool) -> Iterator[tuple[int, int]]:
    """The offset and the size of the content of each record."""
    offset = 0
    while head := file.read(12):
        size, checksum = struct.unpack("<QI", head) if len(head) == 12 else (0, 0)
        if checksum != _checksum(head[:8]):
            raise ValueError(f"there is no length of a record at byte {offset}")
        offset += 12
        if size > _RECORD:
            raise ValueError(f"the record at byte {offset} has {size} bytes, more than {_RECORD}")
        if zipped:
            whole = len(file.read(size + 4)) == size + 4
        else:
            whole = offset + size + 4 <= length
            file.seek(size + 4, io.SEEK_CUR)
        if not whole:
            raise ValueError(f"it is cut short: the record at byte {offset} has {size} bytes")
        yield offset, size
        offset += size + 4


def _checksum(content: bytes) -> int:
    """The masked CRC-32C of a few bytes."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _features(content: bytes) -> Features:
    try:
        return tf.train.Example.FromString(content).features.feature
    except DecodeError:
        raise ValueError("a record is no tf.train.Example") from None


def _image(features: Features) -> bytes:
    for name in _IMAGES:
        if name in features and len(features[name].bytes_list.value) == 1:
            return features[name].bytes_list.value[0]
    raise ValueError(f"a record has no {' or '.join(_IMAGES)} of bytes among its features {_names(features)}")


def _label(features: Features) -> tuple[int | str, str]:
    """The label, and its class name."""
    try:
        text = [value.decode() for value in features[_TEXT].bytes_list.value] if _TEXT in features else []
        for name in (*_LABELS, _TEXT):
            if name in features:
                values = [*features[name].int64_list.value, *(v.decode() for v in features[name].bytes_list.value)]
                if len(values) == 1:
                    return values[0], text[0] if len(text) == 1 else str(values[0])
    except UnicodeDecodeError:
        raise ValueError("has a label that is no text") from None
    raise ValueError(f"has no single {', '.join(_LABELS)} or {_TEXT} among its features {_names(features)}")


def _names(features: Features) -> str:
    return ", ".join(sorted(features)[:20])

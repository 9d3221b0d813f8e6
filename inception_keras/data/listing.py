"""Lists of images with labels, made before any image is opened. Reading checks how many of the images are usable."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from math import prod
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import counted, some
from .images import Source, UnreadableImage, check_image, line, read_image
from .layout import in_order
from .preprocessing import Preprocessing
from .splits import Part
from .targets import Labels

_IN_MEMORY = 2**29  # bytes of resized images that are kept in memory; larger sets are decoded anew in each epoch
_NAMED = 10  # unusable images that an error lists

Skipped = list[tuple[Source, str]]


@dataclass(frozen=True)
class Listing:
    """The images of each split with their class indices."""

    origin: Path  # the file or folder that lists the training images
    parts: dict[str, tuple[Sequence[Source], list[int]]]
    classes: tuple[str, ...]
    skipped: Skipped = field(default_factory=list)  # files beside the images that are no images
    unused: Skipped = field(default_factory=list)  # images that belong to no class; they count as unreadable
    notes: list[str] = field(default_factory=list)  # remarks on data that are not used, but are no fault
    fault: str = ""  # why the images cannot be used for training; empty if they can

    def check_classes(self) -> None:
        """Raises a ValueError if there are fewer than two classes, or if a class has no training images."""
        if self.fault:
            raise ValueError(self.fault)
        if len(self.classes) < 2:
            found = f"one class, {self.classes[0]}" if self.classes else "no class"
            raise ValueError(f"{self.origin} has {found}: there must be two or more.")
        if "train" not in self.parts:
            raise ValueError(f"{self.origin} has no training images, only those of {' and '.join(self.parts)}.")
        self.check_present(self.parts["train"][1], "training image")

    def check_present(self, labels: Sequence[int], wanted: str) -> None:
        """Raises a ValueError if a class is missing from the labels; `wanted` names what is missing."""
        lacking = sorted(set(range(len(self.classes))) - set(labels))
        if lacking:
            raise ValueError(f"{self.origin} has no {wanted} of the class {self.classes[lacking[0]]}.")

    def read(
        self, preprocessing: Preprocessing, max_unreadable: float, in_memory: bool = True, training: bool = True
    ) -> tuple[dict[str, Part], Skipped, list[str]]:
        """Reads all images: returns the readable ones, the unusable ones with reasons, and notes.

        Every file is opened and read to its end, in threads. If `in_memory` is set, small sets are returned as resized
        pixels; otherwise the images are returned as files. With `training`, there must be at least two classes, and
        readable images of each.

        Raises:
            ValueError: If the classes do not meet these conditions, or a larger share than `max_unreadable` cannot be
                used.
        """
        if training:
            self.check_classes()
        count = sum(len(sources) for sources, _ in self.parts.values())
        keep = in_memory and fits_in_memory(count * prod(preprocessing.size) * preprocessing.channels)
        parts = {}
        broken: Skipped = []
        remarks: Skipped = []
        for split, (sources, labels) in self.parts.items():
            parts[split] = _read(sources, labels, preprocessing, keep, broken, remarks)
        self.check_share(broken, max_unreadable)
        if training:
            self.check_present(parts["train"].labels.tolist(), "training image that can be read")
        return parts, [*self.skipped, *self.unused, *broken], [*self.notes, *remarked(remarks)]

    def check_share(self, broken: Sequence[tuple[object, str]], max_unreadable: float) -> None:
        """Raises a ValueError that lists the first unusable images, if there are more than `max_unreadable` allows."""
        count = len(self.unused) + sum(len(sources) for sources, _ in self.parts.values())
        check_share_of(self.origin, count, [*self.unused, *broken], max_unreadable)


def fits_in_memory(size: int) -> bool:
    """Whether images of so many bytes are kept in memory."""
    return size <= _IN_MEMORY


def check_share_of(
    origin: Path, count: int, bad: Sequence[tuple[object, str]], max_unreadable: float, noun: str = "images"
) -> None:
    """Raises a ValueError that lists the first of the `bad` images, if they are a larger share of all than allowed."""
    if len(bad) > max_unreadable * count:
        named = "; ".join(f"{source} {reason}" for source, reason in bad[:_NAMED])
        more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        raise ValueError(
            f"{origin} has {len(bad)} of {count} {noun} that cannot be used, "
            f"more than max_unreadable={max_unreadable:g} allows: {named}{more}."
        )


def remarked(remarks: Sequence[tuple[object, str]]) -> list[str]:
    """Remarks on single images, combined into one note for each kind of remark."""
    by_text: dict[str, list[object]] = {}
    for source, text in remarks:
        by_text.setdefault(text, []).append(source)
    return [f"{counted(len(sources), 'image')} {text}: {some(sources)}" for text, sources in by_text.items()]


def _read(
    sources: Sequence[Source],
    labels: list[int],
    preprocessing: Preprocessing,
    keep: bool,
    skipped: Skipped,
    remarks: Skipped,
) -> Part:
    """The readable images of a split.

    Unreadable images are added to `skipped` with the reason, and remarks on images to `remarks`.
    """

    def read(source: Source) -> tuple[Any, str, list[str]]:
        """The pixels, or height and width of an upright JPEG; why it cannot be read; and remarks."""
        said: list[str] = []
        try:
            if keep:
                return preprocessing.resize_and_crop(read_image(source, preprocessing.channels, said)), "", said
            format, (width, height), simple = check_image(source, said)
            return (height, width) if format == "JPEG" and simple else (0, 0), "", said
        except FileNotFoundError:
            return None, "is not there", said
        except (UnreadableImage, OSError) as error:
            return None, line(error), said

    shape = (*preprocessing.size, preprocessing.channels)
    pixels = np.empty((len(sources) if keep else 0, *shape), np.uint8)
    good: list[int] = []
    jpegs: list[tuple[int, int]] = []
    with ThreadPool() as pool:
        for i, (image, reason, said) in enumerate(pool.imap(read, sources, chunksize=16)):
            if reason:
                skipped.append((sources[i], reason))
                continue
            remarks += [(sources[i], text) for text in said]
            if keep:
                pixels[len(good)] = image
            else:
                jpegs.append(image)
            good.append(i)
    images: np.ndarray | list[Source] = pixels[: len(good)] if keep else [sources[i] for i in good]
    jpeg = None if keep else np.array(jpegs, np.int32).reshape(-1, 2)
    return Part(images, Labels(np.array([labels[i] for i in good])), jpeg)


def number(
    labels: Mapping[str, Sequence[Hashable]], origin: Path, known: Iterable[Hashable] = ()
) -> tuple[dict[str, list[int]], list]:
    """Replaces labels of any kind by 0, 1, 2 ..., and returns the sorted classes as well.

    Classes are sorted by value if all are numbers, else as text. They are taken from the training images, or from all
    images if there are no training images.

    Args:
        labels: The labels of each split.
        origin: The source of the labels, for error messages.
        known: Classes that exist even if no image has them.

    Raises:
        ValueError: If there are no images, or a split has a label that no training image has.
    """
    if not any(labels.values()):
        raise ValueError(f"{origin} has no images.")
    classes = in_order({*(labels.get("train") or chain(*labels.values())), *known})
    index = {label: i for i, label in enumerate(classes)}
    for split, found in labels.items():
        for label in found:
            if label not in index:
                raise ValueError(
                    f"{origin} has {split} images of the class {label}, which is not among the training's."
                )
    return {split: [index[label] for label in found] for split, found in labels.items()}, classes


@contextmanager
def readable(root: Path) -> Iterator[None]:
    """Turns errors of the file system into one sentence that names the file."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{error.filename or root} cannot be read: {error.strerror or error}.") from None

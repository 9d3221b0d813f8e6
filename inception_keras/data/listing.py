"""Images that are listed with their labels before any is opened: which of them can be read, and how many must be."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from math import prod
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np

from .images import Source, UnreadableImage, check_image, line, read_image
from .layout import counted, in_order, some
from .parts import Part
from .preprocessing import Preprocessing

_IN_MEMORY = 2**29  # bytes of resized images that are kept; of more, the files are decoded in each epoch
_NAMED = 10  # bad images that an error names

Skipped = list[tuple[Source, str]]


@dataclass(frozen=True)
class Listing:
    """Images of each part with the numbers of their classes."""

    origin: Path  # what the training images are listed by
    parts: dict[str, tuple[Sequence[Source], list[int]]]
    classes: tuple[str, ...]
    skipped: Skipped = field(default_factory=list)  # files beside the images that are none
    unused: Skipped = field(default_factory=list)  # images that belong to no class, and count as unreadable
    notes: list[str] = field(default_factory=list)  # what else is not used, and is no fault
    fault: str = ""  # why the images cannot be trained on; may be empty

    def check_classes(self) -> None:
        """Raises a ValueError if there are fewer than two classes, or one without training images."""
        if self.fault:
            raise ValueError(self.fault)
        if len(self.classes) < 2:
            found = f"one class, {self.classes[0]}" if self.classes else "no class"
            raise ValueError(f"{self.origin} has {found}: there must be two or more.")
        if "train" not in self.parts:
            raise ValueError(f"{self.origin} has no training images, only those of {' and '.join(self.parts)}.")
        self.check_present(self.parts["train"][1], "training image")

    def check_present(self, labels: Sequence[int], wanted: str) -> None:
        """Raises a ValueError if one of the classes is not among the labels; `wanted` names what is lacking."""
        lacking = sorted(set(range(len(self.classes))) - set(labels))
        if lacking:
            raise ValueError(f"{self.origin} has no {wanted} of the class {self.classes[lacking[0]]}.")

    def read(
        self, preprocessing: Preprocessing, max_bad: float, in_memory: bool = True, training: bool = True
    ) -> tuple[dict[str, Part], Skipped, list[str]]:
        """The images that can be read, those that cannot with the reasons, and notes on others.

        Every file is opened and read to its end, in threads. Small sets come back as resized pixels if they
        may be kept `in_memory`, others as files. For `training` there must be two classes, and images of each.

        Raises:
            ValueError: If the classes are not as they must be, or a larger share than `max_bad` cannot be used.
        """
        if training:
            self.check_classes()
        count = sum(len(sources) for sources, _ in self.parts.values())
        keep = in_memory and count * prod(preprocessing.size) * preprocessing.channels <= _IN_MEMORY
        parts = {}
        broken: Skipped = []
        remarks: Skipped = []
        for part, (sources, labels) in self.parts.items():
            parts[part] = _read(sources, labels, preprocessing, keep, broken, remarks)
        self.check_share(broken, max_bad)
        if training:
            self.check_present(parts["train"].labels.tolist(), "training image that can be read")
        return parts, [*self.skipped, *self.unused, *broken], [*self.notes, *remarked(remarks)]

    def check_share(self, broken: Sequence[tuple[object, str]], max_bad: float) -> None:
        """Raises a ValueError with the first of them if more images than `max_bad` allows cannot be used."""
        bad: list[tuple[object, str]] = [*self.unused, *broken]
        count = len(self.unused) + sum(len(sources) for sources, _ in self.parts.values())
        if len(bad) > max_bad * count:
            named = "; ".join(f"{source} {reason}" for source, reason in bad[:_NAMED])
            more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
            raise ValueError(
                f"{self.origin} has {len(bad)} of {count} images that cannot be used, "
                f"more than max_bad={max_bad:g} allows: {named}{more}."
            )


def remarked(remarks: Sequence[tuple[object, str]]) -> list[str]:
    """Remarks on single images as notes, one for each kind of remark."""
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
    """The images that can be read; the others are added to `skipped`, and what is to be said of some to `remarks`."""

    def read(source: Source) -> tuple[Any, str, list[str]]:
        """The pixels, or the sides of an upright JPEG; why it cannot be read; and remarks."""
        said: list[str] = []
        try:
            if keep:
                return preprocessing.fit(read_image(source, preprocessing.channels, said)), "", said
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
    images: Any = pixels[: len(good)] if keep else [sources[i] for i in good]
    jpeg = None if keep else np.array(jpegs, np.int32).reshape(-1, 2)
    return Part(images, np.array([labels[i] for i in good]), jpeg)


def number(
    labels: Mapping[str, Sequence[Hashable]], origin: Path, known: Iterable[Hashable] = ()
) -> tuple[dict[str, list[int]], list]:
    """Labels of any kind as 0, 1, 2 ..., and the labels in that order: by value if all are numbers, else by text.

    Without training images, the classes are those of all images.

    Args:
        labels: The labels of each part.
        origin: Where they come from, for errors.
        known: Classes that exist also if no image has them.

    Raises:
        ValueError: If there is no image, or a part has a label that the training images have not.
    """
    if not any(labels.values()):
        raise ValueError(f"{origin} has no images.")
    classes = in_order({*(labels.get("train") or chain(*labels.values())), *known})
    index = {label: i for i, label in enumerate(classes)}
    for part, found in labels.items():
        for label in found:
            if label not in index:
                raise ValueError(f"{origin} has {part} images of the class {label}, which is not among the training's.")
    return {part: [index[label] for label in found] for part, found in labels.items()}, classes


@contextmanager
def readable(root: Path) -> Iterator[None]:
    """Ends what a file system can refuse in a sentence that names the file."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{error.filename or root} cannot be read: {error.strerror or error}.") from None

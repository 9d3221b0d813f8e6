"""Images that are listed with their labels before any is opened: which of them can be read, and how many must be."""

import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np

from .images import Source, UnreadableImage, check_image, line, read_image
from .parts import Part
from .preprocessing import Preprocessing

SPLITS = {"train": ("train",), "validation": ("val", "validation"), "test": ("test",)}  # the names that parts go by
_IN_MEMORY = 2**29  # bytes of resized images that are kept; of more, the files are decoded in each epoch
_NAMED = 10  # bad images that an error names

Skipped = list[tuple[Source, str]]


@dataclass(frozen=True)
class Listing:
    """Images of each part with the numbers of their classes."""

    origin: Path  # what the training images are listed by
    parts: dict[str, tuple[Sequence[Source], list[int]]]
    classes: tuple[str, ...]
    skipped: Skipped  # what lies beside the images and is none by its name

    def check_classes(self) -> None:
        """Raises a ValueError if there are fewer than two classes, or one without training images."""
        if len(self.classes) < 2:
            found = f"one class, {self.classes[0]}" if self.classes else "no class"
            raise ValueError(f"{self.origin} has {found}: there must be two or more.")
        self._check_present(self.parts["train"][1], "training image")

    def _check_present(self, labels: Sequence[int], wanted: str) -> None:
        lacking = sorted(set(range(len(self.classes))) - set(labels))
        if lacking:
            raise ValueError(f"{self.origin} has no {wanted} of the class {self.classes[lacking[0]]}.")

    def read(
        self, preprocessing: Preprocessing, max_bad: float, in_memory: bool = True
    ) -> tuple[dict[str, Part], Skipped]:
        """The images that can be read, and those that cannot with the reasons.

        Every file is opened and read to its end, in threads. Small sets come back as resized pixels if they
        may be kept `in_memory`, others as files.

        Raises:
            ValueError: If the classes are not as they must be, or a larger share than `max_bad` cannot be read.
        """
        self.check_classes()
        count = sum(len(sources) for sources, _ in self.parts.values())
        keep = in_memory and count * prod(preprocessing.size) * preprocessing.channels <= _IN_MEMORY
        parts, bad = {}, []
        for part, (sources, labels) in self.parts.items():
            parts[part], broken = _read(sources, labels, preprocessing, keep)
            bad += broken
        if len(bad) > max_bad * count:
            named = "; ".join(f"{source} {reason}" for source, reason in bad[:_NAMED])
            more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
            raise ValueError(
                f"{self.origin} has {len(bad)} of {count} images that cannot be read, "
                f"more than max_bad={max_bad} allows: {named}{more}."
            )
        self._check_present(parts["train"].labels.tolist(), "training image that can be read")
        return parts, [*self.skipped, *bad]


def _read(
    sources: Sequence[Source], labels: list[int], preprocessing: Preprocessing, keep: bool
) -> tuple[Part, Skipped]:
    def read(source: Source) -> tuple[Any, str]:
        """The pixels, or the sides of an upright JPEG; and why it cannot be read."""
        try:
            if keep:
                return preprocessing.fit(read_image(source, preprocessing.channels)), ""
            format, (width, height), simple = check_image(source)
            return (height, width) if format == "JPEG" and simple else (0, 0), ""
        except FileNotFoundError:
            return None, "is not there"
        except (UnreadableImage, OSError) as error:
            return None, line(error)

    shape = (*preprocessing.size, preprocessing.channels)
    pixels = np.empty((len(sources) if keep else 0, *shape), np.uint8)
    good: list[int] = []
    jpegs: list[tuple[int, int]] = []
    skipped: Skipped = []
    with ThreadPool() as pool:
        for i, (image, reason) in enumerate(pool.imap(read, sources, chunksize=16)):
            if reason:
                skipped.append((sources[i], reason))
                continue
            if keep:
                pixels[len(good)] = image
            else:
                jpegs.append(image)
            good.append(i)
    images: Any = pixels[: len(good)] if keep else [sources[i] for i in good]
    jpeg = None if keep else np.array(jpegs, np.int32).reshape(-1, 2)
    return Part(images, np.array([labels[i] for i in good]), jpeg), skipped


def number(labels: Mapping[str, Sequence[Hashable]], origin: Path) -> tuple[dict[str, list[int]], list]:
    """Labels of any kind as 0, 1, 2 ..., and the labels in that order: by value if all are numbers, else by text.

    Raises:
        ValueError: If there is no training image, or a part has a label that the training images have not.
    """
    if not labels.get("train"):
        raise ValueError(f"{origin} has no training images.")
    known: Any = set(labels["train"])
    numbers = all(str(label).isdecimal() and len(str(label)) < 20 for label in known)
    classes = sorted(known, key=lambda label: (int(label) if numbers else 0, str(label)))
    index = {label: i for i, label in enumerate(classes)}
    for part, found in labels.items():
        for label in found:
            if label not in index:
                raise ValueError(f"{origin} has {part} images of the class {label}, which is not among the training's.")
    return {part: [index[label] for label in found] for part, found in labels.items()}, classes


def stay_inside(path: Path, root: Path) -> Path:
    """The path, if no link leads out of the folder from it.

    Raises:
        ValueError: If one does.
    """
    if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root)):
        raise ValueError(f"{path} leads out of {root}: put the file itself into the folder.")
    return path


@contextmanager
def readable(root: Path) -> Iterator[None]:
    """Ends what a file system can refuse in a sentence that names the file."""
    try:
        yield
    except OSError as error:
        raise OSError(f"{error.filename or root} cannot be read: {error.strerror or error}.") from None

"""Objects as files describe them: the box and the class of each, before any image is opened."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..checks import counted, some
from .mask_folders import meaning_of

_BACKGROUND = ("background", "__background__", "_background_", "__ignore__")
_LONGEST = 255  # bytes of a file name, and characters of the name of a class

Paths = list[tuple[Path, str]]  # files with what is wrong with them


@dataclass(frozen=True, slots=True)
class Object:
    """An object as a file describes it. Nothing is known yet about the image, so its box may lie anywhere.

    Args:
        where: Which object of the file it is, such as "object 3" or "line 12".
        name: Its class.
        box: x1, y1, x2, y2 in pixels of the image, where x1 = 0 is the left edge of the first pixel.
        difficult: Whether a measure does not count it: VOC's difficult objects, COCO's crowds.
    """

    where: str
    name: str
    box: tuple[float, float, float, float]
    difficult: bool = False

    def __str__(self) -> str:
        return f"{self.where} ({self.name})" if self.name else self.where


@dataclass(frozen=True, slots=True)
class Annotated:
    """An image with its objects.

    Args:
        split: The split that it belongs to.
        image: Its file.
        objects: Its objects. An image without any is a good image.
        source: The file that tells the objects.
        size: The (width, height) that this file gives for the image; None if it gives none.
    """

    split: str
    image: Path
    objects: Sequence[Object]
    source: Path
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class BoxList:
    """The images of a folder with their objects.

    Args:
        origin: The file or folder that they were read from.
        images: The images in their order.
        class_names: The classes that a file lists; None if the objects tell them.
        skipped: Files beside them that are not used.
        unused: Images, and files of boxes, that cannot be used, with the reasons. They count as unreadable.
        wrong: Objects that cannot be used: the file, and a reason that names the object.
        notes: Remarks on data that are not used, but are no fault.
        shares: Whether the boxes are shares of the image's width and height, and no pixels.
    """

    origin: Path
    images: list[Annotated]
    class_names: tuple[str, ...] | None = None
    skipped: Paths = field(default_factory=list)
    unused: Paths = field(default_factory=list)
    wrong: Paths = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    shares: bool = False

    def __post_init__(self) -> None:
        """Raises a ValueError if two splits have an image in common."""
        first: dict[Path, str] = {}
        for one in self.images:
            if (other := first.setdefault(one.image, one.split)) != one.split:
                raise ValueError(f"{self.origin} lists {one.image} for {other} and {one.split}.")


def number_of(value: object) -> float | None:
    """A finite number from the text of a file, or from JSON; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or "_" in str(value)[:40]:
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def size_of(width: object, height: object) -> tuple[int, int] | None:
    """The (width, height) that a file gives; None if these are no sizes, as many programs write 0."""
    sides = [int(number_of(side) or 0) for side in (width, height)]
    return (sides[0], sides[1]) if min(sides) > 0 else None


def class_name(value: object) -> str:
    """A class name in one line. It is empty if there is none, or one that is no name: far too long, or no text."""
    name = " ".join(str(value).split()) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    return name if len(name) <= _LONGEST and _encodes(name) else ""


def shown(value: object) -> str:
    """A value of a file in an error message: short, and without halves of characters, as JSON may have."""
    text = " ".join(str(value).split())
    text = f"{text[:40]} ..." if len(text) > 50 else text
    return text.encode("utf-8", "backslashreplace").decode()


def is_background(name: str) -> bool:
    """Whether a class is the background, which is no class of objects."""
    return name.lower() in _BACKGROUND


def is_file_name(value: object) -> bool:
    """Whether a text may be the path of a file."""
    if not isinstance(value, str) or not value.strip() or min(value) < " " or not _encodes(value):
        return False
    return all(len(part.encode()) <= _LONGEST for part in value.replace("\\", "/").split("/")) and len(value) < 4000


def _encodes(text: str) -> bool:
    """Whether a text has no halves of characters, as JSON may have."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def without_background(names: Iterable[str]) -> tuple[str, ...]:
    """The classes without the background."""
    return tuple(name for name in names if not is_background(name))


def by_folder(images: Sequence[Annotated], root: Path) -> list[Annotated]:
    """Gives each image the split that its folders name, if all do and some are of the training."""
    splits = [
        meaning_of(one.image.relative_to(root).parts[:-1])[0] if one.image.is_relative_to(root) else None
        for one in images
    ]
    if None in splits or "train" not in splits:
        return list(images)
    return [
        Annotated(split, one.image, one.objects, one.source, one.size)
        for split, one in zip(splits, images, strict=True)
        if split
    ]


def left_over(images: Iterable[Path], used: Iterable[Annotated], root: Path, place: str) -> list[str]:
    """A note on the images of a folder that no file of boxes names."""
    known = {one.image for one in used}
    left = [path.relative_to(root) for path in images if path not in known]
    return [
        f"{counted(len(left), 'image')} of {root} stand{'s' * (len(left) == 1)} in no {place}: {some(left)}"
    ] * bool(left)

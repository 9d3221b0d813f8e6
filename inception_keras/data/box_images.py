"""Reads images with boxes: checks every box against its image, and clips it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np

from ..checks import counted, some
from .box_list import Annotated, BoxList, is_background, without_background
from .images import UPRIGHT, Source, UnreadableImage, line, opened, orientation_of, plain, remarks_on
from .layout import in_order
from .listing import Skipped, check_share_of
from .preprocessing import Preprocessing

_THINNEST = 1e-3  # pixels; a box with a shorter side is empty
_OUTSIDE = 0.01  # pixels; by so much a rounded box may reach out of its image


@dataclass(frozen=True)
class Seen:
    """An image and its objects, after the image was read.

    Boxes are in pixels of the upright image and lie inside it.
    """

    split: str
    image: Path
    source: Path
    size: tuple[int, int] | None = None  # width and height
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    classes: tuple[str, ...] = ()
    difficult: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    where: tuple[str, ...] = ()  # which object of `source` each is
    clipped: tuple[tuple[str, str], ...] = ()  # those that reached out of the image, with a sentence's predicate
    wrong: tuple[str, ...] = ()  # objects that cannot be used, with the reasons
    fault: tuple[Path, str, str] | None = None  # if the image cannot be used: the file, the reason, the kind of problem
    remarks: Sequence[tuple[Source, str]] = ()
    jpeg: tuple[int, int] = (0, 0)  # height and width of an upright JPEG
    input: np.ndarray | None = None  # the image in the size of the input

    def only(self, which: np.ndarray) -> "Seen":
        """The same image with the objects of a bool array."""
        some_of = [np.flatnonzero(which).tolist()] * 2
        classes, where = (
            tuple(names[i] for i in kept) for names, kept in zip((self.classes, self.where), some_of, strict=True)
        )
        return replace(self, boxes=self.boxes[which], classes=classes, difficult=self.difficult[which], where=where)


def look(found: BoxList, preprocessing: Preprocessing | None = None) -> Iterator[Seen]:
    """Reads all images, in threads, and checks their boxes; with a `preprocessing` also prepares them as inputs."""

    def read(one: Annotated) -> Seen:
        said: list[str] = []
        blank = Seen(one.split, one.image, one.source)
        try:
            with opened(one.image) as picture:
                stored, turn, form = picture.size, orientation_of(picture), picture.format
                is_plain = form == "JPEG" and picture.mode in ("RGB", "L") and turn not in UPRIGHT
                said += remarks_on(picture)
                if preprocessing is None:
                    picture.draft("RGB", (1, 1))  # every byte is read, but few pixels are made
                photograph = plain(picture, preprocessing.channels if preprocessing else 3)
        except FileNotFoundError:
            return replace(blank, fault=(one.image, "is not there", "missing"))
        except (UnreadableImage, OSError) as error:
            return replace(blank, fault=(one.image, line(error), getattr(error, "kind", "unreadable")))
        size = stored[::-1] if turn is not None and 5 <= turn <= 8 else stored
        if one.size not in (None, size, stored):
            given = "{} x {}".format(*one.size or ())
            reason = f"has {size[0]} x {size[1]} pixels, but its boxes in {one.source.name} are for {given}"
            return replace(blank, fault=(one.image, reason, "size"))
        turned = one.size == stored != size
        if turn in UPRIGHT and one.objects:
            way = "turned with it, as their size says" if turned else "taken as drawn on the upright picture"
            said.append(f"turned upright by EXIF, whose boxes are {way}")
        boxes = np.array([each.box for each in one.objects], float).reshape(-1, 4)
        boxes = boxes * np.tile(size, 2) if found.shares else boxes
        boxes = upright(boxes, turn, stored) if turned else boxes
        seen = _checked(blank, one, boxes, size)
        return replace(
            seen,
            remarks=[(one.image, text) for text in said],
            jpeg=size[::-1] if is_plain else (0, 0),
            input=preprocessing.resize_and_crop(photograph) if preprocessing else None,
        )

    with ThreadPool() as pool:
        yield from pool.imap(read, found.images, chunksize=4)


def upright(boxes: np.ndarray, turn: int | None, stored: tuple[int, int]) -> np.ndarray:
    """Boxes (k, 4) of a stored image of (width, height), where they are after `plain` has turned it upright."""
    wide, high = stored
    x1, y1, x2, y2 = boxes.T
    corners = {
        2: (wide - x2, y1, wide - x1, y2),
        3: (wide - x2, high - y2, wide - x1, high - y1),
        4: (x1, high - y2, x2, high - y1),
        5: (y1, x1, y2, x2),
        6: (high - y2, x1, high - y1, x2),
        7: (high - y2, wide - x2, high - y1, wide - x1),
        8: (y1, wide - x2, y2, wide - x1),
    }.get(turn or 1, (x1, y1, x2, y2))
    return np.stack(corners, axis=-1)


def _checked(blank: Seen, one: Annotated, boxes: np.ndarray, size: tuple[int, int]) -> Seen:
    """The objects whose boxes lie in the image at least in part, clipped to it."""
    clipped = np.clip(boxes, 0, np.tile(size, 2))
    kept = np.zeros(len(boxes), bool)
    wrong, outside = [], []
    for index, (each, box, inside) in enumerate(zip(one.objects, boxes, clipped, strict=True)):
        text = ", ".join(f"{value:g}" for value in box)
        if is_background(each.name):
            wrong.append(f"has {each}, but the background is no object")
        elif (box[2:] - box[:2] < _THINNEST).any():
            fault = "whose corners are swapped" if (box[:2] > box[2:]).any() else "which is empty"
            wrong.append(f"has {each} with the box {text}, {fault}")
        elif (inside[2:] - inside[:2] < _THINNEST).any():
            wrong.append(f"has {each} with the box {text}, outside its image of {size[0]} x {size[1]} pixels")
        else:
            kept[index] = True
            if np.abs(box - inside).max() > _OUTSIDE:
                reason = f"has {each} with the box {text}, which reaches out of {size[0]} x {size[1]} pixels"
                outside.append((each.where, reason))
    names, where, difficult = ([getattr(each, key) for each in one.objects] for key in ("name", "where", "difficult"))
    seen = replace(
        blank,
        size=size,
        boxes=clipped,
        classes=tuple(names),
        difficult=np.array(difficult, bool),
        where=tuple(where),
        clipped=tuple(outside),
        wrong=tuple(wrong),
    )
    return seen.only(kept)


def known_classes(
    found: BoxList, seen: Sequence[Seen], names: Sequence[str] | None = None
) -> tuple[tuple[str, ...], list[Seen]]:
    """The classes, and the images with the objects of these.

    The classes are those given, those that a file lists, or those of the objects in order. Of a class that a file does
    not list, objects cannot be used.

    Raises:
        ValueError: If there is no class, or an object is of a class that is not among the given `names`.
    """
    used = {name for one in seen for name in one.classes}
    if names is not None:
        if strange := in_order(used - {*names}):
            named = f"the class{'es' if len(strange) > 1 else ''} {some(strange)}"
            raise ValueError(f"{found.origin} has {named}, which the run does not know: it knows {some(names, 10)}.")
        return tuple(names), list(seen)
    if found.class_names is None:
        if not used:
            raise ValueError(f"{found.origin} has no object that can be used, and so no class.")
        return tuple(in_order(used)), list(seen)
    classes = without_background(found.class_names)
    if not classes:
        raise ValueError(f"{found.origin} lists no class of objects.")
    checked = []
    for one in seen:
        known = np.array([name in classes for name in one.classes], bool)
        wrong = [
            f"has {where} of the class {name}, which is not among the {counted(len(classes), 'class')} listed"
            for name, where, good in zip(one.classes, one.where, known, strict=True)
            if not good
        ]
        checked.append(replace(one.only(known), wrong=(*one.wrong, *wrong)) if wrong else one)
    return classes, checked


def check_splits(found: BoxList, training: bool = True) -> list[str]:
    """The splits that have images; a ValueError if there are none, or none to train on."""
    splits = {one.split for one in found.images}
    if not splits:
        named = "; ".join(f"{path} {reason}" for path, reason in [*found.unused, *found.skipped][:3])
        raise ValueError(f"{found.origin} has no image with boxes: {named or 'the lists of the splits name none'}.")
    if training and "train" not in splits:
        raise ValueError(f"{found.origin} has no training images, only those of {' and '.join(sorted(splits))}.")
    return [split for split in ("train", "validation", "test") if split in splits]


def check_objects(found: BoxList, seen: Sequence[Seen], max_unreadable: float) -> None:
    """Raises a ValueError that lists the first wrong objects, if there are more than `max_unreadable` allows."""
    wrong = wrong_objects(found, seen)
    count = len(wrong) + sum(len(one.boxes) for one in seen)
    check_share_of(found.origin, count, wrong, max_unreadable, "boxes")


def wrong_objects(found: BoxList, seen: Sequence[Seen]) -> Skipped:
    """The objects that cannot be used: the file, and a reason that names the object."""
    return [*found.wrong, *((one.source, text) for one in seen for text in one.wrong)]


def remarks_of(wrong: Skipped, good: Sequence[Seen]) -> list[str]:
    """Notes on objects that are left out, and on those that are clipped."""
    notes = []
    if wrong:
        first = f"{wrong[0][0]} {wrong[0][1]}"
        notes.append(f"{counted(len(wrong), 'object')} cannot be used and {are(len(wrong))} left out: {first}")
    clipped = [f"{one.source} ({where})" for one in good for where, _ in one.clipped]
    if clipped:
        reach = f"{counted(len(clipped), 'box')} reach{'es' * (len(clipped) == 1)} out of the image"
        notes.append(f"{reach} and {are(len(clipped))} clipped: {some(clipped, 3)}")
    return notes


def are(count: int) -> str:
    """The verb after a number."""
    return "is" if count == 1 else "are"


def absent(classes: Sequence[str], train: Sequence[Seen]) -> list[str]:
    """A note if no training image has an object of some of the classes."""
    present = {name for one in train for name in one.classes}
    lacking = [name for name in classes if name not in present]
    return [f"no training image has an object of {counted(len(lacking), 'class')}: {some(lacking)}"] if lacking else []

"""Reports what a folder of images and boxes contains, and what is wrong with it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import counted
from .box_images import Seen, absent, check_objects, check_splits, known_classes, look, wrong_objects
from .box_list import BoxList
from .boxes import list_boxes
from .check import MAX_UNREADABLE, Check, Problem, digests, duplicates, name_in
from .layout import in_order
from .listing import Skipped, check_share_of, remarked
from .splits import Part, complete
from .targets import Labels


def check_boxes(root: Path, label: str | None = None) -> Check:
    """Examines every image and every box of a folder.

    Raises:
        ValueError: If there are no boxes.
        OSError: If a file or folder cannot be read.
    """
    found = list_boxes(root, label)
    seen = list(look(found))
    refusal = ""
    try:
        check_objects(found, seen, MAX_UNREADABLE)
        classes, seen = known_classes(found, seen)
    except ValueError as error:
        classes, refusal = tuple(in_order({name for one in seen for name in one.classes})), str(error)
    faults = [one.fault for one in seen if one.fault]
    wrong = wrong_objects(found, seen)
    problems = [
        *(Problem("not used", name_in(path, root), reason) for path, reason in found.skipped),
        *(Problem("no boxes", name_in(path, root), reason) for path, reason in found.unused),
        *(Problem(kind, name_in(path, root), reason) for path, reason, kind in faults),
        *(Problem("box", name_in(path, root), reason) for path, reason in wrong),
        *(Problem("clipped", name_in(one.source, root), reason) for one in seen for _, reason in one.clipped),
        *_twice(seen, root),
    ]
    if refusal and " boxes that cannot be used" not in refusal:
        problems.append(Problem("classes", ".", refusal.rstrip(".")))
    good = [one for split in ("train", "validation", "test") for one in seen if one.split == split and not one.fault]
    problems += duplicates(digests(good, root), _other_objects)
    notes = [*found.notes, *absent(classes, [one for one in good if one.split == "train"])]
    if empty := sum(not one.classes for one in good):
        notes.append(f"{counted(empty, 'image')} {'has' if empty == 1 else 'have'} no objects")
    return Check(
        root,
        tuple(problems),
        tuple(_rows(good, classes)),
        used=len(good),
        left_out=len(found.skipped) + len(found.unused) + len(faults),
        notes=(*notes, *remarked([remark for one in good for remark in one.remarks])),
        refusal=refusal or _refusal(found, seen, good, [fault[:2] for fault in faults]),
    )


def _refusal(found: BoxList, seen: Sequence[Seen], good: Sequence[Seen], faults: Skipped) -> str:
    """The error with which `load_data` refuses the folder; empty if it accepts it."""
    try:
        splits = check_splits(found)
        images = len(found.unused) + len(good) + len(faults)
        check_share_of(found.origin, images, [*found.unused, *faults], MAX_UNREADABLE)
        check_objects(found, seen, MAX_UNREADABLE)
        counts = {split: sum(one.split == split for one in good) for split in splits}
        parts = {split: Part(range(count), Labels(np.zeros(count))) for split, count in counts.items()}
        complete(parts, found.origin.resolve().name)
    except ValueError as error:
        return str(error)
    return ""


def _twice(seen: Sequence[Seen], root: Path) -> Iterator[Problem]:
    """Reports boxes that an image has twice for the same class."""
    for one in seen:
        first: dict[tuple, str] = {}
        for box, name, where in zip(one.boxes.tolist(), one.classes, one.where, strict=True):
            other = first.setdefault((name, *box), where)
            if other != where:
                detail = f"has {where} ({name}) with the same box as {other}"
                yield Problem("duplicate box", name_in(one.source, root), detail)


def _other_objects(other: Seen, one: Seen) -> str:
    return "has other objects" * (_objects(other) != _objects(one))


def _objects(one: Seen) -> list[tuple]:
    return sorted((name, *box) for name, box in zip(one.classes, one.boxes.tolist(), strict=True))


def _rows(good: Sequence[Seen], classes: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One row for each class: its objects by split, the images that show it, and the sizes of its boxes in pixels."""
    splits = [split for split in ("train", "validation", "test") if any(one.split == split for one in good)]
    for name in classes:
        of_class = [(one, np.array([other == name for other in one.classes], bool)) for one in good]
        boxes = np.concatenate([one.boxes[which] for one, which in of_class] or [np.zeros((0, 4))])
        sizes = sorted(
            np.round(boxes[:, 2:] - boxes[:, :2]).astype(int).tolist(), key=lambda size: (np.prod(size), size)
        )
        yield {
            "class": name,
            **{split: sum(int(which.sum()) for one, which in of_class if one.split == split) for split in splits},
            "images": sum(bool(which.any()) for _, which in of_class),
            "smallest": sizes[0] if sizes else None,
            "median": sizes[len(sizes) // 2] if sizes else None,
            "largest": sizes[-1] if sizes else None,
        }

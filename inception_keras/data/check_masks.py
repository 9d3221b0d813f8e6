"""Reports what a folder of images and masks contains, and what is wrong with it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .check import MAX_UNREADABLE, Check, Problem, digests, duplicates, name_in
from .listing import check_share_of, remarked
from .mask_file import VOID
from .mask_folders import Pairs, list_masks
from .segmentation import Classes, Seen, absent, check_parts, classes_of, look
from .splits import Part, complete
from .targets import Labels


def check_masks(root: Path) -> Check:
    """Examines every image and every mask of a folder.

    Raises:
        ValueError: If there are no images or no masks.
        OSError: If a file or folder cannot be read.
    """
    pairs = list_masks(root)
    seen = list(look(pairs))
    problems = [
        Problem(kind, name_in(path, root), reason)
        for kind, sources in (("no mask", pairs.unused), ("not used", pairs.skipped))
        for path, reason in sources
    ]
    left_out, refusal = len(problems), ""
    try:
        classes = classes_of(pairs, seen)
    except ValueError as error:
        classes, refusal = Classes(tuple(f"class {value}" for value in range(_highest(seen) + 1))), str(error)
        problems.append(Problem("classes", ".", refusal.rstrip(".")))
    good = [one for one in seen if not classes.fault(one)]
    faults = [fault for one in seen if (fault := classes.fault(one))]
    problems += [Problem(kind, name_in(path, root), reason) for path, reason, kind in faults]
    problems += duplicates(digests(good, root), _other_mask)
    lacking = absent(classes, [one for one in good if one.split == "train"])
    return Check(
        root,
        tuple(problems),
        tuple(_rows(good, classes, list(pairs.parts))),
        used=len(good),
        left_out=left_out + len(faults),
        notes=(*pairs.notes, *classes.notes, *lacking, *remarked([remark for one in good for remark in one.remarks])),
        refusal=refusal or _refusal(pairs, good, [fault[:2] for fault in faults]),
    )


def _highest(seen: Sequence[Seen]) -> int:
    total = sum((one.pixels for one in seen if one.pixels is not None), np.zeros(256, int))
    return int(np.flatnonzero(total[:VOID]).max(initial=0))


def _refusal(pairs: Pairs, good: Sequence[Seen], faults: Sequence[tuple[Path, str]]) -> str:
    """The error with which `load_data` refuses the folder; empty if it accepts it."""
    try:
        check_parts(pairs)
        count = len(pairs.unused) + len(good) + len(faults)
        check_share_of(pairs.origin, count, [*pairs.unused, *faults], MAX_UNREADABLE)
        counts = {split: sum(one.split == split for one in good) for split in pairs.parts}
        parts = {split: Part(range(count), Labels(np.zeros(count))) for split, count in counts.items()}
        complete(parts, pairs.origin.resolve().name)
    except ValueError as error:
        return str(error)
    return ""


def _other_mask(other: Seen, one: Seen) -> str:
    return "has another mask" * (other.mask.read_bytes() != one.mask.read_bytes())


def _rows(good: Sequence[Seen], classes: Classes, parts: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One row for each class and one for void: how many images show it, and its share of all pixels."""
    counts = {
        split: [classes.count(one.pixels) for one in good if one.split == split and one.pixels is not None]
        for split in parts
    }
    pixels = np.array([row for rows in counts.values() for row in rows]).reshape(-1, len(classes.names) + 1)
    shares = pixels.sum(axis=0) / max(1, pixels.sum())
    for index, name in enumerate((*classes.names, "void")):
        shown = {split: sum(bool(row[index]) for row in rows) for split, rows in counts.items()}
        yield {"class": name, **shown, "pixels": float(shares[index])}

"""What file and folder names mean: splits, files left by operating systems, and the order of classes."""

import os
import re
from collections.abc import Hashable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
SPLIT_NAMES = tuple(_SPLITS)
_SPLIT = re.compile(rf"({'|'.join(sorted(_SPLITS, key=len, reverse=True))})([-_. ]?(set|data|images?))?", re.IGNORECASE)
_LEFTOVERS = {  # left by macOS, Windows, Linux, Synology, QNAP and Python; hidden files begin with a dot
    "__macosx",
    "__pycache__",
    "@eadir",
    "#recycle",
    "@recycle",
    "$recycle.bin",
    "lost+found",
    "system volume information",
    "thumbs.db",
    "ehthumbs.db",
    "ehthumbs_vista.db",
    "desktop.ini",
    "icon\r",
}
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")


def split_of(name: str) -> str | None:
    """The split that a name stands for, `"train"`, `"validation"` or `"test"`; None if it stands for none.

    Examples:
        >>> split_of("Training_Set"), split_of("dev"), split_of("cats")
        ('train', 'validation', None)
    """
    match = _SPLIT.fullmatch(name.strip())
    return _SPLITS[match[1].lower()] if match else None


def is_leftover(name: str) -> bool:
    """Whether a file or folder is hidden, or was left by a system or an archive: __MACOSX, Thumbs.db, @eaDir ..."""
    return name.startswith(".") or name.lower() in _LEFTOVERS or name.endswith(":Zone.Identifier")


def subfolders(folder: Path) -> list[Path]:
    """The folders inside a folder, sorted and without leftovers; an empty list if the folder does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not is_leftover(path.name))


def walk(folder: Path, root: Path, *, outside: bool = False) -> Iterator[Path]:
    """The files in a folder and in all folders below it, sorted and without leftovers.

    A folder that several links lead to is visited once.

    Args:
        folder: Where to begin.
        root: No link may lead out of this folder.
        outside: Whether folders outside `root` are passed over. Otherwise they are an error.

    Raises:
        ValueError: If a link leads out of `root`.
    """
    entered: set[str] = set()

    def enter(place: Path) -> Iterator[Path]:
        real = os.path.realpath(place)
        if real in entered:
            return
        if outside and not is_inside(place, root):
            return
        entered.add(real)
        stay_inside(place, root)
        for path in sorted(place.iterdir()):
            if is_leftover(path.name):
                continue
            if path.is_dir():
                yield from enter(path)
            else:
                yield path

    return enter(folder)


def is_inside(path: Path, root: Path) -> bool:
    """Whether a path lies in a folder after all links are resolved."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))


def stay_inside(path: Path, root: Path) -> Path:
    """Returns the path if no link leads from it out of the folder.

    Raises:
        ValueError: If a link does.
    """
    if not is_inside(path, root):
        raise ValueError(f"{path} leads out of {root}: put the file itself into the folder.")
    return path


def in_order(classes: Iterable[Hashable]) -> list[Any]:
    """Sorts classes in the order used for every format: by value if all are numbers, else as text.

    Examples:
        >>> in_order(["10", "9", "-1"]), in_order(["10", "9", "b"])
        (['-1', '9', '10'], ['10', '9', 'b'])
    """
    known = list(classes)
    if all(_NUMBER.fullmatch(str(name)) for name in known):
        return sorted(known, key=lambda name: (Decimal(str(name)), str(name)))
    return sorted(known, key=str)

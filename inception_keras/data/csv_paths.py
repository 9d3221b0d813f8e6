"""Finds the image files that a CSV file names by path, by file name, or by an id without extension."""

import os
import re
import unicodedata
from functools import cached_property
from pathlib import Path

from ..checks import some
from .images import looks_like_image
from .layout import split_of, stay_inside, walk

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://|data:image/", re.IGNORECASE)


def is_address(cell: str) -> bool:
    """Whether a cell holds a URL."""
    return bool(_ADDRESS.match(cell))


class Files:
    """The image files of a folder, and how a CSV file may refer to them.

    Args:
        root: The folder; no path may lead out of it.
    """

    def __init__(self, root: Path):
        self.root = root

    @cached_property
    def images(self) -> list[Path]:
        """All files with the name of an image."""
        return [path for path in walk(self.root, self.root, outside=True) if looks_like_image(path)]

    @cached_property
    def _by_name(self) -> dict[str, list[tuple[Path, list[str]]]]:
        """The images by file name, with and without extension.

        Each image comes with the components of its path below the folder.
        """
        found: dict[str, list[tuple[Path, list[str]]]] = {}
        for path in self.images:
            parts = _parts(path.relative_to(self.root).as_posix())
            for name in {parts[-1], _without_suffix(parts[-1])}:
                found.setdefault(name, []).append((path, parts))
        return found

    def has(self, cell: str) -> bool:
        """Whether a cell names exactly one image, by file name or id.

        Several images also count if each lies in the folder of a different split.
        """
        parts = _parts(cell)
        paths = [path for path, _ in self._by_name.get(parts[-1], ())] if parts else []
        tops = [path.relative_to(self.root).parts[0] for path in paths]
        return len(paths) == 1 or (len(paths) > 1 and all(map(split_of, tops)) and len(set(tops)) == len(tops))

    def find(self, cell: str, base: Path, split: str, where: str) -> Path:
        """The file that a cell refers to; if there is none, the path where it should be.

        A path below `base` or the folder takes precedence. Otherwise the images anywhere in the folder are searched for
        one whose path ends with the cell. A path that is absolute or begins with .. may come from another computer, so
        only its end has to match.

        Args:
            cell: The cell of the CSV file.
            base: The folder that relative paths start from.
            split: The split of the row. If several images match, the one in the folder of this split is taken.
            where: The row, for error messages.

        Raises:
            ValueError: If the cell is a URL, matches several files, or leads out of the folder.
        """
        if is_address(cell):
            raise ValueError(f"{where}: {cell!r} is an address, no file: download the images, and write their paths.")
        text = cell.replace("\\", "/")
        for path in (base / cell, base / text, self.root / cell, self.root / text):
            if path.is_file():
                below = os.path.relpath(stay_inside(path, self.root).absolute(), self.root.absolute())
                return path if below.startswith("..") else self.root / below
        parts = _parts(text)
        is_absolute = text.startswith(("/", "../")) or text[1:2] == ":"
        names = _parts(self.root.resolve().as_posix())
        options = []  # images, and how many trailing components of their paths match the cell
        for path, own in self._by_name.get(parts[-1] if parts else "", ()):
            same = 1
            while same < min(len(parts), len(own)) and parts[-1 - same] == own[-1 - same]:
                same += 1
            rest = parts[: len(parts) - same]
            # the whole cell matches, perhaps after the folder's own path; of an absolute path, its end may suffice
            if not rest or (same == len(own) and rest == names[-len(rest) :]):
                options.append((same, path))
            elif is_absolute and (same == len(own) or same > 1):
                options.append((same, path))
        best = [path for same, path in options if same == max(options)[0]]
        if len(best) > 1:
            best = [path for path in best if split_of(path.relative_to(self.root).parts[0]) == split] or best
        if len(best) > 1:
            raise ValueError(
                f"{where}: {cell!r} may be {some((path.relative_to(self.root) for path in best), 3)}: "
                "write the path below the folder."
            )
        if best:
            return stay_inside(best[0], self.root)
        return stay_inside(self.root / text, self.root)


def _parts(cell: str) -> list[str]:
    """The components of a path in a form that can be compared.

    Case is ignored. All text is in one Unicode form, as macOS separates accents from letters.
    """
    text = unicodedata.normalize("NFC", cell.replace("\\", "/")).casefold()
    return [part for part in text.split("/") if part not in ("", ".")]


def _without_suffix(name: str) -> str:
    return name.rpartition(".")[0] or name

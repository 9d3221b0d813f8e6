"""What tells one data set from another wherever it lies: its labels in their order, and its files' names and sizes."""

import os
from hashlib import blake2b
from pathlib import Path

import numpy as np

from .named import Data

# notes and tables beside the images may come and go; what a table says of the images is in the labels
_NOT_DATA = {".csv", ".db", ".html", ".ini", ".json", ".log", ".md", ".rst", ".txt", ".xml", ".yaml", ".yml"}


def fingerprint(data: Data, folder: str | Path | None) -> dict[str, str]:
    """Two short texts, each equal for equal data: "labels", and "files" if the data are from a folder.

    Args:
        data: A data set.
        folder: The folder that it was read from.
    """
    labels = blake2b(digest_size=16)
    for name, batches in data.batches.items():
        labels.update(f"{name} {len(batches.part)} ".encode())
        labels.update(np.ascontiguousarray(batches.part.labels, "<i4").tobytes())
    return {"labels": labels.hexdigest()} | ({} if folder is None else {"files": fingerprint_of_files(Path(folder))})


def fingerprint_of_files(folder: Path) -> str:
    """A short text that is equal for folders whose files of data have equal names and sizes."""
    files = blake2b(digest_size=16)
    for name, size in sorted(_files(folder)):
        files.update(f"{name}\0{size}\0".encode(errors="surrogateescape"))
    return files.hexdigest()


def _files(folder: Path) -> list[tuple[str, int]]:
    """Relative path and bytes of each file of data; what is hidden or begins with "__" or "@" is not data."""
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__", "@"))]
        for name in names:
            path = Path(root, name)
            if not name.startswith((".", "__", "@")) and path.suffix.lower() not in _NOT_DATA and path.is_file():
                found.append((path.relative_to(folder).as_posix(), path.stat().st_size))
    return found

"""Fingerprints that tell data sets apart, wherever they are stored.

They are made from the labels in their order, and from the names and sizes of the files.
"""

import os
from hashlib import blake2b
from pathlib import Path

from .datasets import Data

# notes and tables beside the images may change; the labels that a table gives are in the other fingerprint
_NOT_DATA = {".csv", ".db", ".html", ".ini", ".json", ".log", ".md", ".rst", ".txt", ".xml", ".yaml", ".yml"}


def fingerprint(data: Data, folder: str | Path | None) -> dict[str, str]:
    """Two short texts that are equal for equal data: "labels", and "files" if the data come from a folder.

    Args:
        data: A data set.
        folder: The folder that the data were read from.
    """
    labels = blake2b(digest_size=16)
    for name, batches in data.batches.items():
        labels.update(f"{name} {len(batches.part)} ".encode())
        labels.update(batches.part.targets.to_bytes())
    return {"labels": labels.hexdigest()} | ({} if folder is None else {"files": fingerprint_of_files(Path(folder))})


def fingerprint_of_files(folder: Path) -> str:
    """A short text that is equal for folders whose data files have equal names and sizes."""
    files = blake2b(digest_size=16)
    for name, size in sorted(_files(folder)):
        files.update(f"{name}\0{size}\0".encode(errors="surrogateescape"))
    return files.hexdigest()


def _files(folder: Path) -> list[tuple[str, int]]:
    """The relative path and the size of each data file.

    Hidden names and names that begin with "__" or "@" are left out.
    """
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith((".", "__", "@"))]
        for name in names:
            path = Path(root, name)
            if not name.startswith((".", "__", "@")) and path.suffix.lower() not in _NOT_DATA and path.is_file():
                found.append((path.relative_to(folder).as_posix(), path.stat().st_size))
    return found

"""A folder of images by class: what is in it, and which of it can be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np

from .images import UnreadableImage, check_image, line, read_image
from .parts import Part
from .preprocessing import Preprocessing

EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")
_SPLITS = {"train": ("train",), "validation": ("val", "validation"), "test": ("test",)}
_IN_MEMORY = 2**29  # bytes of resized images that are kept; of more, the files are decoded in each epoch

Skipped = list[tuple[Path, str]]


def has_classes(root: Path) -> bool:
    """Whether there is a folder in the folder."""
    with _readable(root):
        return bool(_subfolders(root))


def read_folder(
    root: Path, preprocessing: Preprocessing, in_memory: bool = True
) -> tuple[dict[str, Part], tuple[str, ...], Skipped]:
    """The parts of `root/class/*`, or of `root/train/class/*` with `val` or `validation` and `test` beside it.

    Every file is opened and read to its end, in threads. Small sets come back as resized pixels if they may be kept
    `in_memory`, others as files.

    Returns:
        The parts that are there, the names of the classes, and the files that were left out with the reasons.

    Raises:
        ValueError: If there are fewer than two classes, a class without images, or a class that `train` has not.
        OSError: If a folder cannot be read.
    """
    with _readable(root):
        splits = {part: folder for part, names in _SPLITS.items() for folder in _splits(root, names)}
        if not _subfolders(splits.get("train", root / "train")):
            splits = {"train": root}  # a class may be called "train", too
        classes = tuple(folder.name for folder in _subfolders(splits["train"]))
        if len(classes) < 2:
            found = f"one class, {classes[0]}" if classes else "no class"
            raise ValueError(f"{splits['train']} has {found}: there must be a folder for each of two or more classes.")
        found_files = {part: _files(folder, classes) for part, folder in splits.items()}

    count = sum(len(files) for files, _, _ in found_files.values())
    keep = in_memory and count * prod(preprocessing.size) * preprocessing.channels <= _IN_MEMORY
    parts, skipped = {}, []
    for part, (files, labels, strange) in found_files.items():
        parts[part], broken = _read(files, labels, preprocessing, keep)
        skipped += strange + broken
        present = set(parts[part].labels.tolist())
        for label, name in enumerate(classes):
            if part == "train" and label not in present:
                raise ValueError(f"The class folder {splits[part] / name} has no image that can be read.")
    return parts, classes, skipped


def _splits(root: Path, names: tuple[str, ...]) -> list[Path]:
    return [folder for folder in _subfolders(root) if folder.name in names]


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _files(folder: Path, classes: tuple[str, ...]) -> tuple[list[Path], list[int], Skipped]:
    """The image files of each class, their labels, and the files that are none by their names."""
    files, labels, strange = [], [], []
    for subfolder in _subfolders(folder):
        if subfolder.name not in classes:
            raise ValueError(f"{folder} has the class {subfolder.name}, which the training images have not.")
        for path in sorted(subfolder.iterdir()):
            if path.name.startswith(".") or path.is_dir():
                continue
            if path.suffix.lower() in EXTENSIONS:
                files.append(path)
                labels.append(classes.index(subfolder.name))
            else:
                strange.append((path, f"is not named as one of {', '.join(EXTENSIONS)}"))
    return files, labels, strange


def _read(files: list[Path], labels: list[int], preprocessing: Preprocessing, keep: bool) -> tuple[Part, Skipped]:
    def read(path: Path) -> tuple[np.ndarray | bool, str]:
        """The pixels, or whether it is a JPEG that need not be turned; and why it cannot be read."""
        try:
            return preprocessing.fit(read_image(path, preprocessing.channels)) if keep else check_image(path), ""
        except (UnreadableImage, OSError) as error:
            return False, line(error)

    shape = (*preprocessing.size, preprocessing.channels)
    pixels = np.empty((len(files) if keep else 0, *shape), np.uint8)
    good: list[int] = []
    jpeg = np.zeros(len(files), bool)
    skipped: Skipped = []
    with ThreadPool() as pool:
        for i, (image, reason) in enumerate(pool.imap(read, files, chunksize=16)):
            if reason:
                skipped.append((files[i], reason))
                continue
            if keep:
                pixels[len(good)] = image
            else:
                jpeg[i] = image
            good.append(i)
    kept = np.array([labels[i] for i in good])
    return Part(pixels[: len(good)] if keep else [files[i] for i in good], kept, None if keep else jpeg[good]), skipped


@contextmanager
def _readable(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(f"{error.filename or root} cannot be read: {error.strerror or error}.") from None

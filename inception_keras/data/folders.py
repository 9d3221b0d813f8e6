"""A folder of images by class."""

from pathlib import Path

from .listing import SPLITS, Listing, Skipped, stay_inside

EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")


def has_classes(root: Path) -> bool:
    """Whether there is a folder in the folder."""
    return bool(_subfolders(root))


def list_folder(root: Path) -> Listing:
    """The images of `root/class/*`, or of `root/train/class/*` with `val` or `validation` and `test` beside it.

    Raises:
        ValueError: If a part has other classes than `train`, or a link leads out of the folder.
    """
    splits = {part: root / name for part, names in SPLITS.items() for name in names if (root / name).is_dir()}
    if not _subfolders(splits.get("train", root / "train")):
        splits = {"train": root}  # a class may be called "train", too
    classes = tuple(folder.name for folder in _subfolders(splits["train"]))
    index = {name: label for label, name in enumerate(classes)}
    parts, skipped = {}, []
    for part, place in splits.items():
        stay_inside(place, root)
        found = [folder.name for folder in _subfolders(place)]
        for name in (*found, *classes):
            if name not in index:
                raise ValueError(f"{place} has the class {name}, which the training images have not.")
            if name not in found:
                raise ValueError(f"{place} has no folder for the class {name} of the training images.")
        files, labels, strange = _files(place, root)
        parts[part] = (files, [index[name] for name in labels])
        skipped += strange
    return Listing(splits["train"], dict(parts), classes, skipped)


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _files(folder: Path, root: Path) -> tuple[list[Path], list[str], Skipped]:
    """The image files of each class, the names of their classes, and the files that are none by their names."""
    files: list[Path] = []
    labels: list[str] = []
    strange: Skipped = []
    for subfolder in _subfolders(folder):
        stay_inside(subfolder, root)
        for path in sorted(subfolder.iterdir()):
            if path.name.startswith(".") or path.is_dir():
                continue
            if path.suffix.lower() not in EXTENSIONS:
                strange.append((path, f"is not named as one of {', '.join(EXTENSIONS)}"))
                continue
            if path.is_symlink():
                stay_inside(path, root)
            files.append(path)
            labels.append(subfolder.name)
    return files, labels, strange

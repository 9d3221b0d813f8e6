"""Lists a folder of images that has a folder for each class."""

from pathlib import Path

from ..checks import counted, some
from .images import looks_like_image, unread
from .layout import in_order, is_leftover, split_of, stay_inside, subfolders, walk
from .listing import Listing, Skipped


def list_folder(root: Path) -> Listing | None:
    """The images of `root/class`, or of `root/train/class` with folders for validation and test beside `train`.

    A class has all images in its folder and in the folders below it. Splits are recognised by their names, see
    `layout.split_of`. A validation or test folder whose images do not lie in class folders is passed over with a note.
    If it lacks images of some classes, it is used, and a note says so.

    Returns:
        None if there are no class folders.

    Raises:
        ValueError: If two folders stand for the same split, a split has a class that `train` does not have, or a link
            leads out of the folder.
    """
    splits, others = _splits(root)
    places: dict[str, Path] = {}  # the folder of each split; `folders` has the folders of its classes
    folders: dict[str, list[Path]] = {}
    notes: list[str] = []
    train = splits.get("train")
    if train and subfolders(train):
        places["train"], folders["train"] = train, subfolders(train)
        for folder in others:
            if found := sum(map(looks_like_image, walk(folder, root))):
                notes.append(
                    f"{folder} is no folder for training, validation or test: "
                    f"its {counted(found, 'image')} are not used"
                )
    elif others:  # a folder "train" without folders in it is a class
        places["train"], folders["train"] = root, [*others, *([train] if train else [])]
    elif not any(subfolders(folder) for folder in splits.values()):
        return None
    known = {folder.name for folder in folders.get("train", ())}
    for split in ("validation", "test"):
        if split not in splits:
            continue
        place, inner = splits[split], subfolders(splits[split])
        # Keras's generators read images without classes from a single folder, such as test/unknown
        if inner and not (known and len(inner) == 1 and inner[0].name not in known):
            places[split], folders[split] = place, inner
        else:
            count = sum(map(looks_like_image, walk(place, root)))
            notes.append(
                f"{place} is passed over: its {counted(count, 'image')} are in no folder of a class"
                if count
                else f"{place} is passed over: it has no images"
            )
    notes += _nested(folders.get("train", []))
    classes = in_order(known or {folder.name for inner in folders.values() for folder in inner})
    for split, inner in folders.items():
        _check_known({folder.name for folder in inner}, classes, places[split])

    index = {name: label for label, name in enumerate(classes)}
    parts: dict[str, tuple[list[Path], list[int]]] = {}
    skipped: Skipped = []
    unused: Skipped = [
        (path, "is in no folder of a class") for place in {root, *places.values()} for path in _loose(place)
    ]
    for split, inner in folders.items():
        files: list[Path] = []
        labels: list[int] = []
        for folder in inner:
            images, misnamed, strange = _files(folder, root)
            files += images
            labels += [index[folder.name]] * len(images)
            unused += misnamed
            skipped += strange
        parts[split] = files, labels
        if split != "train" and (absent := [name for name in classes if index[name] not in labels]):
            notes.append(f"{places[split]} has no image of the class{'es' if len(absent) > 1 else ''} {some(absent)}")
    origin = places.get("train", root)
    fault = ""
    if len(classes) == 1 and (inner := subfolders(next(iter(folders.values()))[0])):
        names = some((folder.name for folder in inner), 3)
        fault = f"{origin} has one class, {classes[0]}, with the folders {names} in it: did you mean {inner[0].parent}?"
    return Listing(origin, dict(parts), tuple(classes), skipped, sorted(unused, key=str), notes, fault)


def unsorted_images(root: Path) -> str:
    """Where the images of a folder without classes lie, as part of an error message.

    The text is empty if there are no images.
    """
    counts = {place: sum(map(looks_like_image, walk(place, root, outside=True))) for place in subfolders(root)}
    counts[root] = len(_loose(root))
    found = [f"{counted(count, 'image')} in {place.name}" for place, count in counts.items() if count]
    return f"{some(found)} are in no folder of a class" if found else ""


def _splits(root: Path) -> tuple[dict[str, Path], list[Path]]:
    """The folders of the splits, and all other folders."""
    splits: dict[str, Path] = {}
    others = []
    for folder in subfolders(root):
        split = split_of(folder.name)
        if not split:
            others.append(folder)
        elif split in splits:
            raise ValueError(
                f"{root} has two folders of {'training' if split == 'train' else split} images, "
                f"{splits[split].name} and {folder.name}: only one of them can be meant."
            )
        else:
            splits[split] = stay_inside(folder, root)
    return splits, others


def _nested(folders: list[Path]) -> list[str]:
    """A note if all classes contain folders of the same names.

    In that case these folders may be the real classes, or the splits of each class.
    """
    inner = [{folder.name for folder in subfolders(place)} for place in folders]
    if len(inner) < 2 or len(inner[0]) < 2 or any(names != inner[0] for names in inner):
        return []
    classes, names = some((folder.name for folder in folders), 3), some(sorted(inner[0]), 3)
    return [
        f"the classes are {classes}, and the folders {names} in each of them are only parts of it; "
        "folders of splits must be named train, validation and test, with the classes in them"
    ]


def _check_known(found: set[str], classes: list[str], place: Path) -> None:
    for name in sorted(found):
        if name not in classes:
            raise ValueError(f"{place} has the class {name}, which the training images have not.")


def _loose(folder: Path) -> list[Path]:
    """The images that lie beside the class folders."""
    return [
        path for path in folder.iterdir() if looks_like_image(path) and not is_leftover(path.name) and path.is_file()
    ]


def _files(folder: Path, root: Path) -> tuple[list[Path], Skipped, Skipped]:
    """The images of a class, the images that have no image extension, and the files that are no images."""
    images: list[Path] = []
    misnamed: Skipped = []
    strange: Skipped = []
    for path in walk(folder, root):
        if path.is_symlink():
            stay_inside(path, root)
        if looks_like_image(path):
            images.append(path)
            continue
        kind, reason = unread(path)
        (misnamed if kind else strange).append((path, reason))
    return images, misnamed, strange

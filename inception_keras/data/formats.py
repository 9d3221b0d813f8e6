"""Recognises a folder's format by its file names, and reads its images without splitting or normalising them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..checks import some
from .cifar import CIFAR, find_cifar, read_cifar
from .csv_file import Table, find_csv, is_training, list_csv
from .csv_paths import Files
from .folders import list_folder, unsorted_images
from .idx import find_idx, read_mnist
from .images import EXTENSIONS
from .layout import stay_inside
from .listing import Listing, Skipped, readable
from .names import NAMES
from .npz import find_npz, read_npz
from .preprocessing import Preprocessing
from .splits import Part
from .tfrecords import find_tfrecords, list_tfrecords

_SIZES = {"digits": (32, 32)}  # the other sets keep their own size
PHOTO = (224, 224)
_FORMATS = {"mnist": "idx", "fashion_mnist": "idx", "cifar10": "cifar10", "cifar100": "cifar100"}
_TITLES = {
    "idx": "IDX files",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "npz": "a NumPy archive",
    "tfrecords": "TFRecord shards",
    "csv": "a CSV of images",
}
UNDERSTOOD = (
    "IDX files as MNIST names them (train-images-idx3-ubyte[.gz] ...), "
    "CIFAR archives (cifar-10-binary.tar.gz, cifar-10-python.tar.gz, the same of cifar-100, or the files in them), "
    "a .npz file with x_train and y_train, TFRecord shards (*.tfrecord, train-00000-of-00001), "
    "a .csv file with a line of column names, image paths and labels, "
    f"or images in a folder for each class (DIR/class/* or DIR/train/class/*, with {', '.join(EXTENSIONS)})"
)


Wanted = Preprocessing | tuple[int, int] | None  # what is given of the input: its preprocessing, its size, or nothing


@dataclass(frozen=True)
class Raw:
    """Images from a source, before they are split and normalised."""

    name: str
    parts: dict[str, Part]
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    flip: bool  # whether a mirrored image still belongs to its class
    skipped: Skipped
    notes: list[str] = field(default_factory=list)  # remarks on data that are not used, but are no fault


@dataclass(frozen=True)
class Arrays:
    """Images that a file holds as pixels. If `class_names` is None, the names are those of the set `kind`."""

    kind: str
    parts: dict[str, Part]
    class_names: tuple[str, ...] | None


def open_folder(root: Path, name: str | None = None, label: str | None = None) -> Listing | Arrays:
    """The images of a folder: encoded images are listed, pixel arrays are read.

    Args:
        root: The folder.
        name: A named set, which chooses among several sets in the folder. It also gives the class names.
        label: The column of a CSV file that holds the labels.

    Raises:
        ValueError: If the folder holds no supported format, or more than one, or a file is broken.
        OSError: If a file or folder cannot be read; FileNotFoundError if it does not exist, NotADirectoryError if
            `root` is a file.
    """
    if root.is_file():
        raise NotADirectoryError(f"{root} is a file, not a folder: unpack it, or give the folder that it lies in.")
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root}.")
    with readable(root):
        files = Files(root)
        tables = find_csv(files)
        kinds = _kinds(root)
        of_images = [table.path for table in tables if table.image is not None]
        listing = None if kinds or is_training(tables) else list_folder(root)
        if of_images and (is_training(tables) or not (kinds or listing)):
            kinds["csv"] = of_images
        ids = [table for table in tables if table.by_id and is_training([table])]
        if ids and label is None and len(classes := _classes_of_folders(root)) > 1:
            raise ValueError(
                f"{root} has folders that may be classes, {some(classes)}, and {ids[0].path} names images by ids: "
                "label= with the name of its column says that it is meant; else move it out of the folder."
            )
        kind = _choose(root, name, list(kinds)) if kinds else "folder"
        if label is not None and kind != "csv":
            raise ValueError(f"label={label!r} chooses a column of a CSV file, but {root} holds none of images.")
        for path in kinds.get(kind, ()):
            stay_inside(path, root)
        if kind == "csv":
            return list_csv(tables, files, label)
        if kind == "tfrecords":
            return list_tfrecords(kinds[kind], root)
        if kind != "folder":
            return _arrays(kind, kinds[kind], root, name)
        if not listing:
            seen = "; ".join([*map(_why_not, tables), *filter(None, [unsorted_images(root)])])
            if not seen:
                raise ValueError(f"{root} holds nothing that is understood: it may hold {UNDERSTOOD}.")
            raise ValueError(
                f"{root} holds nothing that can be learnt from: {seen}; put the images of each class into a folder of "
                "its own, or list paths and labels in a CSV file."
            )
        if len(listing.classes) < 2 and tables and not listing.fault:
            reasons = "; ".join(map(_why_not, tables))
            return replace(listing, fault=f"{listing.origin} has one class, {listing.classes[0]}, and {reasons}.")
        passed = (table for table in tables if table.fault or table.image is not None)
        listing.notes.extend(f"{_why_not(table)}, and is passed over" for table in passed)
        return listing


def _classes_of_folders(root: Path) -> tuple[str, ...]:
    try:
        listing = list_folder(root)
    except ValueError:  # the folders beside a CSV file need not follow the rules for class folders
        return ()
    return listing.classes if listing else ()


def _why_not(table: Table) -> str:
    """Why a CSV file cannot give the training images."""
    if table.fault:
        return table.fault
    if table.image is None:
        return f"{table.path} has no column of images among {some(table.columns)}"
    return f"{table.path} has no {'labels of training images' if table.candidates else 'column of labels'}"


def from_folder(
    root: Path,
    name: str | None,
    wanted: Wanted,
    label: str | None,
    max_unreadable: float,
    keep: bool = True,
    training: bool = True,
) -> Raw:
    """Reads the images of a folder and leaves out those that cannot be read.

    If `keep` is set, small sets are kept in memory. With `training`, there must be at least two classes, and images of
    each; a test set may have fewer.

    It raises the same errors as `open_folder` and `Listing.read`.
    """
    found = open_folder(root, name, label)
    title = root.resolve().name
    if isinstance(found, Arrays):
        return in_memory(title, found.kind, found.parts, found.class_names, wanted, training)
    if isinstance(wanted, Preprocessing):
        preprocessing = wanted
    else:
        preprocessing = Preprocessing(wanted or PHOTO, resize=max(wanted or PHOTO))
    parts, skipped, notes = found.read(preprocessing, max_unreadable, keep, training)
    return Raw(title, parts, found.classes, preprocessing, name != "mnist", skipped, notes)


def in_memory(
    title: str,
    kind: str,
    parts: dict[str, Part],
    class_names: tuple[str, ...] | None,
    wanted: Wanted,
    training: bool = True,
) -> Raw:
    """Images that are already in memory, with their labels."""
    names = class_names or NAMES[kind]
    if training and len(names) < 2:
        raise ValueError(f"{title} has one class, {names[0]}: there must be two or more.")
    highest = max(part.labels.max() for part in parts.values())
    if highest >= len(names):
        raise ValueError(f"{title} has the label {highest}, more than the {len(names)} classes of {kind}.")
    _, height, width, channels = np.asarray(parts["train"].images).shape
    if isinstance(wanted, Preprocessing):
        preprocessing = replace(wanted, resize=None)  # the pipeline resizes images in memory without cropping
        if channels == 1 and wanted.channels == 3:
            parts = {name: Part(np.repeat(np.asarray(p.images), 3, axis=-1), p.targets) for name, p in parts.items()}
        elif channels != wanted.channels:
            raise ValueError(f"{title} has {channels} channels, the preprocessing is for {wanted.channels}.")
    else:
        preprocessing = Preprocessing(wanted or _SIZES.get(kind, (height, width)), channels=channels)
    return Raw(title, parts, names, preprocessing, kind not in ("digits", "mnist"), [])


def _kinds(root: Path) -> dict[str, list[Path]]:
    """The files of each format that the folder contains."""
    kinds = {kind: [place] for kind in CIFAR if (place := find_cifar(root, kind))}
    idx = [find_idx(root, split, content) for split in ("train", "t10k") for content in ("images", "labels")]
    kinds["idx"] = [path for path in idx if path]
    finders: dict[str, Callable[[Path], list[Path]]] = {"npz": find_npz, "tfrecords": find_tfrecords}
    kinds |= {kind: find(root) for kind, find in finders.items()}
    return {kind: paths for kind, paths in kinds.items() if paths}


def _choose(root: Path, name: str | None, kinds: list[str]) -> str:
    wanted = _FORMATS.get(name or "")
    if wanted in kinds:
        return wanted
    found = " and ".join(_TITLES[kind] for kind in kinds)
    if wanted and not {"npz", "tfrecords", "csv"}.intersection(kinds):
        raise ValueError(f"{root} holds {found}, not {name}.")
    if len(kinds) > 1:
        named = f": give a name, one of {', '.join(_FORMATS)}, to say which" if set(kinds) & set(_FORMATS) else ""
        raise ValueError(f"{root} holds {found}{named or '; only one of them can be meant'}.")
    return kinds[0]


def _arrays(kind: str, places: list[Path], root: Path, name: str | None) -> Arrays:
    if kind in CIFAR:
        return Arrays(kind, *read_cifar(places[0], kind))
    if kind == "npz":
        if len(places) > 1:
            names = ", ".join(path.name for path in places)
            raise ValueError(f"{root} has several NumPy archives, {names}: only one of them can be meant.")
        parts, classes = read_npz(places[0])
        published = next((known for known in (name, places[0].stem) if known in _FORMATS), None)
        if published and classes == tuple(map(str, range(len(classes)))):
            return Arrays(published, parts, None)
        return Arrays("npz", parts, classes)
    parts = read_mnist(root)
    if _FORMATS.get(name or "") == "idx":
        return Arrays(str(name), parts, None)
    labels = 1 + max(part.labels.max() for part in parts.values())
    return Arrays("mnist", parts, tuple(map(str, range(labels))))

"""A folder or a named data set as a test set for a net that knows its classes already."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from .csv_file import find_csv
from .csv_paths import Files
from .layout import some, split_of, subfolders
from .listing import Skipped
from .named import by_name
from .parts import Part
from .pipeline import Batches
from .preprocessing import Preprocessing
from .recognise import Raw, from_folder
from .unreadable import Unreadable


@dataclass(frozen=True)
class TestSet:
    """Batches of float32 images and int32 labels, which count the classes of the net."""

    __test__ = False  # pytest would take it for a test

    name: str
    batches: tf.data.Dataset
    skipped: Skipped  # files that could not be read, and why; it grows where some become unreadable
    check: Callable[[], None]  # raises a ValueError with the files if too many have become unreadable


def load_test_set(
    name: str | None,
    data_dir: str | Path | None,
    class_names: Sequence[str],
    preprocessing: Preprocessing,
    *,
    label: str | None = None,
    max_bad: float = 0.1,
) -> TestSet:
    """Loads the images that a net is to be tested on.

    Of data with a test set, that is used, else the validation set; of data without splits, all images are used. Classes
    are known by their names: the data may have fewer than the net, in any order.

    Args:
        name: A named data set, as for `load_data`.
        data_dir: A folder to read, as for `load_data`.
        class_names: The classes of the net.
        preprocessing: What the net was trained to see.
        label: The column of a CSV file that has the labels, if several could.
        max_bad: Share of the images that may be unreadable, from 0 to 1.

    Raises:
        ValueError: If there is an image of a class that the net does not know, or as `load_data` does.
        OSError: If a file or folder cannot be read.
        ConnectionError: If a download fails.
    """
    if data_dir is None:
        raw = by_name(str(name), preprocessing)
    else:
        root = _inside(Path(data_dir), class_names)
        column = label if root.is_dir() and find_csv(Files(root)) else None
        raw = from_folder(root, name, preprocessing, column, max_bad, training=False)
    part = next((raw.parts[split] for split in ("test", "validation", "train") if len(raw.parts.get(split, ()))), None)
    if part is None:
        raise ValueError(f"{data_dir} has no image that can be read.")
    part = _renumbered(part, raw, class_names)
    for note in raw.notes:
        warnings.warn(f"{note}.", stacklevel=2)
    unreadable = Unreadable(raw.skipped, len(part), max_bad)
    batches = Batches(part, raw.preprocessing, 64, unreadable).dataset()
    return TestSet(raw.name, batches, raw.skipped, unreadable.check)


def _inside(root: Path, class_names: Sequence[str]) -> Path:
    """The split that is tested on, if the folder has it as a folder with classes in it; else the folder."""
    for split in ("test", "validation"):
        for folder in subfolders(root):
            if split_of(folder.name) == split and {inner.name for inner in subfolders(folder)} & {*class_names}:
                return folder
    return root


def _renumbered(part: Part, raw: Raw, class_names: Sequence[str]) -> Part:
    """The images with labels that count the net's classes."""
    index = {name: number for number, name in enumerate(class_names)}
    strange = [raw.class_names[label] for label in np.unique(part.labels) if raw.class_names[label] not in index]
    if strange:
        named = f"the class{'es' if len(strange) > 1 else ''} {some(strange)}"
        raise ValueError(f"{raw.name} has {named}, which the run does not know: it knows {some(class_names, 10)}.")
    numbers = np.array([index.get(name, -1) for name in raw.class_names])
    return Part(part.images, numbers[part.labels], part.jpeg)

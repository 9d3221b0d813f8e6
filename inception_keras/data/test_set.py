"""Loads a folder or a named data set to test a net that already has its classes."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import some
from .boxes import with_boxes
from .csv_file import find_csv
from .csv_paths import Files
from .datasets import Data, by_name
from .formats import Raw, from_folder
from .layout import split_of, subfolders
from .pipeline import Batches
from .preprocessing import Preprocessing
from .segmentation import with_masks
from .splits import Part
from .targets import Labels
from .unreadable import Unreadable


def load_test_set(
    name: str | None,
    data_dir: str | Path | None,
    class_names: Sequence[str],
    preprocessing: Preprocessing,
    *,
    task: str = "classification",
    label: str | None = None,
    max_unreadable: float = 0.1,
) -> Data:
    """Loads the images that a net will be tested on, as data with a test split only.

    The test set of the data is used; without one, the validation set; without splits, all images. Classes are matched
    by name: the data may have fewer classes than the net, in any order. For segmentation, the values of the masks are
    the net's classes. Images with masks or boxes stay files, so that they can be measured at their own size.

    Args:
        name: A named data set, as for `load_data`.
        data_dir: A folder to read, as for `load_data`.
        class_names: The classes of the net.
        preprocessing: The preprocessing that the net was trained with.
        task: `"classification"`, `"segmentation"` or `"detection"`, as for `load_data`.
        label: The column of a CSV file that holds the labels, if more than one column could.
        max_unreadable: Largest share of the images that may be unreadable, from 0 to 1.

    Raises:
        ValueError: If an image belongs to a class that the net does not have, or for the reasons that `load_data`
            raises it.
        OSError: If a file or folder cannot be read.
        ConnectionError: If a download fails.
    """
    folder = None if data_dir is None else Path(data_dir)
    # files, which keep their own sizes, and not images in memory of the net's size
    files: dict[str, Any] = {"keep": False, "class_names": class_names}
    if task == "segmentation":
        raw = with_masks(name, folder, preprocessing, max_unreadable, **files)
    elif task == "detection":
        raw = with_boxes(name, folder, preprocessing, max_unreadable, label=label, **files)
    elif folder is None:
        raw = by_name(str(name), preprocessing)
    else:
        root = _inside(folder, class_names)
        column = label if root.is_dir() and find_csv(Files(root)) else None
        raw = from_folder(root, name, preprocessing, column, max_unreadable, training=False)
    part = next((raw.parts[split] for split in ("test", "validation", "train") if len(raw.parts.get(split, ()))), None)
    if part is None:
        raise ValueError(f"{data_dir} has no image that can be read.")
    if isinstance(part.targets, Labels):
        part = _renumbered(part, raw, class_names)
    for note in raw.notes:
        warnings.warn(f"{note}.", stacklevel=2)
    unreadable = Unreadable(raw.skipped, len(part), max_unreadable)
    prepare = raw.preprocessing
    return Data(
        name=raw.name,
        class_names=tuple(class_names),
        image_shape=(*prepare.size, prepare.channels),
        counts={"test": len(part)},
        preprocessing=prepare,
        skipped=raw.skipped,
        batches={"test": Batches(part, prepare, 64, unreadable)},
        notes=tuple(raw.notes),
    )


def _inside(root: Path, class_names: Sequence[str]) -> Path:
    """The folder of the test or validation split, if it exists and contains known classes; else the folder itself."""
    for split in ("test", "validation"):
        for folder in subfolders(root):
            if split_of(folder.name) == split and {inner.name for inner in subfolders(folder)} & {*class_names}:
                return folder
    return root


def _renumbered(part: Part, raw: Raw, class_names: Sequence[str]) -> Part:
    """The images, with labels changed to the class indices of the net."""
    index = {name: number for number, name in enumerate(class_names)}
    strange = [raw.class_names[label] for label in np.unique(part.labels) if raw.class_names[label] not in index]
    if strange:
        named = f"the class{'es' if len(strange) > 1 else ''} {some(strange)}"
        raise ValueError(f"{raw.name} has {named}, which the run does not know: it knows {some(class_names, 10)}.")
    numbers = np.array([index.get(name, -1) for name in raw.class_names])
    return Part(part.images, Labels(numbers[part.labels]), part.jpeg)

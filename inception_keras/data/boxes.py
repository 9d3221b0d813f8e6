"""Images with boxes, from a folder or from the generator of scenes, before they are split and normalised."""

from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path

import numpy as np

from ..checks import counted, some
from .box_csv import list_box_csv
from .box_images import Seen, absent, are, check_objects, check_splits, known_classes, look, remarks_of, wrong_objects
from .box_list import BoxList, Paths, without_background
from .coco import list_coco
from .formats import PHOTO, Raw, Wanted
from .listing import Skipped, check_share_of, fits_in_memory, readable, remarked
from .names import SCENE_CLASSES
from .preprocessing import Preprocessing, window_of
from .segmentation import generated
from .splits import Part
from .targets import Boxes
from .voc_xml import list_xml

MIN_VISIBLE = 0.2  # the smallest share of an object that an input must show, or it is left out there
_READERS: dict[str, Callable[[Path, Paths], BoxList | None]] = {
    "XML files in PASCAL VOC's form": list_xml,
    "COCO files": list_coco,
    "CSV files of boxes": list_box_csv,
}
UNDERSTOOD_BOXES = (
    "XML files as PASCAL VOC has them, beside the images or in a folder Annotations; COCO's JSON files, as "
    "annotations/instances_train.json; or a CSV file of paths, boxes and labels (path, x1, y1, x2, y2, label)"
)


def with_boxes(
    name: str | None,
    folder: Path | None,
    wanted: Wanted,
    max_unreadable: float = 0.1,
    *,
    count: int | None = None,
    keep: bool = True,
    class_names: Sequence[str] | None = None,
    label: str | None = None,
) -> Raw:
    """The images and boxes of a folder, or of `"scenes"`.

    Args:
        name: `"scenes"`, if there is no folder.
        folder: A folder that `list_boxes` understands.
        wanted: What is given of the input.
        max_unreadable: Largest share of the images that may be unusable, and largest share of the objects.
        count: Number of training scenes.
        keep: Whether small sets are kept in memory. Otherwise images are files, and boxes are in their pixels.
        class_names: The classes of a net that will be tested. All objects must be of these. The folder need not have
            training images. None takes the classes from the data.
        label: The column of a CSV file that holds the classes.

    Raises:
        ValueError: If the data have no boxes, or for the reasons that `load_data` raises it.
        OSError: If a file or folder cannot be read.
    """
    if folder is not None:
        return _folder(folder, wanted, max_unreadable, keep, class_names, label)
    if name != "scenes":
        raise ValueError(f"{name} has labels and no boxes: for task='detection', give 'scenes' or a data_dir.")
    classes = without_background(SCENE_CLASSES)
    if class_names and tuple(class_names) != classes:
        raise ValueError(f"Scenes have the classes {some(classes)}, the net {some(class_names)}.")
    made, preprocessing = generated(wanted, count)
    parts = {
        split: Part(one.images, Boxes(one.boxes, [labels - 1 for labels in one.classes], MIN_VISIBLE))
        for split, one in made.items()
    }
    return Raw("scenes", parts, classes, preprocessing, flip=True, skipped=[])


def list_boxes(root: Path, label: str | None = None) -> BoxList:
    """The images of a folder with their objects: of XML files, COCO files or CSV files.

    Args:
        root: The folder.
        label: The column of a CSV file that holds the classes.

    Raises:
        ValueError: If the folder has no such files or several forms of them, or if one is broken.
        OSError: If a file or folder cannot be read.
    """
    if root.is_file():
        raise NotADirectoryError(f"{root} is a file, not a folder: unpack it, or give the folder that it lies in.")
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root}.")
    with readable(root):
        passed: Paths = []
        if label is not None:
            found = {"CSV files of boxes": list_box_csv(root, passed, label)}
        else:
            found = {form: read(root, passed) for form, read in _READERS.items()}
    forms = [form for form, one in found.items() if one]
    if not forms:
        column = f" with boxes and the column {label!r}" if label is not None else ""
        seen = "".join(f"; {path} {reason}" for path, reason in passed[:3])
        raise ValueError(f"{root} has no boxes{column}: it may hold {UNDERSTOOD_BOXES}{seen}.")
    if len(forms) > 1:
        raise ValueError(f"{root} has boxes in {' and in '.join(forms)}: only one of them can be meant.")
    (one,) = filter(None, found.values())
    return one


# ------------------------------------------------------------------------------------------------------------ folders


def _folder(
    root: Path,
    wanted: Wanted,
    max_unreadable: float,
    keep: bool,
    class_names: Sequence[str] | None,
    label: str | None,
) -> Raw:
    preprocessing = wanted if isinstance(wanted, Preprocessing) else Preprocessing(wanted or PHOTO)  # no object is lost
    found = list_boxes(root, label)
    splits = check_splits(found, class_names is None)
    count = len(found.unused) + len(found.images)
    keep = keep and fits_in_memory(count * prod(preprocessing.size) * preprocessing.channels)
    seen = list(look(found, preprocessing if keep else None))
    check_objects(found, seen, max_unreadable)
    classes, seen = known_classes(found, seen, class_names)
    check_objects(found, seen, max_unreadable)
    good = [one for one in seen if not one.fault]
    faults = [one.fault[:2] for one in seen if one.fault]
    check_share_of(found.origin, count, [*found.unused, *faults], max_unreadable)
    wrong = wrong_objects(found, seen)
    parts = {
        split: _part([one for one in good if one.split == split], classes, preprocessing, keep) for split in splits
    }
    notes = [*found.notes, *remarks_of(wrong, good), *remarked([remark for one in good for remark in one.remarks])]
    if class_names is None:
        notes += absent(classes, [one for one in good if one.split == "train"]) + _cut_off(good, preprocessing)
    skipped: Skipped = [*found.skipped, *found.unused, *faults, *wrong]
    return Raw(root.resolve().name, parts, classes, preprocessing, True, skipped, notes)


def _cut_off(good: Sequence[Seen], preprocessing: Preprocessing) -> list[str]:
    """A note on objects that lie outside the centre of the image, which becomes the input."""
    cut, total = [], 0
    for one in good:
        wide, high = one.size or (0, 0)
        top, left, tall, long = window_of(preprocessing, high, wide)
        inside = np.clip(one.boxes, [left, top, left, top], [left + long, top + tall, left + long, top + tall])
        shares = np.prod(inside[:, 2:] - inside[:, :2], axis=1) / np.prod(one.boxes[:, 2:] - one.boxes[:, :2], axis=1)
        total += len(one.boxes)
        cut += [
            f"{one.source} ({where})" for where, share in zip(one.where, shares, strict=True) if share < MIN_VISIBLE
        ]
    if not cut:
        return []
    part = f"of {counted(total, 'object')}, {len(cut):,} {are(len(cut))} not seen in the input"
    return [f"{part}, the centre of the image: {some(cut, 3)}"]


def _part(good: Sequence[Seen], classes: Sequence[str], preprocessing: Preprocessing, keep: bool) -> Part:
    index = {name: number for number, name in enumerate(classes)}
    labels = [np.array([index[name] for name in one.classes], np.int32) for one in good]
    boxes = [one.boxes for one in good]
    difficult = [one.difficult for one in good]
    if not keep:
        jpeg = np.array([one.jpeg for one in good], np.int32).reshape(-1, 2)
        return Part([one.image for one in good], Boxes(boxes, labels, MIN_VISIBLE, difficult), jpeg)
    images = np.empty((len(good), *preprocessing.size, preprocessing.channels), np.uint8)
    for place, one in enumerate(good):
        if one.input is not None and one.size:
            images[place] = one.input
            top, left, tall, long = window_of(preprocessing, *one.size[::-1])
            scale = np.divide(preprocessing.size[::-1], (long, tall))
            boxes[place] = (one.boxes - np.tile((left, top), 2)) * np.tile(scale, 2)
    return Part(images, Boxes(boxes, labels, MIN_VISIBLE, difficult))

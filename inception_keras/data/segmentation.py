"""Images with masks, from a folder or from the generator of scenes, before they are split and normalised."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import counted, got, some
from .formats import PHOTO, Raw, Wanted
from .images import Source, UnreadableImage, line, read_image
from .listing import check_share_of, fits_in_memory, remarked
from .mask_file import VOID, mask_of, nearest, no_class
from .mask_folders import Pairs, list_masks
from .names import SCENE_CLASSES, VOC_CLASSES
from .preprocessing import Preprocessing, window_of
from .scenes import SCENE_SIZE, Scenes, scenes
from .splits import Part
from .targets import Masks

TASKS = ("classification", "segmentation", "detection")  # what a data set can be loaded for
_SCENES = {"train": 1, "validation": 8, "test": 4}  # there is one scene for so many training scenes
_COUNT = 2000  # training scenes
_SHADES = 200  # so many values in masks whose classes have no names are shades of grey, and no indices


def with_masks(
    name: str | None,
    folder: Path | None,
    wanted: Wanted,
    max_unreadable: float = 0.1,
    *,
    count: int | None = None,
    keep: bool = True,
    class_names: Sequence[str] | None = None,
) -> Raw:
    """The images and masks of a folder, or of `"scenes"`.

    Args:
        name: `"scenes"`, if there is no folder.
        folder: A folder that `list_masks` understands.
        wanted: What is given of the input.
        max_unreadable: Largest share of the images that may be unusable, or have an unusable mask.
        count: Number of training scenes.
        keep: Whether small sets are kept in memory.
        class_names: The classes of a net that will be tested. The masks must have these. The folder need not have
            training images. None takes the classes from the data.

    Raises:
        ValueError: If the data have no masks, or for the reasons that `load_data` raises it.
        OSError: If a file or folder cannot be read.
    """
    if folder is not None:
        return _folder(folder, wanted, max_unreadable, keep, class_names)
    if name != "scenes":
        raise ValueError(f"{name} has labels and no masks: for task='segmentation', give 'scenes' or a data_dir.")
    if class_names and tuple(class_names) != SCENE_CLASSES:
        raise ValueError(f"Scenes have the classes {some(SCENE_CLASSES)}, the net {some(class_names)}.")
    made, preprocessing = generated(wanted, count)
    parts = {split: Part(one.images, Masks(one.masks, len(one.class_names))) for split, one in made.items()}
    return Raw("scenes", parts, SCENE_CLASSES, preprocessing, flip=True, skipped=[])


def refuse_labels(targets: str, **options: Any) -> None:
    """Raises a ValueError if an option that is set needs a label for each image, and there are masks or boxes."""
    for name, value in options.items():
        if value not in (None, False, 0, "natural"):
            raise ValueError(f"{name} needs images that have one label each, got {name}={got(value)} and {targets}.")


def generated(wanted: Wanted, count: int | None) -> tuple[dict[str, Scenes], Preprocessing]:
    """The scenes of each split, and how they become inputs; `count` is the number of training scenes."""
    if isinstance(wanted, Preprocessing):
        preprocessing = replace(wanted, resize=None)
        if wanted.channels != 3:
            raise ValueError(f"Scenes have 3 channels, the preprocessing is for {wanted.channels}.")
    else:
        preprocessing = Preprocessing(wanted or (SCENE_SIZE, SCENE_SIZE))
    whole = _COUNT if count is None else count
    made = {
        split: scenes(-(-whole // fraction), size=preprocessing.size, split=split)
        for split, fraction in _SCENES.items()
    }
    return made, preprocessing


# ------------------------------------------------------------------------------------------------------------ folders


@dataclass(frozen=True)
class Seen:
    """An image and its mask, after both were read."""

    split: str
    image: Path
    mask: Path
    size: tuple[int, int] | None = None  # width and height
    pixels: np.ndarray | None = None  # int64 (256,): how many pixels of the mask have each value
    fault: tuple[Path, str, str] | None = None  # if one cannot be read: its file, the reason, and the kind of problem
    remarks: Sequence[tuple[Source, str]] = ()
    input: tuple[np.ndarray, np.ndarray] | None = None  # image and mask in the size of the input


def look(pairs: Pairs, preprocessing: Preprocessing | None = None) -> Iterator[Seen]:
    """Reads all images and masks, in threads; with a `preprocessing` also prepares them as inputs."""

    def read(entry: tuple[str, Path, Path]) -> Seen:
        split, image, mask = entry
        said: list[str] = []
        source = image
        try:
            photograph = read_image(image, preprocessing.channels if preprocessing else 3, said)
            source = mask
            sides = photograph.height, photograph.width
            indices = mask_of(mask, sides)
        except FileNotFoundError:
            return Seen(*entry, fault=(source, "is not there", "missing"))
        except (UnreadableImage, OSError) as error:
            return Seen(*entry, fault=(source, line(error), getattr(error, "kind", "unreadable")))
        ready = None
        if preprocessing:
            small = nearest(indices, window_of(preprocessing, *sides), preprocessing.size)
            ready = preprocessing.resize_and_crop(photograph), small
        pixels = np.bincount(indices.ravel(), minlength=256)
        remarks = [(image, text) for text in said]
        return Seen(split, image, mask, photograph.size, pixels, remarks=remarks, input=ready)

    entries = [(split, *paths) for split, part in pairs.parts.items() for paths in zip(*part, strict=True)]
    with ThreadPool() as pool:
        yield from pool.imap(read, entries, chunksize=4)


@dataclass(frozen=True)
class Classes:
    """What the values of masks mean."""

    names: tuple[str, ...]
    binary: bool = False  # whether 255 is class 1
    notes: tuple[str, ...] = ()

    def count(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels of each class, and of void in the last place, from the pixels of each value."""
        void = 0 if self.binary else pixels[VOID]
        counts = np.append(pixels[: len(self.names)], void)
        if self.binary:
            counts[1] += pixels[VOID]
        return counts

    def fault(self, seen: Seen) -> tuple[Path, str, str] | None:
        """Why an image and its mask cannot be used: the file, the reason and its kind; None if they can."""
        if seen.pixels is not None and (strange := np.flatnonzero(seen.pixels[len(self.names) : VOID])).size:
            value = int(strange[0]) + len(self.names)
            return seen.mask, no_class(value, len(self.names)), "no class"
        return seen.fault


def classes_of(pairs: Pairs, seen: Sequence[Seen], names: Sequence[str] | None = None) -> Classes:
    """The classes of a folder: those given, those that a file in it names, VOC's, or as many as the masks have.

    If all masks together have the values 0 and 255 only, and there are two classes, 255 is class 1 and not void.

    Raises:
        ValueError: If no two classes can be told.
    """
    if names and pairs.class_names and tuple(names) != pairs.class_names:
        raise ValueError(f"{pairs.origin} has the classes {some(pairs.class_names)}, the net {some(names)}.")
    known = tuple(names) if names else pairs.class_names
    total = sum((one.pixels for one in seen if one.pixels is not None), np.zeros(256, int))
    values = np.flatnonzero(total)
    indices = values[values != VOID]
    if not values.size:
        return Classes(known or VOC_CLASSES)
    if not pairs.voc and VOID in values and set(values) <= {0, VOID} and (known is None or len(known) == 2):
        note = "the masks have the values 0 and 255 only, so that 255 is class 1, and nothing is void"
        return Classes(known or ("background", "foreground"), True, (note,))
    if known is None and pairs.voc and indices.max(initial=0) < len(VOC_CLASSES):
        known = VOC_CLASSES
    if known is None:
        if len(indices) >= _SHADES:
            raise ValueError(
                f"{pairs.origin} has masks with {len(indices)} different values, as photographs have, or masks that "
                "were resized with smooth borders, but a mask must hold class indices; if these are, list the names of "
                "the classes in classes.txt, one a line."
            )
        known = tuple(f"class {value}" for value in range(indices.max(initial=0) + 1))
    if len(known) < 2:
        raise ValueError(f"{pairs.origin} has one class: all pixels of its masks are 0 or void.")
    return Classes(known)


def _folder(
    root: Path, wanted: Wanted, max_unreadable: float, keep: bool, class_names: Sequence[str] | None = None
) -> Raw:
    if isinstance(wanted, Preprocessing):
        preprocessing = wanted
    else:
        preprocessing = Preprocessing(wanted or PHOTO, resize=max(wanted or PHOTO))
    pairs = list_masks(root)
    check_parts(pairs, class_names is None)
    count = len(pairs.unused) + sum(len(images) for images, _ in pairs.parts.values())
    keep = keep and fits_in_memory(count * prod(preprocessing.size) * (preprocessing.channels + 1))
    seen = list(look(pairs, preprocessing if keep else None))
    classes = classes_of(pairs, seen, class_names)
    faults: list[tuple[Source, str]] = []
    good: list[Seen] = []
    for one in seen:
        if fault := classes.fault(one):
            faults.append(fault[:2])
        else:
            good.append(one)
    check_share_of(root, count, [*pairs.unused, *faults], max_unreadable)
    parts = {
        split: _part([one for one in good if one.split == split], classes, preprocessing, keep) for split in pairs.parts
    }
    notes = [*pairs.notes, *classes.notes, *remarked([remark for one in good for remark in one.remarks])]
    if class_names is None:
        notes += absent(classes, [one for one in good if one.split == "train"])
    title = root.resolve().name
    return Raw(title, parts, classes.names, preprocessing, True, [*pairs.skipped, *pairs.unused, *faults], notes)


def check_parts(pairs: Pairs, training: bool = True) -> None:
    """Raises a ValueError if there is no pair, or no pair to train on."""
    if not pairs.parts:
        named = "; ".join(f"{path} {reason}" for path, reason in [*pairs.unused, *pairs.skipped][:3])
        raise ValueError(f"{pairs.origin} has no image with a mask: {named or 'the lists of the splits name none'}.")
    if training and "train" not in pairs.parts:
        raise ValueError(f"{pairs.origin} has no training images, only those of {' and '.join(pairs.parts)}.")


def absent(classes: Classes, train: Sequence[Seen]) -> list[str]:
    """A note if no training mask shows some of the classes."""
    total = sum((classes.count(one.pixels) for one in train if one.pixels is not None), 0)
    lacking = [name for name, pixels in zip(classes.names, np.atleast_1d(total), strict=False) if not pixels]
    return [f"no training mask has a pixel of {counted(len(lacking), 'class')}: {some(lacking)}"] if lacking else []


def _part(good: Sequence[Seen], classes: Classes, preprocessing: Preprocessing, keep: bool) -> Part:
    if not keep:
        return Part([one.image for one in good], Masks([one.mask for one in good], len(classes.names), classes.binary))
    images = np.empty((len(good), *preprocessing.size, preprocessing.channels), np.uint8)
    masks = np.empty((len(good), *preprocessing.size), np.uint8)
    for index, one in enumerate(good):
        if one.input:
            images[index], masks[index] = one.input
    if classes.binary:
        masks[masks == VOID] = 1
    return Part(images, Masks(masks, len(classes.names)))

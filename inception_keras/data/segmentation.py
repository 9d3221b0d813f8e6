"""Images with masks, from a folder or from the generator of scenes, before they are split and normalised."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..checks import got
from .formats import Raw, Wanted
from .preprocessing import Preprocessing
from .scenes import SCENE_SIZE, scenes
from .splits import Part
from .targets import Masks

_SCENES = {"train": 1, "validation": 8, "test": 4}  # there is one scene for so many training scenes
_COUNT = 2000  # training scenes


def with_masks(
    name: str | None, folder: Path | None, wanted: Wanted, count: int | None, max_unreadable: float, keep: bool
) -> Raw:
    """The images and masks of a folder, or of `"scenes"`.

    Raises:
        ValueError: If the data have no masks, or for the reasons that `load_data` raises it.
        OSError: If a file or folder cannot be read.
    """
    if folder is not None:
        raise NotImplementedError
    if name != "scenes":
        raise ValueError(f"{name} has labels and no masks: for task='segmentation', give 'scenes' or a data_dir.")
    return _scenes(wanted, _COUNT if count is None else count)


def refuse_labels(**options: Any) -> None:
    """Raises a ValueError if an option that is set needs a label for each image."""
    for name, value in options.items():
        if value not in (None, False, 0, "natural"):
            raise ValueError(f"{name} needs images that have one label each, got {name}={got(value)} and masks.")


def _scenes(wanted: Wanted, count: int) -> Raw:
    if isinstance(wanted, Preprocessing):
        preprocessing = replace(wanted, resize=None)
        if wanted.channels != 3:
            raise ValueError(f"Scenes have 3 channels, the preprocessing is for {wanted.channels}.")
    else:
        preprocessing = Preprocessing(wanted or (SCENE_SIZE, SCENE_SIZE))
    parts = {}
    for split, fraction in _SCENES.items():
        made = scenes(-(-count // fraction), size=preprocessing.size, split=split)
        parts[split] = Part(made.images, Masks(made.masks, len(made.class_names)))
    return Raw("scenes", parts, made.class_names, preprocessing, flip=True, skipped=[])

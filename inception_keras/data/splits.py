"""Images with their targets, and how test and validation sets are split off."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from ..checks import counted
from .targets import Labels, Targets

TEST_SHARE = 0.2  # share of the images that becomes the test set, if the data have none


@dataclass(frozen=True)
class Part:
    """The images of a split, uint8 (n, h, w, c) or n files, with the targets of each."""

    images: np.ndarray | Sequence[Any]
    targets: Targets
    jpeg: np.ndarray | None = None  # int32 (n, 2): height and width of upright JPEG files, 0 for other files

    def __post_init__(self) -> None:
        self.targets.check(self.images)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def labels(self) -> np.ndarray:
        """The class index of each image, int32 (n,).

        Raises:
            TypeError: If the targets are no labels.
        """
        if not isinstance(self.targets, Labels):
            raise TypeError(f"Images with {type(self.targets).__name__.lower()} have no labels.")
        return self.targets.values

    def take(self, which: np.ndarray) -> "Part":
        """The images at these indices."""
        images = self.images[which] if isinstance(self.images, np.ndarray) else [self.images[i] for i in which]
        return Part(images, self.targets.take(which), None if self.jpeg is None else self.jpeg[which])


def complete(parts: dict[str, Part], origin: str, validation: float = 0.1, seed: int = 0) -> dict[str, Part]:
    """Returns `train`, `validation` and `test`; missing ones are split off `train`, the test set first.

    Raises:
        ValueError: If there are too few images.
    """
    parts = dict(parts)
    for name, share in (("test", TEST_SHARE), ("validation", validation)):
        if name not in parts and len(parts["train"]):
            parts["train"], parts[name] = _cut(parts["train"], share, seed)
    if not all(len(parts.get(name, ())) for name in ("train", "validation", "test")):
        whole = counted(sum(map(len, parts.values())), "image")
        raise ValueError(f"{origin} has {whole}, too few for a training, a validation and a test set.")
    return {name: parts[name] for name in ("train", "validation", "test")}


def _cut(part: Part, share: float, seed: int) -> tuple[Part, Part]:
    """Splits off the same share of the images of every class. At least one image of each class remains."""
    groups = part.targets.groups
    counts = np.bincount(groups)
    quota = share * counts
    taken = np.floor(quota).astype(int)
    missing = ceil(share * len(part) - 1e-9) - taken.sum()
    by_remainder = np.argsort(taken - quota, kind="stable")
    for label in [label for label in by_remainder if taken[label] < counts[label] - 1][:missing]:
        taken[label] += 1

    random = np.random.default_rng(seed)
    order = [random.permutation(np.flatnonzero(groups == label)) for label in range(len(counts))]
    cut = np.concatenate([indices[:n] for indices, n in zip(order, taken, strict=True)])
    rest = np.concatenate([indices[n:] for indices, n in zip(order, taken, strict=True)])
    return part.take(np.sort(rest)), part.take(np.sort(cut))

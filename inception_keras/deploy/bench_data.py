"""Compares the speed of loading training images with torchvision: decode, random crop, flip, normalise."""

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from .bench import in_process, turn  # import nothing that loads TensorFlow, as in bench.py

if TYPE_CHECKING:
    from ..data.listing import Listing


@dataclass(frozen=True)
class DataSpeed:
    """Images per second of two input pipelines that read the same folder."""

    folder: Path
    images: int
    size: int  # height and width of the crops, pixels
    batch: int
    workers: int  # worker processes of torchvision's loader
    ours: float
    theirs: float
    ratio: float  # median of the ratios of all rounds; above 1 means that ours is faster


def bench_data(folder: str | Path, *, size: int = 224, batch: int = 32, workers: int = 2, rounds: int = 5) -> DataSpeed:
    """Compares our epochs over a folder of images by class with torchvision's.

    The reference is torchvision's ImageFolder with RandomResizedCrop, RandomHorizontalFlip, ToTensor and Normalize, in
    a DataLoader that keeps its workers between epochs. Ours is `load_data(augment="crop", flip=True)`. Its epochs
    follow each other without a pause, as in training, and TensorFlow's operations are deterministic. Each pipeline has
    its own process, and the two take turns. A turn has as many epochs as it takes to read at least 4,000 images.

    Args:
        folder: `DIR/class/*`, or `DIR/train/class/*`.
        size: Height and width of the crops in pixels.
        batch: Images per batch.
        workers: Worker processes of torchvision's loader.
        rounds: Number of turns of each pipeline.

    Raises:
        ValueError: If the folder has no images by class, or has an image that torchvision could not read.
        ImportError: If torch or torchvision is missing; the extra `bench` installs them.

    Examples:
        >>> bench_data("photos").ratio  # doctest: +SKIP
        1.5
    """
    from ..checks import check_count
    from ..data.preprocessing import Preprocessing

    check_count("rounds", rounds)
    if not find_spec("torchvision"):  # not imported, because some versions crash a process with TensorFlow
        raise ImportError("bench needs torch and torchvision: pip install 'inception_keras[bench]'.")
    folder = Path(folder)
    listing = _listed(folder)
    parts, skipped, _ = listing.read(Preprocessing((size, size), resize=size), 1.0, in_memory=False)
    if skipped:
        path, reason = skipped[0]
        raise ValueError(f"{path} {reason}; torchvision's loader would fail on it.")
    images = len(parts["train"])
    with (
        in_process(_our_epochs, folder, size, batch) as ours,
        in_process(_their_epochs, listing.origin, size, batch, workers) as theirs,
    ):
        pairs = [(turn(ours)[0], turn(theirs)[0]) for _ in range(rounds)]
    speeds = [images * _epochs(images) / statistics.median(seconds) for seconds in zip(*pairs, strict=True)]
    ratio = statistics.median(b / a for a, b in pairs)
    return DataSpeed(folder, images, size, batch, workers, speeds[0], speeds[1], ratio)


def _listed(folder: Path) -> "Listing":
    from ..data.folders import list_folder

    listing = list_folder(folder)
    if listing is None:
        raise ValueError(f"{folder} has no folder for each class of images.")
    return listing


def _our_epochs(folder: Path, size: int, batch: int) -> list[Callable]:
    import tensorflow as tf

    from ..data.pipeline import Batches
    from ..data.preprocessing import Preprocessing

    tf.config.experimental.enable_op_determinism()  # as in training
    preprocessing = Preprocessing((size, size), resize=size)
    parts, _, _ = _listed(folder).read(preprocessing, 1.0, in_memory=False)
    batches = Batches(parts["train"], preprocessing, batch, seed=0, augment="crop", flip=True)
    epochs = _epochs(len(parts["train"]))
    return [partial(_drain, batches.dataset(0, endless=True).take(epochs * len(batches)), 1)]


def _their_epochs(folder: Path, size: int, batch: int, workers: int) -> list[Callable]:
    import torch
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import Compose, Normalize, RandomHorizontalFlip, RandomResizedCrop, ToTensor

    torch.manual_seed(0)
    normalise = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    changes = Compose([RandomResizedCrop(size), RandomHorizontalFlip(), ToTensor(), normalise])
    images = ImageFolder(str(folder), changes)
    loader = DataLoader(images, batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
    return [partial(_drain, loader, _epochs(len(images)))]


def _epochs(images: int) -> int:
    return -(-4000 // images)


def _drain(batches: Iterator, times: int) -> None:
    for _ in range(times):
        for _ in batches:
            pass

"""Speed of the training images beside torchvision's: decode, random crop, mirror, normalise."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .bench import in_process, turn  # and nothing that imports TensorFlow, as there

if TYPE_CHECKING:
    from ..data.listing import Listing


@dataclass(frozen=True)
class DataSpeed:
    """Images a second that two pipelines make of one folder."""

    folder: Path
    images: int
    size: int  # height and width of what comes out, pixels
    batch: int
    workers: int  # processes of torchvision's loader
    ours: float
    theirs: float
    ratio: float  # median of the rounds' ratios, above 1 where ours is faster


def bench_data(folder: str | Path, *, size: int = 224, batch: int = 32, workers: int = 2, rounds: int = 5) -> DataSpeed:
    """Times epochs over a folder of images by class beside torchvision's.

    Theirs is ImageFolder with RandomResizedCrop, RandomHorizontalFlip, ToTensor and Normalize, in a DataLoader whose
    workers live on between epochs; ours is `load_data(augment="crop", flip=True)`, whose epochs follow one another as
    in training, with TensorFlow's operations deterministic. The two take turns in processes of their own; a turn has
    as many epochs as make 4,000 images.

    Args:
        folder: `DIR/class/*`, or `DIR/train/class/*`.
        size: Height and width of the crops in pixels.
        batch: Images a batch.
        workers: Processes of torchvision's loader.
        rounds: Turns of each.

    Raises:
        ValueError: If the folder holds no images by class, or one that torchvision would stumble over.
        ImportError: If torch or torchvision is missing: the extra `bench` brings them.

    Examples:
        >>> bench_data("photos").ratio  # doctest: +SKIP
        1.5
    """
    from ..blocks import check_count
    from ..data.preprocessing import Preprocessing

    check_count("rounds", rounds)
    if not find_spec("torchvision"):  # not imported: some versions end a process that has TensorFlow
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

    tf.config.experimental.enable_op_determinism()  # as training does
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


def _drain(batches: Any, times: int) -> None:
    for _ in range(times):
        for _ in batches:
            pass

"""Data sets by name or from a folder, ready to train on."""

import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..checks import check_bool, check_choice, check_count, check_number, check_path, check_text, check_type, got
from .augment import KINDS
from .listing import Skipped
from .names import NAMES
from .parts import Part, complete
from .pipeline import SAMPLINGS, Batches
from .preprocessing import LARGEST, Preprocessing
from .recognise import UNDERSTOOD, Raw, Wanted, from_folder, in_memory
from .unreadable import Unreadable

_ALPHA = 1e4  # above the alphas of mixup and cutmix that make sense: Beta(1e4, 1e4) is a half, give or take 0.004


@dataclass(frozen=True)
class Data:
    """A data set as three pipelines of batches, `train`, `validation` and `test`.

    A batch is float32 images (n, h, w, c) with int32 labels (n,), or float32 (n, classes) if one-hot.
    """

    name: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    counts: dict[str, int]  # images in train, validation and test
    preprocessing: Preprocessing  # makes of a photograph what the pipelines make of their images; by default -1 to 1
    skipped: Skipped  # files that could not be read, and why; it grows where some become unreadable
    batches: dict[str, Batches] = field(repr=False)  # how each part becomes batches
    notes: tuple[str, ...] = ()  # what else of a folder is not used, such as test images without classes

    @cached_property
    def train(self) -> tf.data.Dataset:
        """`epoch(0)`, `epoch(1)` ...: the next each time that it is iterated."""
        return self.batches["train"].dataset(None)

    @cached_property
    def validation(self) -> tf.data.Dataset:
        """The images that tell how well the net learns."""
        return self.part("validation")

    @cached_property
    def test(self) -> tf.data.Dataset:
        """The images that tell how well it has learnt."""
        return self.part("test")

    def epoch(self, number: int, skip: int = 0, shard: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """The training batches of one epoch, a function of the seed and the epoch's number alone.

        Args:
            number: Of the epoch, from 0.
            skip: Batches at the beginning that are left out; their images are not decoded.
            shard: (index, count): of each batch the images of worker `index` of `count`. The shares of all workers,
                one after the other, are the whole batch. Where the last batch has fewer images than there are
                workers, a share may be empty.

        Returns:
            A dataset of a known length.

        Raises:
            ValueError: If there is no such batch or worker.

        Examples:
            >>> data = load_data("digits", batch_size=32)
            >>> len(data.epoch(3)), len(data.epoch(3, skip=40))
            (41, 1)
            >>> images, labels = next(iter(data.epoch(3, shard=(0, 2))))
            >>> len(images)
            16
        """
        return self.batches["train"].dataset(number, skip, shard)

    def epochs(self, number: int = 0, skip: int = 0, shard: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """The training batches of this epoch and of all that follow, without end and without a pause between them.

        Args:
            number: As for `epoch`.
            skip: Batches at the beginning of the first epoch that are left out.
            shard: As for `epoch`.

        Returns:
            A dataset without end.

        Raises:
            ValueError: If there is no such batch or worker.

        Examples:
            >>> data = load_data("digits", batch_size=32)
            >>> two = data.epochs(3).take(2 * len(data.epoch(3)))
            >>> sum(len(labels) for _, labels in two)
            2586
        """
        return self.batches["train"].dataset(number, skip, shard, endless=True)

    def check(self) -> None:
        """Raises a ValueError with the files, if more than `max_bad` of a part have become unreadable.

        A pipeline fails on them with an error of TensorFlow, which holds this one and a traceback.

        Examples:
            >>> load_data("digits").check()
        """
        for batches in self.batches.values():
            if batches.unreadable:
                batches.unreadable.check()

    def part(self, name: str, shard: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """A part in the order of its images, without augmentation, or a worker's share of each of its batches.

        Args:
            name: `"train"`, `"validation"` or `"test"`.
            shard: As for `epoch`.

        Returns:
            A dataset of a known length.

        Raises:
            ValueError: If there is no such part or worker.

        Examples:
            >>> data = load_data("digits")
            >>> sum(len(labels) for index in range(3) for _, labels in data.part("validation", (index, 3)))
            144
        """
        check_choice("name", name, tuple(self.batches))
        return replace(self.batches[name], seed=None).dataset(shard=shard)


def load_data(
    name: str | None = "digits",
    *,
    data_dir: str | Path | None = None,
    image_size: Any = None,
    batch_size: int = 64,
    validation: float = 0.1,
    seed: int = 0,
    augment: str | bool = "shift",
    flip: bool | None = None,
    sampling: str = "natural",
    mixup: float = 0.0,
    cutmix: float = 0.0,
    one_hot: bool = False,
    label: str | None = None,
    max_bad: float = 0.1,
    preprocessing: Preprocessing | None = None,
) -> Data:
    """Loads a data set, splits it, and makes batches of it.

    The format of `data_dir` is recognised: IDX files as MNIST names them, gzipped or not; the archives of CIFAR-10 and
    CIFAR-100 or the files in them, binary or in Python's form; a .npz file as Keras keeps its sets, with `x_train` and
    `y_train`; TFRecord shards; CSV files of paths or ids and labels; or a folder of images by class, `DIR/class`, or
    `DIR/train/class` with folders for validation and test beside it. A class has all images in its folder and below.
    Splits are known by name, in any case: train, training; val, valid, validation, dev; test, testing; with _set
    after it or without. Classes are in one order in every format: by value if all are numbers, else by text. Nothing
    in a file is ever run.

    Encoded images are JPEG, PNG, GIF, BMP, WebP or TIFF; they become RGB, are turned upright, and are resized to cover
    `image_size` and cropped at the centre. An image that cannot be used is left out and listed in `skipped`. What else
    of a folder is not used, such as test images without classes, is told by a warning and in `notes`.

    A test set that is given is kept; else a fifth of each class is cut off. A validation set is then cut off the rest.
    Equal seeds give equal splits, and equal batches epoch by epoch.

    Args:
        name: `"digits"` (scikit-learn's 1,797 scans, read offline), `"mnist"`, `"fashion_mnist"`, `"cifar10"` or
            `"cifar100"`, which are downloaded. With `data_dir` it may be None, and chooses where a folder holds
            several sets; `"fashion_mnist"` gives IDX files their class names.
        data_dir: A folder to read in place of a download.
        image_size: Pixels of a side, or (height, width); None keeps the images' own, but 32 x 32 for digits and
            224 x 224 for encoded images.
        batch_size: Images in a batch.
        validation: Share of the training images that is cut off for validation, between 0 and 1.
        seed: Of splits, order and augmentation.
        augment: What is done to training images: `"none"`; `"shift"`, by up to an eighth of their sides; or `"crop"`: a
            part of the image, of 8 to 100 % of its area and an aspect of 3/4 to 4/3, is resized to `image_size`, as
            torchvision's RandomResizedCrop does it. Then files are decoded in each epoch, the crop alone where they
            are JPEGs. True is `"shift"`, False `"none"`.
        flip: Whether half of the training images are mirrored; None mirrors where there is augmentation, and the
            images are not of digits.
        sampling: Which training images an epoch has. `"natural"`: each of them once. `"balanced"`: as many images, but
            every class equally often, give or take one image. Images of a rare class are then repeated, and none is
            shown again before every other image of its class was shown; of a frequent class each epoch has a random
            part. It is a function of the seed and the number of the epoch.
        mixup: alpha of mixup (Zhang et al., 2018): every image of a batch is mixed with the next by a share of
            Beta(alpha, alpha), and so are their labels, which are one-hot then. 0 is none.
        cutmix: alpha of cutmix (Yun et al., 2019): a rectangle of the next image is laid over every image of a batch.
            If both are above 0, each batch has one of the two by chance.
        one_hot: Labels of all parts are float32 (n, classes).
        label: The column of a CSV file that has the labels, if several could.
        max_bad: Share of the encoded images that may be unreadable, from 0 to 1; and of each part's that may become
            so, or vanish, while batches are made: another image of the batch takes the place of one that does.
        preprocessing: What the images go through, such as `preprocessing("squeezenet1_1")` for that net's weights, and
            their size if `image_size` is None; grey images become RGB for it. None gives pixels from -1 to 1.

    Returns:
        Pipelines of a known length, class names, shapes, counts and the preprocessing.

    Raises:
        ValueError: If an option, a format or a file is not one that is understood, or too many images cannot be read;
            the sentence names it.
        OSError: If a file or folder cannot be read: FileNotFoundError if there is none.
        ConnectionError: If a download fails; the sentence names what `data_dir` may hold instead.

    Examples:
        >>> data = load_data("digits", batch_size=32)
        >>> data.counts
        {'train': 1293, 'validation': 144, 'test': 360}
        >>> images, labels = next(iter(data.train))
        >>> images.shape
        TensorShape([32, 32, 32, 1])
    """
    if name is None and data_dir is None:
        raise ValueError(f"load_data needs a name, one of {', '.join(NAMES)}, or a data_dir (--data, --data-dir).")
    if name is not None:
        check_choice("name", name, tuple(NAMES))
    folder = None if data_dir is None else check_path("data_dir", data_dir)
    if isinstance(validation, bool) or not isinstance(validation, float) or not 0 < validation < 1:
        raise ValueError(f"validation must be a share between 0 and 1, got {got(validation)}.")
    if isinstance(max_bad, bool) or not isinstance(max_bad, (int, float)) or not 0 <= max_bad <= 1:
        raise ValueError(f"max_bad must be a share from 0 to 1, got {got(max_bad)}.")
    check_count("batch_size", batch_size, most=2**31 - 1)
    check_count("seed", seed, least=0, most=2**63 - 1)
    one_hot = check_bool("one_hot", one_hot)
    if label is not None:
        check_text("label", label)
    if preprocessing is not None:
        check_type("preprocessing", preprocessing, Preprocessing, "a Preprocessing, such as preprocessing('resnet50')")
    changes = _changes(augment, flip, mixup, cutmix) | {"sampling": check_choice("sampling", sampling, SAMPLINGS)}
    size = _size(image_size)
    wanted = preprocessing.resized(size) if preprocessing and size else preprocessing or size

    keep = changes["augment"] != "crop"  # what is resized already makes a poor crop
    raw = from_folder(folder, name, wanted, label, max_bad, keep) if folder else by_name(str(name), wanted)
    parts = complete(raw.parts, raw.name, validation, seed)
    classes = len(raw.class_names) if one_hot or mixup or cutmix else 0
    batches = {}
    for part, content in parts.items():
        unreadable = Unreadable(raw.skipped, len(content), max_bad)
        batches[part] = Batches(content, raw.preprocessing, batch_size, unreadable, classes)
    if changes["flip"] is None:
        changes["flip"] = raw.flip and changes["augment"] != "none"
    batches["train"] = replace(batches["train"], seed=int(seed), **changes)
    for note in raw.notes:
        warnings.warn(f"{note}.", stacklevel=2)
    return Data(
        name=raw.name,
        class_names=raw.class_names,
        image_shape=(*raw.preprocessing.size, raw.preprocessing.channels),
        counts={part: len(content) for part, content in parts.items()},
        preprocessing=raw.preprocessing,
        skipped=raw.skipped,
        batches=batches,
        notes=tuple(raw.notes),
    )


def _changes(augment: Any, flip: Any, mixup: Any, cutmix: Any) -> dict[str, Any]:
    """The options of augmentation, checked."""
    if isinstance(augment, bool):
        augment = "shift" if augment else "none"
    check_choice("augment", augment, KINDS)
    if flip is not None:
        flip = check_bool("flip", flip)
    alphas = {name: check_number(name, alpha, 0, _ALPHA) for name, alpha in (("mixup", mixup), ("cutmix", cutmix))}
    return {"augment": augment, "flip": flip, **alphas}


def _size(image_size: Any) -> tuple[int, int] | None:
    if image_size is None:
        return None
    sides = image_size if isinstance(image_size, (tuple, list)) else (image_size, image_size)
    if len(sides) != 2:
        raise ValueError(f"image_size must be an int or (height, width), got {got(image_size)}.")
    height, width = (check_count("image_size", side, most=LARGEST) for side in sides)
    return height, width


def by_name(name: str, wanted: Wanted) -> Raw:
    """A data set that scikit-learn has or Keras downloads."""
    check_choice("name", name, tuple(NAMES))
    if name == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
        return in_memory(name, name, {"train": Part(pixels, digits.target)}, None, wanted)
    try:
        train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises bare Exceptions, and ValueError where a download is not whole
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConnectionError(
            f"{name} could not be downloaded ({reason}); give a folder by --data-dir (data_dir=), "
            f"which may hold {UNDERSTOOD}."
        ) from None
    parts = {
        part: Part(images.reshape(*images.shape[:3], -1), labels)
        for part, (images, labels) in (("train", train), ("test", test))
    }
    return in_memory(name, name, parts, None, wanted)

"""Loads data sets by name or from a folder, ready for training."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..checks import (
    check_bool,
    check_choice,
    check_count,
    check_number,
    check_path,
    check_share,
    check_text,
    check_type,
    got,
    renamed,
    warn_of_old_name,
)
from .augment import KINDS
from .boxes import with_boxes
from .formats import UNDERSTOOD, Raw, Wanted, from_folder, in_memory
from .listing import Skipped
from .names import NAMES, check_name
from .pipeline import SAMPLINGS, Batches
from .preprocessing import LARGEST, Preprocessing
from .segmentation import TASKS, refuse_labels, with_masks
from .splits import Part, complete
from .targets import Labels
from .unreadable import Unreadable

_ALPHA = 1e4  # larger alphas of mixup and cutmix make no sense: Beta(1e4, 1e4) is already 0.5 with a deviation of 0.004


@dataclass(frozen=True)
class Data:
    """A data set as three pipelines of batches, `train`, `validation` and `test`.

    A batch is float32 images (n, h, w, c) with int32 labels (n,), or float32 (n, classes) if one-hot. For segmentation,
    it is images with masks, uint8 (n, h, w): an index of `class_names` for each pixel, or 255 for void. For detection,
    it is images with a dict of their objects, padded to the largest number in the batch: "boxes", float32 (n, most, 4)
    with x1, y1, x2 and y2 in pixels of the input; "classes", int32 (n, most), -1 for the padding; "difficult", bool
    (n, most); and "dropped", int32 (n,), how many objects the input does not show.
    """

    name: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    counts: dict[str, int]  # images in train, validation and test
    preprocessing: Preprocessing  # turns a photograph into an input, as the pipelines do; by default -1 to 1
    skipped: Skipped  # unreadable files with the reasons; grows if files become unreadable later
    batches: dict[str, Batches] = field(repr=False)  # the settings of each split's batches
    notes: tuple[str, ...] = ()  # data that are not used, such as test images without classes

    @cached_property
    def train(self) -> tf.data.Dataset:
        """The training batches: `epoch(0)` in the first iteration, `epoch(1)` in the second, and so on."""
        return self.batches["train"].dataset(None)

    @cached_property
    def validation(self) -> tf.data.Dataset:
        """The validation batches, which measure the net during training."""
        return self.split("validation")

    @cached_property
    def test(self) -> tf.data.Dataset:
        """The test batches, which measure the net after training."""
        return self.split("test")

    def epoch(self, number: int, skip: int = 0, shard: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """The training batches of one epoch. They depend only on the seed and the epoch's number.

        Args:
            number: The epoch's number, counted from 0.
            skip: Number of batches to leave out at the beginning; their images are not decoded.
            shard: (index, count) gives worker `index` of `count` its share of each batch. The shares of all workers in
                order are the whole batch. A share of the last batch may be empty if it has fewer images than there are
                workers.

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
        """The training batches of this and all later epochs, without end and without a pause between epochs.

        Args:
            number: As for `epoch`.
            skip: Number of batches to leave out at the beginning of the first epoch.
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
        """Raises a ValueError that lists the files if too many images of a split have become unreadable.

        `max_unreadable` is the largest share allowed. The pipeline itself fails with a TensorFlow error that contains
        this error and a traceback.

        Examples:
            >>> load_data("digits").check()
        """
        for batches in self.batches.values():
            if batches.unreadable:
                batches.unreadable.check()

    def split(self, name: str, shard: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """The batches of a split, or a worker's share of each, in the stored order and without augmentation.

        Args:
            name: `"train"`, `"validation"` or `"test"`.
            shard: As for `epoch`.

        Returns:
            A dataset of a known length.

        Raises:
            ValueError: If there is no such split or worker.

        Examples:
            >>> data = load_data("digits")
            >>> sum(len(labels) for index in range(3) for _, labels in data.split("validation", (index, 3)))
            144
        """
        check_choice("name", name, tuple(self.batches))
        return replace(self.batches[name], seed=None).dataset(shard=shard)

    def part(self, name: str, shard: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """The old name of `split`."""
        warn_of_old_name("Data.part", "Data.split")
        return self.split(name, shard)


@renamed(max_bad="max_unreadable")
def load_data(
    name: str | None = "digits",
    *,
    task: str = "classification",
    data_dir: str | Path | None = None,
    image_size: int | tuple[int, int] | None = None,
    batch_size: int = 64,
    validation: float = 0.1,
    seed: int = 0,
    augment: str | bool = "shift",
    flip: bool | None = None,
    sampling: str = "natural",
    mixup: float = 0.0,
    cutmix: float = 0.0,
    one_hot: bool = False,
    train_sizes: Sequence[int] = (),
    label: str | None = None,
    count: int | None = None,
    own_size: bool = False,
    max_unreadable: float = 0.1,
    preprocessing: Preprocessing | None = None,
) -> Data:
    """Loads a data set, splits it into training, validation and test, and makes batches.

    The format of `data_dir` is recognised. It may hold IDX files as MNIST names them, gzipped or not; the archives of
    CIFAR-10 and CIFAR-100 or the files in them, in binary or Python form; a .npz file in Keras's layout, with `x_train`
    and `y_train`; TFRecord shards; CSV files with paths or ids and labels; or a folder of images by class, `DIR/class`,
    or `DIR/train/class` with folders for validation and test beside it. A class has all images in its folder and below.
    Splits are recognised by name, ignoring case: train, training; val, valid, validation, dev; test, testing; each with
    or without a suffix such as _set. Every format orders the classes the same way: by value if all are numbers, else as
    text. No code in a file is ever executed.

    Encoded images may be JPEG, PNG, GIF, BMP, WebP or TIFF. They are converted to RGB, turned upright, resized to cover
    `image_size` and cropped at the centre. An image that cannot be used is left out and listed in `skipped`. A warning
    and `notes` report other data that are not used, such as test images without classes.

    For segmentation, the folder holds images and masks: `images/7.jpg` and `masks/7.png`, with folders of splits in
    them or around them, or PASCAL VOC's folders. The values of a mask are class indices; 255 is void, unless all masks
    hold 0 and 255 only. `classes.txt` may name the classes. The guide tells which other names are understood.

    For detection, the folder holds images with boxes: XML files as PASCAL VOC has them, COCO's JSON files, or CSV files
    with lines of path, x1, y1, x2, y2 and label. The background is no class. Boxes are clipped to their image. Those
    that are empty or lie outside are left out and listed in `skipped`; an image without any objects is a good image.

    If the data have a test set, it is used; otherwise a fifth of the images of each class becomes the test set. If the
    data have no validation set, it is taken from the remaining training images. Equal seeds give equal splits, and
    equal batches in every epoch.

    Args:
        name: `"digits"` (scikit-learn's 1,797 scans, read offline), `"mnist"`, `"fashion_mnist"`, `"cifar10"` or
            `"cifar100"`, which are downloaded; for segmentation and detection `"scenes"`, which `scenes` generates.
            With `data_dir` it may be None. Otherwise it chooses among several sets in the folder, and `"fashion_mnist"`
            gives IDX files their class names.
        task: `"classification"`, `"segmentation"` for images with masks, or `"detection"` for images with boxes.
        data_dir: A folder to read instead of a download.
        image_size: Side length in pixels, or (height, width). None uses 32 x 32 for digits, 224 x 224 for encoded
            images, 96 x 96 for scenes, and the stored size for all others.
        batch_size: Images in a batch.
        validation: Share of the training images that becomes the validation set, between 0 and 1.
        seed: Seed of splits, order and augmentation.
        augment: Augmentation of the training images: `"none"`; `"shift"`, by up to an eighth of their sides; or
            `"crop"`, which resizes a random part of the image to `image_size`. As in torchvision's RandomResizedCrop,
            the part has 8 to 100 % of the area and an aspect ratio of 3/4 to 4/3. With `"crop"`, files are decoded anew
            in each epoch; of a JPEG, only the crop is decoded. True means `"shift"`, False means `"none"`.
        flip: Whether half of the training images are mirrored. None mirrors if there is augmentation and the images are
            not digits.
        sampling: Which training images an epoch has. `"natural"` has each image once. `"balanced"` has as many images
            in total, but equally many of each class, to within one image. Images of a rare class are repeated, but no
            image is repeated before every other image of its class was shown. Of a frequent class, each epoch has a
            random part. The choice depends only on the seed and the epoch's number.
        mixup: Alpha of mixup (Zhang et al., 2018). Every image of a batch is blended with the next image in a
            proportion drawn from Beta(alpha, alpha). The labels become one-hot and are blended the same way. 0 turns it
            off.
        cutmix: Alpha of CutMix (Yun et al., 2019). A rectangle of the next image is pasted into every image of a batch.
            0 turns it off. If both alphas are above 0, each batch uses one of the two, chosen at random.
        one_hot: Whether the labels of all splits are one-hot, float32 (n, classes).
        train_sizes: Sides in pixels that the training images are resized to, after all else: those of the first epoch
            to the first side, those of the second epoch to the second, and so on by turns. The net must take images of
            any size, as with spatial pyramid pooling. Empty leaves the training images as they are.
        label: The column of a CSV file that holds the labels, if more than one column could.
        count: Number of training scenes, 2,000 by default, for `"scenes"`. There are an eighth as many for validation
            and a fourth as many for the test.
        own_size: Keeps encoded images as files, though they are few enough to keep them in memory in the size of the
            input. A task can then look at them at their own size.
        max_unreadable: Largest share of the encoded images that may be unreadable, from 0 to 1. The same limit holds in
            each split for images that become unreadable or vanish while batches are made. Such an image is replaced by
            another image of the batch.
        preprocessing: How images are prepared, such as `preprocessing("squeezenet1_1")` for that net's weights. It also
            gives the size if `image_size` is None. If it has three channels, grey images become RGB. None scales pixels
            to -1 to 1.

    Returns:
        Pipelines of a known length, class names, shapes, counts and the preprocessing.

    Raises:
        ValueError: If an option, a format or a file is not valid, or too many images cannot be read. The message names
            it.
        OSError: If a file or folder cannot be read; FileNotFoundError if it does not exist.
        ConnectionError: If a download fails. The message names what `data_dir` may hold instead.

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
        check_name(name)
    check_choice("task", task, TASKS)
    folder = None if data_dir is None else check_path("data_dir", data_dir)
    if count is not None:
        check_count("count", count)
        if name != "scenes" or folder:
            raise ValueError(f"count is the number of scenes to generate, got count={count} for {folder or name}.")
    if isinstance(validation, bool) or not isinstance(validation, float) or not 0 < validation < 1:
        raise ValueError(f"validation must be a share between 0 and 1, got {got(validation)}.")
    max_unreadable = check_share("max_unreadable", max_unreadable)
    check_count("batch_size", batch_size, most=2**31 - 1)
    check_count("seed", seed, least=0, most=2**63 - 1)
    one_hot = check_bool("one_hot", one_hot)
    if label is not None:
        check_text("label", label)
    if preprocessing is not None:
        check_type("preprocessing", preprocessing, Preprocessing, "a Preprocessing, such as preprocessing('resnet50')")
    changes = _changes(augment, flip, mixup, cutmix) | {"sampling": check_choice("sampling", sampling, SAMPLINGS)}
    given: Sequence[int] = check_type("train_sizes", train_sizes, (tuple, list), "a list of ints")
    changes["sizes"] = tuple(check_count("a side of train_sizes", side, most=LARGEST) for side in given)
    size = _size(image_size)
    wanted = preprocessing.resized(size) if preprocessing and size else preprocessing or size

    # random crops are cut from the files: a resized image makes a poor crop
    keep = not check_bool("own_size", own_size) and changes["augment"] != "crop"
    labelled = {"one_hot": one_hot, "mixup": mixup, "cutmix": cutmix, "sampling": sampling}
    if task == "segmentation":
        refuse_labels("masks", label=label, **labelled)
        raw = with_masks(name, folder, wanted, max_unreadable, count=count, keep=keep)
    elif task == "detection":
        refuse_labels("boxes", **labelled)
        raw = with_boxes(name, folder, wanted, max_unreadable, count=count, keep=keep, label=label)
    elif folder:
        raw = from_folder(folder, name, wanted, label, max_unreadable, keep)
    else:
        raw = by_name(str(name), wanted)
    parts = complete(raw.parts, raw.name, validation, seed)
    classes = len(raw.class_names) if one_hot or mixup or cutmix else 0
    batches = {}
    for split, content in parts.items():
        unreadable = Unreadable(raw.skipped, len(content), max_unreadable)
        if isinstance(content.targets, Labels):
            content = replace(content, targets=Labels(content.labels, classes))
        batches[split] = Batches(content, raw.preprocessing, batch_size, unreadable)
    if changes["flip"] is None:
        changes["flip"] = raw.flip and changes["augment"] != "none"
    batches["train"] = replace(batches["train"], seed=int(seed), **changes)
    for note in raw.notes:
        warnings.warn(f"{note}.", stacklevel=3)
    return Data(
        name=raw.name,
        class_names=raw.class_names,
        image_shape=(*raw.preprocessing.size, raw.preprocessing.channels),
        counts={split: len(content) for split, content in parts.items()},
        preprocessing=raw.preprocessing,
        skipped=raw.skipped,
        batches=batches,
        notes=tuple(raw.notes),
    )


def _changes(augment: str | bool, flip: bool | None, mixup: float, cutmix: float) -> dict[str, Any]:
    """The checked options of augmentation."""
    if isinstance(augment, bool):
        augment = "shift" if augment else "none"
    check_choice("augment", augment, KINDS)
    if flip is not None:
        flip = check_bool("flip", flip)
    alphas = {name: check_number(name, alpha, 0, _ALPHA) for name, alpha in (("mixup", mixup), ("cutmix", cutmix))}
    return {"augment": augment, "flip": flip, **alphas}


def _size(image_size: int | tuple[int, int] | None) -> tuple[int, int] | None:
    if image_size is None:
        return None
    sides = image_size if isinstance(image_size, (tuple, list)) else (image_size, image_size)
    if len(sides) != 2:
        raise ValueError(f"image_size must be an int or (height, width), got {got(image_size)}.")
    height, width = (check_count("image_size", side, most=LARGEST) for side in sides)
    return height, width


def by_name(name: str, wanted: Wanted) -> Raw:
    """A data set that scikit-learn contains or Keras downloads."""
    if check_name(name) == "scenes":
        raise ValueError("scenes have masks and boxes, but no labels: give task='segmentation' or task='detection'.")
    if name == "digits":
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
        return in_memory(name, name, {"train": Part(pixels, Labels(digits.target))}, None, wanted)
    try:
        train, test = getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a bare Exception, or ValueError after an incomplete download
        reason = " ".join(str(error).split()).rstrip(".")
        raise ConnectionError(
            f"{name} could not be downloaded ({reason}); give a folder by --data-dir (data_dir=), "
            f"which may hold {UNDERSTOOD}."
        ) from None
    parts = {
        split: Part(images.reshape(*images.shape[:3], -1), Labels(labels))
        for split, (images, labels) in (("train", train), ("test", test))
    }
    return in_memory(name, name, parts, None, wanted)

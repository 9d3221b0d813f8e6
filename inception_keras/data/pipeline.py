"""A part of a data set as batches: shuffled, decoded, augmented, normalised."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, count
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ..blocks import check_count
from . import augment
from .augment import Draw
from .images import UnreadableImage, read_image
from .parts import Part
from .preprocessing import Preprocessing
from .unreadable import Unreadable

_AUTO = tf.data.AUTOTUNE
_CACHE = 2**29  # bytes of a validation or test set that are kept


@dataclass(frozen=True)
class Batches:
    """How a part becomes batches: pairs of float32 images (n, h, w, c) and int32 labels (n,).

    What is random is a function of the seed, the epoch's number and the batch's, so any batch can be made anew.
    """

    part: Part
    preprocessing: Preprocessing
    size: int  # images in a batch; there may be fewer in the last
    unreadable: Unreadable | None = None  # where files are written down that can be read no more
    classes: int = 0  # if above 0, labels are one-hot: float32 (n, classes)
    seed: int | None = None  # of order and augmentation; None keeps the order, and leaves the images as they are
    augment: str = "none"  # one of augment.KINDS
    flip: bool = False
    mixup: float = 0.0  # alphas, as in augment.mix; they need one-hot labels
    cutmix: float = 0.0

    def __len__(self) -> int:
        return -(-len(self.part) // self.size)

    def dataset(self, number: int | None = 0, skip: int = 0, shard: tuple[int, int] = (0, 1)) -> tf.data.Dataset:
        """The batches of an epoch.

        Args:
            number: Of the epoch, from 0; None makes the next epoch each time that the dataset is iterated.
            skip: Batches that are left out at the beginning.
            shard: (index, count): of each batch the share of one of several workers.
        """
        if number is not None:
            check_count("the number of an epoch", number, least=0)
        if not 0 <= check_count("skip", skip, least=0) <= len(self):
            raise ValueError(f"skip must be at most {len(self)}, the batches of an epoch, got {skip}.")
        index, workers = shard
        if not 0 <= check_count("the index of a shard", index, least=0) < check_count("the count of shards", workers):
            raise ValueError(f"The index of a shard must be below their count, {workers}, got {index}.")
        if workers > self.size:
            raise ValueError(f"A batch of {self.size} images cannot be shared by {workers} workers.")

        with tf.device("CPU:0"):  # where batches are made, also if there is a GPU
            plans = _numbers(number).flat_map(lambda number: self._plans(number, skip, shard))
            if isinstance(self.part.images, np.ndarray):
                dataset = plans.map(self._gather, _AUTO)
            else:
                slots = int(_first(self.size, index + 1, workers) - _first(self.size, index, workers)) + self._mixes
                dataset = self._decode(plans.flat_map(self._slots)).batch(slots)
                if not self._random and len(self.part) * prod(self._shape) <= _CACHE:
                    dataset = dataset.cache()
                dataset = dataset.map(self._batch, _AUTO)
        return dataset.apply(tf.data.experimental.assert_cardinality(len(self) - skip)).prefetch(_AUTO)

    # -- what is to be in a batch

    def _plans(self, number: Any, skip: int, shard: tuple[int, int]) -> tf.data.Dataset:
        """The plan of each batch of an epoch. Indices are shuffled, not images: 8 bytes an image."""
        order = tf.range(len(self.part), dtype=tf.int64)
        if self._random:
            order = tf.random.experimental.stateless_shuffle(
                order, tf.stack([tf.constant(self.seed, tf.int64), number])
            )

        def plan(step: Any) -> dict[str, Any]:
            batch = order[step * self.size : (step + 1) * self.size]
            whole = tf.size(batch, tf.int64)
            first, end = (_first(whole, index, shard[1]) for index in (shard[0], shard[0] + 1))
            key = tf.zeros(2, tf.int64) if self.seed is None else augment.key(self.seed, number, step)
            return {"batch": batch, "key": key, "first": first, "end": end}

        return tf.data.Dataset.range(skip, len(self)).map(plan)

    def _positions(self, plan: dict[str, Any]) -> Any:
        """Where in the batch the images of a worker are, and the one that his last is mixed with.

        There is one at least: a batch of files cannot be empty.
        """
        end = plan["end"] + 1 if self._mixes else tf.maximum(plan["end"], plan["first"] + 1)
        return tf.range(plan["first"], end) % tf.size(plan["batch"], tf.int64)

    def _slots(self, plan: dict[str, Any]) -> tf.data.Dataset:
        """One element for each image of a batch."""
        slots = {"position": self._positions(plan)}
        slots["chosen"] = tf.gather(plan["batch"], slots["position"])
        if self._crops:
            draw = augment.draw(plan["key"], tf.size(plan["batch"]), slots["position"])
            slots["crop"] = augment.crop_numbers(draw)
            slots["jpeg"] = tf.gather(self._jpegs, slots["chosen"])
            slots["window"] = augment.windows(slots["crop"], slots["jpeg"][:, 0], slots["jpeg"][:, 1])
        return tf.data.Dataset.from_tensor_slices(slots).map(lambda slot: plan | slot)

    # -- images of files

    def _decode(self, slots: tf.data.Dataset) -> tf.data.Dataset:
        """The slots with their images, uint8 of the final size."""
        if not self._crops:
            return slots.map(lambda slot: _filled(slot, *self._open(slot, self.preprocessing.fit, self._shape)), _AUTO)
        # TensorFlow decodes no more than the crop, but its errors end a dataset, and it knows neither EXIF nor CMYK:
        # what it may not or cannot decode is left to Pillow

        def decode(slot: dict[str, Any]) -> tf.data.Dataset:
            once = tf.data.Dataset.range(1)
            quick = once.filter(lambda _: slot["jpeg"][0] > 0).map(lambda _: self._quick(slot))
            return quick.ignore_errors().concatenate(once.map(lambda _: self._slow(slot))).take(1)

        return slots.interleave(decode, num_parallel_calls=_AUTO, deterministic=True)

    def _quick(self, slot: dict[str, Any]) -> dict[str, Any]:
        *size, channels = self._shape
        image = augment.jpeg_crop(self._content(slot["chosen"]), slot["window"], size, channels)
        # of less than twice the size, bilinear interpolation touches every pixel: it is a third of antialiasing's work
        return _filled(slot, resized(image, self.preprocessing, antialias=False), slot["chosen"])

    def _content(self, index: Any) -> Any:
        if self._paths is not None:
            return tf.io.read_file(self._paths[index])

        def read(index: int) -> bytes:
            with self.part.images[index].open("rb") as file:
                return file.read()

        return tf.ensure_shape(tf.numpy_function(read, [index], tf.string, stateful=False), ())

    def _slow(self, slot: dict[str, Any]) -> dict[str, Any]:
        image, index = self._open(slot, np.asarray, (None, None, self.preprocessing.channels))
        top, left, height, width = tf.unstack(augment.windows(slot["crop"], *tf.unstack(tf.shape(image)[:2])))
        return _filled(slot, resized(image[top : top + height, left : left + width], self.preprocessing), index)

    def _open(self, slot: dict[str, Any], make: Callable, shape: tuple[int | None, ...]) -> tuple[Any, Any]:
        """What `make` makes of an image, and its index; if it cannot be read, of the next of the batch that can."""

        def read(batch: np.ndarray, position: int) -> tuple[np.ndarray, np.int64]:
            others = ((batch[position] + i) % len(self.part) for i in range(len(self.part)))
            for index in chain(np.roll(batch, -position), others):  # the others, in case that the batch has none
                path = self.part.images[index]
                try:
                    image = make(read_image(path, self.preprocessing.channels))
                    return image.reshape(*image.shape[:2], self.preprocessing.channels), index
                except (UnreadableImage, OSError) as error:
                    if self.unreadable:
                        self.unreadable.add(path, error)
            raise ValueError(f"None of {len(self.part)} images can be read any more.")

        # "stateful" would mean that they are read one after the other where TensorFlow is to be deterministic
        arguments = [slot["batch"], slot["position"]]
        image, index = tf.numpy_function(read, arguments, [tf.uint8, tf.int64], stateful=False)
        return tf.ensure_shape(image, shape), tf.ensure_shape(index, ())

    # -- whole batches: a step for each image would cost more than its work

    def _gather(self, plan: dict[str, Any]) -> tuple[Any, Any]:
        """A batch of images in memory."""
        positions = self._positions(plan)
        chosen = tf.gather(plan["batch"], positions)
        images = resized(tf.gather(self._memory[0], chosen), self.preprocessing)
        draw = augment.draw(plan["key"], tf.size(plan["batch"]), positions)
        return self._finish(augment.crop(images, draw) if self._crops else images, chosen, draw, plan)

    def _batch(self, slots: dict[str, Any]) -> tuple[Any, Any]:
        """A batch of images from files."""
        plan = {name: slots[name][0] for name in ("key", "first", "end")}
        draw = augment.draw(plan["key"], slots["whole"][0], slots["position"])
        return self._finish(slots["image"], slots["chosen"], draw, plan)

    def _finish(self, images: Any, chosen: Any, draw: Draw, plan: dict[str, Any]) -> tuple[Any, Any]:
        if self._random and self.augment == "shift":
            images = augment.shift(images, draw)
        if self._random and self.flip:
            images = augment.flip(images, draw)
        images, labels = tf.cast(images, tf.float32), tf.gather(self._memory[1], chosen)
        if self.classes:
            labels = tf.one_hot(labels, self.classes)
        if self._mixes:
            images, labels = augment.mix(images, labels, plan["key"], self.mixup, self.cutmix)
        mine = plan["end"] - plan["first"]
        return self.preprocessing.normalise(tf.ensure_shape(images[:mine], (None, *self._shape))), labels[:mine]

    # --

    @cached_property
    def _memory(self) -> tuple[Any, Any]:
        """Images (or None, if they are files) and labels, as tensors that all epochs share."""
        with tf.init_scope(), tf.device("CPU:0"):
            in_memory = isinstance(self.part.images, np.ndarray)
            return tf.constant(self.part.images) if in_memory else None, tf.constant(self.part.labels)

    @cached_property
    def _paths(self) -> Any:
        """The names of the files; None if some are inside of others."""
        with tf.init_scope(), tf.device("CPU:0"):
            names = [str(source) for source in self.part.images if isinstance(source, Path)]
            return tf.constant(names) if len(names) == len(self.part) else None

    @cached_property
    def _jpegs(self) -> Any:
        """Height and width of the files that TensorFlow may decode, 0 of the others."""
        with tf.init_scope(), tf.device("CPU:0"):
            none = np.zeros((len(self.part), 2), np.int32)
            return tf.constant(none if self.part.jpeg is None else self.part.jpeg)

    @property
    def _shape(self) -> tuple[int, int, int]:
        return (*self.preprocessing.size, self.preprocessing.channels)

    @property
    def _random(self) -> bool:
        return self.seed is not None

    @property
    def _crops(self) -> bool:
        return self._random and self.augment == "crop"

    @property
    def _mixes(self) -> bool:
        return self._random and bool(self.mixup or self.cutmix)


def _numbers(number: int | None) -> tf.data.Dataset:
    """The number of the epoch; None counts the times that the dataset is iterated."""
    if number is not None:
        return tf.data.Dataset.from_tensors(tf.constant(number, tf.int64))
    times = count()

    def following(zero: Any) -> Any:
        # not "stateful": where TensorFlow is to be deterministic, nothing of such a dataset is done in parallel
        function = tf.numpy_function(lambda _: np.int64(next(times)), [zero], tf.int64, stateful=False)
        return tf.ensure_shape(function, ())

    return tf.data.Dataset.range(1).map(following)


def _first(count: Any, index: int, workers: int) -> Any:
    """Where the share of a worker begins; those of the first are greater by one, where they are not equal."""
    return count // workers * index + tf.minimum(tf.cast(count % workers, tf.int64), index)


def _filled(slot: dict[str, Any], image: Any, chosen: Any) -> dict[str, Any]:
    """What of a slot is still needed, with its image and the index of it."""
    kept = {name: slot[name] for name in ("position", "key", "first", "end")}
    return kept | {"image": image, "chosen": chosen, "whole": tf.size(slot["batch"])}


def resized(images: Any, preprocessing: Preprocessing, antialias: bool = True) -> Any:
    """uint8 images (..., h, w, c) of the size of `preprocessing`."""
    if tuple(images.shape[-3:-1]) == preprocessing.size:
        return images
    # rounded as Pillow does, so that a photograph and a batch are seen alike
    images = tf.image.resize(images, preprocessing.size, preprocessing.interpolation, antialias=antialias)
    return tf.saturate_cast(tf.round(images), tf.uint8)

"""A part of a data set as batches: shuffled, decoded, augmented, normalised."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, count
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ..checks import check_count, got
from . import augment
from .augment import Draw
from .images import UnreadableImage, read_image
from .parts import Part
from .preprocessing import Preprocessing
from .unreadable import Unreadable

_AUTO = tf.data.AUTOTUNE
SAMPLINGS = ("natural", "balanced")
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
    sampling: str = "natural"  # one of SAMPLINGS

    def __len__(self) -> int:
        return -(-len(self.part) // self.size)

    def dataset(
        self, number: int | None = 0, skip: int = 0, shard: tuple[int, int] = (0, 1), endless: bool = False
    ) -> tf.data.Dataset:
        """The batches of an epoch.

        Args:
            number: Of the epoch, from 0; None makes the next epoch each time that the dataset is iterated.
            skip: Batches that are left out at the beginning.
            shard: (index, count): of each batch the share of one of several workers.
            endless: Whether all epochs after this one follow; `skip` is of the first.
        """
        if number is not None:
            check_count("the number of an epoch", number, least=0)
        if not 0 <= check_count("skip", skip, least=0) <= len(self):
            raise ValueError(f"skip must be at most {len(self)}, the batches of an epoch, got {skip}.")
        if not isinstance(shard, (tuple, list)) or len(shard) != 2:
            raise ValueError(f"shard must be (index, count), got {got(shard)}.")
        index, workers = shard
        if not 0 <= check_count("the index of a shard", index, least=0) < check_count("the count of shards", workers):
            raise ValueError(f"The index of a shard must be below their count, {workers}, got {index}.")
        if workers > self.size:
            raise ValueError(f"A batch of {self.size} images cannot be shared by {workers} workers.")

        with tf.device("CPU:0"):  # where batches are made, also if there is a GPU
            dataset = self._images(_numbers(number, endless), skip, shard)
            if not self._in_memory and not self._random and len(self.part) * prod(self._shape) <= _CACHE:
                dataset = dataset.cache()
            dataset = dataset.map(self._finish, _AUTO)
        length = tf.data.INFINITE_CARDINALITY if endless else len(self) - skip
        return dataset.apply(tf.data.experimental.assert_cardinality(length)).prefetch(_AUTO)

    # -- what is to be in a batch

    def _order(self, number: Any) -> Any:
        """The indices of an epoch's images; they are shuffled, not images: 8 bytes an image."""
        order = tf.range(len(self.part), dtype=tf.int64)
        if not self._random:
            return order
        seed = tf.stack([tf.constant(self.seed, tf.int64), number])
        if self.sampling == "balanced":
            order = self._balanced(order, seed)
        return tf.random.experimental.stateless_shuffle(order, seed)

    def _balanced(self, order: Any, seed: Any) -> Any:
        """As many indices as there are images, with the same number of every class that has images, give or take one.

        The classes take turns, in a random order; at its turn a class gives its next image, and after its last image
        begins again with its first. So no image is repeated before every other image of its class was shown.
        """
        counts = np.bincount(self.part.labels)
        counts = counts[counts > 0]
        first = np.cumsum(counts) - counts
        shuffled = _shuffle(order, seed, -1)
        by_class = tf.gather(shuffled, tf.argsort(tf.gather(self._memory[1], shuffled), stable=True))
        turns = tf.gather(_shuffle(tf.range(len(counts), dtype=tf.int64), seed, -2), order % len(counts))
        return tf.gather(by_class, tf.gather(first, turns) + order // len(counts) % tf.gather(counts, turns))

    def _plan(self, order: Any, number: Any, step: Any, shard: tuple[int, int]) -> dict[str, Any]:
        start = step * self.size % len(self.part)  # no batch is empty, or `unbatch` would end the process
        batch = order[start : start + self.size]
        whole = tf.size(batch, tf.int64)
        first, end = (_first(whole, index, shard[1]) for index in (shard[0], shard[0] + 1))
        key = tf.zeros(2, tf.int64) if self.seed is None else augment.key(self.seed, number, step)
        return {"number": number, "step": step, "batch": batch, "key": key, "first": first, "end": end}

    def _positions(self, plan: dict[str, Any]) -> Any:
        """Where in the batch the images of a worker are, and the one that his last is mixed with.

        There is one at least: a batch of files cannot be empty.
        """
        end = plan["end"] + 1 if self._mixes else tf.maximum(plan["end"], plan["first"] + 1)
        return tf.range(plan["first"], end) % tf.size(plan["batch"], tf.int64)

    def _draw(self, plan: dict[str, Any]) -> Draw:
        return augment.draw(plan["key"], tf.size(plan["batch"]), self._positions(plan))

    # -- uint8 images of the final size, and their indices

    def _images(self, numbers: tf.data.Dataset, skip: int, shard: tuple[int, int]) -> tf.data.Dataset:
        """The plans of all epochs' batches with their images."""
        first = tf.constant(skip, tf.int64)

        def plans(count: int) -> tf.data.Dataset:
            def of_epoch(index: Any, number: Any) -> tf.data.Dataset:
                order, steps = self._order(number), tf.data.Dataset.range(tf.where(index == 0, first, 0), count)
                return steps.map(lambda step: self._plan(order, number, step, shard))

            return numbers.enumerate().flat_map(of_epoch)

        if self._in_memory:
            return plans(len(self)).map(self._gather, _AUTO)
        if not self._crops:
            return plans(len(self)).map(partial(self._each, self._slow), _AUTO)
        # TensorFlow decodes no more than the crop, but its errors end a dataset, and it knows neither EXIF nor CMYK:
        # what it may not or cannot decode is left to Pillow. A batch with an error is left out, and made anew when
        # the next is there; after the last one of an epoch comes one of no image
        black = tf.zeros((1, *self._shape), tf.uint8)

        def quick(plan: dict[str, Any]) -> dict[str, Any]:
            none = {"images": black, "chosen": tf.zeros(1, tf.int64)}
            return tf.cond(plan["step"] < len(self), lambda: self._each(self._quick, plan), lambda: plan | none)

        def with_missing(expected: Any, batch: dict[str, Any]) -> tuple[Any, Any]:
            end = batch["step"] + 1
            steps = tf.range(expected, tf.minimum(end, len(self)))
            if_one = partial(tf.cond, tf.size(steps) == 1)  # of many, copies of the images could fill the memory
            batch |= {
                "step": if_one(lambda: end - 1, lambda: tf.constant(-1, tf.int64)),
                "images": if_one(lambda: batch["images"], lambda: black),
            }
            shapes = {name: tf.concat([[tf.size(steps)], tf.shape(value)], 0) for name, value in batch.items()}
            expected = tf.where(end > len(self), tf.constant(0, tf.int64), end)  # then comes another epoch
            return expected, (steps, {name: tf.broadcast_to(value, shapes[name]) for name, value in batch.items()})

        def complete(step: Any, batch: dict[str, Any]) -> dict[str, Any]:
            def careful() -> dict[str, Any]:
                number = batch["number"]
                return self._each(self._careful, self._plan(self._order(number), number, step, shard))

            return tf.cond(batch["step"] == step, lambda: batch, careful)

        batches = plans(len(self) + 1).map(quick, _AUTO).ignore_errors()
        # not a flat_map: that takes a fourth of the speed
        return batches.scan(first, with_missing).unbatch().map(complete, _AUTO)

    def _gather(self, plan: dict[str, Any]) -> dict[str, Any]:
        """Of a part in memory."""
        chosen = tf.gather(plan["batch"], self._positions(plan))
        images = resized(tf.gather(self._memory[0], chosen), self.preprocessing)
        return plan | {"images": augment.crop(images, self._draw(plan)) if self._crops else images, "chosen": chosen}

    def _each(self, read: Callable[[dict[str, Any]], tuple[Any, Any]], plan: dict[str, Any]) -> dict[str, Any]:
        """What `read` makes of each image of a batch; in a loop, as an element of a data set costs half its work."""
        slots = {"position": self._positions(plan)}
        slots["chosen"] = tf.gather(plan["batch"], slots["position"])
        if self._crops:
            slots["crop"] = augment.crop_numbers(self._draw(plan))
            slots["jpeg"] = tf.gather(self._jpegs, slots["chosen"])
            slots["window"] = augment.windows(slots["crop"], slots["jpeg"][:, 0], slots["jpeg"][:, 1])
        kinds = tf.TensorSpec(self._shape, tf.uint8), tf.TensorSpec((), tf.int64)
        images, chosen = tf.map_fn(lambda slot: read(slot | {"batch": plan["batch"]}), slots, fn_output_signature=kinds)
        return plan | {"images": images, "chosen": chosen}

    def _quick(self, slot: dict[str, Any]) -> tuple[Any, Any]:
        """A crop by TensorFlow, of files that are as they were when they were listed."""

        def decode() -> tuple[Any, Any]:
            *size, channels = self._shape
            image = augment.jpeg_crop(self._content(slot["chosen"]), slot["window"], size, channels)
            # of less than twice the size, bilinear interpolation touches every pixel: a third of antialiasing's work
            return resized(image, self.preprocessing, antialias=False), slot["chosen"]

        return tf.cond(slot["jpeg"][0] > 0, decode, lambda: self._slow(slot))

    def _careful(self, slot: dict[str, Any]) -> tuple[Any, Any]:
        """The same, also of files that have changed."""
        once = tf.data.Dataset.from_tensors(slot)
        quick = once.map(self._quick).ignore_errors()
        return quick.concatenate(once.map(self._slow)).take(1).get_single_element()

    def _content(self, index: Any) -> Any:
        if self._paths is not None:
            return tf.io.read_file(self._paths[index])

        def read(index: int) -> bytes:
            with self.part.images[index].open("rb") as file:
                return file.read()

        return tf.ensure_shape(tf.numpy_function(read, [index], tf.string, stateful=False), ())

    def _slow(self, slot: dict[str, Any]) -> tuple[Any, Any]:
        """An image by Pillow, and its index; if it cannot be read, of the next of the batch that can."""

        @tf.autograph.experimental.do_not_convert
        def read(batch: np.ndarray, position: int, crop: np.ndarray | None = None) -> tuple[np.ndarray, np.int64]:
            others = ((batch[position] + i) % len(self.part) for i in range(len(self.part)))
            for index in chain(np.roll(batch, -position), others):  # the others, in case that the batch has none
                path = self.part.images[index]
                try:
                    image = read_image(path, self.preprocessing.channels)
                    window = None if crop is None else _window(crop, image.height, image.width).numpy()
                    return self.preprocessing.fit(image, window), index
                except (UnreadableImage, OSError) as error:
                    if self.unreadable:
                        self.unreadable.add(path, error)
            raise ValueError(f"None of {len(self.part)} images can be read any more.")

        arguments = [slot[name] for name in ("batch", "position", "crop") if name in slot]
        # "stateful" would mean that they are read one after the other where TensorFlow is to be deterministic
        image, index = tf.numpy_function(read, arguments, [tf.uint8, tf.int64], stateful=False)
        return tf.ensure_shape(image, self._shape), tf.ensure_shape(index, ())

    # -- batches

    def _finish(self, plan: dict[str, Any]) -> tuple[Any, Any]:
        """A worker's share of a batch, as the net gets it."""
        images, labels, draw = plan["images"], tf.gather(self._memory[1], plan["chosen"]), self._draw(plan)
        if self._random and self.augment == "shift":
            images = augment.shift(images, draw)
        if self._random and self.flip:
            images = augment.flip(images, draw)
        images = tf.cast(images, tf.float32)
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
            return tf.constant(self.part.images) if self._in_memory else None, tf.constant(self.part.labels)

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
    def _in_memory(self) -> bool:
        return isinstance(self.part.images, np.ndarray)

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


def _shuffle(values: Any, seed: Any, purpose: int) -> Any:
    """Values in a random order, which is another for each (negative) purpose."""
    folded = tf.random.experimental.stateless_fold_in(seed, tf.constant(purpose, tf.int64))
    return tf.random.experimental.stateless_shuffle(values, folded)


def _numbers(number: int | None, endless: bool) -> tf.data.Dataset:
    """The numbers of the epochs; None counts the times that the dataset is iterated."""
    if number is not None:
        return tf.data.Dataset.range(number, np.iinfo(np.int64).max if endless else number + 1)
    times = count()

    def following(zero: Any) -> Any:
        # not "stateful": where TensorFlow is to be deterministic, nothing of such a dataset is done in parallel
        function = tf.numpy_function(lambda _: np.int64(next(times)), [zero], tf.int64, stateful=False)
        return tf.ensure_shape(function, ())

    return tf.data.Dataset.range(1).map(following)


def _first(count: Any, index: int, workers: int) -> Any:
    """Where the share of a worker begins; those of the first are greater by one, where they are not equal."""
    return count // workers * index + tf.minimum(tf.cast(count % workers, tf.int64), index)


_INT = tf.TensorSpec((), tf.int32)


@tf.function(input_signature=[tf.TensorSpec((augment.TRIES, 4)), _INT, _INT])
def _window(numbers: Any, height: Any, width: Any) -> Any:
    return augment.windows(numbers, height, width)


def resized(images: Any, preprocessing: Preprocessing, antialias: bool = True) -> Any:
    """uint8 images (..., h, w, c) of the size of `preprocessing`."""
    if tuple(images.shape[-3:-1]) == preprocessing.size:
        return images
    # rounded as Pillow does, so that a photograph and a batch are seen alike
    images = tf.image.resize(images, preprocessing.size, preprocessing.interpolation, antialias=antialias)
    return tf.saturate_cast(tf.round(images), tf.uint8)

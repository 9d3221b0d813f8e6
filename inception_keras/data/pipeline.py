"""Turns a split of a data set into batches: shuffles, decodes, augments and normalises."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import chain, count
from math import prod
from pathlib import Path
from typing import cast

import numpy as np
import tensorflow as tf

from ..checks import check_count, got
from . import augment
from .augment import Draw
from .images import Source, UnreadableImage, read_image
from .preprocessing import Preprocessing, window_of
from .splits import Part
from .targets import Labels
from .unreadable import Unreadable

Tensors = dict[str, tf.Tensor]
_AUTO = tf.data.AUTOTUNE
SAMPLINGS = ("natural", "balanced")
_CACHE = 2**29  # bytes of a validation or test set that may be cached


@dataclass(frozen=True)
class Batches:
    """How a split becomes batches: pairs of float32 images (n, h, w, c) and targets, such as int32 labels (n,).

    All randomness depends only on the seed, the epoch's number and the batch's number, so any batch can be made again.
    """

    part: Part
    preprocessing: Preprocessing
    size: int  # images in a batch; the last batch may have fewer
    unreadable: Unreadable | None = None  # records files that become unreadable
    seed: int | None = None  # seed of order and augmentation; None keeps the stored order and does not augment
    augment: str = "none"  # one of augment.KINDS
    flip: bool = False
    mixup: float = 0.0  # alphas, as in augment.mix; mixing needs one-hot labels
    cutmix: float = 0.0
    sampling: str = "natural"  # one of SAMPLINGS
    sizes: tuple[int, ...] = ()  # sides that random batches are resized to, a side for each epoch by turns

    def __post_init__(self) -> None:
        wanted = {"mixup": self.mixup, "cutmix": self.cutmix, "balanced": self.sampling, "train_sizes": self.sizes}
        names = [name for name, value in wanted.items() if value not in (0, "natural", ())]
        if names and not isinstance(self.part.targets, Labels):
            kind = type(self.part.targets).__name__.lower()
            raise ValueError(f"{names[0]} needs images that have one label each, got {kind}.")

    def __len__(self) -> int:
        return -(-len(self.part) // self.size)

    @tf.autograph.experimental.do_not_convert  # no tensor decides a Python branch; the conversion would take a second
    def dataset(
        self, number: int | None = 0, skip: int = 0, shard: tuple[int, int] = (0, 1), endless: bool = False
    ) -> tf.data.Dataset:
        """The batches of an epoch.

        Args:
            number: The epoch's number, counted from 0. None gives the next epoch each time the dataset is iterated.
            skip: Number of batches to leave out at the beginning.
            shard: (index, count) gives worker `index` of `count` its share of each batch.
            endless: Whether all later epochs follow this one. `skip` concerns the first epoch only.
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

        with tf.device("CPU:0"):  # batches are made on the CPU even if there is a GPU
            dataset = self._images(_numbers(number, endless), skip, shard)
            if not self._in_memory and not self._random and len(self.part) * prod(self._shape) <= _CACHE:
                dataset = dataset.cache()
            dataset = dataset.map(self._finish, _AUTO)
        length = tf.data.INFINITE_CARDINALITY if endless else len(self) - skip
        return dataset.apply(tf.data.experimental.assert_cardinality(length)).prefetch(_AUTO)

    def first(self) -> tuple[tf.Tensor, tf.Tensor | Tensors]:
        """The first batch in the stored order. Without a dataset this takes a tenth of the time."""
        plain, zero = replace(self, seed=None), tf.constant(0, tf.int64)
        with tf.device("CPU:0"):
            plan = plain._plan(plain._order(zero), zero, zero, (0, 1))
            return plain._finish(plain._gather(plan) if self._in_memory else plain._each(plain._slow, plan))

    # -- which images are in a batch

    def _order(self, number: tf.Tensor) -> tf.Tensor:
        """The indices of an epoch's images. Indices are shuffled rather than images, as they take only 8 bytes each."""
        order = tf.range(len(self.part), dtype=tf.int64)
        if not self._random:
            return order
        seed = tf.stack([tf.constant(self.seed, tf.int64), number])
        if self.sampling == "balanced":
            order = self._balanced(order, seed)
        return tf.random.experimental.stateless_shuffle(order, seed)

    def _balanced(self, order: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """As many indices as there are images, with equally many of every class that has images, to within one.

        The classes take turns in a random order. At its turn, a class gives its next image; after its last image it
        starts again with its first. So no image is repeated before every other image of its class was shown.
        """
        labels = cast(Labels, self.part.targets).tensor
        counts = np.bincount(self.part.labels)
        counts = counts[counts > 0]
        first = np.cumsum(counts) - counts
        shuffled = _shuffle(order, seed, -1)
        by_class = tf.gather(shuffled, tf.argsort(tf.gather(labels, shuffled), stable=True))
        turns = tf.gather(_shuffle(tf.range(len(counts), dtype=tf.int64), seed, -2), order % len(counts))
        return tf.gather(by_class, tf.gather(first, turns) + order // len(counts) % tf.gather(counts, turns))

    def _plan(self, order: tf.Tensor, number: tf.Tensor, step: tf.Tensor, shard: tuple[int, int]) -> Tensors:
        start = step * self.size % len(self.part)  # never an empty batch: `unbatch` would crash the process
        batch = order[start : start + self.size]
        whole = tf.size(batch, tf.int64)
        first, end = (_first(whole, index, shard[1]) for index in (shard[0], shard[0] + 1))
        key = tf.zeros(2, tf.int64) if self.seed is None else augment.key(self.seed, number, step)
        return {"number": number, "step": step, "batch": batch, "key": key, "first": first, "end": end}

    def _positions(self, plan: Tensors) -> tf.Tensor:
        """Indices of this worker's images, plus the next image, which mixup pairs with the last one.

        There is at least one index, as a batch of files cannot be empty.
        """
        end = plan["end"] + 1 if self._mixes else tf.maximum(plan["end"], plan["first"] + 1)
        return tf.range(plan["first"], end) % tf.size(plan["batch"], tf.int64)

    def _draw(self, plan: Tensors) -> Draw:
        return augment.draw(plan["key"], tf.size(plan["batch"]), self._positions(plan))

    # -- uint8 images at the final size, and their indices

    def _images(self, numbers: tf.data.Dataset, skip: int, shard: tuple[int, int]) -> tf.data.Dataset:
        """The plans of the batches of all epochs, with their images."""
        first = tf.constant(skip, tf.int64)

        def plans(count: int) -> tf.data.Dataset:
            def of_epoch(index: tf.Tensor, number: tf.Tensor) -> tf.data.Dataset:
                order, steps = self._order(number), tf.data.Dataset.range(tf.where(index == 0, first, 0), count)
                return steps.map(lambda step: self._plan(order, number, step, shard))

            return numbers.enumerate().flat_map(of_epoch)

        if self._in_memory:
            return plans(len(self)).map(self._gather, _AUTO)
        if not self._crops or self._files is not None:
            return plans(len(self)).map(partial(self._each, self._slow), _AUTO)
        # TensorFlow can decode only the crop, which is fast. But its errors end a dataset, and it supports neither
        # EXIF nor CMYK, so Pillow decodes the other images. A batch with an error is dropped, and made again when the
        # next batch arrives. An extra batch without images follows the last batch of an epoch, so that a dropped last
        # batch is noticed too
        black = tf.zeros((1, *self._shape), tf.uint8)

        def quick(plan: Tensors) -> Tensors:
            none = {"images": black, "chosen": tf.zeros(1, tf.int64), "windows": tf.zeros((1, 4))}
            return tf.cond(plan["step"] < len(self), lambda: self._all_quick(plan), lambda: plan | none)

        def with_missing(expected: tf.Tensor, batch: Tensors) -> tuple[tf.Tensor, tuple[tf.Tensor, Tensors]]:
            end = batch["step"] + 1
            steps = tf.range(expected, tf.minimum(end, len(self)))
            if_one = partial(tf.cond, tf.size(steps) == 1)  # copies for several batches could fill the memory
            batch |= {
                "step": if_one(lambda: end - 1, lambda: tf.constant(-1, tf.int64)),
                "images": if_one(lambda: batch["images"], lambda: black),
            }
            shapes = {name: tf.concat([[tf.size(steps)], tf.shape(value)], 0) for name, value in batch.items()}
            expected = tf.where(end > len(self), tf.constant(0, tf.int64), end)  # the next batch begins another epoch
            return expected, (steps, {name: tf.broadcast_to(value, shapes[name]) for name, value in batch.items()})

        def complete(step: tf.Tensor, batch: Tensors) -> Tensors:
            def careful() -> Tensors:
                number = batch["number"]
                return self._all_careful(self._plan(self._order(number), number, step, shard))

            return tf.cond(batch["step"] == step, lambda: batch, careful)

        batches = plans(len(self) + 1).map(quick, _AUTO).ignore_errors()
        # flat_map would cost a fourth of the speed
        return batches.scan(first, with_missing).unbatch().map(complete, _AUTO)

    def _gather(self, plan: Tensors) -> Tensors:
        """The images of a batch, if the split is in memory."""
        chosen = tf.gather(plan["batch"], self._positions(plan))
        stored = tf.gather(self._memory, chosen)
        images, (height, width) = resized(stored, self.preprocessing), self.preprocessing.size
        windows = tf.tile([[0, 0, height, width]], (tf.size(chosen), 1))
        if self._crops:
            windows = augment.windows(augment.crop_numbers(self._draw(plan)), height, width)
            images = augment.crop(images, windows)
        scale = np.divide(stored.shape[1:3], (height, width), dtype=np.float32)
        return plan | {"images": images, "chosen": chosen, "windows": tf.cast(windows, tf.float32) * np.tile(scale, 2)}

    # traced once for all epochs and all workers' shares, as that takes half a second
    _all_quick = cached_property(lambda self: tf.function(partial(self._each, self._quick), autograph=False))
    _all_careful = cached_property(lambda self: tf.function(partial(self._each, self._careful), autograph=False))

    def _each(self, read: Callable[[Tensors], Tensors], plan: Tensors) -> Tensors:
        """Applies `read` to each image of a batch.

        The images are read in a loop: as elements of a dataset of their own, they would take twice the work.
        """
        slots = {"position": self._positions(plan)}
        slots["chosen"] = tf.gather(plan["batch"], slots["position"])
        if self._crops:
            slots["crop"] = augment.crop_numbers(self._draw(plan))
            slots["jpeg"] = tf.gather(self._jpegs, slots["chosen"])
            slots["window"] = augment.windows(slots["crop"], slots["jpeg"][:, 0], slots["jpeg"][:, 1])
        made = tf.map_fn(lambda slot: read(slot | {"batch": plan["batch"]}), slots, fn_output_signature=self._kinds)
        return plan | made

    def _quick(self, slot: Tensors) -> Tensors:
        """Lets TensorFlow decode a crop of a file that has not changed since it was listed."""

        def decode() -> Tensors:
            *size, channels = self._shape
            image, window = augment.jpeg_crop(self._content(slot["chosen"]), slot["window"], size, channels)
            # no antialiasing, which takes three times the work: the crop is less than twice the size, so bilinear
            # interpolation uses every pixel anyway
            image = resized(image, self.preprocessing, antialias=False)
            return {"images": image, "chosen": slot["chosen"], "windows": tf.cast(window, tf.float32)}

        return tf.cond(slot["jpeg"][0] > 0, decode, lambda: self._slow(slot))

    def _careful(self, slot: Tensors) -> Tensors:
        """As `_quick`, but falls back to Pillow for a file that TensorFlow cannot decode, as it may have changed."""
        once = tf.data.Dataset.from_tensors(slot)
        quick = once.map(self._quick).ignore_errors()
        return quick.concatenate(once.map(self._slow)).take(1).get_single_element()

    def _content(self, index: tf.Tensor) -> tf.Tensor:
        if self._paths is not None:
            return tf.io.read_file(self._paths[index])

        def read(index: int) -> bytes:
            with self.part.images[index].open("rb") as file:
                return file.read()

        return tf.ensure_shape(tf.numpy_function(read, [index], tf.string, stateful=False), ())

    def _slow(self, slot: Tensors) -> Tensors:
        """Lets Pillow decode an image, and returns it with its index and the window that it shows.

        If the image or the file of its target cannot be read, the next readable image of the batch takes its place.
        """

        @tf.autograph.experimental.do_not_convert
        def read(batch: np.ndarray, position: int, crop: np.ndarray | None = None) -> list[np.ndarray]:
            others = ((batch[position] + i) % len(self.part) for i in range(len(self.part)))
            for index in chain(np.roll(batch, -position), others):  # others: if the batch has no readable image
                source = self.part.images[index]
                try:
                    image = read_image(source, self.preprocessing.channels)
                    whole = image.height, image.width
                    cut = None if crop is None else _window(crop, *whole).numpy()
                    shown = window_of(self.preprocessing, *whole) if cut is None else cut
                    made = [self.preprocessing.resize_and_crop(image, cut), index, np.array(shown, np.float32)]
                    if self._files is not None:
                        source = self._files[index]
                        made.append(self.part.targets.read(index, shown, whole, self.preprocessing.size))
                    return made
                except (UnreadableImage, OSError) as error:
                    if self.unreadable:
                        self.unreadable.add(source, error)
            raise ValueError(f"None of {len(self.part)} images can be read any more.")

        arguments = [slot[name] for name in ("batch", "position", "crop") if name in slot]
        # with "stateful", images would be read one after the other when TensorFlow's op determinism is on
        made = tf.numpy_function(read, arguments, [kind.dtype for kind in self._kinds.values()], stateful=False)
        return {
            name: tf.ensure_shape(value, kind.shape)
            for (name, kind), value in zip(self._kinds.items(), made, strict=True)
        }

    # -- batches

    def _finish(self, plan: Tensors) -> tuple[tf.Tensor, tf.Tensor | Tensors]:
        """A worker's share of a batch, ready for the net."""
        images, draw, kind, size = plan["images"], self._draw(plan), self.part.targets, self.preprocessing.size
        targets = kind.gather(plan["chosen"], plan["windows"], size, plan.get("masks"))
        if self._random and self.augment == "shift":
            images, targets = augment.shift(images, draw), kind.shift(targets, draw, size)
        if self._random and self.flip:
            images, targets = augment.flip(images, draw), kind.flip(targets, draw, size)
        images, targets = tf.cast(images, tf.float32), kind.finish(targets)
        if self._mixes:
            images, targets = augment.mix(images, targets, plan["key"], self.mixup, self.cutmix)
        mine = plan["end"] - plan["first"]
        images = self.preprocessing.normalise(tf.ensure_shape(images[:mine], (None, *self._shape)))
        images = augment.of_turn(images, self.sizes, plan["number"]) if self._random and self.sizes else images
        return images, tf.nest.map_structure(lambda values: values[:mine], targets)

    @cached_property
    def _memory(self) -> tf.Tensor:
        """The images as a tensor that all epochs share, if they are in memory."""
        with tf.init_scope(), tf.device("CPU:0"):
            return tf.constant(self.part.images)

    @cached_property
    def _paths(self) -> tf.Tensor | None:
        """The names of the files; None if some images lie inside larger files."""
        with tf.init_scope(), tf.device("CPU:0"):
            names = [str(source) for source in self.part.images if isinstance(source, Path)]
            return tf.constant(names) if len(names) == len(self.part) else None

    @cached_property
    def _jpegs(self) -> tf.Tensor:
        """Height and width of the files that TensorFlow may decode, 0 for the other files."""
        with tf.init_scope(), tf.device("CPU:0"):
            none = np.zeros((len(self.part), 2), np.int32)
            return tf.constant(none if self.part.jpeg is None else self.part.jpeg)

    @property
    def _files(self) -> Sequence[Source] | None:
        """The file that each image's target is read from, if there are such files."""
        return self.part.targets.files

    @property
    def _kinds(self) -> dict[str, tf.TensorSpec]:
        """What is read of an image: its pixels, its index and the window that they show; and the target's own file."""
        kinds = {
            "images": tf.TensorSpec(self._shape, tf.uint8),
            "chosen": tf.TensorSpec((), tf.int64),
            "windows": tf.TensorSpec((4,), tf.float32),
        }
        return kinds if self._files is None else kinds | {"masks": tf.TensorSpec(self._shape[:2], tf.uint8)}

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


def _shuffle(values: tf.Tensor, seed: tf.Tensor, purpose: int) -> tf.Tensor:
    """Shuffles values at random. Each (negative) purpose gives a different order."""
    folded = tf.random.experimental.stateless_fold_in(seed, tf.constant(purpose, tf.int64))
    return tf.random.experimental.stateless_shuffle(values, folded)


def _numbers(number: int | None, endless: bool) -> tf.data.Dataset:
    """The epoch numbers; None counts how often the dataset has been iterated."""
    if number is not None:
        return tf.data.Dataset.range(number, np.iinfo(np.int64).max if endless else number + 1)
    times = count()

    def following(zero: tf.Tensor) -> tf.Tensor:
        # not "stateful": with TensorFlow's op determinism, no step of such a dataset would run in parallel
        function = tf.numpy_function(lambda _: np.int64(next(times)), [zero], tf.int64, stateful=False)
        return tf.ensure_shape(function, ())

    return tf.data.Dataset.range(1).map(following)


def _first(count: tf.Tensor, index: int, workers: int) -> tf.Tensor:
    """Where the share of a worker begins. If the shares are unequal, those of the first workers have one image more."""
    return count // workers * index + tf.minimum(tf.cast(count % workers, tf.int64), index)


_INT = tf.TensorSpec((), tf.int32)


@tf.function(input_signature=[tf.TensorSpec((augment.TRIES, 4)), _INT, _INT])
def _window(numbers: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    return augment.windows(numbers, height, width)


def resized(images: tf.Tensor, preprocessing: Preprocessing, antialias: bool = True) -> tf.Tensor:
    """Resizes uint8 images (..., h, w, c) to the size of `preprocessing`."""
    if tuple(images.shape[-3:-1]) == preprocessing.size:
        return images
    # rounded as Pillow does, so that single photographs and batches give the same pixels
    antialias &= preprocessing.antialias
    images = tf.image.resize(images, preprocessing.size, preprocessing.interpolation, antialias=antialias)
    return tf.saturate_cast(tf.round(images), tf.uint8)

"""A part of a data set as batches: shuffled, shifted, mirrored, normalised."""

from typing import Any

import numpy as np
import tensorflow as tf

from .parts import Part
from .preprocessing import Preprocessing

_AUTO = tf.data.AUTOTUNE
_SHIFT = 1 / 8  # of a side: the 4 of 32 pixels that are usual for CIFAR


def batches(
    part: Part,
    preprocessing: Preprocessing,
    batch_size: int,
    *,
    seed: int | None = None,
    augment: bool = False,
    flip: bool = False,
) -> tf.data.Dataset:
    """Pairs of float32 images (n, h, w, c) and int32 labels (n,), n being `batch_size` but in the last pair.

    Args:
        part: Images in memory, or files.
        preprocessing: What the images are resized and normalised by.
        batch_size: Images in a batch.
        seed: Shuffles, anew in each epoch; None keeps the order.
        augment: Shifts each image by up to an eighth of its sides; needs a seed.
        flip: Mirrors every other image when it augments.
    """
    # indices are shuffled, not images: the whole set is mixed, at 8 bytes an image
    indices = tf.data.Dataset.range(len(part))
    if seed is not None:
        indices = indices.shuffle(len(part), seed=seed, reshuffle_each_iteration=True)
    if isinstance(part.images, np.ndarray):
        dataset = _gather(indices.batch(batch_size), part.images, part.labels)
    else:
        dataset = _decode(indices, part, preprocessing).batch(batch_size)

    # from here on whole batches: a step for each image would cost more than its work
    dataset = dataset.map(lambda images, labels: (_resize(images, preprocessing), labels), _AUTO)
    if augment:
        randoms = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True)
        dataset = tf.data.Dataset.zip(dataset, randoms).map(
            lambda pair, random: (_augment(pair[0], random, flip), pair[1]), _AUTO
        )
    return dataset.map(lambda images, labels: (preprocessing.normalise(images), labels), _AUTO).prefetch(_AUTO)


def _gather(indices: tf.data.Dataset, images: np.ndarray, labels: np.ndarray) -> tf.data.Dataset:
    with tf.device("CPU:0"):  # where batches are made, also if there is a GPU
        pixels, classes = tf.constant(images), tf.constant(labels)
    return indices.map(lambda batch: (tf.gather(pixels, batch), tf.gather(classes, batch)), _AUTO)


def _decode(indices: tf.data.Dataset, part: Part, preprocessing: Preprocessing) -> tf.data.Dataset:
    shape = (*preprocessing.size, preprocessing.channels)
    classes = tf.constant(part.labels)

    def read(index: Any) -> tuple[Any, Any]:
        image = tf.numpy_function(lambda i: preprocessing.fit(part.images[i]), [index], tf.uint8, stateful=False)
        return tf.ensure_shape(image, shape), classes[index]

    return indices.map(read, _AUTO)


def _resize(images: Any, preprocessing: Preprocessing) -> Any:
    images = tf.cast(images, tf.float32)
    if tuple(images.shape[1:3]) == preprocessing.size:
        return images
    # rounded as Pillow does, so that a photograph and a batch are seen alike
    return tf.round(tf.image.resize(images, preprocessing.size, preprocessing.interpolation, antialias=True))


def _augment(images: Any, random: Any, flip: bool) -> Any:
    """Shifts each image by its own number of pixels, black coming in, and mirrors half of them."""
    count, sides = tf.shape(images)[0], images.shape[1:3]
    pads = [max(1, round(_SHIFT * side)) for side in sides]
    images = tf.pad(images, [(0, 0), *((pad, pad) for pad in pads), (0, 0)])
    for axis, (pad, side) in enumerate(zip(pads, sides, strict=True), start=1):
        offsets = tf.random.stateless_uniform((count, 1), (random, axis), 0, 2 * pad + 1, tf.int32)
        images = tf.gather(images, offsets + tf.range(side), axis=axis, batch_dims=1)
    if flip:
        heads = tf.random.stateless_uniform((count, 1, 1, 1), (random, 0)) < 0.5
        images = tf.where(heads, images[:, :, ::-1], images)
    return images

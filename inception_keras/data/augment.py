"""Random augmentation of training images.

Every random number is a function of a key and is drawn for the whole batch. So a worker that builds part of a batch
augments its images exactly as a single worker building the whole batch would.
"""

from collections.abc import Callable, Sequence
from math import log

import tensorflow as tf

KINDS = ("none", "shift", "crop")
TRIES = 10  # attempts to find a random crop that fits; this and the next two values are torchvision's
_AREA = 0.08  # smallest share of the image's area that a random crop covers
_ASPECT = 4 / 3  # largest ratio of width to height, and of height to width
_SHIFT = 1 / 8  # share of a side; 4 of 32 pixels, as is usual for CIFAR
_ROW, _COLUMN, _FLIP, _CROP, _MIX = range(5)  # the purpose of a random number

Draw = Callable[..., tf.Tensor]  # (purpose, *shape) -> uniform numbers from 0 to 1, (images, *shape)


def key(seed: int, epoch: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
    """The key of all random numbers of a batch."""
    return tf.random.experimental.stateless_fold_in(tf.stack([tf.constant(seed, tf.int64), epoch]), step)


def draw(key: tf.Tensor, count: tf.Tensor, positions: tf.Tensor) -> Draw:
    """A function that draws random numbers for the images at `positions` in a batch of `count` images."""

    def numbers(purpose: int, *shape: int) -> tf.Tensor:
        return tf.gather(tf.random.stateless_uniform((count, *shape), _fold(key, purpose)), positions)

    return numbers


def moves(draw: Draw, size: Sequence[int]) -> list[tf.Tensor]:
    """How far `shift` moves each image of `size` (height, width) down and to the right: two times int32 (n, 1)."""
    return [
        pad - tf.cast(draw(purpose, 1) * (2 * pad + 1), tf.int32)
        for purpose, pad in zip((_ROW, _COLUMN), _pads(size), strict=True)
    ]


def _pads(size: Sequence[int]) -> list[int]:
    return [max(1, round(_SHIFT * side)) for side in size]


def shift(images: tf.Tensor, draw: Draw, fill: int = 0) -> tf.Tensor:
    """Shifts each image at random by up to an eighth of its height and width; the uncovered border becomes `fill`."""
    sides = images.shape[1:3]
    pads = _pads(sides)
    images = tf.pad(images, [(0, 0), *((pad, pad) for pad in pads), (0, 0)], constant_values=fill)
    for axis, (move, pad, side) in enumerate(zip(moves(draw, sides), pads, sides, strict=True), start=1):
        images = tf.gather(images, pad - move + tf.range(side), axis=axis, batch_dims=1)
    return images


def mirrored(draw: Draw) -> tf.Tensor:
    """Which images `flip` mirrors, each with a probability of one half: bool (n,)."""
    return draw(_FLIP) < 0.5


def flip(images: tf.Tensor, draw: Draw) -> tf.Tensor:
    """Mirrors the images that `mirrored` names."""
    rows = tf.reshape(images, (-1, *images.shape[2:]))  # three axes, which TensorFlow reverses faster than four
    both = tf.concat([images, tf.reshape(tf.reverse(rows, [1]), tf.shape(images))], axis=0)
    count = tf.shape(images)[0]
    return tf.gather(both, tf.range(count) + tf.where(mirrored(draw), count, 0))


def crop_numbers(draw: Draw) -> tf.Tensor:
    """The random numbers from which `windows` makes crops: (images, TRIES, 4)."""
    return draw(_CROP, TRIES, 4)


def windows(numbers: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Random crops: int32 (..., 4) with top, left, height and width.

    As in torchvision's RandomResizedCrop, the area is 0.08 to 1 of the image, and the aspect ratio is 3/4 to 4/3 with a
    uniform logarithm. The first of ten tries that fits is taken. If none fits, the crop is as much of the centre as
    these aspect ratios allow.

    Args:
        numbers: Random numbers (..., TRIES, 4).
        height: Heights of the images, of shape (...) or ().
        width: Widths of the images, of shape (...) or ().
    """
    height, width = tf.cast(height, tf.float32)[..., None], tf.cast(width, tf.float32)[..., None]
    area = (_AREA + (1 - _AREA) * numbers[..., 0]) * height * width
    aspect = tf.exp((2 * numbers[..., 1] - 1) * log(_ASPECT))
    tries = [tf.round(tf.sqrt(area / aspect)), tf.round(tf.sqrt(area * aspect)), numbers[..., 2], numbers[..., 3]]
    fits = (tries[0] >= 1) & (tries[0] <= height) & (tries[1] >= 1) & (tries[1] <= width)
    first = tf.argmax(tf.cast(fits, tf.int32), axis=-1)
    tried = tf.gather(tf.stack(tries, axis=-1), first, axis=-2, batch_dims=len(first.shape))
    half = tf.fill(tf.shape(height), 0.5)
    sides = tf.minimum(height, tf.round(width * _ASPECT)), tf.minimum(width, tf.round(height * _ASPECT))
    centre = tf.concat([*sides, half, half], axis=-1)
    high, wide, down, right = tf.split(tf.where(tf.reduce_any(fits, -1, keepdims=True), tried, centre), 4, axis=-1)
    top, left = tf.floor(down * (height - high + 1)), tf.floor(right * (width - wide + 1))
    return tf.cast(tf.concat([top, left, high, wide], axis=-1), tf.int32)


def jpeg_crop(content: tf.Tensor, window: tf.Tensor, size: Sequence[int], channels: int) -> tuple[tf.Tensor, tf.Tensor]:
    """A crop of a JPEG file, uint8 (h, w, channels), and the window that it shows. Only the crop is decoded.

    If the crop is at least twice `size`, it is decoded at a half, a quarter or an eighth of its resolution. JPEG's own
    transform does this, and it takes less time. The window is then rounded to pixels of that resolution.
    """
    spare = tf.reduce_min(window[2:] // size)

    def decode(ratio: int) -> Callable[[], tf.Tensor]:
        exact = {"channels": channels, "dct_method": "INTEGER_ACCURATE"}  # as Pillow decodes
        return lambda: tf.io.decode_and_crop_jpeg(content, window // ratio, ratio=ratio, **exact)

    ratios = (1, 2, 4, 8)
    which = tf.reduce_sum(tf.cast(spare >= ratios[1:], tf.int32))
    ratio = tf.gather(ratios, which)
    return tf.switch_case(which, [decode(ratio) for ratio in ratios]), window // ratio * ratio


def crop(images: tf.Tensor, windows: tf.Tensor) -> tf.Tensor:
    """A crop of each image, resized to the size of the image: uint8 (n, h, w, c). `windows` is int32 (n, 4)."""
    height, width = images.shape[1:3]
    top, left, high, wide = tf.unstack(tf.cast(windows, tf.float32), axis=-1)
    # the centres of the first and the last pixel of the crop, as shares of an image whose border pixels are doubled
    boxes = [
        (start + 0.5 + sign * (long / 2 - long / side / 2) + long / 2) / (side + 1)
        for sign in (-1, 1)
        for start, long, side in ((top, high, height), (left, wide, width))
    ]
    images = tf.pad(images, [(0, 0), (1, 1), (1, 1), (0, 0)], "SYMMETRIC")
    images = tf.image.crop_and_resize(images, tf.stack(boxes, axis=-1), tf.range(tf.size(top)), (height, width))
    return tf.cast(tf.round(images), tf.uint8)


def mix(
    images: tf.Tensor, labels: tf.Tensor, key: tf.Tensor, mixup: float, cutmix: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mixes every image and its one-hot label with the next image; n images come back, without the last.

    Args:
        images: float32 (n + 1, h, w, c).
        labels: float32 (n + 1, classes).
        key: The key of the batch. All its images are mixed in the same proportion.
        mixup: Alpha of mixup, which blends two images in a proportion drawn from Beta(alpha, alpha). 0 turns it off.
        cutmix: Alpha of CutMix, which pastes a rectangle of the next image into the image. 0 turns it off. If both are
            above 0, each batch uses one of them, chosen at random with equal probability.
    """
    height, width = images.shape[1:3]
    choice, down, right = tf.unstack(tf.random.stateless_uniform((3,), _fold(key, _MIX)))
    alpha = tf.where(choice < 0.5, mixup or cutmix, cutmix or mixup)
    gamma = tf.random.stateless_gamma((2,), _fold(key, _MIX + 1), tf.cast(alpha, tf.float64), dtype=tf.float64)
    share = tf.cast(tf.math.divide_no_nan(gamma[0], gamma[0] + gamma[1]), tf.float32)
    shares = share * tf.ones((1, height, width, 1))
    if cutmix:
        rows, columns = (_inside(place, share, side) for place, side in ((down, height), (right, width)))
        box = tf.cast(rows[:, None] & columns, tf.float32)[None, ..., None]
        shares = tf.where(choice < 0.5, shares, box) if mixup else box
    mine, others = images[:-1], images[1:]
    share = tf.reduce_mean(shares)
    return mine + shares * (others - mine), labels[:-1] + share * (labels[1:] - labels[:-1])


def _inside(place: tf.Tensor, share: tf.Tensor, side: int) -> tf.Tensor:
    """Which pixels lie in a rectangle that covers `share` of the image around `place`.

    It may extend beyond the image.
    """
    half = tf.sqrt(share) * side / 2
    centres = tf.range(side, dtype=tf.float32) + 0.5
    return tf.abs(centres - place * side) < half


def _fold(key: tf.Tensor, purpose: int) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(key, tf.constant(purpose, tf.int64))


def of_turn(images: tf.Tensor, sides: Sequence[int], number: tf.Tensor) -> tf.Tensor:
    """Resizes images (n, h, w, c) to the side whose turn it is in an epoch: the first in epoch 0, and so on."""
    side = tf.gather(tf.constant(sides, tf.int32), number % len(sides))
    return tf.image.resize(images, tf.stack([side, side]), antialias=True)

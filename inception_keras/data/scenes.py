"""Generated scenes with exact masks and boxes: digits and textured shapes on photographs.

Equal arguments give equal pixels on every machine. So numbers are drawn from a generator whose numbers NumPy never
changes, and all arithmetic is that of integers, or of floats by operations that every processor rounds the same way.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..checks import check_choice, check_count
from .names import SCENE_CLASSES

SCENE_SIZE = 96
_SHEET = Path(__file__).parents[1] / "assets" / "scenes.jpg"
_SIDE = 256  # of a photograph of the sheet
# what a split shows: a part of every photograph, (top, left, height, width), and some of scikit-learn's digits. No two
# splits share a pixel of a photograph, or a digit
_PARTS = {"train": (0, 0, 256, 160), "validation": (0, 160, 128, 96), "test": (128, 160, 128, 96)}
_WINDOW = 96  # the largest side of what a scene shows of a photograph
_DIGITS = {"train": range(1200), "validation": range(1200, 1400), "test": range(1400, 1797)}
_OBJECTS = 3  # most objects of a scene
_RADIUS = 0.2, 0.36  # of an object, as shares of the shorter side of the scene
_VISIBLE = 0.6  # smallest share of an object that other objects leave visible
_CONTRAST = 160  # smallest difference between an object and what lies behind it, summed over red, green and blue
_TRIES = 6  # to place an object


@dataclass(frozen=True)
class Scenes:
    """Scenes, with what they show where.

    Args:
        images: uint8 (n, h, w, 3).
        masks: uint8 (n, h, w): the class of each pixel, an index of `class_names`. 0 is the background.
        boxes: For each scene float32 (k, 4): x1, y1, x2 and y2 of the visible part of each object, in pixels.
        classes: For each scene int32 (k,): the class of each object.
        class_names: The names of the classes.
    """

    images: np.ndarray
    masks: np.ndarray
    boxes: list[np.ndarray]
    classes: list[np.ndarray]
    class_names: tuple[str, ...] = SCENE_CLASSES


def scenes(count: int = 8, *, size: int | tuple[int, int] = SCENE_SIZE, seed: int = 0, split: str = "train") -> Scenes:
    """Generates scenes of 1 to 3 objects on photographs: digits, discs, squares, triangles, stars, crosses ...

    Objects vary in place, size, rotation, colour and texture, and may hide each other in part. Every split has its own
    parts of the photographs and its own handwritten digits. A scene depends only on the size, the seed, the split and
    its number: the first 8 of 100 scenes are those of 8 scenes. They are the same on every machine.

    Args:
        count: Number of scenes.
        size: Side length in pixels, or (height, width), each from 16 to 1024.
        seed: Seed of everything that varies.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        Images, masks, and the boxes and classes of the objects.

    Raises:
        ValueError: If an argument is not valid.

    Examples:
        >>> some = scenes(4, seed=1)
        >>> some.images.shape, some.masks.shape
        ((4, 96, 96, 3), (4, 96, 96))
        >>> [some.class_names[index] for index in some.classes[0]]
        ['crescent']
    """
    check_count("count", count)
    check_count("seed", seed, least=0, most=2**63 - 1)
    check_choice("split", split, tuple(_PARTS))
    sides = size if isinstance(size, (tuple, list)) and len(size) == 2 else (size, size)
    height, width = (check_count("size", side, least=16, most=1024) for side in sides)
    images = np.empty((count, height, width, 3), np.uint8)
    masks = np.zeros((count, height, width), np.uint8)
    boxes, classes = [], []
    for index in range(count):
        drawn = _draw(_Dice(seed, tuple(_PARTS).index(split), index), split, images[index], masks[index])
        boxes.append(np.array([box for box, _ in drawn], np.float32).reshape(-1, 4))
        classes.append(np.array([label for _, label in drawn], np.int32))
    return Scenes(images, masks, boxes, classes)


class _Dice:
    """Random numbers of a scene. NumPy promises that this generator always gives the same 64-bit integers."""

    def __init__(self, *key: int):
        self._bits = np.random.PCG64(np.random.SeedSequence(key))
        self._numbers: Iterator[int] = iter(())

    def below(self, count: int) -> int:
        """A number from 0 to `count` - 1."""
        number = next(self._numbers, None)
        if number is None:
            self._numbers = iter((self._bits.random_raw(128) >> np.uint64(32)).tolist())
            number = next(self._numbers)
        return number * count >> 32

    def between(self, least: float, most: float) -> float:
        return least + (most - least) * (self.below(2**20) / 2**20)

    def choose(self, choices: Any) -> Any:
        return choices[self.below(len(choices))]

    def noise(self, shape: tuple[int, ...]) -> np.ndarray:
        """uint8 of this shape."""
        count = int(np.prod(shape))
        raw = self._bits.random_raw(-(-count // 8)).astype("<u8")
        return raw.view(np.uint8)[:count].reshape(shape)


# ---------------------------------------------------------------------------------------------------------- a scene


def _draw(dice: _Dice, split: str, image: np.ndarray, mask: np.ndarray) -> list[tuple[tuple[int, ...], int]]:
    """Draws a scene into `image` and `mask`. Returns the box and the class of each object that is visible."""
    height, width = mask.shape
    image[:] = _photograph(dice, split, height, width, dice.between(0.4, 1))
    owner = np.zeros((height, width), np.uint8)  # the number of the object that a pixel shows, from 1
    labels, whole, visible = [0], [0], [0]  # of each object: its class, its pixels, those that are not covered
    for _ in range(1 + dice.below(_OBJECTS)):
        label = 1 + dice.below(len(SCENE_CLASSES) - 1)
        for _ in range(_TRIES):
            radius = dice.between(*_RADIUS) * min(height, width)
            y, x = (dice.between(0.6 * radius, side - 0.6 * radius) for side in (height, width))
            top, left = max(0, int(y - 1.5 * radius)), max(0, int(x - 1.5 * radius))
            place = slice(top, int(y + 1.5 * radius) + 2), slice(left, int(x + 1.5 * radius) + 2)
            inside = _shape(dice, split, label, radius, place, (y, x), mask.shape)
            shown = inside >= 0
            covered = np.bincount(owner[place][shown], minlength=len(labels)).tolist()
            rest = [0, *(was - lost for was, lost in zip(visible[1:], covered[1:], strict=True))]
            if shown.any() and all(left >= _VISIBLE * all_ for left, all_ in zip(rest, whole, strict=True)):
                break
        else:
            continue
        _paint(dice, split, image[place], inside)
        owner[place][shown] = len(labels)
        labels.append(label)
        whole.append(int(shown.sum()))
        visible = [*rest, whole[-1]]
    noise = dice.noise(image.shape)
    strength = 1 + dice.below(16)
    image[:] = np.clip(image.astype(np.int16) + ((noise.astype(np.int16) - 128) * strength >> 8), 0, 255)
    mask[:] = np.array(labels, np.uint8)[owner]
    return [(_box(owner == number), label) for number, label in enumerate(labels) if number]


def _box(shown: np.ndarray) -> tuple[int, ...]:
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _photograph(dice: _Dice, split: str, height: int, width: int, zoom: float) -> np.ndarray:
    """A part of one of the photographs in changed colours: uint8 (height, width, 3)."""
    photograph = dice.below(len(_photographs()[0]))
    step = zoom * _WINDOW / max(height, width)
    level = 0
    while step >= 1.5 and level < 2:
        level, step = level + 1, step / 2
    pixels = _photographs()[level][photograph]
    corner, sides = _PARTS[split][:2], _PARTS[split][2:]
    for axis, length in enumerate((height, width)):
        low, side = corner[axis] >> level, sides[axis] >> level
        start = low + dice.between(0, max(0.0, side - 1 - step * (length - 1)))
        places = np.minimum(((start + step * np.arange(length)) * 256).astype(np.int64), (low + side - 1) * 256)
        if axis and dice.below(2):
            places = places[::-1]
        first, part = places >> 8, (places & 255).astype(np.int32)
        part = part[:, None, None] if axis == 0 else part[None, :, None]
        one = pixels.take(first, axis).astype(np.int32)
        two = pixels.take(np.minimum(first + 1, low + side - 1), axis).astype(np.int32)
        pixels = (one * (256 - part) + two * part + 128) >> 8
    gains = np.array([170 + dice.below(150) for _ in range(3)])
    return np.clip((pixels * gains >> 8) + dice.below(50) - 20, 0, 255).astype(np.uint8)


@cache
def _photographs() -> list[np.ndarray]:
    """The photographs at full, half and a quarter of their size: int32 (n, side, side, 3)."""
    with Image.open(_SHEET) as sheet:
        pixels = np.asarray(sheet).astype(np.int32)
    levels = [pixels.reshape(-1, _SIDE, _SIDE, 3)]
    for _ in range(2):
        last = levels[-1]
        rows = last[:, ::2] + last[:, 1::2]
        levels.append((rows[:, :, ::2] + rows[:, :, 1::2] + 2) >> 2)
    return levels


# --------------------------------------------------------------------------------------------------------- an object


def _paint(dice: _Dice, split: str, image: np.ndarray, inside: np.ndarray) -> None:
    """Paints an object over a part of a scene, with a soft border of one pixel."""
    shown = inside >= 0
    behind = image.astype(np.int32)
    colours = _texture(dice, split, *inside.shape)
    ground, mean = (values[shown].sum(axis=0) // shown.sum() for values in (behind, colours))
    missing = _CONTRAST - int(np.abs(ground - mean).sum())
    if missing > 0:  # an object that nobody could see
        darker = ground.sum() > 384
        colours = np.clip(colours + (-1 if darker else 1) * (missing // 3 + 40), 0, 255).astype(np.int32)
    opacity = np.clip((inside + 0.5) * 256, 0, 256).astype(np.int32)[..., None]
    image[:] = (behind * (256 - opacity) + colours * opacity + 128) // 256


def _texture(dice: _Dice, split: str, height: int, width: int) -> np.ndarray:
    """What fills an object: int32 (height, width, 3)."""
    kind = dice.below(5)
    if kind == 0:
        return _photograph(dice, split, height, width, dice.between(0.15, 0.6)).astype(np.int32)
    one = np.array([dice.below(256) for _ in range(3)])
    two = np.clip(one + [dice.below(161) - 80 for _ in range(3)], 0, 255)
    cosine, sine = _direction(dice)
    y, x = np.arange(height)[:, None], np.arange(width)[None, :]
    along, across = cosine * x + sine * y, cosine * y - sine * x
    if kind == 2:  # from one colour to the other
        share = np.clip((along - along.min()) / (along.max() - along.min()) * 256, 0, 256)
    else:  # stripes, checks
        period = dice.between(0.08, 0.3) * max(height, width)
        stripes = (np.floor(along / period) + (np.floor(across / period) if kind == 4 else 0)) % 2
        share = stripes * dice.between(60, 256)
    weight = share.astype(np.int32)[..., None]
    return (one * (256 - weight) + two * weight) >> 8


def _direction(dice: _Dice, most: int = 64) -> tuple[float, float]:
    """Cosine and sine of a random angle, of up to 90 degrees if `most` is 64.

    Sines of a mathematical library differ from machine to machine. These do not.
    """
    tangent = (dice.below(2 * most + 1) - most) / 64  # of half the angle
    square = tangent * tangent
    return (1 - square) / (1 + square), 2 * tangent / (1 + square)


def _shape(
    dice: _Dice,
    split: str,
    label: int,
    radius: float,
    place: tuple[slice, slice],
    centre: tuple[float, float],
    size: tuple[int, int],
) -> np.ndarray:
    """How far inside an object the pixels of a place are, in pixels; negative outside."""
    name = SCENE_CLASSES[label]
    cosine, sine = _direction(dice, 12 if name == "digit" else 64)  # a digit leans by up to 21 degrees
    if name != "digit" and dice.below(2):
        cosine, sine = -cosine, -sine
    y, x = (
        np.arange(part.start, min(part.stop, side)) + 0.5 - middle
        for part, side, middle in zip(place, size, centre, strict=True)
    )
    x, y = cosine * x + sine * y[:, None], cosine * y[:, None] - sine * x
    if name == "digit":
        return _digit(dice, split, radius, x, y)
    return _SHAPES[name](radius, dice.between(0.75, 1), x, y)


def _digit(dice: _Dice, split: str, radius: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    pixels = _digits()[dice.choose(_DIGITS[split])]
    scale = 3.7 / radius  # pixels of the digit in a pixel of the scene; it has 8 rows and a border around it
    columns, rows = (np.clip(value * scale + 5.5, 0, 11 - 1e-6) for value in (x, y))
    left, top = np.floor(columns).astype(int), np.floor(rows).astype(int)
    right, down = columns - left, rows - top
    upper = pixels[top, left] * (1 - right) + pixels[top, left + 1] * right
    lower = pixels[top + 1, left] * (1 - right) + pixels[top + 1, left + 1] * right
    return (upper * (1 - down) + lower * down - 6) / (10 * scale)


@cache
def _digits() -> np.ndarray:
    """scikit-learn's digits with a border of two pixels: (1797, 12, 12) from 0 to 16."""
    from sklearn.datasets import load_digits

    return np.pad(load_digits().images, ((0, 0), (2, 2), (2, 2)))


_Shape = Callable[[float, float, np.ndarray, np.ndarray], np.ndarray]


def _disc(radius: float, aspect: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    y = y / aspect
    return (radius - np.sqrt(x * x + y * y)) * aspect


def _square(radius: float, aspect: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.minimum(0.85 * radius - np.abs(x), 0.85 * radius * aspect - np.abs(y))


def _triangle(radius: float, aspect: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    slanted = 0.5 * y + 0.8660254037844386 * np.abs(x) / aspect
    return np.minimum(0.55 * radius - slanted, y + 0.55 * radius)


def _star(radius: float, aspect: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of the five lines of a pentagram, a point of it lies inside at least four."""
    normals = ((0.0, 1.0), (0.9510565162951535, 0.30901699437494745), (0.5877852522924731, -0.8090169943749475))
    reach = 0.43 * 1.1 * radius
    lines = [reach - (side * a * x + b * y) for a, b in normals for side in ((1, -1) if a else (1,))]
    first = np.minimum(lines[0], lines[1])
    second = np.maximum(lines[0], lines[1])
    for line in lines[2:]:
        second = np.minimum(second, np.maximum(first, line))
        first = np.minimum(first, line)
    return second


def _cross(radius: float, aspect: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    long, thick = radius, 0.36 * aspect * radius
    x, y = np.abs(x), np.abs(y)
    return np.maximum(np.minimum(long - x, thick - y), np.minimum(thick - x, long - y))


def _crescent(radius: float, aspect: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    bitten = x - 0.6 * radius
    inner = np.sqrt(bitten * bitten + y * y) - 0.8 * aspect * radius
    return np.minimum(radius - np.sqrt(x * x + y * y), inner)


def _frame(radius: float, aspect: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = np.abs(x), np.abs(y)
    outer = np.minimum(0.9 * radius - x, 0.9 * radius * aspect - y)
    return np.minimum(outer, 0.42 * radius - outer)


_SHAPES: dict[str, _Shape] = {
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "crescent": _crescent,
    "frame": _frame,
}

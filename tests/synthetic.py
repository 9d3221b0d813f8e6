"""Weights and images out of names and seeds: the reference and our nets get the same ones, and no file is needed."""

from collections.abc import Mapping
from math import prod, sqrt
from zlib import crc32

import numpy as np


def state_dict(shapes: Mapping[str, tuple[int, ...]], gain: float = 1.0) -> dict[str, np.ndarray]:
    """Weights by torch's names; `gain` is what a convolution with ReLU does to the mean square of its input."""
    return {name: _entry(name, tuple(shape), gain) for name, shape in shapes.items()}


def image(height: int, width: int) -> np.ndarray:
    """A (1, height, width, 3) image of noise."""
    return np.random.default_rng(height * width).standard_normal((1, height, width, 3), "float32")


def _entry(name: str, shape: tuple[int, ...], gain: float) -> np.ndarray:
    rng = np.random.default_rng(crc32(name.encode()))
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        return rng.uniform(0.8, 1.2, shape).astype("float32")
    scale = sqrt(2 * gain / prod(shape[1:])) if len(shape) > 1 else 0.1
    return np.float32(scale) * rng.standard_normal(shape, "float32")

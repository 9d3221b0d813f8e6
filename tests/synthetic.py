"""Makes weights and images from names and seeds, so that reference and net get the same ones without a file."""

from collections.abc import Mapping
from math import prod, sqrt
from zlib import crc32

import numpy as np


def state_dict(shapes: Mapping[str, tuple[int, ...]], gain: float = 1.0) -> dict[str, np.ndarray]:
    """Weights by torch's names. A convolution with ReLU multiplies the mean square of its input by `gain`."""
    norms = {name.rpartition(".")[0] for name in shapes if name.endswith("running_var")}
    return {name: _entry(name, tuple(shape), gain, name.rpartition(".")[0] in norms) for name, shape in shapes.items()}


def image(height: int, width: int, channels: int = 3) -> np.ndarray:
    """A (1, height, width, channels) image of noise."""
    return np.random.default_rng(height * width).standard_normal((1, height, width, channels), "float32")


def _entry(name: str, shape: tuple[int, ...], gain: float, is_norm: bool) -> np.ndarray:
    rng = np.random.default_rng(crc32(name.encode()))
    if name.endswith(("running_var", "coefficient")) or (is_norm and name.endswith("weight")):
        return rng.uniform(0.8, 1.2, shape).astype("float32")
    fan_in = prod(shape[:-1] if name.endswith("_kernel") else shape[1:])  # Keras has the outputs last
    # larger biases of convolutions, because those of gates act through two small kernels
    scale = sqrt(2 * gain / fan_in) if len(shape) > 1 else 0.1 if is_norm else 0.3
    return np.float32(scale) * rng.standard_normal(shape, "float32")

"""3x3 convolutions with a quarter of the multiplications, for `predict` and `evaluate` on a CPU.

Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, arXiv:1509.09308, section 4: F(4x4, 3x3).
"""

import math
from functools import cache
from types import ModuleType

import numpy as np
from keras import KerasTensor

from ._support import in_step, on_cpu

_POINTS = np.array([0, 2 / 3, -2 / 3, 3 / 2, -3 / 2])  # the paper's 0, 1, -1, 2, -2 round five times as coarsely
_TILE = 4  # side of a tile of the output in pixels; it is computed from 6x6 pixels of the image
_LEAST_TILES = 128  # in a batch; with fewer, the transform of the kernel costs more than it saves
_LEAST_WORK = 2**21  # tiles of an image x channels x filters
_LEAST_CHANNELS = 128


def faster(tf: ModuleType, y: KerasTensor) -> KerasTensor:
    """Computes `y` by Winograd's algorithm if it is a 3x3 convolution large enough to gain by it; else returns `y`.

    Eager calls and exported nets keep the plain convolution. The two results differ by 3e-6 of the largest value.
    """
    if not in_step(tf) or not on_cpu(tf) or y.dtype != tf.float32 or y.op.type != "Conv2D":
        return y
    conv = y.op
    image, kernel = conv.inputs
    n, h, w, c = image.shape
    same = conv.get_attr("padding") == b"SAME" and {*conv.get_attr("strides")} == {1}
    _, dilation, other, _ = conv.get_attr("dilations")
    if not same or dilation != other or tuple(kernel.shape[:3]) != (3, 3, c) or None in (h, w):
        return y
    tiles = math.prod(dilation * -(-side // (dilation * _TILE)) for side in (h, w))
    if min(c, kernel.shape[3]) < _LEAST_CHANNELS or tiles * c * kernel.shape[3] < _LEAST_WORK:
        return y
    least = -(-_LEAST_TILES // tiles)
    if n is not None:
        return _convolve(tf, image, kernel, dilation) if n >= least else y
    return tf.cond(
        tf.shape(image)[0] >= least,
        lambda: _convolve(tf, image, kernel, dilation),
        lambda: tf.nn.conv2d(image, kernel, 1, "SAME", dilations=dilation),
    )


def _convolve(tf: ModuleType, image: KerasTensor, kernel: KerasTensor, d: int) -> KerasTensor:
    """(n, h, w, c) and (3, 3, c, filters) -> (n, h, w, filters), from tiles of 6x6 pixels that overlap by two.

    With a dilation `d`, the pixels of a tile are `d` rows and columns apart, and d x d tiles are interleaved.
    """
    outputs, kernels, pixels = _transforms()
    n, (_, h, w, c), filters = tf.shape(image)[0], image.shape, kernel.shape[3]
    rows, columns = -(-h // (d * _TILE)), -(-w // (d * _TILE))
    height, width = d * (_TILE * rows + 2), d * (_TILE * columns + 2)

    y, x, row, i, column, j = np.ix_(range(6), range(6), range(rows), range(d), range(columns), range(d))
    places = (d * (_TILE * row + y) + i) * width + d * (_TILE * column + x) + j
    places = np.reshape(places, (36, 1, -1)).astype("int32")
    places = tf.reshape(places + tf.range(n)[:, None] * (height * width), (36, -1))
    padded = tf.pad(image, [(0, 0), (d, height - d - h), (d, width - d - w), (0, 0)])
    tiles = tf.gather(tf.reshape(padded, (-1, c)), places)  # (36, all tiles, c)

    tiles = tf.reshape(tf.matmul(pixels, tf.reshape(tiles, (36, -1))), (36, -1, c))
    weights = tf.reshape(tf.matmul(kernels, tf.reshape(kernel, (9, -1))), (36, c, filters))
    made = tf.matmul(outputs, tf.reshape(tf.matmul(tiles, weights), (36, -1)))
    made = tf.reshape(made, (_TILE, _TILE, n, rows, d, columns, d * filters))
    made = tf.transpose(made, (2, 3, 0, 4, 5, 1, 6))
    made = tf.reshape(made, (n, d * _TILE * rows, d * _TILE * columns, filters))[:, :h, :w]
    return tf.ensure_shape(made, (image.shape[0], h, w, filters))


@cache
def _transforms() -> tuple[np.ndarray, ...]:
    """The paper's transposed A, its G and its transposed B, for both directions: (16, 36), (36, 9) and (36, 36).

    Along one direction, A @ ((G @ kernel) * (B @ pixels)) applies a kernel of 3 weights at 4 places in 6 pixels. It
    computes the product of two polynomials from its values at five points and its highest coefficient.
    """
    others = [np.delete(_POINTS, i) for i in range(5)]
    powers = np.vander(_POINTS, _TILE, increasing=True)
    scales = np.prod(_POINTS[:, None] - others, axis=1)
    a = np.column_stack([powers.T, [0, 0, 0, 1]])
    g = np.vstack([powers[:, :3] / scales[:, None], [0, 0, 1]])
    b = np.vstack([*([*np.poly(points)[::-1], 0] for points in others), np.poly(_POINTS)[::-1]])
    return tuple(np.kron(m, m).astype("float32") for m in (a, g, b))

"""The maxima of many windows of the same maps, and their gradient: what RoI pooling computes."""

from collections.abc import Callable
from typing import Any

from keras import KerasTensor

from ._support import tensorflow

_SIDES = tuple(2**level - 1 for level in range(1, 16))  # of windows whose maxima are kept in tables
_LEAST = 2.0**-126  # the smallest positive float32 with all digits; smaller ones count as 0


def window_maxima(maps: KerasTensor, rows: KerasTensor, columns: KerasTensor, training: bool = False) -> KerasTensor:
    """The maxima of windows of maps. Their gradient goes to the first maximum of a window, row by row.

    Args:
        maps: (n, h, w, c).
        rows: int32 (n, k, p, 2): the first row of each window and the row behind its last one, from 0 to h.
        columns: int32 (n, k, q, 2): the same for columns.
        training: Whether to find the places of the maxima at once. Otherwise the gradient has to look for them.

    Returns:
        (n, k, p, q, c). The maximum of a window without pixels is 0.
    """
    tf: Any = tensorflow()

    @tf.custom_gradient
    def pool(maps: KerasTensor) -> tuple[KerasTensor, Callable]:
        first = _first_maxima(tf, maps, rows, columns) if training else None
        pooled = first[0] if first else _maxima(tf, maps, rows, columns)

        def gradient(dy: KerasTensor) -> KerasTensor:
            _, elements = first or _first_maxima(tf, maps, rows, columns)
            found = tf.math.unsorted_segment_sum(tf.reshape(dy, (-1,)), tf.reshape(elements, (-1,)), tf.size(maps))
            return tf.reshape(found, tf.shape(maps))

        return pooled, gradient

    return pool(maps)


def _first_maxima(
    tf: Any, maps: KerasTensor, rows: KerasTensor, columns: KerasTensor
) -> tuple[KerasTensor, KerasTensor]:
    """The maxima of windows, and which elements of the maps are the first ones, int32 (n, k, p, q, c).

    An empty window has the element -1. Both are found as the maximum of a float64: its upper half has the bits of the
    float32, which keeps their order, and its lower half the element, earlier ones having larger float64s.
    """
    values = tf.cast(maps, tf.float32)
    bits = tf.bitcast(tf.where(tf.abs(values) < _LEAST, _LEAST / 2, values), tf.int32)  # a float64 of 0 has no element
    element = tf.reshape(tf.range(tf.size(maps)), tf.shape(maps))
    keys = tf.cast(element ^ ~tf.bitwise.right_shift(bits, 31), tf.int64) & 0xFFFFFFFF  # negative numbers: the reverse
    keys |= tf.bitwise.left_shift(tf.cast(bits, tf.int64), 32)
    found = tf.bitcast(_maxima(tf, tf.bitcast(keys, tf.float64), rows, columns), tf.int64)
    bits = tf.cast(tf.bitwise.right_shift(found, 32), tf.int32)
    element = tf.cast(found, tf.int32) ^ ~tf.bitwise.right_shift(bits, 31)
    pooled = tf.bitcast(bits, tf.float32)
    return tf.cast(tf.where(tf.abs(pooled) < _LEAST, 0.0, pooled), maps.dtype), element


def _maxima(tf: Any, maps: KerasTensor, rows: KerasTensor, columns: KerasTensor) -> KerasTensor:
    """The maxima (n, k, p, q, c) of windows of maps, 0 for those without pixels."""
    n, h, w, _ = tf.unstack(tf.shape(maps))
    (top, bottom, side_y, level_y), (left, right, side_x, level_x) = _places(tf, rows), _places(tf, columns)
    levels_y, levels_x = (tf.maximum(tf.reduce_max(level), 0) + 1 for level in (level_y, level_x))
    table, offsets = _table(tf, maps, levels_y, levels_x)
    width = (w - side_x + 1)[..., None, :]
    image = tf.reshape(tf.range(n), (-1, 1, 1, 1))
    start = tf.gather(offsets, level_y[..., :, None] * levels_x + level_x[..., None, :])
    start += image * (h - side_y + 1)[..., :, None] * width
    full = (rows[..., 1] > rows[..., 0])[..., :, None] & (columns[..., 1] > columns[..., 0])[..., None, :]

    def maxima(y: KerasTensor, x: KerasTensor) -> KerasTensor:
        return tf.gather(table, tf.where(full, start + y[..., :, None] * width + x[..., None, :], 0))

    upper = tf.maximum(maxima(top, left), maxima(top, right))
    return tf.maximum(upper, tf.maximum(maxima(bottom, left), maxima(bottom, right)))


def _places(tf: Any, limits: KerasTensor) -> tuple[KerasTensor, ...]:
    """Two pieces that cover each window along one axis: where they begin, and their common side and its level."""
    first, behind = limits[..., 0], limits[..., 1]
    level = tf.reduce_sum(tf.cast((behind - first)[..., None] >= tf.constant(_SIDES[1:]), tf.int32), -1)
    side = tf.gather(tf.constant(_SIDES), level)
    return first, behind - side, side, level


def _table(tf: Any, maps: KerasTensor, levels_y: KerasTensor, levels_x: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
    """A row of zeros, the maxima of all windows with these sides, (places, c), and where those of each pair begin."""
    n, h, w, _ = tf.unstack(tf.shape(maps))
    count, c = levels_y * levels_x, maps.shape[-1]
    tables = tf.TensorArray(maps.dtype, count + 1, infer_shape=False, element_shape=(None, c))
    open_shape = tf.TensorShape((None, None, None, c))

    def larger(x: KerasTensor, level: KerasTensor, axis: int) -> KerasTensor:
        """The windows of the next level: each is covered by windows of this one, 2 * side + 1 = side + 2**level * 2."""
        ksize = [1, 1, 1, 1]
        ksize[axis] = 2 ** (level + 1) + 1
        pooled = tf.raw_ops.MaxPoolV2(input=x, ksize=tf.stack(ksize), strides=[1, 1, 1, 1], padding="VALID")
        pooled.set_shape(open_shape)
        return pooled

    def step(number: KerasTensor, rows: KerasTensor, x: KerasTensor, tables: Any) -> tuple:
        tables = tables.write(number + 1, tf.reshape(x, (-1, c)))
        level_y, level_x = number // levels_x, number % levels_x
        last = level_x == levels_x - 1
        rows = tf.cond(last & (number + 1 < count), lambda: larger(rows, level_y, 1), lambda: rows)
        return number + 1, rows, tf.cond(last, lambda: rows, lambda: larger(x, level_x, 2)), tables

    shapes = (tf.TensorShape(()), open_shape, open_shape, tf.TensorShape(None))
    start = (tf.constant(0), maps, maps, tables.write(0, tf.zeros((1, c), maps.dtype)))
    *_, tables = tf.while_loop(lambda number, *_: number < count, step, start, shape_invariants=shapes)
    high, wide = (side - tf.gather(_SIDES, tf.range(levels)) + 1 for side, levels in ((h, levels_y), (w, levels_x)))
    sizes = tf.reshape(n * high[:, None] * wide, (-1,))
    return tables.concat(), tf.cumsum(sizes, exclusive=True) + 1

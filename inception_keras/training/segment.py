"""Says for every pixel of a photograph what it shows, at the photograph's own size."""

import weakref
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..checks import check_count, check_model, check_type
from ..data.preprocessing import Photo, Preprocessing
from .compile import strip_aux
from .folder import load_run

TILE = 1024  # pixels: a tile of VGG-16's FCN takes about a gigabyte
_STEP = 32  # pixels: tiles begin where every net of this or a smaller stride sees the same grid as in the whole image

_functions: Any = weakref.WeakKeyDictionary()  # the compiled function of each model, as compiling takes seconds


def segment(
    model: keras.Model | str | Path, image: Photo, *, preprocessing: Preprocessing | None = None, tile: int = TILE
) -> np.ndarray:
    """The class of every pixel of a photograph, at its own size.

    A photograph that is larger than `tile` is segmented in tiles, so that memory does not grow with it. They overlap by
    half of their side, and only the middle half of a tile is used. So the result is that of the whole photograph if
    half the net's receptive field is below a quarter of `tile`, and near to it otherwise.

    Args:
        model: A net that gives scores (n, h, w, classes) for images of any size, or the folder of a run with the task
            segmentation.
        image: A path, a PIL image, or a uint8 array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4). A photograph is turned
            upright by its EXIF orientation.
        preprocessing: How pixels are scaled; its size is ignored. None takes the run's own, and -1 to 1 for a model.
        tile: The largest height and width that is segmented at once, a multiple of 128 pixels.

    Returns:
        Class indices (h, w), as uint8 if there are no more than 256 classes.

    Raises:
        TypeError: If `model` is neither a Keras model nor a path.
        ValueError: If the model gives no scores of pixels, takes images of one size only, or the image is broken.
        FileNotFoundError: If the folder holds no finished run, or the image does not exist.

    Examples:
        >>> from skimage import data
        >>> image = keras.Input((None, None, 3))
        >>> model = keras.Model(image, keras.layers.Conv2D(2, 3, padding="same")(image))
        >>> segment(model, data.coffee()).shape
        (400, 600)
    """
    check_type("model", model, (keras.Model, str, Path), "a Keras model or the folder of a run")
    check_type("preprocessing", preprocessing, (Preprocessing, type(None)), "a Preprocessing")
    if check_count("tile", tile) % (4 * _STEP):
        raise ValueError(f"tile must be a multiple of {4 * _STEP}, got {tile}.")
    if not isinstance(model, keras.Model):
        model, config = load_run(model)
        preprocessing = preprocessing or Preprocessing.from_dict(config["preprocessing"])
    score = scores_of_pixels(model)
    prepare = preprocessing or Preprocessing((1, 1), channels=model.inputs[0].shape[-1])
    return classes_of(score, prepare, prepare.pixels(image), tile)


def classes_of(score: Callable[[Any], Any], prepare: Preprocessing, pixels: np.ndarray, tile: int = TILE) -> np.ndarray:
    """The class of every pixel.

    Args:
        score: From `scores_of_pixels`.
        prepare: How pixels are scaled.
        pixels: uint8 (h, w, c).
        tile: As for `segment`.
    """
    found: np.ndarray | None = None
    for part, core, place in _tiles(pixels.shape[0], pixels.shape[1], tile):
        scores = score(prepare.normalise(pixels[part].astype(np.float32))[None])
        guess = tf.argmax(scores, axis=-1)[0].numpy()
        if found is None:
            found = np.empty(pixels.shape[:2], np.uint8 if scores.shape[-1] <= 256 else np.int32)
        found[place] = guess[core]
    assert found is not None  # there is at least one tile
    return found


def scores_of_pixels(model: keras.Model) -> Callable[[Any], Any]:
    """A compiled function from images (n, h, w, c) of any size to scores (n, h, w, classes).

    Its graph frees the output of each layer as early as possible.

    Raises:
        ValueError: If the model takes images of one size only, or gives no scores of pixels.
    """
    check_model("model", model)
    if model not in _functions:
        net = strip_aux(model)
        taken, given = (tuple(tensor.shape) for tensor in (net.inputs[0], net.outputs[0]))
        if len(taken) != 4 or len(given) != 4:
            raise ValueError(f"{model.name} must turn images into scores (n, h, w, classes), got the shape {given}.")
        if taken[1:3] != (None, None):
            raise ValueError(
                f"{model.name} takes images of {taken[2]} x {taken[1]} pixels only: build it with "
                f"input_shape=(None, None, {taken[3]}) for images of any size."
            )
        # the graph keeps the weights but not the model, which would keep its own entry alive
        compiled = tf.function(partial(_scores, weakref.ref(net)), autograph=False)
        _functions[model] = compiled.get_concrete_function(tf.TensorSpec(taken, tf.float32))
    function = _functions[model]
    return lambda images: function(tf.convert_to_tensor(images))


def _scores(model: Any, images: Any) -> Any:
    return model()(images, training=False)


_Place = tuple[slice, slice]


def _tiles(height: int, width: int, tile: int) -> Iterator[tuple[_Place, _Place, _Place]]:
    """For each tile: where it lies in the image, which part of it is used, and where that part lies in the image."""
    for rows in _along(height, tile):
        for columns in _along(width, tile):
            yield tuple(zip(rows, columns, strict=True))  # type: ignore[misc]


def _along(length: int, tile: int) -> Iterator[tuple[slice, slice, slice]]:
    """The three slices of each tile along one axis."""
    step, margin = tile // 2, tile // 4
    for start in count(0, step):
        end = min(start + tile, length)
        first = start + margin if start else 0
        last = end if end == length else end - margin
        yield slice(start, end), slice(first - start, last - start), slice(first, last)
        if end == length:
            return

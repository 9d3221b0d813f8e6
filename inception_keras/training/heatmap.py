"""Heat maps: where on a picture a classifier sees a class."""

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ..analysis.charts import plot_heatmap
from ..checks import check_count, check_model, check_picture, check_text, check_type, counted, got, nearest
from ..data.preprocessing import Preprocessing, open_picture
from ..data.preprocessing import class_names as imagenet_names
from ..data.preprocessing import preprocessing as published
from ..files import atomic_write
from ..graph import main_output
from ..segmentation.convolutionalize import convolutionalize
from ..weights.published import PUBLISHED
from ..zoo import ZOO, create_model
from ..zoo import find as find_model
from .folder import load_run

_BEST = 3  # classes shown if none are named
_LARGER = 2  # a picture is enlarged or reduced until it is so many times as large as a training picture
_LONGEST = 6  # times a training picture; bounds the memory for long pictures


@dataclass(frozen=True, eq=False)
class Heatmap:
    """Heat maps of classes on one picture, made by `heatmap`.

    `maps` is a float32 array (classes, h, w) with values of the net's output, such as probabilities, in the size of the
    picture. `names`, `classes` (indices) and `scores` have one entry for each map. A score is the mean over all places.
    `picture` is the picture as a uint8 array (h, w, 3). A notebook shows the drawing.
    """

    picture: np.ndarray
    maps: np.ndarray
    names: tuple[str, ...]
    classes: tuple[int, ...]
    scores: tuple[float, ...]

    def save(self, path: str | Path) -> Path:
        """Draws the picture and, beside it, each map over the picture; the suffix gives the format.

        Raises:
            ValueError: If the suffix is not that of a picture.
            OSError: If the file cannot be written. An existing file then stays unchanged.
        """
        path = check_picture("path", path)
        with atomic_write(path) as part:
            plot_heatmap(self.picture, self.maps, self._titles(), part)
        return path

    def _titles(self) -> list[str]:
        return [f"{name}  {score:.3f}" for name, score in zip(self.names, self.scores, strict=True)]

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        plot_heatmap(self.picture, self.maps, self._titles(), buffer)
        return buffer.getvalue()


def heatmap(
    model: keras.Model | str | Path,
    image: Any,
    classes: str | int | Sequence[str | int] | None = None,
    *,
    preprocessing: Preprocessing | None = None,
    class_names: Sequence[str] | None = None,
) -> Heatmap:
    """Shows where on a picture a classifier sees a class.

    The classifier becomes a fully convolutional net (`convolutionalize`) and scores many overlapping windows of the
    picture in one pass. A pixel of a heat map is the mean of the scores of all windows that contain it. A window counts
    the more, the nearer its centre is.

    The whole picture is used, not only its centre. It is resized until its smaller side is twice as long as that of a
    training picture: so a window covers about a quarter of a square picture. Its longer side gets at most six times
    that of a training picture.

    Args:
        model: The id of a net with published ImageNet weights, the folder of a run, or a Keras model. A model that
            `convolutionalize` returned is taken as it is, which saves time when there are many pictures.
        image: A path, a PIL image, or a uint8 array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), of any size.
        classes: Names or indices of classes; None for the three with the highest scores.
        preprocessing: What the net's input needs; its `size` is that of the training pictures. None for that of the
            published weights or of the run. A Keras model needs it unless it has the name and the 1,000 classes of a
            net with published weights.
        class_names: Names of the model's classes; None for those of ImageNet or of the run, or else "class 0" ...

    Returns:
        A `Heatmap`, with a map (h, w) for each class, in the size of the picture.

    Raises:
        ValueError: If a class does not exist, the picture cannot be read, or the model cannot become fully
            convolutional.
        TypeError: If an argument has the wrong type.
        FileNotFoundError: If there is no such picture or run.

    Examples:
        >>> from skimage import data
        >>> found = heatmap("squeezenet1_1", data.coffee(), "espresso")
        >>> found.names, found.maps.shape, found.scores[0] > 0.5
        (('espresso',), (1, 400, 600), True)
        >>> found.save(tmp_path / "espresso.png").name
        'espresso.png'
    """
    if preprocessing is not None:
        check_type("preprocessing", preprocessing, Preprocessing, "a Preprocessing")
    picture = open_picture(image, 3)
    net, prepare, names = _opened(model, preprocessing, class_names)
    wanted = None if classes is None else _indices(classes, names)
    *own, channels = net.input_shape[1:]
    size = tuple(side or other for side, other in zip(own, prepare.size, strict=True))
    if channels != prepare.channels:
        raise ValueError(
            f"preprocessing makes pictures of {prepare.channels} channels, but {net.name} takes {channels}."
        )
    if not isinstance(net.output_shape, tuple) or len(net.output_shape) != 4:
        net = convolutionalize(net, size=size)
    elif net.compute_output_shape((1, *size, channels))[1:3] != (1, 1):
        raise ValueError(
            f"{net.name} must be a classifier, but it gives a map of scores for a picture of {size} pixels."
        )
    larger = _larger(size, (picture.height, picture.width))
    pixels = replace(prepare, size=larger, resize=None)(picture)
    scores = np.asarray(net(pixels[None], training=False))[0].astype("float32")  # (places down, places across, classes)
    means = scores.mean(axis=(0, 1))
    if wanted is None:
        wanted = [int(i) for i in np.argsort(-means)[:_BEST]]
    down = _spread(scores.shape[0], size[0], larger[0], picture.height)
    across = _spread(scores.shape[1], size[1], larger[1], picture.width)
    maps = np.stack([down @ scores[..., i] @ across.T for i in wanted])
    found = tuple(names[i] for i in wanted)
    return Heatmap(np.asarray(picture), maps, found, tuple(wanted), tuple(float(means[i]) for i in wanted))


def _opened(
    model: Any, prepare: Preprocessing | None, names: Sequence[str] | None
) -> tuple[keras.Model, Preprocessing, tuple[str, ...]]:
    """The net, the preprocessing of its input and the names of its classes."""
    if isinstance(model, keras.Model):
        net = check_model("model", model)
        count = _classes(net)
        is_published = net.name in PUBLISHED and count == len(imagenet_names())
        if prepare is None and not is_published:
            raise ValueError(f"preprocessing must say what the input of {net.name} needs; it has no published weights.")
        prepare = prepare or published(net.name)
        own = imagenet_names() if is_published else tuple(f"class {i}" for i in range(count))
    elif isinstance(model, str) and (model in ZOO or not (os.sep in model or Path(model).is_dir())):
        find_model(model)
        prepare, own = prepare or published(model), imagenet_names()
        net = create_model(model, weights="imagenet", input_shape=(*prepare.size, prepare.channels))
    elif isinstance(model, (str, Path)):
        net, config = load_run(model)
        task = config["recipe"].get("task", "classification")
        if "class_names" not in config or "preprocessing" not in config:
            raise ValueError(f"A heat map needs a classifier; {model} is a run of the task {task}.")
        prepare, own = prepare or Preprocessing.from_dict(config["preprocessing"]), tuple(config["class_names"])
    else:
        raise TypeError(f"model must be a Keras model, the id of a net or the folder of a run, got {got(model)}.")
    if names is None:
        return net, prepare, own
    check_type("class_names", names, (list, tuple), "a list of names")
    if len(names) != _classes(net):
        raise ValueError(
            f"class_names must have a name for each of the {_classes(net)} classes of {net.name}, "
            f"got {counted(len(names), 'name')}."
        )
    return net, prepare, tuple(check_text("a name in class_names", name) for name in names)


def _classes(net: keras.Model) -> int:
    if len(net.inputs) != 1 or len(net.inputs[0].shape) != 4:
        raise ValueError(
            f"model must take one picture (height, width, channels), got {net.name} with {net.input_shape}."
        )
    return net.outputs[main_output(net)].shape[-1]


def _indices(classes: Any, names: Sequence[str]) -> list[int]:
    """The indices of classes that are given by name or index."""
    one_by_one = classes if isinstance(classes, (list, tuple, range)) else [classes]
    if not one_by_one:
        raise ValueError(f"classes must name at least one class, got {got(classes)}.")
    return list(dict.fromkeys(_index(one, names) for one in one_by_one))


def _index(wanted: Any, names: Sequence[str]) -> int:
    if isinstance(wanted, str) and wanted in names:
        return names.index(wanted)
    if isinstance(wanted, str) and not wanted.isdecimal():
        raise ValueError(f"classes has {wanted!r}, which is no class of this net; {nearest(wanted, names)}")
    return check_count("an index in classes", int(wanted) if isinstance(wanted, str) else wanted, 0, len(names) - 1)


def _larger(size: Sequence[int], picture: Sequence[int]) -> tuple[int, int]:
    """The size that a picture is resized to, both as (height, width)."""
    ratios = [side / window for side, window in zip(picture, size, strict=True)]
    enough = max(1 / min(ratios), min(_LARGER / min(ratios), _LONGEST / max(ratios)))
    # windows that lie a stride apart then reach to the edges, as most nets have a stride of 32 or a divisor of it
    step = 32 if min(size) >= 128 else 8
    sides = (min(enough * ratio, _LONGEST) * window for ratio, window in zip(ratios, size, strict=True))
    height, width = (window + step * round((side - window) / step) for side, window in zip(sides, size, strict=True))
    return height, width


def _spread(places: int, window: int, whole: int, pixels: int) -> np.ndarray:
    """The weights of windows in the means of pixels, along one axis: (pixels, places).

    Args:
        places: Number of windows.
        window: Their length.
        whole: The length that they cover together, in the same unit.
        pixels: Number of pixels over this length.
    """
    starts = np.linspace(0, whole - window, places) if places > 1 else np.array([(whole - window) / 2])
    middles = (np.arange(pixels) + 0.5) * whole / pixels
    weights = np.maximum(1e-6, 1 - np.abs(middles[:, None] - starts - window / 2) / (window / 2))
    return (weights / weights.sum(axis=1, keepdims=True)).astype("float32")

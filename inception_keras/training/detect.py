"""Finds objects in photographs by box, in pixels of the photograph."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import floor
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from ..analysis.box_overlays import Panel
from ..checks import check_choice, check_count, check_share, check_texts, check_type
from ..data.preprocessing import LARGEST, Photo, Preprocessing
from ..data.proposals import Propose
from ..detection.forms import FOUND, IMAGES, detections, image_input
from ..detection.region_forms import proposals_of
from ..detection.selective_search import MODES, selective_search
from ..detection.windows import sliding_windows
from .folder import load_run

MIN_SIZE, MAX_SIZE = 600, 1000  # of Fast and Faster R-CNN
_LONG = 5 / 3  # the largest longer side, as a multiple of the shorter, unless it is given: 1000 / 600

WINDOWS = "windows"  # what `proposals` of a recipe may be beside a mode of selective search and the folder of a run

_functions: Any = weakref.WeakKeyDictionary()  # the compiled function of each model, as compiling takes seconds


class Detections(NamedTuple):
    """What was found in a photograph, the best first.

    `boxes` are float32 (k, 4): x1, y1, x2 and y2 in pixels of the photograph, where 0 is the left edge of the first
    pixel. `labels` are the names of the classes, `scores` float32 (k,), and `classes` the class indices, int32 (k,).
    """

    boxes: np.ndarray
    labels: tuple[str, ...]
    scores: np.ndarray
    classes: np.ndarray


def detect(
    model: keras.Model | str | Path,
    image: Photo,
    *,
    threshold: float = 0.5,
    class_names: Sequence[str] | None = None,
    preprocessing: Preprocessing | None = None,
    min_size: int | None = None,
    max_size: int | None = None,
    proposals: np.ndarray | None = None,
) -> Detections:
    """Finds the objects in a photograph of any size.

    A net for images of any size gets the photograph with its shorter side resized to `min_size`, or to less if the
    longer side would exceed `max_size`. A net of one size, such as YOLO, gets the photograph stretched to that size;
    so does a net whose training images were stretched, unless `min_size` is given. torchvision's nets round the sides
    down, the others to the nearest pixel. For published weights, take the preprocessing of `preprocessing(id, "coco")`.

    Args:
        model: A detector, or the folder of a run with the task detection.
        image: A path, a PIL image, or a uint8 array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4). A photograph is turned
            upright by its EXIF orientation.
        threshold: The lowest score, from 0 to 1. For measures such as average precision, take 0.
        class_names: The names of the classes. None takes the run's own, and "class 0", "class 1" ... for a model.
        preprocessing: How pixels are scaled; its size is ignored. None takes the run's own, and -1 to 1 for a model.
        min_size: The shorter side in pixels. None takes that of the run's recipe or of its training images, and 600 for
            a model.
        max_size: The largest longer side in pixels. None takes the run's own, and 5/3 of `min_size` for a model.
        proposals: For nets that are given regions, such as `fast_rcnn`: (k, 4) in pixels of the photograph. None takes
            those of the run's recipe, and of `selective_search` for a model.

    Returns:
        Boxes, labels, scores and class indices.

    Raises:
        TypeError: If `model` is neither a Keras model nor a path.
        ValueError: If the model is not a detector, an argument is not valid, or the image is broken.
        FileNotFoundError: If the folder holds no finished run, or the image does not exist.

    Examples:
        >>> from skimage import data
        >>> found = detect(create_model("yolo_v1_mini", classes=3), data.coffee(), threshold=0.0)
        >>> len(found.boxes) == len(found.labels) == len(found.scores)
        True
    """
    check_type("model", model, (keras.Model, str, Path), "a Keras model or the folder of a run")
    check_type("preprocessing", preprocessing, (Preprocessing, type(None)), "a Preprocessing")
    threshold = check_share("threshold", threshold)
    if class_names is not None:
        check_texts("class_names", class_names)
    if isinstance(model, keras.Model):
        find = finder(model, preprocessing, class_names or (), min_size, max_size)
    else:
        net, config = load_run(model)
        given: Any = {"class_names": class_names, "min_size": min_size, "max_size": max_size}
        find = finder_of_run(net, config, preprocessing=preprocessing, **given)
    return find(find.prepare.pixels(image), threshold, proposals)


@dataclass(frozen=True)
class Finder:
    """Finds objects in photographs with one net. `finder` makes it."""

    function: Callable[..., Mapping[str, tf.Tensor]]
    taken: tuple[int | None, int | None]  # height and width of the input, if they are fixed
    regions: int | None  # number of proposals that the net takes; None for any number, and 0 if it takes none
    propose: Propose
    prepare: Preprocessing
    names: tuple[str, ...]
    min_size: int
    max_size: int
    rounds_down: bool = False  # whether the sides of a photograph are rounded down, as torchvision's are

    def __call__(self, pixels: np.ndarray, threshold: float = 0.0, proposals: np.ndarray | None = None) -> Detections:
        """Finds the objects in a photograph.

        Args:
            pixels: uint8 (h, w, c).
            threshold: The lowest score.
            proposals: (k, 4) in pixels of the photograph; None for those of `propose`.

        Raises:
            ValueError: If proposals are given to a net that takes none.
        """
        size = self.size(*pixels.shape[:2])
        scale = np.tile(np.divide(size, pixels.shape[:2], dtype=np.float32)[::-1], 2)
        prepare = replace(self.prepare, size=size, resize=None)
        inputs = [prepare(pixels)[None]]
        if proposals is not None and self.regions == 0:
            raise ValueError("The net takes no proposals.")
        if self.regions != 0:
            regions = self.propose(pixels) if proposals is None else np.asarray(proposals, np.float32).reshape(-1, 4)
            inputs.append(of_length(regions[None] * scale, self.regions))
        found = self.function(*map(tf.constant, inputs))
        boxes, classes, scores = (found[name][0].numpy() for name in FOUND)
        kept = (classes >= 0) & (scores >= threshold)
        edges = np.tile(np.array(pixels.shape[1::-1], np.float32), 2)
        boxes = np.clip(boxes[kept] / scale, 0, edges)
        return Detections(boxes, tuple(map(self.name, classes[kept])), scores[kept], classes[kept].astype(np.int32))

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that a photograph is resized to."""
        if None not in self.taken:
            return self.taken  # type: ignore[return-value]
        scale = min(self.min_size / min(height, width), self.max_size / max(height, width))
        sides = height * scale, width * scale
        whole = [floor(side) if self.rounds_down else round(side) for side in sides]
        return tuple(min(max(side, 1), LARGEST) for side in whole)  # type: ignore[return-value]

    def name(self, label: int) -> str:
        """The name of a class."""
        return self.names[label] if label < len(self.names) else f"class {label}"


def finder(
    model: keras.Model,
    preprocessing: Preprocessing | None = None,
    class_names: Sequence[str] = (),
    min_size: int | None = None,
    max_size: int | None = None,
    stretched: tuple[int, int] | None = None,
    propose: Propose | None = None,
) -> Finder:
    """A `Finder` for a detector. Its function is compiled once for each model.

    Args:
        model: A detector.
        preprocessing: As for `detect`.
        class_names: As for `detect`.
        min_size: As for `detect`.
        max_size: As for `detect`.
        stretched: (height, width) that photographs are stretched to, though the net takes any size.
        propose: The proposals for a photograph; None for those of `selective_search`.

    Raises:
        ValueError: If the model is not a detector, or an argument is not valid.
    """
    short = check_count("min_size", MIN_SIZE if min_size is None else min_size, most=LARGEST)
    long = check_count("max_size", round(_LONG * short) if max_size is None else max_size, least=short, most=LARGEST)
    if model not in _functions:
        net = detections(model)
        inputs = net.input if isinstance(net.input, dict) else {"images": net.input}
        images = next(name for name in IMAGES if name in inputs)
        # the graph keeps the weights but not the model, which would keep its own entry alive
        compiled = tf.function(partial(_found, weakref.ref(net)), autograph=False)
        names = [images, *(name for name in inputs if name != images)]
        shapes = [tf.TensorSpec((1, *inputs[name].shape[1:]), tf.float32) for name in names]
        regions = inputs["proposals"].shape[1] if "proposals" in inputs else 0
        down = any(getattr(layer, "rounding", "") == "down" for layer in net.layers)
        _functions[model] = compiled.get_concrete_function(*shapes), inputs[images].shape[1:], regions, down
    function, (height, width, channels), regions, down = _functions[model]
    return Finder(
        function=function,
        taken=stretched if stretched and None in (height, width) else (height, width),
        regions=regions,
        propose=propose or selective_search,
        prepare=preprocessing or Preprocessing((1, 1), channels=channels),
        names=tuple(class_names),
        min_size=short,
        max_size=long,
        rounds_down=down,
    )


def finder_of_run(
    model: keras.Model,
    config: Mapping[str, Any],
    *,
    preprocessing: Preprocessing | None = None,
    class_names: Sequence[str] | None = None,
    min_size: int | None = None,
    max_size: int | None = None,
) -> Finder:
    """A `Finder` for the net of a run, with the preprocessing and the classes of its config.json.

    Without sizes in its recipe, photographs become what the training images are, but for the crop: stretched, or with a
    shorter side of the same length.
    """
    options, prepare = config["recipe"].get("task_options", {}), Preprocessing.from_dict(config["preprocessing"])
    short, stretched = own_sizes(prepare, min_size or options.get("min_size"))
    most = max_size or (None if min_size else options.get("max_size"))
    names = class_names or config["class_names"]
    # by the words of Options in tasks/detection.py
    given = {"proposals": options.get("proposals"), "width": options.get("proposals_width")}
    propose = proposer(**{name: value for name, value in given.items() if value is not None})
    return finder(model, preprocessing or prepare, names, short, most, stretched, propose)


def own_sizes(prepare: Preprocessing, min_size: int | None) -> tuple[int, tuple[int, int] | None]:
    """The shorter side of photographs for a net that was trained with a preprocessing, or the size to stretch them to.

    Args:
        prepare: The preprocessing.
        min_size: The shorter side, if it is given.
    """
    if min_size is None and prepare.resize is None:
        return min(prepare.size), prepare.size
    return min_size or prepare.resize or min(prepare.size), None


def proposer(proposals: str = "fast", width: int = 500, cache: Path | None = None) -> Propose:
    """A function that proposes regions in a photograph: uint8 (h, w, c) to boxes (k, 4) in its pixels.

    Args:
        proposals: A mode of `selective_search`; `"windows"` for `sliding_windows`; or the folder of a run whose net has
            a region proposal network. The run is loaded when the function is first called.
        width: For selective search, as there.
        cache: For selective search, as there.
    """
    if proposals == WINDOWS:
        return lambda pixels: sliding_windows(*pixels.shape[:2])
    if proposals in MODES:
        return partial(selective_search, mode=proposals, width=width, cache=cache)
    return _OfRun(proposals)


class _OfRun:
    """The proposals of a run's net. Several threads may ask for them."""

    def __init__(self, folder: str):
        self._folder, self._lock = folder, Lock()
        self._find: Finder | None = None

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        with self._lock:
            self._find = self._find or self._loaded()
        return self._find(pixels).boxes

    def _loaded(self) -> Finder:
        if not Path(self._folder).is_dir():
            check_choice("proposals", self._folder, (*MODES, WINDOWS, "the folder of a run"))
        net, config = load_run(self._folder)
        return finder_of_run(proposals_of(net), config)


def of_length(proposals: Any, count: int | None) -> tf.Tensor:
    """Proposals (n, k, 4) cut or padded with zeros to (n, count, 4); unchanged if `count` is None."""
    proposals = tf.cast(proposals, tf.float32)
    if count is None:
        return proposals
    proposals = tf.pad(proposals[:, :count], ((0, 0), (0, tf.maximum(count - tf.shape(proposals)[1], 0)), (0, 0)))
    return tf.ensure_shape(proposals, (None, count, 4))


def panel(pixels: np.ndarray, found: Detections) -> Panel:
    """A photograph with what was found in it, to draw."""
    return Panel(pixels, found.boxes, found.labels, [int(label) for label in found.classes], found.scores.tolist())


def _found(model: Any, images: tf.Tensor, proposals: tf.Tensor | None = None) -> Mapping[str, tf.Tensor]:
    net = model()
    given = images if proposals is None else {image_input(net): images, "proposals": proposals}
    return net(given, training=False)

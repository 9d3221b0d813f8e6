"""Finds objects in many photographs, as a stream, and writes them as pictures and in COCO's form of results."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import keras

from ..analysis.box_overlays import plot_boxes
from ..checks import check_count, check_share
from ..data.names import COCO_CATEGORIES, VOC_CLASSES
from ..data.photographs import Photograph, Photographs, photographs
from ..data.preprocessing import Preprocessing
from ..detection.forms import is_detector
from ..files import atomic_write
from ..weights.store import written_by
from ..zoo import create_model, find
from .detect import MAX_SIZE, MIN_SIZE, Detections, Finder, finder, finder_of_run, panel
from .folder import load_run
from .predict import Answer, read_photograph
from .task import Pictures


class _Release(NamedTuple):
    """How the authors prepared photographs for a net whose files are read."""

    preprocessing: dict[str, Any]
    min_size: int = MIN_SIZE
    max_size: int = MAX_SIZE


_CAFFE = {"order": "bgr", "mean": (102.9801, 115.9465, 122.7717), "std": (1.0,), "antialias": False}
_TORCHVISION = {"scale": 255.0, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "antialias": False}
_RELEASES = {  # by the beginning of the id
    "yolo_v1": _Release({"scale": 255.0, "mean": (0.0,), "std": (1.0,)}),
    "fasterrcnn_": _Release(_TORCHVISION, 800, 1333),
    "faster_rcnn": _Release(_CAFFE),
    "fast_rcnn": _Release(_CAFFE),
}


@dataclass(frozen=True)
class Found(Answer):
    """What was found in one photograph, or the reason why it could not be read."""

    detections: Detections | None = None


def detect_photos(photos: Photographs, find: Finder, threshold: float = 0.5) -> Iterator[Found]:
    """Yields what is found in each photograph, as soon as it is found. Photographs are read one by one.

    Args:
        photos: As for `predict`.
        find: From `finder_for`.
        threshold: The lowest score.

    Raises:
        FileNotFoundError: If no file matches a pattern.
        ValueError: If a folder holds no images, or `threshold` is not from 0 to 1.
        TypeError: If an object is not a photograph.
    """
    threshold = check_share("threshold", threshold)
    return _stream(photographs(photos), find, threshold)


def _stream(photos: Iterable[Photograph], find: Finder, threshold: float) -> Iterator[Found]:
    for photo in photos:
        pixels = read_photograph(photo, find.prepare, own_size=True)
        if isinstance(pixels, str):
            yield Found(photo.name, [], pixels, foreign=bool(photo.foreign))
            continue
        found = find(pixels, threshold)
        names = [(label, float(score)) for label, score in zip(found.labels, found.scores, strict=True)]
        pictures: Pictures = {"boxes.png": partial(plot_boxes, [[panel(pixels, found)]])}
        yield Found(photo.name, names, pictures=pictures, detections=found)


def finder_for(
    *,
    run: str | Path | None = None,
    model: str | None = None,
    weights: str | Path | None = None,
    class_names: Sequence[str] | None = None,
    min_size: int | None = None,
    max_size: int | None = None,
) -> Finder:
    """A `Finder` for a run, or for a model id with a file of weights.

    Photographs are prepared as in the run. For a file of weights, they are prepared as its authors did it, and for a
    file of this package as runs do it by default, from -1 to 1.

    Args:
        run: The folder of a run with the task detection.
        model: The id of a detector.
        weights: A file of weights, or the name of a published set.
        class_names: The names of the classes. None takes the run's own; for a net of 20 classes VOC's, and for one of
            80 or 90 COCO's.
        min_size: As for `detect`.
        max_size: As for `detect`.

    Raises:
        ValueError: If neither a run nor a model with weights is given, or the net is not a detector.
        FileNotFoundError: If the run or the file does not exist.
    """
    if (run is None) == (model is None) or (model is None) != (weights is None):
        raise ValueError("detect needs a run (--run), or a model and its weights (--model and --weights).")
    if run is not None:
        net, config = load_run(run)
        if not is_detector(net):
            raise ValueError(
                f"The run {run} finds no boxes: its task is {config['recipe'].get('task', 'classification')}."
            )
        return finder_of_run(net, config, class_names=class_names, min_size=min_size, max_size=max_size)
    if (task := find(str(model)).task) != "detection":
        raise ValueError(f"{model} finds no boxes: it is a net of {task}.")
    net = create_model(str(model), weights=weights)
    release = _release(str(model), str(weights))
    channels = net.inputs[0].shape[-1]
    prepare = Preprocessing((1, 1), **({"channels": channels} | release.preprocessing))
    if class_names is None:
        class_names = _known_names(net)
    most = max_size or (None if min_size else release.max_size)
    return finder(net, prepare, class_names, min_size or release.min_size, most)


def _release(model: str, weights: str) -> _Release:
    path = Path(weights)
    if path.is_file() and path.suffix == ".safetensors" and written_by(path):
        return _Release({})
    return next((one for start, one in _RELEASES.items() if model.startswith(start)), _Release({}))


def _known_names(net: keras.Model) -> tuple[str, ...]:
    """The names of VOC's or COCO's classes, if a net has as many classes; else none."""
    count = next((layer.classes for layer in net.layers if isinstance(getattr(layer, "classes", None), int)), 0)
    if count == len(VOC_CLASSES) - 1:
        return VOC_CLASSES[1:]
    if count == len(COCO_CATEGORIES):
        return tuple(COCO_CATEGORIES)
    if count == max(COCO_CATEGORIES.values()):
        names = {number: name for name, number in COCO_CATEGORIES.items()}
        return tuple(names.get(index + 1, f"class {index}") for index in range(count))
    return ()


@contextmanager
def results_file(path: Path, names: Sequence[str]) -> Iterator[Callable[[Found], None]]:
    """Writes detections in COCO's form of results, photograph by photograph.

    An entry has `image_id`, the number that is the photograph's name, or else the name without suffix; `category_id`;
    `bbox`, which is x, y, width and height; and `score`. A category is the class index plus 1, or COCO's own number if
    the classes are its 80.

    Args:
        path: The file to write. It is written completely or not at all.
        names: The names of the classes.

    Yields:
        A function that adds what was found in a photograph.
    """
    coco = set(names) == set(COCO_CATEGORIES)
    with atomic_write(path) as part, part.open("w", encoding="utf-8", errors="backslashreplace") as file:
        separator = "[\n"

        def add(found: Found) -> None:
            nonlocal separator
            for entry in coco_results(found, COCO_CATEGORIES if coco else None):
                file.write(separator + json.dumps(entry))
                separator = ",\n"

        yield add
        file.write(("[\n" if separator == "[\n" else "\n") + "]\n")


def coco_results(found: Found, categories: dict[str, int] | None = None) -> list[dict[str, Any]]:
    """The detections of a photograph in COCO's form of results.

    Args:
        found: From `detect_photos`.
        categories: The number of each category by its name. None takes the class index plus 1.
    """
    if found.detections is None:
        return []
    stem = Path(found.photo).stem
    entries = []
    for box, label, score, index in zip(*found.detections, strict=True):
        x1, y1, x2, y2 = (round(float(value), 2) for value in box)
        entries.append(
            {
                "image_id": int(stem) if stem.isascii() and stem.isdigit() else stem,
                "category_id": categories[label] if categories else int(index) + 1,
                "bbox": [x1, y1, round(x2 - x1, 2), round(y2 - y1, 2)],
                "score": round(float(score), 5),
            }
        )
    return entries


def read_names(path: Path) -> tuple[str, ...]:
    """The names of classes in a text file, one a line.

    Raises:
        ValueError: If there is none.
        OSError: If the file cannot be read.
    """
    names = tuple(filter(None, map(str.strip, path.read_text(encoding="utf-8-sig").splitlines())))
    check_count(f"The number of names in {path}", len(names))
    return names

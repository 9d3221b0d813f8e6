"""R-CNN as a whole: proposals, features of any net, SVMs and box regressions, from images with boxes."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ..checks import (
    check_bool,
    check_callable,
    check_choice,
    check_count,
    check_model,
    check_number,
    check_path,
    check_type,
)
from ..data.datasets import Data
from ..data.preprocessing import Photo, Preprocessing
from ..detection.rcnn import CONTEXT, warp
from ..detection.region_svms import (
    BoxRegression,
    Linear,
    Regions,
    find_objects,
    overlaps_of,
    train_box_regression,
    train_svms,
)
from ..detection.selective_search import MODES, selective_search
from ..feature_maps import last_map
from ..files import atomic_write
from ..graph import outputs_of, read
from .detect import Detections
from .finetune import fingerprint
from .tasks.detection import pairs
from .transfer import vectors

Propose = Callable[[np.ndarray], np.ndarray]  # an image, uint8 (h, w, c), to boxes (k, 4)
BATCH = 64  # regions that the net sees at once
_NET, _ARRAYS, _SETTINGS = "net.keras", "rcnn.npz", "rcnn.json"  # the files of a saved detector


class RCNN:
    """R-CNN: every proposal of an image is warped, and a net makes features of it that linear SVMs score.

    The net stays as it is. What is learned are an SVM and a box regression for each class, see
    `inception_keras.detection.region_svms`.

    Args:
        net: A classifier for square images of a fixed size, such as `create_model("rcnn", weights=...)` or any of the
            zoo. The SVMs see what its last layer with weights sees; the box regressions see its last feature map.
        preprocessing: How pixels are scaled for the net; its size is ignored. None scales them to -1 to 1.
        mode: Of `selective_search`.
        width: Of `selective_search`.
        max_boxes: The most proposals of an image.
        context: Pixels of a warped region around its box, on each side; 16 of 227 as released. None takes this share.
        cache: A folder that stores proposals and features, by the pixels of images. None keeps them in memory while
            `fit` runs.
        propose: A function from an image, uint8 (h, w, c), to boxes (k, 4), in place of selective search.

    Raises:
        TypeError: If an argument has another type.
        ValueError: If the net takes no square images of a fixed size, or an argument is not valid.

    Reference:
        Girshick et al., arXiv:1311.2524.

    Examples:
        >>> data = load_data("scenes", task="detection", count=8, image_size=64, augment="none")
        >>> whole = lambda image: np.array([[8, 8, 56, 56], [0, 0, 64, 64]])
        >>> detector = RCNN(create_model("googlenet_cifar", input_shape=(32, 32, 3)), propose=whole).fit(data)
        >>> found = detector.detect(data.batches["test"].part.images[0], min_score=-9)
        >>> set(found.labels) <= set(data.class_names)
        True
    """

    _name = "R-CNN"
    _saved = ("mode", "width", "max_boxes", "context")
    _difficult = True  # whether difficult objects are positives

    def __init__(
        self,
        net: keras.Model,
        *,
        preprocessing: Preprocessing | None = None,
        mode: str = "fast",
        width: int | None = 500,
        max_boxes: int = 2000,
        context: int | None = None,
        cache: str | Path | None = None,
        propose: Propose | None = None,
    ):
        check_type("preprocessing", preprocessing, (Preprocessing, type(None)), "a Preprocessing")
        self.net, self.side = check_model("net", net), self._side(net)
        prepare = preprocessing or Preprocessing((self.side, self.side), channels=net.input_shape[-1])
        self.preprocessing = prepare.resized((self.side, self.side))
        self.mode = check_choice("mode", mode, MODES)
        self.width = None if width is None else check_count("width", width)
        self.max_boxes = check_count("max_boxes", max_boxes)
        self.context = round(CONTEXT / 227 * self.side) if context is None else context
        check_count("context", self.context, least=0, most=(self.side - 1) // 2)
        self.cache = None if cache is None else check_path("cache", cache)
        if propose is not None:
            check_callable("propose", propose, "a function from an image to boxes")
        self._propose = propose
        self.class_names: tuple[str, ...] = ()
        self.svms: Linear | None = None
        self.regression: BoxRegression | None = None
        self._outputs = self._cut(net)
        self._key = fingerprint(self._outputs)

    def _side(self, net: keras.Model) -> int:
        """Height and width of the images that the net takes."""
        shape = net.input_shape
        if not isinstance(shape, tuple) or len(shape) != 4 or not shape[1] or shape[1] != shape[2]:
            raise ValueError(f"net must take square images of a fixed size, got {net.name} for {shape}.")
        return int(shape[1])

    def _cut(self, net: keras.Model) -> keras.Model:
        """The net up to what SVMs and box regressions see."""
        return keras.Model(net.input, [vectors(net).output, *outputs_of(net, [last_map(read(net))])])

    def fit(self, data: Data, *, box_regression: bool = True) -> "RCNN":
        """Learns the SVMs, and the box regressions, from the training images of a data set.

        Images are used at their own size if the data hold files, as with `load_data(..., own_size=True)`.

        Args:
            data: Images with boxes, of `load_data(..., task="detection")`.
            box_regression: Whether boxes are made better after they are scored.

        Returns:
            The detector itself.

        Raises:
            ValueError: If the data have no boxes, or too many images cannot be read.
        """
        check_bool("box_regression", box_regression)
        check_type("data", data, Data, "a Data, as load_data(..., task='detection') gives it")
        classes = len(data.class_names)
        images = _Images(self, list(self._described(data)) if self.cache is None else data, classes)
        self.svms = train_svms(images, classes)
        self.regression = train_box_regression(images, images.truths, classes) if box_regression else None
        self.class_names = data.class_names
        return self

    def _described(self, data: Data) -> Any:
        for pixels, objects in self._pairs(data):
            yield self._regions(pixels, objects, len(data.class_names)), objects

    def _pairs(self, data: Data) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        for pixels, objects in pairs(data, "train"):
            kept = np.full(len(objects["classes"]), True) if self._difficult else ~objects["difficult"]
            yield pixels, {name: np.asarray(values)[kept] for name, values in objects.items()}

    def detect(self, image: Photo, *, min_score: float = -1.0) -> Detections:
        """Finds the objects in a photograph.

        Args:
            image: A path, a PIL image, or a uint8 array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4).
            min_score: The lowest score of an SVM: 1 is the margin of its positives, -1 that of its negatives.

        Returns:
            Boxes in pixels of the photograph, labels, scores and class indices, the best first.

        Raises:
            ValueError: If the detector has learned nothing yet, or the image is broken.
            FileNotFoundError: If the image does not exist.
        """
        min_score, pixels = check_number("min_score", min_score), self.preprocessing.pixels(image)
        if self.svms is None:
            raise ValueError(f"This {self._name} has learned nothing yet: call fit(data), or load(folder).")
        found = self._regions(pixels, None, len(self.class_names))
        boxes, classes, scores = find_objects(
            found.boxes, self.svms(found.features), found.maps, self.regression, pixels.shape[:2], min_score
        )
        return Detections(boxes, tuple(self.class_names[label] for label in classes), scores, classes)

    def _regions(self, pixels: np.ndarray, objects: dict[str, np.ndarray] | None, classes: int) -> Regions:
        """The regions of an image with their features: its objects, if they are given, and its proposals."""
        truth = objects["boxes"] if objects else np.zeros((0, 4))
        labels = np.asarray(objects["classes"] if objects else [], int)
        boxes = np.concatenate([truth, self._proposals(pixels)]).astype(np.float32)
        features, maps = self._features(pixels, boxes)
        of = np.concatenate([labels, np.full(len(boxes) - len(labels), -1)])
        return Regions(boxes, features, maps, of, overlaps_of(boxes, truth, labels, classes))

    def _proposals(self, pixels: np.ndarray) -> np.ndarray:
        """The boxes that are looked at in an image, float32 (k, 4)."""
        if self._propose is None:
            return selective_search(
                pixels, mode=self.mode, width=self.width, max_boxes=self.max_boxes, cache=self.cache
            )
        boxes = np.asarray(self._propose(pixels), np.float32).reshape(-1, 4)
        return boxes[: self.max_boxes]

    def _features(self, pixels: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        path = None
        if self.cache is not None:
            text = repr((self._key, *self._settings(), self.preprocessing, pixels.shape)).encode()
            name = hashlib.sha256(text + pixels.tobytes() + boxes.tobytes()).hexdigest()
            path = self.cache / f"features-{name}.npz"
            try:
                with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                    return file["features"], file["maps"]
            except (OSError, ValueError, KeyError, EOFError):
                pass  # made anew below
        features, maps = self._computed(pixels, boxes)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as part, part.open("wb") as file:
                np.savez(file, features=features, maps=maps)
        return features, maps

    def _settings(self) -> tuple:
        """What features depend on beside the net, the image and the preprocessing."""
        return (self.context,)

    def _computed(self, pixels: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The features and the maps of the regions of an image."""
        prepare = self.preprocessing
        fill = np.broadcast_to(np.multiply(prepare.mean, prepare.scale), prepare.channels)
        fill = fill[::-1] if prepare.order == "bgr" else fill
        parts: list[list[np.ndarray]] = [[], []]
        for start in range(0, max(1, len(boxes)), BATCH):
            some = boxes[start : start + BATCH]
            crops = prepare.normalise(warp(pixels, some, fill.tolist(), self.side, self.context))
            for part, values in zip(parts, self._outputs.predict_on_batch(crops), strict=True):
                part.append(values.reshape(len(some), -1))
        features, maps = (np.concatenate(part).astype(np.float32) for part in parts)
        return features, maps

    def save(self, folder: str | Path) -> None:
        """Saves the net and what was learned in a folder, for `RCNN.load`.

        Raises:
            ValueError: If the detector has learned nothing yet.
            OSError: If the folder cannot be written.
        """
        root = check_path("folder", folder)
        if self.svms is None:
            raise ValueError(f"This {self._name} has learned nothing yet: call fit(data) first.")
        root.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {
            "weights": self.svms.weights,
            "bias": self.svms.bias,
            "scale": np.array(self.svms.scale),
        }
        if self.regression:
            line = self.regression.linear
            arrays |= {"box_weights": line.weights, "box_bias": line.bias, "box_scale": np.array(line.scale)}
            arrays |= {"means": self.regression.means, "unwhiten": self.regression.unwhiten}
        settings = {
            "class_names": self.class_names,
            "preprocessing": self.preprocessing.to_dict(),
            "mode": self.mode,
            "width": self.width,
            "max_boxes": self.max_boxes,
            "context": self.context,
            "propose": self._propose is not None,
        } | self._more_settings()
        with atomic_write(root / _NET) as part:
            self.net.save(part)
        with atomic_write(root / _ARRAYS) as part, part.open("wb") as file:
            np.savez(file, **arrays)
        with atomic_write(root / _SETTINGS) as part:
            part.write_text(json.dumps(settings, indent=1), encoding="utf-8")

    def _more_settings(self) -> dict[str, Any]:
        """Arguments of the class that are saved beside those of `RCNN`."""
        return {"kind": self._name}

    @classmethod
    def load(cls, folder: str | Path, *, cache: str | Path | None = None, propose: Propose | None = None) -> "RCNN":
        """Loads what `save` has written.

        Args:
            folder: The folder.
            cache: As for the class.
            propose: As for the class; it must be given if the saved detector had one.

        Raises:
            FileNotFoundError: If the folder holds no detector.
            ValueError: If its files are broken, or `propose` is missing.
        """
        root = check_path("folder", folder)
        if cache is not None:
            check_path("cache", cache)
        if propose is not None:
            check_callable("propose", propose, "a function from an image to boxes")
        if not (root / _SETTINGS).is_file():
            raise FileNotFoundError(f"{root} holds no {cls._name}: there is no {_SETTINGS}.")
        try:
            settings = json.loads((root / _SETTINGS).read_text(encoding="utf-8"))
            with np.load(root / _ARRAYS, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            names = tuple(map(str, settings["class_names"]))
            prepare = Preprocessing.from_dict(settings["preprocessing"])
            options = {name: settings[name] for name in cls._saved}
            if settings["kind"] != cls._name:
                raise ValueError(f"it holds one of the kind {settings['kind']}")
            svms = Linear(arrays["weights"], arrays["bias"], float(arrays["scale"]))
            regression = None
            if "means" in arrays:
                line = Linear(arrays["box_weights"], arrays["box_bias"], float(arrays["box_scale"]))
                regression = BoxRegression(line, arrays["means"], arrays["unwhiten"])
            net = keras.models.load_model(root / _NET, compile=False)
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise ValueError(f"{root} holds no {cls._name} that can be loaded: {str(error).splitlines()[0]}.") from None
        if settings.get("propose") and propose is None:
            raise ValueError(f"The {cls._name} of {root} had its own function of proposals: give it as propose.")
        detector = cls(net, preprocessing=prepare, cache=cache, propose=propose, **options)
        detector.class_names, detector.svms, detector.regression = names, svms, regression
        return detector


class _Images(Sequence[Regions]):
    """The regions of the training images: in memory, or made and stored when they are asked for."""

    def __init__(self, detector: RCNN, source: Any, classes: int):
        self._known: list[tuple[Regions, dict]] | None = source if isinstance(source, list) else None
        self._make = partial(detector._regions, classes=classes)
        self._files: list[tuple[np.ndarray, dict]] = [] if self._known is not None else list(detector._pairs(source))
        objects = [one for _, one in (self._known if self._known is not None else self._files)]
        self.truths = [(np.asarray(one["boxes"], np.float32), np.asarray(one["classes"], int)) for one in objects]

    def __len__(self) -> int:
        return len(self.truths)

    def __getitem__(self, index: Any) -> Any:
        if self._known is not None:
            return self._known[index][0]
        pixels, objects = self._files[index]
        return self._make(pixels, objects)

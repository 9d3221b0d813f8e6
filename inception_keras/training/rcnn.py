"""R-CNN as a whole: proposals, features of any net, SVMs and box regressions, from images with boxes."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
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
from .rcnn_store import Stored, broken, write
from .rcnn_store import read as read_stored
from .region_tuning import batches, fit_batches, labelled, with_outputs
from .tasks.detection import image_of, numbered_pairs
from .transfer import vectors

Propose = Callable[[np.ndarray], np.ndarray]  # an image, uint8 (h, w, c), to boxes (k, 4)
BATCH = 64  # regions that the net sees at once


class RCNN:
    """R-CNN: every proposal of an image is warped, and a net makes features of it that linear SVMs score.

    `fine_tune` trains the net on regions, which may be left out. `fit` learns an SVM and a box regression for each
    class, see `inception_keras.detection.region_svms`; the net stays as it is.

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
    _background_from = 0.0  # in fine-tuning: from this IoU with an object on, a region is background
    _head_rate = 10.0  # in fine-tuning: factor of the learning rate of the last layer

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
        self._take(check_model("net", net))
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

    def _take(self, net: keras.Model) -> None:
        """Uses this net from now on. Nothing is learned from its features yet."""
        self.net, self.side = net, self._side(net)
        self._outputs = self._cut(net)
        self._key = fingerprint(self._outputs)
        self.svms: Linear | None = None
        self.regression: BoxRegression | None = None

    def _side(self, net: keras.Model) -> int:
        """Height and width of the images that the net takes."""
        shape = net.input_shape
        if not isinstance(shape, tuple) or len(shape) != 4 or not shape[1] or shape[1] != shape[2]:
            raise ValueError(f"net must take square images of a fixed size, got {net.name} for {shape}.")
        return int(shape[1])

    def _cut(self, net: keras.Model) -> keras.Model:
        """The net up to what SVMs and box regressions see."""
        return keras.Model(net.input, [vectors(net).output, *outputs_of(net, [last_map(read(net))])])

    def fine_tune(
        self,
        data: Data,
        *,
        steps: int = 70_000,
        positives: int = 32,
        negatives: int = 96,
        learning_rate: float = 1e-3,
        drop_steps: int = 20_000,
        seed: int = 0,
    ) -> list[float]:
        """Trains the net on the regions of the training images, to tell the classes and background apart.

        A step sees regions of all images, drawn evenly, half of them mirrored. Objects and proposals with an IoU of at
        least 0.5 with an object have its class, the others are background. Momentum is 0.9 and weight decay 0.0005;
        biases have twice the learning rate, and the last layer ten times. A net that has no output for background and
        for each class gets a fresh last layer. Call `fit` afterwards.

        Args:
            data: As for `fit`.
            steps: Number of steps; as released, 70,000. A few hundred do for a small net.
            positives: Regions with a class in a step.
            negatives: Regions of background in a step.
            learning_rate: Of the first steps.
            drop_steps: After each so many steps, the learning rate is divided by 10.
            seed: Of the draws.

        Returns:
            The loss of each step.

        Raises:
            ValueError: If the data have no boxes, too many images cannot be read, an argument is not valid, there are
                no regions with a class or none of background, or the loss is not finite.

        Reference:
            `finetuning/voc_2007_prototxt` in R-CNN's code.
        """
        for name, value in (("steps", steps), ("positives", positives), ("negatives", negatives)):
            check_count(name, value)
        check_count("drop_steps", drop_steps)
        check_count("seed", seed, least=0)
        if check_number("learning_rate", learning_rate, least=0) == 0:
            raise ValueError("learning_rate must be above 0, got 0.")
        check_type("data", data, Data, "a Data, as load_data(..., task='detection') gives it")
        count = len(data.class_names)
        indices, boxes, labels = [], [], []
        for index, pixels, objects in self._training(data):
            own = np.concatenate([objects["boxes"], self._proposals(pixels)]).astype(np.float32)
            indices.append(index)
            boxes.append(own)
            overlaps = overlaps_of(own, objects["boxes"], objects["classes"], count)
            labels.append(labelled(overlaps, self._background_from))
        self._take(with_outputs(self.net, count + 1))

        def examples(image: int, rows: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
            return self._examples(image_of(data, "train", indices[image]), boxes[image][rows], mirrored)

        net = self._trained()
        size = 4 * int(np.prod(net.input_shape[1:]))
        drawn = batches(labels, examples, steps, positives, negatives, size, seed)
        last = read(self.net).classifier().layer
        losses = fit_batches(net, last, drawn, learning_rate, drop_steps, self._head_rate)
        self._take(self.net)
        return losses

    def _trained(self) -> keras.Model:
        """The part of the net that is fine-tuned."""
        return self.net

    def _examples(self, pixels: np.ndarray, boxes: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
        """What the trained part sees of regions of an image."""
        crops = self._crops(pixels, boxes)
        return np.where(mirrored[:, None, None, None], crops[:, :, ::-1], crops)

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
        images = _Images(self, data)
        self.svms = train_svms(images, classes)
        self.regression = train_box_regression(images, images.truths, classes) if box_regression else None
        self.class_names = data.class_names
        return self

    def _training(self, data: Data) -> Iterator[tuple[int, np.ndarray, dict[str, np.ndarray]]]:
        """The training images: index, pixels, and the objects that are learned from."""
        for index, pixels, objects in numbered_pairs(data, "train"):
            kept = np.full(len(objects["classes"]), True) if self._difficult else ~objects["difficult"]
            yield index, pixels, {name: np.asarray(values)[kept] for name, values in objects.items()}

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
        parts: list[list[np.ndarray]] = [[], []]
        for start in range(0, max(1, len(boxes)), BATCH):
            some = boxes[start : start + BATCH]
            for part, values in zip(parts, self._outputs.predict_on_batch(self._crops(pixels, some)), strict=True):
                part.append(values.reshape(len(some), -1))
        features, maps = (np.concatenate(part).astype(np.float32) for part in parts)
        return features, maps

    def _crops(self, pixels: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """Warped regions, ready for the net: float32 (k, side, side, c). What lies outside the image is zero."""
        prepare = self.preprocessing
        fill = np.broadcast_to(np.multiply(prepare.mean, prepare.scale), prepare.channels)
        fill = fill[::-1] if prepare.order == "bgr" else fill
        return np.asarray(prepare.normalise(warp(pixels, boxes, fill.tolist(), self.side, self.context)))

    def save(self, folder: str | Path) -> None:
        """Saves the net and what was learned in a folder, for `RCNN.load`.

        Raises:
            ValueError: If the detector has learned nothing yet.
            OSError: If the folder cannot be written.
        """
        root = check_path("folder", folder)
        if self.svms is None:
            raise ValueError(f"This {self._name} has learned nothing yet: call fit(data) first.")
        settings = {
            "class_names": self.class_names,
            "preprocessing": self.preprocessing.to_dict(),
            "mode": self.mode,
            "width": self.width,
            "max_boxes": self.max_boxes,
            "context": self.context,
            "propose": self._propose is not None,
        } | self._more_settings()
        write(root, Stored(self.net, self.svms, self.regression, settings))

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
        net, svms, regression, settings = read_stored(root, cls._name)
        try:
            names = tuple(map(str, settings["class_names"]))
            prepare = Preprocessing.from_dict(settings["preprocessing"])
            options = {name: settings[name] for name in cls._saved}
        except (ValueError, KeyError, TypeError) as error:
            raise broken(root, cls._name, error) from None
        if settings.get("propose") and propose is None:
            raise ValueError(f"The {cls._name} of {root} had its own function of proposals: give it as propose.")
        detector = cls(net, preprocessing=prepare, cache=cache, propose=propose, **options)
        detector.class_names, detector.svms, detector.regression = names, svms, regression
        return detector


class _Images(Sequence[Regions]):
    """The regions of the training images: in memory, or with a cache, looked up when they are asked for.

    Images are not kept.
    """

    def __init__(self, detector: RCNN, data: Data):
        self._detector, self._data, self._classes = detector, data, len(data.class_names)
        self._known: list[Regions | None] = []
        self._places: list[tuple[int, dict[str, np.ndarray]]] = []
        self.truths = []
        for index, pixels, objects in detector._training(data):
            regions = detector._regions(pixels, objects, self._classes)
            self._known.append(regions if detector.cache is None else None)
            self._places.append((index, objects))
            self.truths.append((np.asarray(objects["boxes"], np.float32), np.asarray(objects["classes"], int)))

    def __len__(self) -> int:
        return len(self.truths)

    def __getitem__(self, number: Any) -> Any:
        known, (index, objects) = self._known[number], self._places[number]
        return known or self._detector._regions(image_of(self._data, "train", index), objects, self._classes)

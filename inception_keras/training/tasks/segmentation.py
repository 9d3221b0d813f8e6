"""Segmentation: a class for every pixel, by cross-entropy over the pixels that are not void."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf

from ...analysis.charts import plot_confusion
from ...analysis.overlays import plot_overlays
from ...checks import check_choice
from ...data.datasets import Data
from ...data.images import UnreadableImage, read_image
from ...data.palette import index_image, palette
from ...data.preprocessing import Preprocessing
from ...data.targets import VOID, Masks
from ...data.test_set import load_test_set
from ...files import atomic_write, write_csv
from ...zoo import create_model
from ..class_weights import class_weights
from ..compile import output_names, strip_aux
from ..folder import CLASSES, CONFUSION, EXAMPLES
from ..pixels import FIGURES, MeanPixelCrossEntropy, PixelCrossEntropy, PixelMetric, confusion, figures
from ..recipe import Recipe
from ..segment import classes_of, scores_of_pixels
from ..start import check_net, first_net
from ..task import DataFacts, Pictures, Task
from ..task import load as load_fields
from .classification import check

_EXAMPLES = 4  # test images in the picture of `evaluate`


@dataclass(frozen=True)
class Options:
    """The task's own fields in a recipe.

    Args:
        loss: `"mean"` is the mean over all pixels of a batch that are not void. `"sum"` is the sum over an image's
            pixels, and the mean over images, as the authors of FCN trained; it needs far smaller learning rates.
        count: The number of training scenes, if the data are scenes.
    """

    loss: str = "mean"
    count: int | None = None

    def __post_init__(self) -> None:
        check_choice("loss", self.loss, ("mean", "sum"))


# ------------------------------------------------------------------------------------------------------------ training


def load(recipe: Recipe, preprocessing: Preprocessing | None, **more: Any) -> Data:
    """Images with masks."""
    return load_fields(recipe, preprocessing, task="segmentation", count=TASK.options_of(recipe).count, **more)


def load_test(recipe: Recipe, config: Mapping[str, Any], data: str | None, data_dir: Path | None) -> Data:
    """Other images with masks to test a run on. The values of the masks must be the run's classes."""
    prepare, most = Preprocessing.from_dict(config["preprocessing"]), recipe.max_unreadable
    return load_test_set(data, data_dir, config["class_names"], prepare, task="segmentation", max_unreadable=most)


def build(recipe: Recipe, data: DataFacts) -> keras.Model:
    """The net of a recipe before its first step, for images of any size. It may start from the weights of a run."""
    check_net(recipe, "segmentation", "fcn8s")
    shape = (None, None, data.image_shape[-1])
    return first_net(recipe, data, partial(create_model, recipe.model, input_shape=shape, **recipe.options))


def compile(model: keras.Model, optimizer: keras.optimizers.Optimizer, recipe: Recipe, data: Data) -> keras.Model:
    """Compiles a net with the cross-entropy of its pixels, and with the four measures."""
    names, classes = output_names(model), len(data.class_names)
    losses = {name: PixelCrossEntropy(TASK.options_of(recipe).loss == "sum") for name in names}
    metrics = [*(PixelMetric(name, classes) for name in FIGURES), MeanPixelCrossEntropy()]
    jit = bool(tf.config.list_physical_devices("GPU")) and "auto"
    if len(names) == 1:
        model.compile(optimizer, losses[names[0]], metrics=metrics, jit_compile=jit)
        return model
    weights = {name: 1.0 if name == "predictions" else recipe.aux_weight for name in names}
    model.compile(optimizer, losses, loss_weights=weights, metrics={"predictions": metrics}, jit_compile=jit)
    return model


def targets(dataset: tf.data.Dataset, model: keras.Model, recipe: Recipe, data: Data) -> tf.data.Dataset:
    """Masks for each head."""
    names = output_names(model)
    return dataset if len(names) == 1 else dataset.map(lambda images, masks: (images, dict.fromkeys(names, masks)))


def train_targets(dataset: tf.data.Dataset, model: keras.Model, recipe: Recipe, data: Data) -> tf.data.Dataset:
    """Masks for each head, with the weights of pixels if classes have weights."""
    table = class_weights(recipe.class_weight, data)
    if table is None:
        return targets(dataset, model, recipe, data)
    names, weights = output_names(model), np.zeros(VOID + 1, np.float32)
    weights[list(table)] = list(table.values())

    def weighted(images: Any, masks: Any) -> Any:
        of_pixels = tf.gather(weights, tf.cast(masks, tf.int32))
        if len(names) == 1:
            return images, masks, of_pixels
        return images, dict.fromkeys(names, masks), dict.fromkeys(names, of_pixels)

    return dataset.map(weighted)


def columns(logs: Mapping[str, float], model: keras.Model, prefix: str) -> dict[str, float]:
    """The mean cross-entropy of a pixel, and the four measures. "total_loss" is what is minimised, if that differs."""
    start = "" if len(output_names(model)) == 1 else "predictions_"
    row = {f"{prefix}loss": logs[f"{start}cross_entropy"]}
    row |= {f"{prefix}{name}": logs[f"{start}{name}"] for name in FIGURES}
    plain = not start and not model.loss.summed
    return row if plain else row | {f"{prefix}total_loss": logs["loss"]}


def measure(model: keras.Model, recipe: Recipe, data: Data) -> keras.Model:
    """The net without auxiliary heads, compiled with the mean cross-entropy."""
    plain = recipe.with_changes(task_options={"loss": "mean"})
    return compile(strip_aux(model), keras.optimizers.SGD(), plain, data)


# --------------------------------------------------------------------------------------------------- a trained net


@dataclass(frozen=True)
class Report:
    """The results of a net on a test set, measured on each image at its own size.

    The four measures are those of FCN's paper. `classes` has, for each class of the run in order, its IoU, its accuracy
    and the number of its pixels. A class without pixels has no accuracy, NaN; its IoU is 0 if the net has found it
    somewhere, and NaN otherwise. `skipped` lists images that could not be read, with the reasons.
    """

    mean_iou: float
    pixel_accuracy: float
    mean_accuracy: float
    frequency_weighted_iou: float
    images: int
    classes: tuple[dict, ...]
    skipped: tuple[str, ...]

    @property
    def table(self) -> Sequence[Mapping[str, Any]]:
        """The rows of `classes`."""
        return self.classes

    @property
    def summary(self) -> str:
        """The four measures in a line."""
        return (
            f"mean IoU {self.mean_iou:.4f} on {self.images:,} images, pixel accuracy {self.pixel_accuracy:.4f}, "
            f"mean accuracy {self.mean_accuracy:.4f}, frequency-weighted IoU {self.frequency_weighted_iou:.4f}"
        )


def report(model: keras.Model, data: Data, recipe: Recipe, folder: Path) -> Report:
    """Measures a net on a test set, and writes classes.csv, confusion.png and examples.png into the run's folder."""
    names, score, prepare = data.class_names, scores_of_pixels(model), data.preprocessing
    matrix, images = np.zeros((len(names), len(names)), np.int64), 0
    examples: list[list[tuple[np.ndarray, np.ndarray | None]]] = []
    for pixels, truth in _pairs(data):
        guess = classes_of(score, prepare, pixels)
        matrix, images = matrix + np.asarray(confusion(truth, guess, len(names))), images + 1
        if len(examples) < _EXAMPLES:
            examples.append([(pixels, None), (pixels, truth), (pixels, guess)])
    found = {name: np.asarray(values) for name, values in figures(matrix).items()}
    rows = [
        {"class": name, "iou": float(iou), "accuracy": float(accuracy), "pixels": int(pixels)}
        for name, iou, accuracy, pixels in zip(names, found["iou"], found["accuracy"], matrix.sum(axis=1), strict=True)
    ]
    result = Report(
        **{name: float(found[name]) for name in FIGURES},
        images=images,
        classes=tuple(rows),
        skipped=tuple(f"{path} {why}" for path, why in data.skipped),
    )
    title = f"{model.name}, {data.name}: mean IoU {result.mean_iou:.4f}; percent of the pixels of each true class"
    percent = np.round(100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)).astype(int)
    try:
        write_csv(folder / CLASSES, rows)
        with atomic_write(folder / CONFUSION) as part:
            plot_confusion(percent, names, part, title=title)
        with atomic_write(folder / EXAMPLES) as part:
            plot_overlays(examples, names, palette(), part, titles=("photograph", "truth", "found"))
    except OSError as error:  # the run of a colleague, in a folder that cannot be written to
        warnings.warn(str(error), stacklevel=3)
    return result


def _pairs(data: Data) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The test images at their own size, uint8 (h, w, c), with their masks (h, w).

    Images that cannot be read are recorded in `data.skipped`.

    Raises:
        ValueError: If too many images cannot be read.
    """
    batches = data.batches["test"]
    part, masks = batches.part, cast(Masks, batches.part.targets)
    for index in range(len(part)):
        if isinstance(masks.masks, np.ndarray):
            yield part.images[index], masks.masks[index]
            continue
        source = part.images[index]
        try:
            pixels = data.preprocessing.pixels(read_image(source, data.preprocessing.channels))
            source, size = masks.masks[index], pixels.shape[:2]
            truth = masks.read(index, (0, 0, *size), size, size)
        except (UnreadableImage, OSError) as error:
            if batches.unreadable:
                batches.unreadable.add(source, error)
        else:
            yield pixels, truth
    data.check()


def predict_image(
    model: keras.Model, image: np.ndarray, config: Mapping[str, Any], count: int
) -> tuple[list[tuple[str, float]], Pictures]:
    """The classes with the most pixels with their shares of the photograph, and pictures of all classes."""
    names = config["class_names"]
    mask = classes_of(scores_of_pixels(model), Preprocessing.from_dict(config["preprocessing"]), image)
    shares = np.bincount(mask.ravel(), minlength=len(names)) / mask.size
    order = [int(index) for index in np.argsort(-shares, kind="stable")[:count] if shares[index]]
    pictures: Pictures = {
        "overlay.png": lambda path: plot_overlays([[(image, mask)]], names, palette(), path),
        "mask.png": lambda path: index_image(mask).save(path),
    }
    return [(names[index], float(shares[index])) for index in order], pictures


TASK = Task(
    score="mean_iou",
    build=build,
    compile=compile,
    targets=targets,
    train_targets=train_targets,
    load=load,
    load_own=partial(load, own_size=True),
    load_test=load_test,
    columns=columns,
    inference=strip_aux,
    measure=measure,
    report=report,
    predict_image=predict_image,
    check=check,
    options=Options,
    reads=("weights", "freeze", "class_weight", "aux_weight"),
)

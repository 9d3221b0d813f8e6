"""Classification: one class for each image, by cross-entropy, with auxiliary heads and class weights."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.metrics import classification_report, confusion_matrix, top_k_accuracy_score

from ...analysis.charts import plot_confusion
from ...data.datasets import Data
from ...files import atomic_write, write_csv
from ...scope import without_weights
from ...weights.store import assign, variables
from ...zoo import create_model
from ..aux_labels import with_aux_labels
from ..class_weights import class_weights
from ..compile import compile_model, output_names, strip_aux
from ..folder import CLASSES, CONFUSION, load_run
from ..predict import likeliest, scores_of
from ..recipe import Recipe
from ..task import DataFacts, Task
from ..transfer import freeze, transfer

_TOP = 5  # as in ImageNet's challenge


# ------------------------------------------------------------------------------------------------------------ training


def build(recipe: Recipe, data: DataFacts) -> keras.Model:
    """The model of a recipe before its first step: not compiled, and with its blocks frozen as the recipe says."""
    classes = len(data.class_names)
    of_data = {"input_shape": data.image_shape, "classes": classes}
    for name, value in of_data.items():
        given = recipe.options.get(name, value)
        if (tuple(given) if isinstance(given, list) else given) != value:
            more = "; image_size changes the size of the images" if name == "input_shape" else ""
            raise ValueError(f"The option {name} must be {value}, as the data have it, got {given!r}{more}.")
    options = {name: value for name, value in recipe.options.items() if name not in of_data}
    build = partial(create_model, recipe.model, input_shape=_shape(recipe, data), **options)
    if recipe.weights is None:
        return build(classes=classes)
    if not Path(recipe.weights).is_dir():
        return transfer(build(weights=recipe.weights), classes, freeze=recipe.freeze)
    model, names = _model_of_run(recipe, data, build)
    if names == list(data.class_names):
        return freeze(model, recipe.freeze)
    return transfer(model, classes, freeze=recipe.freeze)


def _shape(recipe: Recipe, data: DataFacts) -> tuple[int | None, int | None, int]:
    """The shape of the input: of any height and width, if the training images vary in size."""
    height, width, channels = data.image_shape
    if not recipe.train_sizes:
        return height, width, channels
    try:
        with without_weights():
            create_model(recipe.model, **{**recipe.options, "input_shape": (None, None, channels)})
    except ValueError as error:
        raise ValueError(f"train_sizes needs a net that takes images of any size: {error}") from None
    return None, None, channels


def _model_of_run(recipe: Recipe, data: DataFacts, build: Callable[..., keras.Model]) -> tuple[keras.Model, list[str]]:
    """The model of the run that a recipe starts from, and its classes."""
    trained, config = load_run(str(recipe.weights))
    its = config["recipe"]
    for what, theirs, ours in (
        ("is of the task", its.get("task", "classification"), recipe.task),
        ("is of the model", its["model"], recipe.model),
        ("has the options", its["options"], dict(recipe.options)),
        ("takes images", trained.input_shape[1:], _shape(recipe, data)),
    ):
        if theirs != ours:
            raise ValueError(f"The run {recipe.weights} {what} {theirs}, the recipe wants {ours}.")
    # the model is built again, so that its layers get the current precision
    names, arrays = config["class_names"], {name: variable.numpy() for name, variable in variables(trained).items()}
    model = strip_aux(build(classes=len(names)))
    if variables(model).keys() != arrays.keys():  # that run had a new classifier
        model = transfer(build(), len(names))
    assign(model, arrays, str(recipe.weights))
    return model, names


def compile(model: keras.Model, optimizer: keras.optimizers.Optimizer, recipe: Recipe, data: Data) -> keras.Model:
    """Compiles a classifier with cross-entropy for each head."""
    return compile_model(
        model,
        optimizer,
        aux_weight=recipe.aux_weight,
        label_smoothing=recipe.label_smoothing,
        metrics=("accuracy", "cross_entropy"),
    )


def targets(dataset: tf.data.Dataset, model: keras.Model, recipe: Recipe, data: Data) -> tf.data.Dataset:
    """Labels for each head."""
    return with_aux_labels(dataset, model)


def train_targets(dataset: tf.data.Dataset, model: keras.Model, recipe: Recipe, data: Data) -> tf.data.Dataset:
    """Labels for each head, with class weights."""
    return with_aux_labels(dataset, model, class_weight=class_weights(recipe.class_weight, data))


def columns(logs: Mapping[str, float], model: keras.Model, prefix: str) -> dict[str, float]:
    """The metrics of each head. "loss" and "accuracy" are those of the classifier; "total_loss" is minimised."""
    names = output_names(model)
    if len(names) == 1:
        return {f"{prefix}{name}": logs[name] for name in ("loss", "accuracy")}
    row = {}
    for head in ["predictions", *(name for name in names if name != "predictions")]:
        start = prefix if head == "predictions" else f"{prefix}{head}_"
        row[f"{start}loss"] = logs[f"{head}_cross_entropy"]
        row[f"{start}accuracy"] = logs[f"{head}_accuracy"]
    return row | {f"{prefix}total_loss": logs["loss"]}


def measure(model: keras.Model, recipe: Recipe, data: Data) -> keras.Model:
    """The net without auxiliary heads, compiled with the plain cross-entropy, without label smoothing."""
    return compile_model(strip_aux(model))


def check(config: Mapping[str, Any], model: keras.Model | None) -> None:
    """Raises a ValueError if a config.json has no names of at least two classes, or its model has other classes."""
    names = config["class_names"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(names) < 2:
        raise ValueError(f"has class_names {names!r}, which must be a list of at least two names")
    if model and model.output_shape[-1] != len(names):
        raise ValueError(f"has {len(names)} class_names, but model.keras has {model.output_shape[-1]} classes")


# --------------------------------------------------------------------------------------------------- a trained net


@dataclass(frozen=True)
class Report:
    """The results of a classifier on a test set.

    `classes` has precision, recall, f1 and the number of images of each class, in the run's order. `macro_f1` is the
    mean F1 of the classes that have images in the test set. `top_5_accuracy` is the share of images whose class is
    among the five likeliest; it is None if there are no more than five classes. `skipped` lists images that could not
    be read, with the reasons.
    """

    accuracy: float
    images: int
    classes: tuple[dict, ...]
    macro_f1: float
    top_5_accuracy: float | None
    skipped: tuple[str, ...]

    @property
    def table(self) -> Sequence[Mapping[str, object]]:
        """The rows of `classes`."""
        return self.classes

    @property
    def summary(self) -> str:
        """Accuracy, top-5 accuracy and macro F1 in a line."""
        top = "" if self.top_5_accuracy is None else f", top-5 accuracy {self.top_5_accuracy:.4f}"
        return f"accuracy {self.accuracy:.4f} on {self.images:,} images{top}, macro F1 {self.macro_f1:.4f}"


def report(model: keras.Model, data: Data, recipe: Recipe, folder: Path) -> Report:
    """Measures a classifier on a test set, and writes confusion.png and classes.csv into the run's folder."""
    score, names = scores_of(model), data.class_names
    try:
        pairs = [(labels, score(images)) for images, labels in data.test]
    except tf.errors.OpError:
        data.check()  # raises a clear error if images are the cause
        raise
    truth, scores = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    guess = scores.argmax(axis=1)
    rows = _rows(truth, guess, names)
    accuracy = float((truth == guess).mean())
    matrix = confusion_matrix(truth, guess, labels=range(len(names)))
    title = f"{model.name}, {data.name}: accuracy {accuracy:.4f} on {len(truth):,} images"
    try:
        write_csv(folder / CLASSES, rows)
        with atomic_write(folder / CONFUSION) as part:
            plot_confusion(matrix, names, part, title=title)
    except OSError as error:  # the run of a colleague, in a folder that cannot be written to
        warnings.warn(str(error), stacklevel=3)
    top = None
    if len(names) > _TOP:
        top = float(top_k_accuracy_score(truth, scores, k=_TOP, labels=range(len(names))))
    macro = float(np.mean([row["f1"] for row in rows if row["images"]]))
    return Report(accuracy, len(truth), tuple(rows), macro, top, tuple(f"{path} {why}" for path, why in data.skipped))


def _rows(truth: np.ndarray, guess: np.ndarray, names: Sequence[str]) -> list[dict[str, object]]:
    figures: Any = classification_report(truth, guess, labels=range(len(names)), output_dict=True, zero_division=0)
    return [
        {
            "class": name,
            "precision": figures[str(number)]["precision"],
            "recall": figures[str(number)]["recall"],
            "f1": figures[str(number)]["f1-score"],
            "images": int(figures[str(number)]["support"]),
        }
        for number, name in enumerate(names)
    ]


def predict(scores: np.ndarray, config: Mapping[str, Any], count: int) -> list[tuple[str, float]]:
    """The likeliest classes of an image with their probabilities, the likeliest first."""
    return likeliest(scores, config["class_names"], count)


TASK = Task(
    score="accuracy",
    build=build,
    compile=compile,
    targets=targets,
    train_targets=train_targets,
    columns=columns,
    inference=strip_aux,
    measure=measure,
    report=report,
    predict=predict,
    check=check,
    reads=("weights", "freeze", "label_smoothing", "class_weight", "aux_weight"),
)

"""Measures a trained net on a test set."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.metrics import classification_report, confusion_matrix, top_k_accuracy_score

from ..analysis.charts import plot_confusion
from ..checks import check_path, check_text, some
from ..data.datasets import load_data
from ..data.fingerprint import fingerprint_of_files
from ..data.preprocessing import Preprocessing
from ..data.test_set import TestSet, load_test_set
from ..files import atomic_write, write_csv
from .predict import scores_of
from .start import load_run

_TOP = 5  # as in ImageNet's challenge


@dataclass(frozen=True)
class Report:
    """The results on a test set.

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


def evaluate(folder: str | Path, *, data: str | None = None, data_dir: str | Path | None = None) -> Report:
    """Measures the model of a run on a test set, and writes confusion.png and classes.csv into the run's folder.

    Without `data` and `data_dir`, the run's own test set is used. Other data are tested on their test set; without one,
    on their validation set; without splits, on all images, even if there is only one. Classes are matched by name: the
    data may have fewer classes than the run, in any order. `max_bad` and `label` are those of the run.

    Args:
        folder: The folder of a run.
        data: A named data set; None for the run's own data.
        data_dir: A folder of data, as for `load_data`.

    Returns:
        Accuracy, macro F1, top-5 accuracy and a row for each class.

    Warns:
        UserWarning: If confusion.png or classes.csv cannot be written.

    Raises:
        FileNotFoundError: If the folder holds no finished run.
        ValueError: If the data have a class that the run does not have, or too many images cannot be read.

    Examples:
        >>> folder = train(Recipe(model="lenet5_modern", epochs=1), tmp_path / "run", verbose=0).folder
        >>> evaluate(folder).images
        360
    """
    folder = check_path("folder", folder)
    if data is not None:
        check_text("data", data)
    if data_dir is not None:
        data_dir = check_path("data_dir", data_dir)
    model, config = load_run(folder)
    test, names = _test_set(config, data, data_dir), config["class_names"]

    score = scores_of(model)
    try:
        pairs = [(labels, score(images)) for images, labels in test.batches]
    except tf.errors.OpError:
        test.check()  # raises a clear error if images are the cause
        raise
    truth, scores = (np.concatenate(arrays) for arrays in zip(*pairs, strict=True))
    guess = scores.argmax(axis=1)
    rows = _rows(truth, guess, names)
    accuracy = float((truth == guess).mean())
    matrix = confusion_matrix(truth, guess, labels=range(len(names)))
    title = f"{model.name}, {test.name}: accuracy {accuracy:.4f} on {len(truth):,} images"
    try:
        write_csv(folder / "classes.csv", rows)
        with atomic_write(folder / "confusion.png") as part:
            plot_confusion(matrix, names, part, title=title)
    except OSError as error:  # the run of a colleague, in a folder that cannot be written to
        warnings.warn(str(error), stacklevel=2)
    top = None
    if len(names) > _TOP:
        top = float(top_k_accuracy_score(truth, scores, k=_TOP, labels=range(len(names))))
    macro = float(np.mean([row["f1"] for row in rows if row["images"]]))
    return Report(accuracy, len(truth), tuple(rows), macro, top, tuple(f"{path} {why}" for path, why in test.skipped))


def _test_set(config: dict, data: str | None, data_dir: Path | None) -> TestSet:
    """The images of the given data; without any, the run's own test set."""
    recipe, prepare = config["recipe"], Preprocessing.from_dict(config["preprocessing"])
    limits: dict[str, Any] = {"label": recipe.get("label"), "max_bad": recipe.get("max_bad", 0.1)}
    own = recipe["data_dir"]
    is_own = data_dir is None and data in (None, recipe["data"])
    if data_dir and own and _same(data_dir, Path(own), config):
        own, is_own = str(data_dir), True  # the run's own data, at their present place
    if is_own:
        if own and not Path(own).exists():
            raise FileNotFoundError(f"The run's data are not in {own}: say where they are now with --data-dir.")
        own_data = load_data(
            recipe["data"], data_dir=own, augment=False, seed=recipe["seed"], preprocessing=prepare, **limits
        )
        if list(own_data.class_names) != config["class_names"]:
            raise ValueError(
                f"The run knows the classes {some(config['class_names'], 10)}; its data have "
                f"{some(own_data.class_names, 10)} now."
            )
        return TestSet(own_data.name, own_data.test, own_data.skipped, own_data.check)
    return load_test_set(data, data_dir, config["class_names"], prepare, **limits)


def _same(path: Path, own: Path, config: dict) -> bool:
    """Whether a path leads to the run's own data, or to a folder with the same files."""
    if not path.exists():
        return False
    files = config.get("data", {}).get("files")
    return (own.exists() and path.samefile(own)) or (files is not None and fingerprint_of_files(path) == files)


def _rows(truth: np.ndarray, guess: np.ndarray, names: Sequence[str]) -> list[dict[str, Any]]:
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

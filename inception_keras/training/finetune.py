"""Fine-tunes a trained net on a folder of photographs, in two stages or with a linear classifier."""

from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from types import NoneType
from typing import Any
from zipfile import BadZipFile

import keras
import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from ..checks import check_bool, check_dataset, check_model, check_path, check_type
from ..data.datasets import Data
from ..files import atomic_write, write_csv
from ..scope import without_weights
from ..weights.store import save_weights
from ..zoo import create_model, find
from .callbacks import Given, check_callbacks
from .class_weights import balanced, class_weights
from .devices import device
from .facts import prints_of
from .folder import (
    CHECKPOINTS,
    CONFIG,
    HEAD,
    METRICS,
    NEWEST,
    Result,
    check_kind,
    checkpoint,
    command,
    read_config,
    result_of,
)
from .lock import prepared
from .progress import check_verbose
from .recipe import Recipe
from .resume import given_recipe
from .run import export_best, run, write_config
from .start import first_preprocessing
from .task import task_of
from .transfer import freeze, vectors

LOWER = 0.1  # of the first stage's learning rate: the second stage changes weights learnt from a million photographs
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)  # of the linear classifier: the inverse of its weight decay


def finetune(
    recipe: Recipe | None,
    out: str | Path,
    *,
    linear: bool = False,
    cache: str | Path | None = None,
    resume: bool = False,
    callbacks: Given = (),
    verbose: int | str = "auto",
) -> Result:
    """Trains a net with pretrained weights for other classes, and writes the folder of a run.

    There are two stages of `recipe.epochs` epochs each. The first trains only the new classifier, as a run of its own
    in `out/head`. The second starts from the first stage's model and trains all blocks except those frozen by
    `recipe.freeze`, at a tenth of the learning rate. It is the run in `out`.

    `linear` is much faster. The net turns each image into a vector, once and without augmentation. On these vectors
    scikit-learn fits logistic regressions of six strengths. The one with the best validation result becomes the
    classifier. Rows and checkpoints are then numbered by strength instead of by epoch.

    Args:
        recipe: The recipe, with `weights`. None takes the recipe of the folder's run, which will be resumed.
        out: The folder of the run. It is created if necessary. It must not hold a run, unless `resume` is set.
        linear: Whether only a linear classifier is trained, and all other layers stay unchanged.
        cache: The file in which `extract_features` keeps the vectors for a linear classifier.
        resume: Continues the folder's run, as `train` does. An unfinished linear classifier is started again.
            Additional epochs apply to both stages if the second has not begun, otherwise to the second stage only.
        callbacks: As for `train`, in both stages. The second stage begins with its own `on_train_begin`, and its epoch
            numbers continue those of the first stage. A linear classifier has no epochs and accepts no callbacks.
        verbose: As for `train`.

    Returns:
        The results of the run. `evaluate` and `predict` take its folder.

    Raises:
        ValueError: If the recipe has no weights, or does not fit the data, the model or the folder's run.
        TypeError: If `recipe` is not a Recipe, `out` is not a path, or an object in `callbacks` is not a callback.
        FileExistsError: If the folder holds a run, and `resume` is not set.

    Examples:
        >>> recipe = Recipe(model="squeezenet1_1", weights="imagenet", image_size=32)
        >>> result = finetune(recipe, tmp_path / "run", linear=True)
        >>> evaluate(result.folder).images
        360
    """
    check_type("recipe", recipe, (Recipe, NoneType), "a Recipe or None (Recipe.load reads a file)")
    out, linear, resume = check_path("out", out), check_bool("linear", linear), check_bool("resume", resume)
    verbose, callbacks = check_verbose(verbose), check_callbacks(callbacks)
    if linear and callbacks:
        raise ValueError("callbacks need epochs, and a linear classifier (linear=True) is not trained in epochs.")
    cache = None if cache is None else check_path("cache", cache)
    kind = "linear" if linear else "finetune"
    check_kind(out, kind, resume)
    recipe = recipe or given_recipe(out)
    if recipe is None:
        raise ValueError(f"finetune needs a recipe: {out} holds no run whose recipe it could take.")
    if recipe.weights is None:
        raise ValueError("finetune needs a recipe with weights, such as 'imagenet'; train starts from fresh ones.")
    if recipe.task != "classification":
        raise ValueError(f"finetune trains classifiers only, got a recipe of the task {recipe.task}; use train.")
    if linear:
        return _linear(recipe, out, cache, verbose)
    if not (out / CONFIG).exists():
        with without_weights():  # a wrong block name raises its error now, not after the first stage
            freeze(create_model(recipe.model, **recipe.options), recipe.freeze)
        if verbose:
            print("Stage 1 of 2: the classifier alone.", flush=True)
        first = replace(recipe, freeze="all")
        run(
            first,
            out / HEAD,
            "head",
            resume=resume,
            verbose=verbose,
            finetune=recipe,
            go_on=command(out, kind),
            callbacks=callbacks,
        )
    rate = recipe.learning_rate * LOWER
    second = replace(recipe, weights=str(out / HEAD), learning_rate=rate)
    head = read_config(out / HEAD) or {}
    before = head["result"]["rows"][-1]["epoch"] if "result" in head else recipe.epochs
    if verbose and "result" not in (read_config(out) or {}):
        print("Stage 2 of 2: all blocks that are not frozen.", flush=True)
    # with resume, as the first stage has made the folder
    result = run(second, out, kind, resume=True, verbose=verbose, finetune=recipe, callbacks=callbacks, first=before)
    (out / HEAD / CHECKPOINTS / NEWEST).unlink(missing_ok=True)  # the first stage will not be continued any more
    return result


def extract_features(
    model: keras.Model, dataset: tf.data.Dataset, *, cache: str | Path | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The vectors that a model's classifier receives for each image, and the labels.

    Args:
        model: A classifier. If its last layer with weights reads feature maps, these are averaged over pixels.
        dataset: Batches `(images, labels)`, ready for the net.
        cache: A .npz file that stores the vectors by a hash of the images' bytes, so that the net only processes new
            images. It is overwritten if the model or its weights differ.

    Returns:
        float32 vectors (n, features) and labels (n,), in the order of the data set.

    Raises:
        ValueError: If the model has no classifier, or the data set has no labels.
        TypeError: If `model` is not a Keras model, or `dataset` not a tf.data.Dataset.

    Examples:
        >>> digits = load_data("digits", image_size=64, augment=False, preprocessing=preprocessing("squeezenet1_1"))
        >>> model = create_model("squeezenet1_1", input_shape=(64, 64, 3))
        >>> matrix, labels = extract_features(model, digits.validation, cache=tmp_path / "digits.npz")
        >>> matrix.shape
        (144, 512)
    """
    check_model("model", model)
    check_dataset("dataset", dataset)
    if cache is not None:
        cache = check_path("cache", cache)
    if not isinstance(dataset.element_spec, tuple) or len(dataset.element_spec) < 2:
        raise ValueError(f"The data set must give (images, labels), got {dataset.element_spec}.")
    net = vectors(model)
    key = fingerprint(net)
    known = _read(cache, key)
    before = len(known)
    names: list[bytes] = []
    labels: list[Any] = []
    for images, truth, *_ in dataset.as_numpy_iterator():
        batch = [blake2b(image.tobytes(), digest_size=16).digest() for image in images]
        new = [i for i, name in enumerate(batch) if name not in known]
        if new:
            known |= zip([batch[i] for i in new], net.predict_on_batch(images[new]), strict=True)
        names += batch
        labels.append(truth)
    if cache is not None and len(known) > before:
        _write(Path(cache), key, known)
    return np.stack([known[name] for name in names]), np.concatenate(labels)


def fingerprint(net: keras.Model) -> str:
    """A hash of a model and its weights."""
    hashed = blake2b(net.to_json().encode(), digest_size=16)
    for variable in net.weights:
        hashed.update(variable.numpy().tobytes())
    return hashed.hexdigest()


def _read(path: str | Path | None, key: str) -> dict[bytes, np.ndarray]:
    """The vectors of a cache by image; none if the file is missing, broken, or belongs to another model."""
    if path is None:
        return {}
    try:
        with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            if str(file["model"]) == key:
                return {name.tobytes(): row for name, row in zip(file["images"], file["vectors"], strict=True)}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        pass  # vectors that are not in the cache are computed
    return {}


def _write(path: Path, key: str, known: dict[bytes, np.ndarray]) -> None:
    images = np.frombuffer(b"".join(known), np.uint8).reshape(-1, 16)
    with atomic_write(path) as part, part.open("wb") as file:
        np.savez(file, model=np.array(key), images=images, vectors=np.stack(list(known.values())))


def _linear(recipe: Recipe, out: Path, cache: str | Path | None, verbose: int | str) -> Result:
    recipe = replace(recipe, freeze="all", augment="none", mixup=0.0, cutmix=0.0)
    stored = read_config(out)
    if stored and "result" in stored:
        return run(recipe, out, "linear", resume=True, verbose=verbose)
    find(recipe.model)
    task = task_of(recipe)
    with prepared(out), device(recipe.device):
        keras.utils.set_random_seed(recipe.seed)
        natural = replace(recipe, sampling="natural")  # sampling becomes weights, not repeats
        data = task.load(natural, first_preprocessing(recipe))
        weights = _weights(recipe, data)
        model = task.build(recipe, data)
        head = model.layers[-1]
        if not isinstance(head, keras.layers.Dense):
            raise ValueError(f"The classifier of {recipe.weights} is no dense layer, which a linear one must be.")
        train_set, validation = (extract_features(model, part, cache=cache) for part in (data.train, data.validation))
        write_config(out, recipe, data, model, "linear", prints_of(data, recipe))
        rows = []
        for number, strength in enumerate(STRENGTHS, start=1):
            kernel, bias = _fit(*train_set, weights, strength)
            row: dict[str, float] = {"epoch": number, "strength": strength}
            for prefix, part in (("", train_set), ("val_", validation)):
                row |= {f"{prefix}{name}": value for name, value in _figures(kernel, bias, *part).items()}
            rows.append(row)
            head.set_weights([kernel, bias])
            save_weights(model, checkpoint(out, number))
        write_csv(out / METRICS, rows)
        export_best(out, recipe, task, data, rows)
    return result_of(out)


def _weights(recipe: Recipe, data: Data) -> np.ndarray:
    """The weight of an image of each class: its class weight, times how often balanced sampling would show it."""
    weights = np.ones(len(data.class_names))
    for table in (class_weights(recipe.class_weight, data), balanced(data) if recipe.sampling == "balanced" else None):
        if table:
            weights *= [table[index] for index in range(len(weights))]
    return weights


def _fit(matrix: np.ndarray, labels: np.ndarray, weights: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Fits a logistic regression on standardised features; returns kernel and bias of a dense softmax layer.

    Args:
        matrix: Vectors (n, features).
        labels: Labels (n,) of the vectors.
        weights: Weight of the vectors of each class, (classes,).
        strength: The inverse of the weight decay.
    """
    scaler = StandardScaler().fit(matrix)
    fitted = LogisticRegression(C=strength, max_iter=10_000).fit(scaler.transform(matrix), labels, weights[labels])
    kernel, bias = fitted.coef_.T, fitted.intercept_
    if len(fitted.classes_) == 2:  # scikit-learn scores the second class only
        kernel, bias = np.hstack([0 * kernel, kernel]), np.hstack([0 * bias, bias])
    kernel = kernel / scaler.scale_[:, None]
    whole = np.zeros((len(kernel) + 1, len(weights)), "float32")
    whole[-1] = -1e4  # a class without training images is never predicted
    whole[:, fitted.classes_] = np.vstack([kernel, bias - scaler.mean_ @ kernel])
    return whole[:-1], whole[-1]


def _figures(kernel: np.ndarray, bias: np.ndarray, matrix: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    scores = matrix @ kernel + bias
    losses = np.logaddexp.reduce(scores, axis=1) - scores[np.arange(len(labels)), labels]
    return {"loss": float(losses.mean()), "accuracy": float((scores.argmax(axis=1) == labels).mean())}

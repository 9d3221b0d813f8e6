"""From a trained net and a folder of photographs to a run: in two stages, or by a linear classifier."""

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
from ..data.fingerprint import fingerprint
from ..data.named import Data
from ..scope import structure
from ..weights.store import save_weights, whole
from ..zoo import create_model, find
from .callbacks import Given, check_callbacks
from .class_weights import balanced, class_weights
from .devices import device
from .folder import HEAD, Result, check_kind, checkpoint, command, prepared, read_config, result_of
from .loop import write_csv
from .progress import check_verbose
from .recipe import Recipe
from .resume import given_recipe
from .run import begin, finish, load, run
from .start import first_model
from .state import NEWEST
from .transfer import freeze, vectors

LOWER = 0.1  # of the first stage's learning rate: the second moves what has been learnt on a million photographs
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
    """Trains a net that has weights on other classes, and leaves the folder of a run.

    In two stages of `recipe.epochs` each. The first trains the new classifier alone and is a run of its own in
    `out/head`; the second starts from its model, trains all but what `recipe.freeze` says at a tenth of the learning
    rate, and is the run in `out`.

    Or `linear`, much faster: the net makes one vector of each image, once and without augmentation, on which
    scikit-learn fits logistic regressions of six strengths. The one that is best on validation becomes the
    classifier; rows and checkpoint count the strengths where those of `train` count epochs.

    Args:
        recipe: What to do, with `weights`; None for the recipe of the folder's run, which is to be resumed.
        out: The folder; it is made if necessary, and must not hold a run unless that is to be resumed.
        linear: Whether all but the classifier stays as it is.
        cache: Where `extract_features` keeps the vectors of a linear classifier.
        resume: Goes on with the folder's run, as `train` does; a linear one that is not finished is done again. More
            epochs go to both stages as long as the second has not begun, then to the second.
        callbacks: As for `train`, in both stages: the second has its own `on_train_begin`, and counts the epochs on
            from those of the first. A linear classifier has no epochs and takes none.
        verbose: As for `train`.

    Returns:
        The figures of the run; `evaluate` and `predict` take its folder.

    Raises:
        ValueError: If the recipe has no weights, or does not fit the data, the model or the folder's run.
        TypeError: If `recipe` is not a Recipe, `out` is not a path or something in `callbacks` is no callback.
        FileExistsError: If the folder holds a run and is not to be resumed.

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
    if linear:
        return _linear(recipe, out, cache, verbose)
    if not (out / "config.json").exists():
        with structure():  # a block that does not exist is named now, not after the first stage
            freeze(create_model(recipe.model, **recipe.options), recipe.freeze)
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
    # resumed, as the first stage may be there
    result = run(second, out, kind, resume=True, verbose=verbose, finetune=recipe, callbacks=callbacks, first=before)
    (out / HEAD / "checkpoints" / NEWEST).unlink(missing_ok=True)  # the first stage does not go on any more
    return result


def extract_features(
    model: keras.Model, dataset: tf.data.Dataset, *, cache: str | Path | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """What a model's classifier reads of each image, with the labels.

    Args:
        model: A classifier; maps that its last layer with weights reads are averaged over pixels.
        dataset: Batches `(images, labels)`, ready for the net.
        cache: A .npz file that keeps the vectors by the bytes of their images: the net sees only images that are new.
            It is begun anew for another model or other weights.

    Returns:
        float32 vectors (n, features) and labels (n,), in the order of the data set.

    Raises:
        ValueError: If the model has no classifier, or the data set no labels.
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
    key = _fingerprint(net)
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


def _fingerprint(net: keras.Model) -> str:
    """A short name of a model and its weights."""
    hashed = blake2b(net.to_json().encode(), digest_size=16)
    for variable in net.weights:
        hashed.update(variable.numpy().tobytes())
    return hashed.hexdigest()


def _read(path: str | Path | None, key: str) -> dict[bytes, np.ndarray]:
    """The vectors of a cache, by image; none if it is not there, broken, or of another model."""
    if path is None:
        return {}
    try:
        with Path(path).open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            if str(file["model"]) == key:
                return {name.tobytes(): row for name, row in zip(file["images"], file["vectors"], strict=True)}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        pass  # what a cache lacks is computed
    return {}


def _write(path: Path, key: str, known: dict[bytes, np.ndarray]) -> None:
    images = np.frombuffer(b"".join(known), np.uint8).reshape(-1, 16)
    with whole(path) as part, part.open("wb") as file:
        np.savez(file, model=np.array(key), images=images, vectors=np.stack(list(known.values())))


def _linear(recipe: Recipe, out: Path, cache: str | Path | None, verbose: int | str) -> Result:
    recipe = replace(recipe, freeze="all", augment="none", mixup=0.0, cutmix=0.0)
    stored = read_config(out)
    if stored and "result" in stored:
        return run(recipe, out, "linear", resume=True, verbose=verbose)
    find(recipe.model)
    with prepared(out), device(recipe.device):
        keras.utils.set_random_seed(recipe.seed)
        data = load(replace(recipe, sampling="natural"))  # each image once: sampling becomes weights, as many repeats
        weights = _weights(recipe, data)
        model = first_model(recipe, data)
        head = model.layers[-1]
        if not isinstance(head, keras.layers.Dense):
            raise ValueError(f"The classifier of {recipe.weights} is no dense layer, which a linear one must be.")
        train_set, validation = (extract_features(model, part, cache=cache) for part in (data.train, data.validation))
        begin(out, recipe, data, model, "linear", fingerprint(data, recipe.data_dir))
        rows = []
        for number, strength in enumerate(STRENGTHS, start=1):
            kernel, bias = _fit(*train_set, weights, strength)
            row: dict[str, Any] = {"epoch": number, "strength": strength}
            for prefix, part in (("", train_set), ("val_", validation)):
                row |= {f"{prefix}{name}": value for name, value in _figures(kernel, bias, *part).items()}
            rows.append(row)
            head.set_weights([kernel, bias])
            save_weights(model, checkpoint(out, number))
        write_csv(out / "metrics.csv", rows)
        finish(out, recipe, data, rows)
    return result_of(out)


def _weights(recipe: Recipe, data: Data) -> np.ndarray:
    """What an image of each class counts: its class weight, times how often balanced sampling would show it."""
    weights = np.ones(len(data.class_names))
    for table in (class_weights(recipe.class_weight, data), balanced(data) if recipe.sampling == "balanced" else None):
        if table:
            weights *= [table[index] for index in range(len(weights))]
    return weights


def _fit(matrix: np.ndarray, labels: np.ndarray, weights: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a dense layer with a softmax: a logistic regression, fitted on features of equal scale.

    Args:
        matrix: Vectors (n, features).
        labels: Of the vectors, (n,).
        weights: What a vector of each class counts, (classes,).
        strength: The inverse of the weight decay.
    """
    scaler = StandardScaler().fit(matrix)
    fitted = LogisticRegression(C=strength, max_iter=10_000).fit(scaler.transform(matrix), labels, weights[labels])
    kernel, bias = fitted.coef_.T, fitted.intercept_
    if len(fitted.classes_) == 2:  # of which scikit-learn has the score of the second, beside 0
        kernel, bias = np.hstack([0 * kernel, kernel]), np.hstack([0 * bias, bias])
    kernel = kernel / scaler.scale_[:, None]
    whole = np.zeros((len(kernel) + 1, len(weights)), "float32")
    whole[-1] = -1e4  # a class without training images is never the answer
    whole[:, fitted.classes_] = np.vstack([kernel, bias - scaler.mean_ @ kernel])
    return whole[:-1], whole[-1]


def _figures(kernel: np.ndarray, bias: np.ndarray, matrix: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    scores = matrix @ kernel + bias
    losses = np.logaddexp.reduce(scores, axis=1) - scores[np.arange(len(labels)), labels]
    return {"loss": float(losses.mean()), "accuracy": float((scores.argmax(axis=1) == labels).mean())}

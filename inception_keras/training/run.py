"""A training run: a recipe in, a folder with the model, its figures and its pictures out."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from ..analysis.curves import plot_curves
from ..analysis.diagrams import plot_blocks
from ..data.named import Data, load_data
from ..weights.store import load_weights, whole
from .aux_labels import with_aux_labels
from .compile import compile_model, strip_aux
from .devices import device
from .distribute import Steps, place, strategy, synchronize_batch_norm, watched
from .loop import Loop, checkpoint, write_csv
from .recipe import Recipe
from .schedule import best_epoch, build_optimizer
from .start import first_model, first_preprocessing
from .state import BEFORE, NEWEST, locked

_FREE = ("save_minutes",)  # fields that do not change what comes out


@dataclass(frozen=True)
class Result:
    """What a run came to. `rows` are those of test.csv, one for each kept checkpoint."""

    folder: Path
    best_epoch: int
    validation_accuracy: float
    test_accuracy: float
    rows: tuple[dict, ...]
    skipped: tuple[str, ...]  # images that could not be read, and why; config.json has them too


def train(recipe: Recipe | None, out: str | Path, *, resume: bool = False, verbose: int | str = "auto") -> Result:
    """Trains a model and leaves all that is worth looking at in a folder.

    The folder gets config.json; model.png; checkpoints/ with weights of the kept epochs, the last and the best, and
    while the run is under way its state; metrics.csv, a row an epoch, and timing.csv, rewritten after each; and at the
    end curves.png, test.csv with every kept checkpoint on validation and test set, and model.keras: the net without
    auxiliary heads, in float32, with the weights best on validation.

    Killed at any moment and started again with `resume`, a run ends as one that was never interrupted would have:
    on one device bit by bit. SIGTERM ends it after the step under way, saved.

    Args:
        recipe: What to do; None for what the folder's run does, or the default recipe if it holds none.
        out: The folder; it is made, and must not hold a run already, unless that is to be resumed. Workers on several
            machines must all see it.
        resume: Goes on with the folder's run; a finished one is left as it is, and without one a run begins.
        verbose: Keras's progress bar: 0 for none, 1 for a bar, 2 for a line an epoch.

    Returns:
        The figures of the run.

    Raises:
        ValueError: If the recipe does not fit the data, the model or the run that is to be resumed, too many images
            cannot be read, or, as `TrainingDiverged`, if the loss is not finite any more.
        FileExistsError: If the folder holds a run and is not to be resumed.
        RuntimeError: If another process works in the folder.
        OSError: If a file cannot be written; the last state stays.
        SystemExit: As `Stopped`, after SIGTERM.

    Examples:
        >>> recipe = Recipe(model="lenet5_modern", epochs=1)
        >>> train(recipe, tmp_path / "run", verbose=0).best_epoch
        1
        >>> train(None, tmp_path / "run", resume=True, verbose=0).best_epoch
        1
    """
    out = Path(out)
    stored = _stored(out)
    recipe = recipe or (stored and stored["recipe"]) or Recipe()
    spread = strategy(recipe.devices)
    worker, workers = place(spread)
    if worker == 0:
        (out / "checkpoints").mkdir(parents=True, exist_ok=True)
    with watched(workers), locked(out) if worker == 0 else nullcontext():
        stored = _stored(out)  # by now nobody else writes
        if stored and worker == 0 and not resume:
            raise FileExistsError(f"{out} holds a run already: name another folder, resume it, or remove it.")
        if stored and resume:
            _compare(recipe, stored["recipe"], out)
            if "result" in stored:
                if worker == 0:
                    _clear(out, stored["result"]["rows"])
                    if verbose:
                        print(f"The run in {out} is finished.")
                return result_of(out)
        alone = spread.num_replicas_in_sync == 1 and workers == 1
        with device(recipe.device) if alone else nullcontext():
            if recipe.deterministic:
                tf.config.experimental.enable_op_determinism()
            keras.utils.set_random_seed(recipe.seed)
            data = load(recipe)
            with spread.scope(), _precision(recipe.precision):
                model = first_model(recipe, data)
                if recipe.sync_batch_norm:
                    synchronize_batch_norm(model)
                compile_model(
                    model,
                    build_optimizer(recipe, model),
                    aux_weight=recipe.aux_weight,
                    label_smoothing=recipe.label_smoothing,
                    metrics=("accuracy", "cross_entropy"),
                )
            steps = Steps(model, spread, next(iter(with_aux_labels(data.epoch(0), model))))
            loop = Loop(out, recipe, data, model, steps, verbose)
            if resume:
                loop.resume()
            if worker == 0:
                begin(out, recipe, data, model, stored if resume else None)
            loop.run()
            if worker == 0:
                finish(out, recipe, data, loop.rows)
            steps.any(False)  # nobody leaves before the chief is done
    return result_of(out)


def load(recipe: Recipe) -> Data:
    """The data of a recipe, prepared as its weights want them."""
    return load_data(
        recipe.data,
        data_dir=recipe.data_dir,
        label=recipe.label,
        image_size=recipe.image_size,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        augment=recipe.augment,
        flip=recipe.flip,
        mixup=recipe.mixup,
        cutmix=recipe.cutmix,
        max_bad=recipe.max_bad,
        preprocessing=first_preprocessing(recipe),
    )


@contextmanager
def _precision(name: str) -> Iterator[None]:
    """Layers that are made inside compute in this precision; their weights are float32 in any."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _stored(out: Path) -> dict | None:
    """The config.json of a folder, its recipe as a Recipe; None if there is none."""
    path = out / "config.json"
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_text())
        return config | {"recipe": Recipe.from_dict(config["recipe"], str(path))}
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not one of a run: {error}") from None


def _compare(recipe: Recipe, stored: Recipe, out: Path) -> None:
    mine, theirs = recipe.to_dict(), stored.to_dict()
    unlike = [name for name in mine if name not in _FREE and mine[name] != theirs[name]]
    if unlike:
        fields = ", ".join(f"{name} {theirs[name]!r}, not {mine[name]!r}" for name in unlike)
        raise ValueError(f"The run in {out} has another recipe: {fields}.")


def begin(out: Path, recipe: Recipe, data: Data, model: keras.Model, stored: dict | None) -> None:
    """config.json and the picture; of a run that is resumed, whether the data are those it had."""
    config = {
        "recipe": recipe.to_dict(),
        "counts": data.counts,
        "class_names": list(data.class_names),
        "preprocessing": data.preprocessing.to_dict(),
        "skipped": list(_skipped(data)),
    }
    for name in ("counts", "class_names"):
        if stored and stored[name] != config[name]:
            raise ValueError(f"The run in {out} had other data: {name} {stored[name]}, not {config[name]}.")
    with whole(out / "model.png") as part:
        plot_blocks(model, part)
    _write_json(out / "config.json", config)


def finish(out: Path, recipe: Recipe, data: Data, epochs: list[dict]) -> None:
    """Evaluates the kept checkpoints, and saves the best as the model of the run: a net in float32, on one device."""
    model = first_model(recipe, data)
    net = compile_model(strip_aux(model))
    best = best_epoch(epochs)
    rows = []
    for epoch in sorted({best, len(epochs), *(number for number in recipe.keep if number <= len(epochs))}):
        load_weights(model, checkpoint(out, epoch))
        row: dict[str, Any] = {"epoch": epoch, "best": epoch == best}
        for part, dataset in (("validation", data.validation), ("test", data.test)):
            figures = net.evaluate(dataset, verbose=0, return_dict=True)
            row |= {f"{part}_loss": figures["loss"], f"{part}_accuracy": figures["accuracy"]}
        rows.append(row)
    write_csv(out / "test.csv", rows)
    load_weights(model, checkpoint(out, best))
    with whole(out / "model.keras") as file:
        keras.Model(net.input, net.output, name=net.name).save(file)  # without the optimizer
    with whole(out / "curves.png") as file:
        plot_curves(epochs, file, best=best, title=f"{recipe.model} on {data.name}")

    config = json.loads((out / "config.json").read_text())
    _write_json(out / "config.json", config | {"result": {"best_epoch": best, "rows": rows}, "skipped": _skipped(data)})
    _clear(out, rows)


def _clear(out: Path, rows: list[dict]) -> None:
    """Removes what a run needed only to go on."""
    kept = {checkpoint(out, row["epoch"]) for row in rows}
    for pattern in (NEWEST, BEFORE, "epoch_*.safetensors", "part-*"):
        for path in {*(out / "checkpoints").glob(pattern)} - kept:
            path.unlink()


def result_of(out: Path) -> Result:
    """What a finished run's config.json says."""
    config = json.loads((out / "config.json").read_text())
    epoch, rows = config["result"]["best_epoch"], config["result"]["rows"]
    best = next(row for row in rows if row["best"])
    return Result(out, epoch, best["validation_accuracy"], best["test_accuracy"], tuple(rows), tuple(config["skipped"]))


def _skipped(data: Data) -> tuple[str, ...]:
    return tuple(f"{path} {reason}" for path, reason in data.skipped)


def _write_json(path: Path, content: Any) -> None:
    with whole(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n")

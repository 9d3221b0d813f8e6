"""A training run: takes a recipe, and fills a folder with the model, its metrics and its plots."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import NoneType
from typing import Any

import keras
import tensorflow as tf

from ..analysis.charts import plot_curves
from ..analysis.diagrams import plot_blocks
from ..checks import check_bool, check_path, check_type
from ..data.datasets import Data, load_data
from ..data.fingerprint import fingerprint
from ..data.preprocessing import Preprocessing
from ..files import atomic_write, write_csv, write_json
from ..weights.store import load_weights
from ..zoo import find
from .aux_labels import with_aux_labels
from .callbacks import Given, check_callbacks
from .class_weights import class_weights
from .compile import compile_model, strip_aux
from .devices import device
from .distribute import Steps, place, strategy, synchronize_batch_norm, watched
from .folder import (
    HEAD,
    Result,
    check_kind,
    checkpoint,
    command,
    is_whole_model,
    paths_of,
    prepared,
    result_of,
)
from .loop import Loop
from .progress import check_verbose
from .recipe import Recipe
from .resume import check_data, check_places, is_finished, resumed, why_finished
from .schedule import best_epoch, build_optimizer
from .start import Classes, first_model, first_preprocessing
from .state import BEFORE


def train(
    recipe: Recipe | None,
    out: str | Path,
    *,
    resume: bool = False,
    callbacks: Given = (),
    verbose: int | str = "auto",
) -> Result:
    """Trains a model, and writes the model, its metrics and its plots to a folder.

    The folder gets config.json and model.png. checkpoints/ has the weights of the kept epochs, of the last and of the
    best epoch, and the state from which the run can continue. metrics.csv has a row for each epoch; it and timing.csv
    are rewritten after every epoch. At the end come curves.png, test.csv with the validation and test results of every
    kept checkpoint, and model.keras: the net without auxiliary heads, in float32, with the weights of the best epoch.

    A run may be killed at any moment and started again with `resume`. It then gives the same result as an uninterrupted
    run, on one device bit for bit. SIGTERM or Ctrl-C saves the run and ends it after the current step; a second Ctrl-C
    ends it at once.

    A run that continues keeps its recipe. Only `save_minutes`, `device`, `max_bad` and `patience` may change, epochs
    may be added to `keep`, and `data_dir` may change if it holds the same data. The run may also be given more
    `epochs`, even if it is finished. The schedules `"constant"` and `"plateau"` then continue unchanged; the others
    switch to the schedule of the larger number of epochs.

    Callbacks are called as Keras's `fit` calls them. `on_epoch_end` gets the row of metrics.csv, while the model has
    the weights that were validated. After each step, callbacks get its `loss`. If a callback sets
    `model.stop_training`, the epoch ends with its validation, and the run is finished. If a callback raises an error,
    the run is saved after the current step and ends with that error. A resumed run calls `on_train_begin` again, and
    begins with the number of the current epoch; the internal state of callbacks is not saved. With several workers,
    only the first worker calls the callbacks, and they must not run the model.

    Args:
        recipe: The recipe. None takes the recipe of the folder's run, or the default recipe if the folder holds no run.
        out: The folder of the run. It is created if necessary. It must not hold a run, unless `resume` is set. Workers
            on several machines must all have access to it.
        resume: Continues the folder's run, or begins one if there is none. A finished run stays unchanged, except that
            missing or broken files are written again if possible.
        callbacks: Objects of `keras.callbacks.Callback`. Callbacks that set the learning rate, save the state or
            average the weights are not allowed, since the run does this itself.
        verbose: 0 prints nothing, 1 a progress bar, 2 one line for each epoch. "auto" is 1 on a terminal and in a
            notebook, else 2.

    Returns:
        The results of the run.

    Raises:
        ValueError: If the recipe does not fit the data, the model or the resumed run, the folder holds another kind of
            run, or too many images cannot be read. `TrainingDiverged` if the loss or a weight is no longer finite.
        TypeError: If `recipe` is not a Recipe, `out` is not a path, or an object in `callbacks` is not a callback.
        ImportError: If a callback needs TensorBoard, and TensorBoard is not installed.
        FileExistsError: If the folder holds a run, and `resume` is not set.
        FileNotFoundError: If the data, or a file that the run needs to continue, are missing.
        RuntimeError: If another process works in the folder.
        OSError: If a file cannot be written. The last saved state stays intact.
        SystemExit: `Stopped`, after SIGTERM.
        KeyboardInterrupt: `Interrupted`, after Ctrl-C.

    Examples:
        >>> recipe = Recipe(model="lenet5_modern", epochs=1)
        >>> train(recipe, tmp_path / "run", verbose=0).best_epoch
        1
        >>> log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
        >>> recipe = recipe.with_changes(epochs=2)
        >>> train(recipe, tmp_path / "run", resume=True, callbacks=[log], verbose=0).rows[-1]["epoch"]
        2
    """
    return run(recipe, out, "train", resume=resume, verbose=verbose, callbacks=check_callbacks(callbacks))


def run(
    recipe: Recipe | None,
    out: str | Path,
    kind: str,
    *,
    resume: bool,
    verbose: int | str,
    finetune: Recipe | None = None,
    go_on: str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    first: int = 0,
) -> Result:
    """Does the work of `train`, for every kind of run in `KINDS` that has epochs.

    Args:
        recipe: As for `train`.
        out: As for `train`.
        kind: The kind of the run, a key of `KINDS`.
        resume: As for `train`.
        verbose: As for `train`.
        finetune: If the run is a stage of a fine-tuning, the recipe of the fine-tuning; stored in config.json.
        go_on: If more work follows the run, the command that continues it. A Ctrl-C that comes when the run has just
            ended then stops that work too.
        callbacks: From `check_callbacks`.
        first: Number that is added to the epoch numbers that callbacks get.
    """
    check_type("recipe", recipe, (Recipe, NoneType), "a Recipe or None (Recipe.load reads a file)")
    out, resume, verbose = check_path("out", out), check_bool("resume", resume), check_verbose(verbose)
    recipe_given, recipe, stored = recipe, recipe or Recipe(), None
    if resume:
        check_kind(out, kind, resume)
        recipe, stored = resumed(recipe_given, out)
    find(recipe.model)
    spread = strategy(recipe.devices)
    worker, workers = place(spread)
    if worker == 0:
        check_kind(out, kind, resume)
    with watched(workers), prepared(out) if worker == 0 else nullcontext():
        if resume:  # read again, as only this process writes now
            recipe, stored = resumed(recipe_given, out)
        if stored and "result" in stored and is_finished(out, recipe, stored, workers == 1):
            if worker == 0:
                _mend(out, recipe, stored)
                if verbose:
                    print(why_finished(out, recipe, stored))
            return result_of(out)
        if stored:
            check_places(out, recipe)
        alone = spread.num_replicas_in_sync == 1 and workers == 1
        with device(recipe.device) if alone else nullcontext():
            seed(recipe)
            data = load(recipe)
            prints = fingerprint(data, recipe.data_dir) if worker == 0 else {}
            if stored:
                check_data(out, recipe, stored, data, prints)
            model, steps = compiled(recipe, data, spread)
            loop = Loop(out, recipe, data, model, steps, verbose, go_on or command(out, kind), callbacks, first)
            if resume:
                loop.resume()
            if worker == 0:
                if stored and recipe.epochs > stored["recipe"]["epochs"] and verbose:
                    print(loop.extension(stored["recipe"]["epochs"]))
                begin(out, recipe, data, model, kind, prints, stored, len(loop.rows), finetune)
            loop.run()
            if worker == 0:
                finish(out, recipe, data, loop.rows, loop.ended)
            steps.any(False)  # all workers wait until the chief is done
            if go_on and loop.is_asked_to_stop:
                loop.stop()
    return result_of(out)


def load(recipe: Recipe) -> Data:
    """The data of a recipe, prepared for the weights that it starts from."""
    return load_data(
        recipe.data,
        data_dir=recipe.data_dir,
        label=recipe.label,
        image_size=recipe.image_size,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        augment=recipe.augment,
        flip=recipe.flip,
        sampling=recipe.sampling,
        mixup=recipe.mixup,
        cutmix=recipe.cutmix,
        max_bad=recipe.max_bad,
        preprocessing=first_preprocessing(recipe),
    )


def seed(recipe: Recipe) -> None:
    """Sets the random seed of the recipe, and op determinism if the recipe asks for it."""
    if recipe.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(recipe.seed)


def compiled(recipe: Recipe, data: Data, spread: tf.distribute.Strategy) -> tuple[keras.Model, Steps]:
    """The compiled model of a recipe before its first step, and its `Steps`."""
    weights = class_weights(recipe.class_weight, data)
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
    return model, Steps(model, spread, next(iter(with_aux_labels(data.part("train"), model, class_weight=weights))))


@contextmanager
def _precision(name: str) -> Iterator[None]:
    """A context in which new layers compute in this precision. Their weights are always float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def begin(
    out: Path,
    recipe: Recipe,
    data: Data,
    model: keras.Model,
    kind: str,
    prints: dict[str, str],
    stored: dict | None = None,
    epochs: int = 0,
    finetune: Recipe | None = None,
) -> None:
    """Writes config.json, with which the run begins, and model.png.

    Args:
        out: The folder.
        recipe: The recipe.
        data: The data.
        model: The model.
        kind: One of `KINDS`.
        prints: The fingerprint of the data.
        stored: If the run is resumed, the content of its config.json so far.
        epochs: Number of finished epochs.
        finetune: If the run is a stage of a fine-tuning, the recipe of the fine-tuning.
    """
    config: dict[str, Any] = {
        "kind": kind,
        "recipe": recipe.to_dict() | ({"weights": HEAD} if kind == "finetune" else {}),
        "counts": data.counts,
        "class_names": list(data.class_names),
        "preprocessing": data.preprocessing.to_dict(),
        "data": prints,
        "paths": (stored or {}).get("paths", {}) | paths_of(out, recipe.data_dir, (finetune or recipe).weights),
        "skipped": list(_skipped(data)),
    }
    if finetune:
        config["finetune"] = finetune.to_dict()
    if stored:
        names = ("epochs", "patience", "keep")
        was, now = stored["recipe"], config["recipe"]
        changed = {name: [was[name], now[name]] for name in names if was.get(name, now[name]) != now[name]}
        changes = [*stored.get("changes", []), *([{"after_epoch": epochs} | changed] if changed else [])]
        if changes:
            config["changes"] = changes
    with atomic_write(out / "model.png") as part:
        plot_blocks(model, part)
    write_json(out / "config.json", config)


def finish(out: Path, recipe: Recipe, data: Data, epochs: list[dict], ended: int = 0) -> None:
    """Evaluates the kept checkpoints on one device, and saves the best one as model.keras, in float32.

    Args:
        out: The folder.
        recipe: The recipe.
        data: The data.
        epochs: The rows of metrics.csv.
        ended: If a callback has ended the run, the number of planned epochs; else 0.
    """
    model = first_model(recipe, data)
    net = compile_model(strip_aux(model))
    best = best_epoch(epochs)
    kept = {number for number in recipe.keep if number <= len(epochs) and checkpoint(out, number).is_file()}
    rows = []
    for epoch in sorted({best, len(epochs), *kept}):
        load_weights(model, checkpoint(out, epoch))
        row: dict[str, Any] = {"epoch": epoch, "best": epoch == best}
        for part, dataset in (("validation", data.validation), ("test", data.test)):
            figures = net.evaluate(dataset, verbose=0, return_dict=True)
            row |= {f"{part}_loss": figures["loss"], f"{part}_accuracy": figures["accuracy"]}
        rows.append(row)
    write_csv(out / "test.csv", rows)
    _save_net(out, model, best)
    with atomic_write(out / "curves.png") as file:
        plot_curves(epochs, file, best=best, title=f"{recipe.model} on {data.name}")

    config = json.loads((out / "config.json").read_text())
    result = {"best_epoch": best, "rows": rows} | ({"ended": ended} if ended else {})
    write_json(out / "config.json", config | {"result": result, "skipped": _skipped(data)})
    _clear(out, rows)


def _save_net(out: Path, model: keras.Model, epoch: int) -> None:
    """Writes model.keras: the net for inference with the weights of an epoch, without an optimizer."""
    load_weights(model, checkpoint(out, epoch))
    net = strip_aux(model)
    with atomic_write(out / "model.keras") as file:
        keras.Model(net.input, net.output, name=net.name).save(file)


def _clear(out: Path, rows: list[dict]) -> None:
    """Removes files that a finished run no longer needs. The last state stays, in case more epochs follow."""
    kept = {checkpoint(out, row["epoch"]) for row in rows}
    for pattern in (BEFORE, "epoch_*.safetensors", "part-*"):
        for path in {*(out / "checkpoints").glob(pattern)} - kept:
            path.unlink()


def _mend(out: Path, recipe: Recipe, stored: dict) -> None:
    """Writes model.keras of a finished run again if it is missing or broken. Needs neither data nor state.

    Raises:
        FileNotFoundError: If its checkpoint is missing too.
    """
    _clear(out, stored["result"]["rows"])
    if is_whole_model(out / "model.keras"):
        return
    best = stored["result"]["best_epoch"]
    if not checkpoint(out, best).is_file():
        raise FileNotFoundError(
            f"{out / 'model.keras'} is missing or broken, and so is {checkpoint(out, best)}, from which it could be "
            "written anew: put one of them back."
        )
    prepare = Preprocessing.from_dict(stored["preprocessing"])
    shape = (*prepare.size, prepare.channels)
    _save_net(out, first_model(recipe, Classes(tuple(stored["class_names"]), shape)), best)
    print(f"{out / 'model.keras'} was missing or broken; it is written anew from {checkpoint(out, best)}.")


def _skipped(data: Data) -> tuple[str, ...]:
    return tuple(f"{path} {reason}" for path, reason in data.skipped)

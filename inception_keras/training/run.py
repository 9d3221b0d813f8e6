"""A training run: takes a recipe, and fills a folder with the model, its metrics and its plots."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from ..analysis.charts import plot_curves
from ..analysis.diagrams import plot_blocks
from ..checks import check_bool, check_path, check_type
from ..files import atomic_write, write_csv, write_json
from ..weights.store import load_weights
from ..zoo import find
from .best import best_epoch
from .callbacks import Given, check_callbacks
from .devices import device, evaluated, no_xla_on_cpu, worker_index
from .distribute import Steps, strategy, synchronize_batch_norm, watched
from .facts import check_data, facts_of, prints_of, stored_facts
from .folder import (
    BEFORE,
    CHECKPOINTS,
    CONFIG,
    CURVES,
    HEAD,
    MODEL,
    PICTURE,
    TEST,
    Result,
    check_kind,
    checkpoint,
    checkpoints,
    command,
    is_whole_model,
    paths_of,
    result_of,
)
from .lock import prepared
from .loop import Loop
from .optimizers import build_optimizer
from .progress import check_verbose
from .recipe import Recipe
from .resume import check_places, is_finished, resumed, why_finished
from .start import first_preprocessing
from .task import Task, task_of

if TYPE_CHECKING:
    from ..data.datasets import Data

_MODEL = (keras.Model, "a Keras model")


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

    A run that continues keeps its recipe. Only `save_minutes`, `device`, `max_unreadable` and `patience` may change,
    epochs may be added to `keep_epochs`, and `data_dir` may change if it holds the same data. The run may also be given
    more `epochs`, even if it is finished. The schedules `"constant"` and `"plateau"` then continue unchanged; the
    others switch to the schedule of the larger number of epochs.

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
    task = task_of(recipe)
    spread = strategy(recipe.devices)
    worker, workers = worker_index(spread)
    if worker == 0:
        check_kind(out, kind, resume)
    with watched(workers), prepared(out) if worker == 0 else nullcontext():
        if resume:  # read again, as only this process writes now
            recipe, stored = resumed(recipe_given, out)
        if stored and "result" in stored and is_finished(out, recipe, stored, workers == 1):
            if worker == 0:
                _mend(out, recipe, task, stored)
                if verbose:
                    print(why_finished(out, recipe, stored))
            return result_of(out)
        if stored:
            check_places(out, recipe)
        alone = spread.num_replicas_in_sync == 1 and workers == 1
        with device(recipe.device) if alone else nullcontext():
            seed(recipe)
            data = task.load(recipe, first_preprocessing(recipe))
            prints = prints_of(data, recipe) if worker == 0 else {}
            if stored:
                check_data(out, recipe, stored, data, prints)
            model, steps = compiled(recipe, task, data, spread)
            loop = Loop(out, recipe, task, data, model, steps, verbose, go_on or command(out, kind), callbacks, first)
            if resume:
                loop.resume()
            if worker == 0:
                if stored and recipe.epochs > stored["recipe"]["epochs"] and verbose:
                    print(loop.extension(stored["recipe"]["epochs"]))
                write_config(out, recipe, data, model, kind, prints, stored, len(loop.rows), finetune)
            loop.run()
            if worker == 0:
                export_best(out, recipe, task, data, loop.rows, loop.ended)
            steps.any(False)  # all workers wait until the chief is done
            if go_on and loop.is_asked_to_stop:
                loop.stop()
    return result_of(out)


def seed(recipe: Recipe) -> None:
    """Sets the random seed of the recipe, and op determinism if the recipe asks for it."""
    if recipe.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(recipe.seed)


def compiled(recipe: Recipe, task: Task, data: "Data", spread: tf.distribute.Strategy) -> tuple[keras.Model, Steps]:
    """The compiled model of a recipe before its first step, and its `Steps`.

    Raises:
        ValueError: If the model does not fit the recipe or the data, or lacks the metrics that the run needs.
        TypeError: If a function of the task does not return a model.
    """
    with spread.scope(), _precision(recipe.precision):
        model = check_type(f"What build of the task {recipe.task} returns", task.build(recipe, data), *_MODEL)
        if recipe.sync_batch_norm:
            synchronize_batch_norm(model)
        compiled = task.compile(model, build_optimizer(recipe, model), recipe, data)
        no_xla_on_cpu(check_type(f"What compile of the task {recipe.task} returns", compiled, *_MODEL))
    batches = data.batches["train"]
    first = tf.data.Dataset.from_tensor_slices(batches.first()).batch(batches.size)  # of any size, as in an epoch
    steps = Steps(model, spread, next(iter(task.train_targets(first, model, recipe, data))))
    there = [name.removeprefix("val_") for name in task.columns(steps.metrics(), model, "val_")]
    for name in ("loss", task.score):
        if name not in there:
            raise ValueError(f"The task {recipe.task} must measure {name}, but its metrics are {', '.join(there)}.")
    return model, steps


@contextmanager
def _precision(name: str) -> Iterator[None]:
    """A context in which new layers compute in this precision. Their weights are always float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def write_config(
    out: Path,
    recipe: Recipe,
    data: "Data",
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
        **facts_of(data),
        "data": prints,
        "paths": (stored or {}).get("paths", {}) | paths_of(out, recipe.data_dir, (finetune or recipe).weights),
    }
    if finetune:
        config["finetune"] = finetune.to_dict()
    if stored:
        names = ("epochs", "patience", "keep_epochs")
        was, now = stored["recipe"], config["recipe"]
        changed = {name: [was[name], now[name]] for name in names if was.get(name, now[name]) != now[name]}
        changes = [*stored.get("changes", []), *([{"after_epoch": epochs} | changed] if changed else [])]
        if changes:
            config["changes"] = changes
    net = model if len(model.inputs) == 1 else task_of(recipe).inference(model)  # without the inputs of the loss
    with atomic_write(out / PICTURE) as part:
        any_size = len(net.inputs) == 1 and None in net.inputs[0].shape[1:]
        plot_blocks(net, part, input_shape=data.image_shape if any_size else None)
    write_json(out / CONFIG, config)


def export_best(out: Path, recipe: Recipe, task: Task, data: "Data", epochs: list[dict], ended: int = 0) -> None:
    """Evaluates the kept checkpoints on one device, and saves the best one as model.keras, in float32.

    Args:
        out: The folder.
        recipe: The recipe.
        task: Its task.
        data: The data.
        epochs: The rows of metrics.csv.
        ended: If a callback has ended the run, the number of planned epochs; else 0.
    """
    model = task.build(recipe, data)
    net = no_xla_on_cpu(task.measure(model, recipe, data))
    best = best_epoch(epochs, task)
    kept = {number for number in recipe.keep_epochs if number <= len(epochs) and checkpoint(out, number).is_file()}
    rows = []
    for epoch in sorted({best, len(epochs), *kept}):
        load_weights(model, checkpoint(out, epoch))
        row: dict[str, float] = {"epoch": epoch, "best": epoch == best}
        for split, dataset in (("validation", data.validation), ("test", data.test)):
            logs = evaluated(net, task.targets(dataset, net, recipe, data))
            row |= task.columns(logs, net, f"{split}_")
        rows.append(row)
    write_csv(out / TEST, rows)
    _save_net(out, task, model, best)
    with atomic_write(out / CURVES) as file:
        plot_curves(epochs, file, score=task.score, best=best, title=f"{recipe.model} on {data.name}")

    config = json.loads((out / CONFIG).read_text())
    result = {"best_epoch": best, "rows": rows, "score": task.score} | ({"ended": ended} if ended else {})
    write_json(out / CONFIG, config | {"result": result, "skipped": facts_of(data)["skipped"]})
    _clear(out, rows)


def _save_net(out: Path, task: Task, model: keras.Model, epoch: int) -> None:
    """Writes model.keras: the net for inference with the weights of an epoch, without an optimizer."""
    load_weights(model, checkpoint(out, epoch))
    net = task.inference(model)
    with atomic_write(out / MODEL) as file:
        keras.Model(net.input, net.output, name=net.name).save(file)


def _clear(out: Path, rows: list[dict]) -> None:
    """Removes files that a finished run no longer needs. The last state stays, in case more epochs follow."""
    folder, kept = out / CHECKPOINTS, {checkpoint(out, row["epoch"]) for row in rows}
    for path in {folder / BEFORE, *checkpoints(out), *folder.glob("part-*")} - kept:
        path.unlink(missing_ok=True)


def _mend(out: Path, recipe: Recipe, task: Task, stored: dict) -> None:
    """Writes model.keras of a finished run again if it is missing or broken. Needs neither data nor state.

    Raises:
        FileNotFoundError: If its checkpoint is missing too.
    """
    _clear(out, stored["result"]["rows"])
    if is_whole_model(out / MODEL):
        return
    best = stored["result"]["best_epoch"]
    if not checkpoint(out, best).is_file():
        raise FileNotFoundError(
            f"{out / MODEL} is missing or broken, and so is {checkpoint(out, best)}, from which it could be "
            "written anew: put one of them back."
        )
    _save_net(out, task, task.build(recipe, stored_facts(stored)), best)
    print(f"{out / MODEL} was missing or broken; it is written anew from {checkpoint(out, best)}.")

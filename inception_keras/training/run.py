"""A training run: a recipe in, a folder with the model, its figures and its pictures out."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import NoneType
from typing import Any

import keras
import tensorflow as tf

from ..analysis.curves import plot_curves
from ..analysis.diagrams import plot_blocks
from ..checks import check_bool, check_path, check_type
from ..data.fingerprint import fingerprint
from ..data.named import Data, load_data
from ..data.preprocessing import Preprocessing
from ..weights.store import load_weights, whole
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
    write_json,
)
from .loop import Loop, write_csv
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
    """Trains a model and leaves all that is worth looking at in a folder.

    The folder gets config.json; model.png; checkpoints/ with weights of the kept epochs, the last and the best, and the
    state that the run goes on from; metrics.csv, a row an epoch, and timing.csv, rewritten after each; and at the end
    curves.png, test.csv with every kept checkpoint on validation and test set, and model.keras: the net without
    auxiliary heads, in float32, with the weights best on validation.

    Killed at any moment and started again with `resume`, a run ends as one that was never interrupted would have:
    on one device bit by bit. SIGTERM and Ctrl-C end it after the step under way, saved; a second Ctrl-C at once.

    A run that goes on keeps its recipe, except for `save_minutes`, `device`, `max_bad`, `patience`, additions to
    `keep`, and `data_dir`, if the same data are there now. It may also be given more `epochs`, even if it is finished.
    The schedules `"constant"` and `"plateau"` then go on; the others are from then on those of the larger number of
    epochs.

    Callbacks are called as Keras's `fit` calls them. In `on_epoch_end` they get the row of metrics.csv, and the model
    has the weights that were validated; after each step they get its `loss`. Where a callback sets
    `model.stop_training`, the epoch ends with its validation, and the run is finished. An error in a callback ends the
    run with that error, after the step under way and saved. A run that goes on begins with `on_train_begin` and the
    number of the epoch under way: what a callback remembers is not saved. With several workers the first alone calls
    them, and they must not run the model.

    Args:
        recipe: What to do; None for the recipe of the folder's run, or the default recipe if the folder holds no run.
        out: The folder; it is made if necessary, and must not hold a run unless that is to be resumed. Workers on
            several machines must all see it.
        resume: Goes on with the folder's run, or begins one if there is none. A finished run is left as it is, but for
            files that are missing or broken, which are written anew where that is possible.
        callbacks: Objects of `keras.callbacks.Callback`, but none that set the learning rate, keep the state or the
            average of the weights, which the run does by itself.
        verbose: 0 prints nothing, 1 a progress bar, 2 a line an epoch; "auto" is 1 on a terminal and in a notebook,
            else 2.

    Returns:
        The figures of the run.

    Raises:
        ValueError: If the recipe does not fit the data, the model or the run that is to be resumed, the folder holds
            another kind of run, too many images cannot be read, or, as `TrainingDiverged`, if the loss is not finite
            any more.
        TypeError: If `recipe` is not a Recipe, `out` is not a path or something in `callbacks` is no callback.
        ImportError: If a callback needs TensorBoard, and that is not installed.
        FileExistsError: If the folder holds a run and is not to be resumed.
        FileNotFoundError: If the data, or a file that the run goes on from, are not there.
        RuntimeError: If another process works in the folder.
        OSError: If a file cannot be written; the last state stays.
        SystemExit: As `Stopped`, after SIGTERM.
        KeyboardInterrupt: As `Interrupted`, after Ctrl-C.

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
    """`train` for every kind of run of `KINDS` that has epochs.

    Args:
        recipe: As for `train`.
        out: As for `train`.
        kind: Of the run.
        resume: As for `train`.
        verbose: As for `train`.
        finetune: The recipe of the fine-tuning that the run is a stage of; config.json has it.
        go_on: The command that goes on after the run, if more is to follow it: it is then ended by Ctrl-C too.
        callbacks: From `check_callbacks`.
        first: What is added to the numbers of epochs that the callbacks get.
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
        if resume:  # by now nobody else writes
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
            steps.any(False)  # nobody leaves before the chief is done
            if go_on and loop.is_asked_to_stop:
                loop.stop()
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
        sampling=recipe.sampling,
        mixup=recipe.mixup,
        cutmix=recipe.cutmix,
        max_bad=recipe.max_bad,
        preprocessing=first_preprocessing(recipe),
    )


def seed(recipe: Recipe) -> None:
    """Makes what follows in this process random as the recipe says."""
    if recipe.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(recipe.seed)


def compiled(recipe: Recipe, data: Data, spread: tf.distribute.Strategy) -> tuple[keras.Model, Steps]:
    """The model of a recipe before its first step, compiled, and its steps."""
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
    return model, Steps(model, spread, next(iter(with_aux_labels(data.epoch(0), model, class_weight=weights))))


@contextmanager
def _precision(name: str) -> Iterator[None]:
    """Layers that are made inside compute in this precision; their weights are float32 in any."""
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
    """Writes config.json, which makes the folder that of a run, and the picture of the net.

    Args:
        out: The folder.
        recipe: What the run does.
        data: Its data.
        model: Its model.
        kind: One of `KINDS`.
        prints: The fingerprint of the data.
        stored: The config.json there was, of a run that is resumed.
        epochs: How many epochs are over.
        finetune: The recipe of the fine-tuning that the run is a stage of.
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
    with whole(out / "model.png") as part:
        plot_blocks(model, part)
    write_json(out / "config.json", config)


def finish(out: Path, recipe: Recipe, data: Data, epochs: list[dict], ended: int = 0) -> None:
    """Evaluates the kept checkpoints, and saves the best as the model of the run: a net in float32, on one device.

    Args:
        out: The folder.
        recipe: What the run did.
        data: Its data.
        epochs: The rows of metrics.csv.
        ended: Of how many planned epochs a callback has ended the run; 0 if none has.
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
    with whole(out / "curves.png") as file:
        plot_curves(epochs, file, best=best, title=f"{recipe.model} on {data.name}")

    config = json.loads((out / "config.json").read_text())
    result = {"best_epoch": best, "rows": rows} | ({"ended": ended} if ended else {})
    write_json(out / "config.json", config | {"result": result, "skipped": _skipped(data)})
    _clear(out, rows)


def _save_net(out: Path, model: keras.Model, epoch: int) -> None:
    """Writes model.keras, the net for inference with the weights of an epoch, without an optimizer."""
    load_weights(model, checkpoint(out, epoch))
    net = strip_aux(model)
    with whole(out / "model.keras") as file:
        keras.Model(net.input, net.output, name=net.name).save(file)


def _clear(out: Path, rows: list[dict]) -> None:
    """Removes what a run needed only on its way; the last state stays, for more epochs."""
    kept = {checkpoint(out, row["epoch"]) for row in rows}
    for pattern in (BEFORE, "epoch_*.safetensors", "part-*"):
        for path in {*(out / "checkpoints").glob(pattern)} - kept:
            path.unlink()


def _mend(out: Path, recipe: Recipe, stored: dict) -> None:
    """Writes model.keras of a finished run anew if it is missing or broken; needs neither data nor state.

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

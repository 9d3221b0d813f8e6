"""The folder of a run: its files, the kind of the run, its config.json, its model, and where its data are now.

Each error is one sentence that names the file and says what can still be done.
"""

import json
import os
import shlex
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from ..checks import check_path, got, new_names
from ..data.preprocessing import Preprocessing
from .recipe import OLD_NAMES, Recipe
from .task import load_task

CONFIG = "config.json"  # the recipe, facts of the data and, once the run is finished, its result
CHECKPOINTS = "checkpoints"  # a folder: the state, and the weights of the kept epochs
NEWEST, BEFORE = "state.safetensors", "state_before.safetensors"  # in it: the newest state, and the one before
METRICS = "metrics.csv"  # a row for each epoch
TIMING = "timing.csv"
TEST = "test.csv"  # a row for each kept checkpoint
MODEL = "model.keras"  # the net for inference, of the best epoch
PICTURE = "model.png"  # the blocks of the net
CURVES = "curves.png"
CLASSES, CONFUSION = "classes.csv", "confusion.png"  # what `evaluate` finds out about a net
MEASURES = "measures.csv"  # of a detector: by the rules of VOC and of COCO
EXAMPLES = "examples.png"  # test images with what a net has found in them
ABLATION, ABLATION_TABLE, ABLATION_CHART = "ablation.csv", "ablation.md", "ablation.png"
TENSORBOARD = "tensorboard"  # a folder
LOCK = ".lock"

KINDS = {  # the kinds of run that a folder may hold, and the command that continues each
    "train": ("a training run", "train --resume --out {}"),
    "finetune": ("a fine-tuning in two stages", "finetune --resume --out {}"),
    "head": ("the first stage of a fine-tuning", "finetune --resume --out {}"),
    "linear": ("a linear classifier on fixed features", "finetune --linear --resume --out {}"),
    "ablation": ("an ablation", "ablate"),
}
HEAD = "head"  # the folder of the first stage, inside the folder of the second
_FIRST_VARIANT = "with_all_three_*"  # the runs of an ablation's first variant


@dataclass(frozen=True)
class Result:
    """The results of a finished run. `rows` are the rows of test.csv, one for each kept checkpoint.

    The scores are those of the best epoch, in the metric that the task goes by: the accuracy of a classifier.
    """

    folder: Path
    best_epoch: int
    validation_score: float
    test_score: float
    rows: tuple[dict, ...]
    skipped: tuple[str, ...]  # images that could not be read, and why; also in config.json
    score: str = "accuracy"  # the name of the metric

    @property
    def validation_accuracy(self) -> float:
        """The old name of `validation_score`."""
        return self._old_name("validation")

    @property
    def test_accuracy(self) -> float:
        """The old name of `test_score`."""
        return self._old_name("test")

    def _old_name(self, split: str) -> float:
        warnings.warn(f"{split}_accuracy is now called {split}_score.", DeprecationWarning, stacklevel=3)
        return getattr(self, f"{split}_score")


def checkpoint(out: Path, epoch: int) -> Path:
    """The file with the weights of an epoch."""
    return out / CHECKPOINTS / f"epoch_{epoch:03}.safetensors"


def checkpoints(out: Path) -> list[Path]:
    """The files with the weights of epochs."""
    return list((out / CHECKPOINTS).glob("epoch_*.safetensors"))


def command(out: Path, kind: str) -> str:
    """The command that continues a run."""
    if kind == "ablation":  # its folder has no recipe of its own
        return "the same `inception-keras ablate` command"
    folder = out.parent if kind == "head" else out
    return f"`inception-keras {KINDS[kind][1].format(shlex.quote(str(folder)))}`"


def kind_of(out: Path) -> str | None:
    """The kind of run in a folder, a key of `KINDS`; None if the folder holds no run.

    Version 0.1 did not record the kind, so its runs are recognised by their files.

    Raises:
        ValueError: If its config.json cannot be read.
    """
    config = _read(out / CONFIG)
    if config is None:
        if (out / HEAD / CONFIG).is_file():
            return "finetune"
        is_ablation = (out / ABLATION).is_file() or any(out.glob(f"{_FIRST_VARIANT}/{CONFIG}"))
        return "ablation" if is_ablation else None
    if config.get("kind") in KINDS:
        return config["kind"]
    if (out / HEAD / CONFIG).is_file():
        return "finetune"
    with suppress(OSError, UnicodeDecodeError), (out / METRICS).open() as file:
        if file.readline().startswith("epoch,strength"):
            return "linear"
    return "train"


def check_kind(out: Path, kind: str, resume: bool) -> None:
    """Raises an error if a folder holds a run that a command of this kind must not change.

    Raises:
        FileExistsError: If it holds a run and `resume` is not set, or a run without a config.json.
        ValueError: If `resume` is set and it holds a run of another kind.
        NotADirectoryError: If `out` is a file.
    """
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out} must be a folder for the run, but a file of that name is there.")
    found = kind_of(out)
    if found is None and ((out / MODEL).exists() or any((out / CHECKPOINTS).glob("*.safetensors"))):
        raise FileExistsError(
            f"{out} holds a run whose config.json is missing: put back a copy of it, or name another folder."
        )
    if found is None or (found == kind and resume):
        return
    if found == "train" and kind == "head" and resume and "kind" not in (_read(out / CONFIG) or {}):
        return  # version 0.1 did not record that a run was a first stage
    if found == kind:
        raise FileExistsError(
            f"{out} holds a run already: name another folder, remove it, or go on with it by {command(out, found)}."
        )
    raise (ValueError if resume else FileExistsError)(
        f"{out} holds a run already, {KINDS[found][0]}, and not {KINDS[kind][0]}: name another folder, or go on with "
        f"it by {command(out, found)}."
    )


# ------------------------------------------------------------------------------------------------------- config.json


def read_config(out: Path) -> dict[str, Any] | None:
    """Reads the config.json of a run; None if there is none.

    "kind" is added. The paths of the data and of the initial weights are changed to where these are now. "as_given" is
    the recipe with the paths that the user gave.

    Raises:
        ValueError: If the file is not a valid run configuration.
    """
    path = out / CONFIG
    config = _read(path)
    if config is None:
        return None
    with _valid(path):
        for name in ("recipe", "finetune"):
            if name == "recipe" or name in config:
                Recipe.from_dict(config[name], name)
                _ = [config[name][field] for field in ("model", "data", "data_dir")]  # every version wrote these
                config[name] = new_names(config[name], OLD_NAMES, name)
    task = load_task(config["recipe"].get("task", "classification"))  # version 0.1 had no tasks
    with _valid(path, "it "):
        task.check(config, None)
    with _valid(path):
        Preprocessing.from_dict(config["preprocessing"])
        for name, kind, what in (("result", dict, "a table"), ("skipped", list, "a list")):
            if not isinstance(config.get(name, kind()), kind):
                raise ValueError(f"{name} must be {what}, got {got(config[name])}")
        if "result" in config:
            _result(out, config)
    config["kind"], config["as_given"] = kind_of(out), config["recipe"]
    for name in ("recipe", "finetune"):
        if name in config:
            config[name] = _from_here(out, config, config[name])
    if config["kind"] == "finetune":
        config["recipe"]["weights"] = str(out / HEAD)
    return config


def result_of(out: Path) -> Result:
    """The results of a finished run, from its config.json."""
    config = read_config(out)
    if config is None or "result" not in config:
        raise FileNotFoundError(f"{out} holds no finished run.")
    return _result(out, config)


def paths_of(out: Path, data_dir: str | None, weights: str | None) -> dict[str, str]:
    """The absolute paths of a run, its data and its initial weights, for config.json.

    With them the data and weights are found again after they were moved together with the run.
    """
    paths = {"run": out.resolve()}
    for name, value in (("data_dir", data_dir), ("weights", weights)):
        if value is not None and Path(value).exists():
            paths[name] = Path(value).resolve()
    return {name: str(path) for name, path in paths.items()}


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        config = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise _invalid(path, f"it is not a whole JSON file ({error})") from None
    if not isinstance(config, dict):
        raise _invalid(path, "it is not a JSON object")
    return config


@contextmanager
def _valid(path: Path, subject: str = "") -> Iterator[None]:
    """Turns errors in reading a config.json into one that names it. `subject` comes before the message of the error."""
    try:
        yield
    except KeyError as error:
        raise _invalid(path, f"it has no entry {error}") from None
    except (AttributeError, TypeError, ValueError, RecursionError, StopIteration) as error:
        raise _invalid(path, f"{subject}{error}") from None


def _invalid(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"{path} is not a valid run configuration: {reason.rstrip('.')}. Put back a whole copy of it; without one, "
        f"load_weights still reads the weights in {path.parent / CHECKPOINTS}."
    )


def _result(out: Path, config: dict[str, Any]) -> Result:
    epoch, rows = config["result"]["best_epoch"], config["result"]["rows"]
    best = next(row for row in rows if row["best"])
    score = config["result"].get("score", "accuracy")  # version 0.1 had classifiers only
    skipped = tuple(config.get("skipped", ()))
    validation, test = (float(best[f"{split}_{score}"]) for split in ("validation", "test"))
    return Result(out, epoch, validation, test, tuple(rows), skipped, score)


def _from_here(out: Path, config: dict[str, Any], recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe whose paths lead to where data and weights are now.

    They may be where they were, or at the same relative path from the run as before.
    """
    recipe, paths = dict(recipe), config.get("paths")
    if not isinstance(paths, dict) or not all(isinstance(path, str) for path in paths.values()):
        return recipe
    for name in ("data_dir", "weights"):
        given, then = recipe.get(name), paths.get(name)
        if given is None or then is None or (Path(given).exists() and str(Path(given).resolve()) == then):
            continue
        beside = os.path.normpath(out.resolve() / os.path.relpath(then, paths.get("run", then)))
        recipe[name] = next((path for path in (then, beside, given) if Path(path).exists()), then)
    return recipe


# --------------------------------------------------------------------------------------------------------- the model


def load_run(folder: str | Path) -> tuple[keras.Model, dict[str, Any]]:
    """Loads the model and the config.json of a finished run.

    Raises:
        FileNotFoundError: If the folder holds no finished run.
        ValueError: If a file of the run is broken.
    """
    out = check_path("folder", folder)
    if not out.is_dir():
        raise FileNotFoundError(f"{out} holds no finished run: there is no such folder.")
    kind = kind_of(out)
    if kind == "ablation":
        raise FileNotFoundError(f"{out} holds no finished run, but an ablation: its runs are in the folders inside it.")
    config = read_config(out)
    if config is None and kind == "finetune":
        raise FileNotFoundError(
            f"{out} holds no finished run: it is in the first of two stages; {command(out, kind)} goes on with it."
        )
    if config is None:
        has_model = (out / MODEL).exists()
        more = ", which has the classes: put back a copy of it" if has_model else " in it"
        raise FileNotFoundError(f"{out} holds no finished run: there is no config.json{more}.")
    path, finished = out / MODEL, "result" in config
    if not path.is_file():
        what = "writes it anew" if finished else "goes on with the run"
        raise FileNotFoundError(
            f"{out} holds no finished run: there is no model.keras in it; {command(out, config['kind'])} {what}."
        )
    anew = f"{command(out, config['kind'])} writes it anew" if finished else "put back a whole copy of it"
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not a whole Keras file: {anew}.")
    try:
        model = keras.models.load_model(path)
    except Exception as error:  # Keras, h5py and zipfile raise many errors for a broken file
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise ValueError(f"{path} cannot be loaded ({reason}): {anew}.") from None
    try:
        load_task(config["recipe"].get("task", "classification")).check(config, model)
    except ValueError as error:
        raise ValueError(f"{out / CONFIG} {error}: put back the file that the run wrote.") from None
    return model, config


def is_whole_model(path: Path) -> bool:
    """Whether a .keras file exists, and all its checksums are correct."""
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except (OSError, zipfile.BadZipFile, ValueError, EOFError):
        return False

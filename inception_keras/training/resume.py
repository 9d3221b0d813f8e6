"""Whether and how a folder's run continues: its recipe, its data, and whether it is finished."""

from dataclasses import replace
from pathlib import Path

from .folder import CHECKPOINTS, CONFIG, CURVES, HEAD, METRICS, NEWEST, TEST, TIMING, read_config
from .recipe import Recipe

# fields besides epochs that may change when a run continues, as they do not affect the computation of an epoch
_FREE = ("data_dir", "device", "keep_epochs", "max_unreadable", "patience", "save_minutes")
_TABLES = (METRICS, TIMING, TEST, CURVES)


def resumed(recipe: Recipe | None, out: Path) -> tuple[Recipe, dict | None]:
    """The recipe with which a folder's run continues or begins, and its config.json (None if there is none).

    Raises:
        ValueError: If the run cannot continue with this recipe.
    """
    stored = read_config(out)
    if stored is None:
        return recipe or Recipe(), None
    old = Recipe.from_dict(stored["recipe"], str(out / CONFIG))
    new = recipe or old
    for name in ("data_dir", "weights"):  # the user gave the same path as before, although data or weights have moved
        if getattr(new, name) == stored["as_given"].get(name):
            new = replace(new, **{name: getattr(old, name)})
    mine, theirs = new.to_dict(), old.to_dict()
    if old.weights and new.weights and _same_place(old.weights, new.weights):
        mine["weights"] = theirs["weights"]
    unlike = [name for name in mine if name not in (*_FREE, "epochs") and mine[name] != theirs[name]]
    if unlike:
        fields = ", ".join(f"{name} {theirs[name]!r}, not {mine[name]!r}" for name in unlike)
        raise ValueError(f"The run in {out} has another recipe: {fields}.")
    if new.epochs < old.epochs:
        raise ValueError(
            f"The run in {out} is planned for {old.epochs} epochs, got {new.epochs}: it can get more, not fewer."
        )
    return replace(new, keep_epochs=(*old.keep_epochs, *new.keep_epochs)), stored


def given_recipe(out: Path) -> Recipe | None:
    """The recipe that the user gave for the folder's run; None if the folder holds no run.

    Raises:
        ValueError: If the recipe cannot be read, or a first stage of version 0.1 did not store it.
    """
    config, head = read_config(out), read_config(out / HEAD)
    if not (config or head):
        return None
    if config and config["kind"] in ("train", "linear"):
        return Recipe.from_dict(config["recipe"], str(out / CONFIG))
    for one, folder in ((config, out), (head, out / HEAD)):
        if one and "finetune" in one:
            return Recipe.from_dict(one["finetune"], str(folder / CONFIG))
    if not (config and head):
        raise ValueError(f"{out} does not say how its fine-tuning began: give all of its options again.")
    began = {name: head["recipe"][name] for name in ("weights", "learning_rate")}
    return Recipe.from_dict(config["recipe"] | began, str(out / CONFIG))


def _same_place(one: str, other: str) -> bool:
    """Whether two paths are the same.

    Also true if the first is a path that no longer exists, as the second may be its new place.
    """
    paths = Path(one), Path(other)
    return paths[0].resolve() == paths[1].resolve() or (_is_path(one) and not paths[0].exists())


def _is_path(weights: str) -> bool:
    """Whether weights are given as a path, and not as the name of a published set or a URL."""
    return len(Path(weights).parts) > 1 and "://" not in weights


def check_places(out: Path, recipe: Recipe) -> None:
    """Raises a FileNotFoundError if data or weights that a run needs are no longer where they were."""
    if recipe.data_dir and not Path(recipe.data_dir).exists():
        raise FileNotFoundError(
            f"The data of the run in {out} are not in {recipe.data_dir}: say where they are now with --data-dir "
            "(data_dir in the recipe)."
        )
    if recipe.weights and _is_path(recipe.weights) and not Path(recipe.weights).exists():
        raise FileNotFoundError(
            f"The weights that the run in {out} began with are not in {recipe.weights}: say where they are now with "
            "--weights (weights in the recipe)."
        )


def is_finished(out: Path, recipe: Recipe, stored: dict, alone: bool) -> bool:
    """Whether a run that has a result has nothing left to do.

    Raises:
        FileNotFoundError: If more epochs are wanted, but the state is missing.
    """
    rows, has_state = stored["result"]["rows"], (out / CHECKPOINTS / NEWEST).is_file()
    last, best = rows[-1]["epoch"], stored["result"]["best_epoch"]
    if stored["kind"] == "linear":  # its rows are not epochs
        return True
    ended = stored["result"].get("ended", 0)  # the planned number of epochs of a run that a callback ended
    if last < recipe.epochs and ended < recipe.epochs and not 0 < recipe.patience <= last - best:
        if not has_state:
            raise FileNotFoundError(
                f"The run in {out} cannot get more epochs: {out / CHECKPOINTS / NEWEST} is not there (version 0.1 "
                f"and ablations remove it). Train a new run with the weights of this one, --weights {out}."
            )
        return False
    missing = [name for name in _TABLES if not (out / name).is_file()]
    return not (missing and has_state and alone)  # the missing tables can be written again from the state


def why_finished(out: Path, recipe: Recipe, stored: dict) -> str:
    """The message that a run is finished and, if patience or a callback ended it, how it can continue."""
    last = stored["result"]["rows"][-1]["epoch"]
    if last >= recipe.epochs or stored["kind"] == "linear":
        return f"The run in {out} is finished."
    if stored["result"].get("ended", 0) >= recipe.epochs:
        return (
            f"The run in {out} is finished: a callback ended it after epoch {last}. More than {recipe.epochs} --epochs "
            "let it go on."
        )
    return (
        f"The run in {out} is finished: its patience of {recipe.patience} ended it after epoch {last}. "
        "A larger --patience, or 0, lets it go on."
    )

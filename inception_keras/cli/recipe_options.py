"""Turns the fields of a recipe into command-line options, with types, defaults and explanations from `Recipe`."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args

import typer

from ..checks import new_names
from ..training.recipe import OLD_NAMES, Recipe, explanations, read_entries
from .terminal import named_options, tell_error, whole_numbers

_LISTS = {  # given several times, or with commas
    "keep_epochs": "1,2,...",
    "train_sizes": "180,224,...",
    "class_weight": "balanced or CLASS=WEIGHT,...",
    "task_options": "NAME=VALUE",  # these only several times
}
_NONE_AS_TEXT = ("weights", "freeze", "data", "label", "image_size")  # fields for which the word none means None


def recipe_options(defaults: Mapping[str, Any]) -> Callable[[Callable], Callable]:
    """Adds an option to a command with `**given` for every field of a recipe that the command does not declare itself.

    Options that the user does not give are passed as None.

    Args:
        defaults: The command's defaults that differ from those of `Recipe`; `--help` shows them.
    """
    base, help = Recipe(**defaults), explanations()

    def decorate(command: Callable) -> Callable:
        signature = inspect.signature(command)
        own = {name: one for name, one in signature.parameters.items() if one.kind is not one.VAR_KEYWORD}
        added = [
            _parameter(one.name, one.type, getattr(base, one.name), help.get(one.name, ""))
            for one in fields(Recipe)
            if one.name not in own and one.name != "options"  # the option --option sets these
        ]
        old = typer.Option("--max-bad", hidden=True)
        kind = inspect.Parameter.KEYWORD_ONLY
        added.append(inspect.Parameter("max_bad", kind, default=None, annotation=Annotated[float, old]))
        command.__signature__ = signature.replace(parameters=[*own.values(), *added])  # type: ignore[attr-defined]
        return command

    return decorate


def _parameter(name: str, annotation: Any, default: object, help: str) -> inspect.Parameter:
    kinds = [kind for kind in get_args(annotation) or [annotation] if kind is not NoneType]
    option, kind, metavar = "--" + name.replace("_", "-"), kinds[0], None
    if name == "task_options":
        option = "--task-option"
    if kind is bool:
        option += f"/--no-{option.removeprefix('--')}"
    elif name == "data_dir":
        kind = Path
    elif name == "image_size":
        kind, metavar = str, "PIXELS or HxW"
    elif name in _LISTS:
        kind, metavar = list[str], _LISTS[name]
    elif kind not in (int, float):
        kind = str
    shown = str(default) if isinstance(default, (str, int, float)) else ""
    if isinstance(default, bool):
        shown = option.removeprefix("--").split("/--")[not default]
    help = re.sub(r"\bNone\b", "none", help) + f"  [default: {shown}]" * bool(shown)
    names = [option, "--keep"] if name == "keep_epochs" else [option]
    info = typer.Option(*names, help=help, metavar=metavar, show_default=False)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, info])


def changes(given: Mapping[str, Any], option: list[str] | None = None, aux: bool = False) -> dict[str, Any]:
    """The fields of a recipe that the user gave, in the form that `Recipe` takes."""
    changed = {name: value for name, value in given.items() if value is not None and value != []}
    if "max_bad" in changed:
        tell_error(
            "--max-bad is now called --max-unreadable; the old name will be gone in the next release.",
            "note:",
            "yellow",
        )
        changed = new_names(changed, OLD_NAMES, "the command line")
    for name in _NONE_AS_TEXT:
        if changed.get(name) == "none":
            changed[name] = None
    for name in {"keep_epochs", "train_sizes"} & changed.keys():
        changed[name] = tuple(number for text in changed[name] for number in whole_numbers(text, ","))
    if "class_weight" in changed:
        changed["class_weight"] = _class_weight(changed["class_weight"])
    if changed.get("image_size"):
        sides = whole_numbers(changed["image_size"], "x")
        changed["image_size"] = sides[0] if len(sides) == 1 else tuple(sides)
    if "task_options" in changed:
        changed["task_options"] = named_options(changed["task_options"])
    if option or aux:
        changed["options"] = named_options(option) | ({"aux": True} if aux else {})
    return changed


def _class_weight(texts: list[str]) -> str | dict[str, float] | None:
    """Parses `balanced`, `none`, or a list such as `cat=2,dog=0.5`, which becomes a dict."""
    if texts[-1] in ("balanced", "none"):
        return None if texts[-1] == "none" else texts[-1]
    table: dict[str, float] = {}
    for entry in ",".join(texts).split(","):
        name, _, weight = entry.rpartition("=")  # the name of a class may contain "="
        try:
            number = float(weight)
        except ValueError:
            number = None
        if not name or number is None:
            raise ValueError(
                f"--class-weight must be balanced, none or CLASS=WEIGHT, got {entry!r}. (A class with a comma in its "
                "name needs a recipe file.)"
            )
        if name in table:
            raise ValueError(f"--class-weight has the class {name!r} twice.")
        table[name] = number
    return table


def recipe_of(
    file: str | None, defaults: Mapping[str, Any], changed: Mapping[str, Any], resumed: Path | None = None
) -> Recipe:
    """The recipe of a command, with the user's changes.

    Args:
        file: The name of a shipped recipe, or a recipe file.
        defaults: Values of fields that the file does not set, or of all fields without a file.
        changed: The result of `changes`.
        resumed: Without a file, the folder of a run whose recipe is taken, if the folder holds a run.
    """
    if resumed and not file:
        from ..training.resume import given_recipe

        if recipe := given_recipe(resumed):
            return recipe.with_changes(**changed)
    entries, origin = read_entries(file) if file else ({}, "the command line")
    return Recipe.from_dict({**defaults, **entries}, origin).with_changes(**changed)

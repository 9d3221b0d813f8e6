"""The model that a run starts from: with fresh or published weights, or from another run."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from ..data.datasets import Data
from ..data.preprocessing import Preprocessing, preprocessing
from ..weights.store import assign, variables
from ..zoo import create_model
from .compile import strip_aux
from .folder import load_run
from .transfer import freeze, transfer

if TYPE_CHECKING:
    from .recipe import Recipe


@dataclass(frozen=True)
class Classes:
    """Everything that building a model needs to know about its data."""

    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]


def first_preprocessing(recipe: "Recipe") -> Preprocessing | None:
    """The preprocessing of the weights that a recipe starts from; None for fresh weights."""
    if recipe.weights is None:
        return None
    if Path(recipe.weights).is_dir():
        return Preprocessing.from_dict(load_run(recipe.weights)[1]["preprocessing"])
    return preprocessing(recipe.model, recipe.weights)


def first_model(recipe: "Recipe", data: Data | Classes) -> keras.Model:
    """The model of a recipe before its first step: not compiled, and with its blocks frozen as the recipe says."""
    classes = len(data.class_names)
    of_data = {"input_shape": data.image_shape, "classes": classes}
    for name, value in of_data.items():
        given = recipe.options.get(name, value)
        if (tuple(given) if isinstance(given, list) else given) != value:
            more = "; image_size changes the size of the images" if name == "input_shape" else ""
            raise ValueError(f"The option {name} must be {value}, as the data have it, got {given!r}{more}.")
    options = {name: value for name, value in recipe.options.items() if name not in of_data}
    build = partial(create_model, recipe.model, input_shape=data.image_shape, **options)
    if recipe.weights is None:
        return build(classes=classes)
    if not Path(recipe.weights).is_dir():
        return transfer(build(weights=recipe.weights), classes, freeze=recipe.freeze)
    model, names = _model_of_run(recipe, data, build)
    if names == list(data.class_names):
        return freeze(model, recipe.freeze)
    return transfer(model, classes, freeze=recipe.freeze)


def _model_of_run(
    recipe: "Recipe", data: Data | Classes, build: Callable[..., keras.Model]
) -> tuple[keras.Model, list[str]]:
    """The model of the run that a recipe starts from, and its classes."""
    trained, config = load_run(str(recipe.weights))
    its = config["recipe"]
    for what, theirs, ours in (
        ("is of the model", its["model"], recipe.model),
        ("has the options", its["options"], dict(recipe.options)),
        ("takes images", trained.input_shape[1:], data.image_shape),
    ):
        if theirs != ours:
            raise ValueError(f"The run {recipe.weights} {what} {theirs}, the recipe wants {ours}.")
    # the model is built again, so that its layers get the current precision
    names, arrays = config["class_names"], {name: variable.numpy() for name, variable in variables(trained).items()}
    model = strip_aux(build(classes=len(names)))
    if variables(model).keys() != arrays.keys():  # that run had a new classifier
        model = transfer(build(), len(names))
    assign(model, arrays, str(recipe.weights))
    return model, names

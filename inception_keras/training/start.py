"""The net that a run starts from, its weights, and how images are prepared for them."""

from collections.abc import Callable
from pathlib import Path

import keras

from ..data.preprocessing import Preprocessing, preprocessing
from ..scope import without_weights
from ..weights.store import variables
from ..zoo import find
from .folder import load_run
from .recipe import Recipe
from .task import DataFacts
from .transfer import freeze_blocks


def first_preprocessing(recipe: Recipe) -> Preprocessing | None:
    """The preprocessing of the weights that a recipe starts from; None for fresh weights."""
    if recipe.weights is None:
        return None
    if Path(recipe.weights).is_dir():
        return Preprocessing.from_dict(load_run(recipe.weights)[1]["preprocessing"])
    return preprocessing(recipe.model, recipe.weights)


def check_net(recipe: Recipe, task: str, example: str) -> None:
    """Raises a ValueError if the net of a recipe is not one of the task, or an option is set that the data decide."""
    if (other := find(recipe.model).task) != task:
        raise ValueError(f"The task {task} needs a net such as {example}, got {recipe.model}, a net of {other}.")
    for name in ("input_shape", "classes"):
        if name in recipe.options:
            raise ValueError(f"The option {name} must not be set: the data have it.")


def first_net(recipe: Recipe, data: DataFacts, make: Callable[..., keras.Model]) -> keras.Model:
    """The net before its first step, with the weights that the recipe names, and with the blocks frozen.

    If these are the weights of a run, every layer of the same name and shape gets them. Other layers stay fresh, and so
    do those that depend on the number of classes, if the run has other classes.

    Args:
        recipe: The recipe.
        data: The data, for the names of their classes.
        make: Makes the net, given `classes` and `weights`.

    Raises:
        ValueError: If the run is of a net that has less than half of the weights, or nothing is left to train.
    """
    of_run = recipe.weights is not None and Path(recipe.weights).is_dir()
    model = make(classes=len(data.class_names), weights=None if of_run else recipe.weights)
    if of_run:
        _take_weights(model, recipe, data, make)
    freeze_blocks(model, recipe.freeze)
    if not model.trainable_variables:
        raise ValueError(f"freeze {recipe.freeze!r} leaves nothing of {model.name} to train.")
    return model


def _take_weights(model: keras.Model, recipe: Recipe, data: DataFacts, make: Callable[..., keras.Model]) -> None:
    trained, config = load_run(str(recipe.weights))
    given, own = variables(trained), variables(model)
    fitting = [name for name, v in own.items() if name in given and v.shape == given[name].shape]
    if 2 * len(fitting) < len(own):
        raise ValueError(
            f"The run {recipe.weights}, of {config['recipe']['model']}, has only {len(fitting)} of the {len(own)} "
            f"weights of {recipe.model}, by name and shape."
        )
    if config["class_names"] != list(data.class_names):
        with without_weights():
            shapes = {name: v.shape for name, v in variables(make(classes=len(data.class_names) + 1)).items()}
        fitting = [name for name in fitting if shapes[name] == own[name].shape]
    for name in fitting:
        own[name].assign(given[name].numpy())

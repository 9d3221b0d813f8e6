"""How images are prepared for the weights that a run starts from."""

from pathlib import Path

from ..data.preprocessing import Preprocessing, preprocessing
from .folder import load_run
from .recipe import Recipe


def first_preprocessing(recipe: Recipe) -> Preprocessing | None:
    """The preprocessing of the weights that a recipe starts from; None for fresh weights."""
    if recipe.weights is None:
        return None
    if Path(recipe.weights).is_dir():
        return Preprocessing.from_dict(load_run(recipe.weights)[1]["preprocessing"])
    return preprocessing(recipe.model, recipe.weights)

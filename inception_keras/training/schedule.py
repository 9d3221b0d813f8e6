"""The learning rate of a recipe, which depends only on the recipe, the step and the finished epochs."""

import math
from collections.abc import Sequence

from .recipe import Recipe

_PLATEAU = 5  # after this many epochs without a better score, the rate falls to a tenth


def learning_rate(recipe: Recipe, step: int, steps_an_epoch: int, waits: Sequence[int]) -> float:
    """The learning rate of a step.

    Args:
        recipe: The recipe.
        step: The step, counted from 0 over all epochs.
        steps_an_epoch: Number of steps in an epoch.
        waits: For each finished epoch, the number of epochs since the best one. Only "plateau" uses it.
    """
    warmup = round(recipe.warmup_epochs * steps_an_epoch)
    if step < warmup:
        return recipe.learning_rate * (step + 1) / (warmup + 1)
    done, whole = step - warmup, recipe.epochs * steps_an_epoch - warmup
    share = done / whole
    factors = {
        "constant": lambda: 1.0,
        "cosine": lambda: 0.5 * (1 + math.cos(math.pi * share)),
        "poly": lambda: math.sqrt(1 - share),
        "step": lambda: 0.01 if done > whole * 3 // 4 else 0.1 if done > whole // 2 else 1.0,
        "plateau": lambda: 0.1 ** sum(waited and waited % _PLATEAU == 0 for waited in waits),
    }
    return recipe.learning_rate * factors[recipe.schedule]()

"""The learning rate to train with, by a trial of many: "Cyclical Learning Rates for Training Neural Networks",
Leslie N. Smith, 2015, arXiv:1506.01186, section 3.3.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from ..analysis.curves import plot_rates
from ..checks import check_count, check_path, check_type, got
from ..data.named import Data
from ..weights.store import whole
from .aux_labels import with_aux_labels
from .class_weights import class_weights
from .devices import device
from .distribute import Steps, strategy
from .loop import write_csv
from .recipe import Recipe
from .run import compiled, load, seed

_MEMORY = 0.9  # of the smoothed loss: the share that it keeps at each step
_DIVERGED = 4  # times the best smoothed loss
_LARGEST = 1e6
_FEWEST = 20  # steps of a trial


@dataclass(frozen=True)
class RateTrial:
    """The losses of a trial of learning rates, a step each.

    Args:
        rates: The learning rate of each step, rising evenly on a logarithmic scale.
        losses: The loss of each step.
        smoothed: The average of the losses so far, in which recent ones count most.
        steepest: The rate at which the smoothed loss falls fastest.
        tenth: A tenth of the rate at which the smoothed loss is lowest.
        title: What was tried; stands above the plot.

    Examples:
        >>> trial = find_learning_rate(Recipe(model="lenet5_modern", batch_size=32), steps=40)
        >>> trial.plot(tmp_path / "lr.png")
        >>> 1e-6 < trial.suggestion < 1
        True
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    steepest: float
    tenth: float
    title: str = ""

    @property
    def suggestion(self) -> float:
        """The rate to train with: where the loss falls fastest, but no more than a tenth of where it is lowest."""
        return min(self.steepest, self.tenth)

    def plot(self, path: str | Path) -> None:
        """Draws the losses over the rates, and marks the suggestions.

        Args:
            path: Where to; the suffix gives the format.
        """
        marks = {"steepest": self.steepest, "a tenth of the lowest": self.tenth}
        with whole(check_path("path", path)) as part:
            plot_rates(self.rates, self.losses, self.smoothed, marks, part, title=self.title)

    def save_csv(self, path: str | Path) -> None:
        """Writes a row a step: rate, loss and smoothed loss.

        Args:
            path: Of the CSV file.
        """
        rows = zip(self.rates, self.losses, self.smoothed, strict=True)
        names = ("learning_rate", "loss", "smoothed")
        write_csv(check_path("path", path), [dict(zip(names, row, strict=True)) for row in rows])


def find_learning_rate(recipe: Recipe, *, lowest: float = 1e-6, highest: float = 1.0, steps: int = 200) -> RateTrial:
    """Tries learning rates from small to large, a step each, and suggests one for a recipe.

    The recipe's own net, optimizer, data, augmentation and batch size are used, from its first step on; what its
    schedule says is not. The trial ends when the smoothed loss is 4 times its best, or not finite. Nothing is written,
    and the net is thrown away.

    The suggestion is for the highest rate of a schedule. It is no more than a good place to begin: look at the plot.

    Args:
        recipe: What is to be trained.
        lowest: The first learning rate.
        highest: The last learning rate, above `lowest`.
        steps: How many steps the trial has at most, at least 20; if the data have fewer batches, it goes on with the
            next epoch.

    Returns:
        Rates, losses and the suggestion; it can draw itself.

    Raises:
        ValueError: If the recipe does not fit the data or the model, or an option has a value that it cannot have; or
            if the loss is not finite from the beginning.
        TypeError: If `recipe` is not a Recipe.

    Examples:
        >>> trial = find_learning_rate(Recipe(model="lenet5_modern", batch_size=32), steps=40)
        >>> 1e-6 < trial.suggestion < 1
        True
    """
    check_type("recipe", recipe, Recipe, "a Recipe (Recipe.load reads a file)")
    check_count("steps", steps, _FEWEST, 10**6)
    for name, rate in (("lowest", lowest), ("highest", highest)):
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate <= _LARGEST:
            raise ValueError(f"{name} must be a learning rate above 0 and at most {_LARGEST:g}, got {got(rate)}.")
    if not lowest < highest:
        raise ValueError(f"highest must be above lowest, {lowest:g}, got {highest:g}.")
    spread = strategy(recipe.devices)
    with device(recipe.device) if spread.num_replicas_in_sync == 1 else nullcontext():
        seed(recipe)
        data = load(recipe)
        model, trained = compiled(recipe, data, spread)
        weights = class_weights(recipe.class_weight, data)
        iterator = trained.distribute(
            lambda shard: with_aux_labels(data.epochs(0, 0, shard), model, class_weight=weights)
        )
        rates: list[float] = []
        losses: list[float] = []
        smoothed: list[float] = []
        average = 0.0
        for step in range(steps):
            rate = lowest * (highest / lowest) ** (step / (steps - 1))
            model.optimizer.learning_rate = rate
            loss = _loss(trained, iterator, data)
            if not math.isfinite(loss):
                break
            average = _MEMORY * average + (1 - _MEMORY) * loss
            rates.append(rate)
            losses.append(loss)
            smoothed.append(average / (1 - _MEMORY ** (step + 1)))
            if smoothed[-1] > _DIVERGED * min(smoothed):
                break
    if len(rates) < _FEWEST // 2:
        raise ValueError(
            f"The loss is not finite or {_DIVERGED} times its best after {len(rates)} steps, with the learning rate "
            f"{rate:.3g}: try a smaller lowest than {lowest:g}."
        )
    steepest, tenth = suggestions(rates, smoothed)
    title = f"{recipe.model} on {data.name}, {recipe.optimizer}, batches of {recipe.batch_size}"
    return RateTrial(tuple(rates), tuple(losses), tuple(smoothed), steepest, tenth, title)


def _loss(trained: Steps, iterator: Iterator, data: Data) -> float:
    try:
        return trained.train(iterator)
    except tf.errors.OpError:
        data.check()  # if it is for images, in a sentence
        raise


def suggestions(rates: Sequence[float], smoothed: Sequence[float]) -> tuple[float, float]:
    """The rate at which a loss falls fastest, up to its lowest value, and a tenth of the rate of that value."""
    lowest = int(np.argmin(smoothed))
    slopes = np.gradient(smoothed, np.log(rates))[: max(lowest, 1)]
    return float(rates[int(np.argmin(slopes))]), float(rates[lowest] / 10)

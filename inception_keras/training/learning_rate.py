"""Finds a learning rate by trying many in a short run.

Leslie N. Smith, "Cyclical Learning Rates for Training Neural Networks", 2015, arXiv:1506.01186, section 3.3.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from ..analysis.charts import plot_rates
from ..checks import check_count, check_path, check_type, got
from ..data.datasets import Data
from ..files import atomic_write, write_csv
from .devices import device
from .distribute import Steps, strategy
from .recipe import Recipe
from .run import compiled, seed
from .start import first_preprocessing
from .task import task_of

_MEMORY = 0.9  # share of the smoothed loss that is kept at each step
_DIVERGED = 4  # the trial ends at this multiple of the best smoothed loss
_LARGEST = 1e6
_FEWEST = 20  # fewest steps of a trial


@dataclass(frozen=True)
class RateTrial:
    """The result of a trial of learning rates, with one step for each rate.

    Args:
        rates: The learning rate of each step, rising evenly on a logarithmic scale.
        losses: The loss of each step.
        smoothed: The moving average of the losses, in which recent losses count most.
        steepest: The rate at which the smoothed loss falls fastest.
        tenth: A tenth of the rate at which the smoothed loss is lowest.
        title: Title of the plot, which says what was tried.

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
        """The suggested rate: where the loss falls fastest, but at most a tenth of the rate with the lowest loss."""
        return min(self.steepest, self.tenth)

    def plot(self, path: str | Path) -> None:
        """Plots the losses over the rates, and marks the suggested rates.

        Args:
            path: The image file; its suffix gives the format.
        """
        marks = {"steepest": self.steepest, "a tenth of the rate of the lowest loss": self.tenth}
        with atomic_write(check_path("path", path)) as part:
            plot_rates(self.rates, self.losses, self.smoothed, marks, part, title=self.title)

    def save_csv(self, path: str | Path) -> None:
        """Writes one row for each step: rate, loss and smoothed loss.

        Args:
            path: Path of the CSV file.
        """
        rows = zip(self.rates, self.losses, self.smoothed, strict=True)
        names = ("learning_rate", "loss", "smoothed")
        write_csv(check_path("path", path), [dict(zip(names, row, strict=True)) for row in rows])


def find_learning_rate(recipe: Recipe, *, lowest: float = 1e-6, highest: float = 1.0, steps: int = 200) -> RateTrial:
    """Tries learning rates from small to large, one step each, and suggests one for a recipe.

    The trial uses the recipe's net, optimizer, data, augmentation and batch size, and starts like the run itself. It
    ignores the recipe's schedule. It ends early if the smoothed loss exceeds 4 times its best value, or the loss is not
    finite. Nothing is written, and the net is discarded.

    The suggestion is for the highest rate of a schedule. It is only a good starting point: look at the plot.

    Args:
        recipe: The recipe that needs a learning rate.
        lowest: The first learning rate.
        highest: The last learning rate, above `lowest`.
        steps: Largest number of steps, at least 20. If an epoch has fewer batches, the trial continues with the next
            epoch.

    Returns:
        The rates, the losses and the suggestion. Its `plot` method draws them.

    Raises:
        ValueError: If the recipe does not fit the data or the model, an option has an invalid value, or the loss
            diverges in the first steps.
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
    task = task_of(recipe)
    spread = strategy(recipe.devices)
    with device(recipe.device) if spread.num_replicas_in_sync == 1 else nullcontext():
        seed(recipe)
        data = task.load(recipe, first_preprocessing(recipe))
        model, trained = compiled(recipe, task, data, spread)
        iterator = trained.distribute(lambda shard: task.train_targets(data.epochs(0, 0, shard), model, recipe, data))
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
        data.check()  # raises a clear error if images are the cause
        raise


def suggestions(rates: Sequence[float], smoothed: Sequence[float]) -> tuple[float, float]:
    """The rate at which the loss falls fastest, and a tenth of the rate at which it is lowest.

    The first is searched among the rates up to the lowest loss.
    """
    lowest = int(np.argmin(smoothed))
    slopes = np.gradient(smoothed, np.log(rates))[: max(lowest, 1)]
    return float(rates[int(np.argmin(slopes))]), float(rates[lowest] / 10)

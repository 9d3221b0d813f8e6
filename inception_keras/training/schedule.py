"""The optimizer of a recipe, and its schedule, which depends only on the recipe, the step and the finished epochs."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from .optimizers import SGD, Adam
from .recipe import Recipe

_OPTIMIZERS = {
    "adam": Adam,
    "adamw": Adam,  # weight decay of every Keras optimizer works as in AdamW
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": lambda **options: SGD(momentum=0.9, **options),
}
_PLATEAU = 5  # after this many epochs without a better score, the rate falls to a tenth


def build_optimizer(recipe: Recipe, model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer of a recipe for a model. Biases and norms, which have one axis, get no weight decay."""
    ema = {"use_ema": True, "ema_momentum": recipe.ema} if recipe.ema else {}
    optimizer = _OPTIMIZERS[recipe.optimizer](
        learning_rate=float(recipe.learning_rate), weight_decay=recipe.weight_decay or None, **ema
    )
    optimizer.exclude_from_weight_decay([v for v in model.trainable_variables if len(v.shape) < 2])
    return optimizer


def learning_rate(recipe: Recipe, step: int, steps_an_epoch: int, rows: Sequence[Mapping[str, Any]]) -> float:
    """The learning rate of step `step`, counted from 0 over all epochs. `rows` are the finished epochs."""
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
        "plateau": lambda: 0.1 ** sum(waited and waited % _PLATEAU == 0 for waited in _waits(rows)),
    }
    return recipe.learning_rate * factors[recipe.schedule]()


def best_epoch(rows: Sequence[Mapping[str, Any]]) -> int:
    """The epoch with the highest validation accuracy, among equals the one with the lowest loss; 0 if there is none."""
    return len(rows) and max(range(len(rows)), key=lambda i: _score(rows[i])) + 1


def is_over(recipe: Recipe, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the run ends after these epochs, because all are done or patience has run out."""
    return len(rows) >= recipe.epochs or 0 < recipe.patience <= len(rows) - best_epoch(rows)


def _score(row: Mapping[str, Any]) -> tuple[float, float]:
    return row["val_accuracy"], -row["val_loss"]


def _waits(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """For each epoch, the number of epochs since the best one."""
    waits: list[int] = []
    best = (-math.inf, -math.inf)
    for row in rows:
        better = _score(row) > best
        best = max(best, _score(row))
        waits.append(0 if better else waits[-1] + 1 if waits else 1)
    return waits


@contextmanager
def averaged(model: keras.Model) -> Iterator[None]:
    """A context in which the model has the averages of its weights, if its optimizer keeps them.

    Afterwards the model has its own weights again.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if not optimizer.use_ema or not int(optimizer.iterations.numpy()):
        yield
        return
    own = [v.numpy() for v in model.trainable_variables]
    for variable, average in zip(model.trainable_variables, optimizer._model_variables_moving_average, strict=True):
        variable.assign(average.numpy())
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, own, strict=True):
            variable.assign(value)

"""The best epoch of a run, and whether the run is over. Both depend only on the recipe and the rows of metrics.csv."""

import math
from collections.abc import Mapping, Sequence

from .recipe import Recipe
from .task import Task

Rows = Sequence[Mapping[str, float]]


def best_epoch(rows: Rows, task: Task) -> int:
    """The epoch with the best validation score, among equals the one with the lowest loss; 0 if there is none."""
    return len(rows) and max(range(len(rows)), key=lambda i: _score(rows[i], task)) + 1


def is_over(recipe: Recipe, rows: Rows, task: Task) -> bool:
    """Whether the run ends after these epochs, because all are done or patience has run out."""
    return len(rows) >= recipe.epochs or 0 < recipe.patience <= len(rows) - best_epoch(rows, task)


def waits(rows: Rows, task: Task) -> list[int]:
    """For each epoch, the number of epochs since the best one."""
    waits: list[int] = []
    best = (-math.inf, -math.inf)
    for row in rows:
        better = _score(row, task) > best
        best = max(best, _score(row, task))
        waits.append(0 if better else waits[-1] + 1 if waits else 1)
    return waits


def _score(row: Mapping[str, float], task: Task) -> tuple[float, float]:
    score = row[f"val_{task.score}"]
    score = -score if task.smaller_is_better else score
    return -math.inf if math.isnan(score) else score, -row["val_loss"]

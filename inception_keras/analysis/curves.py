"""Charts of a training run, drawn without a display."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from .fonts import families, names_shown, shown

_COLOURS = {"train": "#4878a8", "validation": "#c8553d"}
_LONGEST = 40  # characters of a name in a picture: longer ones would leave no room for it


def plot_curves(
    rows: Sequence[Mapping[str, float]], path: str | Path, *, best: int | None = None, title: str = ""
) -> None:
    """Draws loss and accuracy over the epochs.

    Args:
        rows: One mapping an epoch with "epoch", "loss", "accuracy", "val_loss", "val_accuracy": metrics.csv's.
        path: Where to; the suffix gives the format.
        best: The epoch to mark as the best on validation.
        title: Stands above.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    _title(figure, title)
    epochs = [row["epoch"] for row in rows]
    for axes, quantity in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for part, prefix in (("train", ""), ("validation", "val_")):
            values = [row[prefix + quantity] for row in rows]
            axes.plot(epochs, values, marker="o", markersize=3, color=_COLOURS[part], label=part)
        if best is not None:
            axes.axvline(best, color="grey", linestyle=":", label=f"best on validation: epoch {best}")
        axes.set(xlabel="epoch", ylabel=quantity)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)


def plot_rates(
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    marks: Mapping[str, float],
    path: str | Path,
    *,
    title: str = "",
) -> None:
    """Draws the losses of a trial of learning rates.

    Args:
        rates: Of each step.
        losses: Of each step.
        smoothed: Of each step.
        marks: Rates to mark, by what they are.
        path: Where to; the suffix gives the format.
        title: Stands above.
    """
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    _title(figure, title)
    axes = figure.subplots()
    axes.plot(rates, losses, color=_COLOURS["train"], alpha=0.35, linewidth=1, label="loss of a step")
    axes.plot(rates, smoothed, color=_COLOURS["train"], linewidth=2, label="smoothed")
    for (name, rate), style in zip(marks.items(), ("--", ":"), strict=False):
        axes.axvline(rate, color=_COLOURS["validation"], linestyle=style, label=f"{name}: {rate:.1e}")
    low, high = min(*losses, *smoothed), max(smoothed[0], 2 * max(smoothed[: int(np.argmin(smoothed)) + 1]))
    axes.set(xscale="log", xlabel="learning rate", ylabel="loss", ylim=(max(0, low - 0.05 * (high - low)), high))
    axes.grid(alpha=0.3)
    axes.legend(loc="best")
    figure.savefig(path, dpi=110)


def plot_spread(groups: Mapping[str, Sequence[float]], path: str | Path, *, title: str = "", label: str = "") -> None:
    """Draws a row of dots for each group, a stroke at their mean.

    Args:
        groups: Figures by the name of what they belong to.
        path: Where to; the suffix gives the format.
        title: Stands above.
        label: What the figures are.
    """
    figure = Figure(figsize=(9, 1.3 + 0.55 * len(groups)), layout="constrained")
    _title(figure, title)
    axes = figure.subplots()
    for row, values in enumerate(groups.values()):
        axes.plot(values, [row] * len(values), "o", color=_COLOURS["train"], alpha=0.6, markeredgewidth=0)
        axes.vlines(np.mean(values), row - 0.3, row + 0.3, color=_COLOURS["validation"], linewidth=2)
    _names(axes.set_yticks, range(len(groups)), names_shown(groups))
    axes.set(xlabel=label, ylim=(len(groups) - 0.5, -0.5))
    axes.grid(axis="x", alpha=0.3)
    figure.savefig(path, dpi=110)


def plot_confusion(matrix: np.ndarray, names: Sequence[str], path: str | Path, *, title: str = "") -> None:
    """Draws a confusion matrix: rows are true classes, columns are predicted ones, figures are images.

    Args:
        matrix: Counts, (classes, classes).
        names: The names of the classes.
        path: Where to; the suffix gives the format.
        title: Stands above.
    """
    count = len(names)
    names = [name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…" for name in names_shown(names, "class {}")]
    side = min(4 + 0.35 * count + 0.08 * max(0, *map(len, names)), 20)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true")
    _title(figure, title)
    step = -(-count // 60)  # more labels than that cannot be read
    ticks = range(0, count, step)
    _names(axes.set_xticks, ticks, names[::step], rotation=90)
    _names(axes.set_yticks, ticks, names[::step])
    if count <= 30:
        for (row, column), images in np.ndenumerate(matrix):
            if images:
                colour = "white" if share[row, column] > 0.5 else "black"
                axes.text(column, row, str(images), ha="center", va="center", color=colour, fontsize=8)
    figure.savefig(path, dpi=110)


def _title(figure: Figure, title: str) -> None:
    width = int(10 * figure.get_figwidth())  # characters of a line
    figure.suptitle(fill(shown(title), width), fontfamily=families(title), parse_math=False)


def _names(set_ticks: Callable[..., Any], ticks: Sequence[int], names: Sequence[str], **style: Any) -> None:
    """Writes names from outside at the ticks of an axis: no formulas, and in fonts that have their characters."""
    set_ticks(ticks, names, fontfamily=families("".join(names)), parse_math=False, **style)

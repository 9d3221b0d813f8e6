"""Charts of a training run and heat maps, drawn without a display."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any, BinaryIO

import numpy as np
from matplotlib.figure import Figure

from .fonts import families, names_shown, shown

_COLOURS = {"train": "#4878a8", "validation": "#c8553d"}
_LONGEST = 40  # characters; longer class names would leave no room for the matrix


def plot_curves(
    rows: Sequence[Mapping[str, float]],
    path: str | Path,
    *,
    score: str = "accuracy",
    best: int | None = None,
    title: str = "",
) -> None:
    """Draws loss and score over the epochs.

    Args:
        rows: For each epoch, its "epoch", "loss" and "val_loss", and the score likewise, as in metrics.csv. The score
            of the training data may be missing.
        path: The file to write; the suffix gives the format.
        score: The name of the score.
        best: The epoch to mark as the best on the validation split.
        title: The title above the chart.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    _title(figure, title)
    epochs = [row["epoch"] for row in rows]
    quantities = tuple(dict.fromkeys(("loss", score)))
    places = figure.subplots(1, len(quantities), squeeze=False)[0]
    for axes, quantity in zip(places, quantities, strict=True):
        for part, prefix in (("train", ""), ("validation", "val_")):
            if not all(prefix + quantity in row for row in rows):
                continue
            values = [row[prefix + quantity] for row in rows]
            axes.plot(epochs, values, marker="o", markersize=3, color=_COLOURS[part], label=part)
        if best is not None:
            axes.axvline(best, color="grey", linestyle=":", label=f"best on validation: epoch {best}")
        axes.set(xlabel="epoch", ylabel=quantity)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    has_training = all(quantities[-1] in row for row in rows)
    (axes if has_training else places[0]).legend(loc="lower right" if has_training else "upper right")
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
    """Draws the losses of a learning-rate search over the rates.

    Args:
        rates: The learning rate of each step.
        losses: The loss of each step.
        smoothed: The smoothed loss of each step.
        marks: Learning rates to mark, by their labels.
        path: The file to write; the suffix gives the format.
        title: The title above the chart.
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
    """Draws a row of dots for each group, with a bar at the mean.

    Args:
        groups: The values of each group, by its name.
        path: The file to write; the suffix gives the format.
        title: The title above the chart.
        label: What the values are; the label of the x axis.
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
    """Draws a confusion matrix: rows are true classes, columns are predicted classes, entries are counts of images.

    Args:
        matrix: Counts of images, (classes, classes).
        names: The names of the classes.
        path: The file to write; the suffix gives the format.
        title: The title above the chart.
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
    step = -(-count // 60)  # more than 60 labels could not be read
    ticks = range(0, count, step)
    _names(axes.set_xticks, ticks, names[::step], rotation=0 if max(map(len, names)) <= 2 else 90)
    _names(axes.set_yticks, ticks, names[::step])
    if count <= 30:
        for (row, column), images in np.ndenumerate(matrix):
            if images:
                colour = "white" if share[row, column] > 0.5 else "black"
                axes.text(column, row, str(images), ha="center", va="center", color=colour, fontsize=8)
    figure.savefig(path, dpi=110)


def plot_heatmap(
    picture: np.ndarray, maps: np.ndarray, titles: Sequence[str], path: str | Path | BinaryIO, *, side: float = 4.0
) -> None:
    """Draws a picture and, beside it, heat maps over the picture, with one scale of colours for all of them.

    Args:
        picture: The picture, uint8 (h, w, 3).
        maps: The maps, (n, h, w).
        titles: A title for each map.
        path: The file to write, or an open one for a PNG.
        side: Width of a picture in inches.
    """
    height, width = picture.shape[:2]
    step = -(-max(height, width) // 1000)  # more pixels would not be seen
    picture, maps = picture[::step, ::step], maps[:, ::step, ::step]
    columns = min(4, 1 + len(maps))
    rows = -(-(1 + len(maps)) // columns)
    high = min(max(side * height / width, 1), 1.5 * side) + 0.5
    figure = Figure(figsize=(side * columns + 0.9, rows * high), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    shades, low, most = None, min(0.0, float(maps.min())), float(maps.max())
    for place, title, values in zip(axes.flat, ["", *names_shown(titles)], [None, *maps], strict=False):
        place.imshow(picture)
        if values is not None:
            share = (values - low) / (most - low or 1)  # where a class is not, the picture stays visible
            shades = place.imshow(values, cmap="turbo", vmin=low, vmax=most, alpha=0.2 + 0.4 * share)
        place.set_title(title, fontfamily=families(title), parse_math=False)
    for place in axes.flat:
        place.axis("off")
    if shades is not None:
        figure.colorbar(shades, ax=axes, fraction=0.03, aspect=25)
    figure.savefig(path, dpi=110)


def _title(figure: Figure, title: str) -> None:
    width = int(10 * figure.get_figwidth())  # characters per line
    figure.suptitle(fill(shown(title), width), fontfamily=families(title), parse_math=False)


def _names(set_ticks: Callable[..., object], ticks: Sequence[int], names: Sequence[str], **style: Any) -> None:
    """Writes class or run names at the ticks of an axis, not read as formulas, in fonts that have their characters."""
    set_ticks(ticks, names, fontfamily=families("".join(names)), parse_math=False, **style)

"""Draws the boxes of objects over photographs, with labels that stay inside the picture and off each other."""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from .fonts import families, names_shown

_DPI = 100
_SIDES = 320, 1600  # smallest and largest width of a panel in pixels; photographs between are drawn at their own size
_GAP = 8  # pixels
_TITLE = 24  # pixels, height of a title
_PAD = 2  # pixels around the text of a label
_LONGEST = 40  # characters of a label
_GOLDEN = 0.6180339887498949  # of a turn between the hues of two classes, so that near indices have unlike colours

_Rect = tuple[float, float, float, float]  # left, top, right and bottom in pixels of the panel


@dataclass(frozen=True)
class Panel:
    """A photograph with boxes.

    Args:
        image: uint8 (h, w, c).
        boxes: (k, 4): x1, y1, x2 and y2 in pixels of the photograph, the best first.
        labels: The name of each box's class.
        classes: A class index for each box, which chooses the colour.
        scores: A score for each box, which is written after the name; none if there are no scores.
        dashed: Boxes to draw with dashed lines, such as those of difficult objects.
    """

    image: np.ndarray
    boxes: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    labels: Sequence[str] = ()
    classes: Sequence[int] = ()
    scores: Sequence[float] = ()
    dashed: Sequence[bool] = ()


def plot_boxes(rows: Sequence[Sequence[Panel]], path: str | Path, *, titles: Sequence[str] = ()) -> None:
    """Draws rows of photographs with boxes.

    A photograph is drawn at its own size, if it is between 320 and 1600 pixels wide.

    Args:
        rows: Rows of panels.
        path: The file to write; the suffix gives the format.
        titles: The titles of the columns.
    """
    columns = max(map(len, rows))
    width = int(np.clip(max(panel.image.shape[1] for row in rows for panel in row), *_SIDES))
    heights = [max(round(width * p.image.shape[0] / p.image.shape[1]) for p in row) for row in rows]
    edge = _GAP if columns * len(rows) > 1 or titles else 0  # a single photograph fills the picture
    top = _TITLE if titles else edge
    whole, high = columns * (width + edge) + edge, top + sum(height + edge for height in heights)
    figure = Figure(figsize=(whole / _DPI, high / _DPI), dpi=_DPI)
    FigureCanvasAgg(figure)
    upper = high - top
    for row, height in zip(rows, heights, strict=True):
        for column, panel in enumerate(row):
            left = edge + column * (width + edge)
            own = width * panel.image.shape[0] / panel.image.shape[1]  # pixels; others in the row may be higher
            axes = figure.add_axes((left / whole, (upper - own) / high, width / whole, own / high))
            _draw(figure, axes, panel, width, own)
        upper -= height + edge
    for column, title in enumerate(titles):
        place = (edge + width / 2 + column * (width + edge)) / whole
        figure.text(place, 1 - _TITLE / 2 / high, title, ha="center", va="center", fontsize=10)
    figure.savefig(path, dpi=_DPI)


def colour_of(label: int) -> tuple[float, float, float]:
    """The colour of a class: red, green and blue from 0 to 1."""
    return colorsys.hsv_to_rgb((0.98 + label * _GOLDEN) % 1, (0.85, 0.6)[label // 8 % 2], 1.0)


def _draw(figure: Figure, axes, panel: Panel, width: float, height: float) -> None:  # type: ignore[no-untyped-def]
    image = panel.image
    axes.imshow(
        np.broadcast_to(image, (*image.shape[:2], 3)),
        interpolation="nearest" if image.shape[1] < width else "antialiased",
        extent=(0, width, height, 0),
        aspect="auto",
    )
    axes.set_axis_off()
    scale = width / image.shape[1]
    places = np.clip(np.asarray(panel.boxes, float).reshape(-1, 4) * scale, 0, (width, height, width, height))
    dashed = panel.dashed or [False] * len(places)
    thick = float(np.clip(width / 320, 1.5, 3))
    for (x1, y1, x2, y2), label, dash in reversed(list(zip(places, panel.classes, dashed, strict=True))):
        # a dark line below the bright one is seen on bright photographs
        for line, colour, alpha in ((thick + 1.5, "black", 0.7), (thick, colour_of(label), 1.0)):
            style: Any = {"linewidth": line, "edgecolor": colour, "alpha": alpha, "linestyle": "--" if dash else "-"}
            axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, **style))
    _write(figure, axes, panel, places, (width, height))


def _write(figure: Figure, axes, panel: Panel, places: np.ndarray, size: tuple[float, float]) -> None:  # type: ignore[no-untyped-def]
    """Writes the labels, each where it hides no other one, if there is such a place."""
    names = names_shown([text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…" for text in panel.labels])
    endings = [f" {score:.2f}" for score in panel.scores] or [""] * len(names)
    font = float(np.clip(size[0] / 70, 7, 12))
    taken: list[_Rect] = []
    for order, (name, ending, box, label) in enumerate(zip(names, endings, places, panel.classes, strict=True)):
        colour = colour_of(label)
        style = {
            "fontsize": font,
            "fontfamily": families(name),
            "parse_math": False,
            "va": "top",
            "zorder": 1000 - order,
        }
        written = axes.text(0, 0, name + ending, color="black" if _brightness(colour) > 0.45 else "white", **style)
        wide, high = _extent(figure, written, size[0], ending)
        rect = _place(box, wide, high, size, taken)
        taken.append(rect)
        patch = Rectangle(
            rect[:2], wide, high, facecolor=colour, edgecolor="black", linewidth=0.5, zorder=999.5 - order
        )
        axes.add_patch(patch)
        written.set_position((rect[0] + _PAD, rect[1] + _PAD))


def _extent(figure: Figure, text: Text, most: float, ending: str) -> tuple[float, float]:
    """Width and height of a label in pixels. A name that is wider than the picture is cut."""
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    while True:
        extent, name = text.get_window_extent(renderer), text.get_text().removesuffix(ending)
        if extent.width + 2 * _PAD <= most or len(name) < 2:
            return min(extent.width + 2 * _PAD, most), extent.height + 2 * _PAD
        text.set_text(f"{name[:-2]}…{ending}")


def _place(box: np.ndarray, wide: float, high: float, size: tuple[float, float], taken: Sequence[_Rect]) -> _Rect:
    """Where a label goes: above its box, in its corners, below it, or else where it hides least of other labels."""
    x1, y1, x2, y2 = box
    lefts = x1, x2 - wide
    tops = (y1 - high, y1, y2, y2 - high, *(y1 + step * high for step in (1, 2, 3)))
    best, least = (0.0, 0.0, wide, high), np.inf
    for top, left in product(tops, lefts):
        inside = min(max(left, 0), size[0] - wide), min(max(top, 0), size[1] - high)
        rect = *inside, inside[0] + wide, inside[1] + high
        moved = abs(inside[0] - left) + abs(inside[1] - top)
        hidden = sum(_overlap(rect, other) for other in taken) + (0.1 * moved if moved > wide / 2 else 0)
        if hidden < least:
            best, least = rect, hidden
        if not hidden and not moved:
            break
    return best


def _overlap(one: _Rect, other: _Rect) -> float:
    sides = [min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in range(2)]
    return max(sides[0], 0) * max(sides[1], 0)


def _brightness(colour: tuple[float, float, float]) -> float:
    return 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]

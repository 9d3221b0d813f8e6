"""Draws masks over photographs, with a legend of the classes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .fonts import families, names_shown

_DPI = 100
_SIDES = 320, 1600  # smallest and largest width of a panel in pixels; photographs between are drawn at their own size
_GAP = 8  # pixels
_LINE = 24  # pixels, height of a line of text
_SHARE = 0.6  # of a class's colour; the rest is the photograph
_LONGEST = 30  # characters of a class name


def plot_overlays(
    rows: Sequence[Sequence[tuple[np.ndarray, np.ndarray | None]]],
    names: Sequence[str],
    colours: np.ndarray,
    path: str | Path,
    *,
    titles: Sequence[str] = (),
) -> None:
    """Draws rows of photographs, each with a mask over it or without one, and a legend below.

    Args:
        rows: Rows of pairs: a photograph, uint8 (h, w, c), and a mask, class indices (h, w), or None.
        names: The names of the classes. Indices beyond them are void.
        colours: The colour of each class index, uint8 (256, 3).
        path: The file to write; the suffix gives the format.
        titles: The titles of the columns.
    """
    columns = max(map(len, rows))
    width = int(np.clip(max(image.shape[1] for row in rows for image, _ in row), *_SIDES))
    heights = [max(round(width * image.shape[0] / image.shape[1]) for image, _ in row) for row in rows]
    there = [np.unique(mask) for row in rows for _, mask in row if mask is not None]
    entries = _legend(np.unique(np.concatenate(there)) if there else [], names, colours)
    whole = columns * (width + _GAP) + _GAP
    across = max(1, whole // max((9 * len(str(one.get_label())) + 50 for one in entries), default=1))
    lines = -(-len(entries) // across)
    top = _LINE if titles else _GAP
    high = top + sum(heights) + _GAP * len(heights) + lines * _LINE
    figure = Figure(figsize=(whole / _DPI, high / _DPI), dpi=_DPI)
    upper = high - top
    for row, height in zip(rows, heights, strict=True):
        for column, (image, mask) in enumerate(row):
            left = _GAP + column * (width + _GAP)
            axes = figure.add_axes((left / whole, (upper - height) / high, width / whole, height / high))
            axes.imshow(
                _blended(image, mask, colours), interpolation="nearest" if image.shape[1] < width else "antialiased"
            )
            axes.set_axis_off()
        upper -= height + _GAP
    for column, title in enumerate(titles):
        place = (_GAP + width / 2 + column * (width + _GAP)) / whole
        figure.text(place, 1 - _LINE / 2 / high, title, ha="center", va="center", fontsize=10)
    if entries:
        fonts = {"family": families("".join(str(one.get_label()) for one in entries)), "size": 9}
        legend = figure.legend(
            handles=entries, loc="lower center", ncols=across, prop=fonts, frameon=False, borderpad=0
        )
        for text in legend.get_texts():
            text.set_parse_math(False)
    figure.savefig(path, dpi=_DPI)


def _blended(image: np.ndarray, mask: np.ndarray | None, colours: np.ndarray) -> np.ndarray:
    """A photograph with a mask over it, uint8 (h, w, 3)."""
    photograph = np.broadcast_to(image, (*image.shape[:2], 3))
    if mask is None:
        return photograph
    return np.round((1 - _SHARE) * photograph + _SHARE * colours[mask]).astype(np.uint8)


def _legend(there: Sequence[int] | np.ndarray, names: Sequence[str], colours: np.ndarray) -> list[Patch]:
    """A patch for every class that a mask has."""
    texts = [text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…" for text in names_shown(names, "class {}")]
    labels = {int(index): texts[index] if index < len(texts) else "void" for index in there}
    return [
        Patch(facecolor=colours[index] / 255, edgecolor="black", linewidth=0.5, label=label)
        for index, label in labels.items()
    ]

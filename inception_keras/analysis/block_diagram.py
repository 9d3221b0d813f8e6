"""Draws a model as a picture for a slide, with trunk, branches and heads. Needs only matplotlib."""

from collections.abc import Sequence

import keras
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path as Outline

from .block_graph import blocks, collapse
from .block_layout import Area, Arrow, Line, Picture, slide_scale, text_size, trunk_picture
from .captions import COLOURS, engineering
from .fonts import families, names_shown, shown, weight
from .profile import profile

_MARGIN = 0.25
_LEAST = 0.62  # slides are read from afar: where the text would be scaled below this, equal blocks are joined
_BEND = 0.1  # radius of an arrow's corners
_STYLES = COLOURS | {"frame": ("#fcfcfc", "#9a9a9a"), "header": ("#ececec", "#9a9a9a")}
_INK, _ARROW = "#111111", "#444444"


def draw(model: keras.Model, input_shape: Sequence[int] | None = None) -> Figure:
    """The figure of `plot_blocks`. The `gid` of a box, frame or text names its layer or block."""
    names_shown([model.name, *(layer.name for layer in model.layers)])  # warns about characters that no font has
    trunk = blocks(model, input_shape)
    picture = trunk_picture(trunk)
    if slide_scale(picture) < _LEAST:
        picture = trunk_picture(collapse(trunk))
    return _paint(picture, model.name, _figures(model, input_shape))


def _figures(model: keras.Model, input_shape: Sequence[int] | None) -> str:
    """The number of parameters, and of MACs if they can be counted for these sizes and layers."""
    texts = [f"{model.count_params():,} parameters"]
    try:
        texts.append(f"{engineering(profile(model, input_shape=input_shape).macs)} MACs")
    except (TypeError, ValueError):
        pass
    return ", ".join(texts)


def _paint(picture: Picture, title: str, subtitle: str) -> Figure:
    heading = [(title, 15.0, True), (subtitle, 10.0, False)]
    wide = max(picture.width, *(text_size(*line)[0] for line in heading))
    top = sum(text_size(*line)[1] for line in heading) + 0.15
    figure = Figure((wide + 2 * _MARGIN, picture.height + top + 2 * _MARGIN))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    x = -_MARGIN - (wide - picture.width) / 2
    axes.set_xlim(x, x + wide + 2 * _MARGIN)
    axes.set_ylim(picture.height + _MARGIN, -top - _MARGIN)

    y = -top
    for text, size, bold in heading:
        height = text_size(text, size)[1]
        _write(axes, Line(text, x + _MARGIN, y + height / 2, size, "left", bold), "title")
        y += height
    areas, arrows = picture.flat()
    for area in areas:
        _fill(axes, area)
    for arrow in arrows:
        outline = _curve(arrow) if arrow.style == "curve" else _elbow(arrow)
        axes.add_patch(
            FancyArrowPatch(path=outline, arrowstyle="-|>", mutation_scale=9, color=_ARROW, linewidth=0.9, zorder=3)
        )
    return figure


def _fill(axes: Axes, area: Area) -> None:
    fill, line = _STYLES[area.role]
    rounding = 0.0 if area.role == "header" else 0.04
    axes.add_patch(
        FancyBboxPatch(
            (area.x, area.y),
            area.width,
            area.height,
            boxstyle=f"round,pad=0,rounding_size={rounding}" if rounding else "square,pad=0",
            facecolor=fill,
            edgecolor=line,
            linewidth=0.8,
            gid=f"{area.role}:{area.name}",
            zorder=1 if area.role in ("frame", "header") else 2,
        )
    )
    for text in area.lines:
        _write(axes, text, f"{area.role}:{area.name}")


def _write(axes: Axes, line: Line, gid: str) -> None:
    axes.text(
        line.x,
        line.y,
        shown(line.text),
        fontfamily=families(line.text),
        fontsize=line.size,
        fontweight=weight(line.text, line.bold),
        color=_INK,
        ha=line.align,
        va="center_baseline",
        parse_math=False,
        gid=gid,
        zorder=4,
    )


def _curve(arrow: Arrow) -> Outline:
    """A curve through the points of an arrow, vertical at each of them."""
    vertices, codes = [arrow.points[0]], [Outline.MOVETO]
    for (x, y), (to_x, to_y) in zip(arrow.points, arrow.points[1:], strict=False):
        if abs(x - to_x) < 1e-3:
            vertices.append((to_x, to_y))
            codes.append(Outline.LINETO)
        else:
            steep = 0.85 * (to_y - y)
            vertices += [(x, y + steep), (to_x, to_y - steep), (to_x, to_y)]
            codes += [Outline.CURVE4] * 3
    return Outline(vertices, codes)


def _elbow(arrow: Arrow) -> Outline:
    """Straight lines along the points of an arrow, with round corners."""
    vertices, codes = [arrow.points[0]], [Outline.MOVETO]
    for before, corner, after in zip(arrow.points, arrow.points[1:], arrow.points[2:], strict=False):
        vertices += [_towards(corner, before), corner, _towards(corner, after)]
        codes += [Outline.LINETO, Outline.CURVE3, Outline.CURVE3]
    return Outline([*vertices, arrow.points[-1]], [*codes, Outline.LINETO])


def _towards(corner: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    part = min(_BEND / max(abs(dx) + abs(dy), 1e-6), 0.5)
    return corner[0] + part * dx, corner[1] + part * dy

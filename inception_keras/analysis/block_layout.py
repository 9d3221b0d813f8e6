"""Places the boxes, frames and arrows of a block diagram, in inches with y downwards. Nothing is drawn here."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import fmean

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextToPath

from .block_graph import Block, Box
from .captions import sizes
from .fonts import families, shown, weight

Point = tuple[float, float]
TITLE, DETAIL, HEADER, CAPTION = 9.5, 8.0, 9.0, 7.5  # points
PAD = 0.07  # inches between a text and the edge of its box
_GAP = 0.12  # between boxes side by side
_ROW_GAP = 0.24  # between rows of boxes: room for arrows
_ITEM_GAP = 0.32  # between the blocks of a column
_GUTTER = 0.6  # between columns
_ASPECT = 16 / 10
_LARGEST = 1.5  # largest useful scale of the text on a slide; beyond it, fewer columns are better
_METRICS = TextToPath()


@dataclass(frozen=True)
class Line:
    """A line of text. `align` says whether (x, y) is its left end, its center or its right end, at half its height."""

    text: str
    x: float
    y: float
    size: float
    align: str = "center"
    bold: bool = False


@dataclass(frozen=True)
class Area:
    """A rectangle and the texts in it. `role` is a key of COLOURS, "frame" or "header"."""

    name: str
    role: str
    x: float
    y: float
    width: float
    height: float
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True)
class Arrow:
    """An arrow along points. The style "curve" is vertical at each point; "elbow" turns at right angles."""

    points: tuple[Point, ...]
    style: str = "elbow"


@dataclass
class Picture:
    """Areas from back to front, arrows, and smaller pictures with the positions of their upper left corners."""

    width: float = 0.0
    height: float = 0.0
    axis: float = 0.0  # the x where the data enters and leaves
    tail: float = 0.0  # the y where the outgoing arrow starts
    areas: list[Area] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    parts: list[tuple["Picture", Point]] = field(default_factory=list)

    def flat(self, x: float = 0.0, y: float = 0.0) -> tuple[list[Area], list[Arrow]]:
        """All areas and arrows, nested ones included, in one coordinate system, moved by (x, y)."""
        areas = [moved(area, x, y) for area in self.areas]
        arrows = [replace(way, points=tuple((a + x, b + y) for a, b in way.points)) for way in self.arrows]
        for part, (dx, dy) in self.parts:
            inner_areas, inner_arrows = part.flat(x + dx, y + dy)
            areas += inner_areas
            arrows += inner_arrows
        return areas, arrows


def moved(area: Area, x: float, y: float) -> Area:
    """A copy of the area and its texts, moved by (x, y)."""
    lines = tuple(replace(line, x=line.x + x, y=line.y + y) for line in area.lines)
    return replace(area, x=area.x + x, y=area.y + y, lines=lines)


def text_size(text: str, size: float, bold: bool = False) -> Point:
    """Width and height of a line of text in inches."""
    font = FontProperties(family=families(text), size=size, weight=weight(text, bold))
    width, _, _ = _METRICS.get_text_width_height_descent(shown(text), font, ismath=False)
    return width / 72, 1.25 * size / 72


def block_picture(block: Block, *, enters: bool = True) -> Picture:
    """A block in its frame, with a row of boxes for each step from the input and a column for each branch."""
    if len(block.boxes) == 1 and block.times == 1:
        area = _box_area(block.boxes[0], caption=True)
        return Picture(area.width, area.height, area.width / 2, area.height, [area])
    rows, ways = _layers(block, enters)
    drawn = {box.name: _box_area(box) for box in block.boxes}
    common = max(area.width for area in drawn.values())
    x, half = _columns(rows, ways, drawn.keys(), common)
    left = min(x[name] - half[name] for name in x)
    right = max(x[name] + half[name] for name in x)
    head = _header(block, right - left + 2 * _GAP)
    spare = max((head.width - (right - left)) / 2, _GAP)
    x = {name: value - left + spare for name, value in x.items()}
    width = right - left + 2 * spare

    top: dict[str, float] = {}
    foot: dict[str, float] = {}
    y = head.height + (_ROW_GAP if enters else _GAP)
    for row in rows:
        height = max(drawn[name].height for name in row if name in drawn)
        top.update(dict.fromkeys(row, y))
        foot.update(dict.fromkeys(row, y + height))
        y += height + _ROW_GAP
    frame = Area(block.name, "frame", 0, 0, width, y - _ROW_GAP + 0.16)
    titles = tuple(replace(t, x=PAD if t.align == "left" else width - PAD) for t in head.lines)
    last = block.boxes[-1].name
    picture = Picture(width, frame.height, x[last], 0.0, [frame, replace(head, width=width, lines=titles)])
    for name, area in drawn.items():
        middle = (top[name] + foot[name]) / 2
        lines = tuple(replace(line, x=common / 2) for line in area.lines)
        area = moved(replace(area, width=common, lines=lines), x[name] - common / 2, middle - area.height / 2)
        picture.areas.append(area)
        drawn[name] = area
    picture.tail = drawn[last].y + drawn[last].height
    for first, *between, end in ways:
        points = [(picture.axis, head.height)]
        if first:
            points = [(x[first], drawn[first].y + drawn[first].height), (x[first], foot[first])]
        for name in between:
            points += [(x[name], top[name]), (x[name], foot[name])]
        points += [(x[end], top[end]), (x[end], drawn[end].y)]
        points = [(round(a, 6), round(b, 6)) for a, b in points]  # so that equal points compare equal and are dropped
        picture.arrows.append(Arrow(tuple(dict.fromkeys(points)), "curve"))
    return picture


def trunk_picture(trunk: list[Block]) -> Picture:
    """Arranges the blocks in columns that fill a 16:10 slide with the largest possible text."""
    blocks = [block_picture(block, enters=i > 0) for i, block in enumerate(trunk)]
    heads = [[block_picture(head) for head in block.heads] for block in trunk]
    limits = [sum(block.height + _ITEM_GAP for block in blocks) * 0.97**i for i in range(120)]
    best, most = Picture(), 0.0
    for starts in dict.fromkeys(_wrap(blocks, limit) for limit in limits):
        picture = _wrapped(blocks, heads, starts)
        columns = [part.height for part, _ in picture.parts]
        even = sum(columns) / len(columns) / max(columns)
        score = min(slide_scale(picture), _LARGEST) * even**0.25  # columns of equal length look better
        if score > most * 1.01:
            best, most = picture, score
    return best


def slide_scale(picture: Picture) -> float:
    """The scale at which the picture and its title fill a slide of 13.3 x 8.3 inches."""
    return 13.3 * min(1 / (picture.width + 0.5), 1 / _ASPECT / (picture.height + 1.0))


def _wrap(blocks: list[Picture], limit: float) -> tuple[int, ...]:
    """The index of the first block of each column. Columns are at most `limit` high, unless one block is higher."""
    starts, height = [0], 0.0
    for i, block in enumerate(blocks):
        if height and height + block.height > limit:
            starts.append(i)
            height = 0.0
        height += block.height + _ITEM_GAP
    return tuple(starts)


def _wrapped(blocks: list[Picture], heads: list[list[Picture]], starts: tuple[int, ...]) -> Picture:
    picture = Picture()
    roof = 0.0 if len(starts) == 1 else _ITEM_GAP + 0.05  # room for the arrows from column to column
    x = 0.0
    tail: tuple[Point, ...] = ()
    for start, end in zip(starts, [*starts[1:], len(blocks)], strict=True):
        column = _column(blocks[start:end], heads[start:end])
        axis = x + column.axis
        if start:
            bend, up = x - _GUTTER / 2, roof - _ITEM_GAP
            way = (*tail, (bend, tail[-1][1]), (bend, up), (axis, up), (axis, roof))
            picture.arrows.append(Arrow(way))
        picture.parts.append((column, (x, roof)))
        tail = ((axis, roof + column.tail), (axis, roof + column.height + 0.2))
        picture.width = x + column.width
        picture.height = max(picture.height, roof + column.height + (0.25 if end < len(blocks) else 0.0))
        x += column.width + _GUTTER
    return picture


def _column(blocks: list[Picture], heads: list[list[Picture]]) -> Picture:
    """Stacks blocks on one axis. Heads stand at the right, lower than the block that they read."""
    axis = max(block.axis for block in blocks)
    right = axis + max(block.width - block.axis for block in blocks)
    column = Picture(right, axis=axis)
    y = busy = 0.0  # heads reach down to `busy`
    for i, (block, beside) in enumerate(zip(blocks, heads, strict=True)):
        if beside:
            y = max(y, busy - block.height)
        if i:
            column.arrows.append(Arrow(((axis, column.tail), (axis, y))))
        column.parts.append((block, (axis - block.axis, y)))
        column.tail = y + block.tail
        y += block.height + _ITEM_GAP
        x, turn = right + _GUTTER / 2, y - _ITEM_GAP / 2
        for head in beside:
            way = ((axis, column.tail), (axis, turn), (x + head.axis, turn), (x + head.axis, y))
            column.arrows.append(Arrow(way))
            column.parts.append((head, (x, y)))
            column.width = max(column.width, x + head.width)
            busy = max(busy, y + head.height)
            x += head.width + _GAP
    column.height = max(y - _ITEM_GAP, busy)
    return column


def _box_area(box: Box, *, caption: bool = False) -> Area:
    """A box at (0, 0). With `caption`, its name and shape are written below the other texts."""
    texts = [(box.title, TITLE), (box.detail, DETAIL)]
    if caption:
        texts.append((f"{box.name}: {sizes(box.shape)}", CAPTION))
    texts = [(text, size) for text, size in texts if text]
    width = max(text_size(text, size)[0] for text, size in texts) + 2 * PAD
    lines, y = [], PAD
    for text, size in texts:
        height = text_size(text, size)[1]
        lines.append(Line(text, width / 2, y + height / 2, size))
        y += height
    return Area(box.name, box.role, 0, 0, width, y + PAD, tuple(lines))


def _header(block: Block, room: float) -> Area:
    """The strip at the top of a frame: name, number of repeats, output shape. It has two lines if one is too long."""
    name = Line(block.name, 0, 0, HEADER, "left", bold=True)
    shape = Line(sizes(block.shape), 0, 0, DETAIL, "right")
    rows = [[name, shape]]
    if block.times > 1:
        rows = [[name, Line(f"x {block.times}", 0, 0, HEADER, "right", bold=True)], [replace(shape, align="left")]]
    elif _row_width(rows[0]) > room:
        rows = [[name], [replace(shape, align="left")]]
    height = text_size("x", HEADER)[1]
    lines = tuple(replace(line, y=0.03 + height * (i + 0.5)) for i, row in enumerate(rows) for line in row)
    return Area(block.name, "header", 0, 0, max(map(_row_width, rows)), 0.06 + height * len(rows), lines)


def _row_width(lines: list[Line]) -> float:
    return sum(text_size(line.text, line.size, line.bold)[0] + 2 * PAD for line in lines)


def _layers(block: Block, enters: bool) -> tuple[list[list[str]], list[tuple[str, ...]]]:
    """The rows of names in a block, and the path of each arrow as a tuple of names.

    Where an arrow passes a row without stopping, it gets a placeholder name in that row. The name "" is the entry of
    the block.
    """
    boxes = {box.name: box for box in block.boxes}
    depth: dict[str, int] = {}
    for box in block.boxes:
        depth[box.name] = 1 + max((depth[name] for name in box.inputs if name in depth), default=-1)
    rows: list[list[str]] = [[] for _ in range(1 + max(depth.values()))]
    ways: list[tuple[str, ...]] = []

    def visit(name: str) -> None:  # branches from left to right, as the layer that joins them reads them
        for source in boxes[name].inputs:
            if source not in boxes and not enters:
                continue
            if source in boxes and not any(source in row for row in rows):
                visit(source)
            above = depth.get(source, -1)
            between = [f"{source}>{name}>{row}" for row in range(above + 1, depth[name])]
            for row, passing in enumerate(between, start=above + 1):
                rows[row].append(passing)
            ways.append((source if source in boxes else "", *between, name))
        rows[depth[name]].append(name)

    read = {source for box in block.boxes for source in box.inputs}
    for box in block.boxes:
        if box.name not in read:
            visit(box.name)
    return rows, ways


def _columns(
    rows: list[list[str]], ways: list[tuple[str, ...]], boxes: Collection[str], common: float
) -> tuple[dict[str, float], dict[str, float]]:
    """The x of every name, as close to its neighbours as order and widths allow, and half the width of every name."""
    half = {name: common / 2 if name in boxes else _GAP / 2 for row in rows for name in row}
    near: dict[str, list[str]] = {name: [] for name in half}
    for first, *others in ways:
        if first:  # an arrow below a box keeps the width of that branch
            half.update(dict.fromkeys(others, common / 2))
        for a, b in pairwise([first, *others] if first else others):
            if first or b not in boxes:  # a shortcut does not pull the box where it ends
                near[a].append(b)
                near[b].append(a)
    offset = {}
    for row in rows:
        offset[row[0]] = 0.0
        for a, b in pairwise(row):
            offset[b] = offset[a] + half[a] + _GAP + half[b]
    x = {name: offset[name] - offset[row[-1]] / 2 for row in rows for name in row}
    for _ in range(400):
        before = x.copy()
        for row in [*rows, *reversed(rows)]:
            wanted = [fmean([x[other] for other in near[name]] or [x[name]]) - offset[name] for name in row]
            x.update({name: at + offset[name] for name, at in zip(row, _increasing(wanted), strict=True)})
        if max(abs(x[name] - before[name]) for name in x) < 1e-4:
            break
    return x, half


def _increasing(values: Iterable[float]) -> list[float]:
    """The non-decreasing list with the least squared distance to `values` (isotonic regression)."""
    pools: list[list[float]] = []
    for value in values:
        pools.append([value, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            b, a = pools.pop(), pools.pop()
            pools.append([(a[0] * a[1] + b[0] * b[1]) / (a[1] + b[1]), a[1] + b[1]])
    return [level for level, count in pools for _ in range(int(count))]

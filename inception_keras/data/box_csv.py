"""Reads boxes from CSV files: a line for each object, with the path of the image, four corners and a class."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ..checks import some
from .box_list import (
    Annotated,
    BoxList,
    Object,
    Paths,
    by_folder,
    class_name,
    is_file_name,
    left_over,
    number_of,
    shown,
    size_of,
)
from .csv_file import IMAGE_COLUMN, Table, bit_of, cells_of, csv_files, split_of_cell
from .csv_paths import Files
from .images import looks_like_image
from .layout import stay_inside, subfolders

_CORNERS = ("x1", "y1", "x2", "y2")
_NAMES = {  # of columns, in lower case and without anything but letters and digits; the first that exists is meant
    "x1": "x1 xmin left xtl minx bboxx1 bboxxmin boxx1",
    "y1": "y1 ymin top ytl miny bboxy1 bboxymin boxy1",
    "x2": "x2 xmax right xbr maxx bboxx2 bboxxmax boxx2",
    "y2": "y2 ymax bottom ybr maxy bboxy2 bboxymax boxy2",
    "label": "label class classname labelname category categoryname name",
    "difficult": "difficult iscrowd isgroupof ignore",
    "width": "width imagewidth imgwidth",
    "height": "height imageheight imgheight",
    "split": "split isvalid",
}
_FROM_ZERO = {"x1": "x0", "y1": "y0", "x2": "x1", "y2": "y1"}  # the names in files that count corners from 0
_SAMPLE = 100  # lines that are examined


@dataclass(frozen=True)
class BoxTable:
    """A CSV file of boxes, and which of its columns is what."""

    path: Path
    columns: Mapping[str, int]  # the index of the image, x1, y1, x2, y2 and label; perhaps of the others in _NAMES
    names: tuple[str, ...]  # the names of all columns; empty if the first line is an object
    base: Path

    @property
    def split(self) -> str | None:
        """The split that the name of the file or of its folder stands for."""
        return Table(self.path, base=self.base).split


def list_box_csv(root: Path, passed: Paths, label: str | None = None) -> BoxList | None:
    """The images of a folder with CSV files of boxes, in the splits that a column, file names or folders say.

    The first line names the columns, in any order; without such a line, the columns are the path, x1, y1, x2, y2 and
    the label, or the label comes second. A line with a path and no box is an image without objects. If all numbers are
    from 0 to 1, they are shares of the image's width and height.

    Args:
        root: The folder.
        passed: CSV files of something else are added to it, if there is none of boxes.
        label: The column of the classes.

    Returns:
        None if no CSV file holds boxes.

    Raises:
        ValueError: If a file is no valid CSV, or two are of the same split.
        OSError: If a file or folder cannot be read.
    """
    files = Files(root)
    skipped: Paths = []
    tables = []
    for folder in (root, *subfolders(root)):
        for path in csv_files(folder):
            table = _open(path, files, label)
            if isinstance(table, BoxTable):
                tables.append(table)
            else:
                skipped.append((path, table))
    if not tables:
        passed += skipped
        return None
    splits = [table.split or "train" for table in tables]
    if len(set(splits)) < len(splits):
        names = some(table.path.relative_to(root) for table in tables)
        raise ValueError(f"{root} has several CSV files of boxes, {names}: keep one, or train.csv and test.csv.")
    images: list[Annotated] = []
    unused: Paths = []
    wrong: Paths = []
    for table, split in zip(tables, splits, strict=True):
        images += _read(table, split if len(tables) > 1 or table.split else "train", files, unused, wrong)
    if len(tables) == 1 and tables[0].split is None and "split" not in tables[0].columns:
        images = by_folder(images, root)
    corners = [value for one in images for each in one.objects for value in each.box]
    shares = bool(corners) and min(corners) >= 0 and max(corners) <= 1 and not all(value in (0, 1) for value in corners)
    notes = left_over(files.images, images, root, "CSV file of boxes")
    if shares:
        notes.append("the boxes are from 0 to 1, and taken as shares of the width and the height of their images")
    origin = tables[0].path if len(tables) == 1 else root
    return BoxList(origin, images, None, skipped, unused, wrong, notes, shares)


def _open(path: Path, files: Files, label: str | None) -> BoxTable | str:
    """Examines the first lines of a CSV file. Returns why it holds no boxes, if it does not."""
    stay_inside(path, files.root)
    rows: list[list[str]] = []
    try:
        rows += (cells for _, cells in islice(cells_of(path), _SAMPLE))
    except ValueError as error:
        if not rows:
            return f"cannot be read: {str(error).removeprefix(str(path)).strip().rstrip('.')}"
    if not rows:
        return "is empty"
    base = files.root if path.parent == files.root else path.parent
    if any(looks_like_image(Path(cell)) for cell in rows[0]):
        columns = _by_order(rows)
        return BoxTable(path, columns, (), base) if columns else "has no columns of boxes that are known by their order"
    columns = _by_name(rows, label)
    if lacking := [name for name in _CORNERS if name not in columns]:
        return f"has no columns of boxes: {some(lacking)} are lacking among {some(map(shown, rows[0]))}"
    if "image" not in columns:
        return f"has boxes, but no column of images among {some(map(shown, rows[0]))}"
    if "label" not in columns:
        wanted = "" if label is None else f" called {label!r}"
        raise ValueError(f"{path} has boxes, but no column of classes{wanted} among {some(map(shown, rows[0]), 20)}.")
    return BoxTable(path, columns, tuple(rows[0]), base)


def _by_name(rows: list[list[str]], label: str | None) -> dict[str, int]:
    plain = [re.sub(r"[^a-z0-9]", "", name.lower()) for name in rows[0]]
    named = _NAMES | (_FROM_ZERO if {"x0", "y0"} <= {*plain} else {})
    columns: dict[str, int] = {}
    for role, names in named.items():
        found = next((name for name in names.split() if name in plain), None)
        if found and not (role == "label" and label is not None):
            columns[role] = plain.index(found)
    if label is not None and label in rows[0]:
        columns["label"] = rows[0].index(label)
    free = [index for index in range(len(plain)) if index not in columns.values()]
    cells = {index: [row[index] for row in rows[1:] if index < len(row)] for index in free}
    if "image" not in columns:
        images = [index for index in free if any(looks_like_image(Path(cell)) for cell in cells[index])]
        images = images or [index for index in free if IMAGE_COLUMN.search(rows[0][index])]
        if images:
            columns["image"] = images[0]
    rest = [index for index in free if index != columns.get("image") and rows[0][index]]
    if "label" not in columns and label is None and len(rest) == 1:
        columns["label"] = rest[0]
    return columns


def _by_order(rows: list[list[str]]) -> dict[str, int]:
    """The columns of a file without a line of names; empty if they are not known."""
    row = next((row for row in rows if all(row)), [])
    image = next((index for index, cell in enumerate(row) if looks_like_image(Path(cell))), None)
    if image is None or len(row) != 6:
        return {}
    rest = [index for index in range(6) if index != image]
    for corners, label in ((rest[:4], rest[4]), (rest[1:], rest[0])):
        if all(number_of(row[index]) is not None for index in corners):
            return dict(zip(("image", "label", *_CORNERS), (image, label, *corners), strict=True))
    return {}


def _read(table: BoxTable, split: str, files: Files, unused: Paths, wrong: Paths) -> Iterator[Annotated]:
    """The images of a file in the order of their first lines."""
    columns = table.columns
    found: dict[tuple[str, Path], tuple[list[Object], tuple[int, int] | None]] = {}
    paths: dict[tuple[str, str], Path] = {}
    rows = cells_of(table.path)
    wide = len(table.names) or len(next(rows, (0, [""] * 6))[1])
    if not table.names:
        rows = cells_of(table.path)
    else:
        next(rows)
    for number, cells in rows:
        where = f"line {number}"
        if len(cells) != wide:
            raise ValueError(f"{table.path}, {where} has {len(cells)} cells, the first line has {wide}.")
        cell = {role: cells[index] for role, index in columns.items()}
        if not is_file_name(cell["image"]):
            wrong.append((table.path, f"has {where} without the path of an image"))
            continue
        chosen = split
        if "split" in columns:
            chosen = split_of_cell(_title(table, columns["split"]), cell["split"], f"{table.path}, {where}")
        key = chosen, cell["image"]
        if key not in paths:
            paths[key] = files.find(cell["image"], table.base, chosen, f"{table.path}, {where}")
        objects, _ = found.setdefault((chosen, paths[key]), ([], size_of(cell.get("width"), cell.get("height"))))
        if any(cell[corner] for corner in _CORNERS):
            one = _object(cell, where)
            if isinstance(one, Object):
                objects.append(one)
            else:
                wrong.append((table.path, one))
    for (chosen, path), (objects, size) in found.items():
        if path.is_file():
            yield Annotated(chosen, path, objects, table.path, size)
        else:
            unused.append((path, "is not there"))


def _object(cell: Mapping[str, str], where: str) -> Object | str:
    """An object, or why it cannot be used."""
    name = class_name(cell["label"])
    label = f"{where}{f' ({name})' * bool(name)}"
    values = {corner: number_of(cell[corner]) for corner in _CORNERS}
    lacking = [corner for corner, value in values.items() if value is None]
    if lacking:
        return f"has {label} whose {lacking[0]} is no number: {shown(cell[lacking[0]])!r}"
    if not name:
        return f"has {where} without a class"
    x1, y1, x2, y2 = (value for value in values.values() if value is not None)
    return Object(where, name, (x1, y1, x2, y2), bool(bit_of(cell.get("difficult", ""))))


def _title(table: BoxTable, index: int) -> str:
    return "is_valid" if "valid" in table.names[index].lower() else "split"

"""A CSV file of image paths and labels."""

import csv
from collections.abc import Iterator
from pathlib import Path

from .folders import EXTENSIONS
from .listing import SPLITS, Listing, number, stay_inside

_PARTS = {name: part for part, names in SPLITS.items() for name in names}


def find_csv(root: Path) -> list[Path]:
    """The .csv files that list images: those whose first row has the name of one."""
    return [path for path in sorted(root.glob("*.csv")) if path.is_file() and _path_column(path) is not None]


def list_csv(files: list[Path], root: Path, label: str | None = None) -> Listing:
    """The images of one file, with a column `split` or without; or of train.csv, val.csv and test.csv.

    The first line names the columns. Paths are relative to the folder.

    Args:
        files: What `find_csv` found.
        root: The folder.
        label: The column of the labels; None if there is but one beside the paths and `split`, or one named "label".

    Raises:
        ValueError: If a file is no CSV, lacks a label or a column, or leads out of the folder.
    """
    by_name = {_PARTS.get(path.stem.lower()): path for path in files}
    if len(files) > 1 and (None in by_name or len(by_name) < len(files)):
        names = ", ".join(path.name for path in files)
        raise ValueError(f"{root} has several CSV files of images, {names}: keep one, or train.csv and test.csv.")
    images: dict[str, list[Path]] = {}
    labels: dict[str, list[str]] = {}
    for part, path in by_name.items() if len(files) > 1 else [("train", files[0])]:
        for split, image, name in _rows(path, root, label, str(part)):
            images.setdefault(split, []).append(image)
            labels.setdefault(split, []).append(name)
    origin = files[0] if len(files) == 1 else root
    numbers, classes = number(labels, origin)
    return Listing(origin, {part: (images[part], numbers[part]) for part in images}, tuple(classes), [])


def _rows(path: Path, root: Path, label: str | None, part: str) -> Iterator[tuple[str, Path, str]]:
    """The part, the image and the label of each row."""
    place = _path_column(path)
    if place is None:
        raise ValueError(f"{path} has no line with the names of columns and under it one with the name of an image.")
    rows = _cells(path)
    _, names = next(rows)
    if len(set(names)) < len(names):
        raise ValueError(f"{path} has two columns of one name: {', '.join(names)}.")
    wanted = names.index(_label_column(path, names, place, label))
    split = names.index("split") if "split" in names else None
    for line, cells in rows:
        if len(cells) != len(names):
            raise ValueError(f"{path}, line {line} has {len(cells)} cells, the first line has {len(names)}.")
        for column, content in ((wanted, "label"), (place, "path")):
            if not cells[column] or "\0" in cells[column]:
                raise ValueError(f"{path}, line {line} has no {content}.")
        if split is not None and cells[split].lower() not in _PARTS:
            raise ValueError(f"{path}, line {line}: split must be one of {', '.join(_PARTS)}, got {cells[split]!r}.")
        image = stay_inside(root / cells[place], root)
        yield part if split is None else _PARTS[cells[split].lower()], image, cells[wanted]


def _label_column(path: Path, names: list[str], place: int, label: str | None) -> str:
    columns = [name for i, name in enumerate(names) if i != place and name != "split"]
    if label is None and ("label" in columns or len(columns) == 1):
        return "label" if "label" in columns else columns[0]
    if label not in columns:
        asked = "" if label is None else f", not {label!r}"
        raise ValueError(f"{path} has the columns {', '.join(columns) or 'of paths only'}{asked}: label= chooses one.")
    return label


def _path_column(path: Path) -> int | None:
    """The first column that has the name of an image in the second line."""
    try:
        rows = _cells(path)
        header, first = next(rows)[1], next(rows)[1]
    except (ValueError, StopIteration):
        return None
    found = [_is_image(cell) for cell in first[: len(header)]]
    return found.index(True) if True in found and not any(map(_is_image, header)) else None


def _is_image(cell: str) -> bool:
    return cell.lower().endswith(EXTENSIONS)


def _cells(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The line number and the stripped cells of each row that is not empty."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline(2**16)
            file.seek(0)
            rows = csv.reader(file, delimiter=max(",;\t", key=header.count), strict=True)
            for cells in rows:
                if any(cells):
                    yield rows.line_num, [cell.strip() for cell in cells]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV file: {error}.") from None

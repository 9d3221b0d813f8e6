"""Reads CSV files of image paths and labels."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from ..checks import counted, some
from .csv_paths import Files, is_address
from .images import looks_like_image
from .layout import SPLIT_NAMES, split_of, stay_inside, subfolders
from .listing import Listing, number

IMAGE_COLUMN = re.compile(r"id|image|img|file|name|path|photo|picture", re.IGNORECASE)
_WHOLE = re.compile(r"[+-]?\d+\.0+")
_IS_VALID = "is_valid"  # fastai's name for the column that marks validation images
_SAMPLE = 100  # rows that are examined to tell whether a column holds image ids


@dataclass(frozen=True)
class Table:
    """A CSV file, and the column in which it names the images."""

    path: Path
    columns: tuple[str, ...] = ()
    image: int | None = None  # index of the column that names the images; None if no column does
    fault: str = ""  # why the file cannot be read
    base: Path | None = None  # the folder of a split, if the file lies in one
    by_id: bool = False  # whether images are named without their extension

    @property
    def split(self) -> str | None:
        """The split that the file's name stands for; else the split of the folder that it lies in; else None."""
        stem = re.sub(r"[-_. ]?(labels?|list|annotations?|metadata|classes)$", "", self.path.stem, flags=re.IGNORECASE)
        return split_of(stem) or (split_of(self.base.name) if self.base else None)

    @property
    def is_submission(self) -> bool:
        """Whether the file shows the format of a competition's answers, such as sample_submission.csv."""
        return "submission" in self.path.stem.lower()

    @property
    def candidates(self) -> list[str]:
        """The columns that may hold labels. Columns without a name are row numbers, and are left out."""
        return [
            name
            for i, name in enumerate(self.columns)
            if i != self.image and name and name.lower() != "split" and not name.startswith("Unnamed: ")
        ]

    def split_column(self, labels: list[str]) -> str:
        """The column that holds the split of each row, leaving out the label columns; empty if there is none."""
        found = {name.lower(): name for name in self.columns if name not in labels}
        return found.get("split") or found.get(_IS_VALID, "")


def find_csv(files: Files) -> list[Table]:
    """The CSV files of a folder; if none of them names images, also the CSV files in its folders of splits that do."""
    tables = [_open(path, files) for path in csv_files(files.root)]
    if not any(table.image is not None for table in tables):
        folders = [folder for folder in subfolders(files.root) if split_of(folder.name)]
        inner = [replace(_open(path, files), base=folder) for folder in folders for path in csv_files(folder)]
        tables += [table for table in inner if table.image is not None]
    return tables


def is_training(tables: list[Table]) -> bool:
    """Whether the CSV files name training images with labels."""
    return any(
        table.image is not None and table.candidates and not table.is_submission and table.split in (None, "train")
        for table in tables
    )


def list_csv(tables: list[Table], files: Files, label: str | None = None) -> Listing:
    """Lists the images of one CSV file, or of train.csv, val.csv and test.csv.

    The first line names the columns. A column `split` gives the split of each row. A column `is_valid`, as in fastai,
    marks the validation images. If there is a single file that does not give the splits, but all of its images lie in
    folders of splits, these folders give the splits. A validation or test file without labels, and a sample of a
    competition's answers, are passed over.

    Args:
        tables: The result of `find_csv`.
        files: The files of the folder.
        label: The column of the labels. None takes the only column beside the paths and the split, or one named
            "label". If neither exists and all columns hold 0 and 1, the labels are one-hot: the column with the 1 is
            the class.

    Raises:
        ValueError: If a file is no valid CSV, a label or a column is missing, or a path leads out of the folder.
    """
    root = files.root
    tables, notes = _chosen(tables, root)
    first = next((table for table in tables if table.split == "train"), tables[0])
    wanted = _label_columns(first, label)
    rows: dict[str, list[_Row]] = {}
    for table in tables:
        split = "train" if len(tables) == 1 or not table.split else table.split
        if table is not first and not set(wanted) <= set(table.columns):
            notes.append(f"{table.path} is passed over: it has no column {some(wanted)} of labels")
            continue
        for row in _rows(table, files, wanted, split):
            rows.setdefault(row.split, []).append(row)
    if len(tables) == 1 and tables[0].split is None and not tables[0].split_column(wanted):
        rows = _by_folder(rows, files)
    for split in ("validation", "test"):
        if split in rows and not any(row.label for row in rows[split]):
            notes.append(
                f"{counted(len(rows[split]), f'{split} image')} in {root} are passed over: they have no labels"
            )
            del rows[split]
    for row in (row for found in rows.values() for row in found):
        if not row.label:
            raise ValueError(f"{row.where} has no label.")
    parts = {split: _once(found, notes) for split, found in rows.items()}

    labels = {split: [row.label for row in found] for split, found in parts.items()}
    every = {label for found in labels.values() for label in found}
    if any(map(_WHOLE.fullmatch, every)) and all(_WHOLE.fullmatch(one) or one.isdecimal() for one in every):
        # pandas writes whole numbers as 1.0 if the column has an empty cell
        labels = {split: [label.partition(".")[0] for label in found] for split, found in labels.items()}
    origin = tables[0].path if len(tables) == 1 else root
    numbers, classes = number(labels, origin, wanted if len(wanted) > 1 else ())
    used = {row.image for found in rows.values() for row in found}
    if left := [path.relative_to(root) for path in files.images if path not in used]:
        are = "is" if len(left) == 1 else "are"
        notes.append(f"{counted(len(left), 'image')} in {root} {are} in no row with a label: {some(left)}")
    listed = {split: ([row.image for row in found], numbers[split]) for split, found in parts.items()}
    return Listing(origin, dict(listed), tuple(classes), notes=notes, fault=_fault(parts))


@dataclass(frozen=True)
class _Row:
    where: str
    split: str
    image: Path
    label: str


def _chosen(tables: list[Table], root: Path) -> tuple[list[Table], list[str]]:
    """The CSV files to read, and notes on those that are passed over."""
    chosen = [table for table in tables if table.image is not None]
    notes = []
    if len(chosen) > 1:
        for reason, is_passed in (
            ("it shows how answers are written", lambda table: table.is_submission),
            ("it has no labels", lambda table: not table.candidates),
        ):
            for table in [table for table in chosen if is_passed(table)]:
                if len(chosen) > 1:
                    chosen.remove(table)
                    notes.append(f"{table.path} is passed over: {reason}")
    splits = [table.split or "train" for table in chosen]
    if len(set(splits)) < len(splits):
        names = ", ".join(str(table.path.relative_to(root)) for table in chosen)
        raise ValueError(f"{root} has several CSV files of images, {names}: keep one, or train.csv and test.csv.")
    return chosen, notes


def _rows(table: Table, files: Files, wanted: list[str], split: str) -> Iterator[_Row]:
    """The rows of a file. A row without a label gets an empty label."""
    rows = cells_of(table.path)
    _, names = next(rows)
    named = [name for name in names if name]
    if len(set(named)) < len(named):
        raise ValueError(f"{table.path} has two columns of one name: {', '.join(named)}.")
    image = table.image or 0
    splits = names.index(table.split_column(wanted)) if table.split_column(wanted) else None
    columns = [names.index(name) for name in wanted]
    for line, cells in rows:
        where = f"{table.path}, line {line}"
        if len(cells) != len(names):
            raise ValueError(f"{where} has {len(cells)} cells, the first line has {len(names)}.")
        if not cells[image]:
            raise ValueError(f"{where} has no path.")
        if "\0" in "".join(cells):
            raise ValueError(f"{where} holds a zero byte.")
        chosen = split if splits is None else split_of_cell(names[splits], cells[splits], where)
        path = files.find(cells[image], table.base or files.root, chosen, where)
        found = [cells[column] for column in columns]
        yield _Row(where, chosen, path, found[0] if len(found) == 1 else _one_of(found, wanted, where))


def split_of_cell(column: str, cell: str, where: str) -> str:
    """The split that a cell of the column `split` or `is_valid` names.

    Raises:
        ValueError: If it names none.
    """
    if column.lower() == _IS_VALID:
        bit = bit_of(cell)
        split, allowed = None if bit is None else ("train", "validation")[bit], "True or False, or 1 or 0"
    else:
        split, allowed = split_of(cell), f"one of {', '.join(SPLIT_NAMES)}"
    if split is None:
        raise ValueError(f"{where}: {column} must be {allowed}, got {cell!r}.")
    return split


def _by_folder(rows: dict[str, list[_Row]], files: Files) -> dict[str, list[_Row]]:
    """Assigns each row to the split in whose folder its image lies.

    The rows are returned unchanged if an image lies outside such folders, or if there is no training image.
    """
    found: dict[str, list[_Row]] = {}
    for row in (row for part in rows.values() for row in part):
        below = row.image.relative_to(files.root).parts if row.image.is_relative_to(files.root) else ("",)
        if (split := split_of(below[0])) is None:
            return rows
        found.setdefault(split, []).append(replace(row, split=split))
    return found if "train" in found else rows


def _one_of(cells: list[str], columns: list[str], where: str) -> str:
    """The name of the column that holds the 1; empty if all cells are empty."""
    if not any(cells):
        return ""
    values = list(map(bit_of, cells))
    if None in values:
        raise ValueError(
            f"{where}: the columns {some(columns)} may all be of labels, but hold {cells[values.index(None)]!r}, "
            "which is not 0 or 1: label= (--label) chooses one."
        )
    if sum(filter(None, values)) != 1:
        ones = [name for name, value in zip(columns, values, strict=True) if value]
        raise ValueError(
            f"{where} has a 1 for {some(ones) or 'no class'} among {some(columns)}: each image must be of one class, "
            "or label= (--label) chooses a column."
        )
    return columns[values.index(1)]


def bit_of(cell: str) -> int | None:
    """1 for a cell that says yes, 0 for one that says no, None for others."""
    return {"0": 0, "0.0": 0, "false": 0, "1": 1, "1.0": 1, "true": 1}.get(cell.lower())


def _label_columns(table: Table, label: str | None) -> list[str]:
    """The column of the labels, or all columns of one-hot labels."""
    columns = table.candidates
    if label is None:
        columns = [name for name in columns if name.lower() != _IS_VALID] or columns
        named = [name for name in columns if name.lower() == "label"] or columns
        if len(named) == 1:
            return named
        rows = cells_of(table.path)
        names, first = next(rows)[1], next(rows)[1]
        if columns and all(
            bit_of(cell) is not None for name, cell in zip(names, first, strict=False) if name in columns
        ):
            return columns
    if not columns:
        raise ValueError(f"{table.path} has no column of labels.")
    if label not in columns:
        asked = "" if label is None else f", not {label!r}"
        raise ValueError(f"{table.path} has the columns {', '.join(columns)}{asked}: label= (--label) chooses one.")
    return [label]


def _once(rows: list[_Row], notes: list[str]) -> list[_Row]:
    """The rows without repetitions of an earlier row's image and label."""
    first = {(row.image, row.label): row for row in reversed(rows)}
    again = [row for row in rows if first[row.image, row.label] is not row]
    if again:
        notes.append(f"{counted(len(again), 'row')} say the same as an earlier one and are used once: {again[0].where}")
    return [row for row in rows if first[row.image, row.label] is row]


def _fault(parts: dict[str, list[_Row]]) -> str:
    """An error if an image has two different labels; else an empty text."""
    labels: dict[Path, _Row] = {}
    for row in (row for rows in parts.values() for row in rows):
        other = labels.setdefault(row.image, row)
        if other.label != row.label:
            return f"{row.where} has the label {row.label} for {row.image.name}, but {other.where} has {other.label}."
    return ""


def csv_files(folder: Path) -> list[Path]:
    """The CSV files that lie in a folder."""
    return [path for path in sorted(folder.iterdir()) if path.suffix.lower() in (".csv", ".tsv") and path.is_file()]


def _open(path: Path, files: Files) -> Table:
    """Examines the first rows of a CSV file."""
    stay_inside(path, files.root)
    rows: list[list[str]] = []
    try:
        rows += (cells for _, cells in islice(cells_of(path), _SAMPLE + 1))
    except ValueError as error:
        if len(rows) < 2:  # a file with rows may still name images; its error is raised when it is read
            return Table(path, fault=str(error).rstrip("."))
    if len(rows) < 2:
        return Table(path, fault=f"{path} has no rows below the names of its columns")
    columns = tuple(rows[0])
    if any(map(_is_image, columns)):
        return Table(path, columns, fault=f"{path} names an image in its first line, where names of columns should be")
    for is_named in (_is_image, is_address):
        found = [is_named(cell) for cell in rows[1][: len(columns)]]
        if any(found):
            return Table(path, columns, found.index(True))
    for i, name in enumerate(columns):
        if IMAGE_COLUMN.search(name):
            cells = [row[i] for row in rows[1:] if i < len(row)]
            if 2 * sum(map(files.has, cells)) > len(cells):
                return Table(path, columns, i, by_id=True)
    return Table(path, columns)


def _is_image(cell: str) -> bool:
    return looks_like_image(Path(cell)) and not is_address(cell)


def cells_of(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The line number and the stripped cells of each row that is not empty."""
    with path.open("rb") as file:
        mark = file.read(2)
    encoding = "utf-16" if mark in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        with path.open(encoding=encoding, newline="") as file:
            head = file.readline(2**16), file.readline(2**16)
            file.seek(0)
            told = re.fullmatch(r"sep=(.)\s*", head[0])  # Excel writes this line
            if told:
                file.readline()
            rows = csv.reader(file, delimiter=told[1] if told else _delimiter(head), strict=True)
            for cells in rows:
                if any(cells):
                    yield rows.line_num + bool(told), [cell.strip() for cell in cells]
    except UnicodeError as error:
        raise ValueError(f"{path} is no CSV file: it is not UTF-8 text ({error}); save it as UTF-8.") from None
    except csv.Error as error:
        raise ValueError(f"{path} is no CSV file: {error}.") from None


def _delimiter(lines: tuple[str, str]) -> str:
    """The delimiter that gives both lines the same number of cells, and among those the one that gives the most."""

    def cells(delimiter: str) -> tuple[bool, int]:
        counts = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
        return len(set(counts)) == 1, counts[0] if counts else 0

    return max(",;\t|", key=cells)

"""Writes files so that a reader never sees half of one, and an error leaves the old file as it was."""

import csv
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yields a temporary file to write, and renames it to `path` once it is on the disk.

    A link stays a link: the file that it leads to is replaced. Pipes and devices such as /dev/stdout are written
    directly.

    Raises:
        OSError: If the file cannot be written. The message names `path`, which keeps its old content.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            yield path
        else:
            with _replaced(Path(os.path.realpath(path))) as part:
                yield part
    except OSError as error:
        kept = "; what was there before is as it was" if path.exists() else ""
        reason = f"{path} cannot be written: {error.strerror or error}{kept}."
        raise OSError(error.errno, reason) if error.errno else OSError(reason) from error


@contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    part = path.with_name(f"part-{path.name}")  # a prefix, because some writers take the format from the suffix
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
        if os.name == "posix":  # sync the folder, too: it holds the name
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def write_csv(path: str | Path, rows: Sequence[Mapping[str, object]], columns: Sequence[str] | None = None) -> None:
    """Writes a header and rows to a CSV file. Floats get six significant digits.

    Args:
        path: The file.
        rows: The rows as dicts. A column that a row lacks stays empty.
        columns: The header; by default, the keys of the first row.

    Raises:
        OSError: If the file cannot be written. An existing file then keeps its content.
    """
    with atomic_write(path) as part, part.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.DictWriter(file, columns or list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)


def write_json(path: str | Path, content: object) -> None:
    """Writes a JSON file.

    Raises:
        OSError: If the file cannot be written. An existing file then keeps its content.
    """
    with atomic_write(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n")

"""Cuts large images with boxes into tiles, such as aerial photographs, whose objects are small."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..checks import check_count, check_path, check_share, check_text
from ..files import write_csv
from .box_images import Seen, check_objects, check_splits, look
from .boxes import list_boxes
from .images import read_image
from .listing import check_share_of

TABLE = "boxes.csv"
_THINNEST = 1.0  # pixels; thinner parts of objects are left out


def cut_tiles(
    data_dir: str | Path,
    out: str | Path,
    *,
    size: int = 400,
    overlap: int = 0,
    min_visible: float = 0.5,
    label: str | None = None,
    max_unreadable: float = 0.1,
) -> dict[str, int]:
    """Cuts the images of a folder with boxes into square tiles, and writes them as a folder for `load_data`.

    A net sees an image in one size. An aerial photograph of a thousand trees has to be cut first: resized as a whole,
    its objects would become too small to be found. Tiles of a row or column have the same distance, and cover the image
    to its borders. Tiles without any object are written, too, as images without objects are good images.

    Args:
        data_dir: A folder with boxes in any form that `load_data(task="detection")` reads. Its splits are kept.
        out: The folder to write. It must not exist, or be empty. It gets an image for each tile, as PNG, in a folder
            for each split, and `boxes.csv`.
        size: Side of a tile in pixels. An image that is smaller stays as it is in that direction.
        overlap: The least number of pixels that neighbouring tiles share. With the size of the largest objects, each of
            them is seen as a whole in one tile at least.
        min_visible: Of an object that is cut by a border, the share that must be visible. Objects of which less is
            visible are marked as difficult: nothing is learned from them, and measures do not count them.
        label: The column of a CSV file that holds the classes.
        max_unreadable: Largest share of the images that may be unreadable, and of objects that cannot be used.

    Returns:
        The number of tiles of each split.

    Raises:
        ValueError: If an argument is not valid, or the folder has no boxes, or too much of it cannot be used.
        FileExistsError: If `out` is not empty.
        OSError: If a file or folder cannot be read or written.

    Examples:
        >>> counts = cut_tiles("aerial", "tiles", size=400, overlap=60)  # doctest: +SKIP
    """
    source, target = check_path("data_dir", data_dir), check_path("out", out)
    check_count("size", size, least=16)
    check_count("overlap", overlap, least=0, most=size - 1)
    check_share("min_visible", min_visible), check_share("max_unreadable", max_unreadable)
    if label is not None:
        check_text("label", label)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FileExistsError(f"{target} exists already and is not an empty folder: give another one as out.")
    found = list_boxes(source, label)
    splits = check_splits(found, training=False)
    seen = list(look(found))
    faults = [one.fault[:2] for one in seen if one.fault]
    check_share_of(found.origin, len(found.unused) + len(found.images), [*found.unused, *faults], max_unreadable)
    check_objects(found, seen, max_unreadable)
    rows: list[dict[str, object]] = []
    counts = dict.fromkeys(splits, 0)
    for number, one in enumerate(each for each in seen if not each.fault):
        folder = target / one.split
        folder.mkdir(parents=True, exist_ok=True)
        picture = read_image(one.image, 3)
        for window in _windows(picture.width, picture.height, size, overlap):
            left, top, _, _ = window
            path = folder / f"{number:05}_{top}_{left}.png"
            picture.crop(window).save(path)
            counts[one.split] += 1
            rows += _rows(one, window, path.relative_to(target).as_posix(), min_visible)
    write_csv(target / TABLE, rows, ("path", "x1", "y1", "x2", "y2", "label", "difficult", "split"))
    return counts


def starts(length: int, size: int, overlap: int) -> list[int]:
    """Where tiles begin along a side of an image, so that they cover it and are equally far apart.

    Examples:
        >>> starts(1000, 400, 50)
        [0, 300, 600]
        >>> starts(300, 400, 50)
        [0]
    """
    count = max(1, -(-(length - overlap) // (size - overlap)))
    return [round(start) for start in np.linspace(0, max(0, length - size), count)]


def _windows(width: int, height: int, size: int, overlap: int) -> Iterator[tuple[int, int, int, int]]:
    """Left, top, right and bottom of the tiles of an image, row by row."""
    for top in starts(height, size, overlap):
        for left in starts(width, size, overlap):
            yield left, top, min(left + size, width), min(top + size, height)


def _rows(one: Seen, window: tuple[int, int, int, int], path: str, min_visible: float) -> list[dict[str, object]]:
    """The lines of a tile: one for each object of which it shows something, or one without a box."""
    left, top, right, bottom = window
    cut = np.clip(one.boxes, (left, top, left, top), (right, bottom, right, bottom))
    sides = cut[:, 2:] - cut[:, :2]
    shares = np.prod(sides, axis=1) / np.prod(one.boxes[:, 2:] - one.boxes[:, :2], axis=1)
    whole = (cut == one.boxes).all(axis=1)
    rows: list[dict[str, object]] = []
    for index in np.flatnonzero(whole | (sides >= _THINNEST).all(axis=1)):
        x1, y1, x2, y2 = (cut[index] - (left, top, left, top)).tolist()
        hard = bool(one.difficult[index]) or shares[index] < min_visible
        corners = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
        rows.append({"path": path, **corners, "label": one.classes[index], "difficult": int(hard), "split": one.split})
    return rows or [{"path": path, "split": one.split}]

"""Anchors: the boxes that a region proposal network starts from at every position of a feature map."""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

from ..checks import check_bool, check_count, check_number, check_share, check_type, got
from ..files import write_csv
from .boxes import Array, iou

SIZES = (16, 32, 64, 128, 256)  # the limits of a report's rows, in pixels of sqrt(width * height)


def rcnn_anchors(
    base: int = 16, ratios: Sequence[float] = (0.5, 1, 2), scales: Sequence[float] = (8, 16, 32)
) -> np.ndarray:
    """The anchors of the first position, as py-faster-rcnn computes them.

    They are centred on the first `base` x `base` pixels. A square of that size gets each ratio by rounding its width
    and then its height; the result, 23 x 12, 16 x 16 and 11 x 22 pixels for the default, is multiplied by each scale.
    x2 and y2 are indices of the last pixels, as everywhere in that code: the first anchor, [-84 -40 99 55], is
    184 x 96 pixels. (The list in a comment of that code is MATLAB's, one more in every number.)

    Args:
        base: Stride of the feature map in pixels.
        ratios: Height / width.
        scales: Factors.

    Returns:
        float32 (ratios * scales, 4): all scales of the first ratio, then of the next one.

    Raises:
        ValueError: If `base` is not a positive int, or ratios or scales are not numbers above 0.

    Reference:
        Ren et al., arXiv:1506.01497; `lib/rpn/generate_anchors.py` of py-faster-rcnn.

    Examples:
        >>> rcnn_anchors()[[0, 4]].tolist()
        [[-84.0, -40.0, 99.0, 55.0], [-120.0, -120.0, 135.0, 135.0]]
    """
    base, ratio, scale = check_count("base", base), positive("ratios", ratios), positive("scales", scales)
    widths = np.round(np.sqrt(base * base / ratio))
    heights = np.round(widths * ratio)
    halves = (np.stack([widths, heights], -1)[:, None] * scale[:, None] - 1).reshape(-1, 2) / 2
    centre = (base - 1) / 2
    return np.concatenate([centre - halves, centre + halves], 1).astype(np.float32)


def fpn_anchors(sizes: Sequence[float], ratios: Sequence[float] = (0.5, 1, 2)) -> np.ndarray:
    """The anchors of the first position, as torchvision computes them: centred on 0, with corners rounded.

    Args:
        sizes: sqrt(width * height) in pixels. Each level of a feature pyramid has one, 32 to 512.
        ratios: Height / width.

    Returns:
        float32 (ratios * sizes, 4): all sizes of the first ratio, then of the next one.

    Raises:
        ValueError: If sizes or ratios are not numbers above 0.

    Reference:
        Lin et al., arXiv:1612.03144; `torchvision/models/detection/anchor_utils.py`.

    Examples:
        >>> fpn_anchors([32]).tolist()
        [[-23.0, -11.0, 23.0, 11.0], [-16.0, -16.0, 16.0, 16.0], [-11.0, -23.0, 11.0, 23.0]]
    """
    ratio, size = positive("ratios", ratios).astype(np.float32), positive("sizes", sizes).astype(np.float32)
    heights = np.sqrt(ratio)
    halves = (np.stack([1 / heights, heights], -1)[:, None] * size[:, None]).reshape(-1, 2) / 2
    return np.round(np.concatenate([-halves, halves], 1))


def grid(anchors: Array, size: Sequence[int] | tf.Tensor, stride: int | Sequence[int] | tf.Tensor) -> tf.Tensor:
    """The anchors of all positions of a feature map, row by row: (a, 4) -> (rows * columns * a, 4).

    Args:
        anchors: (a, 4), those of the first position.
        size: (rows, columns) of the map.
        stride: Pixels of the image from one position to the next one, or two for rows and columns.

    Returns:
        float32 (rows * columns * a, 4). The anchors of one position follow each other.

    Examples:
        >>> grid([[0, 0, 8, 8]], size=(2, 2), stride=16).numpy().tolist()
        [[0.0, 0.0, 8.0, 8.0], [16.0, 0.0, 24.0, 8.0], [0.0, 16.0, 8.0, 24.0], [16.0, 16.0, 24.0, 24.0]]
    """
    rows, columns = tf.unstack(tf.cast(size, tf.int32), 2)
    down, right = tf.unstack(tf.broadcast_to(tf.cast(stride, tf.float32), (2,)))
    y, x = tf.meshgrid(
        tf.range(rows, dtype=tf.float32) * down, tf.range(columns, dtype=tf.float32) * right, indexing="ij"
    )
    return tf.reshape(tf.stack([x, y, x, y], -1)[:, :, None] + tf.cast(anchors, tf.float32), (-1, 4))


@dataclass(frozen=True)
class SizeRow:
    """The boxes of one range of sizes.

    `positive` is the share that has an anchor of the overlap wanted, so that several anchors may learn it; `missed` is
    the share that overlaps no anchor enough to be more than background, but for the one best anchor that every object
    gets in training.
    """

    size: str  # sqrt(width * height) in pixels
    boxes: int
    mean_iou: float
    positive: float
    missed: float


@dataclass(frozen=True)
class AnchorReport:
    """How well anchors fit the boxes of a data set. A notebook or `print` shows it as a table."""

    boxes: np.ndarray  # float32 (n, 4), in pixels of the net's input
    best: np.ndarray  # float32 (n,): the IoU of each box with its best anchor
    anchor: np.ndarray  # int (n,): the index of that anchor among those of its position; a pyramid's are counted on
    image: np.ndarray  # int (n,): the index of the image of each box
    positive: float  # from this IoU on an anchor is foreground
    negative: float  # below this IoU an anchor is background

    @property
    def rows(self) -> tuple[SizeRow, ...]:
        """A row for each range of sizes that has boxes, and one for all."""
        sizes = np.sqrt((self.boxes[:, 2] - self.boxes[:, 0]) * (self.boxes[:, 3] - self.boxes[:, 1]))
        limits = (0, *SIZES, np.inf)
        names = [f"below {SIZES[0]}", *(f"{a} to {b}" for a, b in pairwise(SIZES))]
        names.append(f"from {SIZES[-1]}")
        found = [
            self._row(name, (sizes >= low) & (sizes < high))
            for name, low, high in zip(names, limits, limits[1:], strict=False)
        ]
        return (*(row for row in found if row.boxes), self._row("all", sizes >= 0))

    def _row(self, name: str, inside: np.ndarray) -> SizeRow:
        best = self.best[inside]
        shares = (
            (best.mean(), (best >= self.positive).mean(), (best < self.negative).mean()) if best.size else (0.0,) * 3
        )
        return SizeRow(name, int(best.size), *map(float, shares))

    def to_csv(self, path: str | Path) -> None:
        """Writes the rows with a header line."""
        write_csv(Path(path), [asdict(row) for row in self.rows])

    def __str__(self) -> str:
        table = Table(title="Boxes against anchors", title_justify="left")
        head = ("size in pixels", "boxes", "mean best IoU", f"IoU >= {self.positive:g}", f"IoU < {self.negative:g}")
        for title in head:
            table.add_column(title, justify="left" if title == head[0] else "right", no_wrap=True)
        for row in self.rows:
            shares = (f"{row.positive:.1%}", f"{row.missed:.1%}")
            table.add_row(row.size, f"{row.boxes:,}", f"{row.mean_iou:.3f}", *shares)
        console = Console(file=io.StringIO(), width=100, record=True, markup=False, emoji=False)
        console.print(table)
        return console.export_text()


def anchor_report(
    data: "tf.data.Dataset | Iterable[tuple[Sequence[int], Array]]",
    anchors: Array | Sequence[Array],
    strides: int | Sequence[int] = 16,
    *,
    inside: bool = True,
    extra: float = 0.0,
    positive: float = 0.7,
    negative: float = 0.3,
) -> AnchorReport:
    """Compares the boxes of a data set with the anchors of a net: the best IoU of each box.

    It answers why a detector misses small objects: a region proposal network learns a box from the anchors that overlap
    it well. Of an object much smaller than the smallest anchor, or smaller than the stride, there is only one, and that
    one far off. Smaller anchors, a larger image or a finer map help.

    Args:
        data: Batches (images, targets) as `load_data(..., task="detection")` gives them, with `targets["boxes"]` in
            pixels of the images and -1 for padding in `targets["classes"]`; or pairs of the (height, width) of an image
            and its boxes (k, 4).
        anchors: (a, 4), those of the first position; or such an array for each level of a pyramid.
        strides: Pixels of the image from one position of the map to the next one; or one for each level.
        inside: Whether only anchors inside the image count, as in training.
        extra: Pixels that are added to each width and height, see `boxes.area`.
        positive: From this IoU on, an anchor is trained as foreground.
        negative: Below this IoU, an anchor is trained as background.

    Returns:
        An AnchorReport with `.rows`, `.best` and `.to_csv(path)`.

    Raises:
        ValueError: If there are not as many strides as levels, or a threshold is not a share.

    Examples:
        >>> report = anchor_report([((600, 800), [[50, 50, 70, 70], [100, 200, 220, 330]])], rcnn_anchors())
        >>> [f"{best:.3f}" for best in report.best]
        ['0.026', '0.867']
        >>> [(row.size, row.boxes, row.missed) for row in report.rows]
        [('16 to 32', 1, 1.0), ('64 to 128', 1, 0.0), ('all', 2, 0.5)]
    """
    check_share("positive", positive), check_share("negative", negative)
    check_bool("inside", inside), check_number("extra", extra, 0)
    levels = _levels(anchors)
    steps = [check_count("strides", step) for step in (strides if isinstance(strides, (tuple, list)) else [strides])]
    if len(levels) != len(steps):
        raise ValueError(f"strides must be one for each of the {len(levels)} levels of anchors, got {got(strides)}.")
    labels = np.cumsum([0, *map(len, levels)])
    found: dict[str, list[np.ndarray]] = {"boxes": [], "best": [], "anchor": [], "image": []}
    known: dict[tuple[int, int], tuple[tf.Tensor, np.ndarray]] = {}
    for image, (size, boxes) in enumerate(_pairs(data)):
        if size not in known:
            grids = [
                grid(level, [-(-side // step) for side in size], step)
                for level, step in zip(levels, steps, strict=True)
            ]
            label = [
                np.resize(np.arange(*limits), len(one)) for limits, one in zip(pairwise(labels), grids, strict=True)
            ]
            known = {size: _inside(tf.concat(grids, 0), np.concatenate(label), size, inside, extra)}
        places, labels_of = known[size]
        overlaps = iou(boxes, places, extra=extra).numpy()
        best = overlaps.argmax(1) if overlaps.shape[1] else np.zeros(len(boxes), int)
        found["boxes"].append(boxes)
        found["best"].append(overlaps.max(1, initial=0))
        found["anchor"].append(labels_of[best] if overlaps.shape[1] else best - 1)
        found["image"].append(np.full(len(boxes), image))
    arrays = {name: np.concatenate(parts or [np.zeros(0)]) for name, parts in found.items()}
    arrays["boxes"] = arrays["boxes"].reshape(-1, 4)
    return AnchorReport(**arrays, positive=positive, negative=negative)


def _inside(
    anchors: tf.Tensor, labels: np.ndarray, size: tuple[int, int], wanted: bool, extra: float
) -> tuple[tf.Tensor, np.ndarray]:
    """The anchors inside the image, or all, and the index of each among those of its position."""
    x1, y1, x2, y2 = anchors.numpy().T
    kept = (x1 >= 0) & (y1 >= 0) & (x2 <= size[1] - extra) & (y2 <= size[0] - extra)
    kept = kept if wanted else np.ones_like(kept)
    return tf.boolean_mask(anchors, kept), labels[kept]


def _levels(anchors: Array | Sequence[Array]) -> list[np.ndarray]:
    try:
        levels = [anchors] if np.ndim(anchors[0]) == 1 else list(anchors)
        arrays = [np.asarray(level, np.float32) for level in levels]
    except (TypeError, ValueError, IndexError, KeyError):
        arrays = []
    if not arrays or any(level.ndim != 2 or level.shape[1] != 4 for level in arrays):
        raise ValueError(f"anchors must be (a, 4), or a list of such arrays, got {got(anchors)}.")
    return arrays


def _pairs(data: "tf.data.Dataset | Iterable") -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """The (height, width) and the boxes (k, 4) of each image."""
    check_type("data", data, (tf.data.Dataset, Iterable), "batches, or pairs of (height, width) and boxes")
    if not isinstance(data, tf.data.Dataset):
        for pair in data:
            try:
                (height, width), boxes = pair
                yield (int(height), int(width)), np.reshape(np.asarray(boxes, np.float32), (-1, 4))
            except (TypeError, ValueError):
                raise ValueError(f"data must be pairs of (height, width) and boxes (k, 4), got {got(pair)}.") from None
        return
    for images, targets in data:
        height, width = images.shape[1:3]
        for boxes, classes in zip(targets["boxes"].numpy(), targets["classes"].numpy(), strict=True):
            yield (height, width), boxes[classes >= 0]


def positive(label: str, values: Sequence[float]) -> np.ndarray:
    """Returns `values` as float64 (n,) if they are numbers above 0, at least one; otherwise raises a ValueError."""
    try:
        numbers = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        numbers = np.zeros(0)
    if numbers.ndim != 1 or not len(numbers) or not (np.isfinite(numbers) & (numbers > 0)).all():
        raise ValueError(f"{label} must be numbers above 0, got {got(values)}.")
    return numbers

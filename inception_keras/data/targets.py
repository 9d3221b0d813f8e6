"""What a net learns about each image: a label, a mask or boxes. Masks and boxes move as their images move.

`Targets` is the seam between the pipeline and the tasks. The pipeline decides which images are in a batch and draws the
random numbers. It asks the targets for the same images, and for the same changes by the same numbers:

1. `read` opens the mask of an image, if the masks are files. It runs in Python, once for each image.
2. `gather` gives the targets of a batch, as they appear in the window of each image that becomes the input.
3. `shift` and `flip` change a batch as `augment` changes its images.
4. `finish` gives what the net is fed.

All but `take` and `read` run inside TensorFlow graphs.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import tensorflow as tf

from ..checks import check_share
from . import augment
from .augment import Draw
from .images import Source, UnreadableImage
from .mask_file import VOID, mask_of, nearest, no_class

Size = tuple[int, int]
Batch = TypeVar("Batch")  # the targets of a batch: a tensor, or a dict of tensors


class Targets(ABC, Generic[Batch]):
    """The targets of the images of a split, in the order of the images."""

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    def files(self) -> Sequence[Source] | None:
        """The file of each image's target, which `read` opens; None if there are no such files."""
        return None

    @abstractmethod
    def take(self, which: np.ndarray) -> "Targets":
        """The targets of the images at these indices."""

    @property
    def groups(self) -> np.ndarray:
        """A number for each image. A test or validation set gets its share of the images of every number."""
        return np.zeros(len(self), int)

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The content of the targets, by which equal data are recognised."""

    def check(self, images: np.ndarray | Sequence[Source]) -> None:
        """Raises a ValueError if these are no targets of the images."""
        if len(images) != len(self):
            raise ValueError(f"There are {len(images)} images, but the targets of {len(self)}.")

    def read(self, index: int, window: Sequence[float], image: Size, size: Size) -> np.ndarray:
        """Reads the mask of an image: uint8 (height, width).

        Args:
            index: Index of the image.
            window: (top, left, height, width) of the part of the image that becomes the input, in pixels of the image.
            image: (height, width) of the image.
            size: (height, width) of the result.

        Raises:
            UnreadableImage: If the file cannot be used.
            OSError: If the file cannot be read.
        """
        # only called if `files` is not None
        raise NotImplementedError(f"{type(self).__name__} has no files.")

    @abstractmethod
    def gather(self, chosen: tf.Tensor, windows: tf.Tensor, size: Size, masks: tf.Tensor | None = None) -> Batch:
        """The targets of a batch.

        Args:
            chosen: int64 (n,): indices of the images.
            windows: float32 (n, 4): top, left, height and width of the part of each image that becomes the input.
            size: (height, width) of the input.
            masks: What `read` has returned for these images, uint8 (n, height, width), if the targets are files.
        """

    def shift(self, targets: Batch, draw: Draw, size: Size) -> Batch:
        """Shifts the targets of a batch as `augment.shift` shifts its images."""
        return targets

    def flip(self, targets: Batch, draw: Draw, size: Size) -> Batch:
        """Mirrors the targets of a batch as `augment.flip` mirrors its images."""
        return targets

    def finish(self, targets: Batch) -> Batch:
        """The targets of a batch in the form that the net is fed."""
        return targets


@dataclass(frozen=True, eq=False)
class Labels(Targets[tf.Tensor]):
    """A class index for each image. No change of an image changes its class."""

    values: np.ndarray  # int32 (n,)
    one_hot: int = 0  # if above 0, batches have one-hot labels of this many classes: float32 (n, classes)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.asarray(self.values).reshape(-1).astype(np.int32))

    def __len__(self) -> int:
        return len(self.values)

    def take(self, which: np.ndarray) -> "Labels":
        """The labels of the images at these indices."""
        return replace(self, values=self.values[which])

    @property
    def groups(self) -> np.ndarray:
        """The classes: a test or validation set gets its share of each."""
        return self.values

    def to_bytes(self) -> bytes:
        """The class indices as little-endian int32."""
        return np.ascontiguousarray(self.values, "<i4").tobytes()

    @cached_property
    def tensor(self) -> tf.Tensor:
        """The class indices as a tensor that all epochs share."""
        with tf.init_scope(), tf.device("CPU:0"):
            return tf.constant(self.values)

    def gather(self, chosen: tf.Tensor, windows: tf.Tensor, size: Size, masks: tf.Tensor | None = None) -> tf.Tensor:
        """Class indices, int32 (n,)."""
        return tf.gather(self.tensor, chosen)

    def finish(self, targets: tf.Tensor) -> tf.Tensor:
        """Class indices, int32 (n,), or one-hot labels, float32 (n, classes)."""
        return tf.one_hot(targets, self.one_hot) if self.one_hot else targets


@dataclass(frozen=True, eq=False)
class Masks(Targets[tf.Tensor]):
    """The class index of every pixel. Pixels of the value 255 are void: they belong to no class.

    Args:
        masks: Files, one for each image and of its size, as `read_mask` reads them; or uint8 (n, height, width) for
            images in memory.
        classes: Number of classes.
        binary: Whether 255 in a file is not void but class 1.

    Raises:
        ValueError: If masks in memory have another type or shape, or a value that is neither a class nor void.
    """

    masks: np.ndarray | Sequence[Source]
    classes: int
    binary: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.masks, np.ndarray):
            if self.masks.dtype != np.uint8 or self.masks.ndim != 3:
                raise ValueError(f"masks must be uint8 (n, h, w), got {self.masks.dtype} {self.masks.shape}.")
            for index, mask in enumerate(self.masks):
                if wrong := self._wrong(mask):
                    raise ValueError(f"The mask of image {index} {wrong}.")

    def __len__(self) -> int:
        return len(self.masks)

    @property
    def files(self) -> Sequence[Source] | None:
        """The files of the masks; None if the masks are in memory."""
        return None if isinstance(self.masks, np.ndarray) else self.masks

    def take(self, which: np.ndarray) -> "Masks":
        """The masks of the images at these indices."""
        masks = self.masks[which] if isinstance(self.masks, np.ndarray) else [self.masks[i] for i in which]
        return replace(self, masks=masks)

    def to_bytes(self) -> bytes:
        """The pixels, or the names of the files."""
        if isinstance(self.masks, np.ndarray):
            return self.masks.tobytes()
        return "\0".join(Path(str(source)).name for source in self.masks).encode(errors="surrogateescape")

    def check(self, images: np.ndarray | Sequence[Source]) -> None:
        """Raises a ValueError if these are no masks of the images."""
        super().check(images)
        arrays = [values if isinstance(values, np.ndarray) else None for values in (images, self.masks)]
        kinds = ["files" if array is None else f"{_by(array.shape[1:3])} pixels" for array in arrays]
        if kinds[0] != kinds[1]:
            raise ValueError(f"Masks must be as their images are, got images of {kinds[0]}, masks of {kinds[1]}.")

    def read(self, index: int, window: Sequence[float], image: Size, size: Size) -> np.ndarray:
        """The part of a mask that becomes the target. Each pixel has the value of the nearest pixel of the file."""
        mask = mask_of(self.masks[index], image)
        if self.binary:
            mask = np.where(mask == VOID, np.uint8(1), mask)
        if wrong := self._wrong(mask):
            raise UnreadableImage(wrong)
        return nearest(mask, window, size)

    def gather(self, chosen: tf.Tensor, windows: tf.Tensor, size: Size, masks: tf.Tensor | None = None) -> tf.Tensor:
        """Masks, uint8 (n, height, width). Each pixel has the value of the nearest pixel of the stored mask."""
        if masks is not None:
            return masks
        masks = tf.gather(self._tensor, chosen)
        for axis, side in enumerate(size):
            steps = (tf.range(side, dtype=tf.float32) + 0.5) / side
            places = tf.cast(tf.floor(windows[:, axis, None] + steps * windows[:, axis + 2, None]), tf.int32)
            places = tf.clip_by_value(places, 0, self._tensor.shape[axis + 1] - 1)
            masks = tf.gather(masks, places, axis=axis + 1, batch_dims=1)
        return masks

    def shift(self, targets: tf.Tensor, draw: Draw, size: Size) -> tf.Tensor:
        """Shifts the masks as `augment.shift` shifts the images; the uncovered border is void."""
        return augment.shift(targets[..., None], draw, fill=VOID)[..., 0]

    def flip(self, targets: tf.Tensor, draw: Draw, size: Size) -> tf.Tensor:
        """Mirrors the masks as `augment.flip` mirrors the images."""
        return augment.flip(targets[..., None], draw)[..., 0]

    @cached_property
    def _tensor(self) -> tf.Tensor:
        with tf.init_scope(), tf.device("CPU:0"):
            return tf.constant(self.masks)

    def _wrong(self, mask: np.ndarray) -> str:
        wrong = mask[(mask >= self.classes) & (mask != VOID)]
        return no_class(wrong[0], self.classes) if wrong.size else ""


def _by(size: Sequence[int]) -> str:
    return f"{size[1]} x {size[0]}"


@dataclass(frozen=True, eq=False)
class Boxes(Targets[dict[str, tf.Tensor]]):
    """The objects of each image: the corners of a box, a class, and whether the object is difficult.

    A batch is a dict. "boxes" are float32 (n, most, 4), with x1, y1, x2 and y2 in pixels of the input, where x1 = 0 is
    the left edge of the first pixel. "classes" are int32 (n, most), and "difficult" is bool (n, most); `most` is the
    largest number of objects of an image in the batch. An image with fewer objects is padded with objects of class -1,
    whose corners are 0. Boxes are clipped to the input. "dropped", int32 (n,), counts the objects that are left out
    because too little of them is visible.

    Args:
        boxes: For each image (k, 4): x1, y1, x2, y2 in pixels of the image. k is 0 for an image without objects.
        classes: For each image (k,): class indices.
        min_visible: The smallest share of its area that must be visible, from 0 to 1, or an object is left out.
        difficult: For each image (k,): objects that a measure does not count, which VOC calls difficult and COCO
            crowds. None if there are none.

    Raises:
        ValueError: If a box is empty, or boxes, classes and difficult do not fit together.
    """

    boxes: Sequence[np.ndarray]
    classes: Sequence[np.ndarray]
    min_visible: float
    difficult: Sequence[np.ndarray] | None = None

    def __post_init__(self) -> None:
        check_share("min_visible", self.min_visible)
        if len(self.classes) != len(self.boxes) or len(self._difficult) != len(self.boxes):
            raise ValueError("Boxes, classes and difficult must be those of equally many images.")
        for index, parts in enumerate(zip(self.boxes, self.classes, self._difficult, strict=True)):
            boxes, classes, difficult = map(np.asarray, parts)
            if boxes.shape != (len(classes), 4) or difficult.shape != classes.shape:
                shapes = f"{boxes.shape}, {classes.shape} and {difficult.shape}"
                raise ValueError(f"Image {index} has boxes, classes and difficult of the shapes {shapes}.")
            good = np.isfinite(boxes).all(axis=1) & (boxes[:, :2] < boxes[:, 2:]).all(axis=1) & (classes >= 0)
            if not good.all():
                wrong = int(np.flatnonzero(~good)[0])
                raise ValueError(
                    f"Image {index} has a box {boxes[wrong].tolist()} of class {classes[wrong]}: x1 must be below x2, "
                    "y1 below y2, and the class at least 0."
                )

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, which: np.ndarray) -> "Boxes":
        """The objects of the images at these indices."""
        boxes, classes, difficult = (
            [values[i] for i in which] for values in (self.boxes, self.classes, self._difficult)
        )
        return Boxes(boxes, classes, self.min_visible, difficult)

    def to_bytes(self) -> bytes:
        """The number of objects of each image, and the objects."""
        table, lengths = self._table
        return lengths.astype("<i8").tobytes() + table.astype("<f4").tobytes()

    def gather(
        self, chosen: tf.Tensor, windows: tf.Tensor, size: Size, masks: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """The boxes in the window, in pixels of the input, and the share of each object that is visible."""
        table, lengths = self._tensors
        table = tf.RaggedTensor.from_row_lengths(table, lengths, validate=False)
        table = tf.gather(table, chosen).to_tensor(-1.0, shape=(None, None, 6))
        top, left, high, wide = tf.unstack(windows[:, None, :], axis=-1)
        down, right = size[0] / high, size[1] / wide
        boxes = (table[..., :4] - tf.stack([left, top, left, top], -1)) * tf.stack([right, down, right, down], -1)
        targets = {
            "boxes": boxes,
            "classes": tf.cast(table[..., 4], tf.int32),
            "difficult": table[..., 5] > 0,
            "visible": tf.ones_like(table[..., 0]),
        }
        return _clipped(targets, size)

    def shift(self, targets: dict[str, tf.Tensor], draw: Draw, size: Size) -> dict[str, tf.Tensor]:
        """Shifts the boxes as `augment.shift` shifts the images."""
        down, right = (tf.cast(move, tf.float32) for move in augment.moves(draw, size))
        moves = tf.stack([right, down, right, down], axis=-1)
        return _clipped(targets | {"boxes": targets["boxes"] + moves}, size)

    def flip(self, targets: dict[str, tf.Tensor], draw: Draw, size: Size) -> dict[str, tf.Tensor]:
        """Mirrors the boxes as `augment.flip` mirrors the images."""
        x1, y1, x2, y2 = tf.unstack(targets["boxes"], axis=-1)
        mirrored = tf.stack([size[1] - x2, y1, size[1] - x1, y2], axis=-1)
        return targets | {"boxes": tf.where(augment.mirrored(draw)[:, None, None], mirrored, targets["boxes"])}

    def finish(self, targets: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Leaves out objects of which too little is visible, and pads to the largest number of objects of an image."""
        real, visible = targets["classes"] >= 0, targets["visible"]
        kept = real & (visible > 0) & (visible >= self.min_visible)
        counts = tf.reduce_sum(tf.cast(kept, tf.int32), axis=1)
        order = tf.argsort(tf.cast(~kept, tf.int32), axis=1, stable=True)[:, : tf.reduce_max(counts)]
        kept, boxes, classes, difficult = (
            tf.gather(values, order, axis=1, batch_dims=1)
            for values in (kept, targets["boxes"], targets["classes"], targets["difficult"])
        )
        return {
            "boxes": tf.where(kept[..., None], boxes, 0.0),
            "classes": tf.where(kept, classes, -1),
            "difficult": kept & difficult,
            "dropped": tf.reduce_sum(tf.cast(real, tf.int32), axis=1) - counts,
        }

    @property
    def _difficult(self) -> Sequence[np.ndarray]:
        return [np.zeros(len(classes), bool) for classes in self.classes] if self.difficult is None else self.difficult

    @cached_property
    def _table(self) -> tuple[np.ndarray, np.ndarray]:
        """All objects, float32 (objects, 6): corners, class, difficult; and the number of objects of each image."""
        rows = [
            np.column_stack([np.reshape(boxes, (-1, 4)), classes, difficult])
            for boxes, classes, difficult in zip(self.boxes, self.classes, self._difficult, strict=True)
        ]
        return np.concatenate(rows).astype(np.float32), np.array([len(row) for row in rows])

    @cached_property
    def _tensors(self) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.init_scope(), tf.device("CPU:0"):
            table, lengths = self._table
            return tf.constant(table), tf.constant(lengths, tf.int64)


def _clipped(targets: dict[str, tf.Tensor], size: Size) -> dict[str, tf.Tensor]:
    """Clips boxes to the input, and multiplies the visible shares by the share of the area that is left."""
    boxes = targets["boxes"]
    clipped = tf.clip_by_value(boxes, 0.0, tf.constant([size[1], size[0], size[1], size[0]], tf.float32))
    share = tf.math.divide_no_nan(_area(clipped), _area(boxes))
    return targets | {"boxes": clipped, "visible": targets["visible"] * share}


def _area(boxes: tf.Tensor) -> tf.Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])

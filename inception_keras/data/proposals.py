"""Boxes together with proposals of regions, for nets that are given regions. Both move as their images move."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.pool import ThreadPool
from typing import Any

import numpy as np
import tensorflow as tf

from .augment import Draw
from .datasets import Data
from .images import UnreadableImage, read_image
from .preprocessing import Preprocessing
from .targets import Boxes, Size, Targets

Propose = Callable[[np.ndarray], np.ndarray]  # uint8 (h, w, c) to boxes (k, 4)


@dataclass(frozen=True, eq=False)
class BoxesWithProposals(Targets[dict[str, Any]]):
    """Objects, and proposals for each image. A batch is that of `Boxes` and "proposals", float32 (n, most, 4).

    Proposals are clipped to the input. Those that are not seen in it are left out. Padding is zero.

    Args:
        objects: The objects.
        proposals: The proposals as boxes, whose classes do not matter.
    """

    objects: Boxes
    proposals: Boxes

    def __len__(self) -> int:
        return len(self.objects)

    def take(self, which: np.ndarray) -> "BoxesWithProposals":
        """The objects and proposals of the images at these indices."""
        return BoxesWithProposals(self.objects.take(which), self.proposals.take(which))

    def to_bytes(self) -> bytes:
        """The content of the objects alone: proposals follow from the images."""
        return self.objects.to_bytes()

    def gather(self, chosen: tf.Tensor, windows: tf.Tensor, size: Size, masks: tf.Tensor | None = None) -> dict:
        """Both, in pixels of the input."""
        return {
            "objects": self.objects.gather(chosen, windows, size),
            "proposals": self.proposals.gather(chosen, windows, size),
        }

    def shift(self, targets: dict[str, Any], draw: Draw, size: Size) -> dict:
        """Shifts both as `augment.shift` shifts the images."""
        return {name: self.objects.shift(boxes, draw, size) for name, boxes in targets.items()}

    def flip(self, targets: dict[str, Any], draw: Draw, size: Size) -> dict:
        """Mirrors both as `augment.flip` mirrors the images."""
        return {name: self.objects.flip(boxes, draw, size) for name, boxes in targets.items()}

    def finish(self, targets: dict[str, Any]) -> dict:
        """The batch of the objects, and the corners of the proposals."""
        proposals = self.proposals.finish(targets["proposals"])["boxes"]
        return self.objects.finish(targets["objects"]) | {"proposals": proposals}


def with_proposals(data: Data, propose: Propose) -> Data:
    """The same data with proposals for every image. They are computed in threads.

    Args:
        data: Images with boxes.
        propose: A function from an image, uint8 (h, w, c), to boxes (k, 4) in its pixels.

    Raises:
        ImportError: If `propose` needs a package that is not installed.
    """
    batches: Mapping[str, Any] = data.batches
    look = partial(_proposals, propose=propose, preprocessing=data.preprocessing)
    done = {}
    with ThreadPool(os.cpu_count() or 1) as pool:
        for split, own in batches.items():
            found = pool.map(look, own.part.images, chunksize=1)
            proposals = Boxes(found, [np.zeros(len(boxes), np.int32) for boxes in found], 0.0)
            part = replace(own.part, targets=BoxesWithProposals(own.part.targets, proposals))
            done[split] = replace(own, part=part)
    return replace(data, batches=done)


def _proposals(image: Any, propose: Propose, preprocessing: Preprocessing) -> np.ndarray:
    """The proposals of an image; none for a file that has become unreadable, as it is replaced in its batch."""
    if not isinstance(image, np.ndarray):
        try:
            image = preprocessing.pixels(read_image(image, preprocessing.channels))
        except (UnreadableImage, OSError):
            return np.zeros((0, 4), np.float32)
    found = np.asarray(propose(image), np.float32).reshape(-1, 4)
    return found[(found[:, :2] < found[:, 2:]).all(axis=1)]

"""SPPnet as a whole: the map of an image, the pyramids of its regions, SVMs and box regressions."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ..checks import check_count, check_type
from ..data.datasets import Data
from ..data.preprocessing import LARGEST
from ..detection.sppnet import SCALES, best_scales, on_map, pool_regions
from ..layers import SpatialPyramidPooling2D
from .rcnn import BATCH, RCNN
from .transfer import vectors


class SPPnet(RCNN):
    """SPPnet: a net makes a map of an image once, and pools the pyramid of each proposal from it.

    What is learned is the same as for `RCNN`, and so are all arguments that are not named here. Difficult objects are
    not learned from, as in the released code. Regions are pooled where the paper's appendix says; the released code
    shifts them by offsets that it keeps in a file of its net.

    Args:
        net: A classifier with one layer `SpatialPyramidPooling2D`, such as `create_model("sppnet",
            input_shape=(None, None, 3))`.
        scales: Shorter sides to which images are resized; each region is taken from the map of the scale at which its
            area is nearest to 224 x 224 pixels. As released: (480, 576, 688, 864, 1200), or (688,).
        **options: `preprocessing`, `mode`, `width`, `max_boxes`, `cache` and `propose`, as for `RCNN`.

    Raises:
        TypeError: If an argument has another type.
        ValueError: If the net has no spatial pyramid, or an argument is not valid.

    Reference:
        He et al., arXiv:1406.4729.

    Examples:
        >>> image = keras.Input((None, None, 3))
        >>> x = keras.layers.Conv2D(8, 3, 4, activation="relu")(image)
        >>> x = SpatialPyramidPooling2D((2, 1))(x)
        >>> x = keras.layers.Dense(2, activation="softmax", name="predictions")(x)
        >>> whole = lambda pixels: np.array([[8, 8, 56, 56], [0, 0, 64, 64]])
        >>> data = load_data("scenes", task="detection", count=8, image_size=64, augment="none")
        >>> detector = SPPnet(keras.Model(image, x), scales=(64,), propose=whole).fit(data)
    """

    _name = "SPPnet"
    _saved = ("mode", "width", "max_boxes", "scales")
    _difficult = False
    _background_from = 0.1
    _head_rate = 1.0

    def __init__(self, net: keras.Model, *, scales: Sequence[int] = SCALES, **options: Any):
        sizes: Sequence[int] = check_type("scales", scales, (tuple, list), "a list of ints")
        self.scales = tuple(check_count("a scale of scales", scale, most=LARGEST) for scale in sizes)
        if not self.scales:
            raise ValueError("scales must have at least one scale, got none.")
        super().__init__(net, context=0, **options)
        trunk = self._outputs
        levels, channels = self._pyramid.levels, trunk.output_shape[-1]
        signature = [tf.TensorSpec((1, None, None, channels)), tf.TensorSpec((1, None, 4), tf.int32)]
        self._pool = tf.function(lambda maps, places: pool_regions(maps, places, levels), signature, autograph=False)
        image = [tf.TensorSpec((1, None, None, trunk.input_shape[-1]))]
        self._maps = tf.function(lambda image: trunk(image, training=False), image, autograph=False)
        sides = trunk.compute_output_shape((1, 512, 512, trunk.input_shape[-1]))[1]
        self.stride = 2 ** round(np.log2(512 / sides))

    def _side(self, net: keras.Model) -> int:
        pyramids = [layer for layer in net.layers if isinstance(layer, SpatialPyramidPooling2D)]
        if len(pyramids) != 1:
            raise ValueError(f"net must have one SpatialPyramidPooling2D, got {net.name} with {len(pyramids)}.")
        self._pyramid = pyramids[0]
        return 224  # of no meaning: images of any size are taken

    def _cut(self, net: keras.Model) -> keras.Model:
        if net.input_shape[1:3] != (None, None):
            raise ValueError(f"net must take images of any size, got {net.name} for {net.input_shape}.")
        pyramid, vector = self._pyramid.output, vectors(net).output
        self._head = None if vector is pyramid else keras.Model(pyramid, vector)
        return keras.Model(net.input, self._pyramid.input)

    def _settings(self) -> tuple:
        return ("spp", self.scales)

    def _more_settings(self) -> dict[str, Any]:
        return super()._more_settings() | {"scales": self.scales}

    def fine_tune(
        self,
        data: Data,
        *,
        steps: int = 90_000,
        positives: int = 32,
        negatives: int = 96,
        learning_rate: float = 1e-3,
        drop_steps: int = 30_000,
        seed: int = 0,
    ) -> list[float]:
        """Trains the dense layers of the net on the pyramids of regions; the convolutions stay as they are.

        As `RCNN.fine_tune`, but background are only regions with an IoU of at least 0.1 with an object, as released,
        and the last layer has no larger learning rate.

        Args:
            data: As for `fit`.
            steps: Number of steps; as released, three times 30,000.
            positives: Regions with a class in a step.
            negatives: Regions of background in a step.
            learning_rate: Of the first steps.
            drop_steps: After each so many steps, the learning rate is divided by 10.
            seed: Of the draws.

        Returns:
            The loss of each step.

        Raises:
            ValueError: As for `RCNN.fine_tune`.

        Reference:
            `finetuning/spp_finetune_voc.m` in SPPnet's code.
        """
        return super().fine_tune(
            data,
            steps=steps,
            positives=positives,
            negatives=negatives,
            learning_rate=learning_rate,
            drop_steps=drop_steps,
            seed=seed,
        )

    def _trained(self) -> keras.Model:
        return keras.Model(self._pyramid.output, self.net.output)

    def _examples(self, pixels: np.ndarray, boxes: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
        found = self._pooled(pixels, boxes)
        if mirrored.any():
            turned = boxes[mirrored][:, [2, 1, 0, 3]]
            turned[:, ::2] = pixels.shape[1] - turned[:, ::2]
            found[mirrored] = self._pooled(pixels[:, ::-1], turned)
        return found

    def _computed(self, pixels: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        pooled = self._pooled(pixels, boxes)
        if self._head is None or not len(boxes):
            return pooled, pooled
        features = [self._head.predict_on_batch(pooled[i : i + BATCH]) for i in range(0, len(boxes), BATCH)]
        return np.concatenate(features).astype(np.float32), pooled

    def _pooled(self, pixels: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """The pyramids of regions, float32 (k, bins * c)."""
        height, width = pixels.shape[:2]
        of = best_scales(boxes, min(height, width), self.scales)
        bins = sum(level**2 for level in self._pyramid.levels)
        pooled: np.ndarray = np.zeros((len(boxes), bins * self._outputs.output_shape[-1]), np.float32)
        for index in np.unique(of):
            factor = self.scales[index] / min(height, width)
            size = max(1, round(factor * height)), max(1, round(factor * width))
            image = tf.image.resize(pixels[None].astype(np.float32), size)
            maps = self._maps(self.preprocessing.normalise(image))
            chosen = np.flatnonzero(of == index)
            factors = np.divide((*size[::-1], *size[::-1]), (width, height, width, height))
            places = on_map(boxes[chosen] * factors, self.stride, maps.shape[1:3])
            pooled[chosen] = self._pool(maps, places[None])[0]
        return pooled

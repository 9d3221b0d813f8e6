"""A segmentation that is trained in seconds: rectangles on noise, and a net of three convolutions."""

from dataclasses import replace

import keras
import numpy as np

from inception_keras.data.datasets import Data
from inception_keras.data.pipeline import Batches
from inception_keras.data.preprocessing import Preprocessing
from inception_keras.data.splits import Part
from inception_keras.data.targets import VOID, Masks
from inception_keras.data.unreadable import Unreadable
from inception_keras.layers import BatchNormalization
from inception_keras.training import start
from inception_keras.training.tasks import segmentation

SIDE = 16
NAMES = ("background", "red", "blue", "never")
COUNTS = {"train": 20, "validation": 6, "test": 5}


def scenes(count, seed):
    """Noise with a red and a blue rectangle, whose borders are void: uint8 images and masks."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 90, (count, SIDE, SIDE, 3), np.uint8)
    masks = np.zeros((count, SIDE, SIDE), np.uint8)
    for image, mask in zip(images, masks, strict=True):
        for label, channel in ((1, 0), (2, 2)):
            top, left = rng.integers(0, SIDE - 6, 2)
            image[top : top + 6, left : left + 6, channel] += 140
            image[top : top + 6, left : left + 6, 2 - channel] //= 2
            mask[top : top + 6, left : left + 6] = VOID
            mask[top + 1 : top + 5, left + 1 : left + 5] = label
    return images, masks


def load(recipe, preprocessing):
    skipped, prepare, batches = [], Preprocessing((SIDE, SIDE)), {}
    for seed, (split, count) in enumerate(COUNTS.items()):
        images, masks = scenes(count, seed)
        if split == "train":
            masks[3] = VOID
        part = Part(images, Masks(masks, len(NAMES)))
        batches[split] = Batches(part, prepare, recipe.batch_size, Unreadable(skipped, count, 0.1))
    batches["train"] = replace(batches["train"], seed=recipe.seed, augment=recipe.augment, flip=True)
    return Data("rectangles", NAMES, (SIDE, SIDE, 3), dict(COUNTS), prepare, skipped, batches)


def net(classes=4, aux=False, skip=False, kernel_regularizer=None):
    """A net for images of any size. With `skip`, a second score is added, as FCN's finer nets do."""
    image = keras.Input((None, None, 3), name="image")
    x = early = keras.layers.Conv2D(
        8, 3, padding="same", activation="elu", kernel_regularizer=kernel_regularizer, name="conv_1"
    )(image)
    x = BatchNormalization(momentum=0.5, name="bn")(x)
    x = keras.layers.Conv2D(8, 3, padding="same", dilation_rate=2, activation="elu", name="conv_2")(x)
    x = keras.layers.Conv2D(classes, 1, kernel_initializer="zeros", name="score")(x)
    if skip:
        fine = keras.layers.Conv2D(classes, 1, kernel_initializer="zeros", name="score_conv_1")(early)
        x = keras.layers.Add(name="sum")([x, fine])
    predictions = keras.layers.Activation("linear", dtype="float32", name="predictions")(x)
    if not aux:
        return keras.Model(image, predictions, name="rectangles")
    side = keras.layers.Conv2D(classes, 1, dtype="float32", name="aux")(early)
    return keras.Model(image, {"predictions": predictions, "aux": side}, name="rectangles")


def build(recipe, data):
    with_model = segmentation.create_model, start.find
    segmentation.create_model = lambda id, input_shape, classes, weights=None, **options: net(classes, **options)
    start.find = lambda id: type("Entry", (), {"task": "segmentation"})
    try:
        return segmentation.build(recipe, data)
    finally:
        segmentation.create_model, start.find = with_model


TASK = replace(segmentation.TASK, build=build, load=load, load_own=load)

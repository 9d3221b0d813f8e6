"""A detector that is trained in seconds, as the contract of `detection/forms.py` has it: one scale, one box a cell.

A cell of the map scores each class and gives the distances from its centre to the four sides of a box. The net takes
images of any size, or of one size only. Its scenes are rectangles on noise, some of them difficult.
"""

from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf

from inception_keras.data.datasets import Data
from inception_keras.data.pipeline import Batches
from inception_keras.data.preprocessing import Preprocessing
from inception_keras.data.splits import Part
from inception_keras.data.targets import Boxes
from inception_keras.data.unreadable import Unreadable
from inception_keras.layers import BatchNormalization
from inception_keras.training import start
from inception_keras.training.tasks import detection

SIDE, STRIDE = 48, 8
NAMES = ("red", "blue", "never")
COUNTS = {"train": 128, "validation": 12, "test": 16}
TERMS = ("object_class", "box_distances")


def centres(maps):
    """The centres of the cells, (cells, 2): x and y in pixels."""
    rows, columns = tf.meshgrid(tf.range(tf.shape(maps)[1]), tf.range(tf.shape(maps)[2]), indexing="ij")
    return tf.reshape((tf.cast(tf.stack([columns, rows], -1), tf.float32) + 0.5) * STRIDE, (-1, 2))


@keras.saving.register_keras_serializable("tiny_detector")
class Cells(keras.layers.Layer):
    """Maps (n, h, w, classes + 4) -> scores (n, cells, classes) as logits, and boxes (n, cells, 4)."""

    family = "tiny_detector"

    def call(self, maps):
        values = tf.reshape(maps, (tf.shape(maps)[0], -1, maps.shape[-1]))
        middle, distances = centres(maps), STRIDE * tf.nn.softplus(values[..., -4:])
        boxes = tf.concat([middle - distances[..., :2], middle + distances[..., 2:]], -1)
        return values[..., :-4], boxes

    def compute_output_shape(self, shape):
        return (shape[0], None, shape[-1] - 4), (shape[0], None, 4)


@keras.saving.register_keras_serializable("tiny_detector")
class Detect(keras.layers.Layer):
    """Scores, boxes and maps to the detections of each image, after suppression in each class."""

    def call(self, inputs):
        scores, boxes, maps = inputs
        high, wide = (tf.cast(STRIDE * tf.shape(maps)[axis], tf.float32) for axis in (1, 2))
        boxes = tf.clip_by_value(boxes, 0.0, tf.stack([wide, high, wide, high]))
        classes = scores.shape[-1]
        labels = tf.tile(tf.range(classes)[None], (tf.shape(boxes)[1], 1))

        def one(image):
            of_cells, all_scores = image
            repeated = tf.repeat(of_cells, classes, axis=0)
            flat, of = tf.reshape(tf.sigmoid(all_scores), (-1,)), tf.reshape(labels, (-1,))
            apart = repeated + tf.cast(of, tf.float32)[:, None] * 10_000
            chosen = tf.image.non_max_suppression(apart, flat, 20, 0.4, 0.05)
            short = 20 - tf.shape(chosen)[0]
            return (
                tf.pad(tf.gather(repeated, chosen), [[0, short], [0, 0]]),
                tf.pad(tf.gather(of, chosen), [[0, short]], constant_values=-1),
                tf.pad(tf.gather(flat, chosen), [[0, short]]),
            )

        kinds = (tf.TensorSpec((20, 4)), tf.TensorSpec((20,), tf.int32), tf.TensorSpec((20,)))
        return dict(
            zip(("boxes", "classes", "scores"), tf.map_fn(one, (boxes, scores), fn_output_signature=kinds), strict=True)
        )

    def compute_output_spec(self, inputs):
        n = inputs[0].shape[0]
        return {
            "boxes": keras.KerasTensor((n, 20, 4)),
            "classes": keras.KerasTensor((n, 20), "int32"),
            "scores": keras.KerasTensor((n, 20)),
        }


@keras.saving.register_keras_serializable("tiny_detector")
class Losses(keras.layers.Layer):
    """The terms of the loss: cross-entropy of the scores, and the distances of boxes, of the cells of objects."""

    def call(self, inputs):
        scores, boxes, maps, truth, classes = inputs
        middle = centres(maps)
        sizes = truth[..., 2:] - truth[..., :2]
        far = tf.reduce_sum((middle[None, :, None] - ((truth[..., :2] + truth[..., 2:]) / 2)[:, None]) ** 2, -1)
        cell = tf.argmin(far, axis=1, output_type=tf.int32)  # (n, most): the cell next to each object's centre
        real = classes >= 0
        index = tf.where(real, cell, -1)
        mine = tf.one_hot(index, tf.shape(middle)[0])  # (n, most, cells)
        wanted = tf.reduce_max(mine[..., None] * tf.one_hot(classes, scores.shape[-1])[:, :, None], axis=1)
        entropy = tf.nn.sigmoid_cross_entropy_with_logits(wanted, scores)
        found = tf.gather(boxes, cell, axis=1, batch_dims=1)
        away = tf.reduce_mean(tf.abs(found - truth), -1) / tf.maximum(tf.reduce_mean(sizes, -1), 1.0)
        return {
            "object_class": tf.reduce_sum(entropy, axis=(1, 2)),
            "box_distances": 5 * tf.reduce_sum(tf.where(real, away, 0.0), axis=1),
        }

    def compute_output_spec(self, inputs):
        return {name: keras.KerasTensor(inputs[0].shape[:1]) for name in TERMS}


def net(classes=3, input_shape=(None, None, 3), width=16):
    x = image = keras.Input(input_shape, name="image")
    for number in range(3):
        x = keras.layers.Conv2D(
            width * (number + 1), 3, padding="same", strides=2, use_bias=False, name=f"conv_{number}"
        )(x)
        x = BatchNormalization(momentum=0.8, name=f"conv_{number}-bn")(x)
        x = keras.layers.ReLU(name=f"conv_{number}-relu")(x)
    x = keras.layers.Conv2D(3 * width, 3, padding="same", activation="relu", name="conv_3")(x)
    bias = keras.initializers.Constant(-2.0)
    x = keras.layers.Conv2D(classes + 4, 1, bias_initializer=bias, dtype="float32", name="head")(x)
    cells = Cells(dtype="float32", name="cells")(x)
    return keras.Model(image, Detect(dtype="float32", name="detections")([*cells, x]), name="tiny_detector")


def training_form(model):
    maps, cells = model.get_layer("head").output, model.get_layer("cells").output
    boxes, classes = keras.Input((None, 4), name="boxes"), keras.Input((None,), dtype="int32", name="classes")
    terms = Losses(dtype="float32", name="losses")([*cells, maps, boxes, classes])
    inputs = {"image": model.input, "boxes": boxes, "classes": classes}
    return keras.Model(inputs, {**terms, **model.output}, name=model.name)


def scenes(count, seed):
    """Noise with 1 or 2 red or blue rectangles. Every ninth one is difficult."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 90, (count, SIDE, SIDE, 3), np.uint8)
    boxes, classes, difficult, seen = [], [], [], 0
    for image in images:
        labels, corners = rng.integers(0, 2, rng.integers(1, 3)).astype(np.int32), []
        for half, label in enumerate(labels):  # one on each side
            high, wide = rng.integers(10, 21, 2)
            top, left = rng.integers(0, SIDE - high), SIDE // 2 * half + rng.integers(0, SIDE // 2 - wide + 1)
            image[top : top + high, left : left + wide, 2 * label] += 140
            image[top : top + high, left : left + wide, 2 - 2 * label] //= 2
            corners.append([left, top, left + wide, top + high])
        boxes.append(np.array(corners, np.float32))
        classes.append(labels)
        difficult.append((np.arange(len(labels)) + seen) % 9 == 8)
        seen += len(labels)
    return images, Boxes(boxes, classes, 0.4, difficult)


def load(recipe, preprocessing, **more):
    skipped, prepare, batches = [], Preprocessing((SIDE, SIDE)), {}
    for seed, (split, count) in enumerate(COUNTS.items()):
        images, boxes = scenes(count, seed)
        if split == "train":  # an image without objects is a good image
            none = [*boxes.boxes[:3], np.zeros((0, 4), np.float32), *boxes.boxes[4:]]
            classes, difficult = ([*v[:3], v[3][:0], *v[4:]] for v in (boxes.classes, boxes.difficult))
            boxes = Boxes(none, classes, 0.4, difficult)
        batches[split] = Batches(Part(images, boxes), prepare, recipe.batch_size, Unreadable(skipped, count, 0.1))
    batches["train"] = replace(batches["train"], seed=recipe.seed, augment=recipe.augment, flip=bool(recipe.flip))
    return Data("tiny rectangles", NAMES, (SIDE, SIDE, 3), dict(COUNTS), prepare, skipped, batches)


def build(recipe, data):
    before = detection.create_model, start.find
    detection.create_model = lambda id, input_shape, classes, weights=None, **options: net(
        classes, input_shape, **options
    )
    start.find = lambda id: type("Entry", (), {"task": "detection"})
    try:
        return detection.build(recipe, data)
    finally:
        detection.create_model, start.find = before


TASK = replace(detection.TASK, build=build, load=load, load_own=load)

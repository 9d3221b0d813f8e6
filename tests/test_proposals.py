"""Proposals of regions: they move as their images move, and the task and `detect` give them to nets that take them."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

import inception_keras as ik
from inception_keras.data.pipeline import Batches
from inception_keras.data.preprocessing import Preprocessing
from inception_keras.data.proposals import BoxesWithProposals, with_proposals
from inception_keras.data.splits import Part
from inception_keras.data.targets import Boxes
from inception_keras.training.detect import finder, finder_of_run, of_length
from inception_keras.training.tasks import detection

SIDE = 32


class Regions(keras.layers.Layer):
    """Gives every proposal as a detection of class 0, the largest first."""

    family = __name__

    def call(self, inputs):
        images, proposals = inputs
        sizes = tf.reduce_prod(proposals[..., 2:] - proposals[..., :2], axis=-1)
        order = tf.argsort(-sizes, axis=1, stable=True)
        sizes = tf.gather(sizes, order, axis=1, batch_dims=1)
        area = tf.cast(tf.shape(images)[1] * tf.shape(images)[2], tf.float32)
        boxes = tf.gather(proposals, order, axis=1, batch_dims=1)
        return {"boxes": boxes, "classes": tf.where(sizes > 0, 0, -1), "scores": sizes / area}

    def compute_output_spec(self, inputs):
        n, k, _ = inputs[1].shape
        kinds = {"boxes": ((n, k, 4), "float32"), "classes": ((n, k), "int32"), "scores": ((n, k), "float32")}
        return {name: keras.KerasTensor(*kind) for name, kind in kinds.items()}


def net(count=None, input_shape=(None, None, 3)):
    images, proposals = keras.Input(input_shape, name="images"), keras.Input((count, 4), name="proposals")
    found = Regions(name="detections")([images, proposals])
    return keras.Model({"images": images, "proposals": proposals}, found, name="regions")


def training_form(model):
    inputs = {**model.input, "boxes": keras.Input((None, 4), name="boxes")}
    inputs["classes"] = keras.Input((None,), dtype="int32", name="classes")
    term = keras.layers.Lambda(lambda found: tf.reduce_sum(found, axis=1), output_shape=(), name="total")
    return keras.Model(inputs, {"total": term(model.output["scores"]), **model.output}, name=model.name)


def near(image):
    """A proposal of what is brighter than the rest, another one twice as large, and one without an area."""
    rows, columns = (np.flatnonzero((image.max(axis=2) > 128).any(axis=axis)) for axis in (1, 0))
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    return np.stack([box, np.append(box[:2], 2 * box[2:] - box[:2]), [3, 3, 3, 9]])


def batches(augment="none", flip=False):
    rng = np.random.default_rng(0)
    images, boxes = np.zeros((12, SIDE, SIDE, 3), np.uint8), []
    for image in images:
        left, top, wide, high = rng.integers(4, 11, 4)
        image[top : top + high, left : left + wide] = 255
        boxes.append(np.array([[left, top, left + wide, top + high]], np.float32))
    part = Part(images, Boxes(boxes, [np.zeros(1, np.int32)] * 12, 0.0))
    return Batches(part, Preprocessing((SIDE, SIDE)), 5, seed=1, augment=augment, flip=flip)


def data(own):
    splits = {"train": own, "validation": replace(own, seed=None), "test": replace(own, seed=None)}
    counts = dict.fromkeys(splits, 12)
    return ik.load_data("digits").__class__(
        "regions", ("thing",), (SIDE, SIDE, 3), counts, own.preprocessing, [], splits
    )


@pytest.mark.parametrize("augment", ["none", "shift", "crop"])
def test_proposals_move_as_objects_do(augment):
    moved = with_proposals(data(batches(augment, flip=True)), near)
    seen = 0
    for _, objects in moved.epoch(0):
        assert {*objects} == {"boxes", "classes", "difficult", "dropped", "proposals"}
        for box, label, proposals in zip(objects["boxes"], objects["classes"], objects["proposals"], strict=True):
            if label[0] == 0:
                np.testing.assert_allclose(proposals[0], box[0], atol=1e-4)
                seen += 1
    assert seen > 8
    targets = moved.batches["train"].part.targets
    assert [len(boxes) for boxes in targets.proposals.boxes] == [2] * 12  # the empty one is left out
    assert targets.to_bytes() == targets.objects.to_bytes() and len(targets) == 12
    two = targets.take(np.array([3, 1]))
    assert isinstance(two, BoxesWithProposals)
    np.testing.assert_array_equal(two.proposals.boxes[1], targets.proposals.boxes[1])


@pytest.mark.parametrize("count", [None, 1, 4])
def test_the_task_feeds_them(count):
    own = with_proposals(data(batches()), near)
    model = detection.packed(detection.training_form(net(count)))
    x, _ = next(iter(detection.targets(own.validation, model, None, own)))
    assert x["proposals"].shape == (5, count or 2, 4)
    boxes = own.batches["test"].part.targets.proposals.boxes[0]
    np.testing.assert_array_equal(x["proposals"][0][:2], boxes[:1] if count == 1 else boxes)
    if count is not None:
        return
    detection.compile(model, keras.optimizers.SGD(), ik.Recipe(task="detection"), own)
    logs = model.evaluate(detection.targets(own.test, model, None, own), verbose=0, return_dict=True)
    assert detection.columns(logs, model, "test_")["test_map_50"] > 0.2
    inference = detection.inference(model)
    assert {*inference.input} == {"images", "proposals"}


def test_detect_makes_them_or_takes_them(monkeypatch):
    image = batches().part.images[0]
    large = image.repeat(2, axis=0).repeat(2, axis=1)
    expected = near(large)[1::-1]
    for count in (None, 4):
        found = finder(net(count), min_size=SIDE, propose=near)(large)
        np.testing.assert_allclose(found.boxes, np.clip(expected, 0, 2 * SIDE), atol=1e-4)
    found = ik.detect(net(), large, threshold=0.0, proposals=expected[1:], min_size=40)
    np.testing.assert_allclose(found.boxes, expected[1:], atol=1e-4)
    given = []
    monkeypatch.setattr(
        "inception_keras.training.detect.selective_search", lambda pixels, **how: given.append(how) or expected
    )
    options = {"proposals": "single", "proposals_width": 200}
    config = {"recipe": {"task_options": options}, "class_names": ["thing"], "preprocessing": {"size": [SIDE, SIDE]}}
    assert len(finder_of_run(net(), config)(large).boxes) == 2 and [how["width"] for how in given] == [200]


def test_lengths():
    boxes = np.ones((2, 3, 4))
    assert of_length(boxes, None).shape == (2, 3, 4) and of_length(boxes, 2).shape == (2, 2, 4)
    longer = of_length(boxes, 5).numpy()
    assert longer.shape == (2, 5, 4) and longer[:, :3].all() and not longer[:, 3:].any()

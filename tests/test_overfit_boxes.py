"""Detectors learn eight scenes by heart."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import inception_keras as ik
from inception_keras.data.scenes import scenes
from inception_keras.detection.forms import detections, loss_terms, training_form
from inception_keras.training.average_precision import voc_average_precision

# for each net the side of the scenes and the learning rate
FAMILIES = {"yolo_v1_mini": (96, 2e-3), "faster_rcnn_small": (96, 1e-3), "fast_rcnn_small": (96, 1e-3)}
STEPS, CHECK = 400, 20  # most steps; steps between two measurements


def proposals(boxes, size):
    """Boxes near the objects, and others anywhere; rows of zeros where there would be no objects: (n, k, 4)."""
    rng = np.random.default_rng(0)
    near = np.repeat(boxes, 20, axis=1)
    near = near + rng.normal(0, 0.1, near.shape) * np.tile(near[..., 2:] - near[..., :2], 2)
    corners = rng.uniform(0, size, (len(boxes), 100, 2, 2))
    found = np.concatenate([near, np.concatenate([corners.min(2), corners.max(2)], -1)], 1).clip(0, size)
    large = (found[..., 2:] - found[..., :2] >= 4).all(-1)
    return np.where(large[..., None], found, 0).astype("float32")


@pytest.mark.slow
@pytest.mark.parametrize("id", FAMILIES)
def test_a_detector_learns_eight_scenes_by_heart(id, capsys):
    size, rate = FAMILIES[id]
    made = scenes(8, size=size)
    images = ik.Preprocessing((size, size)).normalise(made.images.astype(np.float32))
    names = made.class_names[1:]  # without the background
    truth = [{"boxes": b, "classes": c - 1} for b, c in zip(made.boxes, made.classes, strict=True)]
    most = max(len(each["classes"]) for each in truth)
    batch = {"images": images, "boxes": np.zeros((8, most, 4), "float32"), "classes": np.full((8, most), -1, "int32")}
    for i, each in enumerate(truth):
        for name in ("boxes", "classes"):
            batch[name][i, : len(each[name])] = each[name]
    keras.utils.set_random_seed(0)
    given = {"proposals": None} if id.startswith("fast_") else {}
    model = ik.create_model(id, input_shape=(size, size, 3), classes=len(names), **given)
    if given:
        batch["proposals"] = proposals(batch["boxes"], size)
        given["proposals"] = batch["proposals"]
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    form = training_form(model)
    net, terms = detections(form), loss_terms(form)
    falling = keras.optimizers.schedules.CosineDecay(rate, STEPS)
    optimizer = keras.optimizers.Adam(falling, global_clipnorm=5.0)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            out = form(batch, training=True)
            loss = tf.add_n([tf.reduce_mean(out[name]) for name in terms])
        optimizer.apply(tape.gradient(loss, form.trainable_variables), form.trainable_variables)
        return loss

    reached = 0.0
    for count in range(CHECK, STEPS + 1, CHECK):
        for _ in range(CHECK):
            loss = step()
        found = {
            name: values.numpy()
            for name, values in net(given | {"images": images} if given else images, training=False).items()
        }
        guess = [{name: values[i] for name, values in found.items()} for i in range(8)]
        reached = voc_average_precision(truth, guess, names).mean
        with capsys.disabled():
            print(f"\n{id}: loss {float(loss):.4f}, mAP@0.5 {reached:.4f} after {count} steps", end="")
        if reached >= 0.95:
            break
    assert reached >= 0.95

"""torchvision's Faster R-CNN with a feature pyramid, compared step by step, with weights from its state dict."""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import synthetic
import tensorflow as tf
from safetensors.numpy import save_file

import inception_keras as ik
from inception_keras.detection.forms import loss_terms, training_form
from inception_keras.detection.fpn_layers import PadToMultiple, PyramidDetections, PyramidRoIAlign
from inception_keras.layers import RoIAlign
from inception_keras.training.detect import Finder
from inception_keras.weights.torch_names import torch_rules
from inception_keras.weights.translate import slots

ID = "fasterrcnn_resnet50_fpn"
GOLDEN = Path(__file__).parent / "golden" / "operations" / f"{ID}.npz"
PHOTOGRAPH = GOLDEN.with_name("fasterrcnn_photograph.npz")
SIZE, GAIN, SCORE = (200, 260), 0.4, 0.02
PHOTO, SIDES = (301, 443), (160, 200)
SHAPES = [(427, 640), (480, 640), (1000, 333), (375, 500), (801, 1333), (61, 57), (720, 1281)]
LIMIT = 1e-4  # of the largest value


@pytest.fixture(scope="module", params=[0, 1], ids=["published", "today"])
def weights(request, tmp_path_factory):
    """A state dict with the names of the published file, or with those of today."""
    with ik.without_weights():
        model = ik.create_model(ID)
    found = [slots(model, rules) for rules in torch_rules(ID)]
    arrays = synthetic.state_dict({name: slot.shape for name, slot in found[1].items()}, GAIN)
    names = {slot.variable: name for name, slot in found[request.param].items()}
    arrays = {names[slot.variable]: arrays[name] for name, slot in found[1].items()}
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    save_file(arrays, path)
    return path


def close(values, expected, name):
    difference = abs(values - expected).max() / abs(expected).max()
    print(f"{name}: {difference:.1e}")
    assert values.shape == expected.shape and difference < LIMIT, name


@pytest.mark.slow
def test_equals_torchvision(weights):
    golden, image = dict(np.load(GOLDEN)), synthetic.image(*SIZE)
    model = ik.create_model(ID, input_shape=(None, None, 3), weights=weights)
    model.get_layer("detections").score_threshold = SCORE  # so that many boxes are found
    proposals, pool = model.get_layer("proposals"), model.get_layer("regions")
    _, *heads = proposals.input
    outputs = {
        **{f"map_{i}": level for i, level in enumerate([*pool.input[:4], model.get_layer("fpn-pool").output])},
        **{f"logits_{i}": level for i, level in enumerate(heads[:5])},
        **{f"offsets_{i}": level for i, level in enumerate(heads[5:])},
        **{"proposals": proposals.output, "pooled": pool.output, "found": model.output},
        **{"class_scores": model.get_layer("scores").output, "class_offsets": model.get_layer("offsets").output},
    }
    parts = {
        **{f"map_{i}": (..., slice(None, None, 64)) for i in range(5)},
        **{f"offsets_{i}": (..., slice(None, None, 3)) for i in range(5)},
        "pooled": (slice(None, None, 50), ..., slice(None, None, 64)),
        "class_scores": (slice(None, None, 10), slice(None, None, 5)),
        "class_offsets": (slice(None, None, 10), slice(None, None, 20)),
    }
    steps = keras.Model(model.input, outputs)(image)
    found = {name: np.asarray(values)[0] for name, values in steps.pop("found").items()}
    count = len(golden["proposals"])
    for name, expected in golden.items():
        if name in steps:
            values = steps[name][0].numpy()
            values = values[:count] if name in ("proposals", "pooled", "class_scores", "class_offsets") else values
            close(values[parts.get(name, ())], expected, name)
    count = len(golden["classes"])
    assert count > 20 and found["classes"][:count].tolist() == golden["classes"].tolist()
    close(found["scores"][:count], golden["scores"], "scores")
    close(found["boxes"][:count], golden["boxes"], "boxes")
    given = model.predict_on_batch(image)
    for name, values in found.items():
        np.testing.assert_allclose(given[name][0], values, rtol=1e-3, atol=1e-2)


def photograph():
    return np.random.default_rng(0).integers(0, 256, (*PHOTO, 3), np.uint8)


def test_photographs_are_resized_as_by_torchvision():
    """The sides are rounded down; pixels are interpolated without smoothing, and not rounded."""
    golden = np.load(PHOTOGRAPH)
    prepare = ik.preprocessing(ID, "coco")
    assert PyramidDetections().rounding == "down"
    find = Finder(None, (None, None), 0, None, prepare, (), *SIDES, rounds_down=True)
    usual = replace(find, min_size=800, max_size=1333)
    assert [list(usual.size(*shape)) for shape in SHAPES] == golden["sizes"].tolist()
    assert find.size(*PHOTO) == tuple(golden["size"])
    resized = replace(prepare, size=find.size(*PHOTO), resize=None)(photograph())
    np.testing.assert_allclose(resized[::12, ::12], golden["resized"], atol=2e-5)


@pytest.mark.slow
def test_objects_in_a_photograph_equal_torchvision(weights):
    golden = np.load(PHOTOGRAPH)
    model = ik.create_model(ID, input_shape=(None, None, 3), weights=weights)
    model.get_layer("detections").score_threshold = SCORE
    short, long = SIDES
    prepare = ik.preprocessing(ID, "coco")
    found = ik.detect(model, photograph(), threshold=0, preprocessing=prepare, min_size=short, max_size=long)
    assert len(golden["classes"]) > 20 and found.classes.tolist() == golden["classes"].tolist()
    close(found.scores, golden["scores"], "scores")
    close(found.boxes, golden["boxes"], "boxes")


def test_levels_of_regions():
    """Regions of 224 pixels and more are on the third level, of 112 on the second; the last one reaches to infinity."""
    boxes = np.float32([[[0, 0, s, s] for s in (0, 30, 111, 112, 223, 224, 447, 448, 900, 2000)]])
    layer = PyramidRoIAlign(2, 1 / 4)
    assert layer.levels(boxes, 4).numpy().tolist() == [[0, 0, 0, 1, 1, 2, 2, 3, 3, 3]]
    assert PyramidRoIAlign(2, 1 / 8).levels(boxes, 2).numpy().tolist() == [[0, 0, 0, 0, 0, 1, 1, 1, 1, 1]]


def test_each_region_is_aligned_on_its_level():
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(2, side, side + 1, 3)).astype("float32") for side in (40, 20, 10)]
    boxes = np.float32([[[10, 20, 90, 100], [0, 0, 150, 140]], [[5, 5, 300, 250], [20, 9, 30, 30]]])
    layer = PyramidRoIAlign(3, 1 / 4, sampling_ratio=2)
    levels = layer.levels(boxes, 3).numpy()
    assert levels.tolist() == [[0, 1], [2, 0]]
    for run in (layer, tf.function(layer)):
        y = run([*maps, boxes])
        for image, region in np.ndindex(2, 2):
            level = levels[image, region]
            one = RoIAlign(3, 1 / (4 << level), sampling_ratio=2)
            expected = one([maps[level][image : image + 1], boxes[image : image + 1, region : region + 1]])
            np.testing.assert_allclose(y[image, region], expected[0, 0], rtol=1e-5, atol=1e-5)
    with tf.GradientTape() as tape:
        tensors = [tf.constant(level) for level in maps]
        tape.watch(tensors)
        loss = tf.reduce_sum(layer([*tensors, boxes]))
    assert all(np.any(gradient) for gradient in tape.gradient(loss, tensors))


def test_padding():
    x = np.ones((1, 30, 64, 2), "float32")
    y = PadToMultiple(32)(x).numpy()
    assert y.shape == (1, 32, 64, 2) and y[:, :30].all() and not y[:, 30:].any()
    layer = PadToMultiple(32)
    graph = tf.function(lambda x: layer(x), input_signature=[tf.TensorSpec((None, None, None, 2))])
    np.testing.assert_array_equal(graph(x), y)


def test_the_form_and_what_is_trained():
    with ik.without_weights():
        model = ik.create_model(ID, input_shape=(64, 96, 3), classes=3)
        form = training_form(model)
    assert loss_terms(form) == ["rpn_class", "rpn_box", "class", "box"]
    assert not [v.path for v in form.trainable_variables if "-bn" in v.path]
    loss, samples = form.get_layer("rpn_loss"), form.get_layer("samples")
    assert (loss.inside, loss.multiple, samples.count) == (False, 32, 512)
    assert form.get_layer("proposals_train").after == 2000

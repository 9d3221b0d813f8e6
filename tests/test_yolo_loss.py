"""The loss and the boxes of YOLO, compared with plain NumPy number by number."""

import re

import keras
import numpy as np
import pytest
import references_yolo as reference
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import inception_keras as ik
from inception_keras.analysis.profile import profile
from inception_keras.detection.forms import detections, loss_terms, training_form
from inception_keras.detection.yolo_boxes import YoloDetections
from inception_keras.detection.yolo_grid import YoloGrid, reorder
from inception_keras.detection.yolo_loss import TERMS, YoloLoss

HEIGHT, WIDTH = 60, 90


def made(seed, side=3, num=2, classes=4, count=3):
    """Outputs of a net, and objects of which some lie in one cell, beyond a border, or are padding."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0.4, 0.4, side * side * (5 * num + classes)).astype("float32")
    corners = rng.uniform(0, 1, (count, 2, 2)) * (WIDTH, HEIGHT)
    boxes = np.concatenate([corners.min(1), corners.max(1)], axis=1).astype("float32")
    return values, boxes, rng.integers(-1, classes, count).astype("int32")


def given_by_both(values, boxes, classes, side=3, num=2, labels=4, order="darknet", **options):
    """The five terms and the gradient of their sum, by the layer and by hand."""
    grid = YoloGrid(side, num, labels, order=order)
    own = reorder(values, YoloGrid(side, num, labels), order)
    variable = tf.Variable(own[None])
    layer = YoloLoss(grid, (HEIGHT, WIDTH), **options)
    with tf.GradientTape() as tape:
        terms = layer([variable, boxes[None], classes[None]])
        total = sum(terms.values())
    gradient = tape.gradient(total, variable).numpy()[0]
    cells = reference.truths(boxes, classes, side, HEIGHT, WIDTH)
    wanted, delta = reference.loss(values, cells, side, num, labels, rescore=options.get("rescore", True))
    return {k: float(v[0]) for k, v in terms.items()}, reorder(gradient, grid, "darknet"), wanted, delta


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([(3, 2, 4, 3), (1, 1, 1, 2), (4, 3, 2, 0), (2, 2, 3, 6)]),
    st.sampled_from(["darknet", "cells"]),
    st.booleans(),
)
def test_terms_and_gradient_are_those_of_darknet(seed, sizes, order, rescore):
    side, num, labels, count = sizes
    values, boxes, classes = made(seed, side, num, labels, count)
    ours, gradient, wanted, delta = given_by_both(values, boxes, classes, side, num, labels, order, rescore=rescore)
    assert list(ours) == list(TERMS)
    for name in TERMS:
        assert ours[name] == pytest.approx(wanted[name], rel=1e-4, abs=1e-5), name
    np.testing.assert_allclose(gradient, -2 * delta, rtol=1e-4, atol=1e-5)


def one_cell(first, second, box, label=0):
    """The terms for one cell with two boxes (x, y, sqrt(w), sqrt(h), confidence) and an object in 60 x 90 pixels."""
    values = [0.25, 0.5, first[4], second[4], *first[:4], *second[:4]]
    layer = YoloLoss(YoloGrid(1, 2, 2), (HEIGHT, WIDTH))
    terms = layer([np.float32([values]), np.float32([[box]]), np.int32([[label]])])
    return {name: float(term[0]) for name, term in terms.items()}


def test_the_box_with_the_largest_overlap_is_responsible():
    whole, half = (0.5, 0.5, 1.0, 1.0, 0.5), (0.5, 0.5, 0.5**0.5, 1.0, 0.25)  # IoU with the object 1/4 and 1/2
    terms = one_cell(whole, half, (33.75, 0, 56.25, 60))  # a quarter of the width, all of the height
    assert terms["object"] == pytest.approx((0.25 - 0.5) ** 2)
    assert terms["no_object"] == pytest.approx(0.5 * 0.5**2)
    assert terms["size"] == pytest.approx(5 * (0.5 - 0.5**0.5) ** 2)
    assert terms["centre"] == pytest.approx(0, abs=1e-9)
    assert terms["class"] == pytest.approx((1 - 0.25) ** 2 + 0.5**2)


def test_without_overlap_the_nearest_box_is_responsible():
    far, near = (3.0, 0.5, 0.1, 0.1, 0.5), (2.0, 0.5, 0.1, 0.1, 0.25)
    terms = one_cell(far, near, (40, 25, 50, 35))
    assert terms["centre"] == pytest.approx(5 * 1.5**2)
    assert terms["object"] == pytest.approx(0.25**2)  # its overlap is 0
    assert terms["no_object"] == pytest.approx(0.5 * 0.5**2)


def test_of_equal_boxes_the_first_is_responsible():
    box = (0.5, 0.5, 0.5, 0.5)
    terms = one_cell((*box, 0.5), (*box, 1.0), (0, 0, 90, 60))
    assert terms["no_object"] == pytest.approx(0.5)


def test_of_two_objects_in_a_cell_the_first_counts():
    values, boxes, _ = made(0, count=1)
    more = np.concatenate([boxes, boxes + 1]), np.array([0, 1], "int32")
    layer = YoloLoss(YoloGrid(3, 2, 4), (HEIGHT, WIDTH))
    alone = layer([values[None], boxes[None], np.array([[0]], "int32")])
    both = layer([values[None], more[0][None], more[1][None]])
    assert {k: float(v[0]) for k, v in both.items()} == {k: float(v[0]) for k, v in alone.items()}


def test_an_image_without_objects_has_only_the_term_of_no_object():
    values = made(1)[0]
    layer = YoloLoss(YoloGrid(3, 2, 4), (HEIGHT, WIDTH))
    for count in (0, 3):
        terms = layer([values[None], np.zeros((1, count, 4), "float32"), np.full((1, count), -1, "int32")])
        assert float(terms["no_object"][0]) == pytest.approx(0.5 * (values[36:54] ** 2).sum(), rel=1e-5)
        assert sum(float(terms[name][0]) for name in TERMS if name != "no_object") == 0


def test_scales_weigh_their_terms():
    values, boxes, classes = made(2)
    inputs = [values[None], boxes[None], np.abs(classes)[None]]
    grid = YoloGrid(3, 2, 4)
    plain = YoloLoss(grid, (HEIGHT, WIDTH))(inputs)
    scaled = YoloLoss(grid, (HEIGHT, WIDTH), coord_scale=1.0, object_scale=2.0, noobject_scale=0.1, class_scale=0.0)(
        inputs
    )
    factors = {"centre": 0.2, "size": 0.2, "object": 2, "no_object": 0.2, "class": 0}
    for name, factor in factors.items():
        assert float(scaled[name][0]) == pytest.approx(factor * float(plain[name][0]), rel=1e-5)


# ------------------------------------------------------------------------------------------------------ detections


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 10**6),
    st.sampled_from([(3, 2, 4), (1, 1, 1), (4, 3, 2)]),
    st.sampled_from(["darknet", "cells"]),
    st.sampled_from([(0.2, 0.4), (0.001, 0.5), (0.5, 0.0)]),
)
def test_boxes_are_those_of_darknet(seed, sizes, order, thresholds):
    side, num, labels = sizes
    values = made(seed, *sizes)[0]
    layer = YoloDetections(
        YoloGrid(*sizes, order=order),
        (HEIGHT, WIDTH),
        score_threshold=thresholds[0],
        iou_threshold=thresholds[1],
        most=200,
    )
    found = layer(reorder(values, YoloGrid(*sizes), order)[None])
    wanted = reference.detections(values, side, num, labels, HEIGHT, WIDTH, *thresholds)
    count = len(wanted)
    assert np.sum(found["classes"][0] >= 0) == count
    np.testing.assert_allclose(found["scores"][0][:count], [each[1] for each in wanted], rtol=1e-5)
    assert found["classes"][0][:count].numpy().tolist() == [each[0] for each in wanted]
    np.testing.assert_allclose(
        found["boxes"][0][:count], np.reshape([each[2:] for each in wanted], (-1, 4)), rtol=1e-4, atol=1e-3
    )
    for name, fill in (("boxes", 0), ("classes", -1), ("scores", 0)):
        assert np.all(found[name][0][count:] == fill)


def test_the_paper_s_example_of_decoding():
    values = np.zeros(1470, "float32")
    cell, box = 2 * 7 + 3, 1  # third row, fourth column, second box
    values[cell * 20 + 14] = 0.8
    values[980 + cell * 2 + box] = 0.5
    values[1078 + (cell * 2 + box) * 4 :][:4] = 0.5, 0.25, 0.5, 0.25**0.5
    found = YoloDetections(YoloGrid(), (448, 448))(values[None])
    assert found["classes"][0][:2].numpy().tolist() == [14, -1]
    assert float(found["scores"][0][0]) == pytest.approx(0.4)
    # centre (3.5, 2.25) / 7, a quarter of the image wide and high
    np.testing.assert_allclose(found["boxes"][0][0], [168, 88, 280, 200], rtol=1e-5)


def test_the_best_are_kept_if_there_are_many():
    values = made(3)[0]
    grid = YoloGrid(3, 2, 4)
    all_, few = (YoloDetections(grid, (60, 90), score_threshold=0.001, most=most)(values[None]) for most in (200, 2))
    np.testing.assert_array_equal(few["scores"], all_["scores"][:, :2])
    assert few["boxes"].shape == (1, 2, 4)


# ----------------------------------------------------------------------------------------------------------- forms


@pytest.fixture(scope="module")
def mini():
    keras.utils.set_random_seed(0)
    return ik.create_model("yolo_v1_mini", input_shape=(48, 48, 3), classes=2)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return {
        "images": rng.normal(size=(2, 48, 48, 3)).astype("float32"),
        "boxes": np.float32([[[1, 2, 30, 20], [20, 4, 44, 30]], [[0, 0, 0, 0]] * 2]),
        "classes": np.int32([[1, 0], [-1, -1]]),
    }


def test_the_training_form_gives_terms_and_objects(mini, batch):
    form = training_form(mini)
    assert loss_terms(form) == list(TERMS)
    assert form.weights == [w for w in form.weights if any(w is own for own in mini.weights)]
    out = form(batch, training=False)
    wanted = YoloLoss(mini.get_layer("predictions"), (48, 48))([mini(batch["images"]), *list(batch.values())[1:]])
    for name in TERMS:
        np.testing.assert_allclose(out[name], wanted[name], rtol=1e-5)
    found = detections(form)(batch["images"])
    for name in found:
        np.testing.assert_allclose(out[name], found[name], rtol=1e-5, atol=1e-5)
    learning = form(batch, training=True)
    assert learning["boxes"].shape == out["boxes"].shape and np.all(learning["classes"] == -1)


@pytest.mark.slow
def test_the_net_for_inference_is_saved_and_exported(mini, batch, tmp_path):
    net = detections(mini)
    wanted = net(batch["images"])
    assert set(wanted) == {"boxes", "classes", "scores"}
    net.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    net.export(tmp_path / "saved", format="tf_saved_model", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "saved"))
    served = exported.serve(batch["images"])
    as_graph = net.predict_on_batch(batch["images"])
    for name in wanted:
        for found in (again(batch["images"]), served, as_graph):
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5, atol=1e-5)
    assert profile(net).macs == profile(mini).macs


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: YoloLoss(YoloGrid(), (8,)), "size must be the (height, width)"),
        (lambda: YoloLoss(keras.layers.Dense(3), (8, 8)), "a YoloGrid"),
        (lambda: YoloLoss(YoloGrid(), (8, 8), coord_scale=-1), "coord_scale must be a number at least 0"),
        (lambda: YoloDetections(YoloGrid(), (8, 8), score_threshold=20), "a share from 0 to 1"),
        (lambda: YoloDetections(YoloGrid(), (8, 8), most=0), "most must be an int of at least 1"),
    ],
)
def test_says_what_is_wrong(call, says):
    with pytest.raises((ValueError, TypeError), match=re.escape(says)):
        call()

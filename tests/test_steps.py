"""The parts of Faster R-CNN trained by turns, and proposals that need no package."""

import csv
import math

import keras
import numpy as np
import pytest

import inception_keras as ik
from inception_keras.detection.boxes import iou
from inception_keras.detection.forms import detections, loss_terms, training_form, with_scales
from inception_keras.detection.region_forms import proposals_of
from inception_keras.detection.windows import sliding_windows
from inception_keras.training.detect import finder, proposer
from inception_keras.training.folder import load_run
from inception_keras.training.tasks import detection
from inception_keras.weights.store import variables

SIDE = 48
HEAD_OFF, RPN_OFF = {"class": 0, "box": 0}, {"rpn_class": 0, "rpn_box": 0}
OBJECTS = {"boxes": np.float32([[[4, 4, 30, 30]]]), "classes": np.int32([[1]])}


@pytest.fixture(scope="module")
def net():
    keras.utils.set_random_seed(0)
    return ik.create_model("faster_rcnn_small", input_shape=(SIDE, SIDE, 3), classes=2)


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(-1, 1, (1, SIDE, SIDE, 3)).astype("float32")


# ------------------------------------------------------------------------------------------------- terms of the loss


def thawed(net):
    for layer in net.layers:
        layer.trainable = True
    return net


@pytest.mark.parametrize("off, trained", [(HEAD_OFF, {"conv", "rpn"}), (RPN_OFF, {"conv", "rpn", "fc", "scores"})])
def test_a_term_that_is_left_out_freezes_what_leads_to_no_other(net, off, trained):
    form = with_scales(training_form(thawed(net)), off)
    assert loss_terms(form) == [name for name in ("rpn_class", "rpn_box", "class", "box") if name not in off]
    # the head learns from the proposals of the network, so that this one is not frozen by itself
    names = {v.path.partition("/")[0].replace("-", "_").partition("_")[0] for v in form.trainable_variables}
    assert names - {"offsets"} == trained
    thawed(net)


def test_terms_are_multiplied(net, images):
    given = {"images": images} | OBJECTS
    plain, scaled = training_form(thawed(net)), with_scales(training_form(net), {"rpn_box": 10, "class": 0.5})
    before, after = plain(given), scaled(given)
    for name in loss_terms(plain):
        assert after[name].shape == (1,) and after[name].dtype == before[name].dtype
    # other anchors and regions are drawn each time: the terms of the same draws are compared
    terms = keras.Model(scaled.input, [scaled.get_layer("rpn_box-scaled").input, scaled.output["rpn_box"]])(given)
    assert float(terms[1][0]) == pytest.approx(10 * float(terms[0][0]), rel=1e-6) and float(terms[0][0]) > 0
    assert np.array_equal(*(detections(form)(images)["boxes"] for form in (plain, scaled)))


def test_factors_that_do_not_fit(net):
    form = training_form(net)
    with pytest.raises(ValueError, match="faster_rcnn_small has no term 'rpn_boxes' of the loss; did you mean rpn_box"):
        with_scales(form, {"rpn_boxes": 2})
    with pytest.raises(ValueError, match="All terms of the loss of faster_rcnn_small have the factor 0"):
        with_scales(form, HEAD_OFF | RPN_OFF)
    for options, sentence in (
        ({"loss_scales": {"class": -1}}, "The factor of class in loss_scales must be a number at least 0, got -1"),
        ({"form": 2}, "form must be a table of options, got 2"),
    ):
        with pytest.raises((TypeError, ValueError), match=sentence):
            detection.Options(**options)


def test_options_of_the_form(net):
    form = training_form(net, samples={"low": 0.1, "count": 16}, rpn={"inside": False})
    config = form.get_layer("samples").get_config()
    assert (config["low"], config["count"], form.get_layer("rpn_loss").inside) == (0.1, 16, False)
    for id, options, named in (
        ("yolo_v1_mini", {"samples": {}}, "passed to YoloLoss"),
        ("faster_rcnn_small", {"samples": {"lower": 0.1}}, "passed to RegionSamples"),
        ("faster_rcnn_small", {"sample": {}}, "of faster_rcnn_small does not take these options: .*sample"),
    ):
        with pytest.raises(ValueError, match=named):
            training_form(ik.create_model(id, classes=2), **options)


# --------------------------------------------------------------------------------------------------------- proposals


def test_windows_by_hand():
    """Of half the shorter side, 4 pixels: at 0, 2 and 4 of 8 rows, at 0, 2, 4, 6 and 8 of 12 columns."""
    boxes = sliding_windows(8, 12, sides=[0.5, 1], ratios=[1], step=0.5)
    assert boxes[:2].tolist() == [[0, 0, 8, 8], [4, 0, 12, 8]] and len(boxes) == 2 + 15
    assert boxes[2:].tolist() == [[x, y, x + 4, y + 4] for y in (0, 2, 4) for x in (0, 2, 4, 6, 8)]
    tall = sliding_windows(8, 12, sides=[1], ratios=[4], step=0.5)  # 16 x 4 pixels, of which 8 rows are there
    assert tall.tolist() == [[x, 0, x + 4, 8] for x in (0, 2, 4, 6, 8)]
    for options, sentence in (({"step": 0}, "step must be above 0"), ({"sides": []}, "sides must be numbers above 0")):
        with pytest.raises(ValueError, match=sentence):
            sliding_windows(8, 8, **options)


def test_windows_overlap_all_objects_of_scenes():
    boxes = np.concatenate(ik.scenes(100).boxes)
    best = iou(boxes, proposer("windows")(np.zeros((96, 96, 3), np.uint8))).numpy().max(axis=1)
    assert (best > 0.5).all() and (best > 0.6).mean() > 0.95


def test_proposals_of_a_net(net, images):
    boxes, found = net.get_layer("proposals").output, proposals_of(net, most=500)
    expected, given = keras.Model(net.input, boxes)(images).numpy()[0], found(images)
    corners, classes = given["boxes"].numpy()[0], given["classes"].numpy()[0]
    # the best 100, to their edges
    np.testing.assert_allclose(corners[:100], expected + np.array([0, 0, 1, 1]), rtol=1e-6)
    assert corners.shape == (500, 4) and 100 < (classes == 0).sum() < 500
    np.testing.assert_array_equal(classes, np.where(corners.any(axis=1), 0, -1))
    photo = np.zeros((2 * SIDE, SIDE, 3), np.uint8)
    of_photo = finder(found)(photo).boxes  # in pixels of the photograph
    assert len(of_photo) and of_photo[:, 3].max() > SIDE and of_photo[:, 2].max() <= SIDE
    with pytest.raises(ValueError, match="fast_rcnn_small proposes no regions: it has no region proposal network"):
        proposals_of(ik.create_model("fast_rcnn_small"))


def test_proposals_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="'quality', 'windows' or 'the folder of a run', got 'slow'"):
        proposer("slow")(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(FileNotFoundError):
        proposer(str(tmp_path))(np.zeros((8, 8, 3), np.uint8))


# ------------------------------------------------------------------------------------------------------ the four steps


def run(step, folder, weights=None, **task_options):
    recipe = ik.Recipe.load(f"scenes_faster_rcnn_{step}").with_changes(epochs=2, batch_size=4, warmup_epochs=0)
    recipe = recipe.with_changes(task_options={"count": 16} | task_options, weights=weights)
    return ik.train(recipe, folder / step, verbose=0)


def metrics(result):
    with (result.folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def same(one, other, pattern):
    """Whether the weights of two runs are equal, for those of the layers whose names begin so."""
    nets = [variables(load_run(result.folder)[0]) for result in (one, other)]
    names = [name for name in nets[0] if name.startswith(pattern)]
    assert names
    return all(np.array_equal(*(net[name].numpy() for net in nets)) for name in names)


@pytest.mark.slow
def test_the_four_steps(tmp_path):
    one = run("1_rpn", tmp_path)
    rows = metrics(one)
    assert {"rpn_class", "rpn_box"} < {*rows[0]} and "class" not in rows[0]
    assert one.best_epoch == 1 + int(np.argmin([float(row["val_loss"]) for row in rows]))
    assert math.isnan(one.rows[0]["validation_map_50"])
    two = run("2_head", tmp_path, proposals=str(one.folder))
    assert not same(one, two, "conv_") and 0 <= two.rows[-1]["validation_map_50"] <= 1
    three = run("3_rpn", tmp_path, str(two.folder))
    assert same(two, three, "conv_") and same(two, three, "fc_")
    four = run("4_head", tmp_path, str(three.folder))
    assert same(three, four, ("conv_", "rpn-")) and not same(three, four, "fc_")
    assert same(two, four, "conv_")
    for result in (two, four):
        assert len(ik.detect(result.folder, ik.scenes(1).images[0], threshold=0.0).boxes)
        assert ik.evaluate(result.folder).images == 4

"""Fast and Faster R-CNN, compared with their release in torch, step by step; and how they are trained."""

from pathlib import Path

import keras
import numpy as np
import pytest
import synthetic
import tensorflow as tf
from safetensors.numpy import save_file

import inception_keras as ik
from inception_keras.detection.anchors import rcnn_anchors
from inception_keras.detection.forms import detections, loss_terms, training_form
from inception_keras.detection.region_head import RegionDetections, RegionLoss
from inception_keras.detection.region_samples import GivenProposals, RegionSamples
from inception_keras.detection.rpn import ProposalLoss, Proposals
from inception_keras.weights.translate import slots

FOLDER = Path(__file__).parent / "golden" / "operations"
IDS = ["faster_rcnn_small", "fast_rcnn_small"]
IDS += [
    pytest.param(id, marks=pytest.mark.slow)
    for id in ("faster_rcnn", "faster_rcnn_zf", "fast_rcnn", "fast_rcnn_caffenet")
]
OBJECTS = {
    "boxes": np.float32([[[5, 5, 30, 30], [0, 0, 0, 0]], [[10, 20, 50, 40], [30, 30, 60, 62]]]),
    "classes": np.int32([[1, -1], [0, 2]]),
}


def proposals(size):
    """As tests/references_detection.py makes them."""
    rng = np.random.default_rng(0)
    corners = rng.uniform((0, 0), size[::-1], (40, 2, 2))
    return np.concatenate([corners.min(1), corners.max(1) + 1], 1).astype("float32")


@pytest.mark.parametrize("id", IDS)
def test_equals_its_release(id, tmp_path):
    golden = dict(np.load(FOLDER / f"{id}.npz"))
    size = tuple(golden["size"].tolist())
    with ik.without_weights():
        found = slots(ik.create_model(id, input_shape=(*size, 3), classes=3), [(".*", "{0}")])
    arrays = synthetic.state_dict({name: slot.shape for name, slot in found.items()})
    arrays = {slot.variable: np.ascontiguousarray(slot.turn(arrays[name])) for name, slot in found.items()}
    save_file(arrays, tmp_path / "weights.safetensors")
    model = ik.create_model(id, input_shape=(*size, 3), weights=tmp_path / "weights.safetensors")
    image = synthetic.image(*size)
    inputs = {"images": image, "proposals": proposals(size)[None]} if id.startswith("fast_") else image
    if id.startswith("fast_"):
        inputs["proposals"] = np.pad(inputs["proposals"], [(0, 0), (0, model.input["proposals"].shape[1] - 40), (0, 0)])
    _, given, *heads = model.get_layer("detections").input
    maps = model.get_layer("regions").input[0]
    steps = keras.Model(model.input, [maps, given, *heads, model.output])(inputs)
    names = ("maps", "proposals", "class_scores", "class_offsets")
    for name, values in zip(names, steps, strict=False):
        values, expected = values[0].numpy(), golden[name]
        values = values[..., :8] if name == "maps" else values[: len(expected)]
        difference = abs(values - expected).max() / abs(expected).max()
        print(id, name, f"{difference:.1e}", values.shape)
        assert difference < 1e-4, name
    for way in (steps[-1], model.predict_on_batch(inputs)):
        way = {name: np.asarray(values)[0] for name, values in way.items()}
        count = len(golden["classes"])
        assert count > 5 and way["classes"][:count].tolist() == golden["classes"].tolist()
        assert (way["classes"][count:] == -1).all() and not way["boxes"][count:].any()
        np.testing.assert_allclose(way["scores"][:count], golden["scores"], rtol=1e-4)
        # pixels; with weights at random some boxes are 10,000 pixels wide before they are clipped
        np.testing.assert_allclose(way["boxes"][:count], golden["boxes"], rtol=1e-4, atol=0.05)


def anchors_of_one():
    """One anchor of 16 x 16 pixels at each of 4 x 4 places of an image of 64 x 64."""
    return {"anchors": [[[0, 0, 16, 16]]], "strides": [16], "extra": 0.0}


def test_proposals_by_hand():
    layer = Proposals(**anchors_of_one(), before=10, after=4, threshold=0.5, min_size=9)
    scores, offsets = np.zeros((2, 4, 4, 1), "float32"), np.zeros((2, 4, 4, 4), "float32")
    scores[0, 0, 1], scores[0, 3, 3], scores[0, 2, 2] = 5, 4, 3
    offsets[0, 3, 3] = [0.5, 0.5, np.log(0.5), np.log(0.5)]  # ends 4 pixels outside; 4 x 4 pixels are left
    offsets[0, 2, 2] = [-1, -2, 0, 0]  # onto row 0, column 1, which has a better box
    scores[1] = np.arange(16).reshape(4, 4, 1)
    found = layer([np.zeros((2, 64, 64, 3)), scores, offsets]).numpy()
    assert found[0].tolist()[:2] == [[16, 0, 32, 16], [0, 0, 16, 16]]
    assert found[1, :, :2].tolist() == [[48, 48], [32, 48], [16, 48], [0, 48]]
    few = Proposals(**anchors_of_one(), before=2, after=4, threshold=0.5, min_size=9)
    found_of_few = few([np.zeros((2, 64, 64, 3)), scores, offsets])[0].numpy()
    assert found_of_few.tolist() == [[16, 0, 32, 16], *[[0] * 4] * 3]
    assert layer([np.zeros((2, 64, 64, 3)), scores, offsets], training=True).shape == (2, 1, 4)
    pairs = np.concatenate([np.zeros_like(scores), scores], -1)
    np.testing.assert_array_equal(layer([np.zeros((2, 64, 64, 3)), pairs, offsets]), found)


def losses(boxes, classes, scores, offsets, **options):
    layer = ProposalLoss(**anchors_of_one() | options)
    images = np.zeros((len(scores), 64, 64, 3))
    return {name: term.numpy() for name, term in layer([images, boxes, classes, scores, offsets]).items()}


def test_loss_of_proposals_by_hand():
    """Of 16 anchors one is an object's, one of IoU 1/3 is neither, one that crosses no border is background ..."""
    boxes = np.float32([[[0, 0, 16, 16], [40, 32, 56, 48]]])  # the second one lies between two anchors of IoU 1/3
    scores, offsets = np.zeros((1, 4, 4, 1), "float32"), np.zeros((1, 4, 4, 4), "float32")
    scores[0, 0, 0] = 2
    offsets[0, 2, 2] = [0.5, 1, 0, 0]  # the first number is right; 1 is off by 1
    terms = losses(boxes, np.int32([[0, 1]]), scores, offsets)
    # foreground: the anchor of the first object, and both best ones of the second; 13 of background
    right = -np.log(1 / (1 + np.exp(-2)))
    assert terms["rpn_class"][0] == pytest.approx((right + 15 * np.log(2)) / 16, rel=1e-5)
    # the third one's offset -0.5 is not predicted: |0.5| - beta / 2
    assert terms["rpn_box"][0] == pytest.approx(((1 - 1 / 18) + (0.5 - 1 / 18)) / 16, rel=1e-5)
    none = losses(boxes, np.int32([[-1, -1]]), scores, offsets)
    wrong = np.log(1 + np.exp(2))
    assert none["rpn_class"][0] == pytest.approx((wrong + 15 * np.log(2)) / 16, rel=1e-5) and none["rpn_box"][0] == 0


def test_border_crossers_and_the_number_drawn():
    boxes, classes = np.float32([[[0, 0, 16, 16]]]), np.int32([[0]])
    scores, offsets = np.zeros((1, 4, 4, 1), "float32"), np.zeros((1, 4, 4, 4), "float32")
    scores[0, 3] = 50  # wrong by far, if they count
    options = {"anchors": [[[0, 0, 16, 17]]]}
    assert losses(boxes, classes, scores, offsets, **options)["rpn_class"][0] == pytest.approx(np.log(2), rel=1e-5)
    assert losses(boxes, classes, scores, offsets, inside=False, **options)["rpn_class"][0] > 10
    # 4 drawn: one foreground and three background
    few = losses(boxes, classes, 0 * scores, offsets + 1, count=4)
    one = 4 * (1 - 1 / 18)
    assert few["rpn_box"][0] == pytest.approx(one / 4, rel=1e-5)


def test_regions_drawn_by_hand():
    given = np.float32([[[0, 0, 10, 8], [0, 0, 10, 3], [40, 40, 60, 60], [0, 0, 0, 0], [0, 0, 10, 10]]])
    boxes, classes = np.float32([[[0, 0, 10, 10]]]), np.int32([[4]])
    layer = RegionSamples(8, share=0.5, low=0.1, extra=0)
    regions, labels, offsets = (x[0].numpy() for x in layer([given, boxes, classes]))
    assert sorted(labels) == [-1, -1, -1, -1, 0, 5, 5, 5]  # two proposals and the object; IoU 0.3; 0 is below low
    assert (regions[labels == -1] == 0).all() and regions[labels == 0].tolist() == [[0, 0, 10, 3]]
    row = regions[:, 3].tolist().index(8)
    np.testing.assert_allclose(offsets[row], [0, 10 * 1 / 8, 0, 5 * np.log(10 / 8)], rtol=1e-5, atol=1e-6)
    few = RegionSamples(4, share=0.25, extra=0)([given, boxes, classes])[1].numpy()[0]
    assert sorted(few) == [-1, 0, 0, 5]
    nothing = RegionSamples(4, extra=0)([given, boxes[:, :0], classes[:, :0]])[1].numpy()[0]
    assert nothing.tolist() == [0, 0, 0, 0]


def test_loss_of_regions_by_hand():
    logits = np.zeros((1, 3, 3), "float32")
    logits[0, 0, 1] = 1
    offsets = np.arange(36, dtype="float32").reshape(1, 3, 12)
    targets = np.zeros((1, 3, 4), "float32")
    targets[0, 0] = [4, 5, 6, 9]
    terms = RegionLoss()([logits, np.int32([[1, 0, -1]]), offsets, targets])
    expected = (-np.log(np.e / (np.e + 2)) + np.log(3)) / 2
    assert terms["class"].numpy()[0] == pytest.approx(expected, rel=1e-5)
    assert terms["box"].numpy()[0] == pytest.approx((2 - 0.5) / 2, rel=1e-5)
    assert set(RegionLoss()([logits, np.int32([[1, 0, -1]])])) == {"class"}


def test_detections_by_hand():
    """Classes do not suppress each other, padding finds nothing, and the best come first."""
    given = np.float32([[[0, 0, 20, 20], [1, 0, 21, 20], [0, 0, 0, 0]]])
    logits = np.float32([[[0, 3, 0], [0, 2, 2], [0, 9, 9]]])
    layer = RegionDetections(score_threshold=0.1, most=4, extra=0)
    found = {k: v.numpy()[0] for k, v in layer([np.zeros((1, 50, 50, 3)), given, logits, np.zeros((1, 3, 12))]).items()}
    assert found["classes"].tolist() == [0, 1, -1, -1]
    assert found["boxes"].tolist() == [[0, 0, 20, 20], [1, 0, 21, 20], [0] * 4, [0] * 4]
    np.testing.assert_allclose(found["scores"], [np.e**3 / (np.e**3 + 2), np.e**2 / (2 * np.e**2 + 1), 0, 0], rtol=1e-5)
    without = RegionDetections(score_threshold=0.1, most=4)([np.zeros((1, 50, 50, 3)), given, logits])
    assert without["boxes"].numpy()[0, 0].tolist() == [0, 0, 21, 21]  # the last pixel is 20, the edge 21


def test_given_proposals():
    given = np.float32([[[1, 2, 4, 5], [0, 0, 0, 0]]])
    assert GivenProposals()(given).numpy().tolist() == [[[1, 2, 3, 4], [0, 0, 0, 0]]]
    assert GivenProposals()(given, training=True).shape == (1, 1, 4)
    assert GivenProposals(0, in_training=True)(given, training=True).numpy().tolist() == given.tolist()


@pytest.fixture(scope="module")
def nets():
    """Both small nets, and images and proposals for their forms."""
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype("float32")
    given = np.float32([[[4, 4, 31, 29], [40, 40, 60, 60]], [[9, 20, 50, 42], [0, 0, 0, 0]]])
    found = {}
    for id, more in (("faster_rcnn_small", {}), ("fast_rcnn_small", {"proposals": None})):
        keras.utils.set_random_seed(1)
        found[id] = ik.create_model(id, input_shape=(64, 64, 3), classes=3, **more)
    return found, {"images": images, "proposals": given}


@pytest.mark.parametrize("id", ["faster_rcnn_small", "fast_rcnn_small"])
def test_the_form_for_training(id, nets):
    model, given = nets[0][id], nets[1] if id.startswith("fast_") else {"images": nets[1]["images"]}
    form = training_form(model)
    own = [] if id.startswith("fast_") else ["rpn_class", "rpn_box"]
    assert loss_terms(form) == [*own, "class", "box"]
    assert {v.path for v in form.trainable_variables} == {v.path for v in model.trainable_variables}
    with tf.GradientTape() as tape:
        terms = form(given | OBJECTS, training=True)
        loss = sum(tf.reduce_mean(terms[name]) for name in loss_terms(form))
    assert all(terms[name].shape == (2,) and np.isfinite(terms[name]).all() for name in loss_terms(form))
    assert all(g is not None for g in tape.gradient(loss, form.trainable_variables))
    assert (terms["classes"].numpy() == -1).all()  # nothing is found in training
    empty = form(given | {"boxes": OBJECTS["boxes"][:, :0], "classes": OBJECTS["classes"][:, :0]})
    assert all(np.isfinite(empty[name]).all() for name in loss_terms(form))
    given = given if id.startswith("fast_") else given["images"]
    found, expected = detections(form)(given), model(given)
    for name in ("boxes", "classes", "scores"):
        np.testing.assert_array_equal(found[name], expected[name])


def test_any_backbone():
    trunk = ik.create_model("resnet20_cifar", include_top=False, input_shape=(None, None, 3))
    model = ik.faster_rcnn(trunk, stride=4, filters=16, units=16, bins=2, scales=(0.5, 1), proposals=7, classes=2)
    assert model.name == "faster_rcnn_resnet20_cifar" and model.get_layer("proposals").output.shape == (None, 7, 4)
    assert model(np.zeros((1, 40, 56, 3)))["classes"].shape == (1, 100)
    assert loss_terms(training_form(model)) == ["rpn_class", "rpn_box", "class", "box"]
    with pytest.raises(ValueError, match="stride must be 1, 2 or 4, got 16"):
        ik.faster_rcnn(trunk)
    given = ik.fast_rcnn(trunk, stride=4, units=16, bins=2, regressors=False, proposals=5, classes=2)
    assert given.name == "fast_rcnn_resnet20_cifar" and given.get_layer("scores").output.shape == (None, 5, 3)
    boxes = np.float32([[[0, 0, 40, 40], [30, 20, 56, 40], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]])
    found = given({"images": np.zeros((1, 40, 56, 3)), "proposals": boxes})
    assert (found["classes"][0].numpy() >= 0).sum() == 4  # two regions, for each class
    assert loss_terms(training_form(given)) == ["class"]
    with pytest.raises(ValueError, match="proposals must be"):
        ik.fast_rcnn(trunk, stride=4, proposals=0)


def test_a_detector_in_files(nets, tmp_path):
    model, images = nets[0]["faster_rcnn_small"], nets[1]["images"]
    model.save(tmp_path / "model.keras")
    ik.save_weights(model, tmp_path / "weights.safetensors")
    again = keras.models.load_model(tmp_path / "model.keras")
    fresh = ik.create_model(
        "faster_rcnn_small", input_shape=(64, 64, 3), weights=tmp_path / "weights.safetensors", classes=3
    )
    for other in (again, fresh):
        for name, values in model(images).items():
            np.testing.assert_array_equal(other(images)[name], values)
    assert loss_terms(training_form(again)) == ["rpn_class", "rpn_box", "class", "box"]


@pytest.mark.slow
def test_a_detector_as_saved_model(nets, tmp_path):
    model, images = nets[0]["faster_rcnn_small"], nets[1]["images"]
    model.export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    found = loaded.serve(images)
    for name, values in model(images).items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-3)


def test_truncated_svd(nets):
    model = nets[0]["fast_rcnn_small"]
    given = {"images": nets[1]["images"], "proposals": nets[1]["proposals"]}
    same = ik.truncated_svd(model, {"fc_7": 256})
    logits = [keras.Model(m.input, m.get_layer("scores").output)(given) for m in (model, same)]
    np.testing.assert_allclose(*logits, atol=1e-5)
    less = ik.truncated_svd(model, {"fc_7": 20})
    assert less.count_params() == model.count_params() - 256 * 256 + 20 * (256 + 256)
    assert loss_terms(training_form(less)) == ["class", "box"]
    with pytest.raises(ValueError, match="has no dense layer 'fc_8'; did you mean fc_7 or fc_6"):
        ik.truncated_svd(model, {"fc_8": 1})
    with pytest.raises(ValueError, match="The rank of fc_7 must be an int of at most 256, got 300"):
        ik.truncated_svd(model, {"fc_7": 300})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Proposals([], strides=[]), "anchors and strides must be of equally many levels, at least one, got 0"),
        (lambda: Proposals([rcnn_anchors()], strides=[8, 16]), "equally many levels, at least one, got 1 and 2"),
        (lambda: RegionSamples(0), "count must be an int of at least 1, got 0"),
        (lambda: RegionDetections(iou_threshold=2), "iou_threshold must be a share from 0 to 1, got 2"),
        (lambda: ik.create_model("faster_rcnn_small", input_shape=(15, 64, 3)), "input_shape"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

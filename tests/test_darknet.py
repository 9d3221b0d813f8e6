"""Files of darknet: the nets compute with them what darknet computes, and files that do not fit say why."""

import re

import darknet_files as darknet
import keras
import numpy as np
import pytest

import inception_keras as ik
from inception_keras.detection.yolo_grid import reorder
from inception_keras.layers import LocallyConnected2D
from inception_keras.weights.pretrained import FreshWeightsWarning, load, read_source

HEADERS = ("0.1", "0.2", "old")


def picture(side, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (side, side, 3)).astype("float32")


def compare(model, layers, image, tolerance=2e-4):
    wanted = darknet.forward(layers, image)
    wanted = wanted.transpose(1, 2, 0).ravel() if wanted.ndim == 3 else wanted
    found = model(image[None], training=False).numpy()[0]
    assert np.std(wanted) > 0.01
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


SIDES = {"yolo_v1_mini": 96, "extraction": 64}


@pytest.mark.parametrize(
    "id", [id if id == "yolo_v1_mini" else pytest.param(id, marks=pytest.mark.slow) for id in darknet.CFGS]
)
def test_nets_compute_what_darknet_computes(id, tmp_path):
    side = SIDES.get(id, 128 if "darknet" in id else 64)
    layers = darknet.layers_of(darknet.CFGS[id], (3, side, side))
    path = darknet.write(tmp_path / "net.weights", layers)
    options = {"classifier_activation": None} if id == "extraction" else {}
    model = ik.create_model(id, input_shape=(side, side, 3), weights=path, **options)
    path.unlink()  # nothing of it is read later
    compare(model, layers, picture(side))


@pytest.fixture
def small():
    """A net with each kind of layer that a file may have."""

    def build(outputs=5, channels=3):
        x = image = keras.Input((6, 8, channels), name="image")
        x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv_1")(x)
        x = keras.layers.BatchNormalization(epsilon=1e-6, name="conv_1-bn")(x)
        x = keras.layers.LeakyReLU(0.1)(x)
        x = keras.layers.MaxPooling2D(2)(x)
        x = keras.layers.LeakyReLU(0.1)(keras.layers.Conv2D(6, 1, name="conv_2")(x))
        x = keras.layers.LeakyReLU(0.1)(LocallyConnected2D(2, 3, name="local_3")(x))
        x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x))
        x = keras.layers.LeakyReLU(0.1)(keras.layers.Dense(7, name="fc_1")(x))
        return keras.Model(image, keras.layers.Dense(outputs, name="predictions")(x), name="small")

    return build


SMALL = "c4,3,1+ m c6,1,1 l2,3 f7 f5-"


@pytest.mark.parametrize("header", HEADERS)
def test_every_kind_of_layer_and_header(header, small, tmp_path):
    layers = darknet.layers_of(SMALL, (3, 6, 8))
    path = darknet.write(tmp_path / "weights", layers, header)
    model = small()
    load(model, "small", path)
    image = np.random.default_rng(1).normal(size=(6, 8, 3)).astype("float32")
    compare(model, layers, image, 1e-5)


@pytest.mark.parametrize("header", HEADERS)
def test_a_file_is_known_by_its_content(header, tmp_path):
    path = darknet.write(tmp_path / "backup", darknet.layers_of("f3", (2,)), header)
    (entry,) = read_source("yolo_v1", path).arrays.values()
    assert entry.shape == (9,)


def test_one_channel_takes_the_sum_of_the_kernels_of_three(small, tmp_path):
    layers = darknet.layers_of(SMALL, (3, 6, 8))
    path = darknet.write(tmp_path / "weights", layers)
    grey, model = small(channels=1), small()
    load(grey, "small", path)
    load(model, "small", path)
    image = np.random.default_rng(1).normal(size=(1, 6, 8, 1)).astype("float32")
    np.testing.assert_allclose(grey(image), model(np.repeat(image, 3, -1)), rtol=1e-4, atol=1e-5)


NET, SHAPE = "yolo_v1_darknet_tiny", (64, 64, 3)


@pytest.fixture(scope="module")
def three_classes(tmp_path_factory):
    """A file of a net for three classes, 7 * 7 * (2 * 5 + 3) outputs, and its layers."""
    layers = darknet.layers_of(darknet.CFGS[NET].replace("f1470-", "f637-"), (3, 64, 64))
    return darknet.write(tmp_path_factory.mktemp("files") / "three.weights", layers), layers


def test_the_number_of_classes_is_that_of_the_file(three_classes):
    path, layers = three_classes
    model = ik.create_model(NET, input_shape=SHAPE, weights=path)
    assert model.get_layer("predictions").classes == 3
    compare(model, layers, picture(64))


def test_the_other_order_of_outputs(three_classes):
    path, layers = three_classes
    model = ik.create_model(NET, input_shape=SHAPE, weights=path, order="cells")
    grid = model.get_layer("predictions")
    wanted = darknet.forward(layers, picture(64))
    np.testing.assert_allclose(
        reorder(model(picture(64)[None]), grid, "darknet")[0], wanted, atol=2e-4 * np.abs(wanted).max()
    )


def test_other_classes_leave_the_grid_fresh(three_classes):
    with pytest.warns(FreshWeightsWarning, match="it has 588 outputs, .* has 637"):
        ik.create_model(NET, input_shape=SHAPE, weights=three_classes[0], classes=2)


@pytest.mark.slow
def test_a_detector_begins_with_the_convolutions_of_the_classifier(tmp_path):
    """As `darknet yolo train yolo.cfg extraction.conv.weights`."""
    layers = darknet.layers_of(darknet.EXTRACTION, (3, 64, 64))
    path = darknet.write(tmp_path / "extraction.conv.weights", layers, "old")
    with pytest.warns(FreshWeightsWarning, match=r"conv_21, .*predictions of yolo_v1 keep fresh weights"):
        model = ik.create_model("yolo_v1", input_shape=(64, 64, 3), weights=path)
    np.testing.assert_array_equal(model.get_layer("conv_20").kernel, layers[-1]["kernel"][0].transpose(2, 3, 1, 0))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda content: content[:-4], r"it has [\d,]+ numbers, and yolo_v1_darknet_tiny has [\d,]+ weights"),
        (lambda content: content + bytes(4), r"it has [\d,]+ numbers, and yolo_v1_darknet_tiny has [\d,]+ weights"),
        (lambda content: content[:-3], "no whole number of float32"),
        (lambda content: content[:20], "ends with its header"),
        (lambda content: content[:7], "neither of its headers"),
        (lambda content: b"", "neither of its headers"),
        (lambda content: b"\x07\0\0\0" + content[4:], "neither of its headers"),
        (lambda content: content[:24] + b"\0\0\xc0\x7f" + content[28:], "not finite"),
    ],
)
def test_a_file_that_is_no_good_is_refused_in_a_sentence(change, says, three_classes, tmp_path):
    path = tmp_path / "net.weights"
    path.write_bytes(change(three_classes[0].read_bytes()))
    with pytest.raises(ValueError, match=says) as error:
        ik.create_model(NET, input_shape=SHAPE, weights=path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_net_with_branches_has_no_such_files(three_classes):
    with pytest.raises(ValueError, match="such as yolo_v1, and not for squeezenet1_1"):
        ik.create_model("squeezenet1_1", weights=three_classes[0])


@pytest.mark.slow
def test_the_net_that_a_file_fits_is_named(tmp_path):
    path = tmp_path / "net.weights"
    with ik.without_weights():
        count = ik.create_model("yolo_v1_darknet_tiny").count_params()
    path.write_bytes(bytes([0, 0, 0, 0, 2, 0, 0, 0] + 12 * [0]))
    with path.open("r+b") as file:
        file.truncate(20 + 4 * count)  # zeros that need no space on disk
    says = re.escape("They fit 'yolo_v1_darknet_tiny'")
    with pytest.raises(ValueError, match=says):
        ik.create_model("yolo_v1_fast", weights=path)

"""The nets of YOLO v1, and the order of their outputs."""

import re

import keras
import numpy as np
import pytest

import inception_keras as ik
from inception_keras.detection.yolo import build_extraction, build_yolo_v1
from inception_keras.detection.yolo_backbone import build_yolo_v1_mini, yolo
from inception_keras.detection.yolo_grid import YoloConvGrid, YoloGrid, parts, reorder
from inception_keras.layers import LocallyConnected2D
from inception_keras.weights.pretrained import FreshWeightsWarning

rng = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("id", "all_", "moving"),
    [
        ("yolo_v1", 271_703_550, 0),
        ("yolo_v1_fast", 45_089_374, 0),
        ("yolo_v1_small", 93_970_430, 0),
        ("yolo_v1_darknet", 197_301_875 + 26_368, 26_368),
        ("yolo_v1_darknet_tiny", 27_095_374 + 4_576, 4_576),
    ],
)
def test_parameters_are_those_of_darknet(id, all_, moving):
    with ik.without_weights():
        model = ik.create_model(id)
    assert model.count_params() == all_
    assert all_ - sum(int(np.prod(v.shape)) for v in model.trainable_variables) == moving
    assert model.output_shape == (None, 1715 if id == "yolo_v1_darknet" else 1470)


def test_the_dense_layer_of_the_paper_has_most_of_the_parameters():
    with ik.without_weights():
        assert build_yolo_v1().get_layer("fc_1").count_params() == 205_524_992


@pytest.mark.parametrize(("grid", "boxes", "classes"), [(1, 1, 1), (7, 2, 20), (5, 3, 1), (14, 1, 80)])
def test_the_output_is_s_by_s_by_5_b_and_c(grid, boxes, classes):
    with ik.without_weights():
        dense = build_yolo_v1((64, 96, 3), release="yolov1-tiny", grid=grid, boxes=boxes, classes=classes)
        shared = build_yolo_v1_mini((16 * grid, 16 * grid, 3), boxes=boxes, classes=classes)
    assert dense.output_shape == shared.output_shape == (None, grid * grid * (boxes * 5 + classes))


def test_the_classifier_has_the_first_twenty_convolutions():
    with ik.without_weights():
        classifier, net = build_extraction((448, 448, 3)), build_yolo_v1()
    own = [(layer.name, tuple(layer.kernel.shape)) for layer in classifier.layers[:-1] if layer.weights]
    assert len(own) == 20
    assert own == [(layer.name, tuple(layer.kernel.shape)) for layer in net.layers if layer.weights][:20]


def by_hand(x, layer):
    """A locally connected layer pixel by pixel."""
    kernel, bias = (weight.numpy() for weight in layer.weights)
    side = layer.kernel_size[0]
    padded = np.pad(x, [(0, 0), (side // 2,) * 2, (side // 2,) * 2, (0, 0)])
    height, width, _, filters = kernel.shape
    out = np.zeros((len(x), height, width, filters))
    for n in range(len(x)):
        for i in range(height):
            for j in range(width):
                out[n, i, j] = padded[n, i : i + side, j : j + side].ravel() @ kernel[i, j] + bias[i, j]
    return out


@pytest.mark.parametrize(("side", "height", "width"), [(1, 2, 3), (3, 4, 3), (2, 3, 3), (5, 1, 1)])
def test_a_locally_connected_layer_has_a_kernel_for_each_pixel(side, height, width):
    x = rng.normal(size=(2, height, width, 3)).astype("float32")
    layer = LocallyConnected2D(4, side)
    y = layer(x)
    layer.bias.assign(rng.normal(size=layer.bias.shape))
    assert y.shape == layer.compute_output_shape(x.shape)
    np.testing.assert_allclose(layer(x), by_hand(x, layer), rtol=1e-4, atol=1e-5)
    again = LocallyConnected2D.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_a_locally_connected_layer_needs_a_map_of_known_size():
    with pytest.raises(ValueError, match="known height and width"):
        LocallyConnected2D(4, 3)(keras.Input((None, 4, 3)))


def test_the_orders_name_the_same_numbers():
    scores, confidences = rng.normal(size=(2, 9, 4)), rng.normal(size=(2, 9, 3))
    boxes = rng.normal(size=(2, 9, 3, 4))
    darknet = np.concatenate([part.reshape(2, -1) for part in (scores, confidences, boxes)], axis=1)
    cells = np.concatenate(
        [np.concatenate([boxes, confidences[..., None]], -1).reshape(2, 9, 15), scores], axis=-1
    ).reshape(2, -1)
    grids = {order: YoloGrid(3, 3, 4, order=order) for order in ("darknet", "cells")}
    np.testing.assert_array_equal(reorder(darknet, grids["darknet"], "cells"), cells)
    np.testing.assert_array_equal(reorder(cells, grids["cells"], "darknet"), darknet)
    np.testing.assert_array_equal(reorder(cells.T, grids["cells"], "darknet", axis=0), darknet.T)
    assert reorder(cells, grids["cells"], "cells") is cells
    for order, values in (("darknet", darknet), ("cells", cells)):
        for found, wanted in zip(parts(values, grids[order]), (scores, confidences, boxes), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-6)


def test_weights_in_the_other_order_give_the_same_net():
    options = {"release": "yolov1-tiny", "grid": 3, "classes": 2}
    darknet, cells = (build_yolo_v1((64, 64, 3), order=order, **options) for order in ("darknet", "cells"))
    grid = darknet.get_layer("predictions")
    *trunk, kernel, bias = darknet.get_weights()
    cells.set_weights([*trunk, reorder(kernel, grid, "cells"), reorder(bias, grid, "cells")])
    x = rng.normal(size=(2, 64, 64, 3)).astype("float32")
    np.testing.assert_allclose(reorder(darknet(x), grid, "cells"), cells(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: YoloGrid(0), "grid must be an int of at least 1, got 0"),
        (lambda: YoloGrid(order="rows"), "order must be 'darknet' or 'cells', got 'rows'"),
        (lambda: reorder([1.0, 2.0], YoloGrid(), "cells"), "1,470 numbers along axis -1"),
        (lambda: reorder([1.0], keras.layers.Dense(1), "cells"), "a YoloGrid"),
        (lambda: build_yolo_v1(release="2016"), "release must be 'paper'"),
        (lambda: build_yolo_v1((32, 32, 3)), "at least 64 x 64"),
        (lambda: build_yolo_v1(grid=0), "grid must be an int of at least 1"),
        (lambda: build_yolo_v1_mini((32, 48, 3)), "a square map of known size, got (2, 3)"),
        (lambda: YoloConvGrid(2, 0), "classes must be an int of at least 1"),
        (lambda: yolo("resnet18"), "backbone must be a Keras model"),
    ],
)
def test_says_what_is_wrong(call, says):
    with pytest.raises((ValueError, TypeError), match=re.escape(says)):
        call()


@pytest.fixture(scope="module")
def mini():
    keras.utils.set_random_seed(0)
    return ik.create_model("yolo_v1_mini", input_shape=(32, 32, 3), classes=3)


def test_is_saved_and_loaded(mini, tmp_path):
    x = rng.normal(size=(2, 32, 32, 3)).astype("float32")
    mini.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(again(x), mini(x))
    assert again.get_layer("predictions").get_config() == mini.get_layer("predictions").get_config()


def test_the_file_of_weights_says_how_many_classes_there_are(mini, tmp_path):
    ik.save_weights(mini, tmp_path / "net.safetensors")
    again = ik.create_model("yolo_v1_mini", input_shape=(32, 32, 3), weights=tmp_path / "net.safetensors")
    assert again.get_layer("predictions").classes == 3
    for ours, theirs in zip(again.weights, mini.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_another_number_of_classes_leaves_the_grid_fresh(mini, tmp_path):
    ik.save_weights(mini, tmp_path / "net.safetensors")
    says = "predictions of yolo_v1_mini stays as it is: it has 15 outputs, .* has 13"
    with pytest.warns(FreshWeightsWarning, match=says):
        again = ik.create_model(
            "yolo_v1_mini", input_shape=(32, 32, 3), classes=5, weights=tmp_path / "net.safetensors"
        )
    np.testing.assert_array_equal(again.get_layer("conv_9").kernel, mini.get_layer("conv_9").kernel)


def test_cells_of_a_map_share_a_convolution():
    layer = YoloConvGrid(2, 3)
    x = rng.normal(size=(2, 4, 4, 5)).astype("float32")
    y = layer(x)
    kernel, bias = (w.numpy() for w in layer.weights)
    assert y.shape == layer.compute_output_shape(x.shape) == (2, 4 * 4 * 13)
    assert (layer.grid, layer.units) == (4, 208)
    np.testing.assert_allclose(y, (x @ kernel[0, 0] + bias).reshape(2, -1), rtol=1e-4, atol=1e-5)


def test_any_backbone_has_a_grid():
    with ik.without_weights():
        trunk = ik.create_model("squeezenet1_1", include_top=False, input_shape=(96, 96, 3))
        net = yolo(trunk, classes=1)
        whole = yolo(ik.create_model("vgg11", input_shape=(64, 64, 3)), classes=1)
    side = trunk.output_shape[1]
    assert net.output_shape == (None, side * side * 11)
    assert net.name == "yolo_squeezenet1_1"
    assert [layer.name for layer in net.layers[:-1]] == [layer.name for layer in trunk.layers][: len(net.layers) - 1]
    assert whole.get_layer("predictions").input.shape[1:] == (2, 2, 512)  # the dense layers are left out


def test_is_drawn_and_counted(tmp_path):
    with ik.without_weights():
        model = ik.create_model("yolo_v1_darknet")
    ik.plot_blocks(model, tmp_path / "blocks.svg")
    text = (tmp_path / "blocks.svg").read_text()
    assert "locally connected 3x3" in text and "leaky ReLU" in text and "fc, grid" in text
    rows = {row.name: row.macs for row in ik.profile(model).rows}
    assert rows["local_25"] == 49 * 9 * 1024 * 256 and rows["predictions"] == 12544 * 1715


@pytest.mark.slow
def test_begins_with_the_weights_of_the_classifier(tmp_path):
    keras.utils.set_random_seed(0)
    classifier = ik.create_model("extraction", input_shape=(64, 64, 3), classes=5)
    ik.save_weights(classifier, tmp_path / "net.safetensors")
    with pytest.warns(FreshWeightsWarning, match=r"conv_21, .*, fc_1, predictions of yolo_v1 keep fresh weights"):
        model = ik.create_model("yolo_v1", input_shape=(64, 64, 3), weights=tmp_path / "net.safetensors")
    assert model.output_shape == (None, 1470)
    for name in ("conv_1", "conv_20"):
        for ours, theirs in zip(model.get_layer(name).weights, classifier.get_layer(name).weights, strict=True):
            np.testing.assert_array_equal(ours, theirs)

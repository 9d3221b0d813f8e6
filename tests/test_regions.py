"""RoI pooling and RoIAlign, compared with torchvision's, forward and backward."""

from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import inception_keras as ik
from inception_keras.layers import RoIAlign, RoIPooling, SpatialPyramidPooling2D

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "operations" / "regions.npz"))
MAPS, BOXES = GOLDEN["maps"], GOLDEN["boxes"]
CASES = {
    "pool": RoIPooling((3, 4), 1 / 16),
    **{
        f"align-{aligned}-{ratio}": RoIAlign((3, 2), 1 / 16, sampling_ratio=ratio, aligned=aligned)
        for aligned in (False, True)
        for ratio in (0, 2)
    },
}


def both(layer, maps, boxes, dy=None):
    """The regions, and the gradient of the maps."""
    maps = tf.convert_to_tensor(maps)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        y = layer([maps, boxes])
        dy = tf.ones_like(y) if dy is None else dy
        loss = tf.reduce_sum(y * dy)
    return y, tape.gradient(loss, maps)


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_equal_to_torchvision(name, graph):
    """In a graph that may be exported RoIAlign uses other ops, and TensorFlow rounds quotients in another way."""
    layer = CASES[name]
    expected = GOLDEN[name]
    dy = np.random.default_rng(2).normal(size=(120, 3, *layer.output_size)).astype("float32")
    dy = dy.reshape(2, 60, 3, *layer.output_size).transpose(0, 1, 3, 4, 2)
    run = tf.function(lambda *args: both(layer, *args)) if graph else lambda *args: both(layer, *args)
    y, dx = run(MAPS, BOXES, dy)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(dx, GOLDEN[f"{name}-dx"], rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("name", CASES)
def test_no_regions_and_any_size(name):
    layer = CASES[name]
    signature = [tf.TensorSpec((None, None, None, 3)), tf.TensorSpec((None, None, 4))]
    graph = tf.function(lambda maps, boxes: both(layer, maps, boxes), input_signature=signature)
    for run in (graph, lambda *args: both(layer, *args)):
        y, dx = run(MAPS, np.zeros((2, 0, 4), "float32"))
        assert y.shape == (2, 0, *layer.output_size, 3) and not np.any(dx)
        y, _ = run(MAPS[:1], BOXES[:1, :5])
        np.testing.assert_allclose(y, GOLDEN[name][:1, :5], rtol=1e-5, atol=1e-5)


def pooled(x, box, size):
    """Caffe's rule in NumPy for whole numbers, where float32 makes no difference."""
    x1, y1, x2, y2 = box
    out = np.zeros((size, size, x.shape[-1]), x.dtype)
    high, wide = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
    for i in range(size):
        for j in range(size):
            rows, columns = (
                slice(*np.clip([first + k * side // size, first - (-(k + 1) * side // size)], 0, most))
                for first, k, side, most in ((y1, i, high, x.shape[0]), (x1, j, wide, x.shape[1]))
            )
            window = x[rows, columns]
            out[i, j] = window.max((0, 1)) if window.size else 0
    return out


def test_pooling_of_every_size_of_region():
    """Sides where size / 4 is exact in float32, so that the rule with whole numbers holds."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(1, 37, 21, 2)).astype("float32")
    corners = rng.integers(-10, 50, (80, 2, 2))
    boxes = np.concatenate([corners.min(1), corners.max(1)], -1)
    expected = np.stack([pooled(x[0], box, 4) for box in boxes])[None]
    np.testing.assert_array_equal(RoIPooling(4)([x, boxes[None]]), expected)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("graph", [False, True])
def test_gradient_of_equal_values_goes_to_the_first(training, graph):
    layer = RoIPooling(1)

    def run(maps, box):
        pool = tf.function(both) if graph else both
        return pool(partial(layer, training=training), maps, tf.constant([[box]], "float32"))

    y, dx = run(np.zeros((1, 4, 4, 1), "float32"), [1, 1, 3, 3])
    assert y[0, 0, 0, 0, 0] == 0 and dx[0, 1, 1, 0] == 1 and np.sum(dx) == 1
    maps = -np.ones((1, 4, 4, 1), "float32")
    maps[0, 2, 1] = maps[0, 1, 3] = -0.5
    for values in (maps, 2 + maps):
        y, dx = run(values, [0, 0, 3, 3])
        assert y[0, 0, 0, 0, 0] == values.max() and dx[0, 1, 3, 0] == 1 and np.sum(dx) == 1


@pytest.mark.parametrize("training", [False, True])
def test_ways_to_pool_agree(training):
    """With many equal values and empty bins: what is found at once in training is what the gradient finds."""
    rng = np.random.default_rng(5)
    maps = rng.integers(-2, 3, (2, 9, 11, 3)).astype("float32")
    dy = rng.normal(size=(2, 60, 3, 4, 3)).astype("float32")
    layer = CASES["pool"]
    y, dx = both(partial(layer, training=training), maps, BOXES, dy)
    expected = np.zeros_like(maps)
    corners = np.floor(np.abs(BOXES / 16) + 0.5) * np.sign(BOXES)
    for n, k, i, j in np.ndindex(2, 60, 3, 4):
        x1, y1, x2, y2 = corners[n, k]
        rows, columns = (
            range(*np.clip([first + np.floor(at * step), first + np.ceil((at + 1) * step)], 0, most).astype(int))
            for first, step, at, most in (
                (y1, np.float32(max(y2 - y1 + 1, 1)) / np.float32(3), i, 9),
                (x1, np.float32(max(x2 - x1 + 1, 1)) / np.float32(4), j, 11),
            )
        )
        window = maps[n][np.ix_(rows, columns)].reshape(-1, 3)
        places = [(row, column) for row in rows for column in columns]
        for channel in range(3) if places else ():
            best = window[:, channel].argmax()
            assert y[n, k, i, j, channel] == window[best, channel]
            expected[(n, *places[best], channel)] += dy[n, k, i, j, channel]
    np.testing.assert_allclose(dx, expected, atol=1e-5)


def test_points_at_centres_of_pixels_have_their_values():
    x = np.random.default_rng(4).normal(size=(1, 4, 5, 2)).astype("float32")
    whole = np.float32([[[0, 0, 5, 4]]])
    np.testing.assert_allclose(RoIAlign((4, 5), sampling_ratio=1, aligned=True)([x, whole])[0, 0], x[0], rtol=1e-6)
    y = RoIAlign((4, 5), sampling_ratio=1)([x, whole])[0, 0]
    np.testing.assert_allclose(y[0, 0], x[0, :2, :2].mean((0, 1)), rtol=1e-5)


@pytest.mark.parametrize("name", ["pool", "align-False-2"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(name, dtype):
    layer = type(CASES[name]).from_config(CASES[name].get_config() | {"dtype": f"mixed_{dtype}"})
    y, dx = both(layer, tf.cast(MAPS, dtype), BOXES)
    assert y.dtype == dx.dtype == dtype
    np.testing.assert_allclose(tf.cast(y, "float32"), GOLDEN[name], rtol=0.02, atol=0.03)


def net(kind):
    """A net with a layer of regions, and what goes in."""
    image, boxes = keras.Input((9, 11, 3), name="images"), keras.Input((60, 4), name="proposals")
    x = keras.layers.Conv2D(3, 1, name="conv")(image)
    x = kind((3, 4), 1 / 16, name="regions")([x, boxes])
    x = keras.layers.Dense(2, name="predictions")(x)
    return keras.Model({"images": image, "proposals": boxes}, x), {"images": MAPS, "proposals": BOXES}


@pytest.mark.parametrize("kind", [RoIPooling, RoIAlign])
def test_survives_a_file_and_is_counted_and_drawn(kind, tmp_path):
    model, inputs = net(kind)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_layer("regions").get_config() == model.get_layer("regions").get_config()
    np.testing.assert_array_equal(again(inputs), model(inputs))
    rows = {row.name: row for row in ik.profile(model).rows}
    assert rows["regions"].output_shape == (60, 3, 4, 3) and rows["regions"].macs == 0
    assert rows["predictions"].macs == 60 * 12 * 3 * 2
    ik.plot_model(model, tmp_path / "model.svg")
    assert kind.__name__ in (tmp_path / "model.svg").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [RoIPooling, RoIAlign])
def test_survives_as_saved_model(kind, tmp_path):
    model, inputs = net(kind)
    model.export(tmp_path / "saved", verbose=False)
    y = model.predict(inputs, verbose=0)
    np.testing.assert_allclose(y, model(inputs), rtol=1e-5, atol=1e-5)
    saved = tf.saved_model.load(str(tmp_path / "saved"))
    np.testing.assert_allclose(saved.serve(inputs), y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: RoIPooling(0), "output_size must be an int of at least 1, got 0"),
        (lambda: RoIPooling((7, 7, 7)), r"output_size must be an int or two, got \(7, 7, 7\)"),
        (lambda: RoIAlign(7, 0), "spatial_scale must be a number above 0, got 0"),
        (lambda: RoIAlign(7, sampling_ratio=-1), "sampling_ratio must be an int of at least 0, got -1"),
        (lambda: RoIPooling(7)(keras.Input((9, 9, 3))), r"needs \[maps \(n, h, w, c\), boxes \(n, k, 4\)\], got"),
        (lambda: RoIAlign(7)([keras.Input((9, 9, 3)), keras.Input((4,))]), r"needs \[maps .*, got"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("size", [(13, 13), (10, 10), (5, 9), (1, 3)])
@pytest.mark.parametrize("open_size", [False, True])
def test_pyramid_is_torch_s_adaptive_pooling(size, open_size):
    name = "pyramid-{}-{}".format(*size)
    layer = SpatialPyramidPooling2D((6, 3, 2, 1))
    dy = np.random.default_rng(2).normal(size=(2, 50 * 3)).astype("float32")
    x = tf.constant(GOLDEN[f"{name}-x"])

    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(y * dy)
        return y, tape.gradient(loss, x)

    y, dx = tf.function(run, input_signature=[tf.TensorSpec((None, None, None, 3))])(x) if open_size else run(x)
    np.testing.assert_array_equal(y, GOLDEN[name])
    np.testing.assert_allclose(dx, GOLDEN[f"{name}-dx"], rtol=1e-5, atol=1e-6)


def test_the_paper_s_rule_of_pyramids():
    """Equal to the other rule at 13 pixels. At 10, six windows of 2 pixels with strides of 1 end at pixel 7."""
    x = np.random.default_rng(0).normal(size=(1, 13, 13, 2)).astype("float32")
    paper, adaptive = SpatialPyramidPooling2D(bins="paper"), SpatialPyramidPooling2D()
    np.testing.assert_array_equal(paper(x), adaptive(x))
    x = np.arange(100, dtype="float32").reshape(1, 10, 10, 1)
    assert paper(x)[0, 35] == 66 and adaptive(x)[0, 35] == 99
    assert paper(x)[0, 0] == 11


def test_pyramid_in_a_file(tmp_path):
    image = keras.Input((None, None, 3))
    layer = SpatialPyramidPooling2D((4, 2, 1), bins="paper", name="pyramid")
    model = keras.Model(image, keras.layers.Dense(2)(layer(image)))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_layer("pyramid").levels == (4, 2, 1) and again.get_layer("pyramid").bins == "paper"
    np.testing.assert_array_equal(again(MAPS), model(MAPS))
    assert ik.profile(model, input_shape=(9, 11, 3)).rows[1].output_shape == (63,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SpatialPyramidPooling2D(()), "levels must have at least one level"),
        (lambda: SpatialPyramidPooling2D((4, 0)), "a level of levels must be an int of at least 1, got 0"),
        (lambda: SpatialPyramidPooling2D(bins="max"), "bins must be 'adaptive' or 'paper', got 'max'"),
        (lambda: SpatialPyramidPooling2D((4,), bins="paper")(keras.Input((3, 9, 2))), "map of at least 4 x 4 pixels"),
    ],
)
def test_errors_of_pyramids(call, message):
    with pytest.raises(ValueError, match=message):
        call()

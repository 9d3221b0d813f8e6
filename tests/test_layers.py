"""The layers compared with plain NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from inception_keras.layers import (
    AdaptiveAveragePooling2D,
    BatchNormalization,
    CeilAveragePooling2D,
    CeilMaxPooling2D,
    ChannelSplit,
    Conv2D,
    LocalResponseNormalization,
)

rng = np.random.default_rng(0)


def images(*shape):
    return rng.normal(size=shape).astype("float32")


def lrn(x, size=5, alpha=1e-4, beta=0.75, k=1.0):
    """Caffe's formula, channel by channel."""
    out = np.empty_like(x)
    for c in range(x.shape[-1]):
        near = x[..., max(0, c - size // 2) : c + size // 2 + 1]
        out[..., c] = x[..., c] / (k + alpha / size * (near**2).sum(-1)) ** beta
    return out


@pytest.mark.parametrize(
    "options", [{}, {"size": 3, "alpha": 0.5, "beta": 0.75, "k": 2.0}, {"size": 1, "alpha": 1.0, "beta": 0.5}]
)
@pytest.mark.parametrize("channels", [1, 3, 16])
def test_lrn_is_caffes(options, channels):
    x = 20 * images(2, 3, 4, channels).astype("float64")
    np.testing.assert_allclose(LocalResponseNormalization(**options)(x), lrn(x, **options), rtol=1e-5)


def test_lrn_gradient_is_that_of_the_formula():
    import tensorflow as tf

    x, dy = tf.constant(30 * images(2, 3, 3, 8)), tf.constant(images(2, 3, 3, 8))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ours = LocalResponseNormalization(size=5, alpha=0.1)(x)
        theirs = tf.nn.local_response_normalization(x, depth_radius=2, bias=1.0, alpha=0.1 / 5, beta=0.75)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(ours, x, dy), tape.gradient(theirs, x, dy), rtol=1e-4, atol=1e-6)


def test_lrn_in_half_precision_does_not_overflow():
    x = np.full((1, 2, 2, 8), 1000, "float16")
    y = LocalResponseNormalization(dtype="float16")(x)
    np.testing.assert_allclose(y, lrn(x.astype("float64")), rtol=2e-3)


@pytest.mark.parametrize("size", [0, 2, -1, 2.0, None])
def test_lrn_size_must_be_odd(size):
    with pytest.raises(ValueError, match="size must be a positive odd int, got"):
        LocalResponseNormalization(size=size)


CEIL_POOLS = {CeilMaxPooling2D: np.max, CeilAveragePooling2D: np.mean}


def ceil_pool(x, k, s, reduce):
    """Pooling in NumPy over every window that starts inside the map, cut off at the edge."""
    sides = [-(-(n - k) // s) + 1 for n in x.shape[1:3]]
    out = np.empty((len(x), *sides, x.shape[-1]), x.dtype)
    for i in range(sides[0]):
        for j in range(sides[1]):
            out[:, i, j] = reduce(x[:, i * s : i * s + k, j * s : j * s + k], (1, 2))
    return out


@pytest.mark.parametrize("pool", CEIL_POOLS)
@settings(max_examples=60, deadline=None)
@given(h=st.integers(4, 17), w=st.integers(4, 17), k=st.integers(2, 4), s=st.integers(1, 4))
def test_ceil_pool_at_every_size(pool, h, w, k, s):
    s = min(k, s)
    x = images(1, h, w, 2) - 5  # negative: padding with zeros would show
    layer = pool(k, s)
    expected = ceil_pool(x, k, s, CEIL_POOLS[pool])
    assert layer.compute_output_shape(x.shape) == expected.shape
    np.testing.assert_allclose(layer(x), expected, rtol=0 if pool is CeilMaxPooling2D else 1e-6)


@pytest.mark.parametrize("pool", CEIL_POOLS)
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (8, 7), (2, 2)])
def test_ceil_pool_of_an_open_size(pool, size):
    image = keras.Input((None, None, 2))
    model = keras.Model(image, pool(3, 2)(image))
    x = images(1, *size, 2) - 5
    np.testing.assert_allclose(
        model(x), ceil_pool(x, 3, 2, CEIL_POOLS[pool]), rtol=0 if pool is CeilMaxPooling2D else 1e-6
    )


@pytest.mark.parametrize("pool", CEIL_POOLS)
def test_ceil_pool_errors(pool):
    with pytest.raises(ValueError, match="strides must be at most pool_size, got strides=3, pool_size=2"):
        pool(2, 3)
    with pytest.raises(ValueError, match="does not fit on a map"):
        pool(3, 2)(keras.Input((1, 8, 2)))


@pytest.mark.parametrize("size", [(8, 8), (9, 7), (1, 2)])
@pytest.mark.parametrize(("kernel", "strides"), [(7, 2), (3, 2), (1, 2), (5, 3)])
def test_convolution_pads_all_sides_alike(size, kernel, strides):
    x = images(2, *size, 3)
    layer = Conv2D(4, kernel, strides=strides)
    y = layer(x)
    half = kernel // 2
    plain = keras.layers.Conv2D(4, kernel, strides=strides)
    plain.build((None, size[0] + 2 * half, size[1] + 2 * half, 3))
    plain.set_weights(layer.get_weights())
    expected = plain(np.pad(x, ((0, 0), (half, half), (half, half), (0, 0))))
    assert y.shape == layer.compute_output_shape(x.shape)
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_the_plain_keras_path_is_equal(monkeypatch):
    x = images(2, 9, 8, 3)
    layer = Conv2D(4, 5, strides=2)
    fast = layer(x)
    monkeypatch.setattr("inception_keras.layers.convolution.tensorflow", lambda: None)
    np.testing.assert_allclose(layer(x), fast, rtol=1e-5, atol=1e-6)


def test_layers_survive_a_keras_file(tmp_path):
    image = keras.Input((16, 15, 3))
    x = Conv2D(4, 3, strides=2, name="conv")(image)
    x = LocalResponseNormalization(size=3, alpha=0.1, k=2.0, name="norm")(x)
    model = keras.Model(image, CeilMaxPooling2D(3, 2, name="pool")(x))
    model.save(tmp_path / "model.keras")
    x = images(2, 16, 15, 3)
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(x), model(x))


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}, {"trainable": False}])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("channels", [8, 7])
def test_batch_norm_is_keras_s(options, training, channels):
    ours, theirs = (kind(momentum=0.9, **options) for kind in (BatchNormalization, keras.layers.BatchNormalization))
    x = tf.constant(3 + 2 * images(4, 5, 6, channels))
    for layer in (theirs, ours):
        layer.build(x.shape)
        layer.set_weights([0.5 + np.random.default_rng(i).random(w.shape) for i, w in enumerate(theirs.weights)])
    gradients = []
    for layer in (ours, theirs):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
            loss = tf.reduce_sum(tf.sin(y))
        gradients.append([y, *tape.gradient(loss, [x, *layer.trainable_weights])])
    for mine, reference in zip(*gradients, strict=True):
        np.testing.assert_allclose(mine, reference, rtol=1e-4, atol=1e-4)
    learned = training and ours.trainable
    variance = theirs.moving_variance.numpy()
    if learned:  # as in the paper, n / (n - 1) times that of the batch
        variance += 0.1 * np.var(x, axis=(0, 1, 2)) / (4 * 5 * 6 - 1)
    np.testing.assert_allclose(ours.moving_variance, variance, rtol=1e-5)
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, rtol=1e-5)


@pytest.mark.parametrize("first", [True, False])  # nobody asks for the gradient of a net's images
@pytest.mark.parametrize("options", [{}, {"strides": 2}, {"groups": 3}, {"use_bias": True}])
def test_batch_norm_after_a_convolution_learns_the_same_in_a_graph(options, first):
    """In a graph, the batch norm widens the convolution to a multiple of 8 channels."""
    x = tf.constant(images(4, 6, 6, 6))
    conv = Conv2D(9, 3, **({"use_bias": False} | options))
    outputs = []
    for run in (lambda f: f, tf.function):
        norm = BatchNormalization(momentum=0.9)

        def learn(norm=norm):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = norm(conv(x), training=True)
                loss = tf.reduce_sum(tf.sin(y))
            image = [] if first else [x]
            return y, *tape.gradient(loss, [*image, *conv.trainable_weights, norm.gamma, norm.beta])

        conv(x), norm.build((None, 6, 6, 9))
        outputs.append([*run(learn)(), norm.moving_mean, norm.moving_variance])
    for graph, eager in zip(*reversed(outputs), strict=True):
        np.testing.assert_allclose(graph, eager, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(3, 8), (2, 5, 6, 7)])
def test_batch_norm_of_other_inputs_is_keras_s(shape):
    x = images(*shape)
    mask = np.ones(shape[:-1], bool)
    mask[0] = False
    np.testing.assert_array_equal(
        BatchNormalization()(x, training=True, mask=mask),
        keras.layers.BatchNormalization()(x, training=True, mask=mask),
    )


def test_batch_norm_in_half_precision():
    x = 100 * images(8, 16, 16, 4)
    y = BatchNormalization(dtype="mixed_float16")(x, training=True)
    assert y.dtype == "float16"
    np.testing.assert_allclose(np.std(y, axis=(0, 1, 2), dtype="float32"), 1, rtol=1e-2)


def test_split_gives_every_channel_once(tmp_path, monkeypatch):
    x = images(2, 3, 4, 7)
    image = keras.Input((3, 4, 7))
    model = keras.Model(image, ChannelSplit(5, name="split")(image))
    model.save(tmp_path / "model.keras")
    for parts in (model(x), keras.models.load_model(tmp_path / "model.keras")(x)):
        np.testing.assert_array_equal(parts[0], x[..., :5])
        np.testing.assert_array_equal(parts[1], x[..., 5:])
    monkeypatch.setattr("inception_keras.layers.channels.tensorflow", lambda: None)
    np.testing.assert_array_equal(ChannelSplit(5)(x)[1], x[..., 5:])
    with pytest.raises(ValueError, match="between 0 and the 7 channels, got 7"):
        ChannelSplit(7)(x)


@pytest.mark.parametrize("out", [(4, 3), (1, 1), (5, 9)])
@pytest.mark.parametrize("size", [(1, 1), (1, 3), (2, 1), (5, 9)])
def test_adaptive_pool_of_every_size_in_a_graph(size, out):
    x = images(2, *size, 3)
    layer = AdaptiveAveragePooling2D(out)
    edges = [[(i * n // o, -(-(i + 1) * n // o)) for i in range(o)] for n, o in zip(size, out, strict=True)]
    expected = np.stack([np.stack([x[:, a:b, c:d].mean((1, 2)) for c, d in edges[1]], 1) for a, b in edges[0]], 1)
    np.testing.assert_allclose(tf.function(layer)(x), expected, rtol=1e-5, atol=1e-6)


def test_adaptive_pool_says_that_it_needs_the_size():
    with pytest.raises(
        ValueError, match=r"adaptive_pool needs a map of known height and width, got \(None, None, 8, 3\)"
    ):
        AdaptiveAveragePooling2D(4, name="adaptive_pool")(keras.Input((None, 8, 3)))

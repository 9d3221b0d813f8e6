"""Winograd convolutions: equal to plain convolutions, and used only where they are faster."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from inception_keras import layers as own
from inception_keras.layers import winograd


def _difference(found, expected):
    return np.abs(found - expected).max() / np.abs(expected).max()


@settings(deadline=None, max_examples=30)
@given(*(st.integers(1, most) for most in (3, 13, 13, 5, 5, 4)))
def test_equals_a_plain_convolution_at_every_size(n, h, w, c, filters, dilation):
    rng = np.random.default_rng(n * h * w)
    image, kernel = tf.constant(rng.normal(size=(n, h, w, c))), tf.constant(rng.normal(size=(3, 3, c, filters)))
    expected = tf.nn.conv2d(image, kernel, 1, "SAME", dilations=dilation).numpy()
    found = winograd._convolve(tf, tf.cast(image, "float32"), tf.cast(kernel, "float32"), dilation).numpy()
    assert found.shape == expected.shape
    assert _difference(found, expected) <= 1e-5


def test_rounds_about_as_finely_as_a_plain_convolution():
    rng = np.random.default_rng(0)
    image = tf.nn.relu(rng.normal(size=(1, 14, 14, 512)))
    kernel = tf.constant(rng.normal(size=(3, 3, 512, 256)) / 48)
    expected = tf.nn.conv2d(image, kernel, 1, "SAME").numpy()
    image, kernel = tf.cast(image, "float32"), tf.cast(kernel, "float32")
    plain = _difference(tf.nn.conv2d(image, kernel, 1, "SAME"), expected)
    assert _difference(winograd._convolve(tf, image, kernel, 1), expected) <= 5 * plain  # twice is usual


@pytest.fixture
def uses(monkeypatch):
    """A list with an entry for each convolution that was computed by Winograd's algorithm."""
    found, convolve = [], winograd._convolve
    monkeypatch.setattr(winograd, "_convolve", lambda *args: found.append(1) or convolve(*args))
    return found


def _net(norm, side=24, filters=256, **options):
    image = keras.Input((side, side, 256))
    activation = None if norm else "relu"
    x = own.Conv2D(filters, 3, activation=activation, bias_initializer="normal", name="conv", **options)(image)
    return keras.Model(image, own.BatchNormalization(name="bn")(x) if norm else x)


def _images(n, side=24):
    return np.random.default_rng(n).normal(size=(n, side, side, 256)).astype("float32")


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("norm", [False, True], ids=["bias and relu", "batch norm"])
def test_predict_equals_a_call(norm, dilation, uses):
    model = _net(norm, dilation_rate=dilation)
    images = _images(5)
    expected = model(images).numpy()
    assert uses == []
    assert _difference(model.predict_on_batch(images), expected) <= 2e-5
    assert uses == [1]
    found = model.predict(images, batch_size=4, verbose=0)  # batches of four and of one, in one graph
    assert _difference(found, expected) <= 2e-5
    assert len(uses) > 1


def test_a_kernel_that_is_too_large_to_be_scaled(uses, monkeypatch):
    monkeypatch.setattr(winograd, "_LEAST_TILES", 36)
    model = _net(True, filters=512)
    model.layers[-1].set_weights([np.random.default_rng(i).uniform(0.5, 2, 512) for i in range(4)])
    image = _images(1)  # 294,912 elements of the output and 1,179,648 weights
    expected = model(image).numpy()
    assert _difference(model.predict_on_batch(image), expected) <= 2e-5
    assert uses == [1]


@pytest.mark.parametrize(
    ("options", "n"),
    [
        ({"filters": 64}, 4),
        ({"side": 8}, 32),
        ({}, 1),
        ({"strides": 2}, 4),
        ({"dilation_rate": (1, 2)}, 4),
        ({"groups": 2}, 4),
        ({"dtype": "mixed_bfloat16"}, 4),
    ],
    ids=str,
)
def test_not_where_it_does_not_gain(options, n, uses):
    _net(False, **options).predict_on_batch(_images(n, options.get("side", 24)))
    assert uses == []


def test_not_in_training_nor_where_a_graph_may_end_in_a_file(uses, tmp_path):
    model = _net(True)
    images = _images(4)
    expected = model(images).numpy()
    spec = tf.TensorSpec(images.shape)
    tf.function(partial(model, training=False), input_signature=[spec]).get_concrete_function()
    model.export(str(tmp_path / "net"), verbose=False)
    assert _difference(tf.saved_model.load(str(tmp_path / "net")).serve(images), expected) <= 1e-5
    model.compile("sgd", "mse")
    model.train_on_batch(images, np.zeros_like(expected))
    model.get_layer("bn").trainable = False  # as in fine-tuning
    model.compile("sgd", "mse")
    model.train_on_batch(images, np.zeros_like(expected))
    assert uses == []
    model.test_on_batch(images, np.zeros_like(expected))
    assert uses == [1]

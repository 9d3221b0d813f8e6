"""Grouped and depthwise convolutions: equal to Keras's own on padded images, fast enough, and saved and loaded."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from inception_keras import layers as own
from inception_keras.layers import convolution


@pytest.fixture(params=["oneDNN", "no oneDNN"])
def gradient(request, monkeypatch):
    """Selects one of two ways to compute grouped and dilated convolutions. The second divides them."""
    if request.param == "no oneDNN":
        monkeypatch.setattr(convolution, "_has_gradient", lambda tf, dtype, **options: False)


def _twins(ours, theirs, shape=(2, 9, 8, 12)):
    """Two layers with equal weights, and a batch for both."""
    image = keras.random.normal(shape, seed=1)
    ours.build(shape)
    theirs.build(shape)
    ours.set_weights([np.random.default_rng(i).normal(size=w.shape) for i, w in enumerate(ours.weights)])
    theirs.set_weights(ours.get_weights())
    return image


def _gradients(layer, image, of=None):
    with tf.GradientTape() as tape:
        tape.watch(image)
        loss = tf.reduce_sum(tf.sin(layer(image)))
    return tape.gradient(loss, [image, *(of or layer).trainable_weights])


@pytest.mark.parametrize(("groups", "strides"), [(12, 1), (3, 2)])
def test_grouped_equals_keras(groups, strides, gradient):
    options = {"groups": groups, "strides": strides, "activation": "relu"}
    ours, theirs = own.Conv2D(24, 3, **options), keras.layers.Conv2D(24, 3, **options)
    image = _twins(ours, theirs)
    padded = keras.ops.pad(image, [(0, 0), (1, 1), (1, 1), (0, 0)])
    np.testing.assert_allclose(ours(image), theirs(padded), rtol=1e-4, atol=1e-4)
    mine, reference = _gradients(ours, image), _gradients(theirs, padded)
    np.testing.assert_allclose(mine[0], reference[0][:, 1:-1, 1:-1], rtol=1e-3, atol=1e-3)
    for a, b in zip(mine[1:], reference[1:], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "options", [{"dilation_rate": 2}, {"dilation_rate": (1, 3)}, {"dilation_rate": 2, "groups": 3}]
)
def test_dilated_equals_keras(options, gradient):
    ours = own.Conv2D(24, 3, **options)
    theirs = keras.layers.Conv2D(24, 3, padding="same", **options)
    image = _twins(ours, theirs)
    np.testing.assert_allclose(ours(image), theirs(image), rtol=1e-4, atol=1e-4)
    for a, b in zip(_gradients(ours, image), _gradients(theirs, image), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("options", [{"groups": 3}, {"dilation_rate": 2}], ids=["grouped", "dilated"])
def test_learns_in_half_precision(options, dtype):
    ours, theirs = own.Conv2D(24, 3, dtype=dtype, **options), own.Conv2D(24, 3, **options)
    image = _twins(ours, theirs)
    for half, reference in zip(_gradients(ours, image), _gradients(theirs, image), strict=True):
        np.testing.assert_allclose(half, reference, rtol=0, atol=0.05 * np.abs(reference).max())


@pytest.mark.parametrize(
    "options", [{"strides": 2}, {"dilation_rate": 2}, {"depth_multiplier": 2}, {"use_bias": False}]
)
def test_depthwise_equals_keras(options):
    side = options.get("dilation_rate", 1)
    ours, theirs = own.DepthwiseConv2D(3, **options), keras.layers.DepthwiseConv2D(3, **options)
    image = _twins(ours, theirs)
    padded = keras.ops.pad(image, [(0, 0), (side, side), (side, side), (0, 0)])
    np.testing.assert_allclose(ours(image), theirs(padded), rtol=1e-4, atol=1e-4)
    assert ours.compute_output_shape(image.shape) == tuple(ours(image).shape)


@pytest.mark.parametrize("known", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("strides", [1, 2, 3, 4])
@pytest.mark.parametrize("kernel_size", [2, 3, 5, (1, 7)])
# The width is 17 less the height, so that there is every remainder of every stride; with the slow ones, on each axis.
@pytest.mark.parametrize("heights", [(7, 8), pytest.param((9, 10), marks=pytest.mark.slow)])
def test_strides_of_a_depthwise_kernel_on_every_size(kernel_size, strides, known, heights):
    options = {"strides": strides, "use_bias": False}
    for height in heights:
        ours, theirs = own.DepthwiseConv2D(kernel_size, **options), keras.layers.DepthwiseConv2D(kernel_size, **options)
        image = _twins(ours, theirs, (2, height, 17 - height, 3))
        call = tf.function(ours, input_signature=[tf.TensorSpec(image.shape if known else (None, None, None, 3))])
        top, left = (side // 2 for side in ours.kernel_size)
        expected = theirs(keras.ops.pad(image, [(0, 0), (top, top), (left, left), (0, 0)]))
        np.testing.assert_allclose(call(image), expected, rtol=1e-5, atol=1e-5)
        operations = call.get_concrete_function().graph.get_operations()
        copies = [op for op in operations if "Pad" in op.type and op.inputs[0].shape[-1] == 3]  # of the image
        assert bool(copies) is (kernel_size == 2 or (strides > 1 and not known))


@pytest.mark.parametrize("kernel_size", [(5, 5), (3, 7)])
@pytest.mark.parametrize("strides", [1, 2])
def test_a_wide_depthwise_kernel_learns_as_keras_does(kernel_size, strides):
    options = {"strides": strides, "depth_multiplier": 2, "activation": "tanh"}
    ours, theirs = own.DepthwiseConv2D(kernel_size, **options), keras.layers.DepthwiseConv2D(kernel_size, **options)
    image = _twins(ours, theirs)
    pads = [(side // 2, side // 2) for side in kernel_size]
    padded = keras.ops.pad(image, [(0, 0), *pads, (0, 0)])
    np.testing.assert_allclose(ours(image, training=True), theirs(padded), rtol=1e-4, atol=1e-4)
    mine, reference = _gradients(partial(ours, training=True), image, ours), _gradients(theirs, padded)
    (top, bottom), (left, right) = pads
    np.testing.assert_allclose(mine[0], reference[0][:, top:-bottom, left:-right], rtol=1e-3, atol=1e-3)
    for a, b in zip(mine[1:], reference[1:], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_dilated_keeps_its_size():
    ours, theirs = (
        own.Conv2D(5, 3, dilation_rate=2),
        keras.layers.Conv2D(5, 3, dilation_rate=2, padding="same"),
    )
    image = _twins(ours, theirs)
    np.testing.assert_allclose(ours(image), theirs(image), rtol=1e-4, atol=1e-4)


def test_grouped_in_a_training_step_and_on_disk(tmp_path, gradient):
    image = keras.Input((8, 8, 4))
    maps = own.Conv2D(8, 3, groups=2, name="grouped")(image)
    maps = own.DepthwiseConv2D(3, strides=2, activation="relu", name="depthwise")(maps)
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(maps))
    model.compile("sgd", "mse")
    batch = np.random.default_rng(0).normal(size=(4, 8, 8, 4)).astype("float32")
    model.fit(batch, np.ones((4, 8)), verbose=0)
    expected = model.predict(batch, verbose=0)

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(batch), expected, rtol=1e-5, atol=1e-6)
    model.export(str(tmp_path / "saved_model"), verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "saved_model"))
    np.testing.assert_allclose(exported.serve(batch), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("strides", "norm"),
    [
        *((1, own.BatchNormalization), (2, own.BatchNormalization), (2, keras.layers.BatchNormalization)),
        pytest.param(1, keras.layers.BatchNormalization, marks=pytest.mark.slow),
    ],
)
def test_batch_norm_inside_the_convolution_before_it(strides, norm, tmp_path):
    x = image = keras.Input((9, 9, 4))
    for convolve in (
        own.Conv2D(8, 3, strides=strides),
        own.DepthwiseConv2D(3, strides=strides, depth_multiplier=2, use_bias=False),
        own.Conv2D(6, 1, use_bias=False),
    ):
        x = own.HardSwish()(norm(epsilon=1e-5)(convolve(x)))
    model = keras.Model(image, x)
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in model.weights])
    batch = rng.normal(size=(4, 9, 9, 4)).astype("float32")
    expected = model(batch, training=False).numpy()  # eagerly nothing is folded
    np.testing.assert_allclose(model.predict_on_batch(batch), expected, rtol=1e-4, atol=1e-5)

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded.predict_on_batch(batch), expected, rtol=1e-4, atol=1e-5)
    graph = tf.function(model).get_concrete_function(tf.TensorSpec((None, 9, 9, 4))).graph
    biased = [op.inputs[0].op.type for op in graph.get_operations() if op.type == "BiasAdd"]
    assert biased.count("DepthwiseConv2dNative") == (norm is own.BatchNormalization)

    model.compile("sgd", "mse")
    statistics = [np.copy(weight) for weight in model.non_trainable_weights]
    model.train_on_batch(batch, np.zeros_like(expected))
    changed = [not np.array_equal(a, b) for a, b in zip(statistics, model.non_trainable_weights, strict=True)]
    assert changed and all(changed)


@pytest.mark.parametrize("batch, folds", [(1, False), (32, True), (None, True)])
def test_batch_norm_scales_a_kernel_smaller_than_the_output(batch, folds):
    image = keras.Input((4, 4, 64))
    model = keras.Model(image, own.BatchNormalization()(own.Conv2D(32, 1, use_bias=False)(image)))
    graph = tf.function(partial(model, training=False)).get_concrete_function(tf.TensorSpec((batch, 4, 4, 64))).graph
    assert any(op.type == "BiasAdd" for op in graph.get_operations()) is folds


def test_hard_swish_is_one_with_the_convolution():
    x = image = keras.Input((9, 9, 4))
    for convolve in (own.Conv2D(8, 3, use_bias=False), own.DepthwiseConv2D(3, use_bias=False)):
        x = own.HardSwish()(own.BatchNormalization()(convolve(x)))
    run = tf.function(partial(keras.Model(image, x), training=False))
    context.enable_run_metadata()
    try:
        run(np.zeros((2, 9, 9, 4), "float32"))
        graphs = [graph.post_optimization_graph for graph in context.export_run_metadata().function_graphs]
    finally:
        context.disable_run_metadata()
    fused = [list(n.attr["fused_ops"].list.s) for graph in graphs for n in graph.node if n.op.startswith("_Fused")]
    if not fused:
        pytest.skip("This TensorFlow, or CPU, fuses nothing.")
    assert fused == [[b"BiasAdd", b"_FusedHardSwish"]] * 2


def test_groups_are_not_left_to_xla():
    assert own.Conv2D(4, 3).supports_jit
    assert not own.Conv2D(4, 3, groups=2).supports_jit

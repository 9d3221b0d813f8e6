import keras
import numpy as np
import pytest
import tensorflow as tf

from inception_keras import create_model
from inception_keras.analysis.profile import profile
from inception_keras.layers import (
    ChannelShuffle,
    MaxPooling2D,
    RadialBasis,
    Subsampling2D,
    TableConv2D,
    scaled_tanh,
)
from inception_keras.models.lenet import TABLE_1, digit_codes

RNG = np.random.default_rng(0)
IMAGE = RNG.standard_normal((2, 9, 7, 6), "float32")


def test_a_table_convolution_is_a_convolution_with_holes():
    layer = TableConv2D(TABLE_1, 5)
    given = layer(IMAGE)
    assert layer.kernel.shape == (5, 5, 60) and given.shape == (2, 5, 3, 16)
    kernel, at = np.zeros((5, 5, 6, 16), "float32"), 0
    for target, sources in enumerate(TABLE_1):
        for source in sources:
            kernel[:, :, source, target] = layer.kernel[..., at]
            at += 1
    expected = keras.ops.conv(IMAGE, kernel, padding="valid")
    assert np.allclose(given, expected, atol=1e-5)
    with pytest.raises(ValueError, match="from 0 to 2"):
        TableConv2D([[3]], 1).build((None, 4, 4, 3))


def test_lenets_table_is_as_the_paper_says():
    assert sorted(map(len, TABLE_1)) == [3] * 6 + [4] * 9 + [6] and len(set(TABLE_1)) == 16
    assert all(sum(i in row for row in TABLE_1) == 10 for i in range(6))


def test_subsampling_sums_scales_and_shifts():
    layer = Subsampling2D()
    layer.build(IMAGE.shape)
    layer.coefficient.assign(RNG.standard_normal(6))
    layer.bias.assign(RNG.standard_normal(6))
    sums = sum(IMAGE[:, i:8:2, j:6:2] for i in (0, 1) for j in (0, 1))
    assert np.allclose(layer(IMAGE), sums * layer.coefficient + layer.bias, atol=1e-5)


def test_radial_basis_is_the_squared_distance():
    features = RNG.standard_normal((3, 84), "float32")
    expected = [[np.sum((x - code) ** 2) for code in digit_codes()] for x in features]
    assert np.allclose(RadialBasis(digit_codes())(features), expected, rtol=1e-5)
    assert set(np.unique(digit_codes())) == {-1, 1}
    assert len({code.tobytes() for code in digit_codes()}) == 10


def test_the_squashing_function_keeps_one():
    assert np.allclose(scaled_tanh(np.array([1.0, -1.0, 0.0])), [1, -1, 0], atol=1e-4)


def test_a_shuffle_and_its_counterpart_undo_each_other():
    assert np.array_equal(ChannelShuffle(2)(ChannelShuffle(3)(IMAGE)), IMAGE)
    assert list(ChannelShuffle(3)(np.arange(6.0).reshape(1, 1, 1, 6))[0, 0, 0]) == [0, 2, 4, 1, 3, 5]
    with pytest.raises(ValueError, match="groups must divide the channels, got 4 and 6"):
        ChannelShuffle(4)(IMAGE)


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("joined", [True, False])
def test_a_shuffle_of_halves_learns_as_it_infers(joined, graph):
    halves = [keras.random.normal((2, 3, 4, 4), seed=seed) for seed in (0, 1)]
    weight = keras.random.normal((2, 3, 4, 8), seed=2)

    def learn(*halves, training):
        with tf.GradientTape() as tape:
            tape.watch(halves)
            x = keras.ops.concatenate(halves, -1) if joined else keras.ops.pad(halves[0], [(0, 0)] * 3 + [(4, 0)])
            y = ChannelShuffle(2)(x, training=training)
        return y, *tape.gradient(y, halves, weight, unconnected_gradients="zero")

    run = tf.function(learn) if graph else learn
    for found, expected in zip(run(*halves, training=True), run(*halves, training=False), strict=True):
        assert np.array_equal(found, expected)


def test_padded_pooling_never_sees_its_padding():
    given = MaxPooling2D(3, strides=2)(IMAGE - 100)
    padded = np.pad(IMAGE - 100, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-1e9)
    expected = np.max([padded[:, i : i + 9 : 2, j : j + 7 : 2] for i in range(3) for j in range(3)], axis=0)
    assert np.array_equal(given, expected)


@pytest.mark.parametrize(
    "layer",
    [
        TableConv2D(TABLE_1, 5, scaled_tanh),
        Subsampling2D("tanh"),
        ChannelShuffle(3),
        MaxPooling2D(3, 2),
    ],
)
def test_layers_can_be_saved(layer, tmp_path):
    image = keras.Input((9, 7, 6))
    model = keras.Model(image, layer(image))
    model.save(tmp_path / "x.keras")
    assert np.array_equal(keras.models.load_model(tmp_path / "x.keras")(IMAGE), model(IMAGE))
    assert model(IMAGE).shape[1:] == model.output.shape[1:]


def test_lenet5_counts_as_in_1998(tmp_path):
    model = create_model("lenet5")
    params = {layer.name: layer.count_params() for layer in model.layers if layer.weights}
    assert params == {"c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert create_model("lenet5", rbf=False).count_params() == 60_850
    assert create_model("lenet5_modern").count_params() == 61_706
    # connections of C3: section II.B counts 151,600 with the 1,600 of its biases
    macs = {row.name: row.macs for row in profile(model).rows}
    assert macs["c3"] + 1_600 == 151_600
    model.save(tmp_path / "x.keras")
    image = RNG.standard_normal((1, 32, 32, 1), "float32")
    assert np.array_equal(keras.models.load_model(tmp_path / "x.keras")(image), model(image))


def test_lenet5_takes_other_classes_and_says_what_it_takes():
    assert create_model("lenet5", classes=26).output_shape == (None, 26)
    with pytest.raises(ValueError, match="must be a known"):
        create_model("lenet5", input_shape=(None, None, 1))
    with pytest.raises(ValueError, match="at least 32 x 32"):
        create_model("lenet5", input_shape=(28, 28, 1))


def test_lenet5_learns():
    keras.utils.set_random_seed(0)
    model = create_model("lenet5", classes=10)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
    labels = np.arange(600) % 10  # each batch has the same images
    images = RNG.standard_normal((10, 32, 32, 1), "float32")[labels]
    model.fit(images, labels, batch_size=20, shuffle=False, verbose=0)
    assert list(model(images[:10]).numpy().argmax(-1)) == list(range(10))

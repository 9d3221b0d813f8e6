"""GoogLeNet against the figures of its paper and of the other GoogLeNets."""

from math import ceil, prod

import keras
import numpy as np
import pytest

import inception_keras as ik
from inception_keras.models.googlenet import TABLE_1
from inception_keras.zoo import ZOO


def trainable(model):
    return sum(prod(weight.shape) for weight in model.trainable_weights)


@pytest.mark.parametrize(
    ("id", "options", "plain", "with_aux"),
    [  # (trainable, all) parameters
        ("googlenet", {}, (6_998_552, 6_998_552), (13_378_280, 13_378_280)),
        ("googlenet_bn", {}, (7_005_832, 7_020_392), (13_385_816, 13_400_888)),
        ("googlenet_slim", {}, (6_624_904, 6_639_464), (13_004_888, 13_019_960)),
        ("googlenet", {"classes": 10}, (5_983_802, 5_983_802), (10_334_030, 10_334_030)),
        ("googlenet_bn", {"classes": 10}, (5_991_082, 6_005_642), (10_341_566, 10_356_638)),
    ],
)
def test_parameters(without_weights, id, options, plain, with_aux):
    model = ik.create_model(id, aux=True, **options)
    for net, counts in ((ik.strip_aux(model), plain), (model, with_aux)):
        assert (trainable(net), net.count_params()) == counts


TRUE = {  # Table 1 as computed: parameters and millions of MACs
    "conv_1": (9_472, 118.0),
    "conv_2": (114_944, 359.7),
    "inception_3a": (163_696, 128.0),
    "inception_3b": (388_736, 304.3),
    "inception_4a": (376_176, 73.6),
    "inception_4b": (449_160, 87.9),
    "inception_4c": (510_104, 99.9),
    "inception_4d": (605_376, 118.5),
    "inception_4e": (868_352, 170.0),
    "inception_5a": (1_043_456, 51.1),
    "inception_5b": (1_444_080, 70.7),
    "predictions": (1_025_000, 1.0),
}


def test_table_1_row_by_row(without_weights):
    table = ik.profile(ik.create_model("googlenet"), by="block")
    rows = {row.name: (row.params, round(row.macs / 1e6, 1)) for row in table.rows if row.params}
    assert rows == TRUE
    assert (table.params, table.macs) == (6_998_552, 1_582_671_872)


@pytest.mark.parametrize(("id", "macs"), [("googlenet_bn", 1_582_671_872), ("googlenet_slim", 1_498_376_192)])
def test_macs_of_the_variants(without_weights, id, macs):
    assert ik.profile(ik.create_model(id)).macs == macs


def test_macs_of_the_aux_heads(without_weights):
    table = ik.profile(ik.create_model("googlenet", aux=True), by="block")
    assert sum(row.macs for row in table.rows if row.name.startswith("aux")) == 8_372_224


@pytest.mark.parametrize(
    ("shape", "naive", "reduced"),
    [
        ((256, 256, 3), (227, 6_272), (256, 124_384)),
        ((100, 100, 192), (416, 387_296), (256, 163_696)),
    ],
)
def test_modules(without_weights, shape, naive, reduced):
    for model, (channels, params) in (
        (ik.build_naive_inception(shape, 64, 128, 32), naive),
        (ik.build_inception(shape, 64, 96, 128, 16, 32, 32), reduced),
    ):
        assert model.output_shape == (None, *shape[:2], channels)
        assert model.count_params() == params


def test_cost_of_the_naive_module(without_weights):
    naive = ik.profile(ik.build_naive_inception((28, 28, 256), 128, 192, 96))
    reduced = ik.profile(ik.build_inception((28, 28, 256), 128, 64, 192, 64, 96, 64))
    assert (naive.rows[-1].output_shape, reduced.rows[-1].output_shape) == ((28, 28, 672), (28, 28, 480))
    assert round(naive.macs / 1e6) == 854
    assert reduced.macs == 271_351_808


def test_cost_of_a_5x5_with_and_without_reduction(without_weights):
    image = keras.Input((14, 14, 480))
    direct = keras.layers.Conv2D(48, 5, padding="same")(image)
    reduced = keras.layers.Conv2D(48, 5, padding="same")(keras.layers.Conv2D(16, 1)(image))
    macs = [round(ik.profile(keras.Model(image, out)).macs / 1e6, 1) for out in (direct, reduced)]
    assert macs == [112.9, 5.3]


def test_nine_naive_modules_blow_up(without_weights):
    x = image = keras.Input((28, 28, 192))
    for row, filters in TABLE_1.items():
        if filters:
            x = ik.naive_inception(x, filters[0], filters[2], filters[4], name=row)
    model = keras.Model(image, x)
    assert x.shape[-1] == 4_944
    blocks = {row.name: row.params for row in ik.profile(model, by="block").rows}
    assert round(blocks["inception_5b"] / 1e6, 1) == 28.5


def test_naive_modules_in_the_small_net(without_weights):
    depth, params = 192, (7 * 7 * 3 + 1) * 64 + (64 + 1) * 64 + (3 * 3 * 64 + 1) * 192
    for row in ("3a", "3b", "4a", "4b", "4c", "4d", "4e"):
        filters = TABLE_1[f"inception_{row}"]
        widths = {1: filters[0], 3: filters[2], 5: filters[4]}
        params += sum((kernel * kernel * depth + 1) * width for kernel, width in widths.items())
        depth += sum(widths.values())
    model = ik.create_model("googlenet_cifar", naive=True)
    assert model.get_layer("avg_pool").output.shape == (None, depth) == (None, 3_344)
    assert model.count_params() == params + (depth + 1) * 10


def test_unnamed_blocks_get_names_of_their_own(without_weights):
    x = keras.Input((28, 28, 192))
    x = ik.inception(ik.inception(x, 64, 96, 128, 16, 32, 32), 128, 128, 192, 32, 96, 64)
    assert x.shape == (None, 28, 28, 480)


@pytest.mark.parametrize("id", ["googlenet", "googlenet_bn", "googlenet_slim", "googlenet_cifar", "googlenet_small"])
class TestEveryGoogLeNet:
    def test_heads_are_named_and_may_give_logits(self, without_weights, id):
        model = ik.create_model(id, aux=True, classifier_activation=None)
        assert set(model.output) == {"predictions", "aux_1", "aux_2"}
        assert {name: out._keras_history.operation.name for name, out in model.output.items()} == {
            name: name for name in model.output
        }
        for head in model.output:
            assert model.get_layer(head).activation is keras.activations.linear

    @pytest.mark.parametrize("one, other", [(3, 1), pytest.param(1, 3, marks=pytest.mark.slow)])
    def test_any_size_it_can_take_and_none_below(self, without_weights, id, one, other):
        min_size = ZOO[id].min_size
        for shape in (
            *((min_size, min_size, one), (min_size + 7, min_size + 2, other)),
            *((97, 64, one), (None, None, other)),
        ):
            assert ik.create_model(id, input_shape=shape).output_shape[0] is None
        for channels in (1, 3):
            with pytest.raises(ValueError, match=f"at least {min_size} x {min_size} pixels, got"):
                ik.create_model(id, input_shape=(min_size - 1, 64, channels))

    def test_min_size_is_what_the_layers_can_take(self, without_weights, id, monkeypatch):
        from inception_keras import blocks
        from inception_keras.models import googlenet, googlenet_variants

        for module in (googlenet, googlenet_variants):
            monkeypatch.setattr(module, "image_input", lambda shape, min_size: blocks.image_input(shape))
        min_size = ZOO[id].min_size
        with pytest.raises(ValueError, match="does not fit"):
            ik.create_model(id, input_shape=(min_size - 1, min_size - 1, 3))

    @pytest.mark.parametrize("classes", [1, 0, -3, 10.0, "10", True])
    def test_classes_must_be_a_count(self, without_weights, id, classes):
        with pytest.raises(ValueError, match="classes must be an int of at least 2, got"):
            ik.create_model(id, classes=classes)

    @pytest.mark.parametrize("shape", [(224.0, 224, 3), (224, 224), (3, 224, 224), "224", (224, 224, 0), 224])
    def test_shapes_that_are_none(self, without_weights, id, shape):
        with pytest.raises(ValueError, match=r"input_shape must be \(height, width, channels\)"):
            ik.create_model(id, input_shape=shape)


def test_runs_and_gives_probabilities():
    model = ik.create_model("googlenet_cifar", aux=True)
    outputs = model(np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32"))
    for scores in outputs.values():
        np.testing.assert_allclose(np.sum(scores, axis=1), 1, rtol=1e-5)
    with pytest.raises(ValueError, match=r"expected axis -1 of input shape to have value 3"):
        model(np.zeros((2, 32, 32, 1), "float32"))


@pytest.mark.parametrize(("height", "width"), [(12, 13), (14, 14), (15, 16), (17, 5), (4, 3), (2, 1)])
def test_an_aux_head_pools_as_caffe_does(height, width):
    """As `PoolingLayer` of Caffe: 5x5 windows with stride 3, rounded up in number, cut off at the edge of the map."""
    x = np.random.default_rng(0).normal(size=(1, height, width, 2)).astype("float32")
    rows, columns = (max(1, ceil((n - 5) / 3) + 1) for n in (height, width))  # on 1 or 2 pixels Caffe has no window
    expected = [x[0, 3 * i : 3 * i + 5, 3 * j : 3 * j + 5].mean((0, 1)) for i in range(rows) for j in range(columns)]
    model = ik.build_aux_head((height, width, 2), 10)
    pool = keras.Model(model.input, model.get_layer("aux_head-pool").output)
    np.testing.assert_allclose(pool(x), np.reshape(expected, (1, rows, columns, 2)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("id", "sides"),
    [
        ("googlenet", {190: 3, 191: 4, 238: 4, 239: 5}),
        ("googlenet_slim", {64: 4, 256: 4}),
        ("googlenet_small", {32: 4}),  # of 16x16 pixels; rounded up, it would be 5
        pytest.param("googlenet", {224: 4}, marks=pytest.mark.slow),
        pytest.param("googlenet_slim", {224: 4}, marks=pytest.mark.slow),
    ],
)
def test_sizes_of_aux_heads(without_weights, id, sides):
    """The published heads have 4x4 pixels, which sets for what images they fit."""
    for side, expected in sides.items():
        model = ik.create_model(id, input_shape=(side, side, 3), aux=True)
        assert model.get_layer("aux_1-pool").output.shape[1] == expected


def test_aux_heads_need_a_fixed_size(without_weights):
    with pytest.raises(ValueError, match="fixed size"):
        ik.create_model("googlenet", aux=True, input_shape=(None, None, 3))


@pytest.mark.parametrize("width", [-1, 0, 2.5, "64", None])
def test_widths_must_be_counts(without_weights, width):
    with pytest.raises(ValueError, match="conv_3x3 must be an int of at least 1, got"):
        ik.build_inception((28, 28, 192), 64, 96, width, 16, 32, 32)


def test_unknown_ids_and_options_name_the_nearest(without_weights):
    with pytest.raises(ValueError, match="Unknown model 'googlnet'; did you mean googlenet"):
        ik.create_model("googlnet")
    with pytest.raises(ValueError, match=r"there are alexnet, .*fcn16s.* and \d+ more"):
        ik.create_model("???")
    with pytest.raises(ValueError, match="googlenet has no option 'auks'; did you mean aux"):
        ik.create_model("googlenet", auks=True)
    with pytest.raises(ValueError, match=r"batch_norm=False is another network, .*: create_model\('googlenet'\)"):
        ik.create_model("googlenet_bn", batch_norm=False)


def test_channels_first_is_refused(without_weights):
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="channels_last"):
            ik.create_model("googlenet")
    finally:
        keras.config.set_image_data_format("channels_last")


def test_list_models():
    assert ik.list_models("squeezenet*") == ["squeezenet1_0", "squeezenet1_1"]
    assert "googlenet" in ik.list_models(year=2014)
    assert ik.list_models("nothing") == []

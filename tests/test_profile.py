"""The profile compared with counts by hand, and its errors for layers that it cannot count."""

import csv

import keras
import pytest
from keras import layers

import inception_keras as ik


def rows(table):
    return {row.name: row for row in table.rows}


def test_counts_by_hand(without_weights):
    image = keras.Input((8, 6, 3), name="image")
    x = layers.Conv2D(4, 3, padding="same", name="conv")(image)
    x = layers.Conv2D(8, (1, 5), groups=4, padding="same", use_bias=False, name="grouped")(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", name="depthwise")(x)
    x = layers.SeparableConv2D(10, 3, padding="same", name="separable")(x)
    x = layers.Conv2DTranspose(2, 4, strides=2, padding="same", name="transposed")(x)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.Flatten(name="flatten")(x)
    model = keras.Model(image, layers.Dense(5, name="dense")(x))
    table = ik.profile(model)
    found = {name: (row.params, row.macs) for name, row in rows(table).items() if row.params}
    assert found == {
        "conv": (3 * 3 * 3 * 4 + 4, 9 * 3 * 4 * 48),
        "grouped": (5 * 1 * 8, 5 * 1 * 8 * 48),
        "depthwise": (9 * 16 + 16, 9 * 16 * 48),
        "separable": (9 * 16 + 16 * 10 + 10, (9 * 16 + 16 * 10) * 48),
        "transposed": (16 * 10 * 2 + 2, 16 * 10 * 2 * 48),
        "bn": (8, 0),
        "dense": (2 * 16 * 12 * 5 + 5, 2 * 16 * 12 * 5),
    }
    assert table.params == model.count_params()
    assert rows(table)["conv"].activations == 8 * 6 * 4
    assert rows(table)["image"].activations == 0


def test_a_layer_used_twice_costs_twice_and_is_stored_once(without_weights):
    image = keras.Input((4,), name="image")
    dense = layers.Dense(4, name="dense")
    table = ik.profile(keras.Model(image, dense(dense(image))))
    assert [(row.name, row.params, row.macs) for row in table.rows[1:]] == [("dense", 20, 16), ("dense (2)", 0, 16)]


def test_nested_and_sequential_models_are_opened(without_weights):
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="inside")], name="inner")
    image = keras.Input((4,), name="image")
    model = keras.Model(image, layers.Dense(2, name="outside")(inner(image)))
    assert [row.name for row in ik.profile(model).rows] == ["image", "inside", "outside"]
    assert ik.profile(model).params == model.count_params()
    assert ik.profile(inner).params == 15


def test_totals_equal_the_rows_and_the_blocks(without_weights):
    model = ik.create_model("googlenet_slim", aux=True)
    by_layer, by_block = ik.profile(model), ik.profile(model, by="block")
    for total in ("params", "macs", "activations"):
        assert getattr(by_layer, total) == getattr(by_block, total) == sum(getattr(r, total) for r in by_layer.rows)
    assert by_layer.params == model.count_params()
    assert len(by_block.rows) < len(by_layer.rows)


def test_open_sizes_need_an_input_shape(without_weights):
    model = ik.create_model("googlenet", input_shape=(None, None, 3))
    with pytest.raises(ValueError, match="give profile an input_shape"):
        ik.profile(model)
    assert ik.profile(model, input_shape=(224, 224, 3)).macs == 1_582_671_872


def test_csv(without_weights, tmp_path):
    table = ik.profile(ik.create_model("squeezenet1_1"), by="block")
    table.to_csv(tmp_path / "table.csv")
    with (tmp_path / "table.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert sum(int(line["params"]) for line in lines) == 1_235_496
    assert lines[1]["output_shape"] == "111 x 111 x 64"


def test_terminal_and_notebook_show_the_same_figures(without_weights, capsys):
    model = ik.create_model("googlenet")
    ik.summary(model)
    text = capsys.readouterr().out
    html = ik.profile(model)._repr_html_()
    for figure in ("inception_5b-pool_proj", "1,582,671,872", "6,998,552", "112 x 112 x 64"):
        assert figure in text
        assert figure in html
    assert str(ik.profile(model)).count("\n") > 80


def test_unknown_layers_with_weights_are_not_counted_as_zero(without_weights):
    class Mystery(layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape[-1:], name="scale")

        def call(self, x):
            return x * self.scale

        def compute_output_shape(self, shape):
            return shape

    image = keras.Input((4, 4, 3))
    model = keras.Model(image, Mystery(name="mystery")(image))
    with pytest.raises(TypeError, match=r"for Mystery \(mystery\); add one such as register_counter\(Mystery, "):
        ik.profile(model)
    ik.register_counter(Mystery, lambda layer, inputs, outputs: 7)
    assert ik.profile(model).macs == 7
    with pytest.raises(TypeError, match="layer must be a class of Keras layers, got 'Mystery'"):
        ik.register_counter("Mystery", 7)
    with pytest.raises(TypeError, match=r"counter must be a function .* -> MACs, got 7"):
        ik.register_counter(Mystery, 7)


def test_operations_without_weights_are_free_and_products_are_not(without_weights):
    image = keras.Input((4, 6, 3))
    pairs = layers.Reshape((24, 3))(image)
    summed = keras.ops.sum(keras.ops.relu(image * 2 + image), axis=-1)
    product = keras.ops.matmul(pairs, keras.ops.transpose(pairs, (0, 2, 1)))
    assert ik.profile(keras.Model(image, [summed, product])).macs == 24 * 24 * 3
    with pytest.raises(TypeError, match=r"no counter for Dot \(dot\)"):
        ik.profile(keras.Model(image, layers.Dot(-1, name="dot")([pairs, pairs])))


def test_models_without_a_graph_and_wrong_words(without_weights):
    class Subclassed(keras.Model):
        pass

    with pytest.raises(ValueError, match="no graph of layers"):
        ik.profile(Subclassed())
    with pytest.raises(ValueError, match="by must be 'layer' or 'block', got 'rows'"):
        ik.profile(ik.create_model("googlenet"), by="rows")


def test_what_is_only_looked_at_is_never_allocated():
    with ik.without_weights():
        seen = ik.create_model("vgg11")
    ik.summary(seen, input_shape=(64, 64, 3))
    ik.create_model("squeezenet1_1", include_top=False)
    with keras.StatelessScope():  # as Keras opens when it trains, and closes with all it has put off allocated
        dense = layers.Dense(1)
        dense.build((None, 2))
    assert all(weight._value is not None for weight in dense.weights)
    assert all(weight._value is None for weight in seen.weights)

"""Auxiliary heads in training: losses, labels and metrics reach the right heads."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import inception_keras as ik


def three_heads(activation="softmax"):
    """Heads that ignore the image and always name class 0 ("predictions"), 1 ("aux_1") and 2 ("aux_2")."""
    image = keras.Input((2,), name="image")
    outputs = {}
    for name, answer in (("predictions", 0), ("aux_1", 1), ("aux_2", 2)):
        bias = keras.initializers.Constant(np.where(np.arange(3) == answer, 3.0, 0.0))
        dense = keras.layers.Dense(3, activation, kernel_initializer="zeros", bias_initializer=bias, name=name)
        outputs[name] = dense(image)
    return keras.Model(image, outputs)


def labelled(*labels):
    return tf.data.Dataset.from_tensor_slices((np.zeros((len(labels), 2), "float32"), np.array(labels))).batch(4)


@pytest.mark.parametrize("activation", ["softmax", None])
def test_each_heads_metric_comes_from_that_head(activation):
    model = ik.compile_model(three_heads(activation), "sgd")
    data = ik.with_aux_labels(labelled(0, 0, 0, 0, 1, 1, 2, 2, 2, 2), model)  # 40 %, 20 % and 40 % ...
    data = data.concatenate(ik.with_aux_labels(labelled(0, 0), model))  # ... then 50 %, 17 % and 33 %
    figures = model.evaluate(data, verbose=0, return_dict=True)
    accuracy = {name: figures[f"{name}_accuracy"] for name in ("predictions", "aux_1", "aux_2")}
    assert accuracy == pytest.approx({"predictions": 6 / 12, "aux_1": 2 / 12, "aux_2": 4 / 12})


@pytest.mark.parametrize("activation", ["softmax", None])
@pytest.mark.parametrize("weight", [0.3, 0.0, 1.5])
def test_the_loss_is_the_weighted_sum(activation, weight):
    model = ik.compile_model(three_heads(activation), "sgd", aux_weight=weight)
    model.run_eagerly = True  # the first test of this file is of graphs, which take longer
    figures = model.evaluate(ik.with_aux_labels(labelled(0, 1, 1, 2), model), verbose=0, return_dict=True)
    right, wrong = (-np.log(np.exp(z) / (np.exp(3) + 2)) for z in (3, 0))
    losses = {"predictions": (right + 3 * wrong) / 4, "aux_1": (2 * right + 2 * wrong) / 4}
    losses["aux_2"] = losses["predictions"]
    assert {name: figures[f"{name}_loss"] for name in losses} == pytest.approx(losses, rel=1e-4)
    assert figures["loss"] == pytest.approx(
        losses["predictions"] + weight * (losses["aux_1"] + losses["aux_2"]), rel=1e-4
    )


def test_the_weight_is_the_papers():
    model = ik.compile_model(three_heads())
    assert model._compile_loss._user_loss_weights == {"predictions": 1.0, "aux_1": 0.3, "aux_2": 0.3}


def test_one_head_takes_plain_labels():
    image = keras.Input((2,))
    model = ik.compile_model(keras.Model(image, keras.layers.Dense(3, "softmax")(image)))
    data = labelled(0, 1)
    assert ik.with_aux_labels(data, model) is data
    assert set(model.evaluate(data, verbose=0, return_dict=True)) == {"loss", "accuracy"}


def test_sample_weights_reach_every_head():
    model = ik.compile_model(three_heads())
    data = tf.data.Dataset.from_tensors((tf.zeros((2, 2)), tf.constant([0, 1]), tf.constant([1.0, 0.0])))
    spec = ik.with_aux_labels(data, model).element_spec
    assert [sorted(part) for part in spec[1:]] == [["aux_1", "aux_2", "predictions"]] * 2
    figures = model.evaluate(ik.with_aux_labels(data, model), verbose=0, return_dict=True)
    assert figures["predictions_loss"] == pytest.approx(-np.log(np.exp(3) / (np.exp(3) + 2)) / 2, rel=1e-3)


def test_training_moves_every_head_and_strip_keeps_the_weights():
    keras.utils.set_random_seed(0)
    image = keras.Input((16, 16, 1), name="image")
    x = ik.inception(image, 8, 4, 8, 4, 8, 8, name="inception_a")
    heads = {"aux_1": ik.aux_head(x, 10, name="aux_1")}
    x = ik.inception(x, 8, 4, 8, 4, 8, 8, name="inception_b")
    heads["aux_2"] = ik.aux_head(x, 10, name="aux_2")
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    plain = keras.Model(image, keras.layers.Dense(10, activation="softmax", name="predictions")(x))
    model = ik.compile_model(keras.Model(image, {"predictions": plain.output, **heads}))
    model.run_eagerly = True
    x = np.random.default_rng(0).normal(size=(8, 16, 16, 1)).astype("float32")
    data = tf.data.Dataset.from_tensors((x, np.arange(8) % 2))
    before = [v.numpy() for v in model.trainable_variables]
    model.fit(ik.with_aux_labels(data, model), epochs=1, verbose=0, shuffle=False)
    still = [v.path for v, old in zip(model.trainable_variables, before, strict=True) if np.array_equal(v.numpy(), old)]
    assert not still
    net = ik.strip_aux(model)
    np.testing.assert_allclose(net(x), model(x)["predictions"], rtol=1e-6)
    assert net.count_params() == plain.count_params()
    assert ik.strip_aux(net) is net


def test_errors():
    image = keras.Input((2,))
    two = keras.Model(image, [keras.layers.Dense(2)(image), keras.layers.Dense(2)(image)])
    for call in (ik.compile_model, ik.strip_aux, lambda model: ik.with_aux_labels(labelled(0), model)):
        with pytest.raises(ValueError, match=r"the key 'predictions', got a (list|dict) of \w+, \w+\.$"):
            call(two)
    with pytest.raises(ValueError, match=r"aux_weight must be a number at least 0 and below .*, got -1"):
        ik.compile_model(three_heads(), aux_weight=-1)
    with pytest.raises(ValueError, match="must give"):
        ik.with_aux_labels(tf.data.Dataset.from_tensors(tf.zeros((1, 2))), three_heads())


def test_a_model_without_values_is_named_as_such(tmp_path):
    path, outside = tmp_path / "x.safetensors", ik.create_model("lenet5_modern")
    ik.save_weights(outside, path)
    with ik.without_weights():
        inside = ik.create_model("lenet5_modern")
        for model in (inside, outside):
            with pytest.raises(
                ValueError, match=r"cannot be compiled inside without_weights\(\), where variables have no val"
            ):
                ik.compile_model(model)
        with pytest.raises(ValueError, match=r"cannot be given weights inside without_weights\(\)"):
            ik.create_model("lenet5_modern", weights=path)
    calls = {
        "be compiled": lambda: ik.compile_model(inside, "sgd"),
        "be given weights": lambda: ik.load_weights(inside, path),
        "be saved": lambda: ik.save_weights(inside, path),
    }
    for action, call in calls.items():
        start = r"^lenet5_modern was built inside without_weights\(\) and"
        with pytest.raises(ValueError, match=rf"{start} cannot {action}: "):
            call()
    ik.load_weights(ik.compile_model(outside), path)

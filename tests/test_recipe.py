"""Recipes and their effects: optimizers, learning rates, patience, weight averages, precision."""

from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import inception_keras as ik
from inception_keras.blocks import conv_bn
from inception_keras.training.averages import averaged
from inception_keras.training.best import best_epoch, is_over, waits
from inception_keras.training.optimizers import build_optimizer
from inception_keras.training.recipe import RECIPES
from inception_keras.training.run import _precision
from inception_keras.training.schedule import learning_rate
from inception_keras.training.tasks.classification import TASK, build
from inception_keras.zoo import ZOO


def rows(*accuracies):
    return [{"epoch": i, "val_accuracy": value, "val_loss": 1.0} for i, value in enumerate(accuracies, start=1)]


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_recipes(path, without_weights):
    recipe = ik.Recipe.load(path.stem)
    lines = path.read_text().splitlines()
    assert lines[0].startswith(f"# inception-keras train --recipe {path.stem} ")
    assert any(line.startswith("# Expected: ") for line in lines)
    side = recipe.image_size or ZOO[recipe.model].image
    assert ik.create_model(recipe.model, input_shape=(side, side, 3), classes=10, **recipe.options).outputs
    assert ik.Recipe.from_dict(recipe.to_dict(), "itself") == recipe


def test_a_file_is_a_recipe(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('model = "googlenet_cifar"\nepochs = 5\nkeep = [2]\n[options]\naux = true\n')
    recipe = ik.Recipe.load(path)
    assert recipe == ik.Recipe(options={"aux": True}, epochs=5, keep_epochs=(2,))
    changed = recipe.with_changes(epochs=7, options={"batch_norm": True})
    assert (changed.epochs, changed.options) == (7, {"aux": True, "batch_norm": True})
    assert recipe.with_changes(data_dir="photos").data is None  # the default, digits, lie in no folder
    assert recipe.with_changes(data="mnist", data_dir="photos").data == "mnist"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", r"mine.toml: a recipe has no field 'epoch'; did you mean epochs"),
        ("epochs = 'x'", "mine.toml: epochs must be an int of at least 1, got 'x'"),
        ("epochs = ", "mine.toml is not a TOML file"),
        ("ema = 1.0", "ema must be a number of at least 0 and below 1, got 1.0"),
        ("max_unreadable = 2", "max_unreadable must be a number of at least 0 and at most 1, got 2"),
        ("weight_decay = nan", "weight_decay must be a number of at least 0 and at most 1e.06, got nan"),
        ("warmup_epochs = 12", "warmup_epochs must be below epochs, 12, got 12"),
        ("augment = 'crops'", "Unknown augment 'crops'; did you mean crop"),
        ("flip = 1", "flip must be true, false or None, got 1"),
        ("model = 3", "model must be a text, got 3"),
        ("options = 3", "options must be a table"),
        ("[options]\nwhen = 1979-05-27", "options must be a table"),
        ("keep_epochs = 3", "keep_epochs must be a list of epochs, got 3"),
        ("train_sizes = 180", "train_sizes must be a list of sides, got 180"),
        ("train_sizes = [0]", "a side of train_sizes must be an int of at least 1, got 0"),
        ("deterministic = 1", "deterministic must be true or false, got 1"),
        ("x = " + "[" * 5000, "is not a TOML file"),
        ("# " + "x" * 100_000, "longer than 100,000 bytes"),
    ],
)
def test_files_that_are_no_recipes(text, message, tmp_path):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        ik.Recipe.load(tmp_path / "mine.toml")


def test_recipes_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="Unknown recipe 'lenet_mnist'; did you mean lenet5_mnist"):
        ik.Recipe.load("lenet_mnist")
    with pytest.raises(FileNotFoundError, match=r"There is no recipe file .*none\.toml"):
        ik.Recipe.load(tmp_path / "none.toml")


def test_schedules_are_those_of_keras():
    schedules = keras.optimizers.schedules
    theirs = {
        "cosine": schedules.CosineDecay(0.1, 200),
        "poly": schedules.PolynomialDecay(0.1, 200, 0.0, power=0.5),
        "step": schedules.PiecewiseConstantDecay([100, 150], [0.1, 0.01, 0.001]),
        "constant": lambda step: 0.1,
    }
    for name, expected in theirs.items():
        recipe = ik.Recipe(schedule=name, learning_rate=0.1, epochs=10)
        for step in (0, 1, 99, 100, 101, 150, 151, 199):
            assert learning_rate(recipe, step, 20, []) == pytest.approx(float(expected(step)), abs=1e-8), (name, step)


def test_warm_up_comes_before_the_schedule():
    recipe = ik.Recipe(schedule="cosine", learning_rate=1.0, epochs=5, warmup_epochs=0.9)
    rates = [learning_rate(recipe, step, 10, []) for step in range(50)]
    assert rates[:10] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert 0 < rates[-1] < 0.01


def test_plateau_patience_and_the_best():
    score = rows(0.1, 0.5, 0.4, 0.4, 0.4, 0.4, 0.5, 0.3, 0.6)
    assert [best_epoch(score[:n], TASK) for n in (0, 1, 2, 8, 9)] == [0, 1, 2, 2, 9]
    recipe = ik.Recipe(schedule="plateau", learning_rate=1.0, epochs=20, patience=6)
    rates = [learning_rate(recipe, n * 10, 10, waits(score[:n], TASK)) for n in range(10)]
    assert rates == pytest.approx([1, 1, 1, 1, 1, 1, 1, 0.1, 0.1, 0.1])  # after epoch 7, five after the best
    assert [is_over(recipe, score[:n], TASK) for n in (7, 8, 9)] == [False, True, False]
    lower = rows(0.5, 0.5)
    lower[1]["val_loss"] = 0.9
    assert best_epoch(lower, TASK) == 2
    assert is_over(ik.Recipe(epochs=2), lower, TASK)
    error = replace(TASK, smaller_is_better=True)
    assert [best_epoch(score[:n], error) for n in (0, 1, 2, 8, 9)] == [0, 1, 1, 1, 1]
    undefined = rows(0.1, float("nan"), 0.2)
    assert [best_epoch(undefined[:n], task) for n in (2, 3) for task in (TASK, error)] == [1, 1, 3, 1]


def test_biases_and_norms_do_not_decay():
    image = keras.Input((8, 8, 1))
    x = ik.inception(image, 4, 2, 4, 2, 4, 4, conv_block=conv_bn, name="inception_a")
    model = keras.Model(image, keras.layers.Dense(3, name="predictions")(keras.layers.Flatten(name="flatten")(x)))
    for name in ("adam", "adamw", "rmsprop", "sgd"):
        optimizer = build_optimizer(ik.Recipe(optimizer=name, learning_rate=0.5, weight_decay=0.1), model)
        optimizer.build(model.trainable_variables)
        before = [v.numpy() for v in model.trainable_variables]
        optimizer.apply([tf.zeros(v.shape) for v in model.trainable_variables])
        for variable, old in zip(model.trainable_variables, before, strict=True):
            share = 0.95 if variable.path.endswith("kernel") else 1.0
            np.testing.assert_allclose(variable, old * share, rtol=1e-6, err_msg=f"{name} {variable.path}")


def test_the_average_of_the_weights():
    model = ik.create_model("lenet5_modern")
    ik.compile_model(model, build_optimizer(ik.Recipe(optimizer="sgd", learning_rate=1.0, ema=0.75), model))
    kernel = model.get_layer("c1").kernel
    values = [kernel.numpy()]
    for _ in range(3):
        model.optimizer.apply([tf.ones(v.shape) for v in model.trainable_variables], model.trainable_variables)
        values.append(kernel.numpy())
    expected = values[1] * 0.75**2 + values[2] * 0.75 * 0.25 + values[3] * 0.25  # the first step begins the average
    with averaged(model):
        np.testing.assert_allclose(kernel, expected, rtol=1e-5)
    np.testing.assert_array_equal(kernel, values[3])


@pytest.mark.parametrize("activation", ["softmax", None])
def test_label_smoothing_and_shares(activation):
    image = keras.Input((3,))
    model = keras.Model(image, keras.layers.Dense(3, activation, name="predictions")(image))
    x, y = np.random.default_rng(0).normal(size=(6, 3)).astype("float32"), np.array([0, 1, 2, 0, 1, 2])
    scores = model(x).numpy()
    logs = np.log(scores) if activation else scores - np.log(np.exp(scores).sum(1, keepdims=True))
    for share in (0.0, 0.3):
        ik.compile_model(model, "sgd", label_smoothing=share, metrics=("accuracy", "cross_entropy"))
        model.run_eagerly = True  # which is faster
        target = np.eye(3)[y] * (1 - share) + share / 3
        expected = {"loss": -(target * logs).sum(1).mean(), "accuracy": (scores.argmax(1) == y).mean()}
        for labels in (y, np.eye(3, dtype="float32")[y]):
            figures = model.evaluate(tf.data.Dataset.from_tensors((x, labels)), verbose=0, return_dict=True)
            assert figures == pytest.approx(expected | {"cross_entropy": expected["loss"]}, rel=1e-5)
            ik.compile_model(model, "sgd", label_smoothing=share, metrics=("accuracy", "cross_entropy"))
            model.run_eagerly = True
    with pytest.raises(ValueError, match="label_smoothing must be a number at least 0 and below 1, got 1"):
        ik.compile_model(model, label_smoothing=1)


@pytest.mark.parametrize("precision", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)])
def test_mixed_precision(precision):
    """Weights and heads are float32, layers compute in float16, and a few steps give nearly the same result."""
    data = ik.load_data("digits", batch_size=16)
    batches = data.validation.take(3).cache()
    recipe = ik.Recipe(model="lenet5_modern", learning_rate=1e-3)
    losses = {}
    for name in ("float32", precision):
        keras.utils.set_random_seed(0)
        with _precision(name):
            model = build(recipe, data)
            ik.compile_model(model, build_optimizer(recipe, model))
        assert keras.config.dtype_policy().name == "float32"
        assert {v.dtype for v in model.weights} == {"float32"}
        assert model.get_layer("c3").compute_dtype == name.removeprefix("mixed_")
        assert model.get_layer("predictions").compute_dtype == model.output.dtype == "float32"
        scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        assert scaled == (name == "mixed_float16")
        model.fit(batches.repeat(4), verbose=0, shuffle=False)
        losses[name] = model.evaluate(batches, verbose=0)[0]
        if scaled:
            assert int(model.optimizer.iterations) == 12  # no step was left out
    assert losses[precision] == pytest.approx(losses["float32"], rel=0.02)
    assert losses["float32"] < 2.2


@pytest.mark.parametrize(("name", "value"), [("input_shape", (64, 64, 1)), ("classes", 7)])
def test_an_option_that_the_data_decide(name, value, without_weights):
    data = SimpleNamespace(class_names=["a", "b"], image_shape=(32, 32, 1))
    with pytest.raises(ValueError, match=rf"^The option {name} must be (\(32, 32, 1\)|2), as the data have it, got"):
        build(ik.Recipe(model="lenet5_modern", options={name: value}), data)
    same = ik.Recipe(model="lenet5_modern", options={"classes": 2, "input_shape": [32, 32, 1]})
    assert build(same, data).output_shape == (None, 2)

"""The single-op optimizers give the same results as Keras's."""

import keras
import numpy as np
import pytest

from inception_keras.training import optimizers


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {"momentum": 0.9}),
        ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
        ("SGD", {"clipnorm": 0.1}),
        ("Adam", {}),
        ("Adam", {"amsgrad": True}),
        ("Adam", {"weight_decay": 0.1, "use_ema": True}),
    ],
)
def test_steps_as_keras(name, options):
    rng = np.random.default_rng(0)
    start = [rng.normal(size=(5, 4)).astype("float32"), rng.normal(size=3).astype("float32")]
    gradients = [[rng.normal(size=w.shape).astype("float32") for w in start] for _ in range(5)]
    ends = []
    for kind in (getattr(optimizers, name), getattr(keras.optimizers, name)):
        variables = [keras.Variable(w) for w in start]
        optimizer = kind(keras.optimizers.schedules.CosineDecay(0.1, 10), **options)
        for step in gradients:
            optimizer.apply([keras.ops.convert_to_tensor(g) for g in step], variables)
        ends.append(
            [*variables, *optimizer.variables[2:]]
        )  # without iterations and the rate, which are ints and floats
    for ours, theirs in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_model_keeps_its_optimizer(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(optimizers.SGD(0.1, momentum=0.9), "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is optimizers.SGD
    for a, b in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)

"""Damaged recipes, states and checkpoints raise only documented errors."""

import random
import string
import tomllib

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import inception_keras as ik
from inception_keras.training.folder import BEFORE, NEWEST
from inception_keras.training.loop import _facts
from inception_keras.training.recipe import RECIPES
from inception_keras.training.state import load_state, restore, save_state, values, variables
from inception_keras.weights.store import read

pytestmark = pytest.mark.slow
FIELDS = sorted(ik.Recipe().to_dict())
_ODD = [b"[", b"{", b'"', b"\n", b"\xff", b"\x00", b"1e999", b"-", b"nan", b"9" * 30]
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def mutated(content, draw):
    """The content of a file with a few bytes changed, removed, doubled or cut off."""
    content = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(content) + 1)
        match draw.randrange(5):
            case 0:
                content[at : at + 1] = bytes([draw.randrange(256)])
            case 1:
                del content[at : at + draw.randint(1, 20)]
            case 2:
                content[at:at] = content[at : at + draw.randint(1, 20)]
            case 3:
                content[at:at] = draw.choice(_ODD)
            case 4:
                del content[at : len(content) if draw.random() < 0.2 else at + 1]
    return bytes(content)


def is_documented(call, *errors):
    """Whether a call succeeds. It may raise one of `errors`, without a traceback in its text; others fail the test."""
    try:
        call()
    except errors as error:
        assert len(str(error)) > 10
        assert "Traceback" not in str(error)
        return False
    return True


def test_mutated_recipe_files(tmp_path, capsys):
    files = [path.read_bytes() for path in sorted(RECIPES.glob("*.toml"))]
    draw = random.Random(0)
    path = tmp_path / "mine.toml"
    good = 0
    for _ in range(2000):
        path.write_bytes(mutated(draw.choice(files), draw))
        good += is_documented(lambda: ik.Recipe.load(path), ValueError)
    with capsys.disabled():
        print(f"\n2000 mutated recipe files, {good} of them still recipes")
    assert 100 < good < 1990


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(string.ascii_lowercase, max_size=6), _VALUES, max_size=4))
@example({"epochs": 2**70, "learning_rate": 10**400})
def test_any_values_of_fields(entries):
    if is_documented(lambda: ik.Recipe.from_dict(entries, "this file"), ValueError):
        recipe = ik.Recipe.from_dict(entries, "this file")
        assert ik.Recipe.from_dict(recipe.to_dict(), "itself") == recipe  # config.json can hold it


@settings(max_examples=500, deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_any_text_is_a_recipe_or_an_error(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8", newline="")
    if is_documented(lambda: ik.Recipe.load(path), ValueError):
        tomllib.loads(text)


@pytest.fixture(scope="module")
def model():
    import keras

    image = keras.Input((2,))
    x = keras.layers.Dropout(0.5, name="dropout")(keras.layers.Dense(2, name="fc")(image))
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax", name="predictions")(x), name="small")
    ik.compile_model(model)
    model.optimizer.build(model.trainable_variables)
    return model


def test_mutated_states(model, tmp_path, capsys):
    named = variables(model, metrics=False)
    arrays = values(named)
    row = {"epoch": 1, "loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5, "learning_rate": 0.1}
    save_state(tmp_path, arrays, {"rows": [row], "step": 3, "seconds": [1.0], "spent": 0.5})
    content = (tmp_path / NEWEST).read_bytes()
    draw = random.Random(0)
    good = 0

    def load():
        loaded, facts, notice = load_state(tmp_path)
        assert not notice
        _facts(facts, "this state", 10, ["loss", "accuracy"])
        restore(named, loaded, "this state")

    for _ in range(1500):
        (tmp_path / NEWEST).write_bytes(mutated(content, draw))
        if is_documented(load, ValueError):  # only what was written is taken
            good += 1
            for name, v in named.items():
                np.testing.assert_array_equal(v, arrays[name])
    (tmp_path / BEFORE).write_bytes(content)
    for _ in range(500):
        (tmp_path / NEWEST).write_bytes(mutated(content, draw))
        _, facts, _ = load_state(tmp_path)  # the one before is whole
        assert facts["step"] == 3
    with capsys.disabled():
        print(f"\n2000 mutated states, {good} of 1500 still whole")


_ROW = st.fixed_dictionaries({"epoch": st.integers(0, 2)}, optional=dict.fromkeys(("loss", "accuracy"), _VALUES))


@settings(max_examples=500, deadline=None)
@given(
    st.fixed_dictionaries(
        {}, optional={"rows": _VALUES | st.lists(_ROW), "step": _VALUES, "seconds": _VALUES, "spent": _VALUES}
    )
    | _VALUES
)
def test_any_facts_of_a_state(facts):
    is_documented(lambda: _facts(facts, "this state", 10, ["loss", "accuracy"]), ValueError)


def test_mutated_checkpoints(model, tmp_path, capsys):
    ik.save_weights(model, tmp_path / "good.safetensors")
    content = (tmp_path / "good.safetensors").read_bytes()
    path = tmp_path / "weights.safetensors"
    draw = random.Random(0)
    good = 0
    for _ in range(1500):
        path.write_bytes(mutated(content, draw))
        before = model.get_weights()
        if is_documented(lambda: ik.load_weights(model, path), ValueError):
            good += 1
            assert read(path).keys() == {"fc/kernel", "fc/bias", "predictions/kernel", "predictions/bias"}
        else:
            assert all(map(np.array_equal, before, model.get_weights()))
    with capsys.disabled():
        print(f"\n1500 mutated checkpoints, {good} of them still whole")

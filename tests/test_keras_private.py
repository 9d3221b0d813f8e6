"""What the package uses of Keras though it is not public: all of it is listed, and this version of Keras has it."""

import ast
from functools import cache
from itertools import chain
from pathlib import Path

import keras
import pytest

import inception_keras
from inception_keras import keras_private
from inception_keras.keras_private import ATTRIBUTES, WAITING, global_state

FOLDER = Path(inception_keras.__file__).parent
OF_OTHERS = {"_asdict", "_replace", "_Unpickler"}  # of named tuples and of the module pickle


@cache
def _texts():
    return {path.relative_to(FOLDER): path.read_text() for path in FOLDER.rglob("*.py")}


def _private_names(tree):
    """The names of attributes that begin with one underscore: `x._name`, and `getattr(x, "_name", ...)`."""
    for node in ast.walk(tree):
        name = node.attr if isinstance(node, ast.Attribute) else ""
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("getattr", "hasattr"):
            name = getattr(node.args[1], "value", "")
        if str(name).startswith("_") and not str(name).startswith("__"):
            yield name


def _own_names(tree):
    """The names that the package itself defines: functions, classes, variables and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr


def test_the_list_is_complete():
    trees = {path: ast.parse(text) for path, text in _texts().items()}
    own = set(chain.from_iterable(map(_own_names, trees.values()))) | OF_OTHERS
    used = set(chain.from_iterable(map(_private_names, trees.values()))) - own
    listed = set(chain.from_iterable(ATTRIBUTES.values()))
    assert used <= listed, f"list {', '.join(used - listed)} in inception_keras/keras_private.py, or use public names"
    unused = {name for name in listed if not any(name in text for text in _texts().values())}
    assert not unused
    for path, tree in trees.items():
        if path.name != "keras_private.py":
            modules = [getattr(node, "module", None) or "" for node in ast.walk(tree)]
            assert not [name for name in modules if name.startswith("keras.src")], f"{path} imports keras.src"


@pytest.fixture(scope="module")
def objects():
    """An example of everything that ATTRIBUTES names."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(use_ema=True), "mse")
    model.optimizer.build(model.trainable_variables)
    functional = getattr(model, "_functional", None)
    history = getattr(model.outputs[0], "_keras_history", None)
    calls = getattr(model.layers[0], "_inbound_nodes", [None])
    found = {"layer": model.layers[0], "tensor": model.outputs[0], "call": calls[0], "functional model": functional}
    found |= {"Sequential": model, "compiled model": model, "variable": model.layers[0].kernel}
    assert history is None or history.operation is model.layers[0]
    return found | dict.fromkeys(("optimizer", "Adam", "optimizer with averages"), model.optimizer)


@pytest.mark.parametrize("kind", ATTRIBUTES)
def test_this_keras_has_what_is_listed(objects, kind):
    for name in ATTRIBUTES[kind]:
        users = [str(path) for path, text in _texts().items() if path.name != "keras_private.py" and name in text]
        assert hasattr(objects[kind], name), (
            f"Keras {keras.__version__} has no {name} of a {kind}, which {', '.join(users)} of inception_keras use."
        )


def test_weights_wait_where_keras_keeps_them():
    with keras.StatelessScope(initialize_variables=False):
        kernel = keras.Variable(keras.initializers.Zeros(), (1,))
    waiting = global_state.get_global_attribute(WAITING) or []
    mine = [variable for variable in waiting if variable is kernel]
    assert mine, (
        f"Keras {keras.__version__} keeps unallocated weights elsewhere: without_weights() relies on {WAITING!r}."
    )
    assert keras_private.in_stateless_scope() is False
    global_state.set_global_attribute(WAITING, [variable for variable in waiting if variable is not kernel])

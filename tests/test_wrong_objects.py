"""Wrong objects for every argument of every public function: one sentence names the argument or the object."""

import inspect
import os
import traceback
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import inception_keras as ik
from inception_keras.checks import got

PACKAGE = str(Path(ik.__file__).parent)
ERRORS = (ValueError, TypeError, FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, OSError)
WRONG = {  # by the name that `FINE` calls them
    "None": None,
    "text": "no such thing",
    "list": ["no such thing", 3],
    "int": -3,
    "float": 0.123,
    "inf": float("inf"),
    "function": tf.function(lambda x: x),
    "class": keras.Sequential,
    "object": type("Thing", (), {"__repr__": lambda self: "<a thing>"})(),
}


@cache
def model():
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(4, 3, strides=2, name="conv")(image)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, keras.layers.Dense(3, activation="softmax", name="predictions")(x), name="small")


@cache
def pixels():
    image = keras.Input((None, None, 3))
    return keras.Model(image, keras.layers.Conv2D(2, 1)(image))


@cache
def sppnet():
    image = keras.Input((None, None, 3))
    maps = keras.layers.Conv2D(4, 3, strides=4, name="conv")(image)
    vectors = ik.layers.SpatialPyramidPooling2D((2, 1))(maps)
    net = keras.Model(image, keras.layers.Dense(3, "softmax")(vectors), name="sppnet")
    return ik.SPPnet(net, propose=lambda pixels: np.zeros((0, 4)))


def rcnn():
    return ik.RCNN(model(), propose=lambda pixels: np.zeros((0, 4)))


@cache
def detector():
    return ik.create_model("yolo_v1_mini", classes=2)


def dataset():
    return tf.data.Dataset.from_tensor_slices((np.zeros((4, 8, 8, 3)), np.zeros(4))).batch(2)


def maps():
    return keras.Input((28, 28, 16))


INCEPTION = ("conv_1x1", "reduce_3x3", "conv_3x3", "reduce_5x5", "conv_5x5", "pool_proj")


def recipe(**fields):
    return ik.Recipe(**{"model": "lenet5_modern", "data": None, "data_dir": "absent"} | fields)


# Valid arguments of each public function, few of them: what is left out is tried on top of them.
VALID = {
    "Preprocessing": lambda: {"size": (8, 8)},
    "Preprocessing.__call__": lambda: {"self": ik.Preprocessing((8, 8)), "image": np.zeros((8, 8, 3), "uint8")},
    "Preprocessing.resize_and_crop": lambda: {"self": ik.Preprocessing((8, 8)), "image": np.zeros((8, 8, 3), "uint8")},
    "Preprocessing.pixels": lambda: {"self": ik.Preprocessing((8, 8)), "image": np.zeros((8, 8, 3), "uint8")},
    "Preprocessing.normalise": lambda: {"self": ik.Preprocessing((8, 8)), "pixels": np.zeros((8, 8, 3), "uint8")},
    "Preprocessing.resized": lambda: {"self": ik.Preprocessing((8, 8)), "size": (8, 8)},
    "Preprocessing.to_dict": lambda: {"self": ik.Preprocessing((8, 8))},
    "Preprocessing.from_dict": lambda: {"values": ik.Preprocessing((8, 8)).to_dict()},
    "RCNN": lambda: {"net": model()},
    "RCNN.fit": lambda: {"self": rcnn(), "data": None},
    "RCNN.fine_tune": lambda: {"self": rcnn(), "data": None},
    "RCNN.detect": lambda: {"self": rcnn(), "image": np.zeros((8, 8, 3), "uint8")},
    "RCNN.save": lambda: {"self": rcnn(), "folder": "absent"},
    "RCNN.load": lambda: {"folder": "absent"},
    "SPPnet": lambda: {"net": sppnet().net},
    "SPPnet.fine_tune": lambda: {"self": sppnet(), "data": None},
    "anchor_report": lambda: {"data": [((8, 8), np.zeros((0, 4)))], "anchors": np.ones((1, 4))},
    "coco_average_precision": lambda: {"truth": [], "found": [], "names": ["a"]},
    "detect": lambda: {"model": detector(), "image": np.zeros((8, 8, 3), "uint8")},
    "cut_tiles": lambda: {"data_dir": "absent", "out": "out"},
    "fast_rcnn": lambda: {"backbone": model(), "stride": 2},
    "faster_rcnn": lambda: {"backbone": model(), "stride": 2},
    "selective_search": lambda: {"image": np.zeros((8, 8, 3), "uint8")},
    "truncated_svd": lambda: {"model": model()},
    "voc_average_precision": lambda: {"truth": [], "found": [], "names": ["a"]},
    "yolo": lambda: {"backbone": model()},
    "Recipe": lambda: {},
    "Recipe.load": lambda: {"name": "digits"},
    "Recipe.from_dict": lambda: {"entries": {}, "origin": "a test"},
    "Recipe.with_changes": lambda: {"self": ik.Recipe()},
    "Recipe.to_dict": lambda: {"self": ik.Recipe()},
    "Task": lambda: {"score": "mae", "build": max, "compile": max},
    "Task.options_of": lambda: {"self": ik.Task(score="mae", build=max, compile=max), "recipe": ik.Recipe()},
    "ablation": lambda: {"recipe": recipe(model="googlenet_cifar"), "out": "out"},
    "aux_head": lambda: {"x": maps(), "classes": 3},
    "check_data": lambda: {"data_dir": "absent"},
    "compile_model": lambda: {"model": model()},
    "convolutionalize": lambda: {"model": model()},
    "create_model": lambda: {"id": "lenet5_modern"},
    "device": lambda: {},
    "evaluate": lambda: {"folder": "absent"},
    "extract_features": lambda: {"model": model(), "dataset": dataset()},
    "fcn": lambda: {"backbone": model(), "stride": 2},
    "features": lambda: {"model": model()},
    "find_learning_rate": lambda: {"recipe": recipe()},
    "finetune": lambda: {"recipe": recipe(weights="imagenet"), "out": "out"},
    "fire": lambda: {"x": maps(), "squeeze_1x1": 2, "expand_1x1": 2, "expand_3x3": 2},
    "freeze": lambda: {"model": model(), "pattern": "all"},
    "heatmap": lambda: {
        "model": model(),
        "image": np.zeros((8, 8, 3), "uint8"),
        "preprocessing": ik.Preprocessing((8, 8)),
    },
    "inception": lambda: {"x": maps()} | dict.fromkeys(INCEPTION, 2),
    "list_models": lambda: {},
    "load_data": lambda: {},
    "load_weights": lambda: {"model": model(), "path": "absent.safetensors"},
    "naive_inception": lambda: {"x": maps(), "conv_1x1": 2, "conv_3x3": 2, "conv_5x5": 2},
    "plot_blocks": lambda: {"model": model(), "path": "a.svg"},
    "plot_model": lambda: {"model": model(), "path": "a.svg"},
    "predict": lambda: {"photos": []},
    "preprocessing": lambda: {"id": "lenet5_modern"},
    "profile": lambda: {"model": model()},
    "register_counter": lambda: {"layer": type("Mine", (keras.layers.Layer,), {}), "counter": lambda *_: 0},
    "save_weights": lambda: {"model": model(), "path": "a.safetensors"},
    "scenes": lambda: {"count": 1},
    "segment": lambda: {"model": pixels(), "image": np.zeros((8, 8, 3), "uint8")},
    "squeeze_excite": lambda: {"x": maps(), "filters": 2},
    "strategy": lambda: {},
    "strip_aux": lambda: {"model": model()},
    "summary": lambda: {"model": model()},
    "synchronize_batch_norm": lambda: {"model": model()},
    "train": lambda: {"recipe": recipe(), "out": "out"},
    "transfer": lambda: {"model": model(), "classes": 3},
    "unfreeze": lambda: {"model": model()},
    "with_aux_labels": lambda: {"dataset": dataset(), "model": model()},
    "without_weights": lambda: {},
}
STEPS = "Steps"  # its strategy and batches are TensorFlow's own objects; tests/test_distribute.py has it
NEVER = ("list", "inf", "object")  # what no argument may take
# What is right though it is in the list of wrong objects, by argument.
CALLABLE = {"function", "class"}  # whose arguments are not known before the call
FINE = {
    "out": {"text"},
    "conv_block": CALLABLE,
    "head": CALLABLE | {"None"},
    "cache": {"None", "text"},
    "build": CALLABLE,
    "compile": CALLABLE,
    "train.recipe": {"None"},
    "Recipe.from_dict.origin": set(WRONG),  # only words of an error
    "check_data.label": {"None", "text"},
    "cut_tiles.label": {"None", "text"},
    "cut_tiles.min_visible": {"float"},
    "cut_tiles.max_unreadable": {"float"},
    "evaluate.data": {"None", "text"},
    "evaluate.data_dir": {"None", "text"},
    "save_weights.dtype": {"None"},
    "find_learning_rate.lowest": {"float"},
    "propose": CALLABLE | {"None"},
    "truncated_svd.ranks": {"None"},  # the model has no layers of the default's names
    # what has learned nothing says so
    "RCNN.fine_tune.learning_rate": {"float"},
    "SPPnet.fine_tune.learning_rate": {"float"},
    "RCNN.save.folder": {"text"},
    "RCNN.detect.min_score": {"int", "float"},
    "RCNN.load.cache": {"None", "text"},
    "find_learning_rate.highest": {"float"},
}


def public():
    """Pairs of (name, function), for every public function, class and method."""
    found = []
    for name in ik.__all__:
        value = getattr(ik, name)
        found.append((name, value))
        if inspect.isclass(value):
            methods = {n: m for n, m in vars(value).items() if callable(m) or isinstance(m, classmethod)}
            found += [(f"{name}.{n}", getattr(value, n)) for n in methods if n[0] != "_" or n == "__call__"]
    return [(name, value) for name, value in found if not (value.__doc__ or "").startswith("The old name of")]


def fault(name, function, argument, wrong):
    """The fault in the error that a wrong argument raises; "" if there is none."""
    arguments = VALID[name]() | {argument: WRONG[wrong]}
    me = arguments.pop("self", None)
    bound = getattr(me, name.split(".")[1]) if me is not None else function
    parameters = inspect.signature(bound).parameters
    first = [arguments.pop(n) for n, p in parameters.items() if p.kind is p.POSITIONAL_ONLY and n in arguments]
    try:
        bound(*first, **arguments)
    except Exception as error:
        text = str(error)
        where = traceback.extract_tb(error.__traceback__)[-1].filename
        faults = [
            f"{type(error).__name__} is no error for users" * (type(error) not in ERRORS),
            "more than a sentence" * ("\n" in text or len(text) > 1200),
            f"raised in {where}" * (not where.startswith(PACKAGE)),
            "does not name it" * (argument not in text and not any(word in text for word in words(WRONG[wrong]))),
        ]
        if any(faults):
            return (
                f"{name}({argument}={wrong}): {', '.join(filter(None, faults))}: {type(error).__name__}: {text[:200]}"
            )
    else:
        if wrong in NEVER:
            return f"{name}({argument}={wrong}): taken"
    return ""


def words(wrong):
    """The words by which an error may describe a wrong object."""
    parts = wrong if isinstance(wrong, list) else [wrong]
    return [got(wrong), *map(repr, parts), *(part for part in parts if isinstance(part, str))]


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("wrong"))
    yield
    os.chdir(before)


def is_row(name):
    return not name.startswith(("build_", STEPS))


def faults(name, function, valid):
    me = valid.get("self")
    parameters = inspect.signature(getattr(me, name.split(".")[1]) if me is not None else function).parameters
    found = [
        fault(name, function, argument, wrong)
        for argument, parameter in parameters.items()
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        for wrong in WRONG
        if wrong not in FINE.get(argument, FINE.get(f"{name}.{argument}", ()))
    ]
    return "\n".join(filter(None, found))


def test_every_public_name_has_a_row():
    assert {name for name, _ in public() if is_row(name)} == {name for name in VALID if is_row(name)}


@pytest.mark.parametrize("name", VALID)
def test_wrong_objects_are_refused_in_a_sentence(name):
    said = faults(name, dict(public())[name], VALID[name]())
    assert not said, said


FAST = ("build_googlenet", "build_vgg", "build_lenet5", "build_inception")
BUILDERS = [
    pytest.param(name, marks=[] if name in FAST else pytest.mark.slow)
    for name in ik.__all__
    if name.startswith("build_")
]
BUILT = {"classes": 3, "name": "net"} | dict.fromkeys(INCEPTION, 2)


@pytest.mark.parametrize("name", BUILDERS)
def test_builders_refuse_wrong_objects(name, without_weights):
    function = getattr(ik, name)
    needed = [n for n, p in inspect.signature(function).parameters.items() if p.default is p.empty]
    VALID[name] = lambda: {n: BUILT.get(n, (28, 28, 16)) for n in needed if n not in ("options", "kwargs")}
    said = faults(name, function, {})
    assert not said, said

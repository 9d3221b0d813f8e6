"""A net that was saved in one process is opened in another, as users do, by Keras's own `load_model`."""

import shutil

import pytest
from outside import python

from inception_keras.zoo import ZOO

# what a user runs to save nets: compiled, trained or not, with heads or not
SAVE = """
import json
import keras, numpy as np
import inception_keras as ik
from inception_keras.zoo import ZOO

figures = {}
for id, options in NETS:
    name = id + "".join(f"-{key}" for key in options)
    keras.utils.clear_session(free_memory=True)
    keras.utils.set_random_seed(0)
    side, channels = max(ZOO[id].least, 32), 1 if id.startswith("lenet") else 3
    model = ik.create_model(id, input_shape=(side, side, channels), classes=5, **options)
    images = np.random.default_rng(0).normal(size=(4, side, side, channels)).astype("float32")
    labels = np.array([0, 3, 4, 1])
    ik.compile_model(model, "adam", aux_weight=0.5, label_smoothing=0.1, metrics=["accuracy", "cross_entropy"])
    model.run_eagerly = True  # which is faster for few images
    data = ik.with_aux_labels((images, labels), model)
    if id in TRAINED:
        model.fit(*data, verbose=0)
    model.save(f"{name}.keras")
    outputs = model(images, training=False)
    outputs = {key: x.numpy().tolist() for key, x in (outputs if isinstance(outputs, dict) else {"": outputs}).items()}
    measured = model.evaluate(*data, verbose=0, return_dict=True)
    model.save(f"{name}.h5")  # last: Keras's h5 saving takes the optimizer out of the model's own record
    figures[name] = {"shape": images.shape, "outputs": outputs, "evaluate": measured}
json.dump(figures, open("figures.json", "w"))
"""

# and what another process runs to open them: the package only has to be imported
OPEN = """
import json
import inception_keras
import keras
import numpy as np

def check(name, suffix, wanted, compiled):
    keras.utils.clear_session(free_memory=True)
    model = keras.models.load_model(f"{name}.{suffix}", compile=compiled)
    images = np.random.default_rng(0).normal(size=wanted["shape"]).astype("float32")
    outputs = model(images, training=False)
    outputs = outputs if isinstance(outputs, dict) else {"": outputs}
    assert outputs.keys() == wanted["outputs"].keys()
    for key, value in outputs.items():
        np.testing.assert_allclose(value, wanted["outputs"][key], rtol=1e-5, atol=1e-7)
    assert bool(model.compiled) == compiled
    if compiled:
        model.run_eagerly = True
        data = inception_keras.with_aux_labels((images, np.array([0, 3, 4, 1])), model)
        measured = model.evaluate(*data, verbose=0, return_dict=True)
        assert measured.keys() == wanted["evaluate"].keys()
        for key, value in measured.items():
            np.testing.assert_allclose(value, wanted["evaluate"][key], rtol=1e-5, err_msg=key)
        assert model.jit_compile is False  # as on the machine that saved it
        if suffix == "keras" and name.partition("-")[0] in TRAINED:  # Keras keeps no optimizer of such models in .h5
            assert int(model.optimizer.iterations) == 1
            assert len(model.optimizer.variables) == 2 + 2 * len(model.trainable_variables)

for name, wanted in json.load(open("figures.json")).items():
    for suffix, compiled in (("keras", True), ("keras", False), ("h5", True), ("h5", False)):
        try:
            check(name, suffix, wanted, compiled)
            print("opened", f"{name}.{suffix}", compiled)
        except Exception as error:
            print("failed", f"{name}.{suffix}", compiled, type(error).__name__, str(error)[:200].replace(chr(10), " "))
"""

HANDFUL = [
    ("lenet5", {}),
    ("googlenet_cifar", {"aux": True}),
    ("mobilenet_v3_small", {}),
    ("shufflenet_v1_g3", {}),
    ("alexnet_2012", {}),
]
WITH_HEADS = [id for id in ZOO if id.startswith("googlenet") or id == "inception_v3"]
EVERY = [(id, {}) for id in ZOO] + [(id, {"aux": True}) for id in WITH_HEADS]


def saved(folder, nets, trained=()):
    python(f"NETS, TRAINED = {nets!r}, {trained!r}\n" + SAVE, cwd=folder)


def opened(folder, nets, trained=()):
    """Opens in a new process the nets that were saved; the lines of those that are not as they were."""
    said = python(f"NETS, TRAINED = {nets!r}, {trained!r}\n" + OPEN, cwd=folder).splitlines()
    failed = [line for line in said if line.startswith("failed ")]
    assert len(failed) + sum(line.startswith("opened ") for line in said) == 4 * len(nets)
    return failed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of a handful of nets, written by a process that is over."""
    folder = tmp_path_factory.mktemp("saved")
    saved(folder, HANDFUL, trained=("lenet5", "googlenet_cifar"))
    return folder


def test_nets_are_opened_after_importing_the_package(folder):
    assert opened(folder, HANDFUL, trained=("lenet5", "googlenet_cifar")) == []


def test_without_the_package_the_error_names_it_and_importing_it_later_suffices(folder):
    code = """
import sys
import keras
assert "inception_keras" not in sys.modules
for suffix in ("keras", "h5"):
    try:
        keras.models.load_model(f"googlenet_cifar-aux.{suffix}")
    except Exception as error:
        print("inception_keras>Conv2D" in str(error))
import inception_keras
for suffix in ("keras", "h5"):
    print(keras.models.load_model(f"googlenet_cifar-aux.{suffix}").name)
"""
    assert python(code, cwd=folder).splitlines()[:4] == ["True", "True", "googlenet_cifar", "googlenet_cifar"]


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, len(EVERY), 8))
def test_every_net(tmp_path, first):
    saved(tmp_path, EVERY[first : first + 8])
    assert opened(tmp_path, EVERY[first : first + 8]) == []
    shutil.rmtree(tmp_path)  # gigabytes

"""Nets saved in one process are opened in another with Keras's own `load_model`, as users do."""

import copy
import pickle
import shutil

import keras
import numpy as np
import pytest
from outside import python

import inception_keras as ik
from inception_keras import layers
from inception_keras.zoo import ZOO

# the images and labels that nets are measured on, in both processes
DATA = """
def measured_on(model, task, shape):
    images = np.random.default_rng(0).normal(size=shape).astype("float32")
    labels = np.array([0, 3, 4, 1])
    if task == "segmentation":
        return images, np.broadcast_to(labels.astype("uint8")[:, None, None], shape[:3])
    if isinstance(model.output, dict) and task == "detection":  # boxes: such nets are trained in another form
        if not isinstance(model.input, dict):
            return images, None
        count = model.input["proposals"].shape[1] or 2
        proposals = np.tile(np.array([0, 0, 16, 16], "float32"), (len(images), count, 1))
        return {"images": images, "proposals": proposals}, None
    if task == "detection":
        return images, np.zeros((4, *model.output_shape[1:]), "float32")
    return inception_keras.with_aux_labels((images, labels), model)
"""

# what a user runs to save nets, compiled, some of them trained
SAVE = """
import json
import inception_keras
import inception_keras as ik
import keras
assert "inception_keras>Conv2D" in keras.saving.get_custom_objects()  # though nothing has been used yet
import numpy as np
from inception_keras.training.pixels import PixelCrossEntropy, PixelMetric
from inception_keras.zoo import ZOO

def every_layer(input_shape, classes, aux=False):
    from inception_keras import layers
    image = keras.Input(input_shape)
    x = layers.Conv2D(8, 3, groups=1, activation=layers.scaled_tanh, name="conv")(image)
    x = layers.LocalResponseNormalization(3, name="lrn")(x)
    x = layers.BatchNormalization(name="norm")(layers.DepthwiseConv2D(3, strides=2, name="depthwise")(x))
    x = layers.HardSwish(name="swish")(x)
    x = layers.ChannelShuffle(2, name="shuffle")(x)
    x = keras.layers.Concatenate(name="concat")(layers.ChannelSplit(3, name="split")(x))
    x = layers.CeilMaxPooling2D(3, 2, name="ceil")(x)
    x = layers.CeilAveragePooling2D(3, 2, name="ceil_average")(x)
    x = layers.MaxPooling2D(3, 1, name="max")(layers.AdaptiveAveragePooling2D(6, name="average")(x))
    x = layers.Subsampling2D("tanh", name="sub")(x)
    like = x
    x = layers.BilinearConv2DTranspose(8, 4, 2, name="enlarged")(x)
    x = layers.ResizeLike(name="resized")([layers.CropLike(1, name="cropped")([x, like]), like])
    x = layers.TableConv2D([[0, 1], [2, 3, 7]], 2, name="table")(x)
    x = layers.WithinChannelNormalization(name="within")(layers.LocallyConnected2D(8, 3, name="local")(x))
    corners = keras.layers.Dense(8, "relu", name="corners")(keras.layers.GlobalAveragePooling2D(name="means")(x))
    maps = [x, keras.layers.Reshape((2, 4), name="boxes")(corners)]
    regions = [layers.RoIAlign(2, name="align")(maps), layers.RoIPooling(2, name="roi_pool")(maps)]
    regions = [layers.FlattenRegions(name=f"vectors_{index}")(region) for index, region in enumerate(regions)]
    regions = [keras.layers.Flatten(name=f"flat_{index}")(region) for index, region in enumerate(regions)]
    x = layers.SpatialPyramidPooling2D((2, 1), name="pyramid")(x)
    x = layers.LowRankDense(8, 2, name="eight")(keras.layers.Concatenate(name="all")([x, *regions]))
    heads = {"aux_1": keras.layers.Dense(classes, "softmax", name="aux_1")(x)} if aux else {}
    x = layers.RadialBasis(np.eye(classes, 8), name="codes")(x)
    heads["predictions"] = keras.layers.Softmax(name="predictions")(x)
    return keras.Model(image, heads if aux else heads["predictions"], name="every_layer")

figures = {}
for id, options in NETS:
    name = id + "".join(f"-{key}" for key in options)
    keras.utils.clear_session(free_memory=True)
    keras.utils.set_random_seed(0)
    side, channels = max(ZOO[id].min_size if id in ZOO else 0, 32), 1 if id.startswith("lenet") else 3
    if (id, options) == ("inception_v3", {"aux": True}):
        side = 299  # its head is for images of this size alone
    options = options | {"input_shape": (side, side, channels), "classes": 5}
    model = ik.create_model(id, **options) if id in ZOO else every_layer(**options)
    optimizer, task = "adam" if TRAINED else "sgd", ZOO[id].task if id in ZOO else "classification"
    if task == "segmentation":
        model.compile(optimizer, PixelCrossEntropy(), metrics=[PixelMetric("mean_iou", 5)], jit_compile=False)
    elif task == "detection" and not isinstance(model.output, dict):
        metrics = [keras.metrics.MeanAbsoluteError()]  # an object: Keras cannot open names of metrics in .h5
        model.compile(optimizer, keras.losses.MeanSquaredError(), metrics=metrics, jit_compile=False)
    elif task == "classification":
        options = {"aux_weight": 0.5, "label_smoothing": 0.1, "metrics": ["accuracy", "cross_entropy"]}
        ik.compile_model(model, optimizer, **options)
    model.run_eagerly = True  # which is faster for few images
    shape = (1 if isinstance(model.input, dict) else 4, side, side, channels)  # thousands of regions take a minute
    data = images, _ = measured_on(model, task, shape)
    if TRAINED:
        model.fit(*data, verbose=0)
    model.save(f"{name}.keras")
    outputs = model(images, training=False)
    outputs = {key: x.numpy().tolist() for key, x in (outputs if isinstance(outputs, dict) else {"": outputs}).items()}
    measured = model.evaluate(*data, verbose=0, return_dict=True) if model.compiled else {}
    model.save(f"{name}.h5")  # last: Keras's h5 saving takes the optimizer out of the model's own record
    figures[name] = {"task": task, "shape": shape, "outputs": outputs, "evaluate": measured}
json.dump(figures, open("figures.json", "w"))
if RUN:
    ik.train(ik.Recipe(model="lenet5_modern", data="digits", epochs=1), "run", verbose=0)
"""

# and what another process runs to open them: the package only has to be imported, be it after Keras
OPEN = """
import json
import keras
import numpy as np
try:
    keras.models.load_model(NETS[0][0] + "".join(f"-{key}" for key in NETS[0][1]) + ".keras")
    print("failed: opened without the package")
except TypeError as error:
    assert "inception_keras>" in str(error), error
import inception_keras

def check(name, suffix, compiled, wanted):
    keras.utils.clear_session(free_memory=True)
    model = keras.models.load_model(f"{name}.{suffix}", compile=compiled)
    data = images, _ = measured_on(model, wanted["task"], wanted["shape"])
    outputs = model(images, training=False)
    outputs = outputs if isinstance(outputs, dict) else {"": outputs}
    assert outputs.keys() == wanted["outputs"].keys()
    for key, value in outputs.items():
        np.testing.assert_allclose(value, wanted["outputs"][key], rtol=1e-5, atol=1e-7)
    assert bool(model.compiled) == (compiled and bool(wanted["evaluate"]))
    if not model.compiled:
        return
    model.run_eagerly = True
    measured = model.evaluate(*data, verbose=0, return_dict=True)
    assert measured.keys() == wanted["evaluate"].keys()
    for key, value in measured.items():
        np.testing.assert_allclose(value, wanted["evaluate"][key], rtol=1e-5, err_msg=key)
    assert model.jit_compile is False  # as on the machine that saved it
    if TRAINED and suffix == "keras":  # Keras keeps the state of an optimizer there alone
        assert int(model.optimizer.iterations) == 1
        assert any(np.any(moment) for moment in model.optimizer.variables[2:])

for number, (name, wanted) in enumerate(json.load(open("figures.json")).items()):
    # compiled or not; in the large sweep, a net in each file, so that it takes half as long
    ways = [("keras", True), ("h5", False)], [("keras", False), ("h5", True)]
    for suffix, compiled in ways[0] + ways[1] if TRAINED else ways[number % 2]:
        try:
            check(name, suffix, compiled, wanted)
            print("opened", name, suffix)
        except Exception as error:
            print("failed", name, suffix, type(error).__name__, str(error)[:300].replace(chr(10), " "))
if RUN:
    model = keras.models.load_model("run/model.keras")
    data = inception_keras.load_data("digits", augment=False)
    figures = inception_keras.compile_model(model).evaluate(data.test, verbose=0, return_dict=True)
    result = json.load(open("run/config.json"))["result"]["rows"][0]
    for name in ("loss", "accuracy"):
        if abs(figures[name] - result["test_" + name]) > 1e-5:
            print("failed: the run's model has", figures, "not", result)
"""

WITH_HEADS = [id for id in ZOO if id.startswith("googlenet") or id == "inception_v3"]
EVERY = [(id, {}) for id in ZOO] + [(id, {"aux": True}) for id in WITH_HEADS]


def saved_and_opened(folder, nets, trained, run=False):
    """Saves nets, and perhaps a run, in one process, opens them in another, and returns the differences."""
    given = f"NETS, TRAINED, RUN = {nets!r}, {trained}, {run}\n"
    python(given + DATA + SAVE, cwd=folder)
    said = python(given + DATA + OPEN, cwd=folder).splitlines()
    failed = [line for line in said if line.startswith("failed")]
    assert len(failed) + sum(line.startswith("opened") for line in said) == (4 if trained else 2) * len(nets)
    return failed


@pytest.mark.parametrize(
    ("nets", "run"),
    [
        ([("lenet5", {}), ("every_layer", {"aux": True})], False),
        pytest.param(
            [("every_layer", {}), ("googlenet_cifar", {"aux": True}), ("fcn_small8s", {}), ("yolo_v1_mini", {})],
            True,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_trained_nets_are_opened_in_another_process(tmp_path, nets, run):
    assert saved_and_opened(tmp_path, nets, trained=True, run=run) == []


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, len(EVERY), 8))
def test_every_net_is_opened_in_another_process(tmp_path, first):
    assert saved_and_opened(tmp_path, EVERY[first : first + 8], trained=False) == []
    shutil.rmtree(tmp_path)  # gigabytes


def test_the_layers_above_are_all_that_there_are():
    assert all(f"layers.{name}" in SAVE for name in layers.__all__)


def test_copies_of_a_compiled_net():
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(layers.Conv2D(4, 3)(image))
    heads = {name: keras.layers.Dense(4, None, name=name)(x) for name in ("predictions", "aux_1")}
    model = keras.Model(image, heads)
    top = keras.metrics.SparseTopKCategoricalAccuracy(k=2, name="top")
    ik.compile_model(model, aux_weight=0.7, label_smoothing=0.2, metrics=["accuracy", "cross_entropy", top])
    model.run_eagerly = True  # which is faster for few images
    images, labels = np.random.default_rng(0).normal(size=(6, 8, 8, 3)), np.arange(6) % 4
    data = ik.with_aux_labels((images, labels), model)
    model.fit(*data, verbose=0)
    figures = model.evaluate(*data, verbose=0, return_dict=True)
    anew = keras.models.clone_model(model)
    anew.compile_from_config(model.get_compile_config())
    anew.set_weights(model.get_weights())
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), anew):
        other.run_eagerly = True
        assert other.evaluate(*data, verbose=0, return_dict=True) == pytest.approx(figures)
        assert other.get_compile_config() == model.get_compile_config()

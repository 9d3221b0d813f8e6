"""Export of nets with our own layers: SavedModel, LiteRT and ONNX give the outputs of Keras."""

from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from inception_keras import create_model, layers
from inception_keras.zoo import ZOO

# grouped, depthwise and shuffled convolutions, LRN, pools that round up, fused batch norm; and a pool that adapts
IDS = ["googlenet", "shufflenet_v1_g3", "mobilenet_v3_small", "seresnet18", "adaptive"]
pytestmark = pytest.mark.slow


def adaptive(input_shape, classes):
    """A pool that adapts, and grouped convolutions of few channels, without the large dense layers of AlexNet."""
    x = image = keras.Input(input_shape)
    x = layers.Conv2D(8, 3, groups=1, activation="relu")(x)
    x = layers.Conv2D(16, 3, groups=4)(x)
    x = keras.layers.Flatten()(layers.AdaptiveAveragePooling2D(6)(x))
    return keras.Model(image, keras.layers.Dense(classes)(x), name="adaptive")


@pytest.fixture(params=IDS)
def net(request):
    """A model, images, and the outputs of the model for them."""
    keras.utils.set_random_seed(0)
    side = 29 if request.param == "adaptive" else ZOO[request.param].min_size
    build = adaptive if request.param == "adaptive" else partial(create_model, request.param)
    model = build(input_shape=(side, side, 3), classes=5)
    images = np.random.default_rng(0).normal(size=(2, side, side, 3)).astype("float32")
    return model, images, model.predict(images, verbose=0)


def _close(found, expected):
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_saved_model(net, tmp_path):
    model, images, expected = net
    model.export(str(tmp_path / "net"), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "net"))
    _close(loaded.serve(images).numpy(), expected)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")  # tf2onnx's
def test_onnx(net, tmp_path):
    runtime = pytest.importorskip("onnxruntime", reason="the extra `export` brings it; make test-all installs it")
    model, images, expected = net
    model.export(str(tmp_path / "net.onnx"), format="onnx", verbose=False)
    session = runtime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: images})
    _close(found, expected)


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter")  # its successor is a package of its own
def test_litert(net, tmp_path):
    model, images, expected = net
    model.export(str(tmp_path / "net.tflite"), format="litert", verbose=False)
    interpreter = tf.lite.Interpreter(str(tmp_path / "net.tflite"))
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, images)
    interpreter.invoke()
    _close(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]), expected)

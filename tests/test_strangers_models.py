"""Models as users build them: nested, shared, Sequential, with operations, and all of keras.applications."""

import re

import keras
import numpy as np
import outside
import pytest
from keras import layers, ops

import inception_keras as ik
from inception_keras.weights.store import variables


def base(name="base", side=None):
    """A small convolutional base with an operation in it. Its input size is open unless one is given."""
    x = image = keras.Input((side, side, 3))
    for i, filters in enumerate((8, 12), start=1):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", name=f"conv_{i}")(x)
        x = layers.BatchNormalization(name=f"conv_{i}-bn")(x)
        x = x * ops.sigmoid(x)
    return keras.Model(image, x, name=name)


def transfer_learning():
    """A model as in Keras's guide on transfer learning."""
    image = keras.Input((32, 32, 3), name="photo")
    x = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1)], name="augmentation")(image)
    x = layers.Lambda(lambda pixels: pixels / 255)(x)
    x = layers.GlobalAveragePooling2D()(base()(x, training=False))
    return keras.Model(image, layers.Dense(7, activation="softmax")(layers.Dropout(0.2)(x)), name="guide")


def sequential():
    return keras.Sequential(
        [keras.Input((32, 32, 3)), base(), layers.Flatten(), layers.Dense(7, activation="softmax")], name="sequential"
    )


def twice_nested():
    image = keras.Input((32, 32, 3))
    whole = keras.Model(image, layers.Dense(7)(layers.GlobalMaxPooling2D()(base()(image))), name="whole")
    outer = keras.Input((32, 32, 3))
    return keras.Model(outer, layers.Softmax()(whole(layers.Rescaling(2.0)(outer))), name="twice")


def shared():
    image = keras.Input((32, 32, 3))
    net = base()
    x = layers.Concatenate()([net(image), net(image[:, :, ::-1])])
    return keras.Model(image, layers.Dense(7)(layers.GlobalAveragePooling2D()(x)), name="shared")


def of_two_bases():
    image = keras.Input((32, 32, 3))
    x = base("left")(image) + base("right", side=32)(image)
    return keras.Model(image, layers.Dense(7)(layers.GlobalAveragePooling2D()(x)), name="two")


CONV = 16 * 16 * 8 * 9 * 3 + 8 * 8 * 12 * 9 * 8  # MACs of the base at 32 x 32
NETS = [  # how it is made, MACs, names of the default feature maps
    (transfer_learning, CONV + 12 * 7, [16, 8]),
    (sequential, CONV + 768 * 7, [16, 8]),
    (twice_nested, CONV + 12 * 7, [16, 8]),
    (shared, 2 * CONV + 24 * 7, [16, 8]),
    (of_two_bases, 2 * CONV + 12 * 7, [16, 8]),
]
IMAGES = np.random.default_rng(0).uniform(0, 255, (8, 32, 32, 3)).astype("float32")


@pytest.mark.parametrize(("make", "macs", "sides"), NETS)
def test_a_nested_model_is_read_as_any(make, macs, sides, tmp_path):
    keras.utils.set_random_seed(0)
    model = make()
    table = ik.profile(model)
    assert (table.params, table.macs) == (model.count_params(), macs)
    assert ik.profile(model, input_shape=(64, 64, 3)).macs >= 4 * (macs - 768 * 7)
    assert ik.plot_blocks(model, tmp_path / "net.svg").stat().st_size > 1000
    before = model(IMAGES, training=False).numpy()

    maps = ik.features(model)
    assert [output.shape[1] for output in maps.output.values()] == sides
    wanted = ["conv_1-bn", list(maps.output)[-1]]
    given = ik.features(model, wanted)(IMAGES, training=False)
    inner = next(layer for layer in model._flatten_layers() if layer.name in ("base", "left"))
    scale = {"guide": 1 / 255, "twice": 2.0}.get(model.name, 1.0)
    deep = keras.Model(inner.input, inner.get_layer("conv_1-bn").output)
    np.testing.assert_allclose(given["conv_1-bn"], deep(IMAGES * scale, training=False), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(model(IMAGES, training=False), before)  # the given model stays as it is
    assert len(ik.profile(model).rows) == len(table.rows)


@pytest.mark.parametrize("make", [net[0] for net in NETS])
def test_a_nested_model_is_transferred_frozen_and_trained(make, tmp_path):
    model = make()
    net = ik.transfer(model, 5)
    assert net.output.shape == (None, 5) and len(net.trainable_variables) == 2
    head = net.layers[-1].name
    kept = {name: np.array(value) for name, value in variables(net).items() if not name.startswith(head)}
    original = {name: np.array(value) for name, value in variables(model).items()}
    equal = [any(np.array_equal(value, other) for other in original.values()) for value in kept.values()]
    assert all(equal) and len(kept) == len(original) - 2
    ik.compile_model(net, "sgd").run_eagerly = make is not transfer_learning  # faster; of one, the graph is tried
    net.fit(IMAGES, np.arange(8) % 5, verbose=0)
    for name, value in kept.items():
        np.testing.assert_array_equal(variables(net)[name], value, err_msg=name)
    assert not any(np.array_equal(variables(net)[name], value) for name, value in original.items() if name[:4] == head)

    ik.unfreeze(net, "conv_2")
    assert {v.path.split("/")[-2] for v in net.trainable_variables} >= {"conv_2", "conv_2-bn", head}
    assert not any("conv_1" in v.path for v in net.trainable_variables)
    net.save(tmp_path / "net.keras")
    opened = keras.models.load_model(tmp_path / "net.keras", safe_mode=False)  # there is a lambda in one of them
    np.testing.assert_allclose(opened(IMAGES, training=False), net(IMAGES, training=False), rtol=1e-5)


def test_a_nested_model_is_frozen_by_its_name_and_its_blocks():
    model = ik.freeze(of_two_bases(), "left")
    trained = {id(value) for value in model.trainable_variables}
    frozen = {name for name, value in variables(model).items() if id(value) not in trained and "moving" not in name}
    assert frozen == {
        *("left/conv_1/kernel", "left/conv_1/bias", "left/conv_1-bn/gamma", "left/conv_1-bn/beta"),
        *("left/conv_2/kernel", "left/conv_2/bias", "left/conv_2-bn/gamma", "left/conv_2-bn/beta"),
    }
    assert len(ik.freeze(model, "up to right").trainable_variables) == 2 + 8
    assert len(ik.freeze(model, "up to conv_1").trainable_variables) == 2 + 8
    assert len(ik.unfreeze(ik.freeze(model, "all"), "right").trainable_variables) == 2 + 8
    with pytest.raises(ValueError, match="two has no block 'rigth'; did you mean right"):
        ik.freeze(model, "rigth")


def test_features_that_a_classifier_inside_reads():
    model = twice_nested()
    matrix, labels = ik.extract_features(model, _pairs())
    np.testing.assert_allclose(matrix, model.get_layer("whole").get_layer("base")(IMAGES * 2).numpy().max((1, 2)), 1e-4)
    assert list(labels) == list(range(8))


def _pairs():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((IMAGES, np.arange(8))).batch(4)


def test_what_cannot_be_counted_or_copied_is_named():
    class Own(layers.Layer):
        def __init__(self, width):
            super().__init__(name="own")
            self.width = width

        def call(self, x):
            return x * self.width

    image = keras.Input((8, 8, 3))
    net = keras.Model(image, layers.Dense(3)(layers.Flatten()(Own(3)(image))), name="net")
    assert ik.profile(net).macs == 192 * 3
    with pytest.raises(
        TypeError, match="net cannot be copied; get_config of each layer must give what its class takes"
    ):
        ik.transfer(net, 4)
    with pytest.raises(ValueError, match=r"input_shape of base has 3 sizes, got \(8,\)"):
        ik.profile(base(), input_shape=(8,))
    with pytest.raises(ValueError, match=r"conv does not take \(2, 2, 3\), which it gets with this input_shape"):
        ik.profile(keras.Model(image, layers.Conv2D(4, 3, name="conv")(image)), input_shape=(2, 2, 3))


MAKE = """
import keras, numpy as np, sys
from keras import layers
import inception_keras as ik
def base(name):
    x = image = keras.Input((None, None, 3))
    x = layers.BatchNormalization(name="bn")(layers.Conv2D(4, 3, name="conv")(x))
    return keras.Model(image, x, name=name)
image = keras.Input((16, 16, 3))
attention = layers.MultiHeadAttention(2, 3, name="attention")
x = layers.Reshape((-1, 4))(keras.Sequential([base("left")], name="inner")(image) * base("right")(image))
model = keras.Model(image, layers.Dense(3)(layers.Flatten()(attention(x, x))))
images = np.linspace(0, 1, 2 * 16 * 16 * 3).reshape(2, 16, 16, 3)
"""


def test_weights_of_nested_models_are_saved_by_name_and_read_in_another_process(tmp_path):
    load = "ik.load_weights(model, 'x.safetensors'); print('sum', model(images, training=False).numpy().sum())"
    made: dict = {}
    keras.utils.clear_session()  # layers without a name are numbered as in a new process
    exec(MAKE, made)
    ik.save_weights(made["model"], tmp_path / "x.safetensors")
    saved = made["model"](made["images"], training=False).numpy().sum()
    loaded = re.search(r"sum (\S+)", outside.python(f"{MAKE}\n{load}", tmp_path))[1]
    assert saved == pytest.approx(float(loaded), rel=1e-6)
    from inception_keras.weights.store import read

    names = read(tmp_path / "x.safetensors")
    assert len(names) == 2 * 6 + 8 + 2
    assert {"inner/left/conv/kernel", "right/bn/moving_mean", "attention/query/kernel"} <= set(names)


# ------------------------------------------------------------------------------------------------- keras.applications

# side of the image, and MACs for one image in 10^9: torchvision 0.29's `get_model_weights(...).DEFAULT.meta["_ops"]`;
# for nets with a star, which torchvision lacks or has otherwise, half of what TensorFlow's own profiler
# (tf.compat.v1.profiler, float_operation) counts for Conv2D, DepthwiseConv2dNative and MatMul in the traced net
PUBLISHED = {
    "MobileNetV3Small": (224, 0.057),
    "ConvNeXtTiny": (224, 4.456),
    "EfficientNetV2B0": (224, 0.718),  # *
    "NASNetMobile": (224, 0.564),  # *
    "DenseNet121": (224, 2.834),
    "MobileNetV3Large": (224, 0.217),
    "ConvNeXtSmall": (224, 8.684),
    "ConvNeXtBase": (224, 15.355),
    "ConvNeXtLarge": (224, 34.361),
    "EfficientNetB0": (224, 0.386),
    "EfficientNetB1": (240, 0.687),
    "EfficientNetV2S": (384, 8.366),
    "EfficientNetV2M": (480, 24.582),
    "EfficientNetV2L": (480, 56.08),
    "DenseNet169": (224, 3.36),
    "DenseNet201": (224, 4.291),
    "InceptionV3": (299, 5.713),
    "MobileNetV2": (224, 0.301),
    "ResNet50": (224, 3.858),  # *
    "VGG16": (224, 15.47),
    "VGG19": (224, 19.632),
    "Xception": (299, 8.357),  # *
}
FAST = ("MobileNetV3Small", "ConvNeXtTiny", "EfficientNetV2B0")
EVERY = sorted(name for name in dir(keras.applications) if name[0].isupper())
ALL = [pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in EVERY]


@pytest.mark.parametrize("name", ALL)
def test_every_net_of_keras_applications_is_counted_and_cut(name, without_weights):
    side, macs = PUBLISHED.get(name, (None, None))
    model = getattr(keras.applications, name)(weights=None)
    side = side or model.input.shape[1]
    table = ik.profile(model, input_shape=(side, side, 3))
    assert table.params == model.count_params()
    if macs is not None:
        assert table.macs / 1e9 == pytest.approx(macs, rel=0.01)
    maps = ik.features(model).output
    strides = [int(np.log2(side / (output.shape[1] or output.shape[2] or side)) + 0.5) for output in maps.values()]
    if model.input.shape[1]:
        assert strides[-4:] == [2, 3, 4, 5]
    assert len(maps) in (4, 5, 6)
    net = ik.transfer(model, 5)
    assert net.output.shape == (None, 5) and len(net.trainable_variables) == 2
    assert net.count_params() < model.count_params()


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_every_net_of_keras_applications_learns_five_classes(name, tmp_path):
    keras.utils.clear_session(free_memory=True)
    if name in ("ConvNeXtLarge", "ConvNeXtXLarge", "EfficientNetB7", "EfficientNetV2L", "NASNetLarge"):
        pytest.skip("more than 6 GiB of weights in three copies")
    small = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(96, 96, 3))
    image = keras.Input((96, 96, 3))
    x = layers.GlobalAveragePooling2D()(small(layers.Rescaling(1 / 255)(image)))
    model = keras.Model(image, layers.Dense(9)(x), name="nested")
    assert ik.profile(model).params == model.count_params()
    assert ik.plot_blocks(model, tmp_path / "net.svg").stat().st_size > 1000
    net = ik.transfer(model, 5)
    ours, theirs = variables(net), variables(model)
    names = theirs.keys() & ours.keys()
    assert len(names) >= len(small.weights)
    ik.compile_model(net, "sgd").run_eagerly = name != "ResNet50"  # faster for two images; of one, the graph is tried
    net.fit(np.ones((2, 96, 96, 3)), np.array([0, 4]), verbose=0)
    for key in names:
        np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)


def test_a_model_with_its_channels_first():
    maps = layers.Conv2D(8, 3, strides=2, data_format="channels_first", name="b")
    image = keras.Input((3, None, None))
    x = maps(layers.Conv2D(4, 3, data_format="channels_first", name="a")(image))
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D("channels_first")(x)))
    assert ik.profile(model, input_shape=(3, 32, 32)).macs == 30 * 30 * 108 + 14 * 14 * 288 + 16
    assert {name: x.shape[1] for name, x in ik.features(model).output.items()} == {"a": 4, "b": 8}
    assert ik.transfer(keras.Model(image, x), 5).layers[-1].kernel.shape == (8, 5)
    for net, shape in ((model, (32, 32, 3)), (ik.create_model("lenet5"), (1, 32, 32))):
        with pytest.raises(ValueError, match=r"^input_shape must keep the \d channels of .*, whose input is \("):
            ik.profile(net, input_shape=shape)


def test_a_model_for_batches_of_one_size():
    image = keras.Input(batch_shape=(4, 8, 8, 3))
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(image)))
    assert ik.transfer(model, 5).output.shape == (4, 5)

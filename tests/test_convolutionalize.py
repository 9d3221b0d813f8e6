"""Classifiers as fully convolutional nets: every net of the zoo, nets of users, and what cannot become one."""

import json

import keras
import numpy as np
import pytest
import synthetic
from keras import layers
from outside import python

import inception_keras as ik
from inception_keras.zoo import ZOO

FAST = ("alexnet_2012", "vgg11", "googlenet", "squeezenet1_1", "resnet20_cifar", "lenet5", "mobilenet_v1_025", "zfnet")
IDS = [id if id in FAST else pytest.param(id, marks=pytest.mark.slow) for id in ik.list_models()]
# the map of a picture that is half as large again as a training picture
LARGER = dict.fromkeys(ik.list_models(), 5)  # one more than half of the 7 (or 8) pixels of the last map
LARGER |= dict.fromkeys(["googlenet_cifar"], 2) | dict.fromkeys(["squeezenet1_0", "squeezenet1_1"], 8)
LARGER |= dict.fromkeys(["googlenet", "googlenet_bn", "seinception", "alexnet", "alexnet_2012"], 4)
LARGER |= dict.fromkeys(ik.list_models("vgg*") + ik.list_models("densenet*") + ik.list_models("mobilenet_v1*"), 4)


@pytest.mark.parametrize("id", IDS)
def test_every_net_keeps_its_parameters_and_names(without_weights, id):
    model = ik.create_model(id)
    height, _, channels = model.input_shape[1:]
    net = ik.convolutionalize(model)
    assert net.count_params() == model.count_params()
    assert [layer.name for layer in net.layers] == [layer.name for layer in model.layers if layer.name != "flatten"]
    assert net.input_shape == (None, None, None, channels) and net.name == id
    for side, places in ((height, 1), (height * 3 // 2, LARGER[id])):
        assert net.compute_output_shape((2, side, side, channels)) == (2, places, places, model.output_shape[-1])


def filled(model):
    """The model with weights of which none is a start value, as biases of zero would hide that they are lost."""
    shapes = {f"{i} {variable.path}": variable.shape for i, variable in enumerate(model.weights)}
    for name, variable in zip(shapes, model.weights, strict=True):
        rng = np.random.default_rng(len(name))
        if "variance" in name:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif len(variable.shape) < 2:
            variable.assign(variable + 0.3 * rng.standard_normal(variable.shape))
    return model


def difference(model, net, size):
    """The largest difference between a net's only place and the classifier, as a share of the largest score."""
    image = synthetic.image(*size, model.input_shape[-1])
    scores, places = (np.asarray(each(image, training=False)) for each in (model, net))
    assert places.shape == (1, 1, 1, scores.shape[-1])
    assert scores.std() > 1e-4 * abs(scores).max() > 0  # else equal scores would say nothing
    return float(abs(places[:, 0, 0] - scores).max() / abs(scores).max())


@pytest.mark.parametrize(
    ("id", "side"), [("lenet5", 32), ("lenet5_modern", 32), ("squeezenet1_1", 33), ("resnet20_cifar", 32)]
)
def test_equals_the_classifier_at_the_training_size(id, side):
    model = ik.create_model(id, classifier_activation=None)
    if model.input_shape[1] != side:
        model = ik.create_model(id, classifier_activation=None, input_shape=(side, side, 3))
    assert difference(filled(model), ik.convolutionalize(model), (side, side)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("id", [id for id in ik.list_models() if id.startswith(("vgg", "alexnet", "zfnet", "lenet"))])
def test_equals_the_classifier_that_flattens_its_map(id):
    """The nets that average their maps are checked in test_golden."""
    side = ZOO[id].image
    with ik.without_weights():
        channels = ik.create_model(id).input_shape[-1]
    model = filled(ik.create_model(id, classifier_activation=None, input_shape=(side, side, channels)))
    found = difference(model, ik.convolutionalize(model), (side, side))
    print(f"{id:<22}{side:>5}{found:>10.1e}")
    assert found < 1e-5


@pytest.mark.parametrize("id", ["lenet5", "lenet5_modern"])
def test_without_padding_each_place_is_the_classifier_on_its_window(id):
    model = filled(ik.create_model(id))
    image = synthetic.image(44, 52, 1)
    places = np.asarray(ik.convolutionalize(model)(image))
    assert places.shape[1:3] == (4, 6)
    windows = [image[0, 4 * i : 4 * i + 32, 4 * j : 4 * j + 32] for i in range(4) for j in range(6)]
    np.testing.assert_allclose(places.reshape(24, 10), np.asarray(model(np.stack(windows))), atol=1e-5)


def of_a_user():
    """A net with a map that is not square, dropout between flattening and dense layer, and batch norm in the head."""
    return keras.Sequential(
        [
            keras.Input((20, 28, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(6, 3, activation="relu", name="conv"),
            layers.MaxPooling2D(3, name="pool"),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.ReLU(),
            layers.Dense(12, name="hidden", kernel_regularizer="l2"),
            layers.BatchNormalization(axis=1, name="norm"),
            layers.Activation("relu"),
            layers.Dense(4, "softmax", name="scores"),
        ],
        name="own",
    )


def test_a_net_of_a_user_that_is_sequential():
    model = filled(of_a_user())
    before = [variable.numpy() for variable in model.weights]
    net = ik.convolutionalize(model)
    image = 255 * synthetic.image(26, 34)
    places = np.asarray(net(image))
    assert places.shape == (1, 3, 3, 4)
    windows = np.stack([image[0, 3 * i : 3 * i + 20, 3 * j : 3 * j + 28] for i in range(3) for j in range(3)])
    np.testing.assert_allclose(places.reshape(9, 4), np.asarray(model(windows)), atol=1e-5)
    assert net.get_layer("hidden").kernel_size == (6, 8) and net.get_layer("hidden").kernel_regularizer is not None
    net.get_layer("conv").kernel.assign(0 * net.get_layer("conv").kernel)  # a copy
    for variable, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def around(base):
    """Keras's usual form of transfer learning: a frozen net inside a net."""
    base.trainable = False
    photo = keras.Input(base.input_shape[1:], name="photo")
    x = layers.GlobalAveragePooling2D()(base(photo, training=False))
    return keras.Model(photo, layers.Dense(3, name="scores")(layers.Dropout(0.2)(x)), name="around")


def test_a_net_inside_a_net_takes_any_size_too():
    inner = [layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization(name="norm"), layers.MaxPooling2D(2)]
    model = filled(around(keras.Sequential([keras.Input((10, 10, 3)), *inner], name="base")))
    net = ik.convolutionalize(model)
    assert difference(model, net, (10, 10)) < 1e-5
    assert not net.get_layer("base").trainable_variables and net.count_params() == model.count_params()
    image = synthetic.image(12, 16)
    windows = np.stack([image[0, 2 * i : 2 * i + 10, 2 * j : 2 * j + 10] for i in range(2) for j in range(4)])
    places = np.asarray(net(image))
    np.testing.assert_allclose(places.reshape(8, 3), np.asarray(model(windows)), atol=1e-5)


def test_a_whole_classifier_inside_a_net():
    image = keras.Input((20, 28, 3), name="image")
    model = filled(keras.Model(image, of_a_user()(layers.Rescaling(2.0, name="twice")(image)), name="outer"))
    net = ik.convolutionalize(model)
    assert difference(model, net, (20, 28)) < 1e-5
    assert np.asarray(net(synthetic.image(26, 34))).shape == (1, 3, 3, 4)


def test_a_layer_that_trunk_and_classifier_share_stays_one_layer():
    relu = layers.ReLU(name="relu")
    inner = [relu, layers.Conv2D(4, 3), relu, layers.GlobalAveragePooling2D(), layers.Dense(6), relu, layers.Dense(3)]
    model = filled(head(*inner))
    net = ik.convolutionalize(model)
    assert difference(model, net, (16, 16)) < 1e-5
    assert [layer.name for layer in net.layers].count("relu") == 1


@pytest.mark.slow
def test_a_net_of_keras_applications_is_stored_and_opened_elsewhere(tmp_path):
    base = keras.applications.MobileNetV3Small(include_top=False, weights=None, input_shape=(64, 64, 3), name="base")
    model = filled(around(base))
    net = ik.convolutionalize(model)
    assert difference(model, net, (64, 64)) < 1e-5
    image = synthetic.image(96, 160)
    np.savez(tmp_path / "image.npz", image=image, places=net(image))
    net.save(tmp_path / "net.keras")
    said = python(
        "import json, keras, numpy as np, inception_keras\n"
        "net, kept = keras.models.load_model('net.keras'), np.load('image.npz')\n"
        "places = np.asarray(net(kept['image']))\n"
        "print(json.dumps([places.shape, float(abs(places - kept['places']).max())]))",
        cwd=tmp_path,
    )
    shape, off = json.loads(said.splitlines()[-1])
    assert shape == [1, 2, 4, 3] and off < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["VGG16", "ResNet50V2", "MobileNet", "MobileNetV3Large", "EfficientNetB0", "DenseNet121"]
)
def test_whole_nets_of_keras_applications(name):
    side = 224 if name == "VGG16" else 64
    options = {"weights": None, "input_shape": (side, side, 3), "classifier_activation": None}
    model = filled(getattr(keras.applications, name)(**options))
    net = ik.convolutionalize(model)
    assert net.count_params() == model.count_params()
    assert difference(model, net, (side, side)) < 1e-5


def test_auxiliary_heads_are_cut_off(without_weights):
    net = ik.convolutionalize(ik.create_model("googlenet", aux=True))
    assert net.count_params() == 6_998_552 and net.output_shape == (None, None, None, 1000)


def test_maps_of_one_pixel_inside_the_trunk_are_no_vectors(without_weights):
    own = head(layers.MaxPooling2D(14), layers.Conv2D(8, 3, padding="same"), layers.Flatten(), layers.Dense(3))
    small = [ik.create_model(id, input_shape=(side, side, 3)) for id, side in (("googlenet", 48), ("seresnet18", 32))]
    for model in (own, *small):
        net = ik.convolutionalize(model)
        assert net.count_params() == model.count_params()
        assert net.compute_output_shape((1, *model.input_shape[1:])) == (1, 1, 1, model.output_shape[-1])


@pytest.mark.parametrize(("pool", "places"), [(7, 1), (8, 5)])
def test_a_pool_over_the_whole_map_has_stride_1(pool, places):
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, 2, padding="same")(image)  # (8, 8, 4)
    x = layers.Flatten()(layers.AveragePooling2D(pool, name="pool")(x))
    model = filled(keras.Model(image, layers.Dense(3)(x), name="net"))
    net = ik.convolutionalize(model)
    assert difference(model, net, (16, 16)) < 1e-5
    assert net.compute_output_shape((1, 24, 24, 3))[1:3] == (places, places)


def test_an_adaptive_pool_that_divides_its_map_gets_fixed_windows(without_weights):
    net = ik.convolutionalize(ik.create_model("vgg11", input_shape=(448, 448, 3)))
    assert net.get_layer("adaptive_pool").pool_size == (2, 2)
    assert net.compute_output_shape((1, 448, 512, 3)) == (1, 1, 2, 1000)


def test_a_model_of_any_size_needs_the_training_size(without_weights):
    model = ik.create_model("squeezenet1_1", input_shape=(None, None, 3))
    with pytest.raises(ValueError, match=r"^squeezenet1_1 cannot .*: its input has no fixed size: give the size of"):
        ik.convolutionalize(model)
    assert ik.convolutionalize(model, size=(227, 227)).get_layer("avg_pool").pool_size == (14, 14)
    with pytest.raises(ValueError, match=r"fc_6 is for pictures of \(224, 224\) only"):
        ik.convolutionalize(ik.create_model("vgg11"), size=(256, 256))
    with pytest.raises(ValueError, match=r"^size must be \(height, width\), got \(224,\)"):
        ik.convolutionalize(model, size=(224,))


def head(*more, shape=(16, 16, 3)):
    image = keras.Input(shape, name="image")
    x = layers.Conv2D(4, 3, name="conv")(image) if len(shape) == 3 else image
    for layer in more:
        x = layer(x)
    return keras.Model(image, x, name="net")


def joined():
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(4, 3, name="conv")(image)
    both = [layers.GlobalAveragePooling2D(name="mean")(x), layers.GlobalMaxPooling2D(name="max")(x)]
    return keras.Model(image, layers.Dense(3, name="scores")(layers.Concatenate(name="both")(both)), name="net")


def resizing():
    return head(layers.Resizing(8, 8), layers.Flatten(), layers.Dense(3))


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: head(), r"its output must be scores \(n, classes\), got \(None, 14, 14, 4\)"),
        (lambda: head(layers.Flatten(), layers.PReLU(name="slope"), layers.Dense(3)), "slope, a PReLU behind"),
        (lambda: head(layers.Flatten(), layers.BatchNormalization(name="norm"), layers.Dense(3)), "norm, a BatchNorm"),
        (lambda: head(layers.Flatten()), "no dense layer follows its flattened map"),
        (
            lambda: head(layers.PReLU(name="slope"), layers.Flatten(), layers.Dense(3)),
            "slope needs a map of a fixed size",
        ),
        (
            lambda: head(layers.Reshape((196, 4)), layers.GlobalAveragePooling1D(name="mean")),
            "mean, a GlobalAveragePooling1D",
        ),
        (joined, "behind its last map, both reads mean and max, where one vector is wanted"),
        (resizing, r"it brings every picture to the same size, and so its map always has \(1, 1\) pixels"),
        (lambda: head(layers.Dense(3), shape=(16,)), r"its input must be one picture .*, got \(16,\)"),
        (lambda: ik.create_model("vgg11", input_shape=(64, 64, 3)), "adaptive_pool resizes its map from 2x2 to 7x7"),
        (lambda: keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(2, 3)], name="net"), "its output must be"),
    ],
)
def test_what_cannot_become_convolutional_is_said_in_a_sentence(without_weights, build, why):
    model = build()
    with pytest.raises(ValueError, match=rf"^{model.name} cannot become fully convolutional: .*{why}.*\.$"):
        ik.convolutionalize(model)


def test_a_layer_that_cannot_be_copied_is_named(without_weights):
    class Mine(layers.Layer):
        def __init__(self, width):
            super().__init__(name="mine")

        def call(self, x):
            return x

    with pytest.raises(TypeError, match=r"^mine of net cannot be copied; its get_config must give"):
        ik.convolutionalize(head(Mine(3), layers.Flatten(), layers.Dense(3)))


def test_a_model_without_weights_is_refused_outside_its_scope():
    with ik.without_weights():
        model = ik.create_model("lenet5_modern")
    with pytest.raises(ValueError, match=r"^lenet5_modern was built inside without_weights\(\)"):
        ik.convolutionalize(model)


def test_a_picture_may_be_flattened_at_once():
    model = filled(keras.Sequential([keras.Input((4, 5, 2)), layers.Flatten(), layers.Dense(3)], name="linear"))
    assert difference(model, ik.convolutionalize(model), (4, 5)) < 1e-5

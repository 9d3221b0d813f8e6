"""Our nets give the outputs of keras.applications, with weights from its files."""

import h5py
import keras
import numpy as np
import pytest
import synthetic

from inception_keras import create_model
from inception_keras.weights.keras_file import read

SLOW = pytest.mark.slow
SIZES = ((64, 64), (75, 107))
NETS = [  # id, keras.applications' class, its options, sizes, gain of a convolution
    pytest.param("mobilenet_v1_025", "MobileNet", {"alpha": 0.25}, SIZES, 1.0, marks=SLOW),
    pytest.param("mobilenet_v1", "MobileNet", {}, SIZES, 1.0, marks=SLOW),
    pytest.param("xception", "Xception", {}, ((71, 71), (76, 107)), 0.6, marks=SLOW),
    pytest.param("inception_resnet_v2", "InceptionResNetV2", {}, ((75, 75), (96, 107)), 1.0, marks=SLOW),
    pytest.param("resnet50_v1", "ResNet50", {}, SIZES, 0.6, marks=SLOW),
    pytest.param("densenet121", "DenseNet121", {}, SIZES, 1.0, marks=SLOW),
    pytest.param("vgg16", "VGG16", {}, ((224, 224),), 1.0, marks=SLOW),  # its dense layers want this size
]


def _scatter(model, gain):
    """Sets weights with which the image affects the output and no batch norm is an identity."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        if variable.name in ("kernel", "pointwise_kernel", "depthwise_kernel"):
            depthwise = "depthwise" in variable.path or "conv_dw" in variable.path
            fan_in = np.prod(variable.shape[:2] if depthwise else variable.shape[:-1])
            variable.assign(np.sqrt(2 * gain / fan_in) * rng.standard_normal(variable.shape))
        elif variable.name in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.8, 1.2, variable.shape))
        else:
            variable.assign(0.1 * rng.standard_normal(variable.shape))


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize(("id", "name", "options", "sizes", "gain"), NETS)
def test_equals_keras_applications(id, name, options, sizes, gain, tmp_path):
    path = tmp_path / "weights.h5"
    for size in sizes:
        keras.utils.clear_session(free_memory=True)
        build = getattr(keras.applications, name)
        theirs = build(weights=None, input_shape=(*size, 3), classifier_activation=None, **options)
        _scatter(theirs, gain)
        theirs.save(path)
        ours = create_model(id, input_shape=(*size, 3), classifier_activation=None, weights=path)
        image = synthetic.image(*size)
        expected = theirs(image, training=False).numpy()
        given = ours(image, training=False)
        difference = np.abs(given - expected).max() / np.abs(expected).max()
        print(f"{id} {size}: {difference:.1e}")
        assert difference <= 1e-4
        turned = theirs(image[:, :, ::-1], training=False)  # or the image would not have reached the output
        assert np.abs(turned - expected).max() > 0.02 * np.abs(expected).max()


def test_reads_the_names_of_older_kerases(tmp_path):
    path = tmp_path / "old.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"block1_conv1", b"pool", b"convolution2d_12", b"convolution2d_7", b"conv1/bn"]
        for layer, names in {
            "block1_conv1": ["block1_conv1_W_1:0", "block1_conv1_b_1:0"],
            "pool": [],
            "convolution2d_12": ["convolution2d_12_W:0"],
            "convolution2d_7": ["convolution2d_7_W:0"],
            "conv1/bn": ["conv1/bn/beta:0", "conv1/bn/moving_mean:0", "conv1/bn/moving_variance:0"],
        }.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [name.encode() for name in names]
            for i, name in enumerate(names):
                group[name] = np.full(2, i + len(layer), "float32")
    arrays = read(path)
    assert arrays["conv2d_1/kernel"][0] == len("convolution2d_7")
    assert arrays["conv2d_2/kernel"][0] == len("convolution2d_12")
    assert list(arrays["conv1_bn/gamma"]) == [1, 1]
    assert {"block1_conv1/kernel", "block1_conv1/bias", "conv1_bn/moving_variance"} < set(arrays)


def test_says_what_it_cannot_read(tmp_path):
    path = tmp_path / "x.h5"
    with pytest.raises(FileNotFoundError, match=r"no weights file .*x\.h5"):
        read(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not a whole HDF5 file"):
        read(path)
    with h5py.File(path, "w") as file:
        file.create_group("layers")
    with pytest.raises(ValueError, match="does not name its layers"):
        read(path)

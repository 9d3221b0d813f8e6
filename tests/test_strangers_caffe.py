"""Files that Caffe writes: the published nets give Caffe's outputs, and every form of the format is read."""

import caffe_files as caffe
import h5py
import keras
import numpy as np
import onnx_files
import outside
import pytest
import synthetic

from inception_keras import create_model, save_weights, without_weights
from inception_keras.weights import onnx
from inception_keras.weights.caffe import is_caffemodel, read
from inception_keras.weights.keras_names import keras_rules
from inception_keras.weights.torch_names import torch_rules
from inception_keras.weights.translate import _keras_slots, slots, translate

SLOW = pytest.mark.slow


def _differences(model, net, side, heads=("predictions",), tops=None):
    """For each head, the largest difference from Caffe's output, relative to the largest value."""
    image = synthetic.image(side, side)
    expected = caffe.run(net, image)
    given = model(image)
    given = given if isinstance(given, dict) else {"predictions": given}
    assert set(given) == set(heads)
    for head, top in zip(heads, tops or [net.layers[-1]["top"]], strict=True):
        theirs = expected[top].reshape(1, -1)
        assert theirs.std() > 1e-3 * np.abs(theirs).max() > 0
        yield np.abs(given[head] - theirs).max() / np.abs(theirs).max()


NETS = [  # id, the net in Caffe, generation of its file, side of the image
    ("squeezenet1_1", lambda: caffe.squeezenet("1.1", 10), "new", 64),
    ("resnet50_caffe", lambda: caffe.resnet(50, 10), "new", 64),
    ("nin_cifar", caffe.nin_cifar, "v1", 32),
    ("nin_imagenet", lambda: caffe.nin_imagenet(10), "v1", 224),
    pytest.param("alexnet_2012", lambda: caffe.alexnet(10), "v1", 227, marks=SLOW),
    pytest.param("vgg16", lambda: caffe.vgg(16, 10), "v1", 224, marks=SLOW),
    pytest.param("resnet101_caffe", lambda: caffe.resnet(101, 10), "new", 224, marks=SLOW),
    pytest.param("resnet152_caffe", lambda: caffe.resnet(152, 10), "new", 75, marks=SLOW),
    pytest.param("densenet121", lambda: caffe.densenet121(10), "new", 64, marks=SLOW),
    pytest.param("seresnet50", lambda: caffe.senet("SE-ResNet-50", (3, 4, 6, 3), 10), "new", 65, marks=SLOW),
    pytest.param("seresnext50_32x4d", lambda: caffe.senet("SE-ResNeXt-50", (3, 4, 6, 3), 10), "new", 64, marks=SLOW),
    pytest.param("senet154", lambda: caffe.senet("SENet", (3, 8, 36, 3), 10), "new", 64, marks=SLOW),
]


@pytest.mark.parametrize(("id", "build", "generation", "side"), NETS)
def test_published_nets_compute_what_caffe_computes(id, build, generation, side, tmp_path):
    net, path = build(), tmp_path / "net.caffemodel"
    caffe.write(net, path, generation=generation)
    options = {"input_shape": (side, side, 3), "classes": 10, "classifier_activation": None}
    (difference,) = _differences(create_model(id, weights=path, **options), net, side)
    print(f"{id}: {difference:.1e}")
    assert difference <= 2e-5


def test_googlenet_with_both_heads_from_every_file(tmp_path):
    net = caffe.googlenet(10)
    options = {"aux": True, "classes": 10, "classifier_activation": None}
    caffe.write(net, tmp_path / "bvlc_googlenet.caffemodel", generation="v1")
    model = create_model("googlenet", weights=tmp_path / "bvlc_googlenet.caffemodel", **options)
    tops = ("loss3/classifier", "loss1/classifier", "loss2/classifier")
    for difference in _differences(model, net, 224, ("predictions", "aux_1", "aux_2"), tops):
        assert difference <= 2e-5

    # the published ONNX file has the four axes of the old blobs
    tensors = []
    for layer in net.layers:
        for array, end in zip(layer["blobs"], "wb", strict=False):
            array = array.reshape((1,) * (4 - array.ndim) + array.shape) if layer["type"] == "InnerProduct" else array
            tensors.append(onnx_files.tensor(f"{layer['name']}_{end}_0", array))
    (tmp_path / "inception_v1.onnx").write_bytes(onnx_files.model(*tensors))
    caffe.write_hdf5(net, tmp_path / "bvlc_googlenet.caffemodel.h5")
    caffe.write(net, tmp_path / "new.caffemodel")
    for name in ("inception_v1.onnx", "bvlc_googlenet.caffemodel.h5"):
        same = create_model("googlenet", weights=tmp_path / name, **options)
        for given, expected in zip(same.get_weights(), model.get_weights(), strict=True):
            assert np.array_equal(given, expected), name
    alone = create_model("googlenet", weights=tmp_path / "new.caffemodel", **options | {"aux": False})
    assert np.array_equal(alone.get_layer("predictions").kernel, model.get_layer("predictions").kernel)


@pytest.mark.slow
def test_googlenet_with_both_heads_from_a_file_of_each_generation(tmp_path):
    net, path = caffe.googlenet(10), tmp_path / "net.caffemodel"
    weights = []
    for generation in ("v1", "new"):
        caffe.write(net, path, generation=generation)
        weights.append(create_model("googlenet", weights=path, aux=True, classes=10).get_weights())
    for given, expected in zip(*weights, strict=True):
        assert np.array_equal(given, expected)


@pytest.mark.slow
def test_heads_of_googlenet_at_another_size(tmp_path):
    """On maps of 12 pixels, the last windows of the heads' pools reach beyond the map."""
    net = caffe.googlenet(10)
    (pool_5,) = (layer for layer in net.layers if layer["name"] == "pool5/7x7_s1")
    pool_5["options"]["kernel"] = 0  # the whole map, as the 7x7 is at 224 x 224
    caffe.write(net, tmp_path / "net.caffemodel")
    options = {"aux": True, "classes": 10, "classifier_activation": None, "weights": tmp_path / "net.caffemodel"}
    tops = ("loss3/classifier", "loss1/classifier", "loss2/classifier")
    model = create_model("googlenet", input_shape=(195, 195, 3), **options)
    for difference in _differences(model, net, 195, ("predictions", "aux_1", "aux_2"), tops):
        assert difference <= 2e-5
    for side in (190, 256):
        with pytest.raises(ValueError, match=r"2 of another shape: aux_1-fc/kernel .* fits only the image size"):
            create_model("googlenet", input_shape=(side, side, 3), **options)


def test_squeezenet_1_0_pads_its_last_convolution_in_caffe(tmp_path):
    net, path = caffe.squeezenet("1.0", 10), tmp_path / "squeezenet_v1.0.caffemodel"
    caffe.write(net, path)
    options = {"input_shape": (64, 64, 3), "classes": 10, "classifier_activation": None}
    with pytest.warns(
        UserWarning, match=r"squeezenet_v1\.0\.caffemodel: .* scores differ from Caffe's \(docs/fidelity"
    ):
        given = create_model("squeezenet1_0", weights=path, **options)(synthetic.image(64, 64))
    create_model("squeezenet1_0", weights=path, include_top=False)  # these maps are Caffe's: no warning
    tops = caffe.run(net, synthetic.image(64, 64))
    side, expected = tops["fire9/concat"].shape[1], tops["pool10"].reshape(1, -1)
    (conv_10,) = (layer for layer in net.layers if layer["name"] == "conv10")
    border = np.maximum(conv_10["blobs"][1], 0)  # what a convolution of zeros gives
    padded = (given * side**2 + border * ((side + 2) ** 2 - side**2)) / (side + 2) ** 2
    np.testing.assert_allclose(padded, expected, rtol=0, atol=2e-5 * np.abs(expected).max())


@pytest.mark.slow
def test_a_resnet_of_caffe_goes_into_no_namesake(tmp_path):
    caffe.write(caffe.resnet(50, 10), tmp_path / "ResNet-50-model.caffemodel")
    for id in ("resnet50_v1", "resnet50"):
        with pytest.raises(ValueError, match=f"cannot be used for {id}: .*; create 'resnet50_caffe' with it.$"):
            create_model(id, weights=tmp_path / "ResNet-50-model.caffemodel")


def test_a_resnet_of_another_library_does_not_go_into_that_of_caffe():
    # torchvision's and Keras's ResNet-101 have every weight that Caffe's has, in the same shapes
    with without_weights():
        model = create_model("resnet101_caffe")
    torch = [*slots(model, torch_rules("resnet101")[0]), "conv1.num_batches_tracked"]
    of_keras = _keras_slots(model, keras_rules("resnet101_v1")[0])
    for names, id in (
        (torch, "resnet101"),
        ([f"module.{name}" for name in torch], "resnet101"),
        (of_keras, "resnet101_v1"),
    ):
        with pytest.raises(ValueError, match=f"; create '{id}' with it.$"):
            translate(model, "resnet101_caffe", {name: np.zeros(1, "float32") for name in names})


@pytest.mark.parametrize("aux", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_file_of_another_net_is_an_error_without_a_warning(tmp_path, aux):
    caffe.write(caffe.squeezenet("1.1", 10), tmp_path / "squeezenet.caffemodel")
    with pytest.raises(ValueError, match="do not fit googlenet"):  # a warning would be an error of its own kind
        create_model("googlenet", weights=tmp_path / "squeezenet.caffemodel", aux=aux)
    content = (tmp_path / "squeezenet.caffemodel").read_bytes()
    (tmp_path / "renamed.caffemodel").write_bytes(content.replace(b"conv10", b"linear"))
    with pytest.raises(ValueError, match=r"do not fit squeezenet1_1, .*: 2 unexpected: linear\.weight, linear\.bias"):
        create_model("squeezenet1_1", weights=tmp_path / "renamed.caffemodel")
    (tmp_path / "broken.caffemodel").write_bytes(content.replace(b"conv10", b"c\xffnv10"))
    with pytest.raises(ValueError, match=r"is not a whole \.caffemodel: a name in it is not UTF-8\.$"):
        create_model("squeezenet1_1", weights=tmp_path / "broken.caffemodel")


@pytest.mark.parametrize("shape", [(5, 4), (1, 1, 5, 4), (5, 4, 1, 1)])
@pytest.mark.parametrize("classes", [5, 7])
def test_a_dense_layer_has_four_axes_in_any_file(shape, classes):
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5, name="predictions")])
    places = slots(net, [("predictions", "fc")])
    shape = tuple(classes if size == 5 else size for size in shape)
    kernel = np.arange(4 * classes, dtype="float32").reshape(classes, 4)
    assert np.array_equal(places["fc.weight"].turn(kernel.reshape(shape)), kernel.T)
    for sizes in ((classes,), (1, 1, 1, classes), (1, classes, 1, 1), (classes, 1, 1, 1)):
        bias = np.arange(classes, dtype="float32")
        assert np.array_equal(places["fc.bias"].turn(bias.reshape(sizes)), bias)
    wrong = kernel.reshape(2, 2, classes)  # is left as it is, and found to be of another shape
    assert places["fc.weight"].turn(wrong).shape == wrong.shape


def _small(filters=4):
    """A convolution without a bias, a batch norm and a dense layer."""
    net = caffe.Net("small")
    x = net.conv("conv/3x3", "data", filters, 3, relu=False, bias=False)
    x = net.add("Pooling", "pool", net.bn(x, "bn", "scale"), kind="AVE")
    net.fc("fc", x, filters, 5)
    return net


@pytest.mark.parametrize("data", ["packed", "unpacked", "double", "half", "bytes"])
def test_every_form_of_numbers(data, tmp_path):
    net, path = _small(), tmp_path / "net.caffemodel"
    caffe.write(net, path, data=data)
    if data == "bytes":  # the quick way to write the same
        caffe.write(net, tmp_path / "packed.caffemodel", data="packed")
        assert path.read_bytes() == (tmp_path / "packed.caffemodel").read_bytes()
    arrays = read(path)
    blobs = {layer["name"]: layer["blobs"] for layer in net.layers}
    expected = {
        "conv/3x3.weight": blobs["conv/3x3"][0],
        "bn.running_mean": blobs["bn"][0] / blobs["bn"][2],
        "bn.running_var": blobs["bn"][1] / blobs["bn"][2],
        "scale.weight": blobs["scale"][0],
        "scale.bias": blobs["scale"][1],
        "fc.weight": blobs["fc"][0],
        "fc.bias": blobs["fc"][1],
    }
    assert set(arrays) == set(expected)
    for name, array in arrays.items():
        assert array.dtype == "float32" and array.shape == expected[name].shape, name
        np.testing.assert_allclose(array, expected[name], rtol=2e-3 if data == "half" else 1e-6, err_msg=name)


def test_hdf5_has_the_same_entries(tmp_path):
    net = _small()
    caffe.write(net, tmp_path / "net.caffemodel")
    caffe.write_hdf5(net, tmp_path / "net.caffemodel.h5")
    binary, hdf5 = (read(tmp_path / f"net.caffemodel{suffix}") for suffix in ("", ".h5"))
    assert set(hdf5) == set(binary)
    assert all(np.array_equal(hdf5[name], binary[name]) for name in binary)


@pytest.mark.parametrize("generation", ["v0", "v1"])
def test_old_files_have_four_sizes(generation, tmp_path):
    net, path = caffe.Net("old"), tmp_path / "net.caffemodel"
    net.fc("fc", net.conv("conv", "data", 4, 3), 4, 5)
    caffe.write(net, path, generation=generation, data="packed")
    shapes = {name: array.shape for name, array in read(path).items()}
    assert shapes == {
        "conv.weight": (4, 3, 3, 3),
        "conv.bias": (1, 1, 1, 4),
        "fc.weight": (1, 1, 5, 4),
        "fc.bias": (1, 1, 1, 5),
    }


def test_statistics_that_were_never_gathered_are_zero(tmp_path):
    net, path = _small(), tmp_path / "net.caffemodel"
    (norm,) = (layer for layer in net.layers if layer["name"] == "bn")
    norm["blobs"][2][:] = 0
    caffe.write(net, path)
    assert not read(path)["bn.running_mean"].any() and not read(path)["bn.running_var"].any()


def test_an_onnx_file_with_floats_one_by_one(tmp_path):
    values = np.array([1.5, -2], "<f4")
    one_by_one = b"".join(bytes([4 << 3 | 5]) + value.tobytes() for value in values)
    path = tmp_path / "x.onnx"
    dims_and_type = bytes([1 << 3, 2, 2 << 3, 1])
    path.write_bytes(onnx_files.model(dims_and_type + one_by_one + bytes([8 << 3 | 2, 5]) + b"x_b_0"))
    assert onnx.read(path)["x.bias"].tolist() == [1.5, -2]


PROTOTXT = 'name: "GoogleNet"\nlayer {\n  name: "conv1/7x7_s2"\n  type: "Convolution"\n}\n'


def _other_files(folder):
    """Files without weights, each with the words that the error message must have."""
    caffe.write(_small(), folder / "whole.caffemodel")
    whole = (folder / "whole.caffemodel").read_bytes()
    caffenet = caffe.Net("CaffeNet")
    x = caffenet.add("LRN", "norm1", caffenet.pool("pool1", caffenet.conv("conv1", "data", 4, 3), 3, 2))
    x = caffenet.fc("fc7", caffenet.fc("fc6", caffenet.conv("conv5", x, 4, 3), 4, 4), 4, 4)
    caffe.write(caffenet, folder / "caffenet.caffemodel")
    empty = caffe.Net("empty")
    empty.add("ReLU", "relu", "data")
    caffe.write(empty, folder / "relu.caffemodel")
    with h5py.File(folder / "state.caffemodel.h5", "w") as file:
        file["iter"], file["learned_net"], file["current_step"] = 7, "snapshot_iter_7.caffemodel.h5", 0
        file["history/0"] = np.ones(3, "float32")
    with h5py.File(folder / "other.caffemodel.h5", "w") as file:
        file.create_group("weights")
    twice = caffe.Net("twice")
    twice.conv("conv", twice.conv("conv", "data", 3, 3), 4, 3)
    caffe.write(twice, folder / "twice.caffemodel")
    contents = {
        "cut.caffemodel": (whole[:-100], "is not a whole .caffemodel: it ends in the middle of field 100"),
        "cut_early.caffemodel": (whole[:40], "is not a whole .caffemodel: it ends in the middle of"),
        "net.prototxt": (PROTOTXT.encode(), "is text, as a .prototxt is, which describes a net and has no weights"),
        "net.caffemodel": (PROTOTXT.encode(), "is text, as a .prototxt is"),
        "x.solverstate": (
            caffe.solver_state(7, [np.ones(3, "float32")]),
            "is the state of a solver; the weights are in snapshot_iter_7.caffemodel",
        ),
        "mean.binaryproto": (caffe.mean_image(np.ones((3, 4, 4), "float32")), "is one blob, as a mean image"),
        "nothing.caffemodel": (b"", "is empty"),
        "two_numbers.caffemodel": (bytes([1 << 3, 1, 2 << 3, 1]), "is the state of a solver; the weights are in the "),
        "zip.caffemodel": (b"PK\x03\x04" + bytes(50), "is not a .caffemodel"),
    }
    for name, (content, message) in contents.items():
        (folder / name).write_bytes(content)
        yield name, message
    yield "caffenet.caffemodel", "is CaffeNet, which pools before it normalises"
    yield "twice.caffemodel", "has two layers that are called 'conv', both with weights"
    yield "relu.caffemodel", "has no weights: no layer has a blob"
    yield "state.caffemodel.h5", "is the state of a solver"
    yield "other.caffemodel.h5", "has no group data"


def test_says_what_it_cannot_read(tmp_path):
    for name, message in _other_files(tmp_path):
        with pytest.raises(ValueError) as error:
            read(tmp_path / name)
        said = str(error.value)
        assert said.startswith(str(tmp_path / name)) and message in said and "\n" not in said, name
    with pytest.raises(FileNotFoundError, match="no weights file"):
        read(tmp_path / "absent.caffemodel")
    tensors = [onnx_files.tensor(f"{name}_w_0", np.ones((2, 2), "float32")) for name in ("conv5", "fc6", "fc7")]
    path = tmp_path / "net.onnx"
    path.write_bytes(onnx_files.model(*tensors, operations=("Conv", "Relu", "MaxPool", "LRN", "Conv", "MaxPool")))
    with pytest.raises(ValueError, match="is CaffeNet, which pools before it normalises"):
        onnx.read(path)
    path.write_bytes(onnx_files.model(*tensors, operations=("Conv", "Relu", "LRN", "MaxPool", "Conv", "MaxPool")))
    assert set(onnx.read(path)) == {"conv5.weight", "fc6.weight", "fc7.weight"}
    for name in ("x.solverstate", "mean.binaryproto"):  # begin as ONNX models do
        with pytest.raises(ValueError, match=r"(is the state of a solver|is one blob)"):
            onnx.read(tmp_path / name)


def test_create_model_knows_files_by_content(tmp_path):
    net = caffe.squeezenet("1.1", 10)
    caffe.write(net, tmp_path / "snapshot_iter_500")  # no suffix at all
    model = create_model("squeezenet1_1", weights=str(tmp_path / "snapshot_iter_500"))
    assert model.output_shape == (None, 10)  # the number of classes is the file's
    x = "conv10"
    for i in range(30):
        x = net.conv(f"branch{i}", x, 4, 1)
    caffe.write(net, tmp_path / "more.caffemodel")
    with pytest.raises(ValueError, match="do not fit squeezenet1_1") as error:
        create_model("squeezenet1_1", weights=tmp_path / "more.caffemodel")
    assert "60 unexpected" in str(error.value) and str(error.value).count("branch") == 10
    for name, message in _other_files(tmp_path):
        with pytest.raises(ValueError) as error:
            create_model("squeezenet1_1", weights=tmp_path / name)
        if name not in ("nothing.caffemodel", "zip.caffemodel", "other.caffemodel.h5"):  # Caffe's own
            assert message in str(error.value), name
        assert str(tmp_path / name) in str(error.value) and "\n" not in str(error.value)


def test_damage_anywhere_is_a_value_error_or_other_numbers(tmp_path):
    path = tmp_path / "x.caffemodel"
    caffe.write(_small(filters=1), path, data="packed")
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            read(path)
        except ValueError as error:
            assert "x.caffemodel" in str(error)


def test_knows_a_net_by_its_first_bytes(tmp_path):
    for generation in ("new", "v1", "v0"):
        for name in ("AlexNet", "", "Netz für Äpfel", 60 * "long"):
            net, path = caffe.Net(name), tmp_path / "net.caffemodel"
            net.conv("conv", "data", 4, 3)
            caffe.write(net, path, generation=generation)
            assert is_caffemodel(path.read_bytes()[:300]) and read(path)
    save_weights(create_model("lenet5_modern"), tmp_path / "x.safetensors")
    others = [(tmp_path / "x.safetensors").read_bytes(), onnx_files.model(), PROTOTXT.encode(), caffe.solver_state(7)]
    others += [b"PK\x03\x04archive/data.pkl", b"\x80\x02\x8a\nl\xfc", b"\x89HDF\r\n\x1a\n", b"", b"\n", b"\n\n\n\n"]
    assert not any(is_caffemodel(other[:200]) for other in others)


def test_from_the_command_line(tmp_path):
    caffe.write(caffe.squeezenet("1.1"), tmp_path / "squeezenet_v1.1.caffemodel")
    line = ("convert", "squeezenet_v1.1.caffemodel", "-m", "squeezenet1_1", "-o", "ours.safetensors")
    outside.here(*line, cwd=tmp_path)
    read_directly = create_model("squeezenet1_1", weights=tmp_path / "squeezenet_v1.1.caffemodel")
    converted = create_model("squeezenet1_1", weights=tmp_path / "ours.safetensors")
    for given, expected in zip(converted.get_weights(), read_directly.get_weights(), strict=True):
        assert np.array_equal(given, expected)

"""Files of other libraries. Torch's own are read without torch and without running code in them."""

import os
from collections import OrderedDict

import numpy as np
import pytest
import synthetic
from safetensors.numpy import save_file
from torch_files import Tensor, write_legacy, write_zip

from inception_keras import create_model, without_weights
from inception_keras.weights import torch_file
from inception_keras.weights.pretrained import load
from inception_keras.weights.rules import module_of
from inception_keras.weights.store import variables
from inception_keras.weights.torch_names import torch_rules
from inception_keras.weights.translate import slots

SMALL = {"input_shape": (15, 15, 3)}


@pytest.mark.parametrize("write", [write_zip, write_legacy])
def test_reads_both_formats_of_torch(write, tmp_path):
    path = tmp_path / "weights.pth"
    array = np.arange(12, dtype="float32")
    half = np.array([0x3F80, 0xC000], "uint16")
    entries = OrderedDict(
        {
            "module.matrix": Tensor(array, offset=2, shape=(2, 3), strides=(1, 3)),
            "count": Tensor(np.array(7), "Long", shape=(1,), strides=(1,)),
            "half": Tensor(half, "BFloat16"),
        }
    )
    write(path, {"state_dict": entries, "epoch": 3})
    read = torch_file.read(path)
    np.testing.assert_array_equal(read["matrix"], [[2, 5, 8], [3, 6, 9]])
    np.testing.assert_array_equal(read["count"], [7])
    np.testing.assert_array_equal(read["half"], np.array([1, -2], "float32"))
    assert set(read) == {"matrix", "count", "half"}


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("write", [write_zip, write_legacy])
@pytest.mark.parametrize("function", [os.mkdir, eval, __import__, getattr, np.frombuffer])
def test_runs_nothing(write, function, tmp_path):
    path, trace = tmp_path / "weights.pth", tmp_path / "trace"
    argument = f"__import__('os').mkdir({str(trace)!r})" if function is eval else str(trace)
    write(path, {"weight": Evil(function, argument)})
    with pytest.raises(ValueError, match=rf"is not a file of torch weights: it asks for .*{function.__name__}"):
        torch_file.read(path)
    assert not trace.exists()


@pytest.mark.parametrize("write", [write_zip, write_legacy])
@pytest.mark.parametrize("view", [{"offset": 9, "shape": (2,), "strides": (3,)}, {"shape": (3,), "strides": (-1,)}])
def test_reads_nothing_outside_a_storage(write, view, tmp_path):
    path = tmp_path / "weights.pth"
    write(path, {"weight": Tensor(np.zeros(10, "float32"), **view)})
    with pytest.raises(ValueError, match="reaches beyond its 10 numbers"):
        torch_file.read(path)


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-200], lambda data: b"not torch's" * 99])
def test_says_that_a_file_is_damaged(damage, tmp_path):
    path = tmp_path / "weights.pth"
    write_zip(path, {"weight": Tensor(np.zeros(1000, "float32"))})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="torch weights"):
        torch_file.read(path)
    with pytest.raises(FileNotFoundError, match=r"no weights file .*absent"):
        torch_file.read(tmp_path / "absent.pth")


@pytest.fixture(scope="module")
def whole():
    """Torchvision's GoogLeNet with both auxiliary heads, and a file with its weights in torchvision's layout."""
    with without_weights():
        model = create_model("googlenet_slim", aux=True, **SMALL)
    shapes = {name: slot.shape for name, slot in slots(model, torch_rules("googlenet_slim")[0]).items()}
    return synthetic.state_dict(shapes)


def _write(path, arrays):
    save_file(arrays | {"conv1.bn.num_batches_tracked": np.array(5)}, path)
    return path


def test_heads_that_a_model_lacks_are_ignored(whole, tmp_path):
    path = _write(tmp_path / "torch.safetensors", whole)
    model = create_model("googlenet_slim", weights=path, **SMALL)
    np.testing.assert_array_equal(variables(model)["predictions/kernel"], whole["fc.weight"].T)
    trunk = create_model("googlenet_slim", weights=path, include_top=False, **SMALL)
    kernel = whole["inception5b.branch2.1.conv.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(variables(trunk)["inception_5b-conv_3x3/kernel"], kernel)


def test_a_dense_layer_reads_pixels_in_our_order(whole, tmp_path):
    model = create_model("googlenet_slim", weights=_write(tmp_path / "torch.safetensors", whole), aux=True, **SMALL)
    kernel = variables(model)["aux_1-fc/kernel"].numpy()
    expected = whole["aux1.fc1.weight"].reshape(1024, 128, 4, 4).transpose(2, 3, 1, 0).reshape(2048, 1024)
    np.testing.assert_array_equal(kernel, expected)


def test_a_classifier_for_other_classes_stays_fresh(whole, tmp_path):
    path = _write(tmp_path / "torch.safetensors", whole)
    with pytest.warns(UserWarning, match=r"predictions of googlenet_slim stays as it is: it has 7 classes, .* 1000"):
        model = create_model("googlenet_slim", weights=path, classes=7, **SMALL)
    np.testing.assert_array_equal(variables(model)["predictions/bias"], np.zeros(7))
    np.testing.assert_array_equal(variables(model)["conv_1-bn/beta"], whole["conv1.bn.bias"])


def test_names_every_fault_and_changes_nothing(whole, tmp_path):
    arrays = {name: array for name, array in whole.items() if name not in ("conv1.bn.bias", "conv2.conv.weight")}
    arrays |= {"conv9.weight": np.zeros(3, "float32"), "fc.weight": np.zeros((1000, 5), "float32")}
    path = _write(tmp_path / "torch.safetensors", arrays)
    model = create_model("googlenet_slim", **SMALL)
    before = [weight.numpy() for weight in model.weights]
    with pytest.raises(ValueError) as error:
        load(model, "googlenet_slim", path)
    missing, unexpected = ("conv_1-bn/beta", "conv_2-reduce/kernel"), ("19 unexpected: aux1.", "and 9 more")
    for name in (*missing, *unexpected, "predictions/kernel (1000, 5)"):
        assert name in str(error.value)
    for weight, old in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_published_densenets_have_a_dot_more(tmp_path):
    with without_weights():
        model = create_model("densenet121")
    new, old = (set(slots(model, rules)) for rules in torch_rules("densenet121"))
    assert {name.replace(".norm.", ".norm").replace(".conv.", ".conv") for name in old - new} == {
        name for name in new - old
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old


def test_names_by_rules():
    (rules,) = torch_rules("resnet50")
    assert module_of("stage_3-block_1-shortcut-bn", rules) == "layer2.0.downsample.1"
    assert module_of("nothing", rules) is None
    assert torch_rules("no_such_net") == []


def test_says_what_files_it_reads(tmp_path):
    (tmp_path / "weights.bin").write_bytes(b"something else")
    with pytest.raises(
        ValueError, match=r"weights\.bin is in no format of weights that is read \(\.safetensors, \.pth"
    ):
        create_model("squeezenet1_1", weights=tmp_path / "weights.bin", input_shape=(17, 17, 3))


def test_a_file_of_a_few_bytes_does_not_fill_the_memory(tmp_path):
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    (tmp_path / "memo.pth").write_bytes(b"\x80\2Nr\0\0\0\x20.")  # the memo number 2 ** 29
    with pytest.raises(ValueError, match=r"memo.pth is not a file of torch weights"):
        torch_file.read(tmp_path / "memo.pth")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # kibibytes


def test_an_error_names_the_id_that_fits(tmp_path):
    with without_weights():
        found = slots(create_model("squeezenet1_0"), torch_rules("squeezenet1_0")[0])
    path = tmp_path / "squeezenet.safetensors"
    save_file({name: np.zeros(slot.shape, "float16") for name, slot in found.items()}, path)
    sentence = r"do not fit squeezenet1_1, .* They fit 'squeezenet1_0': create that model with them"
    with pytest.raises(ValueError, match=sentence):
        create_model("squeezenet1_1", weights=path)


def test_an_error_names_published_files_that_fit(tmp_path):
    with without_weights():
        found = slots(create_model("squeezenet1_1"), torch_rules("squeezenet1_1")[0])
    arrays = {name.replace("features.", "trunk_"): np.zeros(slot.shape, "float16") for name, slot in found.items()}
    save_file(arrays, tmp_path / "other.safetensors")
    with pytest.raises(
        ValueError, match=r"Published weights that fit .* are .*, squeezenet1_1-b8a52dc0\.pth \(torchvision\)"
    ):
        create_model("squeezenet1_1", weights=tmp_path / "other.safetensors")

"""Ids, options and weights files as users give them, in new processes."""

import json
import re

import numpy as np
import pytest
import synthetic
from outside import python
from torch_files import Stranger, Tensor, write_legacy, write_zip

from inception_keras import create_model, without_weights
from inception_keras.weights.formats import suffix_of
from inception_keras.weights.pretrained import read_source
from inception_keras.weights.store import read
from inception_keras.weights.torch_names import torch_rules
from inception_keras.weights.translate import slots, translate

OUTCOMES = """
import json
from pathlib import Path
import numpy as np
import keras
import inception_keras as ik
from inception_keras import create_model as make

said = {}
with ik.without_weights():
    for call in json.loads(CALLS):
        try:
            said[call] = f"{eval(call)}"
        except (ValueError, TypeError) as error:
            said[call] = f"{type(error).__name__}: {error}"
        except Exception as error:
            said[call] = f"FAULT {type(error).__name__}: {error}"
print("SAID", json.dumps(said))
"""


SHAPE = r"ValueError: input_shape must be \(height, width, channels\)"
FLAGS = {"googlenet": "aux", "googlenet_small": "batch_norm", "lenet5": "rbf", "vgg16": "batch_norm"}
CASES = {
    # 12: channels first
    "make('resnet50', input_shape=(3, 224, 224))": SHAPE + r", channels last: \(224, 224, 3\), not \(3, 224, 224\)\.$",
    "make('resnet50', input_shape=(3, 480, 640), weights='imagenet')": SHAPE + ", channels last",
    "make('googlenet', input_shape=[1, 224, 224])": SHAPE + ", channels last",
    "make('dpn68', input_shape=(4, 64, 64))": SHAPE + ", channels last",
    "make('googlenet_small', input_shape=(1, 28, 28))": SHAPE + ", channels last",
    "make('resnet20_cifar', input_shape=(1, 8, 8))": SHAPE + ", channels last",
    "make('resnet18', input_shape=(3, None, None), include_top=False)": SHAPE + ", channels last",
    "ik.build_resnet((3, 224, 224))": SHAPE + ", channels last",
    "make('resnet50', input_shape=(3, 3, 200)).input_shape": r"\(None, 3, 3, 200\)$",
    "make('resnet50', input_shape=(64, 64, 224)).input_shape": r"\(None, 64, 64, 224\)$",
    "make('resnet18', input_shape=(1, 5000, 12)).input_shape": r"\(None, 1, 5000, 12\)$",
    "make('resnet18', input_shape=(1, 1, 3)).input_shape": r"\(None, 1, 1, 3\)$",
    "make('resnet50', input_shape=(None, 224, 224, 3))": SHAPE + ", got",
    # 15: an id is one exact network
    "make('vgg16', batch_norm=True)": r"ValueError: vgg16 with batch_norm=True .*: create_model\('vgg16_bn'\)\.$",
    "make('vgg16', depth=19, batch_norm=True)": r"ValueError: vgg16 with .*: create_model\('vgg19_bn'\)\.$",
    "make('vgg16', batch_norm=False).count_params()": "138357544$",
    "make('googlenet', batch_norm=True, aux=True)": r"ValueError: .*: create_model\('googlenet_bn'\)\.$",
    "make('googlenet_bn', batch_norm=False)": r"ValueError: .*: create_model\('googlenet'\)\.$",
    "make('resnet50', groups=32, group_width=4)": r"ValueError: .*: create_model\('resnext50_32x4d'\)\.$",
    "make('resnet50', group_width=128)": r"ValueError: .*: create_model\('wide_resnet50_2'\)\.$",
    "make('resnet50', groups=4)": r"ValueError: .*no id stands for; build_resnet\(depth=50, groups=4\) builds it\.$",
    "make('resnet20_cifar', residual=False)": r"ValueError: .*: create_model\('plain20_cifar'\)\.$",
    "make('mobilenet_v1', width=0.5)": r"ValueError: .*: create_model\('mobilenet_v1_050'\)\.$",
    "make('squeezenet1_0', version='1.1')": r"ValueError: .*: create_model\('squeezenet1_1'\)\.$",
    "ik.build_resnet(depth=50, groups=4).name": "resnet50$",
    "make('googlenet_cifar', batch_norm=True).name": "googlenet_cifar$",
    # 23: booleans are booleans, numbers numbers
    **{
        f"make('{id}', {option}={value!r})": f"TypeError: {option} must be True or False, got {re.escape(repr(value))}"
        for id, option in FLAGS.items()
        for value in ("no", "false", 1, None, 0.0, [True])
    },
    "make('googlenet', include_top='no')": "TypeError: include_top must be True or False, got 'no'",
    "len(make('googlenet', aux=np.True_).outputs)": "3$",
    "make('googlenet', classes='10')": "ValueError: classes must be an int of at least 2, got '10'",
    "make('googlenet', classes=10**12)": "ValueError: classes must be an int of at most 10000000, got",
    "make('googlenet', classifier_activation='softmx')": "ValueError: classifier_activation must be 'softmax', None",
    "make('googlenet', classifier_activation=3)": "TypeError: classifier_activation must be a text, got 3",
    "make('googlenet', pooling=True, include_top=False)": "ValueError: pooling must be None, 'avg' or 'max', got True",
    "make('googlenet', name=3)": "TypeError: name must be a text, got 3",
    "make('googlenet', name='a/b')": "ValueError: name must be a text without '/'",
    "make('shufflenet_v2_x1_0', width='1.0')": "ValueError: width must be a number, got '1.0'",
    "ik.build_mnasnet(width=float('nan'))": "ValueError: width must be a number, got nan",
    "ik.build_vgg(depth=True)": "ValueError: depth must be an int of at least 1, got True",
    # 26: wrong objects
    **{f"make({thing})": "TypeError: A model is named by its id, such as 'googlenet', got" for thing in
       ("None", "['vgg16']", "Path('vgg16')", "make", "16")},
    "make('VGG16')": "ValueError: Unknown model 'VGG16'; did you mean .*vgg16",
    "ik.list_models(year='2014')": "ValueError: year must be an int of at least 1, got '2014'",
    "ik.list_models(None)": "TypeError: pattern must be a text, got None",
    **{f"ik.{block}({thing}, 8, 8, 8)": "TypeError: x must be feature maps" for block in ("fire", "naive_inception")
       for thing in ("None", "'photo.jpg'", "[1, 2]", "ik.fire")},
    "ik.inception(keras.Input((8, 8, 3)), 8, 8, 8, 8, 8, 10**12)": "ValueError: pool_proj must be an int of at most",
    "ik.inception(keras.Input((3,)), 8, 8, 8, 8, 8, 8)": "ValueError: x must be feature maps .* the shape",
    "ik.inception(keras.Input((8, 8, 3)))": "TypeError: inception: missing a required argument: 'conv_1x1'",
    "ik.aux_head(keras.Input((14, 14, 8)), 10, pool=3)": "TypeError: pool must be a Keras layer, got 3",
    "ik.aux_head(keras.Input((14, 14, 8)), 9, conv_block=1)": "TypeError: conv_block must be a function, got 1",
    "ik.squeeze_excite(keras.Input((14, 14, 8)), None)": "ValueError: filters must be an int of at least 1, got None",
    **{f"ik.{name}({thing})": SHAPE for name in ("build_googlenet", "build_densenet", "build_lenet5", "build_dpn")
       for thing in ("None", "'photo.jpg'", "[224, 224]", "(10**12, 8, 3)", "(8, 8, 10**12)", "(224.0, 224, 3)")},
}  # fmt: skip


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The output of the first process, and the folder where it leaves Keras files."""
    folder = tmp_path_factory.mktemp("files")
    code = f"CALLS = {json.dumps(list(CASES))!r}\n{OUTCOMES}{OPTIONS}{SAVE}"
    said, _, lines = python(code, folder).rpartition("SAID ")[2].partition("\n")
    return json.loads(said), lines.splitlines(), folder


@pytest.mark.parametrize("call", CASES)
def test_calls_of_strangers(call, first):
    said = first[0]
    assert re.match(CASES[call], said[call]), said[call]


OPTIONS = """
from inception_keras.cli.terminal import named_options
texts = "aux=no batch_norm=YES residual=off dropout=0.5 shift=-2 width=1e-3 classes=10 version=1.1.0 pooling=none"
print(named_options(texts.split()))
shapes = ["a=64x64x3", "b=(64, 64, 3)", "c=none,None,3", "d=32x4d", "e=3,x"]
print("SHAPES", named_options(shapes))
for wrong in (["aux"], ["=3"], ["aux="], ["aux=1", "aux=0"]):
    try:
        print(named_options(wrong))
    except ValueError as error:
        print(error)
from typer.testing import CliRunner
from inception_keras.cli import app
for options in (["aux=no", "classes=10"], ["aux=1"], ["batch_norm=yes"]):
    words = [word for option in options for word in ("-o", option)]
    print("SHOWN", " ".join(CliRunner().invoke(app, ["show", "googlenet", *words]).output.split()))
"""


def test_options_on_the_command_line(first):
    lines = first[1]
    assert lines[0] == str(
        {"aux": False, "batch_norm": True, "residual": False, "dropout": 0.5, "shift": -2, "width": 0.001}
        | {"classes": 10, "version": "1.1.0", "pooling": None}
    )
    shapes = {"a": (64, 64, 3), "b": (64, 64, 3), "c": (None, None, 3), "d": "32x4d", "e": "3,x"}
    assert lines.pop(1) == f"SHAPES {shapes}"
    shown = [line for line in lines if line.startswith("SHOWN")]
    assert "5,983,802" in shown[0] and "aux_1" not in shown[0]
    assert "aux must be True or False, got 1" in shown[1]
    assert "create_model('googlenet_bn')" in shown[2]
    assert [line[:20] for line in lines[1:5]] == ["An option is NAME=VA"] * 3 + ["The option aux is gi"]


SMALL = {"input_shape": (32, 32, 3)}
SAVE = """
import warnings
import numpy as np, keras, inception_keras as ik

rng = np.random.default_rng(0)
nets = {
    "ours": ik.create_model("googlenet_cifar", classes=7, aux=True, batch_norm=True),
    "lenet": ik.create_model("lenet5"),
    "top": keras.applications.MobileNet((32, 32, 3), 0.25, weights=None, classes=7, classifier_activation=None),
    "notop": keras.applications.MobileNet((32, 32, 3), 0.25, weights=None, include_top=False),
}
x = rng.normal(size=(2, 32, 32, 3)).astype("float32")
truth = {"x": x}
for name, net in nets.items():
    for variable in net.weights:
        start = rng.uniform(0.8, 1.2, variable.shape) if variable.name in ("gamma", "moving_variance") else 0
        variable.assign(start if np.ndim(start) else 0.2 * rng.standard_normal(variable.shape))
    warnings.simplefilter("ignore")  # Keras prefers its newer format
    net.save(f"{name}.keras"), net.save(f"{name}.h5"), net.save_weights(f"{name}.weights.h5")
    image = x if net.input_shape[-1] == 3 else x[..., :1]
    outputs = net(image, training=False)
    truth[name] = outputs["predictions"] if isinstance(outputs, dict) else outputs
np.savez("keras_truth.npz", **truth)
"""
OPEN = """
import json, warnings
import numpy as np
import inception_keras as ik
from inception_keras.weights.store import variables
from typer.testing import CliRunner
from inception_keras.cli import app

truth, said = dict(np.load("truth.npz")), {}
for name, (id, options) in json.loads(CALLS).items():
    options = {"classifier_activation": None, "input_shape": (32, 32, 3)} | options
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            net = ik.create_model(id, weights=name.partition(" ")[0], **options)
        except Exception as error:
            said[name] = {"error": f"{type(error).__name__}: {error}"}
            continue
    says = [str(w.message) for w in warned if "__array__" not in str(w)]
    said[name] = {"classes": net.output_shape[-1], "says": says}
    if id == "squeezenet1_1":
        own = {key: v.numpy() for key, v in variables(net).items() if key in truth and v.shape == truth[key].shape}
        said[name]["off"] = max(float(abs(truth[key] - array).max()) for key, array in own.items())
        said[name]["same"] = len(own)
    elif (kind := name.partition(".")[0]) in (theirs := np.load("keras_truth.npz")):
        x = theirs["x"][..., : net.input_shape[-1]]
        given = np.asarray(net(x, training=False))
        if given.shape == theirs[kind].shape:
            said[name]["off"] = float(abs(given - theirs[kind]).max() / abs(theirs[kind]).max())
for words in json.loads(CONVERT):
    result = CliRunner().invoke(app, ["convert", *words])
    said[" ".join(words)] = [result.exit_code, " ".join(result.output.split())]
grey, colour = (ik.create_model("squeezenet1_1", weights="plain.pth", input_shape=(32, 32, c)) for c in (1, 3))
x = np.random.default_rng(0).normal(size=(2, 32, 32, 1)).astype("float32")
said["grey"] = float(abs(np.asarray(grey(x)) - colour(np.repeat(x, 3, -1)).numpy()).max())
trained = ik.create_model("squeezenet1_1", classes=7, input_shape=(32, 32, 3))
before = trained.get_weights()
for call in json.loads(LOADS):
    try:
        said[call] = str(eval(call))
    except (ValueError, TypeError, OSError) as error:
        said[call] = f"{type(error).__name__}: {error}"
said["unchanged"] = all(np.array_equal(a, b) for a, b in zip(trained.get_weights(), before))
print("SAID", json.dumps(said))
"""


def _torch_files(folder):
    """Checkpoints of training programs, all of the same SqueezeNet with 7 classes, and the weights of that net."""
    with without_weights():
        found = slots(create_model("squeezenet1_1", classes=7, **SMALL), torch_rules("squeezenet1_1")[0])
    arrays = synthetic.state_dict({name: slot.shape for name, slot in found.items()})
    np.savez(folder / "truth.npz", **{slot.variable: slot.turn(arrays[name]) for name, slot in found.items()})

    def tensors(prefix="", kind="Float", arrays=arrays):
        kinds = {"Float": "float32", "Half": "float16"}
        if kind == "BFloat16":
            arrays = {name: (array.view("uint32") >> 16).astype("uint16") for name, array in arrays.items()}
        return {
            f"{prefix}{name}": Tensor(array.astype(kinds.get(kind, array.dtype)), kind)
            for name, array in arrays.items()
        }

    scalar = Tensor(np.array([3.0], "float32"))
    optimizer = {"state": {0: {"exp_avg": Tensor(np.ones(3, "float32"))}}, "param_groups": [{"lr": 0.1}]}
    headless = {name: array for name, array in arrays.items() if not name.startswith("classifier")}
    wrong = arrays | {"features.0.bias": np.where(np.arange(64) < 2, np.nan, arrays["features.0.bias"])}
    entries = {
        "plain.pth": tensors(),
        "parallel.pth": tensors("module."),
        "imagenet.pth.tar": {
            "epoch": 3, "arch": "x", "best_acc1": scalar, "state_dict": tensors("module."), "optimizer": optimizer,
        },
        "lightning.ckpt": {
            "epoch": 3, "pytorch-lightning_version": "2.4", "callbacks": {"ModelCheckpoint{}": {"best": scalar}},
            "hyper_parameters": {"config": Stranger("my.project", "Config")}, "optimizer_states": [optimizer],
            "state_dict": tensors("model.") | {"criterion.weight": scalar},
        },
        "timm.pth.tar": {"arch": "x", "state_dict": tensors(), "state_dict_ema": tensors(arrays=headless), "metric": 3},
        "references.pth": {"model": tensors(), "args": Stranger("argparse", "Namespace"), "epoch": 2},
        "compiled": {"model": tensors("_orig_mod.", "Half")},
        "bfloat.bin": {"model_state": tensors("_orig_mod.module.", "BFloat16")},
        "kuangliu.pkl": {"net": tensors("backbone."), "acc": 90.0},
        "tutorial.tar": {"model_state_dict": tensors("net."), "optimizer_state_dict": optimizer, "loss": scalar},
        "average.pt": {"ema": tensors("ema_model.") | {"n_averaged": scalar}},
        "encoder.pth": tensors("encoder.", arrays=headless),
        "headless.pth": tensors(arrays=headless),
        "moco.pth": {"state_dict": tensors("encoder_q.") | tensors("encoder_k.")},
        "whole.pth": Stranger("torchvision.models.squeezenet", "SqueezeNet"),
        "inside.pth": {"model": Stranger("my.project", "Net"), "epoch": 3},
        "optimizer.pth": optimizer,
        "nan.pth": tensors(arrays={name: array.astype("float32") for name, array in wrong.items()}),
        "other.pth": tensors(arrays={f"{name}x": array for name, array in arrays.items()}),
    }  # fmt: skip
    for name, value in entries.items():
        write_zip(folder / name, value)
    write_legacy(folder / "old.pth", entries["imagenet.pth.tar"])
    (folder / "page.pth").write_text("<!DOCTYPE html><html>Sign in</html>")
    (folder / "pointer.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1")
    (folder / "cut.ckpt").write_bytes((folder / "plain.pth").read_bytes()[:-2000])


# file, and what is asked of it -> id, options, and what comes: classes, the greatest difference, a word; or an error
NET, APP, OURS = "squeezenet1_1", "mobilenet_v1_025", "googlenet_cifar"
BN = {"batch_norm": True, "classifier_activation": "softmax"}
FILES = {
    **dict.fromkeys(("plain.pth", "parallel.pth", "imagenet.pth.tar", "references.pth", "kuangliu.pkl", "old.pth",
                     "tutorial.tar", "average.pt"), (NET, {}, 7, 0, None)),
    "compiled": (NET, {}, 7, 1e-3, None),
    "bfloat.bin": (NET, {}, 7, 1e-2, None),
    "lightning.ckpt": (NET, {}, 7, 0, "not below 'model.' are left out: criterion.weight"),
    "timm.pth.tar": (NET, {}, 7, 0, "state_dict, state_dict_ema, state_dict is used"),
    "plain.pth with other classes": (NET, {"classes": 5}, 5, 0, "it has 5 classes, plain.pth has 7"),
    "encoder.pth": (NET, {}, 1000, 0, "conv_10 of squeezenet1_1 keep fresh weights"),
    "headless.pth": (NET, {"classes": 4}, 4, 0, "conv_10 of squeezenet1_1 keep fresh weights"),
    "moco.pth": (NET, {}, "ValueError: .*holds the net 2 times, under encoder_k., encoder_q."),
    "whole.pth": (NET, {}, "ValueError: .*torchvision.models.squeezenet.SqueezeNet: a whole model is pickled in it"),
    "inside.pth": (NET, {}, "ValueError: .*my.project.Net: a whole model is pickled in it; save its state_dict"),
    "optimizer.pth": (NET, {}, "ValueError: .*it holds no tensors by name"),
    "nan.pth": (NET, {}, r"ValueError: .*1 not finite: conv_1/bias \(2 of 64 values\)\.$"),
    "other.pth": (NET, {}, "ValueError: .{80,900}and 42 more; 52 unexpected: .{50,600}x and 42 more[.] Published"),
    "page.pth": (NET, {}, "ValueError: .*it is a web page"),
    "pointer.safetensors": (NET, {}, "ValueError: .*it is a pointer of Git LFS"),
    "cut.ckpt": (NET, {}, "ValueError: cut.ckpt is"),
    ".": (NET, {}, "ValueError: . is a folder, not a file of weights"),
    "absent.pth": (NET, {}, "FileNotFoundError: There is no weights file absent.pth"),
    "imagnet": (NET, {}, "FileNotFoundError: .*weights of squeezenet1_1 are 'imagenet', 'authors', 'torchvision'"),
    **{f"ours{suffix}": (OURS, BN, 7, 1e-5, None) for suffix in (".keras", ".weights.h5", ".h5")},
    "ours.keras grey": (OURS, BN | {"input_shape": (32, 32, 1)}, 7, None, None),
    **{f"lenet{suffix}": ("lenet5", {"input_shape": (32, 32, 1), "classifier_activation": "softmax"}, 10, 1e-5, None)
       for suffix in (".keras", ".weights.h5", ".h5")},
    **{f"top{suffix}": (APP, {}, 7, 1e-5, None) for suffix in (".keras", ".weights.h5", ".h5")},
    **{f"notop{suffix}": (APP, {"include_top": False}, 256, 1e-5, None) for suffix in (".keras", ".weights.h5", ".h5")},
    **{f"notop{suffix} with a head": (APP, {"classes": 3}, 3, None, "predictions of mobilenet_v1_025 keep fresh")
       for suffix in (".keras", ".weights.h5", ".h5")},
}  # fmt: skip
CONVERT = {
    ("parallel.pth", "-m", NET, "--out", "a.safetensors"): (0, "a.safetensors"),
    ("plain.pth", "-m", NET, "--out", "new/a.safetensors", "-o", "input_shape=32x32x3"): (0, "new/a.safetensors"),
    ("parallel.pth", "-m", NET, "-o", "classes=7", "-o", "b.safetensors"): (0, "b.safetensors"),
    ("plain.pth", "-m", NET, "-o", "classes=10", "--out", "no.safetensors"): (1, "error: Nothing is written, because"),
    ("headless.pth", "-m", NET, "--out", "no.safetensors"): (1, "conv_10 of squeezenet1_1 keep fresh weights"),
    ("plain.pth", "-m", NET): (1, "--out must be a file that ends in .safetensors, got ''"),
}
CALLS = {
    "ik.save_weights(trained, 'x.pth')": "ValueError: save_weights .* path must end in .safetensors, got x.pth",
    "ik.save_weights(None, 'x.safetensors')": "TypeError: model must be a Keras model, got None",
    "ik.save_weights(trained, None)": "TypeError: path must be a path, got None",
    "ik.load_weights(trained, 'plain.pth')": "ValueError: .*Files of PyTorch, Keras and Caffe are read by create_model",
    "ik.load_weights(trained, None)": "TypeError: path must be a path, got None",
    "ik.load_weights([], 'x')": r"TypeError: model must be a Keras model, got \[\]",
    "ik.load_weights(trained, '.')": "FileNotFoundError: There is no weights file",
    "ik.save_weights(trained, 'x.safetensors', 'half')": "ValueError: dtype must be None, 'float16'",
}


# the same net in other wrappers; that they hold its weights is tested without building it
SAME = ("imagenet.pth.tar", "references.pth", "kuangliu.pkl", "old.pth", "tutorial.tar", "average.pt")
# other forms of what the others have
SLOW = (*SAME, "ours.weights.h5", "ours.h5", "lenet.h5", "top.h5", "notop.weights.h5", "notop.weights.h5 with a head",
        "notop.h5 with a head")  # fmt: skip


def what_comes(folder, files, convert=(), loads=()):
    """The results of loading weights files in a process that did not write them."""
    calls = json.dumps({name: FILES[name][:2] for name in files})
    given = f"CALLS, CONVERT, LOADS = {calls!r}, {json.dumps(list(convert))!r}, {json.dumps(list(loads))!r}\n"
    return json.loads(re.search("^SAID (.*)$", python(given + OPEN, folder), re.MULTILINE)[1])


@pytest.fixture(scope="module")
def opened(first):
    """The result for each file of other programs, and the folder of these files."""
    folder = first[2]
    _torch_files(folder)
    return what_comes(folder, [name for name in FILES if name not in SLOW], CONVERT, CALLS), folder


@pytest.fixture(scope="module")
def more_opened(opened):
    return what_comes(opened[1], SLOW)


@pytest.mark.parametrize("name", [name for name in FILES if name not in SLOW])
def test_files_of_strangers(name, opened):
    check(name, opened[0][name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_more_files_of_strangers(name, more_opened):
    check(name, more_opened[name])


def check(name, said):
    expected = FILES[name][2:]
    if len(expected) == 1:
        assert re.match(expected[0], said["error"], re.DOTALL), said["error"]
        return
    classes, off, word = expected
    assert said["classes"] == classes, said
    assert (word in " ".join(said["says"])) if word else not said["says"], said
    if off is not None:
        assert said["off"] <= off
        assert said.get("same", 52) in (52, 50 if classes != 7 else 52)


def test_other_wrappers_hold_the_same_weights(opened):
    with without_weights():
        model = create_model(NET, classes=7, **SMALL)
    truth = dict(np.load(opened[1] / "truth.npz"))
    for name in SAME:
        arrays = translate(model, NET, read_source(NET, opened[1] / name).arrays).arrays
        assert arrays.keys() == truth.keys(), name
        for key, array in arrays.items():
            np.testing.assert_array_equal(array, truth[key], name)


def test_convert_invents_nothing(opened):
    said, folder = opened
    for words, (status, sentence) in CONVERT.items():
        assert said[" ".join(words)][0] == status and sentence in said[" ".join(words)][1], said[" ".join(words)]
    assert (folder / "a.safetensors").read_bytes() == (folder / "b.safetensors").read_bytes()
    assert not (folder / "no.safetensors").exists()


def test_saving_and_loading_wrong_things(opened):
    said, folder = opened
    for call, sentence in CALLS.items():
        assert re.match(sentence, said[call]), said[call]
    assert said["unchanged"] and said["grey"] < 1e-5
    assert not (folder / "x.pth").exists() and not (folder / "x.safetensors").exists()


def test_the_length_of_a_safetensors_header_says_nothing(tmp_path):
    """A safetensors file begins with this length, so its first byte may look like a pickle or another format."""
    path = tmp_path / "weights.safetensors"
    tensor = json.dumps({"weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    for length in range(256, 512):
        path.write_bytes(length.to_bytes(8, "little") + tensor.ljust(length) + np.ones(1, "float32").tobytes())
        assert suffix_of(path, (".pth", ".safetensors", ".caffemodel", ".onnx")) == ".safetensors", length
        assert read(path)["weight"] == 1

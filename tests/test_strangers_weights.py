"""Ids, options and files of weights as strangers bring them, each tried in a new process."""

import json
import re

import pytest
from outside import command, python

OUTCOMES = """
import json
from pathlib import Path
import numpy as np
import keras
import inception_keras as ik
from inception_keras import create_model as make

said = {}
with ik.structure():
    for call in json.loads(CALLS):
        try:
            said[call] = f"{eval(call)}"
        except (ValueError, TypeError) as error:
            said[call] = f"{type(error).__name__}: {error}"
        except Exception as error:
            said[call] = f"FAULT {type(error).__name__}: {error}"
print("SAID", json.dumps(said))
"""


def outcomes(calls, cwd):
    """What each call gives or says, all of them in one new process."""
    said = python(f"CALLS = {json.dumps(list(calls))!r}\n{OUTCOMES}", cwd)
    return json.loads(re.search("^SAID (.*)$", said, re.MULTILINE)[1])


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
    "ik.aux_head(keras.Input((14, 14, 8)), 10, unit='conv')": "TypeError: unit must be a function, got 'conv'",
    "ik.squeeze_excite(keras.Input((14, 14, 8)), None)": "ValueError: filters must be an int of at least 1, got None",
    **{f"ik.{name}({thing})": SHAPE for name in ("build_googlenet", "build_densenet", "build_lenet5", "build_dpn")
       for thing in ("None", "'photo.jpg'", "[224, 224]", "(10**12, 8, 3)", "(8, 8, 10**12)", "(224.0, 224, 3)")},
}  # fmt: skip


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    return outcomes(CASES, tmp_path_factory.mktemp("calls"))


@pytest.mark.parametrize("call", CASES)
def test_calls_of_strangers(call, said):
    assert re.match(CASES[call], said[call]), said[call]


def test_options_on_the_command_line(tmp_path):
    code = """
from inception_keras.cli.terminal import named_options
texts = "aux=no batch_norm=YES residual=off dropout=0.5 shift=-2 width=1e-3 classes=10 version=1.1.0 pooling=none"
print(named_options(texts.split()))
for wrong in (["aux"], ["=3"], ["aux="], ["aux=1", "aux=0"]):
    try:
        print(named_options(wrong))
    except ValueError as error:
        print(error)
"""
    lines = python(code, tmp_path).splitlines()
    assert lines[0] == str(
        {"aux": False, "batch_norm": True, "residual": False, "dropout": 0.5, "shift": -2, "width": 0.001}
        | {"classes": 10, "version": "1.1.0", "pooling": None}
    )
    assert [line[:20] for line in lines[1:]] == ["An option is NAME=VA"] * 3 + ["The option aux is gi"]
    shown = command("show", "googlenet", "-o", "aux=no", "-o", "classes=10", cwd=tmp_path)
    assert "5,983,802" in shown and "aux_1" not in shown
    assert "aux must be True or False, got 1" in command("show", "googlenet", "-o", "aux=1", cwd=tmp_path, status=1)

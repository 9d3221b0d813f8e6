"""What every net of the zoo keeps: published counts, names, input sizes, options. Nothing is allocated."""

import re
from math import prod

import keras
import pytest

from inception_keras import create_model, list_models
from inception_keras.analysis.profile import profile
from inception_keras.zoo import ZOO

IDS = list_models()
NAME = re.compile(r"[a-z][a-z0-9_]*(-[a-z0-9_]+)*")
FEW = ["googlenet", "vgg11", "resnet18", "squeezenet1_1", "mobilenet_v3_small", "densenet121"]


@pytest.fixture(autouse=True)
def _no_weights():
    with keras.StatelessScope(initialize_variables=False):
        yield


def _size(id, side):
    return (side, side, create_model(id).input_shape[-1])


@pytest.mark.parametrize("id", IDS)
def test_costs_what_is_published(id):
    entry, model = ZOO[id], create_model(id)
    assert sum(prod(v.shape) for v in model.trainable_variables) == entry.params
    assert profile(model).macs / 1e9 == pytest.approx(entry.gmacs, abs=6e-4)
    assert model.input_shape[1:3] == (entry.image, entry.image)
    assert model.name == id


@pytest.mark.parametrize("id", IDS)
def test_layers_have_names_that_last(id):
    names = [layer.name for layer in create_model(id).layers]
    assert len(set(names)) == len(names)
    assert [name for name in names if not NAME.fullmatch(name)] == []
    assert names == [layer.name for layer in create_model(id).layers]
    assert {"image", "predictions"} <= set(names)


@pytest.mark.parametrize("id", IDS)
def test_takes_its_least_input_and_none_smaller(id):
    least = ZOO[id].least
    assert create_model(id, input_shape=_size(id, least)).output_shape == create_model(id).output_shape
    for side in (least - 1, 0):
        with pytest.raises(ValueError):
            create_model(id, input_shape=_size(id, side))


@pytest.mark.parametrize("id", IDS)
def test_honours_its_options(id):
    model = create_model(id, classes=7, classifier_activation=None, input_shape=_size(id, ZOO[id].image))
    assert model.output_shape == (None, 7)


@pytest.mark.parametrize("id", IDS)
def test_ends_at_its_last_maps_without_its_top(id):
    maps = create_model(id, include_top=False)
    whole = create_model(id)
    names = [layer.name for layer in whole.layers]
    assert len(maps.output_shape) == 4
    assert [layer.name for layer in maps.layers] == [name for name in names if name in {x.name for x in maps.layers}]
    assert "predictions" not in [layer.name for layer in maps.layers]
    assert maps.count_params() < whole.count_params()
    assert create_model(id, include_top=False, pooling="avg").output_shape == (None, maps.output_shape[-1])
    assert maps.name == id


@pytest.mark.parametrize("id", FEW)
def test_any_size_goes_without_the_top(id):
    model = create_model(id, include_top=False, input_shape=(None, None, 3), pooling="max")
    assert model.input_shape == (None, None, None, 3)
    assert None not in model.output_shape[1:]


@pytest.mark.parametrize(
    ("id", "options", "says"),
    [
        ("googlenet", {"pooling": "avg"}, "include_top=False"),
        ("googlenet", {"pooling": "mean", "include_top": False}, "None, 'avg' or 'max'"),
        ("googlenet", {"aux": True, "include_top": False}, "no auxiliary heads"),
        ("googlenet", {"auks": True}, "did you mean aux"),
        ("vgg16", {"input_shape": (None, None, 3)}, "fixed size"),
        ("googlnet", {}, "did you mean googlenet"),
        ("resnet50", {"classes": 1}, "at least 2"),
        ("resnet50", {"input_shape": (32, 32)}, "height, width, channels"),
        ("inception_v3", {"aux": True, "input_shape": (200, 200, 3)}, "299"),
    ],
)
def test_says_what_is_wrong(id, options, says):
    with pytest.raises(ValueError, match=says):
        create_model(id, **options)


def test_lists_by_pattern_and_year():
    assert set(list_models("vgg*")) == {f"vgg{d}{s}" for d in (11, 13, 16, 19) for s in ("", "_bn")}
    assert "alexnet_2012" in list_models(year=2012)
    assert list_models("vgg*", year=2012) == []

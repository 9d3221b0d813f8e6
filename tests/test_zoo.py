"""Properties of every net of the zoo: published counts, names, input sizes, options. Nothing is allocated."""

import re
from functools import cache
from math import prod

import pytest
import structures

from inception_keras import create_model, list_models, without_weights
from inception_keras.analysis.profile import profile
from inception_keras.zoo import ZOO

IDS = list_models(task=None)
CLASSIFIERS = list_models()
NAME = re.compile(r"[a-z][a-z0-9_]*(-[a-z0-9_]+)*")
# one net of each builder
FEW = list({entry.builder: id for id, entry in reversed(ZOO.items())}.values())
LARGE = re.compile("inception_|seinception|densenet|dpn")  # which take longer to build than all others
SMALL = [id for id in FEW if not LARGE.match(id)]
FEW_FAST = [id if id in SMALL else pytest.param(id, marks=pytest.mark.slow) for id in IDS]
FEW_WITH_A_TOP = [id if id in SMALL else pytest.param(id, marks=pytest.mark.slow) for id in CLASSIFIERS]
# nets that differ from smaller ones of the same builder in depth, width or groups alone
DEEP = re.compile(
    r"(densenet1[69]|densenet2|resnet1[05]|resnet34|resnext|wide_resnet|seresnet1[05]|seresnet34|seresnext|senet154)|"
    r"dpn[91]|shufflenet_v1_g[248]|(plain|resnet)(32|44|56|110)_cifar|mobilenet_v1_0[57]|mnasnet._75|mnasnet1_3|"
    r"shufflenet_v2_x(1_5|2_0)"
)
EVERY = [pytest.param(id, marks=pytest.mark.slow) if DEEP.match(id) else id for id in IDS]
SIZELESS = ["googlenet", "vgg11", "resnet18", "squeezenet1_1", "mobilenet_v3_small"]
SIZELESS += [pytest.param("densenet121", marks=pytest.mark.slow)]


@pytest.fixture(autouse=True)
def _no_weights():
    with without_weights():
        yield


@cache
def _published(id):
    with without_weights():
        return create_model(id)


def _shape(id, side):
    return (side, side, _published(id).inputs[0].shape[-1])


def _names(model):
    return [layer.name for layer in model.layers]


@pytest.mark.parametrize("id", EVERY)
def test_costs_what_is_published(id):
    entry, model = ZOO[id], _published(id)
    assert sum(prod(v.shape) for v in model.trainable_variables) == entry.params
    assert profile(model).macs / 1e9 == pytest.approx(entry.gmacs, abs=6e-4)
    assert model.inputs[0].shape[1:3] == (entry.image, entry.image)
    assert model.name == id


@pytest.mark.parametrize("id", EVERY)
def test_layers_have_names_that_last(id):
    names = _names(_published(id))
    assert len(set(names)) == len(names)
    assert [name for name in names if not NAME.fullmatch(name)] == []
    known = ({"image", "predictions"}, {"images", "detections"})  # of detectors with layers that make boxes
    assert any(pair <= set(names) for pair in known)


@pytest.mark.parametrize("id", EVERY)
def test_every_layer_is_as_it_was(id):
    """Shows any change of a layer's name, shape, class, options or inputs. `make golden` writes the files."""
    model = create_model(id, aux=True) if structures.has_heads(id) else _published(id)
    assert structures.lines(model) == (structures.FOLDER / f"{id}.txt").read_text().splitlines()


def test_there_is_no_golden_structure_of_a_net_that_is_not_there():
    assert sorted(path.stem for path in structures.FOLDER.glob("*.txt")) == IDS


@pytest.mark.parametrize("id", FEW_FAST)
def test_takes_its_smallest_input_and_its_options(id):
    min_size = ZOO[id].min_size
    model = create_model(id, input_shape=_shape(id, min_size), classes=7, classifier_activation=None)
    if ZOO[id].task != "detection":
        assert model.output_shape == ((None, 7) if id in CLASSIFIERS else (None, min_size, min_size, 7))
    # where the published size needs no adaptive pool, a small one may
    assert [name for name in _names(model) if name != "adaptive_pool"] == _names(_published(id))
    for side in {min_size - 1, 0}:
        with pytest.raises(ValueError, match="input_shape"):
            create_model(id, input_shape=_shape(id, side))


@pytest.mark.parametrize("id", FEW_WITH_A_TOP)
def test_ends_at_its_last_maps_without_its_top(id):
    whole, maps = _published(id), create_model(id, include_top=False)
    assert len(maps.output_shape) == 4
    names = set(_names(maps))
    assert _names(maps) == [name for name in _names(whole) if name in names]
    assert "predictions" not in _names(maps)
    assert maps.count_params() < whole.count_params()
    assert maps.name == id


@pytest.mark.parametrize("id", SIZELESS)
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
        ("fcn8s", {"include_top": False}, "features"),
        ("fcn8s", {"classifier_activation": "sigmoid"}, "gives scores only"),
        ("fcn8s", {"stride": 16}, "fcn16s"),
        ("fcn_resnet50", {"classes": 1}, "at least 2"),
        ("faster_rcnn", {"backbone": "zf"}, "faster_rcnn_zf"),
        ("faster_rcnn", {"scales": (0,)}, "scales must be numbers above 0"),
        ("yolo_v1", {"classes": 0}, "at least 1"),
        ("yolo_v1", {"classifier_activation": "sigmoid"}, "gives boxes only"),
        ("yolo_v1", {"release": "fast"}, "yolo_v1_fast"),
        ("yolo_v1", {"order": "paper"}, "'darknet' or 'cells'"),
        ("yolo_v1_mini", {"input_shape": (None, None, 3)}, "fixed size"),
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
    assert "fcn8s" in list_models(task="segmentation") and "fcn8s" not in list_models()
    assert list_models(task=None) == sorted(ZOO)

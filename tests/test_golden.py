"""Every net gives the outputs of its reference, with weights from a file in the reference's layout."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
import synthetic
from effects import effects
from safetensors.numpy import save_file

from inception_keras import convolutionalize, create_model, list_models, save_weights, without_weights
from inception_keras.weights.caffe_names import caffe_rules
from inception_keras.weights.torch_names import torch_rules
from inception_keras.weights.translate import slots

FOLDER = Path(__file__).parent / "golden"
FAST = {"lenet5", "squeezenet1_1"}
LIMIT = 2e-5  # of the largest output
FLATTENED = ("vgg", "alexnet", "zfnet", "lenet")  # test_convolutionalize has them, at their one size
CHANNELS = {"lenet5": 1, "lenet5_modern": 1}  # 3 of the others
IDS = list_models() + list_models(task="segmentation")  # detectors have tests of their own
SEGMENTATION = set(list_models(task="segmentation"))  # with scores of 4 classes for every third pixel


def _golden(id):
    """The gain of the weights, and the outputs by name for each size."""
    arrays = dict(np.load(FOLDER / f"{id}.npz"))
    gain, _ = float(arrays.pop("gain")), arrays.pop("versions")
    sizes = {}
    for key, values in arrays.items():
        size, output = key.split("/")
        sizes.setdefault(tuple(map(int, size.split("x"))), {})[output] = values
    return gain, sizes


def _image(id, size):
    return synthetic.image(*size, CHANNELS.get(id, 3))


def _model(id, size, outputs, **options):
    aux = {"aux": True} if len(outputs) > 1 else {}
    if id in SEGMENTATION:
        aux["classes"] = 4
    shape = (*size, CHANNELS.get(id, 3))
    return create_model(id, input_shape=shape, classifier_activation=None, **aux, **options)


def _weights(id, sizes, gain, path):
    """A weights file in the reference's layout, or in ours if no library has published such a net."""
    size = max(sizes, key=lambda size: len(sizes[size]))
    with without_weights():
        model = _model(id, size, sizes[size])
    like = re.sub(r"(resnet\d+)_(v1|caffe)", r"\1", id)  # their references are torchvision's net, altered
    rules, *_ = [*torch_rules(like), *caffe_rules(id), [(".*", "{0}")]]
    found = slots(model, rules)
    arrays = synthetic.state_dict({name: slot.shape for name, slot in found.items()}, gain)
    if rules not in [*torch_rules(id), *caffe_rules(id)]:
        arrays = {slot.variable: np.ascontiguousarray(slot.turn(arrays[name])) for name, slot in found.items()}
    save_file(arrays, path)
    return path


@pytest.mark.parametrize("id", [pytest.param(id, marks=() if id in FAST else pytest.mark.slow) for id in IDS])
def test_equals_its_reference_which_sees_every_weight(id, tmp_path):
    """Checks calls at two sizes, `predict` at one, and the fully convolutional form of a classifier.

    A lost or misplaced weight would change the outputs by far more than the tolerance. The second net reads its weights
    from the file that `save_weights` makes of the first. All of this stands in one test since building the nets takes
    most of the time.
    """
    gain, sizes = _golden(id)
    weights = _weights(id, sizes, gain, tmp_path / "weights.safetensors")
    most, found, seen = max(map(len, sizes.values())), {}, False
    for number, (size, expected) in enumerate(sizes.items(), 1):
        keras.utils.clear_session(free_memory=True)
        model = _model(id, size, expected, weights=weights)
        image = _image(id, size)
        ways = {"call": model(image, training=False)}
        if number == len(sizes):  # layers have other ways in a graph of predict, and some only with several images
            ways["predict"] = model.predict_on_batch(np.repeat(image, 4, axis=0))
        if number == 1 and id not in SEGMENTATION and not id.startswith(FLATTENED):
            ways["convolutional"] = np.asarray(convolutionalize(model)(image, training=False))[:, 0, 0]
        for way, given in ways.items():
            given = given if isinstance(given, dict) else {"predictions": given}
            if id in SEGMENTATION:
                given = {name: scores[:, ::3, ::3] for name, scores in given.items()}
            for output, values in expected.items():
                if output not in given and way == "convolutional":  # it has no auxiliary heads
                    continue
                difference = np.abs(given[output] - values).max() / np.abs(values).max()
                print(f"{id} {size} {way} {output}: {difference:.1e}")
                assert difference <= LIMIT, f"{output} at {size}, {way}"
        if not seen:
            found |= effects(model, image, found)
            seen = len(expected) == most  # heads that need large images are seen there alone
        if len(expected) == most:
            weights = tmp_path / "own.safetensors"
            save_weights(model, weights)
    least = min(found, key=found.__getitem__)
    print(f"{id}: least effect {found[least]:.1e}, of {least}, of {len(found)}")
    scaled = "score_pool_" if id == "fcn8s_atonce" else "none"  # by 0.01 and 0.0001
    unseen = {path: effect for path, effect in found.items() if not effect >= 10 * LIMIT}
    assert [path for path in unseen if not path.startswith(scaled)] == []


def test_outputs_are_of_the_order_of_one():
    """If sums grew large, the effect of late layers could not be seen."""
    for id in IDS:
        for outputs in _golden(id)[1].values():
            assert {name: values.std() for name, values in outputs.items() if not 0.03 <= values.std() <= 30} == {}, id


def test_golden_files_are_small_and_of_nets_that_there_are():
    sizes = {path.stem: path.stat().st_size for path in FOLDER.glob("*.npz")}
    assert sorted(sizes) == sorted(IDS)
    assert max(sizes.values()) < 50_000

"""Every net gives the numbers of its reference, with weights read from a file in the reference's layout."""

from pathlib import Path

import keras
import numpy as np
import pytest
import synthetic
from safetensors.numpy import save_file

from inception_keras import create_model, structure
from inception_keras.weights.names import layouts
from inception_keras.weights.torch import slots

FILES = sorted((Path(__file__).parent / "golden").glob("*.npz"))
FAST = {"googlenet_slim", "squeezenet1_1", "resnet18", "mobilenet_v2", "shufflenet_v2_x0_5"}


def _marked(path):
    return pytest.param(path, id=path.stem, marks=() if path.stem in FAST else pytest.mark.slow)


def _model(id, size, outputs, **options):
    aux = {"aux": True} if len(outputs) > 1 else {}
    return create_model(id, input_shape=(*size, 3), classifier_activation=None, **aux, **options)


def _write_weights(id, size, outputs, gain, path):
    with structure():
        model = _model(id, size, outputs)
    shapes = {name: slot.shape for name, slot in slots(model, layouts(id)[0]).items()}
    save_file(synthetic.state_dict(shapes, gain), path)


@pytest.mark.parametrize("path", [_marked(path) for path in FILES])
def test_equals_its_reference(path, tmp_path):
    golden = dict(np.load(path))
    gain = float(golden.pop("gain"))
    golden.pop("versions")
    sizes = {}
    for key, expected in golden.items():
        size, output = key.split("/")
        sizes.setdefault(tuple(map(int, size.split("x"))), {})[output] = expected
    weights = tmp_path / "weights.safetensors"
    for size, expected in sizes.items():
        if not weights.exists():
            _write_weights(path.stem, size, expected, gain, weights)
        keras.utils.clear_session(free_memory=True)
        model = _model(path.stem, size, expected, weights=weights)
        image = synthetic.image(*size)
        # layers have other ways to the same numbers in a graph of predict, and some only with several images
        ways = {"call": model(image, training=False), "predict": model.predict_on_batch(np.repeat(image, 4, axis=0))}
        for way, given in ways.items():
            given = given if isinstance(given, dict) else {"predictions": given}
            for output, values in expected.items():
                difference = np.abs(given[output] - values).max() / np.abs(values).max()
                print(f"{path.stem} {size} {way} {output}: {difference:.1e}")
                assert difference <= 2e-5, f"{output} at {size}, {way}"


def test_golden_files_are_small():
    assert FILES
    assert max(path.stat().st_size for path in FILES) < 50_000

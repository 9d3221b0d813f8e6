"""Weights of Caffe's model zoo in ONNX files, which are written here byte by byte."""

import numpy as np
import pytest
from onnx_files import field, model, tensor

from inception_keras import create_model, without_weights
from inception_keras.weights.onnx import read

MODULES = ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")
GOOGLENET = {  # bvlc_googlenet's layers -> ours
    "conv1/7x7_s2": "conv_1",
    "conv2/3x3_reduce": "conv_2-reduce",
    "conv2/3x3": "conv_2",
    **{
        f"inception_{module}/{theirs}": f"inception_{module}-{ours}"
        for module in MODULES
        for theirs, ours in {
            "1x1": "conv_1x1",
            "3x3_reduce": "reduce_3x3",
            "3x3": "conv_3x3",
            "5x5_reduce": "reduce_5x5",
            "5x5": "conv_5x5",
            "pool_proj": "pool_proj",
        }.items()
    },
    **{f"loss{i}/{part}": f"aux_{i}-{ours}" for i in (1, 2) for part, ours in (("conv", "conv_1x1"), ("fc", "fc"))},
    **{"loss1/classifier": "aux_1", "loss2/classifier": "aux_2", "loss3/classifier": "predictions"},
}


def _kernels(net, names):
    """Caffe's weights as (layer, kernel, bias): kernels are (out, in, h, w), dense layers (out, in) over (c, h, w)."""
    maps = {"aux_1-fc": (4, 4, 128), "aux_2-fc": (4, 4, 128), "fc_6": (6, 6, 256)}
    rng = np.random.default_rng(0)
    for theirs, ours in names.items():
        kernel, bias = (tuple(variable.shape) for variable in net.get_layer(ours).weights)
        array = 0.01 * rng.standard_normal(kernel, "float32")
        given = array.reshape(*maps.get(ours, kernel[:-1]), kernel[-1])
        order = (3, 2, 0, 1) if given.ndim == 4 else (1, 0)
        given = given.transpose(order).reshape(kernel[-1], -1) if len(kernel) == 2 else given.transpose(order)
        yield theirs, ours, array, np.ascontiguousarray(given), rng.standard_normal(bias, "float32")


@pytest.mark.slow  # tests/test_strangers_caffe.py has a faster one
@pytest.mark.parametrize(
    ("id", "names", "options"),
    [
        ("googlenet", GOOGLENET, {"aux": True}),
        (
            "alexnet_2012",
            {f"conv{i}": f"conv_{i}" for i in range(1, 6)} | {"fc6": "fc_6", "fc7": "fc_7", "fc8": "predictions"},
            {},
        ),
    ],
)
def test_loads_caffes_model_zoo(id, names, options, tmp_path):
    with without_weights():
        net = create_model(id, **options)
    path, expected, tensors = tmp_path / "model.onnx", {}, []
    for theirs, ours, kernel, given, bias in _kernels(net, names):
        expected[ours] = kernel, bias
        tensors += [tensor(f"{theirs}_w_0", given), tensor(f"{theirs}_b_0", bias, raw=False)]
    shape = np.array([1, -1])
    path.write_bytes(model(*tensors, tensor("OC2_DUMMY_1", shape, kind=7)))

    net = create_model(id, weights=path, **options)
    assert expected.keys() == {layer.name for layer in net.layers if layer.weights}
    for name, (kernel, bias) in expected.items():
        given = net.get_layer(name).get_weights()
        assert np.array_equal(given[0], kernel) and np.array_equal(given[1], bias), name


def test_reads_half_precision(tmp_path):
    path = tmp_path / "half.onnx"
    path.write_bytes(model(tensor("x_w_0", np.array([[1.5, -2]], "float16"), kind=10)))
    arrays = read(path)
    assert arrays["x.weight"].dtype == "float32" and arrays["x.weight"].tolist() == [[1.5, -2]]


WHOLE = model(tensor("x_w_0", np.ones(3, "float32")))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no initializers"),
        (b"nonsense", "not a whole ONNX model"),
        (WHOLE[:-3], "in the middle of field 7"),
        (model(tensor("x_w_0", np.ones(3, "float32")).replace(field(1, 3), field(1, 4))), "cannot reshape"),
        (b"\xff" * 12, "longer than 64 bits"),
        (model(field(8, b"x") + field(2, 1) + field(14, 1)), "x is in another file"),
    ],
)
def test_says_what_it_cannot_read(content, message, tmp_path):
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read(path)


def test_damage_anywhere_is_a_value_error_or_other_numbers(tmp_path):
    path = tmp_path / "x.onnx"
    for at in range(len(WHOLE)):
        path.write_bytes(WHOLE[:at] + bytes([WHOLE[at] ^ 0xFF]) + WHOLE[at + 1 :])
        try:
            read(path)
        except ValueError as error:
            assert "x.onnx" in str(error)


def test_there_is_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights file"):
        read(tmp_path / "x.onnx")

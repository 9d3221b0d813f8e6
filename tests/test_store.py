"""Weights by name: saved weights load unchanged, and weights that do not fit change nothing."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import inception_keras as ik


def build(**options):
    return ik.create_model("googlenet_cifar", input_shape=(32, 32, 1), **options)


@pytest.fixture(scope="module")
def model():
    return build(batch_norm=True)


@pytest.fixture
def path(model, tmp_path):
    ik.save_weights(model, tmp_path / "weights.safetensors")
    return tmp_path / "weights.safetensors"


def equal(model, weights):
    return all(np.array_equal(a, b) for a, b in zip(model.get_weights(), weights, strict=True))


def test_round_trip(model, path):
    other = build(batch_norm=True)
    ik.load_weights(other, path)
    assert equal(other, model.get_weights())
    assert "inception_3a-conv_1x1-bn/moving_variance" in load_file(path)


def test_the_net_without_aux_reads_its_own_half(tmp_path):
    full = build(aux=True)
    ik.save_weights(ik.strip_aux(full), tmp_path / "stripped.safetensors")
    plain = build()
    ik.load_weights(plain, tmp_path / "stripped.safetensors")
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 1)).astype("float32")
    np.testing.assert_allclose(plain(x), full(x)["predictions"], rtol=1e-6)
    ik.save_weights(full, tmp_path / "full.safetensors")
    assert equal(build(weights=tmp_path / "full.safetensors"), plain.get_weights())


def test_all_faults_are_listed_and_nothing_changes(model, path, tmp_path):
    arrays = load_file(path)
    arrays["conv_9/kernel"] = arrays.pop("conv_2/kernel")
    arrays["predictions/bias"] = np.zeros(3, "float32")
    save_file(arrays, tmp_path / "faulty.safetensors")
    before = model.get_weights()
    with pytest.raises(ValueError) as error:
        ik.load_weights(model, tmp_path / "faulty.safetensors")
    for part in ("1 missing: conv_2/kernel", "1 unexpected: conv_9/kernel", "predictions/bias (3,), not (10,)"):
        assert part in str(error.value)
    assert equal(model, before)


@settings(max_examples=30, deadline=None)
@given(cut=st.integers(0, 3000))
def test_a_cut_file_is_one_sentence(model, tmp_path_factory, cut):
    folder = tmp_path_factory.getbasetemp()
    if not (folder / "whole.safetensors").exists():
        ik.save_weights(model, folder / "whole.safetensors")
    (folder / "cut.safetensors").write_bytes((folder / "whole.safetensors").read_bytes()[:cut])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        ik.load_weights(model, folder / "cut.safetensors")


def test_missing_files_are_named(model, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights file .*nowhere\.safetensors"):
        ik.load_weights(model, tmp_path / "nowhere.safetensors")


def test_a_failed_save_keeps_the_older_file(model, path, monkeypatch):
    before = path.read_bytes()

    def full_disk(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match=r"weights.safetensors cannot be written: No space left on device"):
        ik.save_weights(model, path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_float16_halves_the_file(model, path, tmp_path):
    ik.save_weights(model, tmp_path / "half.safetensors", dtype="float16")
    assert (tmp_path / "half.safetensors").stat().st_size < 0.51 * path.stat().st_size
    ik.load_weights(model, tmp_path / "half.safetensors")
    assert model.get_layer("conv_1").kernel.dtype == "float32"


def test_embedded_weights_and_what_is_not_there(without_weights):
    with pytest.raises(ValueError, match="no published ImageNet weights of googlenet that fit it"):
        ik.create_model("googlenet", weights="imagenet")
    with pytest.raises(
        ValueError, match="weights must be None, a name of published weights, an address or a path, got 7"
    ):
        ik.create_model("googlenet", weights=7)


def test_any_keras_model_can_be_stored(tmp_path):
    net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense"), keras.layers.Dropout(0.5)])
    ik.save_weights(net, tmp_path / "net.safetensors")
    assert set(load_file(tmp_path / "net.safetensors")) == {"dense/kernel", "dense/bias"}


def test_a_file_of_a_namesake_is_told(tmp_path):
    ik.save_weights(ik.create_model("resnet20_cifar"), tmp_path / "residual.safetensors")
    ik.create_model("resnet20_cifar", weights=tmp_path / "residual.safetensors")
    with pytest.warns(UserWarning, match=r"was saved from resnet20_cifar; its weights fit plain20_cifar, which is"):
        ik.create_model("plain20_cifar", weights=tmp_path / "residual.safetensors")


def test_files_of_other_programs_are_pointed_at_create_model(model, tmp_path):
    (tmp_path / "net.pth").write_bytes(b"PK\3\4" + bytes(99))
    sentence = (
        r"net\.pth is not a safetensors file, as save_weights writes\. Files of PyTorch, .* create_model\(id, weigh"
    )
    with pytest.raises(ValueError, match=sentence):
        ik.load_weights(model, tmp_path / "net.pth")

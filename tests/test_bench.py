"""The benchmark against torchvision and timm: which nets are compared, and the figures."""

import os
import sys
from importlib.util import find_spec

import pytest

import inception_keras.deploy.bench as deploy_bench
from inception_keras.deploy.bench import bench, reference, sides


@pytest.fixture
def libraries(monkeypatch):
    """Stubs of torchvision and timm that know a few names."""
    names = {"torchvision": ["googlenet", "resnet18"], "timm": ["resnet18", "legacy_senet154", "dpn68"]}
    monkeypatch.setattr(deploy_bench, "known_names", lambda: names)


@pytest.mark.parametrize(
    ("id", "against", "found"),
    [
        ("resnet18", None, ("torchvision", "resnet18")),
        ("resnet18", "timm", ("timm", "resnet18")),
        ("googlenet_slim", None, ("torchvision", "googlenet")),
        ("senet154", None, ("timm", "legacy_senet154")),
        ("dpn68", None, ("timm", "dpn68")),
    ],
)
def test_finds_the_other_net(libraries, id, against, found):
    assert reference(id, against) == found


@pytest.mark.parametrize(
    ("id", "against", "says"),
    [
        ("googlenet", None, "Neither torchvision nor timm has googlenet"),
        ("lenet5", None, "Neither torchvision nor timm has lenet5"),
        ("dpn68", "torchvision", "torchvision has no dpn68"),
        ("resnet18", "keras", "torchvision or timm, got 'keras'"),
    ],
)
def test_says_what_it_cannot_compare(libraries, id, against, says):
    with pytest.raises(ValueError, match=says):
        reference(id, against)


def test_sizes():
    assert sides(224) == (224, 224) and sides([800, 1066]) == (800, 1066)
    for size in ([], [1, 2, 3]):
        with pytest.raises(ValueError, match="a side in pixels, or height and width"):
            sides(size)
    with pytest.raises(ValueError, match="a side of size must be an int of at least 1, got 0"):
        sides((0, 3))


def test_says_what_to_install(monkeypatch, tmp_path):
    (tmp_path / "timm.py").write_text("raise ImportError('No module named torch')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])  # as its process gets it
    deploy_bench.known_names.cache_clear()
    with pytest.raises(ImportError, match=r"No module named torch.*inception_keras\[bench\]"):
        next(bench(["resnet18"]))


def die() -> None:
    os._exit(1)


def test_says_that_a_process_ended():
    with pytest.raises(RuntimeError, match=r"die.*the process ended"), deploy_bench.in_process(die):
        pass


def test_wants_an_id_of_the_zoo(libraries):
    with pytest.raises(ValueError, match="did you mean resnet18"):
        next(bench(["resnet_18"]))


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("timm"), reason="the extra `bench` brings torch, torchvision and timm")
def test_times_both():
    speeds = list(bench(["squeezenet1_1"], batch=2, train_batch=2, size=64, rounds=1))
    assert [(speed.work, speed.batch, speed.size) for speed in speeds] == [("inference", 2, 64), ("training", 2, 64)]
    for speed in speeds:
        assert speed.reference == "torchvision:squeezenet1_1"
        assert speed.ratio == pytest.approx(speed.ours / speed.theirs)
        assert min(speed.ours_mib, speed.theirs_mib) > 50

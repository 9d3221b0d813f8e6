"""Several devices or workers give the same numbers as one, on logical CPUs and in processes over 127.0.0.1."""

import json
import signal
import time

import keras
import numpy as np
import pytest
import worker
from runs import TINY
from runs import difference as difference_of_runs

from inception_keras import Steps, compile_model, create_model, load_data, strategy
from inception_keras.training.devices import in_cluster
from inception_keras.training.state import load_state

NAMES = ("losses", "epochs", "dataset", "weights", "averages", "scale")


def difference(one, other):
    """The largest difference between the numbers of two nested structures of the same form."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        return max((difference(one[name], other[name]) for name in one), default=0.0)
    if isinstance(one, list):
        assert len(one) == len(other)
        return max((difference(a, b) for a, b in zip(one, other, strict=True)), default=0.0)
    assert np.isfinite(one)
    assert np.isfinite(other)
    return abs(one - other)


def assert_same(one, other, names=NAMES, tolerance=1e-5):
    for name in names:
        assert difference(one[name], other[name]) <= tolerance, name


def test_two_devices_give_the_numbers_of_one():
    [[two, one]] = worker.run(devices=[2, 1])
    assert_same(one, two)


def test_one_device_gives_the_numbers_of_fit():
    data = load_data("digits", image_size=32, batch_size=512, seed=1)
    batches = data.validation.cache()

    def model():
        keras.utils.set_random_seed(0)
        return compile_model(create_model("lenet5_modern", classes=10), "sgd")

    fitted = model()
    history = fitted.fit(batches, epochs=2, shuffle=False, verbose=0).history
    stepped = model()
    steps = Steps(stepped, strategy(), next(iter(batches)))
    figures = []
    for _ in range(2):
        steps.reset_metrics()
        iterator = steps.distribute(lambda shard: batches)
        with pytest.raises(StopIteration):
            while True:
                steps.train(iterator)
        figures.append(steps.metrics())
    assert history == {name: [figure[name] for figure in figures] for name in history}
    for a, b in zip(fitted.get_weights(), stepped.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
    assert steps.evaluate(batches) == fitted.evaluate(batches, return_dict=True, verbose=0)


def test_errors_are_one_sentence(monkeypatch):
    with pytest.raises(ValueError, match="devices must be an int of at least 1, got 0"):
        strategy(0)
    keras.ops.zeros(1) + 1  # TensorFlow has begun
    with pytest.raises(RuntimeError, match=r"begun work with 1 CPU device: call strategy\(2\) before anything else"):
        strategy(2)
    for text in ("{", "[]", '{"cluster": {"worker": ["a:1"]}}', '{"cluster": {"ps": ["a:1"]}, "task": {}}'):
        monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(ValueError, match="TF_CONFIG must be"):
            strategy()
    monkeypatch.setenv(
        "TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}})
    )
    with pytest.raises(ValueError, match="TF_CONFIG must be"):
        strategy()
    monkeypatch.setenv("TF_CONFIG", "{}")
    assert not in_cluster()


CASES = {
    "objects by box": {"boxes": True, "rate": 1e-3},
    "pixels of which many are void": {"masks": "mean"},
    "the sum of an image's pixels": {"masks": "sum", "rate": 1e-4},
    "aux heads, synchronized batch norm": {},
    "one head, no batch norm": {"aux": False, "batch_norm": None},
    "soft labels": {"soft": True},
    "an average of the weights": {"ema": 0.9},
    "one image": {"images": 1},
    "GoogLeNet": {
        "model": "googlenet_cifar",
        "options": {"aux": True},
        "images": 9,
        "rate": 0.01,
        "optimizer": "sgd",
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_workers_give_the_losses_of_one_process(name, capsys):
    first, second = worker.run(2, **CASES[name])
    [alone] = worker.run(**CASES[name])
    with capsys.disabled():
        largest = difference(alone["losses"], first["losses"])
        print(f"\n{name}: largest difference of the losses {largest:.1e}\n  step  one process  two workers")
        for step, (one, two) in enumerate(zip(alone["losses"], first["losses"], strict=True)):
            print(f"  {step:4}  {one:11.7f}  {two:11.7f}")
    assert [first["chief"], second["chief"]] == [True, False]
    assert_same(alone, first, tolerance=1e-6 * max(10, *alone["losses"]))
    assert_same(first, second, tolerance=0)
    assert first["any"] == second["any"] == [True, False]


@pytest.mark.slow
def test_local_batch_norm_is_the_same_on_every_worker():
    first, second = worker.run(2, batch_norm="local")
    assert_same(first, second, tolerance=0)
    [two] = worker.run(devices=2, batch_norm="local")
    assert_same(first, two)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(precision):
    case = {"precision": precision, "batch_norm": "local" if precision == "mixed_float16" else "synchronized"}
    first, second = worker.run(2, **case)
    [alone], [mirrored] = worker.run(**case), worker.run(devices=2, **case)
    assert_same(first, second, tolerance=0)
    assert_same(first, mirrored, tolerance=1e-5)
    assert first["scale"] == alone["scale"] == (1.0 if precision == "mixed_bfloat16" else 2.0**15)
    # a sum in another order differs by the last of 8 or 11 bits
    assert difference(alone["losses"], first["losses"]) < 0.05


@pytest.mark.slow
def test_an_overflow_on_one_worker_is_one_on_all():
    case = {"precision": "mixed_float16", "batch_norm": None, "overflow": 1}
    [alone], (first, second) = worker.run(**case), worker.run(2, **case)
    assert_same(first, second, tolerance=0)
    assert first["scale"] == alone["scale"] < 2.0**15  # the step was left out, and the scale halved
    assert difference(alone["losses"], first["losses"]) < 0.05


def command(out, *options):
    words = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items() if name != "model"]
    return ["-m", "inception_keras", "train", TINY["model"], *words, "--epochs=6", f"--out={out}", *options]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of two workers that is not interrupted."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    assert [code for code, *_ in worker.finish(worker.start(2, command(out)))] == [0, 0]
    return out


@pytest.mark.slow
@pytest.mark.parametrize(("victim", "sign"), [(0, signal.SIGKILL), (1, signal.SIGKILL), (1, signal.SIGTERM)])
def test_a_worker_that_is_stopped_ends_the_others_and_all_go_on(whole, tmp_path, victim, sign, capsys):
    out = tmp_path / "run"
    started = worker.start(2, command(out, "--save-minutes=1e-9"))
    while started[0].poll() is None:
        loaded = load_state(out / "checkpoints") if out.exists() else None
        if loaded and loaded[1]["rows"] and loaded[1]["step"]:
            break
        time.sleep(0.01)
    started[victim].send_signal(sign)
    killed = time.monotonic()
    started[1 - victim].wait(timeout=100)
    ended = time.monotonic() - killed
    code, printed, errors = worker.finish(started)[1 - victim]
    if sign == signal.SIGTERM:
        assert code == started[victim].returncode == 0
        assert "SIGTERM: the run is saved at" in printed
    else:
        assert code == 1
        [sentence] = [line for line in errors.splitlines() if line.startswith("error:")]
        assert "Another of the 2 workers ended or does not answer, so that this one ends too" in sentence
    assert len(load_state(out / "checkpoints")[1]["rows"]) < 6

    for code, _, errors in worker.finish(worker.start(2, command(out, "--resume"))):
        assert code == 0, errors[-4000:]
    worst = difference_of_runs(whole, out)
    with capsys.disabled():
        print(f"\nworker {victim}, {sign.name}: the other ended after {ended:.1f} s; largest difference {worst:.1e}")
    assert worst <= 1e-5

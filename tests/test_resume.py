"""A run that was killed, stopped or failed and is then resumed ends like a run that was never interrupted."""

import os
import random
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from outside import fork, python
from runs import TINY, Death, at_step, death_at_step, die_at, difference
from typer.testing import CliRunner

import inception_keras as ik
from inception_keras.cli import app
from inception_keras.training.facts import check_data
from inception_keras.training.folder import BEFORE, NEWEST, load_run
from inception_keras.training.lock import locked
from inception_keras.training.loop import Stopped, TrainingDiverged
from inception_keras.training.state import load_state, save_state
from inception_keras.weights.store import read

RECIPE = ik.Recipe(**TINY)
OFTEN = RECIPE.with_changes(save_minutes=1e-9)  # after each step


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that is not interrupted."""
    return ik.train(RECIPE.with_changes(save_minutes=0), tmp_path_factory.mktemp("runs") / "whole", verbose=0)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "run"


def test_whatever_interrupts_a_run_it_ends_as_one_that_nothing_did(whole, out, monkeypatch, capsys):
    def terminate(loss):
        os.kill(os.getpid(), signal.SIGTERM)
        return loss

    def fill_the_disk(loss):
        def fsync(handle):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", fsync)
        return loss

    before = signal.getsignal(signal.SIGTERM)
    at_step(monkeypatch, 4, terminate)
    with pytest.raises(
        Stopped, match=r"saved at step 4 of epoch 1 in .*; `.* train --resume .*` goes on from"
    ) as stopped:
        ik.train(RECIPE, out, verbose=1)
    monkeypatch.undo()
    assert stopped.value.code == 0
    bar = capsys.readouterr().out  # so that the message has a line of its own
    assert "step" in bar.splitlines()[-1] and bar.endswith("\n")
    assert signal.getsignal(signal.SIGTERM) is before

    at_step(monkeypatch, 5, fill_the_disk)  # the third of the second epoch
    with pytest.raises(OSError, match=r"state.safetensors cannot be written: No space left on device"):
        ik.train(OFTEN, out, resume=True, verbose=0)
    monkeypatch.undo()
    assert not list(out.rglob("part-*"))
    assert load_state(out / "checkpoints")[1]["step"] == 2

    for name in ("fsync", "replace", "unlink"):
        monkeypatch.setattr(os, name, getattr(os, name))  # so that they come back
    monkeypatch.setattr(Path, "write_bytes", Path.write_bytes)
    die_at(60, kill=False)  # acts on the disk: within the third epoch
    with pytest.raises(Death):
        ik.train(OFTEN, out, resume=True, verbose=0)
    monkeypatch.undo()

    newest = out / "checkpoints" / NEWEST
    newest.write_bytes(newest.read_bytes()[:5000])
    capsys.readouterr()
    result = ik.train(None, out, resume=True, verbose=0)
    said = " ".join(capsys.readouterr().out.split())
    assert f"{NEWEST} is not a whole safetensors file" in said
    assert "The run goes on from the state before it." in said

    assert difference(out, whole.folder) == 0
    assert (result.best_epoch, result.rows) == (whole.best_epoch, whole.rows)
    assert [path.name for path in out.rglob("*state*")] == [NEWEST]  # for more epochs
    assert not list(out.rglob("part-*"))


def test_states_that_cannot_be_read_are_one_sentence(tmp_path):
    assert load_state(tmp_path) is None
    for step in range(3):
        save_state(tmp_path, {"model/a": np.arange(4.0)}, {"step": step})
        assert load_state(tmp_path)[1:] == ({"step": step}, "")
    content = bytearray((tmp_path / NEWEST).read_bytes())
    content[-3] ^= 1
    (tmp_path / NEWEST).write_bytes(content)
    _, facts, notice = load_state(tmp_path)
    assert facts["step"] == 1
    assert "state.safetensors is not as it was written: its checksum differs. The run goes on from" in notice
    (tmp_path / BEFORE).write_bytes(content)
    with pytest.raises(ValueError, match=r"checksum differs.*checksum differs"):
        load_state(tmp_path)
    (tmp_path / BEFORE).unlink()
    with pytest.raises(ValueError, match=r"its checksum differs\. There is none before it; remove .* to begin again"):
        load_state(tmp_path)


def test_a_second_run_in_the_folder_is_refused(out):
    out.mkdir()
    with locked(out), pytest.raises(RuntimeError, match=r"Another run works in .*run: wait for it"):
        ik.train(RECIPE, out, verbose=0)
    with locked(out):  # the first is gone
        pass


def test_a_loss_that_is_not_finite_stops_the_run(out):
    recipe = RECIPE.with_changes(optimizer="sgd", learning_rate=1e12, schedule="constant", save_minutes=1e-9)
    with pytest.raises(
        TrainingDiverged, match=r"(loss is (nan|inf)|not finite) at step \d+ \(epoch \d\) with learning r"
    ):
        ik.train(recipe, out, verbose=0)
    arrays, facts, _ = load_state(out / "checkpoints")
    assert all(np.isfinite(array).all() for name, array in arrays.items() if name.startswith("model/"))
    assert len(facts["rows"]) < 3


@pytest.mark.slow  # the first test of this file has a full disk
def test_a_removed_folder_is_named(out, monkeypatch):
    def remove(loss):
        shutil.rmtree(out)
        return loss

    at_step(monkeypatch, 3, remove)
    with pytest.raises(OSError, match=r"run/checkpoints/state.safetensors cannot be written: No such file"):
        ik.train(OFTEN, out, verbose=0)
    assert not out.exists()


def test_resuming_with_another_recipe_is_refused(whole):
    with pytest.raises(ValueError, match=r"has another recipe: batch_size 256, not 128, ema 0\.9, not 0\.0\."):
        ik.train(RECIPE.with_changes(batch_size=128, ema=0.0), whole.folder, resume=True)


def test_resuming_a_finished_run_gives_its_result(whole, capsys):
    before = (whole.folder / "config.json").stat().st_mtime_ns
    assert ik.train(OFTEN, whole.folder, resume=True) == whole  # how often it is saved is not part of the numbers
    assert "is finished" in capsys.readouterr().out
    assert (whole.folder / "config.json").stat().st_mtime_ns == before


def test_the_folders_files_may_be_broken(whole, out):
    out.mkdir()
    for text in ("", "[]", "{}", '{"recipe": 3}', '{"recipe": {"epochs": "x"}}', "[" * 100_000):
        (out / "config.json").write_text(text)
        with pytest.raises(ValueError, match=r"config.json is not a valid run configuration"):
            ik.train(None, out, resume=True)


@pytest.mark.slow
def test_patience_ends_a_run(out):
    recipe = RECIPE.with_changes(optimizer="sgd", learning_rate=1e-12, ema=0.0, epochs=9, patience=2)
    result = ik.train(recipe, out, verbose=0)
    assert result.best_epoch == 1
    assert [row["epoch"] for row in result.rows] == [1, 3]
    assert ik.train(recipe.with_changes(epochs=12), out, resume=True, verbose=0) == result
    more = ik.train(recipe.with_changes(patience=0), out, resume=True, verbose=0)
    assert [row["epoch"] for row in more.rows] == [1, 9]


@pytest.mark.slow  # tests/test_recipe.py has a faster one
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_a_run_in_mixed_precision_leaves_a_net_in_float32(precision, out):
    recipe = RECIPE.with_changes(precision=precision, epochs=1, weight_decay=0.01, label_smoothing=0.1)
    result = ik.train(recipe, out, verbose=0)
    net, _ = load_run(out)
    assert {layer.compute_dtype for layer in net.layers} == {"float32"}
    weights = read(out / "checkpoints" / "epoch_001.safetensors")
    assert {array.dtype.name for array in weights.values()} == {"float32"}
    assert ik.evaluate(out).accuracy == pytest.approx(result.test_score)


def in_a_process(out, *words, stop=""):
    """Runs the command line in a new process, with code that stops it; returns the exit status and the output."""
    options = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items() if name != "model"]
    words = ["train", TINY["model"], *options, "--out", str(out), *words]
    return fork(f"{stop}\nfrom inception_keras.cli import app\napp({words!r})", out.parent)


AT_A_MOMENT = """
import os, threading, time

def stop():
    while not os.path.exists({path!r}):
        time.sleep(0.01)
    time.sleep({seconds})
    os.kill(os.getpid(), {sign})

threading.Thread(target=stop, daemon=True).start()
"""
AT_AN_ACT = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from runs import die_at
"""


@pytest.mark.slow
def test_killed_processes(tmp_path, capsys):
    """Sends SIGKILL at random moments and at random disk operations, then SIGTERM."""
    words = ("--epochs", "12", "--batch-size", "32", "--save-minutes", "0.001", "--resume", "--keep", "3")
    whole = tmp_path / "whole"
    status, output = in_a_process(whole, *words)
    assert status == 0, output
    draw = random.Random(0)
    kills, stops, runs, worst = 0, 0, 0, 0.0
    while kills < 24 or not stops:
        out = tmp_path / f"run_{runs}"
        while True:
            by_clock = draw.random() < 0.5
            enough = kills >= 24 and stops  # then the last run may end
            stop = f"{AT_AN_ACT}die_at({draw.randint(1, 400)}, kill=True)"
            if by_clock:
                sign = signal.SIGTERM if draw.random() < 0.35 else signal.SIGKILL
                path = str(out / "checkpoints" / NEWEST)
                stop = AT_A_MOMENT.format(path=path, seconds=draw.uniform(0, 9), sign=int(sign))
            status, output = in_a_process(out, *words, stop="" if enough else stop)
            if status == -signal.SIGKILL:
                kills += 1
            elif "SIGTERM: the run is saved" in output and status == 0:
                stops += 1
            elif status != -signal.SIGTERM:  # that is one before its first step
                assert status == 0, output
                break
        worst = max(worst, difference(out, whole))
        runs += 1
    with capsys.disabled():
        print(f"\n{kills} kills and {stops} SIGTERM in {runs} runs; largest difference of a weight: {worst}")
    assert worst == 0


@pytest.mark.slow
def test_a_killed_net_with_dropout_batch_norm_and_aux_heads(tmp_path):
    recipe = ik.Recipe(
        options={"aux": True, "batch_norm": True}, image_size=16, epochs=2, batch_size=256, weight_decay=0.01, ema=0.9
    )
    whole = ik.train(recipe, tmp_path / "whole", verbose=0)
    with death_at_step(8):
        ik.train(recipe.with_changes(save_minutes=1e-9), tmp_path / "run", verbose=0)
    ik.train(None, tmp_path / "run", resume=True, verbose=0)
    assert difference(tmp_path / "run", whole.folder) == 0


@pytest.mark.slow
def test_a_limit_of_the_file_size(tmp_path):
    """If the kernel refuses to write, one sentence says so, without a traceback; the run resumes once there is room."""
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY));"
        "from inception_keras.cli import app; app(sys.argv[1:])"
    )
    words = ["train", "lenet5_modern", "--epochs", "1", "--out", str(tmp_path / "run")]
    said = python(f"import sys; sys.argv[1:] = {words!r}\n{code}", tmp_path, status=1)
    assert "state.safetensors cannot be written: File too large" in said
    assert "Traceback" not in said
    assert CliRunner().invoke(app, [*words, "--resume"]).exit_code == 0


def test_a_run_of_a_version_with_another_order_of_classes():
    """Earlier versions sorted the classes of folders as text."""
    data = SimpleNamespace(counts={"train": 9}, class_names=("0", "2", "10"), name="photos")
    stored = {"counts": {"train": 9}, "class_names": ["0", "10", "2"]}
    sentence = "in the order 0, 10, 2, as an earlier version read them, and now they are 0, 2, 10: .* Begin a new run."
    with pytest.raises(ValueError, match=sentence):
        check_data(Path("run"), ik.Recipe(), stored, data, {})


def test_a_run_of_version_0_1_whose_folder_now_has_more_images(out):
    """Version 0.1 trained on fewer of the images, and stored no fingerprint of its data."""
    data = SimpleNamespace(name="photos", class_names=("cat", "dog"), counts={"train": 16, "test": 4})
    began = {"recipe": {"data_dir": "photos"}, "class_names": ["cat", "dog"]}
    nested = {"counts": {"train": 8, "test": 2}}
    sentence = r"'train': 8.*, not .*'train': 16.* Version 0\.1 began it, .* below a class folder, nor TIFF .* to go on"
    with pytest.raises(ValueError, match=sentence):
        check_data(out, ik.Recipe(data_dir="photos"), began | nested, data, {})
    for other in (began | nested | {"data": {}}, began | {"counts": {"train": 99, "test": 4}}):  # no such cause
        with pytest.raises(ValueError, match=r"not \{[^}]*\}\.$"):
            check_data(out, ik.Recipe(data_dir="photos"), other, data, {})

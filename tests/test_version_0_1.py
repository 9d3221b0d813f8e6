"""Runs and recipes of version 0.1 are read and continued. tests/data/version_0.1/README.md says how they were made."""

import csv
import json
import shutil

import keras
import numpy as np
import pytest
from runs import OLD, difference, tiny

import inception_keras as ik
from inception_keras.training.folder import load_run
from inception_keras.training.state import restore


@pytest.fixture(scope="module")
def make():
    """The module that made the runs; its net is a model id as long as this module's tests run."""
    with tiny() as module:
        yield module


@pytest.fixture
def old(make, tmp_path):
    """A copy of the runs."""
    for name in ("finished", "interrupted"):
        shutil.copytree(OLD / name, tmp_path / name)
    return tmp_path


def rows(path):
    """The rows of a CSV file, as numbers."""
    with path.open() as file:
        lines = csv.DictReader(file)
        return [
            {name: float({"True": 1, "False": 0}.get(value, value)) for name, value in line.items()} for line in lines
        ]


def test_a_finished_run_is_evaluated_and_predicts(old):
    [_, best] = rows(OLD / "finished" / "test.csv")
    model, config = load_run(old / "finished")
    assert config["kind"] == "train" and "task" not in config["recipe"]
    assert len(model.outputs) == 1 and config["class_names"] == list("0123456789")
    report = ik.evaluate(old / "finished")
    assert report.images == 360 and report.accuracy == pytest.approx(best["test_accuracy"], abs=0.003)
    assert (old / "finished" / "confusion.png").is_file()
    assert len((old / "finished" / "classes.csv").read_text().splitlines()) == 11
    [named] = ik.predict(np.full((20, 20), 90, "uint8"), run=old / "finished", top=3)
    assert len(named) == 3 and sum(score for _, score in named) < 1


def test_a_finished_run_is_resumed_and_its_model_written_anew(old, capsys):
    before = load_run(old / "finished")[0].get_weights()
    (old / "finished" / "model.keras").unlink()
    result = ik.train(None, old / "finished", resume=True, verbose=2)
    assert "is finished" in capsys.readouterr().out
    assert [row["epoch"] for row in result.rows] == [1, 2] and result.best_epoch == 2
    assert result.test_score == result.rows[1]["test_accuracy"]
    for old_weight, weight in zip(before, load_run(old / "finished")[0].get_weights(), strict=True):
        np.testing.assert_array_equal(old_weight, weight)
    more = ik.Recipe.from_dict(load_run(old / "finished")[1]["recipe"], "config.json").with_changes(epochs=5)
    with pytest.raises(FileNotFoundError, match=r"cannot get more epochs: .*version 0\.1 .* it"):
        ik.train(more, old / "finished", resume=True)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("recipe", {}, "it has no entry 'model'"),
        ("result", 3, "result must be a table, got 3"),
        ("skipped", 3, "skipped must be a list, got 3"),
    ],
)
def test_a_changed_config_is_refused_by_name(old, name, value, message):
    path = old / "finished" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(ValueError, match=rf"config\.json is not a valid run configuration: {message}\. Put back"):
        load_run(old / "finished")


def test_an_interrupted_run_goes_on_to_the_same_rows(old, make):
    result = ik.train(ik.Recipe(**make.INTERRUPTED), old / "interrupted", resume=True, verbose=0)
    assert [row["epoch"] for row in result.rows] == [3]
    for name in ("metrics.csv", "test.csv"):
        theirs, ours = rows(OLD / "resumed" / name), rows(old / "interrupted" / name)
        assert [list(row) for row in ours] == [list(row) for row in theirs]
        for row, expected in zip(ours, theirs, strict=True):
            assert row == pytest.approx(expected, rel=1e-3), name
    shutil.copytree(old / "interrupted", old / "again")
    assert difference(old / "again", old / "interrupted") == 0


def test_heads_whose_pools_were_rounded_down_are_the_cause():
    named = {name: keras.Variable(np.zeros((8, 2))) for name in ("model/aux_1-fc/kernel", "optimizer/3")}
    arrays = {name: np.zeros((2, 2), "float32") for name in named}
    with pytest.raises(ValueError, match=r"which rounded .* \(2, 2\) there, and \(8, 2\) now\. Finish"):
        restore(named, arrays, "The state in runs/old")
    del named["optimizer/3"], arrays["optimizer/3"]
    named["model/conv/kernel"], arrays["model/conv/kernel"] = keras.Variable([1.0]), np.zeros(2, "float32")
    with pytest.raises(ValueError, match="does not fit the model: model/aux_1-fc/kernel, model/conv/kernel"):
        restore(named, arrays, "The state in runs/old")


def test_recipes_of_version_0_1(tmp_path):
    text = """
        model = "lenet5_modern"
        data = "digits"
        image_size = [32, 32]
        epochs = 3
        schedule = "step"
        mixup = 0.2
        precision = "mixed_bfloat16"
        max_bad = 0.2
        keep = [1, 2]
        save_minutes = 5

        [options]
    """
    (tmp_path / "old.toml").write_text(text)
    recipe = ik.Recipe.load(tmp_path / "old.toml")
    assert (recipe.task, recipe.epochs, recipe.image_size) == ("classification", 3, (32, 32))
    assert (recipe.max_unreadable, recipe.keep_epochs) == (0.2, (1, 2))
    for name in ("finished", "interrupted"):
        fields = json.loads((OLD / name / "config.json").read_text())["recipe"]
        recipe = ik.Recipe.from_dict(fields, "config.json")
        assert (recipe.task, recipe.model, recipe.seed) == ("classification", "tiny", 3)

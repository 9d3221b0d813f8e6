"""A short real run on the digits: the files that it leaves, and their use."""

import csv
import json

import keras
import numpy as np
import pytest
from PIL import Image
from runs import tiny
from sklearn.datasets import load_digits
from typer.testing import CliRunner

import inception_keras as ik
from inception_keras.cli import app
from inception_keras.training.folder import checkpoint
from inception_keras.weights.store import variables


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    fields = {"model": "tiny", "options": {"aux": True}, "batch_size": 256, "learning_rate": 1e-2}
    recipe = ik.Recipe(**fields, epochs=3, keep_epochs=(1,))
    with tiny():
        yield ik.train(recipe, tmp_path_factory.mktemp("runs") / "digits", verbose=0)


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_folder_holds_everything(result):
    files = {path.name for path in result.folder.iterdir()}
    pictures = {"curves.png", "model.png"}
    tables = {"metrics.csv", "timing.csv", "test.csv"}
    assert files == {".lock", "config.json", "model.keras", "checkpoints", *tables, *pictures}
    for name in pictures:
        with Image.open(result.folder / name) as picture:
            assert picture.width > 100 and picture.height > 300
            assert len(set(picture.convert("L").resize((64, 64)).tobytes())) > 3  # something is drawn


def test_metrics_have_a_row_an_epoch_and_every_head(result):
    table = rows(result.folder / "metrics.csv")
    assert [row["epoch"] for row in table] == ["1", "2", "3"]
    figures = {"learning_rate", "total_loss", "val_total_loss"}
    for part in ("", "val_"):
        for head in ("", "aux_1_"):
            figures |= {f"{part}{head}loss", f"{part}{head}accuracy"}
    assert set(table[0]) == figures | {"epoch"}
    for row in table:
        assert all(np.isfinite(float(value)) for value in row.values())
        main, aux = (float(row[f"{head}loss"]) for head in ("", "aux_1_"))
        assert float(row["total_loss"]) == pytest.approx(main + 0.3 * aux, rel=1e-3)
    assert float(table[-1]["learning_rate"]) < 1e-4  # the cosine has come down
    assert float(table[-1]["loss"]) < float(table[0]["loss"])
    timing = rows(result.folder / "timing.csv")
    assert [row["epoch"] for row in timing] == ["1", "2", "3"]
    for row in timing:
        assert float(row["seconds"]) * float(row["images_per_second"]) == pytest.approx(1293, rel=1e-4)


def test_every_kept_checkpoint_is_measured_and_the_best_becomes_the_model(result):
    table = rows(result.folder / "test.csv")
    assert [int(row["epoch"]) for row in table] == sorted({1, 3, result.best_epoch})
    assert [row["best"] for row in table].count("True") == 1
    best = max(table, key=lambda row: (float(row["validation_accuracy"]), -float(row["validation_loss"])))
    assert best["best"] == "True"
    assert int(best["epoch"]) == result.best_epoch
    kept = {path.name for path in (result.folder / "checkpoints").iterdir()}
    assert kept == {"state.safetensors", *(f"epoch_{int(row['epoch']):03}.safetensors" for row in table)}

    model = keras.models.load_model(result.folder / "model.keras")
    assert len(model.outputs) == 1
    full = ik.create_model("tiny", aux=True)
    ik.load_weights(full, checkpoint(result.folder, result.best_epoch))
    for name, variable in variables(model).items():
        np.testing.assert_array_equal(variable, variables(full)[name])


def test_validation_figures_of_the_epoch_and_of_its_checkpoint_agree(result):
    by_epoch = {row["epoch"]: row for row in rows(result.folder / "metrics.csv")}
    for row in rows(result.folder / "test.csv"):
        assert float(row["validation_accuracy"]) == pytest.approx(float(by_epoch[row["epoch"]]["val_accuracy"]))


def test_config_says_what_was_done(result):
    config = json.loads((result.folder / "config.json").read_text())
    assert config["recipe"]["options"] == {"aux": True}
    assert config["counts"]["train"] + config["counts"]["validation"] == 1437
    assert config["class_names"] == list("0123456789")
    assert ik.Recipe.from_dict(config["recipe"], "config.json").epochs == 3
    assert config["result"]["best_epoch"] == result.best_epoch


def test_evaluate(result):
    report = ik.evaluate(result.folder)
    assert report.accuracy == pytest.approx(result.test_score)
    assert sum(row["images"] for row in report.classes) == report.images == 360
    assert (result.folder / "confusion.png").stat().st_size > 10_000
    assert len(rows(result.folder / "classes.csv")) == 10
    with pytest.raises(ValueError, match="has the classes cat, dog, which the run does not know"):
        ik.evaluate(result.folder, data_dir=folder_of_two_classes(result.folder.parent))


def folder_of_two_classes(parent):
    for name in ("cat", "dog"):
        (parent / "pets" / name).mkdir(parents=True)
        for i in range(8):
            pixels = np.random.default_rng(i).integers(0, 255, (40, 40, 3), "uint8")
            Image.fromarray(pixels).save(parent / "pets" / name / f"{i}.png")
    return parent / "pets"


def test_predict_with_a_run_sees_what_evaluate_saw(result, tmp_path):
    digits = load_digits()
    picture = Image.fromarray((digits.images[0] * 255 / 16).astype("uint8"))
    picture.save(tmp_path / "digit.png")
    names = ik.predict([tmp_path / "digit.png"], run=result.folder, top=10)[0]
    assert sorted(name for name, _ in names) == list("0123456789")
    assert sum(score for _, score in names) == pytest.approx(1, rel=1e-4)
    assert [score for _, score in names] == sorted((score for _, score in names), reverse=True)


def test_a_second_run_in_the_folder_is_refused(result):
    before = (result.folder / "config.json").read_text()
    with pytest.raises(FileExistsError, match="holds a run already"):
        ik.train(ik.Recipe(), result.folder)
    assert (result.folder / "config.json").read_text() == before


def test_the_command_line_works_on_the_folder(result, tmp_path):
    run = CliRunner().invoke(app, ["evaluate", str(result.folder)])
    assert run.exit_code == 0, run.output
    assert f"accuracy {result.test_score:.4f} on 360 images" in run.output.replace("\n", " ")
    Image.fromarray(np.zeros((20, 20), "uint8")).save(tmp_path / "black.png")
    run = CliRunner().invoke(app, ["predict", str(tmp_path / "black.png"), "--run", str(result.folder), "--top", "3"])
    assert run.exit_code == 0, run.output
    assert run.output.count("  0.") + run.output.count("  1.") == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"optimizer": "adan"}, "Unknown optimizer 'adan'; did you mean adam"),
        ({"schedule": "cosin"}, "Unknown schedule 'cosin'; did you mean cosine"),
        ({"epochs": 0}, "epochs must be an int of at least 1, got 0"),
        ({"batch_size": 1.5}, "batch_size must be an int of at least 1, got 1.5"),
        ({"learning_rate": -1}, "learning_rate must be a number above 0 and at most 1e.30, got -1"),
        ({"keep_epochs": (99,)}, "keep_epochs has epoch 99, but the run has only 12 epochs"),
    ],
)
def test_recipes_that_are_none(fields, message):
    with pytest.raises(ValueError, match=message):
        ik.Recipe(**fields)


def test_folders_without_a_run(tmp_path):
    for call in (ik.evaluate, lambda folder: ik.predict([], run=folder)):
        with pytest.raises(FileNotFoundError, match="holds no finished run"):
            call(tmp_path)


def test_photographs_without_a_network():
    from skimage import data

    coffee, cat = ik.predict([data.coffee(), data.chelsea()])
    assert coffee[0][0] == "espresso"
    assert cat[0][0] == "Egyptian cat"
    assert len(coffee) == 5

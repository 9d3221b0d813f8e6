"""The ablation: its rows hold the results of its runs."""

import csv

import keras
import pytest

from inception_keras import Recipe, ablation
from inception_keras.training.ablation import VARIANTS


def test_is_of_googlenet_alone(tmp_path):
    with pytest.raises(ValueError, match="of googlenet_cifar, got a recipe for lenet5"):
        ablation(Recipe(model="lenet5"), tmp_path)


def test_a_spread_takes_two(tmp_path):
    with pytest.raises(ValueError, match="seeds must be"):
        ablation(Recipe(), tmp_path, seeds=1)


@pytest.mark.slow
def test_rows_are_those_of_the_runs(tmp_path):
    recipe = Recipe(epochs=1, batch_size=256, image_size=16)
    rows = ablation(recipe, tmp_path, seeds=2, verbose=0)
    assert [row.variant for row in rows] == list(VARIANTS)
    for row in rows:
        runs = sorted(tmp_path.glob(f"{row.variant.replace(' ', '_')}_?"))
        accuracy = []
        for run in runs:
            with (run / "test.csv").open(newline="") as file:
                accuracy += [float(line["test_accuracy"]) for line in csv.DictReader(file) if line["best"] == "True"]
        assert row.runs == len(accuracy) == 2
        assert row.mean == pytest.approx(sum(accuracy) / 2, abs=1e-5)
        assert (row.least, row.most) == pytest.approx((min(accuracy), max(accuracy)), abs=1e-5)
        assert row.params == keras.saving.load_model(runs[1] / "model.keras").count_params()
    whole, without_heads, naive, _ = rows
    assert whole.params == without_heads.params == without_heads.training_params < whole.training_params
    assert naive.params > 10 * whole.params and naive.macs > whole.macs
    assert not [*tmp_path.glob("*/checkpoints/state*")]
    assert ablation(recipe, tmp_path, seeds=2, verbose=0) == rows  # nothing is trained again
    assert len((tmp_path / "ablation.md").read_text().splitlines()) == 2 + len(rows)
    assert (tmp_path / "ablation.png").stat().st_size > 1000

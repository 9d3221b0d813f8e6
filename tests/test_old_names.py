"""Names that have changed work for one more release, and warn once with the new name."""

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

import inception_keras as ik
from inception_keras.blocks import conv_bn
from inception_keras.cli import app
from inception_keras.data.preprocessing import Preprocessing
from inception_keras.training.ablation import Ablation


def test_structure_is_without_weights():
    with pytest.warns(DeprecationWarning, match=r"^structure\(\) is now called without_weights\(\); ") as caught:
        with ik.structure():
            net = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    assert [warning.filename for warning in caught] == [__file__]
    with pytest.raises(ValueError, match=r"built inside without_weights\(\)"):
        ik.compile_model(net)
    assert "structure" not in ik.__all__


def test_arguments_of_inception_modules():
    maps = keras.Input((28, 28, 8))
    with pytest.warns(DeprecationWarning) as caught:
        old = ik.inception(maps, 1, 2, 3, 4, 5, 6, unit=conv_bn, third=3, name="a")
    assert sorted(str(warning.message).split("; ")[0] for warning in caught) == [
        "The argument third of inception is now called third_kernel",
        "The argument unit of inception is now called conv_block",
    ]
    assert {warning.filename for warning in caught} == {__file__}
    new = ik.inception(maps, 1, 2, 3, 4, 5, 6, conv_block=conv_bn, third_kernel=3, name="a")
    assert ik.profile(keras.Model(maps, old, name="functional")) == ik.profile(
        keras.Model(maps, new, name="functional")
    )
    with pytest.raises(TypeError, match=r"^naive_inception: unit is the old name of conv_block, got both"):
        ik.naive_inception(maps, 1, 2, 3, unit=conv_bn, conv_block=conv_bn)


def test_fields_of_a_recipe(tmp_path):
    with pytest.warns(DeprecationWarning) as caught:
        recipe = ik.Recipe(max_bad=0.3, keep=(1,))
        assert recipe.with_changes(keep=(2,)).keep_epochs == (2,)
        assert (recipe.max_bad, recipe.keep) == (recipe.max_unreadable, recipe.keep_epochs) == (0.3, (1,))
    assert sorted({str(warning.message).split("; ")[0] for warning in caught}) == [
        "Recipe.keep is now called Recipe.keep_epochs",
        "Recipe.max_bad is now called Recipe.max_unreadable",
        "The argument keep of Recipe is now called keep_epochs",
        "The argument keep of with_changes is now called keep_epochs",
        "The argument max_bad of Recipe is now called max_unreadable",
    ]
    assert {warning.filename for warning in caught} == {__file__}
    (tmp_path / "old.toml").write_text("max_bad = 0.3\nkeep = [1]\n")
    assert ik.Recipe.load(tmp_path / "old.toml") == recipe  # without a warning
    (tmp_path / "both.toml").write_text("keep = [1]\nkeep_epochs = [1]\n")
    with pytest.raises(ValueError, match=r"both\.toml: keep is the old name of keep_epochs, got both\.$"):
        ik.Recipe.load(tmp_path / "both.toml")


def test_options_of_the_command_line(tmp_path):
    words = ["train", "nothing", "--out", str(tmp_path / "run"), "--epochs", "2"]
    result = CliRunner().invoke(app, [*words, "--max-bad", "2", "--keep", "1"])
    assert "note: --max-bad is now called --max-unreadable; the old" in result.output
    assert "max_unreadable must be a number of at least 0" in result.output
    result = CliRunner().invoke(app, [*words, "--keep", "3"])
    assert "note:" not in result.output and "keep_epochs has epoch 3" in result.output


def test_names_of_data():
    with pytest.warns(DeprecationWarning) as caught:
        data = ik.load_data("digits", max_bad=0.2)
        assert len(data.part("test")) == len(data.test)
        Preprocessing((4, 4)).fit(np.zeros((8, 8, 3), np.uint8))
    assert [str(warning.message).split("; ")[0] for warning in caught] == [
        "The argument max_bad of load_data is now called max_unreadable",
        "Data.part is now called Data.split",
        "Preprocessing.fit is now called Preprocessing.resize_and_crop",
    ]
    assert {warning.filename for warning in caught} == {__file__}


def test_fields_of_an_ablation():
    row = Ablation("naive modules", 2, 0.9, 0.01, 0.89, 0.91, -0.02, 100, 120, 10_000, 1.5)
    with pytest.warns(DeprecationWarning, match=r"^Ablation\.spread is now called Ablation\.std; ") as caught:
        assert row.spread == row.std == 0.01
    assert [warning.filename for warning in caught] == [__file__]

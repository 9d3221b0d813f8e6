"""The command line as a user types it."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

import inception_keras as ik
from inception_keras.cli import app


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def said(result):
    """All output with its lines joined, because a terminal may break lines anywhere."""
    return " ".join(result.output.split())


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("list",),
        ("show",),
        ("plot",),
        ("profile",),
        ("train",),
        ("evaluate",),
        ("predict",),
        ("data", "check"),
        ("convert",),
        ("bench",),
    ],
)
def test_help_of_everything(command):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_help_is_whole():  # the runner has 80 columns
    commands = run("--help").output
    assert "Trains a model." in commands and "..." not in commands.replace("[ARGS]...", "")
    options = run("train", "--help").output
    assert "--sync-batch-norm / --no-sync-batch-norm" in options and "--keep-epochs, --keep 1,2,..." in options
    assert "[default: digits]" in options
    assert max(map(len, options.splitlines())) <= 80


def test_list():
    result = run("list")
    assert result.exit_code == 0
    for id in ik.list_models():
        assert id in result.output
    assert "6,998,552" in result.output
    assert run("list", "squeeze*").output.count("squeezenet") == 2
    assert "63.40" in run("list", "yolo_v1", "--task", "detection").output
    assert "No model matches 'resnot*'" in run("list", "resnot*").output
    assert "googlenet" not in run("list", "--year", "2016").output


def test_show_and_profile(tmp_path):
    shown = run("show", "googlenet", "--aux")
    assert shown.exit_code == 0
    assert "13,378,280" in shown.output
    table = run("profile", "squeezenet1_1", "--csv", tmp_path / "rows.csv", "--input", "227x227x3")
    assert table.exit_code == 0
    assert "1,235,496" in table.output
    assert "fire_9-expand_3x3" in (tmp_path / "rows.csv").read_text()


def test_options_of_a_model():
    assert "5,983,802" in run("show", "googlenet", "-o", "classes=10").output
    # the paper's counts without and with its auxiliary heads: false is no word that is true
    for value, count in (("false", "6,998,552"), ("true", "13,378,280")):
        assert count in run("show", "googlenet", "-o", f"aux={value}").output


@pytest.mark.parametrize("id", ["lenet5", pytest.param("squeezenet1_1", marks=pytest.mark.slow)])
def test_plot(tmp_path, id):
    for name in ("blocks.png", "blocks.svg", "blocks.pdf"):
        result = run("plot", id, "--out", tmp_path / "new" / name)
        assert result.exit_code == 0, result.output
        assert (tmp_path / "new" / name).stat().st_size > 5_000


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("show", "googlnet"), "error: Unknown model 'googlnet'; did you mean googlenet"),
        (("show", "googlenet", "-o", "aux"), "error: An option is NAME=VALUE, got 'aux'."),
        (("show", "googlenet", "-o", "auks=1"), "error: googlenet has no option 'auks'; did you mean aux?"),
        (("show", "googlenet", "--input", "16x16x3"), "of at least 31 x 31 pixels, got (16, 16, 3)."),
        (("show", "googlenet", "--input", "big"), "error: Expected whole numbers with 'x' between them, got 'big'."),
        (("train", "googlenet", "--out", "{tmp}"), "of at least 31 x 31 pixels, got (8, 8, 1)."),
        (("train", "--device", "/GPU:7", "--out", "{tmp}"), "There is no device '/GPU:7'; there are CPU:0"),
        (("train", "--optimizer", "adan", "--out", "{tmp}"), "Unknown optimizer 'adan'; did you mean adam"),
        (("train", "--data", "digit", "--out", "{tmp}"), "digits"),
        (("train", "--data", "{tmp}", "--out", "{tmp}/run"), "': give it as data_dir (--data-dir)."),
        (("train", "--keep", "1", "3", "--out", "{tmp}"), "MODEL is '3': --keep takes several epochs with commas,"),
        (
            ("train", "--epochs", "1", "--keep", "3", "--out", "{tmp}"),
            "keep_epochs has epoch 3, but the run has only 1 epoch.",
        ),
        (("show", "vgg16", "-o", "dept=2"), "no option 'dept'; there are classes, classifier_activation, input_shape,"),
        (
            ("train", "--recipe", "lenet_mnist", "--out", "{tmp}"),
            "Unknown recipe 'lenet_mnist'; did you mean lenet5_mnist",
        ),
        (
            ("train", "--recipe", "lenet5_mnist", "--ema", "1", "--out", "{tmp}"),
            "ema must be a number of at least 0 and",
        ),
        (("evaluate", "{tmp}"), "holds no finished run"),
        (("predict", "{tmp}/none.jpg"), "none.jpg"),
        (("plot", "googlenet", "--out", "{tmp}/net.bmp"), ".png"),
    ],
)
def test_errors_are_one_sentence(words, sentence, tmp_path):
    if words[:2] == ("train", "googlenet"):
        words = (*words, "--image-size", "8")
    result = run(*(word.replace("{tmp}", str(tmp_path)) for word in words))
    assert result.exit_code == 1
    assert sentence in said(result)
    assert "Traceback" not in result.output
    assert result.output.count("error:") == 1


def test_the_installed_command():
    text = subprocess.check_output([sys.executable, "-m", "inception_keras", "list"], text=True)
    assert "googlenet_slim" in text


def test_convert(tmp_path):
    from inception_keras.weights.pretrained import ASSETS

    result = run(
        "convert",
        ASSETS / "squeezenet1_1_imagenet.safetensors",
        "-m",
        "squeezenet1_1",
        "-o",
        tmp_path / "out.safetensors",
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out.safetensors").stat().st_size > 4_900_000
    wrong = run(
        "convert",
        ASSETS / "squeezenet1_1_imagenet.safetensors",
        "-m",
        "squeezenet1_0",
        "-o",
        tmp_path / "no.safetensors",
    )
    assert wrong.exit_code == 1
    assert "do not fit squeezenet1_0" in said(wrong)
    assert not (tmp_path / "no.safetensors").exists()
    assert "--out must be a file that ends in .safetensors, got 'out.h5'" in said(
        run("convert", "x.pth", "-m", "vgg11", "-o", "out.h5")
    )


def test_predict_with_a_net_that_has_no_weights(tmp_path):
    assert "no published ImageNet weights of lenet5" in said(run("predict", "photo.jpg", "--model", "lenet5"))


def test_predictions_are_not_written_to_a_folder(tmp_path):
    done = CliRunner().invoke(app, ["predict", "no/such/photo.jpg", "--csv", str(tmp_path)])
    assert done.exit_code == 1 and "is a folder: --csv names the file to write." in " ".join(done.output.split())


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    result = run("train", "lenet5_modern", "--out", tmp_path / "file" / "run")
    assert result.exit_code == 1
    assert said(result) == f"error: The folder {tmp_path}/file/run cannot be made: Not a directory."

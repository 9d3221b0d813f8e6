"""Output for users: names unchanged, no messages of libraries, and pictures in any script."""

import json
import os
import pty
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
from outside import ROOT, is_quiet, python
from PIL import Image
from runs import OLD
from typer.testing import CliRunner

import inception_keras as ik
from inception_keras.analysis import charts
from inception_keras.cli import app
from inception_keras.files import atomic_write
from inception_keras.training.lock import locked

NAMES = ("[red]fox", "[[bold]] cat", ":cat: $x$", "고양이", "猫", "قطة", "🦊 fox")


def save(path, colour=(120, 60, 60), size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def dataset(root, images=6):
    for number, name in enumerate(NAMES):
        for i in range(images):
            save(root / name / f"{i}.png", (30 * number, 250 - 30 * number, 40 * i))
    return root


def on_a_terminal(*words, cwd):
    """The output of the command line on a terminal."""
    ours, theirs = pty.openpty()
    environment = {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "150"} | os.environ
    words = [sys.executable, "-m", "inception_keras", *map(str, words)]
    with subprocess.Popen(words, cwd=cwd, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                more = os.read(ours, 2**16)
            except OSError:  # the process has ended
                break
            if not more:
                break
            said += more
    os.close(ours)
    assert process.returncode == 0, said.decode()
    return said.decode()


SCRIPT = """
import inception_keras as ik
model = ik.create_model("lenet5_modern")
import keras
image = keras.Input((32, 32, 1), name="[red]image")
x = keras.layers.Flatten(name="[bold]고양이")(image)
net = keras.Model(image, keras.layers.Dense(2, name=":cat:")(x), name="<b>[i]net")
ik.summary(net)
assert "<td style=\\"text-align:left\\">[bold]고양이</td>" in ik.profile(net)._repr_html_()
assert "<caption>&lt;b&gt;[i]net</caption>" in ik.profile(net)._repr_html_()
ik.plot_blocks(net, "net.png")
found = ik.predict("pictures")
print([len(names) for names in found], found.skipped)
print("THE RUN", flush=True)
from inception_keras.cli import app
app("train lenet5_modern --data-dir photos --image-size 32 --epochs 2 --max-unreadable 0.2 --out run".split())
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """A folder with photographs as people have them, and what a script about them prints in a new process."""
    root = tmp_path_factory.mktemp("script")
    dataset(root / "photos")
    broken = root / "photos" / "[red]fox" / "[b]broken\x1b[31m.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), "uint8")).save(broken)
    broken.write_bytes(broken.read_bytes()[:2000])
    pictures = root / "pictures"
    save(pictures / "고양이.png")
    Image.new("L", (9500, 9500)).save(pictures / "large.png")
    exif = Image.Exif()
    exif[0x9286] = "x" * 50
    Image.new("RGB", (40, 40)).save(pictures / "exif.jpg", exif=exif.tobytes()[:40])
    Image.new("P", (40, 40)).save(pictures / "palette.png", transparency=bytes(range(100)))
    return root, python(SCRIPT, root, TF_CPP_MIN_LOG_LEVEL="")


def test_a_run_in_a_pipe_is_a_line_an_epoch(script):
    root, said = script
    said = said.partition("THE RUN")[2]
    assert "\x1b" not in said
    assert "\b" not in said
    lines = [line for line in said.splitlines() if line.startswith("Epoch ")]
    assert [line.split(" - ")[0] for line in lines] == ["Epoch 1/2", "Epoch 2/2"]
    for line in lines:
        assert [figure.split(":")[0] for figure in line.split(" - ")[3:]] == [
            *("loss", "accuracy", "val_loss", "val_accuracy")
        ]
    assert "1 images were left out:" in said
    assert "photos/[red]fox/[b]broken\N{REPLACEMENT CHARACTER}[31m.png cannot be read" in said
    [skipped] = json.loads((root / "run" / "config.json").read_text())["skipped"]
    assert "[b]broken\x1b[31m.png cannot be read" in skipped

    checked = CliRunner().invoke(app, ["data", "check", str(root / "photos")])
    assert checked.exit_code == 1
    for name in NAMES:
        assert any(line.startswith(f"{name} ") for line in checked.output.splitlines()), name
    assert "[red]fox/[b]broken\N{REPLACEMENT CHARACTER}[31m.png" in checked.output


@pytest.mark.slow
def test_a_run_on_a_terminal_has_a_bar_unless_told_otherwise(tmp_path):
    words = ("train", "lenet5_modern", "--epochs", 1, "--batch-size", 512)
    said = on_a_terminal(*words, "--out", "bar", cwd=tmp_path)
    assert "Epoch 1/1\r\n" in said
    assert "━" in said
    assert "\x1b" in said
    assert is_quiet(said), said
    said = on_a_terminal(*words, "--out", "line", "--verbose", 2, cwd=tmp_path)
    assert "━" not in said
    assert "Epoch 1/1 - " in said
    said = on_a_terminal(*words, "--out", "nothing", "--verbose", 0, cwd=tmp_path)
    assert "Epoch" not in said
    assert "test accuracy" in said


def test_python_and_its_libraries_say_nothing_of_their_own(script):
    """Covers images that Pillow warns about, layer names that look like markup, and TensorFlow's start-up."""
    said = "\n".join(line for line in script[1].splitlines() if "No font of this system" not in line)
    assert is_quiet(said), said
    for name in ("[red]image", "[bold]고양이", ":cat:", "<b>[i]net"):
        assert name in said, name
    assert "[5, 0, 5, 5]" in said
    assert "has 9500 x 9500 pixels, more than 89478485" in said


def test_pictures_use_a_font_that_has_the_names(tmp_path, monkeypatch):
    """Without such a font, a warning says which one to install, and numbers replace the names."""
    from inception_keras.analysis import fonts

    monkeypatch.setattr(fonts, "_family_of", {})
    monkeypatch.setattr(fonts.font_manager, "findSystemFonts", list)
    matrix = np.diag(range(len(NAMES)))
    with pytest.warns(UserWarning, match=r"No font of this system has 고양이猫🦊: .* install Noto Sans CJK") as seen:
        charts.plot_confusion(matrix, NAMES, tmp_path / "without.png", title="사진 $x$")
    assert len(seen) == 1  # and none of matplotlib's
    with pytest.warns(UserWarning, match="install Symbola"):
        assert fonts.names_shown(["fox", "🦊"], "class {}") == ["fox", "class 1"]
    assert fonts.shown("a고\x1bb") == "a□ b"
    assert fonts.families("قطة 🐱 fox") == ["DejaVu Sans"]  # it has these

    # a system with one font more, which stands for any that has the characters
    dejavu = fonts.font_manager.findfont("DejaVu Sans")
    mono = fonts.font_manager.findfont("DejaVu Sans Mono")
    monkeypatch.setattr(fonts, "_family_of", {})
    monkeypatch.setattr(fonts.font_manager, "findSystemFonts", lambda: [mono, "/no/such/font.ttf"])
    real = fonts.FT2Font
    monkeypatch.setattr(fonts, "FT2Font", lambda path: Font(real(path), has_all=path != dejavu))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fonts.names_shown(NAMES) == list(NAMES)
        assert fonts.families("고양이") == ["DejaVu Sans", "DejaVu Sans Mono"]
    monkeypatch.setattr(fonts, "_family_of", {})
    monkeypatch.setattr(fonts, "FT2Font", lambda path: Font(real(path), has_all=path != dejavu, scalable=False))
    assert fonts.families("고양이") == ["DejaVu Sans"]  # matplotlib cannot draw bitmaps


class Font:
    """A stub of a font that has all characters, or those of another font."""

    def __init__(self, font, has_all, scalable=True):
        self._font, self._has_all, self.scalable, self.family_name = font, has_all, scalable, font.family_name

    def get_char_index(self, code):
        return 1 if self._has_all else self._font.get_char_index(code)


def test_formulas_in_names_are_no_formulas(tmp_path):
    charts.plot_confusion(np.eye(2), ["$\\frac$", "a_$1$" * 30], tmp_path / "1.png", title="$\\nonsense{$")
    charts.plot_spread({"$\\frac$": [1, 2]}, tmp_path / "2.png", title="$\\nonsense{$")
    row = dict.fromkeys(("epoch", "loss", "accuracy", "val_loss", "val_accuracy"), 1.0)
    charts.plot_curves([row], tmp_path / "3.png", title="lenet on $\\nonsense{$")
    for name in "123":
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width > 300


def test_a_file_that_cannot_be_written_is_named_and_old_content_is_mentioned_only_if_there_is_any(tmp_path):
    with pytest.raises(OSError, match=r"no/such/file.csv cannot be written: No such file or directory\.$"):
        with atomic_write(tmp_path / "no" / "such" / "file.csv") as part:
            part.write_text("new")
    (tmp_path / "old.csv").write_text("old")
    with pytest.raises(OSError, match=r"old.csv cannot be written: full; what was there before is as it was\.$"):
        with atomic_write(tmp_path / "old.csv"):
            raise OSError("full")
    assert (tmp_path / "old.csv").read_text() == "old"


def test_a_run_folder_that_cannot_be_locked_is_named(tmp_path):
    (tmp_path / ".lock").mkdir()
    with pytest.raises(OSError, match=r"The folder .* cannot be written to: Is a directory"), locked(tmp_path):
        raise AssertionError("it is locked")


def test_short_class_names_stand_upright_in_the_confusion_matrix(tmp_path, monkeypatch):
    turned = []
    monkeypatch.setattr(charts, "_names", lambda set_ticks, ticks, names, rotation=0: turned.append(rotation))
    charts.plot_confusion(np.eye(2), ["0", "10"], tmp_path / "digits.png")
    charts.plot_confusion(np.eye(2), ["cat", "dog"], tmp_path / "pets.png")
    assert turned == [0, 0, 90, 0]


def test_evaluation_of_a_run_that_cannot_be_written_to_gives_its_figures(tmp_path):
    folder = shutil.copytree(OLD / "finished", tmp_path / "run")
    (folder / "classes.csv").mkdir()
    with pytest.warns(UserWarning, match="classes.csv cannot be written: Is a directory"):
        assert ik.evaluate(folder).images == 360


def test_a_tiff_of_small_32_bit_numbers_is_not_read_as_black(tmp_path):
    Image.fromarray(np.full((8, 8), 200, "int32")).save(tmp_path / "small.tif")
    Image.fromarray(np.full((8, 8), 51200, "int32")).save(tmp_path / "large.tif")
    found = ik.predict([tmp_path / "small.tif", tmp_path / "large.tif"])
    assert "has 32-bit pixels below 256" in found.skipped[0][1] and found[1]

"""Uses of a trained run: evaluate and predict, in new processes, on files as users have them."""

import csv
import json
import shutil

import keras
import numpy as np
import pytest
from outside import command, here, is_quiet, python
from PIL import Image

import inception_keras as ik
from inception_keras.data.preprocessing import Preprocessing

# what a terminal or a library might obey: markup, codes of emoji, formulas, other scripts
COLOURS = {
    "cat[/b]": (200, 30, 30),
    "[red]fox": (30, 200, 30),
    ":cat:": (30, 30, 200),
    "$dog_1$": (200, 200, 30),
    "고양이": (30, 200, 200),
    "🐱 قطة": (230, 230, 230),
}


def draw(path, colour, seed):
    """Makes a photograph of one colour with some grain."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grain = np.random.default_rng(seed).integers(-25, 25, (40, 48, 3))
    Image.fromarray((np.array(colour) + grain).clip(0, 255).astype("uint8")).save(path)


def folder(root, classes, images, seed=0):
    """Makes a folder of images for each class."""
    for number, name in enumerate(classes):
        for i in range(images):
            draw(root / name / f"{i}.png", COLOURS[name], seed + 100 * number + i)
    return root


def table(root, classes, images, seed=0):
    """Makes a CSV file of images. Labels may contain a slash, and two columns could hold the labels."""
    lines = ["path,colour,other"]
    for number, name in enumerate(classes):
        for i in range(images):
            draw(root / "images" / f"{number}_{i}.png", COLOURS[name], seed + 100 * number + i)
            lines.append(f"images/{number}_{i}.png,{name},0")
    (root / "photos.csv").write_text("\n".join(lines), encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on ten images of each class. Up to half of its images may be unreadable."""
    root = tmp_path_factory.mktemp("strangers")
    photos = table(root / "photos", COLOURS, 10)
    fields = {"model": "lenet5_modern", "data": None, "data_dir": str(photos), "label": "colour", "image_size": 32}
    recipe = ik.Recipe(**fields, epochs=2, batch_size=8, max_unreadable=0.5)
    return ik.train(recipe, root / "run", verbose=0).folder


def named_by(run, paths):
    """The classes that the saved model gives to photographs, without `predict`."""
    config = json.loads((run / "config.json").read_text())
    prepare = Preprocessing.from_dict(config["preprocessing"])
    scores = keras.models.load_model(run / "model.keras").predict(np.stack([prepare(p) for p in paths]), verbose=0)
    return [config["class_names"][row.argmax()] for row in scores], scores.max(axis=1)


def reported(said):
    """The text that a script printed after the word "found"."""
    return json.loads(next(line for line in said.splitlines() if line.startswith("found ")).removeprefix("found "))


def rows(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


SCRIPT = """
import json, pathlib
import numpy as np
import tensorflow as tf
from PIL import Image
import inception_keras as ik

run = RUN
evaluated = {}
for name in ("all", "one", "two", "splits", "alone", "broken", "strange", "table"):
    try:
        report = ik.evaluate(run, data_dir=name)
        images = [row["images"] for row in report.classes]
        evaluated[name] = [report.images, report.accuracy, images, len(report.skipped)]
    except Exception as error:
        evaluated[name] = f"{type(error).__name__}: {error}"
paths = sorted(pathlib.Path("photos").rglob("*.png"))
pixels = np.stack([np.asarray(Image.open(path)) for path in paths])
ways = {
    "text": lambda: ik.predict("digit 1.png", run=run),
    "path": lambda: ik.predict(pathlib.Path("digit 1.png"), run=run),
    "folder": lambda: ik.predict("photos", run=run),
    "list": lambda: ik.predict([str(path) for path in paths], run=run),
    "array of paths": lambda: ik.predict(np.array([str(path) for path in paths]), run=run),
    "pattern": lambda: ik.predict("photos/**/*.png", run=run),
    "folder in a list": lambda: ik.predict(["photos"], run=run),
    "batch": lambda: ik.predict(pixels, run=run),
    "arrays": lambda: ik.predict(list(pixels), run=run),
    "one array": lambda: ik.predict(pixels[0], run=run),
    "tensor": lambda: ik.predict(tf.constant(pixels), run=run),
    "PIL": lambda: ik.predict([Image.open(path) for path in paths], run=run),
    "generator": lambda: ik.predict((path for path in paths), run=run),
    "dataset": lambda: ik.predict(tf.data.Dataset.from_tensor_slices((pixels, range(len(pixels)))).batch(5), run=run),
    "nothing": lambda: ik.predict([], run=run),
    "some": lambda: ik.predict([paths[0], "empty.jpg", "nowhere.png"], run=run),
    "long": lambda: ik.predict([paths[0], "x" * 300 + ".png"], run=run),
    "empty": lambda: ik.predict([paths[0], ""], run=run),
    "missing": lambda: ik.predict("nowhere.png", run=run),
    "broken": lambda: ik.predict(["empty.jpg"], run=run),
    "no match": lambda: ik.predict("*.gif", run=run),
    "no image": lambda: ik.predict(str(pathlib.Path(ik.__file__).parent / "recipes"), run=run),
    "0 to 1": lambda: ik.predict(pixels / 255, run=run),
    "0 to 255": lambda: ik.predict(pixels.astype("float32"), run=run),
    "-1 to 1": lambda: ik.predict(pixels / 127.5 - 1, run=run),
    "channels first": lambda: ik.predict(pixels[0].transpose(2, 0, 1), run=run),
    "None": lambda: ik.predict(None, run=run),
    "None in a list": lambda: ik.predict([paths[0], None], run=run),
    "number": lambda: ik.predict(3, run=run),
    "bytes": lambda: ik.predict(b"photo", run=run),
    "top=-1": lambda: ik.predict(paths, run=run, top=-1),
    "top=True": lambda: ik.predict(paths, run=run, top=True),
    "run=3": lambda: ik.predict(paths, run=3),
    "model=3": lambda: ik.predict(paths, model=3),
    "model=None": lambda: ik.predict(paths, model=None),
}
predicted = {}
for name, way in ways.items():
    try:
        found = way()
        predicted[name] = [found, list(found.skipped)]
    except Exception as error:
        predicted[name] = f"{type(error).__name__}: {error}"
print("found", json.dumps([evaluated, predicted]))
"""


@pytest.fixture(scope="module")
def asked(run, tmp_path_factory):
    """A folder of data, and the output of evaluate and predict for it in a new process."""
    root = tmp_path_factory.mktemp("asked")
    names = [name for name in COLOURS if "/" not in name]
    folder(root / "all", names, 3, seed=7)
    folder(root / "one", names[1:2], 1)
    folder(root / "two", [names[4], names[0]], 4)  # in another order than the run has them
    (root / "two" / "without images").mkdir()
    folder(root / "splits" / "train", names, 2)
    folder(root / "splits" / "test", names[:3], 3, seed=50)
    folder(root / "alone" / "test", names[:2], 2)
    folder(root / "broken", names[:1], 3)
    for i in range(2):
        (root / "broken" / names[0] / f"broken{i}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    draw(root / "strange" / names[0] / "1.png", COLOURS[names[0]], 0)
    draw(root / "strange" / "zebra" / "1.png", (0, 0, 0), 0)
    table(root / "table", [*names[3:], "cat[/b]"], 1)
    photos = folder(root / "photos", names, 4)
    paths = sorted(photos.rglob("*.png"))
    shutil.copy(paths[0], root / "digit 1.png")
    (root / "empty.jpg").touch()
    return root, *reported(python(SCRIPT.replace("RUN", repr(str(run))), root))


def test_evaluate_takes_all_of_a_folder_that_is_given(run, asked):
    root, found, _ = asked
    names = [name for name in COLOURS if "/" not in name]
    config = json.loads((run / "config.json").read_text())
    for name, (part, classes, each, left_out) in {
        "all": ("all", names, 3, 0),
        "one": ("one", names[1:2], 1, 0),
        "two": ("two", [names[4], names[0]], 4, 0),
        "splits": ("splits/test", names[:3], 3, 0),
        "alone": ("alone/test", names[:2], 2, 0),
        "broken": ("broken", names[:1], 3, 2),
    }.items():
        paths = [root / part / label / f"{i}.png" for label in classes for i in range(each)]
        guess, _ = named_by(run, paths)
        right = [path.parent.name == label for path, label in zip(paths, guess, strict=True)]
        counts = [each if label in classes else 0 for label in config["class_names"]]
        assert found[name] == [len(paths), pytest.approx(np.mean(right)), counts, left_out], name
    assert found["table"][0] == 3
    assert "zebra, which the run does not know" in found["strange"]


@pytest.mark.filterwarnings("ignore:No font of this system has")  # the picture of the classes is not looked at here
def test_evaluate_reports_top_5_accuracy_and_macro_f1(run, tmp_path):
    photos = table(tmp_path / "photos", COLOURS, 5, seed=31)
    report = ik.evaluate(run, data_dir=photos)
    config = json.loads((run / "config.json").read_text())
    paths = sorted(photos.rglob("*.png"))
    classes = [list(COLOURS)[int(path.name[0])] for path in paths]
    prepare = Preprocessing.from_dict(config["preprocessing"])
    model = keras.models.load_model(run / "model.keras")
    scores = model.predict(np.stack([prepare(path) for path in paths]), verbose=0)
    truth = np.array([config["class_names"].index(name) for name in classes])
    order = np.argsort(-scores, axis=1)
    assert report.top_5_accuracy == pytest.approx(np.mean([t in row[:5] for t, row in zip(truth, order, strict=True)]))
    f1 = []
    for label in range(6):
        hits = np.sum((truth == label) & (order[:, 0] == label))
        f1.append(2 * hits / (np.sum(truth == label) + np.sum(order[:, 0] == label)))
    assert report.macro_f1 == pytest.approx(np.mean(f1))
    said = command("evaluate", run, "--data-dir", photos, cwd=tmp_path)
    figures = f"accuracy {report.accuracy:.4f} on 30 images, top-5 accuracy {report.top_5_accuracy:.4f}"
    assert f"{figures}, macro F1 {report.macro_f1:.4f}" in said
    for name in COLOURS:  # names as they are, each with its row
        assert any(line.strip().startswith(f"{name} ") for line in said.splitlines()), name
    assert is_quiet(said), said


def test_predict_on_the_command_line(run, tmp_path):
    photos = folder(tmp_path / "photos", [name for name in COLOURS if "/" not in name], 1)
    (photos / "[red]fox" / "broken.png").write_bytes((photos / "고양이" / "0.png").read_bytes()[:200])
    (photos / "README.txt").write_text("Photographs of colours.")
    (photos / ".hidden.png").touch()
    said = here("predict", "photos", "--run", run, "--top", 2, "--csv", "out.csv", cwd=tmp_path, status=1)
    table = rows(tmp_path / "out.csv")
    assert list(table[0]) == ["path", "class_1", "score_1", "class_2", "score_2", "error"]
    paths = sorted(path for path in photos.rglob("*.png") if not path.name.startswith("."))
    assert [tmp_path / row["path"] for row in table] == paths
    good = [row for row in table if not row["error"]]
    guess, scores = named_by(run, [tmp_path / row["path"] for row in good])
    assert [row["class_1"] for row in good] == guess
    np.testing.assert_allclose([float(row["score_1"]) for row in good], scores, rtol=1e-5)
    for row in good:
        assert f"{row['path']}\n  {float(row['score_1']):.4f}  {row['class_1']}\n" in said
    bad = next(row for row in table if row["error"])
    assert bad["path"] == "photos/[red]fox/broken.png"
    assert f"photos/[red]fox/broken.png {bad['error']}." in said
    assert "photos/README.txt is no image." in said
    assert "photographs that could not be read: 1 of 6" in said
    assert "\x1b" not in said


def test_predict_in_python(run, asked):
    root, _, found = asked
    paths = sorted((root / "photos").rglob("*.png"))
    guess, scores = named_by(run, paths)
    for name in (
        *("folder", "list", "array of paths", "pattern", "folder in a list"),
        *("batch", "arrays", "tensor", "PIL"),
    ):
        names, skipped = found[name]
        assert [entry[0][0] for entry in names] == guess, name
        np.testing.assert_allclose([entry[0][1] for entry in names], scores, rtol=1e-5)
        assert [len(entry) for entry in names] == [5] * 20
        assert skipped == []
    assert found["generator"] == found["dataset"] == found["batch"]
    for name in ("text", "path", "one array"):
        assert [pair[0] for pair in found[name][0][0]] == [pair[0] for pair in found["list"][0][0]], name
    assert found["nothing"] == [[], []]
    names, skipped = found["some"]
    assert [len(entry) for entry in names] == [5, 0, 0]
    assert skipped == [["empty.jpg", "is empty"], ["nowhere.png", "is not there"]]
    names, skipped = found["long"]
    assert [len(entry) for entry in names] == [5, 0]
    assert skipped == [["x" * 300 + ".png", "cannot be read: File name too long"]]
    for name, sentence in {
        "empty": "ValueError: The path of a photograph is empty.",
        "missing": "FileNotFoundError: No photograph could be read: nowhere.png is not there.",
        "broken": "ValueError: No photograph could be read: empty.jpg is empty.",
        "no match": "FileNotFoundError: No file fits '*.gif'.",
        "no image": "holds no images, only",
        "0 to 1": "give (x * 255).round().astype('uint8').",
        "0 to 255": "give x.astype('uint8').",
        "-1 to 1": "give the pixels as they were before they were normalised.",
        "channels first": "(3, 40, 48), which may be grey images or channels in front",
        "None": "TypeError: A photograph must be a path, a folder",
        "None in a list": "image 1 is None.",
        "number": "got 3.",
        "bytes": "got b'photo'.",
        "top=-1": "ValueError: top must be an int of at least 1, got -1.",
        "top=True": "ValueError: top must be an int of at least 1, got True.",
        "run=3": "TypeError: run must be a path, got 3.",
        "model=3": "TypeError: model must be a text, got 3.",
        "model=None": "TypeError: model must be a text, got None.",
    }.items():
        assert sentence in found[name], (name, found[name])
        assert "\n" not in found[name]


PEAK = """
import resource, sys
import numpy as np
from PIL import Image
import inception_keras as ik
Image.MAX_IMAGE_PIXELS = None
photos = [sys.argv[1]] * int(sys.argv[2])
found = ik.predict(photos)
assert len(found) == len(photos) and all(found)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_photographs(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (300, 400, 3), "uint8")
    Image.fromarray(pixels).save(tmp_path / "photo.jpg")
    peaks = [
        int(python(f"import sys; sys.argv[1:] = ['photo.jpg', '{count}']\n{PEAK}", tmp_path).splitlines()[-1])
        for count in (64, 2000)
    ]
    assert peaks[1] - peaks[0] < 60, peaks  # MiB

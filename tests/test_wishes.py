"""Class weights, balanced sampling, callbacks and the learning-rate finder, as users apply them."""

import csv
import re
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec

import keras
import numpy as np
import pytest
import worker
from outside import here
from runs import TINY, difference
from sklearn.utils.class_weight import compute_class_weight
from test_distribute import assert_same
from test_resume import at_step
from typer.testing import CliRunner

import inception_keras as ik
from inception_keras.cli import app
from inception_keras.cli.recipe_options import changes
from inception_keras.data.splits import Part
from inception_keras.training.class_weights import class_weights
from inception_keras.training.folder import load_run
from inception_keras.training.learning_rate import suggestions
from inception_keras.training.optimizers import build_optimizer
from inception_keras.training.state import load_state
from inception_keras.training.task import load
from inception_keras.training.tasks.classification import build

RECIPE = ik.Recipe(**TINY | {"epochs": 1, "ema": 0.0, "schedule": "constant"})
TABLE = {"3": 5.0, "7": 0.25}
UNEQUAL = (120, 60, 30, 10, 5, 3, 1, 17, 100, 40)  # images of each class


def metrics(folder):
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    return [{name: float(value) for name, value in zip(rows[0], row, strict=True)} for row in rows[1:]]


def photos(folder, counts=(40, 12, 6)):
    """A folder of grey squares by class, with very unequal numbers of images."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name, count, shade in zip(("cat", "dog", "owl"), counts, (60, 120, 200), strict=True):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(rng.normal(shade, 30, (16, 16, 3)), 0, 255).astype("uint8")
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


# ------------------------------------------------------------------------------------------------------ class weights


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="indices"),
        pytest.param({"mixup": 0.4, "label_smoothing": 0.1}, id="mixtures", marks=pytest.mark.slow),
    ],
)
def test_class_weights_give_the_numbers_of_fit(tmp_path, fields):
    recipe = RECIPE.with_changes(class_weight=TABLE, **fields)
    run = ik.train(recipe, tmp_path / "run", verbose=0)
    [row] = metrics(run.folder)

    keras.utils.set_random_seed(recipe.seed)
    data = load(recipe, None)
    model = build(recipe, data)
    ik.compile_model(model, build_optimizer(recipe, model), label_smoothing=recipe.label_smoothing)
    weights = {index: TABLE.get(str(index), 1.0) for index in range(10)}  # Keras wants all of them
    if fields:  # which Keras would weigh by the larger share alone
        table = np.array(list(weights.values()), "float32")
        batches = data.epoch(0).map(lambda images, labels: (images, labels, labels @ table[:, None]))
        history = model.fit(batches, shuffle=False, verbose=0).history
    else:
        history = model.fit(data.epoch(0), shuffle=False, verbose=0, class_weight=weights).history
    assert row["loss"] == pytest.approx(history["loss"][0], rel=1e-5)
    assert row["accuracy"] == pytest.approx(history["accuracy"][0], rel=1e-5)
    model_of_run, _ = load_run(run.folder)
    for mine, keras_own in zip(model_of_run.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, keras_own, rtol=0, atol=1e-6)


def test_balanced_weights_are_those_of_scikit_learn(tmp_path):
    data = ik.load_data(data_dir=photos(tmp_path / "photos"), name=None)
    labels = data.batches["train"].part.labels
    expected = compute_class_weight("balanced", classes=np.unique(labels), y=labels)
    weights = class_weights("balanced", data)
    assert list(weights.values()) == pytest.approx(expected.tolist())
    part = data.batches["train"].part.take(np.flatnonzero(labels != 1))  # no image of a dog is left to train on
    fewer = replace(data, batches=data.batches | {"train": replace(data.batches["train"], part=part)})
    expected = compute_class_weight("balanced", classes=np.array([0, 2]), y=part.labels)
    assert class_weights("balanced", fewer) == pytest.approx({0: expected[0], 1: 1.0, 2: expected[1]})
    with pytest.raises(ValueError, match=r"class_weight has a class 'cta' that the data do not have; did you mean cat"):
        class_weights({"cta": 2}, data)


@pytest.mark.parametrize(
    "value", [{"3": 0}, {"3": -1.0}, {"3": float("nan")}, {"3": float("inf")}, {"3": "2"}, {"3": True}, {3: 2.0}, {}]
)
def test_class_weights_that_make_no_sense(value):
    with pytest.raises(ValueError, match=r"^class_weight .*must .*, got ") as error:
        ik.Recipe(class_weight=value)
    assert "\n" not in str(error.value)


def test_class_weights_and_sampling_are_taken_from_a_file_and_from_old_runs(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('model = "lenet5_modern"\nsampling = "balanced"\n[class_weight]\n"3" = 2\n')
    recipe = ik.Recipe.load(path)
    assert (recipe.class_weight, recipe.sampling) == ({"3": 2.0}, "balanced")
    assert ik.Recipe.from_dict(recipe.to_dict(), "a test") == recipe
    old = {name: value for name, value in RECIPE.to_dict().items() if name not in ("class_weight", "sampling")}
    assert ik.Recipe.from_dict(old, "a run of version 0.1") == RECIPE


@pytest.mark.slow
def test_class_weights_on_two_devices_and_two_workers():
    weights = [5.0, 0.25, *[1.0] * 8]
    for case in ({"class_weight": weights}, {"class_weight": weights, "soft": True, "aux": False}):
        [[two, one]] = worker.run(devices=[2, 1], **case)
        assert_same(one, two)
        first, second = worker.run(2, **case)
        assert_same(one, first)
        assert_same(first, second, tolerance=0)
        [[unweighted]] = worker.run(devices=[1], **case | {"class_weight": None})
        assert one["losses"] != unweighted["losses"]


# --------------------------------------------------------------------------------------------------- balanced sampling


@pytest.fixture(scope="module")
def unequal():
    """Digits with very unequal numbers of images per class."""
    data = ik.load_data("digits", sampling="balanced")
    batches = data.batches["train"]
    chosen = [np.flatnonzero(batches.part.labels == label)[:count] for label, count in enumerate(UNEQUAL)]
    return replace(
        data, batches=data.batches | {"train": replace(batches, part=batches.part.take(np.concatenate(chosen)))}
    )


def ids(data, *args, **kwargs):
    """The indices of the images in the batches of an epoch. Each image holds its index as its pixels."""
    batches = data.batches["train"]
    count = len(batches.part)
    pixels = np.zeros((count, 32, 32, 1), "uint8")
    pixels[:, 0, 0, 0], pixels[:, 0, 1, 0] = np.divmod(np.arange(count), 256)
    numbered = replace(batches, part=Part(pixels, batches.part.targets), augment="none", flip=False)
    seen = np.concatenate([images for images, _ in numbered.dataset(*args, **kwargs).as_numpy_iterator()])
    digits = np.round((seen[:, 0, :2, 0] + 1) * 127.5).astype(int)
    return digits @ [256, 1]


def test_balanced_sampling_shows_every_class_equally_often(unequal):
    labels = unequal.batches["train"].part.labels
    count = len(labels)
    epochs = [ids(unequal, number) for number in range(3)]
    for epoch in epochs:
        assert len(epoch) == count
        shown = np.bincount(labels[epoch])
        assert shown.max() - shown.min() <= 1
        times = Counter(epoch.tolist())
        for label in range(10):
            repeats = [times[image] for image in np.flatnonzero(labels == label)]
            assert max(repeats) - min(repeats) <= 1
    assert np.mean(epochs[0] == epochs[1]) < 0.2  # another order
    often = [set(epoch[labels[epoch] == 0].tolist()) for epoch in epochs]
    assert often[0] != often[1]  # and other images of a frequent class
    assert ids(unequal, 1).tolist() == epochs[1].tolist()
    assert ids(unequal, 1, skip=3).tolist() == epochs[1][3 * 64 :].tolist()
    halves = [ids(unequal, 1, skip=2, shard=(index, 2))[:32].tolist() for index in range(2)]
    assert halves[0] + halves[1] == epochs[1][2 * 64 : 3 * 64].tolist()


@pytest.mark.slow
def test_a_run_with_weights_and_balanced_sampling_resumes_exactly(tmp_path, monkeypatch):
    recipe = ik.Recipe(
        **TINY | {"epochs": 2}, class_weight="balanced", sampling="balanced", mixup=0.2, save_minutes=1e-9
    )
    whole = ik.train(recipe, tmp_path / "whole", verbose=0)

    def stop(loss):
        raise MemoryError

    at_step(monkeypatch, 4, stop)
    with pytest.raises(MemoryError):
        ik.train(recipe, tmp_path / "run", verbose=0)
    monkeypatch.undo()
    ik.train(None, tmp_path / "run", resume=True, verbose=0)
    assert difference(tmp_path / "run", whole.folder) == 0


@pytest.mark.slow
def test_class_weights_on_the_command_line(tmp_path):
    photos(tmp_path / "photos")
    words = ["--data-dir", "photos", "--image-size", "64", "--linear", "--out", "run"]
    here("finetune", *words, "--class-weight", "dog=2", "--class-weight", "owl=4.5", cwd=tmp_path)
    assert load_run(tmp_path / "run")[1]["recipe"]["class_weight"] == {"dog": 2.0, "owl": 4.5}


def test_class_weights_and_sampling_that_are_refused_on_the_command_line(tmp_path):
    words = ["--data-dir", str(photos(tmp_path / "photos", (12, 6, 5))), "--image-size", "32", "--linear", "--out"]
    assert changes({"class_weight": ["dog=2", "owl=4.5"]}) == {"class_weight": {"dog": 2.0, "owl": 4.5}}
    for given, sentence in (
        (["--class-weight", "dog"], "--class-weight must be balanced, none or CLASS=WEIGHT, got 'dog'."),
        (["--class-weight", "dog=1,dog=2"], "--class-weight has the class 'dog' twice."),
        (["--class-weight", "dog=0"], "class_weight of 'dog' must be a number above 0 and at most 1e+06, got 0.0."),
        (["--class-weight", "dgo=2"], "class_weight has a class 'dgo' that the data do not have; did you mean dog?"),
        (["--sampling", "equal"], "Unknown sampling 'equal'; did you mean natural?"),
    ):
        said = CliRunner().invoke(app, ["finetune", *words, str(tmp_path / "other"), *given]).output
        assert sentence in " ".join(said.split())
        assert not (tmp_path / "other").exists()


# ----------------------------------------------------------------------------------------------------------- callbacks


class Recorder(keras.callbacks.Callback):
    """A callback that records every call and acts at one of them."""

    def __init__(self, at=None, act=None):
        super().__init__()
        self.calls, self.logs, self._at, self._act = [], {}, at, act

    def _note(self, name, number=None, logs=None):
        self.calls.append(name if number is None else f"{name} {number}")
        self.logs[self.calls[-1]] = logs
        if self.calls[-1] == self._at:
            self._act(self)


def _numbered(name):
    return lambda self, number, logs=None: self._note(name, number, logs)


def _plain(name):
    return lambda self, logs=None: self._note(name, None, logs)


for _when in ("begin", "end"):
    for _what in ("epoch", "train_batch", "test_batch"):
        setattr(Recorder, f"on_{_what}_{_when}", _numbered(f"{_what}_{_when}"))
    for _what in ("train", "test"):
        setattr(Recorder, f"on_{_what}_{_when}", _plain(f"{_what}_{_when}"))

TWO = RECIPE.with_changes(epochs=2, batch_size=512, ema=0.9)


@pytest.fixture(scope="module")
def called(tmp_path_factory):
    """A run with callbacks: its folder, and the first of them."""
    home, mine = tmp_path_factory.mktemp("called"), Recorder()
    log = keras.callbacks.CSVLogger(home / "log.csv")
    best = keras.callbacks.ModelCheckpoint(home / "best.keras", monitor="val_accuracy", save_best_only=True)
    ik.train(TWO, home / "run", callbacks=[mine, log, best], verbose=0)
    return home, mine


def test_callbacks_are_called_as_fit_calls_them(called):
    (home, mine), own = called, Recorder()
    data = load(TWO, None)
    model = ik.compile_model(build(TWO, data))
    model.fit(data.train, validation_data=data.validation, epochs=2, callbacks=[own], shuffle=False, verbose=0)
    assert mine.calls == own.calls
    assert mine.params == own.params | {"verbose": 0}
    rows = metrics(home / "run")
    expected = {name: pytest.approx(value, rel=1e-5) for name, value in rows[1].items() if name != "epoch"}
    assert mine.logs["epoch_end 1"] == expected
    assert mine.logs["train_batch_end 2"].keys() == {"loss"}
    assert [line.split(",")[0] for line in (home / "log.csv").read_text().splitlines()] == ["epoch", "0", "1"]
    saved = keras.models.load_model(home / "best.keras")
    figures = saved.evaluate(data.validation, return_dict=True, verbose=0)
    assert figures["accuracy"] == pytest.approx(max(row["val_accuracy"] for row in rows), rel=1e-5)
    with pytest.raises(FileExistsError):
        ik.train(TWO, home / "run", callbacks=[mine], verbose=0)


def stop(callback):
    callback.model.stop_training = True


def test_a_callback_may_end_the_run_within_an_epoch(tmp_path, capsys):
    def never(callback):
        raise AssertionError("a finished run goes on")

    within, recipe = Recorder("train_batch_end 1", stop), TWO.with_changes(epochs=9)
    ended = ik.train(recipe, tmp_path / "run", callbacks=[within], verbose=0)
    assert [row["epoch"] for row in ended.rows] == [1]
    (timing,) = csv.DictReader((tmp_path / "run" / "timing.csv").read_text().splitlines())
    images = float(timing["images_per_second"]) * float(timing["seconds"])
    assert images == pytest.approx(2 * recipe.batch_size, rel=1e-3)
    assert within.calls[-1] == "train_end"
    assert within.calls.count("train_batch_end 2") == 0
    assert within.calls.count("epoch_end 0") == within.calls.count("test_end") == 1
    ik.train(None, tmp_path / "run", resume=True, callbacks=[Recorder("train_begin", never)], verbose=2)
    assert "a callback ended it after epoch 1. More than 9 --epochs let it go on." in capsys.readouterr().out


@pytest.mark.slow
def test_a_callback_may_end_the_run_at_the_end_of_an_epoch(tmp_path):
    run = ik.train(TWO.with_changes(epochs=9), tmp_path, callbacks=[Recorder("epoch_end 1", stop)], verbose=0)
    assert run.rows[-1]["epoch"] == len(metrics(tmp_path)) == 2


@pytest.mark.slow
def test_early_stopping_ends_a_run_that_may_get_more_epochs(tmp_path):
    recipe = TWO.with_changes(epochs=9)
    early = keras.callbacks.EarlyStopping(monitor="val_loss", patience=1, min_delta=100)
    ik.train(recipe, tmp_path / "early", callbacks=early, verbose=0)
    assert len(metrics(tmp_path / "early")) == 2
    more = ik.train(recipe.with_changes(epochs=10), tmp_path / "early", resume=True, callbacks=early, verbose=0)
    assert more.rows[-1]["epoch"] == 4  # the patience of a callback begins anew


def fail(callback):
    raise ZeroDivisionError("of the user's")


def test_an_error_in_a_callback_ends_the_run_with_a_saved_state(tmp_path):
    with pytest.raises(ZeroDivisionError, match=r"^of the user's$"):
        ik.train(TWO, tmp_path, callbacks=[Recorder("train_batch_end 1", fail)], verbose=0)
    _, facts, _ = load_state(tmp_path / "checkpoints")
    assert (facts["step"], len(facts["rows"])) == (2, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "step", "epochs"),
    [
        ("train_batch_end 1", 2, 0),
        ("train_begin", 0, 0),
        ("train_batch_begin 1", 2, 0),
        ("test_batch_end 0", 0, 1),
        ("epoch_end 0", 0, 1),
        ("epoch_begin 1", 1, 1),
    ],
)
def test_a_run_that_an_error_in_a_callback_ended_goes_on(called, tmp_path, at, step, epochs):
    out, recorder, resumed = tmp_path / "run", Recorder(at, fail), Recorder()
    with pytest.raises(ZeroDivisionError, match=r"^of the user's$"):
        ik.train(TWO, out, callbacks=[recorder], verbose=0)
    assert recorder.calls[-1] == at
    _, facts, _ = load_state(out / "checkpoints")
    assert (facts["step"], len(facts["rows"])) == (step, epochs)
    ik.train(None, out, resume=True, callbacks=[resumed], verbose=0)
    assert resumed.calls[:3] == ["train_begin", f"epoch_begin {epochs}", f"train_batch_begin {step}"]
    assert difference(out, called[0] / "run") == 0


def test_callbacks_that_a_run_cannot_have(tmp_path):
    for callbacks, error, sentence in (
        ([keras.callbacks.EarlyStopping], TypeError, "callbacks must be a list of objects of keras.callbacks.Callback"),
        ("tensorboard", TypeError, "callbacks must be a list of objects"),
        (None, TypeError, "callbacks must be a list of objects"),
        ([keras.callbacks.LearningRateScheduler(lambda epoch: 0.1)], ValueError, "cannot have a LearningRateScheduler"),
        ([keras.callbacks.ReduceLROnPlateau()], ValueError, "schedule='plateau' lowers it"),
        ([keras.callbacks.BackupAndRestore("backup")], ValueError, "a run saves its state by itself"),
    ):
        with pytest.raises(error, match=sentence):
            ik.train(TWO, tmp_path / "run", callbacks=callbacks, verbose=0)
    with pytest.raises(ValueError, match="callbacks need epochs"):
        ik.finetune(TWO.with_changes(weights="x"), tmp_path / "run", linear=True, callbacks=[Recorder()])
    if find_spec("tensorboard") is None:
        said = CliRunner().invoke(app, ["train", "lenet5_modern", "--tensorboard", "--out", str(tmp_path / "run")])
        assert (said.exit_code, said.output) == (1, "error: TensorBoard is not installed: pip install tensorboard.\n")
    assert not (tmp_path / "run").exists()


# -------------------------------------------------------------------------------------------------- the learning rate


def test_suggestions_of_a_curve_whose_best_rates_are_known():
    rates = np.geomspace(1e-6, 1, 200)
    falls = 2 - 1.5 / (1 + np.exp(-4 * (np.log10(rates) + 3)))  # fastest at 1e-3
    losses = falls + np.maximum(0, np.log10(rates) + 1.5) ** 2 * 8  # and rises from 10**-1.5 on
    steepest, tenth = suggestions(rates.tolist(), losses.tolist())
    assert steepest == pytest.approx(1e-3, rel=0.1)
    assert tenth == pytest.approx(10**-2.5, rel=0.3)
    rising = np.linspace(1, 2, 200)
    assert suggestions(rates.tolist(), rising.tolist()) == pytest.approx((1e-6, 1e-7))


def test_the_learning_rate_finder_on_the_command_line(tmp_path):
    words = ["--model", "lenet5_modern", "--batch-size", "32", "--steps", "60", "--class-weight", "3=2"]
    said = here("lr", *words, "--optimizer", "sgd", "--out", "new/lr.png", cwd=tmp_path)
    rate = float(re.search(r"--learning-rate (\S+) \(the recipe has 0.002\)", said)[1])
    assert 1e-4 < rate < 1  # SGD with momentum wants more than Adam
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["lr.csv", "lr.png"]
    table = np.genfromtxt(tmp_path / "new" / "lr.csv", delimiter=",", names=True)
    assert table.dtype.names == ("learning_rate", "loss", "smoothed")
    assert len(table) <= 60
    steps = np.diff(np.log(table["learning_rate"]))
    np.testing.assert_allclose(steps, np.log(1e6) / 59, rtol=1e-3)


def test_the_learning_rate_finder_refuses_other_files_at_once(tmp_path):
    (tmp_path / "new").mkdir()
    for name in ("lr.txt", "new", "."):
        done = CliRunner().invoke(app, ["lr", "no_such_recipe", "--out", str(tmp_path / name)])
        assert "--out must end in .png, .svg, .pdf or .jpg, got" in " ".join(done.output.split())


def test_the_learning_rate_finder_refuses_what_makes_no_sense():
    for options, sentence in (
        ({"lowest": 0}, "lowest must be a learning rate above 0"),
        ({"highest": float("nan")}, "highest must be a learning rate above 0"),
        ({"lowest": 0.1, "highest": 0.1}, "highest must be above lowest, 0.1, got 0.1"),
        ({"steps": 5}, "steps must be an int of at least 20, got 5"),
    ):
        with pytest.raises(ValueError, match=sentence):
            ik.find_learning_rate(RECIPE, **options)


@pytest.mark.slow
def test_the_second_stage_of_a_fine_tuning_counts_the_epochs_on(tmp_path):
    recipe = ik.Recipe(
        model="squeezenet1_1", weights="imagenet", data_dir=photos(tmp_path / "photos"), image_size=64, epochs=2
    )
    recorder = Recorder()
    ik.finetune(recipe, tmp_path / "run", callbacks=[recorder], verbose=0)
    assert [call for call in recorder.calls if call.startswith("epoch_end")] == [f"epoch_end {n}" for n in range(4)]
    assert recorder.calls.count("train_begin") == recorder.calls.count("train_end") == 2
    assert recorder.params["epochs"] == 4

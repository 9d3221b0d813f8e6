"""Class weights, balanced sampling, callbacks and the learning-rate finder, as people use them."""

from collections import Counter
from dataclasses import replace

import keras
import numpy as np
import pytest
import worker
from outside import command
from runs import TINY, difference
from sklearn.utils.class_weight import compute_class_weight
from test_distribute import assert_same
from test_resume import at_step
from typer.testing import CliRunner

import inception_keras as ik
from inception_keras.cli import app
from inception_keras.data.parts import Part
from inception_keras.training.class_weights import class_weights
from inception_keras.training.folder import load_run
from inception_keras.training.run import load
from inception_keras.training.schedule import build_optimizer
from inception_keras.training.start import first_model

RECIPE = ik.Recipe(**TINY | {"epochs": 1, "ema": 0.0, "schedule": "constant"})
TABLE = {"3": 5.0, "7": 0.25}
UNEQUAL = (120, 60, 30, 10, 5, 3, 1, 17, 100, 40)  # images of each class


def metrics(folder):
    rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    return [{name: float(value) for name, value in zip(rows[0], row, strict=True)} for row in rows[1:]]


def photos(folder):
    """A folder of grey squares by class, of very unequal numbers."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for name, count, shade in (("cat", 40, 60), ("dog", 12, 120), ("owl", 6, 200)):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(rng.normal(shade, 30, (16, 16, 3)), 0, 255).astype("uint8")
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


# ------------------------------------------------------------------------------------------------------ class weights


@pytest.mark.parametrize("changes", [{}, {"mixup": 0.4, "label_smoothing": 0.1}], ids=["indices", "mixtures"])
def test_class_weights_give_the_numbers_of_fit(tmp_path, changes):
    recipe = RECIPE.with_changes(class_weight=TABLE, **changes)
    run = ik.train(recipe, tmp_path / "run", verbose=0)
    [row] = metrics(run.folder)

    keras.utils.set_random_seed(recipe.seed)
    data = load(recipe)
    model = first_model(recipe, data)
    ik.compile_model(model, build_optimizer(recipe, model), label_smoothing=recipe.label_smoothing)
    weights = {index: TABLE.get(str(index), 1.0) for index in range(10)}  # Keras wants all of them
    if changes:  # which Keras would weigh by the larger share alone
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
    """Digits of very unequal numbers."""
    data = ik.load_data("digits", sampling="balanced")
    batches = data.batches["train"]
    chosen = [np.flatnonzero(batches.part.labels == label)[:count] for label, count in enumerate(UNEQUAL)]
    return replace(
        data, batches=data.batches | {"train": replace(batches, part=batches.part.take(np.concatenate(chosen)))}
    )


def ids(data, *args, **kwargs):
    """The numbers of the images in the batches of an epoch, which a net would see as pixels."""
    batches = data.batches["train"]
    count = len(batches.part)
    pixels = np.zeros((count, 32, 32, 1), "uint8")
    pixels[:, 0, 0, 0], pixels[:, 0, 1, 0] = np.divmod(np.arange(count), 256)
    numbered = replace(batches, part=Part(pixels, batches.part.labels), augment="none", flip=False)
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


def test_class_weights_and_sampling_on_the_command_line(tmp_path):
    photos(tmp_path / "photos")
    words = ["--data-dir", "photos", "--image-size", "64", "--linear", "--out"]
    command("finetune", *words, "run", "--class-weight", "dog=2", "--class-weight", "owl=4.5", cwd=tmp_path)
    assert load_run(tmp_path / "run")[1]["recipe"]["class_weight"] == {"dog": 2.0, "owl": 4.5}
    for given, sentence in (
        (["--class-weight", "dog"], "--class-weight must be balanced, none or CLASS=WEIGHT, got 'dog'."),
        (["--class-weight", "dog=1,dog=2"], "--class-weight has the class 'dog' twice."),
        (["--class-weight", "dog=0"], "class_weight of 'dog' must be a number above 0 and at most 1e+06, got 0.0."),
        (["--class-weight", "dgo=2"], "class_weight has a class 'dgo' that the data do not have; did you mean dog?"),
        (["--sampling", "equal"], "Unknown sampling 'equal'; did you mean natural?"),
    ):
        words[1] = str(tmp_path / "photos")
        said = CliRunner().invoke(app, ["finetune", *words, str(tmp_path / "other"), *given]).output
        assert sentence in " ".join(said.split())
        assert not (tmp_path / "other").exists()

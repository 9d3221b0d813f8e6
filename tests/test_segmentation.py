"""The task segmentation: its loss and measures against NumPy, runs, and masks of photographs of any size."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
import rectangles
import tensorflow as tf
from outside import here, python
from PIL import Image
from runs import death_at_step, difference

import inception_keras as ik
from inception_keras.data.palette import index_image
from inception_keras.data.targets import VOID
from inception_keras.training.pixels import (
    FIGURES,
    MeanPixelCrossEntropy,
    PixelCrossEntropy,
    PixelMetric,
    confusion,
    figures,
)
from inception_keras.training.segment import classes_of

RECIPE = ik.Recipe(
    task="rectangles:TASK",
    model="lenet5_modern",
    data=None,
    epochs=5,
    batch_size=4,
    learning_rate=0.02,
    augment="none",
)


def released(truth, guess, classes):
    """The four measures, class by class, pixel by pixel, as the authors' score.py defines them."""
    counted = truth != VOID
    truth, guess = truth[counted], guess[counted]
    accuracies, ious, weighted = [], [], 0.0
    for one in range(classes):
        mine, found = truth == one, guess == one
        if mine.any():
            accuracies.append((mine & found).sum() / mine.sum())
            weighted += mine.sum() / truth.size * (mine & found).sum() / (mine | found).sum()
        if (mine | found).any():
            ious.append((mine & found).sum() / (mine | found).sum())
    return (truth == guess).mean(), np.mean(accuracies), np.mean(ious), weighted


def softmax_loss(masks, scores):
    """The cross-entropy of each pixel, 0 for void."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    of_truth = np.take_along_axis(logs, np.where(masks == VOID, 0, masks)[..., None].astype(int), -1)[..., 0]
    return np.where(masks == VOID, 0, -of_truth)


def case(seed, classes=5, shape=(3, 7, 6)):
    rng = np.random.default_rng(seed)
    masks = rng.choice(np.array([*range(classes), VOID], np.uint8), shape)
    return masks, rng.standard_normal((*shape, classes)).astype(np.float32)


@pytest.mark.parametrize("absent", [(), (1,), (1, 2), (0, 1, 2, 3)])
def test_the_four_measures_are_the_released_ones(absent):
    masks, scores = case(0)
    for one in absent:
        masks[masks == one] = 4
    scores[..., 2] -= 100  # a class that is never found
    expected = released(masks, scores.argmax(-1), 5)
    for name, value in zip(FIGURES, expected, strict=True):
        metric = PixelMetric.from_config(PixelMetric(name, 5).get_config())
        for part in (slice(0, 1), slice(1, 1), slice(1, 3)):  # one of the batches is empty
            metric.update_state(masks[part], scores[part])
        assert metric.name == name and float(metric.result()) == pytest.approx(value, abs=1e-6)
    matrix = np.asarray(confusion(masks, scores.argmax(-1), 5))
    assert matrix.sum() == (masks != VOID).sum() and matrix.dtype == np.int64
    assert [*np.isnan(figures(matrix)["accuracy"])] == [one in absent for one in range(5)]
    assert [*np.isnan(figures(matrix)["iou"])] == [one == 2 and one in absent for one in range(5)]


def test_one_class_and_only_void():
    for name in FIGURES:
        metric = PixelMetric(name, 1)
        assert float(metric([[[0, 255]]], np.zeros((1, 1, 2, 1)))) == 1
        metric.reset_state()
        assert np.isnan(metric(np.full((1, 2, 2), 255), np.zeros((1, 2, 2, 1))))
    with pytest.raises(ValueError, match=r"figure must be 'pixel_accuracy', .*, got 'miou'"):
        PixelMetric("miou", 2)


def test_counts_are_exact_where_float32_is_not():
    metric = PixelMetric("pixel_accuracy", 2)
    metric.matrix.assign([[2**24, 0], [0, 0]])
    metric.update_state([[[0]]], [[[[1.0, 0.0]]]])
    assert int(metric.matrix.numpy()[0, 0]) == 2**24 + 1


@pytest.mark.parametrize("summed", [False, True])
def test_the_loss_is_numpys(summed):
    masks, scores = case(1)
    masks[1] = VOID
    losses, pixels = softmax_loss(masks, scores), len(masks) if summed else (masks != VOID).sum()
    loss = PixelCrossEntropy.from_config(PixelCrossEntropy(summed).get_config())
    assert float(loss(masks, scores)) == pytest.approx(losses.sum() / pixels, rel=1e-6)
    weights = np.random.default_rng(2).random(masks.shape)
    assert float(loss(masks, scores, weights)) == pytest.approx((losses * weights).sum() / pixels, rel=1e-6)
    assert float(loss(np.full((2, 3, 3), VOID), np.zeros((2, 3, 3, 5)))) == 0
    metric = MeanPixelCrossEntropy()
    for part in (slice(0, 1), slice(1, 2), slice(2, 3)):
        metric.update_state(masks[part], scores[part])
    assert float(metric.result()) == pytest.approx(losses.sum() / (masks != VOID).sum(), rel=1e-6)
    with tf.GradientTape() as tape:
        tape.watch(given := tf.constant(scores))
        value = loss(masks, given)
    gradient = tape.gradient(value, given).numpy()
    assert not gradient[masks == VOID].any() and gradient[masks != VOID].any(axis=-1).all()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that is not interrupted."""
    return ik.train(RECIPE, tmp_path_factory.mktemp("runs") / "whole", verbose=0)


def rows_of(path):
    header, *rows = ([*line.split(",")] for line in path.read_text().splitlines())
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_a_run(whole):
    rows, [best] = rows_of(whole.folder / "metrics.csv"), [row for row in whole.rows if row["best"]]
    assert [*rows[0]] == [
        "epoch", *("loss", *FIGURES), *(f"val_{name}" for name in ("loss", *FIGURES)), "learning_rate"
    ]  # fmt: skip
    assert whole.score == "mean_iou" and whole.test_score == best["test_mean_iou"] > 0.8
    assert whole.best_epoch == 1 + np.argmax([float(row["val_mean_iou"]) for row in rows])
    assert (whole.folder / "curves.png").is_file() and (whole.folder / "model.png").is_file()
    assert not (whole.folder / "examples.png").exists()

    data, model = rectangles.load(RECIPE, None), keras.models.load_model(whole.folder / "model.keras")
    images, masks = (np.concatenate(arrays) for arrays in zip(*data.test, strict=True))
    scores = model.predict(images, verbose=0)
    expected = released(masks, scores.argmax(-1), 4)
    assert [best[f"test_{name}"] for name in FIGURES] == pytest.approx(expected, abs=1e-6)
    loss = softmax_loss(masks, scores).sum() / (masks != VOID).sum()
    assert best["test_loss"] == pytest.approx(loss, rel=1e-5)  # batches of 4 and more void do not change it

    report = ik.evaluate(whole.folder)  # images of a test set at their own size, which is that of the windows here
    assert [getattr(report, name) for name in FIGURES] == pytest.approx(expected, abs=1e-6)
    assert [row["class"] for row in report.table] == [*rectangles.NAMES] and report.images == 5
    assert np.isnan(report.classes[3]["accuracy"]) and report.classes[1]["pixels"] == (masks == 1).sum()
    for name in ("classes.csv", "confusion.png", "examples.png"):
        assert (whole.folder / name).is_file()


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_nothing_stopped(whole, tmp_path):
    with death_at_step(7):  # the second of the second epoch
        ik.train(RECIPE.with_changes(save_minutes=1e-9), tmp_path / "run", verbose=0)
    assert ik.train(None, tmp_path / "run", resume=True, verbose=0).rows == whole.rows
    for name in ("classes.csv", "confusion.png", "examples.png"):  # of `evaluate`
        (whole.folder / name).unlink(missing_ok=True)
    assert difference(tmp_path / "run", whole.folder) == 0


def test_other_images_are_measured_at_their_own_sizes(whole, tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "classes.txt").write_text("\n".join(rectangles.NAMES))
    truths, guesses = [], []
    for number, (image, mask) in enumerate(zip(*rectangles.scenes(3, seed=11), strict=True), start=1):
        image, mask = np.tile(image, (number, 2, 1))[:-3], np.tile(mask, (number, 2))[:-3]
        Image.fromarray(image).save(tmp_path / "images" / f"{number}.png")
        index_image(mask).save(tmp_path / "masks" / f"{number}.png")
        truths.append(mask.ravel())
        guesses.append(ik.segment(whole.folder, image).ravel())
    report = ik.evaluate(whole.folder, data_dir=tmp_path)
    expected = released(np.concatenate(truths), np.concatenate(guesses), 4)
    assert [getattr(report, name) for name in FIGURES] == pytest.approx(expected, abs=1e-6)
    assert report.images == 3 and sum(row["pixels"] for row in report.table) == sum((t != VOID).sum() for t in truths)


def test_from_the_command_line(whole, tmp_path):
    said = here("train", "--resume", "--out", whole.folder, cwd=tmp_path)
    assert re.search(r"epoch +val loss +val mean iou +test loss +test mean iou", said) and "frequency" not in said
    said = here("evaluate", whole.folder, cwd=tmp_path)
    assert re.search(r"mean IoU 0\.\d{4} on 5 images, pixel accuracy 0\.\d{4}, mean accuracy 0\.\d{4}, frequ", said)
    assert "confusion.png" in said and re.search(r"blue +0\.\d{4} +[01]\.\d{4} +80", said)
    images, masks = rectangles.scenes(2, seed=7)
    for folder, image in zip(("a", "b"), images, strict=True):
        (tmp_path / folder).mkdir()
        Image.fromarray(np.tile(image, (2, 3, 1))).save(tmp_path / folder / "photo.png")
    (tmp_path / "broken.png").write_bytes(b"")
    words = ("predict", "a/photo.png", "b/photo.png", "broken.png", "--run", whole.folder, "--csv", "out.csv")
    said = here(*words, "--out", "masks", cwd=tmp_path, status=1)
    assert re.search(r"  0\.[78]\d{3}  background", said) and "broken.png is empty" in said
    names = sorted(path.name for path in (tmp_path / "masks").iterdir())
    assert names == [f"photo_{kind}.png" for kind in ("2_mask", "2_overlay", "mask", "overlay")]
    for name, image, mask in zip(("photo_mask.png", "photo_2_mask.png"), images, masks, strict=True):
        with Image.open(tmp_path / "masks" / name) as picture:
            assert picture.mode == "P" and picture.size == (3 * rectangles.SIDE, 2 * rectangles.SIDE)
            assert picture.getpalette()[:6] == [0, 0, 0, 128, 0, 0]
            found = np.asarray(picture)
        tiled = np.tile(mask, (2, 3))
        assert (found == tiled)[tiled != VOID].mean() > 0.9
        np.testing.assert_array_equal(found, ik.segment(whole.folder, np.tile(image, (2, 3, 1))))
    assert (tmp_path / "out.csv").read_text().splitlines()[
        0
    ] == "path,class_1,score_1,class_2,score_2,class_3,score_3,error"
    [first, second] = ik.predict([tmp_path / "a" / "photo.png", images[1]], run=whole.folder)
    assert sum(share for _, share in first) == pytest.approx(1) and first[0][0] == second[0][0] == "background"

    sentence = "masks is there already: --out names a new or an empty folder."
    assert sentence in here(*words, "--out", "masks", cwd=tmp_path, status=1)
    said = here("predict", "a/photo.png", "--out", "other", cwd=tmp_path, status=1)
    assert "--out needs a run whose task makes pictures, such as segmentation." in said
    assert "photo.png" not in said  # it is said before the net runs
    assert not (tmp_path / "other").exists()


@pytest.mark.slow
def test_another_process_opens_the_run(whole, tmp_path):
    Image.fromarray(rectangles.scenes(1, seed=9)[0][0]).save(tmp_path / "photo.png")
    code = f"""
import sys
import keras
import inception_keras as ik
model = keras.models.load_model({str(whole.folder / "model.keras")!r})
mask = ik.segment(model, "photo.png")
sys.path.append({str(Path(rectangles.__file__).parent)!r})
assert (mask == ik.segment({str(whole.folder)!r}, "photo.png")).all() and mask.dtype == "uint8"
from rectangles import NAMES, TASK, load, net
from inception_keras.training.pixels import PixelMetric
recipe = ik.Recipe(task="rectangles:TASK", model="lenet5_modern", data=None, batch_size=4)
compiled = TASK.compile(net(), keras.optimizers.SGD(), recipe, load(recipe, None))
compiled.evaluate(load(recipe, None).test, verbose=0)
compiled.save("compiled.keras")
"""
    python(code, tmp_path)
    model = keras.models.load_model(tmp_path / "compiled.keras")
    assert type(model.loss) is PixelCrossEntropy
    logs = model.evaluate(rectangles.load(RECIPE, None).test, verbose=0, return_dict=True)
    assert {*logs} == {"loss", "cross_entropy", *FIGURES}


@pytest.mark.slow
def test_weights_of_another_net(whole, tmp_path):
    recipe = RECIPE.with_changes(weights=str(whole.folder), options={"skip": True}, learning_rate=1e-9, epochs=1)
    finer = ik.train(recipe, tmp_path / "finer", verbose=0)  # its second score is zero at first
    assert finer.test_score > whole.test_score - 0.05
    data = rectangles.load(recipe, None)
    model, before = rectangles.TASK.build(recipe, data), keras.models.load_model(whole.folder / "model.keras")
    np.testing.assert_array_equal(*(net.get_layer("score").kernel.numpy() for net in (model, before)))
    assert not model.get_layer("score_conv_1").kernel.numpy().any()
    fewer = type(data)(**{**vars(data), "class_names": ("background", "green", "blue", "never")})
    model = rectangles.TASK.build(recipe, fewer)
    np.testing.assert_array_equal(*(net.get_layer("conv_2").kernel.numpy() for net in (model, before)))
    assert not model.get_layer("score").kernel.numpy().any()
    frozen = rectangles.TASK.build(recipe.with_changes(freeze="conv_*"), data)
    assert not frozen.get_layer("conv_1").trainable and frozen.get_layer("score").trainable
    with pytest.raises(ValueError, match="freeze 'all' leaves nothing of rectangles to train"):
        rectangles.TASK.build(recipe.with_changes(freeze="all"), data)
    other = ik.train(ik.Recipe(model="lenet5_modern", epochs=1, batch_size=512), tmp_path / "other", verbose=0)
    with pytest.raises(ValueError, match="of lenet5_modern, has only 0 of the 12 weights of lenet5_modern"):
        rectangles.TASK.build(recipe.with_changes(weights=str(other.folder)), data)


@pytest.mark.slow
def test_auxiliary_heads_class_weights_and_the_sum(tmp_path):
    data = rectangles.load(RECIPE, None)
    recipe = RECIPE.with_changes(
        options={"aux": True}, aux_weight=0.5, class_weight="balanced", task_options={"loss": "sum"}, learning_rate=1e-5
    )
    run = ik.train(recipe.with_changes(epochs=1), tmp_path / "run", verbose=0)
    [row] = rows_of(run.folder / "metrics.csv")
    assert [*row][:7] == ["epoch", "loss", *FIGURES, "total_loss"] and "test_total_loss" not in run.rows[0]
    assert keras.models.load_model(run.folder / "model.keras").output_shape == (None, None, None, 4)

    model = rectangles.net(aux=True)
    rectangles.TASK.compile(model, keras.optimizers.SGD(0.0), recipe, data)
    images, masks, weights = next(iter(rectangles.TASK.train_targets(data.split("train"), model, recipe, data)))
    outputs, truth = model(images), masks["aux"].numpy()
    every = np.concatenate([batch.numpy() for _, batch in data.split("train")])
    counts = np.bincount(every[every != VOID], minlength=4)
    table = np.where(counts, counts.sum() / 3 / np.maximum(counts, 1), 1)
    np.testing.assert_allclose(weights["aux"], np.where(truth == VOID, 0, table[np.minimum(truth, 3)]), rtol=1e-6)
    expected = [
        (softmax_loss(truth, outputs[name].numpy()) * weights["aux"]).numpy().sum() / len(truth)
        for name in ("predictions", "aux")
    ]
    loss = model.compute_loss(y=masks, y_pred=outputs, sample_weight=weights)
    assert float(loss) == pytest.approx(expected[0] + 0.5 * expected[1], rel=1e-5)


def test_what_a_recipe_may_have():
    with pytest.raises(
        ValueError, match="The task segmentation needs a net such as fcn8s, got lenet5_modern, a net of"
    ):
        rectangles.segmentation.build(RECIPE, rectangles.load(RECIPE, None))
    for fields, sentence in (
        ({"options": {"classes": 3}}, "The option classes must not be set: the data have it."),
        ({"task_options": {"loss": "total"}}, "loss must be 'mean' or 'sum', got 'total'"),
        ({"label_smoothing": 0.1}, "does not use label_smoothing, got 0.1"),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            ik.train(RECIPE.with_changes(**fields), "none", verbose=0)
    assert not Path("none").exists()


# ------------------------------------------------------------------------------------------------- images of any size


def test_tiles_give_what_the_whole_image_gives():
    model = rectangles.net()
    for layer in model.layers:
        layer.set_weights([np.random.default_rng(1).standard_normal(w.shape) for w in layer.get_weights()])
        if layer.name == "bn":
            layer.set_weights([np.ones(8), np.zeros(8), np.zeros(8), np.ones(8)])
    for size in ((1, 1), (128, 129), (300, 517)):
        image = np.random.default_rng(2).integers(0, 256, (*size, 3), np.uint8)
        whole = ik.segment(model, image)
        assert whole.shape == size and len(np.unique(whole)) > (size != (1, 1))
        np.testing.assert_array_equal(ik.segment(model, image, tile=128), whole)


def test_large_images_never_meet_the_net_as_a_whole():
    seen = []

    def score(images):
        seen.append(images.shape)
        return np.stack([images[..., 0], -images[..., 0]], axis=-1)

    prepare = ik.Preprocessing((1, 1))
    image = np.random.default_rng(0).integers(0, 256, (700, 2000, 3), np.uint8)
    found = classes_of(score, prepare, image, tile=256)
    np.testing.assert_array_equal(found, image[..., 0] < 127.5)
    assert max(max(shape) for shape in seen) == 256 and len(seen) == 5 * 15


def test_what_is_no_net_of_pixels():
    with pytest.raises(
        ValueError, match=r"lenet5_modern must turn images into scores \(n, h, w, classes\), got the shape"
    ):
        ik.segment(ik.create_model("lenet5_modern"), np.zeros((8, 8, 3), np.uint8))
    image = keras.Input((8, 9, 3))
    fixed = keras.Model(image, keras.layers.Conv2D(2, 1)(image), name="fixed")
    with pytest.raises(
        ValueError, match=r"fixed takes images of 9 x 8 pixels only: build it with input_shape=\(None, N"
    ):
        ik.segment(fixed, np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="tile must be a multiple of 128, got 100"):
        ik.segment(rectangles.net(), np.zeros((8, 8, 3), np.uint8), tile=100)


def test_a_model_that_was_segmented_with_is_freed():
    import gc
    import weakref

    model = rectangles.net()
    ik.segment(model, np.zeros((8, 8, 3), np.uint8))
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None

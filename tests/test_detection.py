"""The task detection: what a net is fed, runs and their measures, and the objects of photographs of any size."""

import gc
import json
import math
import re
import weakref
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny_detector
from outside import here
from PIL import Image
from pycocotools.coco import COCO
from runs import death_at_step, difference

import inception_keras as ik
from inception_keras.data.names import COCO_CATEGORIES, VOC_CLASSES
from inception_keras.detection.forms import detections, loss_terms, training_form
from inception_keras.training.average_precision import COCO_FIGURES
from inception_keras.training.detect import Detections, finder, finder_of_run
from inception_keras.training.detect_photos import Found, _release, finder_for, read_names, results_file
from inception_keras.training.folder import load_run
from inception_keras.training.tasks import detection

SIDE, NAMES, TERMS = tiny_detector.SIDE, tiny_detector.NAMES, tiny_detector.TERMS
RECIPE = ik.Recipe(
    task="tiny_detector:TASK",
    model="lenet5_modern",
    data=None,
    epochs=5,
    batch_size=8,
    learning_rate=0.01,
    augment="none",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that is not interrupted."""
    return ik.train(RECIPE, tmp_path_factory.mktemp("runs") / "whole", verbose=0)


@pytest.fixture(scope="module")
def trained(whole):
    """Its net, for inference."""
    return load_run(whole.folder)[0]


def rows_of(path):
    header, *rows = ([*line.split(",")] for line in path.read_text().splitlines())
    return [dict(zip(header, row, strict=True)) for row in rows]


# ------------------------------------------------------------------------------------------------- what a net is fed


def fed(**objects):
    model = detection.packed(training_form(tiny_detector.net()))
    arrays = {"boxes": np.float32, "classes": np.int32, "difficult": bool}
    batch = {name: tf.constant(np.array(objects[name], kind)) for name, kind in arrays.items()}
    images = tf.zeros((len(objects["classes"]), 16, 16, 3))
    dataset = tf.data.Dataset.from_tensors((images, batch | {"dropped": tf.zeros(len(images), tf.int32)}))
    return next(iter(detection.targets(dataset, model, RECIPE, None))), model


def test_difficult_objects_are_measured_but_not_trained_on():
    one, two = [1, 2, 9, 8], [4, 4, 12, 12]
    (x, y), model = fed(boxes=[[one, two], [two, [0] * 4]], classes=[[2, 0], [1, -1]], difficult=[[0, 1], [0, 0]])
    assert list(x) == list(model.input) == ["image", "boxes", "classes"]
    assert x["classes"].numpy().tolist() == [[2, -1, -1], [1, -1, -1]]
    assert x["boxes"].numpy().tolist() == [[one, [0] * 4, [0] * 4], [two, [0] * 4, [0] * 4]]
    assert {*y} == {*TERMS, "detections"} and all(y[name].shape == (2,) for name in TERMS)
    nothing = [0, 0, 0, 0, -1, 0]
    assert y["detections"].numpy().tolist() == [[[*one, 2, 0], [*two, 0, 1], nothing], [[*two, 1, 0], nothing, nothing]]


def test_a_batch_without_objects_has_a_row_of_padding():
    (x, y), model = fed(boxes=np.zeros((2, 0, 4)), classes=np.zeros((2, 0)), difficult=np.zeros((2, 0)))
    assert x["classes"].numpy().tolist() == [[-1], [-1]] and y["detections"].shape == (2, 1, 6)
    detection.TASK.compile(model, keras.optimizers.SGD(), RECIPE, type("Data", (), {"class_names": NAMES}))
    assert math.isfinite(float(model.compute_loss(x=x, y=y, y_pred=model(x))))


def test_the_loss_is_the_mean_of_the_sums_of_the_terms():
    data = tiny_detector.load(RECIPE, None)
    form = training_form(tiny_detector.net())
    assert tuple(loss_terms(form)) == TERMS
    model = detection.packed(form)
    detection.TASK.compile(model, keras.optimizers.SGD(), RECIPE, data)
    logs = model.evaluate(detection.targets(data.validation, model, RECIPE, data), verbose=0, return_dict=True)
    row, sums = detection.columns(logs, model, "val_"), []
    for x, _ in detection.targets(data.validation, model, RECIPE, data):
        outputs = form(x)
        sums.append(np.stack([outputs[name].numpy() for name in TERMS], axis=1))
    of_images = np.concatenate(sums)
    assert len(of_images) == 12  # batches of 8 and 4
    assert row["val_loss"] == pytest.approx(of_images.sum(axis=1).mean(), rel=1e-5)
    assert [row[f"val_{name}"] for name in TERMS] == pytest.approx(of_images.mean(axis=0), rel=1e-5)


# --------------------------------------------------------------------------------------------------------------- runs


def test_a_run(whole, trained):
    rows, [best] = rows_of(whole.folder / "metrics.csv"), [row for row in whole.rows if row["best"]]
    assert [*rows[0]] == [
        "epoch", "loss", *TERMS, "val_loss", *(f"val_{name}" for name in TERMS), "val_map_50", "learning_rate"
    ]  # fmt: skip
    for row in rows:
        assert float(row["loss"]) == pytest.approx(sum(float(row[name]) for name in TERMS), rel=1e-4)
    assert whole.score == "map_50" and whole.test_score == best["test_map_50"] > 0.5
    scores = [float(row["val_map_50"]) for row in rows]
    assert scores[whole.best_epoch - 1] == max(scores)
    assert (whole.folder / "curves.png").is_file() and (whole.folder / "model.png").is_file()
    assert isinstance(trained.output, dict) and len(trained.inputs) == 1  # no terms of the loss

    data = tiny_detector.load(RECIPE, None)
    truth, found = [], []
    for images, objects in data.test:
        outputs = trained(images, training=False)
        for index in range(len(images)):
            truth.append({name: values[index].numpy() for name, values in objects.items() if name != "dropped"})
            found.append({name: values[index].numpy() for name, values in outputs.items()})
    exact = ik.voc_average_precision(truth, found, NAMES)
    assert best["test_map_50"] == pytest.approx(exact.mean, abs=0.01)

    report = ik.evaluate(whole.folder)  # images of a test set at their own size, which is that of the inputs here
    assert report.map_50 == pytest.approx(exact.mean, abs=1e-6) and report.images == 16
    eleven = ik.voc_average_precision(truth, found, NAMES, points="11")
    coco = ik.coco_average_precision(truth, found, NAMES)
    assert report.map_50_11 == pytest.approx(eleven.mean, abs=1e-6)
    assert [*report.coco.values()] == pytest.approx([*coco.figures.values()], abs=1e-6, nan_ok=True)
    assert [row["class"] for row in report.table] == [*NAMES]
    assert [row["voc_ap"] for row in report.table] == pytest.approx([row["ap"] for row in exact.classes], nan_ok=True)
    assert report.classes[2]["objects"] == 0 and math.isnan(report.classes[2]["coco_ap"])
    part = data.batches["test"].part.targets
    assert sum(row["objects"] for row in report.table) == sum((~hard).sum() for hard in part.difficult)
    for name in ("classes.csv", "measures.csv", "examples.png"):
        assert (whole.folder / name).is_file()
    measures = {row["measure"]: float(row["value"]) for row in rows_of(whole.folder / "measures.csv")}
    assert [*measures] == ["map_50", "map_50_11", *(f"coco_{name}" for name in COCO_FIGURES)]
    assert measures["map_50"] == pytest.approx(report.map_50, rel=1e-5)


@pytest.mark.slow
def test_a_killed_run_ends_as_one_that_nothing_stopped(whole, tmp_path):
    with death_at_step(19):  # the third of the second epoch
        ik.train(RECIPE.with_changes(save_minutes=1e-9), tmp_path / "run", verbose=0)
    assert ik.train(None, tmp_path / "run", resume=True, verbose=0).rows == whole.rows
    for name in ("classes.csv", "measures.csv", "examples.png"):  # of `evaluate`
        (whole.folder / name).unlink(missing_ok=True)
    assert difference(tmp_path / "run", whole.folder) == 0
    model = whole.folder / "model.keras"
    kept = keras.models.load_model(model).get_weights()
    model.unlink()
    ik.train(None, whole.folder, resume=True, verbose=0)  # a lost file is written again
    for a, b in zip(kept, keras.models.load_model(model).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_of_a_run_and_frozen_blocks(whole, trained):
    data, recipe = tiny_detector.load(RECIPE, None), RECIPE.with_changes(weights=str(whole.folder))
    form = tiny_detector.TASK.build(recipe, data)
    for name in ("conv_2", "head"):
        np.testing.assert_array_equal(*(net.get_layer(name).kernel.numpy() for net in (form, trained)))
    fewer = replace(data, class_names=("red", "blue", "other"))
    form = tiny_detector.TASK.build(recipe.with_changes(freeze="conv_[01]"), fewer)
    assert not form.get_layer("conv_1").trainable and not form.get_layer("conv_1-bn").trainable
    assert form.get_layer("conv_2").trainable
    same = [np.array_equal(*(n.get_layer(name).kernel.numpy() for n in (form, trained))) for name in ("conv_2", "head")]
    assert same == [True, False]  # the head depends on the classes
    with pytest.raises(ValueError, match="freeze 'all' leaves nothing of tiny_detector to train"):
        tiny_detector.TASK.build(recipe.with_changes(freeze="all"), data)


def test_what_a_recipe_may_have():
    with pytest.raises(
        ValueError, match="The task detection needs a net such as faster_rcnn, got lenet5_modern, a net"
    ):
        detection.build(RECIPE, tiny_detector.load(RECIPE, None))
    for fields, sentence in (
        ({"options": {"classes": 3}}, "The option classes must not be set: the data have it."),
        ({"task_options": {"min_size": 0}}, "min_size must be an int of at least 1, got 0"),
        ({"class_weight": "balanced"}, "does not use class_weight, got 'balanced'."),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            ik.train(RECIPE.with_changes(**fields), "none", verbose=0)


# -------------------------------------------------------------------------------------------- photographs of any size


def test_boxes_are_in_pixels_of_the_photograph(trained):
    images, _ = tiny_detector.scenes(3, seed=2)
    prepare = ik.Preprocessing((1, 1))
    for image in images:
        inputs = prepare.normalise(image.astype(np.float32))[None]
        expected = {name: values[0].numpy() for name, values in trained(inputs, training=False).items()}
        kept = expected["scores"] >= 0.3
        large = np.asarray(Image.fromarray(image).resize((3 * SIDE, 3 * SIDE), Image.Resampling.NEAREST))
        same = ik.detect(trained, image, threshold=0.3, min_size=SIDE)
        np.testing.assert_allclose(same.boxes, expected["boxes"][kept], atol=1e-3)
        np.testing.assert_allclose(same.scores, expected["scores"][kept], atol=1e-4)
        assert same.labels == tuple(f"class {label}" for label in same.classes)
        shrunk = ik.detect(trained, large, threshold=0.3, min_size=SIDE, class_names=NAMES)
        assert len(shrunk.boxes) == kept.sum() and set(shrunk.labels) <= {*NAMES}
        np.testing.assert_allclose(shrunk.boxes / 3, same.boxes, atol=1.5)


def test_sides_and_stretching(trained):
    seen = []

    def look(images):
        seen.append(images.shape[1:3])
        return {"boxes": tf.constant([[[0.0, 0, *images.shape[2:0:-1]], [1, 1, 3, 3], [0, 0, 0, 0]]]),
                "classes": tf.constant([[1, 0, -1]]), "scores": tf.constant([[0.9, 0.4, 0.0]])}  # fmt: skip

    find = replace(finder(trained, min_size=60, max_size=100, class_names=["a"]), function=look)
    for size, expected in (((30, 40), (60, 80)), ((300, 200), (90, 60)), ((50, 200), (25, 100)), ((1, 999), (1, 100))):
        found = find(np.zeros((*size, 3), np.uint8))
        assert seen[-1] == expected and found.labels == ("class 1", "a")
        np.testing.assert_allclose(found.boxes[0], [0, 0, size[1], size[0]], rtol=1e-6)
    assert find(np.zeros((8, 8, 3), np.uint8), threshold=0.5).scores.tolist() == [pytest.approx(0.9)]

    config = {"recipe": {"task_options": {}}, "class_names": ["a"], "preprocessing": {"size": [32, 48]}}
    assert finder_of_run(trained, config).size(100, 100) == (32, 48)  # stretched, as the training images were
    config["preprocessing"] |= {"resize": 60}
    assert finder_of_run(trained, config).size(200, 100) == (100, 50)  # the longer side is 5/3 of 60 at most
    config["recipe"]["task_options"] = {"min_size": 30, "max_size": 40}
    assert finder_of_run(trained, config).size(90, 60) == (40, 27)
    assert finder_of_run(trained, config, min_size=60).size(90, 60) == (90, 60)

    fixed = tiny_detector.net(input_shape=(32, 64, 3))
    image = np.random.default_rng(0).integers(0, 256, (50, 40, 3), np.uint8)
    found = ik.detect(fixed, image, threshold=0.0)
    outputs = fixed(ik.Preprocessing((32, 64))(image)[None], training=False)
    real = outputs["classes"][0].numpy() >= 0
    expected = outputs["boxes"][0].numpy()[real] * np.array([40 / 64, 50 / 32] * 2)
    np.testing.assert_allclose(found.boxes, expected, atol=1e-3)
    assert real.any()


def test_what_is_no_detector(trained):
    with pytest.raises(ValueError, match="lenet5_modern is not a detector: none of its layers belongs to a family"):
        ik.detect(ik.create_model("lenet5_modern"), np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(TypeError, match="model must be a Keras model or the folder of a run, got 3"):
        ik.detect(3, np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="max_size must be an int of at least 50, got 40"):
        ik.detect(trained, np.zeros((8, 8, 3), np.uint8), min_size=50, max_size=40)
    with pytest.raises(ValueError, match="threshold must be a share from 0 to 1, got 2"):
        ik.detect(trained, np.zeros((8, 8, 3), np.uint8), threshold=2)
    with pytest.raises(ValueError, match="The net takes no proposals"):
        ik.detect(trained, np.zeros((8, 8, 3), np.uint8), proposals=np.zeros((0, 4)))


def test_a_model_that_was_used_is_freed():
    model = tiny_detector.net()
    ik.detect(model, np.zeros((8, 8, 3), np.uint8))
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None


def test_the_form_for_inference_is_cut_out_of_that_for_training():
    model = tiny_detector.net()
    form = training_form(model)
    for one in (model, form, detection.inference(detection.packed(form))):
        net = detections(one)
        assert {*net.output} == {"boxes", "classes", "scores"} and len(net.inputs) == 1
        images = np.random.default_rng(1).standard_normal((2, 32, 48, 3), np.float32)
        for name, values in net(images).items():
            np.testing.assert_array_equal(values, model(images)[name])


# ----------------------------------------------------------------------------------------------------- command line


def test_from_the_command_line(whole, tmp_path):
    said = here("train", "--resume", "--out", whole.folder, cwd=tmp_path)
    assert re.search(r"epoch +val loss +val map 50 +test loss +test map 50", said)
    said = here("evaluate", whole.folder, cwd=tmp_path)
    assert re.search(r"mAP at IoU 0\.5 0\.\d{4} on 16 images \(VOC, all points; 11 points 0\.\d{4}\), COCO's AP", said)
    assert "examples.png" in said and re.search(r"red +[01]\.\d{4} +[01]\.\d{4} +[01]\.\d{4} +\d+ +\d+ +", said)
    images, _ = tiny_detector.scenes(2, seed=2)
    for name, image in zip(("000000000139.png", "photo.png"), images, strict=True):
        Image.fromarray(image).save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"")
    names = ("000000000139.png", "photo.png", "broken.png")
    words = ("detect", *names, "--run", whole.folder, "--threshold", "0.05", "--json", "found.json")
    said = here(*words, "--out", "drawn", cwd=tmp_path, status=1)
    assert "broken.png is empty" in said and "photographs that could not be read: 1 of 3" in said
    first = ik.detect(whole.folder, images[0], threshold=0.05)
    assert f"  {first.scores[0]:.4f}  {first.labels[0]}  " in said
    results = json.loads((tmp_path / "found.json").read_text())
    assert {entry["image_id"] for entry in results} == {139, "photo"}
    own = [entry for entry in results if entry["image_id"] == 139]
    x, y, w, h = np.array([entry["bbox"] for entry in own]).T
    np.testing.assert_allclose(np.stack([x, y, x + w, y + h], -1), first.boxes, atol=0.02)
    assert [entry["category_id"] for entry in own] == (first.classes + 1).tolist()
    coco = COCO()
    coco.dataset = {"images": [{"id": 139}, {"id": "photo"}], "annotations": [], "categories": [{"id": 1}]}
    coco.createIndex()
    assert len(coco.loadRes(str(tmp_path / "found.json")).dataset["annotations"]) == len(results)
    drawn = sorted(path.name for path in (tmp_path / "drawn").iterdir())
    assert drawn == ["000000000139_boxes.png", "photo_boxes.png"]
    said = here("detect", "photo.png", "--run", whole.folder, "--threshold", "1", "--json", "none.json", cwd=tmp_path)
    assert "nothing with a score of at least 1" in said and json.loads((tmp_path / "none.json").read_text()) == []

    nothing = ik.predict(np.zeros((SIDE, SIDE, 3), np.uint8), run=whole.folder)
    if not nothing[0]:  # an image without objects is no error
        nothing.to_csv(tmp_path / "nothing.csv")
    assert nothing.skipped == () and len(nothing) == 1
    said = here("predict", "photo.png", "--run", whole.folder, "--out", "other", cwd=tmp_path)
    assert re.search(r"  0\.\d{4}  (red|blue)", said) and (tmp_path / "other" / "photo_boxes.png").is_file()


def test_what_the_command_line_refuses(whole, tmp_path):
    for words, sentence in (
        (("--run", whole.folder, "--json", "absent/found.json"), "There is no folder absent for found.json"),
        (("--run", whole.folder, "--json", "."), "is a folder: --json names the file to write"),
        (
            ("--model", "yolo_v1_mini"),
            "detect needs a run (--run), or a model and its weights (--model and --weights).",
        ),
        (("--model", "resnet50", "--weights", "imagenet"), "resnet50 finds no boxes: it is a net of classification."),
        (("--run", "none"), "none holds no finished run"),
        (("--run", whole.folder, "--threshold", "7"), "threshold must be"),
    ):
        assert sentence in here("detect", "no.png", *words, cwd=tmp_path, status=1)
    assert not [*tmp_path.iterdir()]


def test_a_net_with_a_file_of_weights(tmp_path):
    path = tmp_path / "mini.safetensors"
    ik.save_weights(ik.create_model("yolo_v1_mini"), path)
    find = finder_for(model="yolo_v1_mini", weights=path)
    assert find.names == VOC_CLASSES[1:] and find.prepare.scale == 1 and find.prepare.mean == (127.5,)
    assert finder_for(model="yolo_v1_mini", weights=path, class_names=("a",)).names == ("a",)
    (tmp_path / "names.txt").write_text("\ufeffcat\n\n  big dog \n", encoding="utf-8")
    assert read_names(tmp_path / "names.txt") == ("cat", "big dog")
    darknet = _release("yolo_v1", str(tmp_path / "yolo.weights"))
    assert darknet.preprocessing["scale"] == 255 and darknet.preprocessing["mean"] == (0.0,)
    torch = _release("fasterrcnn_resnet50_fpn", "net.pth")
    assert (torch.min_size, torch.max_size) == (800, 1333) and torch.preprocessing["std"][0] == 0.229
    caffe = _release("faster_rcnn_zf", "ZF.caffemodel")
    assert caffe.preprocessing["order"] == "bgr" and (caffe.min_size, caffe.max_size) == (600, 1000)


def test_results_of_cocos_classes_have_cocos_numbers(tmp_path):
    assert len(COCO_CATEGORIES) == 80 and COCO_CATEGORIES["toothbrush"] == 90 and COCO_CATEGORIES["stop sign"] == 13
    names = tuple(COCO_CATEGORIES)
    one = Detections(np.array([[1, 2, 4, 8]], np.float32), ("stop sign",), np.array([0.25]), np.array([11]))
    for known, number in ((names, 13), (names[:20], 12)):
        with results_file(tmp_path / "found.json", known) as add:
            add(Found("photos/7.jpg", [], detections=one))
            add(Found("photos/8.jpg", [], "is empty"))
        [entry] = json.loads((tmp_path / "found.json").read_text())
        assert entry == {"image_id": 7, "category_id": number, "bbox": [1.0, 2.0, 3.0, 6.0], "score": 0.25}
    with pytest.raises(RuntimeError), results_file(tmp_path / "found.json", names) as add:
        raise RuntimeError
    assert json.loads((tmp_path / "found.json").read_text()) == [entry]  # an error leaves the old file

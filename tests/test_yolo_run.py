"""YOLO in a run of the task detection."""

import numpy as np
import pytest

import inception_keras as ik
from inception_keras.detection.yolo_loss import TERMS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    recipe = ik.Recipe(
        task="detection",
        model="yolo_v1_mini",
        data="scenes",
        image_size=48,
        epochs=2,
        batch_size=8,
        learning_rate=1e-3,
        task_options={"count": 32},
    )
    return ik.train(recipe, tmp_path_factory.mktemp("runs") / "yolo", verbose=0).folder


def test_metrics_have_the_five_terms_by_name(run):
    header, *rows = ((run / "metrics.csv").read_text()).splitlines()
    names = header.split(",")
    assert names[: 2 + len(TERMS)] == ["epoch", "loss", *TERMS]
    assert {"val_map_50", *(f"val_{name}" for name in TERMS)} <= {*names}
    assert len(rows) == 2
    for row in rows:
        values = dict(zip(names, map(float, row.split(",")), strict=True))
        assert sum(values[name] for name in TERMS) == pytest.approx(values["loss"], rel=1e-3)


def test_is_evaluated_and_finds_objects(run):
    report = ik.evaluate(run)
    assert len(report.classes) == 8 and 0 <= report.map_50 <= 1
    made = ik.scenes(1, size=(100, 140), split="test")
    found = ik.detect(run, made.images[0], threshold=0.01)
    assert len(found.boxes) == len(found.labels) == len(found.scores)
    assert np.all(found.boxes >= 0) and np.all(found.boxes <= (140, 100, 140, 100))
    assert np.all(np.diff(found.scores) <= 0)
    net = ik.create_model("yolo_v1_mini", input_shape=(48, 48, 3), classes=8)
    assert len(ik.detect(net, made.images[0], threshold=1.0).boxes) == 0


def test_a_run_goes_on_where_another_net_of_classes_ended(run, tmp_path):
    recipe = ik.Recipe(
        task="detection",
        model="yolo_v1_mini",
        weights=str(run),
        data="scenes",
        image_size=48,
        epochs=1,
        batch_size=8,
        learning_rate=1e-3,
        task_options={"count": 16},
    )
    ik.train(recipe, tmp_path / "next", verbose=0)

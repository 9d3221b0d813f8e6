"""The nets of regions in runs of the task detection."""

import pytest

import inception_keras as ik

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("model", "terms"),
    [("faster_rcnn_small", ["rpn_class", "rpn_box", "class", "box"]), ("fast_rcnn_small", ["class", "box"])],
)
def test_a_net_of_regions_is_trained_measured_and_used(model, terms, tmp_path, monkeypatch):
    if model.startswith("fast_"):
        pytest.importorskip("cv2.ximgproc")
    monkeypatch.setenv("INCEPTION_KERAS_HOME", str(tmp_path / "cache"))
    options = {"count": 8, "proposals": "single", "proposals_width": 200}
    recipe = ik.Recipe(task="detection", model=model, data="scenes", epochs=1, batch_size=4, task_options=options)
    run = ik.train(recipe, tmp_path / "run", verbose=0)
    header = (run.folder / "metrics.csv").read_text().splitlines()[0].split(",")
    assert header[1 : 2 + len(terms)] == ["loss", *terms] and "val_map_50" in header
    assert [*(tmp_path / "cache").rglob("*")] == [] or model.startswith("fast_")
    report = ik.evaluate(run.folder)
    assert report.images == 2 and 0 <= report.map_50 <= 1
    found = ik.detect(run.folder, ik.scenes(1, size=(100, 150)).images[0], threshold=0.0)
    assert len(found.boxes) and (found.boxes >= 0).all() and (found.boxes <= (150, 100, 150, 100)).all()

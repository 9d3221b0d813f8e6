"""Anchors, compared with the released code and torchvision, and the report of boxes against them."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from inception_keras.detection.anchors import anchor_report, fpn_anchors, grid, rcnn_anchors

GOLDEN = np.load(Path(__file__).parent / "golden" / "operations" / "boxes.npz")
RELEASED = [  # what generate_anchors() of py-faster-rcnn returns
    [-84, -40, 99, 55],
    [-176, -88, 191, 103],
    [-360, -184, 375, 199],
    [-56, -56, 71, 71],
    [-120, -120, 135, 135],
    [-248, -248, 263, 263],
    [-36, -80, 51, 95],
    [-80, -168, 95, 183],
    [-168, -344, 183, 359],
]


def test_anchors_of_the_release():
    anchors = rcnn_anchors()
    assert anchors.tolist() == RELEASED
    assert (anchors[:, 2:] - anchors[:, :2] + 1).tolist()[::3] == [[184, 96], [128, 128], [88, 176]]
    assert rcnn_anchors(8, [1], [1, 2]).tolist() == [[0, 0, 7, 7], [-4, -4, 11, 11]]


def test_anchors_of_a_pyramid_are_torchvision_s():
    """Strides are the image's size divided by the map's, without rest; they may differ in rows and columns."""
    levels = [((32,), (0.5, 1, 2), (3, 5)), ((64,), (0.3, 1, 3), (2, 3)), ((40.5, 100), (0.5, 2), (1, 2))]
    grids = [grid(fpn_anchors(sizes, ratios), size, (26 // size[0], 43 // size[1])) for sizes, ratios, size in levels]
    np.testing.assert_array_equal(tf.concat(grids, 0), GOLDEN["anchors"])


def test_grid_of_a_size_that_a_graph_does_not_know():
    graph = tf.function(lambda size: grid(rcnn_anchors(), size, 16), input_signature=[tf.TensorSpec((2,), tf.int32)])
    anchors = graph([2, 3]).numpy().reshape(2, 3, 9, 4)
    assert anchors[0, 0].tolist() == RELEASED
    assert (anchors[1, 2] - anchors[0, 0]).tolist() == [[32, 16, 32, 16]] * 9


@pytest.mark.parametrize("inside", [True, False])
def test_report_by_hand(inside):
    """Anchors of 10 x 10 at 0, 10, 20, 30 on 35 x 35 pixels; the last ones reach beyond the edge."""
    boxes = [[0, 0, 10, 10], [25, 25, 35, 35], [12, 12, 14, 14], [0, 0, 20, 10]]
    report = anchor_report(
        [((35, 35), boxes), ((35, 35), []), ((35, 35), boxes[:1])], [[0, 0, 10, 10]], 10, inside=inside
    )
    assert report.image.tolist() == [0, 0, 0, 0, 2] and report.boxes.shape == (5, 4)
    np.testing.assert_allclose(report.best, [1, 25 / 175, 4 / 100, 0.5, 1], rtol=1e-6)
    assert report.anchor.tolist() == [0] * 5
    below, all_sizes = report.rows
    assert (below.size, below.boxes, below.positive, below.missed) == ("below 16", 5, 0.4, 0.4)
    assert all_sizes.boxes == 5 and all_sizes.mean_iou == pytest.approx(report.best.mean())
    assert "below 16" in str(report) and "40.0%" in str(report)


def test_only_anchors_inside_count():
    boxes = [[30, 30, 40, 40]]
    best = [anchor_report([((35, 35), boxes)], [[0, 0, 10, 10]], 10, inside=inside).best for inside in (True, False)]
    np.testing.assert_allclose(best, [[0], [1]])
    assert anchor_report([((5, 5), boxes)], [[0, 0, 10, 10]], 10).anchor.tolist() == [-1]  # no anchor is inside


def test_report_of_batches_and_levels(tmp_path):
    boxes = np.array([[[0, 0, 16, 16], [0, 0, 0, 0]], [[0, 0, 64, 64], [4, 4, 12, 12]]], "float32")
    targets = {"boxes": boxes, "classes": np.array([[1, -1], [0, 2]])}
    data = tf.data.Dataset.from_tensor_slices((np.zeros((2, 64, 64, 3)), targets)).batch(2)
    anchors = [[[0, 0, 16, 16]], [[0, 0, 64, 64], [0, 0, 32, 64]]]
    report = anchor_report(data, anchors, (16, 64))
    np.testing.assert_allclose(report.best, [1, 1, 0.25])
    assert report.anchor.tolist() == [0, 1, 0] and report.image.tolist() == [0, 1, 1]
    report.to_csv(tmp_path / "report.csv")
    assert (tmp_path / "report.csv").read_text().splitlines()[0] == "size,boxes,mean_iou,positive,missed"
    nothing = anchor_report([], rcnn_anchors())
    assert nothing.boxes.shape == (0, 4) and nothing.rows[0].boxes == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rcnn_anchors(ratios=[0.5, 0]), r"ratios must be numbers above 0, got \[0.5, 0\]"),
        (lambda: rcnn_anchors(0), "base must be an int of at least 1, got 0"),
        (lambda: fpn_anchors([]), r"sizes must be numbers above 0, got \[\]"),
        (
            lambda: anchor_report([], rcnn_anchors(), [16, 32]),
            r"one for each of the 1 levels of anchors, got \[16, 32\]",
        ),
        (lambda: anchor_report([], rcnn_anchors(), positive=2), "positive must be a share from 0 to 1, got 2"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

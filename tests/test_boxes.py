"""Functions on boxes, compared with torchvision's."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from inception_keras.detection import boxes as box

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "operations" / "boxes.npz"))
EMPTY = np.zeros((0, 4), "float32")
KINDS = pytest.mark.parametrize("kind", ["any", "grid"])
WEIGHTS = (10, 10, 5, 5)


@KINDS
def test_overlaps_and_offsets_are_torchvision_s(kind):
    boxes, others = GOLDEN[f"{kind}-boxes"], GOLDEN[f"{kind}-others"]
    np.testing.assert_allclose(box.iou(boxes, others), GOLDEN[f"{kind}-iou"], rtol=1e-6, atol=1e-7)
    offsets = box.encode(boxes[:40], others, WEIGHTS)
    np.testing.assert_allclose(offsets, GOLDEN[f"{kind}-encoded"], rtol=1e-5, atol=1e-5)
    wild = 3 * GOLDEN[f"{kind}-encoded"]
    np.testing.assert_allclose(box.decode(wild, others, WEIGHTS), GOLDEN[f"{kind}-decoded"], rtol=1e-5, atol=1e-3)


@KINDS
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.7, 1.0])
def test_suppression_is_torchvision_s(kind, threshold):
    boxes, scores, groups = (GOLDEN[f"{kind}-{name}"] for name in ("boxes", "scores", "groups"))
    np.testing.assert_array_equal(box.nms(boxes, scores, threshold), GOLDEN[f"{kind}-nms-{threshold}"])
    kept = box.batched_nms(boxes, scores, groups, threshold)
    np.testing.assert_array_equal(kept, GOLDEN[f"{kind}-batched-{threshold}"])
    few = box.batched_nms(boxes, scores, groups, threshold, max_boxes=5)
    np.testing.assert_array_equal(few, kept[:5])
    np.testing.assert_array_equal(box.nms(boxes, scores, threshold, max_boxes=3), box.nms(boxes, scores, threshold)[:3])


@pytest.mark.parametrize("beta", [0.0, 1 / 9, 1.0])
def test_smooth_l1_is_torch_s(beta):
    loss = box.smooth_l1(GOLDEN["distances"], np.zeros(50), beta)
    np.testing.assert_allclose(loss, GOLDEN[f"smooth_l1-{beta:.3f}"], rtol=1e-6)


def test_a_box_at_the_threshold_is_kept():
    boxes = [[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 5, 10], [10, 0, 20, 10], [3, 3, 3, 3]]
    scores = [0.5] * 5
    assert box.nms(boxes, scores, 0.5).numpy().tolist() == [0, 2, 3, 4]  # half of the first box, and one that touches
    assert box.nms(boxes, scores, 0.49).numpy().tolist() == [0, 3, 4]
    assert box.nms(boxes, scores, 1.0).numpy().tolist() == [0, 1, 2, 3, 4]
    # 3 / 10 in float32 is above 0.3, and torchvision drops it
    assert box.nms([[0, 0, 10, 1], [0, 0, 3, 1]], [2, 1], 0.3).numpy().tolist() == [0]
    assert box.nms(boxes[:2], [np.nan, 1], 0.5).numpy().tolist() == [1]


def test_pixels_counted_as_in_the_released_code():
    """Widths of x2 - x1 + 1, by hand: 4 of 4 + 9 - 4 pixels; in py-faster-rcnn, decoding does not take off the 1."""
    assert box.area([[0, 0, 1, 1]], extra=1).numpy() == 4
    np.testing.assert_allclose(box.iou([[0, 0, 1, 1]], [[0, 0, 2, 2], [2, 0, 3, 1]], extra=1), [[4 / 9, 0]])
    assert box.iou([[0, 0, 1, 1]], [[1, 0, 2, 1]], extra=1).numpy().item() == pytest.approx(2 / 6)
    anchors, boxes = [[-84, -40, 99, 55]], [[10.0, 20, 73, 115]]
    offsets = box.encode(boxes, anchors, extra=1)
    np.testing.assert_allclose(offsets, [[(42 - 8) / 184, (68 - 8) / 96, np.log(64 / 184), 0]], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(box.decode(offsets, anchors, extra=1), [[10, 20, 74, 116]], rtol=1e-5)
    assert box.clip([[-1, -1, 700, 500]], (480, 640), extra=1).numpy().tolist() == [[0, 0, 639, 479]]
    assert box.nms([[0, 0, 9, 9], [0, 0, 4, 9]], [1, 0], 0.5, extra=1).numpy().tolist() == [0, 1]


def test_boxes_without_area_overlap_nothing():
    flat = [[3, 3, 3, 8], [3, 3, 3, 3]]
    assert not box.iou(flat, [*flat, [0, 0, 9, 9]]).numpy().any()


def test_no_boxes():
    some = GOLDEN["any-boxes"]
    assert box.area(EMPTY).shape == (0,)
    assert box.iou(EMPTY, some).shape == (0, 60) and box.iou(some, EMPTY).shape == (60, 0)
    for changed in (box.clip(EMPTY, (4, 5)), box.encode(EMPTY, EMPTY), box.decode(EMPTY, EMPTY)):
        assert changed.shape == (0, 4)
    assert box.smooth_l1(EMPTY, EMPTY).shape == (0, 4)
    assert box.nms(EMPTY, [], 0.5).shape == (0,)
    assert box.batched_nms(EMPTY, [], [], 0.5).shape == (0,)


def test_a_graph_of_any_number_of_boxes():
    spec = [tf.TensorSpec((None, 4)), tf.TensorSpec((None,)), tf.TensorSpec((None,), tf.int32)]
    graph = tf.function(lambda boxes, scores, groups: box.batched_nms(boxes, scores, groups, 0.5), input_signature=spec)
    boxes, scores, groups = (GOLDEN[f"grid-{name}"] for name in ("boxes", "scores", "groups"))
    np.testing.assert_array_equal(graph(boxes, scores, groups.astype("int32")), GOLDEN["grid-batched-0.5"])
    assert graph(EMPTY, [], tf.zeros(0, tf.int32)).shape == (0,)


def test_other_axes_are_broadcast():
    anchors, offsets = GOLDEN["any-boxes"][:7], np.random.default_rng(0).normal(size=(2, 7, 3, 4))
    boxes = box.decode(offsets, anchors[:, None])
    assert boxes.shape == (2, 7, 3, 4)
    np.testing.assert_allclose(boxes[1, 4, 2], box.decode(offsets[1, 4, 2], anchors[4]), rtol=1e-6)
    assert box.iou(boxes[0], boxes[1]).shape == (7, 3, 3)
    assert np.isfinite(box.decode([[0, 0, 500, 500]], anchors[:1])).all()
    assert np.isinf(box.decode([[0, 0, 500, 500]], anchors[:1], max_log=None)).any()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: box.area([[1, 2, 3]]), r"boxes must have the shape \(..., 4\), got \(1, 3\)"),
        (lambda: box.iou(EMPTY, [1]), r"others must have the shape \(..., 4\), got \(1,\)"),
        (lambda: box.nms(EMPTY, [1.0], 0.5), r"\(n, 4\) and \(n,\), got \(0, 4\) and \(1,\)"),
        (lambda: box.nms(EMPTY, [], 1.5), "threshold must be a share from 0 to 1, got 1.5"),
        (lambda: box.nms(EMPTY, [], 0.5, max_boxes=0), "max_boxes must be an int of at least 1, got 0"),
        (lambda: box.batched_nms(EMPTY, [], [[1]], 0.5), r"groups must be ints \(n,\), got int32 \(1, 1\)"),
        (lambda: box.encode(EMPTY, EMPTY, (1, 1)), r"weights must be four numbers above 0, got \(1, 1\)"),
        (lambda: box.smooth_l1(0, 0, -1), "beta must be a number at least 0, got -1"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()

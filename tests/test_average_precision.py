"""Average precision by VOC's and COCO's rules: by hand, against loops that follow the kit, and against pycocotools."""

import io
import json
import math
import re
from contextlib import redirect_stdout

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from inception_keras.training.average_precision import COCO_FIGURES, coco_average_precision, iou, voc_average_precision

NAMES = ("cat", "dog", "eel")


def case(seed, images=12, whole=False):
    """Objects, some of them difficult, and detections near them, twice on them, and anywhere; (truth, found)."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        count, more = rng.integers(0, 6), rng.integers(0, 4)
        corners = rng.uniform(0, 80, (count, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(6, 60, (count, 2))], axis=1)
        near = np.repeat(boxes, 2, axis=0) + rng.normal(0, 3, (2 * count, 4))
        far = rng.uniform(0, 60, (more, 2))
        guesses = np.concatenate([near, np.concatenate([far, far + rng.uniform(5, 60, (more, 2))], axis=1)])
        classes = rng.integers(0, 2, count)  # no object is an eel
        labels = np.concatenate([np.repeat(classes, 2), rng.integers(0, 3, more)])
        labels = np.where(rng.random(len(labels)) < 0.1, 2, labels)
        if whole:
            boxes, guesses = boxes.round(), guesses.round()
        truth.append({"boxes": boxes, "classes": classes, "difficult": rng.random(count) < 0.25})
        found.append({"boxes": guesses, "classes": labels, "scores": rng.permutation(len(labels)) / 64 + 0.01})
    for index, one in enumerate(found):  # no two scores are the same
        one["scores"] = one["scores"] + index / 10_000
    return truth, found


def by_the_kit(truth, found, label, eleven):
    """The rule of VOC's development kit, detection by detection, in pixels whose index x2 is part of the box."""
    lines = [
        (score, number, box)
        for number, image in enumerate(found)
        for box, of, score in zip(image["boxes"], image["classes"], image["scores"], strict=True)
        if of == label
    ]
    objects = [
        [
            [box, bool(hard), False]
            for box, of, hard in zip(image["boxes"], image["classes"], image["difficult"], strict=True)
            if of == label
        ]
        for image in truth
    ]
    positives = sum(not hard for image in objects for _, hard, _ in image)
    right, wrong, curve = 0, 0, []
    for _, number, box in sorted(lines, key=lambda line: -line[0]):
        best, overlap = None, -1.0
        for entry in objects[number]:
            other = entry[0]
            wide = min(box[2], other[2]) - max(box[0], other[0]) + 1
            high = min(box[3], other[3]) - max(box[1], other[1]) + 1
            inside = max(wide, 0) * max(high, 0)
            sizes = [(one[2] - one[0] + 1) * (one[3] - one[1] + 1) for one in (box, other)]
            if inside / (sum(sizes) - inside) > overlap:
                best, overlap = entry, inside / (sum(sizes) - inside)
        if overlap > 0.5 and best[1]:
            continue
        if overlap > 0.5 and not best[2]:
            right, best[2] = right + 1, True
        else:
            wrong += 1
        curve.append((right / positives if positives else math.nan, right / (right + wrong)))
    if eleven:
        points = [max((p for r, p in curve if r >= point), default=0) for point in np.arange(0, 1.1, 0.1)]
        return sum(points) / 11 if positives else math.nan
    area, last = 0.0, 0.0
    for index, (recall, _) in enumerate(curve):
        area += (recall - last) * max(p for _, p in curve[index:])
        last = recall
    return area if positives else math.nan


@pytest.mark.parametrize("points", ["all", "11"])
def test_vocs_measure_is_the_kits(points):
    for seed in range(6):
        truth, found = case(seed, whole=True)
        measured = voc_average_precision(truth, found, NAMES, points=points, extra=1)
        expected = [by_the_kit(truth, found, label, points == "11") for label in range(3)]
        np.testing.assert_allclose([row["ap"] for row in measured.classes], expected, rtol=1e-12)
        assert measured.mean == pytest.approx(np.nanmean(expected), rel=1e-12) and math.isnan(expected[2])
        # a box whose x2 is the index of its last pixel is a pixel narrower than that with the right edge
        edges = [[one | {"boxes": one["boxes"] + [0, 0, 1, 1]} for one in images] for images in (truth, found)]
        again = voc_average_precision(*edges, NAMES, points=points)
        np.testing.assert_allclose([row["ap"] for row in again.classes], expected, rtol=1e-12)


def one(boxes, scores=None, difficult=None, classes=None):
    image = {"boxes": boxes, "classes": [0] * len(boxes) if classes is None else classes}
    return image | ({"scores": scores} if scores is not None else {}) | ({"difficult": difficult} if difficult else {})


def ap(truth, found, **options):
    return voc_average_precision(truth, found, ["cat"], **options).classes[0]


def test_the_edge_cases():
    box, other = [0, 0, 10, 10], [100, 100, 110, 110]
    half = [0, 0, 10, 5]
    assert ap([one([box])], [one([half], [0.9])])["ap"] == 0  # an IoU of 0.5 is not above 0.5
    assert ap([one([box])], [one([half], [0.9])], threshold=0.49)["ap"] == 1
    second = ap([one([box, other])], [one([box, box, other], [0.9, 0.8, 0.7])])
    assert second["ap"] == pytest.approx((1 + 2 / 3) / 2) and second["found"] == 3 and second["recall"] == 1
    # only the best object is looked at: a detection does not fall to the second best, which is free
    near = [0, 0, 10, 8]
    assert ap([one([box, near])], [one([box, box], [0.9, 0.8])])["recall"] == 0.5
    hard = ap([one([box, other], difficult=[True, False])], [one([box, box, other], [0.9, 0.8, 0.7])])
    assert hard == {"class": "cat", "ap": 1.0, "objects": 1, "found": 1, "recall": 1.0}
    none = ap([one([box], difficult=[True])], [one([box], [0.9])])
    assert math.isnan(none["ap"]) and none["objects"] == none["found"] == 0
    assert math.isnan(voc_average_precision([one([])], [one([], [])], ["cat"]).mean)
    assert ap([one([box])], [one([], [])])["ap"] == 0
    assert ap([one([]), one([box])], [one([box], [0.9]), one([box], [0.8])])["ap"] == 0.5
    padded = {"boxes": [box, [0, 0, 0, 0]], "classes": [0, -1], "scores": [0.9, 0.0], "difficult": [False, False]}
    assert ap([padded], [padded])["ap"] == 1 and ap([padded], [padded])["found"] == 1
    first = ap([one([box])], [one([other, box], [0.5, 0.5])]), ap([one([box])], [one([box, other], [0.5, 0.5])])
    assert [row["ap"] for row in first] == [0.5, 1]  # of equal scores, in the order given
    np.testing.assert_array_equal(iou(np.zeros((1, 4)), np.zeros((1, 4))), [[0]])


def test_the_fourth_of_eleven_recalls_is_a_little_above_three_tenths():
    boxes = [[20 * i, 0, 20 * i + 10, 10] for i in range(10)]
    found = one(boxes[:3], [0.9, 0.8, 0.7])
    assert ap([one(boxes)], [found], points="11")["ap"] == pytest.approx(3 / 11)  # and not 4 / 11
    assert ap([one(boxes)], [found])["ap"] == pytest.approx(0.3)


def test_cocos_figures_are_pycocotools(tmp_path):
    truth, found = case(3, images=30)
    objects, results = [], []
    for number, (image, guesses) in enumerate(zip(truth, found, strict=True)):
        for box, label, hard in zip(image["boxes"], image["classes"], image["difficult"], strict=True):
            x1, y1, x2, y2 = map(float, box)
            entry = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": int(hard)}
            objects.append(entry | {"id": len(objects) + 1, "image_id": number, "category_id": int(label)})
        for box, label, score in zip(*(guesses[name] for name in ("boxes", "classes", "scores")), strict=True):
            x1, y1, x2, y2 = map(float, box)
            entry = {"bbox": [x1, y1, x2 - x1, y2 - y1], "score": float(score)}
            results.append(entry | {"image_id": number, "category_id": int(label)})
    lists = {"images": [{"id": i} for i in range(30)], "categories": [{"id": i} for i in range(3)]}
    (tmp_path / "truth.json").write_text(json.dumps(lists | {"annotations": objects}))
    (tmp_path / "found.json").write_text(json.dumps(results))
    with redirect_stdout(io.StringIO()):
        coco = COCO(str(tmp_path / "truth.json"))
        measure = COCOeval(coco, coco.loadRes(str(tmp_path / "found.json")), "bbox")
        measure.evaluate()
        measure.accumulate()
        measure.summarize()
    measured = coco_average_precision(truth, found, NAMES)
    expected = np.where(measure.stats == -1, np.nan, measure.stats)
    assert tuple(measured.figures) == COCO_FIGURES and measured.mean == measured.figures["ap"] > 0.2
    np.testing.assert_allclose(list(measured.figures.values()), expected, rtol=1e-12)
    rows = [row["ap"] for row in measured.classes]
    assert math.isnan(rows[2]) and np.mean(rows[:2]) == pytest.approx(measured.mean)
    assert np.mean([row["ap_50"] for row in measured.classes[:2]]) == pytest.approx(measured.figures["ap_50"])


def test_coco_prints_nothing_and_takes_nothing(capsys):
    box = [0, 0, 40, 40]
    nothing = coco_average_precision([one([])], [one([], [])], NAMES)
    assert all(map(math.isnan, nothing.figures.values()))
    missed = coco_average_precision([one([box])], [one([], [])], NAMES).figures
    assert missed["ap"] == missed["ar_100"] == missed["ap_medium"] == 0 and math.isnan(missed["ap_small"])
    # a crowd takes any number of detections that lie in it
    crowd = one([box, [50, 50, 90, 90]], difficult=[True, False])
    inside = one([[0, 0, 20, 20], [20, 20, 40, 40], [50, 50, 90, 90]], [0.9, 0.8, 0.7])
    assert coco_average_precision([crowd], [inside], ["cat"]).mean == pytest.approx(1)
    small = coco_average_precision([one([box]) | {"areas": [100.0]}], [one([box], [0.9])], ["cat"]).figures
    assert small["ap_small"] == pytest.approx(1) and math.isnan(small["ap_medium"])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("measure", [voc_average_precision, coco_average_precision])
def test_what_does_not_fit_is_said(measure):
    box = [0, 0, 10, 10]
    for truth, found, names, sentence in (
        ([], [one([], [])], ["cat"], "truth and found must be of equally many images, got 0 and 1"),
        ([one([box])], [one([box])], ["cat"], "found must have a dict of boxes, classes, scores for each image"),
        ([one([box], classes=[1])], [one([], [])], ["cat"], "Image 0 of truth has the class 1, but there are 1 names"),
        ([one([box])], [one([box], [0.5, 0.5])], ["cat"], "Image 0 of found has 1 boxes, but not as many of each"),
        ([one([box])], [one([box], [np.nan])], ["cat"], "Image 0 of found has a box or a score that is not a finite"),
        ([one([box])], [one([box], [0.5])], [], "names must have at least one class"),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            measure(truth, found, names)
    with pytest.raises(ValueError, match="points must be 'all' or '11', got '101'"):
        voc_average_precision([], [], ["cat"], points="101")

"""Selective search: the same proposals in every run, in pixels of the image, stored by the pixels' digest."""

import sys
from types import ModuleType

import numpy as np
import pytest

import inception_keras as ik
from inception_keras.detection import selective_search as module
from inception_keras.detection.boxes import iou


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    pytest.importorskip("cv2.ximgproc")
    return ik.scenes(1, size=(60, 90), seed=4).images[0]


@pytest.fixture(scope="module")
def boxes(image) -> np.ndarray:
    return ik.selective_search(image, width=90, min_size=8)


def test_proposals_are_the_same_in_every_run_and_the_largest_come_first(image, boxes):
    assert boxes.dtype == np.float32 and len(boxes) > 20 and len(np.unique(boxes, axis=0)) == len(boxes)
    sides = boxes[:, 2:] - boxes[:, :2]
    assert (sides >= 8).all() and (np.diff(sides.prod(axis=1)) <= 0).all()
    assert (boxes >= 0).all() and (boxes <= [90, 60, 90, 60]).all()
    np.testing.assert_array_equal(ik.selective_search(image, width=90, min_size=8, max_boxes=7), boxes[:7])


def test_objects_are_found_and_modes_differ(image, boxes):
    objects = ik.scenes(1, size=(60, 90), seed=4).boxes[0]
    assert (iou(objects, boxes).numpy().max(axis=1) > 0.6).all()
    assert len(ik.selective_search(image, mode="single", width=90, min_size=8)) < len(boxes)


@pytest.mark.slow
def test_the_quality_mode_proposes_more(image, boxes):
    assert len(boxes) < len(ik.selective_search(image, mode="quality", width=90, min_size=8))


def test_boxes_are_in_pixels_of_the_image_and_grey_is_taken(image):
    large = np.repeat(np.repeat(image, 3, axis=0), 3, axis=1)
    boxes = ik.selective_search(large, mode="single", width=90, min_size=5)
    assert boxes[:, 2].max() > 200 and (boxes <= [270, 180, 270, 180]).all()
    grey = np.full((40, 60), 20, np.uint8)
    grey[10:30, 15:45] = 220
    for form in (grey, grey[..., None], np.repeat(grey[..., None], 3, axis=-1)):
        found = ik.selective_search(form, width=None, min_size=10)
        assert np.abs(found - [15, 10, 45, 30]).max(axis=1).min() <= 2


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 70, 3), (70, 1, 3), (3, 300, 3), (25, 25, 3)])
def test_small_and_narrow_images(image, shape):
    boxes = ik.selective_search(np.full(shape, 7, np.uint8), width=40)
    assert boxes.shape[1:] == (4,) and (boxes <= [shape[1], shape[0]] * 2).all()


def test_proposals_are_stored_by_the_pixels(image, tmp_path, monkeypatch):
    options = {"mode": "single", "width": 90, "min_size": 8, "cache": tmp_path / "proposals"}
    boxes = ik.selective_search(image, **options)
    (path,) = (tmp_path / "proposals").iterdir()
    other = image.copy()
    other[0, 0, 0] ^= 1
    ik.selective_search(other, **options)
    ik.selective_search(image, **(options | {"min_size": 9}))
    assert len([*(tmp_path / "proposals").iterdir()]) == 3
    path.write_bytes(path.read_bytes()[:50])  # a broken file is made anew
    np.testing.assert_array_equal(ik.selective_search(image, **options), boxes)
    monkeypatch.setattr(module, "_opencv", lambda: pytest.fail("the cache was not used"))
    np.testing.assert_array_equal(ik.selective_search(image, **options), boxes)
    np.testing.assert_array_equal(ik.selective_search(image, **options, max_boxes=2), boxes[:2])


def test_without_opencv_or_its_contrib_modules(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=r"needs OpenCV .*: pip install opencv-contrib-python-headless\."):
        ik.selective_search(np.zeros((9, 9, 3), np.uint8))
    monkeypatch.setitem(sys.modules, "cv2", ModuleType("cv2"))
    with pytest.raises(ImportError, match=r"contrib module ximgproc.* pip install opencv-contrib-python-headless\."):
        ik.selective_search(np.zeros((9, 9, 3), np.uint8))


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        ({"image": "photo.jpg"}, "image must be a uint8 array (h, w, 3) or (h, w), got 'photo.jpg'."),
        ({"image": np.zeros((4, 4, 3))}, "image must be a uint8 array (h, w, 3) or (h, w), got float64 (4, 4, 3)."),
        ({"image": np.zeros((4, 4, 4), np.uint8)}, "image must have 1 or 3 channels, got 4."),
        ({"mode": "slow"}, "mode must be 'single', 'fast' or 'quality', got 'slow'."),
        ({"width": 0}, "width must be an int of at least 1, got 0."),
        ({"max_boxes": 0}, "max_boxes must be an int of at least 1, got 0."),
        ({"min_size": -1}, "min_size must be an int of at least 0, got -1."),
    ],
)
def test_wrong_arguments(wrong, sentence):
    with pytest.raises(ValueError) as caught:
        ik.selective_search(**({"image": np.zeros((4, 4, 3), np.uint8)} | wrong))
    assert str(caught.value) == sentence

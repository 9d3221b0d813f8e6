"""Drawn boxes: the picture has the photograph's size, and labels lie inside it and off each other."""

import numpy as np
import pytest
from PIL import Image

from inception_keras.analysis import box_overlays
from inception_keras.analysis.box_overlays import Panel, colour_of, plot_boxes


def boxes(count, size, seed=0):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-20, size, (count, 2))
    return np.concatenate([corners, corners + rng.uniform(5, size / 2, (count, 2))], axis=1)


@pytest.fixture
def places(monkeypatch):
    """Where labels are placed in the picture that is drawn, and the size of the picture."""
    seen = []
    place = box_overlays._place

    def placed(box, wide, high, size, taken):
        rect = place(box, wide, high, size, taken)
        seen.append((rect, size))
        return rect

    monkeypatch.setattr(box_overlays, "_place", placed)
    return seen


@pytest.mark.parametrize("size", [(400, 400), (60, 500), (500, 60)])
def test_labels_lie_inside_the_picture(size, places, tmp_path):
    found, names = boxes(15, max(size)), ["dog", "a name that is far too long for a picture of sixty pixels", "$x$"]
    image = np.full((*size, 3), 90, np.uint8)
    panel = Panel(image, found, [names[i % 3] for i in range(15)], list(range(15)), np.linspace(1, 0, 15))
    plot_boxes([[panel]], tmp_path / "drawn.png")
    with Image.open(tmp_path / "drawn.png") as drawn:
        width = max(size[1], 320)
        assert drawn.size == (width, round(width * size[0] / size[1]))
    assert len(places) == 15
    for (left, top, right, bottom), (wide, high) in places:
        assert left >= 0 and top >= 0 and right <= wide + 1e-6 and (bottom <= high + 1e-6 or high < 20)


def test_few_labels_hide_no_others(places, tmp_path):
    for seed in range(3):
        places.clear()
        same = boxes(8, 400, seed)
        same[4] = same[0]  # two objects at one place
        plot_boxes(
            [[Panel(np.zeros((400, 400, 3), np.uint8), same, ["cat"] * 8, [0] * 8, [0.5] * 8)]], tmp_path / "a.png"
        )
        rects = [rect for rect, _ in places]
        pairs = [(a, b) for i, a in enumerate(rects) for b in rects[:i]]
        assert not any(box_overlays._overlap(a, b) > 0 for a, b in pairs)


def test_colours_and_rows(tmp_path):
    colours = [colour_of(label) for label in range(30)]
    for label, colour in enumerate(colours[1:], start=1):  # neighbours are told apart
        assert np.abs(np.subtract(colour, colours[label - 1])).sum() > 0.3
    photograph = np.zeros((50, 400, 1), np.uint8)  # grey
    one = Panel(photograph, np.array([[100, 10, 300, 40]]), ["thing"], [0], dashed=[False])
    plot_boxes([[one, Panel(photograph)], [one, one]], tmp_path / "rows.png", titles=("truth", "found"))
    with Image.open(tmp_path / "rows.png") as drawn:
        pixels = np.asarray(drawn.convert("RGB")).astype(int)
        assert drawn.size == (2 * 400 + 3 * 8, 24 + 2 * (50 + 8))
    row = pixels[24 + 25]  # through the middle of the first row
    assert np.abs(row[8 + 100] - np.round(np.multiply(colour_of(0), 255))).max() < 40  # the left side of the box
    assert row[8 + 200].sum() == 0 and row[8 + 408 + 100].sum() == 0  # inside it, and a photograph without boxes

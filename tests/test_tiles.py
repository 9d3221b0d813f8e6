"""Large images with boxes, cut into tiles."""

import csv

import numpy as np
import pytest
from PIL import Image

import inception_keras as ik
from inception_keras.data.tiles import starts


@pytest.fixture
def aerial(tmp_path):
    """An image of 100 x 70 pixels for training, whose pixels tell their place, and a small one without objects."""
    y, x = np.mgrid[:70, :100]
    for split, pixels in (("train", np.stack([x, y, 0 * x], -1)), ("test", np.zeros((20, 30, 3)))):
        (tmp_path / "aerial" / split).mkdir(parents=True)
        Image.fromarray(pixels.astype("uint8")).save(tmp_path / "aerial" / split / f"{split}.png")
    lines = ["path,x1,y1,x2,y2,label,difficult,split"]
    lines += ["train/train.png,5,5,15,15,tree,0,train", "train/train.png,34,10,54,20,tree,0,train"]
    lines += ["train/train.png,60,50,80,70,house,1,train", "train/train.png,39.5,60,41,70,tree,0,train"]
    (tmp_path / "aerial" / "boxes.csv").write_text("\n".join([*lines, "test/test.png,,,,,,,test"]) + "\n")
    return tmp_path / "aerial"


def rows(folder):
    with (folder / "boxes.csv").open() as file:
        return list(csv.DictReader(file))


def test_tiles_show_the_objects_where_they_are(aerial, tmp_path):
    out = tmp_path / "tiles"
    assert ik.cut_tiles(aerial, out, size=40) == {"train": 6, "test": 1}
    found = {}
    for row in rows(out):
        box = [float(row[name]) if row[name] else None for name in ("x1", "y1", "x2", "y2")]
        found.setdefault(row["path"], []).append((*box, row["label"], row["difficult"]))
    assert found == {
        "train/00000_0_0.png": [(5, 5, 15, 15, "tree", "0"), (34, 10, 40, 20, "tree", "1")],  # 6 of 20 columns are seen
        "train/00000_0_30.png": [(4, 10, 24, 20, "tree", "0")],
        "train/00000_0_60.png": [(None, None, None, None, "", "")],
        "train/00000_30_0.png": [(None, None, None, None, "", "")],  # half a column of an object is left out
        "train/00000_30_30.png": [(30, 20, 40, 40, "house", "1"), (9.5, 30, 11, 40, "tree", "0")],
        "train/00000_30_60.png": [(0, 20, 20, 40, "house", "1")],
        "test/00001_0_0.png": [(None, None, None, None, "", "")],
    }
    with Image.open(out / "train/00000_30_60.png") as tile:
        pixels = np.asarray(tile)
    assert (
        pixels.shape == (40, 40, 3) and pixels[0, 0].tolist() == [60, 30, 0] and pixels[-1, -1].tolist() == [99, 69, 0]
    )
    with Image.open(out / "test/00001_0_0.png") as tile:
        assert tile.size == (30, 20)


def test_tiles_are_data(aerial, tmp_path):
    ik.cut_tiles(aerial, tmp_path / "tiles", size=40, min_visible=0)
    data = ik.load_data(data_dir=tmp_path / "tiles", task="detection", image_size=40, batch_size=8, augment="none")
    assert data.class_names == ("house", "tree") and data.counts == {"train": 5, "validation": 1, "test": 1}
    objects = [targets for name in ("train", "validation") for _, targets in data.split(name)]
    classes = np.concatenate([targets["classes"].numpy().ravel() for targets in objects])
    assert sorted(classes[classes >= 0]) == [0, 0, 1, 1, 1, 1]
    assert sum(int(targets["difficult"].numpy().sum()) for targets in objects) == 2  # the house, which already was


@pytest.mark.parametrize("length, size, overlap", [(100, 40, 0), (100, 40, 30), (101, 100, 0), (40, 40, 9), (7, 40, 0)])
def test_tiles_cover_an_image(length, size, overlap):
    first = starts(length, size, overlap)
    ends = [start + size for start in first]
    assert first[0] == 0 and ends[-1] >= length and (length < size or ends[-1] == length)
    assert all(end - start >= overlap for start, end in zip(first[1:], ends, strict=False))


def test_errors(aerial, tmp_path):
    with pytest.raises(FileExistsError, match="exists already and is not an empty folder"):
        ik.cut_tiles(aerial, aerial, size=40)
    with pytest.raises(ValueError, match="overlap must be"):
        ik.cut_tiles(aerial, tmp_path / "tiles", size=40, overlap=40)
    with pytest.raises(ValueError, match="has no boxes"):
        (tmp_path / "empty").mkdir()
        ik.cut_tiles(tmp_path / "empty", tmp_path / "tiles")
    assert not (tmp_path / "tiles").exists()

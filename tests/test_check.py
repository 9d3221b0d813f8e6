"""`data check` on folders of images and other formats: what it finds, and that it changes no file."""

import csv
import io

import numpy as np
import pytest
from PIL import Image
from skimage import data as photos
from test_cli import run, said
from test_data import write_mnist, write_photos
from test_formats import arrays, records, rows_of, write_csv, write_records
from test_preprocessing import broken_files

from inception_keras import check_data, load_data
from inception_keras.data.check import Problem


@pytest.fixture
def album(tmp_path):
    """Train and test folders with every fault that `data check` can find."""
    folder = tmp_path / "album"
    write_photos(folder / "train")
    write_photos(folder / "test", 1)
    for name in ("chelsea", "coffee"):
        photo = getattr(photos, name)()[100:150, 100:160]
        Image.fromarray(photo).save(folder / "test" / name / "0.png")
    coffee = folder / "train" / "coffee"
    broken_files(coffee)
    (coffee / "whole.png").rename(coffee / "wrong.JPG")
    (coffee / "whole.jpg").rename(coffee / "right.JPEG")
    (coffee / "notes.txt").touch()
    (coffee / "twice.png").write_bytes((coffee / "1.png").read_bytes())
    (folder / "train" / "chelsea" / "other.png").write_bytes((coffee / "1.png").read_bytes())
    (folder / "test" / "coffee" / "known.png").write_bytes((coffee / "2.png").read_bytes())
    Image.new("1", (900, 700)).save(coffee / "large.png")
    return folder


WRONG = {  # by path: kind and detail
    "train/coffee/notes.txt": ("not an image", "is not named as one of"),
    "train/coffee/empty.jpg": ("empty", "is empty"),
    "train/coffee/half.jpg": ("truncated", "image file is truncated"),
    "train/coffee/half.png": ("truncated", "image file is truncated"),
    "train/coffee/large.png": ("too large", "500000"),
    "train/coffee/text.png": ("unreadable", "is no JPEG, PNG, GIF, BMP, WebP or TIFF image"),
    "train/coffee/ppm.png": ("unreadable", "is no JPEG, PNG, GIF, BMP, WebP or TIFF image"),
    "train/coffee/wrong.JPG": ("extension", "is a PNG image by its content"),
    "train/coffee/1.png": ("duplicate", "is the same as train/chelsea/other.png, but coffee for chelsea"),
    "train/coffee/twice.png": ("duplicate", "is the same as train/chelsea/other.png, but coffee for chelsea"),
    "test/coffee/known.png": ("train and test", "is the same as train/coffee/2.png in train"),
}


def test_everything_wrong_is_listed(album, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500_000)
    before = {path: path.stat().st_mtime_ns for path in album.rglob("*")}
    found = check_data(album)
    assert {problem.image for problem in found.problems} == WRONG.keys() and len(found.problems) == len(WRONG)
    for problem in found.problems:
        kind, detail = WRONG[problem.image]
        assert problem.kind == kind and detail in problem.detail
    assert found.classes == (
        {"class": "chelsea", "train": 7, "test": 1, "smallest": (60, 50), "largest": (148, 98)},
        {"class": "coffee", "train": 9, "test": 2, "smallest": (60, 50), "largest": (600, 400)},
    )
    assert {path: path.stat().st_mtime_ns for path in album.rglob("*")} == before
    data = load_data(None, data_dir=album, image_size=16, max_unreadable=0.5)
    skipped = {str(path.relative_to(album)) for path, _ in data.skipped}
    assert skipped == {
        path for path, (kind, _) in WRONG.items() if kind not in ("extension", "duplicate", "train and test")
    }


def test_the_command(album, tmp_path, monkeypatch):
    result = run("data", "check", album, "--csv", tmp_path / "problems.csv")
    assert result.exit_code == 1
    words = said(result)
    assert (
        "20 images in 2 classes, 6 files left out, 10 problems" in words
        and "Traceback" not in result.output
        and "error" not in words
    )
    assert "train/coffee/half.jpg" in words and "chelsea 7 1 60x50 148x98" in words
    rows = list(csv.DictReader(io.StringIO((tmp_path / "problems.csv").read_text())))
    assert len(rows) == 10 and rows[0].keys() == {"kind", "image", "detail"}
    write_photos(tmp_path / "good")
    result = run("data", "check", tmp_path / "good")
    assert result.exit_code == 0 and "12 images in 2 classes, 0 files left out, 0 problems" in said(result)
    result = run("data", "check", tmp_path / "missing")
    assert result.exit_code == 1 and "error: There is no folder" in said(result)


def test_names_that_a_terminal_would_obey(tmp_path):
    write_photos(tmp_path / "photos")
    for name in ("[red].png", "\x1b[2J.png", "line\nbreak.png", b"\xff.png".decode("utf-8", "surrogateescape")):
        (tmp_path / "photos" / "coffee" / name).touch()
    result = run("data", "check", tmp_path / "photos", "--csv", tmp_path / "problems.csv")
    assert result.exit_code == 1 and "\x1b[2J" not in result.output
    assert "[red].png" in result.output and "4 problems" in said(result)
    assert len((tmp_path / "problems.csv").read_text().splitlines()) == 6
    result = run("data", "check", tmp_path / "[/no]")
    assert result.exit_code == 1 and "[/no]" in said(result)


def test_classes_and_lists(tmp_path):
    write_photos(tmp_path / "photos")
    (tmp_path / "photos" / "tea").mkdir()
    assert check_data(tmp_path / "photos").problems == (
        Problem("classes", ".", f"{tmp_path / 'photos'} has no training image of the class tea"),
    )
    (tmp_path / "photos" / "tea").rmdir()
    rows = [*rows_of(tmp_path, "{path},{name}"), "photos/0.png,tea", "photos/coffee/0.png,tea"]
    csv = tmp_path / "list.csv"
    write_csv(csv, "path,name", rows)
    assert check_data(tmp_path).problems == (
        Problem("classes", ".", f"{csv}, line 15 has the label tea for 0.png, but {csv}, line 8 has coffee"),
        Problem("missing", "photos/0.png", "is not there"),
        Problem("duplicate", "photos/coffee/0.png", "is the same as photos/coffee/0.png, but tea for coffee"),
    )
    write_csv(tmp_path / "list.csv", "path,name,split", [f"{row},{'a' * 3}" for row in rows])
    with pytest.raises(ValueError, match="line 2: split must be one of"):
        check_data(tmp_path, label="name")


def test_other_formats(tmp_path):
    for name in ("records", "npz", "idx"):
        (tmp_path / name).mkdir()
    made = records(12)
    write_records(tmp_path / "records" / "train.tfrecord", [*made, made[3]])
    write_records(tmp_path / "records" / "test.tfrecord", made[:2])
    found = check_data(tmp_path / "records")
    assert [(problem.kind, problem.image.partition(" of ")[0]) for problem in found.problems] == [
        ("train and test", "record 1"),
        ("train and test", "record 2"),
        ("duplicate", "record 13"),
    ]
    assert found.classes[0] == {"class": "cat", "test": 1, "train": 6, "smallest": (60, 50), "largest": (60, 50)}

    made = arrays()
    made["x_test"][3] = made["x_train"][7]
    np.savez(tmp_path / "npz" / "some.npz", **made)
    found = check_data(tmp_path / "npz")
    detail = "is the same as train image 7 in train, but 3 for 2"
    assert found.problems == (Problem("train and test", "test image 3", detail),)
    assert found.classes[4] == {"class": "4", "train": 6, "test": 4, "smallest": (9, 8), "largest": (9, 8)}

    write_mnist(tmp_path / "idx")
    assert check_data(tmp_path / "idx").problems == ()

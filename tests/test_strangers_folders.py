"""Folders of images as other programs leave them, loaded in a new process."""

import json
import struct

import numpy as np
import pytest
from outside import here, python
from PIL import Image

LOAD = """
import json, warnings
from pathlib import Path
import keras
from inception_keras import check_data, load_data

def load(folder):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        data = load_data(None, data_dir=folder, image_size=8, augment=False, max_unreadable=0.4)
    said = [str(warning.message) for warning in said]
    skipped = {str(path): reason for path, reason in data.skipped}
    return {"classes": data.class_names, "counts": data.counts, "skipped": skipped, "said": said}

found = {}
for folder in sorted(Path().iterdir()):
    try:
        found[folder.name] = load(folder)
        checked = check_data(folder)
        found[folder.name] |= {"used": checked.used, "left_out": checked.left_out, "notes": checked.notes}
    except Exception as error:
        found[folder.name] = {"error": f"{type(error).__name__}: {error}"} | found.get(folder.name, {})
for name in KERAS:
    files = keras.utils.image_dataset_from_directory(name, verbose=False)
    found[name] |= {"keras": [len(files.file_paths), files.class_names]}
print(json.dumps(found))
"""
KERAS = ("nested", "numbers", "photos")


def picture(path, format=None, **options):
    """A picture that differs from all others."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.count += 1
    colour = (picture.count % 256, picture.count // 256, 99)
    Image.new("RGB", (12, 10), colour).save(path, format, **options)


picture.count = 0


def pictures(folder, count=6, classes=("cat", "dog")):
    for name in classes:
        for i in range(count):
            picture(folder / name / f"{i}.png")


def flat(folder, count=4, first=0):
    for i in range(first, first + count):
        picture(folder / f"{i}.png")


def write_folders(root):
    # Roboflow, fastai, Kaggle: splits by other names
    for name, (train, validation, test) in {
        "roboflow": ("train", "valid", "test"),
        "kaggle": ("training_set", "Validation", "test_set"),
        "shouting": ("TRAIN", "DEV", "TESTING"),
        "spaces": ("Training Set", "val_set", "Test-Data"),
    }.items():
        pictures(root / name / train)
        pictures(root / name / validation, 2)
        pictures(root / name / test, 3)
    (root / "roboflow/README.roboflow.txt").write_text("animals - v1")
    pictures(root / "fastai/train")
    pictures(root / "fastai/valid", 2)
    (root / "fastai/models").mkdir()
    # Kaggle: a flat test folder; or one that has a folder for Keras's generators
    pictures(root / "competition/train")
    flat(root / "competition/test")
    (root / "competition/sample_submission.csv").write_text("id,label\n0.png,cat\n1.png,cat\n")
    pictures(root / "unknown/train")
    flat(root / "unknown/test/unknown")
    pictures(root / "beside")
    pictures(root / "beside/test", 2)
    # splits without images of some classes: no folder, an empty one
    pictures(root / "lacking/train", 6, ("cat", "cow", "dog"))
    pictures(root / "lacking/valid", 2, ("cat",))
    pictures(root / "lacking/test", 2)
    (root / "lacking/test/cow").mkdir()
    pictures(root / "strange/train")
    pictures(root / "strange/test", 2, ("cat", "Dog"))
    # of the same split, two; and folders that are no split
    for name in ("train", "valid", "validation"):
        pictures(root / "twice" / name, 2)
    for name in ("train", "extra"):
        pictures(root / "siblings" / name)
    for name in ("train", "test"):
        flat(root / "flat" / name)
    for name in ("seg_train", "seg_test"):
        pictures(root / "outer" / name)
    pictures(root / "wrapped/animals/train")
    # ImageFolder and Keras count what lies below a class folder, too
    pictures(root / "photos")
    pictures(root / "nested")
    pictures(root / "nested/cat", 2, ("2019/May", "2020"))
    for i in range(3):
        pictures(root / "numbers", 1, tuple(f"{n}/{i}" for n in (0, 1, 2, 10, 11)))
    # macOS, Windows, Synology, Linux, Jupyter
    pictures(root / "leftovers")
    for place in (root / "leftovers", root / "leftovers/cat"):
        for name in ("__MACOSX", "@eaDir", ".ipynb_checkpoints", "lost+found", "$RECYCLE.BIN"):
            picture(place / name / "cat" / "0.png")
        for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._0.png", "0.png:Zone.Identifier"):
            (place / name).write_bytes(b"\0\0")
    # formats
    formats = root / "formats"
    pictures(formats)
    for name in ("0.tif", "1.TIFF"):
        picture(formats / "cat" / name)
    for name in ("2.jfif", "3.jpe"):
        picture(formats / "dog" / name, "JPEG")
    more = [Image.new("RGB", (9, 9))]
    picture(formats / "cat/pages.tif", save_all=True, append_images=more)
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(formats / "dog/16bit.tif")
    Image.fromarray(np.full((9, 9), 4000, np.uint16)).save(formats / "cat/12bit.tiff")
    Image.fromarray(np.full((9, 9), 0.5, np.float32)).save(formats / "dog/float.tif")
    Image.fromarray(np.full((9, 9), 70_000, np.int32)).save(formats / "dog/32bit.tif")
    unread = root / "unread"
    pictures(unread, 10)
    (unread / "cat/a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    (unread / "cat/b.avif").write_bytes(b"\0\0\0\x18ftypavif" + bytes(99))
    (unread / "cat/c.svg").write_text("<svg/>")
    picture(unread / "cat/d.NEF", "TIFF")  # as raw photographs are, with a preview
    picture(unread / "cat/e.jp2")
    picture(unread / "cat/f", "JPEG")
    (unread / "cat/g.txt").write_text("no image")
    picture(unread / "cover.png")
    picture(unread / "dog/phone.heic", "JPEG")  # as some telephones' programs write it: read
    # links
    pictures(root / "links")
    (root / "links/cat/again").symlink_to("..", target_is_directory=True)
    (root / "file").write_text("a file")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    root = tmp_path_factory.mktemp("folders")
    write_folders(root)
    said = python(f"KERAS = {KERAS}{LOAD}", root)
    return json.loads(next(line for line in said.splitlines() if line.startswith("{")))


def total(one):
    return sum(one["counts"].values())


@pytest.mark.parametrize("name", ["roboflow", "kaggle", "shouting", "spaces"])
def test_splits_by_any_name(found, name):
    assert found[name]["counts"] == {"train": 12, "validation": 4, "test": 6}
    assert found[name]["classes"] == ["cat", "dog"] and found[name]["said"] == []


def test_fastai(found):
    assert found["fastai"]["counts"] == {"train": 9, "validation": 4, "test": 3} and found["fastai"]["said"] == []


@pytest.mark.parametrize("name", ["competition", "unknown"])
def test_test_images_without_classes_are_passed_over_with_a_note(found, name):
    one = found[name]
    assert total(one) == 12 and one["classes"] == ["cat", "dog"] and one["skipped"] == {}
    assert f"{name}/test is passed over: its 4 images are in no folder of a class." in one["said"]
    assert f"{name}/test is passed over: its 4 images are in no folder of a class" in one["notes"]


def test_classes_beside_a_test_folder(found):
    assert found["beside"]["counts"]["test"] == 4 and total(found["beside"]) == 16


def test_splits_may_lack_classes(found):
    assert found["lacking"]["counts"] == {"train": 18, "validation": 2, "test": 4}
    assert found["lacking"]["said"] == [
        "lacking/valid has no image of the classes cow, dog.",
        "lacking/test has no image of the class cow.",
    ]
    assert "test has the class Dog, which the training images have not" in found["strange"]["error"]


def test_two_folders_of_one_split_and_unknown_ones(found):
    sentence = "ValueError: twice has two folders of validation images, valid and validation: only one of them can be"
    assert found["twice"]["error"].startswith(sentence)
    assert total(found["siblings"]) == 12
    wanted = "siblings/extra is no folder for training, validation or test: its 12 images are not used."
    assert found["siblings"]["said"] == [wanted]
    assert "4 images in test, 4 images in train are in no folder of a class; put the images" in found["flat"]["error"]
    assert "the folders cat, dog in each of them are only parts" in found["outer"]["said"][0]
    assert found["wrapped"]["error"].endswith("with the folders train in it: did you mean wrapped/animals?")


@pytest.mark.parametrize("name", KERAS)
def test_as_many_images_as_keras_counts(found, name):
    count, classes = found[name]["keras"]
    assert total(found[name]) == count and sorted(found[name]["classes"]) == sorted(classes)


def test_numbers_are_in_their_order(found):
    assert found["numbers"]["classes"] == ["0", "1", "2", "10", "11"]


def test_leftovers_are_no_classes_and_no_images(found):
    assert found["leftovers"]["classes"] == ["cat", "dog"] and total(found["leftovers"]) == 12
    assert found["leftovers"]["skipped"] == {} and found["leftovers"]["said"] == []


def test_tiff_and_the_other_names_of_jpeg(found):
    one = found["formats"]
    assert total(one) == 12 + 7 and one["said"] == [
        "1 image with 16-bit pixels below 4096, nearly black where 65535 is white: scale them first: "
        "formats/cat/12bit.tiff.",
        "1 image with several pages, of which the first is used: formats/cat/pages.tif.",
    ]
    assert one["skipped"] == {
        "formats/dog/32bit.tif": "has 32-bit pixels, whose range is not known; give uint8 ones",
        "formats/dog/float.tif": "has floating-point pixels, whose range is not known; give uint8 ones",
    }


def test_images_that_are_not_read_are_named_and_count(found, tmp_path):
    skipped = {name.removeprefix("unread/"): reason for name, reason in found["unread"]["skipped"].items()}
    assert total(found["unread"]) == 21 and skipped.keys() == {
        *(f"cat/{name}" for name in ("a.heic", "b.avif", "c.svg", "d.NEF", "e.jp2", "f", "g.txt")),
        "cover.png",
    }
    for name, words in {
        "cat/a.heic": "is a HEIC image, which is not read: convert it",
        "cat/b.avif": "is an AVIF image, which is not read: convert it",
        "cat/c.svg": "is a vector graphic, which is not read",
        "cat/d.NEF": "is a raw photograph, which is not read",
        "cat/e.jp2": "is a JPEG 2000 image, which is not read",
        "cat/f": "is a JPEG image by its content, but is not named as one of",
        "cat/g.txt": "is not named as one of",
        "cover.png": "is in no folder of a class",
    }.items():
        assert words in skipped[name]


def test_links_to_the_folder_above(found):
    assert total(found["links"]) == 12 + 6  # as ImageFolder follows them, but not without end


def test_check_tells_what_load_data_does(found):
    loaded = {name: one for name, one in found.items() if "error" not in one}
    assert len(loaded) > 12
    for name, one in loaded.items():
        assert (one["used"], one["left_out"]) == (total(one), len(one["skipped"])), name
        assert [f"{note}." for note in one["notes"]] == one["said"], name


def test_the_command_line(tmp_path):
    pictures(tmp_path / "train")
    flat(tmp_path / "test")
    for i in range(3):
        (tmp_path / "train" / "cat" / f"{i}.heic").write_bytes(struct.pack(">I8s", 24, b"ftypheic") + bytes(99))
    said = " ".join(here("data", "check", tmp_path, cwd=tmp_path, status=1).split())
    assert "12 images in 2 classes, 3 files left out, 3 problems" in said
    assert f"note: {tmp_path}/test is passed over: its 4 images are in no folder of a class." in said
    assert "has 3 of 15 images that cannot be used, more than max_unreadable=0.1 allows" in said

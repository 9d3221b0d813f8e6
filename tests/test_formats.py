"""Data formats besides IDX, CIFAR's binaries and folders: files as other programs write them, and refused files."""

import gzip
import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from skimage import data as photos
from test_data import RANDOM, everything, pixels, write_photos

from inception_keras import load_data
from inception_keras.data import listing
from inception_keras.data.tfrecords import _checksum


def encoded(photo: np.ndarray, format: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, format)
    return file.getvalue()


def refused(sentence: str, folder: Path, **options) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        load_data(None, data_dir=folder, image_size=16, **options)
    assert str(caught.value).endswith(".") and type(caught.value) is ValueError


# -- CSV


def write_csv(path: Path, header: str, rows: list[str]) -> None:
    path.write_text("\n".join([header, *rows]) + "\n")


@pytest.fixture
def album(tmp_path):
    """A folder with twelve photographs, in the subfolders `chelsea` and `coffee`."""
    write_photos(tmp_path / "photos")
    return tmp_path


def rows_of(album: Path, form: str) -> list[str]:
    paths = sorted(album.rglob("*.png"))
    return [form.format(path=path.relative_to(album), name=path.parent.name, i=i) for i, path in enumerate(paths)]


@pytest.mark.parametrize(
    ("separator", "mark"),
    [
        *((",", ""), (";", "\ufeff"), ("\t", "")),
        *(pytest.param(*pair, marks=pytest.mark.slow) for pair in ((",", "\ufeff"), (";", ""), ("\t", "\ufeff"))),
    ],
)
def test_a_csv_of_paths_and_labels(album, separator, mark):
    write_csv(album / "list.csv", f"{mark}file{separator}kind", rows_of(album, f'"{{path}}"{separator} {{name}}'))
    data = load_data(None, data_dir=album, image_size=48, augment=False)
    by_folder = load_data(None, data_dir=album / "photos", image_size=48, augment=False)
    assert data.class_names == ("chelsea", "coffee") and data.counts == by_folder.counts
    for one, other in zip(everything(data.test), everything(by_folder.test), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_csv_with_splits_and_several_labels(album):
    splits = ["train", "val", "test", "Train", "train", "validation"] * 2
    rows = [f"{row},{split}" for row, split in zip(rows_of(album, "{path},{name},{i}"), splits, strict=True)]
    write_csv(album / "list.csv", "path,name,number,split", rows)
    data = load_data(None, data_dir=album, image_size=16, label="name")
    assert data.counts == {"train": 6, "validation": 4, "test": 2}
    refused("has the columns name, number: label= .--label. chooses one", album)
    refused("has the columns name, number, not 'path': label= .--label. chooses one", album, label="path")
    refused("has validation images of the class 1, which is not among the training's", album, label="number")
    write_csv(album / "list.csv", "path,name,label", rows_of(album, "{path},{name},{i}"))
    assert load_data(None, data_dir=album, image_size=16, label="name").class_names == ("chelsea", "coffee")
    refused("too few for a training", album)  # twelve classes of one image: by the column "label"


def test_numbers_are_sorted_as_numbers(album):
    rows = [f"{row},{label}" for row, label in zip(rows_of(album, "{path}"), [10, 9, 2] * 4, strict=True)]
    write_csv(album / "list.csv", "image,class", rows)
    assert load_data(None, data_dir=album, image_size=16).class_names == ("2", "9", "10")


def test_csv_files_by_part(album):
    rows = rows_of(album, "{path},{name}")
    write_csv(album / "train.csv", "image,class", rows[::2])
    write_csv(album / "test.csv", "image,class", rows[1::2])
    write_csv(album / "metrics.csv", "epoch,loss", ["1,0.5"])
    assert load_data(None, data_dir=album, image_size=16).counts == {"train": 5, "validation": 1, "test": 6}
    write_csv(album / "more.csv", "image,class", rows[1::2])
    refused(r"has several CSV files of images, more\.csv, test\.csv, train\.csv", album)


def test_what_a_csv_may_not_say(album, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.png"
    Image.new("RGB", (9, 9)).save(outside)
    rows = rows_of(album, "{path},{name}")
    (album / "link.png").symlink_to(outside)
    for row, sentence in [
        ("photos/coffee/0.png", "line 14 has 1 cells, the first line has 2"),
        ("photos/coffee/0.png, ", "line 14 has no label"),
        (",coffee", "line 14 has no path"),
        (f"{outside},coffee", "secret.png leads out of"),
        ("../secret.png,coffee", r"\.\./secret.png leads out of"),
        ("link.png,coffee", "link.png leads out of"),
        ('"photos/coffee/0.png"x,coffee', "is no CSV file: "),
    ]:
        write_csv(album / "list.csv", "image,class", [*rows, row])
        refused(sentence, album)
    write_csv(album / "list.csv", "image,image", rows)
    refused("has two columns of one name: image, image", album)
    write_csv(album / "list.csv", "image,class,split", [f"{row},other" for row in rows])
    refused("line 2: split must be one of train, training, val, .*, got 'other'", album)
    write_csv(album / "list.csv", "image,class,split", [f"{row},test" for row in rows])
    refused("has no training images", album)
    write_csv(album / "list.csv", "image,class", rows[:6])
    refused("has one class, chelsea", album)
    write_csv(album / "list.csv", "image,class", [*rows, *(f"photos/{i}.png,coffee" for i in range(20))])
    refused("has 20 of 32 images that cannot be used.* is not there; .*; and 10 more", album)
    (album / "list.csv").write_bytes(b"image,class\n0.png,\xff\n")
    refused("label='class' chooses a column of a CSV file, but .* holds none of images", album, label="class")
    (album / "list.csv").write_bytes(b"image,class\nphotos/coffee/0.png,a\n" + b" " * 10_000 + b"1.png,\xff\n")
    refused("list.csv is no CSV file: ", album)


# -- TFRecord


def example(
    image: bytes, label: int | str | None, text: str | None = None, names=("image/encoded", "image/class/label")
):
    def feature(value):
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[value if isinstance(value, bytes) else value.encode()])
        )

    features = {names[0]: image, names[1]: label, "image/class/text": text}
    features = {name: feature(value) for name, value in features.items() if value is not None}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def write_records(path: Path, records: list[bytes]) -> None:
    with tf.io.TFRecordWriter(str(path), "GZIP" if path.suffix == ".gz" else None) as writer:
        for record in records:
            writer.write(record)


def records(count: int, text: bool = True, **options) -> list[bytes]:
    """Records that alternate between a cat with label 7 and a cup of coffee with label 30."""
    pairs = [(photos.chelsea()[i : i + 50, :60], 7, "cat") for i in range(count)]
    pairs[1::2] = [(photos.coffee()[i : i + 50, :60], 30, "cup") for i in range(1, count, 2)]
    return [example(encoded(photo), label, name if text else None, **options) for photo, label, name in pairs]


@pytest.mark.parametrize(
    ("in_memory", "end"), [(True, ".gz"), (False, ""), (False, ".gz"), pytest.param(True, "", marks=pytest.mark.slow)]
)
def test_shards(tmp_path, monkeypatch, in_memory, end):
    if not in_memory:
        monkeypatch.setattr(listing, "_IN_MEMORY", 0)
    made = records(16)
    write_records(tmp_path / f"train-00000-of-00002{end}", made[:5])
    write_records(tmp_path / f"train-00001-of-00002{end}", made[5:10])
    write_records(tmp_path / f"validation-00000-of-00001{end}", made[10:12])
    write_records(tmp_path / f"test-00000-of-00001{end}", made[12:])
    data = load_data(None, data_dir=tmp_path, image_size=50, augment=False)
    assert data.counts == {"train": 10, "validation": 2, "test": 4} and data.class_names == ("cat", "cup")
    images, labels = everything(data.test)
    assert labels.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(pixels(images[0]), photos.chelsea()[12:62, 5:55])
    np.testing.assert_array_equal(pixels(images[3]), photos.coffee()[15:65, 5:55])
    images, labels = everything(data.train)
    assert sorted(labels) == [0] * 5 + [1] * 5 and len(np.unique(images, axis=0)) == 10


@pytest.mark.parametrize(
    ("name", "label", "wanted"),
    [
        ("pets.tfrecord", {"names": ("image", "label")}, ("7", "30")),
        ("pets-train.tfrecord-00000-of-00001", {"names": ("image/encoded", "image/label")}, ("7", "30")),
        ("TRAIN.TFRecords", {"text": True}, ("cat", "cup")),
        ("all.tfrecords.gz", {"text": True, "names": ("image", "no/label")}, ("cat", "cup")),
    ],
)
def test_names_of_shards_and_features(tmp_path, name, label, wanted):
    write_records(tmp_path / name, records(12, **{"text": False, **label}))
    data = load_data(None, data_dir=tmp_path, image_size=16)
    assert data.class_names == wanted and sum(data.counts.values()) == 12


def test_broken_records_are_named(tmp_path):
    shard = tmp_path / "a.tfrecord"
    photo = encoded(photos.coffee()[:9, :9])
    for record, sentence in [
        (b"text", "a.tfrecord is not a whole TFRecord file: a record is no tf.train.Example"),
        (example(photo, None), "record 13 of .* has no single image/class/label, .* among its features image/encoded"),
        (example(photo, 1, names=("picture", "label")), "no image/encoded or image of bytes among .* label, picture"),
        (example(photo, b"\xff", names=("image", "label")), "record 13 of .* has a label that is no text"),
    ]:
        write_records(shard, [*records(12), record])
        refused(sentence, tmp_path)
    write_records(shard, [*records(12), example(photo[:60], 7), example(b"", 30)])
    data = load_data(None, data_dir=tmp_path, image_size=16, max_unreadable=0.2)
    assert [(str(source), reason) for source, reason in data.skipped] == [
        (f"record 13 of {shard}", "cannot be read: image file is truncated"),
        (f"record 14 of {shard}", "is empty"),
    ]
    write_records(shard, records(12))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-3])
    refused("is cut short: the record at byte", tmp_path)
    shard.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    refused("a.tfrecord is not a whole TFRecord file: a checksum is wrong", tmp_path)
    shard.write_bytes(b"\0" * 99)
    refused("there is no length of a record at byte 0", tmp_path)
    for size, sentence in [(2**63, "more than 268435456"), (2**27, "is cut short"), (10**9, "more than 268435456")]:
        head = struct.pack("<Q", size)
        head += struct.pack("<I", _checksum(head))
        for content in (head + bytes(99), gzip.compress(head + bytes(99))):
            shard.write_bytes(content)
            refused(sentence, tmp_path)
    shard.write_bytes(gzip.compress(whole)[:-500])
    refused("a.tfrecord is not a whole gzip file", tmp_path)
    shard.unlink()
    write_records(tmp_path / "train-00001-of-00003", records(12))
    refused(r"has 1 of the 3 shards train-\*-of-00003", tmp_path)


# -- NumPy


def arrays(**changes) -> dict[str, np.ndarray]:
    images = RANDOM.integers(0, 256, (50, 8, 9), np.uint8)
    return {
        "x_train": images[:30],
        "y_train": np.arange(30) % 5,
        "x_test": images[30:],
        "y_test": np.arange(20) % 5,
    } | changes


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_numpy_archive(tmp_path, save):
    made = arrays()
    save(tmp_path / "mnist.npz", **made)
    data = load_data(None, data_dir=tmp_path, augment=False)
    assert data.counts == {"train": 27, "validation": 3, "test": 20} and data.image_shape == (8, 9, 1)
    assert data.class_names[:5] == tuple("01234")
    images, labels = everything(data.test)
    np.testing.assert_array_equal(pixels(images)[..., 0], made["x_test"])
    np.testing.assert_array_equal(labels, made["y_test"])


def test_other_numpy_archives(tmp_path):
    colours = np.asfortranarray(RANDOM.integers(0, 256, (30, 8, 9, 3), np.uint8))
    made = {"x_train": colours, "y_train": np.array([["b"], ["a"], ["b"]] * 10)}
    np.savez(tmp_path / "things.npz", **made)
    data = load_data(None, data_dir=tmp_path, augment=False)
    assert data.class_names == ("a", "b") and data.image_shape == (8, 9, 3)
    found = {
        image.tobytes() for part in (data.train, data.validation, data.test) for image in pixels(everything(part)[0])
    }
    assert found == {image.tobytes() for image in colours}
    np.savez(tmp_path / "more.npz", **made)
    refused(r"has several NumPy archives, more\.npz, things\.npz", tmp_path)


def test_wrong_numpy_archives_are_named(tmp_path):
    file = tmp_path / "some.npz"
    for change, sentence in [
        ({"x_train": np.zeros((30, 8, 9))}, r"x_train must be uint8 .* got float64 \(30, 8, 9\)"),
        ({"x_train": np.zeros((30, 8, 9, 2), np.uint8)}, r"x_train must be uint8 .* got uint8 \(30, 8, 9, 2\)"),
        ({"y_train": np.zeros(29, int)}, r"y_train must be 30 whole numbers or texts, got int64 \(29,\)"),
        ({"y_test": np.zeros(20)}, "y_test must be 20 whole numbers or texts, got float64"),
        ({"y_test": np.full(20, 7)}, "has test images of the class 7, which is not among the training's"),
        ({"y_train": np.zeros(30, int), "y_test": np.zeros(20, int)}, "has one class, 0"),
        ({"x_test": np.zeros((20, 9, 9), np.uint8)}, "has training and test images of different sizes"),
        ({"x_train": np.array([{}] * 30)}, "x_train is said to be object 30, which"),
    ]:
        np.savez(file, **arrays(**change))
        refused(sentence, tmp_path)
    np.savez(file, **{name: array for name, array in arrays().items() if name != "y_test"})
    refused("has no y_test beside its other arrays", tmp_path)
    np.savez(file, **arrays())
    whole = file.read_bytes()
    for content in (whole[:-99], whole[: len(whole) // 2], b"", b"text"):
        file.write_bytes(content)
        refused("some.npz is not a whole .npz file", tmp_path)


# -- what holds for all


def test_two_formats_in_one_folder(tmp_path):
    np.savez(tmp_path / "some.npz", **arrays())
    write_records(tmp_path / "a.tfrecord", records(12))
    refused("holds a NumPy archive and TFRecord shards; only one of them can be meant", tmp_path)


def test_links_that_leave_the_folder(tmp_path):
    write_photos(tmp_path / "data" / "train")
    write_photos(tmp_path / "data" / "test")
    write_photos(tmp_path / "other")
    inner = tmp_path / "data" / "train" / "coffee" / "inner.png"
    inner.symlink_to("0.png")
    assert load_data(None, data_dir=tmp_path / "data", image_size=16).counts["test"] == 12
    inner.unlink()
    inner.symlink_to(tmp_path / "other" / "coffee" / "0.png")
    refused("inner.png leads out of .*data: put the file itself into the folder", tmp_path / "data")
    inner.unlink()
    inner.symlink_to("inner.png")  # a link to itself
    refused(r"inner\.png is not there", tmp_path / "data", max_unreadable=0)
    inner.unlink()
    (tmp_path / "data" / "train" / "tea").symlink_to(tmp_path / "other" / "coffee")
    (tmp_path / "data" / "test" / "tea").symlink_to("coffee")
    refused("tea leads out of", tmp_path / "data")
    np.savez(tmp_path / "some.npz", **arrays())
    (tmp_path / "npz").mkdir()
    (tmp_path / "npz" / "some.npz").symlink_to(tmp_path / "some.npz")
    refused("some.npz leads out of", tmp_path / "npz")


def test_classes_that_differ(tmp_path):
    write_photos(tmp_path / "train")
    write_photos(tmp_path / "test")
    (tmp_path / "test" / "coffee" / "0.png").rename(tmp_path / "test" / "chelsea" / "9.png")
    assert load_data(None, data_dir=tmp_path, image_size=16).counts["test"] == 12
    (tmp_path / "train" / "tea").mkdir()
    refused("train has no training image of the class tea", tmp_path)

"""Data sets: every format from real files, reproducible splits and order, errors in one sentence."""

import gzip
import io
import struct
import tarfile
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data as photos
from sklearn.datasets import load_digits
from test_preprocessing import MODES, broken_files

from inception_keras import check_data, load_data
from inception_keras.data import listing
from inception_keras.data.cifar import read_cifar
from inception_keras.data.datasets import UNDERSTOOD
from inception_keras.data.idx import read_idx
from inception_keras.data.preprocessing import Preprocessing, preprocessing

SQUEEZENET1_1 = preprocessing("squeezenet1_1")
RANDOM = np.random.default_rng(0)


def everything(dataset) -> tuple[np.ndarray, np.ndarray]:
    images, labels = zip(*dataset.as_numpy_iterator(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def pixels(images: np.ndarray) -> np.ndarray:
    """Undoes the normalisation of a pipeline: pixels from 0 to 255."""
    return np.round((images + 1) * 127.5).astype(np.uint8)


# -- files as their publishers write them


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_mnist(folder: Path, *, mark="-", zipped=True, classes=10, size=8, test=True) -> np.ndarray:
    """Writes 30 training and 20 test images and returns the training images."""
    splits = {"train": RANDOM.integers(0, 256, (30, size, size), np.uint8)}
    if test:
        splits["t10k"] = RANDOM.integers(0, 256, (20, size, size), np.uint8)
    for split, images in splits.items():
        count = len(images)
        labels = np.arange(count, dtype=np.uint8) % classes
        for content, array in (("images", images), ("labels", labels)):
            file = folder / f"{split}-{content}{mark}idx{array.ndim}-ubyte"
            if zipped:
                file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(idx(array)))
            else:
                file.write_bytes(idx(array))
    return splits["train"]


def cifar_records(count: int, classes: int) -> tuple[bytes, np.ndarray]:
    images = RANDOM.integers(0, 256, (count, 3, 32, 32), np.uint8)
    labels = np.arange(count, dtype=np.uint8)[:, None] % classes
    coarse = [labels // 5] if classes == 100 else []
    return np.hstack([*coarse, labels, images.reshape(count, -1)]).tobytes(), images.transpose(0, 2, 3, 1)


def cifar_files(classes: int) -> tuple[dict[str, bytes], np.ndarray]:
    """The content of two training files (one for CIFAR-100) and a test file, and the pixels of the test images."""
    test, images = cifar_records(20, classes)
    if classes == 10:
        files = {f"data_batch_{i}.bin": cifar_records(20, 10)[0] for i in (1, 2)} | {"test_batch.bin": test}
        return files | {"batches.meta.txt": "\n".join("abcdefghij").encode() + b"\n\n"}, images
    names = "\n".join(f"class_{i}" for i in range(100)).encode()
    return {"train.bin": cifar_records(200, 100)[0], "test.bin": test, "fine_label_names.txt": names}, images


def write_tar(path: Path, files: dict[str, bytes], folder: str) -> None:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def write_photos(folder: Path, count: int = 6) -> None:
    for name, photo in (("coffee", photos.coffee()[::4, ::4]), ("chelsea", photos.chelsea()[::4, ::4])):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(photo[i * 2 :, i * 2 :]).save(folder / name / f"{i}.png")


# -- digits, splits and order


@pytest.fixture(scope="module")
def digits():
    return load_data("digits", augment=False)


def test_digits(digits):
    assert digits.counts == {"train": 1293, "validation": 144, "test": 360}
    assert digits.image_shape == (32, 32, 1) and digits.class_names == tuple("0123456789")
    for part in ("train", "validation", "test"):
        dataset = getattr(digits, part)
        images, labels = everything(dataset)
        assert len(dataset) == -(-digits.counts[part] // 64)
        assert images.shape == (digits.counts[part], 32, 32, 1) and images.dtype == np.float32
        assert labels.shape == (digits.counts[part],) and labels.dtype == np.int32
        assert images.min() == -1 and images.max() == 1
        assert np.ptp(np.bincount(labels) / len(labels)) < 0.02  # stratified


def test_no_image_is_lost_or_in_two_parts():
    data = load_data("digits", image_size=8, augment=False)
    found = [pixels(everything(part)[0]).tobytes() for part in (data.train, data.validation, data.test)]
    found = sorted(image for part in found for image in (part[i : i + 64] for i in range(0, len(part), 64)))
    wanted = np.round(load_digits().images * (255 / 16)).astype(np.uint8)
    assert found == sorted(image.tobytes() for image in wanted)


def test_a_batch_is_seen_as_a_photograph_is(digits):
    image = (load_digits().images[0] * (255 / 16)).round().astype(np.uint8)
    alone = digits.preprocessing(image)
    images = np.concatenate([everything(part)[0] for part in (digits.train, digits.validation, digits.test)])
    assert np.abs(images - alone).max(axis=(1, 2, 3)).min() < 1.01 / 127.5


def test_equal_seeds_give_equal_epochs():
    first, second, other = (load_data("digits", seed=seed) for seed in (3, 3, 4))
    epochs = []
    for _ in range(2):
        epochs.append(everything(first.train))
        for a, b in zip(epochs[-1], everything(second.train), strict=True):
            np.testing.assert_array_equal(a, b)
    (_, order), (_, reshuffled) = epochs
    assert (order != reshuffled).any() and (order != everything(other.train)[1]).any()
    test = everything(first.test)
    for again in (first, second):
        np.testing.assert_array_equal(test[0], everything(again.test)[0])
    assert (test[0] != everything(other.test)[0]).any()


def shifts(image: np.ndarray, reach: int) -> list[bytes]:
    """All shifted copies of an image, with black at the edges."""
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)))
    n = len(image)
    return [padded[y : y + n, x : x + n].tobytes() for y in range(2 * reach + 1) for x in range(2 * reach + 1)]


@pytest.mark.parametrize("name, flips", [("mnist", False), ("fashion_mnist", True)])
def test_augmentation_shifts_and_mirrors_what_may_be(tmp_path, name, flips):
    originals = write_mnist(tmp_path, size=16)[..., None]
    data = load_data(name, data_dir=tmp_path, batch_size=9)
    plain = {made: False for image in originals for made in shifts(image, 2)}
    mirrored = {made: True for image in originals for made in shifts(image[:, ::-1], 2)}
    kinds = [(plain | mirrored)[image.tobytes()] for _ in range(4) for image in pixels(everything(data.train)[0])]
    assert any(kinds) is flips and not all(kinds)
    whole = {image.tobytes() for image in originals}
    assert any(image.tobytes() not in whole for image in pixels(everything(data.train)[0]))
    assert all(image.tobytes() in whole for image in pixels(everything(data.validation)[0]))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.floats(0.01, 0.99))
def test_any_labels_are_cut_by_class(labels, share):
    from inception_keras.data.splits import Part, _cut
    from inception_keras.data.targets import Labels

    labels = np.array(labels)
    rest, cut = _cut(Part(np.arange(len(labels)), Labels(labels)), share, seed=0)
    assert sorted([*rest.images, *cut.images]) == list(range(len(labels)))
    assert set(rest.labels) == set(labels)
    np.testing.assert_array_equal(labels[cut.images], cut.labels)
    for label in set(labels.tolist()):
        assert abs((cut.labels == label).sum() - share * (labels == label).sum()) < 1 + 1e-9


def test_unknown_and_wrong_options():
    for options, sentence in [
        ({"name": "imagenet"}, r"name \(--data\) must be 'digits', 'mnist'.*got 'imagenet'"),
        ({"name": None}, "needs a name.*or a data_dir"),
        ({"validation": 1.0}, "validation must be a share between 0 and 1, got 1.0"),
        ({"validation": "0.1"}, "validation must be"),
        ({"batch_size": 0}, "batch_size must be an int of at least 1, got 0"),
        ({"seed": -1}, "seed must be"),
        ({"max_unreadable": 10}, "max_unreadable must be a share from 0 to 1, got 10"),
        ({"image_size": (1, 2, 3)}, "image_size must be an int or"),
        ({"image_size": 0}, "image_size must be an int of at least 1"),
        ({"image_size": 10**6}, "image_size must be an int of at most 16384, got 1000000"),
        ({"image_size": "32"}, "image_size must be an int of at least 1, got '32'"),
        ({"image_size": [32, None]}, "image_size must be an int of at least 1, got None"),
        ({"batch_size": 10**12}, "batch_size must be an int of at most"),
        ({"batch_size": 2.0}, "batch_size must be an int of at least 1, got 2.0"),
        ({"seed": 2**70}, "seed must be an int of at most"),
        ({"seed": None}, "seed must be an int of at least 0, got None"),
        ({"mixup": 1e30}, "mixup must be a number at least 0 and below 10000, got 1e\\+30"),
        ({"name": ["digits"]}, r"name \(--data\) must be 'digits', .* got \['digits'\]"),
        ({"name": 3}, r"name \(--data\) must be 'digits', .* got 3"),
        ({"data_dir": ["photos"]}, r"data_dir must be a path, got \['photos'\]"),
        ({"data_dir": ""}, "data_dir must be a path, got ''"),
        ({"data_dir": "a\0b"}, "data_dir must be a path"),
        ({"data_dir": load_data}, "data_dir must be a path, got the function load_data"),
        ({"data_dir": __file__}, "test_data.py is a file, not a folder: unpack it, or give the folder"),
        ({"one_hot": "no"}, "one_hot must be True or False, got 'no'"),
        ({"flip": 2}, "flip must be True or False, got 2"),
        ({"augment": None}, "augment must be 'none', 'shift' or 'crop', got None"),
        ({"augment": ["crop"]}, "augment must be 'none', 'shift' or 'crop', got"),
        ({"label": 3}, "label must be a text, got 3"),
        ({"max_unreadable": None}, "max_unreadable must be a share from 0 to 1, got None"),
        ({"max_unreadable": float("nan")}, "max_unreadable must be a share from 0 to 1, got nan"),
        ({"preprocessing": "resnet50"}, "preprocessing must be a Preprocessing, such as .* got 'resnet50'"),
    ]:
        with pytest.raises((ValueError, TypeError, OSError), match=sentence):
            load_data(**options)
    for wrong in (None, 3, ["photos"], b"photos", load_data):
        with pytest.raises(TypeError, match="data_dir must be a path, got"):
            check_data(wrong)
    with pytest.raises(TypeError, match="label must be a text, got 3"):
        check_data(".", label=3)


def test_wrong_splits_and_shards(digits):
    for split in ("val", None, 3, ["train"]):
        with pytest.raises(ValueError, match="name must be 'train', 'validation' or 'test', got"):
            digits.split(split)
    for shard in (None, 3, (0,), "01"):
        with pytest.raises(ValueError, match=r"shard must be \(index, count\), got"):
            digits.epoch(0, shard=shard)


# -- downloads


@pytest.mark.parametrize("name, classes", [("mnist", 10), ("fashion_mnist", 10), ("cifar10", 10), ("cifar100", 100)])
def test_named_downloads(monkeypatch, name, classes):
    def download():
        shape = (28, 28) if "mnist" in name else (32, 32, 3)
        labels = (lambda n: np.arange(n) % classes) if "mnist" in name else (lambda n: np.arange(n)[:, None] % classes)
        return [(np.zeros((n, *shape), np.uint8), labels(n)) for n in (400, 100)]

    monkeypatch.setattr(getattr(keras.datasets, name), "load_data", download)
    data = load_data(name)
    assert data.counts == {"train": 360, "validation": 40, "test": 100}
    assert data.image_shape == ((28, 28, 1) if "mnist" in name else (32, 32, 3))
    assert len(set(data.class_names)) == classes
    assert everything(data.test)[1].tolist() == [i % classes for i in range(100)]


@pytest.mark.parametrize(
    "error",
    [
        Exception(
            "URL fetch failure on https://host/mnist.npz: None -- [Errno -3] Temporary failure\nin name resolution"
        ),
        ValueError("Incomplete or corrupted file detected. The sha256 file hash does not match."),
        TimeoutError("timed out"),
    ],
)
def test_a_failed_download_names_the_way_out(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr(keras.datasets.mnist, "load_data", fail)
    with pytest.raises(ConnectionError) as caught:
        load_data("mnist")
    text = str(caught.value)
    assert text.startswith("mnist could not be downloaded (") and text.count("\n") == 0 and text.endswith(".")
    assert "--data-dir (data_dir=)" in text and UNDERSTOOD in text


# -- IDX


@pytest.mark.parametrize("mark", "-.")
@pytest.mark.parametrize("zipped", [True, False])
def test_idx_files(tmp_path, mark, zipped):
    originals = write_mnist(tmp_path, mark=mark, zipped=zipped)
    data = load_data(data_dir=tmp_path, augment=False)
    assert data.counts == {"train": 27, "validation": 3, "test": 20}
    assert data.image_shape == (8, 8, 1) and data.name == tmp_path.name
    found = {image.tobytes() for part in (data.train, data.validation) for image in pixels(everything(part)[0])}
    assert found == {image.tobytes() for image in originals}


def test_idx_names_and_sizes(tmp_path):
    write_mnist(tmp_path, classes=5, test=False)
    data = load_data(None, data_dir=tmp_path, image_size=(12, 16))
    assert data.class_names == tuple("01234") and data.image_shape == (12, 16, 1)
    assert data.counts == {"train": 21, "validation": 3, "test": 6}
    assert next(iter(data.train))[0].shape == (21, 12, 16, 1)
    assert load_data("fashion_mnist", data_dir=tmp_path).class_names[9] == "Ankle boot"


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "content, sentence",
    [
        (b"", "not an IDX file of 3 axes: it begins with nothing"),
        (b"\0\0\x08", "begins with 000008"),
        (b"\0\0\x08\x01" + bytes(12), "begins with 00000801, not 00000803"),
        (b"\0\0\x0d\x03" + bytes(12), "begins with 00000d03"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 0, 2, 2), "its header says 0 x 2 x 2"),
        (struct.pack(">4B3I", 0, 0, 8, 3, *[2**32 - 1] * 3), "cut short: its header says 4294967295 x"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 2, 2, 2) + bytes(7), "2 x 2 x 2"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 2, 2, 2) + bytes(9), "more bytes where its header says 2 x 2 x 2"),
        (struct.pack(">4B3I", 0, 0, 8, 3, 1, 1, 1) + bytes(10**7), "more bytes"),
    ],
)
def test_wrong_idx_files_are_named(tmp_path, zipped, content, sentence):
    (tmp_path / "images").write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(ValueError, match=f"images .*{sentence}"):
        read_idx(tmp_path / "images", 3)


def test_half_a_gzip_file(tmp_path):
    whole = gzip.compress(idx(RANDOM.integers(0, 256, (9, 9, 9), np.uint8)))
    for content in (whole[: len(whole) // 2], whole[:5], whole[:-6] + b"broken", whole[:40] + b"?" * 20 + whole[60:]):
        (tmp_path / "images.gz").write_bytes(content)
        with pytest.raises(ValueError, match=r"images\.gz is not a whole gzip file: "):
            read_idx(tmp_path / "images.gz", 3)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.booleans())
def test_no_change_of_an_idx_file_raises_anything_but_value_errors(tmp_path_factory, changes, zipped):
    content = bytearray(idx(np.arange(24, dtype=np.uint8).reshape(2, 3, 4)))
    if zipped:
        content = bytearray(gzip.compress(content))
    for _ in range(changes.draw(st.integers(1, 3))):
        content[changes.draw(st.integers(0, len(content) - 1))] = changes.draw(st.integers(0, 255))
    del content[changes.draw(st.integers(0, len(content)) | st.just(len(content))) :]
    file = tmp_path_factory.getbasetemp() / "changed-idx"
    file.write_bytes(content)
    try:
        assert read_idx(file, 3).size == (24 if zipped else len(content) - 16)
    except ValueError as error:
        assert str(error).startswith(str(file))


def test_idx_files_that_do_not_fit_each_other(tmp_path):
    write_mnist(tmp_path, zipped=False)
    labels = tmp_path / "train-labels-idx1-ubyte"
    labels.write_bytes(idx(np.zeros(29, np.uint8)))
    with pytest.raises(ValueError, match=r"has 30 images, but .* has 29 labels"):
        load_data(data_dir=tmp_path)
    labels.write_bytes(idx(np.full(30, 77, np.uint8)))
    with pytest.raises(ValueError, match="has the label 77, more than the 10 classes of mnist"):
        load_data("mnist", data_dir=tmp_path)
    labels.unlink()
    with pytest.raises(ValueError, match="has no train-labels file"):
        load_data(data_dir=tmp_path)
    write_mnist(tmp_path, zipped=False)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((20, 9, 9), np.uint8)))
    with pytest.raises(ValueError, match="different sizes"):
        load_data(data_dir=tmp_path)
    with pytest.raises(ValueError, match="holds IDX files, not cifar10"):
        load_data("cifar10", data_dir=tmp_path)


def test_one_class_or_too_few_images(tmp_path):
    write_mnist(tmp_path, classes=1)
    with pytest.raises(ValueError, match="has one class, 0"):
        load_data(data_dir=tmp_path)
    write_mnist(tmp_path, classes=30)
    with pytest.raises(ValueError, match="has 50 images, too few for a training, a validation and a test set"):
        load_data(data_dir=tmp_path)


# -- CIFAR


@pytest.mark.parametrize("classes", [10, 100])
@pytest.mark.parametrize("place", ["archive", "beside", "below"])
def test_cifar_binaries(tmp_path, classes, place):
    files, images = cifar_files(classes)
    folder = "cifar-10-batches-bin" if classes == 10 else "cifar-100-binary"
    if place == "archive":
        write_tar(tmp_path / f"cifar-{classes}-binary.tar.gz", files, folder)
    else:
        target = tmp_path / (folder if place == "below" else ".")
        target.mkdir(exist_ok=True)
        for name, content in files.items():
            (target / name).write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    data = load_data(None, data_dir=tmp_path)
    assert data.counts == (
        {"train": 36, "validation": 4, "test": 20} if classes == 10 else {"train": 180, "validation": 20, "test": 20}
    )
    assert data.class_names[:2] == (("a", "b") if classes == 10 else ("class_0", "class_1"))
    found, labels = everything(data.test)
    np.testing.assert_array_equal(pixels(found), images)
    assert labels.tolist() == [i % classes for i in range(20)]
    assert sorted(tmp_path.rglob("*")) == before  # nothing unfolded on the disk


def test_cifar_without_names_or_test(tmp_path):
    (tmp_path / "data_batch_1.bin").write_bytes(cifar_records(40, 10)[0])
    data = load_data("cifar10", data_dir=tmp_path)
    assert data.class_names[0] == "airplane" and data.counts == {"train": 28, "validation": 4, "test": 8}


def test_two_sets_in_one_folder(tmp_path):
    for classes, folder in ((10, "cifar-10-batches-bin"), (100, "cifar-100-binary")):
        write_tar(tmp_path / f"cifar-{classes}-binary.tar.gz", cifar_files(classes)[0], folder)
    assert len(load_data("cifar100", data_dir=tmp_path).class_names) == 100
    with pytest.raises(ValueError, match="holds CIFAR-10 and CIFAR-100: give a name"):
        load_data(data_dir=tmp_path)
    with pytest.raises(ValueError, match="holds CIFAR-10 and CIFAR-100, not mnist"):
        load_data("mnist", data_dir=tmp_path)


def test_wrong_cifar_files_are_named(tmp_path):
    files, _ = cifar_files(10)
    for change, sentence in [
        (
            {"data_batch_2.bin": files["data_batch_2.bin"][:-1]},
            "data_batch_2.bin has 61459 bytes, not a multiple of 3073",
        ),
        ({"test_batch.bin": b""}, "test_batch.bin has 0 bytes"),
        ({"test_batch.bin": b"\x0a" * 3073}, "test_batch.bin has the label 10, more than 9"),
        ({"batches.meta.txt": b"a b c"}, "batches.meta.txt has 3 names, not 10"),
        ({"batches.meta.txt": b"\xff\xfe"}, "batches.meta.txt is not a text file"),
    ]:
        archive = tmp_path / "cifar-10-binary.tar.gz"
        write_tar(archive, files | change, "cifar-10-batches-bin")
        with pytest.raises(ValueError, match=sentence):
            load_data(data_dir=tmp_path)
    write_tar(archive, {"readme.html": b"hello"}, "cifar-10-batches-bin")
    with pytest.raises(ValueError, match=r"has no data_batch_\*\.bin or data_batch_\? in it"):
        load_data(data_dir=tmp_path)
    write_tar(archive, files, "cifar-10-batches-bin")
    whole = archive.read_bytes()
    for content in (b"", b"text", whole[: len(whole) // 2], whole[:20]):
        archive.write_bytes(content)
        with pytest.raises(ValueError, match=r"is not a whole tar\.gz archive"):
            load_data(data_dir=tmp_path)


def test_archives_that_unfold_without_end_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("inception_keras.data.cifar._LIMIT", 200_000)
    write_tar(tmp_path / "cifar-10-binary.tar.gz", {"data_batch_1.bin": bytes(3073 * 300)}, "a")
    with pytest.raises(ValueError, match="unfolds to more than 200000 bytes"):
        load_data(data_dir=tmp_path)


def test_links_in_an_archive_are_not_followed(tmp_path):
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz") as tar:
        link = tarfile.TarInfo("data_batch_1.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(ValueError, match="has no data_batch"):
        load_data(data_dir=tmp_path)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_change_of_an_archive_raises_anything_but_value_errors(tmp_path_factory, changes):
    file = tmp_path_factory.getbasetemp() / "changed.tar.gz"
    write_tar(file, {"data_batch_1.bin": bytes(3073), "test_batch.bin": bytes(3073)}, "a")
    content = bytearray(gzip.decompress(file.read_bytes()))
    for _ in range(changes.draw(st.integers(1, 4))):
        content[changes.draw(st.integers(0, 511))] = changes.draw(st.integers(0, 255))
    del content[changes.draw(st.just(len(content)) | st.integers(0, len(content))) :]
    file.write_bytes(gzip.compress(content, 1))
    try:
        read_cifar(file, "cifar10")
    except ValueError as error:
        assert str(error).startswith(str(file))


# -- folders of images


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_folder_of_photographs(tmp_path, monkeypatch, in_memory):
    write_photos(tmp_path)
    if not in_memory:
        monkeypatch.setattr(listing, "_IN_MEMORY", 0)
    data = load_data(None, data_dir=tmp_path, image_size=48, batch_size=4, augment=False)
    assert data.class_names == ("chelsea", "coffee") and data.image_shape == (48, 48, 3)
    assert data.counts == {"train": 8, "validation": 1, "test": 3} and data.skipped == []
    assert len(data.train) == 2
    images, labels = everything(data.train)
    wanted = {path: data.preprocessing(path) for path in tmp_path.rglob("*.png")}
    for image, label in zip(images, labels, strict=True):
        path = next(path for path, prepared in wanted.items() if (prepared == image).all())
        assert path.parent.name == data.class_names[label]


@pytest.mark.parametrize(
    ("in_memory", "sizes"),
    [(True, (None, 64)), (False, (64,)), pytest.param(False, (None,), marks=pytest.mark.slow)],
)
def test_the_preprocessing_of_weights_replaces_our_own(tmp_path, monkeypatch, in_memory, sizes):
    write_photos(tmp_path)
    if not in_memory:
        monkeypatch.setattr(listing, "_IN_MEMORY", 0)
    for size in sizes:
        wanted = SQUEEZENET1_1.resized((size, size)) if size else SQUEEZENET1_1
        data = load_data(None, data_dir=tmp_path, image_size=size, augment=False, preprocessing=SQUEEZENET1_1)
        assert data.preprocessing == wanted and data.image_shape == (*wanted.size, 3)
        images = np.concatenate([everything(part)[0] for part in (data.train, data.validation, data.test)])
        found = sorted(image.tobytes() for image in images)
        assert found == sorted(wanted(path).tobytes() for path in tmp_path.rglob("*.png"))
    assert SQUEEZENET1_1.resized((64, 64)).resize == 72


def test_grey_images_become_coloured_for_a_coloured_preprocessing():
    data = load_data("digits", image_size=24, augment=False, preprocessing=SQUEEZENET1_1)
    assert data.image_shape == (24, 24, 3) and data.preprocessing.resize is None
    images, _ = everything(data.validation)
    colours = images + np.float32(data.preprocessing.mean)
    np.testing.assert_allclose(colours - colours[..., :1], 0, atol=1e-3)
    alone = data.preprocessing((load_digits().images[0] * (255 / 16)).round().astype(np.uint8))
    every = np.concatenate([everything(part)[0] for part in (data.train, data.validation, data.test)])
    assert np.abs(every - alone).max(axis=(1, 2, 3)).min() < 1.01


def test_coloured_images_do_not_become_grey(tmp_path):
    (tmp_path / "data_batch_1.bin").write_bytes(cifar_records(40, 10)[0])
    with pytest.raises(ValueError, match="has 3 channels, the preprocessing is for 1"):
        load_data(None, data_dir=tmp_path, preprocessing=Preprocessing((32, 32), channels=1))


def test_decoded_once_or_in_each_epoch_is_the_same(tmp_path, monkeypatch):
    write_photos(tmp_path)
    kept = load_data(None, data_dir=tmp_path, image_size=(24, 40), batch_size=4)
    monkeypatch.setattr(listing, "_IN_MEMORY", 0)
    read = load_data(None, data_dir=tmp_path, image_size=(24, 40), batch_size=4)
    for _ in range(2):
        for a, b in zip(everything(kept.train), everything(read.train), strict=True):
            np.testing.assert_array_equal(a, b)
    assert isinstance(kept.train.element_spec[0], tf.TensorSpec)
    assert kept.train.element_spec == read.train.element_spec


@pytest.mark.parametrize("validation", ["val", "validation", None])
def test_a_folder_with_splits(tmp_path, validation):
    write_photos(tmp_path / "train")
    write_photos(tmp_path / "test", 2)
    if validation:
        write_photos(tmp_path / validation, 3)
    data = load_data(None, data_dir=tmp_path, image_size=16)
    wanted = {"train": 12, "validation": 6, "test": 4} if validation else {"train": 10, "validation": 2, "test": 4}
    assert data.counts == wanted
    (tmp_path / "test" / "coffee").rename(tmp_path / "test" / "tea")
    with pytest.raises(ValueError, match="test has the class tea, which the training images have not"):
        load_data(None, data_dir=tmp_path)


def test_a_class_may_be_called_train(tmp_path):
    write_photos(tmp_path)
    (tmp_path / "coffee").rename(tmp_path / "train")
    assert load_data(None, data_dir=tmp_path, image_size=16).class_names == ("chelsea", "train")
    (tmp_path / "chelsea").rename(tmp_path / "test")  # but of two splits nobody makes classes
    with pytest.raises(ValueError, match=r"6 images in test, 6 images in train are in no folder of a class; put"):
        load_data(None, data_dir=tmp_path)


@pytest.mark.parametrize("in_memory", [True, False])
def test_what_cannot_be_read_is_skipped_and_named(tmp_path, monkeypatch, in_memory):
    write_photos(tmp_path)
    if not in_memory:
        monkeypatch.setattr(listing, "_IN_MEMORY", 0)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600 * 450)
    reasons = broken_files(tmp_path / "coffee") | {
        "notes.txt": "is not named as one of",
        "bomb.bmp": "more than 270000",
    }
    (tmp_path / "coffee" / "notes.txt").write_text("not an image")
    (tmp_path / "coffee" / "whole.png").rename(tmp_path / "coffee" / "png named as.JPG")
    Image.new("RGB", (1, 270_001)).save(tmp_path / "coffee" / "bomb.bmp")
    (tmp_path / "coffee" / ".hidden").touch()
    (tmp_path / "coffee" / "folder.png").mkdir()
    with pytest.raises(ValueError, match="has 6 of 20 images that cannot be used, more than max_unreadable="):
        load_data(None, data_dir=tmp_path, image_size=16, max_unreadable=0.25)
    data = load_data(None, data_dir=tmp_path, image_size=16, max_unreadable=0.3)
    skipped = {path.name: reason for path, reason in data.skipped}
    assert skipped.keys() == reasons.keys() and len(data.skipped) == len(reasons)
    assert all(reason in skipped[name] for name, reason in reasons.items())
    assert sum(data.counts.values()) == 14  # with whole.jpg and "png named as.JPG"
    assert len(everything(data.train)[0]) == data.counts["train"]


@pytest.mark.parametrize("in_memory", [True, False])
def test_every_mode_of_image_in_a_folder(tmp_path, monkeypatch, in_memory):
    if not in_memory:
        monkeypatch.setattr(listing, "_IN_MEMORY", 0)
    for label in "ab":
        (tmp_path / label).mkdir()
        for name, make in MODES.items():
            make().save(tmp_path / label / name.replace("jpeg", "JPEG"))
    data = load_data(None, data_dir=tmp_path, image_size=16)
    assert data.skipped == [] and sum(data.counts.values()) == 2 * len(MODES)
    assert everything(data.train)[0].shape == (data.counts["train"], 16, 16, 3)


def test_folders_that_hold_no_data_set(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*missing\."):
        load_data(data_dir=tmp_path / "missing")
    with pytest.raises(ValueError, match="holds nothing that is understood: it may hold IDX files") as caught:
        load_data(data_dir=tmp_path)
    assert UNDERSTOOD in str(caught.value)
    write_photos(tmp_path / "some")
    with pytest.raises(ValueError, match=r"has one class, some, with the folders chelsea, coffee in it: did you"):
        load_data(data_dir=tmp_path)
    (tmp_path / "some" / "tea").mkdir()
    with pytest.raises(ValueError, match=r"some has no training image of the class tea"):
        load_data(data_dir=tmp_path / "some")
    broken_files(tmp_path / "some" / "tea")
    for path in (tmp_path / "some" / "tea").glob("whole.*"):
        path.unlink()
    with pytest.raises(ValueError, match=r"some has no training image that can be read of the class tea"):
        load_data(data_dir=tmp_path / "some", max_unreadable=1)

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(OSError, match="some cannot be read: Permission denied"):
        load_data(data_dir=tmp_path / "some")

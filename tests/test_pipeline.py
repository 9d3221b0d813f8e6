"""Batches depend only on seed, epoch and index: skipping, sharing among workers, augmentation, files that vanish."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from photos import write as write_photos_as_imagenet
from PIL import Image
from scipy.stats import beta, ks_2samp, kstest
from skimage import data as photos
from tensorflow.python.framework.config import disable_op_determinism
from test_data import everything, write_photos
from test_preprocessing import MODES
from typer.testing import CliRunner

from inception_keras import load_data
from inception_keras.cli import app
from inception_keras.data import augment, listing
from inception_keras.data.pipeline import Batches, _first
from inception_keras.data.preprocessing import Preprocessing
from inception_keras.data.splits import Part
from inception_keras.data.targets import Labels
from inception_keras.data.unreadable import Unreadable
from inception_keras.deploy.bench_data import bench_data

SLOW = pytest.mark.slow
needs_torchvision = pytest.mark.skipif(not find_spec("torchvision"), reason="the extra `bench` brings it")


def write_jpegs(folder: Path, count: int, size: tuple[int, int] = (60, 40)) -> None:
    """Writes two classes of photographs that all differ."""
    for name, photo in (("coffee", photos.coffee()), ("chelsea", photos.chelsea())):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(photo[i:, 2 * i :]).resize(size).save(folder / name / f"{i}.jpg", quality=90)


def equal(a, b) -> None:
    for x, y in zip(everything(a), everything(b), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.fixture(params=["memory", "files"])
def data(request, tmp_path, monkeypatch):
    """A data set with 14 training images in batches of 5; the last batch has 4."""
    if request.param == "files":
        monkeypatch.setattr(listing, "_IN_MEMORY", 0)
    write_photos(tmp_path / "train", 8)
    (tmp_path / "train/coffee/0.png").unlink()
    write_photos(tmp_path / "test", 3)
    loaded = load_data(None, data_dir=tmp_path, image_size=(12, 16), batch_size=5, validation=0.01)
    assert loaded.counts == {"train": 14, "validation": 1, "test": 6}
    return loaded


# -- epochs


def test_an_epoch_is_a_function_of_its_number(data):
    (first, order), (second, other) = epochs = [everything(data.epoch(number)) for number in (0, 1)]
    assert first.shape == second.shape == (14, 12, 16, 3) and not np.array_equal(first, second)
    assert sorted(order) == sorted(other)
    for images, labels in epochs:  # each time that it is iterated, the next
        again = everything(data.train)
        np.testing.assert_array_equal(again[0], images)
        np.testing.assert_array_equal(again[1], labels)


def test_skipped_batches_change_nothing(data):
    whole = list(data.epoch(3).as_numpy_iterator())
    assert len(whole) == len(data.epoch(3)) == 3
    rest = data.epoch(3, skip=1)
    assert len(rest) == 2 and len(list(data.epoch(3, skip=3))) == 0
    for (a, x), (b, y) in zip(rest.as_numpy_iterator(), whole[1:], strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(x, y)


def test_epochs_follow_one_another(data):
    following = data.epoch(2, skip=1).concatenate(data.epoch(3)).concatenate(data.epoch(4))
    equal(data.epochs(2, skip=1).take(2 + 3 + 3), following)


def test_skipped_images_are_not_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "_IN_MEMORY", 0)
    write_photos(tmp_path)
    data = load_data(None, data_dir=tmp_path, image_size=8, batch_size=4)
    opened = []
    fit = Preprocessing.resize_and_crop
    monkeypatch.setattr(
        Preprocessing, "resize_and_crop", lambda self, *args: (opened.append(args), fit(self, *args))[1]
    )
    everything(data.epoch(0, skip=1))
    assert len(opened) == 4


@pytest.mark.parametrize(
    "data, split, workers",
    [
        *(("memory", "train", 5), ("files", "train", 5), ("files", "test", 3)),
        pytest.param("memory", "test", 3, marks=SLOW),
    ],
    indirect=["data"],
)
def test_the_shares_of_all_workers_are_the_batch(data, split, workers):
    make = (lambda shard: data.epoch(1, 1, shard)) if split == "train" else (lambda shard: data.split("test", shard))
    shares = [list(make((index, workers)).as_numpy_iterator()) for index in range(workers)]
    whole = list(make((0, 1)).as_numpy_iterator())
    for step, (images, labels) in enumerate(whole):
        sizes = [len(share[step][1]) for share in shares]
        assert max(sizes) - min(sizes) <= 1
        np.testing.assert_array_equal(np.concatenate([share[step][0] for share in shares]), images)
        np.testing.assert_array_equal(np.concatenate([share[step][1] for share in shares]), labels)
    assert {len(share) for share in shares} == {len(whole)}


def test_splits_in_order(data):
    equal(data.split("test"), data.test)
    assert (np.diff(everything(data.split("train"))[1]) >= 0).all()


def shares_add_up(size, count, workers):
    """The shares of the workers add up to the batch, and none is larger than a share of a full batch."""
    count = min(size, count)
    firsts, whole = ([int(_first(n, index, workers)) for index in range(workers + 1)] for n in (count, size))
    assert firsts[0] == 0 and firsts[-1] == count
    for share, greatest in zip(np.diff(firsts), np.diff(whole), strict=True):
        assert count // workers <= share <= -(-count // workers) and share <= greatest


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 30), st.integers(0, 30), st.data())
def test_shares_of_any_size(size, count, more):
    shares_add_up(size, count, more.draw(st.integers(1, size)))


@SLOW
@settings(deadline=None)
@given(st.integers(1, 100), st.integers(0, 100), st.data())
def test_shares_of_larger_batches(size, count, more):
    shares_add_up(size, count, more.draw(st.integers(1, size)))


@pytest.mark.parametrize("count, size, seed", [(1, 1, 0), (5, 9, 2**70), (9, 3, 1)])
def test_sizes_and_seeds(count, size, seed):
    part = Part(np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1), Labels(np.arange(count)))
    batches = Batches(part, Preprocessing((1, 1), channels=1), size, seed=seed % 2**63)
    images, labels = everything(batches.dataset(4))
    assert sorted(labels) == list(range(count)) and (count < 2 or sorted(labels) != list(labels))
    np.testing.assert_array_equal(np.round((images.ravel() + 1) * 127.5), labels)


def test_wrong_epochs(data):
    for wrong, sentence in [
        ({"number": -1}, "number of an epoch must be an int of at least 0, got -1"),
        ({"skip": 4}, "skip must be at most 3, the batches of an epoch, got 4"),
        ({"skip": -1}, "skip must be an int of at least 0"),
        ({"shard": (2, 2)}, "index of a shard must be below their count, 2, got 2"),
        ({"shard": (-1, 2)}, "index of a shard must be an int"),
        ({"shard": (0, 0)}, "count of shards must be an int"),
        ({"shard": (0, 6)}, "A batch of 5 images cannot be shared by 6 workers"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            data.epoch(**({"number": 0} | wrong))
    with pytest.raises(ValueError, match="must be 'train', 'validation' or 'test', got 'val'"):
        data.split("val")


def test_op_determinism_changes_nothing(data):
    before = everything(data.epoch(1))
    tf.config.experimental.enable_op_determinism()
    try:
        after = everything(data.epoch(1))
    finally:
        disable_op_determinism()
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)


# -- augmentation


def drawn(count: int, seed: int = 0, step: int = 0):
    key = augment.key(seed, tf.constant(0, tf.int64), tf.constant(step, tf.int64))
    return augment.draw(key, count, tf.range(count))


def torchvisions_windows(height: int, width: int, count: int):
    """The crops that torchvision draws, in a separate process: some versions crash one that has loaded TensorFlow."""
    code = f"""
import torch
from torchvision.transforms import RandomResizedCrop
torch.manual_seed(0)
image = torch.zeros(3, {height}, {width})
print([RandomResizedCrop.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range({count})])
"""
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    return np.array(json.loads(printed.replace("(", "[").replace(")", "]"))).T


@needs_torchvision
@pytest.mark.parametrize("height, width", [(375, 500), (224, 224), (8, 300)])
def test_crops_are_distributed_as_torchvisions(height, width):
    theirs = torchvisions_windows(height, width, 1500)
    top, left, high, wide = augment.windows(augment.crop_numbers(drawn(1500)), height, width).numpy().T
    assert (top >= 0).all() and (left >= 0).all() and (high > 0).all() and (wide > 0).all()
    assert (top + high <= height).all() and (left + wide <= width).all()
    if height == 8:  # nothing fits: the centre
        assert {*high} == {8} and {*wide} == {11} and theirs[2:].T.tolist() == [[8, 11]] * 1500
        assert np.abs(left - theirs[1]).max() <= 1
        return
    for a, b in zip((top, left, high, wide, high * wide), (*theirs, theirs[2] * theirs[3]), strict=True):
        assert ks_2samp(a, b).pvalue > 1e-3


def test_a_crop_is_that_part_of_the_image():
    ramp = tf.cast(tf.stack(tf.meshgrid(tf.range(0, 240, 4), tf.range(0, 240, 6)), axis=-1), tf.uint8)[None]  # x, y
    images = tf.repeat(ramp, 64, axis=0)
    windows = augment.windows(augment.crop_numbers(drawn(64)), 40, 60)
    crops = augment.crop(images, windows).numpy().astype(float)
    assert crops.shape == images.shape
    for crop, (top, left, high, wide) in zip(crops, windows.numpy(), strict=True):
        x = 4 * np.clip(left + (np.arange(60) + 0.5) * wide / 60 - 0.5, 0, 59)
        y = 6 * np.clip(top + (np.arange(40) + 0.5) * high / 40 - 0.5, 0, 39)
        assert np.abs(crop - np.stack(np.meshgrid(x, y), axis=-1)).max() < 0.51


def test_sides_by_turns():
    data = load_data("digits", batch_size=400, train_sizes=[24, 40])
    plain = load_data("digits", batch_size=400)
    sides = [{tuple(images.shape[1:]) for images, _ in data.epoch(number)} for number in range(3)]
    assert sides == [{(24, 24, 1)}, {(40, 40, 1)}, {(24, 24, 1)}]
    for split in ("validation", "test"):
        assert {tuple(images.shape[1:]) for images, _ in data.split(split)} == {(32, 32, 1)}
    (images, labels), (whole, same) = (next(iter(one.epoch(1))) for one in (data, plain))
    np.testing.assert_array_equal(labels, same)
    np.testing.assert_allclose(images, tf.image.resize(whole, (40, 40)), atol=1e-5)
    assert [len(images) for images, _ in data.epochs(1, skip=3).take(2)] == [93, 400]
    for sizes, sentence in (
        (180, "train_sizes must be a list of ints, got 180"),
        ([0], "a side of train_sizes must be"),
    ):
        with pytest.raises((TypeError, ValueError), match=sentence):
            load_data("digits", train_sizes=sizes)
    with pytest.raises(ValueError, match="train_sizes needs images that have one label each, got boxes"):
        load_data("scenes", task="detection", count=8, train_sizes=[64])


def test_who_is_mirrored(tmp_path):
    write_photos(tmp_path, 10)
    for kind in augment.KINDS:
        for flip in (True, False, None):
            data = load_data(None, data_dir=tmp_path, image_size=8, augment=kind, flip=flip)
            assert data.batches["train"].flip is (kind != "none" if flip is None else flip)
            assert load_data("digits", augment=kind, flip=flip).batches["train"].flip is bool(flip)


def test_half_of_the_images_are_mirrored():
    images = tf.repeat(tf.range(6)[None, None, :, None], 1000, axis=0)
    first = augment.flip(images, drawn(1000))[:, 0, 0, 0].numpy()
    assert set(first) == {0, 5} and 430 < (first == 5).sum() < 570


@pytest.mark.parametrize("name, alpha", [("mixup", 0.2), ("mixup", 1.0), ("cutmix", 1.0)])
@pytest.mark.parametrize("steps", [80, pytest.param(150, marks=SLOW)])
def test_mixtures(name, alpha, steps):
    images = np.stack([np.full((20, 30, 2), value, np.float32) for value in (0, 1, 0)])
    labels = np.eye(3, dtype=np.float32)
    shares = []
    for step in range(steps):
        key = augment.key(0, tf.constant(1, tf.int64), tf.constant(step, tf.int64))
        mixed, mixture = augment.mix(images, labels, key, **{"mixup": 0.0, "cutmix": 0.0, name: alpha})
        mixed, mixture = mixed.numpy(), mixture.numpy()
        assert mixed.shape == (2, 20, 30, 2) and mixture.shape == (2, 3)
        share = mixture[0, 1]
        np.testing.assert_allclose(mixture, [[1 - share, share, 0], [0, 1 - share, share]], atol=1e-5)
        np.testing.assert_allclose(mixed.mean((1, 2, 3)), [share, 1 - share], atol=1e-5)
        if name == "cutmix":
            rows, columns = np.nonzero(mixed[0, ..., 0])
            assert set(np.unique(mixed)) <= {0, 1}
            assert len(rows) == 0 or len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)  # a rectangle
        else:
            assert np.ptp(mixed[0]) < 1e-6
        shares.append(share)
    if name == "mixup":
        assert kstest(shares, beta(alpha, alpha).cdf).pvalue > 1e-3
    else:
        assert 0.2 < np.mean(shares) < 0.5  # half, less what lies outside


@pytest.mark.parametrize("steps", [50, pytest.param(100, marks=SLOW)])
def test_mixup_and_cutmix_take_turns(steps):
    images = np.stack([np.zeros((8, 8, 1), np.float32), np.ones((8, 8, 1), np.float32)])
    pictures = [
        augment.mix(images, np.eye(2, dtype=np.float32), augment.key(0, np.int64(0), np.int64(step)), 1.0, 1.0)[0]
        for step in range(steps)
    ]
    mixed = sum(len(np.unique(picture)) == 1 and 0 < np.max(picture) < 1 for picture in pictures)
    assert 0.3 * steps < mixed < 0.7 * steps


KINDS = [("shift", True), ("crop", False), ("none", True), ("shift", False)]


# the last batch has 2 images, so that one of 3 workers gets none
@pytest.mark.parametrize(
    "kind, in_memory, workers", [("shift", True, 2), *(pytest.param(*kind, 3, marks=SLOW) for kind in KINDS)]
)
def test_every_kind_is_a_function_of_seed_epoch_and_batch(tmp_path, monkeypatch, kind, in_memory, workers):
    monkeypatch.setattr(listing, "_IN_MEMORY", 2**29 if in_memory else 0)
    write_jpegs(tmp_path, 7)
    options = {"image_size": (24, 32), "batch_size": 4, "validation": 0.01, "augment": kind, "flip": True}
    data, again = (load_data(None, data_dir=tmp_path, mixup=0.4, cutmix=1.0, seed=1, **options) for _ in range(2))
    images, labels = everything(data.epoch(0))
    assert images.shape == (10, 24, 32, 3) and labels.shape == (10, 2) and labels.dtype == np.float32
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
    assert ((labels > 0) & (labels < 1)).any()
    for a, b in zip(everything(again.train), (images, labels), strict=True):
        np.testing.assert_array_equal(a, b)
    rest = everything(data.epoch(0, skip=1))
    np.testing.assert_array_equal(rest[0], images[4:])
    shares = [list(data.epoch(0, 0, (index, workers)).as_numpy_iterator()) for index in range(workers)]
    batches = [np.concatenate([share[step][column] for share in shares]) for column in (0, 1) for step in range(3)]
    np.testing.assert_array_equal(np.concatenate(batches[:3]), images)
    np.testing.assert_allclose(np.concatenate(batches[3:]), labels, atol=1e-6)
    assert set(np.unique(everything(data.validation)[1])) == {0, 1}  # one-hot, too


@pytest.mark.parametrize("side", [190, pytest.param(32, marks=SLOW)])
def test_a_crop_of_files_shows_what_is_there(tmp_path, side):
    """The part of a JPEG that TensorFlow decodes equals Pillow's, except for rounding."""
    write_jpegs(tmp_path, 12, (300, 200))
    data = load_data(None, data_dir=tmp_path, image_size=32, batch_size=4, augment="crop", flip=False)
    batches = data.batches["train"]
    assert (batches.part.jpeg == (200, 300)).all()
    batches = replace(batches, preprocessing=Preprocessing((side, side), resize=side))
    slow = replace(batches, part=replace(batches.part, jpeg=None))
    a, b = everything(batches.dataset(5)), everything(slow.dataset(5))
    np.testing.assert_array_equal(a[1], b[1])
    if side == 190:
        assert np.abs(a[0] - b[0]).mean() < 1 / 127.5
    else:  # JPEG's own transform makes halves of whole pixels
        assert np.corrcoef(a[0].ravel(), b[0].ravel())[0, 1] > 0.95


@pytest.mark.parametrize(
    "kind, in_memory, orientation", [("none", True, 6), ("shift", False, 3), ("crop", False, 6), ("crop", False, 1)]
)
def test_photographs_are_upright(tmp_path, monkeypatch, kind, orientation, in_memory):
    monkeypatch.setattr(listing, "_IN_MEMORY", 2**29 if in_memory else 0)
    upright = np.repeat(np.linspace(0, 255, 64, dtype=np.uint8)[:, None], 64, axis=1)  # dark above, bright below
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying = np.rot90(upright, {1: 0, 3: 2, 6: 1}[orientation])
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(6):
            Image.fromarray(np.ascontiguousarray(lying)).save(tmp_path / name / f"{i}.jpg", exif=exif)
    data = load_data(None, data_dir=tmp_path, image_size=16, augment=kind)
    for part in (data.train, data.validation):
        for image in everything(part)[0]:
            seen = image[3:-3, 3:-3].mean(axis=-1)  # without what a shift leaves black
            assert (np.diff(seen.mean(axis=1)) > 0).all() and np.ptp(seen, axis=1).max() < 0.1


def test_every_mode_of_image_is_cropped(tmp_path):
    for label in "ab":
        (tmp_path / label).mkdir()
        for name, make in MODES.items():
            make().save(tmp_path / label / name.replace("jpeg", "JPEG"))
    data = load_data(None, data_dir=tmp_path, image_size=16, augment="crop", batch_size=3)
    assert everything(data.epoch(0))[0].shape == (data.counts["train"], 16, 16, 3) and data.skipped == []


def test_crops_of_records(tmp_path):
    """Images inside other files are decoded like images in separate files."""
    write_jpegs(tmp_path / "files", 8)
    files = sorted((tmp_path / "files").rglob("*.jpg"))
    with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
        for path in files:
            features = {"image": path.read_bytes(), "label": path.parent.name.encode()}
            lists = {k: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for k, v in features.items()}
            writer.write(tf.train.Example(features=tf.train.Features(feature=lists)).SerializeToString())
    options = {"image_size": 16, "augment": "crop", "batch_size": 4}
    a = load_data(None, data_dir=tmp_path / "files", **options)
    (tmp_path / "records").mkdir()
    (tmp_path / "a.tfrecord").rename(tmp_path / "records/a.tfrecord")
    b = load_data(None, data_dir=tmp_path / "records", **options)
    assert (b.batches["train"].part.jpeg > 0).all()
    equal(a.epoch(0), b.epoch(0))


def test_wrong_changes():
    for options, sentence in [
        ({"augment": "twist"}, "augment must be 'none', 'shift' or 'crop', got 'twist'"),
        ({"flip": "yes"}, "flip must be True or False, got 'yes'"),
        ({"mixup": -0.1}, "mixup must be a number at least 0 and below 10000, got -0.1"),
        ({"cutmix": float("nan")}, "cutmix must be a number at least 0 and below 10000, got nan"),
    ]:
        with pytest.raises((ValueError, TypeError), match=sentence):
            load_data("digits", **options)


# -- files that go


def changed(folder, data, count: int) -> dict:
    """Breaks some training files in different ways and returns their names with the expected messages."""
    files = sorted(data.batches["train"].part.images)[:count]
    ways = {
        "is no longer there": lambda path: path.unlink(),
        "is empty": lambda path: path.write_bytes(b""),
        "is no JPEG, PNG": lambda path: path.write_bytes(b"not an image"),
        "cannot be read: ": lambda path: path.write_bytes(path.read_bytes()[:300]),
    }
    for path, break_ in zip(files, ways.values(), strict=False):
        break_(path)
    return dict(zip(files, ways, strict=False))


@pytest.mark.parametrize("kind, workers", [("none", 1), pytest.param("crop", 2, marks=SLOW)])
def test_files_that_become_unreadable_are_replaced_and_named(tmp_path, monkeypatch, kind, workers):
    monkeypatch.setattr(listing, "_IN_MEMORY", 0)
    write_jpegs(tmp_path, 16)
    data = load_data(None, data_dir=tmp_path, image_size=16, batch_size=6, augment=kind, max_unreadable=0.5)
    count, before = data.counts["train"], everything(data.epoch(0))
    order = everything(replace(data.batches["train"], augment="none", flip=False).dataset(0))[0]
    reasons = changed(tmp_path, data, 4)
    shares = [list(data.epoch(0, 0, (index, workers)).as_numpy_iterator()) for index in range(workers)]
    after = [np.concatenate([share[step][i] for step in range(len(shares[0])) for share in shares]) for i in (0, 1)]
    assert after[0].shape == before[0].shape and after[1].shape == (count,)
    same = (after[0] == before[0]).all(axis=(1, 2, 3))
    assert same.sum() == count - 4
    np.testing.assert_array_equal(everything(data.epoch(0))[0], after[0])
    equal(data.epochs(0).take(2 * len(data.epoch(0))), data.epoch(0).concatenate(data.epoch(1)))
    found = dict(data.skipped)
    assert len(data.skipped) == 4 and found.keys() == reasons.keys()  # each once, though they were met twice
    for path, reason in reasons.items():
        assert reason in found[path]
    if kind == "none":
        plain = everything(replace(data.batches["train"], flip=False).dataset(0))[0]
        for i in np.flatnonzero((plain != order).any(axis=(1, 2, 3))):
            batch = order[i // 6 * 6 : i // 6 * 6 + 6]
            assert any((plain[i] == other).all() for other in batch)  # replaced by another of the batch


@pytest.mark.parametrize("kind", ["none", "crop"])
def test_a_batch_of_one_image_that_goes(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(listing, "_IN_MEMORY", 0)
    write_jpegs(tmp_path, 8)
    data = load_data(None, data_dir=tmp_path, image_size=8, batch_size=1, augment=kind, max_unreadable=0.5)
    count, order = data.counts["train"], data.batches["train"]._order(np.int64(0)).numpy()
    for place in (0, 3, 4, count - 1):  # both ends of an epoch, and two in a row
        data.batches["train"].part.images[order[place]].unlink()
    first = everything(data.epoch(0))
    assert len(first[0]) == count and len(data.skipped) == 4
    for both, *parts in zip(everything(data.epochs(0).take(2 * count)), first, everything(data.epoch(1)), strict=True):
        np.testing.assert_array_equal(both, np.concatenate(parts))


@pytest.mark.parametrize("kind", ["none", pytest.param("crop", marks=SLOW)])
def test_too_many_files_that_go_stop_the_run(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(listing, "_IN_MEMORY", 0)
    write_jpegs(tmp_path, 20)
    data = load_data(None, data_dir=tmp_path, image_size=8, augment=kind, max_unreadable=0.1, batch_size=5)
    files = data.batches["train"].part.images
    limit = int(0.1 * len(files))
    for path in files[:limit]:
        path.unlink()
    everything(data.epoch(0))
    data.check()
    files[limit].unlink()
    with pytest.raises(tf.errors.OpError):
        everything(data.epoch(0))
    sentence = (
        f"{limit + 1} of {len(files)} images can be read no more, and max_unreadable allows a share of 0.1: .* is no"
    )
    with pytest.raises(ValueError, match=sentence) as caught:
        data.check()
    assert all(str(path) in str(caught.value) for path in files[: limit + 1]) and str(caught.value).endswith(".")


def test_many_threads_write_each_file_once():
    skipped = []
    unreadable = Unreadable(skipped, 1000, 0.5)
    with ThreadPool(8) as pool:
        pool.map(lambda i: unreadable.add(Path(str(i % 50)), FileNotFoundError()), range(4000))
    assert sorted(skipped) == sorted((Path(str(i)), "is no longer there") for i in range(50))
    many = Unreadable([], 50, 0.0)
    for i in range(30):
        with pytest.raises(ValueError, match=rf"^{i + 1} of 50 images"):
            many.add(Path(str(i)), OSError(13, "Permission denied"))
    with pytest.raises(ValueError, match=r"19 cannot be read: Permission denied, and 10 more\.$"):
        many.check()


# -- speed: what is compared, not how fast it is


@needs_torchvision
def test_bench_refuses_what_cannot_be_compared(tmp_path):
    write_jpegs(tmp_path, 2)
    (tmp_path / "coffee/0.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"0\.jpg is empty; torchvision's loader would fail on it\."):
        bench_data(tmp_path)
    for arguments in (["bench"], ["bench", "resnet18", "--data", str(tmp_path)]):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 1 and "needs model ids, or --data with a folder of images" in result.output


@pytest.mark.slow
@needs_torchvision
def test_both_pipelines_run(tmp_path):
    write_photos_as_imagenet(tmp_path, 16)
    made = bench_data(tmp_path, size=32, batch=4, rounds=1)
    assert made.images == 16 and made.ours > 0 and made.theirs > 0 and made.ratio > 0

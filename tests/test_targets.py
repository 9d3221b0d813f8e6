"""Masks and boxes move with their images: what an image shows after every change is what its mask or boxes say."""

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from inception_keras.data.images import UnreadableImage
from inception_keras.data.mask_file import read_mask
from inception_keras.data.pipeline import Batches
from inception_keras.data.preprocessing import Preprocessing
from inception_keras.data.splits import Part, complete
from inception_keras.data.targets import VOID, Boxes, Labels, Masks
from inception_keras.data.unreadable import Unreadable

HEIGHT, WIDTH = 90, 120
SIZE = (40, 48)
SQUASHED, CENTRE = Preprocessing(SIZE, mean=(0.0,), std=(1.0,)), Preprocessing(SIZE, resize=60, mean=(0.0,), std=(1.0,))
COUNT = 11
SLOW = pytest.mark.slow  # as others are but for what they read
PALETTE = np.random.default_rng(0).integers(0, 256, 768, np.uint8).tolist()


def save_mask(path: Path, mask: np.ndarray) -> None:
    """Writes a mask as PASCAL VOC stores it: a PNG with a palette."""
    image = Image.fromarray(mask, "L")
    image.putpalette(PALETTE)  # turns it into a palette image
    image.save(path)


def batches_of(part: Part, preprocessing=SQUASHED, **options) -> Batches:
    return Batches(part, preprocessing, 4, **({"seed": 3} | options))


def everything(dataset) -> tuple[list, list]:
    """The images of a dataset, and the targets of each."""
    images, targets = [], []
    for batch, found in dataset.as_numpy_iterator():
        images += list(batch)
        targets += [tf.nest.map_structure(lambda values, i=i: values[i], found) for i in range(len(batch))]
    return images, targets


def equal(a, b) -> None:
    for x, y in zip(tf.nest.flatten(a), tf.nest.flatten(b), strict=True):
        np.testing.assert_array_equal(x, y)


def objects(target: dict) -> dict:
    """The boxes of an image without the padding."""
    real = target["classes"] >= 0
    assert not target["boxes"][~real].any() and not target["difficult"][~real].any()
    return {name: target[name][real] for name in ("boxes", "classes", "difficult")} | {"dropped": target["dropped"]}


# -- masks


def ramps() -> np.ndarray:
    """Masks whose value grows by one from pixel to pixel, down and to the right; it begins with another in each."""
    first, down, right = np.ogrid[1 : COUNT + 1, :HEIGHT, :WIDTH]
    return (first + down + right).astype(np.uint8)


def masks_part(folder: Path | None, masks: np.ndarray) -> Part:
    """Images whose pixels are their masks."""
    if folder is None:
        return Part(np.repeat(masks[..., None], 3, axis=-1), Masks(masks, 250))
    files = [[folder / f"{i}{kind}.png" for i in range(len(masks))] for kind in ("", "_mask")]
    for mask, image_file, mask_file in zip(masks, *files, strict=True):
        Image.fromarray(mask, "L").save(image_file)
        save_mask(mask_file, mask)
    return Part(files[0], Masks(files[1], 250))


@pytest.mark.parametrize(
    "kind, flip, source",
    [
        ("crop", True, "files"),
        ("none", False, "centre of files"),
        ("shift", True, "memory"),
        *(pytest.param("crop", False, source, marks=SLOW) for source in ("files", "memory")),
        *(pytest.param("shift", True, source, marks=SLOW) for source in ("files", "centre of files")),
        *(pytest.param("none", True, source, marks=SLOW) for source in ("files", "centre of files", "memory")),
    ],
)
def test_an_image_that_is_its_mask_remains_it(tmp_path, kind, flip, source):
    part = masks_part(None if source == "memory" else tmp_path, ramps())
    preprocessing = CENTRE if "centre" in source else SQUASHED
    images, masks = everything(batches_of(part, preprocessing, augment=kind, flip=flip).dataset(1))
    assert len(images) == COUNT
    for image, mask in zip(images, masks, strict=True):
        assert mask.shape == SIZE and mask.dtype == np.uint8
        void = mask == VOID
        if kind == "shift":
            np.testing.assert_array_equal(void, (image == 0).all(axis=-1))
            assert void.mean() < 0.25
        else:
            assert not void.any()
        # the nearest pixel is up to half a pixel from the place that is interpolated, down and to the right
        difference = (image[..., 0] - mask)[~void]
        assert np.abs(difference).max() <= 2 and abs(difference.mean()) < 0.3
    assert len({mask.tobytes() for mask in masks}) == COUNT


def test_without_resizing_image_and_mask_are_equal():
    masks = np.random.default_rng(1).integers(1, 250, (COUNT, *SIZE), np.uint8)
    images, masks = everything(batches_of(masks_part(None, masks), augment="shift", flip=True).dataset(0))
    np.testing.assert_array_equal(np.where(np.equal(masks, VOID), 0, masks), np.array(images)[..., 0])


@pytest.mark.slow
@pytest.mark.parametrize("in_memory", [True, False])
def test_void_and_classes_are_never_blended(tmp_path, in_memory):
    masks = np.random.default_rng(1).choice(np.array([0, 7, VOID], np.uint8), (COUNT, HEIGHT, WIDTH))
    part = masks_part(None if in_memory else tmp_path, masks)
    part = replace(part, targets=replace(part.targets, classes=8))
    assert {*np.unique(everything(batches_of(part, augment="crop").dataset(0))[1])} == {0, 7, VOID}


@pytest.mark.parametrize("kind", ["none", pytest.param("crop", marks=SLOW)])
def test_an_image_whose_mask_cannot_be_read_is_replaced_and_named(tmp_path, kind):
    part = masks_part(tmp_path, ramps())
    skipped: list = []
    batches = batches_of(part, augment=kind, unreadable=Unreadable(skipped, COUNT, 0.8))
    before = everything(batches.dataset(0))
    files = part.targets.files
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:60])
    Image.new("RGB", (WIDTH, HEIGHT), "red").save(files[2])
    Image.new("L", (WIDTH, HEIGHT - 1)).save(files[3])
    save_mask(files[4], np.full((HEIGHT, WIDTH), 251, np.uint8))
    Image.new("L", (WIDTH, HEIGHT)).save(files[5], format="JPEG")
    part.images[6].unlink()
    images, masks = everything(batches.dataset(0))
    assert len(images) == COUNT
    assert all(np.abs(image[..., 0] - mask).max() <= 2 for image, mask in zip(images, masks, strict=True))
    assert sum(np.array_equal(a, b) for a, b in zip(masks, before[1], strict=True)) == COUNT - 7
    said = dict(skipped)
    for path, reason in zip(
        [*files[:6], part.images[6]],
        [
            "is no longer there",
            "cannot be read: ",
            "has colours, but a mask must hold class indices, as a palette or grey image has them",
            "has 120 x 89 pixels, but its image has 120 x 90",
            "has the value 251: classes are 0 to 249, and 255 is void",
            "is a JPEG, which changes indices: a mask must be a PNG, BMP, GIF or TIFF image without loss",
            "is no longer there",
        ],
        strict=True,
    ):
        assert reason in said.pop(path)
    assert not said
    files[7].unlink()
    files[8].unlink()
    with pytest.raises(tf.errors.OpError):
        everything(batches.dataset(0))
    with pytest.raises(ValueError, match="9 of 11 images can be read no more"):
        batches.unreadable.check()


def png(depth: int, colour: int, rows: list[bytes], width: int) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(PALETTE[: 3 * 2**depth])) if colour == 3 else b""
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + palette + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_every_kind_of_mask_file_gives_indices(tmp_path):
    path = tmp_path / "mask.png"
    for depth, colour, rows, expected in [
        (8, 3, [b"\x00\x05", b"\xff\x01"], [[0, 5], [255, 1]]),
        (4, 3, [b"\x0f", b"\x12"], [[0, 15], [1, 2]]),
        (1, 3, [b"\x40", b"\x80"], [[0, 1], [1, 0]]),
        (8, 0, [b"\x00\x05", b"\xff\x01"], [[0, 5], [255, 1]]),
        (1, 0, [b"\x40", b"\x80"], [[0, 1], [1, 0]]),
    ]:
        path.write_bytes(png(depth, colour, rows, 2))
        mask = read_mask(path)
        assert mask.dtype == np.uint8 and mask.tolist() == expected
    path.write_bytes(png(4, 0, [b"\x0f", b"\x12"], 2))
    with pytest.raises(UnreadableImage, match="has grey pixels of 2 or 4 bits"):
        read_mask(path)
    Image.fromarray(np.array([[0, 255], [7, 256]], np.uint16)).save(path)
    with pytest.raises(UnreadableImage, match="has the value 256, but class indices are at most 254"):
        read_mask(path)


# -- boxes

BACKGROUND = 60


def boxes_part(folder: Path | None, min_visible: float = 0.0, suffix=".png", scale: int = 1) -> Part:
    """Images with a bright rectangle of class 0 in the first channel, of class 1 in the second, and so on.

    The last image has no objects, others have one, two or three. The object of class 2 is difficult.
    """
    random = np.random.default_rng(5)
    height, width = scale * HEIGHT, scale * WIDTH
    images = np.full((COUNT, height, width, 3), BACKGROUND, np.uint8)
    boxes, classes = [], []
    for i, image in enumerate(images):
        found = np.flatnonzero([i % 2 == 0, i % 3 == 0, True])[: 0 if i == COUNT - 1 else 3]
        corners = []
        for channel in found:
            x1, y1 = (int(random.integers(0, 0.8 * side)) for side in (width, height))
            x2 = int(random.integers(x1 + 0.15 * width, width + 1))
            y2 = int(random.integers(y1 + 0.15 * height, height + 1))
            image[y1:y2, x1:x2, channel] = 250
            corners.append((x1, y1, x2, y2))
        boxes.append(np.array(corners, np.float32).reshape(-1, 4))
        classes.append(found)
    targets = Boxes(boxes, classes, min_visible, [found == 2 for found in classes])
    if folder is None:
        return Part(images, targets)
    files = [folder / f"{i}{suffix}" for i in range(COUNT)]
    for image, path in zip(images, files, strict=True):
        Image.fromarray(image).save(path, quality=100, subsampling=0)
    jpeg = np.full((COUNT, 2), (height, width), np.int32) if suffix == ".jpg" else None
    return Part(files, targets, jpeg)


def seen(image: np.ndarray, channel: int) -> np.ndarray | None:
    """The rectangle that an image shows in a channel."""
    rows, columns = (np.flatnonzero((image[..., channel] > (250 + BACKGROUND) / 2).any(axis)) for axis in (1, 0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) if len(rows) else None


@pytest.mark.parametrize(
    "kind, flip, source",
    [
        ("crop", True, "large jpeg"),
        ("none", False, "centre of png"),
        ("shift", True, "memory"),
        *(pytest.param("crop", True, source, marks=SLOW) for source in ("jpeg", "png", "memory")),
        *(pytest.param("shift", True, source, marks=SLOW) for source in ("png", "centre of png")),
        *(pytest.param("none", True, source, marks=SLOW) for source in ("png", "centre of png", "memory")),
    ],
)
def test_boxes_are_where_the_image_shows_them(tmp_path, kind, flip, source):
    suffix, scale = ".jpg" if "jpeg" in source else ".png", 4 if "large" in source else 1
    part = boxes_part(None if source == "memory" else tmp_path, 0.0, suffix, scale)
    batches = batches_of(part, CENTRE if "centre" in source else SQUASHED, augment=kind, flip=flip)
    order = batches._order(tf.constant(1, tf.int64)).numpy()
    shown = 0
    for index, image, target in zip(order, *everything(batches.dataset(1)), strict=True):
        found = objects(target)
        assert found["dropped"] + len(found["classes"]) == len(part.targets.classes[index])
        np.testing.assert_array_equal(found["difficult"], found["classes"] == 2)
        for channel in range(3):
            boxes, visible = found["boxes"][found["classes"] == channel], seen(image, channel)
            if visible is None:  # at most a sliver that is less than a pixel wide
                assert not len(boxes) or min(boxes[0, 2:] - boxes[0, :2]) < 1
            else:
                shown += 1
                np.testing.assert_allclose(boxes[0], visible, atol=1.01)
    assert shown > 10


def test_objects_that_are_hardly_visible_are_left_out_and_counted():
    """By hand: windows of known places, and shares from the areas."""
    square = np.array([[10, 10, 30, 30], [0, 0, 10, 20], [50, 50, 60, 60]], np.float32)
    for least, kept in ((0.0, [0, 1]), (0.25, [0, 1]), (0.3, [1]), (0.51, [])):
        targets = Boxes([square, np.zeros((0, 4))], [np.arange(3), np.zeros(0, int)], least)
        windows = tf.constant([[0.0, 5.0, 20.0, 15.0], [0.0, 0.0, 9.0, 9.0]])
        made = targets.finish(targets.gather(tf.constant([0, 1], tf.int64), windows, (40, 60)))
        expected = np.array([[20, 20, 60, 40], [0, 0, 20, 40]], np.float32)[kept]
        np.testing.assert_allclose(made["boxes"][0], expected)
        np.testing.assert_array_equal(made["classes"], np.reshape([kept, [-1] * len(kept)], (2, -1)))
        np.testing.assert_array_equal(made["dropped"], [3 - len(kept), 0])


def test_boxes_are_padded_to_the_most_of_a_batch():
    for _, targets in batches_of(boxes_part(None), augment="none").dataset(0).as_numpy_iterator():
        counts = (targets["classes"] >= 0).sum(axis=1)
        assert targets["boxes"].shape == (len(counts), counts.max(), 4) and not targets["dropped"].any()
        assert (np.diff((targets["classes"] >= 0).astype(int), axis=1) <= 0).all()  # the padding comes last


def test_images_without_any_object():
    part = Part(np.zeros((3, 8, 8, 3), np.uint8), Boxes([np.zeros((0, 4))] * 3, [np.zeros(0, int)] * 3, 0.5))
    ((_, targets),) = batches_of(part, Preprocessing((8, 8)), augment="shift", flip=True).dataset(0)
    assert targets["boxes"].shape == (3, 0, 4) and targets["classes"].shape == (3, 0)


# -- all


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["masks", "boxes"])
def test_targets_are_a_function_of_seed_epoch_and_batch(tmp_path, kind):
    """Neither skipping batches nor sharing them among workers changes anything."""
    part = masks_part(tmp_path, ramps()) if kind == "masks" else boxes_part(tmp_path, 0.3, ".jpg")
    batches = batches_of(part, augment="crop", flip=True)

    def found(dataset) -> list:
        images, targets = everything(dataset)
        return [images, targets if kind == "masks" else [*map(objects, targets)]]

    whole = found(batches.dataset(2))
    equal(found(batches.dataset(2, skip=1)), [values[4:] for values in whole])
    for worker, places in enumerate([[0, 1, 4, 5, 8, 9], [2, 3, 6, 7, 10]]):
        equal(found(batches.dataset(2, 0, (worker, 2))), [[values[i] for i in places] for values in whole])
    if kind == "boxes":
        assert sum(target["dropped"] for target in whole[1]) > 0


def test_what_does_not_fit_is_refused():
    images, masks = np.zeros((2, 4, 6, 3), np.uint8), np.zeros((2, 4, 6), np.uint8)
    part = Part(images, Masks(masks, 3))
    box, first = np.array([[0.0, 0, 2, 2]]), np.array([0])
    for make, sentence in [
        (lambda: batches_of(part, mixup=0.2), "mixup needs images that have one label each, got masks."),
        (lambda: batches_of(part, cutmix=1.0), "cutmix needs images that have one label each, got masks."),
        (lambda: batches_of(part, sampling="balanced"), "balanced needs images that have one label each, got masks."),
        (lambda: Part(images, Labels(np.arange(3))), "There are 2 images, but the targets of 3."),
        (lambda: Part(images, Masks(masks[:, 1:], 3)), "images of 6 x 4 pixels, masks of 6 x 3 pixels."),
        (lambda: Part([Path("a"), Path("b")], Masks(masks, 3)), "images of files, masks of 6 x 4 pixels."),
        (lambda: Part(images, Masks([Path("a"), Path("b")], 3)), "images of 6 x 4 pixels, masks of files."),
        (lambda: Masks(masks + 3, 3), "The mask of image 0 has the value 3: classes are 0 to 2, and 255 is void."),
        (lambda: Masks(masks[0], 3), r"masks must be uint8 \(n, h, w\), got uint8 \(4, 6\)."),
        (lambda: Boxes([box], [first], 1.5), "min_visible must be a share from 0 to 1, got 1.5."),
        (lambda: Boxes([box], [first, first], 0), "must be those of equally many images."),
        (
            lambda: Boxes([box], [np.array([0, 1])], 0),
            r"Image 0 has boxes, classes and difficult of the shapes \(1, 4\)",
        ),
        (lambda: Boxes([box[:, [2, 1, 0, 3]]], [first], 0), r"Image 0 has a box \[2.0, 0.0, 0.0, 2.0\] of class 0: x1"),
        (lambda: Boxes([box * np.nan], [first], 0), "x1 must be below x2, y1 below y2"),
        (lambda: Boxes([box], [first - 1], 0), "and the class at least 0"),
    ]:
        with pytest.raises(ValueError, match=sentence):
            make()
    with pytest.raises(TypeError, match="Images with masks have no labels"):
        part.labels  # noqa: B018


def test_test_and_validation_sets_are_split_off():
    for part in (masks_part(None, ramps()), boxes_part(None)):
        splits = complete({"train": part}, "the data")
        assert {name: len(split) for name, split in splits.items()} == {"train": 7, "validation": 1, "test": 3}
        rows = np.concatenate([split.images.reshape(len(split), -1) for split in splits.values()])
        np.testing.assert_array_equal(np.unique(rows, axis=0), np.unique(part.images.reshape(COUNT, -1), axis=0))
    split = splits["test"]
    for image, boxes, classes in zip(split.images, split.targets.boxes, split.targets.classes, strict=True):
        for corners, channel in zip(boxes, classes, strict=True):
            np.testing.assert_array_equal(corners, seen(image, channel))


def test_equal_targets_have_equal_bytes(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    kinds = [masks_part(None, ramps()), masks_part(tmp_path / "a", ramps()), boxes_part(None)]
    again = [masks_part(None, ramps()), masks_part(tmp_path / "b", ramps()), boxes_part(None)]
    for part, other in zip(kinds, again, strict=True):
        assert part.targets.to_bytes() == other.targets.to_bytes()
        assert part.targets.to_bytes() != other.targets.take(np.arange(COUNT)[::-1]).to_bytes()

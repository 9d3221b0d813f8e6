"""Generated scenes: the same everywhere, with exact masks and boxes. VOC's colours of classes."""

import hashlib

import numpy as np
import pytest
from PIL import Image

import inception_keras as ik
from inception_keras.data.names import SCENE_CLASSES, VOC_CLASSES
from inception_keras.data.palette import coloured, index_image, palette
from inception_keras.data.scenes import _DIGITS, _PARTS, _SIDE, _Dice, _photograph

SPLITS = ("train", "validation", "test")


def checksum(*arrays):
    return hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()[:16]


@pytest.mark.parametrize(
    "split, size, seed, expected",
    [
        ("train", 96, 0, "18a36a2c6ba58786"),
        ("validation", 96, 0, "53e532681b67aa10"),
        ("test", 96, 0, "9c9f0138394fc228"),
    ],
)
def test_scenes_are_the_same_on_every_machine(split, size, seed, expected):
    made = ik.scenes(16, split=split, size=size, seed=seed)
    assert checksum(made.images, made.masks) == expected


def test_other_sizes_and_seeds_are_the_same_on_every_machine_too():
    made = ik.scenes(4, size=(50, 70), seed=2**63 - 1)
    assert made.images.shape == (4, 50, 70, 3) and made.masks.shape == (4, 50, 70)
    assert checksum(made.images) == "19e791a9f847ebe1"


def test_a_scene_depends_on_its_own_number_only():
    few, many, other = ik.scenes(3), ik.scenes(8), ik.scenes(3, seed=1)
    assert np.array_equal(few.images, many.images[:3]) and np.array_equal(few.masks, many.masks[:3])
    assert not np.array_equal(few.images[0], other.images[0])
    assert not np.array_equal(few.images[0], ik.scenes(1, split="test").images[0])


def test_no_two_splits_share_a_digit_or_a_part_of_a_photograph():
    assert sorted(number for part in _DIGITS.values() for number in part) == list(range(1797))
    owners = np.zeros((_SIDE, _SIDE), int)
    for top, left, height, width in _PARTS.values():
        owners[top : top + height, left : left + width] += 1
    assert (owners == 1).all()


@pytest.mark.parametrize("size", [16, 96, 300])
@pytest.mark.parametrize("split", SPLITS)
def test_a_scene_shows_nothing_of_the_parts_of_other_splits(monkeypatch, split, size):
    top, left, height, width = _PARTS[split]
    sheets = []
    for level in range(3):  # all is black, but what belongs to the split
        sheet = np.zeros((2, _SIDE >> level, _SIDE >> level, 3), np.int32)
        sheet[:, top >> level : top + height >> level, left >> level : left + width >> level] = 255
        sheets.append(sheet)
    monkeypatch.setattr(f"{_photograph.__module__}._photographs", lambda: sheets)
    for index in range(50):
        dice = _Dice(index)
        assert _photograph(dice, split, size, size, dice.between(0.1, 1)).min() >= 255 * 170 // 256 - 20


def test_boxes_surround_what_the_mask_shows():
    made = ik.scenes(40)
    alone = 0
    for mask, boxes, classes in zip(made.masks, made.boxes, made.classes, strict=True):
        assert len(boxes) == len(classes) > 0 and set(classes) == set(np.unique(mask)) - {0}
        assert (boxes >= 0).all() and (boxes <= 96).all() and (boxes[:, :2] < boxes[:, 2:]).all()
        outside = mask != 0
        for box, label in zip(boxes.astype(int), classes, strict=True):
            x1, y1, x2, y2 = box
            outside[y1:y2, x1:x2] = False
            if (classes == label).sum() == 1:
                rows, columns = np.nonzero(mask == label)
                assert [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] == box.tolist()
                alone += 1
        assert not outside.any()
    assert alone > 40


def test_every_class_is_common_and_no_colour_tells_it():
    made = ik.scenes(300)
    assert made.class_names == SCENE_CLASSES and len(SCENE_CLASSES) == 9
    objects = np.bincount(np.concatenate(made.classes), minlength=9)
    assert objects[0] == 0 and objects[1:].min() > 40
    shares = np.bincount(made.masks.ravel(), minlength=9) / made.masks.size
    assert 0.6 < shares[0] < 0.85 and shares[1:].min() > 0.012
    means = np.array([made.images[made.masks == label].mean(axis=0) for label in range(9)])
    within = np.array([made.images[made.masks == label].std(axis=0) for label in range(9)])
    assert np.ptp(means[1:], axis=0).max() < within[1:].min()  # the classes differ less than the pixels of one class


def test_scenes_of_another_size_show_the_same():
    small, large = ik.scenes(6), ik.scenes(6, size=192)
    equal = [a.tolist() == b.tolist() for a, b in zip(small.classes, large.classes, strict=True)]
    assert sum(equal) >= 5  # an object that nearly covers another one may find another place
    shrunk = large.masks[:, ::2, ::2]
    assert (shrunk == small.masks)[np.array(equal)].mean() > 0.95


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        ({"count": 0}, "count must be an int of at least 1, got 0."),
        ({"size": 15}, "size must be an int of at least 16, got 15."),
        ({"size": (96, 2000)}, "size must be an int of at most 1024, got 2000."),
        ({"size": (96, 96, 3)}, "size must be an int of at least 16, got (96, 96, 3)."),
        ({"seed": -1}, "seed must be an int of at least 0, got -1."),
        ({"split": "val"}, "split must be 'train', 'validation' or 'test', got 'val'."),
    ],
)
def test_wrong_arguments_are_one_sentence(wrong, sentence):
    with pytest.raises(ValueError) as caught:
        ik.scenes(**wrong)
    assert str(caught.value) == sentence


def test_scenes_are_loaded_as_data():
    data = ik.load_data("scenes", task="segmentation", count=17, image_size=32, batch_size=5, augment="none")
    assert data.counts == {"train": 17, "validation": 3, "test": 5}
    assert data.class_names == SCENE_CLASSES and data.image_shape == (32, 32, 3) and not data.skipped
    images, masks = next(iter(data.test))
    made = ik.scenes(5, size=32, split="test")
    assert images.dtype == "float32" and masks.dtype == "uint8" and masks.shape == (5, 32, 32)
    assert np.array_equal(masks, made.masks) and np.allclose(images, made.images / 127.5 - 1)
    again = ik.load_data("scenes", task="segmentation", count=17, image_size=32, batch_size=5, seed=1)
    assert np.array_equal(next(iter(again.test))[1], made.masks)  # every seed is tested on the same scenes


def test_scenes_for_the_weights_of_a_net():
    wanted = ik.preprocessing("vgg16")
    data = ik.load_data("scenes", task="segmentation", count=4, image_size=40, preprocessing=wanted)
    images, _ = next(iter(data.validation))
    made = ik.scenes(1, size=40, split="validation").images
    assert np.allclose(images[0], wanted.resized((40, 40)).normalise(made[0].astype("float32")), atol=1e-4)


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        ({"name": "digits"}, "digits has labels and no masks: for task='segmentation', give 'scenes' or a data_dir."),
        ({"one_hot": True}, "one_hot needs images that have one label each, got one_hot=True and masks."),
        ({"mixup": 0.2}, "mixup needs images that have one label each, got mixup=0.2 and masks."),
        ({"cutmix": 0.2}, "cutmix needs images that have one label each, got cutmix=0.2 and masks."),
        ({"label": "x"}, "label needs images that have one label each, got label='x' and masks."),
        (
            {"sampling": "balanced"},
            "sampling needs images that have one label each, got sampling='balanced' and masks.",
        ),
        (
            {"task": "classification"},
            "scenes have masks and boxes, but no labels: give task='segmentation' or task='detection'.",
        ),
        ({"task": "pose"}, "task must be 'classification', 'segmentation' or 'detection', got 'pose'."),
        ({"count": 0}, "count must be an int of at least 1, got 0."),
        (
            {"name": "digits", "task": "classification", "count": 9},
            "count is the number of scenes to generate, got count=9 for digits.",
        ),
        (
            {"preprocessing": ik.Preprocessing((32, 32), channels=1)},
            "Scenes have 3 channels, the preprocessing is for 1.",
        ),
    ],
)
def test_options_that_do_not_fit_masks(wrong, sentence):
    with pytest.raises(ValueError) as caught:
        ik.load_data(**({"name": "scenes", "task": "segmentation"} | wrong))
    assert str(caught.value) == sentence


# ------------------------------------------------------------------------------------------------------------- colours


def test_the_palette_is_that_of_voc():
    colours = []
    for index in range(256):  # VOCdevkit's VOClabelcolormap, bit by bit
        colour = [0, 0, 0]
        for place in range(8):
            for channel in range(3):
                colour[channel] |= ((index >> channel) & 1) << (7 - place)
            index >>= 3
        colours.append(colour)
    assert palette().tolist() == colours and palette().dtype == np.uint8
    published = {"aeroplane": (128, 0, 0), "person": (192, 128, 128), "tvmonitor": (0, 64, 128)}
    for name, colour in published.items():
        assert tuple(palette()[VOC_CLASSES.index(name)]) == colour
    assert tuple(palette()[255]) == (224, 224, 192) and len(VOC_CLASSES) == 21


def test_index_images_keep_indices_and_show_colours(tmp_path):
    mask = np.arange(256, dtype=np.uint8).reshape(8, 32)
    index_image(mask).save(tmp_path / "mask.png")
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "P" and np.array_equal(np.asarray(image), mask)
        assert np.array_equal(np.asarray(image.convert("RGB")), coloured(mask))
    few = np.array([[0, 1], [2, 255]], np.uint8)
    index_image(few).save(tmp_path / "few.png", optimize=True)
    with Image.open(tmp_path / "few.png") as image:
        assert np.array_equal(np.asarray(image), few)

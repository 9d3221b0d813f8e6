"""Folders of images and masks: which mask belongs to which image, what its values mean, what is left out and said."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_targets import png

import inception_keras as ik
from inception_keras.data import listing
from inception_keras.data.images import UnreadableImage
from inception_keras.data.mask_file import read_mask
from inception_keras.data.mask_folders import list_masks
from inception_keras.data.names import VOC_CLASSES
from inception_keras.data.palette import coloured, index_image
from inception_keras.data.test_set import load_test_set

SIDE = 8


def pattern(number: int, classes: int = 3, height: int = SIDE, width: int = SIDE) -> np.ndarray:
    """A mask with every class, different for every number."""
    mask = np.arange(height * width).reshape(height, width) // 3 + number
    return (mask % classes).astype(np.uint8)


def write(path: Path, mask: np.ndarray, image: bool = False, number: int = 0) -> Path:
    """A mask with VOC's palette; or an image whose red is the mask times 20, so that it is known by its pixels.

    The green of an image is its number, so that no two images are the same.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if image:
        red = (20 * mask.astype(int)).clip(0, 255).astype(np.uint8)
        Image.fromarray(np.stack([red, red * 0 + number, red * 0], axis=-1)).save(path, quality=100, subsampling=0)
    else:
        index_image(mask).save(path)
    return path


def folder(root: Path, images: str, masks: str, count: int = 10, first: int = 0, classes: int = 3) -> Path:
    """`count` images and masks; in the names, {} is the number."""
    for number in range(first, first + count):
        write(root / images.format(number), pattern(number, classes), True, number)
        write(root / masks.format(number), pattern(number, classes))
    return root


def load(root: Path, **options):
    options = {"task": "segmentation", "image_size": SIDE, "augment": "none", "batch_size": 4} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return ik.load_data(data_dir=root, **options)


def pairs(dataset) -> list[tuple[np.ndarray, np.ndarray]]:
    return [pair for images, masks in dataset for pair in zip(np.array(images), np.array(masks), strict=True)]


def kept(data, *splits: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """The images, from -1 to 1, and masks of splits in memory, without the cost of a pipeline."""
    parts = [data.batches[split].part for split in splits or data.batches]
    return [
        (image / 127.5 - 1, mask) for part in parts for image, mask in zip(part.images, part.targets.masks, strict=True)
    ]


def belong_together(dataset) -> int:
    """Checks that every image shows its mask. Returns the number of images."""
    found = dataset if isinstance(dataset, list) else pairs(dataset)
    for image, mask in found:
        np.testing.assert_allclose((image[..., 0] + 1) * 127.5 / 20, mask, atol=0.4)
    return len(found)


def sentence(call, *arguments, **options) -> str:
    with pytest.raises((ValueError, OSError)) as caught:
        call(*arguments, **options)
    text = str(caught.value)
    assert "\n" not in text and text.endswith(".")
    return text


# ------------------------------------------------------------------------------------------------------------- layouts

SPLIT = {"train": 6, "validation": 2, "test": 3}
FLAT = [
    ("images/{}.png", "masks/{}.png"),
    ("img/{}.jpg", "labels/{}.png"),
    ("JPEGImages/{}.jpg", "SegmentationClass/{}.png"),
    ("photos/a{}.bmp", "gt/a{}_mask.png"),
    ("data/imgs/{}.png", "data/Ground_Truth/{}.bmp"),
    ("images/{}.png", "annotations/trimaps/{}.png"),
    ("{}.jpg", "{}_mask.png"),
    ("images/{}.jpg", "images/{}-seg.png"),
    ("{}_sat.png", "{}_mask.png"),
    ("{}.png", "masks/{}.png"),
]
SPLITS = [  # of every layout, the names of its three splits, and where images and masks lie
    ("train val test", "{}/images/{{}}.png", "{}/masks/{{}}.png"),
    ("training validation testing", "images/{}/a_{{}}.jpg", "annotations/{}/a_{{}}.png"),
    ("train val test", "leftImg8bit_trainvaltest/leftImg8bit/{}/aachen/a_{{}}_leftImg8bit.png",
     "gtFine_trainvaltest/gtFine/{}/aachen/a_{{}}_gtFine_labelIds.png"),
    ("train val test", "{}/{{}}.png", "{}annot/{{}}.png"),
    ("train val test", "{}/{{}}.jpg", "{}_labels/{{}}_L.png"),
    ("Train Valid Test", "{}_Images/{{}}.jpg", "{}_Masks/{{}}.png"),
    ("train val test", "img_dir/{}/{{}}.jpg", "ann_dir/{}/{{}}.png"),
    ("train valid test", "{}/{{}}.jpg", "{}/{{}}_mask.png"),
    ("train dev test", "images/{}/{{}}.png", "masks/{{}}.png"),
]  # fmt: skip


def paired(*paths: Path) -> bool:
    image, mask = ({*re.findall("[0-9]+", path.stem.replace("8bit", ""))} for path in paths)
    return len(image) == 1 and image == mask


@pytest.mark.parametrize("images, masks", FLAT)
def test_images_and_masks_are_recognised_by_the_names_of_folders(tmp_path, images, masks):
    found = list_masks(folder(tmp_path, images, masks, 4))
    assert not found.skipped and not found.unused and not found.notes
    assert sorted(found.parts) == ["train"] and len(found.parts["train"][0]) == 4
    assert all(map(paired, *found.parts["train"]))


@pytest.mark.parametrize("names, images, masks", SPLITS)
def test_splits_are_recognised_by_the_names_of_folders(tmp_path, names, images, masks):
    first = 0
    for name, count in zip(names.split(), SPLIT.values(), strict=True):
        folder(tmp_path, images.format(name), masks.format(name), count, first)
        first += count
    found = list_masks(tmp_path)
    assert not found.skipped and not found.unused and not found.notes
    assert {split: len(part[0]) for split, part in found.parts.items()} == SPLIT
    assert all(paired(*paths) for part in found.parts.values() for paths in zip(*part, strict=True))


def test_a_folder_becomes_batches_of_images_and_masks(tmp_path):
    data = load(folder(tmp_path, "images/{}.png", "masks/{}.png", 20))
    assert data.counts == {"train": 14, "validation": 2, "test": 4} and not data.skipped and not data.notes
    assert data.class_names == ("class 0", "class 1", "class 2")
    assert sum(map(belong_together, (data.train, data.validation, data.test))) == 20
    _, masks = next(iter(data.test))
    assert masks.dtype == "uint8" and masks.shape == (4, SIDE, SIDE)


@pytest.mark.parametrize("augment", ["shift", pytest.param("crop", marks=pytest.mark.slow)])
def test_files_that_do_not_fit_into_memory(tmp_path, monkeypatch, augment):
    monkeypatch.setattr(listing, "_IN_MEMORY", 0)
    folder(tmp_path, "images/{}.jpg", "masks/{}.png", 12)
    data = load(tmp_path, augment=augment)
    assert not isinstance(data.batches["train"].part.images, np.ndarray)
    assert belong_together(data.test) == 3 and sum(len(masks) for _, masks in data.train) == 8


def test_images_of_many_sizes_and_grey_ones(tmp_path):
    for number in range(10):
        height, width = 8 + 3 * number, 40 - 3 * number
        mask = np.repeat([[0, 1]], height, axis=0).repeat(width // 2, axis=1).astype(np.uint8)
        write(tmp_path / f"masks/{number}.png", mask)
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(mask * 200).save(tmp_path / f"images/{number}.png")
    data = load(tmp_path, image_size=(16, 12))
    for image, mask in kept(data):
        assert image.shape == (16, 12, 3)
        assert ((image[..., 0] > -0.2) == (mask == 1)).mean() > 0.9  # the border lies within a pixel


def test_an_image_that_is_its_mask_stays_so(tmp_path):
    folder(tmp_path, "images/{}.png", "masks/{}.png", 10)
    for image, mask in pairs(load(tmp_path, augment="shift", flip=True).train):
        assert np.array_equal(np.round((image[..., 0] + 1) * 127.5 / 20), np.where(mask == 255, 0, mask))


@pytest.mark.slow
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("augment", ["none", "shift", "crop"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_whatever_moves_an_image_moves_its_mask(tmp_path, monkeypatch, augment, flip, in_memory):
    monkeypatch.setattr(listing, "_IN_MEMORY", 2**29 * in_memory)
    random = np.random.default_rng(0)
    for number in range(12):  # blocks of classes; the image is the mask in VOC's colours
        mask = random.integers(0, 21, (5, 4), np.uint8).repeat(14 + number, axis=0).repeat(20, axis=1)
        write(tmp_path / f"masks/{number}.png", mask)
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(coloured(mask)).save(tmp_path / f"images/{number}.png")
    data = load(tmp_path, augment=augment, flip=flip, image_size=(64, 48))
    seen = [pair for epoch in range(3) for pair in pairs(data.epoch(epoch))]
    different = len({mask.tobytes() for _, mask in seen})
    assert different == 8 if augment == "none" and not flip else different > 8
    shares = []
    for image, mask in seen:
        shown, void = np.round((image + 1) * 127.5), mask == 255
        reach = 6 if augment == "crop" else 2  # a small crop is enlarged, and with it the borders of its classes
        around = np.pad(mask, reach, constant_values=254)  # behind the edge, there may be another class
        windows = np.lib.stride_tricks.sliding_window_view(around, 2 * (2 * reach + 1,))
        within = (windows == mask[..., None, None]).all(axis=(2, 3)) & ~void
        shares.append(within.mean())
        assert void.mean() < 0.25
        assert (np.abs(shown - coloured(mask))[within] <= 2).all()
        if augment != "shift":
            assert not void.any()
    assert np.mean(shares) > 0.1  # of the pixels are compared


def voc(root: Path, nested: str = "") -> Path:
    home = folder(root / nested, "JPEGImages/2007_{}.jpg", "SegmentationClass/2007_{}.png", 12, classes=21)
    write(home / "JPEGImages/2007_99.jpg", pattern(99), image=True)  # in no list, without a mask
    write(home / "SegmentationObject/2007_1.png", pattern(1))
    (home / "Annotations").mkdir()
    (home / "Annotations/2007_1.xml").write_text("<annotation/>")
    lists = home / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    names = [f"2007_{number}" for number in range(12)]
    for name, listed in (("train", names[:7]), ("val", names[7:10]), ("trainval", names[:10])):
        (lists / f"{name}.txt").write_text("\n".join(listed) + "\n")
    (lists / "test.txt").write_text("2007_99\r\n")
    return home


@pytest.mark.parametrize("nested", ["", "VOC2012", "VOCdevkit/VOC2012"])
def test_pascal_voc(tmp_path, nested):
    home = voc(tmp_path, nested)
    border = pattern(2, 21)
    border[0] = 255
    write(home / "SegmentationClass/2007_2.png", border)
    found = list_masks(tmp_path)
    assert [path.stem for path in found.parts["train"][0]] == [f"2007_{number}" for number in range(7)]
    assert [path.stem for path in found.parts["validation"][1]] == ["2007_7", "2007_8", "2007_9"]
    assert not found.skipped and not found.unused
    assert found.notes == [
        "the lists of the splits leave out 2 images with a mask",
        "there are no masks of the test set, which is passed over: 1 image",
    ]
    data = load(tmp_path)
    assert data.class_names == VOC_CLASSES and data.counts == {"train": 5, "validation": 3, "test": 2}
    assert any((mask == 255).any() for _, mask in kept(data))


def test_voc_lists_without_train(tmp_path):
    home = voc(tmp_path)
    (home / "ImageSets/Segmentation/train.txt").unlink()
    parts = list_masks(tmp_path).parts
    assert len(parts["train"][0]) == 7 and len(parts["validation"][0]) == 3  # trainval without val


def test_voc_lists_that_name_what_is_not_there(tmp_path):
    home = voc(tmp_path)
    (home / "JPEGImages/2007_0.jpg").unlink()
    (home / "SegmentationClass/2007_1.png").unlink()
    with (home / "ImageSets/Segmentation/train.txt").open("a") as file:
        file.write("2007_77\n")
    data = load(tmp_path, max_unreadable=0.5)
    said = {path.name: reason for path, reason in data.skipped}
    assert said == {"2007_0.png": "is a mask without an image", "2007_1.jpg": "has no mask", "2007_0": "is not there",
                    "2007_77": "is not there"}  # fmt: skip
    assert data.counts == {"train": 4, "validation": 3, "test": 1}


def test_an_image_in_two_lists(tmp_path):
    home = voc(tmp_path)
    (home / "ImageSets/Segmentation/val.txt").write_text("2007_7\n2007_3\n")
    assert "lists 1 image for train and validation: 2007_3." in sentence(load, tmp_path)


def test_two_years_of_voc(tmp_path):
    voc(tmp_path, "VOCdevkit/VOC2007")
    voc(tmp_path, "VOCdevkit/VOC2012")
    assert "has several PASCAL VOC folders, VOCdevkit/VOC2007, VOCdevkit/VOC2012: give one" in sentence(load, tmp_path)


def test_the_semantic_boundaries_dataset(tmp_path):
    scipy = pytest.importorskip("scipy.io")
    for number in range(6):
        write(tmp_path / f"img/{number}.jpg", pattern(number), image=True)
        (tmp_path / "cls").mkdir(exist_ok=True)
        scipy.savemat(tmp_path / f"cls/{number}.mat", {"GTcls": {"Segmentation": pattern(number), "Boundaries": 0}})
    (tmp_path / "train.txt").write_text("0\n1\n2\n3\n")
    (tmp_path / "val.txt").write_text("4\n5\n")
    data = load(tmp_path)
    assert data.counts == {"train": 3, "validation": 2, "test": 1} and not data.skipped
    assert belong_together(kept(data, "train")) == 3
    scipy.savemat(tmp_path / "cls/0.mat", {"GTinst": 1})
    (tmp_path / "cls/1.mat").write_bytes(b"MATLAB")
    said = {path.name: reason for path, reason in load(tmp_path, max_unreadable=0.9).skipped}
    assert said["0.mat"] == "is a MATLAB file without GTcls.Segmentation" and "cannot be read" in said["1.mat"]


def test_cityscapes_stores_other_pictures_beside_its_masks(tmp_path):
    folder(tmp_path, "leftImg8bit/train/ulm/u_{}_leftImg8bit.png", "gtFine/train/ulm/u_{}_gtFine_labelIds.png", 5)
    for kind in ("color", "instanceIds", "labelTrainIds"):
        write(tmp_path / f"gtFine/train/ulm/u_0_gtFine_{kind}.png", pattern(0))
    (tmp_path / "gtFine/train/ulm/u_0_gtFine_polygons.json").write_text("{}")
    found = list_masks(tmp_path)
    assert len(found.parts["train"][0]) == 5 and not found.skipped
    assert found.notes == ["only the masks of class indices are used, and not 3 images beside them"]


# ------------------------------------------------------------------------------------------------ what values mean


@pytest.mark.parametrize(
    "name, text, expected",
    [
        ("classes.txt", "sky\nsea\n\nland\n", ("sky", "sea", "land")),
        ("labels.txt", "\ufeffsky\r\nsea\r\nland", ("sky", "sea", "land")),
        ("class_names.txt", "__ignore__\n_background_\nsea\nland", ("_background_", "sea", "land")),
        ("_classes.csv", "Pixel Value, Class\n0, sky\n2, land\n1, sea\n", ("sky", "sea", "land")),
    ],
)
def test_names_of_classes_are_read(tmp_path, name, text, expected):
    folder(tmp_path, "images/{}.png", "masks/{}.png")
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert load(tmp_path).class_names == expected


@pytest.mark.parametrize(
    "text, expected",
    [
        ("sky", "classes.txt lists 1 class: there may be 2 to 255."),
        ("sky\nsea\nsky", "classes.txt lists the class sky twice."),
        ("sky\nsea", "0.png has the value 2: classes are 0 to 1, and 255 is void"),
    ],
)
def test_names_that_do_not_fit(tmp_path, text, expected):
    folder(tmp_path, "images/{}.png", "masks/{}.png")
    (tmp_path / "classes.txt").write_text(text)
    assert expected in sentence(load, tmp_path)


@pytest.mark.parametrize("in_memory, names", [(True, None), (True, ("ground", "road")), (False, None)])
def test_in_masks_of_0_and_255_only_255_is_a_class(tmp_path, monkeypatch, in_memory, names):
    monkeypatch.setattr(listing, "_IN_MEMORY", 2**29 * in_memory)
    for number in range(10):
        write(tmp_path / f"images/{number}.png", pattern(number, 2), image=True)
        write(tmp_path / f"masks/{number}.png", pattern(number, 2) * 255)
    if names:
        (tmp_path / "classes.txt").write_text("\n".join(names))
    data = load(tmp_path)
    assert data.class_names == (names or ("background", "foreground"))
    assert data.notes == ("the masks have the values 0 and 255 only, so that 255 is class 1, and nothing is void",)
    if in_memory:
        assert belong_together(kept(data, "train")) == 7 and belong_together(kept(data, "test")) == 2
    else:
        assert belong_together(data.test) == 2


def test_255_is_void_beside_other_classes(tmp_path):
    folder(tmp_path, "images/{}.png", "masks/{}.png", classes=2)
    mask = pattern(3, 2)
    mask[:2] = 255
    write(tmp_path / "masks/3.png", mask)
    data = load(tmp_path)
    assert data.class_names == ("class 0", "class 1") and not data.notes
    assert any((mask == 255).any() for _, mask in kept(data))


def test_values_between_that_no_mask_has(tmp_path):
    folder(tmp_path, "images/{}.png", "masks/{}.png")
    for number in range(10):
        write(tmp_path / f"masks/{number}.png", pattern(number, 2) * 4)
    with pytest.warns(UserWarning, match="no training mask has a pixel of 3 classes: class 1, class 2, class 3"):
        data = ik.load_data(data_dir=tmp_path, task="segmentation", image_size=SIDE)
    assert len(data.class_names) == 5


def test_masks_that_are_photographs(tmp_path):
    for number in range(10):
        write(tmp_path / f"images/{number}.png", pattern(number), image=True)
        write(tmp_path / f"masks/{number}.png", np.arange(256, dtype=np.uint8).reshape(16, 16)[:, ::-1])
        Image.new("RGB", (16, 16)).save(tmp_path / f"images/{number}.png")
    assert "has masks with 255 different values, as photographs have" in sentence(load, tmp_path)


def test_one_class_only(tmp_path):
    folder(tmp_path, "images/{}.png", "masks/{}.png", classes=1)
    assert "has one class: all pixels of its masks are 0 or void." in sentence(load, tmp_path)


# ------------------------------------------------------------------------------------------- files of many programs


def test_forms_of_masks_that_give_indices(tmp_path):
    mask = pattern(1)
    grey = Image.fromarray(mask)
    forms = {
        "palette.png": index_image(mask),
        "palette.gif": index_image(mask),
        "palette.bmp": index_image(mask),
        "palette.tif": index_image(mask),
        "grey.png": grey,
        "grey.bmp": grey,
        "grey.tif": grey,
        "rgb.png": grey.convert("RGB"),
        "rgba.png": grey.convert("RGBA"),
        "la.png": grey.convert("LA"),
        "16 bits.png": Image.fromarray(mask.astype(np.uint16)),
        "16 bits.tif": Image.fromarray(mask.astype(np.uint16)),
    }
    for name, image in forms.items():
        image.save(tmp_path / name)
        assert read_mask(tmp_path / name).tolist() == mask.tolist(), name
        assert read_mask(tmp_path / name).dtype == np.uint8
    Image.fromarray(mask == 1).save(tmp_path / "bits.png")
    assert read_mask(tmp_path / "bits.png").tolist() == (mask == 1).astype(int).tolist()
    few = index_image(pattern(1, 2))
    few.save(tmp_path / "packed.png", optimize=True, bits=1)
    assert read_mask(tmp_path / "packed.png").tolist() == pattern(1, 2).tolist()


def test_masks_of_matplotlib(tmp_path):
    pyplot = pytest.importorskip("matplotlib.pyplot")
    mask = pattern(1)
    pyplot.imsave(tmp_path / "viridis.png", mask)
    pyplot.imsave(tmp_path / "grey.png", mask, cmap="gray", vmin=0, vmax=255)
    with pytest.raises(UnreadableImage, match="has colours, but a mask must hold class indices"):
        read_mask(tmp_path / "viridis.png")
    assert read_mask(tmp_path / "grey.png").tolist() == mask.tolist()


@pytest.mark.parametrize(
    "name, image, reason",
    [
        ("a.png", Image.new("RGB", (8, 8), "red"), "has colours, but a mask must hold class indices"),
        ("a.png", Image.new("RGBA", (8, 8)), "has transparent pixels, but a mask must hold class indices"),
        ("a.jpg", Image.new("L", (8, 8)), "is a JPEG, which changes indices: a mask must be a PNG, BMP, GIF or TIFF"),
        ("a.webp", Image.new("RGB", (8, 8)), "is a WEBP, which changes indices"),
        ("a.tif", Image.new("F", (8, 8)), "has pixels of Pillow's mode F, but a mask must hold class indices"),
        ("a.png", Image.fromarray(np.full((8, 8), 300, np.uint16)), "has the value 300, but class indices are at most"),
        ("a.tif", Image.fromarray(np.full((8, 8), -1, np.int32)), "has the value -1, but class indices are at most"),
        ("a.png", b"", "is empty"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "cannot be read|is no "),
        ("a.png", png(16, 2, [b"\0\1\0\2\0\1" * 8] * 8, 8), "has pixels of Pillow's mode RGB with 16 bits"),
        ("a.png", png(2, 0, [b"\0\1"] * 8, 8), "has grey pixels of 2 or 4 bits"),
    ],
)
def test_forms_of_masks_that_do_not(tmp_path, name, image, reason):
    path = tmp_path / name
    if isinstance(image, bytes):
        path.write_bytes(image)
    else:
        image.save(path)
    with pytest.raises(UnreadableImage, match=reason):
        read_mask(path)


# ------------------------------------------------------------------------------------------ what is left out and said


def test_what_cannot_be_used_is_named(tmp_path):
    folder(tmp_path, "images/{}.png", "masks/{}.png", 20)
    masks = tmp_path / "masks"
    write(masks / "0.png", pattern(0, width=9))
    Image.new("RGB", (8, 8), "red").save(masks / "1.png")
    (masks / "2.png").unlink()
    (tmp_path / "images/3.png").unlink()
    (masks / "4.png").write_bytes((masks / "4.png").read_bytes()[:70])
    (tmp_path / "images/5.png").write_bytes(b"no image")
    (masks / "6.npy").write_bytes(b"numbers")
    (tmp_path / "preview.png").write_bytes((masks / "7.png").read_bytes())
    (tmp_path / "readme.txt").write_text("about")
    data = load(tmp_path, max_unreadable=0.3)
    said = {path.relative_to(tmp_path).as_posix(): reason for path, reason in data.skipped}
    assert said.pop("masks/0.png") == "has 9 x 8 pixels, but its image has 8 x 8"
    assert said.pop("masks/1.png").startswith("has colours")
    assert said.pop("images/2.png") == "has no mask"
    assert said.pop("masks/3.png") == "is a mask without an image"
    assert said.pop("masks/4.png")
    assert said.pop("images/5.png").startswith("is no JPEG")
    assert said.pop("masks/6.npy").startswith("is not named as one of")
    assert said.pop("preview.png") == "lies in no folder of images or masks"
    assert not said and sum(data.counts.values()) == 14
    assert belong_together(kept(data)) == 14
    text = sentence(load, tmp_path)
    assert f"has 5 of 19 images that cannot be used, more than max_unreadable=0.1 allows: {tmp_path}" in text


def test_test_images_without_masks_are_passed_over(tmp_path):
    folder(tmp_path, "train/images/{}.png", "train/masks/{}.png")
    write(tmp_path / "test/images/90.png", pattern(0), image=True)
    write(tmp_path / "test/images/91.png", pattern(1), image=True)
    data = load(tmp_path)
    assert data.notes == ("there are no masks of the test set, which is passed over: 2 images",) and not data.skipped


@pytest.mark.parametrize(
    "files, expected",
    [
        ([], "has no masks: it may hold folders of images and masks of the same names"),
        (["images/1.png"], "has no masks, only 1 image in "),
        (["cat/1.png", "dog/1.png"], "has no masks, only 2 images in "),
        (["masks/1.png"], "has 1 mask, but no images: it may hold"),
        (["images/1.png", "masks/2.png"], "has no image with a mask: "),
        (["images/1.png", "masks/1.png", "masks/1.bmp"], "has 2 masks, "),
        (["val/images/1.png", "val/masks/1.png"], "has no training images, only those of validation."),
        (["images/1.png", "masks/1.png"], "has 1 image, too few for a training, a validation and a test set."),
    ],
)
def test_folders_that_cannot_be_used(tmp_path, files, expected):
    for name in files:
        write(tmp_path / name, pattern(1), image="images" in name)
    assert expected in sentence(load, tmp_path)


def test_paths_that_are_no_folder(tmp_path):
    assert sentence(load, tmp_path / "none") == f"There is no folder {tmp_path / 'none'}."
    file = write(tmp_path / "1.png", pattern(1))
    assert "is a file, not a folder" in sentence(load, file)


def test_a_link_out_of_the_folder(tmp_path):
    folder(tmp_path / "data", "images/{}.png", "masks/{}.png")
    write(tmp_path / "other.png", pattern(0))
    (tmp_path / "data/masks/0.png").unlink()
    (tmp_path / "data/masks/0.png").symlink_to(tmp_path / "other.png")
    assert "leads out of" in sentence(load, tmp_path / "data")


def test_a_mask_that_vanishes_later_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(listing, "_IN_MEMORY", 0)
    folder(tmp_path, "images/{}.png", "masks/{}.png", 20)
    data = load(tmp_path)
    gone = data.batches["train"].part.targets.files[0]
    gone.unlink()
    assert belong_together(data.train) == 14
    assert data.skipped == [(gone, "is no longer there")]


# ---------------------------------------------------------------------------------------------------------- data check


def test_the_check_names_what_is_wrong(tmp_path):
    folder(tmp_path, "train/images/{}.png", "train/masks/{}.png", 20)
    folder(tmp_path, "test/images/{}.png", "test/masks/{}.png", 4, first=30)
    masks = tmp_path / "train/masks"
    (tmp_path / "classes.txt").write_text("sky\nsea\nland\nice\n")
    write(masks / "0.png", pattern(0, width=9))
    Image.new("RGB", (8, 8), "red").save(masks / "1.png")
    (masks / "2.png").unlink()
    (tmp_path / "train/images/3.png").unlink()
    write(masks / "4.png", pattern(4) + 3)
    (tmp_path / "train/images/5.png").write_bytes(b"")
    (tmp_path / "test/images/30.png").write_bytes((tmp_path / "train/images/6.png").read_bytes())
    void = pattern(7)
    void[:4] = 255
    write(masks / "7.png", void)
    found = ik.check_data(tmp_path, task="segmentation")
    assert [(problem.kind, problem.image, problem.detail) for problem in found.problems] == [
        ("no mask", "train/images/2.png", "has no mask"),
        ("not used", "train/masks/3.png", "is a mask without an image"),
        ("size", "train/masks/0.png", "has 9 x 8 pixels, but its image has 8 x 8"),
        ("unreadable", "train/masks/1.png", "has colours, but a mask must hold class indices, as a palette or grey "
         "image has them"),
        ("no class", "train/masks/4.png", "has the value 4: classes are 0 to 3, and 255 is void"),
        ("empty", "train/images/5.png", "is empty"),
        ("train and test", "test/images/30.png", "is the same as train/images/6.png in train"),
    ]  # fmt: skip
    assert (found.used, found.left_out) == (18, 6)
    assert found.notes == ("no training mask has a pixel of 1 class: ice",)
    assert "has 5 of 23 images that cannot be used" in found.refusal
    rows = {row["class"]: row for row in found.classes}
    assert list(rows) == ["sky", "sea", "land", "ice", "void"]
    assert rows["sky"]["train"] == 14 and rows["sky"]["test"] == 4 and rows["void"]["train"] == 1
    shares = [row["pixels"] for row in found.classes]
    assert sum(shares) == pytest.approx(1) and shares[3] == 0 and shares[4] == pytest.approx(32 / 18 / 64)
    counted = np.bincount(
        np.concatenate([pattern(n).ravel() for n in (*range(6, 7), *range(8, 20), *range(30, 34))] + [void.ravel()]),
        minlength=256,
    )
    assert shares[:3] == pytest.approx(counted[:3] / counted.sum())


def test_the_check_and_load_data_agree(tmp_path):
    cases = {
        "good": lambda root: folder(root, "images/{}.png", "masks/{}.png"),
        "few": lambda root: folder(root, "images/{}.png", "masks/{}.png", 2),
        "one class": lambda root: folder(root, "images/{}.png", "masks/{}.png", classes=1),
        "no train": lambda root: folder(root, "val/images/{}.png", "val/masks/{}.png"),
        "no pair": lambda root: folder(
            folder(root, "images/{}.png", "masks/a{}.png"), "images/{}.png", "masks/b{}.png"
        ),
        "voc": voc,
    }
    for name, make in cases.items():
        root = make(tmp_path / name)
        found = ik.check_data(root, task="segmentation")
        if name in ("good", "voc"):
            data = load(root)
            assert not found.refusal and found.used == sum(data.counts.values()) and not found.left_out
            assert tuple(row["class"] for row in found.classes[:-1]) == data.class_names
            assert set(found.notes) == set(data.notes)
        else:
            assert sentence(load, root) == found.refusal, name


def test_the_check_from_the_command_line(tmp_path):
    from typer.testing import CliRunner

    from inception_keras.cli import app

    folder(tmp_path, "images/{}.png", "masks/{}.png", 12)
    result = CliRunner().invoke(app, ["data", "check", str(tmp_path), "--task", "segmentation"])
    assert result.exit_code == 0, result.output
    assert "12 images in 3 classes, 0 files left out, 0 problems" in result.output
    assert "void" in result.output and "33.33%" in result.output and "0.00%" in result.output
    (tmp_path / "masks/0.png").unlink()
    result = CliRunner().invoke(app, ["data", "check", str(tmp_path), "--task", "segmentation"])
    assert result.exit_code == 1 and "images/0.png" in result.output and "has no mask" in result.output
    result = CliRunner().invoke(app, ["data", "check", str(tmp_path), "--task", "pose"])
    assert result.exit_code == 1 and "task must be 'classification', 'segmentation' or 'detection'" in result.output


# -------------------------------------------------------------------------------------------- to test a net that exists


def test_a_test_set_has_the_classes_of_the_net(tmp_path):
    names, prepare = ("sky", "sea", "land", "ice"), ik.Preprocessing((SIDE, SIDE))
    folder(tmp_path, "images/{}.png", "masks/{}.png", 5)
    data = load_test_set(None, tmp_path, names, prepare, task="segmentation")
    assert data.counts == {"test": 5} and data.class_names == names and belong_together(data.test) == 5
    (tmp_path / "classes.txt").write_text("sky\nland\nsea")
    text = sentence(load_test_set, None, tmp_path, names, prepare, task="segmentation")
    assert "has the classes sky, land, sea, the net sky, sea, land, ice." in text
    text = sentence(load_test_set, "scenes", None, names, prepare, task="segmentation")
    assert text.startswith("Scenes have the classes background, digit") and text.endswith(
        "the net sky, sea, land, ice."
    )

"""Images with boxes: every layout and form of file, what boxes mean, and what is said of wrong ones."""

import csv
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from test_masks import sentence
from typer.testing import CliRunner

import inception_keras as ik
from inception_keras.cli import app
from inception_keras.data import coco, listing, voc_xml
from inception_keras.data.box_images import look
from inception_keras.data.boxes import list_boxes
from inception_keras.data.pipeline import Batches
from inception_keras.data.preprocessing import Preprocessing
from inception_keras.data.splits import Part
from inception_keras.data.targets import Boxes
from inception_keras.data.test_set import load_test_set

NAMES = ("ant", "bee", "cat")  # an object of class i is bright in channel i
WIDTH, HEIGHT = 60, 40
GREY = 60
SLOW = pytest.mark.slow


def objects_of(number: int) -> list[tuple[str, list[int]]]:
    """The objects of an image: none, one or two. Those of "cat" are difficult."""
    random = np.random.default_rng(number)
    found = []
    for name in random.permutation(NAMES)[: number % 3]:
        x1, y1 = int(random.integers(0, 35)), int(random.integers(0, 20))
        found.append((str(name), [x1, y1, x1 + int(random.integers(9, 25)), y1 + int(random.integers(9, 20))]))
    return found


def pixels_of(objects) -> np.ndarray:
    pixels = np.full((HEIGHT, WIDTH, 3), GREY, np.uint8)
    for name, (x1, y1, x2, y2) in objects:
        pixels[y1:y2, x1:x2, NAMES.index(name)] = 250
    return pixels


def write(path: Path, number: int, exif: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels_of(objects_of(number)))
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = exif
    image.save(path, quality=95, subsampling=0, **({"exif": tags} if exif > 1 else {}))


def xml(objects, size=(WIDTH, HEIGHT), filename="photo.jpg", first=1) -> str:
    """An annotation as PASCAL VOC writes it; pixels are counted from `first`."""
    lines = ["<annotation>", f"<filename>{filename}</filename>"]
    if size:
        lines.append(f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>")
    for name, (x1, y1, x2, y2) in objects:
        corners = {"xmin": x1 + first, "ymin": y1 + first, "xmax": x2, "ymax": y2}
        box = "".join(f"<{corner}>{value}</{corner}>" for corner, value in corners.items())
        part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
        lines.append(f"<object>{part}<name>{name}</name><difficult>{int(name == 'cat')}</difficult>")
        lines.append(f"<bndbox>{box}</bndbox></object>")
    return "\n".join([*lines, "</annotation>"])


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def coco_of(numbers, file_name="{}.png", first_id=1, names=NAMES) -> dict:
    annotations = [
        {"id": 100 * n + i, "image_id": n, "category_id": first_id + names.index(name), "iscrowd": int(name == "cat"),
         "bbox": [x1, y1, x2 - x1, y2 - y1], "area": 1.0}
        for n in numbers for i, (name, (x1, y1, x2, y2)) in enumerate(objects_of(n))
    ]  # fmt: skip
    images = [{"id": n, "file_name": file_name.format(n), "width": WIDTH, "height": HEIGHT} for n in numbers]
    categories = [{"id": first_id + i, "name": name, "supercategory": "none"} for i, name in enumerate(names)]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


def voc_folder(root: Path, images: str, xmls: str, numbers) -> Path:
    for number in numbers:
        write(root / images.format(number), number)
        text(root / xmls.format(number), xml(objects_of(number)))
    return root


def coco_folder(root: Path, images: str, file: str, numbers, file_name: str = "") -> Path:
    for number in numbers:
        write(root / images.format(number), number)
    text(root / file, json.dumps(coco_of(numbers, file_name or Path(images).name)))
    return root


def csv_folder(root: Path, numbers, header="path x1 y1 x2 y2 label", file="boxes.csv", images="{}.png") -> Path:
    """`header` tells the order of the columns; it is written if it is not in upper case."""
    keys = header.lower().split()
    rows = [] if header.isupper() else [keys]
    for number in numbers:
        write(root / images.format(number), number)
        for name, box in objects_of(number) or [("", [""] * 4)]:
            cell = dict(zip("x1 y1 x2 y2 xmin ymin xmax ymax left top right bottom".split(), [*box] * 3, strict=True))
            cell |= dict.fromkeys(("path", "image_path", "filename"), images.format(number))
            cell |= dict.fromkeys(("label", "class", "label_name"), name) | {"width": WIDTH, "height": HEIGHT}
            cell |= {"difficult": int(name == "cat"), "split": ("train", "val", "test")[number % 3]}
            rows.append([cell[key] for key in keys])
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    with (root / file).open("w", newline="") as opened:
        csv.writer(opened).writerows(rows)
    return root


def load(root: Path, **options):
    options = {"task": "detection", "image_size": (HEIGHT, WIDTH), "augment": "none", "batch_size": 4} | options
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return ik.load_data(data_dir=root, **options)


def listed(root: Path, **options) -> dict[str, dict[int, list]]:
    """What is read of a folder: for each split and image the objects."""
    found = list_boxes(root, **options)
    splits: dict[str, dict[int, list]] = {}
    for one in found.images:
        number = int("".join(filter(str.isdigit, one.image.stem)))
        assert number not in splits.setdefault(one.split, {}) and one.size in (None, (WIDTH, HEIGHT))
        splits[one.split][number] = [(each.name, [int(value) for value in each.box]) for each in one.objects]
        assert all(each.difficult == (each.name == "cat") for each in one.objects)
    assert not found.unused and not found.wrong
    return splits


def expected(**splits) -> dict[str, dict[int, list]]:
    return {split: {number: objects_of(number) for number in numbers} for split, numbers in splits.items()}


def seen(image: np.ndarray) -> dict[int, list[int]]:
    """The box that an image from 0 to 255 shows of each class."""
    found = {}
    for channel in range(3):
        rows, columns = (np.flatnonzero((image[..., channel] > 155).any(axis)) for axis in (1, 0))
        if len(rows):
            found[channel] = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    return found


def agree(dataset, atol: float = 1.01) -> int:
    """Checks that every image shows its boxes. Returns the number of objects."""
    count = 0
    for images, targets in dataset:
        for i, image in enumerate((images.numpy() + 1) * 127.5):
            real = targets["classes"][i].numpy() >= 0
            shown = seen(image)
            boxes = dict(
                zip(targets["classes"][i].numpy()[real].tolist(), targets["boxes"][i].numpy()[real], strict=True)
            )
            assert len(shown.keys() - boxes.keys()) <= targets["dropped"][i]
            for channel, box in boxes.items():
                if channel in shown:
                    np.testing.assert_allclose(box, shown[channel], atol=atol)
                    count += 1
    return count


# ------------------------------------------------------------------------------------------------------------- layouts

XML = [
    ("{}.png", "{}.xml"),
    ("images/{}.jpg", "Annotations/{}.xml"),
    ("JPEGImages/{}.jpg", "Annotations/{}.xml"),
    ("data/img/{}.png", "data/labels/{}.xml"),
    ("images/{}.png", "images/{}.xml"),
    ("photos/a/{}.png", "xmls/a/{}.xml"),
    ("images/{}.jpg", "annotations/xmls/{}.xml"),
    ("{}.jpg", "{}.jpg.xml"),
]


@pytest.mark.parametrize("images, xmls", XML)
def test_xml_files_beside_their_images(tmp_path, images, xmls):
    assert listed(voc_folder(tmp_path, images, xmls, range(4))) == expected(train=range(4))


@pytest.mark.parametrize(
    "names, images, xmls",
    [
        ("train valid test", "{}/{{}}.jpg", "{}/{{}}.xml"),
        ("train val test", "images/{}/{{}}.jpg", "annotations/{}/{{}}.xml"),
        ("Training validation testing", "{}/images/{{}}.jpg", "{}/Annotations/{{}}.xml"),
        ("train dev test", "{}_images/{{}}.png", "{}_labels/{{}}.xml"),
    ],
)
def test_splits_of_xml_files(tmp_path, names, images, xmls):
    places = range(0, 6), range(6, 8), range(8, 11)
    for name, numbers in zip(names.split(), places, strict=True):
        voc_folder(tmp_path, images.format(name), xmls.format(name), numbers)
    train, validation, test = places
    assert listed(tmp_path) == expected(train=train, validation=validation, test=test)


@pytest.mark.parametrize("nested", ["", "VOCdevkit/VOC2007"])
def test_pascal_voc(tmp_path, nested):
    home = voc_folder(tmp_path / nested, "JPEGImages/{}.jpg", "Annotations/{}.xml", range(10))
    write(home / "JPEGImages/77.jpg", 77)  # in the list of the test, whose boxes were not published
    for name, numbers in (("train", range(5)), ("val", range(5, 8)), ("trainval", range(8)), ("test", [77])):
        text(home / f"ImageSets/Main/{name}.txt", "".join(f"{number}\n" for number in numbers))
        text(home / f"ImageSets/Main/ant_{name}.txt", "".join(f"{number} -1\n" for number in numbers))
    text(home / "ImageSets/Segmentation/train.txt", "9\n")
    write(home / "SegmentationClass/3.png", 3)
    write(home / "SegmentationObject/3.png", 3)
    assert listed(tmp_path) == expected(train=range(5), validation=range(5, 8))
    found = list_boxes(tmp_path)
    assert not found.skipped
    assert found.notes == [
        "the lists of the splits leave out 2 images with an XML file",
        "there are no XML files of the test set, which is passed over: 1 image",
    ]
    (home / "JPEGImages/0.jpg").unlink()
    (home / "Annotations/1.xml").unlink()
    text(home / "Annotations/2.xml", "<annotation>")
    text(home / "Annotations/9.xml", "<annotation>")  # in no list
    with (home / "ImageSets/Main/train.txt").open("a") as file:
        file.write("99\n")
    assert sorted((path.name, reason) for path, reason in list_boxes(tmp_path).unused) == [
        ("0.xml", "is of the image photo.jpg, which is not there"),
        ("1.jpg", "has no XML file"),
        ("2.xml", "is no valid XML: no element found: line 1, column 12"),
        ("99", "is not there"),
    ]


COCO = [
    ("train2017/{}.jpg", "annotations/instances_train2017.json", ""),
    ("images/train2017/{}.jpg", "annotations/instances_train2017.json", ""),
    ("images/{}.jpg", "annotations/instances_default.json", ""),
    ("images/{}.jpg", "annotations.json", ""),
    ("train/{}.jpg", "train/_annotations.coco.json", ""),
    ("images/{}.jpg", "result.json", "images/{}.jpg"),
    ("data/a/{}.jpg", "labels.json", "/home/ann/data/a/{}.jpg"),
    ("data/a/{}.jpg", "labels.json", "data\\a\\{}.jpg"),
]


@pytest.mark.parametrize("images, file, file_name", COCO)
def test_coco_files(tmp_path, images, file, file_name):
    assert listed(coco_folder(tmp_path, images, file, range(4), file_name)) == expected(train=range(4))
    assert list_boxes(tmp_path).class_names == NAMES


@pytest.mark.parametrize(
    "names, images, file",
    [
        ("train2017 val2017 test2017", "{}/{{}}.jpg", "annotations/instances_{}.json"),
        ("train valid test", "{}/{{}}.jpg", "{}/_annotations.coco.json"),
        ("train val test", "images/{}/{{}}.jpg", "{}.json"),
        ("train val test", "images/{{}}.jpg", "annotations/{}_coco.json"),
    ],
)
def test_splits_of_coco_files(tmp_path, names, images, file):
    places = range(0, 5), range(5, 8), range(8, 11)
    for name, numbers in zip(names.split(), places, strict=True):
        coco_folder(tmp_path, images.format(name), file.format(name), numbers)
    text(tmp_path / "annotations/captions_train2017.json", json.dumps(coco_of(range(3))))
    text(tmp_path / "annotations/person_keypoints_train2017.json", json.dumps(coco_of(range(3))))
    if "instances" not in file:
        for path in tmp_path.glob("annotations/*train2017*"):
            path.unlink()
    train, validation, test = places
    assert listed(tmp_path) == expected(train=train, validation=validation, test=test)


@SLOW
def test_one_coco_file_of_images_in_folders_of_splits(tmp_path):
    for split, numbers in (("train", range(4)), ("val", range(4, 6))):
        coco_folder(tmp_path, f"{split}/{{}}.jpg", "boxes.json", numbers)
    content = coco_of(range(6))
    for one in content["images"]:
        one["file_name"] = f"{'train' if one['id'] < 4 else 'val'}/{one['file_name'].replace('png', 'jpg')}"
    text(tmp_path / "boxes.json", json.dumps(content))
    assert listed(tmp_path) == expected(train=range(4), validation=range(4, 6))


@pytest.mark.parametrize(
    "header",
    [
        "path x1 y1 x2 y2 label",
        "image_path xmin ymin xmax ymax label",
        "filename width height class xmin ymin xmax ymax",
        "label_name bottom right top left filename difficult",
        "PATH X1 Y1 X2 Y2 LABEL",
        "PATH LABEL X1 Y1 X2 Y2",
    ],
)
def test_csv_files(tmp_path, header):
    found = list_boxes(csv_folder(tmp_path, range(1, 6), header))
    assert not found.wrong and not found.unused and not found.notes
    for one in found.images:
        boxes = [(each.name, [int(value) for value in each.box]) for each in one.objects]
        assert boxes == objects_of(int(one.image.stem)) and one.split == "train"
    assert len(found.images) == 5


def test_splits_of_csv_files(tmp_path):
    csv_folder(tmp_path / "a", range(9), "path split x1 y1 x2 y2 label difficult")
    assert listed(tmp_path / "a") == expected(train=(0, 3, 6), validation=(1, 4, 7), test=(2, 5, 8))
    csv_folder(tmp_path / "b", range(4), "path x1 y1 x2 y2 label difficult", "train.csv")
    csv_folder(tmp_path / "b", range(4, 6), "path x1 y1 x2 y2 label difficult", "val.csv")
    assert listed(tmp_path / "b") == expected(train=range(4), validation=range(4, 6))
    csv_folder(tmp_path / "c", range(4), "path x1 y1 x2 y2 label difficult", images="train/{}.png")
    csv_folder(tmp_path / "c", range(4, 6), "path x1 y1 x2 y2 label difficult", "more.csv", "test/{}.png")
    assert "has several CSV files of boxes, boxes.csv, more.csv: keep one, or" in sentence(list_boxes, tmp_path / "c")
    rows = (tmp_path / "c/more.csv").read_text().splitlines()[1:]
    with (tmp_path / "c/boxes.csv").open("a") as file:
        file.write("\n".join(rows))
    (tmp_path / "c/more.csv").unlink()
    assert listed(tmp_path / "c") == expected(train=range(4), test=range(4, 6))


def test_a_csv_file_of_shares(tmp_path):
    write(tmp_path / "7.png", 7)
    text(tmp_path / "b.csv", "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf\n7,ant,0.25,0.5,0,1,0\n7,cat,0,1,0,0.5,1")
    found = list_boxes(tmp_path)
    assert found.shares and [each.box for each in found.images[0].objects] == [(0.25, 0, 0.5, 1), (0, 0, 1, 0.5)]
    assert [each.difficult for each in found.images[0].objects] == [False, True]
    (one,) = look(found)
    np.testing.assert_allclose(one.boxes, [[15, 0, 30, 40], [0, 0, 60, 20]])


def test_a_csv_file_whose_column_of_classes_is_not_known(tmp_path):
    write(tmp_path / "7.png", 7)
    text(tmp_path / "b.csv", "image,x1,y1,x2,y2,species,age\n7.png,1,2,9,9,ant,3\n")
    assert "b.csv has boxes, but no column of classes among image, x1, y1, x2, y2, species, age." in sentence(
        list_boxes, tmp_path
    )
    assert list_boxes(tmp_path, "species").images[0].objects[0].name == "ant"
    assert "no column of classes called 'kind' among" in sentence(list_boxes, tmp_path, "kind")


# --------------------------------------------------------------------------------------------------- what boxes mean


@pytest.mark.parametrize(
    "form, augment, in_memory",
    [
        ("xml", "none", True),
        *(pytest.param(form, augment, memory, marks=SLOW)
          for form in ("xml", "coco", "csv") for augment in ("none", "shift", "crop") for memory in (True, False)),
    ],
)  # fmt: skip
def test_images_show_their_boxes(tmp_path, monkeypatch, form, augment, in_memory):
    if not in_memory:
        monkeypatch.setattr(listing, "_IN_MEMORY", 0)
    if form == "xml":
        voc_folder(tmp_path, "images/{}.jpg", "Annotations/{}.xml", range(12))
    elif form == "coco":
        coco_folder(tmp_path, "images/{}.jpg", "boxes.json", range(12))
    else:
        csv_folder(tmp_path, range(12))
    data = load(tmp_path, augment=augment, image_size=(50, 50))
    assert data.class_names == NAMES and data.counts == {"train": 8, "validation": 1, "test": 3}
    assert isinstance(data.batches["train"].part.images, np.ndarray) == (in_memory and augment != "crop")
    count = sum(agree(data.epoch(epoch)) for epoch in range(1 + 2 * (augment == "shift")))
    assert count + agree(data.validation) + agree(data.test) >= 8


def test_one_class_is_enough_and_other_images_are_resized(tmp_path):
    for number in range(6):
        write(tmp_path / f"{number}.png", number)
        text(tmp_path / f"{number}.xml", xml([("tree", [0, 0, 30, 20])]))
    centre = Preprocessing((20, 20), resize=20)
    data = load(tmp_path, preprocessing=centre, image_size=None)
    assert data.class_names == ("tree",)
    _, targets = data.batches["train"].first()
    # the height of 40 becomes 20, and of the width of 30 the centre is seen, from 5 to 25
    np.testing.assert_allclose(targets["boxes"], [[[0, 0, 10, 10]]] * 3)
    text(tmp_path / "5.xml", xml([("tree", [0, 0, 30, 20]), ("tree", [0, 0, 11, 20]), ("tree", [0, 0, 12, 20])]))
    data = load(tmp_path, preprocessing=centre, image_size=None)
    places = data.notes[0].split(": ")[1]
    assert data.notes[0].startswith("of 8 objects, 2 are not seen in the input, the centre of the image: ")
    assert places == f"{tmp_path / '5.xml'} (object 2), {tmp_path / '5.xml'} (object 3)"
    dropped = [batches.first()[1]["dropped"].numpy() for batches in data.batches.values()]
    assert sum(np.concatenate(dropped)) == 2


def test_pixels_of_xml_files_are_counted_from_1_or_from_0(tmp_path):
    voc_folder(tmp_path, "{}.png", "{}.xml", range(5))
    assert not list_boxes(tmp_path).notes
    text(tmp_path / "1.xml", xml([("ant", [0, 5, 9, 9])], first=0))
    found = list_boxes(tmp_path)
    assert found.notes == [
        "1 box of 4 in XML files begins at 0: pixels are counted from 0, not from 1 as in VOC's files"
    ]
    assert found.images[1].objects[0].box == (0, 5, 9, 9)
    x1, y1, x2, y2 = objects_of(2)[0][1]
    assert found.images[2].objects[0].box == (x1 + 1, y1 + 1, x2, y2)


@pytest.mark.parametrize("turn", [1, 6, *(pytest.param(turn, marks=SLOW) for turn in (2, 3, 4, 5, 7, 8))])
def test_boxes_of_pictures_that_are_turned(tmp_path, turn):
    """They are those of the upright picture, unless the size in the file is that of the picture as it is stored."""
    text(tmp_path / "classes.txt", "\n".join(NAMES))
    for i in range(4):
        write(tmp_path / f"{i}.jpg", 5, turn)
    photograph = Preprocessing((HEIGHT, WIDTH)).pixels(tmp_path / "0.jpg")
    size, shown = photograph.shape[1::-1], seen(photograph)
    assert len(shown) == 2 and size == ((HEIGHT, WIDTH) if turn > 4 else (WIDTH, HEIGHT))

    def boxes_are_right(objects, said) -> tuple[str, ...]:
        for i in range(4):
            text(tmp_path / f"{i}.xml", xml(objects, said))
        data = load(tmp_path, augment="crop")
        targets = data.batches["train"].part.targets
        for channel, box in zip(targets.classes[0].tolist(), targets.boxes[0], strict=True):
            np.testing.assert_allclose(box, shown[channel], atol=1)
        return data.notes

    upright = [(NAMES[channel], box) for channel, box in shown.items()]
    for said in (size, None, (0, 0)):
        notes = boxes_are_right(upright, said)
        assert any("turned upright by EXIF, whose boxes are taken as drawn" in note for note in notes) == (turn > 1)
    if turn > 4:
        assert any("whose boxes are turned with it" in note for note in boxes_are_right(objects_of(5), (WIDTH, HEIGHT)))
    text(tmp_path / "3.xml", xml(upright, (WIDTH + 1, HEIGHT)))
    assert "but its boxes in 3.xml are for 61 x 40" in sentence(load, tmp_path)


@SLOW
def test_grey_and_palette_pictures(tmp_path):
    for number in range(6):
        picture = Image.fromarray(
            pixels_of([("ant", [5, 6, 30, 20]), ("bee", [5, 6, 30, 20]), ("cat", [5, 6, 30, 20])])
        )
        picture.convert("L" if number % 2 else "P").save(tmp_path / f"{number}.png")
        text(tmp_path / f"{number}.xml", xml([("cat", [5, 6, 30, 20])]))
    for images, targets in load(tmp_path).train:
        for image, boxes in zip((images.numpy() + 1) * 127.5, targets["boxes"].numpy(), strict=True):
            np.testing.assert_allclose(seen(image)[0], boxes[0])


# -------------------------------------------------------------------------------------------------------- wrong boxes

WRONG = [
    ([30, 10, 20, 20], "has object 2 (bee) with the box 30, 10, 20, 20, whose corners are swapped"),
    ([30, 10, 30, 20], "has object 2 (bee) with the box 30, 10, 30, 20, which is empty"),
    ([60, 10, 70, 20], "has object 2 (bee) with the box 60, 10, 70, 20, outside its image of 60 x 40 pixels"),
    ([-9, -9, 0, 20], "has object 2 (bee) with the box -9, -9, 0, 20, outside its image of 60 x 40 pixels"),
    ([5, "abc", 9, 9], "has object 2 (bee) whose ymin is no number: 'abc'"),
    ([5, 5, "nan", 9], "has object 2 (bee) whose xmax is no number: 'nan'"),
    ([5, 5, "1e999", 9], "has object 2 (bee) whose xmax is no number: '1e999'"),
    ([5, 5, "", 9], "has object 2 (bee) whose xmax is no number: ''"),
]


@pytest.mark.parametrize("box, reason", WRONG)
def test_a_wrong_box_is_left_out_and_named(tmp_path, box, reason):
    for number in range(5):
        write(tmp_path / f"{number}.png", number)
        content = xml([("ant", [0, 3, 9, 9]), ("bee", [1, 3, 9, 9])] * (1 + number), first=0)
        text(tmp_path / f"{number}.xml", content)
    objects = [("ant", [0, 3, 9, 9]), ("bee", box), ("cat", [50, 30, 99, 99])]
    text(tmp_path / "0.xml", _raw(objects))
    data = load(tmp_path)
    assert data.skipped == [(tmp_path / "0.xml", reason)] and sum(data.counts.values()) == 5
    notes = [note for note in data.notes if "in XML" not in note]
    assert notes == [
        f"1 object cannot be used and is left out: {tmp_path / '0.xml'} {reason}",
        f"1 box reaches out of the image and is clipped: {tmp_path / '0.xml'} (object 3)",
    ]
    found = ik.check_data(tmp_path, task="detection")
    kinds = [
        (problem.kind, problem.image, problem.detail) for problem in found.problems if "duplicate" not in problem.kind
    ]
    assert kinds[0] == ("box", "0.xml", reason) and found.used == 5 and not found.refusal
    clipped = "has object 3 (cat) with the box 50, 30, 99, 99, which reaches out of 60 x 40 pixels"
    assert kinds[1:] == [("clipped", "0.xml", clipped)]


def _raw(objects) -> str:
    """An annotation with boxes as they are."""
    lines = ["<annotation>"]
    for name, box in objects:
        corners = "".join(f"<{c}>{v}</{c}>" for c, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
        lines.append(f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>")
    return "\n".join([*lines, "</annotation>"])


def test_too_many_wrong_boxes_are_refused(tmp_path):
    """As of a file with x, y, width and height where corners should be."""
    write(tmp_path / "a.png", 1)
    rows = [f"a.png,{30 + i},{20 + i},8,9,ant" for i in range(5)]
    text(tmp_path / "boxes.csv", "path,x1,y1,x2,y2,label\n" + "\n".join(rows))
    text(tmp_path / "classes.txt", "ant")
    said = sentence(load, tmp_path)
    assert said.startswith(
        f"{tmp_path / 'boxes.csv'} has 5 of 5 boxes that cannot be used, more than max_unreadable=0.1"
    )
    assert "has line 2 (ant) with the box 30, 20, 8, 9, whose corners are swapped" in said


BOMB = """<?xml version="1.0"?>
<!DOCTYPE annotation [<!ENTITY a "0123456789"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<annotation><filename>&b;</filename></annotation>"""
FILE = (
    '<!DOCTYPE annotation [<!ENTITY a SYSTEM "file:///etc/passwd">]><annotation><filename>&a;</filename></annotation>'
)


@pytest.mark.parametrize(
    "content, reason",
    [
        (BOMB, "has a document type (DOCTYPE), which may define entities: remove it"),
        (FILE, "has a document type (DOCTYPE), which may define entities: remove it"),
        ("<annotation>&a;</annotation>", "is no valid XML: undefined entity: line 1, column 12"),
        ("<annotation>" + "<a>" * 99 + "</a>" * 99 + "</annotation>", "has more than 64 elements inside each other"),
        ("", "is no valid XML: no element found: line 1, column 0"),
        ("<annotation/>x", "is no valid XML: junk after document element: line 1, column 13"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "is no valid XML: unknown encoding: klingon"),
        ("<annotation>" + " " * 2000 + "</annotation>", "has more than 0 MB, too many for the boxes of an image"),
    ],
)
def test_hostile_xml(tmp_path, monkeypatch, content, reason):
    voc_folder(tmp_path, "{}.png", "{}.xml", range(4))
    monkeypatch.setattr(voc_xml, "_LARGEST", 1900)
    text(tmp_path / "0.xml", content)
    found = list_boxes(tmp_path)
    assert found.unused == [(tmp_path / "0.xml", reason)] and len(found.images) == 3


@pytest.mark.parametrize(
    "content, said",
    [
        ("[" * 200_000, "has too many lists inside each other for a COCO file."),
        ("{", "is no valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)."),
        ('{"images": [], "annotations": []}', "has no list 'categories', as a COCO file must have it."),
        ('{"images": {}, "annotations": [], "categories": []}', "has no list 'images', as a COCO file must have it."),
        ('{"images": [], "annotations": [], "categories": [{"id": 1}]}', "has the category 0 without a name and"),
        ('{"images": [' + "9" * 5000 + ']}', "is no valid JSON: Exceeds the limit (4300 digits) for integer string"),
        ("\udcff", "is no valid JSON: "),
    ],
)  # fmt: skip
def test_hostile_json(tmp_path, content, said):
    (tmp_path / "boxes.json").write_bytes(content.encode(errors="surrogateescape"))
    assert f"{tmp_path / 'boxes.json'} {said}" in sentence(list_boxes, tmp_path)


def test_a_json_file_that_is_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(coco, "_LARGEST", 2**20)
    text(tmp_path / "boxes.json", " " * (2**20 + 1))
    assert sentence(list_boxes, tmp_path).endswith("has more than 1 MB, the most that is read of a COCO file.")


def test_wrong_entries_of_a_coco_file(tmp_path):
    coco_folder(tmp_path, "{}.png", "boxes.json", range(6))
    content = coco_of(range(6))
    content["images"] += [
        {"id": 90, "file_name": "gone.png"},
        {"id": 91},
        7,
        {"id": 92, "file_name": "\ud800.png"},
        {"id": 93, "file_name": "x" * 300},
    ]
    good = {"id": 7, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}
    content["annotations"] += [
        good | {"image_id": 99},
        good | {"category_id": 8},
        good | {"bbox": [1, 2, 3]},
        good | {"bbox": [1, 2, "a", 4]},
        good | {"bbox": [1, 2, float("inf"), 4]},
        good | {"bbox": [1, 2, True, 4]},
        good | {"image_id": [1]},
        "annotation",
        good | {"bbox": [1, 2, 0, 4]},
    ]
    text(tmp_path / "boxes.json", json.dumps(content))
    found = list_boxes(tmp_path)
    assert [(path.name, reason) for path, reason in found.unused] == [
        ("gone.png", "is not there"),
        ("boxes.json", "has the image 7 without a file_name and an id"),
        ("boxes.json", "has the image 8 without a file_name and an id"),
        ("boxes.json", "has the image 9 without a file_name and an id"),
        ("boxes.json", "has the image 10 without a file_name and an id"),
    ]
    assert sorted(reason for _, reason in found.wrong) == [
        "has annotation 12 without an image_id",
        "has annotation 13 without an image_id",
        "has annotation 7 (ant) of the image 99, which it does not list",
        *["has annotation 7 (ant) without a bbox of four numbers"] * 4,
        "has annotation 7 of the category 8, which it does not list",
    ]
    data = load(tmp_path, max_unreadable=0.9)
    assert (tmp_path / "boxes.json", "has annotation 7 (ant) with the box 1, 2, 1, 6, which is empty") in data.skipped


def test_a_picture_that_is_missing_or_broken(tmp_path):
    voc_folder(tmp_path, "{}.png", "{}.xml", range(25))
    (tmp_path / "3.png").unlink()
    (tmp_path / "4.png").write_bytes((tmp_path / "4.png").read_bytes()[:70])
    write(tmp_path / "5000.png", 1)
    data = load(tmp_path, max_unreadable=0.2)
    said = {path.name: reason for path, reason in data.skipped}
    assert said["3.xml"] == "is of the image photo.jpg, which is not there" and said["5000.png"] == "has no XML file"
    assert "cannot be read" in said["4.png"] and len(said) == 3 and sum(data.counts.values()) == 23
    assert "has 3 of 26 images that cannot be used" in sentence(load, tmp_path)


# ------------------------------------------------------------------------------------------------------------- classes


def test_classes_are_read_and_the_background_is_none(tmp_path):
    voc_folder(tmp_path, "{}.png", "{}.xml", range(12))
    assert load(tmp_path).class_names == NAMES
    text(tmp_path / "classes.txt", "background\ncat\nbee\n")
    data = load(tmp_path, max_unreadable=0.9)
    assert data.class_names == ("cat", "bee")
    assert all("(ant)" not in reason and "of the class ant, which is not among the 2 classes listed" in reason
               for _, reason in data.skipped)  # fmt: skip
    (tmp_path / "classes.txt").unlink()
    text(tmp_path / "1.xml", xml([("background", [3, 3, 9, 9])]))
    data = load(tmp_path, max_unreadable=0.9)
    assert data.class_names == NAMES
    assert data.skipped[0][1] == "has object 1 (background), but the background is no object"


def test_categories_of_a_coco_file(tmp_path):
    """By their ids; Roboflow writes one above the others, and the last has no objects."""
    coco_folder(tmp_path, "{}.png", "boxes.json", range(6))
    content = coco_of(range(6), first_id=5)
    content["categories"] += [{"id": 0, "name": "insects"}, {"id": 9, "name": "wasp"}, {"id": 1, "name": "background"}]
    for one in content["categories"]:
        one["supercategory"] = "insects"
    text(tmp_path / "boxes.json", json.dumps(content))
    data = load(tmp_path)
    assert data.class_names == (*NAMES, "wasp")
    assert "no training image has an object of 1 class: wasp" in data.notes


def test_images_without_objects(tmp_path):
    """They are good images, in any form."""
    for number in range(8):
        write(tmp_path / f"{number}.png", 0)
        text(tmp_path / f"{number}.xml", xml([]))
    assert "has no object that can be used, and so no class." in sentence(load, tmp_path)
    text(tmp_path / "classes.txt", "ant\n")
    data = load(tmp_path, augment="shift")
    _, targets = data.batches["train"].first()
    assert targets["boxes"].shape[1:] == (0, 4) and not targets["dropped"].numpy().any()
    assert data.class_names == ("ant",) and sum(data.counts.values()) == 8 and not data.skipped


def test_an_image_in_two_splits_is_refused(tmp_path):
    csv_folder(tmp_path, range(3), file="train.csv")
    csv_folder(tmp_path, range(2, 4), file="test.csv")
    assert sentence(load, tmp_path) == f"{tmp_path} lists {tmp_path / '2.png'} for test and train."


@pytest.mark.parametrize("nothing", ["empty", "xml", "json", "csv"])
def test_folders_without_boxes(tmp_path, nothing):
    if nothing != "empty":
        write(tmp_path / "1.png", 1)
        text(tmp_path / f"1.{nothing}", {"xml": "<svg/>", "json": "[1]", "csv": "path,label\n1.png,ant"}[nothing])
    said = sentence(load, tmp_path)
    assert said.startswith(f"{tmp_path} has no boxes: it may hold XML files as PASCAL VOC has them, beside the images")


def test_two_forms_of_boxes_are_refused(tmp_path):
    voc_folder(csv_folder(tmp_path, range(3)), "{}.png", "{}.xml", range(3))
    said = "has boxes in XML files in PASCAL VOC's form and in CSV files of boxes: only one of them can be meant."
    assert said in sentence(load, tmp_path)


# ---------------------------------------------------------------------------------------------- scenes, tests, checks


def test_scenes_with_boxes():
    data = ik.load_data("scenes", task="detection", count=8, image_size=32, augment="none", batch_size=8)
    made = ik.scenes(8, size=32)
    assert data.class_names == made.class_names[1:] and data.counts == {"train": 8, "validation": 1, "test": 2}
    part = data.batches["train"].part
    for i in range(8):
        np.testing.assert_array_equal(part.targets.boxes[i], made.boxes[i])
        np.testing.assert_array_equal(part.targets.classes[i] + 1, made.classes[i])
    np.testing.assert_array_equal(part.images, made.images)


def test_options_that_need_labels_are_refused():
    with pytest.raises(ValueError, match="mixup needs images that have one label each, got mixup"):
        ik.load_data("scenes", task="detection", mixup=0.2)
    with pytest.raises(
        ValueError, match="digits has labels and no boxes: for task='detection', give 'scenes' or a data"
    ):
        ik.load_data("digits", task="detection")


def test_a_test_set_for_a_net_with_other_classes(tmp_path):
    """Classes are matched by name; images keep their own size, with all their boxes."""
    coco_folder(tmp_path, "{}.png", "test.json", range(6))
    names, prepare = ("dog", "cat", "ant", "bee"), Preprocessing((16, 16), resize=20)
    data = load_test_set(None, tmp_path, names, prepare, task="detection")
    assert data.class_names == names and data.counts == {"test": 6} and not data.notes
    part = data.batches["test"].part
    for number in range(6):
        assert part.images[number] == tmp_path / f"{number}.png"
        found = [
            (names[c], box.tolist())
            for c, box in zip(part.targets.classes[number], part.targets.boxes[number], strict=True)
        ]
        assert found == objects_of(number)
    said = sentence(load_test_set, None, tmp_path, ("ant", "bee"), prepare, task="detection")
    assert said == f"{tmp_path / 'test.json'} has the class cat, which the run does not know: it knows ant, bee."
    assert "Scenes have the classes digit, disc" in sentence(
        load_test_set, "scenes", None, ("ant",), prepare, task="detection"
    )


def test_check_counts_objects_and_finds_duplicates(tmp_path):
    coco_folder(tmp_path, "train/{}.png", "train/_annotations.coco.json", range(9))
    coco_folder(tmp_path, "test/{}.png", "test/_annotations.coco.json", range(20, 24))
    write(tmp_path / "test/22.png", 2)
    content = coco_of(range(9))
    content["annotations"].append(content["annotations"][0] | {"id": 7})
    text(tmp_path / "train/_annotations.coco.json", json.dumps(content))
    found = ik.check_data(tmp_path, task="detection")
    again = f"has annotation 7 ({objects_of(1)[0][0]}) with the same box as annotation 100"
    assert {(p.kind, p.image, p.detail) for p in found.problems} == {
        ("duplicate box", "train/_annotations.coco.json", again),
        ("duplicate", "train/6.png", "is the same as train/0.png"),
        ("duplicate", "train/3.png", "is the same as train/0.png"),
        ("train and test", "test/21.png", "is the same as train/0.png in train"),
        ("train and test", "test/22.png", "is the same as train/2.png in train, but has other objects"),
    }
    boxes = [(name, box) for number in range(9) for name, box in objects_of(number)] + [objects_of(1)[0]]
    assert [row["class"] for row in found.classes] == list(NAMES) and found.used == 13
    for row in found.classes:
        sizes = [(box[2] - box[0], box[3] - box[1]) for name, box in boxes if name == row["class"]]
        assert row["train"] == len(sizes)
    assert "4 images have no objects" in found.notes


# ---------------------------------------------------------------------------- image and boxes move by the same numbers

BOX = st.tuples(*(st.integers(0, 25) for _ in range(2)), *(st.integers(6, 30) for _ in range(2)))


@SLOW
@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.lists(BOX, min_size=3, max_size=6),
    st.integers(0, 2**40),
    st.sampled_from(("none", "shift", "crop")),
    st.booleans(),
    st.sampled_from((None, (80, 60), (40, 90))),
)
def test_boxes_move_as_their_images(boxes, seed, augment, flip, resize):
    images = np.full((len(boxes), HEIGHT, WIDTH, 3), GREY, np.uint8)
    corners = []
    for image, (x, y, wide, high) in zip(images, boxes, strict=True):
        corners.append(np.array([[x, y, min(x + wide, WIDTH), min(y + high, HEIGHT)]], float))
        x1, y1, x2, y2 = corners[-1][0].astype(int)
        image[y1:y2, x1:x2, 1] = 250
    part = Part(images, Boxes(corners, [np.array([1])] * len(boxes), 0.0))
    prepare = Preprocessing((HEIGHT, WIDTH) if resize is None else resize)
    batches = Batches(part, prepare, 3, seed=seed, augment=augment, flip=flip)
    # the border of a pixel that is enlarged has a width itself
    agree(batches.dataset(seed % 5), atol=1.01 if augment != "crop" else 3)


def test_the_check_from_the_command_line(tmp_path):
    coco_folder(tmp_path, "{}.png", "boxes.json", range(6))
    result = CliRunner().invoke(app, ["data", "check", str(tmp_path), "--task", "detection"])
    assert result.exit_code == 1 and "6 images in 3 classes, 0 files left out, 1 problem" in result.output
    assert "3.png is the same as 0.png" in " ".join(result.output.split())
    (tmp_path / "3.png").unlink()
    content = coco_of([0, 1, 2, 4, 5])
    content["annotations"][0]["bbox"] = [50, 30, 20, 5]
    text(tmp_path / "boxes.json", json.dumps(content))
    result = CliRunner().invoke(app, ["data", "check", str(tmp_path), "--task", "detection"])
    assert result.exit_code == 1 and "clipped" in result.output and "reaches out of 60 x 40" in result.output

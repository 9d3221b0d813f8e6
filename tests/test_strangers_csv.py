"""CSV files of images as people have them, loaded in a new process."""

import json

import numpy as np
import pytest
from outside import here, python
from test_strangers_folders import flat, picture, pictures

LOAD = """
import json, warnings
from pathlib import Path
from inception_keras import check_data, load_data

def load(folder):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        label = {"chosen": "kind", "places": "label"}.get(folder.name)
        data = load_data(None, data_dir=folder, image_size=8, augment=False, max_unreadable=0.4, label=label)
    said = [str(warning.message) for warning in said]
    skipped = {str(path): reason for path, reason in data.skipped}
    files = data.batches["train"].part
    checked = check_data(folder, label=label)
    return {
        "classes": data.class_names, "counts": data.counts, "skipped": skipped, "said": said,
        "checked": [checked.used, checked.left_out, [f"{note}." for note in checked.notes]],
    }

found = {}
for folder in sorted(Path().iterdir()):
    try:
        found[folder.name] = load(folder)
    except Exception as error:
        found[folder.name] = {"error": f"{type(error).__name__}: {error}"}
print(json.dumps(found))
"""


def write(path, header, rows, encoding="utf-8", end="\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{row}{end}" for row in (header, *rows)).encode(encoding))


def kinds(form, count=12):
    """A row for each image; cats and dogs alternate."""
    return [form.format(i=i, kind="cat" if i % 2 else "dog", cat=i % 2, dog=1 - i % 2) for i in range(count)]


def write_folders(root):
    # Kaggle: ids without extension, images in a folder, a sample of the answers, a test.csv without labels
    for name, images in {"breeds": "train", "leaves": "images", "eyes": "train_images"}.items():
        flat(root / name / images, 12)
    flat(root / "breeds/test")  # with the same names as in train
    write(root / "breeds/labels.csv", "id,breed", kinds("{i},{kind}"))
    write(root / "breeds/sample_submission.csv", "id,cat,dog", kinds("{i},0.5,0.5", 4))
    flat(root / "leaves/images", 4, first=12)
    write(root / "leaves/train.csv", "image_id,cat,dog", kinds("{i},{cat},{dog}"))
    write(root / "leaves/test.csv", "image_id", [str(i) for i in range(12, 16)])
    write(root / "leaves/sample_submission.csv", "image_id,cat,dog", kinds("{i},0.5,0.5", 4))
    flat(root / "eyes/test_images")
    write(root / "eyes/train.csv", "id_code,diagnosis", [f"{i},{i % 3}" for i in range(12)])
    write(root / "eyes/test.csv", "id_code", [str(i) for i in range(4)])
    write(root / "eyes/sample_submission.csv", "id_code,diagnosis", [f"{i},0" for i in range(4)])
    flat(root / "trainLabels/train", 12)
    write(root / "trainLabels/trainLabels.csv", "id,label", kinds("{i},{kind}"))
    write(root / "trainLabels/sampleSubmission.csv", "id,label", kinds("{i},cat", 4))
    # folders that are places, not classes; several columns
    for part in (1, 2):
        flat(root / "places" / f"images_part_{part}", 6, first=6 * part - 6)
    write(root / "places/metadata.csv", "lesion_id,image_id,label", kinds("L{i},{i},{kind}"))
    pictures(root / "places2", 6, ("images_part_1", "images_part_2"))
    for i in range(6):  # ids that are in one folder only
        path = root / "places2/images_part_2" / f"{i}.png"
        path.rename(path.with_stem(f"{i + 6}"))
    write(root / "places2/metadata.csv", "lesion_id,image_id,label", kinds("L{i},{i},{kind}"))
    flat(root / "upwards/train", 12)
    write(root / "upwards/train.csv", "path,label", kinds("../input/upwards/train/{i}.png,{kind}"))
    # Roboflow: one-hot columns, a file in each split
    for split, count in (("train", 8), ("valid", 2), ("test", 2)):
        flat(root / "roboflow" / split, count)
        write(root / "roboflow" / split / "_classes.csv", "filename, cat, dog", kinds("{i}.png, {cat}, {dog}", count))
    # fastai: paths with the folders of splits in them; or a column is_valid
    for split, first, count in (("train", 0, 8), ("valid", 8, 3), ("test", 11, 1)):
        flat(root / "tiny" / split, count, first)
    write(root / "tiny/labels.csv", "name,label", kinds("{i},{kind}"))
    flat(root / "imagenette/images", 12)
    valid = [f"{row},{i > 7}" for i, row in enumerate(kinds("images/{i}.png,{kind}"))]
    write(root / "imagenette/noisy.csv", "path,kind,is_valid", valid)
    flat(root / "receipts/images", 12)
    write(root / "receipts/list.csv", "path,is_valid", kinds("images/{i}.png,{cat}"))
    flat(root / "unsure/images", 12)
    write(root / "unsure/list.csv", "path,kind,is_valid", kinds("images/{i}.png,{kind},perhaps"))
    # columns, cells and encodings
    for name in "semicolons windows absolute quoted excel frame split twice marks chosen upper sep floats".split():
        flat(root / name / "photos", 12)
    write(root / "semicolons/list.csv", '"path, in full";kind', kinds("photos/{i}.png;{kind}"), "utf-8-sig", "\r\n")
    write(root / "windows/list.csv", "path,kind", kinds("C:\\Users\\Ann\\windows\\photos\\{i}.png,{kind}"))
    write(root / "absolute/list.csv", "path,kind", kinds(f"{root}/absolute/photos/{{i}}.png,{{kind}}"))
    for i in range(12):
        picture(root / "quoted" / "photos" / f"é, {i}.png")
    write(root / "quoted/list.csv", "path,kind", kinds('"photos/e\u0301, {i}.png",{kind}'))  # as macOS takes it apart
    write(root / "excel/list.csv", "path\tkind", kinds("photos\\{i}.png\t{kind}"), "utf-16")
    write(root / "frame/list.csv", ",path,kind", kinds("{i},photos/{i}.png,{kind}"))
    write(root / "chosen/list.csv", "path,kind,weight", kinds("{i}.png,{kind},1"))
    write(root / "upper/LIST.CSV", "Filename,Label,Age", kinds("./photos/{i}.PNG,{kind},7"))
    write(root / "sep/list.csv", "sep=;", ["path;kind", *kinds("photos/{i}.png;{kind}")])
    write(root / "floats/list.csv", "path,kind", [f"photos/{i}.png,{'3.0' if i % 2 else '10.0'}" for i in range(12)])
    splits = ["training", "Test", "dev", "train"] * 3
    rows = [f"{row},{split}" for row, split in zip(kinds("photos/{i}.png,{kind}"), splits, strict=True)]
    write(root / "split/list.csv", "path,kind,Split", rows)
    write(root / "twice/list.csv", "path,kind", [*kinds("photos/{i}.png,{kind}"), "photos/3.png,cat"])
    write(root / "marks/list.csv", "path,kind", [f"photos/{i}.png,{(10, 9, -1, 2)[i % 4]}" for i in range(12)])
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8), np.uint8)
    (root / "npz").mkdir()
    np.savez(root / "npz" / "some.npz", x_train=images, y_train=np.array([10, 9, -1, 2] * 3))
    # a list of test images beside folders of classes
    pictures(root / "folders/train")
    flat(root / "folders/test")
    write(root / "folders/test.csv", "id", [f"{i}.png" for i in range(4)])
    pictures(root / "facts")
    write(root / "facts/facts.csv", "id,colour", [f"{i},red" for i in range(6)])  # of no use: cat/0.png, dog/0.png
    # and what cannot be read
    for name in WRONG:
        if name != "places2":
            flat(root / name / "photos", 12)
    good = kinds("photos/{i}.png,{kind}")
    write(root / "addresses/list.csv", "image_url,kind", kinds("https://example.org/{i}.png,{kind}"))
    pictures(root / "ambiguous/more", 12)
    write(root / "ambiguous/list.csv", "path,kind", ["0.png,cat", *good])
    write(root / "conflict/list.csv", "path,kind", [*good, "photos/3.png,dog"])
    write(root / "empty/list.csv", "path,kind", [*good[:5], "photos/5.png,", *good[6:]])
    write(root / "headless/list.csv", good[0], good[1:])
    write(root / "multilabel/list.csv", "path,cat,dog", [*kinds("photos/{i}.png,{cat},{dog}", 11), "photos/11.png,1,1"])
    write(root / "latin/list.csv", "path,kind", [*good, "photos/1.png,caf\u00e9"], "latin-1")
    write(root / "pixels/train.csv", "label,pixel0,pixel1", ["1,0,255", "2,0,255"])
    write(root / "unlabelled/list.csv", "path", [f"photos/{i}.png" for i in range(12)])
    write(root / "outside/list.csv", "path,kind", [*good, "../outside/../absolute/photos/1.png,cat"])


WRONG = {
    "addresses": "list.csv, line 2: 'https://example.org/0.png' is an address, no file: download the images",
    "ambiguous": "line 2: '0.png' may be more/cat/0.png, more/dog/0.png, photos/0.png: write the path",
    "conflict": "line 14 has the label dog for 3.png, but conflict/list.csv, line 5 has cat.",
    "empty": "empty/list.csv, line 7 has no label.",
    "headless": "list.csv names an image in its first line, where names of columns should be",
    "multilabel": "list.csv, line 13 has a 1 for cat, dog among cat, dog: each image must be of one class",
    "latin": "latin/list.csv is no CSV file: it is not UTF-8 text",
    "places2": "may be classes, images_part_1, images_part_2, and places2/metadata.csv names images by ids",
    "pixels": "pixels/train.csv has no column of images among label, pixel0, pixel1",
    "unlabelled": "unlabelled/list.csv has no column of labels.",
    "outside": "leads out of outside: put the file itself into the folder.",
}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    root = tmp_path_factory.mktemp("csv")
    write_folders(root)
    said = python(LOAD, root)
    return json.loads(next(line for line in said.splitlines() if line.startswith("{")))


def total(one):
    return sum(one["counts"].values())


NOTES = {
    "breeds": [
        "sample_submission.csv is passed over: it shows how",
        "4 images in breeds are in no row with a label: test",
    ],
    "leaves": [
        "sample_submission.csv is passed over",
        "test.csv is passed over: it has no labels",
        "4 images in leaves",
    ],
    "eyes": ["sample_submission.csv is passed over", "test.csv is passed over", "4 images in eyes are in no row"],
    "trainLabels": ["sampleSubmission.csv is passed over: it shows how answers are written"],
    "twice": ["1 row say the same as an earlier one and are used once: twice/list.csv, line 14"],
    "quoted": ["12 images in quoted are in no row with a label: photos/0.png"],
    "folders": [
        "folders/test is passed over: its 4 images are in",
        "folders/test.csv has no column of labels, and",
    ],
}
CLASSES = {
    "eyes": ["0", "1", "2"],
    "floats": ["3", "10"],
    "marks": ["-1", "2", "9", "10"],
    "npz": ["-1", "2", "9", "10"],
}


@pytest.mark.parametrize(
    "name",
    "breeds leaves eyes trainLabels places roboflow semicolons windows absolute quoted excel frame chosen upper sep "
    "floats split twice marks npz folders facts upwards".split(),
)
def test_what_is_read(found, name):
    one = found[name]
    assert "error" not in one, one
    assert one["classes"] == CLASSES.get(name, ["cat", "dog"]) and total(one) == 12 and one["skipped"] == {}
    notes = NOTES.get(name, [])
    assert len(one["said"]) == len(notes) and all(map(str.__contains__, one["said"], notes)), one["said"]
    assert one["checked"] == [12, 0, one["said"]]


def test_splits_of_rows_and_files(found):
    assert found["split"]["counts"] == {"train": 6, "validation": 3, "test": 3}
    assert found["roboflow"]["counts"] == {"train": 8, "validation": 2, "test": 2}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused_in_one_sentence(found, name):
    assert WRONG[name] in found[name]["error"], found[name]
    assert found[name]["error"].startswith("ValueError: ") and found[name]["error"].endswith(".")


def test_splits_of_fastai(found):
    assert found["tiny"]["counts"] == {"train": 8, "validation": 3, "test": 1}
    assert found["imagenette"]["counts"] == {"train": 6, "validation": 4, "test": 2}
    assert found["imagenette"]["classes"] == ["cat", "dog"]
    assert found["receipts"]["classes"] == ["0", "1"]  # the only column beside the paths has the labels
    assert found["unsure"]["error"].endswith("line 2: is_valid must be True or False, or 1 or 0, got 'perhaps'.")


def test_ids_name_the_files_of_their_split(tmp_path):
    """There are train/0.png and test/0.png. The id 0 in train.csv means train/0.png."""
    flat(tmp_path / "train", 12)
    flat(tmp_path / "test", 12)
    for split in ("train", "test"):
        write(tmp_path / f"{split}.csv", "id,label", kinds("{i},{kind}"))
    said = here("data", "check", tmp_path, cwd=tmp_path)
    assert "24 images in 2 classes, 0 files left out, 0 problems" in said

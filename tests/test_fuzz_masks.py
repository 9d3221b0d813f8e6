"""Odd folders of images and masks: every file is used, named or counted in a note; errors are one sentence."""

import random
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import stamps
from PIL import Image
from test_masks import SIDE, belong_together, load, pairs, pattern, write

import inception_keras as ik

pytestmark = pytest.mark.slow

LAYOUTS = [
    ("{s}/images/{n}.{e}", "{s}/masks/{n}.{m}"),
    ("images/{s}/{n}.{e}", "annotations/{s}/{n}.{m}"),
    ("{s}/{n}.{e}", "{s}annot/{n}.{m}"),
    ("{s}/a/b/{n}.{e}", "{s}_masks/a/b/{n}_mask.{m}"),
    ("img/{s}_{n}.{e}", "gt/{s}_{n}-seg.{m}"),
    ("photos/x {s}.{n}.{e}", "labels/x {s}.{n}.{m}"),
    ("{s}/{n}.{e}", "{s}/{n}_label.{m}"),
    ("JPEGImages/ü{s}{n}.{e}", "SegmentationClass/ü{s}{n}.{m}"),
]


def damage(chance: random.Random, image: Path, mask: Path, number: int) -> None:
    """Spoils one of the two files, in one of many ways."""
    kind = chance.randrange(13)
    if kind == 0:
        mask.unlink()
    elif kind == 1:
        image.unlink()
    elif kind == 2:
        mask.write_bytes(b"")
    elif kind == 3:
        image.write_bytes(image.read_bytes()[: chance.randrange(60)])
    elif kind == 4:
        mask.write_bytes(mask.read_bytes()[: chance.randrange(1, 90)])
    elif kind == 5:
        write(mask, pattern(number, width=SIDE + chance.choice((-1, 1, 8))))
    elif kind == 6:
        Image.new("RGB", (SIDE, SIDE), "blue").save(mask)
    elif kind == 7:
        write(mask, pattern(number, 9) + chance.choice((0, 50, 200)))
        write(image, pattern(number), True, 250)
    elif kind == 8:
        write(mask, pattern(number, 2) * 255)
        write(image, pattern(number), True, 250)
    elif kind == 9:
        mask.with_name("Thumbs.db").write_bytes(b"thumbs")
        image.with_name("._" + image.name).write_bytes(b"resource fork")
    elif kind == 10:
        mask.with_suffix(".npy").write_bytes(b"numbers")
        image.with_suffix(".json").write_text("{}")
    elif kind == 11:
        write(image.parent / f"odd {number}.png", pattern(number), True, number)
        write(mask.parent / f"strange_{number}_mask.png", pattern(number))
    else:
        shutil.move(mask, mask.with_name(mask.stem.upper() + "Q" + mask.suffix))


def written(root: Path, chance: random.Random) -> None:
    images, masks = chance.choice(LAYOUTS)
    number = 0
    for split in chance.choice((["train"], ["train", "val"], ["Training", "test"], ["train", "val", "test"], ["test"])):
        for _ in range(chance.choice((1, 4, 12, 20))):
            number += 1
            names = {
                "s": split,
                "n": number,
                "e": chance.choice(("png", "jpg", "bmp")),
                "m": chance.choice(("png", "bmp")),
            }
            paths = root / images.format(**names), root / masks.format(**names)
            write(paths[0], pattern(number), True, number)
            write(paths[1], pattern(number))
            if chance.random() < 0.1:
                damage(chance, *paths, number)
    if chance.random() < 0.3:
        (root / chance.choice(("classes.txt", "labels.txt"))).write_text(
            "\n".join("abcdefgh"[: chance.choice((2, 3, 8))])
        )


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_lost_without_a_word(tmp_path, seed):
    chance = random.Random(seed)
    written(tmp_path, chance)
    files = sorted(path for path in tmp_path.rglob("*") if path.suffix in (".png", ".jpg", ".bmp", ".npy"))
    files = [path for path in files if not path.name.startswith(".")]
    found, refusal = None, ""
    try:
        found = ik.check_data(tmp_path, task="segmentation")
        refusal = found.refusal
    except ValueError as error:
        refusal = str(error)
    share = chance.choice((0.1, 1.0))
    try:
        data = load(tmp_path, max_unreadable=share, augment=chance.choice(("none", "crop")))
    except ValueError as error:
        text = str(error)
        assert "\n" not in text and text.endswith("."), text
        if share == 0.1:
            assert text == refusal
        return
    if share == 0.1:
        assert not refusal and found.used == sum(data.counts.values())
    named = {path for path, _ in data.skipped}
    used = sum(data.counts.values())
    passed = sum(int(note.rsplit(": ", 1)[1].split()[0]) for note in data.notes if "passed over" in note)
    # a pair is two files that are used; of a spoilt pair, one file is named
    assert 2 * used + len(named) + passed <= len(files) <= 2 * (used + passed) + 2 * len(named)
    whole = [pair for pair in pairs(data.test) + pairs(data.validation) if pair[0][..., 1].mean() < 0.6]
    assert belong_together(whole) == len(whole)
    assert len(pairs(data.test) + pairs(data.validation)) == data.counts["test"] + data.counts["validation"]
    assert sum(len(masks) for _, masks in data.train) == data.counts["train"]


def test_real_cut_outs_on_photographs(tmp_path):
    if not stamps.STAMPS.is_dir():
        pytest.skip("tuxpaint-stamps-default is not installed")
    stamps.make(tmp_path / "stamps", 8, 48)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = ik.load_data(data_dir=tmp_path / "stamps", task="segmentation", image_size=48, augment="none")
    assert data.class_names == stamps.CLASSES and data.counts == {"train": 8, "validation": 1, "test": 2}
    _, masks = next(iter(data.train))
    assert {0, 255} < {*np.unique(masks)} <= {*range(8), 255}

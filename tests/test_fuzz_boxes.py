"""Damaged files of boxes: XML, JSON and CSV give data, a counted skip or one sentence, and never another error."""

import csv
import io
import json
import random
from pathlib import Path

import numpy as np
import pytest
from test_box_data import HEIGHT, NAMES, WIDTH, coco_of, objects_of, text, write, xml

from inception_keras.data.boxes import with_boxes

CASES = 1000  # of each form of file
ODD = ["", "0", "-1", "nan", "inf", "1e400", "1e-400", "9" * 5000, "0x10", "1_0", "½", "٣", "\ud800", "\0", "\n", "ant",
       "../../x.png", "/etc/passwd", "C:\\a.png", "x" * 5000, "1.png", "true", "[]", "http://a.b/c.png"]  # fmt: skip
VALUES = [None, True, -1, 0, 10**400, 1e308, float("nan"), float("inf"), "", "1", "ant", [], {}, [1], {"id": 1}, [[]]]
BYTES = [b"<", b">", b"&", b"&#0;", b"&#xD800;", b"<!DOCTYPE a>", b"]]>", b"<![CDATA[", b"\x00", b"\xff",
         b"\xef\xbb\xbf", b"<?xml version='1.0' encoding='utf-16'?>", b"{", b"}", b"[", b'"', b"\\u12", b",",
         b";", b"\r", b"\n", b"\t", b"'"]  # fmt: skip


def damaged_bytes(chance: random.Random, content: bytes) -> bytes:
    """Cut, repeated, changed and inserted bytes."""
    for _ in range(chance.choice((1, 1, 2, 5))):
        at, end = sorted(chance.randrange(len(content) + 1) for _ in range(2))
        kind = chance.randrange(6)
        if kind == 0:
            content = content[:at]
        elif kind == 1:
            content = content[:at] + content[end:]
        elif kind == 2:
            content = content[:end] + content[at:]
        elif kind == 3 and content:
            at = min(at, len(content) - 1)
            content = content[:at] + bytes([chance.randrange(256)]) + content[at + 1 :]
        else:
            content = content[:at] + chance.choice(BYTES) * chance.choice((1, 1, 200)) + content[at:]
    return content


def damaged_values(chance: random.Random, content, share: float):
    """JSON in which some values are others."""
    if chance.random() < share:
        return chance.choice([*VALUES, *ODD])
    if isinstance(content, dict):
        return {
            key if chance.random() > share / 4 else chance.choice(["id", "bbox", "x"]): damaged_values(
                chance, value, share
            )
            for key, value in content.items()
            if chance.random() > share / 4
        }
    if isinstance(content, list):
        some = [damaged_values(chance, value, share) for value in content if chance.random() > share / 4]
        return some * 2 if chance.random() < share / 4 else some
    return content


def damaged_xml(chance: random.Random, number: int) -> bytes:
    content = xml(objects_of(number), filename=f"{number}.png")
    if chance.random() < 0.5:
        words = content.split(">")
        for _ in range(chance.choice((1, 3))):
            at = chance.randrange(len(words))
            words[at] = chance.choice(
                (chance.choice(ODD) + "<" + words[at].rpartition("<")[2], chance.choice(words), "<a")
            )
        return ">".join(words).encode(errors="surrogatepass")
    return damaged_bytes(chance, content.encode())


def damaged_json(chance: random.Random, number: int) -> bytes:
    content = coco_of(range(number, number + 3))
    if chance.random() < 0.7:
        return json.dumps(damaged_values(chance, content, chance.choice((0.01, 0.05, 0.3)))).encode()
    return damaged_bytes(chance, json.dumps(content).encode())


def damaged_csv(chance: random.Random, number: int) -> bytes:
    rows = [["path", "x1", "y1", "x2", "y2", "label", "split"]]
    for index in range(number, number + 3):
        for name, box in objects_of(index) or [("", [""] * 4)]:
            rows.append([f"{index}.png", *map(str, box), name, ("train", "val", "test")[(index - number) % 3]])
    if chance.random() < 0.5:
        rows = [row[:6] for row in rows[chance.randrange(2) :]]
    rows = [row[:5] if chance.random() < 0.01 else row for row in rows]
    file = io.StringIO()
    chosen = chance.choice((0.0, 0.03, 0.2))
    table = [[chance.choice(ODD) if chance.random() < chosen else cell for cell in row] for row in rows]
    csv.writer(file, delimiter=chance.choice(",,,;\t")).writerows(table)
    content = file.getvalue().encode(errors="surrogatepass")
    return damaged_bytes(chance, content) if chance.random() < 0.4 else content


MAKE = {"xml": damaged_xml, "json": damaged_json, "csv": damaged_csv}


def checked(root: Path, share: float) -> bool:
    """Whether the data are accepted. They are complete, or the error is one sentence."""
    try:
        raw = with_boxes(None, root, (16, 16), share)
    except (ValueError, OSError) as error:
        said = str(error)
        assert said.endswith(".") and "\n" not in said and not type(error).__name__.startswith("Unicode"), said
        assert len(said) < 6000
        said.encode()
        return False
    count = 0
    for part in raw.parts.values():
        count += len(part)
        for boxes, classes in zip(part.targets.boxes, part.targets.classes, strict=True):
            assert np.isfinite(boxes).all() and (boxes[:, :2] < boxes[:, 2:]).all()
            assert (boxes >= 0).all() and (boxes <= 16 + 1e-9).all()
            assert (classes < len(raw.class_names)).all()
    for path, reason in raw.skipped:
        f"{path} {reason}".encode()
    "".join(raw.notes).encode()
    "".join(raw.class_names).encode()
    return count > 0


@pytest.mark.parametrize("form", MAKE)
@pytest.mark.parametrize("first, count", [(0, CASES // 10), pytest.param(CASES // 10, CASES, marks=pytest.mark.slow)])
def test_damaged_files(tmp_path, form, first, count):
    for number in range(6):
        write(tmp_path / f"{number}.png", number)
    assert (HEIGHT, WIDTH, NAMES[0]) == (40, 60, "ant")
    accepted = 0
    for case in range(first, count):
        chance = random.Random(case)
        if form == "xml":
            for number in range(1, 4):
                text(tmp_path / f"{number}.xml", xml(objects_of(number)))
            (tmp_path / "2.xml").write_bytes(damaged_xml(chance, 2))
        else:
            (tmp_path / f"boxes.{form}").write_bytes(MAKE[form](chance, case % 4))
        accepted += checked(tmp_path, chance.choice((0.1, 1.0)))
    assert accepted > (count - first) / 10  # not all of them are refused

"""Reads boxes from JSON files in the form of COCO: instances_train2017.json, Roboflow's _annotations.coco.json ..."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..checks import counted, some
from .box_list import (
    Annotated,
    BoxList,
    Object,
    Paths,
    by_folder,
    class_name,
    is_file_name,
    left_over,
    number_of,
    shown,
    size_of,
)
from .csv_paths import Files
from .images import line
from .layout import SPLIT_NAMES, split_of, stay_inside, walk
from .mask_folders import meaning_of

_LARGEST = 2**30  # bytes of a file; COCO's own training file has 448 MB
_OTHERS = re.compile(r"captions|image_info|stuff|panoptic|person_keypoints", re.IGNORECASE)  # COCO's, beside instances
_SPLIT = re.compile(rf"(trainval|mini)?({'|'.join(SPLIT_NAMES)})?\d*", re.IGNORECASE)


@dataclass
class _File:
    """A JSON file: its lists, and what became of them."""

    path: Path
    content: dict[str, Any]
    split: str | None
    categories: dict[Any, str] = field(default_factory=dict)  # class names by id, in the order of the ids
    above: set[str] = field(default_factory=set)  # the names of categories of categories


def list_coco(root: Path, passed: Paths) -> BoxList | None:
    """The images of a folder with COCO files, in the splits that the names of files and folders say.

    The classes are the categories by their ids, less the background, and less a category without objects that stands
    above others, as Roboflow writes one. Crowds are difficult objects.

    Args:
        root: The folder.
        passed: JSON files of something else are added to it, if there is none of boxes.

    Returns:
        None if there is no COCO file.

    Raises:
        ValueError: If a file is too large, no JSON, or lacks COCO's lists, or if two are of the same split.
        OSError: If a file or folder cannot be read.
    """
    skipped: Paths = []
    notes: list[str] = []
    found = list(_open(root, skipped, notes))
    if not found:
        passed += skipped
        return None
    single = len(found) == 1
    splits = [file.split or "train" for file in found]
    if len(set(splits)) < len(splits):
        names = some(file.path.relative_to(root) for file in found)
        raise ValueError(f"{root} has several COCO files of the same split, {names}: keep one, or merge them.")
    files = Files(root)
    images: list[Annotated] = []
    unused: Paths = []
    wrong: Paths = []
    for file, split in zip(found, splits, strict=True):
        new = list(_images(file, split, files, unused, wrong))
        if split != "train" and new and not any(one.objects for one in new):
            notes.append(f"{file.path} is passed over: it has no objects for its {counted(len(new), 'image')}")
            continue
        images += new
    if single and found[0].split is None:
        images = by_folder(images, root)
    seen = {one.name for entry in images for one in entry.objects}
    above = {name for file in found for name in file.above}
    classes = tuple(dict.fromkeys(name for file in found for name in file.categories.values()))
    classes = tuple(name for name in classes if name in seen or name not in above)
    notes += left_over(files.images, images, root, "COCO file")
    origin = found[0].path if single else root
    return BoxList(origin, images, classes, skipped, unused, wrong, notes)


def _open(root: Path, skipped: Paths, notes: list[str]) -> Iterator[_File]:
    """The COCO files of a folder. Of COCO's own, those with boxes are the instances."""
    paths = [path for path in walk(root, root, outside=True) if path.suffix.lower() == ".json"]
    if any(path.name.lower().startswith("instances") for path in paths):
        others = [path for path in paths if _OTHERS.match(path.name)]
        notes += [f"{path} is passed over: the boxes are those of the instances" for path in others]
        paths = [path for path in paths if path not in others]
    for path in paths:
        content = _parse(stay_inside(path, root))
        if not isinstance(content, dict) or not {"images", "annotations"} <= content.keys():
            skipped.append((path, "is no COCO file: it has no images and annotations"))
            continue
        for name in ("images", "annotations", "categories"):
            if not isinstance(content.get(name), list):
                raise ValueError(f"{path} has no list {name!r}, as a COCO file must have it.")
        file = _File(path, content, _split(path, root))
        _categories(file)
        yield file


def _parse(path: Path) -> Any:
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"{path} has more than {_LARGEST // 2**20:,} MB, the most that is read of a COCO file.")
    try:
        return json.loads(path.read_bytes())
    except RecursionError:
        raise ValueError(f"{path} has too many lists inside each other for a COCO file.") from None
    except ValueError as error:  # of the text, of its encoding, or of a number of thousands of digits
        raise ValueError(f"{path} is no valid JSON: {line(error)}.") from None


def _split(path: Path, root: Path) -> str | None:
    """The split that the name of a file says, as in instances_train2017; else the folders."""
    for word in re.split(r"[-_. ]+", path.stem):
        match = _SPLIT.fullmatch(word)
        if match and match[1] and match[1].lower() == "trainval" and not match[2]:
            return "train"
        if match and match[2]:
            return split_of(match[2])
    return meaning_of(path.relative_to(root).parts[:-1])[0]


def _categories(file: _File) -> None:
    found = []
    for number, one in enumerate(file.content["categories"]):
        name = class_name(one.get("name")) if isinstance(one, dict) else ""
        if not name or not isinstance(one.get("id"), (int, str)):
            raise ValueError(f"{file.path} has the category {number} without a name and an id.")
        found.append((one["id"], name))
        if above := class_name(one.get("supercategory")):
            file.above.add(above)
    if all(isinstance(key, int) for key, _ in found):
        found.sort()
    file.categories = dict(found)
    if len(file.categories) < len(found):
        raise ValueError(f"{file.path} has two categories of one id.")


def _images(file: _File, split: str, files: Files, unused: Paths, wrong: Paths) -> Iterator[Annotated]:
    objects = _objects(file, wrong)
    where = [file.path.parent, files.root, files.root / "images", file.path.parent / "images"]
    if match := re.search(r"_([a-z]+\d*)$", file.path.stem, re.IGNORECASE):  # instances_train2017: train2017/
        where = [files.root / match[1], files.root / "images" / match[1], *where]
    where += [files.root / split, files.root / "images" / split]
    known: dict[Path, Annotated] = {}
    for number, one in enumerate(file.content["images"]):
        key = one.get("id") if isinstance(one, dict) else None
        if not isinstance(one, dict) or not isinstance(key, (int, str)) or not is_file_name(one.get("file_name")):
            unused.append((file.path, f"has the image {number} without a file_name and an id"))
            continue
        name = one["file_name"]
        base = next((folder for folder in where if (folder / name).is_file()), files.root)
        where.sort(key=base.__ne__)  # the next image lies in the same folder
        path = files.find(name, base, split, f"{file.path}, image {shown(key)}")
        if not path.is_file():
            unused.append((path, "is not there"))
            objects.pop(key, None)
            continue
        new = Annotated(split, path, objects.pop(key, []), file.path, size_of(one.get("width"), one.get("height")))
        if path in known:  # two entries of a file are one image
            new = Annotated(split, path, [*known[path].objects, *new.objects], file.path, new.size)
        known[path] = new
    for key, left in objects.items():
        wrong += [(file.path, f"has {one} of the image {shown(key)}, which it does not list") for one in left]
    yield from known.values()


def _objects(file: _File, wrong: Paths) -> dict[Any, list[Object]]:
    """The objects by the ids of their images."""
    found: dict[Any, list[Object]] = {}
    for number, one in enumerate(file.content["annotations"]):
        key, kind, box = (
            (one.get(name) for name in ("image_id", "category_id", "bbox")) if isinstance(one, dict) else "   "
        )
        if not isinstance(one, dict) or not isinstance(key, (int, str)):
            wrong.append((file.path, f"has annotation {number} without an image_id"))
            continue
        kind, box = one.get("category_id"), one.get("bbox")
        label = f"annotation {shown(one['id'] if isinstance(one.get('id'), (int, str)) else number)}"
        if not isinstance(kind, (int, str)) or kind not in file.categories:
            wrong.append((file.path, f"has {label} of the category {shown(kind)}, which it does not list"))
            continue
        values = [number_of(value) for value in box] if isinstance(box, list) and len(box) == 4 else [None]
        if None in values:
            wrong.append((file.path, f"has {label} ({file.categories[kind]}) without a bbox of four numbers"))
            continue
        x, y, width, height = (value for value in values if value is not None)
        difficult = bool(one.get("iscrowd")) or bool(one.get("ignore"))
        found.setdefault(key, []).append(Object(label, file.categories[kind], (x, y, x + width, y + height), difficult))
    return found

"""Lists a folder of images and masks: which mask belongs to which image, by the names of folders and files.

The folders on the way to a file say what it is, and which split it belongs to; all other folders and the name of the
file say which image and mask belong together. So images/train/7.jpg and masks/train/7.png, train/images/7.jpg and
train/masks/7.png, train/7.jpg and trainannot/7_mask.png, JPEGImages/7.jpg and SegmentationClass/7.png are all pairs.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..checks import counted, some
from .images import looks_like_image, unread
from .layout import SPLIT_NAMES, split_of, stay_inside, subfolders, walk
from .listing import Skipped, readable

_IMAGES = "images? imgs? imgdir jpegimages leftimg8bit photos? photographs? pictures? rgb inputs?".split()
_MASKS = (
    "masks? anndir annotations? annots? labels? labelids segmentationclass segmentationclass(?:png|raw) segmentations? "
    "segs? gt gtfine groundtruths? trimaps? targets? cls"
).split()
_OTHERS = "segmentationobject segmentationobjects segmentationclassvisualization visualizations? overlays? instances?"
_SPLIT = "|".join(sorted(SPLIT_NAMES, key=len, reverse=True))
_ROLE = f"(?P<image>{'|'.join(_IMAGES)})|(?P<mask>{'|'.join(_MASKS)})|(?P<other>{'|'.join(_OTHERS.split())})"
_FOLDER = re.compile(rf"(?P<before>{_SPLIT})?(?:set|data)?(?:{_ROLE})?(?:trainvaltest|(?P<after>{_SPLIT}))?")
_BESIDE = re.compile(r"(.+)[-_ .](?:color|colour|instanceids|instancetrainids|labeltrainids)", re.IGNORECASE)
_MASK_NAME = re.compile(
    r"(.+?)[-_ .](?:masks?|segs?|segmentation|labels?|labelids|gt|gt[-_ ]?fine[-_ ]labelids|groundtruth|annotation|l)",
    re.IGNORECASE,
)
_IMAGE_NAME = re.compile(r"(.+)[-_ .](?:leftimg8bit|sat|image|img|rgb)", re.IGNORECASE)
_NAME_FILES = ("classes.txt", "labels.txt", "class_names.txt", "_classes.csv")
_NOTES = {".csv", ".html", ".json", ".log", ".md", ".pdf", ".rst", ".txt", ".xml", ".yaml", ".yml"}  # beside images
UNDERSTOOD_MASKS = (
    "folders of images and masks of the same names (images/7.jpg and masks/7.png, with folders train, val and test in "
    "or around them), or a PASCAL VOC folder (JPEGImages, SegmentationClass, ImageSets/Segmentation)"
)


@dataclass(frozen=True)
class Pairs:
    """The images of each split, each with its mask."""

    origin: Path
    parts: dict[str, tuple[list[Path], list[Path]]]
    class_names: tuple[str, ...] | None  # those of a file in the folder
    voc: bool  # whether the folder is laid out as PASCAL VOC's: without a file of names, the classes are VOC's
    skipped: Skipped = field(default_factory=list)  # masks without an image, and files that are neither
    unused: Skipped = field(default_factory=list)  # images without a mask; they count as unreadable
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class File:
    """A file, and what the folders on the way to it say about it."""

    path: Path
    split: str | None
    place: tuple[str, ...]  # the folders on the way to it that are neither a split nor say what the file is
    role: str  # "image", "mask" or ""

    @property
    def key(self) -> tuple[str | None, tuple[str, ...], str]:
        """What an image and its mask have in common."""
        return self.split, self.place, self.path.stem


def list_masks(root: Path) -> Pairs:
    """The images and masks of a folder.

    Raises:
        ValueError: If there are no images or no masks, an image has two masks, or a link leads out of the folder.
        OSError: If a file or folder cannot be read.
    """
    if root.is_file():
        raise NotADirectoryError(f"{root} is a file, not a folder: unpack it, or give the folder that it lies in.")
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder {root}.")
    with readable(root):
        notes: list[str] = []
        skipped: Skipped = []
        files = list(_files(root, skipped, notes))
        if not any(file.role == "mask" for file in files):  # masks may lie beside the images
            files = [replace(file, role="mask") if _MASK_NAME.fullmatch(file.path.stem) else file for file in files]
        masks = _without_siblings([file for file in files if file.role == "mask"], notes)
        images = [file for file in files if file.role == "image"]
        if not masks:
            raise ValueError(f"{root} has no masks{_seen(files)}: it may hold {UNDERSTOOD_MASKS}.")
        if images:
            skipped += [(file.path, "lies in no folder of images or masks") for file in files if not file.role]
        else:
            images = [file for file in files if not file.role]
        if not images:
            raise ValueError(
                f"{root} has {counted(len(masks), 'mask')}, but no images: it may hold {UNDERSTOOD_MASKS}."
            )
        pairs, alone, lonely = _pair(images, masks)
        lists, voc = lists_of(root, "Segmentation")
        if not voc and any(image.split for image, _ in pairs):
            lists = {}  # the folders say it
        parts, unused = parts_of(root, pairs, alone, lists, notes)
        skipped += [(file.path, "is a mask without an image") for file in lonely]
        return Pairs(root, parts, names_of(root), voc, skipped, unused, notes)


# -------------------------------------------------------------------------------------------------- what files are


def _files(root: Path, skipped: Skipped, notes: list[str]) -> Iterator[File]:
    others: dict[str, int] = {}
    for path in walk(root, root):
        if path.is_symlink():
            stay_inside(path, root)
        split, role, place = meaning_of(path.relative_to(root).parts[:-1])
        if role == "other":
            if path.parent.name != "SegmentationObject":  # PASCAL VOC always has it
                others[str(path.parent)] = others.get(str(path.parent), 0) + looks_like_image(path)
        elif looks_like_image(path) or (role == "mask" and path.suffix.lower() == ".mat"):
            yield File(path, split, place, role)
        elif path.suffix.lower() not in _NOTES and role:
            skipped.append((path, unread(path)[1]))
    notes += [
        f"{folder} is not used, as it shows no classes: {counted(n, 'image')}" for folder, n in others.items() if n
    ]


def meaning_of(folders: Iterable[str]) -> tuple[str | None, str, tuple[str, ...]]:
    """What the folders on the way to a file say: its split, its role, and all folders that say neither.

    The role is "image", "mask", "other" or "".
    """
    split, role, place = None, "", []
    for folder in folders:
        known = _FOLDER.fullmatch(re.sub(r"[-_. ]", "", folder.lower()))
        if not known or not any(known.groupdict().values()):
            place.append(folder)
            continue
        split = split_of(known["before"] or known["after"] or "") or split
        role = next((kind for kind in ("image", "mask", "other") if known[kind]), role)
    return split, role, tuple(place)


def _without_siblings(masks: list[File], notes: list[str]) -> list[File]:
    """The masks without those that Cityscapes stores beside the one with class indices: colours, instances ..."""
    kept = {file.key for file in masks}
    beside = []
    for file in masks:
        match = _BESIDE.fullmatch(file.path.stem)
        if match and any((*file.key[:2], f"{match[1]}_{name}") in kept for name in ("labelIds", "labelids")):
            beside.append(file)
    if beside:
        notes.append(f"only the masks of class indices are used, and not {counted(len(beside), 'image')} beside them")
    dropped = set(beside)
    return [file for file in masks if file not in dropped]


def _seen(files: list[File]) -> str:
    places = {str(file.path.parent) for file in files}
    return f", only {counted(len(files), 'image')} in {some(sorted(places), 3)}" if files else ""


# ------------------------------------------------------------------------------------------------------------- pairs


def _pair(images: list[File], masks: list[File]) -> tuple[list[tuple[File, File]], list[File], list[File]]:
    """Images with their masks, images without a mask, and masks without an image."""
    exact: dict[tuple, list[File]] = {}
    shortened: dict[tuple, list[File]] = {}  # by the name without "_mask" and the like
    for file in masks:
        exact.setdefault(file.key, []).append(file)
        if match := _MASK_NAME.fullmatch(file.path.stem):
            shortened.setdefault((*file.key[:2], match[1]), []).append(file)
    pairs, alone, used = [], [], set()
    for file in images:
        match = _IMAGE_NAME.fullmatch(file.path.stem)
        stems = [file.path.stem, *([match[1]] if match else [])]
        splits = [file.split, *([None] if file.split else [])]  # one folder of masks may serve all splits
        keys = [(split, file.place, stem) for split in splits for stem in stems]
        found = next((by[key] for key in keys for by in (exact, shortened) if key in by), [])
        if len(found) > 1:
            raise ValueError(
                f"{file.path} has {len(found)} masks, {some(mask.path for mask in found)}: only one can be meant."
            )
        if found:
            pairs.append((file, found[0]))
            used.add(found[0])
        else:
            alone.append(file)
    return pairs, alone, [file for file in masks if file not in used]


def parts_of(
    root: Path,
    pairs: list[tuple[File, File]],
    alone: list[File],
    lists: dict[str, set[str]],
    notes: list[str],
    noun: str = "mask",
) -> tuple[dict[str, tuple[list[Path], list[Path]]], Skipped]:
    """The pairs of each split, and the images without a mask, or without what else `noun` names.

    Args:
        root: The folder.
        pairs: Images with their masks.
        alone: Images without a mask.
        lists: The names of the images of each split; empty if the folders say the splits.
        notes: Remarks are added to it.
        noun: What stands beside each image.
    """
    parts: dict[str, tuple[list[Path], list[Path]]] = {}
    unlisted, article = 0, "an" if noun[0] in "aeiouX" else "a"
    splits = {name: split for split, names in lists.items() for name in names}
    for image, mask in pairs:
        split = splits.get(image.path.stem) if lists else image.split or "train"
        if split is None:
            unlisted += 1
            continue
        paths = parts.setdefault(split, ([], []))
        paths[0].append(image.path)
        paths[1].append(mask.path)
    if unlisted:
        notes.append(f"the lists of the splits leave out {counted(unlisted, 'image')} with {article} {noun}")
    lacking: dict[str, Skipped] = {}
    for image in alone:
        split = splits.get(image.path.stem) if lists else image.split or "train"
        if split is not None:  # most images of PASCAL VOC are in no list, as they have no mask
            lacking.setdefault(split, []).append((image.path, f"has no {noun}"))
    unused: Skipped = []
    for split, images in lacking.items():
        if split in parts or split == "train":
            unused += images
        else:
            notes.append(
                f"there are no {noun}s of the {split} set, which is passed over: {counted(len(images), 'image')}"
            )
    known = {image.path.stem for image, _ in pairs} | {image.path.stem for image in alone}
    unused += [(root / name, "is not there") for name in sorted(splits.keys() - known)]
    return {split: parts[split] for split in ("train", "validation", "test") if split in parts}, unused


# ------------------------------------------------------------------------------------------- lists and names of classes


def lists_of(root: Path, purpose: str) -> tuple[dict[str, set[str]], bool]:
    """The names of the images of each split, by text files as PASCAL VOC has them; and whether they are VOC's.

    VOC has lists for each purpose: "Segmentation", or "Main" for boxes.
    """
    inner = subfolders(root)
    folders = [root, *inner, *(path for folder in inner for path in subfolders(folder))]
    places = [path for path in folders if (path / "ImageSets" / purpose).is_dir()]
    if len(places) > 1:
        names = some(place.relative_to(root) for place in places)
        raise ValueError(f"{root} has several PASCAL VOC folders, {names}: give one of them.")
    folder = places[0] / "ImageSets" / purpose if places else root
    found: dict[str, set[str]] = {}
    for path in sorted(folder.glob("*.txt")):
        split = "trainval" if path.stem.lower() == "trainval" else split_of(path.stem)
        if split and path.is_file():
            lines = stay_inside(path, root).read_text(encoding="utf-8", errors="replace").split("\n")
            found[split] = {Path(words[0].replace("\\", "/")).stem for line in lines if (words := line.split())}
    both = found.pop("trainval", set())
    if both and not found.get("train"):
        found["train"] = both - found.get("validation", set()) - found.get("test", set())
    for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
        if shared := sorted(found.get(one, set()) & found.get(other, set())):
            raise ValueError(
                f"{folder} lists {counted(len(shared), 'image')} for {one} and {other}: {some(shared, 3)}."
            )
    return found, bool(places)


def names_of(root: Path, least: int = 2, most: int = 255) -> tuple[str, ...] | None:
    """The class names that a file in the folder lists, one a line; None if there is no such file."""
    for name in _NAME_FILES:
        paths = [path for folder in (root, *subfolders(root)) if (path := folder / name).is_file()]
        if not paths:
            continue
        text = stay_inside(paths[0], root).read_text(encoding="utf-8-sig", errors="replace")
        if name.endswith(".csv"):  # Roboflow's: Pixel Value, Class
            rows = [row for row in csv.reader(text.splitlines()) if len(row) >= 2 and row[0].strip().isdigit()]
            by_value = {int(row[0]): row[1].strip() for row in rows}
            names = [by_value.get(value, f"class {value}") for value in range(max(by_value, default=-1) + 1)]
        else:
            names = [line.strip() for line in text.splitlines() if line.strip()]
            names = names[1:] if names[:1] == ["__ignore__"] else names  # labelme's void, which has no index
        if not least <= len(names) <= most:
            raise ValueError(f"{paths[0]} lists {counted(len(names), 'class')}: there may be {least} to {most}.")
        if len(set(names)) < len(names):
            double = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{paths[0]} lists the class {double} twice.")
        return tuple(names)
    return None

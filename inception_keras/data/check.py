"""Reports what a folder of images contains, and what is wrong with it."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import asdict, dataclass, fields
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import numpy as np

from ..checks import check_choice, check_path, check_text
from ..files import write_csv
from .formats import Arrays, in_memory, open_folder
from .images import EXTENSIONS, SUFFIXES, Source, UnreadableImage, check_image, line
from .listing import Listing, remarked
from .names import NAMES
from .segmentation import TASKS, refuse_labels
from .splits import Part, complete
from .targets import Labels

MAX_UNREADABLE = 0.1  # as for load_data


class OfSplit(Protocol):
    """An image file of a split."""

    @property
    def split(self) -> str:
        """The split."""

    @property
    def image(self) -> Path:
        """The file."""


One = TypeVar("One")
File = TypeVar("File", bound=OfSplit)


@dataclass(frozen=True)
class Problem:
    """Something wrong with an image, or with its mask or boxes.

    `kind` is "empty", "truncated", "too large", "unreadable", "not read" (an image format that is not supported),
    "missing", "no class" (an image that belongs to no class, or a mask with a value of no class), "not an image",
    "extension", "duplicate", "train and test" (the same image in both) or "classes". With masks, it may also be "no
    mask" (an image without a mask), "size" (a mask of another size than its image) or "not used" (such as a mask
    without an image). With boxes, it may also be "no boxes" (an image or a file of boxes that cannot be used), "size"
    (boxes for an image of another size), "box" (an object that cannot be used), "clipped" (a box that reaches out of
    its image), "duplicate box" or "not used".
    """

    kind: str
    image: str  # its path relative to the folder, or its position in a file
    detail: str


@dataclass(frozen=True)
class Check:
    """The result of `check_data`."""

    folder: Path
    problems: tuple[Problem, ...]
    # for each class: name, images by split, and the smallest and largest (width, height); with masks, for each class
    # and for void: name, images by split that show it, and its share of all pixels; with boxes, for each class: name,
    # objects by split, images, and the smallest, median and largest (width, height) of a box
    classes: tuple[dict[str, Any], ...]
    used: int = 0  # images that load_data uses
    left_out: int = 0  # files that it lists in `skipped`
    notes: tuple[str, ...] = ()  # remarks on data that load_data does not use, but that are no fault
    refusal: str = ""  # the error with which load_data refuses the folder; empty if it accepts the folder

    def to_csv(self, path: str | Path) -> None:
        """Writes the problems to a CSV file that begins with a header line."""
        write_csv(path, [asdict(problem) for problem in self.problems], [field.name for field in fields(Problem)])


@dataclass(frozen=True)
class _Seen:
    """An image that was examined. An image that could not be read has no digest."""

    split: str
    label: int
    name: str
    size: tuple[int, int] | None = None
    digest: bytes | None = None
    problem: Problem | None = None
    remarks: Sequence[tuple[Source, str]] = ()


def check_data(data_dir: str | Path, *, task: str = "classification", label: str | None = None) -> Check:
    """Examines every image of a folder, and every mask or box. No file is changed.

    Args:
        data_dir: A folder that `load_data` reads.
        task: `"classification"`, `"segmentation"` for images with masks, or `"detection"` for images with boxes.
        label: The column of a CSV file that holds the labels, if more than one column could.

    Returns:
        The problems, a row for each class, and what `load_data` does with the folder: how many images it uses, how many
        files it leaves out, and why it refuses the folder if it does. A wrong extension, such as a PNG named .jpg, is a
        problem, but `load_data` still reads the image.

    Raises:
        ValueError: If the folder holds no supported data, or a CSV or data file in it is invalid.
        OSError: If a file or folder cannot be read; FileNotFoundError if the folder does not exist.

    Examples:
        >>> from PIL import Image
        >>> for name, colour in (("cat", "grey"), ("dog", "white")):
        ...     (tmp_path / name).mkdir()
        ...     Image.new("RGB", (9, 9), colour).save(tmp_path / name / "1.png")
        >>> (tmp_path / "dog" / "2.png").touch()
        >>> check_data(tmp_path).problems
        (Problem(kind='empty', image='dog/2.png', detail='is empty'),)
    """
    root = check_path("data_dir", data_dir)
    if label is not None:
        check_text("label", label)
    if check_choice("task", task, TASKS) == "segmentation":
        from .check_masks import check_masks  # it imports this module

        refuse_labels("masks", label=label)
        return check_masks(root)
    if task == "detection":
        from .check_boxes import check_boxes

        return check_boxes(root, label)
    found = open_folder(root, label=label)
    problems = []
    notes: list[str] = []
    left_out = 0
    if isinstance(found, Listing):
        problems = [
            Problem(kind, name_in(source, root), reason)
            for kind, sources in (("not an image", found.skipped), ("no class", found.unused))
            for source, reason in sources
        ]
        left_out, notes = len(problems), found.notes
        try:
            found.check_classes()
        except ValueError as error:
            problems.append(Problem("classes", ".", str(error).rstrip(".")))
        names = found.classes
        parts: Mapping[str, Sized] = found.parts
        seen = list(_look(found, root))
    else:
        parts = found.parts
        highest = max(part.labels.max() for part in found.parts.values())
        names = found.class_names or NAMES[found.kind]
        names = names if highest < len(names) else tuple(map(str, range(1 + highest)))
        seen = list(_hash(found))
    problems += [image.problem for image in seen if image.problem]
    known = [(image, image.split, image.name, image.digest) for image in seen if image.digest is not None]
    problems += duplicates(known, partial(_other_label, names))
    good = [image for image in seen if image.digest is not None]
    return Check(
        root,
        tuple(problems),
        tuple(_rows(good, names, list(parts))),
        used=len(good),
        left_out=left_out + len(seen) - len(good),
        notes=(*notes, *remarked([remark for image in good for remark in image.remarks])),
        refusal=_refusal(found, seen, root),
    )


def _refusal(found: Listing | Arrays, seen: Sequence[_Seen], root: Path) -> str:
    """The error with which `load_data` refuses the images; empty if it accepts them."""
    title = root.resolve().name
    good: dict[str, list[int]] = {split: [] for split in found.parts}
    for image in seen:
        if image.digest is not None:
            good[image.split].append(image.label)
    try:
        if isinstance(found, Listing):
            lost = [(image.name, image.problem.detail) for image in seen if image.problem and image.digest is None]
            found.check_classes()
            found.check_share(lost, MAX_UNREADABLE)
            found.check_present(good["train"], "training image that can be read")
        else:
            in_memory(title, found.kind, found.parts, found.class_names, None)
        complete({split: Part(range(len(labels)), Labels(np.array(labels))) for split, labels in good.items()}, title)
    except ValueError as error:
        return str(error)
    return ""


def _look(listing: Listing, root: Path) -> Iterator[_Seen]:
    def look(entry: tuple[str, int, Source]) -> _Seen:
        split, label, source = entry
        name = name_in(source, root)
        said: list[str] = []
        try:
            format, size, _ = check_image(source, said)
            with source.open("rb") as file:
                digest = hashlib.file_digest(cast(Any, file), "sha256").digest()
        except FileNotFoundError:
            return _Seen(split, label, name, problem=Problem("missing", name, "is not there"))
        except (UnreadableImage, OSError) as error:
            kind = error.kind if isinstance(error, UnreadableImage) else "unreadable"
            return _Seen(split, label, name, problem=Problem(kind, name, line(error)))
        suffix = source.suffix.lower() if isinstance(source, Path) else ""
        wrong = suffix in EXTENSIONS and suffix not in SUFFIXES.get(format, (suffix,))
        problem = Problem("extension", name, f"is a {format} image by its content") if wrong else None
        return _Seen(split, label, name, size, digest, problem, [(source, text) for text in said])

    entries = [
        (split, label, source)
        for split, (sources, labels) in listing.parts.items()
        for source, label in zip(sources, labels, strict=True)
    ]
    with ThreadPool() as pool:
        yield from pool.imap(look, entries, chunksize=16)


def _hash(arrays: Arrays) -> Iterator[_Seen]:
    for split, content in arrays.parts.items():
        images = np.asarray(content.images)
        for i, (image, label) in enumerate(zip(images, content.labels.tolist(), strict=True)):
            size = (image.shape[1], image.shape[0])
            yield _Seen(split, label, f"{split} image {i}", size, hashlib.sha256(image.tobytes()).digest())


def _other_label(names: Sequence[str], other: _Seen, image: _Seen) -> str:
    return f"{names[image.label]} for {names[other.label]}" * (other.label != image.label)


def digests(images: Iterable[File], root: Path) -> Iterator[tuple[File, str, str, bytes]]:
    """What `duplicates` needs of images that are files."""
    for one in images:
        yield one, one.split, name_in(one.image, root), hashlib.sha256(one.image.read_bytes()).digest()


def duplicates(
    images: Iterable[tuple[One, str, str, bytes]], differing: Callable[[One, One], str]
) -> Iterator[Problem]:
    """Reports each image whose bytes equal those of an earlier image, with the name of that image.

    Args:
        images: For each image an object that stands for it, its split, its name, and the SHA-256 of its bytes.
        differing: `(other, image) -> text`: what else of two equal images differs; empty if nothing does.
    """
    first: dict[bytes, list[tuple[One, str, str]]] = defaultdict(list)
    for image, split, name, digest in images:
        same = first[digest]
        other = next((one for one in same if one[1] == split), same[0] if same else None)
        if other is None or other[1] != split:
            same.append((image, split, name))  # the first one in its split
        if other is not None:
            across = {other[1], split} == {"train", "test"}
            detail = f"is the same as {other[2]}" + f" in {other[1]}" * (other[1] != split)
            if text := differing(other[0], image):
                detail += f", but {text}"
            yield Problem("train and test" if across else "duplicate", name, detail)


def _rows(good: Sequence[_Seen], names: Sequence[str], parts: Sequence[str]) -> Iterator[dict[str, Any]]:
    """One row for each class, counting the images that can be read."""
    by_class: dict[int, list[_Seen]] = defaultdict(list)
    for image in good:
        by_class[image.label].append(image)
    for label, name in enumerate(names):
        images = by_class[label]
        sizes = sorted((image.size for image in images if image.size), key=lambda size: (size[0] * size[1], size))
        counts = {split: sum(image.split == split for image in images) for split in parts}
        yield {
            "class": name,
            **counts,
            "smallest": sizes[0] if sizes else None,
            "largest": sizes[-1] if sizes else None,
        }


def name_in(source: Source, root: Path) -> str:
    """The path of an image relative to the folder."""
    return str(source.relative_to(root) if isinstance(source, Path) and source.is_relative_to(root) else source)

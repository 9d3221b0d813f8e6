"""Reads boxes from XML files in the form of PASCAL VOC, which lie in VOC's folders or beside the images."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from ..checks import counted, some
from .box_list import Annotated, BoxList, Object, Paths, by_folder, class_name, is_file_name, number_of, shown, size_of
from .images import Source, line, looks_like_image
from .layout import stay_inside, walk
from .mask_folders import File, lists_of, meaning_of, names_of, parts_of

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_LARGEST = 2**26  # bytes of a file
_DEEPEST = 64  # elements inside elements
_ZERO_BASED = 1000  # one box of so many that begins at 0 shows that the first pixel is 0
_CLASSES = 2**16


@dataclass(frozen=True)
class _Sheet:
    """What an XML file says of an image. Its boxes have the numbers of the file."""

    objects: list[Object] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)  # objects that cannot be used
    image: str = ""  # the name of the image, as the file gives it
    size: tuple[int, int] | None = None


class _Refused(ValueError):
    """A file that cannot be used. The message is the predicate of a sentence."""


def list_xml(root: Path, passed: Paths) -> BoxList | None:
    """The images of a folder with XML files, in the splits of VOC's lists or of the folders' names.

    An XML file belongs to the image of the same name in its folder or in one beside it, such as JPEGImages beside
    Annotations; else to the only image of this name, or to the one whose name it gives.

    VOC counts pixels from 1, and the last one belongs to the box: xmin 1 and xmax 10 become x1 = 0 and x2 = 10. If at
    least one of 1,000 boxes begins at 0, the numbers are taken as they are, and a note says so.

    Args:
        root: The folder.
        passed: XML files of something else are added to it, if there is none of boxes.

    Returns:
        None if there is no XML file of boxes.

    Raises:
        ValueError: If lists contradict each other, or a link leads out of the folder.
        OSError: If a file or folder cannot be read.
    """
    images: list[File] = []
    sheets: dict[File, _Sheet] = {}
    skipped: Paths = []
    unused: Paths = []
    for path in walk(root, root):
        if path.is_symlink():
            stay_inside(path, root)
        file = File(path, *_meaning(path, root))
        if looks_like_image(path):
            images.append(file)
        elif path.suffix.lower() == ".xml":
            try:
                sheet = read_xml(path)
            except _Refused as error:
                unused.append((path, str(error)))
                continue
            if sheet is None:
                skipped.append((path, "is no XML file of boxes"))
            else:
                sheets[file] = sheet
    if not sheets and not unused:
        passed += skipped
        return None
    pairs, taken = [], {path for path, _ in unused}
    for file, photograph in _matches(sheets, images, unused):
        pairs.append((photograph, file))
        taken.add(photograph.path)
    kinds = ("image", "") if any(image.role != "mask" for image, _ in pairs) else ("image", "", "mask")
    broken = {path.stem for path, _ in unused}  # their images are named already
    alone = [file for file in images if file.path not in taken and file.role in kinds and file.path.stem not in broken]
    lists, voc = lists_of(root, "Main")
    if not voc and any(image.split for image, _ in pairs):
        lists = {}  # the folders say it
    notes: list[str] = []
    parts, more = parts_of(root, pairs, alone, lists, notes, "XML file")
    by_path = {file.path: sheet for file, sheet in sheets.items()}
    chosen = [(split, *paths) for split, part in parts.items() for paths in zip(*part, strict=True)]
    known = [one for _, _, source in chosen for one in by_path[source].objects]
    first = 1.0
    if (zeros := sum(min(one.box[:2]) < 1 for one in known)) * _ZERO_BASED > len(known):
        first = 0.0
        notes.append(
            f"{counted(zeros, 'box')} of {len(known):,} in XML files begin{'s' * (zeros == 1)} at 0: pixels are "
            "counted from 0, not from 1 as in VOC's files"
        )
    annotated, wrong = [], []
    for split, image, source in chosen:
        sheet = by_path[source]
        objects = [replace(one, box=(one.box[0] - first, one.box[1] - first, *one.box[2:])) for one in sheet.objects]
        annotated.append(Annotated(split, image, objects, source, sheet.size))
        wrong += [(source, text) for text in sheet.wrong]
    if not lists:
        annotated = by_folder(annotated, root)
    if lists:  # of files that no list names, nothing is missing
        listed = {name for names in lists.values() for name in names}
        unused = [(path, reason) for path, reason in unused if path.stem in listed]
    named = {path.stem for path, _ in unused}
    unused += [(path, reason) for path, reason in map(_as_path, more) if path.stem not in named]
    return BoxList(root, annotated, names_of(root, 1, _CLASSES), skipped, unused, wrong, notes)


def read_xml(path: Path) -> "_Sheet | None":
    """What an XML file says of an image; None if it says something else.

    Raises:
        _Refused: If it is no valid XML, too large, or has a document type, which may define entities.
        OSError: If it cannot be read.
    """
    tree = _parse(path)
    if tree.tag != "annotation":
        return None
    objects, wrong = [], []
    for number, element in enumerate(tree.iterfind("object"), start=1):
        name = class_name(element.findtext("name", ""))
        label = f"object {number}{f' ({name})' * bool(name)}"
        box = element.find("bndbox")
        if box is None:
            wrong.append(f"has {label} without a box")
            continue
        texts = [(box.findtext(corner) or "").strip() for corner in _CORNERS]
        values = [number_of(text) for text in texts]
        if None in values:
            corner = values.index(None)
            wrong.append(f"has {label} whose {_CORNERS[corner]} is no number: {shown(texts[corner])!r}")
        elif not name:
            wrong.append(f"has {label} without a class")
        else:
            x1, y1, x2, y2 = (value for value in values if value is not None)
            difficult = (element.findtext("difficult") or "").strip() == "1"
            objects.append(Object(f"object {number}", name, (x1, y1, x2, y2), difficult))
    size = size_of((tree.findtext("size/width") or "").strip(), (tree.findtext("size/height") or "").strip())
    image = (tree.findtext("filename") or "").strip().replace("\\", "/")
    return _Sheet(objects, wrong, Path(image).name if is_file_name(image) else "", size)


def _parse(path: Path) -> Element:
    if not path.is_file():
        raise _Refused("is not there")
    if path.stat().st_size > _LARGEST:
        raise _Refused(f"has more than {_LARGEST // 2**20} MB, too many for the boxes of an image")
    parser, builder, depth = expat.ParserCreate(), TreeBuilder(), 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _DEEPEST:
            raise _Refused(f"has more than {_DEEPEST} elements inside each other")
        builder.start(name, {})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    def refuse(*_: object) -> None:
        raise _Refused("has a document type (DOCTYPE), which may define entities: remove it")

    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = builder.data, refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except _Refused:
        raise
    except (expat.ExpatError, ValueError, LookupError) as error:  # the last two of unknown encodings
        raise _Refused(f"is no valid XML: {line(error)}") from None
    return builder.close()


def _as_path(one: tuple[Source, str]) -> tuple[Path, str]:
    return Path(str(one[0])), one[1]


def _meaning(path: Path, root: Path) -> tuple[str | None, tuple[str, ...], str]:
    split, role, place = meaning_of(path.relative_to(root).parts[:-1])
    return split, place, role


def _matches(sheets: dict[File, _Sheet], images: list[File], unused: Paths) -> Iterator[tuple[File, File]]:
    """Each XML file with its image. Files without one are added to `unused`."""
    by: dict[object, list[File]] = {}
    for file in images:
        names = {file.path.stem, file.path.name}  # of a file that is called 7.jpg.xml
        for key in (
            *((file.path.parent, name) for name in names),
            *((file.split, file.place, name) for name in names if file.role in ("", "image")),
            *names,
        ):
            by.setdefault(key, []).append(file)
    owners: dict[Path, File] = {}
    for file, sheet in sheets.items():
        stem = file.path.stem
        keys = [(file.path.parent, stem), (file.split, file.place, stem), (None, file.place, stem), stem, sheet.image]
        found = next((by[key] for key in keys if key in by), [])
        if len(found) > 1:
            found = [image for image in found if image.role in ("", "image")] or found
        if len(found) > 1:
            found = [image for image in found if image.path.name == sheet.image] or found
        if not found:
            unused.append((file.path, f"is of the image {sheet.image or stem}, which is not there"))
        elif len(found) > 1:
            unused.append((file.path, f"may be of {some((image.path for image in found), 3)}: only one can be meant"))
        elif (other := owners.setdefault(found[0].path, file)) is not file:
            unused.append((file.path, f"is of the same image as {other.path}"))
        else:
            yield file, found[0]

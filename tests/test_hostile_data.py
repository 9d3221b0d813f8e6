"""Data changed at random or on purpose: only documented errors are raised, nothing is run or written."""

import gzip
import io
import os
import pickle
import signal
import struct
import sys
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data as photos
from test_data import idx
from test_formats import example
from test_pickled import python2

from inception_keras import check_data
from inception_keras.data.formats import from_folder
from inception_keras.data.images import FORMATS, check_image
from inception_keras.data.preprocessing import Preprocessing
from inception_keras.data.tfrecords import _checksum

FAST = 12  # cases of each kind in the fast tests
SLOW = 560
LONGEST = 60  # seconds after which a case counts as hanging

# -- what must not happen: the interpreter tells of it before it does


class Forbidden(BaseException):
    """Signals a forbidden act. It is not an Exception, so that no handler swallows it."""


_watching: list[str] = []  # what a case did, while there is one
_on = False


def _watch(event: str, arguments: tuple) -> None:
    if not _on:
        return
    if event == "open":
        _, mode, flags = arguments
        if not set(str(mode)) & set("wax+") and not (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
    elif event == "exec":
        if not arguments[0].co_filename.startswith("<string"):  # a module that is imported
            return
    elif event != "pickle.find_class" and not event.startswith(
        ("os.", "subprocess.", "shutil.", "socket.", "ctypes.", "tempfile.")
    ):
        return
    if event not in ("os.listdir", "os.scandir"):  # folders are read
        _watching.append(f"{event} {arguments!r:.200}")


sys.addaudithook(_watch)


@contextmanager
def watched():
    """A context that fails if something is run or written inside it, or if it does not end."""
    global _on

    def hangs(*_):
        raise Forbidden(f"a case took more than {LONGEST} seconds")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(LONGEST)
    _watching.clear()
    _on = True
    try:
        yield
    finally:
        _on = False
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert not _watching, _watching


# -- changes


@st.composite
def changed(draw, content: bytes) -> bytes:
    """The content with one to four changes, more often near its beginning, or entirely different content."""
    if draw(st.integers(0, 30)) == 0:
        return draw(st.binary(max_size=200))
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, min(80, len(content))) | st.integers(0, len(content)))
        length = draw(st.integers(1, 16))
        match draw(st.sampled_from(["set", "set", "number", "cut", "insert", "copy", "end"])):
            case "set":
                content[place : place + 1] = bytes([draw(st.integers(0, 255))])
            case "number":
                number = draw(st.sampled_from([0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63]))
                width = draw(st.sampled_from([w for w in (1, 2, 4, 8) if number < 256**w]))
                content[place : place + width] = number.to_bytes(width, draw(st.sampled_from(["little", "big"])))
            case "cut":
                del content[place : place + length]
            case "insert":
                content[place:place] = draw(st.binary(min_size=1, max_size=16))
            case "copy":
                content[place:place] = content[place : place + length]
            case "end":
                del content[place:]
    return bytes(content)


# -- what is changed


def as_is(content: bytes) -> bytes:
    return content


@dataclass(frozen=True)
class Target:
    """A file of a small data set. Its content is changed and then packed like the original."""

    name: str
    content: bytes
    pack: Callable[[bytes], bytes] = as_is
    others: dict[str, bytes] = field(default_factory=dict)


def encoded(format: str, mode: str = "RGB", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photos.coffee()[::16, ::16]).convert(mode).save(file, format, **options)
    return file.getvalue()


def tar(name: str) -> Callable[[bytes], bytes]:
    def pack(content: bytes) -> bytes:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as made:
            member = tarfile.TarInfo(f"folder/{name}")
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
        return file.getvalue()

    return pack


def framed(content: bytes) -> bytes:
    """A record with the right checksums: the first eight bytes are its length, the rest is its data."""
    head, content = content[:8].ljust(8, b"\0"), content[8:]
    return b"".join(part + struct.pack("<I", _checksum(part)) for part in (head, content))


def archive(name: str, others: dict[str, np.ndarray]) -> Callable[[bytes], bytes]:
    def pack(content: bytes) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr(f"{name}.npy", content)
            for other, array in others.items():
                if other != name:
                    made.writestr(f"{other}.npy", npy(array))
        return file.getvalue()

    return pack


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


class _Call:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def targets() -> dict[str, list[Target]]:
    pixels = np.arange(12 * 4, dtype=np.uint8).reshape(12, 2, 2)
    labels = np.arange(12, dtype=np.uint8) % 3
    idx_files = {"train-images-idx3-ubyte": idx(pixels), "train-labels-idx1-ubyte": idx(labels)}
    one = {name: [Target(name, content, others=idx_files)] for name, content in idx_files.items()}
    zipped = [
        Target(f"{name}.gz", content, gzip.compress, {k: v for k, v in idx_files.items() if k != name})
        for name, content in idx_files.items()
    ]

    images = np.zeros((12, 3072), np.uint8)
    images[:, 0] = range(12)
    numbers = [i % 10 for i in range(12)]
    binary = np.hstack([np.array(numbers, np.uint8)[:, None], images]).tobytes()
    batch = {"data": images, "labels": numbers, "filenames": ["a.png", "b.png"] * 6}
    batches = [python2(images, numbers), *(pickle.dumps(batch, protocol) for protocol in range(6))]
    meta = pickle.dumps({"label_names": list("abcdefghij"), "num_vis": 3072}, 2)
    traps = [pickle.dumps({"data": images, "labels": _Call()}, protocol) for protocol in range(6)]
    python = [Target("data_batch_1", content) for content in (*batches, *traps)]
    python.append(Target("batches.meta", meta, others={"data_batch_1": batches[3]}))

    arrays = {"x_train": pixels, "y_train": labels, "x_test": pixels[:3], "y_test": labels[:3]}
    file = io.BytesIO()
    np.savez(file, **arrays)
    numpy = [Target("some.npz", file.getvalue())]
    numpy += [Target("some.npz", npy(array), archive(name, arrays)) for name, array in arrays.items()]
    numpy.append(Target("some.npz", npy(np.array([_Call()])), archive("y_train", arrays)))

    photo = encoded("PNG")
    lines = [f"{i}.png,{'ab'[i % 2]},{['train', 'test'][i // 4 % 2]}" for i in range(8)]
    album = {f"{i}.png": photo for i in range(8)}
    table = "\n".join(["path,label,split", *lines, ""]).encode()
    quoted = b'"path";"label"\r\n' + b"".join(b'"%d.png";"%c"\r\n' % (i, 97 + i % 2) for i in range(8))

    record = [example(photo, i % 2, "ab"[i % 2]) for i in range(8)]
    frames = [framed(struct.pack("<Q", len(content)) + content) for content in record]
    records = [
        Target("a.tfrecord", b"".join(frames)),
        Target("a.tfrecord.gz", gzip.compress(b"".join(frames))),
        Target("a.tfrecord.gz", b"".join(frames), gzip.compress),
        Target("a.tfrecord", struct.pack("<Q", len(record[0])) + record[0], lambda x: framed(x) + b"".join(frames)),
        Target("a.tfrecord", record[0], lambda x: framed(struct.pack("<Q", len(x)) + x) + b"".join(frames)),
    ]
    return {
        "IDX": [target for some in one.values() for target in some],
        "IDX, gzipped": [*zipped, Target("train-images-idx3-ubyte.gz", gzip.compress(idx(pixels)), others=idx_files)],
        "CIFAR, binary": [
            Target("data_batch_1.bin", binary),
            Target("cifar-10-binary.tar.gz", binary, tar("data_batch_1.bin")),
            Target("cifar-10-binary.tar.gz", gzip.decompress(tar("data_batch_1.bin")(binary)), gzip.compress),
        ],
        "CIFAR, pickled": python,
        "CIFAR, pickled, in its archive": [
            Target("cifar-10-python.tar.gz", content, tar("data_batch_1")) for content in (*batches, *traps)
        ],
        "NumPy": numpy,
        "CSV": [Target("list.csv", content, others=album) for content in (table, quoted)],
        "TFRecord": records,
    }


IMAGES = {
    "JPEG": [encoded("JPEG"), encoded("JPEG", progressive=True), encoded("JPEG", "CMYK"), encoded("JPEG", "L")],
    "PNG": [encoded("PNG"), encoded("PNG", "P"), encoded("PNG", "RGBA"), encoded("PNG", "1")],
    "GIF": [encoded("GIF", "P"), encoded("GIF", "P", save_all=True, append_images=[Image.new("P", (9, 9))])],
    "BMP": [encoded("BMP"), encoded("BMP", "P"), encoded("BMP", "1")],
    "TIFF": [
        encoded("TIFF"),
        encoded("TIFF", "L", compression="tiff_lzw"),
        encoded("TIFF", "CMYK", compression="tiff_adobe_deflate"),
        encoded("TIFF", "1", compression="group4"),
        encoded("TIFF", compression="jpeg"),
        encoded("TIFF", "I;16"),
    ],
    "WEBP": [encoded("WEBP"), encoded("WEBP", lossless=True), encoded("WEBP", "RGBA")],
}


# -- the cases


def cases(count: int, change: Callable[[st.DataObject], None]) -> int:
    """Calls `change` at least a number of times and returns the actual number."""
    made = 0

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=count == FAST,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def run(draw):
        nonlocal made
        made += 1
        change(draw)

    run()
    return made


def documented(error: Exception, kinds: tuple[type, ...] = (ValueError, OSError, FileNotFoundError)) -> None:
    text = str(error)
    assert type(error) in kinds, repr(error)
    assert text.endswith(".") and "Traceback" not in text


def hostile_images(format: str, count: int, folder: Path) -> int:
    path = folder / "image"
    prepare = Preprocessing((8, 8), resize=8)

    def change(draw):
        path.write_bytes(draw.draw(changed(draw.draw(st.sampled_from(IMAGES[format])))))
        readable = []
        with watched():
            for look in (check_image, prepare.resize_and_crop):
                try:
                    readable.append(look(path))
                except ValueError as error:  # check_image's text is a predicate
                    if look is not check_image:
                        documented(error)
        if len(readable) == 2:
            assert readable[0][0] in (*FORMATS, "MPO") and readable[1].shape == (8, 8, 3)

    return cases(count, change)


def hostile_files(kind: str, count: int, folder: Path) -> int:
    some = targets()[kind]

    def change(draw):
        target = draw.draw(st.sampled_from(some))
        content = target.pack(draw.draw(changed(target.content)))
        for path in folder.iterdir():
            path.unlink()
        for name, other in (target.others | {target.name: content}).items():
            (folder / name).write_bytes(other)
        before = {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*")}
        with watched():
            try:
                raw = from_folder(folder, None, (8, 8), None, 1.0)
                assert all(len(part.images) == len(part.labels) for part in raw.parts.values())
                assert all(part.labels.max(initial=0) < len(raw.class_names) for part in raw.parts.values())
                check_data(folder)
            except (ValueError, OSError) as error:
                documented(error)
        assert {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*")} == before

    return cases(count, change)


KINDS = [*IMAGES, *targets()]


def hostile(kind: str, count: int, folder: Path) -> int:
    folder.mkdir()
    return (hostile_images if kind in IMAGES else hostile_files)(kind, count, folder)


@pytest.mark.parametrize("kind", KINDS)
def test_a_few_hostile_files(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where something that is run would write
    assert hostile(kind, FAST, tmp_path / "data") >= FAST


@pytest.mark.slow
def test_seven_thousand_hostile_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    counts = {kind: hostile(kind, SLOW, tmp_path / kind) for kind in KINDS}
    with capsys.disabled():
        print(f"\n{sum(counts.values()):,} hostile files: {counts}")
    assert sum(counts.values()) >= 7_000


def test_the_watch_sees_what_it_must(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    seen = []
    for act in (
        lambda: pickle.loads(pickle.dumps(_Call())),
        lambda: (tmp_path / "a").write_text("a"),
        lambda: exec("1"),
        lambda: os.system("true"),
    ):
        with pytest.raises((AssertionError, FileExistsError)), watched():
            act()
        seen.append(bool(_watching))
    assert seen == [True] * 4
    with watched():
        Path(__file__).read_bytes()

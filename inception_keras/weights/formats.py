"""Finds the format of a weights file from its first bytes, because suffixes are often wrong."""

import zipfile
from collections.abc import Collection
from pathlib import Path

from .caffe import is_caffemodel
from .darknet import is_darknet

_OTHERS = {  # the first bytes of files that are often downloaded or saved by mistake
    b"version https://git-lfs": "it is a pointer of Git LFS; fetch the file itself with `git lfs pull`",
    b"<": "it is a web page; fetch the file itself",
    b"{": "it is a text in JSON",
    b"\x1f\x8b": "it is compressed by gzip; unpack it first",
    b"BZh": "it is compressed by bzip2; unpack it first",
    b"\x93NUMPY": "it is one NumPy array",
}
_OF_CAFFE = (".prototxt", ".solverstate", ".binaryproto")  # Caffe's files without weights


def suffix_of(path: Path, known: Collection[str]) -> str:
    """The suffix in `known` that fits the content of a file; its own suffix if the content does not tell.

    Raises:
        ValueError: If the file is in no known format.
        FileNotFoundError: If there is no such file.
    """
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not a file of weights.")
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file {path}.")
    with path.open("rb") as file:
        start = file.read(512)
    found = _by_content(path, start)
    reason = next((f": {reason}" for bytes_, reason in _OTHERS.items() if start.lstrip().startswith(bytes_)), "")
    if start[257:262] == b"ustar":
        reason = ": it is a tar archive; unpack it first"
    if ".ckpt" in path.name and path.suffix != ".ckpt":
        reason = ": checkpoints of TensorFlow are not read"
    if found is None and not reason:
        # Caffe's reader will say what kind of file this is
        found = ".caffemodel" if path.suffix in _OF_CAFFE else path.suffix
    if found is not None and found in known:
        return found
    raise ValueError(f"{path} is in no format of weights that is read ({', '.join(known)}){reason}.")


def _by_content(path: Path, start: bytes) -> str | None:
    """The suffix that fits the content of a file; None if the bytes do not tell."""
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return ".h5"
    if start.startswith(b"PK") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if "model.weights.h5" in names:
            return ".keras"
        return ".npz" if all(name.endswith(".npy") for name in names) else ".pth"
    # check before pickles: safetensors begins with the header's length, whose first byte may look like a pickle's
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 100_000_000:
        return ".safetensors"
    if start.startswith(b"\x80"):  # a pickle
        return ".pth"
    if is_caffemodel(start):
        return ".caffemodel"
    if start.startswith(b"\x08"):  # the first field of its protobuf is a version
        return ".onnx"
    return ".weights" if is_darknet(start, path.stat().st_size) else None

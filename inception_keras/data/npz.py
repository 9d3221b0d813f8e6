"""Reads NumPy archives of images and labels in the layout of Keras's data sets. Nothing in them is ever unpickled."""

import io
import zipfile
from math import prod
from pathlib import Path

import numpy as np

from .idx import LARGEST, by, read
from .images import line
from .listing import number
from .splits import Part
from .targets import Labels

_KEYS = {"train": "train", "validation": "val", "test": "test"}


def find_npz(root: Path) -> list[Path]:
    """The .npz files that hold `x_train`, and the damaged ones."""
    found = []
    for path in sorted(root.glob("*.npz")):
        try:
            with zipfile.ZipFile(path) as archive:
                ours = "x_train.npy" in archive.namelist()
        except Exception:  # a damaged archive can raise any error; reading it raises one that names it
            ours = path.is_file()
        if ours:
            found.append(path)
    return found


def read_npz(path: Path) -> tuple[dict[str, Part], tuple[str, ...]]:
    """Reads the splits of an archive and the names of the classes.

    The training split is `x_train` and `y_train`. The splits `x_val`, `y_val` and `x_test`, `y_test` are read if they
    exist. Images are uint8 (n, h, w), (n, h, w, 1) or (n, h, w, 3). Labels are whole numbers or text, (n,) or (n, 1).

    Raises:
        ValueError: If the file is damaged, an array is missing or has another type, or the arrays do not fit each
            other.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            arrays = {
                name: _array(archive, name)
                for key in _KEYS.values()
                for name in (f"x_{key}", f"y_{key}")
                if f"{name}.npy" in names
            }
    except ValueError as error:
        raise ValueError(f"{path}: {line(error)}.") from None
    except OSError:
        raise
    except Exception as error:  # a damaged archive can raise any error
        raise ValueError(f"{path} is not a whole .npz file: {line(error)}.") from None

    images, labels = {}, {}
    for split, key in _KEYS.items():
        x, y = arrays.get(f"x_{key}"), arrays.get(f"y_{key}")
        if x is None and y is None and split != "train":
            continue
        if x is None or y is None:
            raise ValueError(f"{path} has no {'x' if x is None else 'y'}_{key} beside its other arrays.")
        images[split] = x[..., None] if x.ndim == 3 else x
        labels[split] = y.reshape(-1).tolist()
        if x.dtype != np.uint8 or not x.size or images[split].ndim != 4 or images[split].shape[3] not in (1, 3):
            raise ValueError(
                f"{path}: x_{key} must be uint8 (n, h, w), (n, h, w, 1) or (n, h, w, 3), got {x.dtype} {x.shape}."
            )
        if y.dtype.kind not in "iuU" or y.shape not in ((len(x),), (len(x), 1)):
            raise ValueError(f"{path}: y_{key} must be {len(x)} whole numbers or texts, got {y.dtype} {y.shape}.")
    shapes = {array.shape[1:] for array in images.values()}
    if len(shapes) > 1:
        raise ValueError(f"{path} has training and test images of different sizes: {sorted(shapes)}.")
    numbers, classes = number(labels, path)
    parts = {split: Part(images[split], Labels(np.array(numbers[split]))) for split in images}
    return parts, tuple(map(str, classes))


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as member:
        content = io.BytesIO(read(member, LARGEST + 1))
    version = np.lib.format.read_magic(content)
    reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if reader is None:
        raise ValueError(f"{name} has the unknown version {version}")
    shape, fortran, dtype = reader(content)
    left = content.getbuffer().nbytes - content.tell()
    if (
        dtype.hasobject
        or dtype.kind not in "biufU"
        or dtype.itemsize * prod(shape) != left
        or min(shape, default=0) < 0
    ):
        raise ValueError(f"{name} is said to be {dtype} {by(shape)}, which {left} bytes are not")
    flat = np.frombuffer(content.getbuffer()[content.tell() :], dtype)
    return flat.reshape(shape, order="F" if fortran else "C")

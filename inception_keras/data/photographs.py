"""Photographs in every form that users have them: paths, folders, patterns, arrays, PIL images."""

import os
from collections.abc import Iterable, Iterator, Mapping
from glob import glob
from pathlib import Path
from threading import Lock

import numpy as np
import tensorflow as tf
from PIL import Image

from ..checks import counted, got
from .images import UnreadableImage, line, looks_like_image, read_image, unread
from .layout import walk
from .listing import readable
from .preprocessing import Preprocessing

Photographs = str | os.PathLike | Image.Image | np.ndarray | Iterable  # or any of these in a list or a data set
_WANTED = "a path, a folder, a pattern such as 'photos/*.jpg', a PIL image, a uint8 array, or several of them"
_LOADING = Lock()  # two threads must not decode the same PIL image


class Photograph:
    """A photograph that has not been opened yet.

    Args:
        source: A Path, a PIL image or a uint8 array.
        name: The name of the photograph in tables.
        foreign: For a file in a folder that is not an image: the reason why it is not read. Otherwise empty.
    """

    __slots__ = ("foreign", "name", "source")

    def __init__(self, source: Path | Image.Image | np.ndarray, name: str, foreign: str = ""):
        self.source, self.name, self.foreign = source, name, foreign

    def pixels(self, preprocessing: Preprocessing, own_size: bool = False) -> np.ndarray:
        """Reads the photograph as an input of a net; with `own_size`, as `Preprocessing.pixels` does.

        Raises:
            UnreadableImage: If the photograph cannot be read; the message is the predicate of a sentence.
        """
        prepare = preprocessing.pixels if own_size else preprocessing
        try:
            if isinstance(self.source, Path):
                return prepare(read_image(self.source, preprocessing.channels))
            if isinstance(self.source, Image.Image):
                with _LOADING:
                    self.source.load()
            return prepare(self.source)
        except UnreadableImage:
            raise
        except FileNotFoundError:
            raise UnreadableImage("is not there") from None
        except (OSError, ValueError) as error:
            if isinstance(error.__context__, UnreadableImage):
                raise error.__context__ from None
            raise UnreadableImage(f"cannot be read: {line(error)}") from None


def photographs(given: Photographs) -> Iterable[Photograph]:
    """Returns photographs as a list, or as a stream if a generator or a `tf.data.Dataset` is given.

    A folder stands for all images in it and below it, sorted by path. An array (n, h, w, c), or (n, h, w) with grey
    images, is a batch. If a data set yields tuples, the first element of each is the image.

    Raises:
        TypeError: If an object is not a photograph.
        ValueError: If an array does not hold pixels, or a folder holds no images.
        FileNotFoundError: If a pattern matches no file.
    """
    if isinstance(given, tf.data.Dataset):
        given = (first[0] if isinstance(first, tuple) else first for first in given)
    if hasattr(given, "__array__") and np.asarray(given).dtype.kind in "OU":
        given = list(np.asarray(given))  # paths in an array or a column of a table
    if isinstance(given, Iterator):
        return (photo for i, one in enumerate(given) for photo in _expand(one, f"image {i}"))
    if isinstance(given, (str, os.PathLike, Image.Image)) or hasattr(given, "__array__"):
        return list(_expand(given, "image"))
    if isinstance(given, (bytes, bytearray, Mapping)) or not isinstance(given, Iterable):
        raise TypeError(f"A photograph must be {_WANTED}; got {got(given)}.")
    return [photo for i, one in enumerate(given) for photo in _expand(one, f"image {i}")]


def _expand(one: object, name: str) -> Iterator[Photograph]:
    if isinstance(one, Image.Image):
        yield Photograph(one, str(getattr(one, "filename", "")) or name)
    elif isinstance(one, (str, os.PathLike)) and not isinstance(os.fspath(one), bytes):
        yield from _files(os.fspath(one))
    elif hasattr(one, "__array__"):
        yield from _arrays(np.asarray(one), name)
    else:
        raise TypeError(f"A photograph must be {_WANTED}; {name} is {got(one)}.")


def _files(text: str) -> Iterator[Photograph]:
    if not text:
        raise ValueError("The path of a photograph is empty.")
    path = Path(text)
    if _is_folder(path):
        found = list(_walk(path))
        if all(photo.foreign for photo in found):
            raise ValueError(f"{path} holds no images, only {counted(len(found), 'other file')}.")
        yield from found
    elif any(sign in text for sign in "*?[") and not os.path.lexists(path):
        found_paths = sorted(Path(file) for file in glob(text, recursive=True) if not Path(file).is_dir())  # noqa: PTH207 - may be absolute
        if not found_paths:
            raise FileNotFoundError(f"No file fits {text!r}.")
        yield from (Photograph(file, str(file)) for file in found_paths)
    else:
        yield Photograph(path, text)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, or a folder without access; opening the file raises it again
        return False


def _walk(folder: Path) -> Iterator[Photograph]:
    """The files in a folder and below it, without files left by operating systems.

    A file counts as an image by its name or by its content.
    """
    with readable(folder):
        for path in walk(folder, Path(folder.resolve().anchor)):  # links may lead out of the folder
            yield Photograph(path, str(path), "" if looks_like_image(path) or unread(path)[0] else "is no image")


def _arrays(array: np.ndarray, name: str) -> Iterator[Photograph]:
    if array.dtype != np.uint8:
        raise ValueError(f"An array must hold pixels as uint8 from 0 to 255; {name} is {_pixels(array)}.")
    if array.ndim == 3 and array.shape[0] in (1, 3, 4) and array.shape[2] not in (1, 3, 4):
        raise ValueError(
            f"{name} is {array.shape}, which may be grey images or channels in front: give (n, h, w, 1) or (h, w, c)."
        )
    batch = array.ndim == 4 or (array.ndim == 3 and array.shape[2] not in (1, 3, 4))
    one = array[0] if batch and len(array) else array
    if batch and not len(array):
        return
    if not array.size or one.ndim not in (2, 3) or (one.ndim == 3 and one.shape[2] not in (1, 3, 4)):
        shapes = "(h, w), (h, w, c) or a batch (n, h, w, c) of 1, 3 or 4 channels c"
        raise ValueError(f"An array of pixels must be {shapes}; {name} is {array.shape}.")
    if batch:
        yield from (Photograph(one, f"{name}[{i}]") for i, one in enumerate(array))
    else:
        yield Photograph(array, name)


def _pixels(array: np.ndarray) -> str:
    """What an array of another dtype seems to hold, and how to convert it to pixels."""
    kind = f"{array.dtype} {array.shape}"
    if array.dtype.kind not in "fiub" or not array.size:
        return kind
    low, high = float(array.min()), float(array.max())
    held = f"{kind} from {low:g} to {high:g}"
    if array.dtype.kind == "f" and 0 <= low and high <= 1:
        return f"{held}: give (x * 255).round().astype('uint8')"
    if 0 <= low and high <= 255:
        return f"{held}: give x.astype('uint8')"
    return f"{held}: give the pixels as they were before they were normalised"

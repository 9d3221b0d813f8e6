"""Reads files of masks: the class index of every pixel, in every form in which programs store it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from PIL import Image

from .images import Source, UnreadableImage, line, opened

VOID = 255  # the value of pixels in a mask that belong to no class
Size = tuple[int, int]
_FORMATS = ("PNG", "BMP", "GIF", "TIFF")  # they keep the indices; JPEG and WebP may not
_WANTED = "a mask must hold class indices, as a palette or grey image has them"


def read_mask(source: Source) -> np.ndarray:
    """Reads a file of class indices: uint8 (height, width).

    Of a file with a palette, the indices are read and not the colours. Colours with equal red, green and blue are grey.
    Of a MATLAB file, the field `GTcls.Segmentation` is read, as the Semantic Boundaries Dataset has it.

    Raises:
        UnreadableImage: If the file is broken, or holds something else than indices below 256.
        FileNotFoundError: If the file does not exist.
    """
    if isinstance(source, Path) and source.suffix.lower() == ".mat":
        return _read_matlab(source)
    with opened(source) as image:
        if image.format not in _FORMATS or image.info.get("compression") in ("jpeg", "webp"):
            kinds = f"{', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}"
            lossy = f"{image.format}{' image with JPEG compression' * (image.format == 'TIFF')}"
            raise UnreadableImage(f"is a {lossy}, which changes indices: a mask must be a {kinds} image without loss")
        return _indices(image)


def mask_of(source: Source, image: Size) -> np.ndarray:
    """The mask in a file, uint8 (height, width); `image` is the (height, width) of its image.

    Raises:
        UnreadableImage: If it has another size, or for the reasons that `read_mask` raises it.
        OSError: If the file cannot be read.
    """
    mask = read_mask(source)
    if mask.shape != image:
        raise UnreadableImage(
            f"has {mask.shape[1]} x {mask.shape[0]} pixels, but its image has {image[1]} x {image[0]}", "size"
        )
    return mask


def nearest(mask: np.ndarray, window: Sequence[float], size: Size) -> np.ndarray:
    """A window of a mask in another size. Each pixel has the value of the nearest pixel of the mask."""
    for axis in (0, 1):
        places = window[axis] + (np.arange(size[axis]) + 0.5) * (window[axis + 2] / size[axis])
        mask = mask.take(np.clip(np.floor(places).astype(int), 0, mask.shape[axis] - 1), axis)
    return mask


def no_class(value: int, classes: int) -> str:
    """What is wrong with a mask that has this value: the predicate of a sentence."""
    return f"has the value {value}: classes are 0 to {classes - 1}, and {VOID} is void"


def _indices(image: Image.Image) -> np.ndarray:
    raw = str(cast(Any, image).tile[0][3]) if getattr(image, "tile", None) else ""
    values = np.asarray(image)
    if image.mode in ("1", "P") or (image.mode == "L" and image.format != "PNG"):
        return values.astype(np.uint8)
    if image.mode == "L":
        if raw in ("L;2", "L;4"):  # Pillow multiplies them by 85 or 17
            raise UnreadableImage("has grey pixels of 2 or 4 bits, of which it is not known whether they are indices")
        return values
    if image.mode.startswith("I"):
        if values.min() < 0 or values.max() > 255:
            wrong = values[(values < 0) | (values > 255)][0]
            raise UnreadableImage(f"has the value {wrong}, but class indices are at most 254, and 255 is void")
        return values.astype(np.uint8)
    if image.mode not in ("LA", "RGB", "RGBA") or "16" in raw:
        bits = " with 16 bits" if "16" in raw else ""
        raise UnreadableImage(f"has pixels of Pillow's mode {image.mode}{bits}, but {_WANTED}")
    if image.mode in ("LA", "RGBA"):
        if values[..., -1].min() < 255:
            raise UnreadableImage(f"has transparent pixels, but {_WANTED}")
        values = values[..., :-1]
    if (values != values[..., :1]).any():
        raise UnreadableImage(f"has colours, but {_WANTED}")
    return np.ascontiguousarray(values[..., 0])


def _read_matlab(path: Path) -> np.ndarray:
    from scipy.io import loadmat

    if not path.is_file():
        raise FileNotFoundError(f"There is no mask {path}.")
    try:
        values = np.asarray(loadmat(path)["GTcls"]["Segmentation"][0, 0])
    except (KeyError, IndexError, ValueError):
        raise UnreadableImage("is a MATLAB file without GTcls.Segmentation") from None
    except Exception as error:  # scipy raises many errors
        raise UnreadableImage(f"cannot be read: {line(error)}") from None
    if values.ndim != 2 or values.dtype.kind not in "ui" or values.max(initial=0) > 255:
        raise UnreadableImage(f"has a GTcls.Segmentation of {values.dtype} {values.shape}, not of indices below 256")
    return values.astype(np.uint8)

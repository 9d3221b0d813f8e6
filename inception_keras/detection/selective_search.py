"""Region proposals by selective search, with the settings of R-CNN's released code.

Uijlings et al., Selective Search for Object Recognition, IJCV 104, 2013. OpenCV's contrib modules have the segmentation
and the grouping; the settings are those of `selective_search_boxes.m` in R-CNN's code.
"""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..checks import check_choice, check_count, check_path, got
from ..files import atomic_write

# colours of the image, similarities that group regions, k of the segments
_SETTINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[int, ...]]] = {
    "single": (("hsv",), ("colour texture size fill",), (200,)),
    "fast": (("hsv", "lab"), ("colour texture size fill", "texture size fill"), (50, 100)),
    "quality": (
        ("hsv", "lab", "rgi", "hue", "intensity"),
        ("colour texture size fill", "texture size fill", "fill", "size"),
        (50, 100, 150, 300),
    ),
}
MODES = tuple(_SETTINGS)
_SIGMA = 0.8  # of the Gaussian before the segmentation; the smallest segment has k pixels
_LONGEST = 8  # times the width: the height of an image that is resized
_VERSION = 1  # of the proposals in a cache
_PACKAGE = "opencv-contrib-python-headless"


def selective_search(
    image: np.ndarray,
    *,
    mode: str = "fast",
    max_boxes: int | None = 2000,
    width: int | None = 500,
    min_size: int = 20,
    cache: str | Path | None = None,
) -> np.ndarray:
    """Proposes boxes that may hold an object, in any class: segments of the image, and what they are grouped to.

    OpenCV gives the boxes in an order that differs from run to run. Here the largest are first, and of boxes of one
    size those with the smallest x1, y1 and x2. So the same image always has the same proposals.

    Args:
        image: uint8 (height, width, 3) in RGB, or (height, width) in grey.
        mode: `"fast"`, the released code's default, groups the segments of 2 colour spaces at 2 scales by 2
            similarities; `"quality"` those of 5 at 4 by 4, which takes far longer; `"single"` does it once, with
            OpenCV's settings.
        max_boxes: The most boxes; the smallest are left out. None for all.
        width: The image is resized to this width first, as R-CNN's code does; None keeps its size.
        min_size: Boxes whose width or height is smaller in the resized image are left out.
        cache: A folder in which proposals are stored by the pixels of the image and the settings, and looked up.

    Returns:
        float32 (n, 4): x1, y1, x2 and y2 in pixels of the image.

    Raises:
        ValueError: If an argument is not valid.
        ImportError: If OpenCV is not installed, or lacks its contrib modules.
        OSError: If the cache cannot be written.

    Reference:
        Uijlings et al., IJCV 104, 2013; https://github.com/rbgirshick/rcnn.

    Examples:
        >>> from skimage import data
        >>> boxes = selective_search(data.coffee(), mode="single", width=200)
        >>> boxes.shape[1], bool((boxes[:, 2:] > boxes[:, :2]).all())
        (4, True)
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim not in (2, 3) or not image.size:
        raise ValueError(f"image must be a uint8 array (h, w, 3) or (h, w), got {_described(image)}.")
    if image.ndim == 3 and image.shape[2] not in (1, 3):
        raise ValueError(f"image must have 1 or 3 channels, got {image.shape[2]}.")
    check_choice("mode", mode, MODES)
    if max_boxes is not None:
        check_count("max_boxes", max_boxes)
    if width is not None:
        check_count("width", width, most=2**14)
    check_count("min_size", min_size, least=0)
    folder = None if cache is None else check_path("cache", cache)
    path = None if folder is None else folder / f"{_digest(image, mode, width, min_size)}.npy"
    boxes = None if path is None else _stored(path)
    if boxes is None:
        boxes = _propose(image, mode, width, min_size)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as part, part.open("wb") as file:
                np.save(file, boxes)
    return boxes[:max_boxes]


def _described(image: object) -> str:
    return f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else got(image)


def _digest(image: np.ndarray, *settings: object) -> str:
    text = repr((_VERSION, image.shape, *settings)).encode()
    return hashlib.sha256(text + np.ascontiguousarray(image).tobytes()).hexdigest()


def _stored(path: Path) -> np.ndarray | None:
    """The proposals in a file; None if there is no such file, or it is broken."""
    try:
        boxes = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return boxes if boxes.dtype == np.float32 and boxes.ndim == 2 and boxes.shape[1] == 4 else None


def _propose(image: np.ndarray, mode: str, width: int | None, min_size: int) -> np.ndarray:
    segmentation = _opencv()
    pixels = image if image.ndim == 3 and image.shape[2] == 3 else np.repeat(image.reshape(*image.shape[:2], 1), 3, -1)
    height, wide = pixels.shape[:2]
    size = wide, height
    if width is not None:  # less for a picture that would become very long
        scale = min(width / wide, _LONGEST * width / height)
        size = max(1, round(scale * wide)), max(1, round(scale * height))
    if size != (wide, height):
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    if min(size) < 2:
        return np.zeros((0, 4), np.float32)
    colours, similarities, scales = _SETTINGS[mode]
    search = segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(pixels[..., ::-1]))
    for colour in colours:
        search.addImage(_COLOURS[colour](pixels))
    for k in scales:
        least = 100 if mode == "single" else k
        search.addGraphSegmentation(segmentation.createGraphSegmentation(_SIGMA, float(k), least))
    for names in similarities:
        make = "createSelectiveSearchSegmentationStrategy"
        parts = [getattr(segmentation, make + _OPENCV[name])() for name in names.split()]
        search.addStrategy(getattr(segmentation, make + "Multiple")(*parts))
    found = np.unique(np.asarray(search.process(), np.int64).reshape(-1, 4), axis=0)  # x, y, width, height
    found = found[(found[:, 2:] >= min_size).all(axis=1)]
    x1, y1, x2, y2 = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:]], axis=1).T
    order = np.lexsort((x2, y1, x1, -found[:, 2] * found[:, 3]))
    factors = np.divide((wide, height, wide, height), (*size, *size))
    return (np.stack([x1, y1, x2, y2], axis=1)[order] * factors).astype(np.float32)


def _opencv() -> Any:
    """OpenCV's selective search.

    Raises:
        ImportError: If there is none.
    """
    try:
        import cv2
    except ImportError:
        raise ImportError(f"Selective search needs OpenCV with its contrib modules: pip install {_PACKAGE}.") from None
    segmentation = getattr(getattr(cv2, "ximgproc", None), "segmentation", None)
    if segmentation is None:
        raise ImportError(
            "Selective search needs OpenCV's contrib module ximgproc, which the installed OpenCV lacks: uninstall "
            f"every package opencv-python*, then pip install {_PACKAGE}."
        )
    return segmentation


_OPENCV = {"colour": "Color", "texture": "Texture", "size": "Size", "fill": "Fill"}


def _converted(code: str) -> Callable[[np.ndarray], np.ndarray]:
    def convert(pixels: np.ndarray) -> np.ndarray:
        cv2 = sys.modules["cv2"]
        return cv2.cvtColor(np.ascontiguousarray(pixels), getattr(cv2, code))

    return convert


def _normalised(pixels: np.ndarray) -> np.ndarray:
    """Red and green as shares of the sum of all three, and the intensity: uint8 (h, w, 3)."""
    total = pixels.sum(axis=-1, dtype=np.float32)
    shares = pixels[..., :2] / np.maximum(total, 1)[..., None]
    return np.round(np.concatenate([255 * shares, total[..., None] / 3], axis=-1)).astype(np.uint8)


_HSV = _converted("COLOR_RGB2HSV")
_COLOURS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "hsv": _HSV,
    "lab": _converted("COLOR_RGB2Lab"),
    "rgi": _normalised,
    "hue": lambda pixels: np.ascontiguousarray(_HSV(pixels)[..., 0]),
    "intensity": _converted("COLOR_RGB2GRAY"),
}

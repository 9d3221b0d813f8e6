"""R-CNN: "Rich feature hierarchies for accurate object detection and semantic segmentation", Girshick et al. 2014.

arXiv:1311.2524, as released: the net that scores warped regions, and how a region is warped. `region_svms.py` has what
is learned from its features, and `selective_search.py` proposes the regions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from keras import Model, layers

from ..arguments import InputShape, ObjectClasses, checked
from ..blocks import classifier, conv, fixed_input
from ..checks import check_count, got
from ..layers import LocalResponseNormalization
from ..models.alexnet import SECTION_3_5

SIZE, CONTEXT = 227, 16  # pixels: of a warped region, and of what surrounds its box on each side


@checked
def build_rcnn(input_shape: InputShape = (227, 227, 3), *, classes: ObjectClasses = 20, name: str = "rcnn") -> Model:
    """The fine-tuned CaffeNet: the probabilities of the background and of the classes for a warped region.

    CaffeNet is AlexNet, but pools its maps before it normalises them.

    Args:
        input_shape: (height, width, channels), at least 67 pixels.
        classes: Number of classes without the background, which is output 0.
        name: Name of the model.

    Returns:
        A Model with `classes` + 1 outputs.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Reference:
        `finetuning/voc_2007_prototxt` in R-CNN's code; `models/bvlc_reference_caffenet` of Caffe.

    Examples:
        >>> build_rcnn().count_params()
        56954261
    """
    x = image = fixed_input(input_shape, min_size=67, net="CaffeNet")
    for row, (filters, kernel, strides, groups, pooled) in SECTION_3_5.items():
        padding = {"padding": "valid"} if row == "conv_1" else {}
        x = conv(x, filters, kernel, strides, groups=groups, name=row, **padding)
        if pooled:
            x = layers.MaxPooling2D(3, 2, name=f"{row}-pool")(x)
            x = LocalResponseNormalization(name=f"{row}-norm")(x)
    x = layers.MaxPooling2D(3, 2, name="conv_5-pool")(x)  # (6, 6, 256)

    x = layers.Flatten(name="flatten")(x)  # (9216,)
    for row in ("fc_6", "fc_7"):
        x = layers.Dense(4096, activation="relu", name=row)(x)  # (4096,)
        x = layers.Dropout(0.5, name=f"{row}-dropout")(x)
    return Model(image, classifier(x, classes + 1, "softmax"), name=name)


class Crop(NamedTuple):
    """Which pixels of an image a warped region shows, and where in the region they are: (first, end) of rows, columns.

    What lies outside the image is not covered.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    to_rows: tuple[int, int]
    to_columns: tuple[int, int]


def crop_of(box: Sequence[float], size: Sequence[int], side: int = SIZE, context: int = CONTEXT) -> Crop:
    """The part of an image that is warped for a box, by the rule of the released code.

    The box is enlarged around its centre by side / (side - 2 context), so that it is surrounded by `context` pixels of
    the warped region, and rounded to pixels; halves are rounded away from zero, in pixels that are counted from 1. It
    is then clipped to the image, and the clipped part has the place in the region that it had in the whole.

    Args:
        box: x1, y1, x2, y2 in pixels of the image.
        size: (height, width) of the image.
        side: Side of the warped region.
        context: Pixels of the region around the box, on each side.

    Raises:
        ValueError: If `context` leaves nothing of the region.

    Reference:
        `rcnn_im_crop.m` of R-CNN's code; arXiv:1311.2524, appendix A.

    Examples:
        >>> crop_of((0, 0, 195, 195), (500, 500))
        Crop(rows=(0, 212), columns=(0, 212), to_rows=(16, 227), to_columns=(16, 227))
    """
    check_count("side", side)
    if 2 * check_count("context", context, least=0) >= side:
        raise ValueError(f"context must be below half of side, {side}, got {context}.")
    scale = side / (side - 2 * context)
    ranges, places = [], []
    for low, high, length in ((box[1], box[3], size[0]), (box[0], box[2], size[1])):
        half = (high - low) / 2
        centre = low + 1 + half  # in pixels counted from 1
        if context:
            first, last = _rounded(centre - half * scale), _rounded(centre + half * scale)
        else:
            first, last = _rounded(low + 1), _rounded(high)
        last = max(first, last)  # of a box thinner than a pixel
        whole = last - first + 1
        before = max(0, 1 - first)
        first, last = max(1, first), min(length, last)
        first, last = min(first, length), max(last, min(first, length))  # of a box outside, its nearest pixels
        start = min(_rounded(before * side / whole), side - 1)
        covered = min(max(1, _rounded((last - first + 1) * side / whole)), side - start)
        ranges.append((first - 1, last))
        places.append((start, start + covered))
    return Crop(*ranges, *places)


def warp(
    image: np.ndarray, boxes: np.ndarray, fill: Sequence[float], side: int = SIZE, context: int = CONTEXT
) -> np.ndarray:
    """Regions of an image, warped to squares with context: (h, w, c), (k, 4) -> float32 (k, side, side, c).

    Pixels are interpolated bilinearly, without antialiasing, as in the released code.

    Args:
        image: Pixels, (h, w, c).
        boxes: x1, y1, x2, y2 in pixels of the image.
        fill: The pixel of what lies outside the image; as released, that of the mean image.
        side: Side of a warped region.
        context: Pixels of a region around its box, on each side.

    Raises:
        ValueError: If image or boxes have another shape, or `context` leaves nothing of the region.

    Examples:
        >>> warp(np.zeros((100, 80, 3)), [[10, 10, 50, 60], [0, 0, 80, 100]], fill=(104, 117, 123)).shape
        (2, 227, 227, 3)
    """
    boxes = np.asarray(boxes, np.float64)
    if image.ndim != 3 or boxes.ndim != 2 or boxes.shape[-1] != 4:
        raise ValueError(f"warp takes an image (h, w, c) and boxes (k, 4), got {image.shape} and {got(boxes.shape)}.")
    regions = np.empty((len(boxes), side, side, image.shape[-1]), np.float32)
    regions[:] = np.asarray(fill, np.float32)
    for region, box in zip(regions, boxes, strict=True):
        crop = crop_of(box, image.shape[:2], side, context)
        part = image[slice(*crop.rows), slice(*crop.columns)].astype(np.float32)
        for axis, (start, end) in enumerate((crop.to_rows, crop.to_columns)):
            part = _resized(part, axis, end - start)
        region[slice(*crop.to_rows), slice(*crop.to_columns)] = part
    return regions


def _rounded(value: float) -> int:
    """Rounds halves away from zero, as MATLAB does."""
    return int(np.sign(value) * np.floor(abs(value) + 0.5))


def _resized(pixels: np.ndarray, axis: int, length: int) -> np.ndarray:
    """Interpolates linearly along an axis, with the centres of pixels at half numbers."""
    places = np.clip((np.arange(length) + 0.5) * pixels.shape[axis] / length - 0.5, 0, pixels.shape[axis] - 1)
    first = np.floor(places).astype(int)
    share = (places - first).astype(np.float32).reshape((-1,) + (1,) * (pixels.ndim - 1 - axis))
    after = np.minimum(first + 1, pixels.shape[axis] - 1)
    return pixels.take(first, axis) * (1 - share) + pixels.take(after, axis) * share

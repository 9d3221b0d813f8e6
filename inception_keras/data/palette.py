"""PASCAL VOC's colours of classes, and index PNGs, which hold a mask in these colours."""

from functools import cache

import numpy as np
from PIL import Image


@cache
def palette() -> np.ndarray:
    """VOC's 256 colours, uint8 (256, 3): black for class 0, dark red for class 1, ivory for 255, which is void.

    The bits of a class index, from the lowest to the highest, become the high bits of red, green, blue, red ...

    Examples:
        >>> palette()[[0, 1, 2, 15, 255]].tolist()
        [[0, 0, 0], [128, 0, 0], [0, 128, 0], [192, 128, 128], [224, 224, 192]]
    """
    index = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        colours[:, bit % 3] |= ((index >> bit & 1) << (7 - bit // 3)).astype(np.uint8)
    colours.flags.writeable = False
    return colours


def coloured(mask: np.ndarray) -> np.ndarray:
    """A mask in VOC's colours: uint8 (h, w) -> (h, w, 3)."""
    return palette()[mask]


def index_image(mask: np.ndarray) -> Image.Image:
    """A mask, uint8 (h, w), as an image with VOC's palette. Saved as PNG, it keeps the indices."""
    image = Image.fromarray(mask)
    image.putpalette(palette().tobytes())
    return image

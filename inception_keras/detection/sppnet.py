"""SPPnet: "Spatial Pyramid Pooling in Deep Convolutional Networks for Visual Recognition", He et al. 2014.

arXiv:1406.4729, as released for detection: ZF-5 with a pyramid of 50 bins, and where the regions of an image lie on its
map. The net sees an image once; its regions are pooled from the map.
"""

from collections.abc import Sequence

import numpy as np
from keras import KerasTensor, Model, layers, ops

from ..arguments import InputShape, ObjectClasses, checked
from ..blocks import classifier, conv, image_input, max_pool
from ..checks import check_number
from ..layers import RoIPooling, SpatialPyramidPooling2D, WithinChannelNormalization

LEVELS = (6, 3, 2, 1)
SCALES = (480, 576, 688, 864, 1200)  # shorter sides of the image; the code has 874 for 864
ZF_5 = {
    #          filters, kernel, strides, padding, norm and pool   output at 224 x 224
    "conv_1": (96,      7,      2,       1,       True),        # (55, 55, 96)
    "conv_2": (256,     5,      2,       0,       True),        # (13, 13, 256)
    "conv_3": (384,     3,      1,       1,       False),       # (13, 13, 384)
    "conv_4": (384,     3,      1,       1,       False),       # (13, 13, 384)
    "conv_5": (256,     3,      1,       1,       False),       # (13, 13, 256)
}  # fmt: skip


@checked
def build_sppnet(
    input_shape: InputShape = (224, 224, 3), *, classes: ObjectClasses = 20, name: str = "sppnet"
) -> Model:
    """ZF-5 with spatial pyramid pooling, fine-tuned for detection.

    Args:
        input_shape: (height, width, channels), at least 31 pixels. Height and width may be None: the pyramid makes
            vectors of one size, so the net may be trained on images of several sizes.
        classes: Number of classes without the background, which is output 0.
        name: Name of the model.

    Returns:
        A Model with `classes` + 1 outputs: probabilities of the background and of the classes.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Reference:
        `model-defs/Zeiler_conv5.prototxt` of https://github.com/ShaoqingRen/SPP_net.

    Examples:
        >>> build_sppnet().count_params()
        73026709
        >>> build_sppnet((None, None, 3)).get_layer("spp").output.shape
        (None, 12800)
    """
    x = image = image_input(input_shape, 31)
    for row, (filters, kernel, strides, padding, normalised) in ZF_5.items():
        if padding and strides > 1:
            x = layers.ZeroPadding2D(padding, name=f"{row}-padding")(x)
        same = {} if padding and strides == 1 else {"padding": "valid"}
        x = conv(x, filters, kernel, strides, name=row, **same)
        if normalised:
            x = WithinChannelNormalization(name=f"{row}-norm")(x)
            x = max_pool(x, 3, strides=2, name=f"{row}-pool")
    x = SpatialPyramidPooling2D(LEVELS, name="spp")(x)  # (12800,)
    for row in ("fc_6", "fc_7"):
        x = layers.Dense(4096, activation="relu", name=row)(x)  # (4096,)
        x = layers.Dropout(0.5, name=f"{row}-dropout")(x)
    return Model(image, classifier(x, classes + 1, "softmax"), name=name)


def on_map(boxes: np.ndarray, stride: int, size: Sequence[int]) -> np.ndarray:
    """The pixels of a map that belong to boxes of the image: the first and the last of both axes, int (k, 4).

    As in the paper's appendix, with pixels counted from 0: the first is floor(x1 / stride) + 1, the last is
    ceil(x2 / stride) - 1. Of a box that is too small for that, it is the pixel nearest to its centre.

    Args:
        boxes: x1, y1, x2, y2 in pixels of the image that the net sees, (k, 4).
        stride: Pixels of the image for one of the map.
        size: (height, width) of the map.

    Examples:
        >>> on_map(np.array([[0, 0, 160, 96], [33, 40, 50, 60]]), 16, (14, 20)).tolist()
        [[1, 1, 9, 5], [3, 3, 3, 3]]
    """
    check_number("stride", stride, 1)
    boxes = np.asarray(boxes, np.float64)
    first, last = np.floor(boxes[:, :2] / stride) + 1, np.ceil(boxes[:, 2:] / stride) - 1
    centre = np.round((boxes[:, :2] + boxes[:, 2:]) / (2 * stride))
    small = first > last
    first, last = np.where(small, centre, first), np.where(small, centre, last)
    most = np.array([size[1], size[0]]) - 1
    return np.concatenate([np.clip(first, 0, most), np.clip(last, 0, most)], axis=1).astype(np.int32)


def pool_regions(maps: KerasTensor, places: KerasTensor, levels: Sequence[int] = LEVELS) -> KerasTensor:
    """The pyramids of regions of a map, each as `SpatialPyramidPooling2D` makes one of a whole map.

    Args:
        maps: (n, h, w, c).
        places: (n, k, 4), as `on_map` gives them.
        levels: Number of bins in a row of each level.

    Returns:
        (n, k, bins * c).
    """
    n, k = ops.shape(places)[:2]
    pooled = [RoIPooling(level)([maps, ops.cast(places, "float32")]) for level in levels]
    return ops.concatenate([ops.reshape(part, (n, k, -1)) for part in pooled], axis=-1)


def best_scales(boxes: np.ndarray, shorter: int, scales: Sequence[int] = SCALES) -> np.ndarray:
    """For each box the scale at which its area is nearest to 224 x 224 pixels: indices of `scales`, (k,).

    Args:
        boxes: (k, 4) in pixels of the image.
        shorter: Shorter side of the image.
        scales: Shorter sides to which the image is resized.

    Examples:
        >>> best_scales(np.array([[0, 0, 400, 400], [0, 0, 40, 40]]), 500).tolist()
        [0, 4]
    """
    sides = np.sqrt(np.maximum(np.prod(np.asarray(boxes, np.float64)[:, 2:] - boxes[:, :2], axis=1), 1e-12))
    wanted = np.round(224 * shorter / sides)
    return np.abs(np.asarray(scales) - wanted[:, None]).argmin(axis=1)

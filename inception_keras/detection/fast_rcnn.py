"""Fast R-CNN: "Fast R-CNN", Girshick 2015, arXiv:1504.08083, as released."""

from collections.abc import Callable
from math import log2
from typing import NamedTuple

import keras
from keras import KerasTensor, Model, layers
from keras.initializers import RandomNormal

from ..arguments import InputShape, ObjectClasses, check_image_shape, checked
from ..blocks import conv, max_pool
from ..checks import check_choice, check_count, check_model
from ..feature_maps import ends_of_strides
from ..graph import functional, outputs_of
from ..layers import FlattenRegions, LocalResponseNormalization, RoIPooling, WithinChannelNormalization
from ..models.alexnet import SECTION_3_5
from ..models.vgg import vgg_maps
from .region_forms import replayed
from .region_head import RegionDetections, RegionOffsets, RegionScores
from .region_samples import GivenProposals


def vgg16(x: KerasTensor) -> KerasTensor:
    """VGG-16 up to its last convolution: (600, 800, 3) -> (38, 50, 512). Pools round up, as in Caffe."""
    return vgg_maps(x, conv)["conv_5"]


def zf(x: KerasTensor) -> KerasTensor:
    """The authors' ZF, which is not quite ZFNet: (600, 800, 3) -> (39, 51, 256)."""
    for row, (filters, kernel) in {"conv_1": (96, 7), "conv_2": (256, 5)}.items():
        x = conv(x, filters, kernel, strides=2, name=row)
        x = WithinChannelNormalization(name=f"{row}-norm")(x)
        x = layers.ZeroPadding2D(1, name=f"{row}-padding")(x)  # maps are positive, so that zeros are no maxima
        x = max_pool(x, 3, strides=2, name=f"{row}-pool")
    for row, filters in {"conv_3": 384, "conv_4": 384, "conv_5": 256}.items():
        x = conv(x, filters, 3, name=row)
    return x


def caffenet(x: KerasTensor) -> KerasTensor:
    """CaffeNet up to its last convolution, padded by 5 pixels: (600, 800, 3) -> (38, 50, 256)."""
    for row, (filters, kernel, strides, groups, normalised) in SECTION_3_5.items():
        x = conv(x, filters, kernel, strides, groups=groups, name=row)
        if normalised:
            x = max_pool(x, 3, strides=2, name=f"{row}-pool")
            x = LocalResponseNormalization(name=f"{row}-norm")(x)
    return x


class Backbone(NamedTuple):
    """The layers up to the last convolution, and what follows them."""

    trunk: Callable[[KerasTensor], KerasTensor]
    stride: int  # of the map
    bins: int  # of a region along each side
    units: int  # of fc_6 and fc_7
    rpn: int = 0  # filters of the region proposal network; 0 if there was none with this net


BACKBONES = {
    "vgg16": Backbone(vgg16, 16, 7, 4096, 512),
    "caffenet": Backbone(caffenet, 16, 6, 4096),
    "zf": Backbone(zf, 16, 6, 4096, 256),
}


@checked
def build_fast_rcnn(
    input_shape: InputShape = (600, 600, 3),
    *,
    backbone: str = "vgg16",
    regressors: bool = True,
    proposals: int | None = 2000,
    classes: ObjectClasses = 20,
    name: str = "fast_rcnn",
) -> Model:
    """Builds Fast R-CNN: RoI pooling of the last map, two dense layers, and two heads.

    Args:
        input_shape: (height, width, channels), at least 16 pixels; height and width may be None for any size.
        backbone: `"vgg16"`, `"caffenet"`, or `"zf"` of Faster R-CNN.
        regressors: Whether there is a head that moves the boxes of each class.
        proposals: Number of proposals of an image; None for any number.
        classes: Number of classes, without the background.
        name: Name of the model.

    Returns:
        A Model of `{"images": (n, h, w, c), "proposals": (n, k, 4)}`: x1, y1, x2, y2 in pixels of the images; rows of
        zeros are padding. Its output is `{"boxes", "classes", "scores"}`, see `RegionDetections`.

    Raises:
        ValueError: If the net cannot take the input shape or an option.

    Examples:
        >>> build_fast_rcnn().count_params(), build_fast_rcnn(regressors=False).count_params()
        (134690729, 134346581)
    """
    net = BACKBONES[check_choice("backbone", backbone, tuple(BACKBONES))]
    images = keras.Input(check_image_shape(input_shape, 16), name="images")
    given = keras.Input((proposals, 4), name="proposals")
    regions = GivenProposals(name="regions-proposals")(given)
    maps = net.trunk(images)
    found = head(images, maps, regions, net.stride, net.bins, net.units, classes, regressors=regressors)
    return Model({"images": images, "proposals": given}, found, name=name)


@checked
def fast_rcnn(
    backbone: keras.Model,
    *,
    stride: int = 16,
    units: int = 1024,
    bins: int = 7,
    regressors: bool = True,
    proposals: int | None = 2000,
    classes: ObjectClasses = 20,
    name: str | None = None,
) -> Model:
    """Makes a Fast R-CNN of a classifier or its trunk.

    The last map of the stride goes to the head, which has two dense layers.

    Args:
        backbone: A net of `create_model` or another functional model of images; give it without its top for images of
            any size. Its layers and weights are shared.
        stride: The stride of the map: 16, or another that the net has.
        units: Units of each of the head's dense layers.
        bins: Bins along each side of a region.
        regressors: Whether there is a head that moves the boxes of each class.
        proposals: Number of proposals of an image; None for any number.
        classes: Number of classes, without the background.
        name: Name of the model; by default that of the backbone with `fast_rcnn_` before it.

    Returns:
        A Model as that of `build_fast_rcnn`.

    Raises:
        TypeError: If the backbone is not a Keras model.
        ValueError: If the backbone has no map of such a stride, or an option is not valid.

    Examples:
        >>> trunk = create_model("resnet18", include_top=False, input_shape=(None, None, 3))
        >>> fast_rcnn(trunk, classes=5).output["boxes"].shape
        (None, 100, 4)
    """
    images, maps = map_of(backbone, stride)
    check_count("units", units), check_count("bins", bins)
    if proposals is not None:
        check_count("proposals", proposals)
    given = keras.Input((proposals, 4), name="proposals")
    regions = GivenProposals(name="regions-proposals")(given)
    found = head(images, maps, regions, stride, bins, units, classes, regressors=regressors)
    return Model({"images": images, "proposals": given}, found, name=name or f"fast_rcnn_{backbone.name}")


def map_of(backbone: keras.Model, stride: int) -> tuple[KerasTensor, KerasTensor]:
    """An input "images", and what the layers of a backbone make of it: its last map of a stride.

    Raises:
        TypeError: If the backbone is not a Keras model.
        ValueError: If it has no map of such a stride.
    """
    backbone = functional(check_model("backbone", backbone))
    graph, ends = ends_of_strides(backbone)
    side = next(node for node in graph.nodes if not node.inputs).output_shapes[0][0]
    found = {2 ** round(log2(side / node.output_shapes[0][0])): node for node in ends}
    check_choice("stride", stride, list(found))
    images = keras.Input(backbone.inputs[0].shape[1:], name="images")
    return images, replayed(backbone.inputs[0], outputs_of(backbone, [found[stride]]), images)[0]


def head(
    images: KerasTensor,
    maps: KerasTensor,
    proposals: KerasTensor,
    stride: int,
    bins: int,
    units: int,
    classes: int,
    *,
    regressors: bool = True,
) -> dict[str, KerasTensor]:
    """The head of Fast and Faster R-CNN for VGG-16: (n, k, 4) -> detections."""
    x = RoIPooling(bins, 1 / stride, name="regions")([maps, proposals])  # (k, 7, 7, 512)
    x = FlattenRegions(name="regions-flatten")(x)  # (k, 25088)
    for row in ("fc_6", "fc_7"):
        x = layers.Dense(units, activation="relu", name=row)(x)  # (k, 4096)
        x = layers.Dropout(0.5, name=f"{row}-dropout")(x)
    start, options = RandomNormal(stddev=0.01), {"dtype": "float32"}
    outputs = [RegionScores(classes, kernel_initializer=start, **options, name="scores")(x)]  # (k, 21)
    if regressors:
        start = RandomNormal(stddev=0.001)
        outputs.append(RegionOffsets(classes, kernel_initializer=start, **options, name="offsets")(x))  # (k, 84)
    return RegionDetections(name="detections")([images, proposals, *outputs])

"""Faster R-CNN: "Faster R-CNN", Ren et al. 2015, arXiv:1506.01497, as released in Python (py-faster-rcnn)."""

from collections.abc import Sequence

import keras
from keras import KerasTensor, Model, layers
from keras.initializers import RandomNormal

from ..arguments import InputShape, ObjectClasses, check_image_shape, checked
from ..checks import check_choice, check_count
from .anchors import rcnn_anchors
from .fast_rcnn import BACKBONES, head, map_of
from .rpn import Proposals


@checked
def build_faster_rcnn(
    input_shape: InputShape = (600, 600, 3),
    *,
    backbone: str = "vgg16",
    scales: tuple = (8, 16, 32),
    ratios: tuple = (0.5, 1, 2),
    proposals: int = 300,
    min_size: float = 16.0,
    classes: ObjectClasses = 20,
    name: str = "faster_rcnn",
) -> Model:
    """Builds Faster R-CNN: a region proposal network and the head of Fast R-CNN on the same map.

    Args:
        input_shape: (height, width, channels), at least 16 pixels; height and width may be None for any size.
        backbone: `"vgg16"` or `"zf"`.
        scales: Sides of the anchors, times 16 pixels.
        ratios: Height / width of the anchors.
        proposals: Number of regions that go through the head.
        min_size: The smallest width and height of a proposal in pixels of the input. In the release, 16 pixels of the
            image before it is resized.
        classes: Number of classes, without the background.
        name: Name of the model.

    Returns:
        A Model with the output `{"boxes", "classes", "scores"}`, see `RegionDetections`.

    Raises:
        ValueError: If the net cannot take the input shape or an option.

    Examples:
        >>> build_faster_rcnn().count_params(), build_faster_rcnn(backbone="zf").count_params()
        (137078239, 59294751)
    """
    net = BACKBONES[check_choice("backbone", backbone, [name for name, net in BACKBONES.items() if net.rpn])]
    images = keras.Input(check_image_shape(input_shape, 16), name="images")
    maps = net.trunk(images)
    regions = rpn(images, maps, net.rpn, net.stride, scales, ratios, proposals, min_size)
    return Model(images, head(images, maps, regions, net.stride, net.bins, net.units, classes), name=name)


def rpn(
    images: KerasTensor,
    maps: KerasTensor,
    filters: int,
    stride: int,
    scales: Sequence[float],
    ratios: Sequence[float],
    proposals: int,
    min_size: float,
) -> KerasTensor:
    """The region proposal network: (38, 50, 512) -> (300, 4)."""
    anchors = rcnn_anchors(16, ratios, scales) + (stride - 16) / 2
    start = {"kernel_initializer": RandomNormal(stddev=0.01)}
    x = layers.Conv2D(filters, 3, padding="same", activation="relu", name="rpn-conv", **start)(maps)  # (38, 50, 512)
    scores = layers.Conv2D(2 * len(anchors), 1, dtype="float32", name="rpn-scores", **start)(x)  # (38, 50, 18)
    offsets = layers.Conv2D(4 * len(anchors), 1, dtype="float32", name="rpn-offsets", **start)(x)  # (38, 50, 36)
    layer = Proposals([anchors], strides=[stride], after=proposals, min_size=min_size, name="proposals")
    return layer([images, scores, offsets])


@checked
def faster_rcnn(
    backbone: keras.Model,
    *,
    stride: int = 16,
    filters: int = 512,
    units: int = 1024,
    bins: int = 7,
    scales: tuple = (8, 16, 32),
    ratios: tuple = (0.5, 1, 2),
    proposals: int = 300,
    min_size: float = 16.0,
    classes: ObjectClasses = 20,
    name: str | None = None,
) -> Model:
    """Makes a Faster R-CNN of a classifier or its trunk.

    The last map of the stride goes to the region proposal network and to the head, which has two dense layers. (The
    paper's ResNet has its last stage as the head; here it has none of it.)

    Args:
        backbone: A net of `create_model` or another functional model of images; give it without its top for images of
            any size. Its layers and weights are shared.
        stride: The stride of the map: 16, or another that the net has. A smaller one finds smaller objects.
        filters: Filters of the region proposal network.
        units: Units of each of the head's dense layers.
        bins: Bins along each side of a region.
        scales: Sides of the anchors, times 16 pixels.
        ratios: Height / width of the anchors.
        proposals: Number of regions that go through the head.
        min_size: The smallest width and height of a proposal in pixels of the input.
        classes: Number of classes, without the background.
        name: Name of the model; by default that of the backbone with `faster_rcnn_` before it.

    Returns:
        A Model with the output `{"boxes", "classes", "scores"}`, see `RegionDetections`.

    Raises:
        TypeError: If the backbone is not a Keras model.
        ValueError: If the backbone has no map of such a stride, or an option is not valid.

    Examples:
        >>> trunk = create_model("resnet18", include_top=False, input_shape=(None, None, 3))
        >>> faster_rcnn(trunk, scales=(2, 4, 8), classes=5).output["boxes"].shape
        (None, 100, 4)
    """
    images, maps = map_of(backbone, stride)
    regions = rpn(images, maps, check_count("filters", filters), stride, scales, ratios, proposals, min_size)
    outputs = head(images, maps, regions, stride, bins, units, classes)
    return Model(images, outputs, name=name or f"faster_rcnn_{backbone.name}")

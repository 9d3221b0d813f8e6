"""Small Fast and Faster R-CNNs, to be trained in minutes on a CPU and without pretrained weights."""

import keras
from keras import KerasTensor, Model

from ..arguments import InputShape, ObjectClasses, check_image_shape, checked
from ..blocks import conv_bn
from ..models.vgg import vgg_maps
from .fast_rcnn import head
from .faster_rcnn import rpn
from .region_samples import GivenProposals

STRIDE, BINS, UNITS = 8, 6, 256


@checked
def build_fast_rcnn_small(
    input_shape: InputShape = (96, 96, 3),
    *,
    regressors: bool = True,
    proposals: int | None = 300,
    classes: ObjectClasses = 20,
    name: str = "fast_rcnn_small",
) -> Model:
    """Builds a Fast R-CNN on the first four blocks of a VGG-16 of a quarter of the filters, with batch norm.

    Args:
        input_shape: (height, width, channels), at least 16 pixels; height and width may be None for any size.
        regressors: Whether there is a head that moves the boxes of each class.
        proposals: Number of proposals of an image; None for any number.
        classes: Number of classes, without the background.
        name: Name of the model.

    Returns:
        A Model as that of `build_fast_rcnn`.

    Raises:
        ValueError: If the net cannot take the input shape or an option.

    Examples:
        >>> build_fast_rcnn_small(classes=5).output["boxes"].shape
        (None, 100, 4)
    """
    images = keras.Input(check_image_shape(input_shape, 16), name="images")
    given = keras.Input((proposals, 4), name="proposals")
    regions = GivenProposals(name="regions-proposals")(given)
    found = head(images, trunk(images), regions, STRIDE, BINS, UNITS, classes, regressors=regressors)
    return Model({"images": images, "proposals": given}, found, name=name)


@checked
def build_faster_rcnn_small(
    input_shape: InputShape = (96, 96, 3),
    *,
    scales: tuple = (1, 2, 4),
    ratios: tuple = (0.5, 1, 2),
    proposals: int = 100,
    min_size: float = 4.0,
    classes: ObjectClasses = 20,
    name: str = "faster_rcnn_small",
) -> Model:
    """Builds a Faster R-CNN on the first four blocks of a VGG-16 of a quarter of the filters, with batch norm.

    Args:
        input_shape: (height, width, channels), at least 16 pixels; height and width may be None for any size.
        scales: Sides of the anchors, times 16 pixels.
        ratios: Height / width of the anchors.
        proposals: Number of regions that go through the head.
        min_size: The smallest width and height of a proposal in pixels of the input.
        classes: Number of classes, without the background.
        name: Name of the model.

    Returns:
        A Model as that of `build_faster_rcnn`.

    Raises:
        ValueError: If the net cannot take the input shape or an option.

    Examples:
        >>> build_faster_rcnn_small(classes=5).output["boxes"].shape
        (None, 100, 4)
    """
    images = keras.Input(check_image_shape(input_shape, 16), name="images")
    maps = trunk(images)
    regions = rpn(images, maps, 128, STRIDE, scales, ratios, proposals, min_size)
    return Model(images, head(images, maps, regions, STRIDE, BINS, UNITS, classes), name=name)


def trunk(x: KerasTensor) -> KerasTensor:
    """(96, 96, 3) -> (12, 12, 128)."""
    return vgg_maps(x, conv_bn, width=1 / 4, blocks=4)["conv_4"]

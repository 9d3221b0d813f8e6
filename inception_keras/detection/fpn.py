"""torchvision's Faster R-CNN: ResNet-50, a feature pyramid, and RoIAlign.

The pyramid is that of "Feature Pyramid Networks for Object Detection", Lin et al. 2016, arXiv:1612.03144.
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import KerasTensor, Model, layers
from keras.initializers import RandomNormal

from ..arguments import InputShape, ObjectClasses, check_image_shape, checked
from ..blocks import conv, conv_bn, max_pool
from ..layers import BatchNormalization, FlattenRegions
from ..models.resnet import TABLE_1, bottleneck
from . import region_forms
from .anchors import fpn_anchors
from .boxes import MAX_LOG
from .fpn_layers import PadToMultiple, PyramidDetections, PyramidRoIAlign
from .region_head import RegionOffsets, RegionScores
from .rpn import Proposals

STAGES = {2: 64, 3: 128, 4: 256, 5: 512}  # a quarter of the channels of each stage
SIZES = (32, 64, 128, 256, 512)  # of the anchors of each level
MULTIPLE = 32  # images are padded to a multiple of so many pixels
RPN = {"inside": False}
TRAIN_PROPOSALS = {"before": 2000, "after": 2000}
SAMPLES = {"count": 512}


@checked
def build_fasterrcnn_resnet50_fpn(
    input_shape: InputShape = (800, 800, 3),
    *,
    classes: ObjectClasses = 90,
    epsilon: float = 0.0,
    name: str = "fasterrcnn_resnet50_fpn",
) -> Model:
    """Builds torchvision's `fasterrcnn_resnet50_fpn`. It reads its state dicts, such as the published one of COCO.

    Images are normalized as for ImageNet, and resized so that the shorter side is 800 pixels and the longer one at most
    1,333. The net pads them to multiples of 32 pixels.

    Args:
        input_shape: (height, width, channels), at least 32 pixels; height and width may be None for any size.
        classes: Number of classes, without the background. The published weights have 90, COCO's ids less 1, of which
            ten are never used.
        epsilon: Of the frozen batch norms: 0 for the published weights, 1e-5 for those of torchvision nets that were
            trained from other ones.
        name: Name of the model.

    Returns:
        A Model with the output `{"boxes", "classes", "scores"}`, see `RegionDetections`.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Reference:
        `torchvision/models/detection/faster_rcnn.py`.

    Examples:
        >>> build_fasterrcnn_resnet50_fpn().count_params()  # 41,755,286 without the batch norms, which are not trained
        41861526
    """
    images = keras.Input(check_image_shape(input_shape, 32), name="images")
    x = PadToMultiple(MULTIPLE, name="padding")(images)
    stages = resnet(x, epsilon)
    levels = pyramid(stages)
    regions = rpn(images, levels)
    x = PyramidRoIAlign(7, 1 / 4, sampling_ratio=2, name="regions")([*levels[:4], regions])  # (1000, 7, 7, 256)
    x = FlattenRegions(name="regions-flatten")(x)  # (1000, 12544)
    for row in ("fc_6", "fc_7"):
        x = layers.Dense(1024, activation="relu", name=row)(x)  # (1000, 1024)
    options = {"dtype": "float32"}
    scores = RegionScores(classes, **options, name="scores")(x)  # (1000, 91)
    offsets = RegionOffsets(classes, **options, name="offsets")(x)  # (1000, 364)
    last = PyramidDetections(iou_threshold=0.5, min_size=0.01, extra=0.0, max_log=MAX_LOG, name="detections")
    model = Model(images, last([images, regions, scores, offsets]), name=name)
    for layer in model.layers:
        if isinstance(layer, BatchNormalization):
            layer.trainable = False
    return model


def resnet(x: KerasTensor, epsilon: float) -> list[KerasTensor]:
    """The last maps of the four stages of ResNet-50: (200, 200, 256) to (25, 25, 2048)."""
    found = []
    x = conv_bn(x, 64, 7, strides=2, epsilon=epsilon, name="conv_1")  # (400, 400, 64)
    x = max_pool(x, 3, strides=2, ceil=False, name="pool_1")  # (200, 200, 64)
    for (stage, filters), count in zip(STAGES.items(), TABLE_1[50], strict=True):
        for j in range(count):
            strides = 2 if stage > 2 and not j else 1
            x = bottleneck(x, filters, strides, name=f"stage_{stage}-block_{j + 1}", epsilon=epsilon)
        found.append(x)
    return found


def pyramid(stages: Sequence[KerasTensor]) -> list[KerasTensor]:
    """Figure 3, and a fifth level of every other pixel: (200, 200, 256) to (13, 13, 256)."""
    levels: list[KerasTensor] = []
    above = None
    for stage, maps in reversed(list(zip(STAGES, stages, strict=True))):
        x = conv(maps, 256, 1, activation=None, name=f"fpn-inner_{stage}")
        if above is not None:
            above = layers.UpSampling2D(2, name=f"fpn-up_{stage}")(above)
            x = layers.Add(name=f"fpn-merge_{stage}")([x, above])
        above = x
        levels.insert(0, conv(x, 256, 3, activation=None, name=f"fpn-layer_{stage}"))
    return [*levels, layers.MaxPooling2D(1, strides=2, name="fpn-pool")(levels[-1])]


def rpn(images: KerasTensor, levels: Sequence[KerasTensor]) -> KerasTensor:
    """The region proposal network, whose layers see all levels: (1000, 4)."""
    start: dict[str, Any] = {"kernel_initializer": RandomNormal(stddev=0.01)}
    shared = layers.Conv2D(256, 3, padding="same", activation="relu", name="rpn-conv", **start)
    score = layers.Conv2D(3, 1, dtype="float32", name="rpn-scores", **start)
    offset = layers.Conv2D(12, 1, dtype="float32", name="rpn-offsets", **start)
    maps = [shared(level) for level in levels]
    proposals = Proposals(
        [fpn_anchors([size]) for size in SIZES],
        multiple=MULTIPLE,
        before=1000,
        after=1000,
        min_size=1e-3,
        filter_first=False,
        extra=0.0,
        max_log=MAX_LOG,
        name="proposals",
    )
    return proposals([images, *map(score, maps), *map(offset, maps)])


def training_form(model: keras.Model, **options: Any) -> keras.Model:
    """The form that is trained as torchvision trains it, see `detection.forms.training_form`.

    Args:
        model: The net.
        **options: As for `region_forms.training_form`, if torchvision's are to be changed.
    """
    own: dict[str, Any] = {"rpn": RPN, "proposals": TRAIN_PROPOSALS, "samples": SAMPLES}
    own = {name: values | options.pop(name, {}) for name, values in own.items()}
    return region_forms.training_form(model, **own, **{"beta": 1 / 9} | options)

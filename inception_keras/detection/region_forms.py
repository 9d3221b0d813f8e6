"""The form for training of Fast and Faster R-CNN: drawn regions go through the layers of the head, and have a loss."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import KerasTensor, ops

from .region_head import RegionDetections, RegionLoss
from .region_samples import GivenProposals, RegionSamples
from .rpn import ProposalLoss, Proposals


def training_form(
    model: keras.Model,
    *,
    rpn: dict[str, Any] | None = None,
    proposals: dict[str, Any] | None = None,
    samples: dict[str, Any] | None = None,
    beta: float = 1.0,
) -> keras.Model:
    """The form of a net of regions that is trained, see `detection.forms.training_form`.

    With a region proposal network it is trained jointly with the head, as released: the terms are "rpn_class",
    "rpn_box", "class" and "box". Gradients do not flow through the coordinates of proposals.

    Args:
        model: A net with the layers "regions" and "detections", and "proposals" if it makes its own.
        rpn: Options of `ProposalLoss` that are not the defaults.
        proposals: Options of the `Proposals` that regions are drawn of. By default 2,000 of 12,000.
        samples: Options of `RegionSamples`. By default 128 of an image; for proposals from outside 64, with background
            from an IoU of 0.1 on.
        beta: Of the head's smooth L1.
    """
    detections = model.get_layer("detections")
    assert isinstance(detections, RegionDetections)
    boxes = keras.Input((None, 4), name="boxes")
    classes = keras.Input((None,), dtype="int32", name="classes")
    images, given, logits, *offsets = detections.input
    inputs = {"images": images, "boxes": boxes, "classes": classes}
    terms: dict[str, KerasTensor] = {}
    own: dict[str, Any] = {"extra": detections.extra, "weights": detections.weights_of_offsets}
    layer = next((layer for layer in model.layers if isinstance(layer, Proposals)), None)
    if layer is None:
        inputs["proposals"] = model.input["proposals"]
        given = GivenProposals(detections.extra, in_training=True, name="proposals_train")(inputs["proposals"])
        own |= {"count": 64, "low": 0.1}
    else:
        _, *maps = layer.input
        config = layer.get_config()
        shared = {name: config[name] for name in ("anchors", "strides", "multiple", "extra")}
        terms |= ProposalLoss(**shared | (rpn or {}), name="rpn_loss")([images, boxes, classes, *maps])
        wanted = config | {"before": 12000, "after": 2000} | (proposals or {})
        given = Proposals.from_config(wanted | {"in_training": True, "name": "proposals_train"})(layer.input)
    regions, labels, targets = RegionSamples(**own | (samples or {}), name="samples")([given, boxes, classes])
    pool = model.get_layer("regions")
    *maps, _ = pool.input
    heads = replayed(pool.output, [logits, *offsets], pool([*maps, regions]))
    inside = [heads[0], labels, *([heads[1], targets] if offsets else [])]
    terms |= RegionLoss(beta, name="loss")(inside)
    found = {name: model.output[name] for name in ("boxes", "classes", "scores")}
    return keras.Model(inputs, terms | found, name=model.name)


def proposals_of(model: keras.Model, most: int = 2000) -> keras.Model:
    """The part of a net that proposes regions, as a detector of one class: its proposals are what it finds.

    Args:
        model: A net with a region proposal network, such as `create_model("faster_rcnn")`.
        most: The most proposals of an image. In the alternating training of Faster R-CNN, 2,000.

    Raises:
        ValueError: If the net makes no proposals.
    """
    layer = next((layer for layer in model.layers if isinstance(layer, Proposals)), None)
    if layer is None:
        raise ValueError(f"{model.name} proposes no regions: it has no region proposal network.")
    found = Proposals.from_config(layer.get_config() | {"after": most, "name": "proposed"})(layer.input)
    real = ops.any(ops.not_equal(found, 0), axis=-1)
    last = ops.convert_to_tensor([0.0, 0.0, layer.extra, layer.extra])  # from the last pixel to the edge
    outputs = {
        "boxes": ops.where(real[..., None], found + last, 0.0),
        "classes": ops.where(real, 0, -1),
        "scores": ops.cast(real, "float32"),
    }
    return keras.Model(model.input, outputs, name=model.name)


def replayed(start: KerasTensor, outputs: Sequence[KerasTensor], other: KerasTensor) -> list[KerasTensor]:
    """What `outputs` are if `other` takes the place of `start`, from which they are computed, by the same layers."""
    # call, as the model itself would be one layer, with weights of other names
    found = keras.Model(start, list(outputs)).call(other)
    return list(found) if isinstance(found, (list, tuple)) else [found]

"""The feature maps of a net, for detectors, segmentation and pictures."""

from collections.abc import Sequence
from math import log2

import keras
from keras import layers

from ..checks import nearest
from .graph import Node, before, nodes
from .profile import resized

_NO_MAPS = (layers.InputLayer, layers.Dropout, layers.ZeroPadding2D)


def features(model: keras.Model, blocks: Sequence[str] | None = None) -> keras.Model:
    """A Model with the same input whose outputs are feature maps, `{block: (n, h, w, c)}`.

    The layers are the given model's own, with their weights.

    Args:
        model: A functional model with one input.
        blocks: Names of blocks, whose last maps are meant, or of layers; by default, for each stride (1, 2, 4 ...)
            that maps have on their way to the classifier, the last block of that stride.

    Returns:
        A Model whose output is a dict.

    Raises:
        ValueError: If a name is not one of the model, or the model has no maps.

    Examples:
        >>> maps = features(create_model("googlenet"))
        >>> maps.output["inception_4e"].shape
        (None, 14, 14, 832)
        >>> list(maps.output)
        ['conv_1', 'norm_2', 'inception_3b', 'inception_4e', 'inception_5b']
    """
    found = _maps(nodes(model))
    known = {node.name: node for node in found} | {node.block: node for node in found}
    blocks = list(blocks if blocks is not None else _last_of_each_stride(model))
    for name in blocks:
        if name not in known:
            raise ValueError(f"{model.name} has no feature map {name!r}; {nearest(name, list(known))}")
    if not blocks:
        raise ValueError(f"{model.name} has no feature maps.")
    return keras.Model(model.input, {name: known[name].layer.output for name in blocks}, name=f"{model.name}_features")


def _maps(graph: list[Node]) -> list[Node]:
    return [node for node in graph if len(node.output_shapes[0]) == 3 and not isinstance(node.layer, _NO_MAPS)]


def _last_of_each_stride(model: keras.Model) -> list[str]:
    """The names of the blocks."""
    if None in model.inputs[0].shape[1:]:
        model = resized(model, (256, 256, model.inputs[0].shape[-1]))
    ends = {node.block: node for node in _maps(_way(model))}
    return list({_stride(model, node): block for block, node in ends.items()}.values())


def _stride(model: keras.Model, node: Node) -> int:
    """The power of two that is nearest to the factor between the image and a map; nets without padding have others."""
    return round(log2(model.inputs[0].shape[1] / node.output_shapes[0][0]))


def _way(model: keras.Model) -> list[Node]:
    """The nodes from the image to the last maps, without the classifier, even if that is a convolution."""
    graph = {node.name: node for node in nodes(model)}
    output = model.output["predictions"] if isinstance(model.output, dict) else model.outputs[0]
    way = before(graph, output._keras_history.operation.name)
    if len(output.shape) == 4:
        return way
    head = next(node for node in reversed(way) if node.layer.weights)
    return before(graph, head.name)[:-1]

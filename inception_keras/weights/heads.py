"""The heads of a classifier: the layers between the last feature maps and each vector of scores."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import layers


@dataclass(frozen=True)
class Head:
    """The layers with weights of one head. `classifier` makes the scores; `rest` are the layers before it."""

    classifier: keras.layers.Layer
    rest: tuple[keras.layers.Layer, ...]


def heads(model: keras.Model) -> list[Head]:
    """The heads of a net of the zoo, the main one first. Empty for a net without a top or with no weights in it."""
    outputs = model.output if isinstance(model.output, dict) else {model.layers[-1].name: model.output}
    if "predictions" not in outputs or len(outputs["predictions"].shape) != 2:
        return []
    trunk = {id(layer) for layer in _ancestors(feature_map(outputs["predictions"]))}
    found = []
    for output in outputs.values():
        weighted = [layer for layer in _ancestors(output) if id(layer) not in trunk and layer.weights]
        if weighted and weighted[0].weights[0].shape[-1] == output.shape[-1]:  # LeNet-5's scores are distances to codes
            found.append(Head(weighted[0], tuple(weighted[1:])))
    return found


def feature_map(x: Any) -> Any:
    """The last feature map before the classifier that made `x`."""
    while not _maker(x).weights:
        x = _maker(x).input
    x = _maker(x).input
    while len(x.shape) != 4 or isinstance(_maker(x), (layers.Dropout, layers.GlobalAveragePooling2D)):
        x = _maker(x).input
    return x


def _maker(x: Any) -> Any:
    return x._keras_history.operation


def _ancestors(x: Any) -> list[Any]:
    """All layers that `x` depends on, the last one first."""
    found, todo = dict[int, Any](), [_maker(x)]
    while todo:
        layer = todo.pop(0)
        if id(layer) not in found:
            found[id(layer)] = layer
            inputs = layer.input if isinstance(layer.input, (list, tuple)) else [layer.input]
            todo += [] if isinstance(layer, layers.InputLayer) else [_maker(tensor) for tensor in inputs]
    return list(found.values())

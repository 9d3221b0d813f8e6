"""The feature maps of a net, for detection, segmentation and visualisation, and the heads that read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log2

import keras
from keras import layers

from .checks import check_model, check_text, check_type, nearest
from .graph import Graph, Node, data_format, functional, outputs_of, read
from .layers import FlattenRegions

_NO_MAPS = (layers.InputLayer, layers.Dropout, layers.ZeroPadding2D)


def features(model: keras.Model, blocks: Sequence[str] | None = None) -> keras.Model:
    """A Model with the same input that returns feature maps, `{block: (n, h, w, c)}`.

    The new model shares the layers and weights of the given one. Layers inside nested models are found, too.

    Args:
        model: A functional or Sequential model with one input.
        blocks: Names of layers or blocks; a block stands for its last feature map. By default, the last block of
            each stride (1, 2, 4 ...) on the way to the classifier.

    Returns:
        A Model whose output is a dict with the names as keys.

    Raises:
        TypeError: If `model` is not a Keras model, or `blocks` is not a list of names.
        ValueError: If the model has no graph of layers or no feature maps, or if a name is not one of its feature maps.

    Examples:
        >>> maps = features(create_model("googlenet"))
        >>> maps.output["inception_4e"].shape
        (None, 14, 14, 832)
        >>> list(maps.output)
        ['conv_1', 'norm_2', 'inception_3b', 'inception_4e', 'inception_5b']
    """
    check_model("model", model)
    if blocks is not None:
        check_type("blocks", blocks, (list, tuple), "a list of names of blocks or layers")
        blocks = [check_text("a name in blocks", name) for name in blocks]
    graph = read(model)
    found = _maps(graph.nodes)
    known = {node.name: node for node in found} | {node.block: node for node in found}
    names = list(blocks) if blocks is not None else last_of_each_stride(model)
    for name in names:
        if name not in known:
            raise ValueError(f"{model.name} has no feature map {name!r}; {nearest(name, list(known))}")
    if not names:
        raise ValueError(f"{model.name} has no feature maps.")
    tensors = outputs_of(model, [known[name] for name in names])
    return keras.Model(functional(model).input, dict(zip(names, tensors, strict=True)), name=f"{model.name}_features")


def last_of_each_stride(model: keras.Model) -> list[str]:
    """For each stride, the name of the last block before the classifier whose maps have that stride."""
    return [node.block for node in ends_of_strides(model)[1]]


def ends_of_strides(model: keras.Model) -> tuple[Graph, list[Node]]:
    """The graph of a model, and for each stride the last map of the last block before the classifier that has it."""
    graph = read(model)
    side = model.inputs[0].shape[1:]
    if len(side) == 3 and None in side:
        graph = read(model, [256 if size is None else size for size in side])
    height = 1 if data_format(model) == "channels_first" else 0
    # cropping belongs to a side branch; an adaptive pool makes the input size of the classifier
    maps = [
        node
        for node in _maps(_way(graph))
        if not isinstance(node.layer, layers.Cropping2D) and "Adaptive" not in node.kind
    ]
    ends = {node.block: node for node in maps}
    return graph, list({_stride(graph, node, height): node for node in ends.values()}.values())


def last_map(graph: Graph) -> Node:
    """The node of the last feature map before the main classifier."""
    node = graph[graph.classifier().inputs[0]]
    while len(node.output_shapes[0]) != 3 or isinstance(node.layer, (layers.Dropout, layers.GlobalAveragePooling2D)):
        node = graph[node.inputs[0]]
    return node


def flattened_map(graph: Graph, node: Node) -> tuple[int, ...] | None:
    """The (h, w, c) map that a Dense layer reads through a Flatten, or None. Torch flattens it channels first.

    A head of regions reads each of its regions so.
    """
    while True:
        node = graph[node.inputs[0]]
        if isinstance(node.layer, FlattenRegions):
            return node.input_shapes[0][1:]
        if isinstance(node.layer, layers.Flatten):
            return node.input_shapes[0] if len(node.input_shapes[0]) == 3 else None
        if node.weights or not isinstance(node.layer, (layers.Dropout, layers.Activation)):
            return None


@dataclass(frozen=True)
class Head:
    """The layers with weights of one head. `classifier` makes the scores; `rest` are the layers before it."""

    classifier: layers.Layer
    rest: tuple[layers.Layer, ...]


def heads(model: keras.Model) -> list[Head]:
    """The heads of a net of the zoo, the main one first. Empty for a net without a top or with no weights in it."""
    graph = read(model)
    rank = len(graph[graph.main].output_shapes[0])
    if graph.main == "detections":  # made of the outputs of layers that know how many outputs a class has
        before = [graph[name].layer for name in graph[graph.main].inputs]
        return [Head(layer, ()) for layer in before if hasattr(layer, "classes_of")]
    if graph.main != "predictions" or rank not in (1, 3):
        return []
    if rank == 3:
        return [head for output in dict.fromkeys([graph.main, *graph.outputs]) for head in _of_pixels(graph, output)]
    trunk = {node.name for node in graph.ancestors(last_map(graph).name)}
    found = []
    for output in dict.fromkeys([graph.main, *graph.outputs]):
        weighted = [node for node in graph.ancestors(output) if node.name not in trunk and node.weights]
        # in LeNet-5 they differ: its scores are distances to codes
        whole = weighted and weighted[-1].weights[0].shape[-1] == graph[output].output_shapes[0][-1]
        if whole or (weighted and hasattr(weighted[-1].layer, "classes_of")):
            found.append(Head(weighted[-1].layer, tuple(node.layer for node in reversed(weighted[:-1]))))
    return found


def _of_pixels(graph: Graph, output: str) -> list[Head]:
    """The heads that make an output of scores for each pixel, one for each map that scores are taken from.

    Transposed convolutions, which only enlarge scores, are heads as well.
    """
    todo, scoring = [output], dict[str, Node]()
    seen = set(todo)
    while todo:
        node = graph[todo.pop()]
        if node.weights:
            scoring[node.name] = node
        if not node.weights or isinstance(node.layer, layers.Conv2DTranspose):
            todo += [name for name in node.inputs if name not in seen]
            seen.update(node.inputs)
    way = graph.ancestors(output)
    rest = [node.layer for node in way if node.weights and node.block == output and node.name not in scoring]
    first, *others = [node.layer for node in way if node.name in scoring] or [None]
    return [Head(first, tuple(rest)), *(Head(layer, ()) for layer in others)] if first else []


def _maps(found: Sequence[Node]) -> list[Node]:
    return [node for node in found if len(node.output_shapes[0]) == 3 and not isinstance(node.layer, _NO_MAPS)]


def _stride(graph: Graph, node: Node, height: int) -> int:
    """The log2 of a map's stride, rounded. `height` is the axis of the height.

    In nets without padding, the image is not an exact power of two times as large as a map.
    """
    image = next(node for node in graph.nodes if not node.inputs)
    return round(log2(image.output_shapes[0][height] / node.output_shapes[0][height]))


def _way(graph: Graph) -> list[Node]:
    """The nodes that make feature maps, from the first layer with a kernel to the last one before the classifier.

    The classifier may be a convolution. A tensor that depends only on the output of a global pooling is a vector, not a
    feature map, even if its shape is (1, 1, channels): the gates of squeeze-and-excitation, for example.
    """
    if len(graph[graph.main].output_shapes[0]) == 3:
        way = graph.ancestors(graph.main)
    else:
        way = graph.ancestors(graph.classifier().name)[:-1]
    learned, vectors = set[str](), set[str]()
    for node in way:
        if any(len(weight.shape) > 1 for weight in node.weights) or learned.intersection(node.inputs):
            learned.add(node.name)
        has_no_pixels = all(side == 1 for side in node.output_shapes[0][:-1])
        if node.inputs and has_no_pixels and (_is_global_pooling(node) or vectors.issuperset(node.inputs)):
            vectors.add(node.name)
    return [node for node in way if node.name in learned - vectors]


def _is_global_pooling(node: Node) -> bool:
    """Whether a layer without weights reduces all pixels of a map to one vector in one step.

    A pool with overlapping windows, such as 3x3 with strides 2, does not, even if only one window fits on a small map.
    """
    before, after = node.input_shapes[0], node.output_shapes[0]
    if node.weights or len(before) != 3 or before[:2] == (1, 1):
        return False
    halves = all(isinstance(side, int) and side <= 2 for side in before[:2])  # such as the last pool of VGG at 32 x 32
    windows = zip(getattr(node.layer, "strides", ()), getattr(node.layer, "pool_size", ()), strict=False)
    overlaps = [1 < stride < side for stride, side in windows]
    named = "Global" in node.kind or "Adaptive" in node.kind or node.kind in ("Mean", "Max", "Amax")
    return len(after) == 1 or named or not (halves or any(overlaps))

"""Groups the layers of a model for a diagram: boxes for the main layers, blocks of boxes, a trunk and its heads."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, takewhile

import keras

from ..graph import Node, Shape, ancestors, read
from .captions import DETECTIONS, activation, dilation, read_inputs, role, width, window, words

_NAMES = {
    "InputLayer": "input",
    "Concatenate": "concat",
    "Dense": "fc",
    "Conv2D": "conv",
    "DepthwiseConv2D": "depthwise",
    "SeparableConv2D": "separable conv",
    "Conv2DTranspose": "transposed conv",
    "BilinearConv2DTranspose": "transposed conv",
    "CropLike": "crop",
    "ResizeLike": "resize",
    "GlobalAveragePooling2D": "global avg pool",
    "GlobalMaxPooling2D": "global max pool",
    "MaxPooling2D": "max pool",
    "CeilMaxPooling2D": "max pool",
    "AveragePooling2D": "avg pool",
    "CeilAveragePooling2D": "avg pool",
    "AdaptiveAveragePooling2D": "adaptive avg pool",
    "AdaptiveMaxPooling2D": "adaptive max pool",
    "LocalResponseNormalization": "local resp. norm",
    "BatchNormalization": "BN",
    "ReLU": "ReLU",
    "LeakyReLU": "leaky ReLU",
    "YoloGrid": "fc, grid",
    "LowRankDense": "fc of low rank",
    "RegionScores": "fc, scores",
    "RegionOffsets": "fc, offsets",
    "RoIPooling": "RoI pool",
    "RoIAlign": "RoIAlign",
    "PyramidRoIAlign": "RoIAlign",
    "PyramidDetections": "detections",
    "RegionDetections": "detections",
    "WithinChannelNormalization": "local resp. norm",
    "YoloConvGrid": "conv, grid",
    "ZeroPadding2D": "zero pad",
}
_ACTIVATIONS = {"relu": "ReLU", "relu6": "ReLU6", "silu": "SiLU", "gelu": "GELU"}
_NONLINEARITIES = ("Activation", "HardSwish", "ReLU", "LeakyReLU", "PReLU", "ELU")
_COMPANIONS = (
    *_NONLINEARITIES,
    "BatchNormalization",
    "Dropout",
    "SpatialDropout2D",
    "Flatten",
    "FlattenRegions",
    "Reshape",
)


@dataclass
class Box:
    """A layer and the layers drawn with it, such as its batch norm. `inputs` are names of boxes."""

    layers: list[Node]
    inputs: list[str]
    skips: list[str] = field(default_factory=list)  # inputs that are named in the box instead of drawn as arrows

    @property
    def name(self) -> str:
        """The name of the first layer."""
        return self.layers[0].name

    @property
    def role(self) -> str:
        """What the first layer does, a key of COLOURS."""
        return role(self.layers[0].layer)

    @property
    def shape(self) -> Shape:
        """The output shape of the last layer."""
        return self.layers[-1].output_shapes[0]

    @property
    def title(self) -> str:
        """The first line of text, such as "conv 3x3/2" or "max pool"."""
        node = self.layers[0]
        if self.role == "dense" and not isinstance(node.layer, keras.layers.Dense):
            return "softmax"
        return _word(node) if self.role == "pool" else f"{_word(node)} {window(node.layer)}".strip()

    @property
    def detail(self) -> str:
        """The second line: channels, or the window of a pool, and the accompanying layers, as in "64, BN, ReLU"."""
        first, *others = self.layers
        groups = getattr(first.layer, "groups", 1) if self.role == "convolution" else 1
        is_activation = first.kind in _NONLINEARITIES or first.kind == "Softmax"
        built_in = "" if is_activation else activation(first.layer)
        parts = [
            window(first.layer) if self.role == "pool" else str(width(first) or ""),
            f"{groups} groups" if groups > 1 else "",
            dilation(first.layer),
            _ACTIVATIONS.get(built_in, built_in),
            *map(_word, others),
            *(f"+ {name}" for name in self.skips),
        ]
        return ", ".join(filter(None, parts))


@dataclass
class Block:
    """The boxes between two points where a single tensor passes. The next block reads only the last box."""

    boxes: list[Box]
    heads: list["Block"] = field(default_factory=list)  # side branches that read the last box
    times: int = 1  # how many such blocks follow each other
    label: str = ""

    @property
    def name(self) -> str:
        """The common beginning of the names of the boxes; with one box, its name."""
        return self.label or shared_name([box.name for box in self.boxes]) or self.boxes[-1].name

    @property
    def shape(self) -> Shape:
        """The output shape of the block."""
        return self.boxes[-1].shape

    @property
    def structure(self) -> tuple:
        """Everything that is drawn of the block except names; equal for blocks that look alike."""
        place = {box.name: i for i, box in enumerate(self.boxes)}
        return tuple((box.title, box.detail, *(place.get(name, -1) for name in box.inputs)) for box in self.boxes)


def blocks(model: keras.Model, input_shape: Sequence[int] | None = None) -> list[Block]:
    """The trunk of a model, from the input to the deepest output. Other outputs become heads of trunk blocks.

    Shapes are those for an input of this shape, without the batch; None takes the model's own.

    Raises:
        ValueError: If the model has no graph.
    """
    boxes = _without_long_skips(_fold(read(model, input_shape).nodes))
    trunk = ancestors({box.name: box.inputs for box in boxes}, [_deepest(boxes)])
    sides = _components([box for box in boxes if box.name not in trunk])
    while True:
        found = _cut([box for box in boxes if box.name in trunk])
        end_of = {block[-1].name: i for i, block in enumerate(found)}
        # a side branch that reads several boxes, or the middle of a block, is drawn inside the trunk
        woven = [side for side in sides if len(_sources(side)) != 1 or not _sources(side) <= end_of.keys()]
        if not woven:
            break
        trunk |= {box.name for side in woven for box in side}
        sides = [side for side in sides if side not in woven]
    heads = {name: [Block(side) for side in sides if name in _sources(side)] for name in end_of}
    return _merge([Block(block, heads[block[-1].name]) for block in found])


def collapse(trunk: list[Block]) -> list[Block]:
    """Joins each run of equal blocks into one block."""
    result = []
    for _, group in groupby(trunk, key=lambda block: (block.structure, id(block) if block.heads else None)):
        run = list(group)
        first, last = run[0], run[-1]
        if len(run) > 1 and len(first.boxes) > 1:
            rest = last.name.removeprefix(shared_name([first.name, last.name])).lstrip("-_")
            result.append(replace(last, times=len(run), label=f"{first.name} to {rest}"))
        else:
            result += run
    return result


def shared_name(names: list[str]) -> str:
    """The words that all names begin with: `a_1` for `a_1-conv` and `a_1-pool`, "" if there are none."""
    parts = [re.split(r"([-_])", name) for name in names]
    equal = takewhile(lambda column: len(set(column)) == 1, zip(*parts, strict=False))
    return "".join(column[0] for column in equal).rstrip("-_")


def _word(node: Node) -> str:
    """A layer described in a word or two."""
    if node.kind == "Activation":
        name = activation(node.layer)
        return _ACTIVATIONS.get(name, name)
    if node.kind == "ReLU" and node.layer.max_value:
        return f"ReLU{node.layer.max_value:g}"
    if "Dropout" in node.kind:
        return f"dropout {node.layer.rate:.2g}"
    return _NAMES.get(node.kind) or words(node.kind)


def _fold(graph: list[Node]) -> list[Box]:
    """Makes a box for each layer.

    Padding layers get no box. A layer that accompanies the layer before it, such as a batch norm or an activation,
    joins the box of that layer if nothing else reads it.
    """
    readers = Counter(name for node in graph for name in read_inputs(node))
    box_of: dict[str, Box] = {}
    padded: dict[str, str] = {}
    found: list[Box] = []
    for node in graph:
        inputs = [padded.get(name, name) for name in read_inputs(node)]
        if node.kind == "ZeroPadding2D" and readers[node.name] == 1:
            padded[node.name] = inputs[0]  # counts as part of the next layer
            continue
        before = box_of.get(inputs[0]) if len(inputs) == 1 and readers[node.inputs[0]] == 1 else None
        if before and _accompanies(node, before):
            before.layers.append(node)
            box_of[node.name] = before
        else:
            box_of[node.name] = Box([node], list(dict.fromkeys(box_of[name].name for name in inputs)))
            found.append(box_of[node.name])
    return _late_inputs(found)


def _without_long_skips(boxes: list[Box]) -> list[Box]:
    """Takes away the arrows from a trunk to the maps that are enlarged after it, and from proposals to detections.

    Where a layer joins an enlarged map with others, the others are only named. So the trunk keeps its blocks, and what
    leads to a join, such as the scores of a skip, stands beside the block that it reads.
    """
    by_name = {box.name: box for box in boxes}

    def origin(name: str) -> Box:
        box = by_name[name]
        while box.role == "other" and len(box.inputs) == 1:
            box = by_name[box.inputs[0]]
        return box

    def is_enlarged(name: str) -> bool:
        kinds = [by_name[name].layers[0].kind, origin(name).layers[0].kind]
        return any(part in kind for kind in kinds for part in ("Transpose", "UpSampling"))

    for box in boxes:
        kept = box.inputs
        if box.role == "merge":
            kept = [name for name in box.inputs if is_enlarged(name)]
        elif box.layers[0].kind in DETECTIONS:
            kept = box.inputs[1:]
        if 0 < len(kept) < len(box.inputs):
            box.skips = [origin(name).name for name in box.inputs if name not in kept]
            box.inputs = kept
    return boxes


def _accompanies(node: Node, before: Box) -> bool:
    if role(node.layer) == "dense" or before.layers[0].kind == "InputLayer":
        return False
    # batch norm or dropout after a merge belongs to the next block
    return node.kind in (_NONLINEARITIES if before.role == "merge" else _COMPANIONS)


def _late_inputs(boxes: list[Box]) -> list[Box]:
    """Moves each input of the model, and given proposals, to just before the first box that reads them."""
    waiting = {box.name: box for box in boxes if not box.inputs or box.layers[0].kind == "GivenProposals"}
    result: dict[str, Box] = {}

    def take(names: Iterable[str]) -> None:
        for name in names:
            if box := waiting.pop(name, None):
                take(box.inputs)
                result[name] = box

    for box in boxes:
        if box.name not in waiting and box.name not in result:
            take(box.inputs)
            result[box.name] = box
    return [*result.values(), *waiting.values()]


def _deepest(boxes: list[Box]) -> str:
    """The name of the box that ends the longest chain of boxes."""
    depth: dict[str, int] = {}
    for box in boxes:
        depth[box.name] = 1 + max((depth[name] for name in box.inputs), default=0)
    return max(boxes, key=lambda box: depth[box.name]).name


def _components(boxes: list[Box]) -> list[list[Box]]:
    """The connected components of the boxes. Each list keeps the order of `boxes`."""
    group = {box.name: {box.name} for box in boxes}
    for box in boxes:
        for name in box.inputs:
            if name in group:
                joined = group[box.name] | group[name]
                group.update(dict.fromkeys(joined, joined))
    sets = {id(members): members for members in group.values()}.values()
    return [[box for box in boxes if box.name in members] for members in sets]


def _sources(side: list[Box]) -> set[str]:
    inside = {box.name for box in side}
    return {name for box in side for name in box.inputs} - inside


def _cut(boxes: list[Box]) -> list[list[Box]]:
    """Cuts the list wherever only the latest tensor is still to be read."""
    place = {box.name: i for i, box in enumerate(boxes)}
    last_read = list(range(len(boxes)))
    for i, box in enumerate(boxes):
        for name in box.inputs:
            last_read[place[name]] = i
    found: list[list[Box]] = [[]]
    needed = 0
    for i, box in enumerate(boxes):
        found[-1].append(box)
        if needed <= i and i + 1 < len(boxes):
            found.append([])
        needed = max(needed, last_read[i])
    return found


def _merge(trunk: list[Block]) -> list[Block]:
    """Joins consecutive blocks with a common name, such as `conv_2-reduce` and `conv_2`."""
    result: list[Block] = []
    stem = ""
    for block in trunk:
        names = [box.name for box in block.boxes]
        if result and not result[-1].heads and _all_within(stem, names):
            result[-1] = Block(result[-1].boxes + block.boxes, block.heads)
        else:
            result.append(block)
            stem = shared_name(names) if len(names) > 1 else _stem(names[0])
    return result


def _all_within(stem: str, names: Iterable[str]) -> bool:
    return bool(stem) and all(name == stem or name.startswith((f"{stem}-", f"{stem}_")) for name in names)


def _stem(name: str) -> str:
    """The block that a name belongs to: `a_1` for `a_1-conv` or keras.applications' `a_1_conv`, "" for none."""
    numbered = re.match(r"(.*\d)_", name)
    return name.rpartition("-")[0] or (numbered[1] if numbered else "")

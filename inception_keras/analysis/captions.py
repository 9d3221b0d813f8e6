"""The texts and colours of layers in diagrams."""

import math
import re

import keras

from ..graph import Node, Shape

# (fill, outline) by what a layer does, after figure 3 of the GoogLeNet paper; pale, so that black text prints well
COLOURS = {
    "convolution": ("#dbe8f7", "#3b6ea8"),
    "pool": ("#f9d9d6", "#b5473c"),
    "normalisation": ("#ebe2f4", "#7c5fa0"),
    "merge": ("#dcefd9", "#4b8b43"),
    "dense": ("#fdf2c4", "#ad8a17"),
    "other": ("#f2f2f2", "#777777"),
}
_PARTS = (  # parts of names of classes
    *(("Conv", "convolution"), ("LocallyConnected", "convolution"), ("Pool", "pool"), ("Norm", "normalisation")),
)
DETECTIONS = ("RegionDetections", "PyramidDetections")  # last layers, which read images, proposals, scores, offsets
_MERGES = ("Concatenate", "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Dot")


def role(layer: keras.Operation) -> str:
    """What a layer does, a key of COLOURS. The class name decides, so custom layers are recognised, too."""
    kind = type(layer).__name__
    for part, found in _PARTS:
        if part in kind:
            return found
    if kind in _MERGES:
        return "merge"
    is_dense = isinstance(layer, keras.layers.Dense) or kind == "Softmax" or activation(layer) == "softmax"
    return "dense" if is_dense else "other"


def window(layer: keras.Operation) -> str:
    """Kernel or pool size and strides, such as "3x3", "1x7" or "3x3/2"; "" for a layer without a window."""
    size = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if not isinstance(size, tuple):
        return ""
    strides = getattr(layer, "strides", None) or (1,)
    strides = (strides,) if isinstance(strides, int) else tuple(strides)
    step = str(strides[0]) if len(set(strides)) == 1 else "x".join(map(str, strides))
    return "x".join(map(str, size)) + ("" if step == "1" else f"/{step}")


def read_inputs(node: Node) -> tuple[str, ...]:
    """The inputs of a node without those of which only the size is read."""
    if node.kind in ("CropLike", "ResizeLike"):
        return node.inputs[:1]
    return node.inputs[1:] if node.kind in ("Proposals", *DETECTIONS) else node.inputs


def dilation(layer: keras.Operation) -> str:
    """The distance of the weights of a dilated convolution, such as "dilation 2"; "" for any other layer."""
    rates = getattr(layer, "dilation_rate", None) or 1
    rates = (rates,) if isinstance(rates, int) else tuple(rates)
    return "" if set(rates) == {1} else f"dilation {rates[0] if len(set(rates)) == 1 else 'x'.join(map(str, rates))}"


def width(node: Node) -> int | None:
    """The number of output channels of a convolution or dense layer; None for other layers."""
    counted = isinstance(node.layer, keras.layers.Dense) or role(node.layer) == "convolution"
    return node.output_shapes[0][-1] if counted else None


def activation(layer: keras.Operation) -> str:
    """The name of a layer's activation function; "" for none or "linear"."""
    function = getattr(layer, "activation", None)
    name = getattr(function, "__name__", "")
    return "" if name == "linear" else name


def words(text: str) -> str:
    """A class name as words: "ChannelShuffle" -> "channel shuffle"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text.removesuffix("2D")).lower()


def sizes(shape: Shape) -> str:
    """A shape as text, such as "28 x 28 x 256"; an unknown size is "?"."""
    return " x ".join("?" if size is None else str(size) for size in shape)


def engineering(count: float) -> str:
    """A large count with three digits and a unit prefix: 1582671872 -> "1.58 G"."""
    exponent = min(int(math.log10(max(count, 1))) // 3, 4)
    return f"{count / 1000**exponent:.3g} {' kMGT'[exponent]}".strip()

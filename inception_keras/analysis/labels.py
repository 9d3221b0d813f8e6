"""What diagrams say of a layer, and in which colour."""

import math
import re
from typing import Any

from .graph import Node, Shape

# (fill, outline) by what a layer does, after figure 3 of the GoogLeNet paper; pale, so that black on it prints
COLOURS = {
    "convolution": ("#dbe8f7", "#3b6ea8"),
    "pool": ("#f9d9d6", "#b5473c"),
    "normalisation": ("#ebe2f4", "#7c5fa0"),
    "merge": ("#dcefd9", "#4b8b43"),
    "dense": ("#fdf2c4", "#ad8a17"),
    "other": ("#f2f2f2", "#777777"),
}
_MERGES = ("Concatenate", "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Dot")


def role(layer: Any) -> str:
    """What a layer does, a key of COLOURS; by the name of its class, so that anybody's layers are known."""
    kind = type(layer).__name__
    for part, found in (("Conv", "convolution"), ("Pool", "pool"), ("Norm", "normalisation")):
        if part in kind:
            return found
    if kind in _MERGES:
        return "merge"
    return "dense" if kind in ("Dense", "Softmax") or activation(layer) == "softmax" else "other"


def window(layer: Any) -> str:
    """Kernel and strides: "3x3", "1x7", "3x3/2"; "" for a layer without a window."""
    size = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if not isinstance(size, tuple):
        return ""
    strides = getattr(layer, "strides", None) or (1,)
    strides = (strides,) if isinstance(strides, int) else tuple(strides)
    step = str(strides[0]) if len(set(strides)) == 1 else "x".join(map(str, strides))
    return "x".join(map(str, size)) + ("" if step == "1" else f"/{step}")


def width(node: Node) -> int | None:
    """Channels that a convolution or dense layer gives, None for the other layers."""
    kind = node.kind
    return node.output_shapes[0][-1] if kind == "Dense" or "Conv" in kind else None


def activation(layer: Any) -> str:
    """The name of the activation that a layer has or is; "" for none."""
    function = getattr(layer, "activation", None)
    name = getattr(function, "__name__", "")
    return "" if name == "linear" else name


def words(text: str) -> str:
    """A class's name as words: "ChannelShuffle" -> "channel shuffle"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", text.removesuffix("2D")).lower()


def sizes(shape: Shape) -> str:
    """A shape as text: "28 x 28 x 256"; an open size is "?"."""
    return " x ".join("?" if size is None else str(size) for size in shape)


def engineering(count: float) -> str:
    """A large count in three digits: 1582671872 -> "1.58 G"."""
    exponent = min(int(math.log10(max(count, 1))) // 3, 4)
    return f"{count / 1000**exponent:.3g} {' kMGT'[exponent]}".strip()

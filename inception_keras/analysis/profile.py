"""Parameters, multiply-accumulates and activations, from shapes alone: nothing is run or allocated."""

import csv
import io
from collections.abc import Callable
from dataclasses import astuple, dataclass, fields
from math import prod
from pathlib import Path
from typing import Any, Literal

import keras
from keras import layers
from rich.console import Console
from rich.table import Table

from ..layers import (
    ChannelShuffle,
    ChannelSplit,
    LocalResponseNormalization,
    RadialBasis,
    Subsampling2D,
    TableConv2D,
)
from ..scope import structure
from .graph import Node, Shape, nodes

Counter = Callable[[Any, tuple[Shape, ...], tuple[Shape, ...]], int]


@dataclass(frozen=True)
class Row:
    """One layer or block, for one image."""

    name: str
    kind: str
    output_shape: Shape
    params: int  # all of them, moving statistics too
    macs: int
    activations: int  # elements of the output


@dataclass(frozen=True)
class Profile:
    """What a model costs, row by row and in all. In a notebook it shows itself as a table."""

    model: str
    rows: tuple[Row, ...]

    @property
    def params(self) -> int:
        """Parameters, moving statistics included, as `model.count_params()` has them."""
        return sum(row.params for row in self.rows)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all convolutions and dense layers, for one image."""
        return sum(row.macs for row in self.rows)

    @property
    def activations(self) -> int:
        """Elements of all layers' outputs, for one image."""
        return sum(row.activations for row in self.rows)

    def to_csv(self, path: str | Path) -> None:
        """Writes the rows, a header line first; sizes of a shape are joined by "x"."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow([field.name for field in fields(Row)])
        for row in self.rows:
            writer.writerow([_shape(value) if isinstance(value, tuple) else value for value in astuple(row)])
        Path(path).write_text(buffer.getvalue())

    def __str__(self) -> str:
        console = Console(file=io.StringIO(), width=_width(self), record=True)
        console.print(_table(self))
        return console.export_text()

    def _repr_html_(self) -> str:
        cells = "".join(
            "<tr>"
            + "".join(f'<td style="text-align:{align}">{text}</td>' for text, align in zip(line, _ALIGN, strict=True))
            for line in [*map(_line, self.rows), _total(self)]
        )
        head = "".join(
            f'<th style="text-align:{align}">{title}</th>' for title, align in zip(_HEAD, _ALIGN, strict=True)
        )
        return f"<table><caption>{self.model}</caption><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table>"


def profile(model: keras.Model, by: Literal["layer", "block"] = "layer", *, input_shape: Any = None) -> Profile:
    """Counts what a model costs for one image.

    A MAC is one multiplication with its addition; bias, activation, pooling and normalisation count none. The figures
    come from the shapes of the graph: the model is neither run nor allocated.

    Args:
        model: A functional or Sequential model.
        by: `"layer"`, or `"block"` for a row for each part of the names before the first "-".
        input_shape: (height, width, channels) to count at, for a model whose input leaves sizes open.

    Returns:
        A Profile with `.rows`, `.params`, `.macs`, `.activations` and `.to_csv(path)`.

    Raises:
        ValueError: If a size is open, or the model has no graph.
        TypeError: If there is no counter for a layer; `register_counter` adds one.

    Examples:
        >>> profile(create_model("googlenet")).macs
        1582671872
    """
    if by not in ("layer", "block"):
        raise ValueError(f"by must be 'layer' or 'block', got {by!r}.")
    if input_shape is not None:
        model = resized(model, input_shape)
    graph = nodes(model)
    rows = [_row(node, first=" (" not in node.name) for node in graph]
    if by == "block":
        rows = [
            _sum(block, [r for r, n in zip(rows, graph, strict=True) if n.block == block]) for block in _blocks(graph)
        ]
    return Profile(model.name, tuple(rows))


def summary(model: keras.Model, by: Literal["layer", "block"] = "layer", *, input_shape: Any = None) -> None:
    """Shows a model's output shapes, parameters, MACs and activations, with totals; in a notebook as an HTML table.

    Args:
        model: A functional or Sequential model.
        by: `"layer"`, or `"block"` for a row for each block.
        input_shape: (height, width, channels) to count at, for a model whose input leaves sizes open.

    Raises:
        ValueError: As `profile`.
        TypeError: As `profile`.

    Examples:
        >>> summary(create_model("googlenet"), by="block")  # doctest: +SKIP
    """
    figures = profile(model, by, input_shape=input_shape)
    if in_notebook():
        from IPython.display import display

        display(figures)
    else:
        console = Console()
        console.width = max(console.width, _width(figures))
        console.print(_table(figures))


def register_counter(layer: type, counter: Counter) -> None:
    """Tells `profile` how to count the MACs of a layer class of yours, and of its subclasses.

    Args:
        layer: A class of Keras layers.
        counter: `(layer, input_shapes, output_shapes) -> MACs`; shapes are tuples without the batch.

    Examples:
        >>> register_counter(keras.layers.EinsumDense, lambda layer, inputs, outputs: 0)
    """
    if not (isinstance(layer, type) and callable(counter)):
        raise TypeError(f"register_counter takes a class and a function, got {layer!r} and {counter!r}.")
    _COUNTERS[layer] = counter


def in_notebook() -> bool:
    """Whether this is a Jupyter kernel, where pictures and tables show inline."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    return type(get_ipython()).__name__ == "ZMQInteractiveShell"


def _conv(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int:
    kernel, channels = prod(layer.kernel_size), inputs[0][-1] // layer.groups
    return kernel * channels * prod(outputs[0])


def _depthwise(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int:
    return prod(layer.kernel_size) * prod(outputs[0])


def _separable(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int:
    middle = inputs[0][-1] * layer.depth_multiplier
    return prod(outputs[0][:-1]) * middle * (prod(layer.kernel_size) + outputs[0][-1])


def _transposed(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int:
    return prod(layer.kernel_size) * prod(inputs[0]) * layer.filters


def _dense(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int:
    return inputs[0][-1] * prod(outputs[0])


def _connections(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int:
    return prod(layer.kernel.shape) * prod(outputs[0][:-1])


def _free(layer: Any, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int:
    return 0


_COUNTERS: dict[type, Counter] = {
    layers.Conv2D: _conv,
    layers.Conv2DTranspose: _transposed,
    layers.DepthwiseConv2D: _depthwise,
    layers.SeparableConv2D: _separable,
    layers.Dense: _dense,
    TableConv2D: _connections,
    RadialBasis: _dense,
}
_FREE = (
    *("InputLayer", "Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "Dropout", "SpatialDropout2D"),
    *("BatchNormalization", "LayerNormalization", "GroupNormalization", "Rescaling", "Normalization"),
    *("MaxPooling2D", "AveragePooling2D", "GlobalAveragePooling2D", "GlobalMaxPooling2D"),
    *("AdaptiveAveragePooling2D", "AdaptiveMaxPooling2D"),
    *("Flatten", "Reshape", "Permute", "ZeroPadding2D", "Cropping2D", "UpSampling2D", "Resizing"),
    *("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"),
    *("RandomFlip", "RandomCrop", "RandomTranslation", "RandomRotation", "RandomZoom"),
)
_OWN_FREE = (LocalResponseNormalization, ChannelShuffle, ChannelSplit, Subsampling2D)
_COUNTERS |= {getattr(layers, name): _free for name in _FREE} | dict.fromkeys(_OWN_FREE, _free)


def _row(node: Node, first: bool) -> Row:
    shape = node.output_shapes[0]
    if any(size is None for size in shape):
        raise ValueError(f"{node.name} has the open shape {shape}: give profile an input_shape to count at.")
    counter = next((_COUNTERS[c] for c in type(node.layer).__mro__ if c in _COUNTERS), None)
    if counter is None:
        raise TypeError(f"profile has no counter for {node.kind} ({node.name}); register_counter adds one.")
    macs = counter(node.layer, node.input_shapes, node.output_shapes)
    params = node.layer.count_params() if first else 0
    activations = 0 if isinstance(node.layer, layers.InputLayer) else sum(prod(s) for s in node.output_shapes)
    return Row(node.name, node.kind, shape, params, macs, activations)


def resized(model: keras.Model, input_shape: Any) -> keras.Model:
    """The same graph for another size of input, without weights."""
    with structure():
        image = keras.Input(tuple(input_shape), name=model.inputs[0].name)
        return keras.models.clone_model(model, input_tensors=image)


def _blocks(graph: list[Node]) -> list[str]:
    return list(dict.fromkeys(node.block for node in graph))


def _sum(block: str, rows: list[Row]) -> Row:
    kind = rows[0].kind if len(rows) == 1 else f"{len(rows)} layers"
    params, macs, activations = (
        sum(values) for values in zip(*((r.params, r.macs, r.activations) for r in rows), strict=True)
    )
    return Row(block, kind, rows[-1].output_shape, params, macs, activations)


_HEAD = ("layer", "kind", "output shape", "parameters", "MACs", "activations")
_ALIGN = ("left", "left", "left", "right", "right", "right")


def _shape(shape: Shape) -> str:
    return " x ".join(map(str, shape))


def _line(row: Row) -> tuple[str, ...]:
    return (row.name, row.kind, _shape(row.output_shape), f"{row.params:,}", f"{row.macs:,}", f"{row.activations:,}")


def _total(figures: Profile) -> tuple[str, ...]:
    return ("total", "", "", f"{figures.params:,}", f"{figures.macs:,}", f"{figures.activations:,}")


def _width(figures: Profile) -> int:
    """Columns of the terminal that the table needs: nothing is cut off."""
    lines = [_HEAD, *map(_line, figures.rows), _total(figures)]
    return sum(max(map(len, column)) + 3 for column in zip(*lines, strict=True)) + 1


def _table(figures: Profile) -> Table:
    table = Table(title=figures.model, title_justify="left", show_footer=True)
    for title, align, footer in zip(_HEAD, _ALIGN, _total(figures), strict=True):
        table.add_column(title, footer, justify=align, no_wrap=True)  # type: ignore[arg-type]
    for row in figures.rows:
        table.add_row(*_line(row))
    return table

"""Counts parameters, multiply-accumulates and activations from shapes. Nothing is run or allocated."""

import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from math import prod
from pathlib import Path
from typing import Literal

import keras
from keras import layers
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from ..checks import check_callable, check_choice, check_path, check_shape, got
from ..files import write_csv
from ..graph import Node, Shape, read
from ..layers import LocallyConnected2D, LowRankDense, RadialBasis, Subsampling2D, TableConv2D
from ..text import in_notebook, printable

Counter = Callable[[keras.Operation, tuple[Shape, ...], tuple[Shape, ...]], int]


@dataclass(frozen=True)
class Row:
    """The cost of one layer or block, for one image."""

    name: str
    kind: str
    output_shape: Shape
    params: int  # all, moving statistics included
    macs: int
    activations: int  # elements of the output


@dataclass(frozen=True)
class Profile:
    """The cost of a model, by row and in total. A notebook shows it as a table."""

    model: str
    rows: tuple[Row, ...]

    @property
    def params(self) -> int:
        """Number of parameters, moving statistics included, as in `model.count_params()`."""
        return sum(row.params for row in self.rows)

    @property
    def macs(self) -> int:
        """Number of multiply-accumulates of all rows, for one image."""
        return sum(row.macs for row in self.rows)

    @property
    def activations(self) -> int:
        """Number of elements in the outputs of all layers, for one image."""
        return sum(row.activations for row in self.rows)

    def to_csv(self, path: str | Path) -> None:
        """Writes a header line and the rows. The sizes of a shape are joined by " x "."""
        rows = [asdict(row) | {"output_shape": _shape(row.output_shape)} for row in self.rows]
        write_csv(check_path("path", path), rows)

    def __str__(self) -> str:
        console = Console(file=io.StringIO(), width=_width(self), record=True, markup=False, emoji=False)
        console.print(_table(self))
        return console.export_text()

    def _repr_html_(self) -> str:
        cells = "".join(
            "<tr>"
            + "".join(
                f'<td style="text-align:{align}">{escape(text)}</td>' for text, align in zip(line, _ALIGN, strict=True)
            )
            for line in [*map(_line, self.rows), _total(self)]
        )
        head = "".join(
            f'<th style="text-align:{align}">{title}</th>' for title, align in zip(_HEAD, _ALIGN, strict=True)
        )
        title = escape(self.model)
        return f"<table><caption>{title}</caption><thead><tr>{head}</tr></thead><tbody>{cells}</tbody></table>"


def profile(
    model: keras.Model,
    by: Literal["layer", "block"] = "layer",
    *,
    input_shape: Sequence[int] | None = None,
) -> Profile:
    """Counts what a model costs for one image.

    A MAC is one multiplication by a weight and its addition. Bias, activation, pooling and normalisation count as zero,
    and so do layers and operations without weights, such as `x + y`. But the products of `keras.ops.matmul` are
    counted. The layers of nested models are counted one by one. The counts come from the shapes of the graph: the model
    is neither run nor allocated.

    Args:
        model: A functional or Sequential model.
        by: `"layer"` for a row per layer, or `"block"` for a row per block. The block of a layer is its name up to the
            first "-".
        input_shape: The (height, width, channels) to count for, if the model's input leaves sizes open. The channels
            are those of the model.

    Returns:
        A Profile with `.rows`, `.params`, `.macs`, `.activations` and `.to_csv(path)`.

    Raises:
        ValueError: If a size is unknown, the model has other channels, or it has no graph.
        TypeError: If `model` is not a Keras model, or there is no counter for a layer; `register_counter` adds one.

    Examples:
        >>> profile(create_model("googlenet")).macs
        1582671872
    """
    check_choice("by", by, ("layer", "block"))
    graph = read(model, None if input_shape is None else check_shape("input_shape", input_shape)).nodes
    rows = [_row(node) for node in graph]
    if by == "block":
        rows = [
            _sum(block, [r for r, n in zip(rows, graph, strict=True) if n.block == block]) for block in _blocks(graph)
        ]
    return Profile(model.name, tuple(rows))


def summary(
    model: keras.Model, by: Literal["layer", "block"] = "layer", *, input_shape: Sequence[int] | None = None
) -> None:
    """Prints output shapes, parameters, MACs and activations with totals; in a notebook, as an HTML table.

    Args:
        model: A functional or Sequential model.
        by: `"layer"` for a row per layer, or `"block"` for a row per block.
        input_shape: The (height, width, channels) to count for, if the model's input leaves sizes open.

    Raises:
        ValueError: As for `profile`.
        TypeError: As for `profile`.

    Examples:
        >>> summary(create_model("googlenet"), by="block")  # doctest: +SKIP
    """
    figures = profile(model, by, input_shape=input_shape)
    if in_notebook():
        from IPython.display import display

        display(figures)
    else:
        console = Console(markup=False, emoji=False)  # names of layers may look like markup
        console.width = max(console.width, _width(figures))
        console.print(_table(figures))


def register_counter(layer: type, counter: Counter) -> None:
    """Tells `profile` how to count the MACs of a layer class and its subclasses.

    Args:
        layer: A class of Keras layers.
        counter: A function `(layer, input_shapes, output_shapes) -> MACs`. Shapes are tuples without the batch.

    Raises:
        TypeError: If `layer` is not a class of layers, or `counter` is not a function.

    Examples:
        >>> register_counter(keras.layers.EinsumDense, lambda layer, inputs, outputs: 0)
    """
    if not (isinstance(layer, type) and issubclass(layer, keras.Operation)):
        raise TypeError(f"layer must be a class of Keras layers, got {got(layer)}.")
    _COUNTERS[layer] = check_callable("counter", counter, "a function (layer, input_shapes, output_shapes) -> MACs")


def _positions(layer: keras.Operation, shape: Shape) -> int:
    """The number of pixels of a feature map."""
    return prod(shape[1:] if getattr(layer, "data_format", None) == "channels_first" else shape[:-1])


def _conv(layer: keras.Operation, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int:
    return prod(layer.kernel.shape) * _positions(layer, outputs[0])


def _separable(layer: keras.Operation, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int:
    kernels = prod(layer.depthwise_kernel.shape) + prod(layer.pointwise_kernel.shape)
    return kernels * _positions(layer, outputs[0])


def _transposed(layer: keras.Operation, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int:
    return prod(layer.kernel.shape) * _positions(layer, inputs[0])


def _local(layer: keras.Operation, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int:
    return prod(layer.kernel.shape)


def _dense(layer: keras.Operation, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int:
    return inputs[0][-1] * prod(outputs[0])


def _low_rank(layer: keras.Operation, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int:
    return layer.rank * (prod(inputs[0]) + prod(outputs[0]))


def _free(layer: keras.Operation, inputs: tuple[Shape, ...], outputs: tuple[Shape, ...]) -> int:
    return 0


_COUNTERS: dict[type, Counter] = {
    **dict.fromkeys((layers.Conv1D, layers.Conv2D, layers.Conv3D), _conv),
    **dict.fromkeys((layers.DepthwiseConv1D, layers.DepthwiseConv2D, TableConv2D), _conv),
    **dict.fromkeys((layers.SeparableConv1D, layers.SeparableConv2D), _separable),
    **dict.fromkeys((layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose), _transposed),
    **dict.fromkeys((layers.Dense, RadialBasis), _dense),
    LowRankDense: _low_rank,
    LocallyConnected2D: _local,
}
# layers whose weights normalise, scale or are looked up
_FREE = (
    *("BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization", "Normalization"),
    *("PReLU", "Embedding"),
)
_COUNTERS |= {getattr(layers, name): _free for name in _FREE} | {Subsampling2D: _free}
_BY_NAME = {"LayerScale": _free, "Matmul": _dense}  # classes of Keras that it does not export
# products of several tensors cost MACs although they have no weights
_PRODUCTS = (
    *("Dot", "Attention", "AdditiveAttention", "DotProductAttention", "Vdot", "Inner", "Outer", "Kron", "Tensordot"),
    *("Einsum", "Cross", "Correlate", "Conv", "DepthwiseConv", "SeparableConv", "ConvTranspose"),
)


def _counter(node: Node) -> Counter | None:
    """The counter for a layer's class; free for a layer without weights; None if there is no way to count it."""
    for kind in type(node.layer).__mro__:
        if kind in _COUNTERS:
            return _COUNTERS[kind]
    is_of_keras = type(node.layer).__module__.startswith("keras.")
    if is_of_keras and node.kind in _BY_NAME:
        return _BY_NAME[node.kind]
    return None if node.weights or (is_of_keras and node.kind in _PRODUCTS) else _free


def _row(node: Node) -> Row:
    shape = node.output_shapes[0]
    if any(size is None for size in shape):
        raise ValueError(f"{node.name} has the open shape {shape}: give profile an input_shape to count at.")
    counter = _counter(node)
    if counter is None:
        example = f"register_counter({node.kind}, lambda layer, inputs, outputs: 0)"
        raise TypeError(f"profile has no counter for {node.kind} ({node.name}); add one such as {example}.")
    macs = counter(node.layer, node.input_shapes, node.output_shapes)
    params = sum(prod(weight.shape) for weight in node.weights) if node.first else 0
    activations = 0 if isinstance(node.layer, layers.InputLayer) else sum(prod(s) for s in node.output_shapes)
    return Row(node.name, node.kind, shape, params, macs, activations)


def _blocks(graph: Sequence[Node]) -> list[str]:
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
    return (
        printable(row.name),
        row.kind,
        _shape(row.output_shape),
        f"{row.params:,}",
        f"{row.macs:,}",
        f"{row.activations:,}",
    )


def _total(figures: Profile) -> tuple[str, ...]:
    return ("total", "", "", f"{figures.params:,}", f"{figures.macs:,}", f"{figures.activations:,}")


def _width(figures: Profile) -> int:
    """The number of terminal columns that the table needs so that nothing is cut off."""
    lines = [_HEAD, *map(_line, figures.rows), _total(figures)]
    return sum(max(map(cell_len, column)) + 3 for column in zip(*lines, strict=True)) + 1


def _table(figures: Profile) -> Table:
    table = Table(title=printable(figures.model), title_justify="left", show_footer=True)
    for title, align, footer in zip(_HEAD, _ALIGN, _total(figures), strict=True):
        table.add_column(title, footer, justify=align, no_wrap=True)  # type: ignore[arg-type]
    for row in figures.rows:
        table.add_row(*_line(row))
    return table

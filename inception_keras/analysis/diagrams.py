"""Diagrams of a model: every layer with Graphviz, or its blocks on a slide with only matplotlib."""

import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import keras
import matplotlib

from ..checks import check_bool, check_model, check_path, check_shape
from ..graph import Node, nodes
from ..text import in_notebook
from .block_diagram import draw
from .captions import COLOURS, dilation, read_inputs, role, sizes, width, window

if TYPE_CHECKING:
    import pydot
    from IPython.display import SVG

FORMATS = ("png", "svg", "pdf")


def plot_model(model: keras.Model, path: str | Path | None = None, *, horizontal: bool = False) -> "Path | SVG":
    """Draws each layer of a model with Graphviz.

    Layers whose names agree up to the first "-" are one block and share a frame. A box shows the layer's name, its
    class with window, strides and number of channels, and its output shape.

    Args:
        model: A functional or built Sequential model.
        path: A `.png`, `.svg` or `.pdf` file. The default is the model's name with `.png` in the current folder. In a
            notebook, the default is to write no file.
        horizontal: Whether the data flows from left to right instead of from top to bottom.

    Returns:
        The Path of the file; in a notebook, a picture that is displayed inline.

    Raises:
        TypeError: If `model` is not a Keras model.
        ValueError: If the model has no graph, or the file has another suffix.
        OSError: If the file cannot be written.
        RuntimeError: If Graphviz's program `dot` is not installed.

    Examples:
        >>> plot_model(build_inception((28, 28, 192), 64, 96, 128, 16, 32, 32), tmp_path / "3a.svg").name
        '3a.svg'
    """
    check_model("model", model)
    check_bool("horizontal", horizontal)
    dot = to_dot(model, horizontal=horizontal)

    def render(file_format: str) -> bytes:
        if shutil.which("dot") is None:
            install = "apt install graphviz, or brew install graphviz"
            raise RuntimeError(f"Graphviz's program dot is not installed: {install}; plot_blocks draws without it.")
        if file_format == "png":
            dot.set("dpi", 110)  # in an SVG, it would scale the content but not the page
        return cast(bytes, dot.create(format=file_format))

    return _deliver(render, model, path)


def plot_blocks(
    model: keras.Model, path: str | Path | None = None, *, input_shape: Sequence[int] | None = None
) -> "Path | SVG":
    """Draws the blocks of a model for a slide of about 16:10, from input to classifier, wrapped into columns.

    The branches of a block stand side by side in a frame with the block's name and output shape. Heads stand beside
    the block that they read. Batch norm, activations, dropout and the like share the box of the layer before them.
    Padding layers are left out. In a very long net, consecutive equal blocks become one frame marked "x 6" or so.

    Args:
        model: A functional or built Sequential model.
        path: A `.png`, `.svg` or `.pdf` file. The default is the model's name with `.png` in the current folder. In a
            notebook, the default is to write no file.
        input_shape: The (height, width, channels) to draw for, if the model's input leaves sizes open.

    Returns:
        The Path of the file; in a notebook, a picture that is displayed inline.

    Raises:
        TypeError: If `model` is not a Keras model.
        ValueError: If the model has no graph, or the file has another suffix.
        OSError: If the file cannot be written.

    Examples:
        >>> plot_blocks(create_model("googlenet", aux=True), tmp_path / "googlenet.svg").name
        'googlenet.svg'
    """
    check_model("model", model)
    shape = None if input_shape is None else check_shape("input_shape", input_shape)

    def render(file_format: str) -> bytes:
        buffer = io.BytesIO()
        dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}  # no dates, so that equal nets give equal files
        with matplotlib.rc_context({"svg.hashsalt": "inception_keras", "text.usetex": False}):
            figure = draw(model, shape)
            dpi = min(150, 8000 / max(figure.get_size_inches()))
            figure.savefig(buffer, format=file_format, dpi=dpi, metadata=dates.get(file_format))
        return buffer.getvalue()

    return _deliver(render, model, path)


def to_dot(model: keras.Model, *, horizontal: bool = False) -> "pydot.Dot":
    """The pydot graph that `plot_model` draws. The nodes have the names of the layers."""
    import pydot

    graph = nodes(model)
    font = {"fontname": "Helvetica"}
    dot = pydot.Dot(
        _quote(model.name),
        graph_type="digraph",
        rankdir="LR" if horizontal else "TB",
        nodesep=0.15,
        ranksep=0.3,
    )
    dot.set_graph_defaults(**font, fontsize=13, style="rounded", color="#999999", labeljust="l")
    dot.set_node_defaults(**font, fontsize=11, shape="box", style='"rounded,filled"', height=0.3, margin='"0.1,0.05"')
    dot.set_edge_defaults(color="#555555", arrowsize=0.6)
    for number, block in enumerate(dict.fromkeys(node.block for node in graph)):
        inside = [node for node in graph if node.block == block]
        frame: pydot.Graph = dot
        if len(inside) > 1:
            names = {node.name for node in inside}
            goes_on = any(node.block != block and names.intersection(node.inputs) for node in graph)
            # a head's arrow comes from the side, across the upper corners, so its label is at the bottom
            frame = cluster = pydot.Cluster(str(number), label=_quote(block), labelloc="t" if goes_on else "b")
            dot.add_subgraph(cluster)  # type: ignore[arg-type]
        for node in inside:
            fill, line = COLOURS[role(node.layer)]
            frame.add_node(
                pydot.Node(_quote(node.name), label=_quote(_label(node)), fillcolor=_quote(fill), color=_quote(line))
            )
    for node in graph:
        for source in node.inputs:
            size_only: dict = {} if source in read_inputs(node) else {"style": "dotted", "constraint": "false"}
            dot.add_edge(pydot.Edge(_quote(source), _quote(node.name), **size_only))
    return dot


def _deliver(render: Callable[[str], bytes], model: keras.Model, path: str | Path | None) -> "Path | SVG":
    """Writes the output of `render(format)` and returns the Path. In a notebook, it returns a picture."""
    target = Path(f"{model.name}.png") if path is None else check_path("path", path)
    file_format = target.suffix.lower().removeprefix(".")
    if file_format not in FORMATS:
        raise ValueError(f"A diagram's file must end in .png, .svg or .pdf, got {str(target)!r}.")
    if target.is_dir():
        raise IsADirectoryError(f"{target} is a folder: path must be a file.")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {target.parent} to write {target.name} to.")
    notebook = in_notebook()
    if path is not None or not notebook:
        target.write_bytes(render(file_format))
    if not notebook:
        return target
    from IPython.display import SVG

    return SVG(data=render("svg").decode())


def _quote(text: str) -> str:
    """A text as a quoted string of the dot language."""
    return json.dumps(text, ensure_ascii=False)


def _label(node: Node) -> str:
    name = node.name.removeprefix(f"{node.block}-")
    what = " ".join(filter(None, (node.kind, window(node.layer), dilation(node.layer))))
    channels = width(node)
    return "\n".join((name, what if channels is None else f"{what}, {channels}", sizes(node.output_shapes[0])))

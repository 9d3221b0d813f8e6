"""A Keras model as a list of nodes: the one place that knows how Keras keeps its graph."""

from dataclasses import dataclass
from typing import Any

import keras

Shape = tuple[Any, ...]  # ints, None where a size is open


@dataclass(frozen=True)
class Node:
    """One call of one layer: `inputs` are names of nodes, shapes are without the batch."""

    name: str
    layer: Any
    inputs: tuple[str, ...]
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]

    @property
    def kind(self) -> str:
        """The class of the layer."""
        return type(self.layer).__name__

    @property
    def block(self) -> str:
        """The name up to the first "-": `inception_3a` of `inception_3a-conv_1x1`."""
        return self.name.partition("-")[0]


def nodes(model: keras.Model) -> list[Node]:
    """The calls of a functional or Sequential model, each after its inputs, the layers of a block together.

    Branches follow each other in the order in which the layer that joins them has them, heads the block they read.

    A layer that is called twice is two nodes, the second named `name (2)`. Nested models are opened.

    Raises:
        ValueError: If the model has no graph: it is subclassed, or not built.
    """
    found: list[Node] = []
    _walk(_graph_of(model), {}, found)
    return _by_block(_branch_by_branch(found))


def before(graph: dict[str, Node], last: str) -> list[Node]:
    """A node and all that it is made of, in order."""
    wanted, todo = {last}, [last]
    while todo:
        new = [name for name in graph[todo.pop()].inputs if name not in wanted]
        wanted.update(new)
        todo += new
    return [node for node in graph.values() if node.name in wanted]


def _graph_of(model: Any) -> Any:
    graph = getattr(model, "_functional", model)  # a Sequential keeps its graph inside
    if graph is None or not hasattr(graph, "_nodes_by_depth"):
        raise ValueError(f"{model.name} has no graph of layers: it must be functional or a built Sequential model.")
    return graph


def _walk(graph: Any, source: dict[int, str], found: list[Node]) -> None:
    """Adds the nodes of a graph; `source` tells which node made a tensor."""
    taken = {node.name for node in found}
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        for call in graph._nodes_by_depth[depth]:
            layer = call.operation
            if call.is_input and id(call.outputs[0]) in source:
                continue  # the input of a nested model, made outside
            if isinstance(layer, keras.Model):
                inner = _graph_of(layer)
                source.update({id(a): source[id(b)] for a, b in zip(inner.inputs, call.input_tensors, strict=True)})
                _walk(inner, source, found)
                source.update({id(a): source[id(b)] for a, b in zip(call.outputs, inner.outputs, strict=True)})
                taken = {node.name for node in found}
                continue
            calls = sum(name == layer.name or name.startswith(f"{layer.name} (") for name in taken)
            name = f"{layer.name} ({calls + 1})" if calls else layer.name
            taken.add(name)
            source.update({id(tensor): name for tensor in call.outputs})
            found.append(
                Node(
                    name,
                    layer,
                    tuple(dict.fromkeys(source[id(tensor)] for tensor in call.input_tensors)),
                    tuple(tuple(tensor.shape[1:]) for tensor in call.input_tensors),
                    tuple(tuple(tensor.shape[1:]) for tensor in call.outputs),
                )
            )


def _branch_by_branch(found: list[Node]) -> list[Node]:
    """Each node after its inputs, and these in their order: backwards from the ends of the graph."""
    by_name = {node.name: node for node in found}
    read = {name for node in found for name in node.inputs}
    ordered: dict[str, Node] = {}
    waiting = [node.name for node in reversed(found) if node.name not in read]
    while waiting:
        node = by_name[waiting[-1]]
        missing = [name for name in node.inputs if name not in ordered]
        if missing:
            waiting.extend(reversed(missing))
        else:
            ordered[waiting.pop()] = node
    return list(ordered.values())


def _by_block(found: list[Node]) -> list[Node]:
    """Blocks in the order of their first nodes, where that keeps each node after its inputs."""
    order = {block: i for i, block in enumerate(dict.fromkeys(node.block for node in found))}
    grouped = sorted(found, key=lambda node: order[node.block])
    place = {node.name: i for i, node in enumerate(grouped)}
    in_order = all(place[name] < i for i, node in enumerate(grouped) for name in node.inputs)
    return grouped if in_order else found

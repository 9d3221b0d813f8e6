"""A Keras model as a list of nodes: their blocks, ancestors and classifiers.

Only this module knows how Keras stores its graph.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import keras
from keras import tree

from .arguments import Shape
from .checks import check_model
from .scope import without_weights

Call = Any  # Keras's record of one call of a layer; its class is private


@dataclass(frozen=True)
class Node:
    """One call of one layer. `inputs` are names of nodes; shapes leave out the batch."""

    name: str
    layer: keras.Operation
    inputs: tuple[str, ...]
    input_shapes: tuple[Shape, ...]
    output_shapes: tuple[Shape, ...]
    first: bool  # whether this is the first call of the layer
    call: Call = field(repr=False)
    inside: tuple[Call, ...] = field(repr=False)  # the calls of nested models around the node, the outermost first

    @property
    def kind(self) -> str:
        """The class of the layer."""
        return type(self.layer).__name__

    @property
    def block(self) -> str:
        """The name up to the first "-": `inception_3a` for `inception_3a-conv_1x1`."""
        return self.name.partition("-")[0]

    @property
    def weights(self) -> list[keras.Variable]:
        """The weights of the layer; an operation such as `x + y` has none."""
        return getattr(self.layer, "weights", [])

    @property
    def models(self) -> tuple[str, ...]:
        """The names of the nested models that contain the node, the outermost first."""
        return tuple(call.operation.name for call in self.inside)

    @property
    def path(self) -> tuple[str, ...]:
        """The nested models around the node, and its block; equal for all calls of one layer."""
        return (*self.models, self.layer.name.partition("-")[0])


@dataclass(frozen=True)
class Graph:
    """The nodes of a model, each after its inputs, and the names of the output nodes."""

    nodes: list[Node]
    outputs: list[str]
    main: str  # the node of the output "predictions" or "detections", or the first or only output

    @cached_property
    def _by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    def __getitem__(self, name: str) -> Node:
        return self._by_name[name]

    def blocks(self) -> dict[str, list[Node]]:
        """The nodes of each block and of each nested model, by its name."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.path):
                found.setdefault(name, []).append(node)
        return found

    def ancestors(self, *names: str) -> list[Node]:
        """The named nodes and every node that they depend on, in the order of the graph."""
        wanted = ancestors({node.name: node.inputs for node in self.nodes}, names)
        return [node for node in self.nodes if node.name in wanted]

    def classifier(self, output: str | None = None) -> Node:
        """The last node before an output, by default the main one, that has weights or joins several tensors."""
        node = self[output or self.main]
        while not node.weights and len(node.inputs) == 1:
            node = self[node.inputs[0]]
        return node


def ancestors(inputs: Mapping[str, Iterable[str]], names: Iterable[str]) -> set[str]:
    """The names, and all that they depend on.

    Args:
        inputs: For each name, the names that it depends on directly.
        names: The names to begin with.
    """
    found, todo = set[str](), list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += inputs[name]
    return found


def nodes(model: keras.Model) -> list[Node]:
    """The nodes of a model, in the order of `read`."""
    return read(model).nodes


def read(model: keras.Model, input_shape: Sequence[int | None] | None = None) -> Graph:
    """Reads the layer calls of a functional or Sequential model, each after its inputs.

    The layers of a block stand together. Branches stand in the order in which the layer that joins them reads
    them. A head follows the block that it reads.

    A layer that is called twice becomes two nodes; the second is named `name (2)`. The layers of nested models become
    nodes, too, with the shapes that they have in the whole model.

    Args:
        model: The model.
        input_shape: The input shape to use, without the batch; None for the model's own. Layers whose weights depend on
            the shape are replaced by copies without weights.

    Raises:
        TypeError: If `model` is not a Keras model.
        ValueError: If the model has no graph, because it is subclassed or not built.
    """
    check_model("model", model)
    graph = functional(model)
    if input_shape is not None and len(graph.inputs) != 1:
        raise ValueError(f"input_shape is for a model with one input; {model.name} has {len(graph.inputs)}.")
    tensors = graph.inputs
    if input_shape is not None:
        if len(input_shape) != len(tensors[0].shape) - 1:
            sizes = len(tensors[0].shape) - 1
            raise ValueError(f"input_shape of {model.name} has {sizes} sizes, got {tuple(input_shape)}.")
        own, axis = tensors[0].shape[1:], 0 if data_format(model) == "channels_first" else -1
        if own[axis] not in (None, input_shape[axis]):
            raise ValueError(
                f"input_shape must keep the {own[axis]} channels of {model.name}, whose input is {own}, "
                f"got {tuple(input_shape)}."
            )
        tensors = [keras.KerasTensor((None, *input_shape), tensors[0].dtype, name=tensors[0].name)]
    reader = _Reader()
    sources = reader.walk(graph, [_Value(tensor, "") for tensor in tensors], ())
    outputs = [value.node for value in sources]
    return Graph(_by_block(_branch_by_branch(reader.found)), outputs, outputs[main_output(model)])


def data_format(model: keras.Model) -> str:
    """How the layers of a model read images: "channels_last" or "channels_first"."""
    formats = {getattr(layer, "data_format", None) for layer in model._flatten_layers(include_self=False)}
    return "channels_first" if "channels_first" in formats else "channels_last"


def main_output(model: keras.Model) -> int:
    """The index in `model.outputs` of the output "predictions", or 0 if the outputs have no names.

    A detector's main output is "boxes", or "detections" where it is packed.

    Raises:
        ValueError: If the model has several named outputs and none has one of these names.
    """
    named = functional(model).output
    if not isinstance(named, dict) or len(model.outputs) == 1:
        return 0
    main = next((named[name] for name in ("predictions", "boxes", "detections") if name in named), None)
    if main is None:
        raise ValueError(f"{model.name} must have one output or one named 'predictions', got {', '.join(named)}.")
    return next(i for i, output in enumerate(model.outputs) if output is main)


def outputs_of(model: keras.Model, wanted: Sequence[Node]) -> list[keras.KerasTensor]:
    """The first output of each node, as a tensor computed from the model's own input.

    For a node inside a nested model, a new model of the same layers is built that returns the node's output as well.
    """
    return _reach(functional(model), [(node.inside, node.call.outputs[0]) for node in wanted])


def input_of(model: keras.Model, node: Node) -> keras.KerasTensor:
    """The first input of a node, as a tensor computed from the model's own input."""
    path, tensor = node.inside, node.call.input_tensors[0]
    while path:  # the input of a nested model is computed outside it
        inner = functional(path[-1].operation)
        place = next((i for i, own in enumerate(inner.inputs) if own is tensor), None)
        if place is None:
            break
        path, tensor = path[:-1], path[-1].input_tensors[place]
    return _reach(functional(model), [(path, tensor)])[0]


def functional(model: keras.Model) -> keras.Model:
    """The functional model inside a Sequential; any other model is returned as it is."""
    return getattr(model, "_functional", model)


def is_nested(layer: keras.Operation) -> bool:
    """Whether a layer is a model with a graph of its own."""
    return isinstance(layer, keras.Model) and hasattr(functional(layer), "_nodes_by_depth")


def _calls(graph: keras.Model) -> Iterator[Call]:
    """Keras's records of layer calls, each after the calls that make its inputs."""
    for depth in sorted(graph._nodes_by_depth, reverse=True):
        yield from graph._nodes_by_depth[depth]


@dataclass(frozen=True)
class _Value:
    tensor: keras.KerasTensor
    node: str  # the node that made the tensor


class _Reader:
    """Makes a node of each layer call in a graph and in the models nested in it."""

    def __init__(self) -> None:
        self.found: list[Node] = []
        self._names: Counter[str] = Counter()
        self._seen: set[int] = set()
        self._rebuilt: dict[int, keras.Operation] = {}

    def walk(self, graph: keras.Model, given: list[_Value], inside: tuple[Call, ...]) -> list[_Value]:
        """The outputs of a graph for the given inputs; adds its calls to `found`."""
        values = {id(tensor): value for tensor, value in zip(graph.inputs, given, strict=True)}
        for call in _calls(graph):
            inputs = [values[id(tensor)] for tensor in call.input_tensors]
            if call.is_input and id(call.outputs[0]) in values:
                if inside:
                    continue  # computed outside the nested model
                outputs = [values[id(call.outputs[0])].tensor]
                made = [_Value(outputs[0], self._add(call, call.operation, [], outputs, inside))]
            elif is_nested(call.operation):
                inner = functional(call.operation)
                made = self.walk(inner, inputs[: len(inner.inputs)], (*inside, call))
            else:
                layer, outputs = self._at(call, values)
                name = self._add(call, layer, inputs, outputs, inside)
                made = [_Value(tensor, name) for tensor in outputs]
            values |= {id(tensor): value for tensor, value in zip(call.outputs, made, strict=True)}
        return [values[id(tensor)] for tensor in graph.outputs]

    def _at(self, call: Call, values: dict[int, _Value]) -> tuple[keras.Operation, list[keras.KerasTensor]]:
        """The layer of a call and its outputs. The inputs may have other shapes now than in Keras's record."""
        now = {id(tensor): values[id(tensor)].tensor for tensor in call.input_tensors}
        if all(now[id(tensor)].shape == tensor.shape for tensor in call.input_tensors):
            return call.operation, call.outputs
        args, kwargs = call.arguments.fill_in(now)
        try:
            return self._made(call.operation, args, kwargs, [tensor.shape for tensor in call.input_tensors])
        except Exception:  # each layer raises its own kind
            shapes = " and ".join(str(tensor.shape[1:]) for tensor in now.values())
            raise ValueError(
                f"{call.operation.name} does not take {shapes}, which it gets with this input_shape."
            ) from None

    def _made(
        self, layer: keras.Operation, args: tuple, kwargs: dict, recorded: list[Shape]
    ) -> tuple[keras.Operation, list[keras.KerasTensor]]:
        """The layer, or a copy of it if its weights depend on the shape, and its outputs."""
        with without_weights():
            # no weights, or weights that fit many shapes
            if not getattr(layer, "weights", None) or all(None in shape[1:] for shape in recorded):
                return layer, tree.flatten(layer.compute_output_spec(*args, **kwargs))
            if id(layer) not in self._rebuilt:
                self._rebuilt[id(layer)] = type(layer).from_config(layer.get_config())
            return self._rebuilt[id(layer)], tree.flatten(self._rebuilt[id(layer)](*args, **kwargs))

    def _add(
        self,
        call: Call,
        layer: keras.Operation,
        inputs: list[_Value],
        outputs: list[keras.KerasTensor],
        inside: tuple[Call, ...],
    ) -> str:
        own = call.operation.name
        self._names[own] += 1
        name = own if self._names[own] == 1 else f"{own} ({self._names[own]})"
        self.found.append(
            Node(
                name,
                layer,
                tuple(dict.fromkeys(value.node for value in inputs)),
                tuple(tuple(value.tensor.shape[1:]) for value in inputs),
                tuple(tuple(tensor.shape[1:]) for tensor in outputs),
                id(call.operation) not in self._seen,
                call,
                inside,
            )
        )
        self._seen.add(id(call.operation))
        return name


_Wanted = tuple[tuple[Call, ...], keras.KerasTensor]  # the calls of nested models that lead to a tensor, and the tensor


def _reach(graph: keras.Model, wanted: list[_Wanted]) -> list[keras.KerasTensor]:
    """The wanted tensors of a graph, computed from its inputs.

    Each is given as (path, tensor). The path holds the calls of nested models that lead to the tensor; it is empty for
    a tensor of the graph itself.
    """
    hidden: dict[int, list[_Wanted]] = {}  # by the id of the nested model
    for path, tensor in wanted:
        if path:
            hidden.setdefault(id(path[0].operation), []).append((path[1:], tensor))
    values: dict[int, keras.KerasTensor] = {}  # the new tensor for each tensor that is computed anew
    found: dict[tuple[int, int], keras.KerasTensor] = {}  # by the ids of a nested model's call and of the tensor in it
    parts: dict[int, tuple[keras.Model, list[int]]] = {}  # for a nested model: its replacement, and the kept outputs
    needed = _needed([path[0] for path, _ in wanted if path], [tensor for path, tensor in wanted if not path])
    calls = [call for call in _calls(graph) if id(call) in needed]
    read = {id(tensor) for call in calls for tensor in call.input_tensors}
    read |= {id(tensor) for path, tensor in wanted if not path}
    for call in calls:
        key = id(call.operation)
        if key not in hidden and not any(id(tensor) in values for tensor in call.input_tensors):
            continue
        args, kwargs = call.arguments.fill_in({id(t): values.get(id(t), t) for t in call.input_tensors})
        if key not in hidden:
            made = tree.flatten(call.operation(*args, **kwargs))
            values |= {id(tensor): new for tensor, new in zip(call.outputs, made, strict=True)}
            continue
        if key not in parts:
            inner = functional(call.operation)
            alike = [other for other in calls if other.operation is call.operation]
            kept = [i for i in range(len(call.outputs)) if any(id(other.outputs[i]) in read for other in alike)]
            tensors = _reach(inner, [((), inner.outputs[i]) for i in kept] + hidden[key])
            parts[key] = keras.Model(inner.input, tensors, name=call.operation.name), kept
        part, kept = parts[key]
        made = tree.flatten(part(*args, **kwargs))
        values |= {id(call.outputs[i]): new for i, new in zip(kept, made, strict=False)}
        found |= {(id(call), id(t)): new for (_, t), new in zip(hidden[key], made[len(kept) :], strict=True)}
    return [found[id(path[0]), id(t)] if path else values.get(id(t), t) for path, t in wanted]


def _needed(calls: list[Call], tensors: list[keras.KerasTensor]) -> set[int]:
    """The ids of these calls, of the calls that make these tensors, and of all calls that they depend on."""
    todo = calls + [
        tensor._keras_history.operation._inbound_nodes[tensor._keras_history.node_index] for tensor in tensors
    ]
    found: set[int] = set()
    while todo:
        call = todo.pop()
        if id(call) not in found:
            found.add(id(call))
            todo += call.parent_nodes
    return found


def _branch_by_branch(found: list[Node]) -> list[Node]:
    """Orders the nodes depth first, from the ends of the graph back: each node comes after its inputs."""
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
    """Groups the nodes by block, unless some node would then come before its inputs."""
    order = {block: i for i, block in enumerate(dict.fromkeys(node.block for node in found))}
    grouped = sorted(found, key=lambda node: order[node.block])
    place = {node.name: i for i, node in enumerate(grouped)}
    in_order = all(place[name] < i for i, node in enumerate(grouped) for name in node.inputs)
    return grouped if in_order else found

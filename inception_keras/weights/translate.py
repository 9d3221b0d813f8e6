"""Converts weights with the names and shapes of torch, Keras or Caffe to ours."""

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from ..feature_maps import flattened_map
from ..graph import Graph, Node, read
from . import darknet
from .caffe_names import CONSTANTS, caffe_rules
from .keras_file import named
from .keras_names import keras_rules
from .rules import Rules, module_of
from .store import variables
from .torch_names import torch_rules

_ENTRY = {
    **{"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"},
    **{"moving_mean": "running_mean", "moving_variance": "running_var"},
}
_COUNTERS = ("num_batches_tracked", "n_averaged", "total_ops", "total_params")  # of torch and its profilers; no weights


@dataclass(frozen=True)
class Slot:
    """The variable for an entry of a state dict, and how to convert the entry.

    The entry is reshaped to `inner`, its axes are put in `order`, and the result is reshaped to `target`.
    """

    variable: str
    shape: tuple[int, ...]  # in torch
    inner: tuple[int, ...]
    order: tuple[int, ...]
    target: tuple[int, ...]

    def turn(self, array: np.ndarray) -> np.ndarray:
        """Converts an array to our order of axes.

        The number of outputs or channels may differ from ours. With any other difference in shape, the array is
        returned unchanged.
        """
        if self.order == tuple(range(array.ndim)):
            return array
        if array.ndim == 4 and array.shape[2:] == self.inner[2:] and self.shape == self.inner:
            return array.transpose(self.order)
        inner, shape, target = self.inner, self.shape, self.target
        given = array
        while array.ndim > len(shape) and array.shape[0] == 1:  # Caffe's old blobs always have four axes
            array = array[0]
        if array.ndim and inner[0] == target[-1]:  # outputs come first in torch, last in ours
            count = array.shape[:1]
            inner, shape, target = count + inner[1:], count + shape[1:], target[:-1] + count
        if array.shape != inner and _cut(array.shape) != _cut(shape):
            return given
        return array.reshape(inner).transpose(self.order).reshape(target)


def slots(model: keras.Model, rules: Rules) -> dict[str, Slot]:
    """A slot for each entry of a state dict, by torch's name. Layers without a rule are left out."""
    found, graph = {}, read(model)
    for node in graph.nodes:
        layer, modules = node.layer, module_of(node.layer.name, rules) if node.weights else None
        if modules is None:
            continue
        statistics, _, affine = modules.partition("|")  # Caffe splits a batch norm into two layers
        for variable in layer.weights:
            shape, inner, order = _shapes(graph, node, variable)
            name = f"{layer.name}/{variable.name}"
            module = affine if affine and variable.name in ("gamma", "beta") else statistics
            found[f"{module}.{_ENTRY.get(variable.name, variable.name)}"] = Slot(
                name, shape, inner, order, tuple(variable.shape)
            )
    return found


@dataclass(frozen=True)
class Translation:
    """The entries of a file under our names, and the entries that lie outside the net.

    `arrays` may hold entries that do not fit. `outside` names the entries that do not begin with `prefix`.
    """

    arrays: dict[str, np.ndarray]
    prefix: str
    outside: list[str]
    caffe: bool = False  # whether the file has Caffe's names


def translate(
    model: keras.Model, id: str, arrays: Mapping[str, np.ndarray], whole: keras.Model | None = None
) -> Translation:
    """Renames and converts the entries of a file to our layout.

    The file may be in our layout or in a known one of torch, Keras or Caffe. The layout that matches most of the keys,
    after a prefix such as `module.` or `backbone.`, is used. Entries that this layout does not know keep their names,
    so that they are later reported as unexpected.

    Args:
        model: The model that the entries are for.
        id: Its id in the zoo.
        arrays: The entries by name.
        whole: The net with all of its heads. Entries of heads that `model` lacks are dropped.

    Raises:
        ValueError: If the file holds the net more than once, under different prefixes; or if its names are those of
            another net with the same layers, such as Caffe's ResNet-50 for `resnet50_v1`.
    """
    if darknet.holds_numbers(arrays):
        return Translation(darknet.named(model, arrays), "", [])
    counted = all(re.fullmatch(r".+/\d+", key) for key in arrays)
    files = {True: arrays, False: named(arrays) if counted else arrays}
    keys = {kind: [key for key in file if not key.endswith(_COUNTERS)] for kind, file in files.items()}
    wholes = _layouts(whole, id, counted) if whole is not None else None
    fit = -1
    for i, layout in enumerate(_layouts(model, id, counted)):
        spare_slots = wholes[i].slots.keys() - layout.slots.keys() if wholes else set()
        prefixes = _prefixes(keys[layout.counted], layout.slots.keys() | spare_slots)
        if max(prefixes.values()) > fit:
            fit, best, spare = max(prefixes.values()), layout, spare_slots
            found = [prefix for prefix, count in prefixes.items() if count == fit]
    if "" in found or fit < len(best.slots) / 2:
        found = [""]
    if len(found) > 1:
        raise ValueError(
            f"It holds the net {len(found)} times, under {', '.join(sorted(found)[:10])}; keep one of them."
        )
    if best.id != id and fit >= len(best.slots) / 2:
        raise ValueError(
            f"Its entries are named as in files of {best.id}, which has the same layers as {id} but computes something "
            f"else; create {best.id!r} with it."
        )
    prefix = found[0]
    entries: dict[str, np.ndarray] = {}
    for key in keys[best.counted]:
        array, inner = files[best.counted][key], key.removeprefix(prefix)
        if best.caffe and np.all(array == np.float32(CONSTANTS.get(id, {}).get(inner, np.nan))):
            continue
        if key.startswith(prefix) and inner not in spare:
            slot = best.slots.get(inner)
            entries |= {slot.variable: slot.turn(array)} if slot else {inner: array}
    if best.caffe:
        entries |= _absent_biases(model, entries)
    outside = [key for key in keys[best.counted] if not key.startswith(prefix)]
    return Translation(entries, prefix, outside, best.caffe)


def _absent_biases(model: keras.Model, entries: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Zeros for biases that Caffe's net leaves out (`bias_term: false`), before or in a batch norm."""
    own, absent = variables(model), {}
    for name, variable in own.items():
        layer, _, kind = name.rpartition("/")
        weight = {"bias": "kernel", "beta": "gamma"}.get(kind)
        normalised = kind == "beta" or f"{layer}-bn/gamma" in own
        if weight and normalised and name not in entries and f"{layer}/{weight}" in entries:
            absent[name] = np.zeros(variable.shape, "float32")
    return absent


def _prefixes(keys: list[str], names: Collection[str]) -> Counter[str]:
    """For each prefix that ends in a dot, and for no prefix: the number of keys that are a name after that prefix."""
    found = Counter({"": sum(key in names for key in keys)})
    for key in keys:
        for dot in re.finditer(r"\.", key):
            found[key[: dot.end()]] += key[dot.end() :] in names
    return found


class _Layout(NamedTuple):
    """One way in which a file may name and shape its entries."""

    slots: dict[str, Slot]
    id: str  # of the net whose files have this layout
    counted: bool = False  # entries are named `layer/0`, as in Keras 3
    caffe: bool = False


def _layouts(model: keras.Model, id: str, counted: bool) -> list[_Layout]:
    """The layouts that a file may have: ours, torch's, Keras's and Caffe's; for counted entries, only ours and Keras's.

    The layouts of nets with the same layer names come last. They serve to recognise a file of another net.
    """
    others = [layout for other in _namesakes(id) for layout in _foreign(model, other, counted)]
    if counted:
        own = {
            f"{layer.name}/{i}": _as_is(f"{layer.name}/{variable.name}", variable)
            for layer in model.layers
            for i, variable in enumerate(layer.weights)
        }
    else:
        own = {name: _as_is(name, variable) for name, variable in variables(model).items()}
    return [_Layout(own, id, counted), *_foreign(model, id, counted), *others]


def _namesakes(id: str) -> list[str]:
    """The ids of nets that have layers of the same names but compute something else.

    Examples:
        >>> _namesakes("resnet50_v1"), _namesakes("resnet18")
        (['resnet50', 'resnet50_caffe'], [])
    """
    match = re.fullmatch(r"(resnet(?:50|101|152))(?:_v1|_caffe)?", id)
    return [other for end in ("", "_v1", "_caffe") if (other := f"{match[1]}{end}") != id] if match else []


def _foreign(model: keras.Model, id: str, counted: bool) -> list[_Layout]:
    """The layouts that other libraries use for the net `id`."""
    keras_slots = [_Layout(_keras_slots(model, rules), id) for rules in keras_rules(id)]
    if counted:
        return keras_slots
    torch = [_Layout(slots(model, rules), id) for rules in torch_rules(id)]
    return [*torch, *keras_slots, *(_Layout(slots(model, rules), id, caffe=True) for rules in caffe_rules(id))]


def _keras_slots(model: keras.Model, rules: Rules) -> dict[str, Slot]:
    """A slot for each entry of a keras.applications file, by its name there. The shapes are the same as ours."""
    found = {}
    for layer in model.layers:
        if module := module_of(layer.name, rules):
            for variable in layer.weights:
                key = module if "/" in module else f"{module}/{variable.name}"
                found[key] = _as_is(f"{layer.name}/{variable.name}", variable)
    return found


def _as_is(name: str, variable: keras.Variable) -> Slot:
    shape = tuple(variable.shape)
    return Slot(name, shape, shape, tuple(range(len(shape))), shape)


def _shapes(
    graph: Graph, node: Node, variable: keras.Variable
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """A variable's shape in torch, the same shape with every axis separate, and the order of these axes in ours.

    In the second shape, axes that torch merges, such as those of a flattened map, are split.
    """
    shape = tuple(variable.shape)
    if variable.name != "kernel" or len(shape) == 3:  # LeNet-5's table convolution keeps only its connections
        return shape, shape, tuple(range(len(shape)))
    if isinstance(node.layer, layers.DepthwiseConv2D):
        height, width, channels, factor = shape
        return (channels * factor, 1, height, width), (channels, factor, height, width), (2, 3, 0, 1)
    if isinstance(node.layer, layers.Dense):
        inputs, outputs = shape
        height, width, channels = flattened_map(graph, node) or (1, 1, inputs)
        return (outputs, inputs), (outputs, channels, height, width), (2, 3, 1, 0)
    height, width, inputs, outputs = shape
    return (outputs, inputs, height, width), (outputs, inputs, height, width), (2, 3, 1, 0)


def _cut(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without trailing sizes of 1.

    A file may store a 1x1 convolution as a dense layer, or a dense layer as a 1x1 convolution.
    """
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape

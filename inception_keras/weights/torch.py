"""Weights under torch's names and in torch's shapes, turned into ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from .caffe_names import caffe_rules
from .keras_names import keras_rules
from .names import Rules, layouts, module_of
from .store import variables

_ENTRY = {
    **{"kernel": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"},
    **{"moving_mean": "running_mean", "moving_variance": "running_var"},
}


@dataclass(frozen=True)
class Slot:
    """Where an entry of a state dict goes: to `variable`, by way of `inner` with its axes in `order`."""

    variable: str
    shape: tuple[int, ...]  # torch's
    inner: tuple[int, ...]
    order: tuple[int, ...]
    target: tuple[int, ...]

    def turn(self, array: np.ndarray) -> np.ndarray:
        """The array in our shape, or, if only the number of outputs is another, with that; else as it is."""
        inner, shape, target = self.inner, self.shape, self.target
        given = array
        while array.ndim > len(shape) and array.shape[0] == 1:  # Caffe's old blobs all have four axes
            array = array[0]
        if array.ndim and inner[0] == target[-1]:  # outputs come first in torch, last in ours
            count = array.shape[:1]
            inner, shape, target = count + inner[1:], count + shape[1:], target[:-1] + count
        if array.shape != inner and _cut(array.shape) != _cut(shape):
            return given
        return array.reshape(inner).transpose(self.order).reshape(target)


def slots(model: keras.Model, rules: Rules) -> dict[str, Slot]:
    """Where each entry of a state dict goes, by torch's name; layers without a rule are left out."""
    found = {}
    for layer in model.layers:
        modules = module_of(layer.name, rules) if layer.weights else None
        if modules is None:
            continue
        statistics, _, affine = modules.partition("|")  # Caffe has a batch norm in two layers
        for variable in layer.weights:
            shape, inner, order = _shapes(layer, variable)
            name = f"{layer.name}/{variable.name}"
            module = affine if affine and variable.name in ("gamma", "beta") else statistics
            found[f"{module}.{_ENTRY.get(variable.name, variable.name)}"] = Slot(
                name, shape, inner, order, tuple(variable.shape)
            )
    return found


def translate(
    model: keras.Model, id: str, arrays: Mapping[str, np.ndarray], whole: keras.Model | None = None
) -> dict[str, np.ndarray]:
    """Entries under our names, from a file in our layout or in one of those of `names.py`.

    The layout is the one that knows most of the keys. Entries that it does not know keep their names, so that they
    are found as unexpected.

    Args:
        model: The model that they are for.
        id: Its id in the zoo.
        arrays: Entries by name.
        whole: The net with all of its heads; entries of a head that `model` lacks are dropped.

    Returns:
        Entries by name, some of which may not fit.
    """
    known = _known(model, id)
    best = max(known, key=lambda layout: len(layout.keys() & arrays.keys()))
    spare: set[str] = set()
    if whole is not None:
        spare = set(_known(whole, id)[known.index(best)]) - set(best)
    entries = {
        best[key].variable if key in best else key: best[key].turn(array) if key in best else array
        for key, array in arrays.items()
        if key not in spare and not key.endswith(".num_batches_tracked")
    }
    if known.index(best) >= len(known) - len(caffe_rules(id)):
        entries |= _absent_biases(model, entries)
    return entries


def _absent_biases(model: keras.Model, entries: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Zeros for each bias before or in a batch norm that Caffe's net does not have (`bias_term: false`)."""
    own, absent = variables(model), {}
    for name, variable in own.items():
        layer, _, kind = name.rpartition("/")
        weight = {"bias": "kernel", "beta": "gamma"}.get(kind)
        normalised = kind == "beta" or f"{layer}-bn/gamma" in own
        if weight and normalised and name not in entries and f"{layer}/{weight}" in entries:
            absent[name] = np.zeros(variable.shape, "float32")
    return absent


def _known(model: keras.Model, id: str) -> list[dict[str, Slot]]:
    """The layouts that a file may have: ours, torch's, Keras's and, at the end, Caffe's."""
    own = {name: _as_is(name, variable) for name, variable in variables(model).items()}
    torch = [slots(model, rules) for rules in layouts(id)]
    caffe = [slots(model, rules) for rules in caffe_rules(id)]
    return [own, *torch, *(_keras_slots(model, rules) for rules in keras_rules(id)), *caffe]


def _keras_slots(model: keras.Model, rules: Rules) -> dict[str, Slot]:
    """Where each entry of a file of keras.applications goes, by its name there; shapes are ours."""
    found = {}
    for layer in model.layers:
        if module := module_of(layer.name, rules):
            for variable in layer.weights:
                key = module if "/" in module else f"{module}/{variable.name}"
                found[key] = _as_is(f"{layer.name}/{variable.name}", variable)
    return found


def _as_is(name: str, variable: Any) -> Slot:
    shape = tuple(variable.shape)
    return Slot(name, shape, shape, tuple(range(len(shape))), shape)


def _shapes(layer: Any, variable: Any) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Torch's shape of a variable; that shape with every axis apart; the order of those axes in ours."""
    shape = tuple(variable.shape)
    if variable.name != "kernel":
        return shape, shape, tuple(range(len(shape)))
    if isinstance(layer, layers.DepthwiseConv2D):
        height, width, channels, factor = shape
        return (channels * factor, 1, height, width), (channels, factor, height, width), (2, 3, 0, 1)
    if isinstance(layer, layers.Dense):
        inputs, outputs = shape
        height, width, channels = _flattened(layer) or (1, 1, inputs)
        return (outputs, inputs), (outputs, channels, height, width), (2, 3, 1, 0)
    height, width, inputs, outputs = shape
    return (outputs, inputs, height, width), (outputs, inputs, height, width), (2, 3, 1, 0)


def _flattened(layer: Any) -> tuple[int, int, int] | None:
    """The (h, w, c) map that a Dense layer reads through a Flatten: torch has its channels first."""
    while True:
        tensor = layer.input
        layer = tensor._keras_history.operation
        if isinstance(layer, layers.Flatten):
            return tuple(layer.input.shape[1:]) if len(layer.input.shape) == 4 else None
        if layer.weights or not isinstance(layer, (layers.Dropout, layers.Activation)):
            return None


def _cut(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without sizes of 1 at its end: a 1x1 convolution may be kept as a dense layer, and the other way."""
    while shape and shape[-1] == 1:
        shape = shape[:-1]
    return shape

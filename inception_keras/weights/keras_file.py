"""Reads files of Keras 1, 2 and 3 (`.h5`, `.weights.h5`, `.keras`), such as those of keras.applications."""

import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import h5py

_SELF_NAMED = re.compile(r"(conv(?:olution)?2d|batch_?normalization)(?:_(\d+))?")
_HEADS = ("probs", "fc1000", "conv_preds")  # names of last layers that are not called "predictions"
# how variable names end in files of Keras 1
_OLD = {"W": "kernel", "b": "bias", "running_mean": "moving_mean", "running_std": "moving_variance"}


def read(path: str | Path) -> dict[str, np.ndarray]:
    """Reads the weights of a Keras file.

    Files of Keras 1 and 2 name their variables; their entries are named `layer/variable`. Layers with automatic names,
    such as `conv2d_17`, are renumbered from 1. A batch norm without `gamma` gets a `gamma` of ones.

    Files of Keras 3, `.weights.h5` and `.keras`, number the variables of a layer; their entries are named `layer/0`,
    `layer/1` and so on.

    Args:
        path: A file with weights or with a whole model.

    Raises:
        ValueError: If the file is damaged or is not a Keras file.
        FileNotFoundError: If there is no such file.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file {path}.")
    try:
        content, names = _content(path)
        with h5py.File(content, "r") as file:
            root = file.get("model_weights", file)
            if "layer_names" not in root.attrs and "layer_names0" not in root.attrs:
                if found := _counted(file.get("layers"), names):
                    return found
                raise ValueError(
                    f"{path} does not name its layers: it is no file of weights, or one of an early Keras 3. "
                    "Load it with Keras, and save it with save_weights or as .keras."
                )
            layers = {layer: dict(_variables(root[layer])) for layer in _texts(root, "layer_names")}
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a whole HDF5 file of weights: {error}.") from None
    return _today(layers)


def named(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Renames the entries `layer/0`, `layer/1` ... of a Keras 3 file to `layer/variable`.

    The variables of a layer are recognised by their number and shapes.
    """
    layers: dict[str, list[np.ndarray]] = {}
    for key, array in arrays.items():
        layers.setdefault(key.rpartition("/")[0], []).append(array)
    found = {}
    for layer, values in layers.items():
        names: tuple[str, ...] = ("kernel", "bias")
        if len(values) > 1 and min(values[0].ndim, values[1].ndim) > 1:
            names = ("depthwise_kernel", "pointwise_kernel", "bias")
        elif values[0].ndim == 1:
            names = ("gamma", "beta", "moving_mean", "moving_variance")[-len(values) :]
        if len(values) <= len(names):
            found[layer] = dict(zip(names, values, strict=False))
    return _today(found)


def _content(path: Path) -> tuple[Path | io.BytesIO, dict[str, str]]:
    """The file for h5py to open, and the names of the layers by their place in it.

    Only a `.keras` file has a config with the names; for other files the dict is empty.
    """
    if not zipfile.is_zipfile(path):
        return path, {}
    with zipfile.ZipFile(path) as archive:
        layers = json.loads(archive.read("config.json")).get("config", {}).get("layers", [])
        names, counts = dict[str, str](), Counter[str]()
        for layer in layers:
            place = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z0-9]+)", r"\1_\2", layer["class_name"]))
            place = place.lower()
            names[place if not counts[place] else f"{place}_{counts[place]}"] = layer["config"]["name"]
            counts[place] += 1
        return io.BytesIO(archive.read("model.weights.h5")), names


def _counted(root: "h5py.Group | None", names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """The variables below the group `layers` of a Keras 3 file, as `layer/0`, `layer/1` and so on.

    Layers whose names are unknown are left out.
    """
    found: dict[str, np.ndarray] = {}

    def visit(place: str, group: "h5py.Group") -> None:
        *layer, last = place.split("/")
        if last != "vars" or "seed_generator" in layer:
            return
        name = group.attrs.get("name", names.get("/".join(layer)))
        if name is not None:
            for i in sorted(group, key=int):
                found[f"{name}/{i}"] = group[i][()]

    if root is not None:
        root.visititems(visit)
    return found


def _today(layers: dict[str, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The variables of all layers by the names that current Keras gives them."""
    if "conv_preds" in layers and layers["conv_preds"]["kernel"].ndim == 4:  # a dense layer stored as a 1x1 convolution
        layers["conv_preds"]["kernel"] = layers["conv_preds"]["kernel"][0, 0]
    layers = {_name(layer, layers): values for layer, values in layers.items() if values}
    return {f"{layer}/{name}": array for layer, values in layers.items() for name, array in _whole(values).items()}


def _variables(layer: "h5py.Group") -> Iterator[tuple[str, np.ndarray]]:
    for name in _texts(layer, "weight_names"):
        last = re.sub(r"(_\d+)?(:0)?$", "", name.rpartition("/")[2])
        for old, new in _OLD.items():
            if last.endswith(f"_{old}"):
                last = new
        for known in ("depthwise_kernel", "pointwise_kernel", "kernel", "bias", "gamma", "beta", "moving_mean"):
            if f"_{last}".endswith(f"_{known}"):
                last = known
                break
        yield last, layer[name][()]


def _texts(group: "h5py.Group", name: str) -> list[str]:
    """A list of names from a file. A long list is stored in parts, `name0`, `name1` and so on."""
    parts = [group.attrs[name]] if name in group.attrs else []
    while f"{name}{len(parts)}" in group.attrs:
        parts.append(group.attrs[f"{name}{len(parts)}"])
    return [text.decode() if isinstance(text, bytes) else str(text) for part in parts for text in part]


def _name(layer: str, layers: dict) -> str:
    """The name that current Keras gives a layer."""
    if not (match := _SELF_NAMED.fullmatch(layer)):
        return "predictions" if layer in _HEADS else layer.replace("/", "_")
    kind = {"convolution2d": "conv2d", "batchnormalization": "batch_normalization"}.get(match[1], match[1])
    alike = [m for name in layers if layers[name] and (m := _SELF_NAMED.fullmatch(name)) and m[1] == match[1]]
    return f"{kind}_{1 + sum(int(m[2] or 0) < int(match[2] or 0) for m in alike)}"


def _whole(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A layer's variables as our layers have them: `gamma` added, the depthwise kernel named `kernel`."""
    if "moving_mean" in values and "gamma" not in values:
        values["gamma"] = np.ones_like(values["moving_mean"])
    if "depthwise_kernel" in values and "pointwise_kernel" not in values:
        values["kernel"] = values.pop("depthwise_kernel")
    return values

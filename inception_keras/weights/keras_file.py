"""Reads the `.h5` files of `keras.applications`, of Keras 1, 2 and 3."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

_SELF_NAMED = re.compile(r"(conv(?:olution)?2d|batch_?normalization)(?:_(\d+))?")
_HEADS = ("probs", "fc1000", "conv_preds")  # the last layers that are not called "predictions"
# the ends of variables' names in files of Keras 1
_OLD = {"W": "kernel", "b": "bias", "running_mean": "moving_mean", "running_std": "moving_variance"}


def read(path: str | Path) -> dict[str, np.ndarray]:
    """The weights of a file, as `layer/variable`.

    Layers that Keras named itself, such as `conv2d_17`, are counted from 1, whatever their numbers in the file. A batch
    norm without `gamma` gets one of ones.

    Args:
        path: A file of weights, or of a whole model, in Keras's older format.

    Raises:
        ValueError: If it is no such file.
        FileNotFoundError: If there is no such file.
    """
    import h5py

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file {path}.")
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            if "layer_names" not in root.attrs and "layer_names0" not in root.attrs:
                raise ValueError(
                    f"{path} is not a file of keras.applications: it does not name its layers. "
                    "A .weights.h5 of Keras 3 counts them by class; use save_weights and load_weights instead."
                )
            found = {layer: dict(_variables(root[layer])) for layer in _texts(root, "layer_names")}
    except (OSError, KeyError) as error:
        raise ValueError(f"{path} is not a whole HDF5 file of weights: {error}.") from None
    if "conv_preds" in found:  # a dense layer, kept as a 1x1 convolution
        found["conv_preds"]["kernel"] = found["conv_preds"]["kernel"][0, 0]
    found = {_name(layer, found): values for layer, values in found.items() if values}
    return {f"{layer}/{name}": array for layer, values in found.items() for name, array in _whole(values).items()}


def _variables(layer: Any) -> Iterator[tuple[str, np.ndarray]]:
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


def _texts(group: Any, name: str) -> list[str]:
    """A list of names; a long one is cut into `name0`, `name1` and so on."""
    parts = [group.attrs[name]] if name in group.attrs else []
    while f"{name}{len(parts)}" in group.attrs:
        parts.append(group.attrs[f"{name}{len(parts)}"])
    return [text.decode() if isinstance(text, bytes) else str(text) for part in parts for text in part]


def _name(layer: str, layers: dict) -> str:
    """The layer's name today."""
    if not (match := _SELF_NAMED.fullmatch(layer)):
        return "predictions" if layer in _HEADS else layer.replace("/", "_")
    kind = {"convolution2d": "conv2d", "batchnormalization": "batch_normalization"}.get(match[1], match[1])
    alike = [m for name in layers if layers[name] and (m := _SELF_NAMED.fullmatch(name)) and m[1] == match[1]]
    return f"{kind}_{1 + sum(int(m[2] or 0) < int(match[2] or 0) for m in alike)}"


def _whole(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A layer's variables as ours has them."""
    if "moving_mean" in values and "gamma" not in values:
        values["gamma"] = np.ones_like(values["moving_mean"])
    if "depthwise_kernel" in values and "pointwise_kernel" not in values:
        values["kernel"] = values.pop("depthwise_kernel")
    return values

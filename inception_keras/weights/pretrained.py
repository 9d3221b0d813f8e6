"""Published weights: which there are, where they lie, and how any file of weights comes into a model."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from . import caffe, keras_file, onnx, store, torch_file
from .fetch import fetch
from .published import SETS, find
from .torch import translate

ASSETS = Path(__file__).parent.parent / "assets"
EMBEDDED = {"squeezenet1_1": ASSETS / "squeezenet1_1_imagenet.safetensors"}


def _read_h5(path: Path) -> dict[str, np.ndarray]:
    """An HDF5 file, of Caffe or of Keras."""
    return caffe.read(path) if caffe.is_hdf5(path) else keras_file.read(path)


READERS: dict[str, Callable[[Path], dict[str, np.ndarray]]] = {
    ".safetensors": store.read,
    ".pth": torch_file.read,
    ".pt": torch_file.read,
    ".h5": _read_h5,
    ".onnx": onnx.read,
    ".caffemodel": caffe.read,
}


def load(model: keras.Model, id: str, weights: Any, whole: keras.Model | None = None) -> None:
    """Gives a model the weights that `create_model` was asked for; where one does not fit, none is changed.

    For an input of other than three channels the kernels that see it are summed over the colours (one channel: a grey
    image then gives what its copy in three colours would), or repeat them, scaled so that their sum stays.

    Args:
        model: The model.
        id: Its id in the zoo.
        weights: `"imagenet"`, another set of `published.PUBLISHED`, an address as of `fetch.fetch`, or the path of a
            file; what is not here is fetched, and kept. The suffix of a file is one of `READERS`.
        whole: The net with all of its heads; what a file has of a head that `model` lacks is ignored.

    Raises:
        ValueError: If entries are missing, unexpected or of another shape, all of them listed; or if the file cannot
            be read.
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be fetched.
    """
    path = _path(id, weights)
    if path.suffix not in READERS:
        raise ValueError(f"A file of weights must end in {', '.join(READERS)}, got {path.name}.")
    arrays = translate(model, id, READERS[path.suffix](path), whole)
    arrays = _with_other_channels(model, arrays)
    store.assign(model, _with_fresh_classifiers(model, arrays, str(path)), origin=str(path))


def _path(id: str, weights: Any) -> Path:
    """Where the file of weights lies, which may have to be fetched."""
    if not isinstance(weights, (str, Path)):
        raise ValueError(f"weights must be None, a name of published weights, an address or a path, got {weights!r}.")
    if weights == "imagenet" and id in EMBEDDED:
        return EMBEDDED[id]
    if weights in SETS:
        found = find(id, str(weights))
        return fetch(found.url, found.md5)
    if isinstance(weights, str) and "://" in weights:
        return fetch(weights)
    return Path(weights)


def _with_other_channels(model: keras.Model, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays, but those of the layers on the image for as many channels as it has."""
    channels = model.inputs[0].shape[-1]
    adapted = dict[str, np.ndarray]()
    for layer in model.layers:
        name = f"{layer.name}/kernel"
        if not layer.weights or layer.input is not model.inputs[0] or name not in arrays:
            continue
        if arrays[name].ndim == 4 and arrays[name].shape[2] == 3 != channels:
            kernel = arrays[name].astype("float32")  # a file may be in half precision
            if channels == 1:
                adapted[name] = kernel.sum(axis=2, keepdims=True)
            else:
                adapted[name] = kernel[:, :, np.arange(channels) % 3] * (3 / channels)
    return arrays | adapted


def _with_fresh_classifiers(model: keras.Model, arrays: dict[str, np.ndarray], origin: str) -> dict[str, np.ndarray]:
    """The arrays, but those of a classifier for another number of classes replaced by the model's own."""
    own, kept = store.variables(model), dict[str, np.ndarray]()
    for layer in _classifiers(model):
        names = [f"{layer.name}/{variable.name}" for variable in layer.weights]
        shapes = [(tuple(own[name].shape), arrays[name].shape) for name in names if name in arrays]
        if any(ours[-1] != theirs[-1] for ours, theirs in shapes) and all(a[:-1] == b[:-1] for a, b in shapes):
            kept |= {name: own[name].numpy() for name in names}
            warnings.warn(
                f"{layer.name} of {model.name} stays as it is: it has {shapes[0][0][-1]} classes, "
                f"{origin} has {shapes[0][1][-1]}.",
                stacklevel=4,
            )
    return arrays | kept


def _classifiers(model: keras.Model) -> list[Any]:
    """For each output of one vector of scores, the last layer with weights before it."""
    found = []
    for output in model.outputs:
        layer = output._keras_history.operation
        while not layer.weights and isinstance(layer.input, keras.KerasTensor):
            layer = layer.input._keras_history.operation
        if len(output.shape) == 2 and layer.weights and layer.weights[0].name == "kernel":
            found.append(layer)
    return found

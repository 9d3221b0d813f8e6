"""Published weights: which there are, where they lie, and how any file of weights comes into a model."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from . import caffe, keras_file, onnx, store, torch_file
from .caffe_names import DIFFERENCES
from .fetch import fetch
from .formats import suffix_of
from .heads import heads
from .published import PUBLISHED, SETS, find
from .torch import Translation, translate

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
    ".keras": keras_file.read,
    ".onnx": onnx.read,
    ".caffemodel": caffe.read,
}


class FreshWeightsWarning(UserWarning):
    """A head of a model keeps fresh weights, because the file has none that fit it."""


@dataclass(frozen=True)
class Source:
    """What a file of weights holds, as it names it."""

    arrays: dict[str, np.ndarray]
    origin: str
    model: str = ""  # the name of the model that wrote it, in files of this package


def read_source(id: str, weights: Any) -> Source:
    """Reads the weights that `create_model` was asked for, in whatever format they are.

    Args:
        id: A net of the zoo.
        weights: `"imagenet"`, another set of `published.PUBLISHED`, an address as of `fetch.fetch`, or the path of a
            file; what is not here is fetched, and kept. What kind of file it is, its content tells.

    Raises:
        ValueError: If the file cannot be read.
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be fetched.
    """
    path = _path(id, weights)
    kind = suffix_of(path, READERS)
    return Source(READERS[kind](path), str(path), store.written_by(path) if kind == ".safetensors" else "")


def classes_of(whole: keras.Model, id: str, source: Source) -> int | None:
    """The number of classes that a file's classifier has; None for a file without one.

    Args:
        whole: The net with all of its heads, for any number of classes.
        id: Its id in the zoo.
        source: What is in the file.
    """
    arrays = _translated(whole, id, source, None).arrays
    for head in heads(whole)[:1]:
        kernel, own = arrays.get(f"{head.classifier.name}/kernel"), head.classifier.kernel
        if kernel is not None and kernel.shape[:-1] == tuple(own.shape[:-1]) and kernel.shape[-1] > 1:
            return kernel.shape[-1]
    return None


def load(model: keras.Model, id: str, weights: Any, whole: keras.Model | None = None) -> None:
    """Gives a model the weights that `create_model` was asked for; where one does not fit, none is changed.

    For an input of other than three channels the kernels that see it are summed over the colours (one channel: a grey
    image then gives what its copy in three colours would), or repeat them, scaled so that their sum stays.

    A head that the file lacks, or has for another number of classes, keeps its fresh weights, with a warning. So does a
    net that differs from the one in Caffe that the file is of.

    Args:
        model: The model.
        id: Its id in the zoo.
        weights: A `Source`, or what `read_source` takes.
        whole: The net with all of its heads; what a file has of a head that `model` lacks is ignored.

    Raises:
        ValueError: If entries are missing, unexpected, of another shape or not finite; or if the file cannot be read.
        FileNotFoundError: If there is no such file.
        OSError: If it cannot be fetched.
    """
    source = weights if isinstance(weights, Source) else read_source(id, weights)
    translated = _translated(model, id, source, whole)
    arrays = _with_other_channels(model, translated.arrays)
    arrays = _with_fresh_heads(model, arrays, source.origin)
    store.assign(model, arrays, origin=source.origin)
    layer, difference = DIFFERENCES.get(id, ("", "")) if translated.caffe else ("", "")
    if any(each.name == layer for each in model.layers):
        warnings.warn(f"{source.origin}: {difference}.", stacklevel=3)
    if translated.outside:
        warnings.warn(
            f"{len(translated.outside)} entries of {source.origin} are not below {translated.prefix!r} and are left "
            f"out: {store.some(translated.outside)}.",
            stacklevel=3,
        )


def _translated(model: keras.Model, id: str, source: Source, whole: keras.Model | None) -> Translation:
    try:
        return translate(model, id, source.arrays, whole)
    except ValueError as error:
        raise ValueError(f"The weights of {source.origin} cannot be used for {id}: {error}") from None


def _path(id: str, weights: Any) -> Path:
    """Where the file of weights lies, which may have to be fetched."""
    if not isinstance(weights, (str, Path)) or not str(weights):
        raise ValueError(f"weights must be None, a name of published weights, an address or a path, got {weights!r}.")
    if weights == "imagenet" and id in EMBEDDED:
        return EMBEDDED[id]
    if weights in SETS:
        found = find(id, str(weights))
        return fetch(found.url, found.md5)
    if isinstance(weights, str) and "://" in weights:
        return fetch(weights)
    path = Path(weights).expanduser()
    if not path.suffix and len(path.parts) == 1 and not path.exists():
        sets = (
            ", ".join(map(repr, dict.fromkeys(("imagenet", *PUBLISHED.get(id, ()))))) if id in PUBLISHED else "no one"
        )
        raise FileNotFoundError(f"There is no weights file {path}; published weights of {id} are {sets}.")
    return path


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


def _with_fresh_heads(model: keras.Model, arrays: dict[str, np.ndarray], origin: str) -> dict[str, np.ndarray]:
    """The arrays, and the model's own for a head that the file lacks or has for another number of classes."""
    own, kept, found = store.variables(model), dict[str, np.ndarray](), heads(model)
    in_heads = {name for head in found for each in (head.classifier, *head.rest) for name in _names(each)}
    trunk_is_there = all(name in arrays for name in own.keys() - in_heads)
    for head in found:
        layer, names = head.classifier, _names(head.classifier)
        shapes = [(tuple(own[name].shape), arrays[name].shape) for name in names if name in arrays]
        if not shapes and trunk_is_there:
            absent = [each for each in (*head.rest[::-1], layer) if not any(name in arrays for name in _names(each))]
            names = [name for each in absent for name in _names(each)]
            listed = store.some([each.name for each in absent])
            says = f"{listed} of {model.name} keep fresh weights: {origin} has none of them."
        elif any(ours[-1] != theirs[-1] for ours, theirs in shapes) and all(a[:-1] == b[:-1] for a, b in shapes):
            says = (
                f"{layer.name} of {model.name} stays as it is: it has {shapes[0][0][-1]} classes, "
                f"{origin} has {shapes[0][1][-1]}."
            )
        else:
            continue
        kept |= {name: own[name].numpy() for name in names}
        warnings.warn(says, FreshWeightsWarning, stacklevel=4)
    return arrays | kept


def _names(layer: Any) -> list[str]:
    return [f"{layer.name}/{variable.name}" for variable in layer.weights]

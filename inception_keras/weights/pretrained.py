"""Loads published weights, or any weights file, into a model."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from ..checks import some
from ..feature_maps import heads
from ..graph import nodes, read
from . import caffe, darknet, keras_file, onnx, store, torch_file
from .caffe_names import DIFFERENCES
from .fetch import fetch
from .formats import suffix_of
from .published import PUBLISHED, SETS, find
from .translate import Translation, translate

ASSETS = Path(__file__).parent.parent / "assets"


def _read_h5(path: Path) -> dict[str, np.ndarray]:
    """Reads an HDF5 file of Caffe or Keras."""
    return caffe.read(path) if caffe.is_hdf5(path) else keras_file.read(path)


READERS: dict[str, Callable[[Path], dict[str, np.ndarray]]] = {
    ".safetensors": store.read,
    ".pth": torch_file.read,
    ".pt": torch_file.read,
    ".h5": _read_h5,
    ".keras": keras_file.read,
    ".onnx": onnx.read,
    ".caffemodel": caffe.read,
    ".weights": darknet.read,
}


class FreshWeightsWarning(UserWarning):
    """A head of the model keeps its fresh weights because the weights file has none that fit it."""


@dataclass(frozen=True)
class Source:
    """The content of a weights file, under the names of the file."""

    arrays: dict[str, np.ndarray]
    origin: str
    model: str = ""  # the name of the saved model, in files of this package
    trunk: str = ""  # the classifier whose weights these are, for a detector that is made of it


def read_source(id: str, weights: str | Path) -> Source:
    """Reads the weights that were given to `create_model`, in any known format.

    Args:
        id: A net of the zoo.
        weights: `"imagenet"`, another set of `published.PUBLISHED`, an address as for `fetch.fetch`, or the path of a
            file. Files that are not on disk yet are downloaded and kept. The format is found from the content.

    Raises:
        ValueError: If the file cannot be read.
        FileNotFoundError: If there is no such file.
        OSError: If the file cannot be downloaded.
    """
    path = _path(id, weights)
    kind = suffix_of(path, READERS)
    return Source(READERS[kind](path), str(path), store.written_by(path) if kind == ".safetensors" else "")


def classes_of(whole: keras.Model, id: str, source: Source) -> int | None:
    """The number of classes of the classifier in a weights file; None if there is no classifier in it.

    Args:
        whole: The net with all of its heads, for any number of classes.
        id: Its id in the zoo.
        source: The content of the file.
    """
    arrays = _translated(whole, id, source, None).arrays
    for head in heads(whole)[:1]:
        kernel, own = arrays.get(f"{head.classifier.name}/kernel"), head.classifier.kernel
        if kernel is not None and kernel.shape[:-1] == tuple(own.shape[:-1]) and kernel.shape[-1] > 1:
            return getattr(head.classifier, "classes_of", int)(kernel.shape[-1])
    return None


def load(model: keras.Model, id: str, weights: Source | str | Path, whole: keras.Model | None = None) -> None:
    """Loads weights into a model. If any entry does not fit, no weight is changed.

    For an input that does not have three channels, the kernels that read the image are adapted. For one channel, they
    are summed over the colours: a grey image then gives the same output as its copy in three colours would with the
    original kernels. For other numbers of channels, the colours are repeated and scaled so that their sum stays.

    A head that the file lacks, or has for another number of classes, keeps its fresh weights, with a warning. There is
    also a warning if a file of Caffe is loaded and the net here differs from Caffe's.

    Args:
        model: The model.
        id: Its id in the zoo.
        weights: A `Source`, or what `read_source` takes.
        whole: The net with all of its heads. Entries in the file for heads that `model` lacks are ignored.

    Raises:
        ValueError: If entries are missing, unexpected, of another shape or not finite; or if the file cannot be read.
        FileNotFoundError: If there is no such file.
        OSError: If the file cannot be downloaded.
    """
    source = weights if isinstance(weights, Source) else read_source(id, weights)
    translated = _translated(model, id, source, whole)
    arrays = _with_other_channels(model, translated.arrays)
    arrays, said = _without_other_scores(model, arrays, source.origin)
    fresh, more = (_fresh_rest if source.trunk else _fresh_heads)(model, arrays, source.origin)
    said += more
    store.assign(model, arrays | fresh, origin=source.origin)
    for warning in said:  # only now: if the file does not fit, the error says everything
        warnings.warn(warning, FreshWeightsWarning, stacklevel=3)
    layer, difference = DIFFERENCES.get(id, ("", "")) if translated.caffe else ("", "")
    if any(each.name == layer for each in model.layers):
        warnings.warn(f"{source.origin}: {difference}.", stacklevel=3)
    if translated.outside:
        warnings.warn(
            f"Entries of {source.origin} that are not below {translated.prefix!r} are left out: "
            f"{some(translated.outside, 10)}.",
            stacklevel=3,
        )


def fits(whole: keras.Model, id: str, source: Source) -> bool:
    """Whether a weights file holds all weights of a net, except perhaps those of heads, and no others."""
    try:
        arrays = translate(whole, id, source.arrays).arrays
    except ValueError:
        return False
    own, in_heads = store.variables(whole), _of_heads(whole)
    same = all(name in arrays and arrays[name].shape == tuple(own[name].shape) for name in own.keys() - in_heads)
    return same and arrays.keys() <= own.keys()


def of_classifier(model: keras.Model, id: str, whole: keras.Model, source: Source) -> Source:
    """The weights of a classifier for a net for segmentation or detection that is made of it; any other file as it is.

    The last layers of the classifier's heads are left out. Its other dense layers become convolutions where the net has
    convolutions.

    Args:
        model: The net for segmentation or detection.
        id: The id of the classifier in the zoo.
        whole: The classifier with all of its heads.
        source: The content of a file.
    """
    if not fits(whole, id, source) or (found := translate(whole, id, source.arrays)).outside:
        return source
    own = store.variables(model)
    of_scores = _names(heads(whole)[0].classifier) if heads(whole) else []
    kept = {name: array for name, array in found.arrays.items() if name in own and name not in of_scores}
    for name, array in kept.items():
        if array.ndim == 2:
            kept[name] = array.reshape(own[name].shape)
    return Source(kept, source.origin, trunk="" if _scores_pixels(model) else id)


def _translated(model: keras.Model, id: str, source: Source, whole: keras.Model | None) -> Translation:
    try:
        return translate(model, id, source.arrays, whole)
    except ValueError as error:
        kind = store.Misfit if isinstance(error, store.Misfit) else ValueError
        raise kind(f"The weights of {source.origin} cannot be used for {id}: {error}") from None


def _path(id: str, weights: str | Path) -> Path:
    """The path of a weights file. The file is downloaded first if need be."""
    if not isinstance(weights, (str, Path)) or not str(weights):
        raise ValueError(f"weights must be None, a name of published weights, an address or a path, got {weights!r}.")
    if weights in SETS:
        found = find(id, str(weights))
        return fetch(found.url, found.md5) if "://" in found.url else ASSETS / found.url
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
    """The arrays, with the kernels that read the image adapted to its number of channels."""
    channels = model.inputs[0].shape[-1]
    adapted = dict[str, np.ndarray]()
    graph = nodes(model)
    images = {node.name for node in graph if not node.inputs}
    for node in graph:
        name = f"{node.layer.name}/kernel"
        if not node.weights or not images.issuperset(node.inputs) or name not in arrays:
            continue
        if arrays[name].ndim == 4 and arrays[name].shape[2] == 3 != channels:
            kernel = arrays[name].astype("float32")  # the file may be in half precision
            if channels == 1:
                adapted[name] = kernel.sum(axis=2, keepdims=True)
            else:
                adapted[name] = kernel[:, :, np.arange(channels) % 3] * (3 / channels)
    return arrays | adapted


def _fresh_heads(
    model: keras.Model, arrays: dict[str, np.ndarray], origin: str
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The model's own weights of heads that the file has no weights for, and warnings that name these heads.

    This concerns heads that the file lacks or has for another number of classes.
    """
    own, kept, found = store.variables(model), dict[str, np.ndarray](), heads(model)
    lacking, others, counts = list[str](), list[str](), (0, 0)
    trunk_is_there = all(name in arrays for name in own.keys() - _of_heads(model))
    for head in found:
        layer, names = head.classifier, _names(head.classifier)
        shapes = [(tuple(own[name].shape), arrays[name].shape) for name in names if name in arrays]
        if not shapes and trunk_is_there:
            absent = [each for each in (*head.rest[::-1], layer) if not any(name in arrays for name in _names(each))]
            names = [name for each in absent for name in _names(each)]
            lacking.append(some([each.name for each in absent], 10))
        elif any(ours[-1] != theirs[-1] for ours, theirs in shapes) and all(map(_equal_but_classes, shapes)):
            others.append(layer.name)
            counts = shapes[0][0][-1], shapes[0][1][-1]
        else:
            continue
        kept |= {name: own[name].numpy() for name in names}
    if _scores_pixels(model):  # its many heads share a sentence
        lacking, others = ([some(names, 10)] * bool(names) for names in (lacking, others))
    said = [f"{names} of {model.name} keep fresh weights: {origin} has none of them." for names in lacking]
    for listed in others:
        stays = "stay as they are: they have" if ", " in listed else "stays as it is: it has"
        noun = "outputs" if hasattr(found[0].classifier, "classes_of") else "classes"
        said.append(f"{listed} of {model.name} {stays} {counts[0]} {noun}, {origin} has {counts[1]}.")
    return kept, said


def _fresh_rest(
    model: keras.Model, arrays: dict[str, np.ndarray], origin: str
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The model's own weights of layers that the classifier in the file has not, and a warning that names them."""
    absent = [layer for layer in model.layers if layer.weights and not any(name in arrays for name in _names(layer))]
    own = store.variables(model)
    kept = {name: own[name].numpy() for layer in absent for name in _names(layer)}
    names = some([layer.name for layer in absent], 10)
    says = f"{names} of {model.name} keep fresh weights: {origin} has none of them."
    return kept, [says] * bool(absent)


def _equal_but_classes(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> bool:
    """Whether two shapes of a variable differ in the number of classes alone, which a kernel may have twice."""
    ours, theirs = shapes
    return len(ours) == len(theirs) and all(
        a == b or (a, b) == (ours[-1], theirs[-1]) for a, b in zip(ours, theirs, strict=True)
    )


def _scores_pixels(model: keras.Model) -> bool:
    """Whether a net gives scores for each pixel."""
    graph = read(model)
    return len(graph[graph.main].output_shapes[0]) == 3


def _without_other_scores(
    model: keras.Model, arrays: dict[str, np.ndarray], origin: str
) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays without those of layers that only an FCN of another stride has, and a warning that names them."""
    own = store.variables(model)
    if not _scores_pixels(model) or not any(name.startswith("score_fr/") for name in own):
        return arrays, []
    left = [name for name in arrays if name not in own and name.startswith(("score_", "upscore"))]
    says = f"{some(left, 10)} of {origin} are left out: {model.name} has no such layers."
    return {name: array for name, array in arrays.items() if name not in left}, [says] * bool(left)


def _of_heads(model: keras.Model) -> set[str]:
    """The names of the variables in the heads of a model."""
    return {name for head in heads(model) for each in (head.classifier, *head.rest) for name in _names(each)}


def _names(layer: keras.Layer) -> list[str]:
    return [f"{layer.name}/{variable.name}" for variable in layer.weights]

"""Saves and loads weights by name: a safetensors file has an entry `layer/variable` for each variable of a model.

Keras's own `.weights.h5` numbers the layers of each class instead. If a net with auxiliary heads was saved, Keras loads
half of it into a net without them.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import chain, count
from pathlib import Path

import keras
import ml_dtypes  # noqa: F401 - makes bfloat16 known to NumPy
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ..checks import check_choice, check_path, check_type, some
from ..files import atomic_write
from ..scope import check_values


class Misfit(ValueError):
    """Weights that do not fit a model."""


def variables(model: keras.Model) -> dict[str, keras.Variable]:
    """The model's variables by name, `layer/variable`, without the random seeds of dropout.

    A layer inside another one, such as a layer of a nested model, gives `model/layer/variable`.
    """
    found: dict[str, keras.Variable] = {}
    for name, variable in _walk(model, ""):
        name = re.sub(r"/variable_\d+$", "/variable", name)  # Keras counts unnamed variables over the process
        names = chain([name], (f"{name}_{i}" for i in count(2)))  # a layer may hold two layers of one name
        found[next(one for one in names if one not in found)] = variable
    return found


def _walk(layer: keras.Layer, prefix: str) -> Iterator[tuple[str, keras.Variable]]:
    """The variables of a layer and of the layers inside it, each once, with their names."""
    inner = layer.layers if isinstance(layer, keras.Model) else layer._flatten_layers(False, recursive=False)
    theirs = {id(variable) for one in inner for variable in one.weights}
    yield from ((f"{prefix}{variable.name}", variable) for variable in layer.weights if id(variable) not in theirs)
    for one in inner:
        yield from _walk(one, f"{prefix}{one.name}/")


def save_weights(model: keras.Model, path: str | Path, dtype: str | None = None) -> None:
    """Writes every weight of a model, by name. An existing file is replaced only when the new one is complete.

    Args:
        model: Any Keras model with named layers.
        path: The `.safetensors` file to write.
        dtype: `"float16"`, `"float32"` or `"float64"`; None keeps the type of each weight. `"float16"` halves the file.

    Raises:
        TypeError: If the model or the path is something else.
        ValueError: If the path has another suffix; if the model has no weights, because it is not built or was built
            inside `without_weights()`; or if a weight is too large for float16.
        OSError: If the file cannot be written.

    Examples:
        >>> save_weights(create_model("squeezenet1_1"), tmp_path / "squeezenet.safetensors")
    """
    _check_built(model)
    path = check_path("path", path)
    if path.suffix != ".safetensors":
        raise ValueError(f"save_weights writes safetensors files: path must end in .safetensors, got {path.name}.")
    check_choice("dtype", dtype, (None, "float16", "float32", "float64"))
    check_values(model, "be saved")
    # copies, because safetensors would write the untransposed memory behind a transposed view
    with np.errstate(over="ignore"):
        arrays = {name: np.array(v.numpy(), dtype=dtype, order="C") for name, v in variables(model).items()}
    if dtype == "float16" and (large := [name for name, array in arrays.items() if np.isinf(array).any()]):
        raise ValueError(f"float16 ends at 65504, which is too small for {some(large, 10)} of {model.name}.")
    with atomic_write(path) as part:
        part.write_bytes(save(arrays, {"model": model.name}))


def load_weights(model: keras.Model, path: str | Path) -> None:
    """Reads every weight of a model from a file of `save_weights`. If any does not fit, no weight is changed.

    Args:
        model: A model with the names and shapes of the saved one.
        path: A `.safetensors` file. For files of other libraries, use `create_model(id, weights=path)`.

    Raises:
        TypeError: If the model or the path is something else.
        ValueError: If entries are missing, unexpected, of another shape or type, or not finite (the message lists
            them), or if the file cannot be read.
        FileNotFoundError: If there is no such file.

    Examples:
        >>> model = create_model("squeezenet1_1")
        >>> save_weights(model, tmp_path / "squeezenet.safetensors")
        >>> load_weights(model, tmp_path / "squeezenet.safetensors")
    """
    _check_built(model)
    path = check_path("path", path)
    assign(model, read(path), origin=str(path))


def _check_built(model: keras.Model) -> None:
    check_type("model", model, keras.Model, "a Keras model")
    if not model.built:
        raise ValueError(f"{model.name} is not built and has no weights yet; call it once, or give it an Input.")


def read(path: str | Path) -> dict[str, np.ndarray]:
    """The entries of a safetensors file. Floats of types that NumPy lacks, such as bfloat16, become float32."""
    arrays = read_all(path)[0]
    return {name: array.astype("float32") if array.dtype.kind == "V" else array for name, array in arrays.items()}


def written_by(path: str | Path) -> str:
    """The name of the model that `save_weights` saved in a file; empty for files of other programs."""
    with safe_open(path, framework="numpy") as file:
        return (file.metadata() or {}).get("model", "")


def read_all(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The entries and the metadata of a safetensors file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"There is no weights file {path}.")
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except SafetensorError as error:
        if Path(path).suffix == ".safetensors":
            raise ValueError(f"{path} is not a whole safetensors file: {error}.") from None
        raise ValueError(
            f"{path} is not a safetensors file, as save_weights writes. Files of PyTorch, Keras and Caffe are read by "
            "create_model(id, weights=path)."
        ) from None


def assign(model: keras.Model, arrays: Mapping[str, np.ndarray], origin: str) -> None:
    """Sets all weights of a model at once, or raises one ValueError that lists every entry that does not fit.

    It is a `Misfit` if names or shapes do not fit.
    """
    check_values(model, "be given weights")
    own = variables(model)
    both = {name: array for name, array in arrays.items() if name in own}
    misshapen = [name for name, array in both.items() if array.shape != tuple(own[name].shape)]
    faults = {
        "missing": [name for name in own if name not in arrays],
        "unexpected": [name for name in arrays if name not in own],
        "of another shape": [f"{name} {both[name].shape}, not {tuple(own[name].shape)}" for name in misshapen],
        "of another type": [
            f"{name} {array.dtype}, not {own[name].dtype}"
            for name, array in both.items()
            if array.dtype.kind != "f" and "float" in own[name].dtype
        ],
        "not finite": [
            f"{name} ({array.size - count} of {array.size} values)"
            for name, array in both.items()
            if array.dtype.kind == "f" and (count := np.count_nonzero(np.isfinite(array))) < array.size
        ],
    }
    if any(faults.values()):
        lists = "; ".join(f"{len(names)} {kind}: {some(names, 10)}" for kind, names in faults.items() if names)
        only_dense = sum(map(len, faults.values())) == sum(len(own[name].shape) == 2 for name in misshapen)
        hint = " A dense layer that reads a whole map fits only the image size it was made for." if only_dense else ""
        kind = Misfit if faults["missing"] or faults["unexpected"] or misshapen else ValueError
        raise kind(f"The weights of {origin} do not fit {model.name}, so none were loaded: {lists}.{hint}")
    for name, variable in own.items():
        variable.assign(arrays[name])

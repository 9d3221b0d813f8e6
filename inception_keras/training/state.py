"""The state from which a run continues exactly, in one file."""

import hashlib
import json
import re
from collections.abc import Mapping
from itertools import chain, count
from pathlib import Path
from typing import Any

import keras
import numpy as np
from safetensors.numpy import save

from ..files import atomic_write
from ..weights.store import read_all
from .folder import BEFORE, NEWEST


def variables(model: keras.Model, metrics: bool) -> dict[str, keras.Variable]:
    """Everything that changes during training, by name: weights, random seeds, optimizer and metric variables.

    Variables of optimizers and metrics are numbered, because their names depend on what else the process has created.
    So are variables of one name in one layer, such as in a nested model, from the second on.
    """
    named: dict[str, keras.Variable] = {}
    for layer in model.layers:
        for variable in layer.variables:
            name = f"model/{layer.name}/{variable.name}"
            names = chain([name], (f"{name}_{i}" for i in count(2)))
            named[next(one for one in names if one not in named)] = variable
    named |= {f"optimizer/{i}": v for i, v in enumerate(model.optimizer.variables)}
    return named | ({f"metrics/{i}": v for i, v in enumerate(model.metrics_variables)} if metrics else {})


def values(named: Mapping[str, keras.Variable]) -> dict[str, np.ndarray]:
    """Copies of variables, in C order: safetensors would write a transposed array in the order of its memory."""
    return {name: np.array(variable.numpy(), order="C") for name, variable in named.items()}


def is_finite(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether all weights are finite."""
    floats = (array for name, array in arrays.items() if name.startswith("model/") and array.dtype.kind == "f")
    return all(np.isfinite(array).all() for array in floats)


def save_state(folder: Path, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
    """Writes a state. The previous state stays beside it."""
    text = json.dumps(facts)
    with atomic_write(folder / NEWEST) as part:
        part.write_bytes(save(dict(arrays), {"facts": text, "sha256": _digest(arrays, text)}))
        if (folder / NEWEST).exists():
            (folder / NEWEST).replace(folder / BEFORE)


def load_state(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, Any], str] | None:
    """Loads the newest undamaged state; None if there is none.

    Returns:
        Its arrays, its facts, and a message if it is not the newest state.

    Raises:
        ValueError: If the newest state is damaged, and no undamaged one precedes it.
    """
    fault = ""
    for path in (folder / NEWEST, folder / BEFORE):
        try:
            return *_read(path), fault and f"{fault} The run goes on from the state before it."
        except FileNotFoundError:
            continue
        except ValueError as error:
            if fault or path.name == BEFORE:
                raise ValueError(f"{fault} {error}".strip()) from None
            fault = str(error)
    if fault:
        raise ValueError(f"{fault} There is none before it; remove {folder.parent} to begin again.")
    return None


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    arrays, metadata = read_all(path)
    text = metadata.get("facts", "")
    if metadata.get("sha256") != _digest(arrays, text):
        raise ValueError(f"{path} is not as it was written: its checksum differs.")
    facts = json.loads(text)
    return arrays, facts


def restore(named: Mapping[str, keras.Variable], arrays: Mapping[str, np.ndarray], origin: str) -> None:
    """Assigns values to all variables, or raises a ValueError that says what does not fit and changes nothing."""
    unlike = sorted(named.keys() ^ arrays.keys())
    unlike += [name for name, v in named.items() if name in arrays and tuple(v.shape) != arrays[name].shape]
    inside = [name for name in unlike if name.startswith("model/")]
    if inside and all(re.fullmatch(r"model/aux_\d-fc/kernel", name) for name in inside):
        first = inside[0]
        raise ValueError(
            f"{origin} is of an earlier version, which rounded the pools of auxiliary heads down: {first} has the "
            f"shape {arrays[first].shape} there, and {tuple(named[first].shape)} now. Finish the run with that "
            "version, or train a new one."
        )
    if unlike:
        more = f" and {len(unlike) - 10} more" if len(unlike) > 10 else ""
        raise ValueError(f"{origin} does not fit the model: {', '.join(unlike[:10])}{more}.")
    for name, variable in named.items():
        variable.assign(arrays[name])


def _digest(arrays: Mapping[str, np.ndarray], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()

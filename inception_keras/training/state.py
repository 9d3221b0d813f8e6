"""The state from which a run continues exactly, in one file; the lock of its folder; the handling of stop signals."""

import hashlib
import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from safetensors.numpy import save

from ..files import atomic_write
from ..weights.store import read_all

try:
    import fcntl
except ImportError:  # Windows: there, two runs in one folder are not detected
    fcntl = None  # type: ignore[assignment]

NEWEST, BEFORE = "state.safetensors", "state_before.safetensors"


def variables(model: keras.Model, metrics: bool) -> dict[str, Any]:
    """Everything that changes during training, by name: weights, random seeds, optimizer and metric variables.

    Variables of optimizers and metrics are numbered, because their names depend on what else the process has created.
    """
    named = {f"model/{layer.name}/{v.name}": v for layer in model.layers for v in layer.variables}
    named |= {f"optimizer/{i}": v for i, v in enumerate(model.optimizer.variables)}
    return named | ({f"metrics/{i}": v for i, v in enumerate(model.metrics_variables)} if metrics else {})


def values(named: Mapping[str, Any]) -> dict[str, np.ndarray]:
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


def restore(named: Mapping[str, Any], arrays: Mapping[str, np.ndarray], origin: str) -> None:
    """Assigns values to all variables, or raises a ValueError that says what does not fit and changes nothing."""
    unlike = sorted(named.keys() ^ arrays.keys())
    unlike += [name for name, v in named.items() if name in arrays and tuple(v.shape) != arrays[name].shape]
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


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Locks the folder for this process. The lock ends with the process, even if the process is killed.

    Raises:
        RuntimeError: If another process holds the lock.
    """
    try:
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise OSError(error.errno, f"The folder {folder} cannot be written to: {error.strerror}.") from None
    with lock as file:
        if fcntl:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RuntimeError(f"Another run works in {folder}: wait for it, or name another folder.") from None
        yield


class StopSign:
    """A context manager that notes SIGTERM and Ctrl-C for the loop, instead of ending the process at once.

    A second Ctrl-C raises a KeyboardInterrupt, as Python's own handler does. Outside the main thread, no handlers can
    be set. A signal that is ignored (Ctrl-C under nohup) stays ignored.

    Args:
        verbose: Whether a message is printed after the first Ctrl-C.
    """

    def __init__(self, verbose: bool = False) -> None:
        self.signal: int | None = None
        self._verbose = verbose
        self._before: dict[int, Any] = {}

    @property
    def is_raised(self) -> bool:
        """Whether a signal has arrived."""
        return self.signal is not None

    def __enter__(self) -> "StopSign":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: Any) -> None:
        if self.is_raised and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
        if number == signal.SIGINT and self._verbose:  # print is not safe in a handler
            os.write(2, b"\nCtrl-C: the run ends after this step, saved. Press it again to end at once.\n")

"""Finds Keras's backend without importing Keras, as Keras cannot be imported if its backend is not installed."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .quiet import quiet_import

NEEDED_BY = (  # modules that need TensorFlow for data pipelines, devices or training steps
    "data.datasets",
    "training.ablation",
    "training.devices",
    "training.distribute",
    "training.evaluate",
    "training.finetune",
    "training.learning_rate",
    "training.predict",
    "training.run",
)


def check_backend(what: str) -> None:
    """Raises an ImportError if Keras uses a backend other than TensorFlow.

    Args:
        what: What needs TensorFlow; the beginning of the error message.
    """
    name, origin = _backend()
    if name != "tensorflow":
        raise ImportError(
            f"{what} needs Keras's TensorFlow backend, got {name!r} from {origin}: set KERAS_BACKEND=tensorflow."
        )


@contextmanager
def keras_import() -> Iterator[None]:
    """A context that imports Keras: without the messages of TensorFlow's start-up, and with a clear error.

    Raises:
        ImportError: If Keras's backend is not installed.
    """
    try:
        with quiet_import():
            yield
    except ModuleNotFoundError as error:
        name, origin = _backend()
        if error.name != name:
            raise
        raise ImportError(
            f"Keras's backend is {name!r} by {origin}, but {name} is not installed: install it, or set "
            "KERAS_BACKEND=tensorflow."
        ) from None


def _backend() -> tuple[str, str]:
    """The backend, and where it is configured."""
    if "keras" in sys.modules and hasattr(keras := sys.modules["keras"], "config"):
        return keras.config.backend(), "Keras"
    if name := os.environ.get("KERAS_BACKEND"):
        return name, "the environment variable KERAS_BACKEND"
    path = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
    try:
        return str(json.loads(path.read_text()).get("backend", "tensorflow")), str(path)
    except (OSError, ValueError, AttributeError):
        return "tensorflow", "Keras"

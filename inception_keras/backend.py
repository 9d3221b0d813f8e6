"""Which backend Keras has, without importing Keras: it cannot be imported where its backend is not installed."""

import json
import os
import sys
from pathlib import Path

NEEDED_BY = (  # modules whose work is TensorFlow's: its data pipelines, its devices, its steps
    "data.named",
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
    """Raises an ImportError if Keras has another backend than TensorFlow.

    Args:
        what: What needs TensorFlow: the beginning of the sentence.
    """
    name, origin = _backend()
    if name != "tensorflow":
        raise ImportError(
            f"{what} needs Keras's TensorFlow backend, got {name!r} from {origin}: set KERAS_BACKEND=tensorflow."
        )


def _backend() -> tuple[str, str]:
    """The backend, and where that is said."""
    if "keras" in sys.modules and hasattr(keras := sys.modules["keras"], "config"):
        return keras.config.backend(), "Keras"
    if name := os.environ.get("KERAS_BACKEND"):
        return name, "the environment variable KERAS_BACKEND"
    path = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
    try:
        return str(json.loads(path.read_text()).get("backend", "tensorflow")), str(path)
    except (OSError, ValueError, AttributeError):
        return "tensorflow", "Keras"

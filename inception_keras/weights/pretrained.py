"""Published weights: which there are, and where they lie."""

from pathlib import Path
from typing import Any

import keras

from . import store

ASSETS = Path(__file__).parent.parent / "assets"
EMBEDDED = {"squeezenet1_1": ASSETS / "squeezenet1_1_imagenet.safetensors"}


def load(model: keras.Model, id: str, weights: Any) -> None:
    """Gives a model the weights that `create_model` was asked for."""
    if weights == "imagenet":
        if id not in EMBEDDED:
            raise ValueError(f"There are no embedded ImageNet weights of {id}, only of {', '.join(EMBEDDED)}.")
        weights = EMBEDDED[id]
    if not isinstance(weights, (str, Path)):
        raise ValueError(f"weights must be None, 'imagenet' or a path, got {weights!r}.")
    store.load_weights(model, weights)

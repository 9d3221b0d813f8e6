"""The files of an R-CNN or SPPnet that has learned: the net, the arrays of SVMs and box regressions, and settings."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from ..detection.region_svms import BoxRegression, Linear
from ..files import atomic_write

NET, ARRAYS, SETTINGS = "net.keras", "rcnn.npz", "rcnn.json"


class Stored(NamedTuple):
    """What the files hold."""

    net: keras.Model
    svms: Linear
    regression: BoxRegression | None
    settings: dict[str, Any]


def write(root: Path, stored: Stored) -> None:
    """Writes the files into a folder, which is created if necessary.

    Raises:
        OSError: If the folder cannot be written.
    """
    svms, regression = stored.svms, stored.regression
    root.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {"weights": svms.weights, "bias": svms.bias, "scale": np.array(svms.scale)}
    if regression:
        line = regression.linear
        arrays |= {"box_weights": line.weights, "box_bias": line.bias, "box_scale": np.array(line.scale)}
        arrays |= {"means": regression.means, "unwhiten": regression.unwhiten}
    with atomic_write(root / NET) as part:
        stored.net.save(part)
    with atomic_write(root / ARRAYS) as part, part.open("wb") as file:
        np.savez(file, **arrays)
    with atomic_write(root / SETTINGS) as part:
        part.write_text(json.dumps(stored.settings, indent=1), encoding="utf-8")


def read(root: Path, kind: str) -> Stored:
    """Reads the files of a folder.

    Args:
        root: The folder.
        kind: What `settings` must have as "kind".

    Raises:
        FileNotFoundError: If the folder holds no detector.
        ValueError: If it holds another kind, or files are broken.
    """
    if not (root / SETTINGS).is_file():
        raise FileNotFoundError(f"{root} holds no {kind}: there is no {SETTINGS}.")
    try:
        settings: Mapping[str, Any] = json.loads((root / SETTINGS).read_text(encoding="utf-8"))
        with np.load(root / ARRAYS, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if settings["kind"] != kind:
            raise ValueError(f"it holds one of the kind {settings['kind']}")
        svms = Linear(arrays["weights"], arrays["bias"], float(arrays["scale"]))
        regression = None
        if "means" in arrays:
            line = Linear(arrays["box_weights"], arrays["box_bias"], float(arrays["box_scale"]))
            regression = BoxRegression(line, arrays["means"], arrays["unwhiten"])
        return Stored(keras.models.load_model(root / NET, compile=False), svms, regression, dict(settings))
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise broken(root, kind, error) from None


def broken(root: Path, kind: str, error: Exception) -> ValueError:
    """The error of files that cannot be loaded."""
    return ValueError(f"{root} holds no {kind} that can be loaded: {str(error).splitlines()[0]}.")

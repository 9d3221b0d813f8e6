"""Class weights in the loss of a run."""

from collections.abc import Mapping

import numpy as np

from ..checks import nearest, some
from ..data.datasets import Data


def class_weights(wanted: str | Mapping[str, float] | None, data: Data) -> dict[int, float] | None:
    """The `class_weight` of a recipe by class index, as Keras takes it.

    Args:
        wanted: A dict from class names to weights, `"balanced"`, or None.
        data: The data; `"balanced"` counts its training images.

    Returns:
        A weight for every class; None if `wanted` is None. With `"balanced"`, a class without training images has the
        weight 1.

    Raises:
        ValueError: If a name in the dict is not a class of the data.
    """
    if wanted is None:
        return None
    if isinstance(wanted, str):
        return balanced(data)
    names = data.class_names
    for name in wanted:
        if name not in names:
            known = nearest(name, names) if len(names) <= 20 else f"the classes are {some(names, 10)}."
            raise ValueError(f"class_weight has a class {name!r} that the data do not have; {known}")
    return {index: wanted.get(name, 1.0) for index, name in enumerate(names)}


def balanced(data: Data) -> dict[int, float]:
    """Weights images / (classes * images of the class), as in scikit-learn. Only classes with images are counted."""
    labels = data.batches["train"].part.labels
    counts = np.bincount(labels, minlength=len(data.class_names))
    mean = len(labels) / np.count_nonzero(counts)
    return {index: float(mean / count) if count else 1.0 for index, count in enumerate(counts)}

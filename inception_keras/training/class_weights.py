"""Class weights in the loss of a run."""

from collections.abc import Mapping

import numpy as np

from ..checks import nearest, some
from ..data.datasets import Data
from ..data.targets import VOID, Masks


def class_weights(wanted: str | Mapping[str, float] | None, data: Data) -> dict[int, float] | None:
    """The `class_weight` of a recipe by class index, as Keras takes it.

    Args:
        wanted: A dict from class names to weights, `"balanced"`, or None.
        data: The data; `"balanced"` counts its training images, or their pixels.

    Returns:
        A weight for every class; None if `wanted` is None. With `"balanced"`, a class that is not there has the weight
        1.

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
    """Weights images / (classes * images of the class), as in scikit-learn. Only classes with images are counted.

    If every pixel has a class, pixels are counted instead of images, except void.
    """
    classes, part = len(data.class_names), data.batches["train"].part
    if isinstance(part.targets, Masks):
        masks = (mask.numpy().ravel() for _, mask in data.split("train"))
        counts = sum((np.bincount(mask, minlength=VOID + 1)[:classes] for mask in masks), np.zeros(classes, int))
    else:
        counts = np.bincount(part.labels, minlength=classes)
    mean = counts.sum() / np.count_nonzero(counts)
    return {index: float(mean / count) if count else 1.0 for index, count in enumerate(counts)}

"""Gives labels and sample weights to every head of a model."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import KerasTensor

from ..checks import check_number, check_type, got
from .compile import output_names
from .losses import check_numbers

_FORMS = "(images, labels) or (images, labels, weights)"


def with_aux_labels(
    dataset: tf.data.Dataset | keras.utils.PyDataset | Iterator | tuple,
    model: keras.Model,
    *,
    class_weight: Mapping[int, float] | None = None,
) -> Any:
    """Gives every head of a model the labels and the sample weights of a dataset.

    Labels that are already a dict by head stay unchanged, so a second call changes nothing.

    Args:
        dataset: A `tf.data.Dataset`, a `keras.utils.PyDataset` or a generator of batches, or one tuple of arrays. Each
            gives `(images, labels)` or `(images, labels, sample_weights)`.
        model: The model that will be trained on the dataset.
        class_weight: Class weights by index, as `fit` takes them for a model with one output. A class without an entry
            has the weight 1. Class weights become sample weights of every head, and are multiplied by given sample
            weights. If a label gives shares of several classes, the image gets the mean of their weights, weighted by
            the shares.

    Returns:
        An object of the same kind with labels `{head: labels}`, and weights likewise. If it is a `tf.data.Dataset`,
        pass it to `model.fit(..., shuffle=False)`, since the pipeline itself shuffles. For a model with one output the
        labels stay unchanged; without class weights, the dataset itself is returned.

    Raises:
        TypeError: If the dataset is of another kind, or `model` is not a Keras model.
        ValueError: If the elements or labels have another form, a class weight is not a number, or its index is not a
            class. The output of a generator or PyDataset is checked batch by batch.

    Examples:
        >>> model = compile_model(create_model("googlenet_cifar", aux=True))
        >>> pairs = tf.data.Dataset.from_tensors((tf.zeros((1, 32, 32, 3)), tf.zeros(1)))
        >>> sorted(with_aux_labels(pairs, model).element_spec[1])
        ['aux_1', 'aux_2', 'predictions']
        >>> images, labels = np.zeros((4, 32, 32, 3)), np.array([0, 1, 1, 1])
        >>> x, y, weights = with_aux_labels((images, labels), model, class_weight={0: 3.0})
        >>> weights["aux_1"].tolist()
        [3.0, 1.0, 1.0, 1.0]
    """
    names, classes = output_names(model), model.outputs[0].shape[-1]
    by_head = partial(_by_head, names=names, classes=classes, table=_table(class_weight, classes))
    same = len(names) == 1 and class_weight is None
    if isinstance(dataset, tf.data.Dataset):
        _check_spec(dataset.element_spec, names, model, class_weight)
        return dataset if same else dataset.map(lambda *batch: by_head(batch))
    if isinstance(dataset, tuple):
        made = by_head(dataset)
        return dataset if same else made
    if isinstance(dataset, keras.utils.PyDataset):
        return dataset if same else _ByHead(dataset, by_head)
    if isinstance(dataset, Iterator):
        return dataset if same else (by_head(batch) for batch in dataset)
    raise TypeError(
        f"dataset must be a tf.data.Dataset, a keras.utils.PyDataset, a generator of batches or a tuple of arrays "
        f"{_FORMS}, got {got(dataset)}."
    )


class _ByHead(keras.utils.PyDataset):
    """The batches of another PyDataset, with labels for every head."""

    def __init__(self, dataset: keras.utils.PyDataset, by_head: Callable[[tuple], tuple]):
        super().__init__(dataset.workers, dataset.use_multiprocessing, dataset.max_queue_size)
        self._dataset, self._convert = dataset, by_head

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> tuple:
        return self._convert(self._dataset[index])

    @property
    def num_batches(self) -> int | None:
        """The number of batches; None for an infinite dataset."""
        return self._dataset.num_batches

    def on_epoch_begin(self) -> None:
        """Calls the wrapped dataset's method."""
        self._dataset.on_epoch_begin()

    def on_epoch_end(self) -> None:
        """Calls the wrapped dataset's method, in which many datasets shuffle."""
        self._dataset.on_epoch_end()


def _table(class_weight: Mapping[int, float] | None, classes: int) -> np.ndarray | None:
    """The weight of each class."""
    if class_weight is None:
        return None
    check_type("class_weight", class_weight, Mapping, "a dict from class indices to weights")
    table = np.ones(classes, "float32")
    for index, weight in class_weight.items():
        if not isinstance(index, int | np.integer) or not 0 <= index < classes:
            raise ValueError(f"class_weight must name classes from 0 to {classes - 1}, got {got(index)}.")
        table[index] = check_number(f"The weight of class {index}", weight, 0)
    return table


def _check_spec(spec: object, names: list[str], model: keras.Model, class_weight: object) -> None:
    """Raises a ValueError unless the elements of a tf.data.Dataset have a form that the heads can take."""
    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
        raise ValueError(f"The dataset must give {_FORMS}, got {spec}.")
    labels = spec[1].values() if isinstance(spec[1], Mapping) else [spec[1]]
    _check_heads(spec[1], names)
    for part in labels:
        check_numbers(part)
    rank = getattr(getattr(spec[0], "shape", None), "rank", None)
    if class_weight is not None and rank is not None and rank < len(model.inputs[0].shape):
        raise ValueError("class_weight needs a dataset of batches: call dataset.batch first.")


def _check_heads(labels: object, names: list[str]) -> None:
    if isinstance(labels, Mapping) and set(labels) != set(names):
        heads = ", ".join(names)
        raise ValueError(f"Labels by head must be those of {heads}, got labels of {', '.join(map(str, labels))}.")


def _by_head(batch: object, names: list[str], classes: int, table: np.ndarray | None) -> tuple:
    """A batch with labels for every head, and with sample weights if there are any."""
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
        raise ValueError(f"The dataset must give {_FORMS}, got {_form(batch)}.")
    images, labels, weights = (*batch, None)[:3]
    _check_heads(labels, names)
    several = len(names) > 1
    if isinstance(labels, Mapping):
        labels = {name: _numbers(labels[name], classes) for name in names}
    else:
        labels = _numbers(labels, classes)
        labels = dict.fromkeys(names, labels) if several else labels
    if weights is not None and several and not isinstance(weights, Mapping):
        weights = dict.fromkeys(names, weights)
    if table is not None:
        weights = _weighted(labels, weights, table)
    return (images, labels) if weights is None else (images, labels, weights)


def _form(batch: object) -> str:
    return f"{len(batch)} parts" if isinstance(batch, tuple | list) else type(batch).__name__


def _numbers(labels: KerasTensor, classes: int) -> KerasTensor:
    """Labels as a checked array; inside a tf.data.Dataset, the tensor unchanged."""
    if tf.is_symbolic_tensor(labels):
        return labels
    labels = np.asarray(labels)
    check_numbers(labels)
    if labels.ndim > 1 and labels.shape[-1] == classes:
        return labels
    if labels.ndim < 1 or labels.shape != (len(labels), *[1] * (labels.ndim - 1)):
        raise ValueError(
            f"Labels must be class indices (n,) or (n, 1), or shares of each class (n, {classes}), "
            f"got the shape {labels.shape}."
        )
    wrong = labels[~((labels >= 0) & (labels < classes) & (labels == np.floor(labels)))]
    if wrong.size:
        raise ValueError(f"Labels must be whole numbers from 0 to {classes - 1}, got {wrong.flat[0]}.")
    return labels


def _weighted(labels: Any, weights: Any, table: np.ndarray) -> Any:
    """The sample weights of each head, multiplied by the class weights."""
    if isinstance(labels, Mapping):
        given = weights or dict.fromkeys(labels)
        return {name: _weighted(part, given[name], table) for name, part in labels.items()}
    if tf.is_symbolic_tensor(labels):
        rows = tf.shape(labels)[0]
        rest = tf.cast(tf.reshape(labels, (rows, tf.size(labels) // tf.maximum(rows, 1))), "float32")
        own = tf.cond(  # the width is 0 if a worker's share has no images
            tf.equal(tf.shape(rest)[1], len(table)),
            lambda: tf.linalg.matvec(rest, table),
            lambda: tf.gather(table, tf.cast(tf.reshape(rest, (-1,)), "int32")),
        )
        return own if weights is None else own * tf.reshape(tf.cast(weights, "float32"), (-1,))
    rest = labels.reshape(len(labels), int(np.prod(labels.shape[1:])))
    own = table[rest[:, 0].astype(int)] if rest.shape[1] == 1 else rest.astype("float32") @ table
    return own if weights is None else own * np.asarray(weights, "float32").reshape(-1)

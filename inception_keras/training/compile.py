"""Losses, labels and metrics of models with auxiliary heads."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


def compile_model(
    model: keras.Model,
    optimizer: Any = "adam",
    *,
    aux_weight: float = 0.3,
    label_smoothing: float = 0.0,
    metrics: Sequence[Any] = ("accuracy",),
) -> keras.Model:
    """Compiles a classifier: cross-entropy as the loss of each head, and its metrics.

    Labels are integers (n,), or the shares of each class (n, classes), as mixup makes them.

    The loss of the head "predictions" weighs 1, that of every other head `aux_weight`: 0.3 in section 5 of
    arXiv:1409.4842. Whether a head gives probabilities or logits is seen from its activation.

    Args:
        model: A model with one output, or with a dict of outputs one of which is "predictions".
        optimizer: What `keras.Model.compile` takes.
        aux_weight: Weight of each auxiliary loss.
        label_smoothing: Share of each label that the loss spreads evenly over all classes.
        metrics: Of each head: what `keras.Model.compile` takes, and `"cross_entropy"`, the mean over images of a
            head's loss. (Keras's own `..._loss` of a head is a mean over batches, wrong where the last one is small.)

    Returns:
        The same model, compiled.

    Raises:
        ValueError: If the model has several outputs and none is named "predictions", a weight is negative, or a share
            is not from 0 to 1.

    Examples:
        >>> model = compile_model(create_model("googlenet_cifar", aux=True), "sgd")
        >>> sorted(model.output)
        ['aux_1', 'aux_2', 'predictions']
    """
    if not aux_weight >= 0:
        raise ValueError(f"aux_weight must be at least 0, got {aux_weight!r}.")
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing must be at least 0 and below 1, got {label_smoothing!r}.")
    names = heads(model)
    losses = {name: _loss(output, label_smoothing) for name, output in zip(names, model.outputs, strict=True)}
    # without XLA on a CPU: its convolutions take twice the time of oneDNN's, and long to compile
    jit = bool(tf.config.list_physical_devices("GPU")) and "auto"
    if len(names) == 1:
        model.compile(optimizer, losses[names[0]], metrics=_metrics(metrics, losses[names[0]]), jit_compile=jit)
        return model
    weights = {name: 1.0 if name == "predictions" else aux_weight for name in names}
    measured = {name: _metrics(metrics, losses[name]) for name in names}
    model.compile(optimizer, losses, loss_weights=weights, metrics=measured, jit_compile=jit)
    return model


def with_aux_labels(dataset: tf.data.Dataset, model: keras.Model) -> tf.data.Dataset:
    """Gives each head of a model the labels of a dataset.

    Args:
        dataset: Elements `(images, labels)` or `(images, labels, sample_weights)`.
        model: The model that will be fitted on it.

    Returns:
        What to pass to `model.fit(..., shuffle=False)`: shuffling is the pipeline's.
        For a model with several outputs `(images, {head: labels})`, sample weights likewise; for others the dataset
        as it is.

    Raises:
        ValueError: If the elements of the dataset have no labels.

    Examples:
        >>> pairs = tf.data.Dataset.from_tensors((tf.zeros((1, 32, 32, 3)), tf.zeros(1)))
        >>> sorted(with_aux_labels(pairs, create_model("googlenet_cifar", aux=True)).element_spec[1])
        ['aux_1', 'aux_2', 'predictions']
    """
    names = heads(model)
    spec = dataset.element_spec
    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
        raise ValueError(f"The dataset must give (images, labels) or (images, labels, weights), got {spec}.")
    if len(names) == 1:
        return dataset
    return dataset.map(lambda images, *rest: (images, *(dict.fromkeys(names, part) for part in rest)))


def strip_aux(model: keras.Model) -> keras.Model:
    """The net for inference: the part of a model that leads to "predictions", with the same weights.

    Args:
        model: A model with one output (given back as it is) or with a dict of outputs one of which is "predictions".

    Returns:
        A model with one output. It shares its layers with the one given.

    Raises:
        ValueError: If the model has several outputs and none is named "predictions".

    Examples:
        >>> strip_aux(create_model("googlenet", aux=True)).count_params()
        6998552
    """
    if len(heads(model)) == 1:
        return model
    return keras.Model(model.input, model.output["predictions"], name=model.name)


def heads(model: keras.Model) -> list[str]:
    """The names of a model's outputs, in the order of `model.outputs`; a single one is called "predictions"."""
    if len(model.outputs) == 1:
        return ["predictions"]
    if not isinstance(model.output, dict) or "predictions" not in model.output:
        raise ValueError(f"{model.name} must have one output or a dict of them with 'predictions', got {model.output}.")
    return [next(name for name, output in model.output.items() if output is one) for one in model.outputs]


def _metrics(metrics: Sequence[Any], loss: keras.losses.Loss) -> list[Any]:
    return [keras.metrics.MeanMetricWrapper(loss.call, name=m) if m == "cross_entropy" else m for m in metrics]


def _loss(output: Any, label_smoothing: float) -> keras.losses.Loss:
    layer = output._keras_history.operation
    activation = getattr(layer, "activation", None)
    is_softmax = activation is keras.activations.softmax or isinstance(layer, keras.layers.Softmax)
    return CrossEntropy(from_logits=not is_softmax, label_smoothing=label_smoothing)


class CrossEntropy(keras.losses.Loss):
    """Keras's two categorical cross-entropies in one: for integer labels (n,), and for shares (n, classes)."""

    def __init__(self, from_logits: bool, label_smoothing: float = 0.0):
        super().__init__(name="cross_entropy")
        self.from_logits, self.label_smoothing = from_logits, label_smoothing

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """(n,) or (n, classes), (n, classes) -> (n,)."""
        if len(y_true.shape) < len(y_pred.shape):
            if not self.label_smoothing:
                return keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=self.from_logits)
            y_true = keras.ops.one_hot(keras.ops.cast(y_true, "int32"), y_pred.shape[-1])
        return keras.losses.categorical_crossentropy(
            y_true, y_pred, from_logits=self.from_logits, label_smoothing=self.label_smoothing
        )

"""Compiles a classifier with losses and metrics for each head, and removes auxiliary heads."""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import keras
import tensorflow as tf

from ..checks import check_model, check_number, got
from ..graph import Graph, read
from ..scope import check_values
from .losses import Accuracy, CrossEntropy, MeanCrossEntropy

Metric: TypeAlias = str | keras.metrics.Metric | Callable
Metrics: TypeAlias = Metric | Sequence[Metric] | None

_ACCURACY = ("accuracy", "acc")
_CROSS_ENTROPY = ("cross_entropy", "crossentropy", "ce")
_LARGEST_WEIGHT = 1e6
# layers whose outputs are probabilities if their inputs are
_KEEPING = (keras.layers.Flatten, keras.layers.Reshape, keras.layers.Identity, keras.layers.Average)


def compile_model(
    model: keras.Model,
    optimizer: str | dict | keras.optimizers.Optimizer = "adam",
    *,
    aux_weight: float = 0.3,
    label_smoothing: float = 0.0,
    metrics: Metrics | Mapping[str, Metrics] = "accuracy",
) -> keras.Model:
    """Compiles a classifier with cross-entropy as the loss of each head, and with metrics.

    Labels are class indices (n,) or (n, 1), as integers, floats or booleans, or one-hot labels (n, classes). One-hot
    labels may also be shares of several classes, as mixup makes them.

    The loss of the head "predictions" has the weight 1, and the loss of every other head has the weight `aux_weight`,
    0.3 in section 5 of arXiv:1409.4842. The last layer of a head shows whether it gives probabilities or logits.

    The compiled model can be saved, loaded, copied and pickled with its losses and metrics.

    Args:
        model: A model with one output, or with a dict of outputs that contains "predictions".
        optimizer: An optimizer as `keras.Model.compile` takes it.
        aux_weight: Weight of each auxiliary loss, at least 0 and below a million.
        label_smoothing: Share of each label that is spread evenly over all classes, at least 0 and below 1.
        metrics: A metric, a list of metrics, None, or a dict of these by head, as `keras.Model.compile` takes them. A
            metric is a name, an object or a function. Without a dict, every head gets all metrics, and every auxiliary
            head gets its own copy of a metric object. `"cross_entropy"` is the mean of a head's loss over images.
            (Keras's own `..._loss` of a head is a mean over batches, which is wrong if the last batch is small.)

    Returns:
        The same model, compiled.

    Raises:
        TypeError: If `model` is not a Keras model.
        ValueError: If the model is not such a classifier, or an option has an invalid value. The model then stays
            unchanged.

    Examples:
        >>> model = compile_model(create_model("googlenet_cifar", aux=True), "sgd")
        >>> sorted(model.output)
        ['aux_1', 'aux_2', 'predictions']
    """
    names = output_names(model)
    check_values(model, "be compiled")
    aux_weight = check_number("aux_weight", aux_weight, 0, _LARGEST_WEIGHT)
    label_smoothing = check_number("label_smoothing", label_smoothing, 0, 1)
    graph = read(model)
    losses = {
        name: CrossEntropy(_gives_logits(name, graph, output), label_smoothing)
        for name, output in zip(names, graph.outputs, strict=True)
    }
    measured = _metrics(metrics, losses)
    chosen = _optimizer(optimizer)
    # no XLA on a CPU: its convolutions take twice the time of oneDNN's, and compiling takes long
    jit = bool(tf.config.list_physical_devices("GPU")) and "auto"
    if len(names) == 1:
        model.compile(chosen, losses[names[0]], metrics=measured[names[0]], jit_compile=jit)
        return model
    weights = {name: 1.0 if name == "predictions" else aux_weight for name in names}
    model.compile(chosen, losses, loss_weights=weights, metrics=measured, jit_compile=jit)
    return model


def strip_aux(model: keras.Model) -> keras.Model:
    """Returns the net for inference: the part of a model that leads to "predictions", with the same weights.

    Args:
        model: A model with one output, which is returned unchanged, or with a dict of outputs that contains
            "predictions".

    Returns:
        A model with one output. It shares its layers with the given model.

    Raises:
        ValueError: If the model has several outputs and none is named "predictions".

    Examples:
        >>> strip_aux(create_model("googlenet", aux=True)).count_params()
        6998552
    """
    if len(output_names(model)) == 1:
        return model
    return keras.Model(model.input, model.output["predictions"], name=model.name)


def output_names(model: keras.Model) -> list[str]:
    """The names of a model's outputs, in the order of `model.outputs`; a single output is called "predictions".

    Raises:
        TypeError: If `model` is not a Keras model.
        ValueError: If the model is not built, or has several outputs and none is named "predictions".
    """
    outputs = check_model("model", model).outputs
    if len(outputs) == 1:
        return ["predictions"]
    if not isinstance(model.output, dict) or "predictions" not in model.output:
        names = ", ".join(map(str, model.output if isinstance(model.output, dict) else model.output_names))
        kind = "a dict" if isinstance(model.output, dict) else "a list"
        raise ValueError(
            f"{model.name} must have one output or a dict of outputs with the key 'predictions', got {kind} of {names}."
        )
    return [next(name for name, output in model.output.items() if output is one) for one in outputs]


def _optimizer(given: object) -> keras.optimizers.Optimizer:
    try:
        optimizer = keras.optimizers.get(given)
    except (TypeError, ValueError):
        optimizer = None
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        raise ValueError(
            "optimizer must be the name of an optimizer of Keras, such as 'adam', or an optimizer object, "
            f"got {got(given)}."
        )
    return optimizer


def _metrics(given: Metrics | Mapping[str, Metrics], losses: Mapping[str, CrossEntropy]) -> dict[str, list]:
    """The metrics of each head. Heads never share a metric object, as their values would be mixed."""
    by_head = given if isinstance(given, Mapping) else dict.fromkeys(losses, given)
    if unknown := sorted(map(str, by_head.keys() - losses.keys())):
        raise ValueError(f"metrics must name heads of the model, {', '.join(losses)}, got {', '.join(unknown)}.")
    taken: list[keras.metrics.Metric] = []
    measured: dict[str, list] = {}
    for name in sorted(losses, key=lambda name: name != "predictions"):  # it comes first, so it keeps the given objects
        wanted = by_head.get(name)
        wanted = [] if wanted is None else wanted if isinstance(wanted, list | tuple) else [wanted]
        measured[name] = [_metric(metric, losses[name], taken) for metric in wanted]
    return measured


def _metric(given: object, loss: CrossEntropy, taken: list[keras.metrics.Metric]) -> keras.metrics.Metric | Callable:
    if isinstance(given, str) and given.lower() in _ACCURACY:
        return Accuracy(name=given)
    if isinstance(given, str) and given.lower() in _CROSS_ENTROPY:
        return MeanCrossEntropy(loss.from_logits, loss.label_smoothing, name=given)
    if isinstance(given, keras.metrics.Metric):
        metric = _copy(given) if any(given is other for other in taken) else given
        taken.append(given)
        return metric
    try:
        known = keras.metrics.get(given)
    except (TypeError, ValueError):
        known = None
    if not callable(known):
        raise ValueError(
            "metrics must be names of metrics of Keras, such as 'accuracy', metric objects or functions, or a dict of "
            f"these by head, got {got(given)}."
        )
    return given


def _copy(metric: keras.metrics.Metric) -> keras.metrics.Metric:
    """A copy of a metric that counts separately.

    Keras's own copy is rebuilt from `get_config`, which custom metrics often lack or leave incomplete.
    """
    new: keras.metrics.Metric = object.__new__(type(metric))
    vars(new).update(copy.deepcopy(vars(metric)))
    new.reset_state()
    return new


def _gives_logits(name: str, graph: Graph, output: str) -> bool:
    """Whether a head gives logits, which cross-entropy must turn into probabilities."""
    shape = graph[output].output_shapes[0]
    if not shape or shape[-1] is None or shape[-1] < 2:
        raise ValueError(f"{name} must give a score for each of at least 2 classes, got the shape {(None, *shape)}.")
    return not _are_probabilities(graph, output)


def _are_probabilities(graph: Graph, output: str) -> bool:
    """Whether the scores of a node come from a softmax, perhaps before layers that keep probabilities."""
    node = graph[output]
    last = getattr(node.layer, "activation", None) or node.layer  # its activation, or the layer or function itself
    name = (getattr(last, "__name__", None) or type(last).__name__).lower()
    if name == "sigmoid":
        raise ValueError(
            f"{node.layer.name} must end in a softmax or in logits, got a sigmoid, which scores each class by itself; "
            "compile the model with keras.losses.BinaryCrossentropy."
        )
    keeps = isinstance(node.layer, _KEEPING) or (isinstance(node.layer, keras.layers.Activation) and name == "linear")
    return name == "softmax" or (keeps and all(_are_probabilities(graph, each) for each in node.inputs))

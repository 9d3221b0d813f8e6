"""Transfer learning: a trained net with a new classifier, and parts of it that stay as they are."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import keras
from keras import layers

from ..analysis.features import features
from ..analysis.graph import Node, before, nodes
from ..blocks import check_count, classifier
from ..checks import nearest

_POOLS = (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)


def transfer(
    model: keras.Model,
    classes: int,
    *,
    freeze: str | None = "all",
    head: Callable[[Any, int], Any] | None = None,
) -> keras.Model:
    """A trained net with a fresh classifier for other classes.

    What the last layer with weights before the output "predictions" reads becomes a vector, by the mean over pixels
    where it has any, and goes to the new classifier. A model that ends in maps or in their pooling keeps all it has.

    Blocks are what `summary(model, by="block")` shows: layers with the same name up to the first "-". A frozen one is
    not trained, and its batch norm uses and keeps the statistics that it has.

    Args:
        model: A functional model; it stays as it is.
        classes: Number of classes, at least 2.
        freeze: Which blocks are frozen: `"all"` but the new classifier; `"up to inception_4e"`, that block and all it
            is made of; `"early"`, all but those at the last resolution; a shell pattern such as `"stage_[23]"`;
            None for none.
        head: A function `(vector, classes) -> scores`; None for one dense layer with a softmax, "predictions".

    Returns:
        A new Model with one output (n, classes) and copies of the weights.

    Raises:
        ValueError: If the model has no such block, the number of classes is none, or the scores have another shape.

    Examples:
        >>> net = transfer(create_model("squeezenet1_1", weights="imagenet"), 5, freeze="up to fire_5")
        >>> net.output.shape, len(net.trainable_variables)
        ((None, 5), 26)
    """
    check_count("classes", classes, least=2)
    trunk = _trunk(model)
    copy = keras.models.clone_model(trunk)
    for ours, theirs in zip(copy.weights, trunk.weights, strict=True):
        ours.assign(theirs)
    vector = copy.output
    if len(vector.shape) == 4:
        vector = layers.GlobalAveragePooling2D(name="avg_pool")(vector)
    scores = (head or classifier)(vector, classes)
    if tuple(scores.shape) != (None, classes):
        raise ValueError(f"head must give scores of the shape (None, {classes}), got {scores.shape}.")
    return _train_all_but(_chosen(freeze, trunk, model), keras.Model(copy.input, scores, name=model.name))


def freeze(model: keras.Model, pattern: str | None) -> keras.Model:
    """Freezes the blocks before the classifier that a pattern names, and no others.

    Args:
        model: A functional model. Compile it afterwards: Keras looks at what is frozen only then.
        pattern: As `freeze` of `transfer`.

    Returns:
        The same model.

    Raises:
        ValueError: If the model has no such block.

    Examples:
        >>> len(freeze(create_model("squeezenet1_1"), "all").trainable_variables)
        2
    """
    return _train_all_but(_chosen(pattern, _trunk(model), model), model)


def unfreeze(model: keras.Model, pattern: str = "all") -> keras.Model:
    """Trains blocks again that are frozen; others stay as they are.

    Args:
        model: A functional model. Compile it afterwards: Keras looks at what is frozen only then.
        pattern: As `freeze` of `transfer`: which blocks.

    Returns:
        The same model.

    Raises:
        ValueError: If the model has no such block.

    Examples:
        >>> net = transfer(create_model("squeezenet1_1"), 5)
        >>> len(unfreeze(net, "fire_[89]").trainable_variables)
        14
    """
    chosen = _chosen(pattern, model, model)
    frozen = {block for block, own in _blocks(model).items() if block not in chosen and not own[0].layer.trainable}
    return _train_all_but(frozen, model)


def vectors(model: keras.Model) -> keras.Model:
    """A model's own layers up to what its classifier reads, and the mean of that over pixels: (n, features)."""
    trunk = _trunk(model)
    if len(trunk.output.shape) == 2:
        return trunk
    return keras.Model(trunk.input, layers.GlobalAveragePooling2D()(trunk.output), name=trunk.name)


def _trunk(model: keras.Model) -> keras.Model:
    """The model's own layers up to what the classifier reads."""
    x = model.output["predictions"] if isinstance(model.output, dict) else model.outputs[0]
    layer = x._keras_history.operation
    if len(x.shape) == 2 and not isinstance(layer, _POOLS):
        while not layer.weights and isinstance(layer.input, keras.KerasTensor):
            layer = layer.input._keras_history.operation
        if not layer.weights or not isinstance(layer.input, keras.KerasTensor):
            raise ValueError(f"{model.name} has no classifier: {layer.name} is not a layer with weights.")
        x = layer.input
    if len(x.shape) not in (2, 4):
        raise ValueError(f"What the classifier of {model.name} reads must be maps or a vector, got {x.shape}.")
    return keras.Model(model.input, x, name=model.name)


def _blocks(model: keras.Model) -> dict[str, list[Node]]:
    """The nodes of each block; the second call of a layer counts as the layer."""
    found: dict[str, list[Node]] = {}
    for node in nodes(model):
        found.setdefault(_block(node), []).append(node)
    return found


def _block(node: Node) -> str:
    return node.layer.name.partition("-")[0]


def _chosen(pattern: str | None, part: keras.Model, model: keras.Model) -> set[str]:
    """The names of the blocks of a part of a model that a pattern means."""
    blocks = _blocks(part)
    if pattern is None:
        return set()
    if pattern == "early":
        stages = list(features(model).output)
        pattern = f"up to {stages[-2]}" if len(stages) > 1 else "all"
    if pattern == "all":
        return set(blocks)
    if pattern.startswith("up to "):
        last = pattern.removeprefix("up to ").strip()
        if last not in blocks:
            raise ValueError(f"{model.name} has no block {last!r}; {nearest(last, list(blocks))}")
        graph = {node.name: node for node in nodes(part)}
        return {_block(one) for node in blocks[last] for one in before(graph, node.name)}
    found = {block for block in blocks if fnmatchcase(block, pattern)}
    if not found:
        raise ValueError(f"{model.name} has no block {pattern!r}; {nearest(pattern, list(blocks))}")
    return found


def _train_all_but(frozen: set[str], model: keras.Model) -> keras.Model:
    model.trainable = True  # of a model that is frozen as a whole, Keras trains no layer
    for node in nodes(model):
        node.layer.trainable = _block(node) not in frozen
    return model

"""Transfer learning: a trained net gets a new classifier, and parts of the net are frozen."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from itertools import chain, count

import keras
from keras import layers

from ..blocks import classifier
from ..checks import check_callable, check_count, check_model, check_text, got, nearest
from ..feature_maps import last_of_each_stride
from ..graph import Node, data_format, functional, input_of, nodes, outputs_of, read
from ..keras_private import SafeModeScope

_POOLS = (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)
_Path = tuple[str, ...]  # the names of the nested models around a block, and of the block


def transfer(
    model: keras.Model,
    classes: int,
    *,
    freeze: str | None = "all",
    head: Callable[[keras.KerasTensor, int], keras.KerasTensor] | None = None,
) -> keras.Model:
    """Replaces the classifier of a trained net by a fresh one for other classes.

    The old classifier is the last layer with weights before the output "predictions". The new classifier gets the same
    input; feature maps are averaged over pixels first. If a model ends in feature maps or their pooling, it has no old
    classifier, and all of its layers are kept.

    A block is a group of layers with the same name up to the first "-", as in `summary(model, by="block")`. A frozen
    block is not trained, and its batch norm keeps and uses its present statistics.

    Args:
        model: A functional model. It is not changed.
        classes: Number of classes, at least 2.
        freeze: The blocks to freeze: `"all"`, all except the new classifier; `"up to inception_4e"`, this block and all
            blocks that lead to it; `"early"`, all except those at the last resolution; a shell pattern such as
            `"stage_[23]"`; None or `"none"` for none.
        head: A function `(vector, classes) -> scores`; None for a dense softmax layer named "predictions".

    Returns:
        A new Model with one output (n, classes) and copies of the weights.

    Raises:
        TypeError: If `model` is not a Keras model, or has layers that cannot be copied.
        ValueError: If the model has no such block or gives scores for each pixel, the number of classes is invalid, or
            the scores have another shape.

    Examples:
        >>> net = transfer(create_model("squeezenet1_1", weights="imagenet"), 5, freeze="up to fire_5")
        >>> net.output.shape, len(net.trainable_variables)
        ((None, 5), 26)
    """
    check_model("model", model)
    check_count("classes", classes, least=2)
    if head is not None:
        check_callable("head", head, "a function (vector, classes) -> scores")
    graph = read(model)
    if graph.main == "predictions" and len(graph[graph.main].output_shapes[0]) == 3:
        raise ValueError(
            f"{model.name} gives scores for each pixel, from which transfer cannot make a classifier; a segmentation "
            f"net gets other classes by create_model(id, classes={classes}, weights=path)."
        )
    trunk = _trunk(model)
    frozen = _chosen("freeze", freeze, trunk, model)
    try:
        with SafeModeScope(safe_mode=False):  # lambdas are safe here: they do not come from a file
            copy = keras.models.clone_model(trunk)
    except (TypeError, ValueError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise TypeError(
            f"{model.name} cannot be copied; get_config of each layer must give what its class takes: {reason}"
        ) from None
    for ours, theirs in zip(copy.weights, trunk.weights, strict=True):
        ours.assign(theirs)
    taken = {layer.name for layer in copy.layers}
    vector = copy.output
    if len(vector.shape) == 4:
        pool = layers.GlobalAveragePooling2D(data_format(model), name=_free_name("avg_pool", taken))
        vector = pool(vector)
    scores = head(vector, classes) if head else classifier(vector, classes, name=_free_name("predictions", taken))
    if not isinstance(scores, keras.KerasTensor) or tuple(scores.shape) != (copy.inputs[0].shape[0], classes):
        given = getattr(scores, "shape", got(scores))
        raise ValueError(f"head must give scores of the shape {(copy.inputs[0].shape[0], classes)}, got {given}.")
    return _train_all_but(frozen, keras.Model(copy.input, scores, name=model.name))


def freeze(model: keras.Model, pattern: str | None) -> keras.Model:
    """Freezes the blocks before the classifier that match a pattern, and unfreezes all others.

    Args:
        model: A functional model. Compile it afterwards, as Keras only then checks what is frozen.
        pattern: As `freeze` of `transfer`.

    Returns:
        The same model.

    Raises:
        ValueError: If the model has no such block.

    Examples:
        >>> len(freeze(create_model("squeezenet1_1"), "all").trainable_variables)
        2
    """
    check_model("model", model)
    return _train_all_but(_chosen("pattern", pattern, _trunk(model), model), model)


def freeze_blocks(model: keras.Model, pattern: str | None) -> keras.Model:
    """Freezes the blocks of any net that match a pattern. Other blocks stay as they are: some nets freeze their own.

    Args:
        model: A functional model, also one without a classifier.
        pattern: As `freeze` of `transfer`.

    Returns:
        The same model.

    Raises:
        ValueError: If the model has no such block.
    """
    frozen = _chosen("freeze", pattern, model, model)
    for node in nodes(model):
        if node.path in frozen and isinstance(node.layer, layers.Layer):
            node.layer.trainable = False
    return model


def unfreeze(model: keras.Model, pattern: str = "all") -> keras.Model:
    """Unfreezes the blocks that match a pattern; other blocks stay unchanged.

    Args:
        model: A functional model. Compile it afterwards, as Keras only then checks what is frozen.
        pattern: The blocks to unfreeze, as `freeze` of `transfer`.

    Returns:
        The same model.

    Raises:
        ValueError: If the model has no such block.

    Examples:
        >>> net = transfer(create_model("squeezenet1_1"), 5)
        >>> len(unfreeze(net, "fire_[89]").trainable_variables)
        14
    """
    check_model("model", model)
    chosen = _chosen("pattern", pattern, model, model)
    return _train_all_but({node.path for node in nodes(model) if not _is_trained(node)} - chosen, model)


def vectors(model: keras.Model) -> keras.Model:
    """The part of a model up to the classifier's input, with feature maps averaged over pixels: (n, features)."""
    trunk = _trunk(model)
    if len(trunk.output.shape) == 2:
        return trunk
    return keras.Model(trunk.input, layers.GlobalAveragePooling2D(data_format(model))(trunk.output), name=trunk.name)


def _trunk(model: keras.Model) -> keras.Model:
    """The part of a model up to the classifier's input. The layers are shared, not copied."""
    graph = read(model)
    end = graph[graph.main]
    if len(end.output_shapes[0]) == 1 and not isinstance(end.layer, _POOLS):
        last = graph.classifier()
        if not last.weights or len(last.inputs) != 1:
            raise ValueError(f"{model.name} has no classifier: {last.name} is not a layer with weights.")
        x = input_of(model, last)
    else:
        x = outputs_of(model, [end])[0]
    if len(x.shape) not in (2, 4):
        raise ValueError(f"What the classifier of {model.name} reads must be maps or a vector, got {x.shape}.")
    return keras.Model(functional(model).input, x, name=model.name)


def _free_name(name: str, taken: set[str]) -> str:
    """The name; with a number appended, if a layer already has it."""
    return next(one for one in chain([name], (f"{name}_{i}" for i in count(2))) if one not in taken)


def _is_trained(node: Node) -> bool:
    return getattr(node.layer, "trainable", True)  # an operation such as `x + y` has nothing to train


def _chosen(label: str, pattern: str | None, part: keras.Model, model: keras.Model) -> set[_Path]:
    """The blocks of `part` that match a pattern; `label` names the pattern in error messages."""
    if pattern in (None, "none"):  # a recipe file has no None
        return set()
    check_text(label, pattern)
    graph = read(part)
    blocks = graph.blocks()
    if pattern == "all":
        return {node.path for node in graph.nodes}
    if pattern == "early":
        stages = last_of_each_stride(model)
        if len(stages) < 2:
            return {node.path for node in graph.nodes}
        pattern = f"up to {stages[-2]}"
    if pattern.startswith("up to "):
        last = pattern.removeprefix("up to ").strip()
        ends = blocks.get(last) or [node for node in graph.nodes if node.name == last]
        if not ends:
            raise ValueError(f"{model.name} has no block {last!r}; {nearest(last, list(blocks))}")
        return {node.path for node in graph.ancestors(*(node.name for node in ends))}
    found = {node.path for block, own in blocks.items() if fnmatchcase(block, pattern) for node in own}
    if not found:
        raise ValueError(f"{model.name} has no block {pattern!r}; {nearest(pattern, list(blocks))}")
    return found


def _train_all_but(frozen: set[_Path], model: keras.Model) -> keras.Model:
    model.trainable = True  # if the model itself is frozen, Keras trains none of its layers
    for node in nodes(model):
        if isinstance(node.layer, layers.Layer):
            node.layer.trainable = node.path not in frozen
    return model

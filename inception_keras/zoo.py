"""Finds models by id and builds them. Each id stands for one exact network; they stand in `zoo_table.py`."""

import inspect
import warnings
from collections.abc import Callable
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .backend import keras_import
from .checks import check_bool, check_choice, check_count, check_text, got, nearest
from .zoo_table import ZOO as ZOO
from .zoo_table import Entry as Entry

if TYPE_CHECKING:
    import keras

    from .arguments import InputShape
    from .weights.pretrained import Source


TASKS = ("classification", "segmentation", "detection")


def list_models(pattern: str = "*", *, year: int | None = None, task: str | None = "classification") -> list[str]:
    """The ids that match a pattern, sorted.

    Args:
        pattern: A shell pattern such as `"googlenet*"`.
        year: Only list models whose paper is from this year.
        task: What the models are for: `"classification"`, `"segmentation"`, `"detection"`, or None for all models.

    Raises:
        TypeError: If the pattern is not a string.
        ValueError: If the year is not a positive int, or there is no such task.

    Examples:
        >>> list_models("squeezenet*")
        ['squeezenet1_0', 'squeezenet1_1']
        >>> list_models("fcn_res*", task="segmentation")
        ['fcn_resnet101', 'fcn_resnet50']
    """
    check_text("pattern", pattern)
    if year is not None:
        year = check_count("year", year)
    check_choice("task", task, (*TASKS, None))
    wanted = {id for id, entry in ZOO.items() if year in (None, entry.year) and task in (None, entry.task)}
    return sorted(id for id in wanted if fnmatchcase(id, pattern))


def find(id: str) -> Entry:
    """The entry of an id. For an unknown id, a ValueError names the most similar ids."""
    if not isinstance(id, str):
        raise TypeError(f"A model is named by its id, such as 'googlenet', got {got(id)}.")
    if id not in ZOO:
        raise ValueError(f"Unknown model {got(id)}; {nearest(id.lower(), list(ZOO))}")
    return ZOO[id]


def create_model(
    id: str,
    *,
    weights: str | Path | None = None,
    input_shape: "InputShape | None" = None,
    classes: int | None = None,
    classifier_activation: str | None = "softmax",
    include_top: bool = True,
    pooling: str | None = None,
    **options: Any,
) -> "keras.Model":
    """Builds the network of a model id.

    Args:
        id: One of `list_models(task=None)`.
        weights: None for fresh weights, `"imagenet"` for published weights, or the path or URL of a file of this
            package, PyTorch, Keras, Caffe or darknet. The file's content shows its format. A net for segmentation or
            detection also takes those of the classifier that it is made of. Auxiliary heads in the file are
            ignored if the model has none. A head keeps fresh weights, with a warning, if the file lacks it or has it
            for another number of classes.
        input_shape: (height, width, channels); None for the published shape. Height and width may be None if the net
            accepts any size.
        classes: Number of classes; None takes the number of the weights, or else the published number.
        classifier_activation: Activation of every head of a classifier: `"softmax"`, or None for logits. Nets for
            segmentation always give scores, without an activation, and nets for detection boxes.
        include_top: False ends the model at its last feature maps, without the classifier and the layers that lead to
            it.
        pooling: Without the top: None returns the feature maps, `"avg"` or `"max"` pools them over their pixels.
        **options: Options from the net's paper, such as GoogLeNet's `aux=True`.

    Returns:
        A Model. Several outputs are a dict by name.

    Raises:
        ValueError: If an id, an option, a shape or a weight does not fit; the message says what does. An option that
            changes the network into another one is rejected too: `vgg16` with `batch_norm=True` is `vgg16_bn`.
        TypeError: If an argument has the wrong type, such as `aux="no"`.
        FileNotFoundError: If the file of weights does not exist.

    Examples:
        >>> create_model("googlenet", aux=True).count_params()
        13378280
        >>> create_model("vgg16", include_top=False, input_shape=(None, None, 3)).count_params()
        14714688
    """
    entry = find(id)
    builder = builder_of(entry)
    common = {"input_shape": input_shape, "classes": classes}
    common = {name: value for name, value in common.items() if value is not None}
    is_classifier = entry.task == "classification"
    head = {"classifier_activation": classifier_activation} if is_classifier else {}
    if not is_classifier and classifier_activation not in ("softmax", None):
        gives = "boxes" if entry.task == "detection" else "scores"
        raise ValueError(f"{id} gives {gives} only, got classifier_activation={classifier_activation!r}.")
    if not is_classifier and not check_bool("include_top", include_top):
        raise ValueError(f"include_top=False is for classifiers; features(create_model({id!r})) gives maps of it.")
    _check_options(id, entry, builder, options | common | head)
    check_choice("pooling", pooling, (None, "avg", "max"))
    if check_bool("include_top", include_top) and pooling is not None:
        raise ValueError(f"pooling is for include_top=False, got {pooling!r} with the top.")
    if not include_top and options.get("aux"):
        raise ValueError(f"Without its top {id} has no auxiliary heads, got aux=True.")
    source = None
    if weights is not None:
        from .weights.pretrained import classes_of, load, read_source
        from .weights.store import Misfit

        source = read_source(id, weights)
        sized = {} if is_classifier or input_shape is None else {"input_shape": input_shape}
        whole = _whole(builder, {"name": id} | entry.options | sized | options)
        if entry.trunk:
            source = _of_classifier(whole, entry.trunk, source)
        try:
            found = classes_of(whole, id, source) if classes is None and include_top else None
        except Misfit as error:
            raise ValueError(f"{error}{_what_fits(id, source)}") from None
        common |= {"classes": found} if found else {}
    options = {"name": id} | entry.options | common | options
    if include_top:
        model = builder(**options, **head)
    else:
        model = _without_top(builder, options, entry.image, pooling)
    if source is not None:
        try:
            load(model, id, source, whole)
        except Misfit as error:
            raise ValueError(f"{error}{_what_fits(id, source)}") from None
        if source.model != id and source.model in ZOO:
            warnings.warn(
                f"{source.origin} was saved from {source.model}; its weights fit {id}, which is another net.",
                stacklevel=2,
            )
    return model


def _of_classifier(model: "keras.Model", trunk: str, source: "Source") -> "Source":
    """The source; if it holds the weights of the classifier `trunk`, its weights for a net that is made of it."""
    from .weights.pretrained import fits, of_classifier

    if fits(model, model.name, source):
        return source
    classifier = _whole(builder_of(find(trunk)), {"name": trunk} | find(trunk).options)
    return of_classifier(model, trunk, classifier, source)


def _what_fits(id: str, source: "Source") -> str:
    """The end of an error message about weights that do not fit: the id that they fit, or files that fit this id."""
    from .weights.pretrained import fits
    from .weights.published import PUBLISHED

    entry = find(id)
    for other, row in ZOO.items():
        is_related = other[:6] == id[:6] or row.builder.split(":")[0] == entry.builder.split(":")[0]
        if other != id and is_related and fits(_whole(builder_of(row), {"name": other} | row.options), other, source):
            return f" They fit {other!r}: create that model with them."
    files = [f"{published.url.rpartition('/')[2]} ({name})" for name, published in PUBLISHED.get(id, {}).items()]
    return f" Published weights that fit {id} are {', '.join(files)}." if files and not source.model else ""


def builder_of(entry: Entry) -> Callable[..., "keras.Model"]:
    """The function that builds the net of an entry."""
    module, function = entry.builder.split(":")
    with keras_import():
        return getattr(import_module(f".{module}" if "." in module else f".models.{module}", __package__), function)


def _check_options(id: str, entry: Entry, builder: Callable, options: dict[str, Any]) -> None:
    """Raises an error if an option is unknown, has the wrong type, or turns the network of the id into another one."""
    from .arguments import check_arguments

    parameters = inspect.signature(builder).parameters
    rows = {other: row.options for other, row in ZOO.items() if row.builder == entry.builder}
    for option in options:
        if option not in parameters:
            free = [name for name in parameters if not any(name in row for row in rows.values())]
            raise ValueError(f"{id} has no option {option!r}; {nearest(option, free)}")
    options = check_arguments(builder, options)
    # the defaults of the options in which these ids differ
    start = {name: parameters[name].default for row in rows.values() for name in row}
    changed = entry.options | {name: value for name, value in options.items() if name in start}
    if start | changed == start | entry.options:
        return
    what = f"{id} with {', '.join(f'{k}={v!r}' for k, v in changed.items() if (start | entry.options)[k] != v)}"
    for other, row in rows.items():
        if start | row == start | changed:
            raise ValueError(f"{what} is another network, which has its own id: create_model({other!r}).")
    call = f"{builder.__name__}({', '.join(f'{k}={v!r}' for k, v in changed.items())})"
    raise ValueError(f"{what} is another network, which no id stands for; {call} builds it.")


def _without_top(builder: Callable, options: dict, side: int, pooling: str | None) -> "keras.Model":
    """The net up to its last feature maps. The full net is built only as a graph without weights."""
    import keras
    from keras import layers

    from .arguments import check_image_shape
    from .feature_maps import last_map
    from .graph import outputs_of, read
    from .scope import without_weights

    pools = {None: None, "avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}
    shape = options.get("input_shape", inspect.signature(builder).parameters["input_shape"].default)
    check_image_shape(shape)
    with without_weights():
        # a head with a dense layer over pixels needs a fixed size, the layers before it do not
        given = tuple(side if size is None else size for size in shape)
        net = builder(**options | {"input_shape": given})
        x = outputs_of(net, [last_map(read(net))])[0]
        if pools[pooling]:
            x = pools[pooling](name=f"{pooling}_pool")(x)
        trunk = keras.Model(net.input, x, name=options["name"])
    return keras.models.clone_model(trunk, input_tensors=keras.Input(tuple(shape), name="image"))


def _whole(builder: Callable, options: dict) -> "keras.Model":
    """The net with all of its heads and without weights.

    Its names are those that a file of weights may contain.
    """
    from .scope import without_weights

    aux = {"aux": True} if "aux" in inspect.signature(builder).parameters else {}
    with without_weights():
        return builder(**options | aux)

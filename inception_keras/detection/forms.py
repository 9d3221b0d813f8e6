"""The forms of a detector: the net as built, its training form, and the net for inference, with the same layers.

Each family of detectors is a file with two functions, `training_form(model)` and, if its nets do not end in a layer
"detections", `detections(model)`. A net belongs to the family that one of its layers names in the attribute `family`:
the name of the module. So a detector outside the package needs no registration.
"""

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

import keras

from ..checks import check_model, nearest

FOUND = ("boxes", "classes", "scores")  # outputs of the layer "detections", and of a training form beside its terms
IMAGES = ("images", "image")  # the name of the input that takes images: Keras wants the name that its tensor has


def training_form(model: keras.Model, **options: Any) -> keras.Model:
    """The form of a detector that is trained. It shares the layers of the model, so its weights have the same names.

    Its inputs are a dict: "images" or "image" (n, h, w, c); "boxes" (n, most, 4), x1, y1, x2 and y2 in pixels of the
    input; "classes" (n, most), int32, where -1 is padding; and "proposals" (n, most, 4) if the net takes them. Its
    outputs are a dict: each term of the loss by its name, float32 (n,), already weighted; and "boxes", "classes" and
    "scores", what the net finds, from a layer "detections". In training these may be empty, to save time. The loss is
    the mean over images of the sum of the terms.

    Args:
        model: A detector, such as `create_model("yolo_v1")`.
        **options: Of the `training_form` of its family: for nets of regions `rpn`, `proposals` and `samples`, dicts of
            options of `ProposalLoss`, `Proposals` and `RegionSamples`; for YOLO those of `YoloLoss`.

    Returns:
        A model. `loss_terms` has the names of its terms.

    Raises:
        TypeError: If `model` is not a Keras model.
        ValueError: If it is not a detector that can be trained, or an option is not valid.
    """
    module = _family(model)
    if not hasattr(module, "training_form"):
        raise ValueError(f"{model.name} is not trained as a whole: {module.__name__} has no training form.")
    try:
        form = module.training_form(model, **options)
    except TypeError as error:
        if not options:
            raise
        raise ValueError(f"The training form of {model.name} does not take these options: {error}") from None
    if not isinstance(form.input, dict) or not isinstance(form.output, dict) or not {*FOUND} < {*form.output}:
        raise ValueError(
            f"The training form of {model.name} must have a dict of inputs, and a dict of outputs with "
            f"{', '.join(FOUND)} and the terms of the loss."
        )
    return form


def loss_terms(form: keras.Model) -> list[str]:
    """The names of the terms of the loss, in the order of the outputs of a training form."""
    return [name for name in form.output if name not in FOUND]


def with_scales(form: keras.Model, scales: Mapping[str, float]) -> keras.Model:
    """A training form whose terms are multiplied by factors. Terms with the factor 0 are left out.

    Layers that lead to none of the terms that are left are frozen. So the parts of a detector can be trained on their
    own, such as the region proposal network.

    Args:
        form: A training form.
        scales: The factors by the names of terms. Other terms stay as they are.

    Raises:
        ValueError: If there is no such term, or none is left.
    """
    terms = {}
    for name in scales:
        if name not in loss_terms(form):
            raise ValueError(f"{form.name} has no term {name!r} of the loss; {nearest(name, loss_terms(form))}")
    for name in loss_terms(form):
        scale, term = scales.get(name, 1), form.output[name]
        if scale == 1:
            terms[name] = term
        elif scale:
            terms[name] = keras.layers.Rescaling(scale, dtype="float32", name=f"{name}-scaled")(term)
    if not terms:
        raise ValueError(f"All terms of the loss of {form.name} have the factor 0: nothing is left to train.")
    used = keras.Model(form.input, terms).layers
    found = {name: form.output[name] for name in FOUND}
    form = keras.Model(form.input, terms | found, name=form.name)
    for layer in form.layers:
        if layer not in used:
            layer.trainable = False
    return form


def detections(model: keras.Model) -> keras.Model:
    """The net for inference: images to boxes, classes and scores.

    Args:
        model: A detector, or its training form.

    Returns:
        A model that shares the layers of the given one. Its output is a dict: "boxes", float32 (n, most, 4), x1, y1, x2
        and y2 in pixels of the input; "classes", int32 (n, most); "scores", float32 (n, most). The best are first.
        Padding has the class -1. Its input are images, or a dict of images and "proposals".

    Raises:
        TypeError: If `model` is not a Keras model.
        ValueError: If it is not a detector.
    """
    if gives_boxes(check_model("model", model)):
        return cut(model, {name: model.output[name] for name in FOUND})
    module = _family(model)
    if not hasattr(module, "detections"):
        raise ValueError(f"{model.name} gives no boxes: its outputs are not {', '.join(FOUND)}.")
    return module.detections(model)


def cut(model: keras.Model, found: Mapping[str, keras.KerasTensor]) -> keras.Model:
    """The part of a detector from its images, and its proposals if it takes them, to what it finds.

    Args:
        model: A detector, its training form, or a model that contains it.
        found: The tensors of the boxes, classes and scores.
    """
    if not isinstance(model.input, dict):
        return keras.Model(model.input, dict(found), name=model.name)
    taken = {name: tensor for name, tensor in model.input.items() if name in (*IMAGES, "proposals")}
    return keras.Model(taken if len(taken) > 1 else next(iter(taken.values())), dict(found), name=model.name)


def image_input(model: keras.Model) -> str:
    """The name of the input that takes images, of a model with a dict of inputs."""
    return next(name for name in IMAGES if name in model.input)


def gives_boxes(model: keras.Model) -> bool:
    """Whether the outputs of a model are a dict with boxes, classes and scores."""
    return isinstance(model.output, dict) and {*FOUND} <= {*model.output}


def is_detector(model: keras.Model) -> bool:
    """Whether a model finds objects by box."""
    return gives_boxes(model) or any(getattr(layer, "family", None) for layer in model.layers)


def _family(model: keras.Model) -> ModuleType:
    for layer in check_model("model", model).layers:
        if isinstance(name := getattr(layer, "family", None), str):
            return import_module(name)
    raise ValueError(f"{model.name} is not a detector: none of its layers belongs to a family of detectors.")

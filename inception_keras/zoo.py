"""The table of models: an id is one exact network."""

import inspect
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Entry:
    """What is published of a model; `params` are trainable ones and `gmacs` are for one image of `image` pixels."""

    builder: str  # module:function
    options: dict
    paper: str
    year: int
    image: int  # height and width of the published input
    least: int  # the least height and width that the net can take
    params: int
    gmacs: float
    top1: float | None = None  # ImageNet, per cent; None where nothing is published
    top5: float | None = None
    source: str = ""  # whose accuracy


_GOOGLENET = "Szegedy et al., Going Deeper with Convolutions, arXiv:1409.4842"
_SQUEEZENET = "Iandola et al., SqueezeNet, arXiv:1602.07360"
_VARIANTS = "googlenet_variants:build_googlenet"

# fmt: off
ZOO = {
    "googlenet": Entry("googlenet:build_googlenet", {}, _GOOGLENET, 2014, 224, 31, 6_998_552, 1.583, 68.7, 88.9, "Caffe model zoo"),
    "googlenet_bn": Entry("googlenet:build_googlenet", {"batch_norm": True}, _GOOGLENET, 2014, 224, 31, 7_005_832, 1.583),
    "googlenet_slim": Entry(f"{_VARIANTS}_slim", {}, _GOOGLENET, 2014, 224, 15, 6_624_904, 1.498, 69.778, 89.53, "torchvision"),
    "googlenet_cifar": Entry(f"{_VARIANTS}_cifar", {}, _GOOGLENET, 2014, 32, 15, 3_494_346, 0.030),
    "googlenet_small": Entry(f"{_VARIANTS}_small", {}, _GOOGLENET, 2014, 32, 4, 5_976_122, 1.561),
    "squeezenet1_0": Entry("squeezenet:build_squeezenet", {"version": "1.0"}, _SQUEEZENET, 2016, 224, 21, 1_248_424, 0.819, 58.09, 80.42, "torchvision"),
    "squeezenet1_1": Entry("squeezenet:build_squeezenet", {"version": "1.1"}, _SQUEEZENET, 2016, 224, 17, 1_235_496, 0.349, 58.18, 80.62, "torchvision"),
}
# fmt: on


def list_models(pattern: str = "*", *, year: int | None = None) -> list[str]:
    """The ids that match, sorted.

    Args:
        pattern: A shell pattern such as `"googlenet*"`.
        year: Only nets of papers of this year.

    Example:
        >>> list_models("squeezenet*")
        ['squeezenet1_0', 'squeezenet1_1']
    """
    return sorted(id for id, entry in ZOO.items() if fnmatchcase(id, pattern) and year in (None, entry.year))


def find(id: str) -> Entry:
    """The entry of an id, or a ValueError that names the nearest ones."""
    if id not in ZOO:
        raise ValueError(f"Unknown model {id!r}; {nearest(id, list(ZOO))}")
    return ZOO[id]


def create_model(id: str, *, weights: Any = None, **options: Any) -> "keras.Model":
    """Builds the network that an id stands for.

    Args:
        id: One of `list_models()`.
        weights: None for fresh ones, `"imagenet"` for published ones, or a path to a `.safetensors` file.
        **options: The builder's: `input_shape`, `classes`, `classifier_activation` (`"softmax"`, or None for logits),
            and what this net's paper has, such as GoogLeNet's `aux=True`.

    Returns:
        A Model; one with several outputs has them as a dict by name.

    Raises:
        ValueError: If an id, an option, a shape or a weight does not fit; the sentence says what does.

    Example:
        >>> create_model("googlenet", aux=True).count_params()
        13378280
    """
    entry = find(id)
    module, function = entry.builder.split(":")
    builder = getattr(import_module(f".models.{module}", __package__), function)
    known = [name for name in inspect.signature(builder).parameters if name not in entry.options]
    for option in options:
        if option not in known:
            raise ValueError(f"{id} has no option {option!r}; {nearest(option, known)}")
    model = builder(**{"name": id} | entry.options | options)
    if weights is not None:
        from .weights.pretrained import load

        load(model, id, weights)
    return model


def nearest(word: str, known: list[str]) -> str:
    """The end of an error's sentence: the known words most like this one, or all of them."""
    near = get_close_matches(word, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(known))}."

"""Checks the arguments of builders and blocks by the types in their signatures, so that model files need no checks."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Annotated, Any, TypeVar, cast, get_args, get_origin

import keras
from keras import KerasTensor

from .checks import check_bool, check_callable, check_count, check_number, check_text, check_type, got

InputShape = Sequence[int | None]  # (height, width, channels); None for a side of any size
Shape = tuple[Any, ...]  # of a batch, a map or an array: ints; None for an unknown size
ObjectClasses = Annotated[int, "1 or more: a detector of one class is of use, a softmax of one class is not"]
Function = TypeVar("Function", bound=Callable)

_MOST = 2**16  # largest side in pixels, and largest number of channels or filters
_MOST_CLASSES = 10**7


def checked(function: Function) -> Function:
    """Makes a builder or block check its arguments by the names and types in its signature before it runs.

    Examples:
        >>> @checked
        ... def build(input_shape, *, aux: bool = False): ...
        >>> build((224, 224, 3), aux="no")
        Traceback (most recent call last):
        TypeError: aux must be True or False, got 'no'.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{function.__name__}: {error}.") from None
        bound.arguments |= check_arguments(function, bound.arguments)
        return function(*bound.args, **bound.kwargs)

    return cast(Function, call)


def check_arguments(function: Callable, arguments: Mapping[str, object]) -> dict[str, object]:
    """Checks the arguments of a builder or block, and returns them with NumPy numbers as Python numbers.

    Args:
        function: The builder or block. Its signature says what is allowed.
        arguments: The arguments by name. Not all arguments need to be given.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument has the right type, but a value that no net accepts.
    """
    parameters = inspect.signature(function).parameters
    return {name: _check(parameters[name], value) for name, value in arguments.items()}


def _check(parameter: inspect.Parameter, value: object) -> object:
    name, kind = parameter.name, parameter.annotation
    kinds = [each for each in get_args(kind) if each is not NoneType] if NoneType in get_args(kind) else [kind]
    if value is None and kinds != [kind]:
        return None
    if name == "input_shape":
        return check_image_shape(value)
    if name == "x":
        return _check_maps(value)
    if name == "classes":
        return check_count(name, value, least=1 if get_origin(kind) is Annotated else 2, most=_MOST_CLASSES)
    if name == "classifier_activation":
        return _check_activation(name, value)
    if kinds == [bool]:
        return check_bool(name, value)
    if kinds == [int]:
        return check_count(name, value, least=0 if parameter.default == 0 else 1, most=_MOST)
    if kinds == [float]:
        return check_number(name, value)
    if kinds == [str]:
        return _check_name(value) if name == "name" else check_text(name, value)
    if kinds == [Callable]:
        return check_callable(name, value)
    if inspect.isclass(kinds[0]) and issubclass(kinds[0], keras.layers.Layer):
        return check_type(name, value, kinds[0], f"a Keras {'model' if kinds[0] is keras.Model else 'layer'}")
    return value


def _check_name(value: object) -> str:
    name = check_text("name", value)
    if not name or "/" in name:
        raise ValueError(f"name must be a text without '/' that is not empty, got {got(name)}.")
    return name


def _check_activation(name: str, value: object) -> str:
    try:
        activation = check_text(name, value)
        keras.activations.get(activation)
    except ValueError:
        raise ValueError(f"{name} must be 'softmax', None or another activation of Keras, got {got(value)}.") from None
    return activation


def _check_maps(value: KerasTensor) -> KerasTensor:
    """Returns `value` if it is a tensor of feature maps, symbolic or not."""
    wanted = "x must be feature maps (batch, height, width, channels)"
    if not isinstance(value, KerasTensor) and not keras.ops.is_tensor(value) and not hasattr(value, "__array__"):
        raise TypeError(f"{wanted}, got {got(value)}.")
    if len(value.shape) != 4 or value.shape[-1] is None:
        raise ValueError(f"{wanted}, with a known number of channels, got the shape {tuple(value.shape)}.")
    return value


def check_image_shape(shape: object, min_size: int = 1) -> tuple[int | None, int | None, int]:
    """Returns `shape` if it is a valid (height, width, channels). None stands for a side of any size.

    Raises:
        ValueError: If the shape is not valid, has a side below `min_size` pixels, or has its channels first.

    Examples:
        >>> check_image_shape((3, 224, 224))
        Traceback (most recent call last):
        ValueError: input_shape must be (height, width, channels), channels last: (224, 224, 3), not (3, 224, 224).
    """
    wanted = "input_shape must be (height, width, channels)"
    if not isinstance(shape, (tuple, list)) or len(shape) != 3:
        raise ValueError(f"{wanted}, got {got(shape)}.")
    for side in shape[:2]:
        if side is not None:
            check_count(f"{wanted}; a side", side, least=min(1, min_size), most=_MOST)
    if shape[2] is not None:
        check_count(f"{wanted}; channels", shape[2], most=_MOST)
    if _channels_first(shape[0], shape[1], shape[2], min_size):
        turned = (*shape[1:], shape[0])
        raise ValueError(f"{wanted}, channels last: {turned}, not {tuple(shape)}.")
    check_count(f"{wanted}; channels", shape[2])
    if any(side is not None and side < min_size for side in shape[:2]):
        raise ValueError(f"{wanted} of at least {min_size} x {min_size} pixels, got {tuple(shape)}.")
    return tuple(shape)


def _channels_first(height: int | None, width: int | None, channels: int | None, min_size: int) -> bool:
    """Whether a shape is (channels, height, width), as in many other libraries.

    A first size of 1, 3 or 4 is taken for the number of channels, unless the other two sizes do not look like those of
    an image. Hyperspectral patches (3, 3, 200) and signals (1, 5000, 12) also have such a height, and a net that
    accepts one pixel accepts them.
    """
    if height not in (1, 3, 4):
        return False
    if width is None or channels is None:
        return channels is None or (height > 1 and channels >= 16)
    if min_size > height and min(width, channels) >= min_size:
        return True
    smaller, larger = sorted((width, channels))
    return width == channels > 4 or (smaller >= 16 and larger <= 4 * smaller)

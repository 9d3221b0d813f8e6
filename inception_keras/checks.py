"""Checks of the arguments of public functions. Each error is one sentence with the argument's name and value."""

import functools
import inspect
import math
import os
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

Function = TypeVar("Function", bound=Callable)
Choice = TypeVar("Choice")
Kind = TypeVar("Kind")
Entry = TypeVar("Entry")


def check_model(label: str, value: object) -> "keras.Model":
    """Returns `value` if it is a built Keras model with a graph of layers: functional or Sequential.

    Raises:
        TypeError: If it is not a Keras model.
        ValueError: If it is a Keras model without a graph of layers.
    """
    import keras

    if not isinstance(value, keras.Model):
        raise TypeError(f"{label} must be a Keras model, got {got(value)}.")
    if getattr(getattr(value, "_functional", value), "_nodes_by_depth", None) is None:
        if isinstance(value, keras.Sequential):
            raise ValueError(f"{label} must have an input: {value.name} is not built; give it a keras.Input first.")
        raise ValueError(f"{value.name} has no graph of layers: it must be functional or a built Sequential model.")
    return value


def check_dataset(label: str, value: object) -> "tf.data.Dataset":
    """Returns `value` if it is a tf.data.Dataset; otherwise raises a TypeError."""
    import tensorflow as tf

    if not isinstance(value, tf.data.Dataset):
        raise TypeError(f"{label} must be a tf.data.Dataset, got {got(value)}.")
    return value


def check_path(label: str, value: object) -> Path:
    """Returns `value` as a Path if it is a path or a non-empty string; otherwise raises a TypeError or ValueError."""
    if not isinstance(value, (str, os.PathLike)) or not isinstance(path := os.fspath(value), str):
        raise TypeError(f"{label} must be a path, got {got(value)}.")
    if not path or "\0" in path:
        raise ValueError(f"{label} must be a path, got {got(value)}.")
    return Path(path)


def check_picture(label: str, value: object) -> Path:
    """Returns the path of a chart or drawing to write; raises a ValueError if its suffix is not that of a picture."""
    path = check_path(label, value)
    if path.suffix.lower() not in (".png", ".svg", ".pdf", ".jpg", ".jpeg"):
        raise ValueError(f"{label} must end in .png, .svg, .pdf or .jpg, got {got(str(path))}.")
    return path


def check_text(label: str, value: object) -> str:
    """Returns `value` if it is a str; otherwise raises a TypeError."""
    return check_type(label, value, str, "a text")


def check_texts(label: str, value: object) -> tuple[str, ...]:
    """Returns `value` as a tuple if it is a list or tuple of str; otherwise raises a TypeError."""
    if not isinstance(value, (tuple, list)) or not all(isinstance(one, str) for one in value):
        raise TypeError(f"{label} must be a list of texts, got {got(value)}.")
    return tuple(value)


def check_bool(label: str, value: object) -> bool:
    """Returns `value` as a bool if it is a Python or NumPy bool; otherwise raises a TypeError."""
    if isinstance(value, bool) or (type(value).__module__ == "numpy" and type(value).__name__ in ("bool", "bool_")):
        return bool(value)
    raise TypeError(f"{label} must be True or False, got {got(value)}.")


def check_choice(label: str, value: object, choices: Collection[Choice]) -> Choice:
    """Returns `value` if it is one of the choices; otherwise raises a ValueError that lists them."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        *first, last = map(repr, choices)
        raise ValueError(f"{label} must be {' or '.join(filter(None, (', '.join(first), last)))}, got {got(value)}.")
    return cast(Choice, value)


def check_type(label: str, value: object, kind: type[Kind] | tuple[type[Kind], ...], wanted: str) -> Kind:
    """Returns `value` if it is an instance of `kind`; otherwise raises a TypeError, which asks for `wanted`."""
    if not isinstance(value, kind):
        raise TypeError(f"{label} must be {wanted}, got {got(value)}.")
    return value


def check_callable(label: str, value: object, wanted: str = "a function") -> Callable:
    """Returns `value` if it is callable; otherwise raises a TypeError."""
    if not callable(value):
        raise TypeError(f"{label} must be {wanted}, got {got(value)}.")
    return value


def check_count(label: str, value: Any, least: int = 1, most: int = 2**32 - 1) -> int:
    """Returns `value` if it is an int from `least` to `most`; otherwise raises a ValueError."""
    try:
        if not isinstance(value, bool) and least <= value.__index__() <= most:
            return int(value)
        limits = (
            f"of at least {least}" if isinstance(value, bool) or value.__index__() < least else f"of at most {most}"
        )
    except (AttributeError, TypeError):  # not an int, or an array of several ints
        limits = f"of at least {least}"
    raise ValueError(f"{label} must be an int {limits}, got {got(value)}.")


def check_shape(label: str, value: object) -> tuple[int, ...]:
    """Returns `value` as a tuple if it is a list or tuple of positive ints; else raises a TypeError or ValueError."""
    sizes: Sequence = check_type(label, value, (tuple, list), "a shape such as (height, width, channels)")
    return tuple(check_count(f"a size of {label}", size) for size in sizes)


def check_number(label: str, value: Any, least: float = -math.inf, below: float = math.inf) -> float:
    """Returns `value` as a float if it is a finite number from `least` to below `below`; else raises a ValueError."""
    try:
        if not isinstance(value, (bool, str, bytes)) and math.isfinite(value) and least <= value < below:
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    limits = [f"at least {least:g}"] * (least > -math.inf) + [f"below {below:g}"] * (below < math.inf)
    raise ValueError(f"{label} must be a number{' ' * bool(limits)}{' and '.join(limits)}, got {got(value)}.")


def check_share(label: str, value: object) -> float:
    """Returns `value` as a float if it is a number from 0 to 1; else raises a ValueError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{label} must be a share from 0 to 1, got {got(value)}.")
    return float(value)


def warn_of_old_name(old: str, new: str, stacklevel: int = 3) -> None:
    """Warns the caller of a public function that a name has changed. The old one is kept for one release."""
    message = f"{old} is now called {new}; the old name will be gone in the next release."
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel)


def renamed(**names: str) -> Callable[[Function], Function]:
    """Makes a function or class accept the old names of its keyword arguments, with a DeprecationWarning.

    Args:
        **names: For each old name, the new one.

    Examples:
        >>> @renamed(unit="conv_block")
        ... def block(x, *, conv_block): ...
        >>> block(0, conv_block=max)
    """

    def decorate(target: Function) -> Function:
        function: Callable = vars(target)["__init__"] if isinstance(target, type) else target

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            renewed = new_names(kwargs, names, target.__name__)
            for old in names.keys() & kwargs.keys():
                warn_of_old_name(f"The argument {old} of {target.__name__}", names[old])
            return function(*args, **renewed)

        if isinstance(target, type):
            target.__init__ = call  # type: ignore[misc]
            return target
        return cast(Function, call)

    return decorate


def new_names(entries: Mapping[str, Entry], names: Mapping[str, str], origin: str) -> dict[str, Entry]:
    """The entries with the new name for each old one; `names` maps old names to new ones.

    Raises:
        TypeError: If an entry is given by both names. The message begins with `origin`.
    """
    for old, new in names.items():
        if old in entries and new in entries:
            raise TypeError(f"{origin}: {old} is the old name of {new}, got both.")
    return {names.get(name, name): value for name, value in entries.items()}


def got(value: object) -> str:
    """Describes a value in a few words, for the end of an error message."""
    if isinstance(value, type):
        return f"the class {value.__name__} (not an instance of it)"
    if inspect.isroutine(value):
        return f"the function {getattr(value, '__name__', '')}".rstrip()
    text = repr(value)
    if len(text) <= 80 and "\n" not in text:
        return text
    kind = type(value).__name__.lstrip("_")
    size = f" of length {len(value)}" if isinstance(value, (str, bytes, list, tuple, dict, set)) else ""
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}{size}"


def nearest(word: object, known: Collection[str]) -> str:
    """The end of an error message: the known words most similar to `word`, or all known words if none is similar."""
    near = get_close_matches(str(word), list(known), n=3, cutoff=0.5)
    if near:
        return f"did you mean {' or '.join(near)}?"
    more = f" and {len(known) - 30} more" if len(known) > 30 else ""
    return f"there are {', '.join(sorted(known)[:30])}{more}."


def some(names: Iterable[object], most: int = 5) -> str:
    """The first `most` names, and how many more there are."""
    listed = [str(name) for name in names]
    more = f" and {len(listed) - most:,} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


def counted(count: int, noun: str) -> str:
    """A number with its noun: `1 image`, `2,000 images`, `3 classes`."""
    return f"{count:,} {noun}{'' if count == 1 else 'es' if noun.endswith('s') else 's'}"

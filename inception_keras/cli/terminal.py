"""What the commands share: how they read options, how they end."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    import keras

console = Console()


def built(model: str, option: list[str] | None, input: str | None, aux: bool) -> "keras.Model":
    """A model whose weights are never allocated: to be counted and drawn."""
    from ..scope import structure
    from ..zoo import create_model

    options = named_options(option) | ({"aux": True} if aux else {})
    if input:
        options["input_shape"] = tuple(whole_numbers(input, "x"))
    with structure():
        return create_model(model, **options)


def named_options(texts: list[str] | None) -> dict[str, Any]:
    """`aux=yes` as `{"aux": True}`, numbers as numbers, none as None, all else as text."""
    options: dict[str, Any] = {}
    for text in texts or []:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise ValueError(f"An option is NAME=VALUE, got {text!r}.")
        if name in options:
            raise ValueError(f"The option {name} is given twice.")
        options[name] = _value(value)
    return options


def _value(text: str) -> Any:
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", text, re.IGNORECASE):
        return float(text)
    return text


def whole_numbers(text: str, separator: str) -> list[int]:
    """`224x224x3` as [224, 224, 3]."""
    try:
        return [int(part) for part in text.split(separator) if part]
    except ValueError:
        raise ValueError(f"Expected whole numbers with {separator!r} between them, got {text!r}.") from None


def printable(text: str) -> str:
    """Names of files as they are, without what a terminal would obey."""
    return escape("".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text))


def _import_tensorflow() -> None:
    """Imports TensorFlow without the lines that it writes to stderr before it reads its log level."""
    stderr = os.dup(2)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - os.devnull is a name, not a place
        os.dup2(nowhere.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Ends what a user can cause in its own sentence, without a traceback."""
    _import_tensorflow()
    try:
        yield
    except SystemExit as stopped:  # SIGTERM in a training run
        console.print(str(stopped), soft_wrap=True)
        raise typer.Exit(int(stopped.code or 0)) from None
    except (ValueError, TypeError, ImportError, OSError, RuntimeError) as error:
        Console(stderr=True).print(f"[red]error:[/red] {printable(str(error))}", highlight=False, soft_wrap=True)
        raise typer.Exit(1) from None

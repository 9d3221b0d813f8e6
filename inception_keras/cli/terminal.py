"""What all commands share: parsing options, printing, and reporting errors."""

import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.text import Text

from ..backend import check_backend
from ..quiet import quiet_import
from ..text import printable

if TYPE_CHECKING:
    import keras

_WIDE = 10_000  # columns if the output is a file or a pipe, in which nothing is wrapped or cut
# class and file names may look like markup (`cat[/b]`) or emoji codes (`:cat:`)
console = Console(
    markup=False, emoji=False, highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDE
)


def built(model: str, option: list[str] | None, input: str | None, aux: bool) -> "keras.Model":
    """A model to be counted or drawn; its weights are never allocated."""
    from ..scope import without_weights
    from ..zoo import create_model

    options = named_options(option) | ({"aux": True} if aux else {})
    if input:
        options["input_shape"] = tuple(whole_numbers(input, "x"))
    with without_weights():
        return create_model(model, **options)


def named_options(texts: list[str] | None) -> dict[str, Any]:
    """Parses options: `aux=yes` becomes `{"aux": True}`.

    Numbers become numbers, none becomes None, and `64x64x3` or `64,64,3` becomes (64, 64, 3). Other values stay text.
    """
    options: dict[str, Any] = {}
    for text in texts or []:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise ValueError(f"An option is NAME=VALUE, got {text!r}.")
        if name in options:
            raise ValueError(f"The option {name} is given twice.")
        options[name] = _value(value)
    return options


def _value(text: str) -> object:
    words = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", text, re.IGNORECASE):
        return float(text)
    size = r"\s*(\d+|none)\s*"
    if re.fullmatch(rf"\(?{size}([x,]{size})+\)?", text, re.IGNORECASE):  # a shape
        return tuple(map(_value, re.findall(r"\d+|none", text.lower())))
    return text


def whole_numbers(text: str, separator: str) -> list[int]:
    """Parses `224x224x3` to [224, 224, 3]."""
    try:
        return [int(part) for part in text.split(separator) if part]
    except ValueError:
        raise ValueError(f"Expected whole numbers with {separator!r} between them, got {text!r}.") from None


def say(*lines: str) -> None:
    """Prints each line unchanged: names that look like markup are not interpreted, and nothing is wrapped or cut."""
    for line in lines:
        console.print(printable(line), soft_wrap=True)


def tell_error(text: str, label: str = "error:", style: str = "red") -> None:
    """Prints a message to stderr."""
    Console(stderr=True, highlight=False).print(
        Text.assemble((label, style), " ", printable(text, "\n")), soft_wrap=True
    )


@contextmanager
def report_errors() -> Iterator[None]:
    """Reports errors that a user can cause as one sentence, without a traceback.

    Warnings of other libraries are not shown.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for names in characters that the terminal cannot show
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        try:
            check_backend("This command")
            with warnings.catch_warnings(), quiet_import():
                import tensorflow  # noqa: F401
            warnings.showwarning = _show_warning
            yield
        except SystemExit as stopped:  # SIGTERM during a training run
            say(str(stopped))
            raise typer.Exit(int(stopped.code or 0)) from None
        except KeyboardInterrupt as interrupted:  # after a training run, the message says how to continue
            if str(interrupted):
                say(str(interrupted))
            raise typer.Exit(130) from None
        except (ValueError, TypeError, ImportError, OSError, RuntimeError) as error:
            tell_error(_sentence(error))
            raise typer.Exit(1) from None


def _sentence(error: Exception) -> str:
    """The message of an error, without the error number that Python puts before messages of the operating system."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{error.filename}: {error.strerror}." if error.filename else error.strerror


def _show_warning(message: Warning | str, category: type[Warning], filename: str, *_: object, **__: object) -> None:
    """Prints this package's own warnings as one sentence each."""
    if category is UserWarning and Path(filename).is_relative_to(Path(__file__).parents[1]):
        tell_error(str(message), "note:", "yellow")

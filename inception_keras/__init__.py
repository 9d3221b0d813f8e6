"""GoogLeNet and the classic convolutional nets in Keras 3: builders, profiles, pictures, training, weights.

The stub `__init__.pyi` lists every public name and its module, for type checkers and for this file. A name is loaded on
first use, so that `import inception_keras` does not wait for TensorFlow.
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

from .backend import NEEDED_BY, check_backend, keras_import
from .registration import register_with_keras

__version__ = "0.1.0"

_STUB = Path(__file__).with_suffix(".pyi")
_MODULE_OF = {
    alias.name: f".{statement.module}"
    for statement in ast.parse(_STUB.read_text(encoding="utf-8")).body
    if isinstance(statement, ast.ImportFrom)
    for alias in statement.names
}
__all__ = sorted(_MODULE_OF)
_MODULE_OF["structure"] = ".scope"  # old names, which warn and go with the next release


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'inception_keras' has no attribute {name!r}")
    if _MODULE_OF[name][1:] in NEEDED_BY:
        check_backend(name)
    try:
        with keras_import():
            value = getattr(import_module(_MODULE_OF[name], __name__), name)
    except AttributeError as error:  # otherwise Python would report a missing name and hide the cause
        raise ImportError(f"{name} cannot be imported: {error}.") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]


register_with_keras()

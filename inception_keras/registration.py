"""Makes the Keras objects of this package known to Keras, so that `keras.models.load_model` opens our files.

Keras looks up the classes in a file by name, and knows only those that were registered before. Importing this package
must not wait for Keras and TensorFlow, so registration happens as soon as Keras itself is imported, by whomever.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_MODULES = ("layers", "training.losses", "training.optimizers")  # all that define classes which Keras saves
_OPTIONAL = ("jax", "pandas")  # what Keras uses if it can be imported, while Keras itself is imported


def register_with_keras() -> None:
    """Registers every serialisable class of the package: now if Keras is imported already, else once it is."""
    if "keras" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _KerasFinder())


def _register() -> None:
    for name in _MODULES:
        import_module(f"{__package__}.{name}")  # each class registers itself when its module is imported


class _KerasFinder(MetaPathFinder):
    """Finds Keras as Python's other finders do, and registers our classes after Keras has been imported.

    Python imports any folder as an empty package where no real one has its name. With a folder of pictures called
    `pandas` in the working directory, Keras would take pandas for installed and fail: it is told that there is none.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in ("keras", *_OPTIONAL):
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if fullname in _OPTIONAL:
            if spec and spec.loader is None:  # a mere folder
                raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
            return None
        if spec is None or spec.loader is None:
            return spec
        execute = spec.loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            sys.meta_path.remove(self)
            _register()

        spec.loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec

"""Registers the package's classes with Keras, so that `keras.models.load_model` can open files that contain them.

Keras looks up the classes of a file by name, and knows only classes that are already registered. Importing this package
must not wait for Keras and TensorFlow. So the classes are registered as soon as any code imports Keras itself.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_MODULES = (
    "layers",
    "detection.yolo_boxes",
    "detection.yolo_grid",
    "detection.fpn_layers",
    "detection.region_head",
    "detection.region_samples",
    "detection.rpn",
    "detection.yolo_loss",
    "training.losses",
    "training.optimizers",
    "training.boxes",
    "training.pixels",
)  # all modules with classes that Keras saves
_OPTIONAL = ("jax", "pandas")  # packages that Keras tries to import while it is imported itself


def register_with_keras() -> None:
    """Registers every serialisable class of the package: now if Keras is already imported, otherwise once it is."""
    if "keras" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _KerasFinder())


def _register() -> None:
    for name in _MODULES:
        import_module(f"{__package__}.{name}")  # each class registers itself when its module is imported


class _KerasFinder(MetaPathFinder):
    """Finds Keras as Python's other finders do, and registers the package's classes once Keras has been imported.

    Python imports a plain folder as an empty package if there is no real package of that name. So a folder of images
    called `pandas` in the working directory would make Keras believe that pandas is installed, and fail. This finder
    reports such a package as missing.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in ("keras", *_OPTIONAL):
            return None
        others = [finder for finder in sys.meta_path if finder is not self]
        spec = next(filter(None, (finder.find_spec(fullname, path, target) for finder in others)), None)
        if fullname in _OPTIONAL:
            if spec and spec.loader is None:  # a plain folder
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

"""GoogLeNet and the classic convolutional nets in Keras 3: builders, profiles, pictures, training, weights.

The table below lists every public name. A name is loaded on first use, so that `import inception_keras` does not wait
for TensorFlow.
"""

from importlib import import_module
from typing import Any

from .backend import NEEDED_BY, check_backend
from .quiet import quiet_import
from .registration import register_with_keras

__version__ = "0.1.0"

_PUBLIC = {
    "zoo": ("create_model", "list_models"),
    "blocks": ("squeeze_excite",),
    "scope": ("without_weights",),
    "models.googlenet": (
        *("naive_inception", "inception", "aux_head"),
        *("build_naive_inception", "build_inception", "build_aux_head", "build_googlenet"),
    ),
    "models.googlenet_variants": ("build_googlenet_slim", "build_googlenet_cifar", "build_googlenet_small"),
    "models.squeezenet": ("fire", "build_squeezenet"),
    "models.alexnet": (
        "build_alexnet_2012",
        "build_alexnet",
    ),
    "models.densenet": ("build_densenet",),
    "models.dpn": ("build_dpn",),
    "models.inception_v2": ("build_inception_v2",),
    "models.inception_v3": ("build_inception_v3",),
    "models.inception_v4": (
        "build_inception_v4",
        "build_inception_resnet_v2",
    ),
    "models.lenet": (
        "build_lenet5",
        "build_lenet5_modern",
    ),
    "models.mnasnet": ("build_mnasnet",),
    "models.mobilenet_v1": ("build_mobilenet_v1",),
    "models.mobilenet_v2": ("build_mobilenet_v2",),
    "models.mobilenet_v3": ("build_mobilenet_v3",),
    "models.nin": ("build_nin_cifar", "build_nin_imagenet"),
    "models.resnet": (
        "build_resnet",
        "build_resnet_v1",
    ),
    "models.resnet_cifar": ("build_resnet_cifar",),
    "models.senet": (
        "build_senet",
        "build_seinception",
    ),
    "models.shufflenet_v1": ("build_shufflenet_v1",),
    "models.shufflenet_v2": ("build_shufflenet_v2",),
    "models.vgg": ("build_vgg",),
    "models.xception": ("build_xception",),
    "models.zfnet": ("build_zfnet",),
    "analysis.profile": ("profile", "summary", "register_counter"),
    "feature_maps": ("features",),
    "analysis.diagrams": ("plot_model", "plot_blocks"),
    "training.compile": ("compile_model", "strip_aux"),
    "training.aux_labels": ("with_aux_labels",),
    "training.devices": ("device",),
    "training.recipe": ("Recipe",),
    "training.run": ("train",),
    "training.learning_rate": ("find_learning_rate",),
    "training.ablation": ("ablation",),
    "training.transfer": ("transfer", "freeze", "unfreeze"),
    "training.finetune": ("finetune", "extract_features"),
    "training.distribute": ("strategy", "synchronize_batch_norm", "Steps"),
    "training.evaluate": ("evaluate",),
    "training.predict": ("predict",),
    "data.datasets": ("load_data",),
    "data.check": ("check_data",),
    "data.preprocessing": ("Preprocessing", "preprocessing"),
    "weights.store": ("save_weights", "load_weights"),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}
__all__ = sorted(_MODULE_OF)
_MODULE_OF["structure"] = "scope"  # old names, which warn and go with the next release


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'inception_keras' has no attribute {name!r}")
    if _MODULE_OF[name] in NEEDED_BY:
        check_backend(name)
    try:
        with quiet_import():
            value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    except AttributeError as error:  # otherwise Python would report a missing name and hide the cause
        raise ImportError(f"{name} cannot be imported: {error}.") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]


register_with_keras()

"""Writes docs/api.md anew: every public name with its arguments and summary, and where the full description goes.

    python tests/api_page.py

Each name is looked up, so the page cannot claim one that is not there.
"""

import inspect
import json
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import inception_keras as ik
from inception_keras.quiet import quiet_import

with quiet_import():
    from inception_keras import layers

PAGE = Path(__file__).parents[1] / "docs" / "api.md"
SECTIONS = {  # title: the modules, or the packages whose modules follow in alphabetical order
    "Models": ("zoo", "scope"),
    "Architectures": ("models",),
    "Blocks": ("blocks",),
    "Layers": ("layers",),
    "Segmentation": ("segmentation", "training.heatmap"),
    "Detection": ("detection",),
    "Analysis": ("analysis", "feature_maps"),
    "Data": ("data",),
    "Training": ("training",),
    "Weights": ("weights",),
    "Speed": ("deploy",),
}
MORE = {  # public names that are not in `inception_keras.__all__`: results, exceptions, layers, and what few need
    "analysis.profile": ("Profile", "Row"),
    "data.check": ("Check", "Problem"),
    "data.datasets": ("Data",),
    "deploy.bench": ("bench", "Speed"),
    "deploy.bench_data": ("bench_data", "DataSpeed"),
    "detection.anchors": ("AnchorReport", "fpn_anchors", "grid", "rcnn_anchors"),
    "detection.boxes": ("area", "batched_nms", "clip", "decode", "encode", "iou", "nms", "smooth_l1"),
    "detection.yolo_boxes": ("YoloDetections",),
    "detection.yolo_grid": ("YoloConvGrid", "YoloGrid", "reorder"),
    "detection.yolo_loss": ("YoloLoss",),
    "detection.fpn_layers": ("PadToMultiple", "PyramidDetections", "PyramidRoIAlign"),
    "detection.region_head": ("RegionDetections", "RegionLoss", "RegionOffsets", "RegionScores"),
    "detection.region_samples": ("GivenProposals", "RegionSamples"),
    "detection.rpn": ("ProposalLoss", "Proposals"),
    "layers": tuple(layers.__all__),
    "training.ablation": ("Ablation",),
    "training.boxes": ("MeanAveragePrecision",),
    "training.average_precision": ("AveragePrecision", "CocoMeasures"),
    "training.detect": ("Detections",),
    "training.distribute": ("WorkerLost",),
    "training.folder": ("Result",),
    "training.heatmap": ("Heatmap",),
    "training.learning_rate": ("RateTrial",),
    "training.loop": ("TrainingDiverged", "Stopped", "Interrupted"),
    "training.pixels": ("PixelCrossEntropy", "MeanPixelCrossEntropy", "PixelMetric"),
    "training.predict": ("Predictions",),
    "training.task": ("Metrics",),
    "training.tasks.classification": ("Report",),
    "training.tasks.detection": ("Report",),
    "training.tasks.segmentation": ("Report",),
    "weights.pretrained": ("FreshWeightsWarning",),
    "weights.published": ("find", "Published"),
}
START = """<!-- Written by tests/api_page.py: change docstrings, the stub __init__.pyi or that script, and run it. -->
# Reference

`import inception_keras as ik`, then `ik.create_model(...)`: most of these names can be used directly from the package.
`ik.__all__` lists them. Names that are given here with their module are imported from it:
`from inception_keras.weights.published import find`.
"""


def page() -> str:
    """The text of docs/api.md."""
    names: dict[str, list[str]] = {}
    for name in ik.__all__:
        names.setdefault(ik._MODULE_OF[name].removeprefix("."), []).append(name)
    for module, more in MORE.items():
        names.setdefault(module, []).extend(more)
    text = [START]
    for title, places in SECTIONS.items():
        text.append(f"## {title}\n")
        for place in places:
            inside = sorted(module for module in names if module == place or module.startswith(f"{place}."))
            text += [_module(module, names.pop(module)) for module in inside]
    assert not names, f"SECTIONS has no place for {', '.join(names)}"
    return "\n".join(text)


def _module(name: str, names: list[str]) -> str:
    """The names of a module, one a line, and the directive for their full descriptions."""
    module = import_module(f"inception_keras.{name}")
    lines, options = [], dict[str, Any](show_root_heading=False)
    if name.startswith("models."):
        names = [*names, *(each for each in vars(module) if _is_block(module, each) and each not in names)]
        lines.append(f"### {inspect.getdoc(module).split(':')[0].rstrip('.')}\n")
        options["heading_level"] = 4
    if name == "layers":
        kerass = ("call", "build", "get_config", "compute_output_shape", "convolution_op")
        options["filters"] = ["!^_", *(f"!^{method}$" for method in kerass)]
    options["members"] = names
    lines += [f"- `{_call(name, each, getattr(module, each))}`: {_summary(getattr(module, each))}" for each in names]
    return "\n".join([*lines, "", f"::: {module.__name__}", f"    options: {json.dumps(options)}", ""])


def _is_block(module: ModuleType, name: str) -> bool:
    thing = getattr(module, name)
    return inspect.isfunction(thing) and thing.__module__ == module.__name__ and not name.startswith("_")


def _call(module: str, name: str, thing: Any) -> str:
    """A function or class with its arguments, without types. A long list ends in "..."."""
    whole = name if name in ik.__all__ and getattr(ik, name) is thing else f"{module}.{name}"
    if isinstance(thing, type) and issubclass(thing, BaseException):
        return whole
    parameters = [each.replace(annotation=each.empty) for each in inspect.signature(thing).parameters.values()]
    arguments = str(inspect.Signature(parameters)).replace("<factory>", "...")
    while len(arguments) > 80:
        arguments = f"{arguments.removesuffix(', ...)').rpartition(', ')[0]}, ...)"
    return whole + arguments


def _summary(thing: Any) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join(inspect.getdoc(thing).partition("\n\n")[0].split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

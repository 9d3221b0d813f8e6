"""Detection: the objects of an image by box, by the loss terms of the net's family."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ...analysis.box_overlays import Panel, plot_boxes
from ...checks import check_count, check_number, check_text, check_type
from ...data.datasets import Data
from ...data.images import UnreadableImage, read_image
from ...data.preprocessing import LARGEST, Preprocessing
from ...data.proposals import BoxesWithProposals, Propose, with_proposals
from ...data.targets import Boxes
from ...data.test_set import load_test_set
from ...detection.forms import FOUND, cut, image_input, is_detector, loss_terms, training_form, with_scales
from ...files import atomic_write, write_csv
from ...scope import without_weights
from ...weights.fetch import cache_folder
from ...zoo import create_model
from ..average_precision import COCO_FIGURES, coco_average_precision, voc_average_precision
from ..boxes import PACKED, MeanAveragePrecision, MeanTerm, PackDetections, Term
from ..detect import Detections, Finder, finder, finder_of_run, of_length, own_sizes, panel, proposer
from ..folder import CLASSES, EXAMPLES, MEASURES
from ..recipe import Recipe
from ..start import check_net, first_net
from ..task import DataFacts, Pictures, Task
from ..task import load as load_fields

_EXAMPLES = 4  # test images in the picture of `evaluate`
_SHOWN = 0.5  # the lowest score of a detection that is drawn
_MEAN = "mean"  # the metric of a term
_PACK = "pack_detections"  # the layer that packs what is found


@dataclass(frozen=True)
class Options:
    """The task's own fields in a recipe.

    Args:
        count: The number of training scenes, if the data are scenes.
        min_size: For nets that take images of any size: the shorter side of a photograph in `evaluate`, `predict` and
            `detect`, in pixels. With None, photographs become what the training images are, but for the crop: they
            are stretched, or get a shorter side of the same length.
        max_size: The largest longer side, in pixels. None takes 5/3 of the shorter.
        proposals: For nets that are given regions, such as `fast_rcnn`: a mode of `selective_search`; `"windows"`, a
            dense set that needs no package; or the folder of a run whose net proposes regions, such as `faster_rcnn`.
        proposals_width: The width in pixels that images are resized to for selective search.
        form: Options of the net's training form, which are as released by default. For nets of regions these are
            tables: `rpn` for the region proposal network's loss, `proposals`, and `samples` for the regions that the
            head learns from, such as `samples = { count = 64, low = 0.0 }`.
        loss_scales: Factors of terms of the loss, by their names in metrics.csv. A term with the factor 0 is left out,
            and layers that lead to no other term are frozen. Without the term "class" no mAP is measured: `map_50` is
            NaN, and the best epoch is the one with the lowest validation loss.
    """

    count: int | None = None
    min_size: int | None = None
    max_size: int | None = None
    proposals: str = "fast"
    proposals_width: int = 500
    form: Mapping[str, Any] = field(default_factory=dict)
    loss_scales: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_text("proposals", self.proposals)
        check_count("proposals_width", self.proposals_width, most=LARGEST)
        for name in ("min_size", "max_size"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), most=LARGEST)
        check_type("form", self.form, Mapping, "a table of options")
        for name, scale in check_type("loss_scales", self.loss_scales, Mapping, "a table of names").items():
            check_number(f"The factor of {name} in loss_scales", scale, least=0)

    @property
    def propose(self) -> Propose:
        """A function that gives the proposals for an image. Those of selective search are kept on the disk."""
        return proposer(self.proposals, self.proposals_width, cache_folder() / "proposals")


# ------------------------------------------------------------------------------------------------------------ training


def load(recipe: Recipe, preprocessing: Preprocessing | None) -> Data:
    """Images with boxes, and with proposals if the net takes them."""
    data = load_own(recipe, preprocessing, own_size=False)
    with without_weights():
        taken = create_model(recipe.model, **recipe.options).input
    if not isinstance(taken, dict) or "proposals" not in taken:
        return data
    return with_proposals(data, TASK.options_of(recipe).propose)


def load_own(recipe: Recipe, preprocessing: Preprocessing | None, own_size: bool = True) -> Data:
    """Images with boxes, as files. `report` makes the proposals."""
    count = TASK.options_of(recipe).count
    return load_fields(recipe, preprocessing, task="detection", count=count, own_size=own_size)


def load_test(recipe: Recipe, config: Mapping[str, Any], data: str | None, data_dir: Path | None) -> Data:
    """Other images with boxes to test a run on. Classes are matched by name."""
    prepare, most = Preprocessing.from_dict(config["preprocessing"]), recipe.max_unreadable
    return load_test_set(data, data_dir, config["class_names"], prepare, task="detection", max_unreadable=most)


def build(recipe: Recipe, data: DataFacts) -> keras.Model:
    """The training form of a recipe's net before its first step. It may start from the weights of a run."""
    check_net(recipe, "detection", "faster_rcnn")
    make = partial(create_model, recipe.model, **recipe.options)
    make = partial(make, input_shape=_shape(make, data))
    model, options = first_net(recipe, data, make), TASK.options_of(recipe)
    form = with_scales(training_form(model, **options.form), options.loss_scales)
    if not form.trainable_variables:
        raise ValueError(f"freeze {recipe.freeze!r} and loss_scales leave nothing of {model.name} to train.")
    return packed(form)


def _shape(make: Callable[..., keras.Model], data: DataFacts) -> tuple[int | None, int | None, int]:
    """The shape of the input: of any height and width, if the net and its loss take that; else that of the data."""
    height, width, channels = data.image_shape
    try:
        with without_weights():
            training_form(make(input_shape=(None, None, channels), classes=len(data.class_names)))
    except (TypeError, ValueError):
        return height, width, channels
    return None, None, channels


def packed(form: keras.Model) -> keras.Model:
    """A training form whose detections are one output, as Keras gives a metric one output."""
    found = PackDetections(dtype="float32", name=_PACK)({name: form.output[name] for name in FOUND})
    terms = {name: form.output[name] for name in loss_terms(form)}
    return keras.Model(form.input, terms | {PACKED: found}, name=form.name)


def inference(model: keras.Model) -> keras.Model:
    """The net that finds objects, without the terms of the loss."""
    return cut(model, dict(zip(sorted(FOUND), model.get_layer(_PACK).input, strict=True)))


def compile(model: keras.Model, optimizer: keras.optimizers.Optimizer, recipe: Recipe, data: Data) -> keras.Model:
    """Compiles a training form with the sum of its terms, the mean of each, and mean average precision."""
    terms = [name for name in model.output if name != PACKED]
    metrics: dict[str, list] = {name: [MeanTerm(_MEAN)] for name in terms}
    if TASK.options_of(recipe).loss_scales.get("class") != 0:
        metrics[PACKED] = [MeanAveragePrecision(len(data.class_names), name=TASK.score)]
    # no XLA: the numbers of boxes vary from batch to batch, and each would be compiled anew
    model.compile(optimizer, {name: Term() for name in terms}, metrics=metrics, jit_compile=False)
    return model


def targets(dataset: tf.data.Dataset, model: keras.Model, recipe: Recipe, data: Data) -> tf.data.Dataset:
    """The inputs of the training form, and the objects for the metric. Difficult objects are not trained on."""
    images_name, taken, terms = image_input(model), list(model.input), [name for name in model.output if name != PACKED]

    def prepared(images: tf.Tensor, objects: Mapping[str, tf.Tensor]) -> Any:
        # at least one row, as nets may look for the best of all objects
        boxes = tf.pad(objects["boxes"], ((0, 0), (0, 1), (0, 0)))
        classes = tf.pad(objects["classes"], ((0, 0), (0, 1)), constant_values=-1)
        difficult = tf.pad(objects["difficult"], ((0, 0), (0, 1)))
        trained = tf.where(difficult, -1, classes)
        inputs = {
            images_name: images,
            "boxes": tf.where((trained >= 0)[..., None], boxes, 0.0),
            "classes": trained,
        }
        if "proposals" in taken:
            inputs["proposals"] = of_length(objects["proposals"], model.input["proposals"].shape[1])
        truth = tf.concat([boxes, *(tf.cast(v, tf.float32)[..., None] for v in (classes, difficult))], axis=-1)
        nothing = tf.zeros(tf.shape(images)[:1])
        return {name: inputs[name] for name in taken}, dict.fromkeys(terms, nothing) | {PACKED: truth}

    return dataset.map(prepared)


def columns(logs: Mapping[str, float], model: keras.Model, prefix: str) -> dict[str, float]:
    """The loss, each of its terms by its name, and `map_50`, which is not measured on training batches."""
    row = {f"{prefix}loss": logs["loss"]}
    for name in model.output:
        if name != PACKED:
            row[f"{prefix}{name}"] = logs[f"{name}_{_MEAN}"]
    return row | ({f"{prefix}{TASK.score}": logs.get(f"{PACKED}_{TASK.score}", math.nan)} if prefix else {})


def measure(model: keras.Model, recipe: Recipe, data: Data) -> keras.Model:
    """The training form itself, which gives the terms of the loss and the detections."""
    return compile(model, keras.optimizers.SGD(), recipe, data)


def check(config: Mapping[str, Any], model: keras.Model | None) -> None:
    """Raises a ValueError if a config.json has no names of classes, or its model is no detector."""
    names = config["class_names"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or not names:
        raise ValueError(f"has class_names {names!r}, which must be a list of names")
    if model and not is_detector(model):
        raise ValueError("has the task detection, but model.keras gives no boxes")


# --------------------------------------------------------------------------------------------------- a trained net


@dataclass(frozen=True)
class Report:
    """The results of a detector on a test set, measured on each image at its own size.

    `map_50` is the mean average precision by VOC's rule with all points, and `map_50_11` with the 11 points of VOC
    2007. `coco` has COCO's twelve figures by name. `classes` has a row for each class, in the run's order: "voc_ap" and
    "voc_ap_11" at an IoU above 0.5, "coco_ap" over ten thresholds, the number of "objects" without difficult ones, the
    number of detections "found", and the "recall" of all of them. What nothing was counted for is NaN. `skipped` lists
    images that could not be read, with the reasons.
    """

    map_50: float
    map_50_11: float
    coco: dict[str, float]
    images: int
    classes: tuple[dict, ...]
    skipped: tuple[str, ...]

    @property
    def table(self) -> Sequence[Mapping[str, Any]]:
        """The rows of `classes`."""
        return self.classes

    @property
    def summary(self) -> str:
        """The main measures in a line."""
        return (
            f"mAP at IoU 0.5 {self.map_50:.4f} on {self.images:,} images (VOC, all points; 11 points "
            f"{self.map_50_11:.4f}), COCO's AP {self.coco['ap']:.4f}, AP50 {self.coco['ap_50']:.4f}, "
            f"AP75 {self.coco['ap_75']:.4f}"
        )


def report(model: keras.Model, data: Data, recipe: Recipe, folder: Path) -> Report:
    """Measures a net on a test set, and writes classes.csv, measures.csv and examples.png into the run's folder."""
    names, options = data.class_names, TASK.options_of(recipe)
    find, truth, found = _finder(model, data, options), [], []
    examples: list[list[Panel]] = []
    for pixels, objects in pairs(data):
        guess = find(pixels)
        truth.append(objects)
        found.append({name: getattr(guess, name) for name in FOUND})
        if len(examples) < _EXAMPLES:
            examples.append([_truth(pixels, objects, names), panel(pixels, _sure(guess))])
    voc, eleven = (voc_average_precision(truth, found, names, points=points) for points in ("all", "11"))
    coco = coco_average_precision(truth, found, names)
    rows = tuple(
        {"class": one["class"], "voc_ap": one["ap"], "voc_ap_11": two["ap"], "coco_ap": three["ap"]}
        | {name: one[name] for name in ("objects", "found", "recall")}
        for one, two, three in zip(voc.classes, eleven.classes, coco.classes, strict=True)
    )
    skipped = tuple(f"{path} {why}" for path, why in data.skipped)
    result = Report(voc.mean, eleven.mean, coco.figures, len(truth), rows, skipped)
    measures = {"map_50": voc.mean, "map_50_11": eleven.mean} | {f"coco_{k}": coco.figures[k] for k in COCO_FIGURES}
    try:
        write_csv(folder / CLASSES, rows)
        write_csv(folder / MEASURES, [{"measure": name, "value": value} for name, value in measures.items()])
        with atomic_write(folder / EXAMPLES) as part:
            plot_boxes(examples, part, titles=("truth", "found"))
    except OSError as error:  # the run of a colleague, in a folder that cannot be written to
        warnings.warn(str(error), stacklevel=3)
    return result


def _finder(model: keras.Model, data: Data, options: Options) -> Finder:
    short, stretched = own_sizes(data.preprocessing, options.min_size)
    return finder(model, data.preprocessing, data.class_names, short, options.max_size, stretched, options.propose)


def pairs(data: Data, split: str = "test") -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """The images of a split at their own size, uint8 (h, w, c), with their objects.

    Images that cannot be read are recorded in `data.skipped`.

    Raises:
        ValueError: If too many images cannot be read, or if they have no boxes.
    """
    for _, pixels, objects in numbered_pairs(data, split):
        yield pixels, objects


def numbered_pairs(data: Data, split: str) -> Iterator[tuple[int, np.ndarray, dict[str, np.ndarray]]]:
    """The same with the index of each image, by which `image_of` reads it again."""
    batches = data.batches[split]
    targets = batches.part.targets
    boxes = targets.objects if isinstance(targets, BoxesWithProposals) else targets
    if not isinstance(boxes, Boxes):
        raise ValueError(f"{data.name} has no boxes: load it with task='detection'.")
    for index in range(len(batches.part)):
        try:
            pixels = image_of(data, split, index)
        except (UnreadableImage, OSError) as error:
            if batches.unreadable:
                batches.unreadable.add(batches.part.images[index], error)
            continue
        hard = np.zeros(len(boxes.classes[index]), bool) if boxes.difficult is None else boxes.difficult[index]
        yield index, pixels, {"boxes": boxes.boxes[index], "classes": boxes.classes[index], "difficult": hard}
    data.check()


def image_of(data: Data, split: str, index: int) -> np.ndarray:
    """An image of a split at its own size, uint8 (h, w, c)."""
    source, prepare = data.batches[split].part.images[index], data.preprocessing
    return source if isinstance(source, np.ndarray) else prepare.pixels(read_image(source, prepare.channels))


def _truth(pixels: np.ndarray, objects: Mapping[str, np.ndarray], names: Sequence[str]) -> Panel:
    classes = [int(label) for label in objects["classes"]]
    return Panel(
        pixels, objects["boxes"], [names[label] for label in classes], classes, dashed=objects["difficult"].tolist()
    )


def _sure(found: Detections) -> Detections:
    """The detections that are drawn."""
    kept = found.scores >= _SHOWN
    labels = tuple(label for label, keep in zip(found.labels, kept, strict=True) if keep)
    return Detections(found.boxes[kept], labels, found.scores[kept], found.classes[kept])


def predict_image(
    model: keras.Model, image: np.ndarray, config: Mapping[str, Any], count: int
) -> tuple[list[tuple[str, float]], Pictures]:
    """The best detections with their scores, and a picture of all detections with a score of at least 0.5."""
    found = finder_of_run(model, config)(image)
    pictures: Pictures = {"boxes.png": lambda path: plot_boxes([[panel(image, _sure(found))]], path)}
    best = zip(found.labels[:count], found.scores[:count], strict=True)
    return [(label, float(score)) for label, score in best], pictures


TASK = Task(
    score="map_50",
    build=build,
    compile=compile,
    targets=targets,
    load=load,
    load_own=load_own,
    load_test=load_test,
    columns=columns,
    inference=inference,
    measure=measure,
    report=report,
    predict_image=predict_image,
    check=check,
    options=Options,
    reads=("weights", "freeze"),
)

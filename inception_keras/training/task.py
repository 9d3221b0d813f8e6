"""What a run trains for: a task is a few functions, and the run knows nothing else about it.

This file imports neither Keras nor TensorFlow, so that a recipe can be checked quickly.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..checks import check_bool, check_callable, check_text, check_type, got, nearest

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from ..data.datasets import Data
    from ..data.preprocessing import Preprocessing
    from .recipe import Recipe

TASKS = {  # name -> "module:object", imported on first use
    "classification": "inception_keras.training.tasks.classification:TASK",
    "segmentation": "inception_keras.training.tasks.segmentation:TASK",
    "detection": "inception_keras.training.tasks.detection:TASK",
}
# fields of a recipe that only matter to a task that reads them; other tasks refuse them
_OF_SOME_TASKS = ("weights", "freeze", "label_smoothing", "class_weight", "aux_weight")
_DEFAULT: Any = None  # a function that __post_init__ sets
Pictures = dict[str, Callable[[Path], None]]  # functions that write a picture, by the end of its name: "mask.png"
PredictImage = Callable[["keras.Model", "np.ndarray", Mapping[str, Any], int], tuple[list[tuple[str, float]], Pictures]]


class DataFacts(Protocol):
    """What `build` may know about the data. When a lost model.keras is written again, there is nothing else."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images, as the net gets them."""


class Report(Protocol):
    """What `evaluate` returns and the command line prints."""

    @property
    def images(self) -> int:
        """The number of images."""

    @property
    def skipped(self) -> tuple[str, ...]:
        """Images that could not be read, and why."""

    @property
    def table(self) -> Sequence[Mapping[str, object]]:
        """Rows to print, all with the same keys."""

    @property
    def summary(self) -> str:
        """The results in a line, which is printed below the table."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a run trains for, as a few functions.

    A task outside the package needs three of them: `build`, `compile`, and usually `targets`. A recipe names it as
    `"module:OBJECT"`. The functions get the recipe, whose `task_options` hold the task's own fields, and the data.

    Args:
        score: The metric that orders epochs, such as `"accuracy"`. metrics.csv has it as `score` and `val_score`.
        build: `(recipe, data) -> model`: the net before its first step, not compiled. Of the data, it may only use
            `class_names` and `image_shape`.
        compile: `(model, optimizer, recipe, data) -> model`: compiles the net with the optimizer. Losses must be means
            over images, or say by a method `count` what they are means over, as in `Steps`, so that several devices
            give the losses of one. `score` must be a metric or the loss.
        smaller_is_better: Whether the smallest `score` is the best, as for an error.
        targets: `(dataset, model, recipe, data) -> dataset`: turns batches of `(images, labels)` into what `fit` and
            `evaluate` take for this net. By default, batches stay unchanged.
        train_targets: The same for training, if it differs, such as by the weights of images.
        load: `(recipe, preprocessing) -> data`. By default, `load_data` with the fields of the recipe.
        load_own: The same for `evaluate`, which measures a finished run on its own test split. A task that looks at
            images at their own size loads them as files here. By default, `load`.
        load_test: `(recipe, config, data, data_dir) -> data`: other data, to test a finished run on. Only their test
            split is needed. By default, classes are matched by their names in the run's config.json.
        columns: `(logs, model, prefix) -> row`: the metrics of an epoch as columns of metrics.csv, "loss" and `score`
            among them. By default, all metrics.
        inference: `(model) -> model`: the net that is saved as model.keras. By default, the trained net.
        measure: `(model, recipe, data) -> model`: that net, compiled for test.csv. By default, `inference` and
            `compile`.
        report: `(model, data, recipe, folder) -> report`: measures a finished run on `data.test` for `evaluate`, and
            may write files to the folder of the run. By default, the compiled metrics.
        predict: `(output, config, count) -> [(name, number), ...]`: what `predict` says about an image, given the net's
            output for it, the run's config.json, and the largest number of entries. Without it and `predict_image`,
            `predict` refuses runs of the task.
        predict_image: `(model, image, config, count) -> (entries, pictures)`: the same for tasks that look at a
            photograph at its own size, uint8 (h, w, c). `predict --out` saves the pictures: a dict from the end of a
            file name, such as `"overlay.png"`, to a function that writes the picture to a path.
        check: `(config, model) -> None`: raises a ValueError if a run's config.json lacks what the task needs, or does
            not fit its model. The model is None until it is loaded.
        options: A dataclass of the task's own fields, whose `__post_init__` may check them. In a recipe file, they are
            the table `[task_options]`.
        reads: Which of the recipe's fields weights, freeze, label_smoothing, class_weight and aux_weight the task uses.
            The others are refused if a recipe sets them.

    Raises:
        TypeError: If `score` is not a text, one of the functions is not callable, or `options` is not a dataclass.
        ValueError: If `reads` has another name.

    Examples:
        >>> def build(recipe, data):
        ...     net = create_model(recipe.model, input_shape=data.image_shape, include_top=False, pooling="avg")
        ...     return keras.Model(net.input, keras.layers.Dense(1, name="number")(net.output))
        >>> def compile(model, optimizer, recipe, data):
        ...     model.compile(optimizer, "mse", metrics=["mae"])
        ...     return model
        >>> Task(score="mae", smaller_is_better=True, build=build, compile=compile).score
        'mae'
    """

    score: str
    build: "Callable[[Recipe, DataFacts], keras.Model]"
    compile: "Callable[[keras.Model, keras.optimizers.Optimizer, Recipe, Data], keras.Model]"
    smaller_is_better: bool = False
    targets: "Callable[[tf.data.Dataset, keras.Model, Recipe, Data], tf.data.Dataset]" = _DEFAULT
    train_targets: "Callable[[tf.data.Dataset, keras.Model, Recipe, Data], tf.data.Dataset]" = _DEFAULT
    load: "Callable[[Recipe, Preprocessing | None], Data]" = _DEFAULT
    load_own: "Callable[[Recipe, Preprocessing | None], Data]" = _DEFAULT
    load_test: "Callable[[Recipe, Mapping[str, Any], str | None, Path | None], Data]" = _DEFAULT
    columns: "Callable[[Mapping[str, float], keras.Model, str], dict[str, float]]" = _DEFAULT
    inference: "Callable[[keras.Model], keras.Model]" = _DEFAULT
    measure: "Callable[[keras.Model, Recipe, Data], keras.Model]" = _DEFAULT
    report: "Callable[[keras.Model, Data, Recipe, Path], Report]" = _DEFAULT
    predict: "Callable[[np.ndarray, Mapping[str, Any], int], list[tuple[str, float]]] | None" = None
    predict_image: "PredictImage | None" = None
    check: "Callable[[Mapping[str, Any], keras.Model | None], None]" = _DEFAULT
    options: type | None = None
    reads: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_text("score", self.score)
        check_bool("smaller_is_better", self.smaller_is_better)
        defaults: dict[str, Callable] = {
            "targets": lambda dataset, model, recipe, data: dataset,
            "load": load,
            "load_own": load if self.load is None else self.load,
            "load_test": load_test,
            "columns": lambda logs, model, prefix: {f"{prefix}{name}": value for name, value in logs.items()},
            "inference": lambda model: model,
            "measure": partial(_measure, self),
            "report": partial(_report, self),
            "check": lambda config, model: None,
        }
        for name, default in defaults.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)
        if self.train_targets is None:
            object.__setattr__(self, "train_targets", self.targets)
        for name in ("build", "compile", "train_targets", *defaults):
            check_callable(name, getattr(self, name))
        for name in ("predict", "predict_image"):
            if getattr(self, name) is not None:
                check_callable(name, getattr(self, name))
        if self.options is not None and not (isinstance(self.options, type) and is_dataclass(self.options)):
            raise TypeError(f"options must be a dataclass, got {got(self.options)}.")
        if not isinstance(self.reads, (tuple, list)) or not all(name in _OF_SOME_TASKS for name in self.reads):
            raise ValueError(f"reads must be a tuple of some of {', '.join(_OF_SOME_TASKS)}, got {got(self.reads)}.")

    def options_of(self, recipe: "Recipe") -> Any:
        """The task's own fields in a recipe, as an object of `options`.

        Raises:
            ValueError: If the task has no such field, or refuses a value.
            TypeError: If `recipe` is not a Recipe.
        """
        from .recipe import Recipe

        check_type("recipe", recipe, Recipe, "a Recipe (Recipe.load reads a file)")
        known = [] if self.options is None else [one.name for one in fields(self.options)]
        for name in recipe.task_options:
            if name not in known:
                ending = nearest(name, known) if known else "it has none."
                raise ValueError(f"The task {recipe.task} has no option {name!r}; {ending}")
        try:
            return self.options and self.options(**recipe.task_options)
        except (TypeError, ValueError) as error:
            raise ValueError(f"The options of the task {recipe.task} are not valid: {error}") from None


def task_of(recipe: "Recipe") -> Task:
    """The task of a recipe, after a check that the recipe fits it.

    Raises:
        ValueError: If the task cannot be loaded, or does not take the recipe's fields or task options.
    """
    task, default = load_task(recipe.task), type(recipe)()
    task.options_of(recipe)
    for name in _OF_SOME_TASKS:
        if name not in task.reads and getattr(recipe, name) != getattr(default, name):
            raise ValueError(f"The task {recipe.task} does not use {name}, got {got(getattr(recipe, name))}.")
    return task


def check_task_name(name: object) -> str:
    """Returns `name` if it is one of `TASKS`, or has the form `"module:OBJECT"`; nothing is imported.

    Raises:
        ValueError: If it is not.
    """
    if not isinstance(name, str):
        raise ValueError(f"task must be a text, got {got(name)}.")
    module, colon, attribute = name.partition(":")
    if not colon and name not in TASKS:
        raise ValueError(f"Unknown task {got(name)}; {nearest(name, TASKS)}")
    if colon and not (attribute.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise ValueError(f"A task outside the package is named 'module:OBJECT', got {got(name)}.")
    return name


def load_task(name: str) -> Task:
    """The task with this name. A module outside the package may be in the working directory.

    Raises:
        ValueError: If there is no such task.
    """
    module, _, attribute = TASKS.get(check_task_name(name), name).partition(":")
    here = str(Path.cwd())
    if name not in TASKS and here not in sys.path:  # a console script does not look in the working directory
        sys.path.append(here)
    try:
        task = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0] and error.name != module:
            raise ValueError(f"The task {name} cannot be loaded: {module} needs the module {error.name}.") from None
        raise ValueError(
            f"The task {name} cannot be loaded: there is no module {module} in {here} or on Python's path."
        ) from None
    except AttributeError as error:
        raise ValueError(f"The task {name} cannot be loaded: {error}.") from None
    except Exception as error:  # a module of the user may fail in any way
        reason = " ".join(str(error).split()).rstrip(".")
        raise ValueError(f"The task {name} cannot be loaded: {type(error).__name__}: {reason}.") from error
    if not isinstance(task, Task):
        raise ValueError(f"The task {name} must be an object of inception_keras.Task, got {got(task)}.")
    return task


# --------------------------------------------------------------------------------------------------- default functions


def load(recipe: "Recipe", preprocessing: "Preprocessing | None", **more: Any) -> "Data":
    """The data of a recipe. This is the one place where the fields of a recipe become arguments of `load_data`."""
    from ..data.datasets import load_data

    return load_data(
        recipe.data,
        data_dir=recipe.data_dir,
        label=recipe.label,
        image_size=recipe.image_size,
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        augment=recipe.augment,
        flip=recipe.flip,
        sampling=recipe.sampling,
        mixup=recipe.mixup,
        cutmix=recipe.cutmix,
        train_sizes=recipe.train_sizes,
        max_unreadable=recipe.max_unreadable,
        preprocessing=preprocessing,
        **more,
    )


def load_test(recipe: "Recipe", config: Mapping[str, Any], data: str | None, data_dir: Path | None) -> "Data":
    """Other data to test a run on. Their classes are matched by name."""
    from ..data.preprocessing import Preprocessing
    from ..data.test_set import load_test_set

    prepare = Preprocessing.from_dict(config["preprocessing"])
    return load_test_set(
        data, data_dir, config["class_names"], prepare, label=recipe.label, max_unreadable=recipe.max_unreadable
    )


def _measure(task: Task, model: "keras.Model", recipe: "Recipe", data: "Data") -> "keras.Model":
    return task.compile(task.inference(model), "sgd", recipe, data)


def _report(task: Task, model: "keras.Model", data: "Data", recipe: "Recipe", folder: Path) -> "Metrics":
    import tensorflow as tf

    from .devices import evaluated, no_xla_on_cpu

    net = no_xla_on_cpu(task.measure(model, recipe, data))
    try:
        logs = evaluated(net, task.targets(data.test, net, recipe, data))
    except tf.errors.OpError:
        data.check()  # raises a clear error if images are the cause
        raise
    skipped = tuple(f"{path} {why}" for path, why in data.skipped)
    return Metrics(task.columns(logs, net, ""), data.counts["test"], skipped, task.score, data.name)


@dataclass(frozen=True)
class Metrics:
    """The metrics of a run on a test set, for tasks without a report of their own."""

    metrics: dict[str, float]
    images: int
    skipped: tuple[str, ...]
    score: str  # the name of the metric that the task goes by
    name: str  # of the data

    @property
    def table(self) -> Sequence[Mapping[str, object]]:
        """A row for each metric."""
        return [{"metric": name, "value": value} for name, value in self.metrics.items()]

    @property
    def summary(self) -> str:
        """The task's score."""
        return f"{self.score} {self.metrics[self.score]:.4f} on {self.images:,} images of {self.name}"

"""The recipe of a run, as a dataclass and as a small TOML file."""

import json
import math
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..checks import check_count, check_path, counted, got, nearest, new_names, renamed, warn_of_old_name
from .task import check_task_name

RECIPES = Path(__file__).parents[1] / "recipes"
OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")
SCHEDULES = ("constant", "cosine", "plateau", "poly", "step")
_CHOICES = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "augment": ("none", "shift", "crop"),
    "precision": ("float32", "mixed_float16", "mixed_bfloat16"),
    "sampling": ("natural", "balanced"),
}
_COUNTS = {  # the smallest and the largest allowed value
    "epochs": (1, 10**6),
    "batch_size": (1, 10**6),
    "devices": (1, 4096),
    "seed": (0, 2**32 - 1),
    "patience": (0, 10**6),
}
_RANGES: dict[str, tuple[int, float, bool]] = {  # smallest, largest, and whether the largest is allowed
    "aux_weight": (0, 1e6, True),
    "weight_decay": (0, 1e6, True),
    "warmup_epochs": (0, 1e6, True),
    "label_smoothing": (0, 1, False),
    "mixup": (0, 1e6, True),
    "cutmix": (0, 1e6, True),
    "ema": (0, 1, False),
    "max_unreadable": (0, 1, True),
    "save_minutes": (0, 1e6, True),
}
_LARGEST_CLASS_WEIGHT = 1e6
_LARGEST_RATE = 1e30  # training is in float32, whose largest number is 3.4e38
_LARGEST_SIDE = 2**14  # pixels
_DEVICE = re.compile(r"/?(device:)?(auto|[cgt]pu)(:\d{1,4})?", re.IGNORECASE)
FINETUNE = {  # defaults of the command `finetune` that differ from those of `Recipe`
    "model": "squeezenet1_1",
    "weights": "imagenet",
    "freeze": "early",
    "data": None,
    "epochs": 10,
    "batch_size": 16,
}
_TEXTS_OR_NONE = ("data", "data_dir", "weights", "freeze", "label")
_WHETHER = ("sync_batch_norm", "deterministic")
OLD_NAMES = {"max_bad": "max_unreadable", "keep": "keep_epochs"}  # fields that earlier versions named otherwise
_LONGEST = 100_000  # bytes of a recipe file; recipes have about a thousand


@renamed(**OLD_NAMES)
@dataclass(frozen=True)
class Recipe:
    """All settings of a run. They are stored in the config.json of its folder.

    Args:
        model: A model id.
        options: Options of the model's builder, such as `{"aux": True}`.
        weights: The weights to start from: None for fresh weights; `"imagenet"` or another published set, with a fresh
            classifier as from `transfer`; or the folder of a run of this model. The run's classifier is kept if the
            classes are the same. For segmentation, the run may be of another net: layers of the same name and shape get
            its weights. Images are prepared in the same way as for those weights.
        freeze: The blocks of a net with pretrained weights that are not trained, as for `transfer`: `"all"`, `"early"`
            (all except those at the last resolution), `"up to BLOCK"` or a shell pattern; None trains every block.
        data: A named data set, `"digits"`, `"mnist"`, `"fashion_mnist"`, `"cifar10"` or `"cifar100"`; None (in a file
            "") for what is in `data_dir`.
        data_dir: A folder of images by class, IDX files, CIFAR archives, or another format of `load_data`.
        label: The column of a CSV file that holds the labels, if more than one column could.
        image_size: Images are resized to this height and width, in pixels. None uses the size of the pretrained
            weights; without weights, 224 for encoded images, 32 for digits, and the stored size for all others.
        train_sizes: Sides in pixels that the training images are resized to, for each epoch the next one by turns, as
            SPPnet was trained at 180 and 224. The net must take images of any size. Validation and test keep
            `image_size`. Empty trains at `image_size` alone.
        epochs: Passes over the training images.
        batch_size: Images in a step, on all devices together.
        optimizer: `"adam"`, `"adamw"`, `"rmsprop"` or `"sgd"` (momentum 0.9).
        learning_rate: The highest learning rate of the schedule.
        schedule: `"constant"`, `"cosine"` (down to 0), `"poly"` (to 0 with the power 0.5, as Caffe trained GoogLeNet),
            `"step"` (a tenth after half of the steps, a hundredth after three quarters) or `"plateau"` (a tenth after
            every 5 epochs without a better validation score).
        warmup_epochs: Epochs in which the learning rate rises evenly from 0, before the schedule; may be a fraction.
        weight_decay: Each step takes this share, times the learning rate, off every weight except biases and norms.
            With momentum 0.9, multiply Caffe's or PyTorch's weight decay by 10.
        label_smoothing: The share of each label that is spread over all classes. The losses of metrics.csv, also on
            validation, are those of the smoothed labels; test.csv has the plain cross-entropy.
        class_weight: Weights of the classes in the training loss of every head: a table of class names with weights
            above 0, in which a class that is not named has the weight 1; or `"balanced"`, which gives a class the
            weight images / (classes * images of the class). A mixture of two images gets the mixture of their weights.
            As in Keras, the weighted losses are divided by the number of images. Validation and test are not weighted.
            For segmentation, read pixels for images.
        sampling: `"natural"` shows every training image once an epoch. `"balanced"` shows as many images, but every
            class equally often: images of rare classes are repeated, and frequent classes show a random part.
        mixup: Alpha of mixup, arXiv:1710.09412; 0 turns it off.
        cutmix: Alpha of CutMix, arXiv:1905.04899; 0 turns it off. With both, each batch uses one of them at random.
        augment: `"none"`, `"shift"` (by up to an eighth of the sides) or `"crop"` (a random part, resized).
        flip: Mirrors half of the training images. None mirrors if there is augmentation and a mirrored image still
            belongs to its class.
        ema: Momentum of the moving average of the weights. The average is validated and saved in place of the weights;
            0 turns it off.
        aux_weight: Weight of the loss of each auxiliary head.
        patience: The run stops after this many epochs without a better validation score; 0 never stops it early.
        precision: `"float32"`, `"mixed_float16"` or `"mixed_bfloat16"`. Weights and the heads' softmax stay float32.
        devices: The number of this machine's devices that share the work; TF_CONFIG adds other machines.
        sync_batch_norm: Batch norm takes its statistics from the images of all devices, not from each device's own.
        max_unreadable: The largest share of unreadable images that does not stop the run.
        seed: Seed of weights, splits, order and augmentation.
        deterministic: Turns on TensorFlow's op determinism for this process. Without it a resumed run on a GPU may
            differ in the last digits.
        save_minutes: Minutes between two saves of the state within an epoch; 0 saves only at the end of an epoch.
        device: `"auto"`, `"cpu"`, `"gpu"`, or one of several, such as `"gpu:1"`.
        keep_epochs: Epochs whose weights are kept and evaluated, besides the best epoch and the last.
        task: What the model is trained for: `"classification"`, `"segmentation"`, or `"module:OBJECT"` for a `Task`
            outside the package, whose module is in the working directory or on Python's path.
        task_options: The task's own fields.

    Raises:
        ValueError: If a value is not allowed.

    Examples:
        >>> Recipe(model="googlenet_cifar", options={"aux": True}, epochs=3).schedule
        'cosine'
        >>> Recipe.load("googlenet_digits").with_changes(epochs=2).epochs
        2
    """

    model: str = "googlenet_cifar"
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None
    freeze: str | None = None
    data: str | None = "digits"
    data_dir: str | None = None
    label: str | None = None
    image_size: int | tuple[int, int] | None = None
    train_sizes: tuple[int, ...] = ()
    epochs: int = 12
    batch_size: int = 64
    optimizer: str = "adam"
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    warmup_epochs: float = 0.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    class_weight: str | Mapping[str, float] | None = None
    sampling: str = "natural"
    mixup: float = 0.0
    cutmix: float = 0.0
    augment: str = "shift"
    flip: bool | None = None
    ema: float = 0.0
    aux_weight: float = 0.3
    patience: int = 0
    precision: str = "float32"
    devices: int = 1
    sync_batch_norm: bool = False
    max_unreadable: float = 0.1
    seed: int = 0
    deterministic: bool = True
    save_minutes: float = 10.0
    device: str = "auto"
    keep_epochs: tuple[int, ...] = ()
    task: str = "classification"
    task_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_task_name(self.task)
        for name, known in _CHOICES.items():
            value = getattr(self, name)
            if not isinstance(value, str) or value not in known:
                raise ValueError(f"Unknown {name} {got(value)}; {nearest(value, known)}")
        for name, (least, most) in _COUNTS.items():
            check_count(name, getattr(self, name), least, most)
        if not _is_number(self.learning_rate) or not 0 < self.learning_rate <= _LARGEST_RATE:
            limit = f"above 0 and at most {_LARGEST_RATE:g}"
            raise ValueError(f"learning_rate must be a number {limit}, got {got(self.learning_rate)}.")
        for name, (low, high, included) in _RANGES.items():
            value = getattr(self, name)
            if not _is_number(value) or not (low <= value < high or (included and value == high)):
                limit = f"{'at most' if included else 'below'} {high:g}"
                raise ValueError(f"{name} must be a number of at least {low} and {limit}, got {got(value)}.")
        if not self.warmup_epochs < self.epochs:
            raise ValueError(f"warmup_epochs must be below epochs, {self.epochs}, got {self.warmup_epochs!r}.")
        for name in _WHETHER:
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, got {got(getattr(self, name))}.")
        if self.flip is not None and not isinstance(self.flip, bool):
            raise ValueError(f"flip must be true, false or None, got {got(self.flip)}.")
        for name in ("data_dir", "weights"):
            if isinstance(value := getattr(self, name), os.PathLike):
                object.__setattr__(self, name, str(check_path(name, value)))
        for name in ("model", "device", *_TEXTS_OR_NONE):
            value = getattr(self, name)
            if not isinstance(value, str) and not (value is None and name in _TEXTS_OR_NONE):
                raise ValueError(f"{name} must be a text, got {got(value)}.")
            if isinstance(value, str) and "\0" in value:
                raise ValueError(f"{name} must be a text without zero bytes, got {got(value)}.")
        if not _DEVICE.fullmatch(self.device):
            raise ValueError(f"device must be 'auto', 'cpu', 'gpu' or such as 'gpu:1', got {got(self.device)}.")
        if self.freeze not in (None, "none") and self.weights is None:
            raise ValueError(f"To freeze {self.freeze!r} a recipe needs weights, got none: they would stay random.")
        if self.data == "" or (self.data_dir is not None and self.data == "digits"):  # no folder holds digits
            object.__setattr__(self, "data", None)
        if isinstance(self.image_size, (list, tuple)):
            sides = tuple(check_count("image_size", side, 1, _LARGEST_SIDE) for side in self.image_size)
            if len(sides) != 2:
                raise ValueError(f"image_size must be one number or a height and a width, got {got(self.image_size)}.")
            object.__setattr__(self, "image_size", sides)
        elif self.image_size is not None:
            check_count("image_size", self.image_size, 1, _LARGEST_SIDE)
        if not isinstance(self.train_sizes, (list, tuple)):
            raise ValueError(f"train_sizes must be a list of sides, got {got(self.train_sizes)}.")
        sides = tuple(check_count("a side of train_sizes", side, 1, _LARGEST_SIDE) for side in self.train_sizes)
        object.__setattr__(self, "train_sizes", sides)
        for name in ("options", "task_options"):
            table = getattr(self, name)
            if not isinstance(table, Mapping) or not all(map(_is_plain, table.values())):
                raise ValueError(
                    f"{name} must be a table of names with numbers, texts, lists or tables, got {got(table)}."
                )
            object.__setattr__(self, name, dict(table))
        object.__setattr__(self, "class_weight", _class_weight(self.class_weight))
        if not isinstance(self.keep_epochs, (list, tuple)):
            raise ValueError(f"keep_epochs must be a list of epochs, got {got(self.keep_epochs)}.")
        if beyond := [epoch for epoch in self.keep_epochs if check_count("a kept epoch", epoch) > self.epochs]:
            raise ValueError(
                f"keep_epochs has epoch {beyond[0]}, but the run has only {counted(self.epochs, 'epoch')}."
            )
        object.__setattr__(self, "keep_epochs", tuple(sorted(set(self.keep_epochs))))

    @classmethod
    def load(cls, name: str | Path) -> "Recipe":
        """Loads a shipped recipe by its name, or a TOML file whose entries are fields of `Recipe`.

        Raises:
            ValueError: If the recipe does not exist, or the file is not a valid recipe.
            FileNotFoundError: If the file does not exist.

        Examples:
            >>> _ = (tmp_path / "mine.toml").write_text('model = "lenet5_modern"')
            >>> Recipe.load(tmp_path / "mine.toml").model
            'lenet5_modern'
        """
        return cls.from_dict(*read_entries(name))

    @classmethod
    def from_dict(cls, entries: object, origin: str) -> "Recipe":
        """Builds a recipe from a dict of its fields. Errors name `origin` as the source of the fields."""
        if not isinstance(entries, Mapping):
            raise ValueError(f"{origin}: a recipe is a table of fields, got {entries!r}.")
        try:
            entries = new_names(entries, OLD_NAMES, origin)
        except TypeError as error:
            raise ValueError(str(error)) from None
        known = [one.name for one in fields(cls)]
        for name in entries:
            if name not in known:
                raise ValueError(f"{origin}: a recipe has no field {name!r}; {nearest(name, known)}")
        try:
            return cls(**entries)
        except ValueError as error:
            raise ValueError(f"{origin}: {error}") from None

    @renamed(**OLD_NAMES)
    def with_changes(self, **changes: Any) -> "Recipe":
        """A copy of the recipe with other values of some fields. New `options` and `task_options` are added to the old.

        If `epochs` becomes smaller, later epochs are removed from `keep_epochs`.
        """
        for name in {"options", "task_options"} & changes.keys():
            changes[name] = {**getattr(self, name), **changes[name]}
        if isinstance(epochs := changes.get("epochs"), int) and "keep_epochs" not in changes:
            changes["keep_epochs"] = tuple(epoch for epoch in self.keep_epochs if epoch <= epochs)
        return type(self)(**asdict(self) | changes)

    @property
    def max_bad(self) -> float:
        """The old name of `max_unreadable`."""
        warn_of_old_name("Recipe.max_bad", "Recipe.max_unreadable")
        return self.max_unreadable

    @property
    def keep(self) -> tuple[int, ...]:
        """The old name of `keep_epochs`."""
        warn_of_old_name("Recipe.keep", "Recipe.keep_epochs")
        return self.keep_epochs

    def to_dict(self) -> dict[str, Any]:
        """The fields in the form that config.json has."""
        return json.loads(json.dumps(asdict(self)))


def read_entries(name: str | Path) -> tuple[dict[str, Any], str]:
    """The entries of a shipped recipe or a TOML file, and the path of the file."""
    shipped = {path.stem: path for path in RECIPES.glob("*.toml")}
    path = shipped.get(str(name), check_path("name", name))
    if not path.is_file():
        if path.suffix == ".toml" or len(path.parts) > 1:
            raise FileNotFoundError(f"There is no recipe file {path}.")
        raise ValueError(f"Unknown recipe {str(name)!r}; {nearest(str(name), list(shipped))}")
    with path.open("rb") as file:
        content = file.read(_LONGEST + 1)
    if len(content) > _LONGEST:
        raise ValueError(f"{path} is longer than {_LONGEST:,} bytes: it is no recipe.")
    try:
        return tomllib.loads(content.decode()), str(path)
    except (ValueError, RecursionError) as error:  # invalid UTF-8 raises a ValueError too
        raise ValueError(f"{path} is not a TOML file: {' '.join(str(error).split())}.") from None


def explanations() -> dict[str, str]:
    """The explanation of each field of a recipe, taken from the docstring of `Recipe`."""
    text = (Recipe.__doc__ or "").partition("Args:\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", text, re.MULTILINE)
    return {name: " ".join(entry.replace("`", "").split()) for name, entry in entries}


def _class_weight(value: object) -> str | dict[str, float] | None:
    if value is None or (isinstance(value, str) and value == "balanced"):
        return value
    if not isinstance(value, Mapping) or not value:
        raise ValueError(
            f"class_weight must be 'balanced', a table of class names with weights, or None, got {got(value)}."
        )
    weights = {}
    for name, weight in value.items():
        if not isinstance(name, str):
            raise ValueError(f"class_weight must call classes by their names, such as 'cat', got {got(name)}.")
        if not _is_number(weight) or not 0 < weight <= _LARGEST_CLASS_WEIGHT:
            limit = f"above 0 and at most {_LARGEST_CLASS_WEIGHT:g}"
            raise ValueError(f"class_weight of {name!r} must be a number {limit}, got {got(weight)}.")
        weights[name] = float(weight)
    return weights


def _is_number(value: object) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and value < 2**53)


def _is_plain(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, Mapping):
        return all(isinstance(name, str) for name in value) and all(map(_is_plain, value.values()))
    return value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value))

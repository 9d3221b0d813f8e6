"""What a run does, as a dataclass and as a small TOML file."""

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..blocks import check_count
from ..zoo import nearest

RECIPES = Path(__file__).parents[1] / "recipes"
OPTIMIZERS = ("adam", "adamw", "rmsprop", "sgd")
SCHEDULES = ("constant", "cosine", "plateau", "poly", "step")
_CHOICES = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "augment": ("none", "shift", "crop"),
    "precision": ("float32", "mixed_float16", "mixed_bfloat16"),
}
_COUNTS = {"epochs": 1, "batch_size": 1, "devices": 1, "seed": 0, "patience": 0}  # with the least that each may be
_RANGES = {  # least, most, and whether the most itself is meant
    "aux_weight": (0, math.inf, False),
    "weight_decay": (0, math.inf, False),
    "warmup_epochs": (0, math.inf, False),
    "label_smoothing": (0, 1, False),
    "mixup": (0, math.inf, False),
    "cutmix": (0, math.inf, False),
    "ema": (0, 1, False),
    "max_bad": (0, 1, True),
    "save_minutes": (0, math.inf, False),
}
_TEXTS_OR_NONE = ("data", "data_dir", "weights", "freeze", "label")
_WHETHER = ("sync_batch_norm", "deterministic")
_LONGEST = 100_000  # bytes of a file; recipes have about a thousand


@dataclass(frozen=True)
class Recipe:
    """What a run does; config.json of its folder holds it.

    Args:
        model: A model id.
        options: Options of its builder, such as `{"aux": True}`.
        weights: What it starts from: None for fresh weights; `"imagenet"` or another published set, with a fresh
            classifier, as of `transfer`; or the folder of a run of this model, whose classifier stays if the classes
            are the same. Images go through what those weights were trained with.
        freeze: With weights, which blocks are frozen, as for `transfer`; None for none.
        data: A named data set, or None (in a file "") for what lies in `data_dir`.
        data_dir: A folder of data in one of the formats of `load_data`.
        label: The column of a CSV file that has the labels, if several could.
        image_size: Height and width that images are resized to, in pixels; None keeps the data's own.
        epochs: Passes over the training images.
        batch_size: Images a step, those of all devices together.
        optimizer: `"adam"`, `"adamw"`, `"rmsprop"` or `"sgd"` (momentum 0.9).
        learning_rate: The highest.
        schedule: `"constant"`, `"cosine"` (down to 0), `"poly"` (to 0 with the power 0.5, as Caffe trained GoogLeNet),
            `"step"` (a tenth after half of the steps, a hundredth after three quarters) or `"plateau"` (a tenth after
            each 5 epochs without a better validation score).
        warmup_epochs: Epochs, or a part of one, in which the learning rate rises evenly from 0; the schedule follows.
        weight_decay: Share of a weight, times the learning rate, that each step takes off it; biases and norms keep
            theirs. Caffe's and torch's decay of SGD goes through the momentum: theirs, times ten, is this one.
        label_smoothing: Share of each label that is spread over all classes.
        mixup: Alpha of mixup, arXiv:1710.09412; 0 for none.
        cutmix: Alpha of CutMix, arXiv:1905.04899; 0 for none. With both, each batch draws one of them.
        augment: `"none"`, `"shift"` (by up to an eighth of the sides) or `"crop"` (a random part, resized).
        flip: Mirrors half of the training images; None mirrors where a mirrored image is still of its class.
        ema: Momentum of an average of the weights over the steps, which is what is validated and kept; 0 for none.
        aux_weight: Weight of each auxiliary loss.
        patience: Epochs without a better validation score after which the run stops; 0 for none.
        precision: `"float32"`, `"mixed_float16"` or `"mixed_bfloat16"`. Weights and the heads' softmax stay float32.
        devices: How many devices of this machine share the work; machines are shared by TF_CONFIG.
        sync_batch_norm: Batch norm over the images of all devices, not of each.
        max_bad: Share of images that cannot be read above which the run stops.
        seed: Of weights, splits, order and augmentation.
        deterministic: TensorFlow's op determinism, for this process: without it, a resumed run on a GPU may differ in
            the last digits.
        save_minutes: Minutes between two saves of the state within an epoch; 0 saves at the ends of epochs alone.
        device: As for `device`.
        keep: Epochs whose weights are kept and evaluated, besides the best and the last.

    Raises:
        ValueError: If a value is none of those above.

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
    image_size: Any = None
    epochs: int = 12
    batch_size: int = 64
    optimizer: str = "adam"
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    warmup_epochs: float = 0.0
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
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
    max_bad: float = 0.1
    seed: int = 0
    deterministic: bool = True
    save_minutes: float = 10.0
    device: str = "auto"
    keep: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, known in _CHOICES.items():
            if (value := getattr(self, name)) not in known:
                raise ValueError(f"Unknown {name} {value!r}; {nearest(str(value), list(known))}")
        for name, least in _COUNTS.items():
            check_count(name, getattr(self, name), least)
        if not _is_number(self.learning_rate) or not 0 < self.learning_rate < math.inf:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate!r}.")
        for name, (least, most, included) in _RANGES.items():
            value = getattr(self, name)
            if not _is_number(value) or not (least <= value < most or (included and value == most)):
                limit = "" if most == math.inf else f" and {'at most' if included else 'below'} {most}"
                raise ValueError(f"{name} must be a number of at least {least}{limit}, got {value!r}.")
        if not self.warmup_epochs < self.epochs:
            raise ValueError(f"warmup_epochs must be below epochs, {self.epochs}, got {self.warmup_epochs!r}.")
        for name in _WHETHER:
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name} must be true or false, got {getattr(self, name)!r}.")
        if self.flip is not None and not isinstance(self.flip, bool):
            raise ValueError(f"flip must be true, false or None, got {self.flip!r}.")
        for name in ("model", "device", *_TEXTS_OR_NONE):
            value = getattr(self, name)
            if not isinstance(value, str) and not (value is None and name in _TEXTS_OR_NONE):
                raise ValueError(f"{name} must be a text, got {value!r}.")
        if self.freeze is not None and self.weights is None:
            raise ValueError(f"To freeze {self.freeze!r} a recipe needs weights, got none: they would stay random.")
        if self.data == "" or (self.data_dir is not None and self.data == "digits"):  # no folder holds digits
            object.__setattr__(self, "data", None)
        if isinstance(self.image_size, (list, tuple)):
            object.__setattr__(self, "image_size", tuple(check_count("image_size", side) for side in self.image_size))
        elif self.image_size is not None:
            check_count("image_size", self.image_size)
        if not isinstance(self.options, Mapping) or not all(map(_is_plain, self.options.values())):
            raise ValueError(f"options must be a table of names with numbers, texts or lists, got {self.options!r}.")
        object.__setattr__(self, "options", dict(self.options))
        if not isinstance(self.keep, (list, tuple)):
            raise ValueError(f"keep must be a list of epochs, got {self.keep!r}.")
        if not all(1 <= check_count("a kept epoch", epoch) <= self.epochs for epoch in self.keep):
            raise ValueError(f"Kept epochs must lie between 1 and {self.epochs}, got {list(self.keep)}.")
        object.__setattr__(self, "keep", tuple(self.keep))

    @classmethod
    def load(cls, name: str | Path) -> "Recipe":
        """A shipped recipe by its name, or a TOML file whose entries are the fields above.

        Raises:
            ValueError: If there is no such recipe, or the file is not one.
            FileNotFoundError: If there is no such file.

        Examples:
            >>> _ = (tmp_path / "mine.toml").write_text('model = "lenet5_modern"')
            >>> Recipe.load(tmp_path / "mine.toml").model
            'lenet5_modern'
        """
        shipped = {path.stem: path for path in RECIPES.glob("*.toml")}
        path = shipped.get(str(name), Path(name))
        if not path.is_file():
            if path.suffix == ".toml" or len(path.parts) > 1:
                raise FileNotFoundError(f"There is no recipe file {path}.")
            raise ValueError(f"Unknown recipe {str(name)!r}; {nearest(str(name), list(shipped))}")
        with path.open("rb") as file:
            content = file.read(_LONGEST + 1)
        if len(content) > _LONGEST:
            raise ValueError(f"{path} is longer than {_LONGEST:,} bytes: it is no recipe.")
        try:
            entries = tomllib.loads(content.decode())
        except (ValueError, RecursionError) as error:  # bad UTF-8 is a ValueError too
            raise ValueError(f"{path} is not a TOML file: {' '.join(str(error).split())}.") from None
        return cls.from_dict(entries, origin=str(path))

    @classmethod
    def from_dict(cls, entries: Any, origin: str) -> "Recipe":
        """A recipe of a table of its fields; an error names where they come from."""
        if not isinstance(entries, Mapping):
            raise ValueError(f"{origin}: a recipe is a table of fields, got {entries!r}.")
        known = [one.name for one in fields(cls)]
        for name in entries:
            if name not in known:
                raise ValueError(f"{origin}: a recipe has no field {name!r}; {nearest(name, known)}")
        try:
            return cls(**entries)
        except ValueError as error:
            raise ValueError(f"{origin}: {error}") from None

    def with_changes(self, **changes: Any) -> "Recipe":
        """The recipe with other values of some fields; `options` are added to those there are.

        With other `epochs`, those that are kept are those of them that there still are.
        """
        if "options" in changes:
            changes["options"] = {**self.options, **changes["options"]}
        if isinstance(epochs := changes.get("epochs"), int) and "keep" not in changes:
            changes["keep"] = tuple(epoch for epoch in self.keep if epoch <= epochs)
        return type(self)(**asdict(self) | changes)

    def to_dict(self) -> dict[str, Any]:
        """The fields as config.json has them."""
        return json.loads(json.dumps(asdict(self)))


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool) and value < 2**53)


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, str)) or (isinstance(value, float) and math.isfinite(value))

"""A training run: a recipe in, a folder with the model, its figures and its pictures out."""

import csv
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras

from ..analysis.curves import plot_curves
from ..analysis.diagrams import plot_blocks
from ..blocks import check_count
from ..data.named import Data, load_data
from ..weights.store import load_weights, save_weights
from ..zoo import nearest
from .compile import compile_model, heads, strip_aux, with_aux_labels
from .devices import device
from .start import first_model, first_preprocessing

_OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
}
_SCHEDULES = {
    "constant": lambda rate, steps: rate,
    "cosine": keras.optimizers.schedules.CosineDecay,
    "poly": lambda rate, steps: keras.optimizers.schedules.PolynomialDecay(rate, steps, 0.0, power=0.5),
    "step": lambda rate, steps: keras.optimizers.schedules.PiecewiseConstantDecay(
        [steps // 2, steps * 3 // 4], [rate, rate / 10, rate / 100]
    ),
}


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
        data: A named data set, or None for what lies in `data_dir`.
        data_dir: A folder with IDX files, CIFAR archives or images by class.
        image_size: Height and width that images are resized to, in pixels; None keeps the data's own.
        epochs: Passes over the training images.
        batch_size: Images a step.
        optimizer: `"adam"`, `"adamw"`, `"rmsprop"` or `"sgd"` (momentum 0.9).
        learning_rate: At the first step.
        schedule: `"constant"`, `"cosine"` (down to 0), `"poly"` (to 0 with the power 0.5, as Caffe trained GoogLeNet)
            or `"step"` (a tenth after half of the steps, a hundredth after three quarters).
        aux_weight: Weight of each auxiliary loss.
        seed: Of weights, splits, order and augmentation.
        device: As for `device`.
        keep: Epochs whose weights are kept and evaluated, besides the best and the last.

    Raises:
        ValueError: If a value is none of those above.

    Examples:
        >>> Recipe(model="googlenet_cifar", options={"aux": True}, epochs=3).schedule
        'cosine'
    """

    model: str = "googlenet_cifar"
    options: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = None
    freeze: str | None = None
    data: str | None = "digits"
    data_dir: str | None = None
    image_size: int | None = None
    epochs: int = 12
    batch_size: int = 64
    optimizer: str = "adam"
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    aux_weight: float = 0.3
    seed: int = 0
    device: str = "auto"
    keep: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, known in (("optimizer", _OPTIMIZERS), ("schedule", _SCHEDULES)):
            if getattr(self, name) not in known:
                raise ValueError(f"Unknown {name} {getattr(self, name)!r}; {nearest(getattr(self, name), list(known))}")
        if self.freeze and not self.weights:
            raise ValueError(f"To freeze {self.freeze!r} a recipe needs weights, got none: they would stay random.")
        check_count("epochs", self.epochs)
        check_count("batch_size", self.batch_size)
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate!r}.")
        if not all(1 <= check_count("a kept epoch", epoch) <= self.epochs for epoch in self.keep):
            raise ValueError(f"Kept epochs must lie between 1 and {self.epochs}, got {list(self.keep)}.")


@dataclass(frozen=True)
class Result:
    """What a run came to. `rows` are those of test.csv, one for each kept checkpoint."""

    folder: Path
    best_epoch: int
    validation_accuracy: float
    test_accuracy: float
    rows: tuple[dict, ...]
    skipped: tuple[str, ...]  # images that could not be read, and why; config.json has them too


def train(recipe: Recipe, out: str | Path, *, verbose: int | str = "auto") -> Result:
    """Trains a model and leaves all that is worth looking at in a folder.

    The folder gets config.json; model.png; checkpoints/ with weights of the kept epochs, the last and the best;
    metrics.csv, a row an epoch, rewritten after each; and at the end curves.png, test.csv with every kept checkpoint
    on validation and test set, and model.keras: the net without auxiliary heads, with the weights best on validation.

    Args:
        recipe: What to do.
        out: The folder; it is made, and must not hold a run already.
        verbose: Keras's progress bar: 0 for none, 1 for a bar, 2 for a line an epoch.

    Returns:
        The figures of the run.

    Raises:
        ValueError: If the recipe does not fit the data or the model.
        FileExistsError: If the folder holds a run.

    Examples:
        >>> recipe = Recipe(model="lenet5_modern", epochs=1)
        >>> train(recipe, tmp_path / "run", verbose=0).best_epoch
        1
    """
    out = Path(out)
    if (out / "config.json").exists():
        raise FileExistsError(f"{out} holds a run already: name another folder, or remove it.")
    with device(recipe.device):
        keras.utils.set_random_seed(recipe.seed)
        data = load_data(
            recipe.data,
            data_dir=recipe.data_dir,
            image_size=recipe.image_size,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            preprocessing=first_preprocessing(recipe),
        )
        model = first_model(recipe, data)
        steps = recipe.epochs * len(data.train)
        rate = _SCHEDULES[recipe.schedule](recipe.learning_rate, steps)
        optimizer = _OPTIMIZERS[recipe.optimizer](rate)
        compile_model(model, optimizer, aux_weight=recipe.aux_weight, metrics=("accuracy", "cross_entropy"))

        (out / "checkpoints").mkdir(parents=True, exist_ok=True)
        config = {
            "recipe": asdict(recipe),
            "counts": data.counts,
            "class_names": data.class_names,
            "preprocessing": data.preprocessing.to_dict(),
            "skipped": _skipped(data),
        }
        (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        plot_blocks(model, out / "model.png")

        record = _Record(out, recipe, data.counts["train"], heads(model))
        model.fit(
            with_aux_labels(data.train, model),
            validation_data=with_aux_labels(data.validation, model),
            epochs=recipe.epochs,
            shuffle=False,  # the pipeline does
            verbose=verbose,
            callbacks=[record, *([_Bar()] if verbose else [])],
        )
        return _finish(out, recipe, data, model, record)


def _finish(out: Path, recipe: Recipe, data: Data, model: keras.Model, record: "_Record") -> Result:
    """Evaluates the kept checkpoints, and saves the best as the model of the run."""
    net = compile_model(strip_aux(model))
    rows = []
    for epoch in sorted({*recipe.keep, recipe.epochs, record.best_epoch}):
        load_weights(model, checkpoint(out, epoch))
        row: dict[str, Any] = {"epoch": epoch, "best": epoch == record.best_epoch}
        for part, dataset in (("validation", data.validation), ("test", data.test)):
            figures = net.evaluate(dataset, verbose=0, return_dict=True)
            row |= {f"{part}_loss": figures["loss"], f"{part}_accuracy": figures["accuracy"]}
        rows.append(row)
    write_csv(out / "test.csv", rows)
    load_weights(model, checkpoint(out, record.best_epoch))
    keras.Model(net.input, net.output, name=net.name).save(out / "model.keras")  # without the optimizer
    plot_curves(record.rows, out / "curves.png", best=record.best_epoch, title=f"{recipe.model} on {data.name}")
    best = next(row for row in rows if row["best"])
    return Result(
        out, record.best_epoch, best["validation_accuracy"], best["test_accuracy"], tuple(rows), _skipped(data)
    )


def _skipped(data: Data) -> tuple[str, ...]:
    return tuple(f"{path} {reason}" for path, reason in data.skipped)


def checkpoint(out: Path, epoch: int) -> Path:
    """Where the weights of an epoch lie."""
    return out / "checkpoints" / f"epoch_{epoch:03}.safetensors"


def write_csv(path: Path, rows: list[dict]) -> None:
    """Writes rows under the names of the first. A reader never sees half a file."""
    part = path.with_suffix(".part")
    with part.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    part.replace(path)


class _Bar(keras.callbacks.ProgbarLogger):
    """Keras's progress bar with the classifier's figures alone: those of every head do not fit on a line."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        super().on_train_batch_end(batch, _classifiers(logs))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        super().on_epoch_end(epoch, _classifiers(logs))


def _classifiers(logs: Any) -> dict[str, float]:
    """Loss and accuracy of "predictions", in training and validation."""
    if "predictions_accuracy" not in logs:
        return {name: logs[name] for name in logs if not name.endswith("cross_entropy")}
    names = {"loss": "predictions_cross_entropy", "accuracy": "predictions_accuracy"}
    return {p + short: logs[p + long] for p in ("", "val_") for short, long in names.items() if p + long in logs}


class _Record(keras.callbacks.Callback):
    """After each epoch: a row of metrics.csv, and the checkpoints that the recipe keeps."""

    def __init__(self, out: Path, recipe: Recipe, images: int, names: list[str]):
        super().__init__()
        self._out, self._recipe, self._images, self._names = out, recipe, images, names
        self.rows: list[dict] = []
        self.best_epoch = 0
        self._best = (-1.0, 0.0)
        self._begun = self._trained = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._begun = time.perf_counter()

    def on_test_begin(self, logs: Any = None) -> None:
        self._trained = time.perf_counter() - self._begun

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        number = epoch + 1
        figures = self._figures(logs)
        row = {"epoch": number} | figures
        row["learning_rate"] = float(self.model.optimizer.learning_rate)
        row |= {"seconds": self._trained, "images_per_second": self._images / self._trained}
        self.rows.append(row)
        write_csv(self._out / "metrics.csv", self.rows)

        reached = (figures["val_accuracy"], -figures["val_loss"])
        better = reached > self._best
        if better or number in self._recipe.keep or number == self._recipe.epochs:
            save_weights(self.model, checkpoint(self._out, number))
        if better:
            if self.best_epoch and self.best_epoch not in self._recipe.keep:
                checkpoint(self._out, self.best_epoch).unlink()
            self._best, self.best_epoch = reached, number

    def _figures(self, logs: Mapping[str, float]) -> dict[str, float]:
        """Keras's logs; "loss" and "accuracy" are those of the classifier, "total_loss" is what is minimised."""
        if len(self._names) == 1:
            return {name: logs[name] for name in ("loss", "accuracy", "val_loss", "val_accuracy")}
        figures = {}
        for head in ["predictions", *(name for name in self._names if name != "predictions")]:
            prefix = "" if head == "predictions" else f"{head}_"
            for part in ("", "val_"):
                figures[f"{part}{prefix}loss"] = logs[f"{part}{head}_cross_entropy"]
                figures[f"{part}{prefix}accuracy"] = logs[f"{part}{head}_accuracy"]
        return figures | {"total_loss": logs["loss"], "val_total_loss": logs["val_loss"]}

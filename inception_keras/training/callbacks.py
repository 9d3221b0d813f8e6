"""Calls Keras callbacks during a run as `fit` would; with several workers, only the chief calls them."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

import keras

from ..checks import got
from .folder import TENSORBOARD

Given: TypeAlias = Sequence[keras.callbacks.Callback] | keras.callbacks.Callback

_RATE = "the schedule of the recipe sets the learning rate of every step"
_BY_RECIPE = {  # callbacks whose work a run does itself, and how it does that work
    keras.callbacks.LearningRateScheduler: _RATE,
    keras.callbacks.ReduceLROnPlateau: f"{_RATE}; schedule='plateau' lowers it",
    keras.callbacks.BackupAndRestore: "a run saves its state by itself, and goes on with resume",
    keras.callbacks.SwapEMAWeights: "with ema in the recipe, a run validates and keeps the average by itself",
}


def check_callbacks(callbacks: object) -> tuple[keras.callbacks.Callback, ...]:
    """Returns the callbacks as a tuple.

    Raises:
        TypeError: If an object is not a Keras callback.
        ValueError: If a run does the work of a callback itself.
        ImportError: If a callback needs TensorBoard, and TensorBoard is not installed.
    """
    given = tuple(callbacks) if isinstance(callbacks, Sequence) and not isinstance(callbacks, str) else (callbacks,)
    for one in given:
        if not isinstance(one, keras.callbacks.Callback) or isinstance(one, keras.callbacks.CallbackList):
            raise TypeError(f"callbacks must be a list of objects of keras.callbacks.Callback, got {got(one)}.")
        for kind, reason in _BY_RECIPE.items():
            if isinstance(one, kind):
                raise ValueError(f"callbacks cannot have a {kind.__name__}: {reason}.")
        if isinstance(one, keras.callbacks.TensorBoard) and find_spec("tensorboard") is None:
            raise ImportError("TensorBoard is not installed: pip install tensorboard.")
    return given


def tensorboard(out: Path) -> keras.callbacks.TensorBoard:
    """The callback that writes the metrics of a run for TensorBoard, into the folder of the run."""
    return keras.callbacks.TensorBoard(str(out / TENSORBOARD), write_graph=False)


class Callbacks:
    """The callbacks of a run. If a callback raises an error, `error` holds it, and no callback is called any more.

    The run checks `error` and `wants_to_stop` at points where its state can be saved.

    Args:
        callbacks: From `check_callbacks`.
        model: The model of the run.
        epochs: The planned number of epochs.
        steps: Number of steps in an epoch.
        first: Number that is added to epoch numbers, which Keras counts from 0.
    """

    def __init__(
        self,
        callbacks: Sequence[keras.callbacks.Callback],
        model: keras.Model,
        *,
        epochs: int,
        steps: int,
        first: int = 0,
    ):
        self.error: Exception | None = None
        self._model, self._first = model, first
        self._list: keras.callbacks.CallbackList | None = None
        if callbacks:
            model.stop_training = False
            self._list = keras.callbacks.CallbackList(
                list(callbacks), model=model, epochs=first + epochs, steps=steps, verbose=0
            )

    @property
    def wants_to_stop(self) -> bool:
        """Whether a callback has set `model.stop_training`, as EarlyStopping does."""
        return self._list is not None and bool(self._model.stop_training)

    def call(self, name: str, *args: object) -> None:
        """Calls the method `name`, such as "on_train_begin", of every callback; does nothing after "on_train_end"."""
        if self._list is None or self.error:
            return
        try:
            getattr(self._list, name)(*args)
        except Exception as error:
            self.error = error
        if name == "on_train_end":
            self._list = None

    def epoch(self, name: str, number: int, row: Mapping[str, object] | None = None) -> None:
        """Calls "on_epoch_begin" or "on_epoch_end" for epoch `number`, from 0; `row` is a row of metrics.csv."""
        logs = None if row is None else {key: value for key, value in row.items() if key != "epoch"}
        self.call(name, self._first + number, logs)

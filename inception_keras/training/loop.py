"""The epochs of a run: steps, validation, rows, checkpoints, and the state from which a killed run continues."""

import math
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from ..files import write_csv
from ..text import printable
from ..weights.store import save_weights
from .averages import averaged
from .best import best_epoch, is_over, waits
from .callbacks import Callbacks
from .distribute import Steps, WorkerLost
from .folder import CHECKPOINTS, METRICS, NEWEST, TIMING, checkpoint, checkpoints
from .progress import Progress, shown
from .recipe import Recipe
from .schedule import learning_rate
from .signals import StopSign
from .state import is_finite, load_state, restore, save_state, values, variables
from .task import Task

if TYPE_CHECKING:
    from ..data.datasets import Data


class TrainingDiverged(ValueError):
    """The loss or a weight became infinite or NaN."""


class Stopped(SystemExit):
    """SIGTERM arrived, and the state was saved. If a process does not catch this, it ends with exit code 0."""

    def __init__(self, sentence: str):
        super().__init__(0)
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


class Interrupted(KeyboardInterrupt):
    """Ctrl-C arrived, and the state was saved. If a process does not catch this, it ends as after any Ctrl-C."""


class Loop:
    """A run in progress: `rows` are the finished epochs, `step` counts the steps of the current epoch.

    Args:
        out: The folder of the run.
        recipe: The recipe.
        task: Its task.
        data: The data.
        model: The compiled model.
        steps: The `Steps` of the model.
        verbose: 0, 1 or 2, as for `train`.
        go_on: The command that continues the run, for the message after an interruption.
        callbacks: Keras callbacks, which the chief calls.
        first: Number that is added to the epoch numbers that callbacks get.
    """

    def __init__(
        self,
        out: Path,
        recipe: Recipe,
        task: Task,
        data: "Data",
        model: keras.Model,
        steps: Steps,
        verbose: int,
        go_on: str,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        first: int = 0,
    ):
        self._out, self._recipe, self._task, self._data = out, recipe, task, data
        self._model, self._steps = model, steps
        self._go_on, self._sign = go_on, StopSign()
        self.is_asked_to_stop = False
        self._verbose = verbose if steps.is_chief else 0
        self._length = len(data.batches["train"])
        wanted = callbacks if steps.is_chief else ()
        self._callbacks = Callbacks(wanted, model, epochs=recipe.epochs, steps=self._length, first=first)
        self.ended = 0  # number of planned epochs of a run that a callback has ended; else 0
        self.rows: list[dict] = []
        self.step = 0
        self._seconds: list[float] = []  # training time of each epoch
        self._spent = 0.0  # training time of the current epoch so far
        self._cut: dict[int, int] = {}  # number of steps of each epoch that a callback ended before its last step
        self._saved = time.monotonic()
        self._skipped = len(data.skipped)  # number of skipped images that were already printed
        self._validation = cache(lambda shard: task.targets(self._split(shard), model, recipe, data))

    def resume(self) -> None:
        """Restores the state in the folder, if there is one.

        Raises:
            ValueError: If the state cannot be read or does not fit, or the workers see different states.
            FileNotFoundError: If the weights of the best epoch are missing.
        """
        loaded, origin, position = load_state(self._out / CHECKPOINTS), f"The state in {self._out}", 0
        if loaded:
            arrays, facts, notice = loaded
            found = _facts(facts, origin, self._length, self._task.score)
            self.rows, self.step, self._seconds, self._spent, self.ended, self._cut = found
            position = 1 + len(self.rows) * self._length + self.step
        if not self._steps.same(position):
            raise ValueError(f"{origin} is not the same for all workers: they must share the folder.")
        if not loaded:
            if checkpoints(self._out):
                raise ValueError(
                    f"{self._out / CHECKPOINTS / NEWEST}, from which the run goes on, is not there: put it back, or "
                    "train a new run whose weights are this folder or one of its checkpoints."
                )
            return
        best = checkpoint(self._out, best_epoch(self.rows, self._task))
        if self.rows and not best.is_file():
            raise FileNotFoundError(
                f"{best}, the weights of the best epoch, is not there: put it back, or begin a new run."
            )
        for epoch in self._recipe.keep_epochs:
            if epoch <= len(self.rows) and self._steps.is_chief and not checkpoint(self._out, epoch).is_file():
                print(f"Epoch {epoch} is over, and its weights were not kept or were removed: it is left out.")
        restore(variables(self._model, metrics=self.step > 0), arrays, origin)
        if notice and self._steps.is_chief:
            print(notice)
        self._tidy()

    def run(self) -> None:
        """Trains the remaining epochs.

        Raises:
            TrainingDiverged: If the loss or a weight is no longer finite.
            Stopped: After SIGTERM.
            Interrupted: After Ctrl-C.
            OSError: If a file cannot be written. The message names it.
            ValueError: If too many images have become unreadable.
            Exception: An error of a callback; the state is saved first.
        """
        with StopSign(bool(self._verbose)) as self._sign:
            if not self.rows and not self.step:
                self._save()  # an error in writing appears now, not after an epoch
            if self.rows and self._is_over(self.rows):
                self._keep_last()
                return
            self._callbacks.call("on_train_begin")
            self._raise(self._steps.any(self._callbacks.error is not None)[0])
            iterator = self._steps.distribute(
                lambda shard: self._task.train_targets(
                    self._data.epochs(len(self.rows), self.step, shard), self._model, self._recipe, self._data
                )
            )
            while not self._is_over(self.rows):
                try:
                    self._end(self._train(iterator))
                except tf.errors.OpError:
                    self._data.check()  # raises a clear error if images are the cause
                    raise
                except BaseException:
                    if self._verbose == 1 and self._sign.signal != signal.SIGINT:
                        print()  # what is said next does not belong to the progress bar
                    raise
                self.is_asked_to_stop, failed = self._steps.any(self._sign.is_raised, self._callbacks.error is not None)
                self._raise(failed)
                if self.is_asked_to_stop and not self._is_over(self.rows):
                    self.stop()
            if self.ended:
                self._keep_last()
            self._callbacks.call("on_train_end")
            self._raise(self._steps.any(self._callbacks.error is not None)[0])

    def _split(self, shard: tuple[int, int]) -> tf.data.Dataset:
        """A worker's share of the validation split. If there is one worker, `finish` uses the same dataset."""
        return self._data.validation if shard == (0, 1) else self._data.split("validation", shard)

    def _is_over(self, rows: list[dict]) -> bool:
        return is_over(self._recipe, rows, self._task) or self.ended >= self._recipe.epochs

    def _raise(self, failed: bool) -> None:
        """Ends the run with the error of a callback, if one failed on the chief."""
        if self._callbacks.error:
            raise self._callbacks.error
        if failed:
            raise WorkerLost("A callback failed on the first worker, which has saved the run; its error is there.")

    def _train(self, iterator: Iterator) -> Progress:
        number, model = len(self.rows), self._model
        if not self.step:
            self._steps.reset_metrics()
        progress = Progress(number + 1, self._recipe.epochs, self._length, self._verbose, shown(self._task.score))
        self._callbacks.epoch("on_epoch_begin", number)
        while self.step < self._length:
            self._callbacks.call("on_train_batch_begin", self.step)
            begun = time.perf_counter()
            self.step += 1
            model.optimizer.learning_rate = self._rate()
            loss = self._steps.train(iterator)
            self._spent += time.perf_counter() - begun
            self._callbacks.call("on_train_batch_end", self.step - 1, {"loss": loss})
            if not math.isfinite(loss):
                raise self._diverged(f"The loss is {loss}")
            progress.update(self.step, loss)
            due = 0 < self._recipe.save_minutes <= (time.monotonic() - self._saved) / 60
            failed, ended = self._callbacks.error is not None, self._callbacks.wants_to_stop
            stop, due, failed, ended = self._steps.any(self._sign.is_raised, due, failed, ended)
            if self.step < self._length:  # the end of an epoch saves anyway
                if stop or due or failed:
                    self._save()
                self._raise(failed)
                if stop:
                    self.stop()
                if ended:
                    break
        return progress

    def _end(self, progress: Progress) -> None:
        """Does everything that follows the steps of an epoch.

        If the process is killed between any two lines, all of this is done again, with the same result.
        """
        model, number = self._model, len(self.rows) + 1
        self._check(variables(model, metrics=False))
        row = {"epoch": number} | self._task.columns(self._steps.metrics(), model, "")
        with averaged(model):
            self._callbacks.call("on_test_begin")
            validation = self._steps.evaluate(self._validation, call=self._callbacks.call)
            self._callbacks.call("on_test_end", validation)
            row |= self._task.columns(validation, model, "val_") | {"learning_rate": self._rate()}
            rows = [*self.rows, row]
            wanted = {*self._recipe.keep_epochs, best_epoch(rows, self._task)}
            if (number in wanted or is_over(self._recipe, rows, self._task)) and self._steps.is_chief:
                save_weights(model, checkpoint(self._out, number))
            self._callbacks.epoch("on_epoch_end", number - 1, row)
        if self._steps.any(self._callbacks.wants_to_stop)[0]:
            self.ended = self._recipe.epochs
        if self.step < self._length:
            self._cut[number] = self.step
        self.rows, self.step = rows, 0
        self._seconds, self._spent = [*self._seconds, self._spent], 0.0
        self._save()
        self._tidy()
        progress.end(row)
        for path, reason in self._data.skipped[self._skipped :] if self._verbose else ():
            print(printable(f"{path} {reason}"))
        self._skipped = len(self._data.skipped)

    def _keep_last(self) -> None:
        """Saves the weights of the last epoch, if it was not known to be the last when it ended."""
        with averaged(self._model):
            if self._steps.is_chief and not (path := checkpoint(self._out, len(self.rows))).is_file():
                save_weights(self._model, path)

    def _rate(self) -> float:
        """The learning rate of the latest step."""
        return self._rate_of(max(len(self.rows) * self._length + self.step - 1, 0))

    def _rate_of(self, step: int) -> float:
        waited = waits(self.rows, self._task) if self._recipe.schedule == "plateau" else ()
        return learning_rate(self._recipe, step, self._length, waited)

    def extension(self, planned: int) -> str:
        """A message on how a run continues that was planned for fewer epochs."""
        total, schedule, done = self._recipe.epochs, self._recipe.schedule, len(self.rows) * self._length + self.step
        text = f"The run in {self._out} goes on to epoch {total}; {planned} were planned."
        if schedule in ("constant", "plateau") or not done:
            return f"{text} It ends as one that was planned for {total} from the beginning."
        epoch, rate = len(self.rows) + 1, self._rate_of(done)
        return (
            f"{text} From now on the {schedule} schedule is that of {total} epochs, with the learning rate {rate:.3g} "
            f"in epoch {epoch}. What was trained before had the rates of {planned} epochs, so the run does not end as "
            f"one that was planned for {total} from the beginning."
        )

    def _save(self) -> None:
        """Saves the state. Reading the variables needs all workers; only the chief writes."""
        arrays = self._check(variables(self._model, metrics=self.step > 0))
        facts = {"rows": self.rows, "step": self.step, "seconds": self._seconds, "spent": self._spent}
        facts |= {"ended": self.ended} if self.ended else {}
        facts |= {"cut": list(self._cut.items())} if self._cut else {}
        if self._steps.is_chief:
            save_state(self._out / CHECKPOINTS, arrays, facts)
        self._saved = time.monotonic()

    def _tidy(self) -> None:
        """Updates the tables to the state's epoch, and removes weights that are no longer needed.

        The weights that the state and the state before it need are kept.
        """
        if not self._steps.is_chief or not self.rows:
            return
        write_csv(self._out / METRICS, self.rows)
        images = dict.fromkeys(range(1, len(self.rows) + 1), self._data.counts["train"])
        images |= {number: steps * self._recipe.batch_size for number, steps in self._cut.items()}
        timing = [(number, seconds, images[number] / seconds) for number, seconds in enumerate(self._seconds, start=1)]
        names = ("epoch", "seconds", "images_per_second")
        write_csv(self._out / TIMING, [dict(zip(names, row, strict=True)) for row in timing])
        needed = {*self._recipe.keep_epochs, best_epoch(self.rows, self._task), best_epoch(self.rows[:-1], self._task)}
        for number in {*range(1, len(self.rows))} - needed:
            checkpoint(self._out, number).unlink(missing_ok=True)

    def _check(self, named: Mapping[str, keras.Variable]) -> dict[str, np.ndarray]:
        arrays = values(named)
        if not is_finite(arrays):
            raise self._diverged("A weight is not finite")
        return arrays

    def _diverged(self, fact: str) -> TrainingDiverged:
        step = len(self.rows) * self._length + self.step
        kept = f"the last good weights are in {self._out / CHECKPOINTS}"
        return TrainingDiverged(
            f"{fact} at step {step} (epoch {len(self.rows) + 1}) with learning rate {self._rate():.6g}; {kept}."
        )

    def stop(self) -> None:
        """Ends a run whose state is saved: with `Interrupted` after Ctrl-C, otherwise with `Stopped`."""
        where = f"step {self.step} of epoch {len(self.rows) + 1}" if self.step else f"the end of epoch {len(self.rows)}"
        text = f"the run is saved at {where} in {self._out}; {self._go_on} goes on from there."
        self._callbacks.call("on_train_end")  # many callbacks close their files here
        self._raise(False)
        if self._sign.signal == signal.SIGINT:
            raise Interrupted(f"Ctrl-C: {text}")
        raise Stopped(f"SIGTERM: {text}")


def _facts(
    facts: Mapping[str, Any], origin: str, length: int, score: str
) -> tuple[list[dict], int, list[float], float, int, dict[int, int]]:
    """The checked facts of a state: rows, step, seconds of each epoch, seconds of this epoch, `ended` and `_cut`.

    Every row must have the losses and the validation's `score`.
    """
    try:
        rows, step, seconds, spent = (facts[name] for name in ("rows", "step", "seconds", "spent"))
        numbers = [[float(row[name]) for name in ("epoch", "loss", "val_loss", f"val_{score}")] for row in rows]
        if [row[0] for row in numbers] != list(range(1, len(rows) + 1)) or len(seconds) != len(rows):
            raise ValueError("its epochs do not follow one another")
        if not isinstance(step, int) or not 0 <= step < length:
            raise ValueError(f"it is at step {step!r} of {length}")
        cut = {int(number): int(steps) for number, steps in facts.get("cut", [])}
        return rows, step, [float(one) for one in seconds], float(spent), int(facts.get("ended", 0)), cut
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{origin} is not one of such a run: {error!r}.") from None

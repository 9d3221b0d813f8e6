"""What a run prints while it trains: a progress bar on a terminal or in a notebook, else one line for each epoch."""

import sys
import time
from collections.abc import Mapping, Sequence

import keras

from ..checks import check_choice
from ..text import in_notebook


def check_verbose(verbose: object) -> int:
    """Checks `verbose` and returns 0, 1 or 2. "auto" becomes 1, a bar, on a terminal or in a notebook, else 2."""
    if verbose in (True, False):
        return int(bool(verbose))
    if (wanted := check_choice("verbose", verbose, ("auto", 0, 1, 2))) != "auto":
        return int(wanted)
    return 1 if in_notebook() or (sys.stdout is not None and sys.stdout.isatty()) else 2


def shown(score: str) -> tuple[str, ...]:
    """The metrics of an epoch that are shown: loss and score, in training and validation."""
    return tuple(dict.fromkeys(("loss", score, "val_loss", f"val_{score}")))


class Progress:
    """The output of one epoch.

    Args:
        epoch: The epoch's number, counted from 1.
        epochs: The planned number of epochs.
        steps: Number of steps in the epoch.
        verbose: 0 for nothing, 1 for Keras's bar, 2 for a line when the epoch is over.
        names: From `shown`.
    """

    def __init__(self, epoch: int, epochs: int, steps: int, verbose: int, names: Sequence[str]):
        self._names = names
        self._title, self._steps, self._verbose, self._begun = f"Epoch {epoch}/{epochs}", steps, verbose, time.time()
        if verbose == 1:
            print(self._title)
        self._bar = keras.utils.Progbar(steps, verbose=int(verbose == 1), stateful_metrics=names[1:])

    def update(self, step: int, loss: float) -> None:
        """Shows that a step is finished."""
        self._bar.update(step, [("loss", loss)], finalize=False)

    def end(self, row: Mapping[str, float]) -> None:
        """Shows the metrics of the epoch, a row of metrics.csv. Some tasks measure the score in validation only."""
        names = [name for name in self._names if name in row]
        self._bar.update(self._steps, [(name, row[name]) for name in names[1:]], finalize=True)
        if self._verbose == 2:
            seconds = time.time() - self._begun
            figures = " - ".join(f"{name}: {row[name]:.4f}" for name in names)
            print(f"{self._title} - {seconds:.0f}s - {1000 * seconds / self._steps:.0f}ms/step - {figures}", flush=True)

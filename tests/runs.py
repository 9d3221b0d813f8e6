"""Helpers for tests of training runs: a run of a few seconds, and the comparison of two run folders."""

import importlib.util
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from inception_keras import zoo
from inception_keras.training.distribute import Steps
from inception_keras.weights.store import read

OLD = Path(__file__).parent / "data" / "version_0.1"
TINY = {"model": "lenet5_modern", "data": "digits", "epochs": 3, "batch_size": 256, "learning_rate": 2e-3, "ema": 0.9}


@contextmanager
def tiny() -> Iterator[ModuleType]:
    """Makes "tiny" a model id, of a net with an auxiliary head, batch norm and 2,000 weights; yields its module."""
    spec = importlib.util.spec_from_file_location("make", OLD / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.tiny()
    yield module
    del zoo.ZOO["tiny"]


def difference(run: Path, other: Path) -> float:
    """The largest difference between the weights of two finished runs. Their tables and files must be the same."""
    for name in ("metrics.csv", "test.csv"):
        assert (run / name).read_bytes() == (other / name).read_bytes(), name
    names = [sorted(path.name for path in (folder / "checkpoints").iterdir()) for folder in (run, other)]
    assert names[0] == names[1]
    files = [sorted(path.name for path in folder.iterdir()) for folder in (run, other)]
    assert files[0] == files[1]
    worst = 0.0
    for name in names[0]:
        mine, theirs = (read(folder / "checkpoints" / name) for folder in (run, other))
        assert mine.keys() == theirs.keys()
        worst = max(worst, *(float(np.abs(mine[key] - theirs[key]).max()) for key in mine))
    return worst


class Death(BaseException):
    """Ends a run inside the test's process, as SIGKILL would end a separate process."""


def at_step(patch: pytest.MonkeyPatch, number: int, act: Callable[[float], float]) -> None:
    """Makes a run call a function after step `number`."""
    step, done = Steps.train, []

    def train(self, iterator):
        loss = step(self, iterator)
        done.append(loss)
        return act(loss) if len(done) == number else loss

    patch.setattr(Steps, "train", train)


@contextmanager
def death_at_step(number: int) -> Iterator[None]:
    """Expects that the run in this context dies after step `number`."""

    def die(loss: float) -> float:
        raise Death

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Death):
        at_step(patch, number, die)
        yield


def die_at(number: int, kill: bool) -> None:
    """Stops at the `number`-th disk operation from now on: kills this process, or raises `Death`.

    A disk operation is a write, a sync, a rename or a removal. A write is left half done.
    """
    left = number

    def dies() -> bool:
        nonlocal left
        left -= 1
        return left == 0

    def die() -> None:
        if kill:
            os.kill(os.getpid(), signal.SIGKILL)
        raise Death

    def before(act):
        def patched(*args, **kwargs):
            if dies():
                die()
            return act(*args, **kwargs)

        return patched

    def write_bytes(path, content, act=Path.write_bytes):
        if dies():
            act(path, content[: len(content) // 2])
            die()
        return act(path, content)

    for name in ("fsync", "replace", "unlink"):
        setattr(os, name, before(getattr(os, name)))
    Path.write_bytes = write_bytes

"""Stop signals, noted for the loop of a run, which can then save its state."""

import os
import signal
import threading
from collections.abc import Callable


class StopSign:
    """A context manager that notes SIGTERM and Ctrl-C for the loop, instead of ending the process at once.

    A second Ctrl-C raises a KeyboardInterrupt, as Python's own handler does. Outside the main thread, no handlers can
    be set. A signal that is ignored (Ctrl-C under nohup) stays ignored.

    Args:
        verbose: Whether a message is printed after the first Ctrl-C.
    """

    def __init__(self, verbose: bool = False) -> None:
        self.signal: int | None = None
        self._verbose = verbose
        self._before: dict[int, Callable | int | None] = {}

    @property
    def is_raised(self) -> bool:
        """Whether a signal has arrived."""
        return self.signal is not None

    def __enter__(self) -> "StopSign":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, _: object) -> None:
        if self.is_raised and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.signal = number
        if number == signal.SIGINT and self._verbose:  # print is not safe in a handler
            os.write(2, b"\nCtrl-C: the run ends after this step, saved. Press it again to end at once.\n")

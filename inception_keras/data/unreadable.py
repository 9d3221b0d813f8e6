"""The book of files that could be read when the data were loaded, and can be read no more."""

from threading import Lock

from .images import Source, UnreadableImage, line
from .listing import Skipped

_NAMED = 20  # in an error


class Unreadable:
    """What became unreadable of a part; the threads of all its pipelines write here, each file once.

    Args:
        skipped: Every file is added to this with the reason.
        files: Files in the part.
        max_bad: Share of them that may become unreadable.
    """

    def __init__(self, skipped: Skipped, files: int, max_bad: float):
        self._skipped, self._files, self._max_bad = skipped, files, max_bad
        self._reasons: dict[Source, str] = {}
        self._lock = Lock()

    def add(self, path: Source, error: Exception) -> None:
        """Writes down a file that could not be read for an error.

        Raises:
            ValueError: If there are too many.
        """
        if isinstance(error, UnreadableImage):
            reason = str(error)
        else:
            reason = "is no longer there" if isinstance(error, FileNotFoundError) else f"cannot be read: {line(error)}"
        with self._lock:
            if path not in self._reasons:
                self._reasons[path] = reason
                self._skipped.append((path, reason))
        self.check()

    def check(self) -> None:
        """Raises a ValueError with the files if there are too many."""
        with self._lock:
            files = [f"{path} {reason}" for path, reason in self._reasons.items()]
        if len(files) > self._max_bad * self._files:
            more = f", and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
            raise ValueError(
                f"{len(files)} of {self._files} images can be read no more, and max_bad allows a share of "
                f"{self._max_bad:g}: {', '.join(files[:_NAMED])}{more}."
            )

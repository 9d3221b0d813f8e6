"""Records files that became unreadable after the data set was loaded."""

from threading import Lock

from .images import Source, UnreadableImage, line
from .listing import Skipped

_NAMED = 20  # files that an error lists


class Unreadable:
    """The files of a split that became unreadable. Threads of all its pipelines add files here, each file once.

    Args:
        skipped: Every such file is also added to this list, with the reason.
        files: Number of files in the split.
        max_unreadable: Largest share of them that may become unreadable.
    """

    def __init__(self, skipped: Skipped, files: int, max_unreadable: float):
        self._skipped, self._files, self._max_unreadable = skipped, files, max_unreadable
        self._reasons: dict[Source, str] = {}
        self._lock = Lock()

    def add(self, path: Source, error: Exception) -> None:
        """Records a file and the error that reading it raised.

        Raises:
            ValueError: If too many files have become unreadable.
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
        """Raises a ValueError that lists the files, if too many have become unreadable."""
        with self._lock:
            files = [f"{path} {reason}" for path, reason in self._reasons.items()]
        if len(files) > self._max_unreadable * self._files:
            more = f", and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
            raise ValueError(
                f"{len(files)} of {self._files} images can be read no more, and max_unreadable allows a share of "
                f"{self._max_unreadable:g}: {', '.join(files[:_NAMED])}{more}."
            )

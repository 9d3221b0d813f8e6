"""Creates the folder of a run and locks it, so that only one process works in it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .folder import CHECKPOINTS, CONFIG, LOCK

try:
    import fcntl
except ImportError:  # Windows: there, two runs in one folder are not detected
    fcntl = None  # type: ignore[assignment]


@contextmanager
def prepared(out: Path) -> Iterator[None]:
    """Creates and locks the folder of a run.

    If the code inside fails before the run has begun, whatever was created is removed.

    Raises:
        RuntimeError: If another process works in the folder.
        OSError: If the folder cannot be created.
    """
    folders = [folder for folder in (out / CHECKPOINTS, out, *out.parents) if not folder.exists()]
    lock_is_new = not (out / LOCK).exists()
    try:
        try:
            (out / CHECKPOINTS).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            fault = "written to" if out.is_dir() else "made"
            raise OSError(error.errno, f"The folder {out} cannot be {fault}: {error.strerror}.") from None
        with locked(out):
            yield
    except BaseException:
        if folders and not (out / CONFIG).exists():
            if lock_is_new:
                with suppress(OSError):
                    (out / LOCK).unlink()
            for folder in folders:
                with suppress(OSError):
                    folder.rmdir()  # removes empty folders only
        raise


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Locks the folder for this process. The lock ends with the process, even if the process is killed.

    Raises:
        RuntimeError: If another process holds the lock.
    """
    try:
        lock = (folder / LOCK).open("w")
    except OSError as error:
        raise OSError(error.errno, f"The folder {folder} cannot be written to: {error.strerror}.") from None
    with lock as file:
        if fcntl:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise RuntimeError(f"Another run works in {folder}: wait for it, or name another folder.") from None
        yield

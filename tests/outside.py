"""Runs Python code and the command line in new processes, as a user would."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def python(code: str, cwd: Path, *, status: int | None = 0, **environment: str) -> str:
    """Runs Python code in a new process, in the folder `cwd`, and returns what it printed.

    Args:
        code: The Python code.
        cwd: The working directory.
        status: The expected exit status; None for any.
        **environment: Environment variables, in addition to those of this process.
    """
    return _run([sys.executable, "-c", code], cwd, status, environment)


def command(*words: object, cwd: Path, status: int | None = 0, **environment: str) -> str:
    """Runs `inception-keras WORDS` in a new process, in `cwd`, and returns what it printed, errors included."""
    return _run([sys.executable, "-m", "inception_keras", *map(str, words)], cwd, status, environment)


def here(*words: object, cwd: Path, status: int = 0) -> str:
    """Like `command` but in this process, which saves 6 seconds. For tests that do not need a new process."""
    from typer.testing import CliRunner

    from inception_keras.cli import app

    with contextlib.chdir(cwd):
        done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == status, f"exit status {done.exit_code}:\n{done.output}"
    return done.output


def is_quiet(said: str) -> bool:
    """Whether a text has no messages of libraries: warnings, TensorFlow's start-up lines, missing fonts."""
    return not any(word in said for word in ("Warning", "WARNING", "0000 00:00", "oneDNN", "findfont", "Glyph"))


def _run(words: list[str], cwd: Path, status: int | None, environment: dict[str, str]) -> str:
    base = {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ
    done = subprocess.run(words, cwd=cwd, env=base | environment, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert status is None or done.returncode == status, f"exit status {done.returncode}:\n{said}"
    return said

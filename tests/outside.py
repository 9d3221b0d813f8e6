"""Runs Python code and the command line in new processes, as a user would."""

import atexit
import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BASE = {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"} | os.environ

# Importing TensorFlow and Keras takes 3.5 s. This process imports them once, and forks for each request a process that
# has them and nothing else: TensorFlow starts its threads at its first operation only. A request is a line of JSON,
# the answer is the exit status. Code that fails ends the fork as it would end any process, with a traceback.
SERVER = """
import gc, json, os, sys
import keras, tensorflow
gc.freeze()  # no fork searches them for garbage
for line in sys.stdin:
    request = json.loads(line)
    if process := os.fork():
        os.write(1, b"%d\\n" % os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
        continue
    for number, name in enumerate((os.devnull, *request["outputs"])):
        os.dup2(os.open(name, os.O_RDWR), number)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    code = compile(request["code"], "<string>", "exec")
    break
else:
    os._exit(0)
for name in ("gc", "json", "os", "sys", "keras", "tensorflow", "line", "request", "process", "number", "name"):
    del globals()[name]
exec(code)
"""


def python(code: str, cwd: Path, *, status: int | None = 0, new: bool = False, **environment: str) -> str:
    """Runs Python code in a new process, in the folder `cwd`, and returns what it printed.

    Args:
        code: The Python code.
        cwd: The working directory.
        status: The expected exit status; None for any.
        new: Whether the process imports TensorFlow and Keras itself. By default it is forked from one that has
            imported them, which saves 3.5 s. A process with variables of its own is always new.
        **environment: Environment variables, in addition to those of this process.
    """
    if new or environment:
        return _run([sys.executable, "-c", code], cwd, status, environment)
    return _checked(*fork(code, cwd), status)


def command(*words: object, cwd: Path, status: int | None = 0, **environment: str) -> str:
    """Runs `inception-keras WORDS` in a new process, in `cwd`, and returns what it printed, errors included."""
    if environment:
        return _run([sys.executable, "-m", "inception_keras", *map(str, words)], cwd, status, environment)
    code = f"""
import runpy, sys
sys.argv[1:] = {[*map(str, words)]!r}
runpy.run_module("inception_keras", run_name="__main__", alter_sys=True)
"""
    return _checked(*fork(code, cwd), status)


def fork(code: str, cwd: Path) -> tuple[int, str]:
    """Runs Python code in a forked process and returns its exit status, and what it printed."""
    with contextlib.ExitStack() as stack:
        outputs = [stack.enter_context(tempfile.NamedTemporaryFile("r")) for _ in range(2)]
        request = {"code": code, "cwd": str(cwd), "outputs": [output.name for output in outputs]}
        request["environment"] = BASE | os.environ
        _server().stdin.write(json.dumps(request) + "\n")
        _server().stdin.flush()
        status = int(_server().stdout.readline())
        return status, "".join(output.read() for output in outputs)


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
    done = subprocess.run(words, cwd=cwd, env=BASE | os.environ | environment, capture_output=True, text=True)
    return _checked(done.returncode, done.stdout + done.stderr, status)


@functools.cache
def _server() -> subprocess.Popen:
    """The process to fork. It ends at the end of its input."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    server = subprocess.Popen([sys.executable, "-c", SERVER], cwd=ROOT, env=BASE | os.environ, text=True, **pipes)
    atexit.register(server.communicate)
    return server


def _checked(code: int, said: str, status: int | None) -> str:
    assert status is None or code == status, f"exit status {code}:\n{said}"
    return said

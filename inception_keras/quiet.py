"""Hides TensorFlow's start-up messages.

TensorFlow writes them to stderr before it knows its log level.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_STARTUP = re.compile(rb"WARNING: All log messages before absl|[IWE]\d{4} \d\d:\d\d:|To enable the following instr")


@contextmanager
def quiet_import() -> Iterator[None]:
    """Holds back stderr while TensorFlow is imported, and afterwards shows everything except the start-up messages.

    It does nothing if TensorFlow is already imported, or if the user has set `TF_CPP_MIN_LOG_LEVEL` to 0 to see the
    messages.
    """
    level = os.environ.get("TF_CPP_MIN_LOG_LEVEL") or "3"
    if "tensorflow" in sys.modules or level == "0":
        yield
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = level
    try:
        stderr = os.dup(2)
    except OSError:  # the process has no stderr
        yield
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            os.write(2, b"".join(line for line in held if not _STARTUP.match(line)))

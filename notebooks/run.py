"""Runs notebooks from top to bottom: `python notebooks/run.py`, or some of them, `python notebooks/run.py 01 04`.

The executed copies go into build/notebooks/. The exit code is 1 if one of them fails.
"""

import os
import re
import shutil
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from traitlets import default

HERE = Path(__file__).parent
OUT = HERE.parent / "build" / "notebooks"
# what TensorFlow says of the machine as it starts; no setting keeps it from that
NOTES = re.compile(r"^(WARNING: All log messages before absl|[IWE]\d{4} \d\d).*\n?", re.MULTILINE)


class Kernel(AsyncKernelManager):
    """The interpreter that runs this file, whatever kernels are registered on the machine."""

    @default("kernel_spec_manager")
    def _kernel_spec_manager_default(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[])  # with nowhere to look, "python3" is sys.executable


def main(names: list[str]) -> int:
    """Runs the notebooks whose names begin with one of `names`, or all; gives the exit code."""
    notebooks = sorted(HERE.glob("*.ipynb"))
    wanted = [Path(name).name for name in names]
    for name in wanted:
        if not any(path.name.startswith(name) for path in notebooks):
            print(
                f"There is no notebook {name!r}; there are {', '.join(path.stem for path in notebooks)}.",
                file=sys.stderr,
            )
            return 1
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    OUT.mkdir(parents=True, exist_ok=True)
    failed = [path for path in notebooks if path.name.startswith(tuple(wanted or [""])) and not run(path)]
    return int(bool(failed))


def run(path: Path) -> bool:
    """Runs one notebook in a folder of its own, where it may leave files; says whether it came to its end."""
    begun = time.perf_counter()
    error = ""
    with TemporaryDirectory() as folder, TemporaryFile("w+") as log:
        notebook = nbformat.read(shutil.copy(path, folder), as_version=4)
        place = {"metadata": {"path": folder}}
        client = NotebookClient(notebook, kernel_manager_class=Kernel, timeout=600, resources=place)
        try:
            client.execute(stderr=log)
        except (CellExecutionError, CellTimeoutError) as failure:
            error = str(failure)
        except DeadKernelError as failure:
            log.seek(0)
            error = f"{failure}\n{log.read()}"
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                output.text = NOTES.sub("", output.text)
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if output.get("text") != ""]
    nbformat.write(notebook, OUT / path.name)
    print(f"{path.stem:<24}{time.perf_counter() - begun:>6.1f} s{'  FAILED' if error else ''}", flush=True)
    if error:
        print(error, file=sys.stderr)
    return not error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

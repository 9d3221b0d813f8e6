"""Type checkers and editors see every public name with its type, through the stub `__init__.pyi`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import inception_keras as ik

ROOT = Path(__file__).parents[1]
SCRIPT = """
import inception_keras as ik
model = ik.create_model("squeezenet1_1", weights="imagenet")
reveal_type(model)
reveal_type(ik.build_vgg)
reveal_type(ik.profile(model).rows)
reveal_type(ik.load_data)
ik.create_modell("squeezenet1_1")
"""


def _mypy(folder: Path, *options: str) -> list[str]:
    """What mypy says about a script that uses the package."""
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "mypy", "--config-file=", "--no-error-summary", *options, "script.py"]
    path = os.pathsep.join(map(str, (folder, ROOT)))
    said = subprocess.run(command, cwd=folder, env=os.environ | {"MYPYPATH": path}, capture_output=True, text=True)
    return [line.removeprefix("script.py:") for line in said.stdout.splitlines() if line.startswith("script.py:")]


def _check(lines: list[str], model: str) -> None:
    assert lines[0] == f'4: note: Revealed type is "{model}"'
    assert (
        lines[1].startswith('5: note: Revealed type is "def (input_shape: typing.Sequence[int | None] =, ')
        and f"-> {model}" in lines[1]
    )
    assert lines[2] == '6: note: Revealed type is "tuple[inception_keras.analysis.profile.Row, ...]"'
    assert lines[3].endswith('-> inception_keras.data.datasets.Data"')
    assert lines[4].startswith('8: error: Module has no attribute "create_modell"')


@pytest.mark.slow  # `make lint` checks the package itself
def test_a_checker_sees_the_types_of_public_names(tmp_path):
    keras = tmp_path / "keras"  # in place of Keras, which has no stubs and takes mypy half a minute
    keras.mkdir()
    (keras / "__init__.pyi").write_text("class Model: ...\ndef __getattr__(name: str): ...\n")
    _check(_mypy(tmp_path, "--ignore-missing-imports"), "keras.Model")


@pytest.mark.slow
def test_a_checker_sees_the_types_of_keras(tmp_path):
    _check(_mypy(tmp_path, "--follow-untyped-imports"), "keras.src.models.model.Model")


def test_the_stub_names_what_is_there():
    for name in ik.__all__:
        thing = getattr(ik, name)
        assert ik._MODULE_OF[name] == thing.__module__.removeprefix("inception_keras"), name
    assert len(ik.__all__) > 60

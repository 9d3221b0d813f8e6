"""Imports the package in new processes, from working directories with all kinds of files."""

import pytest
from outside import is_quiet, python

FOLDERS = "pandas jax keras numpy torch scipy tensorflow rich psutil models data".split()


def test_folders_that_are_called_as_packages(tmp_path):
    for name in FOLDERS:
        (tmp_path / name / "0").mkdir(parents=True)
    code = "from inception_keras import load_data, profile; print(load_data('digits').counts['test'])"
    said = python(code, tmp_path, new=True)
    assert said.strip() == "360" and is_quiet(said)


@pytest.mark.parametrize("name", ["without_weights", pytest.param("features", marks=pytest.mark.slow)])
def test_any_name_may_be_the_first(tmp_path, name):
    """Classes are registered while Keras is imported, so their modules must not need the one that has imported it."""
    assert python(f"from inception_keras import {name}; print({name}.__name__)", tmp_path, new=True).strip() == name


def test_a_backend_that_is_not_installed_is_told(tmp_path):
    code = "import inception_keras as ik; print(ik.list_models('lenet5')); ik.create_model('lenet5')"
    said = python(code, tmp_path, status=1, KERAS_BACKEND="jax")
    assert "['lenet5']" in said  # this needs no Keras
    assert "ImportError: Keras's backend is 'jax' by the environment variable KERAS_BACKEND, but jax is not" in said


@pytest.mark.slow
def test_what_keeps_keras_from_being_imported_is_told(tmp_path):
    (tmp_path / "pandas.py").write_text("bears = 2")
    said = python("from inception_keras import load_data", tmp_path, status=1, new=True)
    assert "ImportError: load_data cannot be imported: module 'pandas' has no attribute 'Series'" in said

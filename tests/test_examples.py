"""Every example of the documentation runs: docstrings, README and guide; every public name is explained."""

import doctest
import importlib
import inspect
import pkgutil
import re
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

import api_page
import keras
import pytest

import inception_keras as ik

ROOT = Path(__file__).parents[1]
MODULES = [m.name for m in pkgutil.walk_packages(ik.__path__, "inception_keras.") if not m.name.endswith("__main__")]


# whose examples are all of the digits, and of nets that take long to build
SLOW = {f"inception_keras.{name}" for name in ("training.finetune", "models.inception_v3", "models.inception_v4")}


@pytest.fixture(scope="module")
def once():
    """Functions that repeat what an earlier example has done only if it was something else, which saves seconds."""
    folders, trials = {}, {}

    def find_learning_rate(recipe, **options):
        key = repr((recipe, options))
        trials[key] = trials.get(key) or ik.find_learning_rate(recipe, **options)
        return trials[key]

    def train(recipe, out, *, resume=False, **options):
        key = repr(recipe)
        if key in folders and not resume:
            shutil.copytree(folders[key], out)
            return ik.train(recipe, out, resume=True, **options)
        result = ik.train(recipe, out, resume=resume, **options)
        if not resume:
            folders[key] = shutil.copytree(out, out.with_name("copy"))
        return result

    return {"train": train, "find_learning_rate": find_learning_rate}


@pytest.mark.parametrize("name", [pytest.param(m, marks=pytest.mark.slow) if m in SLOW else m for m in MODULES])
def test_docstrings(name, tmp_path, once):
    module = importlib.import_module(name)
    names = {"keras": keras, "tmp_path": tmp_path} | {name: getattr(ik, name) for name in ik.__all__} | vars(module)
    names |= once
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    # these examples are of shapes and names
    of_shapes = ("models", "analysis", "feature_maps", "zoo", "detection.yolo_backbone")
    shapes = name.startswith(tuple(f"inception_keras.{part}" for part in of_shapes)) or name.endswith(".yolo")
    with ik.without_weights() if shapes else nullcontext():
        for example in finder.find(module, globs=dict(names)):
            runner.run(example)
    assert runner.failures == 0


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/guide.md"])
def test_python_of_the_pages(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert blocks
    scope: dict = {}
    for block in blocks:
        exec(compile(block, page, "exec"), scope)


@pytest.mark.parametrize("name", ik.__all__)
def test_public_names_are_explained(name):
    thing = getattr(ik, name)
    text = inspect.getdoc(thing)
    assert text
    assert "Example" in text
    section = re.search(r"^Args:\n((?: .*\n|\n)+)", text + "\n", re.MULTILINE)
    explained = re.findall(r"^    \*{0,2}(\w+): \S", section[1], re.MULTILINE) if section else []
    assert explained == list(inspect.signature(thing).parameters)


def test_the_reference_names_what_is_there():
    page = (ROOT / "docs/api.md").read_text(encoding="utf-8")
    assert page == api_page.page(), "docs/api.md is old: run python tests/api_page.py"
    assert all(f"- `{name}" in page for name in ik.__all__)


def test_the_net_of_the_page_on_architectures(monkeypatch, capsys):
    page = (ROOT / "docs/add_an_architecture.md").read_text()
    net, *rest = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    module = ModuleType("inception_keras.models.mynet")
    module.__package__ = "inception_keras.models"
    exec(compile(net, "mynet.py", "exec"), vars(module))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for block in rest:
        exec(compile(block, "add_an_architecture.md", "exec"), {})
    min_size, params, gmacs = capsys.readouterr().out.split()
    assert f"min_size={min_size})" in net and f"at least {min_size} pixels" in net
    assert f"2016, 224, {min_size}, {int(params):_}, {float(gmacs):.3f}, " in page


def test_the_pages_say_how_many_nets_there_are():
    for page in ("README.md", "docs/index.md"):
        assert f" {len(ik.list_models())} nets" in (ROOT / page).read_text(), page


def test_names_that_are_not_there():
    with pytest.raises(AttributeError, match="has no attribute 'build_googlnet'"):
        ik.build_googlnet  # noqa: B018
    assert set(ik.__all__) <= set(dir(ik))


def test_importing_does_not_load_tensorflow():
    import subprocess

    code = (
        "import sys, inception_keras, inception_keras.cli; print('tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False False\n"


def test_a_process_may_begin_with_any_module():
    """Importing Keras registers our classes; then the modules of these must not need the one that imports Keras."""
    import subprocess

    code = "import inception_keras; inception_keras.without_weights(); import inception_keras.layers"
    subprocess.run([sys.executable, "-c", code], check=True)

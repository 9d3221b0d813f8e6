"""What setup.cfg declares is what the package imports."""

import ast
import configparser
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import inception_keras

FOLDER = Path(inception_keras.__file__).parent
IN_NOTEBOOKS = {"ipython"}  # imported only where it runs already


def _imported():
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield node.module


def test_every_package_that_is_imported_is_declared_and_no_other():
    config = configparser.ConfigParser()
    config.read(FOLDER.parent / "setup.cfg")
    lines = config["options"]["install_requires"].splitlines()
    declared = {re.split(r"[<>=!]", line)[0] for line in lines if line and not line.startswith("#")}
    extras = " ".join(words for name, words in config["options.extras_require"].items() if name != "dev")
    extra = {re.split(r"[<>=!\[]", word)[0] for word in extras.split()}
    modules = {"google.protobuf" if name.startswith("google.protobuf") else name.split(".")[0] for name in _imported()}
    modules -= {*sys.stdlib_module_names, "inception_keras"}
    of = packages_distributions() | {"google.protobuf": ["protobuf"]}
    used = {of.get(name, [name])[0].lower() for name in modules} - IN_NOTEBOOKS - extra
    assert used == declared

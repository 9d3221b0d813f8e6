PYTHON ?= python3
BIN := .venv/bin
PHOTOS = $$($(BIN)/python -c 'import skimage.data; print(skimage.data.data_dir)')
.DEFAULT_GOAL := help
.PHONY: help install demo test test-all lint format docs notebooks golden clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/installed  ## make .venv and install the package with what its tests need

.venv/installed: setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + "; set PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@command -v dot >/dev/null || { command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] \
	  && apt-get update -qq && apt-get install -y -qq graphviz >/dev/null; } \
	  || echo 'graphviz is not here: plot_model needs its `dot` program (apt install graphviz, brew install graphviz)'
	@touch $@

.venv/%: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev,$*]'
	@touch $@

demo: install  ## draw GoogLeNet, train one on real digits, name what is on photographs; all into demo/
	rm -rf demo
	$(BIN)/inception-keras show googlenet --aux
	$(BIN)/inception-keras plot googlenet --aux --out demo/googlenet.png
	-$(BIN)/inception-keras plot googlenet --aux --layers --out demo/googlenet_layers.svg
	$(BIN)/inception-keras train --recipe googlenet_digits --out demo/digits
	$(BIN)/inception-keras evaluate demo/digits
	$(BIN)/inception-keras predict $(PHOTOS)/coffee.png $(PHOTOS)/chelsea.png
	@echo; find demo -type f | sort

test: install  ## the fast tests
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder

# the longest first, each in a process of its own, as large nets leave gigabytes behind; the others by four
LONGEST := $(patsubst %,tests/test_%.py,golden strangers_saving overfit overfit_boxes every_net strangers_models distribute resume fcn)
OTHERS = $(filter-out $(LONGEST),$(shell grep -l mark.slow tests/test_*.py))
test-all: .venv/export test  ## the fast tests, then the slow ones
	{ printf '%s\n' $(LONGEST); printf '%s %s %s %s\n' $(OTHERS); } | xargs -L 1 -P 2 sh -c \
		'out=$$($(BIN)/pytest -m slow --durations 3 "$$@" 2>&1); code=$$?; echo "$$@ $$out"; exit $$code' -

lint: install  ## ruff, mypy, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: install  ## mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/docs  ## write docs/api.md anew and build the documentation into site/
	$(BIN)/python tests/api_page.py
	$(BIN)/mkdocs build --strict --quiet

notebooks: .venv/notebooks  ## run every notebook; the executed copies go into build/notebooks
	$(BIN)/python notebooks/run.py

golden: .venv/golden  ## write the golden files anew; look at their diff before you commit it
	$(BIN)/python tests/structures.py
	$(BIN)/python tests/golden.py

clean:  ## remove all that these targets made
	rm -rf .venv build site demo *.egg-info .pytest_cache .mypy_cache .ruff_cache

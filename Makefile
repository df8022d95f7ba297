# make demo runs the main job, make test the tests; both do all their own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.ready
SCREEN := xvfb-run -a -s "-screen 0 1600x1000x24"
# one process a core, each with one thread; a file's tests share what they set up; a process that
# dies ends the run, as pytest-xdist may wait for ever for one that takes its place
ONE_THREAD := OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1
SIDE_BY_SIDE := -n logical --maxprocesses 4 --dist loadfile --max-worker-restart 0

.DEFAULT_GOAL := help

.PHONY: help demo test lint docs screenshots benchmarks packages clean

help:  ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

demo: $(SETUP)  ## the whole chain on a built-in plate; under five minutes
	$(BIN)/gradcamo demo --out demo

test: $(SETUP) packages  ## the tests, with real windows on a virtual screen (PYTEST_ARGS="tests/test_x.py -k y")
	$(ONE_THREAD) $(SCREEN) $(BIN)/python -m pytest $(SIDE_BY_SIDE) $(PYTEST_ARGS)

lint: $(SETUP)  ## style, types, import contracts, manifest, docs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/npe2 validate src/gradcamo/napari.yaml
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs: $(SETUP) packages  ## pictures and pages, to build/site
	$(SCREEN) $(BIN)/python scripts/screenshots.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

$(SETUP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[gui,test,lint,docs]"
	touch $@

benchmarks: $(SETUP)  ## a row of benchmarks/history.csv for this commit, half a minute
	$(BIN)/python benchmarks/history.py

packages:
	@scripts/system_packages.sh

clean:  ## forget the environment and what was built
	rm -rf $(VENV) build dist site demo

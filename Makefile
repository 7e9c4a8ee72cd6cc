# `make demo`, `make test` and, for once a night, `make nightly`. All create .venv and install what they need, once.
#
#   PYTHON   the interpreter that creates .venv (3.11 or newer); default python3
#   VENV     where the environment lives; default .venv

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
# CXX is the compiler that Gatework itself will use; make's own default for it is g++.
COMPILER := $(shell for c in $$CXX c++ g++ clang++; do command -v $$c 2>/dev/null && break; done)

.DEFAULT_GOAL := help
.PHONY: help demo test nightly lint types tests clean
.DELETE_ON_ERROR:
.NOTPARALLEL:

help:
	@echo "make demo     fit a forecaster to real data, compare it with the seasonal naive, leave pictures"
	@echo "make test     lint, type check and test"
	@echo "make nightly  2,000 random cells and, in both precisions, every cell against the reference (an hour of CPU)"
	@echo "make clean    remove .venv, runs and caches"

demo: compiler $(VENV)/.demo
	$(BIN)/python examples/co2.py

test: compiler $(VENV)/.dev lint types tests

# On two cores; SEEDS=20000 for more. A failure prints the cell, which becomes a test in tests/compiler/test_fuzz_found.py.
SEEDS ?= 2000
nightly: compiler $(VENV)/.dev
	GATEWORK_FUZZ_SEEDS=$(SEEDS) $(BIN)/python -m pytest -q -n 2 --no-header tests/compiler/test_fuzz.py
	GATEWORK_NIGHTLY=1 $(BIN)/python -m pytest -q -n 2 --no-header tests/conformance

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

# Last, so that pytest's summary ends the output.
# Half an hour of processor time with kernels to build, so two processes; each takes a half of the files and then some of
# what the other has left, so that what the tests of a file share is mostly made once.
WORKERS ?= 2
tests: $(VENV)/.dev
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Gatework needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V). Set one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

# A stamp a kind of install: rerun only when what it depends on has changed.
$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0 -e '.[all,demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0 -e '.[dev]'
	@touch $@ $(VENV)/.demo

.PHONY: compiler
compiler:
ifeq ($(COMPILER),)
	@echo "No C++ compiler found (looked for \$$CXX, c++, g++, clang++). Gatework runs without one, but slowly. Install one:"
	@echo "  Debian, Ubuntu: sudo apt install g++     Fedora: sudo dnf install gcc-c++     macOS: xcode-select --install"
	@exit 1
endif

clean:
	rm -rf $(VENV) runs .pytest_cache .mypy_cache .ruff_cache

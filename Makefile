# make demo and make test set up what is missing; they need Python 3.11 or newer, pip and make alone.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test test-all lint bench

# Trains every family on the sample world and prints what it reached.
demo: $(READY)
	@$(BIN)/python -m lightning_nlp.demo

# Two processes, each of which takes whole files: a file's tests share what its fixtures trained.
test: $(READY)
	@$(BIN)/python -m pytest -n 2 --dist loadfile

# The long checks too, and those that read ../shared/data.
test-all: $(READY)
	@$(BIN)/python -m pytest -m ""

lint: $(READY)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# This project and its peers side by side; rows append to benchmarks/results/.
bench: $(READY)
	@$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[bench]"
	@for script in word_vectors parser seq2seq transformer; do $(BIN)/python benchmarks/$$script.py || exit 1; done

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[dev]"
	@touch $(READY)

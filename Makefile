# Every target builds .venv when it is missing or older than its requirements.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RIVALS := benchmarks/.venv/.ready

# Byte code is kept, whatever the shell says: else each worker and each script that the tests start
# compiles tests and sources again, a fifth of the quick suite.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help train test test-slow test-all check fix schema bench torture canary clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

train: $(READY)  ## train the MLP on handwritten digits (about a minute)
	$(BIN)/python scripts/train.py

test: $(READY)  ## the tests, without the slow ones (90 s on two calm cores)
	$(BIN)/python -m pytest -n auto -m 'not slow'

test-slow: $(READY)  ## the slow tests; of those with many cases every second one
	$(BIN)/python -m pytest -n auto -m 'slow and not exhaustive'

test-all: $(READY)  ## all cases of the slow tests
	$(BIN)/python -m pytest -n auto -m slow

check: $(READY)  ## what CI checks besides the tests: lint, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(READY)  ## repair lint and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: $(READY)  ## the schemas of conf/ for editors, into docs/schemas; after a change of conf/ or of what it names
	$(BIN)/python -m benchmarks.editor_schemas conf docs/schemas

# fourbeat, too: a rival trains in turns with it, in one process.
$(RIVALS): benchmarks/requirements.txt benchmarks/constraints.txt pyproject.toml constraints.txt
	$(PYTHON) -m venv benchmarks/.venv
	benchmarks/.venv/bin/python -m pip install --quiet --constraint constraints.txt \
		--requirement benchmarks/requirements.txt --editable '.[project,pictures]'
	@touch $(RIVALS)

bench: $(READY) $(RIVALS)  ## speed beside the rivals, into benchmarks/RESULTS.md (three hours, alone on the machine)
	$(BIN)/python -m benchmarks $(ARGS)

torture: $(READY)  ## kill trainings at random instants, resume, compare (half an hour)
	$(BIN)/python -m benchmarks.torture $(ARGS)

canary: $(READY)  ## the tests with the newest releases of all libraries; CANARY_TORCH=1: torch too (docs/canary.md)
	$(BIN)/python -m benchmarks.canary

clean:  ## remove the environment and caches; runs and data stay
	rm -rf $(VENV) .canary benchmarks/.venv .pytest_cache .mypy_cache .ruff_cache src/*.egg-info

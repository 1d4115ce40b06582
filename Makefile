# Everything a newcomer needs: `make evolve` and `make test`. Both set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Recorded tuning spaces (T4 files) for the tuner's benchmark; without the folder that table is skipped.
SPACES ?= ../shared/spaces
SECONDS ?= 120
EVALUATIONS ?= 150
PROBLEM ?= softmax

export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
INSTALL := $(BIN)/python -m pip install --quiet --prefer-binary

.PHONY: evolve test test-all lint docs bench clean

evolve: $(VENV)/.run  ## evolve softmax on this machine's CPU (OpenCL through PoCL)
	$(BIN)/kernelevolve evolve $(PROBLEM) --accelerator opencl --seconds $(SECONDS) --evaluations $(EVALUATIONS) \
		--out runs/best_$(PROBLEM).cl

test: $(VENV)/.dev  ## the test suite, but for what compiles every value of every tunable
	$(BIN)/python -m pytest -m "not exhaustive" -n 2 --dist loadfile

test-all: $(VENV)/.dev  ## the whole test suite
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/.dev  ## format, style, types, floors, spelling
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell README.md CONTRIBUTING.md CHANGELOG.md docs src tests benchmarks

docs: $(VENV)/.dev  ## run every example of the documentation
	$(BIN)/python -m pytest tests/docs

bench: $(VENV)/.dev  ## the figures of docs/explanation/benchmarks.md, measured here
	$(BIN)/python -m benchmarks --spaces "$(SPACES)"

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable '.[opencl]'
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) --editable '.[opencl,triton,numba,anthropic,mcp,dev]'
	touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) build dist runs

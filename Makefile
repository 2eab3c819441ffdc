# Everything here sets itself up: a virtual environment in .venv, made on first use.
# Another interpreter: make demo PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
EPOCHS ?= 3

.DEFAULT_GOAL := help
.PHONY: help demo test coverage lint format bench bench-gpu test-gpu book scoreboard drawing clean

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1\t/' | expand -t 20

demo: .venv/demo  ## download MNIST, train the ConvNet for three epochs, and leave the pictures in runs/
	$(BIN)/minidl train mnist --epochs $(EPOCHS)

PYTEST := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

test: .venv/test  ## run every test (PyTorch is the reference)
	$(PYTEST)

coverage: .venv/test  ## run every test, counting the lines that are reached: takes twice as long
	$(PYTEST) --cov --cov-report=term:skip-covered

lint: .venv/test  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: .venv/test  ## put the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/test  ## the time of training steps, beside PyTorch
	$(BIN)/minidl bench cpu --against torch

# On a machine with a GPU both run in the Python that is there, with CuPy and Triton, and need no network.
GPU_PYTHON ?= $(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON))
GPU_RESULTS ?= runs/gpu

bench-gpu:  ## measure the GPU kernels, beside PyTorch if it is there; JSON and plots in runs/gpu
	PYTHONPATH=.:kernels $(GPU_PYTHON) -m minidl.bench.gpu $(GPU_RESULTS)

test-gpu:  ## every kernel of every backend, on the GPU if there is one
	PYTHONPATH=.:kernels $(GPU_PYTHON) -m pytest tests/kernels

scoreboard: .venv/test  ## write docs/scoreboard.md anew from the table of operators
	$(BIN)/python -m tests.scoreboard

drawing: .venv/test  ## draw the layers in docs/architecture.md anew from the imports
	$(BIN)/python -m tests.architecture

book: .venv/book  ## the tutorials, run, with the pages of docs/ and the reference as one site in build/book/html
	$(BIN)/python docs/book/build.py

clean:  ## remove the virtual environment and all that was built or compiled
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis .coverage*
	find minidl kernels tests -name __pycache__ -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "minidl needs Python 3.11 or newer; name one with: make PYTHON=python3.12"; exit 1; }
	@echo "Making a virtual environment in .venv"
	$(PYTHON) -m venv .venv

.venv/demo: .venv/bin/python pyproject.toml
	@echo "Installing minidl and what it needs (a minute or two, once)"
	$(PIP) -e '.[data,jit,text]'
	@touch $@

.venv/book: .venv/bin/python pyproject.toml
	@echo "Installing what builds the book (a minute or two, once)"
	$(PIP) -e '.[data,jit,text,book]'
	@touch $@

.venv/test: .venv/bin/python pyproject.toml
	@echo "Installing minidl with its tests' tools, PyTorch among them (some minutes, once)"
	$(PIP) -e '.[data,jit,test]'
	@touch $@ .venv/demo

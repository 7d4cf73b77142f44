# Everything starts here: `make demo` on a fresh machine needs python3 (3.11-3.13) and nothing else.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# TensorFlow tells a page about its kernels otherwise.
export TF_CPP_MIN_LOG_LEVEL ?= 3

.DEFAULT_GOAL := help
.PHONY: help install demo test jax bench lint lock

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv and install the locked versions into it
	@echo "Installed. Activate it with: . $(BIN)/activate"

$(STAMP): requirements.lock pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else \
	    "Python 3.11, 3.12 or 3.13 is needed, but $(PYTHON) is %d.%d. Call: make PYTHON=python3.11" \
	    % sys.version_info[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the packages of requirements.lock (about 500 MB, some minutes) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --require-hashes --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	    --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## find coins in photographs, and symbols that the model never saw (minutes)
	@$(BIN)/siamese-mrcnn demo --out demo_output

test: $(STAMP) ## all tests on TensorFlow, then those of every backend on JAX but the longest
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest
	KERAS_BACKEND=jax $(BIN)/python -m pytest -m "backends and not long_on_jax"

jax: $(STAMP) ## all tests of every backend on JAX
	KERAS_BACKEND=jax $(BIN)/python -m pytest -m backends

bench: $(STAMP) ## measure speed and memory
	@$(BIN)/python -m benchmarks
	@$(BIN)/python -m benchmarks.reuse

lint: $(STAMP) ## check style and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

lock: ## choose the newest allowed versions anew and write requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@echo 'setuptools>=77' | $(BIN)/uv pip compile pyproject.toml - --quiet --upgrade \
	    --extra cpu --extra jax --extra app --extra test --universal --python-version 3.11 \
	    --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	    --output-file requirements.lock

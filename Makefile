# Two commands matter: `make demo` and `make test`. `make help` lists the others.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -qq
EXTRAS_PLATFORM := api aws dask iceberg lithops postgres
SHELL := /bin/bash

# The locks hold for Linux and these Python versions; elsewhere the ranges of pyproject.toml apply, resolved by a new pip
LOCKED_PYTHONS := 3.11 3.12 3.13
LOCKED := $(and $(filter Linux,$(shell uname -s)),$(filter $(LOCKED_PYTHONS),$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)))

# Two processes, unless PYTEST_ADDOPTS says otherwise
PYTEST_PROCESSES := $(if $(PYTEST_ADDOPTS),,-n 2)

.DEFAULT_GOAL := help
.PHONY: help demo test heavy nightly coverage ui lint format lock bench docs torch spark browser wheel clean

help:  ## this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

demo: $(VENV)/.base  ## the main job on a small sample world, offline, into demo/
	@$(BIN)/geo-assets demo --dir demo

test: $(VENV)/.dev  ## the tests, but those that need the internet or take longest
	@$(BIN)/python -m pytest $(PYTEST_PROCESSES)

heavy: $(VENV)/.dev $(VENV)/.browser $(VENV)/.spark $(VENV)/.torch  ## the tests that take long: every backend, killed workers, backfills, the browser, the wheel
	@$(BIN)/python -m pytest $(PYTEST_PROCESSES) -m "heavy and not nightly"

nightly: $(VENV)/.dev $(VENV)/.spark  ## the tests that take longest: runs killed on every backend, thousands of slow tasks
	@$(BIN)/python -m pytest $(PYTEST_PROCESSES) -m nightly

coverage: $(VENV)/.dev  ## the tests, with the lines that none of them reaches
	@$(BIN)/python -m pytest $(PYTEST_PROCESSES) --cov --cov-report=term-missing:skip-covered

ui: $(VENV)/.base  ## the Dagster UI on what `make demo` made
	@$(BIN)/geo-assets ui demo/geo_assets.yaml

lint: $(VENV)/.dev  ## ruff, mypy and the import rules
	@failed=0; for check in "ruff check ." "ruff format --check --quiet --output-format=concise ." "mypy" "lint-imports"; do \
	    echo "== $$check"; $(BIN)/$$check || failed=1; done; exit $$failed

format: $(VENV)/.dev  ## rewrites the sources in the house style
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev  ## the measurements that the documents quote
	@$(BIN)/python -m benchmarks

docs: $(VENV)/.dev  ## the documentation, into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

torch: $(VENV)/.dev  ## torch for the embedding models: a CPU build where the machine offers one
	@echo "Installing torch (large) ..."
	@$(PIP) --no-deps -r requirements/torch.txt

spark: $(VENV)/.dev  ## PySpark for the tests of the backend spark, which needs Java 17 besides
	@echo "Installing PySpark (large) ..."
	@$(PIP) --require-hashes --no-deps --no-build-isolation -r requirements/spark.txt

wheel: $(VENV)/.dev  ## the wheel and the source archive, into dist/
	@$(BIN)/python -m build --no-isolation

clean:  ## removes the environment, the demo and everything built
	rm -rf $(VENV) .venv-lock demo dist build site *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage .coverage.* htmlcov
	find geo_assets geo_assets_tests resources -name __pycache__ -type d -prune -exec rm -rf {} +

# ---- the environment -------------------------------------------------------------------------------------------------

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "geo_assets needs Python 3.11 or newer; $(PYTHON) was not found. Name one: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "geo_assets needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name a newer one: make PYTHON=python3.12"; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) -V) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "The venv module is missing; on Debian and Ubuntu: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }

$(VENV)/.base: requirements/base.txt pyproject.toml | $(BIN)/python
	@echo "Installing the base packages, once (about a minute with a fast network) ..."
ifneq ($(LOCKED),)
	@$(PIP) --require-hashes --no-deps -r requirements/base.txt
	@$(PIP) --no-deps --no-build-isolation -e .
else
	@$(PIP) --upgrade pip
	@$(PIP) -e .
endif
	@$(BIN)/python -m geo_assets.tasks.warm
	@touch $@

# The development lock holds the base lock's versions and more, so it completes the base environment too
$(VENV)/.dev: requirements/dev.txt requirements/base.txt pyproject.toml | $(BIN)/python
	@echo "Installing the packages for tests and checks, once (two or three minutes with a fast network) ..."
ifneq ($(LOCKED),)
	@$(PIP) --require-hashes --no-deps -r requirements/dev.txt
	@$(PIP) --no-deps --no-build-isolation -e .
else
	@$(PIP) --upgrade pip
	@$(PIP) -e '.[dev]' -r requirements/build.in
endif
	@$(BIN)/python -m geo_assets.tasks.warm
	@touch $(VENV)/.base $@

# Tried once: without a browser its tests skip, and nothing else needs it
$(VENV)/.browser: | $(BIN)/python
	@$(MAKE) --no-print-directory browser
	@touch $@

# Tried once, and where there is a Java: without it the tests of the backend spark skip
$(VENV)/.spark: requirements/spark.txt | $(VENV)/.dev
	@if ! command -v java >/dev/null; then \
	    echo "No Java here: the tests of the backend spark will skip. Install Java 17 or newer, then: make spark"; \
	else \
	    $(MAKE) --no-print-directory spark || echo "PySpark could not be installed: its tests will skip. To try again: make spark"; \
	fi
	@touch $@

# Tried once: without torch the tests of models that torch exported skip
$(VENV)/.torch: requirements/torch.txt | $(VENV)/.dev
	@$(MAKE) --no-print-directory torch || echo "torch could not be installed: the tests of its models will skip. To try again: make torch"
	@touch $@

browser:  ## Chromium and its driver for the browser test, where this is Debian or Ubuntu and we are root
	@if { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null && command -v chromedriver >/dev/null; then \
	    :; \
	elif [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then \
	    echo "No Chromium with chromedriver here, and no right to install them: the browser test will skip. Install both, then: make browser"; \
	else \
	    echo "Installing Chromium for the browser test (a minute or two) ..."; \
	    export DEBIAN_FRONTEND=noninteractive; \
	    { apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium chromium-driver; } >/dev/null 2>&1 \
	        || echo "Chromium could not be installed: the browser test will skip. To try again: make browser"; \
	fi

# ---- the pins --------------------------------------------------------------------------------------------------------

UV := .venv-lock/bin/uv
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --generate-hashes \
    --no-annotate --no-strip-extras --custom-compile-command "make lock" $(LOCK_FLAGS)
# A worker has what the library imports and what its backend and its storage need, without Dagster
WORKER_IN = $(PYTHON) -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
    needs = p["dependencies"] + [n for e in ("aws", "dask", "iceberg", "lithops") for n in p["optional-dependencies"][e]]; \
    print("\n".join(n for n in needs if not n.startswith("dagster")))'

$(UV):
	@$(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python -m pip install --disable-pip-version-check -qq uv

lock: $(UV)  ## renews the pins; LOCK_FLAGS=--upgrade takes the newest versions
	@echo "Resolving the environments (a minute or two) ..."
	@$(COMPILE) pyproject.toml --extra dev requirements/build.in requirements/torch-deps.in -o requirements/dev.txt
	@$(COMPILE) pyproject.toml requirements/build.in -c requirements/dev.txt -o requirements/base.txt
	@$(COMPILE) pyproject.toml $(addprefix --extra ,$(EXTRAS_PLATFORM)) requirements/build.in -c requirements/dev.txt -o requirements/platform.txt
	@$(WORKER_IN) | $(COMPILE) - requirements/build.in -c requirements/dev.txt -o requirements/worker.txt
	@echo 'awslambdaric>=3' | $(COMPILE) - -c requirements/dev.txt -o requirements/lambda.txt
	@if grep -nE '://|^ *-(i|f|-index|-find|-extra|-trusted)' requirements/*.txt; then echo "A pin names an index or a host."; exit 1; fi
	@wc -l requirements/*.txt

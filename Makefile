# make up    sets up and starts Ringfence: gateway, demo model, a first key
# make test  runs the tests that a change must pass (a few minutes)
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
QUICK := not slow and not clients and not browser and not presidio and not postgres
WINDOW_SUITE := tests/property/test_no_overflow.py tests/property/test_every_dialect_fits.py tests/needles/test_needles.py
WINDOW_TIMED := tests/scenario/test_fifty_megabytes.py
KILLS := $(wildcard tests/scenario/test_kill_*.py)

# What keeps something, or reads what is kept: a second time on PostgreSQL. Long ones by name.
KEPT := tests/unit/store tests/unit/runtime tests/unit/control tests/unit/cli/test_cost_cli.py tests/unit/cli/test_keys_cli.py \
  tests/unit/cli/test_ledger_cli.py tests/unit/cli/test_prices_cli.py tests/unit/gateway/test_priced_calls.py \
  tests/property/test_never_over_budget.py tests/scenario/test_batches.py tests/scenario/test_batches_think.py \
  tests/scenario/test_cascade.py tests/scenario/test_cli.py tests/scenario/test_keys_and_limits.py \
  tests/scenario/test_money_attacked.py tests/scenario/test_money_fence.py tests/scenario/test_one_flight.py tests/scenario/test_parking_attacked.py \
  tests/scenario/test_parking_inside.py tests/scenario/test_parking_many.py tests/scenario/test_quota_used_up.py \
  tests/scenario/test_reload.py tests/scenario/test_rented_batches.py tests/scenario/test_rented_messages.py \
  tests/scenario/test_responses.py tests/scenario/test_responses_background.py
KEPT_LONG := tests/scenario/test_budgets.py tests/scenario/test_rented_batches_up.py tests/scenario/test_parking.py tests/scenario/test_responses_process.py \
  tests/scenario/test_ledger_outage.py

# What was compiled once is kept, whatever the environment says: each part collects the same tests, and most of them start
# the same program.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: up test test-kills test-postgres test-slow test-simulation test-window test-presidio lint clients bench bench-fence bench-streams bench-against prices clean

up: $(VENV)/.run
	@exec $(BIN)/ringfence up $(ARGS)

# What a machine does for others makes what is timed longer, and never shorter: a timed test that fails is tried twice more.
# Those that kill at random are not: what they find may come once. Status 5 of pytest: ARGS name no test of this part.
test: $(VENV)/.dev
	@echo "==> Tests"
	@$(BIN)/python -m pytest -m "$(QUICK) and not timed" --numprocesses 3 --dist loadfile --no-loadscope-reorder --durations=5 $(ARGS) || [ $$? -eq 5 ]
	@echo "==> Tests of how long something takes, one after the other"
	@$(BIN)/python -m pytest -m "$(QUICK) and timed" --reruns 2 $(ARGS) || [ $$? -eq 5 ]

test-slow: $(VENV)/.dev
	@echo "==> Slow tests"
	@$(BIN)/python -m pytest -m "slow and not timed and not postgres and not browser" --timeout 300 --numprocesses 3 --dist loadfile --no-loadscope-reorder --durations=10 --ignore=tests/simulation $(WINDOW_SUITE:%=--ignore=%) $(WINDOW_TIMED:%=--ignore=%) $(ARGS)
	@$(BIN)/python -m pytest -m "slow and timed" --timeout 300 --reruns 2 --ignore=tests/simulation $(WINDOW_SUITE:%=--ignore=%) $(WINDOW_TIMED:%=--ignore=%) $(KILLS:%=--ignore=%) $(ARGS) || [ $$? -eq 5 ]
	@$(if $(ARGS),,$(BIN)/python -m pytest -m "slow and timed" $(KILLS))

# Of parked requests, batches, keys, the data fence and the money fence, by themselves.
test-kills: $(VENV)/.dev
	@$(BIN)/python -m pytest -m slow $(KILLS) $(ARGS)

test-postgres: $(VENV)/.dev
	@echo "==> Tests with PostgreSQL"
	@$(BIN)/python -m pytest --database postgresql -m "(postgres or not slow) and not timed" --durations=5 $(KEPT) $(ARGS)
	@$(BIN)/python -m pytest --database postgresql -m "slow and not timed" --timeout 300 --durations=5 $(KEPT_LONG) $(ARGS)

test-simulation: $(VENV)/.dev
	@echo "==> A thousand simulated hours"
	@$(BIN)/python -m pytest -m slow --numprocesses 2 --dist worksteal --durations=10 tests/simulation $(ARGS)

test-window: $(VENV)/.dev
	@echo "==> Windows: long property tests, made documents, 50 MB"
	@$(BIN)/python -m pytest -m slow --timeout 300 --durations=5 $(WINDOW_SUITE) $(ARGS)
	@$(BIN)/python -m pytest -m slow --timeout 300 --reruns 2 --durations=5 $(WINDOW_TIMED) $(ARGS)

lint: $(VENV)/.dev
	@echo "==> Style, types, layers"
	@$(BIN)/ruff check src tests bench training examples
	@$(BIN)/ruff format --check src tests bench training examples
	@$(BIN)/pyright --pythonpath $(BIN)/python
	@$(BIN)/lint-imports --no-cache

test-presidio: .venv-presidio/.done
	@echo "==> Tests with Presidio"
	@.venv-presidio/bin/python -m pytest -m presidio tests/presidio --durations=5 $(ARGS)

clients: $(VENV)/.dev
	@sh tests/clients/install.sh
	@$(BIN)/python -m pytest -m clients --timeout 300 --durations=5 $(ARGS)

bench: $(VENV)/.run
	@$(BIN)/python bench/compare.py $(ARGS)

bench-fence: $(VENV)/.run
	@$(BIN)/python bench/fence.py $(ARGS)

bench-streams: $(VENV)/.run
	@$(BIN)/python bench/streams.py $(ARGS)

bench-against: $(VENV)/.run
	@$(BIN)/python bench/against.py $(ARGS)

# make prices DAY=2026-11-10, the day on which the version in requirements-prices.lock came out
prices: $(VENV)/.dev
	@$(BIN)/pip install --disable-pip-version-check --quiet --require-hashes --no-deps --upgrade --target .prices -r requirements-prices.lock
	@PYTHONPATH=.prices $(BIN)/python -m ringfence.prices.make_table $(DAY)

clean:
	rm -rf $(VENV) .prices .venv-presidio .venv-clients .venv-aider .venv-peers tests/clients/node/node_modules .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@echo "==> Python environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Ringfence needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another one: make up PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV) || { echo "No virtual environment could be made. On Debian: apt-get install python3-venv"; exit 1; }

$(VENV)/.run: requirements.lock pyproject.toml | $(BIN)/python
	@echo "==> Packages (about 150 MB the first time; versions and hashes are in requirements.lock)"
	@$(BIN)/pip install --disable-pip-version-check --quiet --progress-bar on --require-hashes -r requirements.lock
	@echo "==> Ringfence"
	@$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --editable .
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "==> Packages for tests (versions and hashes are in requirements-dev.lock)"
	@$(BIN)/pip install --disable-pip-version-check --quiet --progress-bar on --require-hashes -r requirements-dev.lock
	@echo "==> Ringfence"
	@$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --editable .
	@touch $(VENV)/.run $@

.venv-presidio/.done: requirements-presidio.lock pyproject.toml
	@echo "==> Presidio in .venv-presidio (versions and hashes are in requirements-presidio.lock)"
	@$(PYTHON) -m venv .venv-presidio
	@.venv-presidio/bin/pip install --disable-pip-version-check --quiet --progress-bar on --require-hashes -r requirements-presidio.lock
	@.venv-presidio/bin/pip install --disable-pip-version-check --quiet --no-deps --editable .
	@touch $@

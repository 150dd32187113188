# The first call of any target makes .venv and installs everything that requirements/dev.txt pins.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# Two workers suit two cores; pytest-xdist finds the number of cores itself.
TEST_WORKERS ?= auto

.DEFAULT_GOAL := help
.PHONY: help demo run test trace trace-kills bench-gateway bench-stages bench-size bench-metering bench-billing soak soak-budgets soak-fuzz soak-postgres-away check format lint types imports migrations lock clean

help: ## Print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/installed: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Tokenworks needs Python 3.11 or newer; name one with PYTHON=..."; exit 1; }
	@echo "Installing into .venv; this takes about half a minute."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: .venv/installed ## Run the whole factory with demo tenants and traffic (ARGS=--exit ends it)
	$(BIN)/tokenworks demo $(ARGS)

run: .venv/installed ## Run gateway, office, worker, beat and shipper on TOKENWORKS_PORT (8000)
	$(BIN)/tokenworks run $(ARGS)

test: .venv/installed ## Run the tests on embedded servers, in parallel
	$(BIN)/python -m pytest -n $(TEST_WORKERS) $(ARGS)

trace: .venv/installed ## Replay the trace in TRACE through a copy of its own and compare all books
	$(BIN)/python -m tests.stories.whole_trace $(TRACE) $(ARGS)

trace-kills: .venv/installed ## The same while its processes are killed in turn
	$(BIN)/python -m tests.stories.whole_trace $(TRACE) --kill $(ARGS)

bench-gateway: .venv/installed ## Measure the gateway beside its peers with the script in BENCH (ARGS=--setup first)
	$(BIN)/python -m tests.bench.gateway $(ARGS)

bench-stages: .venv/installed ## Measure what each stage of a request costs
	$(BIN)/python -m pytest -p benchmark --benchmark-columns=median,iqr,ops tests/bench/stages.py $(ARGS)

bench-size: .venv/installed ## Measure memory, open streams, many keys and large bodies
	$(BIN)/python -m tests.bench.size $(ARGS)

bench-metering: .venv/installed ## Measure shipping and folding beside a raw COPY (ARGS="--events 1000000 --rounds 3")
	$(BIN)/python -m tests.bench.metering $(ARGS)

bench-billing: .venv/installed ## Measure closing the month of many tenants, and rating many buckets (ARGS="--tenants 1000")
	$(BIN)/python -m tests.bench.billing $(ARGS)

soak: .venv/installed ## Simulate metering under faults, 3000 seeds (ARGS="--seeds 1 --from SEED --trace" replays one)
	$(BIN)/python -m tests.metering.simulation $(ARGS)

soak-budgets: .venv/installed ## Drain 20 budgets of each kind through gateways that are killed (ARGS="--runs 5")
	$(BIN)/python -m tests.stories.soak_budgets $(ARGS)

soak-postgres-away: .venv/installed ## Take Postgres away for ten minutes while callers ask, and compare all books (ARGS="--minutes 2")
	$(BIN)/python -m tests.stories.soak_postgres_away $(ARGS)

soak-fuzz: .venv/installed ## Send 10,000 malformed requests to a running gateway
	FUZZ_EXAMPLES=10000 $(BIN)/python -m pytest tests/gateway/test_fuzz.py $(ARGS)

check: lint types imports migrations test ## Run lint, types, import rules, missing migrations and the tests

format: .venv/installed ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: .venv/installed ## Check format and lint with ruff
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: .venv/installed ## Check types with mypy --strict
	$(BIN)/mypy .

imports: .venv/installed ## Check that imports go down only
	$(BIN)/lint-imports

migrations: .venv/installed ## Check that no migration is missing
	$(BIN)/tokenworks makemigrations --check --dry-run

lock: .venv/installed ## Compile requirements/*.txt from requirements/*.in, with hashes
	cd requirements && for name in base dev; do ../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	    --generate-hashes --no-emit-index-url --custom-compile-command "make lock" $$name.in --output-file $$name.txt; done

clean: ## Remove caches and .venv (not .tokenworks, which holds data)
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

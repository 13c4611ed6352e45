# Everything below sets up what it needs: a virtual environment in .venv with pinned, hash-checked packages.
PORT ?= 8000
WORKERS ?= 1
NOW ?= 2017-10-01T09:00
DATA ?= .data/grocery
SOAK_MINUTES ?= 10
SOAK_SEED ?= 1
# The first interpreter that runs and fits (a name on PATH may be a shim that refuses).
FITS := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do $$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
EVENTS := purchases redemptions campaigns
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: serve train test soak bench check format clean

.venv/serve.done: requirements/serve.txt requirements/build.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Tino needs CPython 3.11 or 3.12 on PATH, or PYTHON=/path/to/python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing pinned packages into .venv ..."
	@$(PIP) --require-hashes -r requirements/serve.txt -r requirements/build.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev.done: .venv/serve.done requirements/dev.txt
	@$(PIP) --require-hashes -r requirements/dev.txt
	@touch $@

.venv/train.done: .venv/serve.done requirements/train.txt
	@$(PIP) --require-hashes -r requirements/train.txt
	@touch $@

.venv/grocery.done: .venv/serve.done requirements/grocery.txt
	@$(PIP) --require-hashes --no-deps -r requirements/grocery.txt
	@touch $@

# Once: what has happened is not to be told again when a file here is newer.
$(DATA)/imported-events: | .venv/grocery.done
	@$(BIN)/python -m examples.grocery.prepare --out $(DATA)/prepared
	@$(BIN)/tino import customers $(DATA)/prepared/households.parquet --catalog examples/grocery --data $(DATA) --now $(NOW)
	@$(BIN)/tino import events $(EVENTS:%=$(DATA)/prepared/%.parquet) --catalog examples/grocery --data $(DATA) --now $(NOW)
	@touch $@

serve: $(DATA)/imported-events
	$(BIN)/tino serve --catalog examples/grocery --data $(DATA) --now $(NOW) --port $(PORT) --workers $(WORKERS)

train: .venv/train.done .venv/grocery.done
	$(BIN)/python -m examples.grocery.training
	$(BIN)/tino train examples/grocery

test: .venv/dev.done .venv/train.done .venv/grocery.done check
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term

# What the test run does once, for as long as you like: see docs/decisions/history-check.md.
soak: .venv/dev.done
	$(BIN)/python -m tests.history.soak --minutes $(SOAK_MINUTES) --seed $(SOAK_SEED)

check: .venv/dev.done
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/dev.done
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/dev.done
	$(BIN)/python -m bench
	$(BIN)/python -m pytest tests/bench/test_benchmarks.py --benchmark-enable --benchmark-only --benchmark-columns=median,iqr,rounds

clean:
	rm -rf .venv .data .mypy_cache .ruff_cache .pytest_cache

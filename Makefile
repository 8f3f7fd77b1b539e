# Every target sets up what it needs in .venv; a fresh machine needs git, make and Python >= 3.11 with venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CLIENTS := .venv-clients
CLIENTS_READY := $(CLIENTS)/.ready
RIVALS := .venv-calibration
WORKERS ?= 3
RIVALS_READY := $(RIVALS)/.ready

# One target after another, whatever -j says: they share what they set up. Only `make test` sets up at once.
ifneq ($(MAKECMDGOALS),environments)
.NOTPARALLEL:
endif

.PHONY: demo redis-server environments test check lint types bench calibrate soak lock clean

$(READY): requirements-pip.lock requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-pip.lock  # one of 2023 takes twice as long
	$(BIN)/python -m pip install --quiet --no-compile --require-hashes -r requirements-dev.lock  # modules are compiled when first imported
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(CLIENTS_READY): requirements-pip.lock requirements-clients.lock
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install --quiet --require-hashes -r requirements-pip.lock
	$(CLIENTS)/bin/python -m pip install --quiet --no-compile --require-hashes -r requirements-clients.lock  # few of its modules are ever imported
	touch $@

$(RIVALS_READY): requirements-calibration.lock
	$(PYTHON) -m venv $(RIVALS)
	$(RIVALS)/bin/python -m pip install --quiet --require-hashes -r requirements-calibration.lock
	touch $@

demo: $(READY)
	$(BIN)/python -m pointsman demo

redis-server:
	.ci/redis-server

environments: $(READY) $(CLIENTS_READY) redis-server

# What the tests need is set up at once: by itself pip keeps one core busy.
# The longest files start first (tests/conftest.py); xdist by itself would start those with the most tests first.
test:
	$(MAKE) -j3 environments
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy
	$(BIN)/mypy pointsman.py

check: lint types test

bench: $(READY)
	$(BIN)/python -m benchmarks

calibrate: $(RIVALS_READY)
	$(RIVALS)/bin/python -m evaluation.calibration

soak: $(READY)
	$(BIN)/python -m pytest -n 2 tests/process tests/faults --kills 100 --rounds 200
	$(BIN)/python -m pytest -n 2 tests/bandit tests/experiments tests/router tests/storage --hypothesis-profile soak

lock:
	echo pip | uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links - -o requirements-pip.lock
	uv pip compile --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock
	uv pip compile --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --group dev pyproject.toml -o requirements-dev.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --group pyproject.toml:clients -o requirements-clients.lock
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --group calibration -c requirements-dev.lock pyproject.toml -o requirements-calibration.lock

clean:
	rm -rf $(VENV) $(CLIENTS) $(RIVALS) .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build

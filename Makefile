# Everything a person needs: `make run` and `make test`. It asks for Python 3.11 or newer, git and
# make; what else is needed is installed into .venv from the hashed locks in deploy/.

PYTHON ?= python3
VENV ?= .venv
HOST := 127.0.0.1
PORT := 8080

PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input
RUN_READY := $(VENV)/.ready-to-run
TEST_READY := $(VENV)/.ready-to-test

.DEFAULT_GOAL := help
.PHONY: help run test test-live test-rest coverage demo matrix bench lint fmt lock packages clean

help:
	@echo "make run       install into $(VENV) and serve on http://$(HOST):$(PORT)"
	@echo "make test      format check, lint, strict types and all tests"
	@echo "make coverage  all tests, and which lines they do not reach"
	@echo "make demo      play recorded calls through the whole service and print them"
	@echo "make matrix    play every recorded call with every fault in it"
	@echo "make bench     load and cost, beside a bare socket server"
	@echo "make lint      format check, lint and strict types alone"
	@echo "make fmt       format, and mend what the linter can mend"
	@echo "make lock      pin the newest dependencies with their hashes"
	@echo "make packages  install or name the system packages that the tests need"
	@echo "make clean     remove $(VENV) and caches"
	@echo "With another Python: make test PYTHON=python3.13 VENV=.venv-3.13"

run: $(RUN_READY)
	@exec $(PY) -m service serve --host $(HOST) --port $(PORT)

# -p tests.no_skips turns a skipped test into a failed run: a missing package must not go unseen.
# Tests of running processes go by the machine's clock: one that fails is tried once more, and named.
# They wait more than they work, so they run beside the others.
LIVE := tests/page tests/resilience tests/service
PYTEST := $(PY) -m pytest -p tests.no_skips -rfER --reruns 1

test: packages lint
	@$(MAKE) --no-print-directory --keep-going --jobs=2 test-live test-rest

test-live: $(TEST_READY)
	$(PYTEST) $(LIVE)

test-rest: $(TEST_READY)
	$(PYTEST) tests $(LIVE:%=--ignore=%)

# Apart from `test`, since it takes half as long again.
coverage: packages $(TEST_READY)
	$(PYTEST) --cov --cov-report=term:skip-covered

demo: $(RUN_READY)
	@exec $(PY) -m service.replay.demo

matrix: $(RUN_READY)
	@exec $(PY) -m service matrix $(wildcard fixtures/*/*.jsonl fixtures/*/*.jsonl.zst)

bench: $(TEST_READY)
	@exec $(PY) -m bench

lint: $(TEST_READY)
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy

fmt: $(TEST_READY)
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

packages:
	@$(check_python)
	@$(PYTHON) tests/system_packages.py

# The second lock takes the first as a constraint, so that both agree on every version.
lock: $(PY)
	$(PIP) install --quiet --upgrade uv
	$(call compile,,deploy/requirements.lock)
	$(call compile,--extra test --extra bench --constraint deploy/requirements.lock,deploy/requirements-test.lock)

compile = $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header --upgrade \
	--group build $(1) pyproject.toml --output-file $(2)

check_python = $(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and \
	'Python 3.11 or newer is needed. With another one: make PYTHON=python3.13 ...' or 0)"

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

$(PY):
	@$(check_python)
	@$(PYTHON) tests/system_packages.py --venv-only
	$(PYTHON) -m venv $(VENV)

# Wheels come by the lock alone, which is complete: pip is not to look for what they need, since it
# then takes a newer release of `coverage[toml]` for one that the lock lacks.
# The project itself needs setuptools, which the lock brings too.
install = $(PIP) install --quiet --no-deps --require-hashes --requirement $(1) && \
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .

$(RUN_READY): deploy/requirements.lock pyproject.toml | $(PY)
	@echo "installing into $(VENV): a minute or two the first time"
	@$(call install,$<)
	@touch $@

$(TEST_READY): deploy/requirements-test.lock pyproject.toml | $(PY)
	@echo "installing the tools of tests and bench into $(VENV): a minute or two the first time"
	@$(call install,$<)
	@touch $@ $(RUN_READY)

# PYTHON says which Python makes .venv, for example: make run PYTHON=/opt/python3.11/bin/python3.11
export PYTHON
PY := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help run upgrade install install-dev test test-slow test-soak chaos chaos-mutations lint audit bench bench-esl bench-ai clean

help:
	@echo 'make run    start Lifeline, with callers, on this machine'
	@echo 'make upgrade  after a git pull: install, migrate, and restart every process of the running stack, one after the other'
	@echo 'make test   run the tests (test-slow: those that take long, which CI runs too; test-soak: minutes of load)'
	@echo 'make lint   check style, types, imports and migrations'
	@echo 'make audit  look every pinned package up in the list of known vulnerabilities (asks the package index)'
	@echo 'make chaos  break everything while calls go on (DURATION=5m SPEAKING=30 KEYED=970 SEED=7)'
	@echo 'make chaos-mutations  take each single protection away and see that something fails'
	@echo 'make bench  measure (bench-esl: the Event Socket layer alone, bench-ai: the AI side)'
	@echo 'make clean  remove .venv and caches; the data in .lifeline stays'

install:
	@bash deploy/install.sh

install-dev:
	@bash deploy/install.sh --dev

# Beside the running stack, after a `git pull`: docs/running.md, "Upgrading".
upgrade: install
	$(PY) manage.py prepare_data
	@exec $(PY) manage.py stack roll

run: install
	@exec $(PY) manage.py run_all

test: install-dev
	@exec $(PY) -m pytest -q -m 'not slow and not soak'

test-slow: install-dev
	@exec $(PY) -m pytest -q -m slow

test-soak: install-dev
	@exec $(PY) -m pytest -q -m soak

# LIFELINE_DEMO stands in for the secret key that a production start demands. unfold's system check asks the database, which
# a check of the sources has not: hence --skip-checks.
lint: export LIFELINE_DEMO = true
lint: export DATABASE_URL = sqlite://:memory:
lint: install-dev
	$(PY) -m ruff check .
	$(PY) -m mypy .
	.venv/bin/lint-imports
	$(PY) manage.py makemigrations --check --dry-run --skip-checks

# --strict: a package that could not be looked up is no package without findings. Not part of `make test`, which needs no network.
audit: install-dev
	@exec .venv/bin/pip-audit --strict --no-deps --disable-pip -r constraints.txt

# What fits a machine is for whoever runs it to say; the defaults are the aim.
DURATION ?= 5m
SPEAKING ?= 30
KEYED ?= 970
chaos: install-dev
	@exec $(PY) -m tests.chaos --duration $(DURATION) --speaking $(SPEAKING) --keyed $(KEYED) $(if $(SEED),--seed $(SEED)) --write

chaos-mutations: install-dev
	@exec $(PY) -m tests.chaos.mutations --write

bench: install-dev
	@exec $(PY) -m bench

bench-esl: install-dev
	@exec $(PY) -m bench.esl

bench-ai: install-dev
	@exec $(PY) -m bench.ai

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

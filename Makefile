# make install, make demo, make test: all that a new machine needs is Python 3.11 and make.

SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
KAFKA := .kafka/.complete
KAFKA_HINT := No real Kafka here: install Java 17 and Maven, then run 'make kafka'.
DATA := ../shared/data
PACKAGES := crm_online streams tests benchmarks

.PHONY: help install dev demo test check lint types imports format schemas kafka test-long bench performance quality clean

help: ## Show what there is to make
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | \
	    while IFS=$$'\t' read -r target text; do printf '  make %-12s %s\n' "$$target" "$$text"; done

install: $(VENV)/.installed ## Make .venv with all that running takes
dev: $(VENV)/.developing ## Make .venv with all that testing takes, too

demo: install ## Watch it score a generated population, for a minute; HOLD=1: until interrupted
	@$(BIN)/crm-online demo $(if $(HOLD),--hold)

# Two at a time, each with a broker and a cache of its own: tests wait more than they work.
test: dev try-kafka check ## Check style, types and imports, and run all tests
	@$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

test-long: dev kafka ## Run the tests that take minutes as well
	@HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest -m ''

check: lint types imports

lint: dev ## Check style and format
	$(BIN)/ruff check $(PACKAGES)
	$(BIN)/ruff format --check $(PACKAGES)

types: dev ## Check types, strictly
	$(BIN)/mypy

imports: dev ## Check the directions of imports
	$(BIN)/lint-imports

format: dev ## Bring code into format
	$(BIN)/ruff check --fix $(PACKAGES)
	$(BIN)/ruff format $(PACKAGES)

schemas: dev ## Write the JSON Schemas, OpenAPI and AsyncAPI documents anew
	$(BIN)/python -m crm_online.contract.schemas schemas
	$(BIN)/python -m streams.documents docs

kafka: $(KAFKA) ## Fetch a real Kafka for the tests (takes Java 17 and Maven)

bench: dev kafka ## Measure it beside other systems on a real Kafka, for half an hour
	@$(BIN)/python benchmarks/bench.py --data $(DATA)
	@$(BIN)/python benchmarks/performance_page.py

performance: dev ## Write docs/performance.md and docs/scaling.md from what was measured
	@$(BIN)/python benchmarks/performance_page.py

quality: dev ## Measure predictions on public data in DATA, and write docs/quality.md
	@$(BIN)/python benchmarks/quality.py $(DATA)

clean: ## Remove what make and the tests have made
	rm -rf $(VENV) .kafka .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	    if $$python -c '$(USABLE)' 2>/dev/null; then exec $$python -m venv --clear $(VENV); fi; \
	done; \
	echo "Python 3.11 or newer with its venv module is missing: install it (Debian, Ubuntu:" \
	    "apt-get install python3-venv) and run make again." >&2; exit 1

# hatchling comes first, so that the build takes the pinned one and not the newest.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --quiet --constraint constraints.txt hatchling editables
	$(PIP) install --quiet --constraint constraints.txt --no-build-isolation --editable '.[demo]'
	@touch $@

$(VENV)/.developing: $(VENV)/.installed
	$(PIP) install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev]'
	@touch $@

$(KAFKA): kafka/pom.xml
	@command -v mvn >/dev/null && command -v java >/dev/null || { echo "$(KAFKA_HINT)" >&2; exit 1; }
	mvn --batch-mode --quiet --file kafka/pom.xml dependency:copy-dependencies \
	    -DoutputDirectory='$(CURDIR)/.kafka'
	@touch $@

# Without Java or Maven the tests on a real Kafka are skipped, or fail where CI=true.
.PHONY: try-kafka
try-kafka:
	@if command -v mvn >/dev/null && command -v java >/dev/null; then $(MAKE) --no-print-directory kafka; \
	    else echo "$(KAFKA_HINT)"; fi

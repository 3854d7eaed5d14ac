# Two commands on a fresh machine: `make run` (the default hunt) and `make test`.
PYTHON ?= python3
VENV ?= .venv
CORES ?= all
# Where pip finds torch. Empty: your usual index. On Linux that brings the CUDA build (several GB); for a CPU-only
# machine give the CPU index that pytorch.org's "Get started" page prints: make setup TORCH_INDEX=https://...
TORCH_INDEX ?=
UV ?= uv
BIN = $(VENV)/bin

.PHONY: help setup run calibrate test test-demo test-slurm test-gpu bench full check format package docs lock site clean

help:             ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

setup: $(VENV)/.ready  ## make .venv and install everything, pinned

# Hashes cover all but torch and the CUDA libraries that it brings: which build comes is the index's choice.
$(VENV)/.ready: pyproject.toml constraints.txt requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check
	@touch $@

run: setup        ## the default hunt
	$(BIN)/snakemake --cores $(CORES)
	@echo "report: $$(pwd)/results/demo/report.html"

calibrate: setup  ## pseudo-experiments that prove the p-values (hours on a laptop)
	$(BIN)/snakemake calibrate --cores $(CORES)

test: setup       ## the tests (minutes)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not slow and not slurm and not demo"

test-demo: setup  ## the default hunt at full size, by the workflow, by the call and in docs/notebooks; every documented command; the GPU script rehearsed (minutes)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m demo tests/demo

test-slurm: setup ## a hunt with faults on a real Slurm, brought up here (root; Debian: slurm-wlm, munge); skipped without
	$(BIN)/python -m pytest -m slurm tests/slurm

test-gpu: setup   ## what a card must do as a CPU does, and the laws of densities and classifiers on it; skipped without one
	CATHODE_TEST_DEVICE=cuda $(BIN)/python -m pytest tests/gpu tests/unit/test_density_laws.py tests/unit/test_classifier_laws.py

bench: setup      ## what each piece costs beside others, and whole hunts: results/reference/bench.json (half an hour)
	$(BIN)/python benchmarks/bench.py results/reference/bench.json

full: setup       ## all tests
	$(BIN)/python -m pytest -m "not slurm"

check: setup      ## formatter, linters, types, import rules
	$(BIN)/ruff format --check cathode tests tools benchmarks
	$(BIN)/ruff check cathode tests tools benchmarks
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/lint-imports
	$(BIN)/mypy & package=$$!; $(BIN)/mypy --config-file tests/mypy.ini; tests=$$?; wait $$package && exit $$tests

format: setup     ## rewrite sources in house style
	$(BIN)/ruff format cathode tests tools benchmarks
	$(BIN)/ruff check --fix cathode tests tools benchmarks
	$(BIN)/snakefmt Snakefile workflow

package: setup    ## build sdist and wheel, install the wheel into an empty environment, run `cathode demo --quick` in an empty folder
	rm -rf dist
	$(BIN)/python -m hatchling build --directory dist
	$(PYTHON) -m venv dist/environment
	dist/environment/bin/python -m pip install --quiet --constraint constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	dist/environment/bin/python -m pip install --quiet --constraint constraints.txt dist/*.whl
	mkdir dist/folder && cd dist/folder && ../environment/bin/cathode demo --quick && ls results/demo-quick/report.html

docs: setup       ## write what is generated: JSON schemas, config/README.md, docs/api.md, the tables of README.md
	$(BIN)/cathode schema config > config/schema.json
	for name in summary overdispersion background_only injection limits; do $(BIN)/cathode schema $$name > schema/$$name.json; done
	$(BIN)/python tools/write_docs.py
	$(BIN)/python tools/update_numbers.py

LOCK = $(UV) pip compile pyproject.toml --extra dev --universal --python-version 3.11 --quiet --no-annotate --no-header

site: setup       ## the documentation as a site in docs/_build/html; warnings and broken links inside it are errors
	$(BIN)/python -m sphinx --fail-on-warning --fresh-env --nitpicky --quiet docs docs/_build/html
	@echo "site: $$(pwd)/docs/_build/html/index.html"

lock:             ## pin what pyproject.toml asks for, keeping today's versions where they fit (needs uv)
	$(LOCK) --output-file constraints.txt
	$(LOCK) --constraint constraints.txt --no-emit-package torch --generate-hashes --output-file requirements.lock

clean:            ## remove results and the environment
	rm -rf results/demo .snakemake dist $(VENV)

# Every target sets up what it needs by itself; the environment lives in .venv.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
# Where pip takes torch from. Empty: pip's own index, which on Linux brings the CUDA build.
# Without a GPU: make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
READY := $(VENV)/.ready
DATA := $(CURDIR)/.edgewright
export EDGEWRIGHT_DATA_DIR ?= $(DATA)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help
help: ## show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 14

.PHONY: setup
setup: $(READY) ## make .venv with everything that is needed, from the locks

KERNEL_SOURCES := CMakeLists.txt $(wildcard latency/kernels/src/*)

$(READY): pyproject.toml locks/dev.txt $(KERNEL_SOURCES)
	@echo "set-up: making $(VENV) (some minutes the first time)"
	@start=$$SECONDS; \
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "set-up: Python 3.11 or newer is needed; say which with PYTHON=..."; exit 1; }; \
	$(PYTHON) -m venv $(VENV); \
	$(BIN)/pip install --quiet --requirement locks/pip.txt; \
	$(BIN)/pip install --quiet $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch==2.13.0; \
	$(BIN)/pip install --quiet --requirement locks/dev.txt; \
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .; \
	$(BIN)/python -m latency.kernels; \
	touch $(READY); \
	echo "set-up: done in $$((SECONDS - start)) s"

.PHONY: demo
demo: $(READY) ## the whole loop on this machine: profile, search, export, verify, certificate
	@$(BIN)/edgewright demo

.PHONY: serve
serve: $(READY) ## start the server embedded (SQLite, local files) with one worker
	@$(BIN)/edgewright serve

# Workers fill the cores. Threads of BLAS beside them only wait for each other, by spinning.
.PHONY: test
test: export OPENBLAS_NUM_THREADS := 1
test: export OMP_NUM_THREADS := 1
test: export PYTHONDONTWRITEBYTECODE :=
test: $(READY) ## run the tests (unit, property, PostgreSQL, end to end)
	@$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: test-compress
test-compress: $(READY) ## run the test of a whole compression with real processes, some minutes
	@$(BIN)/python -m pytest -m compress_job tests/end_to_end

.PHONY: test-two-boards
test-two-boards: $(READY) ## run the test of a whole search for two devices, most of half an hour
	@$(BIN)/python -m pytest -m two_boards tests/end_to_end

.PHONY: lint
lint: $(READY) ## formatter, linter, types, import contracts, locks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m locks.check

.PHONY: fmt
fmt: $(READY) ## format the code and mend what the linter can mend
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

.PHONY: check
check: lint test demo ## what CI runs

.PHONY: bench
bench: $(READY) ## benchmark: error of the latency table on held-out networks, quick
	@$(BIN)/python -m benchmarks.table_error

.PHONY: bench-latency
bench-latency: $(READY) ## benchmark: tables of both spaces on 100 networks, new devices, predictions
	@$(BIN)/python -m benchmarks.table_error --networks 100
	@$(BIN)/python -m benchmarks.table_error --space stages --channels 8 --networks 100
	@$(BIN)/python -m benchmarks.transfer_error
	@$(BIN)/python -m benchmarks.predictions

.PHONY: bench-predictions
bench-predictions: $(READY) ## benchmark: how many genotypes a second a table predicts
	@$(BIN)/python -m benchmarks.predictions

.PHONY: bench-kernels
bench-kernels: $(READY) ## benchmark: the operator library against dense ONNX Runtime
	@$(BIN)/python -m benchmarks.kernels --limits
	@$(BIN)/python -m benchmarks.empty_node
	@$(BIN)/python -m benchmarks.networks
	@$(BIN)/python -m benchmarks.two_threads

DATASET ?=
.PHONY: bench-paper
bench-paper: $(READY) ## benchmark: the paper's cells against sparse rivals; DATASET=folder of CIFAR-10
	@$(BIN)/python -m benchmarks.paper_accuracy $(if $(DATASET),--dataset $(DATASET))

SEEDS ?= 1
.PHONY: bench-ablations
bench-ablations: $(READY) ## benchmark: what each remedy and option of the search is worth; SEEDS=3, hours
	@$(BIN)/python -m benchmarks.ablations --seeds $(SEEDS)

.PHONY: bench-accuracy
bench-accuracy: $(READY) ## benchmark: the searched network against its rivals at equal latency; DATASET=folder of CIFAR-10
	@$(BIN)/python -m benchmarks.accuracy $(if $(DATASET),--dataset $(DATASET))

.PHONY: bench-densities
bench-densities: $(READY) ## benchmark: densities by layer against one for all; TABLE=file of a latency table
	@$(BIN)/python -m benchmarks.layer_densities --table $(TABLE)

.PHONY: bench-distortions
bench-distortions: $(READY) ## benchmark: which estimate of what layers lose ranks plans best, on digits; bars of the knapsack
	@$(BIN)/python -m benchmarks.knapsack
	@$(BIN)/python -m benchmarks.distortions $(if $(DATASET),--dataset $(DATASET))

SIZE ?= $(if $(DATASET),full,quick)
.PHONY: bench-compress
bench-compress: $(READY) ## benchmark: MobileNet-v2 fitted to half and a quarter of its latency; DATASET=folder of CIFAR-10, SIZE=quick
	@$(BIN)/python -m benchmarks.knapsack
	@$(BIN)/python -m benchmarks.compress --size $(SIZE) $(if $(DATASET),--dataset $(DATASET))

.PHONY: bench-search
bench-search: $(READY) ## benchmark: an epoch of the search against a straightforward implementation
	@$(BIN)/python -m benchmarks.search_speed

RIVAL := local/deepsparse
.PHONY: bench-deepsparse
bench-deepsparse: $(READY) $(RIVAL)/.ready ## benchmark: whole networks against DeepSparse 1.8
	@$(BIN)/python -m benchmarks.deepsparse

# For evaluation only, which is what its licence allows; nothing else of ours ever imports it.
$(RIVAL)/.ready:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 12))' \
	  || { echo "DeepSparse 1.8 needs Python 3.11: say which with PYTHON=..."; exit 1; }
	@$(PYTHON) -m venv $(RIVAL)
	@$(RIVAL)/bin/pip install --quiet --only-binary :all: deepsparse==1.8.0 "numpy<2"
	@touch $@

.PHONY: sanitize
sanitize: $(READY) ## run the tests of the operator library under address and undefined sanitizers
	@$(BIN)/python -m platforms.sanitize -m pytest tests/latency/kernels

FUZZ_SECONDS ?= 60
FUZZ_SEED ?= 0
.PHONY: fuzz-kernels
fuzz-kernels: $(READY) ## damaged nodes of every operator, under the sanitizers where there are any
	@$(BIN)/python -m platforms.sanitize --or-plain -m tests.latency.kernels.fuzz \
	  --seconds $(FUZZ_SECONDS) --seed $(FUZZ_SEED)

.PHONY: arm
arm: $(READY) ## build the operator library for aarch64 and run its tests under emulation
	@$(BIN)/python -m platforms.arm

.PHONY: wheels
wheels: $(READY) ## write the source distribution and the wheels of both processors into dist
	@$(BIN)/python -m platforms.wheels

.PHONY: runtime-versions
runtime-versions: $(READY) ## run the library and its fallback on every ONNX Runtime from 1.18 on
	@$(BIN)/python -m platforms.runtime_versions

.PHONY: locks
locks: ## resolve the locks anew from pyproject.toml (needs the network)
	@$(PYTHON) -m venv $(VENV)-lock
	@$(CURDIR)/$(VENV)-lock/bin/pip install --quiet --upgrade pip
	@$(CURDIR)/$(VENV)-lock/bin/python -m locks.resolve

.PHONY: clean
clean: ## remove the environment and the demo's data
	rm -rf $(VENV) $(VENV)-lock $(DATA) edgewright-out build/platforms build/sanitize

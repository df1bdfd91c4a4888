# From a fresh clone: `make demo` and `make test` make .venv, install what they need there, and run.
# `make PYTHON=python3.12 test` takes another interpreter; a second run installs nothing anew.

PYTHON ?= python3
PYTEST_FLAGS ?= --numprocesses auto --dist worksteal
# Bytecode is kept: the thousand processes that tests start would each compile all of ours anew.
export PYTHONDONTWRITEBYTECODE :=
VENV := .venv
BIN := $(VENV)/bin
SETUP := setup.cfg pyproject.toml constraints.txt
# The default editable install hides the module `danqing` behind a folder ./danqing; compat does not.
INSTALL := $(BIN)/python -m pip install --quiet -c constraints.txt --config-settings editable_mode=compat

.PHONY: demo test cover lint house docs wheel matrix bench parity peers cc2dataset daft mteb posseg litdata streaming clean

demo: $(VENV)/demo.stamp
	$(BIN)/danqing demo

test: $(VENV)/dev.stamp
	$(BIN)/python $(COVER) -m pytest $(PYTEST_FLAGS)

# Every test, counting branches also in the processes that tests start; under 90 % it fails.
cover: $(VENV)/dev.stamp
	rm -f .coverage .coverage.*
	$(MAKE) test COVER='-m coverage run'
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

house: $(VENV)/dev.stamp
	$(BIN)/python -m tests.house

# Writes the tables of flags in docs/ from the options of each stage.
docs: $(VENV)/dev.stamp
	$(BIN)/python -m tests.flags

# Builds the wheel and runs it outside this checkout.
wheel: $(VENV)/dev.stamp
	.ci/wheel

# The contract tests at both ends of the dependencies' ranges and on each Python that is here; not in CI.
matrix: $(VENV)/dev.stamp
	.ci/matrix

bench: $(VENV)/dev.stamp
	$(BIN)/python benchmarks/rebuild.py
	$(BIN)/python benchmarks/measures.py
	$(BIN)/python benchmarks/stream.py
	$(BIN)/python benchmarks/revalidate.py
	$(BIN)/python benchmarks/verdicts.py
	$(BIN)/python benchmarks/planted.py
	$(BIN)/python benchmarks/release.py
	$(BIN)/python -m benchmarks.peers posseg
	$(BIN)/python benchmarks/refine.py

# Our figures on the same arrays as mteb's, CLIP_benchmark's and scikit-learn's, and our tasks in mteb.
parity: $(VENV)/dev.stamp
	$(BIN)/python -m benchmarks.peers mteb
	benchmarks/out/peers/mteb/bin/python benchmarks/parity.py
	benchmarks/out/peers/mteb/bin/python -m pytest -n 0 tests/evaluate/test_harness.py

# `make peers cc2dataset daft posseg`: what the benchmarks compare with, each in a virtual environment of its own.
peers: $(VENV)/pip.stamp
	$(BIN)/python -m benchmarks.peers $(filter-out $@,$(MAKECMDGOALS))

cc2dataset daft mteb posseg litdata streaming:
	@:

clean:
	rm -rf $(VENV) .matrix .coverage* build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/pip.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "danqing needs Python 3.11 or newer; make PYTHON=python3.11 names one")'
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "this Python cannot make a venv; on Debian: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/core.stamp: $(VENV)/pip.stamp $(SETUP)
	$(INSTALL) -e .
	@touch $@

$(VENV)/demo.stamp: $(VENV)/core.stamp
	$(INSTALL) -e '.[crawl,refine,siglip2,curate,report,release,train]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/core.stamp
	$(INSTALL) -e '.[dev]'
	@touch $@

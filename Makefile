# Everything that README promises. Each target makes what it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Processes that run tests. Most of a system test is waiting: more of them than there are cores.
JOBS ?= 4

.PHONY: run test check bench fuzz format clean

run: $(VENV)/run.stamp
	$(BIN)/forkd -c conf/forkd.yaml

# Compiled first, as an installed package is: the tests start forkd hundreds of times.
# A file stays in one process, because its tests share daemons. The files come in their order: the
# short unit tests are last, so that no process is left alone with a long file at the end.
test: $(VENV)/dev.stamp
	@$(BIN)/python -m compileall -q forkd
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

check: $(VENV)/dev.stamp
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/dev.stamp
	$(BIN)/python tests/bench/bench.py run --forkd $(BIN)/forkd $(BENCH)

fuzz: $(VENV)/dev.stamp
	$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60) $(FUZZ)

format: $(VENV)/dev.stamp
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) run .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The interpreter is looked at before anything is made, so that an old one gives a clear line.
$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit("forkd needs Python 3.11 or later; set PYTHON=python3.x" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: $(VENV)/pyvenv.cfg pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/dev.stamp: $(VENV)/pyvenv.cfg pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@ $(VENV)/run.stamp

# The two commands of a new user: `make demo` and `make test`. Both build the environment first, if it is not there.
.PHONY: demo test environment check docs clean
SHELL := /bin/bash
BIN := .venv/bin

demo: environment
	$(BIN)/assay run nodule-loss

test: .venv/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --site-dir .venv/site
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $${ASSAY_TEST_WORKERS:-2} --timeout 1200 --durations 15

environment: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	./tools/environment
	touch $@

.venv/.ready-dev: pyproject.toml constraints.txt
	./tools/environment dev
	touch $@ .venv/.ready

docs: .venv/.ready-dev
	$(BIN)/mkdocs serve

clean:
	rm -rf .venv site

# The two commands of a new user: `make demo` and `make test`. Both build the environment first, if it is not there;
# with CPU=1 without CUDA.
export CPU
.PHONY: demo readme test tests acceptance nightly thorough environment docs gallery index release torture clean anew
SHELL := /bin/bash
BIN := .venv/bin
# Compiled modules and rewritten tests are kept, or every worker and every subprocess compiles them.
export PYTHONDONTWRITEBYTECODE :=

demo: environment
	$(BIN)/assay run nodule-loss --scale quick
	test -d demo || $(BIN)/assay example demo --audit
	$(BIN)/assay audit demo/model.onnx --images demo --target mass --patient patient --columns sex,view --domain phantom-chest --out demo/audit

# The sentences and pictures of README, from the demo's own run; needs Chromium.
readme: .venv/.ready-dev demo
	$(BIN)/python tools/gallery.py --readme

# Pyright has one thread, so that tests run at the same time. With `worksteal` a worker takes tests in their order, so
# that a fixture of a module is made once, rarely twice.
test: .venv/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/pyright & types=$$!; \
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not acceptance and not nightly and not thorough" --dist worksteal -n $${ASSAY_TEST_WORKERS:-2} --timeout 1200 --durations 15; \
	tests=$$?; wait $$types && exit $$tests

tests: test

# The slow tests: commands and tutorials of the docs, every scale of every study, benchmarks, the page in a browser.
acceptance: .venv/.ready-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m acceptance --dist worksteal -n $${ASSAY_TEST_WORKERS:-2} --timeout 1200 --durations 15

# Further cases of what the gate tests by one of a kind: every night.
nightly: .venv/.ready-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m nightly --dist worksteal -n $${ASSAY_TEST_WORKERS:-2} --timeout 1200 --durations 15

# Fuzzing of readers against their reference libraries, faults of engines and long simulations: hours, outside the gate.
thorough: .venv/.ready-dev
	OMP_NUM_THREADS=1 ASSAY_HYPOTHESIS=thorough $(BIN)/python -m pytest -m thorough -n $${ASSAY_TEST_WORKERS:-2} --durations 15

environment: .venv/.ready

# What is there is built anew when another Python is named, or when its own was removed or replaced by another version.
ANEW := $(shell PYTHON='$(PYTHON)' ./tools/environment stands || echo anew)

.venv/.ready: pyproject.toml constraints.txt $(ANEW)
	./tools/environment
	touch $@

.venv/.ready-dev: pyproject.toml constraints.txt $(ANEW)
	./tools/environment dev
	touch $@ .venv/.ready

# After a change to a component's name, summary, version, traits or arguments.
index: .venv/.ready-dev
	$(BIN)/python -m assay.core.index

docs: .venv/.ready-dev
	$(BIN)/mkdocs serve

# One page per study on synthetic images, at quick scale, for the gallery of the docs: a quarter of an hour.
gallery: environment
	$(BIN)/python tools/gallery.py

# What a release hands over, in dist/, with its checks: two minutes.
release: environment
	./tools/release

# Kills, full disks, odd folders, locales and outputs around commands, with a new seed: nightly, as root.
torture: .venv/.ready-dev
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/every_command.py
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/torture.py

clean:
	rm -rf .venv site

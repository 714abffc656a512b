PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# torch's own CPU build saves gigabytes where it can be had, for example
#   make demo PIP_EXTRA="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_EXTRA ?=
OUT ?= demo

.PHONY: demo test lint install train-demo calib-data dist clean

$(VENV)/.installed: setup.py pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=24"
	$(BIN)/python -m pip install --quiet $(PIP_EXTRA) -c constraints.txt -e ".[dev]"
	touch $@

install: $(VENV)/.installed

demo: install
	$(BIN)/edgeseg demo --out $(OUT)

test: lint
	$(BIN)/python -m pytest -n 2

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

train-demo: install
	$(BIN)/python scripts/train_demo_net.py

calib-data: install
	$(BIN)/python -m edgeseg.calib_data.generate --out edgeseg/calib_data

dist: install
	$(BIN)/python -m build

clean:
	rm -rf build dist demo edgeseg.egg-info

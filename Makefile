PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# torch's own CPU build saves gigabytes where it can be had, for example
#   make demo PIP_EXTRA="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_EXTRA ?=
OUT ?= demo

.PHONY: demo test lint bench bench-run bench-demo sanitize test-gpu bench-gpu install-gpu test-zoo install train-demo nets-page precision-page tensorrt-page smoothing-page soak false-alarms schema calib-data dist clean

$(VENV)/.installed: setup.py pyproject.toml constraints.txt $(wildcard edgeseg/imaging/native/*)
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

# Every suite with its peers in one run: the tables and JSON land in benchmarks/results, docs/performance.md is made of
# them. On two quiet cores below 12 minutes; make bench BENCH=--quick tries it and leaves both alone.
BENCH ?=
bench: demo
	$(BIN)/python -m benchmarks --demo $(OUT) $(BENCH)

# A whole frame of the demo net, camera format to camera-size mask, against a plain loop; writes results/end-to-end.*.
bench-run: demo
	$(BIN)/python -m benchmarks.end_to_end --demo $(OUT)

# The demo's engines in every scope, and pictures of the report; writes results/demo-cpu.* and docs/report-*.jpg.
DEMO_ENGINES := $(OUT)/cpu-fp32.engine $(OUT)/cpu-int8.engine
DEMO_SCOPES := --scope engine --scope engine+copies --scope frame-to-mask --scope end-to-end --camera-hz 30
bench-demo: demo
	$(BIN)/edgeseg benchmark $(DEMO_ENGINES) $(DEMO_SCOPES) --profile --net $(OUT)/net.onnx --warm-up-ms 500 \
	    --report benchmarks/results/demo-cpu.json --report benchmarks/results/demo-cpu.md
	PYTHONPATH=tests/lab $(BIN)/python scripts/report_pictures.py

# The kernels under AddressSanitizer and UndefinedBehaviorSanitizer: their tests, then random and wrong input.
FUZZ_CASES ?= 55000
SANITIZED := build/sanitized
SANITIZER := PYTHONPATH=$(SANITIZED) ASAN_OPTIONS=detect_leaks=0 EDGESEG_SANITIZED=$(SANITIZED) \
    LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so) $$(g++ -print-file-name=libstdc++.so)"
sanitize: install
	EDGESEG_SANITIZE=1 EDGESEG_CUBINS=0 $(BIN)/python setup.py -q build --build-lib $(SANITIZED) --build-temp $(SANITIZED)-tmp
	# not python -m pytest, which would put this folder, and so the plain build, before PYTHONPATH; nvcc does not run so
	$(SANITIZER) $(BIN)/pytest -q -n 2 -p no:cacheprovider -k "not jetson_orin" tests/imaging
	$(MAKE) --jobs 2 --output-sync fuzz-preprocess fuzz-postprocess

fuzz-%:
	$(SANITIZER) $(BIN)/python tests/imaging/fuzz_$*.py --cases $(FUZZ_CASES)

# On a machine with an NVIDIA GPU, see docs/gpu.md. PyCUDA is compiled: nvcc and g++ are needed.
install-gpu: install
	$(BIN)/python -m pip install --quiet $(PIP_EXTRA) -c constraints.txt -e ".[dev,cuda]"

# What is missing is skipped with the reason. The first run has compiled the kernels, so no nvcc is watched in the second.
MEMCHECK ?= $(shell command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
test-gpu: install
	$(BIN)/python -m pytest -q -rs tests/gpu
ifeq ($(MEMCHECK),)
	@echo "compute-sanitizer is not found (it comes with CUDA; or give MEMCHECK=path): the kernels ran without it"
else
	$(MEMCHECK) --tool memcheck --error-exitcode 9 $(BIN)/python -m pytest -q -p no:cacheprovider tests/gpu/test_kernels.py
endif

# Needs the device to itself; writes benchmarks/results/gpu-<device>.json and .md, and the line in docs/gpu.md.
bench-gpu: install
	$(BIN)/python -m benchmarks.gpu

# Public nets in an environment of their own, from PyTorch to masks; writes the table in docs/export.md. Needs Python
# 3.11 or newer; about 10 minutes on two cores.
ZOO := .venv-zoo
ZOO_NETS := torchvision segmentation-models-pytorch timm transformers
$(ZOO)/.installed: setup.py pyproject.toml constraints.txt constraints-zoo.txt $(wildcard edgeseg/imaging/native/*)
	$(PYTHON) -m venv $(ZOO)
	$(ZOO)/bin/python -m pip install --quiet --upgrade "pip>=24"
	$(ZOO)/bin/python -m pip install --quiet $(PIP_EXTRA) -c constraints.txt -c constraints-zoo.txt -e ".[dev]" $(ZOO_NETS)
	touch $@

test-zoo: $(ZOO)/.installed
	$(ZOO)/bin/python -m pytest -q tests/export/test_named.py
	$(ZOO)/bin/python -m pytest -v --import-mode=prepend tests/zoo/test_torchvision_backbones.py tests/zoo/test_torchvision_mask_rcnn.py tests/zoo/test_public_nets.py

train-demo: install
	$(BIN)/python scripts/train_demo_net.py

# Measures the built-in nets, trains a narrow one of each, writes docs/nets.md; about two hours on two cores.
nets-page: install
	$(BIN)/python scripts/measure_nets.py

# Seven nets in every precision, with promises kept; writes docs/precision.md; about half an hour on two cores.
precision-page: install
	$(BIN)/python scripts/measure_precision.py

# Asks the bindings of four TensorRT releases which options they have; writes the table in docs/tensorrt.md.
tensorrt-page: install
	$(BIN)/python scripts/tensorrt_page.py

# Flicker and mIoU with and without smoothing; writes the table in docs/smoothing.md; a few minutes on two cores.
smoothing-page: install
	$(BIN)/python scripts/measure_smoothing.py

# The loop over 300,000 frames with faults all along, freshness, recovery; writes docs/soak.md; about twenty minutes.
# Two arenas of malloc, as deploy/ has them.
SOAK ?=
soak: install
	PYTHONPATH=scripts:tests/lab $(BIN)/python -m soak $(SOAK)

# 100 pairs of equal runs and what the gate says of them; writes the table in docs/benchmark.md; about 15 minutes.
PAIRS ?= 100
false-alarms: install
	PYTHONPATH=scripts:tests/lab $(BIN)/python scripts/false_alarms.py --pairs $(PAIRS)

# The published JSON Schema of a benchmark report, after a change of its records.
schema: install
	$(BIN)/python -m edgeseg.report.json_schema

calib-data: install
	$(BIN)/python -m edgeseg.calib_data.generate --out edgeseg/calib_data

dist: install
	$(BIN)/python -m build

clean:
	rm -rf build dist demo edgeseg.egg-info

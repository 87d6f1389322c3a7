# SPDX-License-Identifier: Apache-2.0
# Everything a newcomer runs. `make demo` and `make test` set up .venv by themselves.
#
#   make demo       build, and run a simulated patient through the bundled model
#   make test       everything that tests need, then all tests
#   make lint       ruff, mypy, clang-format, a build with warnings as errors, and the links of the pages
#   make docs       the pages as a site that opens from a folder: build/docs/site/index.html
#   make bench      timings beside other software, or what BENCH_ARGS names of them (docs/benchmarks.md)
#   make wheel      dist/*.whl
#   make reference  the bundled model from nothing: cohorts, training, evaluation, INT8 (about two hours; resumable)
#   make sanitize   the C++ tests under address, undefined-behaviour and thread sanitizers
#   make embed-loop EMBED_LOOP (100000) predictions through the C library, and the growth of memory
#   make test-arm   the C++ tests on emulated 64-bit Arm (g++-aarch64-linux-gnu, qemu-user)
#   make fuzz       FUZZ_SECONDS (600) of libFuzzer on the model-file reader (clang)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FUZZ_SECONDS ?= 600
EMBED_LOOP ?= 100000
CXX_SOURCES := $(shell find csrc examples tests/cpp tests/fuzz -name '*.cpp' -o -name '*.c' -o -name '*.h' -o -name '*.inc' -o -name CMakeLists.txt)

.PHONY: demo test lint docs bench wheel reference sanitize embed-loop test-arm fuzz clean
.DELETE_ON_ERROR:

demo: $(VENV)/.demo
	$(BIN)/nigroedge demo

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $(filter-out %.txt,$(CXX_SOURCES))
	cmake -S csrc -B build/cpp -DNIGROEDGE_WERROR=ON -DNIGROEDGE_TESTS=ON \
	  -DPython_EXECUTABLE=$(abspath $(BIN)/python) -Dpybind11_DIR=$$($(BIN)/python -m pybind11 --cmakedir)
	cmake --build build/cpp --parallel 2
	$(BIN)/python -m docs.site build/docs

docs: $(VENV)/.docs
	$(BIN)/python -m docs.site build/docs

bench: $(VENV)/.bench
	env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE \
	  $(BIN)/python -m pytest -o testpaths=bench --benchmark-enable --benchmark-only -p no:xdist $(BENCH_ARGS)

wheel: $(VENV)/.base
	$(BIN)/pip wheel --no-deps -w dist .

reference: $(VENV)/.test
	$(BIN)/python -m export reference --bundle -o runs/reference

sanitize: sanitize-address,undefined sanitize-thread

# Only the engine and the C face above it start threads.
BUILD_thread := --target test_capi test_capi_memory test_capi_refusals test_network
CTEST_thread := -R 'test_capi|test_network'

sanitize-%:
	cmake -S csrc -B build/$@ -DCMAKE_BUILD_TYPE=Debug -DNIGROEDGE_TESTS=ON -DNIGROEDGE_SANITIZE=$*
	cmake --build build/$@ --parallel 2 $(BUILD_$*)
	UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 ctest --test-dir build/$@ --output-on-failure --parallel 2 $(CTEST_$*)

embed-loop:
	cmake -S csrc -B build/embed-loop -DNIGROEDGE_TESTS=ON
	cmake --build build/embed-loop --parallel 2 --target test_capi
	build/embed-loop/tests/test_capi loop $(EMBED_LOOP)

test-arm:
	cmake -S csrc -B build/arm -DNIGROEDGE_TESTS=ON -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++ \
	  -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_EXE_LINKER_FLAGS=-static \
	  -DCMAKE_CROSSCOMPILING_EMULATOR=qemu-aarch64
	cmake --build build/arm --parallel 2
	ctest --test-dir build/arm --output-on-failure --parallel 2

fuzz: $(VENV)/.test
	cmake -S csrc -B build/fuzz -DNIGROEDGE_FUZZ=ON -DCMAKE_CXX_COMPILER=clang++
	cmake --build build/fuzz --parallel 2 --target onnx_reader_fuzz
	$(BIN)/python -m tests.fuzz.make_corpus build/fuzz/seeds
	mkdir -p build/fuzz/corpus
	build/fuzz/fuzz/onnx_reader_fuzz -max_total_time=$(FUZZ_SECONDS) -malloc_limit_mb=160 -rss_limit_mb=512 \
	  -max_len=4096 -artifact_prefix=build/fuzz/ build/fuzz/corpus build/fuzz/seeds

clean:
	rm -rf build dist *.egg-info nigroedge/_core*.so nigroedge/include nigroedge/lib

$(VENV)/.base:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nigroedge needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	touch $@

# Each stage installs the package itself again when its sources or metadata change.
$(VENV)/.demo: $(VENV)/.base pyproject.toml setup.py $(CXX_SOURCES)
	@echo 'Fetching numpy and nibabel and compiling the C++ core: a minute or more, in silence.'
	$(BIN)/pip install -q -e .
	touch $@

$(VENV)/.test: $(VENV)/.base pyproject.toml setup.py $(CXX_SOURCES)
	$(BIN)/pip install -q -e '.[test]'
	touch $@ $(VENV)/.demo

# With the versions that lint and tests have.
$(VENV)/.docs: $(VENV)/.base pyproject.toml setup.py $(CXX_SOURCES)
	$(BIN)/python -c 'import tomllib; project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	  print(*(pin for pin in project["optional-dependencies"]["test"] if "==" in pin), sep="\n")' > $(VENV)/pins.txt
	$(BIN)/pip install -q -e '.[docs]' -c $(VENV)/pins.txt
	touch $@ $(VENV)/.demo

$(VENV)/.bench: $(VENV)/.test
	$(BIN)/pip install -q -e '.[bench]'
	touch $@

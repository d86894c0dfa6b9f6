# `make demo`: clean two photographs; train, sample, evaluate and compare on built-in images; learn clean digits from damaged ones. At most
# five minutes on two CPU cores.
# `make gallery`: rebuild docs/gallery.md and its figures.
# `make test`: the whole test suite. `make test-bits`: those of its tests that assert equal bits, under other arithmetic
# of the processor. Each sets up a local .venv first.
# `make faults`: every fault of tests/faults, of which `make test` tries a draw; at most an hour on two cores. It writes the
# table of docs/reliability.md. `make faults SHARD=2/3` tries a third of them; the last of three to end writes the table.
# `make test-oldest`: the test suite with the oldest versions that pyproject.toml allows, in an environment of its own with
# Python 3.11; their warnings are no errors. It takes 15 minutes of processor time, as `make test` does, and before that a
# download of 3 GB: torch so old comes with its CUDA.
# `make test-wheel`: what a wheel installs and can do, first alone and then with all extras.
PYTHON ?= python3
BIN := .venv/bin
# Networks as small as the demo's and the tests' gain nothing from a second thread, and lose much where cores are shared.
export OMP_NUM_THREADS ?= 1

.PHONY: install demo gallery test test-bits faults test-oldest test-wheel check clean

install: .venv/.installed

# The last package is what speed is measured beside, here and below; its dependencies would bring torchvision, and with it another torch.
.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps 'denoising-diffusion-pytorch>=2.3'
	touch $@

demo: install
	$(BIN)/python -m benchmarks.clean demo --out runs/demo/clean
	$(BIN)/sagd compare examples/demo.yaml --out runs/demo/tilts --resume
	$(BIN)/sagd train examples/damaged.yaml --out runs/demo/damaged $(if $(wildcard runs/demo/damaged),--resume)

gallery: install
	$(BIN)/python docs/build_gallery.py

test: install
	$(BIN)/python -m pytest --numprocesses 2

# Matrix products and vector instructions that other processors would choose; `make test` is run with this one's own.
test-bits: install
	MKL_CBWR=AVX2 ATEN_CPU_CAPABILITY=default $(BIN)/python -m pytest --numprocesses 2 -m bits
	MKL_CBWR=COMPATIBLE ATEN_CPU_CAPABILITY=avx2 $(BIN)/python -m pytest --numprocesses 2 -m bits
	env -u MKL_CBWR ATEN_CPU_CAPABILITY=default $(BIN)/python -m pytest --numprocesses 2 -m bits

SHARD ?= 1/1
faults: install
	SAGD_FAULTS=long SAGD_SHARD=$(SHARD) $(BIN)/python -m pytest --numprocesses 2 tests/faults

test-oldest: .venv-oldest/.installed
	.venv-oldest/bin/python -m pytest --numprocesses 2 -W default -W ignore::DeprecationWarning

# constraints-oldest.txt is what `uv pip compile --resolution lowest-direct --extra dev pyproject.toml` finds, but for setuptools.
.venv-oldest/.installed: pyproject.toml constraints-oldest.txt
	test -x .venv-oldest/bin/python || $(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --constraint constraints-oldest.txt --editable '.[dev]'
	.venv-oldest/bin/python -m pip install --quiet --constraint constraints-oldest.txt --no-deps 'denoising-diffusion-pytorch>=2.3'
	touch $@

test-wheel:
	rm -rf .venv-wheel dist
	$(PYTHON) -m venv .venv-wheel
	.venv-wheel/bin/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	.venv-wheel/bin/python -m pip install --quiet --constraint constraints.txt dist/*.whl
	env -u PYTHONPATH .venv-wheel/bin/python -P tests/wheel.py required
	.venv-wheel/bin/python -m pip install --quiet --constraint constraints.txt "$$(echo dist/*.whl)[all]"
	env -u PYTHONPATH .venv-wheel/bin/python -P tests/wheel.py all

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv .venv-oldest .venv-wheel dist runs

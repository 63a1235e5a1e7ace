# Commands of this repository; `make help` lists them. The environment .venv is built when first
# needed, and again when requirements.txt or pyproject.toml has changed.

# What `make train` runs. Override on the command line, e.g.
#   make train ENV=popgym:RepeatFirstEasy STEPS=60000 SEED=3 ARGS="--help"
ENV = bsuite:memory_len/15
PRESET = memory
STEPS = 30000
SEED = 0
# A fresh folder for every run. With the folder of a run that was ended, it goes on there.
WORKDIR = runs/$(subst /,_,$(subst :,_,$(ENV)))/seed$(SEED)-$(shell date +%Y%m%d-%H%M%S)
ARGS =

# `make test PYTEST_ARGS="-x tests/networks"`
PYTEST_ARGS =
# As many files of tests at a time as there are cores, up to four: each process grows to some 4 GB.
# Files are taken in the order that tests/tiers.py gives them, the longest first.
PYTEST = $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile \
	--no-loadscope-reorder

VENV = .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
UV = $(shell command -v uv 2>/dev/null)
# What MuJoCo draws with, which pip does not bring (see acme_r2i/environments/rendering.py).
OPENGL = libegl1 libgl1
# Reverb and TensorFlow 2.15 have builds for this Python only.
PYTHON = $(shell for python in python3.11 python3 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
	&& echo "$$python" && break; done)

# Where there is nothing (status 2), root installs it if there is apt-get; others are told the command.
# This never fails: all but the pixels of MuJoCo works without.
define LOOK_FOR_OPENGL
@MUJOCO_GL= $(BIN)/python -m acme_r2i.environments.rendering; \
	if [ $$? = 2 ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing $(OPENGL)."; \
		apt-get update -qq; \
		DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $(OPENGL) >/dev/null; \
		MUJOCO_GL= $(BIN)/python -m acme_r2i.environments.rendering || true; \
	fi
endef

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help env opengl train test test-integration test-slow lint lock clean

help:  ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 26

env: $(STAMP)  ## build the environment in .venv

train: $(STAMP)  ## train R2I (ENV, PRESET, STEPS, SEED, WORKDIR, ARGS can be given)
	$(BIN)/r2i train --env $(ENV) --preset $(PRESET) --env-steps $(STEPS) --seed $(SEED) \
		--workdir "$(WORKDIR)" $(ARGS)

test: $(STAMP)  ## run the unit tests
	$(PYTEST) $(PYTEST_ARGS)

test-integration: $(STAMP)  ## run the tests with Ray, Reverb and processes, and of every combination
	$(PYTEST) -m "integration and not slow" $(PYTEST_ARGS)

test-slow: $(STAMP)  ## run the tests that take longest
	$(PYTEST) -m slow $(PYTEST_ARGS)

lint: $(STAMP)  ## check the code and its format with ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lock:  ## pin the whole closure of requirements.in in requirements.txt (needs uv)
	$(if $(UV),,$(error make lock needs uv (https://docs.astral.sh/uv); the other commands do not))
	$(UV) pip compile requirements.in --override requirements-overrides.txt \
		--python-version 3.11 --python-platform x86_64-manylinux_2_28 \
		--no-emit-index-url --no-emit-find-links --annotation-style line \
		--custom-compile-command "make lock" --quiet --output-file requirements.txt

clean:  ## remove the environment and caches; runs/ stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Built from nothing each time, so that nothing stale stays in it. `--no-deps`: requirements.txt is the
# whole closure, and some packages' own pins contradict one another (see requirements-overrides.txt).
$(STAMP): requirements.txt pyproject.toml
	$(if $(PYTHON)$(UV),,$(error Python 3.11 is needed and was not found; \
		install it, or name it with: make PYTHON=/path/to/python3.11))
	@echo "Building $(VENV): about 160 packages, a few minutes, 3 GB of disk."
	rm -rf $(VENV)
ifneq ($(UV),)
	$(UV) venv --quiet --python $(or $(PYTHON),3.11) $(VENV)
	$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python requirements.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
else
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
endif
	@touch $(STAMP)
	$(LOOK_FOR_OPENGL)

opengl: $(STAMP)  ## look for what MuJoCo draws with, and install it if that can be done
	$(LOOK_FOR_OPENGL)

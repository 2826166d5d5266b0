# Two commands do all set-up: `make demo` and `make test`. PYTHON=... chooses the interpreter that makes .venv.
PYTHON ?= $(firstword $(foreach name,python3.11 python3.12 python3.13 python3,$(if $(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo yes),$(name))))
BIN := .venv/bin
INSTALLED := .venv/installed
GPU := $(or $(GPU_PYTHON),$(BIN)/python)

.PHONY: demo nlp-demo cv-demo mini tofu-small test lint gpu-check

demo nlp-demo: $(INSTALLED)
	@$(BIN)/snakemake --cores 2 --quiet host reason progress --config experiment=$(subst -,_,$@)
	@cat runs/$(subst -,_,$@)/summary.md

cv-demo: $(INSTALLED)
	@$(BIN)/snakemake --cores 2 --quiet host reason progress --config experiment=cv_demo
	@cat runs/cv_demo/summary.md
	@$(BIN)/python benchmarks/cv_demo_check.py

mini: $(INSTALLED)
	@$(BIN)/snakemake --cores 2 --quiet host reason progress --config experiment=mini
	@$(BIN)/python benchmarks/mini_quality.py

# Takes a folder too: make tofu-small TOFU=/my/TOFU
TOFU ?= locuslab/TOFU
tofu-small: $(INSTALLED)
	@$(BIN)/snakemake --cores 2 --quiet host reason progress --config experiment=tofu_small overrides="prepare.source=$(TOFU)"
	@$(BIN)/python benchmarks/tofu_small_check.py

test: $(INSTALLED)
	$(BIN)/python -m pytest -m "not slow and not gpu"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# GPU_PYTHON=python3 takes an environment that is already there, e.g. on a machine without network.
gpu-check: $(if $(GPU_PYTHON),,$(INSTALLED))
	$(GPU) -m pytest -m gpu
	@for file in benchmarks/gpu_*.py; do echo "$$file"; PYTHONPATH=. $(GPU) "$$file" || exit 1; done

$(INSTALLED): req.txt pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo "error: no Python 3.11 or newer is on the PATH; install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 2; }
	@echo "making .venv with $(PYTHON); the first time downloads about 1 GB and takes minutes"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement req.txt
	@touch $@

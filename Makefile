# cure: see README.md. Everything that is installed goes below .cure, which git ignores.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help check xla jupyter setup run test proof bench peers lab notebooks notebook-quick clean

CURE := go run ./cureml/cmd/cure
PYTHON := .cure/venv/bin/python
EXECUTE := $(PYTHON) notebooks/execute.py
# size of the notebooks' runs: ci (minutes), mini, paper; see notebooks/README.md
PRESET ?= mini
# which notebooks `make notebooks` executes, by their names: NOTEBOOKS="00_quickstart 06_benchmark"
NOTEBOOKS ?= $(patsubst notebooks/%.ipynb,%,$(sort $(wildcard notebooks/*.ipynb)))
FUZZTIME ?= 30s
# further flags for JupyterLab, such as LAB="--no-browser --port 8890"
LAB ?=
# what `make bench` measures; --suite full takes hours
BENCH ?= --suite quick --most 2m
# Python of the peers in benchmarks: that of `make peers` where it is there
PEERS ?= $(firstword $(wildcard .cure/peers/bin/python) python3)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

check:
	@need() { command -v "$$1" >/dev/null || { echo "setup: $$1 was not found: $$2" >&2; exit 1; }; }; \
	need go "install Go 1.26 or later from go.dev"; \
	need cc "install a C compiler, for example gcc (cgo needs it to load XLA)"; \
	need python3 "install Python 3.10 or later with its pip and venv modules"
	@have=$$(go env GOVERSION); \
	case $$have in go1.[0-9] | go1.[0-9].* | go1.1[0-9]* | go1.2[0-5]*) \
		echo "setup: Go 1.26 or later is needed, this is $$have" >&2; exit 1;; esac
	@[ "$$(go env CGO_ENABLED)" = 1 ] || { echo "setup: cgo is switched off (CGO_ENABLED=0); XLA needs it" >&2; exit 1; }
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "setup: Python 3.10 or later is needed, this is $$(python3 --version)" >&2; exit 1; }

xla: check
	@$(CURE) setup

jupyter: check
	@notebooks/setup.sh

setup: jupyter xla ## install XLA's plugin, Jupyter and the Go kernel, whatever is missing

run: setup ## train, attack and compare at mini scale; leaves notebooks/out/00_quickstart.html
	@CURE_PRESET=$(PRESET) $(EXECUTE) notebooks/00_quickstart.ipynb

test: xla ## gofmt, go vet and all tests, with XLA
	@unformatted=$$(gofmt -l attacks cureml data notebooks viz); \
	if [ -n "$$unformatted" ]; then echo "not formatted (gofmt -w):" $$unformatted >&2; exit 1; fi
	go vet -tags proof ./...
	go test -timeout 30m ./...

proof: xla ## the long proofs: full parity, kill tests, every fuzz target for FUZZTIME (30s)
	CURE_PROOF=1 go test -tags proof -count 1 -timeout 6h ./...
	@for package in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "go test -fuzz $$target $$package"; \
			go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x $$package; \
		done; \
	done

bench: xla ## time steps, attacks and the rest beside PyTorch and JAX; BENCH="--suite full" or "--only ..." chooses
	$(CURE) bench $(BENCH) --peers auto --python $(PEERS) --json .cure/bench.json

peers: check ## install PyTorch and JAX below .cure (some GB), for make bench to compare with
	@python3 -m venv .cure/peers
	.cure/peers/bin/python -m pip install --quiet --disable-pip-version-check --no-input -r cureml/bench/requirements.txt

lab: setup ## open JupyterLab with the Go kernel
	@JUPYTER_PREFER_ENV_PATH=1 .cure/venv/bin/jupyter lab --notebook-dir=notebooks --MultiKernelManager.default_kernel_name=gonb $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB)

notebooks: setup ## execute all notebooks, or NOTEBOOKS="..."; PRESET=ci|mini|paper; pages go to notebooks/out
	@failed=; for name in $(NOTEBOOKS); do \
		CURE_PRESET=$(PRESET) $(EXECUTE) notebooks/$$name.ipynb || failed="$$failed $$name"; \
	done; if [ -n "$$failed" ]; then echo "notebooks failed:$$failed" >&2; exit 1; fi

notebook-quick: setup ## execute the quickstart in minutes (PRESET=ci)
	@CURE_PRESET=ci $(EXECUTE) notebooks/00_quickstart.ipynb

clean: ## remove what setup installed and the rendered notebooks; runs and data stay
	rm -rf .cure notebooks/out

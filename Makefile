# Every target does its own set-up: Python's packages in .venv, as uv.lock has them; what is built in
# $SIHL_CACHE (~/.cache/sihl), outside the checkout, so that the second run builds nothing.
PYTHON ?= python3
SIHL_CACHE ?= $(HOME)/.cache/sihl
export SIHL_CACHE
export MYPY_CACHE_DIR := $(SIHL_CACHE)/mypy
export RUFF_CACHE_DIR := $(SIHL_CACHE)/ruff

unexport PYTHONDONTWRITEBYTECODE # hundreds of processes would compile torch each

# Looked for once, by whichever line is the first to need it.
UV = $(eval UV := $(or $(shell $(PYTHON) get_uv.py),$(error no uv: see above)))$(UV)
DEV = $(UV) run --locked
DEMO = $(UV) run --locked --no-default-groups --group demo
CODE := crds operator trainer_image dashboard gitops grafana local_cluster demo release examples tests get_uv.py

.DEFAULT_GOAL := help
.PHONY: help demo clean test test-fast soak bench lint format lock requirements audit crd gitops stamp dashboards

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## a cluster, the operator, three training jobs on real images (CONTEXT=... for a cluster of yours)
	@$(DEMO) python -m demo up $(if $(CONTEXT),--context "$(CONTEXT)") $(if $(REGISTRY),--registry "$(REGISTRY)")

clean: ## take down what `make demo` started, and nothing else
	@$(DEMO) python -m demo down

test: lint ## everything: as test-fast, then slow tests, simulation, a real API server, browser, cluster
	@$(DEV) python -m tests.e2e.ground
	@$(DEV) python -m local_cluster build
	@$(DEV) python -m demo.images
	@$(DEV) python -m tests.browser.chromium
	@$(DEV) python -m tests.browser.programs
	@$(DEV) python -m tests.gitops.programs
	$(DEV) pytest tests/unit -n 2
	$(DEV) pytest tests/simulation -n 2
	$(DEV) pytest tests/apiserver
	$(DEV) pytest tests/browser
	$(DEV) pytest tests/e2e

test-fast: lint ## what needs no cluster, in less than two minutes
	$(DEV) pytest tests/unit -n 2 -m "not slow"

soak: ## the simulation for an hour or a million seeds, on all cores; what it finds is shrunk and told
	@$(DEV) python -m tests.simulation

bench: ## what fetching, checkpoints, records, the dashboard and 15,000 jobs cost (an hour), what each task learns (six hours)
	$(DEV) python -m tests.bench.fetch
	$(DEV) python -m tests.bench.checkpoint
	$(DEV) python -m tests.bench.records
	$(DEV) python -m tests.bench.watchers
	$(DEV) python -m tests.bench.dashboard
	$(DEV) python -m tests.bench.scale
	$(DEV) python -m tests.bench.tasks --again --json $(SIHL_CACHE)/bench/tasks.jsonl

lint: ## formatting, lint, types, imports
	@$(DEV) ruff format --check $(CODE)
	@$(DEV) ruff check $(CODE)
	@$(DEV) mypy $(CODE)
	@$(DEV) lint-imports --no-cache

format: ## format the code and mend what ruff can
	@$(DEV) ruff format $(CODE)
	@$(DEV) ruff check --fix $(CODE)

EXPORT = $(UV) export --quiet --frozen --no-default-groups --group image --no-emit-project \
	--no-annotate --no-header
WITHOUT = $(addprefix --prune ,$(shell grep -v '^\#' trainer_image/$(1).txt))

lock: ## pin the newest versions that pyproject.toml allows, with their hashes, for make and the images
	@$(UV) lock --upgrade
	@$(MAKE) --no-print-directory requirements

TO ?= .
requirements: ## write what the images install, from uv.lock
	@$(EXPORT) --extra operator --extra store --extra tracing > $(TO)/operator/requirements.txt
	@$(EXPORT) --extra dashboard > $(TO)/dashboard/requirements.txt
	@$(EXPORT) --extra trainer --extra tracing $(call WITHOUT,never-imported) > $(TO)/trainer_image/requirements-cuda.txt
	@$(EXPORT) --extra trainer --extra tracing $(call WITHOUT,from-debian) > $(TO)/trainer_image/requirements-cpu.txt

audit: ## what is known to be vulnerable among what is pinned (asks PyPI's database)
	@$(UV) tool run --from 'pip-audit>=2.9,<3' pip-audit --disable-pip --require-hashes \
		-r operator/requirements.txt -r dashboard/requirements.txt -r trainer_image/requirements-cuda.txt

.PHONY: release release-check bundle push sign
RELEASE = $(DEV) python -m release
WHAT = $(if $(IMAGES),--images "$(IMAGES)") $(if $(PLATFORMS),--platforms "$(PLATFORMS)") $(if $(SOURCE_URL),--repository "$(SOURCE_URL)") $(if $(BUILDER),--builder "$(BUILDER)")
release: ## images, chart, wheel, SBOMs, checksums and provenance into dist/VERSION (IMAGES=operator,... for some)
	@$(RELEASE) build $(WHAT)

bundle: ## chart, images, programs and a script that installs them without a network, of what `release` built
	@$(RELEASE) bundle

push: ## push images and chart of the release to REGISTRY=host/path
	@$(RELEASE) push --registry "$(REGISTRY)"

sign: ## sign what was pushed to REGISTRY, with cosign and COSIGN_KEY=...
	@$(RELEASE) sign --registry "$(REGISTRY)"

release-check: ## build the release twice, and tell what differs
	@$(RELEASE) check $(WHAT)

CRD := trainingjobs.sihl.ai.yaml
crd: ## write the CRD from crds/sihl_api, into crds/ and into the chart
	@$(DEV) python -m sihl_api.crd > .crd.yaml && cp .crd.yaml crds/$(CRD) && mv .crd.yaml helm/files/$(CRD)

gitops: ## write what is made from other files in gitops/
	@$(DEV) python -m gitops

stamp: ## write pyproject.toml's version into lock, chart and what is made from it
	@$(UV) lock --quiet
	@$(DEV) python -m release stamp
	@$(DEV) python -m gitops

dashboards: ## write helm/dashboards from grafana and the code's own list of metrics
	@$(DEV) python -m grafana

.PHONY: chart-readme
chart-readme: ## write the chart's README from its values
	@$(DEV) python -m release.values > .readme.md && mv .readme.md helm/README.md

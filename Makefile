# make demo · make demo-docker · make eval · make test · make e2e · make check · make coverage · make bench · make mutants · make docs · make pictures · make plan-page · make permissions · make reliability · make lock · make bundle · make release-rehearsal
# make program-test · make example-test · make infra-test · make e2e: the four parts of make test
# Each target sets up what it needs. PYTHON names another interpreter (3.11 or newer).
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONDONTWRITEBYTECODE :=
DEV := .venv/bin/python
DEMO := .venv-demo/bin/python
NODE_TESTS := tests/contract/foreign tests/contract/action

.PHONY: eval
eval: example-eval

.PHONY: help demo test program-test coverage check bench mutants docs lock clean bundle

help:
	@sed -n '1,2s/^# //p' Makefile

demo: $(DEMO)
	@$(DEMO) -I -m ecs_gpu_deploy sandbox demo

# The program's tests keep both cores busy, the story waits much of the time: they run beside each other, and what
# computes again comes last. One build of the example's image serves the example's tests and the story.
test: export DOCKER_STORE := $(CURDIR)/build/docker
test: $(DEV)
	@$(MAKE) --no-print-directory --jobs=2 program-test other-tests

.PHONY: other-tests
other-tests: example-test
	@$(MAKE) --no-print-directory e2e E2E=--or-skip
	@if command -v terraform >/dev/null || [ "$$CI" = true ]; then $(MAKE) --no-print-directory infra-test; \
	else echo "terraform is missing: the tests of example-infra are skipped"; fi

# The whole story with real parts. E2E=--publish puts the report and its pictures into docs/.
.PHONY: e2e
e2e: $(DEV) example-service/.venv/ready
	@TF_PLUGIN_DIR="$$(example-infra/plugin-dir.sh)" \
	  PYTHONPATH=tests:tests/contract:tests/infra:example-service/tests $(DEV) -u -m story $(E2E)

# The demo with Docker and the small model, on a daemon of its own. With yours: make demo-docker
.PHONY: e2e-demo demo-docker
e2e-demo: $(DEV) example-service/.venv/ready
	@PYTHONPATH=tests:tests/contract:tests/infra:example-service/tests $(DEV) -u -m story.small_demo $(E2E)

demo-docker: $(DEMO)
	@$(DEMO) -I -m ecs_gpu_deploy sandbox demo --docker --context example-service

# A file of tests stays on one core: what its tests share is started once. The longest files come first and the
# quick ones last, so that both cores end together.
LONGEST_FIRST := $(addprefix tests/,scripted scenarios e2e contract unit)
program-test: check
	$(DEV) -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder --ignore=tests/infra \
	  $(or $(PYTEST),$(LONGEST_FIRST))

coverage: $(DEV)
	@rm -f .coverage .coverage.*
	$(DEV) -m coverage run -m pytest --ignore=tests/infra $(PYTEST)
	@$(DEV) -m coverage combine -q && $(DEV) -m coverage report

check: $(DEV) docs-check
	$(DEV) -m ruff check .
	$(DEV) -m ruff format --check .
	$(DEV) -m mypy

bench: $(DEV)
	@for file in tests/bench/bench_*.py; do echo "== $$file"; $(DEV) $$file || exit 1; done

# ONLY names packages or files: make mutants ONLY="core/capacity core/judge/pace.py"
mutants: $(DEV)
	@$(DEV) -m tools.mutants $(ONLY)

.PHONY: docs-check permissions
docs: $(DEV)
	$(DEV) -m tools.docs

permissions: $(DEV)
	PYTHONPATH=tests $(DEV) -m tools.record_permissions
	$(DEV) -m tools.docs

# The pictures of the README, and the texts beside them that a test holds.
.PHONY: pictures
pictures: $(DEV)
	@npm --prefix tools/pictures ci --silent --no-audit --no-fund --ignore-scripts
	@PYTHONPATH=tests $(DEV) -m tools.draw_pictures

# The outputs in docs/plan.md, as the program prints them on the local AWS; a test holds them.
.PHONY: plan-page
plan-page: $(DEV)
	@PYTHONPATH=tests $(DEV) -m tools.plan_page

.PHONY: reliability
reliability: $(DEV)
	PYTHONPATH=tests:tests/scripted $(DEV) -m tools.reliability $(if $(ONLY),"$(ONLY)")

docs-check: $(DEV)
	$(DEV) -m tools.docs --check

$(DEMO): locks/sandbox.txt
	@echo "Setting up .venv-demo …"
	@$(call environment,.venv-demo,locks/sandbox.txt)

$(DEV): locks/dev.txt $(addsuffix /package-lock.json,$(NODE_TESTS))
	@echo "Setting up .venv …"
	@$(call environment,.venv,locks/dev.txt)
	@if command -v npm >/dev/null; then for folder in $(NODE_TESTS); do \
	  npm --prefix $$folder ci --silent --no-audit --no-fund --ignore-scripts || exit 1; done; \
	else echo "npm is missing: tests with foreign clients will be skipped"; fi
	@touch $@

# $(1) folder, $(2) lock file: a virtual environment that holds the lock and this checkout
define environment
test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed."; exit 2; }; \
"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
  { echo "$(PYTHON) is too old: Python 3.11 or newer is needed (PYTHON=…)."; exit 2; }; \
"$(PYTHON)" -m venv --clear $(1) && \
$(1)/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r $(2) && \
$(1)/bin/python -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "checkout.pth").write_text(str(pathlib.Path("src").resolve()))' \
|| { rm -rf $(1); echo "The environment $(1) could not be set up."; exit 1; }
endef

# dist/ as a release carries it (tools/bundle.py). PYTHONS names the interpreters to compile with.
bundle: $(DEV)
	@$(DEV) -m tools.bundle

# What release.yml does, in temporary clones. The wheel and the image are built first: they need the index, which
# is out of reach from then on (a network namespace with loopback only; without the right to one, no proxy answers).
.PHONY: release-rehearsal
release-rehearsal: $(DEV)
	@rm -rf build/rehearsal && $(DEV) -m pip wheel --quiet --no-deps --wheel-dir build/rehearsal .
	@PYTHONPATH=.:tests:tests/contract $(DEV) tests/rehearse_release.py image build/rehearsal
	@cut="env HTTPS_PROXY=http://127.0.0.1:9 HTTP_PROXY=http://127.0.0.1:9 NO_PROXY=127.0.0.1"; \
	if unshare --net ip link set lo up 2>/dev/null; then cut="unshare --net"; fi; \
	PYTHONPATH=.:tests:tests/contract $$cut bash -c 'ip link set lo up 2>/dev/null; exec $(DEV) tests/rehearse_release.py build/rehearsal'

# Names, versions and hashes only: no address of a package index gets into a lock. The action has no terminal, so
# that what draws the live view is not in its lock.
NO_TERMINAL := $(addprefix --no-emit-package=,rich pygments markdown-it-py mdurl)
lock: $(DEV)
	$(DEV) -m pip install --quiet uv
	@for lock in "runtime:--extra=actions $(NO_TERMINAL)" sandbox:--extra=sandbox "dev:--all-extras --group=dev"; do \
	  $(DEV) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-annotate --no-emit-index-url $${lock#*:} pyproject.toml -o locks/$${lock%%:*}.txt || exit 1; done

clean:
	rm -rf .venv .venv-demo .coverage .coverage.* demo-output build dist $(addsuffix /node_modules,$(NODE_TESTS) tools/pictures)

include example-service/Makefile
include example-infra/Makefile

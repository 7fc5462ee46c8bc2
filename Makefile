# hedgegridd: `make demo` shows it, `make test` proves it. Both need nothing but Python 3.12 or newer and make.
SHELL := /bin/sh
.DEFAULT_GOAL := help
VENV ?= .venv
PY := $(VENV)/bin/python

# The newest Python that is there and new enough; one clear sentence when there is none.
FIND_PYTHON = for p in python3.14 python3.13 python3.12 python3; do \
	  if command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; \
	  then echo $$p; exit 0; fi; done; \
	echo "hedgegridd needs Python 3.12 or newer with venv (python3.14, 3.13, 3.12 and python3 were tried)." >&2; exit 1

PIP = $(PY) -m pip install --quiet --disable-pip-version-check --require-hashes
NO_PIP = echo "The packages could not be installed (pip's reason stands above): where no package index can be reached," \
	"name one that can be in PIP_INDEX_URL, or a folder of downloaded wheels by PIP_NO_INDEX=1 PIP_FIND_LINKS=DIR." >&2; exit 1

.PHONY: help demo test lint bench chaos properties simulate format venv clean smoke-metrics smoke-prometheus validate-observability prometheus-reload install uninstall deb systemd

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 24

$(VENV)/.run: requirements.txt
	@python=$$($(FIND_PYTHON)) || exit 1; \
	echo "making $(VENV) with $$python (once; about a minute)"; \
	rm -rf $(VENV) && $$python -m venv $(VENV) && \
	{ $(PIP) -r requirements.txt || { $(NO_PIP); }; } && \
	$(PY) -m compileall -q hedgegridd
	@pwd > "$$($(PY) -c 'import site; print(site.getsitepackages()[0])')/hedgegridd.pth"
	@for p in hedgegridd:hedgegridd.__main__ hedgegridctl:hedgegridd.ctl.entry; do \
	  printf '%s\n' '#!/bin/sh' "'''exec' \"$$(pwd)/$(PY)\" \"\$$0\" \"\$$@\"" "' '''" 'import sys' '' \
	    "from $${p#*:} import main" '' 'sys.exit(main())' > "$(VENV)/bin/$${p%%:*}"; \
	  chmod +x "$(VENV)/bin/$${p%%:*}"; done  # by way of sh: a "#!" line takes no path with a space
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	@$(PIP) -r requirements-dev.txt || { $(NO_PIP); }
	@touch $@

venv: $(VENV)/.dev ## .venv with everything for development

$(VENV)/.bench: requirements-bench.txt $(VENV)/.dev
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.txt
	@$(PY) -m compileall -q hedgegridd bench tests/support
	@touch $@

demo: $(VENV)/.run ## a running paper market: no account, no network (Ctrl-C ends it)
	@exec $(PY) -m hedgegridd demo

lint: $(VENV)/.dev ## ruff, mypy strict, import contracts
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

test: lint ## lint, all tests, branch coverage of core and runtime
	$(PY) -m pytest -m "not e2e" -n auto --cov --cov-report=term --cov-report=xml --cov-fail-under=95
	@# Three at a time share two cores, and their waits with them: what failed so must pass with the machine for itself.
	$(PY) -m pytest -m "e2e and not alone" -n 3 --dist loadfile || $(PY) -m pytest -m "e2e and not alone" --last-failed
	$(PY) -m pytest -m "e2e and alone"

bench: $(VENV)/.bench ## benchmarks, each beside its peer in the same run (ONLY=name RUNS=n)
	$(PY) -m bench $(if $(ONLY),--only $(ONLY)) $(if $(RUNS),--runs $(RUNS))

chaos: $(VENV)/.dev ## each fault in each phase on the real processes (ONLY="row row/phase"); all of it: an hour and a half
	$(PY) -m bench.chaos $(foreach cell,$(ONLY),--only $(cell))

properties: $(VENV)/.dev ## 10,000 random runs of the paper exchange's invariants (about two minutes)
	HEDGEGRIDD_EXAMPLES=$${HEDGEGRIDD_EXAMPLES:-10000} $(PY) -m pytest tests/property/test_exchange_invariants.py

simulate: $(VENV)/.dev ## seeded simulation against a venue that lies (SEEDS=n, docs/simulation.md)
	$(PY) -m tests.sim --seeds $(or $(SEEDS),200)

smoke-metrics: $(VENV)/.dev ## the running daemon's metrics: clean and complete? (METRICS=address)
	$(PY) -m bench.observability metrics $(if $(METRICS),--metrics $(METRICS))

smoke-prometheus: $(VENV)/.dev ## does Prometheus scrape the daemon and evaluate the rules? (PROMETHEUS=address)
	$(PY) -m bench.observability prometheus $(if $(PROMETHEUS),--prometheus $(PROMETHEUS))

validate-observability: $(VENV)/.dev ## configs, rules with their unit tests, queries of the dashboards
	$(PY) -m pytest tests/unit/test_observability.py

prometheus-reload: validate-observability ## let Prometheus read its config and rules again (PROMETHEUS=address)
	$(PY) -m bench.observability reload $(if $(PROMETHEUS),--prometheus $(PROMETHEUS))

format: $(VENV)/.dev ## rewrite the code in the house style
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

# Of `make install`: where the program goes, and where units, man pages and completions go.
PREFIX ?= /opt/hedgegridd
USR ?= /usr/local
PLACES = DESTDIR="$(DESTDIR)" PREFIX="$(PREFIX)" USR="$(USR)"

install: ## on this host: program in /opt/hedgegridd, units, man pages, completions, config (PREFIX= USR= DESTDIR=)
	@python=$$($(FIND_PYTHON)) || exit 1; $(PLACES) PYTHON=$$python packaging/install.sh

uninstall: ## what install has put there; state, config and backups stay
	@$(PLACES) packaging/uninstall.sh

deb: ## dist/hedgegridd_VERSION_ARCH.deb, for Debian with the Python of the same minor version (DEB_VERSION=)
	@python=$$($(FIND_PYTHON)) || exit 1; PYTHON=$$python packaging/deb.sh

systemd: ## the package under a real systemd in a Debian tree (root; TREE=folder keeps it; ONLY="row row")
	@python=$$($(FIND_PYTHON)) || exit 1; exec $$python -m bench.systemd $(if $(TREE),--tree $(TREE)) $(foreach row,$(ONLY),--only $(row))

clean: ## remove what make made
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .coverage coverage.xml

# make run and make test need Python 3.11 or later, git and make; everything else they bring themselves.

SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
UV := $(or $(shell command -v uv),$(BIN)/uv)
CLIENTS := clearml-2.1.12 clearml-1.16.5 clearml-agent-3.0.3 conjur-api-0.2.0 conjur-7.1.0 conjur-client-0.1.1
# Tests wait for daemons and directories half of the time.
PYTEST := $(BIN)/pytest -n $(shell expr $$(nproc) + 1) --dist loadgroup
SAMBA := samba samba-ad-dc samba-ad-provision samba-dsdb-modules samba-vfs-modules python3-samba winbind

export UV_PYTHON_DOWNLOADS := never

.PHONY: setup run demo test check bench soak clients clean

setup:
	@scripts/setup $(PYTHON) $(UV)

run: setup
	$(BIN)/ldap-gateway serve -c conf/quickstart.conf

demo: setup
	@scripts/system-packages slapd
	$(BIN)/python -m demo

test: setup clients
	@scripts/system-packages slapd openssl curl jq nginx caddy haproxy chromium-headless-shell 389-ds-base $(SAMBA) || true
	$(PYTEST)

soak: setup clients
	GATEWAY_SOAK=1 $(PYTEST)

check: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	scripts/check-unit

bench: setup
	@scripts/system-packages slapd nginx wrk
	$(BIN)/python -m bench

# The real clients whose dependencies do not fit ours live in environments of their own, pinned by tests/clients/*.txt
# (uv pip compile --universal --python-version 3.11). These lists are all that is installed: those of conjur-7.1.0, which
# needs async-timeout besides, and of conjur-client-0.1.1 leave out what only builds and tests them.
clients: $(CLIENTS:%=.venvs/%/installed)

.venvs/%/installed: tests/clients/%.txt | setup
	rm -rf .venvs/$*
	$(UV) venv --quiet --python $(PYTHON) .venvs/$*
	$(UV) pip install --quiet --no-deps --compile-bytecode --python .venvs/$*/bin/python -r $<
	@touch $@

clean:
	rm -rf .venv .venvs var dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

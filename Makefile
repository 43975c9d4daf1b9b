# make run and make test need Python 3.11 or later, git and make; everything else they bring themselves.

SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
UV := $(or $(shell command -v uv),$(BIN)/uv)
CLEARML_SDK := .venvs/clearml-2.1.12
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
	@scripts/system-packages slapd openssl curl nginx caddy haproxy 389-ds-base $(SAMBA) || true
	$(BIN)/pytest

soak: setup clients
	GATEWAY_SOAK=1 $(BIN)/pytest

check: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	scripts/check-unit

bench: setup
	@scripts/system-packages slapd nginx wrk
	$(BIN)/python -m bench

# The real clients whose dependencies do not fit ours live in environments of their own.
clients: $(CLEARML_SDK)/installed

$(CLEARML_SDK)/installed: setup
	@test -e $@ || { $(UV) venv --quiet --python $(PYTHON) $(CLEARML_SDK) && \
	  $(UV) pip install --quiet --python $(CLEARML_SDK)/bin/python clearml==2.1.12 && touch $@; }

clean:
	rm -rf .venv .venvs var dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

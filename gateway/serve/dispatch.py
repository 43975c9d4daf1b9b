"""From a raw target to the dialect that owns it (DECISIONS 28). Each path has exactly one owner."""

from __future__ import annotations

import enum
import re
from dataclasses import replace
from typing import Final

from gateway.serve.authz.question import endpoint_of
from gateway.serve.conjur.paths import is_conjur
from gateway.serve.grafana.dialect import PREFIX as GRAFANA
from gateway.serve.portal import static_files
from gateway.serve.portal.dialect import ROUTES
from gateway.serve.target import RawTarget


class Owner(enum.Enum):
    """Who answers a path."""

    ROOT = "/"
    LIVE = "/healthz/live"
    READY = "/healthz/ready"
    OPENAPI = "/openapi.yaml"
    KEY_SET = "/.well-known/jwks.json"
    ADMIN = "admin"
    AUTHZ = "authz"
    PORTAL = "portal"
    CLEARML = "clearml"
    VAULT = "vault"
    VAULTS = "vaults"
    GRAFANA = "grafana"
    CONJUR = "conjur"
    NOBODY = "nobody"


_EXACT: Final = {
    owner.value: owner for owner in (Owner.ROOT, Owner.LIVE, Owner.READY, Owner.OPENAPI, Owner.KEY_SET)
}

_PORTAL: Final = frozenset((*ROUTES, *static_files.OTHERS))

_RESERVED: Final = re.compile(r"/v1/|/favicon\.ico$|/robots\.txt$|/openapi\.yaml$")
"""Look like ClearML's, behind ``/api`` too, but are other owners' names: the Vault dialect's prefix, and what browsers
ask for."""

_CLEARML: Final = re.compile(r"/(?:v\d.*|[^/]*\.[^/]*/?)", re.DOTALL)
"""A version, good or bad, or a single dotted segment: ClearML answers what is wrong with it itself."""


def dispatch(target: RawTarget) -> tuple[Owner, RawTarget]:
    """Find the owner of a path, and the target as that owner reads it."""
    owner = _EXACT.get(target.path)
    if owner is not None:
        return owner, target
    if target.path in _PORTAL or target.path.startswith(("/account/", static_files.PREFIX)):
        return Owner.PORTAL, target
    if target.path.startswith("/admin/"):
        return Owner.ADMIN, target
    if target.path.startswith("/v1/"):
        return Owner.VAULT, target
    if target.path.startswith("/api/vaults/"):
        return Owner.VAULTS, target
    if target.path.startswith(GRAFANA):
        return Owner.GRAFANA, target
    if is_conjur(target.path):
        return Owner.CONJUR, target
    if endpoint_of(target.path) is not None:
        return Owner.AUTHZ, target
    # The web server in front of ClearML's API strips this prefix; clients may come either way.
    path = target.path.removeprefix("/api") if target.path.startswith("/api/") else target.path
    if _CLEARML.fullmatch(path) and not _RESERVED.match(path):
        return Owner.CLEARML, replace(target, path=path)
    return Owner.NOBODY, target

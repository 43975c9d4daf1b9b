"""The endpoints of the Vault dialect: each module a part of the tree of paths."""

from __future__ import annotations

from itertools import chain

from gateway.serve.vault.endpoints import (
    auth_method,
    capabilities,
    leases,
    locked_users,
    login,
    mounts,
    policies,
    roles,
    status,
    tokens,
    wrapping,
)
from gateway.serve.vault.routes import Routes

_MODULES = (
    auth_method, capabilities, leases, locked_users, login, mounts, policies, roles, status, tokens, wrapping,
)  # fmt: skip

ROUTES = Routes(chain.from_iterable(module.ROUTES for module in _MODULES))

"""The endpoints by name: one module a service, one function an action."""

from __future__ import annotations

from gateway.serve.clearml.endpoint import Endpoint
from gateway.serve.clearml.endpoints import (
    auth,
    credentials,
    debug,
    login,
    permissions,
    server,
    users,
    vaults,
    whitelist,
)

_MODULES = (auth, credentials, debug, login, permissions, server, users, vaults, whitelist)

ENDPOINTS: dict[str, Endpoint] = {endpoint.name: endpoint for module in _MODULES for endpoint in module.ENDPOINTS}

"""The endpoints by name: one module a service, one function an action."""

from __future__ import annotations

from gateway.serve.clearml.endpoint import Endpoint
from gateway.serve.clearml.endpoints import auth, debug, login, server, users

ENDPOINTS: dict[str, Endpoint] = {
    endpoint.name: endpoint for module in (auth, debug, login, server, users) for endpoint in module.ENDPOINTS
}

"""``debug.*``: is anybody there (clearml.md 9)."""

from __future__ import annotations

from gateway.serve.clearml.endpoint import Answer, Endpoint, Request


async def ping(request: Request) -> Answer:
    """Answer, and echo the fields of the request, as the API server does."""
    return Answer({**request.parameters, "msg": "ClearML server"})


ENDPOINTS = (Endpoint("debug.ping", ping, open=True),)

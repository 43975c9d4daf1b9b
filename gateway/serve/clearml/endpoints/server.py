"""``server.*``: versions (clearml.md 9)."""

from __future__ import annotations

from gateway.serve.clearml.endpoint import Answer, Endpoint, Request


async def info(request: Request) -> Answer:
    """Tell the versions that clients are to believe in."""
    clearml = request.live.configuration.clearml
    return Answer({"version": clearml.server_version, "build": "", "commit": "", "api_version": clearml.api_version})


ENDPOINTS = (Endpoint("server.info", info, since="2.12"),)

"""The HTTP server: one handler for every request, which picks the dialect and reads the snapshot once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from gateway import __version__
from gateway.serve.clearml import dialect as clearml
from gateway.serve.connection import Server
from gateway.serve.dispatch import Owner, dispatch
from gateway.serve.target import parse_target

if TYPE_CHECKING:
    from gateway.runtime import Runtime

NAME: Final = "ldap-gateway"


class Application:
    """Answers requests with what the runtime holds at that moment."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; nothing an endpoint does may end the connection without an answer."""
        owner, target = dispatch(parse_target(request.raw_path))
        with self._runtime.request() as live:
            match owner:
                case Owner.CLEARML:
                    return await clearml.answer(live, request, target)
                case Owner.ROOT:
                    return _json(200, {"service": NAME, "version": f"Version {__version__}"})
                case Owner.LIVE:
                    return _json(200, {"status": "ok"})
                case Owner.READY:
                    return _json(*self._readiness())
                case _:
                    return _json(404, {"error": "not found"})

    def _readiness(self) -> tuple[int, dict[str, Any]]:
        """Ready until the daemon drains; a directory that is down does not make the daemon useless."""
        if self._runtime.draining:
            return 503, {"status": "draining"}
        states = list(self._runtime.directories().values())
        return 200, {"status": "ok", "directories": {state: states.count(state) for state in ("up", "down")}}


def _json(status: int, data: dict[str, Any]) -> web.Response:
    body = json.dumps(data, ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json", "Server": NAME, "Cache-Control": "no-store"}
    return web.Response(status=status, body=body, headers=headers)


def make_runner(application: Application, *, keepalive: float, shutdown: float) -> web.ServerRunner:
    """The runner for the listeners. Times in seconds; the standard access log costs more than an answer (perf.md C)."""
    server = Server(application.handle, access_log=None, keepalive_timeout=keepalive, lingering_time=2.0)
    return web.ServerRunner(server, handle_signals=False, shutdown_timeout=shutdown)

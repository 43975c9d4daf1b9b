"""The HTTP server: one handler for every request, which picks the dialect and reads the snapshot once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from gateway.serve import jwks, openapi, vaults
from gateway.serve.admin.dialect import Admin
from gateway.serve.answer import json_response
from gateway.serve.authz.dialect import Authz
from gateway.serve.authz.known import KnownAnswers
from gateway.serve.authz.question import endpoint_of
from gateway.serve.body import receive_body
from gateway.serve.clearml import dialect as clearml
from gateway.serve.conjur.dialect import Conjur
from gateway.serve.connection import Answers, Handler, Server
from gateway.serve.dispatch import Owner, dispatch
from gateway.serve.grafana.dialect import Grafana
from gateway.serve.portal.dialect import Portal
from gateway.serve.self_test import fast_path_problem, verbs_problem
from gateway.serve.target import parse_target
from gateway.serve.vault import dialect as vault

if TYPE_CHECKING:
    from gateway.config.schema.process import Http
    from gateway.reload import Reloader
    from gateway.runtime import Live, Runtime
    from gateway.serve.target import RawTarget

log = logging.getLogger(__name__)


class Application:
    """Answers requests with what the runtime holds at that moment."""

    def __init__(self, runtime: Runtime, reloader: Reloader) -> None:
        self._runtime = runtime
        self._admin = Admin(runtime, reloader)
        self._grafana = Grafana(reloader)
        self._conjur = Conjur()
        self._authz = Authz(runtime.current)
        self._portal = Portal(runtime.current)
        self.known = KnownAnswers(runtime)
        self.known.follow(self._authz)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; nothing an endpoint does may end the connection without an answer."""
        owner, target = dispatch(parse_target(request.raw_path))
        await self._receive(request, owner)
        with self._runtime.request() as live:
            return await self._answer(live, request, owner, target)

    async def handle_by_admin_socket(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request of the command line: nothing but ``/admin/``, Grafana's diagnostics and health is here."""
        owner, target = dispatch(parse_target(request.raw_path))
        await self._receive(request, owner)
        with self._runtime.request() as live:
            if owner is Owner.ADMIN:
                return await self._admin.answer(live, request, target, by_socket=True)
            if owner is Owner.GRAFANA:
                return await self._grafana.answer(live, request, target, by_socket=True)
            if owner not in (Owner.LIVE, Owner.READY):
                owner = Owner.NOBODY
            return await self._answer(live, request, owner, target)

    async def _receive(self, request: web.BaseRequest, owner: Owner) -> None:
        """Wait for the body first, so that whatever it leads to rests on the snapshot and the time of its end."""
        writes = owner in (Owner.PORTAL, Owner.VAULT, Owner.CONJUR) and request.method in ("POST", "PUT", "PATCH")
        if writes or owner in (Owner.ADMIN, Owner.CLEARML):
            await receive_body(request, self._runtime.current.configuration.http.max_login_body)

    async def _answer(
        self, live: Live, request: web.BaseRequest, owner: Owner, target: RawTarget
    ) -> web.StreamResponse:
        match owner:
            case Owner.CLEARML:
                return await clearml.answer(live, request, target)
            case Owner.VAULT:
                return await vault.answer(live, request, target)
            case Owner.VAULTS:
                return await vaults.answer(live, request, target)
            case Owner.GRAFANA:
                return await self._grafana.answer(live, request, target, by_socket=False)
            case Owner.CONJUR:
                return await self._conjur.answer(live, request, target)
            case Owner.AUTHZ:
                return await self._ask(live, request, target)
            case Owner.ADMIN:
                return await self._admin.answer(live, request, target, by_socket=False)
            case Owner.ROOT | Owner.PORTAL:
                return await self._portal_of(live).answer(request, target)
            case Owner.NOBODY if "text/html" in request.headers.get("Accept", "").lower():
                return await self._portal_of(live).answer(request, target)
            case _:
                return await self._answer_about_itself(live, request, owner)

    async def _answer_about_itself(self, live: Live, request: web.BaseRequest, owner: Owner) -> web.StreamResponse:
        match owner:
            case Owner.LIVE:
                return json_response(200, {"status": "ok"})
            case Owner.READY:
                return json_response(*self._readiness())
            case Owner.OPENAPI:
                return openapi.answer(request)
            case Owner.KEY_SET:
                return await jwks.answer(live, request)
            case _:
                return json_response(404, {"error": "not found"})

    def _portal_of(self, live: Live) -> Portal:
        if self._portal.live is not live:
            self._portal = Portal(live)
        return self._portal

    async def _ask(self, live: Live, request: web.BaseRequest, target: RawTarget) -> web.StreamResponse:
        """Answer a proxy."""
        endpoint = endpoint_of(target.path)
        if endpoint is None:
            raise ValueError("not a path of forward auth")
        if self._authz.live is not live:
            self._authz = Authz(live)
            self.known.follow(self._authz)
        return cast("web.StreamResponse", await self._authz.answer(request, endpoint))

    def _readiness(self) -> tuple[int, dict[str, Any]]:
        """Ready until the daemon drains; a directory that is down does not make the daemon useless."""
        if self._runtime.draining:
            return 503, {"status": "draining"}
        states = list(self._runtime.directories().values())
        return 200, {"status": "ok", "directories": {state: states.count(state) for state in ("up", "down")}}


class Runner(web.ServerRunner):
    """Carries the listeners of one handler. The standard access log costs more than an answer (perf.md C)."""

    def __init__(self, handler: Handler, http: Http, answers: Answers | None = None) -> None:
        self._own = Server(handler, access_log=None, lingering_time=2.0)
        self._answers = answers
        super().__init__(self._own, handle_signals=False)
        self.configure(http)

    async def setup(self) -> None:
        """Make ready to listen, and try what rests on attributes of aiohttp's own."""
        await super().setup()
        if problem := await verbs_problem():
            self._own.verbs = False
            log.error("LIST is refused, and Vault clients must send ?list=true: with this aiohttp, %s", problem)
        if self._answers is None:
            return
        if problem := await fast_path_problem():
            log.error("session.fast_path is off, every question is parsed in full: with this aiohttp, %s", problem)
        else:
            self._own.answers = self._answers

    def configure(self, http: Http) -> None:
        """Take over the limits of a new snapshot."""
        self._own.limit(
            keepalive_seconds=http.keepalive, max_header=http.max_header, max_headers=http.max_headers
        )
        self._shutdown_timeout = http.shutdown

"""One request to ``/admin/`` from its raw target to its JSON answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from aiohttp import web

from gateway.serve.admin.call import Answer, Call
from gateway.serve.admin.callers import Refusal, caller_by_credentials, caller_by_socket
from gateway.serve.admin.endpoints import ENDPOINTS
from gateway.serve.answer import json_response
from gateway.serve.body import BodyTooLarge, BodyTooSlow, UnusableJson, check_announced, parse_object, read_body
from gateway.store.interface import StoreError

if TYPE_CHECKING:
    from gateway.reload import Reloader
    from gateway.runtime import Live, Runtime
    from gateway.serve.target import RawTarget

log = logging.getLogger(__name__)


class Admin:
    """Answers administrators; ``by_socket`` says that a request came in by the admin socket."""

    def __init__(self, runtime: Runtime, reloader: Reloader) -> None:
        self._runtime = runtime
        self._reloader = reloader

    async def answer(
        self, live: Live, request: web.BaseRequest, target: RawTarget, *, by_socket: bool
    ) -> web.Response:
        """Answer one request."""
        headers: Mapping[str, str] = {}
        try:
            status, data = await self._perform(live, request, target, by_socket=by_socket)
        except Refusal as refused:
            status, data, headers = refused.status, {"error": refused.text}, refused.headers
        except StoreError as error:
            log.error("%s: %s", target.path, error)
            status, data = 503, {"error": "the store cannot be used"}
        except Exception:
            log.exception("%s failed", target.path)
            status, data = 500, {"error": "unforeseen; see the log"}
        response = await asyncio.to_thread(json_response, status, data, headers)
        if status in (408, 413):
            response.force_close()
        return response

    async def _perform(
        self, live: Live, request: web.BaseRequest, target: RawTarget, *, by_socket: bool
    ) -> Answer:
        endpoint = ENDPOINTS.get(target.path)
        if endpoint is None:
            raise Refusal(404, "not found")
        if request.method != endpoint.method:
            raise Refusal(405, f"only {endpoint.method}", {"Allow": endpoint.method})
        http = live.configuration.http
        limit = http.max_body if endpoint.large else http.max_login_body
        try:
            check_announced(request, limit)
            caller = (
                caller_by_socket(request) if by_socket else await caller_by_credentials(live, request, target.path)
            )
            body = await read_body(request, limit)
        except BodyTooLarge:
            raise Refusal(413, f"a body may have {limit} bytes") from None
        except BodyTooSlow:
            raise Refusal(408, "the body did not come in time") from None
        query, fields = _query(target.query), _fields(live, body)
        _refuse_unknown("parameter", query, endpoint.parameters)
        _refuse_unknown("field", fields, endpoint.fields)
        return await endpoint.function(Call(self._runtime, self._reloader, live, caller, query, fields))


def _refuse_unknown(what: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """A misspelled dry_run must not reload."""
    if unknown := [name for name in given if name not in known]:
        raise Refusal(400, f"unknown {what} {unknown[0]}; there is {', '.join(known) or 'none'}")


def _query(text: str) -> Mapping[str, str]:
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=20))
    except ValueError:
        raise Refusal(400, "too many parameters") from None


def _fields(live: Live, body: bytes) -> Mapping[str, Any]:
    http = live.configuration.http
    try:
        return parse_object(body, max_depth=http.max_json_depth, max_items=http.max_json_items)
    except UnusableJson as error:
        raise Refusal(400, str(error)) from None

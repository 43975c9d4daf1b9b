"""One request of the Vault dialect from its raw target to its envelope (vault.md 1)."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from gateway.access.client_address import Address, MalformedAddress
from gateway.serve.answer import NAME
from gateway.serve.client import client_of
from gateway.serve.vault.authority import authorise, permit
from gateway.serve.vault.bodies import fields_of
from gateway.serve.vault.call import Call, Operation, Question
from gateway.serve.vault.endpoints import ROUTES
from gateway.serve.vault.fields import parse_duration
from gateway.serve.vault.old_shapes import old_shape
from gateway.serve.vault.path_help import help_text
from gateway.serve.vault.paths import decoded_path, operation_of, query_of, shown_path
from gateway.serve.vault.reply import Reply, VaultError, permission_denied, render, render_error
from gateway.serve.vault.routes import Match, mount_of
from gateway.serve.vault.values import converted, require_distinct, warnings_of
from gateway.serve.vault.wrapping import wrap
from gateway.store.interface import StoreError
from gateway.tokens.vault_tokens import Denied
from gateway.tokens.vault_ttl import Refused

if TYPE_CHECKING:
    from gateway.runtime import Live
    from gateway.serve.target import RawTarget
    from gateway.serve.vault.authority import Holder

log = logging.getLogger(__name__)

_LARGE: Final = 200
"""Entries of ``data`` from which on an answer is rendered in a thread."""
_WITH_BODY: Final = (Operation.UPDATE, Operation.PATCH)
_FIXED: Final = {
    "Cache-Control": "no-store",
    "Server": NAME,
    "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
}


async def answer(live: Live, request: web.BaseRequest, target: RawTarget) -> web.Response:
    """Answer one request; ``target.path`` begins with ``/v1/``."""
    request_id = str(uuid.uuid4())
    try:
        reply = await _perform(live, request, target, request_id)
        if reply.empty:
            return _response(request, 204, b"")
        return _response(request, reply.status, await _rendered(live, reply, request_id))
    except VaultError as refused:
        error = refused
    except StoreError as broken:
        log.error("%s: %s", _shown(target), broken)
        error = VaultError(500, "internal error")
    except Exception:
        log.exception("%s failed", _shown(target))
        error = VaultError(500, "internal error")
    return _refusal(request, error)


def _shown(target: RawTarget) -> str:
    """As much of a path as tells what failed, and cannot hold a token."""
    return shown_path("/".join(target.path.split("/")[:5]))


def _response(request: web.BaseRequest, status: int, body: bytes) -> web.Response:
    response = web.Response(status=status, body=body or None, headers=_FIXED)
    if body:
        response.headers["Content-Type"] = "application/json"  # and nothing behind it: clients compare all of it
    namespace = request.headers.get("X-Vault-Namespace", "")
    if namespace and namespace.isprintable():
        response.headers["X-Vault-Namespace"] = namespace
    return response


def _refusal(request: web.BaseRequest, error: VaultError) -> web.Response:
    response = _response(request, error.status, render_error(error))
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if error.status in (408, 413):
        response.force_close()
    return response


async def _rendered(live: Live, reply: Reply, request_id: str) -> bytes:
    shown_id = None if live.configuration.vault.compatibility else request_id
    if reply.data is None or sum(map(_size, reply.data.values())) < _LARGE:
        return render(reply, shown_id)
    return await asyncio.to_thread(render, reply, shown_id, in_steps=True)


def _size(value: object) -> int:
    return len(value) if isinstance(value, list | tuple | dict) else 1


async def _perform(live: Live, request: web.BaseRequest, target: RawTarget, request_id: str) -> Reply:
    if request.headers.get("X-Vault-Namespace", "").strip("/") not in ("", "root"):
        raise VaultError(404, "namespace not found")
    query = query_of(target.query)
    operation = operation_of(request.method, query)
    question = Question(
        live=live,
        request_id=request_id,
        now=int(time.time()),
        operation=operation,
        path=decoded_path(target.path, operation),
        client=_client(live, request),
        token_text=_token(request),
        wrap_ttl=_wrap_ttl(request),
    )
    match = ROUTES.find(question.path.removesuffix("/"), live.vault.mounts.all)
    if match is not None and match.route.open and operation is not Operation.HELP:
        data = await _data(question, request, query, open_route=True)
        reply = await _answered(question, match, data, None)
        # Anybody could fill the store otherwise: what needs no token is no secret, but for a login's.
        return await wrap(question, reply, None) if reply.auth else reply
    holder = await authorise(question)
    if operation is Operation.HELP:
        mount = mount_of(question.path, live.vault.mounts.all)
        text = help_text(question.path, match, ROUTES, mount=mount)
        return Reply(bare={"help": text, "see_also": None, "openapi": {}})
    data = await _data(question, request, query, open_route=False)
    if match is not None:
        require_distinct(match.route.fields, data)
    permit(holder, question, match, data)
    if match is None:
        raise _nobody(question)
    return await wrap(question, await _answered(question, match, data, holder), holder)


async def _data(
    question: Question, request: web.BaseRequest, query: dict[str, Any], *, open_route: bool
) -> dict[str, Any]:
    """The body of a write, else the query."""
    if question.operation not in _WITH_BODY:
        return query
    http = question.live.configuration.http
    return await fields_of(request, http, http.max_login_body if open_route else http.max_body)


async def _answered(question: Question, match: Match, data: Mapping[str, Any], holder: Holder | None) -> Reply:
    route = match.route
    handler = route.handlers.get(question.operation)
    if handler is None:
        raise VaultError(405, "1 error occurred:\n\t* unsupported operation\n\n")
    values = converted(route.fields, match.parameters, data)
    try:
        reply = await handler(Call.of(question, match.parameters, data, values, holder))
    except Refused as refused:
        raise VaultError(400, str(refused)) from None
    except Denied:
        raise permission_denied() from None
    if not reply.empty and (ignored := warnings_of(route.fields, match.parameters, data)):
        reply = replace(reply, warnings=(*reply.warnings, *ignored))
    return old_shape(reply, route.pattern) if question.live.configuration.vault.compatibility else reply


def _nobody(question: Question) -> VaultError:
    """Why nobody answers a path; only who may ask there is told."""
    path = question.path
    if path.startswith(("sys/", "auth/token/")) or mount_of(path, question.live.vault.mounts.all) is not None:
        return VaultError(404, "1 error occurred:\n\t* unsupported path\n\n")
    return VaultError(404, f'no handler for route "{shown_path(path)}". route entry not found.')


def _client(live: Live, request: web.BaseRequest) -> Address | None:
    try:
        return client_of(request, live.configuration.trusted_proxies)
    except MalformedAddress:
        raise VaultError(400, "malformed X-Forwarded-For header") from None


def _token(request: web.BaseRequest) -> str:
    if token := _only(request, "X-Vault-Token").strip():
        return token
    scheme, _, token = _only(request, "Authorization").partition(" ")
    return token.strip() if scheme == "Bearer" else ""


def _only(request: web.BaseRequest, name: str) -> str:
    """A header that says who asks. A proxy in between may look at another line of it than we do."""
    lines = {line.strip() for line in request.headers.getall(name, ())}
    if len(lines) > 1:
        raise VaultError(400, f"there is more than one {name} header")
    return lines.pop() if lines else ""


def _wrap_ttl(request: web.BaseRequest) -> int:
    text = request.headers.get("X-Vault-Wrap-TTL", "")
    try:
        return parse_duration(text) if text else 0
    except ValueError as error:
        raise VaultError(400, f"error parsing X-Vault-Wrap-TTL header: {error}") from None

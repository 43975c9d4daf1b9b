"""One ClearML request from its raw target to its envelope, in the API server's order of checks (clearml.md 2)."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Hashable, Sequence
from email.utils import formatdate
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gateway.access.client_address import Address, MalformedAddress
from gateway.serve.body import BodyTooLarge, BodyTooSlow, check_announced, read_body
from gateway.serve.clearml import errors
from gateway.serve.clearml.authorize import Caller, Credentials, authenticate, impersonate, presented, worker_of
from gateway.serve.clearml.call import MAX_TRANSACTION_ID, Call, parse_path, unparsable_call, version_numbers
from gateway.serve.clearml.endpoint import Answer, Endpoint, Request
from gateway.serve.clearml.endpoints import ENDPOINTS
from gateway.serve.clearml.errors import ApiError
from gateway.serve.clearml.parameters import parameters
from gateway.serve.client import client_of
from gateway.serve.cross_site import comes_from_elsewhere, cors_headers, may_change_state
from gateway.serve.target import RawTarget
from gateway.store.interface import StoreError
from gateway.tokens.opaque import digest
from gateway.vaults.ready import Ready, stored, zlib_stream

if TYPE_CHECKING:
    from gateway.runtime import Live

log = logging.getLogger(__name__)

SERVER: Final = "clearml"

WORTH_COMPRESSING: Final = 4096
"""Bytes from which on an answer made before is sent compressed."""
_BRACE: Final = stored(b"}")
_FOR_OTHERS: Final = tuple(f"X-{brand}-{name}-As" for brand in ("Clearml", "Trains") for name in ("Impersonate", "Act"))

POST_HOLD_SECONDS: Final = 4.0
"""How long a 503 to a POST is held back: the SDK repeats those for ever without a pause (clearml.md 6.1)."""


async def answer(live: Live, request: web.BaseRequest, target: RawTarget) -> web.Response:
    """Answer one request of the ClearML dialect; ``target.path`` has lost its ``/api``."""
    if request.method == "OPTIONS":
        return _response(live, request, 200, b"")
    if any(value.strip().lower() != "identity" for value in request.headers.getall("Content-Encoding", [])):
        return _refuse_encoding(live, request)
    call, result, error = unparsable_call(), Answer(), None
    try:
        call = parse_path(target.path, live.configuration.clearml.api_version)
        call.transaction_id = _transaction_id(request)
        result = await _perform(live, request, target, call)
    except ApiError as refused:
        error = refused
    except StoreError as broken:
        log.error("%s: %s", call.endpoint, broken)
        error = errors.unavailable(10)
    except Exception:
        log.exception("%s failed", call.endpoint)
        error = errors.internal()
    if error is not None and error.code == 503 and request.method == "POST":
        await asyncio.sleep(POST_HOLD_SECONDS)
    if error is None and result.rendered:
        return _ready_response(live, request, (stored(call.before()), *result.rendered, _BRACE))
    response = _response(live, request, error.code if error else 200, call.envelope(result.data, error))
    if error is not None and error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    if error is not None and error.code in (408, 413):
        response.force_close()
    if error is None and result.cookie is not None:
        _set_cookie(live, response, *result.cookie)
    return response


async def _perform(live: Live, request: web.BaseRequest, target: RawTarget, call: Call) -> Answer:
    endpoint = ENDPOINTS.get(call.endpoint)
    if endpoint is None or call.version < version_numbers(endpoint.since):
        raise errors.unknown_endpoint(call.endpoint, call.requested_version)
    call.actual_version = endpoint.since
    now = int(time.time())
    http = live.configuration.http
    limit = http.max_login_body if endpoint.login_body else http.max_body
    try:
        check_announced(request, limit)
        client = _client(live, request)
        question, version = _question(request, target, endpoint), live.store.version() if endpoint.repeatable else 0
        if question is not None and (known := live.answers.get(question, version, now)) is not None:
            return Answer(rendered=known)
        given, caller = await _authorize(live, request, endpoint, client, now)
        if endpoint.changes_state and given is not None and not _intended(live, request, given):
            raise errors.cross_site()
        body = await read_body(request, limit)
    except BodyTooLarge:
        raise errors.too_large() from None
    except BodyTooSlow:
        raise errors.too_slow() from None
    content_type = request.headers.get("Content-Type", "")
    fields = parameters(
        target.query, body, content_type, max_depth=http.max_json_depth, max_items=http.max_json_items
    )
    origins = live.configuration.web_origins
    call_of_endpoint = Request(
        live=live,
        endpoint=endpoint.name,
        parameters=fields,
        given=given,
        checked=caller,
        now=now,
        client=str(client or ""),
        by_own_pages=may_change_state(request.method, request.headers, origins),
        from_elsewhere=comes_from_elsewhere(request.headers, origins),
    )
    result = await endpoint.function(call_of_endpoint)
    if question is not None and caller is not None and caller.token:
        live.answers.put(question, version, live.issuer.expires_at(caller.token), result.rendered)
    return result


def _question(request: web.BaseRequest, target: RawTarget, endpoint: Endpoint) -> Hashable:
    """What a repeatable answer is kept by: all that tells one request from another; None where it may not be kept.

    A cookie, a password, somebody else's name or a body ask for the whole way.
    """
    headers = request.headers
    authorization = headers.get("Authorization", "")
    if not endpoint.repeatable or request.body_exists or not authorization.startswith("Bearer "):
        return None
    if any(name in headers for name in _FOR_OTHERS):
        return None
    return digest(authorization), endpoint.name, target.query


async def _authorize(
    live: Live, request: web.BaseRequest, endpoint: Endpoint, client: Address | None, now: int
) -> tuple[Credentials | None, Caller | None]:
    cookie = request.cookies.get(live.configuration.clearml.cookie.name, "")
    if endpoint.open:
        return _presented_to_open(request, cookie), None
    given = presented(request.headers.get("Authorization", ""), cookie)
    if given is None:
        raise errors.missing_credentials()
    caller = await authenticate(live, given, client, endpoint.name, worker_of(request.headers), now)
    role = caller.identity.grant.clearml_role
    if endpoint.roles and role not in endpoint.roles:
        raise errors.role_refused(role, endpoint.roles)
    return given, await impersonate(live, caller, request.headers)


def _intended(live: Live, request: web.BaseRequest, given: Credentials) -> bool:
    """Whether whoever holds the credentials wants this change: a browser adds cookies, and passwords that it remembers,
    to what other sites make it send (DECISIONS 29)."""
    origins = live.configuration.web_origins
    if given.from_cookie:
        return may_change_state(request.method, request.headers, origins)
    return given.scheme == "bearer" or not comes_from_elsewhere(request.headers, origins)


def _presented_to_open(request: web.BaseRequest, cookie: str) -> Credentials | None:
    try:
        return presented(request.headers.get("Authorization", ""), cookie)
    except ApiError:
        return None


def _client(live: Live, request: web.BaseRequest) -> Address | None:
    try:
        return client_of(request, live.configuration.trusted_proxies)
    except MalformedAddress:
        raise ApiError(400, 0, "Malformed X-Forwarded-For header") from None


def _transaction_id(request: web.BaseRequest) -> str:
    given = request.headers.get("X-Clearml-Trx", "") or request.headers.get("X-Trains-Trx", "")
    return given[:MAX_TRANSACTION_ID]


def _response(live: Live, request: web.BaseRequest, status: int, body: bytes) -> web.Response:
    headers = {"Content-Type": "application/json", "Server": SERVER, "Cache-Control": "no-store"}
    headers.update(cors_headers(request.method, request.headers, live.configuration.web_origins))
    return web.Response(status=status, body=body, headers=headers)


def _ready_response(live: Live, request: web.BaseRequest, pieces: Sequence[Ready]) -> web.Response:
    """An answer made before, compressed for those who take it, such as SDKs: a tenth of the bytes."""
    if sum(len(piece.plain) for piece in pieces) < WORTH_COMPRESSING or not _takes_deflate(request):
        response = _response(live, request, 200, b"".join(piece.plain for piece in pieces))
    else:
        response = _response(live, request, 200, zlib_stream(pieces))
        response.headers["Content-Encoding"] = "deflate"
    response.headers.add("Vary", "Accept-Encoding")
    return response


def _takes_deflate(request: web.BaseRequest) -> bool:
    return _names_deflate(",".join(request.headers.getall("Accept-Encoding", ())))


@lru_cache(maxsize=64)
def _names_deflate(accepted: str) -> bool:
    """Whether the client names this coding and does not give it the weight 0 (RFC 9110 12.5.3)."""
    for item in accepted.lower().split(","):
        name, _, weight = item.partition(";")
        if name.strip() == "deflate":
            return not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight)
    return False


def _refuse_encoding(live: Live, request: web.BaseRequest) -> web.Response:
    response = web.Response(status=415, text="Unsupported Content-Encoding\n", headers={"Server": SERVER})
    response.headers.update(cors_headers(request.method, request.headers, live.configuration.web_origins))
    response.force_close()
    return response


def _set_cookie(live: Live, response: web.Response, token: str, lifetime: int) -> None:
    """The cookie as the API server writes it, but for its end and for Secure."""
    cookie = live.configuration.clearml.cookie
    ends = formatdate(time.time() + lifetime, usegmt=True) if token else "Thu, 01 Jan 1970 00:00:00 GMT"
    parts = [f"{cookie.name}={token}", f"Expires={ends}", f"Max-Age={lifetime}"]
    if cookie.domain:
        parts.append(f"Domain={cookie.domain}")
    if live.configuration.secure_cookies:
        parts.append("Secure")
    parts += ["HttpOnly", "Path=/", f"SameSite={cookie.same_site}"]
    response.headers["Set-Cookie"] = "; ".join(parts)

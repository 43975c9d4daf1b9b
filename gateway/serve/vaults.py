"""``GET /api/vaults/merged``: what the vaults of the caller come to, and which vault set what.

Credentials as for ClearML's API: Basic, Bearer or the cookie. ``?user=ID`` names somebody else by ClearML user id, for
administrators of ClearML inside their company (root: any). ``?format=json|hocon|yaml``, else by ``Accept``: JSON is
``Effective.view``, the others are the configuration alone. Errors are ``{"error": text}``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from aiohttp import web

from gateway.access.client_address import MalformedAddress
from gateway.hocon import render
from gateway.serve.answer import NAME, json_response
from gateway.serve.clearml.authorize import authenticate, presented, worker_of
from gateway.serve.clearml.endpoint import DIALECT
from gateway.serve.clearml.errors import ApiError, missing_credentials
from gateway.serve.client import client_of
from gateway.store.interface import StoreError
from gateway.telemetry.audit import new_event
from gateway.vaults.effective import Effective, effective
from gateway.vaults.groups import is_administrator
from gateway.vaults.merge import Format
from gateway.vaults.model import owner_of
from gateway.vaults.text import in_thread
from gateway.vaults.turns import TooManyWaiting

if TYPE_CHECKING:
    from gateway.access.client_address import Address
    from gateway.identity import Identity
    from gateway.runtime import Live
    from gateway.serve.target import RawTarget

log = logging.getLogger(__name__)

PATH: Final = "/api/vaults/merged"
PARAMETERS: Final = ("user", "format")

_TYPES: Final[Mapping[Format, str]] = {
    "json": "application/json",
    "hocon": "text/plain; charset=utf-8",
    "yaml": "application/yaml",  # RFC 9512
}
_ACCEPTED: Final[Mapping[str, Format]] = {
    "application/json": "json", "application/hocon": "hocon", "text/plain": "hocon",
    "application/yaml": "yaml", "text/yaml": "yaml", "application/x-yaml": "yaml",
}  # fmt: skip
_ASK: Final = {"WWW-Authenticate": f'Bearer realm="{NAME}"'}


class _Refusal(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


async def answer(live: Live, request: web.BaseRequest, target: RawTarget) -> web.Response:
    """Answer one request below ``/api/vaults/``."""
    headers: dict[str, str] = {}
    try:
        if target.path != PATH:
            raise _Refusal(404, "not found")
        if request.method not in ("GET", "HEAD"):
            headers["Allow"] = "GET, HEAD"
            raise _Refusal(405, "only GET")
        return await _perform(live, request, target)
    except _Refusal as refused:
        status, text = refused.status, str(refused)
    except MalformedAddress:
        status, text = 400, "malformed X-Forwarded-For header"
    except ApiError as error:
        status, text = error.code, error.message
        headers.update(_ASK if status == 401 else {})
        headers.update({"Retry-After": str(error.retry_after)} if error.retry_after is not None else {})
    except TooManyWaiting:
        status, text = 429, "too many requests of this user are waiting"
        headers["Retry-After"] = "2"
    except StoreError as error:
        log.error("%s: %s", PATH, error)
        status, text = 503, "the store cannot be used"
    except Exception:
        log.exception("%s failed", PATH)
        status, text = 500, "unforeseen; see the log"
    return json_response(status, {"error": text}, headers)


async def _perform(live: Live, request: web.BaseRequest, target: RawTarget) -> web.Response:
    query = _query(target.query)
    format_ = _format(query.get("format"), request.headers.get("Accept", ""))
    client = client_of(request, live.configuration.trusted_proxies)
    caller = await _caller(live, request, client)
    identity = caller
    if query.get("user") not in (None, caller.user_id):
        identity = await _other(live, caller, client, query["user"])

    async def body_of() -> bytes:
        return await in_thread(_body, await effective(live.vaults, identity), format_)

    body = await live.vaults.turns.run(owner_of(caller), body_of)
    fixed = {"Content-Type": _TYPES[format_], "Server": NAME, "Cache-Control": "no-store", "Vary": "Accept"}
    return web.Response(body=body, headers={**fixed, "X-Content-Type-Options": "nosniff"})


def _body(found: Effective, format_: Format) -> bytes:
    if format_ == "json":
        return render(found.view(), "json").encode()
    return found.text(format_).encode()


def _query(text: str) -> dict[str, str]:
    try:
        given = dict(parse_qsl(text, keep_blank_values=True, max_num_fields=20))
    except ValueError:
        raise _Refusal(400, "too many parameters") from None
    if unknown := [name for name in given if name not in PARAMETERS]:
        raise _Refusal(400, f"unknown parameter {unknown[0]}; there is {', '.join(PARAMETERS)}")
    return given


def _format(named: str | None, accept: str) -> Format:
    """The format that is named, else the first of ``Accept`` that there is; weights count for nothing."""
    if named is not None:
        for known in _TYPES:
            if named == known:
                return known
        raise _Refusal(400, f"format: expected {', '.join(_TYPES)}")
    types = (part.partition(";")[0].strip().lower() for part in accept.split(","))
    return next((_ACCEPTED[name] for name in types if name in _ACCEPTED), "json")


async def _caller(live: Live, request: web.BaseRequest, client: Address | None) -> Identity:
    """Who asks. Raises ApiError."""
    cookie = request.cookies.get(live.configuration.clearml.cookie.name, "")
    given = presented(request.headers.get("Authorization", ""), cookie)
    if given is None:
        raise missing_credentials()
    caller = await authenticate(live, given, client, PATH, worker_of(request.headers), int(time.time()))
    return caller.identity


async def _other(live: Live, caller: Identity, client: Address | None, user_id: str) -> Identity:
    """Somebody else, for an administrator. Every such look is an audit event."""
    refusal, found = _Refusal(403, "only administrators may see the vaults of others"), None
    if is_administrator(caller):
        refusal = _Refusal(404, "there is no such user")
        found = await live.identities.by_user_id(user_id, caller.grant.reach)
    by = f"by {caller.actor_label}" if caller.actor else ""
    event = new_event(
        time.time(), "vault.merged", "success" if found else "failure", generation=live.generation, dialect=DIALECT,
        reason=by if found else str(refusal), server=caller.account.server, user=caller.account.username,
        client=str(client or ""), target=found.label if found else "",
    )  # fmt: skip
    live.audit.write(event)
    if found is None:
        raise refusal
    return found

"""``/api/admin/ldap/...``: the diagnostic API of Grafana's LDAP login, for our administrators (grafana.md 3).

=================================  ================================================================================
``GET  /api/admin/ldap/status``    whether each server can be connected to
``GET  /api/admin/ldap/:login``    a person as the directory has them, with roles
``POST /api/admin/ldap/reload``    as ``POST /admin/reload``
``POST /api/admin/ldap/sync/:id``  look somebody up again: the id of an identity, ``SERVER/NAME`` or a name
=================================  ================================================================================

Callers and credentials are those of ``/admin/``: Basic or Bearer, never a cookie; or the admin socket.
Errors are ``{"message": text}``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from aiohttp import web

from gateway.login import MAX_NAME, MAX_SHOWN
from gateway.serve.admin.callers import Refusal, caller_by_credentials, caller_by_socket
from gateway.serve.answer import json_response
from gateway.serve.body import BodyTooLarge, check_announced
from gateway.serve.grafana.endpoints import Diagnostics
from gateway.serve.target import percent_decoded
from gateway.store.interface import StoreError

if TYPE_CHECKING:
    from gateway.reload import Reloader
    from gateway.runtime import Live
    from gateway.serve.grafana.endpoints import Answer
    from gateway.serve.target import RawTarget

log = logging.getLogger(__name__)

PREFIX: Final = "/api/admin/ldap/"
_SYNC: Final = "sync/"


class Grafana:
    """Answers one request after the other; ``by_socket`` says that it came in by the admin socket."""

    def __init__(self, reloader: Reloader) -> None:
        self._diagnostics = Diagnostics(reloader)

    async def answer(
        self, live: Live, request: web.BaseRequest, target: RawTarget, *, by_socket: bool
    ) -> web.Response:
        """Answer one request below ``PREFIX``."""
        headers: Mapping[str, str] = {}
        data: Any
        try:
            status, data = await self._perform(live, request, target, by_socket=by_socket)
        except Refusal as refused:
            status, data, headers = refused.status, {"message": _worded(request, refused)}, refused.headers
        except StoreError as error:
            log.error("%s: %s", target.path, error)
            status, data = 503, {"message": "the store cannot be used"}
        except Exception:
            log.exception("%s failed", target.path)
            status, data = 500, {"message": "unforeseen; see the log"}
        response = await asyncio.to_thread(json_response, status, data, headers)
        if status == 413:
            response.force_close()
        return response

    async def _perform(
        self, live: Live, request: web.BaseRequest, target: RawTarget, *, by_socket: bool
    ) -> Answer:
        limit = live.configuration.http.max_login_body
        try:
            check_announced(request, limit)
        except BodyTooLarge:
            raise Refusal(413, f"a body may have {limit} bytes, and none is read") from None
        action, whom = _asked(request.method, target.path.removeprefix(PREFIX))
        if by_socket:
            caller = caller_by_socket(request)
        else:
            shown = unquote(whom, errors="replace")[:MAX_SHOWN]
            caller = await caller_by_credentials(live, request, target.path, action, shown)
        if not live.configuration.servers:
            raise Refusal(400, "LDAP is not enabled")
        match action:
            case "directory.status":
                return await self._diagnostics.status(live, caller)
            case "directory.look_up":
                return await self._diagnostics.person(live, caller, _decoded(whom))
            case "configuration.reload":
                return await self._diagnostics.reload(live, caller)
            case "directory.sync":
                return await self._diagnostics.sync(live, caller, _decoded(whom))
        if request.method not in ("GET", "POST"):
            raise Refusal(405, "only GET and POST", {"Allow": "GET, POST"})
        raise Refusal(404, "Not found")


def _asked(method: str, rest: str) -> tuple[str, str]:
    """What is asked, as the audit trail calls it, and of whom, as it stands in the path; nothing where that is nothing.

    By method, since any login may be looked up, whatever it is called.
    """
    if method == "GET" and rest == "status":
        return "directory.status", ""
    if method == "GET" and rest and "/" not in rest:
        return "directory.look_up", rest
    if method == "POST" and rest == "reload":
        return "configuration.reload", ""
    if method == "POST" and rest.startswith(_SYNC) and "/" not in (whom := rest.removeprefix(_SYNC)):
        return "directory.sync", whom
    return "", ""


def _decoded(part: str) -> str:
    """A part of the path, percent-decoded once. Raises Refusal 400 for what no directory should be asked for."""
    try:
        name = percent_decoded(part).strip()
    except UnicodeError:
        raise Refusal(400, "the name is not valid UTF-8") from None
    if not name or len(name) > MAX_NAME or "\0" in name:
        raise Refusal(400, "no usable name")
    return name


def _worded(request: web.BaseRequest, refused: Refusal) -> str:
    """As Grafana words what programs may look for."""
    match refused.status:
        case 401:
            return "Invalid username or password" if "Authorization" in request.headers else "Unauthorized"
        case 403:
            return "Permission denied"
    return refused.text

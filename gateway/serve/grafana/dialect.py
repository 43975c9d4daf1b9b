"""``/api/admin/ldap/...``: the diagnostic API of Grafana's LDAP login, for our administrators (grafana.md 3).

=================================  ================================================================================
``GET  /api/admin/ldap/status``    whether each server can be connected to
``GET  /api/admin/ldap/:login``    a person as the directory has them, with roles
``POST /api/admin/ldap/reload``    as ``POST /admin/reload``
``POST /api/admin/ldap/sync/:id``  look somebody up again: the id of an identity, ``SERVER/NAME`` or a name
=================================  ================================================================================

Callers and credentials are those of ``/admin/``: Basic or Bearer, never a cookie. Errors are ``{"message": text}``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from aiohttp import web

from gateway.login import MAX_NAME
from gateway.serve.admin.callers import Refusal, caller_by_credentials
from gateway.serve.answer import json_response
from gateway.serve.grafana.endpoints import Diagnostics
from gateway.store.interface import StoreError

if TYPE_CHECKING:
    from gateway.reload import Reloader
    from gateway.runtime import Live
    from gateway.serve.admin.callers import Caller
    from gateway.serve.grafana.endpoints import Answer
    from gateway.serve.target import RawTarget

log = logging.getLogger(__name__)

PREFIX: Final = "/api/admin/ldap/"
_SYNC: Final = "sync/"


class Grafana:
    """Answers one request after the other."""

    def __init__(self, reloader: Reloader) -> None:
        self._diagnostics = Diagnostics(reloader)

    async def answer(self, live: Live, request: web.BaseRequest, target: RawTarget) -> web.Response:
        """Answer one request below ``PREFIX``."""
        headers: Mapping[str, str] = {}
        data: Any
        try:
            status, data = await self._perform(live, request, target)
        except Refusal as refused:
            status, data, headers = refused.status, {"message": _worded(request, refused)}, refused.headers
        except StoreError as error:
            log.error("%s: %s", target.path, error)
            status, data = 503, {"message": "the store cannot be used"}
        except Exception:
            log.exception("%s failed", target.path)
            status, data = 500, {"message": "unforeseen; see the log"}
        return await asyncio.to_thread(json_response, status, data, headers)

    async def _perform(self, live: Live, request: web.BaseRequest, target: RawTarget) -> Answer:
        caller = await caller_by_credentials(live, request, target.path)
        if not live.configuration.servers:
            raise Refusal(400, "LDAP is not enabled")
        return await self._asked(live, caller, request.method, target.path.removeprefix(PREFIX))

    def _asked(self, live: Live, caller: Caller, method: str, rest: str) -> Awaitable[Answer]:
        """By method, since any login may be looked up, whatever it is called."""
        asked = self._diagnostics
        if method == "GET":
            if rest == "status":
                return asked.status(live, caller)
            if rest and "/" not in rest:
                return asked.person(live, caller, _decoded(rest))
        elif method != "POST":
            raise Refusal(405, "only GET and POST", {"Allow": "GET, POST"})
        elif rest == "reload":
            return asked.reload(live, caller)
        elif rest.startswith(_SYNC) and "/" not in rest.removeprefix(_SYNC):
            return asked.sync(live, caller, _decoded(rest.removeprefix(_SYNC)))
        raise Refusal(404, "Not found")


def _decoded(part: str) -> str:
    """A part of the path, percent-decoded once. Raises Refusal 400 for what no directory should be asked for."""
    try:
        name = unquote_to_bytes(part).decode().strip()
    except (UnicodeDecodeError, UnicodeEncodeError):
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

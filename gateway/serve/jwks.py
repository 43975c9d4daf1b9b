"""``/.well-known/jwks.json``: the public keys by which Grafana checks tokens, for anybody (grafana.md 5; RFC 7517)."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.serve.answer import NAME, json_response
from gateway.store.interface import StoreError

if TYPE_CHECKING:
    from gateway.runtime import Live

log = logging.getLogger(__name__)


async def answer(live: Live, request: web.BaseRequest) -> web.Response:
    """The key set; 304 to who has it already (RFC 9110 13.1.2)."""
    if request.method not in ("GET", "HEAD"):
        return json_response(405, {"error": "only GET"}, {"Allow": "GET, HEAD"})
    try:
        await live.grafana.keys.follow()
    except StoreError as error:
        log.error("the key set cannot be told: %s", error)
        return json_response(503, {"error": "the store cannot be used"})
    document = live.grafana.keys.document(int(time.time()))
    headers = {
        "Server": NAME,
        "Cache-Control": f"public, max-age={document.max_age}",
        "ETag": document.etag,
        "X-Content-Type-Options": "nosniff",
    }
    asked = [tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")]
    if document.etag in asked or asked == ["*"]:
        return web.Response(status=304, headers=headers)
    return web.Response(body=document.body, headers={**headers, "Content-Type": "application/json"})

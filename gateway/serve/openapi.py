"""``/openapi.yaml``: the description of what this daemon answers, written by hand.

Not of the Vault and Conjur dialects: their clients have those programs' own documents.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from aiohttp import web

from gateway.serve.answer import NAME, json_response

DOCUMENT: Final = files(__package__).joinpath("openapi.yaml").read_bytes()


def answer(request: web.BaseRequest) -> web.Response:
    """The document, to anyone."""
    if request.method not in ("GET", "HEAD"):
        return json_response(405, {"error": "only GET"}, {"Allow": "GET, HEAD"})
    headers = {"Content-Type": "application/yaml", "Server": NAME, "Cache-Control": "no-cache"}  # RFC 9512
    return web.Response(body=DOCUMENT, headers={**headers, "X-Content-Type-Options": "nosniff"})

"""``/static/``, ``/favicon.ico`` and ``/robots.txt``: files of this package, read at start."""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files
from typing import Final
from urllib.parse import parse_qs

from aiohttp import web

from gateway.serve.answer import NAME, json_response
from gateway.serve.target import RawTarget

PREFIX: Final = "/static/"
ICON: Final = "icon.svg"
OTHERS: Final = ("/favicon.ico", "/robots.txt")
"""What browsers and robots ask for at places of their own."""
_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
    "png": "image/png",
    "woff2": "font/woff2",
}
_YEAR: Final = "public, max-age=31536000, immutable"
_ROBOTS: Final = b"User-agent: *\nDisallow: /\n"


def _read() -> dict[str, bytes]:
    found = files(__package__).joinpath("static").iterdir()
    return {file.name: file.read_bytes() for file in found if file.name.rpartition(".")[2] in _TYPES}


_FILES: Final = _read()
_VERSIONS: Final = {name: sha256(content).hexdigest()[:16] for name, content in _FILES.items()}


def version_of(name: str) -> str:
    """What distinguishes the content of a file from that of other releases. Raises KeyError."""
    return _VERSIONS[name]


def answer(request: web.BaseRequest, target: RawTarget) -> web.Response:
    """A file, to anyone; by its version it may be kept for ever. 404 where there is none."""
    if request.method not in ("GET", "HEAD"):
        return json_response(405, {"error": "only GET"}, {"Allow": "GET, HEAD"})
    if target.path == "/robots.txt":
        return _response(_ROBOTS, "text/plain; charset=utf-8", "public, max-age=86400")
    name = ICON if target.path == "/favicon.ico" else target.path.removeprefix(PREFIX)
    content = _FILES.get(name)
    if content is None:
        return json_response(404, {"error": "not found"})
    tag = f'"{_VERSIONS[name]}"'
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers={"Server": NAME, "ETag": tag, "Cache-Control": "no-cache"})
    asked = parse_qs(target.query).get("v") == [_VERSIONS[name]]
    response = _response(content, _TYPES[name.rpartition(".")[2]], _YEAR if asked else "no-cache")
    response.headers["ETag"] = tag
    return response


def _response(content: bytes, kind: str, kept: str) -> web.Response:
    headers = {"Content-Type": kind, "Server": NAME, "Cache-Control": kept, "X-Content-Type-Options": "nosniff"}
    return web.Response(body=content, headers=headers)

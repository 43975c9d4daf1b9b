"""Answers as bytes: rendered once, written as they are, but for their date and the end of the connection."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web
from aiohttp.http import HttpVersion10

from gateway.access.decision import Answer, Endpoint, Outcome, answer
from gateway.access.identity_headers import Rendered
from gateway.serve.answer import NAME

if TYPE_CHECKING:
    from gateway.tokens.grafana_tokens import Minted

_REMOVE: Final = "x-envoy-auth-headers-to-remove"
_CLOSE: Final = b"Connection: close\r\n"
_KEEP: Final = b"Connection: keep-alive\r\n"
_WORDS: Final = {
    Outcome.CHALLENGE: "Log in to see this.",
    Outcome.BAD_CREDENTIALS: "The credentials are not valid.",
    Outcome.BAD_PROXY_CREDENTIALS: "The credentials for the proxy are not valid.",
    Outcome.FORBID: "You may not see this.",
    Outcome.MALFORMED: "The request is malformed.",
    Outcome.UNAVAILABLE: "Whether you may see this cannot be decided now. Please try again.",
    Outcome.THROTTLED: "Too many attempts. Please try again later.",
}
_REFUSED: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>You may not see this</title>
</head>
<body style="margin:10vh auto;max-width:26rem;padding:0 1rem;background:canvas;font-family:system-ui,sans-serif">
<main>
<h1>You may not see this</h1>
<p><a href="{}">Who am I signed in as?</a></p>
</main>
</body>
</html>
"""
"""For whoever is signed in, and may not; the portal tells them more."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int
    head: bytes = field(repr=False)
    """Status line and headers, but for Date and Connection, without the empty line."""
    body: bytes
    token: Minted | None = None
    """What is in it for the application, and has to be made anew some time."""

    def sent(self, now: int, connection: bytes = b"", *, with_body: bool = True) -> bytes:
        """The bytes at a time (seconds since 1970); ``connection`` is a whole header line."""
        return b"".join((self.head, connection, _date_line(now), b"\r\n", self.body if with_body else b""))


class ReadyResponse:
    """What aiohttp takes for a response: everything is rendered already (perf.md C)."""

    def __init__(self, reply: Reply, now: int, *, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self._reply = reply
        self._now = now

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write the answer. Raises ConnectionResetError where the client has gone."""
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError
        connection = b"" if self.keep_alive else _CLOSE
        if self.keep_alive and request.version == HttpVersion10:
            connection = _KEEP
        transport.write(self._reply.sent(self._now, connection, with_body=request.method != "HEAD"))

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""


def passing(endpoint: Endpoint, identity: Rendered, token: Minted | None = None) -> Reply:
    """The answer that lets a request pass, with identity headers; ``token``: what is in one of them."""
    removed = ", ".join(identity.removed) if endpoint is Endpoint.EXT_AUTHZ else ""
    extra = ((_REMOVE, removed),) if removed else ()
    head = _head(200, 0, "", (*answer(Outcome.PASS, endpoint).headers, *extra)) + identity.block
    return Reply(200, head, b"", token)


def refusing(said: Answer, outcome: Outcome) -> Reply:
    """Any other answer, with a line for the person who may see it."""
    headers = dict(said.headers)
    kind = "text/html; charset=utf-8"
    if location := headers.get("Location"):
        body = f'<a href="{html.escape(location)}">Log in</a>\n'
    elif link := headers.get("Link"):
        body = _REFUSED.format(html.escape(link[1 : link.index(">")]))
    else:
        kind, body = "text/plain; charset=utf-8", f"{_WORDS[outcome]}\n"
    return Reply(said.status, _head(said.status, len(body), kind, said.headers), body.encode("ascii"))


def _head(status: int, length: int, kind: str, headers: Sequence[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Server: {NAME}", f"Content-Length: {length}"]
    if kind:
        lines.append(f"Content-Type: {kind}")
    lines += [f"{name}: {value}" for name, value in headers]
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


@lru_cache(maxsize=2)
def _date_line(now: int) -> bytes:
    return f"Date: {formatdate(now, usegmt=True)}\r\n".encode("ascii")

"""Reads requests of the plainest shape, and no others: what proxies send whole, for the fast path. Pure.

Everything in which two readers of HTTP could differ is left to aiohttp's parser: bodies, upgrades, expectations,
``Connection``, repeated or unusual headers, blanks around values, octets beyond ASCII.
"""

from __future__ import annotations

import re
from typing import Final

from multidict import CIMultiDict

MOST_HEADERS: Final = 32
"""The least that ``http.max_headers`` may be."""
_LINE: Final = re.compile(r"(GET|HEAD) (/api/authz/[!-\"$-~]*) HTTP/1\.1")
_HEADER: Final = re.compile(r"^([A-Za-z][A-Za-z0-9-]{0,63}): ((?:[!-~](?:[ -~]*[!-~])?)?)\r\n", re.MULTILINE)
_HOST: Final = re.compile(r"[A-Za-z0-9.:-]{1,255}")
_REPEATED: Final = frozenset({"cookie", "x-forwarded-for"})
"""Headers that may be there twice."""
_OTHERS: Final = re.compile(
    r"\n(?:connection|keep-alive|proxy-connection|transfer-encoding|te|trailer|expect|upgrade|http2-settings"
    # Envoy says of requests without a body that it has no octets.
    r"|sec-websocket-|content-(?!length: 0\r))",
    re.IGNORECASE,
)

_CUTS: Final = {
    b"a": (b"\r\nX-Original-URL: ", b"\r\n"),
    b"f": (b"\r\nX-Forwarded-Uri: ", b"\r\n"),
    b"e": (b" /api/authz/ext-authz", b" HTTP/1.1\r\n"),
}
"""Between what the URL stands that an endpoint is asked about, by the first letter of the endpoint."""
_URL: Final = re.compile(rb"[!-\"$-~]+")


def cut_url(data: bytes, endpoint: bytes) -> tuple[bytes, str]:
    """A request without the URL that it asks about, and that URL; both empty where there is none of a plain form.

    ``endpoint`` is the first letter of its name. What is left of two requests is the same only if either is read as
    the other but for the URL, provided that one of them is of the plainest shape.
    """
    if endpoint not in _CUTS:
        return b"", ""
    before, after = _CUTS[endpoint]
    # Only ever the first place: at a later one the client could have put what is left of another request.
    place = data.find(before)
    start = place + len(before)
    end = data.find(after, start)
    url = _URL.fullmatch(data, start, end) if place >= 0 and end >= 0 else None
    return (data[:start] + data[end:], url[0].decode("ascii")) if url else (b"", "")


def read_plain(data: bytes) -> tuple[str, str, CIMultiDict[str]] | None:
    """Method, target and headers of one whole request; None where it is not of the plainest shape."""
    if not data.isascii() or not data.endswith(b"\r\n\r\n"):
        return None
    first, _, lines = data[:-2].decode("ascii").partition("\r\n")
    line = _LINE.fullmatch(first)
    if line is None or _OTHERS.search(f"\n{lines}"):
        return None
    found: list[tuple[str, str]] = _HEADER.findall(lines)
    names = [name.lower() for name, _ in found]
    # Each match is one line from its beginning to its end, so there is nothing else.
    if len(found) != lines.count("\n") or len(found) != lines.count("\r") or len(found) > MOST_HEADERS:
        return None
    if len(set(names)) != len(names) and any(names.count(name) > 1 for name in set(names) - _REPEATED):
        return None
    headers = CIMultiDict(found)
    return (line[1], line[2], headers) if _HOST.fullmatch(headers.get("Host", "")) else None

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

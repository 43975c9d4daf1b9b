"""The target of a request as it came over the wire; aiohttp decodes too early to decide anything on (DECISIONS 28)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

_ABSOLUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")


@dataclass(frozen=True, slots=True)
class RawTarget:
    """Path and query, both undecoded."""

    path: str
    query: str


def parse_target(raw: str) -> RawTarget:
    """Cut a request target (RFC 9112 3.2): the absolute form loses its authority, a fragment is dropped."""
    without_fragment = raw.partition("#")[0]
    # Matched at the beginning only: a search would begin anew at every letter of a long path.
    absolute = _ABSOLUTE.match(without_fragment)
    path, _, query = without_fragment[absolute.end() if absolute else 0 :].partition("?")
    return RawTarget(path or "/", query)


def percent_decoded(part: str) -> str:
    """A part of a raw path, decoded once (RFC 3986 2.1). Raises UnicodeError where that is not UTF-8."""
    # Octets that are not ASCII come as surrogates where they are no UTF-8.
    return unquote_to_bytes(part.encode("utf-8", "surrogateescape")).decode()

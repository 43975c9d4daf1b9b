"""The target of a request as it came over the wire; aiohttp decodes too early to decide anything on (DECISIONS 28)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

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

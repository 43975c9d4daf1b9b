"""Where a personal token may be used: hosts and paths (forward-auth.md 7)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .hosts import MalformedHost, is_within, parse_host
from .target import Target

MOST: Final = 20
"""Hosts, and paths, of one token."""
_PATH: Final = re.compile(r"/[^?#%\\\s;]{0,255}")


@dataclass(frozen=True, slots=True)
class Limits:
    """Hosts and paths of one token, in their one form; empty: all."""

    hosts: tuple[str, ...] = ()
    """``app.example.com``, or ``*.example.com`` for every name below."""
    paths: tuple[str, ...] = ()
    """``/api`` is itself and everything below it."""

    def allow(self, target: Target) -> bool:
        """Whether a target lies within, however its path is read."""
        if self.hosts and not any(_is_host(target.host, host) for host in self.hosts):
            return False
        readings = (target.path, *target.variants)
        return not self.paths or all(any(_is_below(path, limit) for limit in self.paths) for path in readings)


def parse_limits(hosts: Sequence[str], paths: Sequence[str]) -> Limits:
    """Limits as somebody wrote them. Raises ValueError, whose text is for them."""
    if len(hosts) > MOST or len(paths) > MOST:
        raise ValueError(f"at most {MOST} hosts and {MOST} paths")
    try:
        parsed = [("*." if host.startswith("*.") else "") + parse_host(host.removeprefix("*.")) for host in hosts]
    except MalformedHost:
        raise ValueError("expected hosts such as app.example.com or *.example.com, without a port") from None
    for path in paths:
        if not _PATH.fullmatch(path) or any(segment in (".", "..") for segment in path.split("/")) or "//" in path:
            raise ValueError("expected paths such as /api, without query, % and dots as segments")
    return Limits(tuple(dict.fromkeys(parsed)), tuple(dict.fromkeys(path.rstrip("/") or "/" for path in paths)))


def _is_host(host: str, limit: str) -> bool:
    if limit.startswith("*."):
        return host != limit[2:] and is_within(host, limit[2:])
    return host == limit


def _is_below(path: str, limit: str) -> bool:
    return limit == "/" or path == limit or path.startswith(f"{limit}/")

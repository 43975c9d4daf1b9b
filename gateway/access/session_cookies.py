"""Session cookies: which one a host gets, how it is written, and how it is found again (forward-auth.md 6, 9)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from .hosts import MalformedHost, is_name, is_within, parse_authority, parse_host

HOST_COOKIE: Final = "__Host-gw"
"""For one host alone: browsers take it from https and without ``Domain`` only."""
DOMAIN_COOKIE: Final = "__Secure-gw"
"""For all hosts of a domain: browsers take it from https only."""
MOST_CANDIDATES: Final = 4
"""Cookies of one name that are looked up; nested domains make duplicates, and so does a stranger."""
_VALUE: Final = r"[A-Za-z0-9_-]{43}"
"""32 octets in base64url (configuration.md 3)."""
_END: Final = r"(?=;|$|,\s{0,8}[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}=)"
"""HAProxy's Lua joins Cookie lines by a comma; a comma within a value is left alone."""
_SECOND_LEVEL: Final = re.compile(r"(?:ac|com?|edu|gob|gouv?|mil|net?|org?|sch)\.[a-z]{2}")
"""``co.uk``, ``com.au`` and their like."""
_SHARED: Final = re.compile(
    r"(?:amplifyapp|appspot|blogspot|firebaseapp|herokuapp|onrender|trycloudflare)\.com|(?:fly|pages|workers)\.dev"
    r"|(?:azurewebsites|cloudapp|cloudfront)\.net|(?:dyndns|duckdns|no-ip)\.org|(?:github|gitlab|ngrok|nip|sslip)\.io"
    r"|(?:netlify|ngrok-free|vercel|web)\.app|readthedocs\.io|glitch\.me"
)
"""The best known domains below which strangers live."""


@dataclass(frozen=True, slots=True)
class CookieScope:
    """Where one session cookie goes."""

    portal_url: str
    """Address of the portal that sets it, without a slash at the end."""
    host: str
    """The domain, or the one host."""
    domain: str = ""
    """The ``Domain`` attribute; empty: the one host."""

    @property
    def name(self) -> str:
        """Name of the cookie."""
        return DOMAIN_COOKIE if self.domain else HOST_COOKIE

    def set_cookie(self, value: str, max_age: int | None = None) -> str:
        """The ``Set-Cookie`` value; ``max_age`` in seconds, None: until the browser closes, 0: forget it."""
        domain = f"; Domain={self.domain}" if self.domain else ""
        age = "" if max_age is None else f"; Max-Age={max_age}"
        return f"{self.name}={value}; Path=/{domain}{age}; HttpOnly; Secure; SameSite=Lax"

    def clear_cookie(self) -> str:
        """The ``Set-Cookie`` value that makes a browser forget it."""
        return self.set_cookie("", 0)


class CookieScopes:
    """The scopes of one configuration."""

    def __init__(self, domains: Iterable[tuple[str, str]], public_url: str) -> None:
        """``domains`` are pairs of domain and portal URL; without any, the host of ``public_url`` is all there is.

        Raises MalformedHost.
        """
        scopes = [CookieScope(url.rstrip("/"), parse_host(domain), parse_host(domain)) for domain, url in domains]
        if not scopes:
            scopes = [CookieScope(public_url.rstrip("/"), _host_of(public_url))]
        # The narrowest first: nested domains keep their own sessions.
        self._scopes = tuple(sorted(scopes, key=lambda scope: len(scope.host), reverse=True))

    @property
    def all(self) -> Sequence[CookieScope]:
        """Every scope, the narrowest first."""
        return self._scopes

    def for_host(self, host: str) -> CookieScope | None:
        """The scope of a host in its one form; None: no login of ours reaches it."""
        for scope in self._scopes:
            if host == scope.host or (scope.domain and is_within(host, scope.domain)):
                return scope
        return None


def session_values(lines: Sequence[str], name: str) -> tuple[str, ...]:
    """What may be session ids among all lines of ``Cookie``, each once, in order; anything of another form is nobody's.

    A cookie that cannot be read is no cookie: the answer to it is that to somebody anonymous (CVE-2026-25748).
    """
    found: dict[str, None] = {}
    for line in lines:
        # Looked for, not taken apart: lines may be long, and strangers write them.
        for match in _pair(name).finditer(line) if name in line else ():
            found[match[1]] = None
            if len(found) == MOST_CANDIDATES:
                return tuple(found)
    return tuple(found)


@lru_cache(maxsize=8)
def _pair(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?:^|[;,])\s*{re.escape(name)}\s{{0,8}}=\s{{0,8}}({_VALUE})\s{{0,8}}{_END}", re.ASCII)


def domain_problem(domain: str) -> str:
    """Why browsers would refuse a cookie for a domain, or strangers get it; empty where neither.

    Browsers hold the list of public suffixes and refuse such cookies themselves; this finds the common ones early.
    """
    try:
        host = parse_host(domain)
    except MalformedHost:
        return "expected a domain such as example.com, without a dot in front"
    if not is_name(host):
        return "browsers take no cookie for an IP address: leave session.cookies empty for a single host"
    if "." not in host:
        return "browsers take no cookie for a name without a dot: leave session.cookies empty for a single host"
    if _SECOND_LEVEL.fullmatch(host) or _SHARED.fullmatch(host):
        return "is a public suffix, below which strangers live: browsers take no cookie for it"
    return ""


def _host_of(url: str) -> str:
    return parse_authority(urlsplit(url).netloc)[0]

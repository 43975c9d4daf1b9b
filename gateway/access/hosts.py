"""Hosts and authorities of URLs in one comparable form (forward-auth.md 3.3).

Proxies pass on what the client typed: capitals, a trailing dot, a default port. Two spellings of one host must never
meet two rules.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final

import idna

LONGEST: Final = 255
"""Characters of a host, as it is presented."""
DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_LABEL: Final = re.compile(r"[a-z0-9_-]{1,63}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)
"""A last label of this form makes browsers read the whole host as an IPv4 address (URL standard, host parsing)."""
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{1,5}))?", re.ASCII)


class MalformedHost(ValueError):
    """Not a host name, nor an address; the text says why and never repeats it."""


@lru_cache(maxsize=1024)
def _parse(text: str) -> str:
    host = (text if text.isascii() else _to_ascii(text)).lower().removesuffix(".")
    try:
        if host.startswith("["):
            return f"[{IPv6Address(host[1:-1])}]"
        labels = host.split(".")
        if _NUMBER.fullmatch(labels[-1]):
            return str(IPv4Address(host))
    except ValueError:
        raise MalformedHost("the host is not an IP address in its usual form") from None
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise MalformedHost("the host is not a name of letters, digits, hyphens and dots")
    return host


def parse_host(text: str) -> str:
    """A host name or address, without port, in its one form: lower case, ASCII, no trailing dot, IPv6 in brackets.

    Raises MalformedHost.
    """
    if len(text) > LONGEST:
        raise MalformedHost("the host is too long")
    return _parse(text)


def parse_authority(text: str) -> tuple[str, int | None]:
    """Host in its one form, and port; None where none is written. Raises MalformedHost."""
    found = _AUTHORITY.fullmatch(text) if len(text) <= LONGEST + 6 else None
    if found is None:
        raise MalformedHost("expected a host, maybe with a port")
    port = int(found[2]) if found[2] else None
    if port is not None and not 0 < port < 65536:
        raise MalformedHost("the port is out of range")
    return parse_host(found[1]), port


def is_name(host: str) -> bool:
    """Whether a host in its one form is a name, not an address."""
    return not host.startswith("[") and not host.rpartition(".")[2].isdigit()


def is_within(host: str, domain: str) -> bool:
    """Whether a host is a domain or a name below it; both in their one form, so labels are never cut in two."""
    return host == domain or host.endswith(f".{domain}")


def _to_ascii(text: str) -> str:
    """As browsers do it (UTS 46, non-transitional): IDNA 2003 would take ``straße`` for ``strasse``."""
    try:
        return idna.encode(text, uts46=True, std3_rules=True).decode("ascii")
    except UnicodeError:
        raise MalformedHost("the host is not a name that IDNA can write") from None

"""Where the gateway listens, and where a directory server answers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

_TCP: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([^\s\[\]:/]*)):(\d{1,5})", re.ASCII)
_HTTPS: Final = "https://"
_HOST: Final = re.compile(r"(?:\[([^\[\]\s]+)\]|([^\s\[\]]+?))(?::(\d{1,5}))?", re.ASCII)

Tls = Literal["none", "ldaps", "starttls"]
Endpoint = tuple[str, int, Tls]
"""Host (an IPv6 address without brackets), port, and how TLS begins."""


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A TCP listener. ``host`` is a name or an address without brackets; empty means every interface."""

    host: str
    port: int
    tls: bool = False
    """Whether it speaks HTTPS; what with is said in ``tls``."""

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    def __str__(self) -> str:
        place = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        return f"{_HTTPS}{place}" if self.tls else place


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A unix socket listener."""

    path: Path

    @property
    def loopback(self) -> bool:
        """Always true: a socket file is reached from this machine alone."""
        return True

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address = TcpAddress | UnixAddress


def parse_address(text: str) -> Address:
    """``host:port``, ``[v6]:port``, either behind ``https://``, or ``unix:PATH``. Port 0 lets the system choose.

    :raises ValueError: for anything else.
    """
    if text.startswith("unix:"):
        path = Path(text.removeprefix("unix:"))
        if not path.name or len(bytes(path)) > 107:
            raise ValueError("expected a path of at most 107 bytes after unix:")
        return UnixAddress(path)
    found = _TCP.fullmatch(text.removeprefix(_HTTPS))
    if found is None or int(found[3]) > 65535 or not _plain_host(found[1] or found[2], bracketed=bool(found[1])):
        raise ValueError("expected host:port, [v6]:port, https://host:port or unix:PATH")
    return TcpAddress(found[1] or found[2], int(found[3]), tls=text.startswith(_HTTPS))


def parse_url(text: str, *, start_tls: bool) -> Endpoint:
    """An ``ldap://`` or ``ldaps://`` URL as an endpoint; ``start_tls`` concerns ``ldap://`` alone.

    :raises ValueError: for another scheme, a path, a query or a name in front of an ``@``.
    """
    parts = urlsplit(text)
    if parts.scheme.lower() not in ("ldap", "ldaps"):
        raise ValueError("expected an URL that starts with ldap:// or ldaps://")
    if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("expected only a host and a port in the URL")
    secure = parts.scheme.lower() == "ldaps"
    host, port = split_host(parts.netloc)
    return host, port or (636 if secure else 389), "ldaps" if secure else "starttls" if start_tls else "none"


def split_host(text: str) -> tuple[str, int]:
    """Host and port (0 where none is written) of ``host``, ``host:port``, ``v6``, ``[v6]`` or ``[v6]:port``.

    :raises ValueError: for an empty host, bad brackets or a port out of range.
    """
    if text.count(":") > 1 and "[" not in text and _plain_host(text, bracketed=True):
        return text, 0
    found = _HOST.fullmatch(text)
    port = int(found[3] or 0) if found else 0
    if found is None or port > 65535 or not _plain_host(found[1] or found[2], bracketed=bool(found[1])):
        raise ValueError("expected a host, host:port, or an IPv6 address in brackets")
    return found[1] or found[2], port


def _plain_host(host: str, *, bracketed: bool) -> bool:
    if not bracketed:
        return re.fullmatch(r"[^\s/:@%?#\"'\\]*", host) is not None
    try:
        return ip_address(host).version == 6
    except ValueError:
        return False

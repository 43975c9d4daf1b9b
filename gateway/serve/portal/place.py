"""Where the portal stands: one address for each session cookie, all of them this daemon (forward-auth.md 8, 9)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, urlsplit

from aiohttp import web

from gateway.access.client_address import UNIX_PEER, is_trusted, parse_address
from gateway.access.hosts import DEFAULT_PORTS, MalformedHost, is_name, is_within, parse_authority, parse_host
from gateway.serve.client import peer_of
from gateway.serve.portal.pages import Site

if TYPE_CHECKING:
    from gateway.access.session_cookies import CookieScope
    from gateway.config.schema import Configuration
    from gateway.runtime import Live


@dataclass(frozen=True, slots=True)
class Place:
    """The portal at one of its hosts."""

    scopes: tuple[CookieScope, ...]
    """Whose cookies are set here, at least one."""
    origins: frozenset[str]
    """From where its own pages send their forms."""
    site: Site


class Places:
    """All places of the portal under one snapshot."""

    def __init__(self, live: Live) -> None:
        self._access = live.access
        self._trusted = live.access.trusted
        self.form_targets = tuple(_form_targets(live.configuration))
        title, version = live.configuration.portal.title, live.configuration.conjur.version
        by_host: dict[str, list[CookieScope]] = {}
        for scope in live.access.scopes.all:
            by_host.setdefault(_host_of(scope.portal_url), []).append(scope)
        self._places = {host: _place(scopes, title, version) for host, scopes in by_host.items()}
        parts = [urlsplit(scope.portal_url) for scope in live.access.scopes.all]
        self._https = {_authority(part.netloc) for part in parts if part.scheme == "https"}
        usual = self._of_host(_host_of(live.configuration.public_url))
        self._usual = usual or next(iter(self._places.values()))

    @property
    def hosts(self) -> frozenset[str]:
        """Hosts of the portal."""
        return frozenset(self._places)

    def of(self, request: web.BaseRequest) -> Place:
        """The place at which a request came in, by its Host, else by what a proxy of ours says of it.

        It only chooses among our own addresses: browsers refuse the cookie of another. Raises MalformedAddress.
        """
        for host, _ in self._authorities(request):
            if (found := self._of_host(host)) is not None:
                return found
        return self._usual

    def is_plain(self, request: web.BaseRequest) -> bool:
        """Whether a page came by http, as far as can be told: a proxy that ends TLS may keep that to itself, so one of
        our https addresses is believed to be one. Raises MalformedAddress.
        """
        if request.transport is not None and request.transport.get_extra_info("ssl_object") is not None:
            return False
        if any(authority in self._https for authority in self._authorities(request)):
            return False
        told = request.headers.getall("X-Forwarded-Proto", []) if self._is_proxy(peer_of(request)) else []
        return "https" not in ",".join(told).lower()

    def scope_for(self, place: Place, way_back: str) -> CookieScope:
        """The cookie that a login at a place gives to whoever wants to go to a URL."""
        host = urlsplit(way_back).netloc
        try:
            scope = self._access.scopes.for_host(parse_authority(host)[0]) if host else None
        except MalformedHost:
            scope = None
        return scope if scope is not None and scope in place.scopes else place.scopes[0]

    def _authorities(self, request: web.BaseRequest) -> list[tuple[str, int]]:
        """Under which hosts and ports a request came in, as far as they can be read."""
        names = request.headers.getall("Host", [])
        if self._is_proxy(peer_of(request)):
            names = [*names, *request.headers.getall("X-Forwarded-Host", [])]
        return [authority for name in names if (authority := _authority(name)) is not None]

    def _of_host(self, host: str) -> Place | None:
        if host in self._places:
            return self._places[host]
        scope = self._access.scopes.for_host(host)
        return None if scope is None else self._places[_host_of(scope.portal_url)]

    def _is_proxy(self, peer: str) -> bool:
        return peer == UNIX_PEER or is_trusted(parse_address(peer), self._trusted)


def is_loopback(request: web.BaseRequest) -> bool:
    """Whether the page's host is the browser's own machine, which browsers trust without TLS (Secure Contexts 3.1)."""
    host, _ = _authority(request.headers.get("Host", "")) or ("", 0)
    return is_within(host, "localhost") or (not is_name(host) and host.startswith(("127.", "[::1]")))


def _authority(text: str) -> tuple[str, int] | None:
    """Host and port, 443 where none is written; None where it cannot be read."""
    try:
        host, port = parse_authority(text)
    except MalformedHost:
        return None
    return host, port or DEFAULT_PORTS["https"]


def _place(scopes: list[CookieScope], title: str, version: str) -> Place:
    parts = [urlsplit(scope.portal_url) for scope in scopes]
    site = Site(parts[0].path.rstrip("/"), title, version)
    return Place(tuple(scopes), frozenset(map(_origin_of, parts)), site)


def _form_targets(configuration: Configuration) -> Iterator[str]:
    """Sources to which a login may lead."""
    control = configuration.access_control
    hosts = [parse_host(host) for host in control.redirect_hosts]
    for domain in (parse_host(cookie.domain) for cookie in configuration.session.cookies):
        hosts += domain, f"*.{domain}"
    ports = ("", *(f":{port}" for port in control.redirect_ports))
    schemes = ("https", "http") if control.allow_insecure_targets else ("https",)
    for host in hosts:
        # Sources know IPv4 addresses and names alone (CSP 3, 2.3.1).
        if not host.startswith("["):
            yield from (f"{scheme}://{host}{port}" for scheme in schemes for port in ports)
    usual = urlsplit(control.default_redirect)
    if usual.netloc:
        yield f"{usual.scheme}://{usual.netloc}"


def _origin_of(parts: SplitResult) -> str:
    """As browsers write it: in lower case, without the scheme's own port."""
    host, port = parse_authority(parts.netloc)
    return f"{parts.scheme}://{host}" + ("" if port in (None, DEFAULT_PORTS[parts.scheme]) else f":{port}")


def _host_of(url: str) -> str:
    return parse_authority(urlsplit(url).netloc)[0]

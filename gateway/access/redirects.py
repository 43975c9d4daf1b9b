"""Where people may be sent after a login (forward-auth.md 8). To be asked again at every use."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from .hosts import DEFAULT_PORTS, MalformedHost, is_within, parse_authority, parse_host

LONGEST: Final = 2048
"""Characters of a return URL."""
LONGEST_LOCATION: Final = 3072
"""Characters of the address of the portal with a return URL in it: proxies give all headers of an answer 4 KiB."""
_PRINTABLE: Final = re.compile(r"[!-~]+")
_ABSOLUTE: Final = re.compile(r"(https?)://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_HIDDEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\]|/[\s.]*/")
"""What browsers leave out, turn round, or resolve: behind any of it a path may become a host."""
_METHOD: Final = re.compile(r"[A-Z]{1,20}", re.ASCII)


class ReturnUrls:
    """The return URLs that one configuration allows."""

    def __init__(
        self,
        domains: Iterable[str],
        hosts: Iterable[str],
        ports: Collection[int] = (),
        portals: Iterable[str] = (),
        *,
        insecure: bool = False,
    ) -> None:
        """``domains`` with everything below them, ``hosts`` exactly, ``ports`` besides those of the schemes.

        ``portals`` are our own addresses, allowed as they stand. ``insecure`` allows ``http``. Raises MalformedHost.
        """
        self._domains = tuple(map(parse_host, domains))
        self._hosts = frozenset(map(parse_host, hosts))
        self._ports = frozenset(ports)
        self._own = frozenset(map(_origin, portals))
        self._schemes = ("https", "http") if insecure else ("https",)

    def allow(self, text: str) -> bool:
        """Whether a return URL, decoded once as form fields are, may be followed."""
        if len(text) > LONGEST or _PRINTABLE.fullmatch(text) is None or "\\" in text:
            return False
        return _is_local(text) if text.startswith("/") else self._is_known(text)

    def _is_known(self, text: str) -> bool:
        found = _ABSOLUTE.fullmatch(text)
        if found is None:
            return False
        scheme = found[1].lower()
        try:
            host, port = parse_authority(found[2])
        except MalformedHost:
            return False
        port = port or DEFAULT_PORTS[scheme]
        if (scheme, host, port) in self._own:
            return True
        if scheme not in self._schemes or not (port == DEFAULT_PORTS[scheme] or port in self._ports):
            return False
        return host in self._hosts or any(is_within(host, domain) for domain in self._domains)


def login_location(portal_url: str, url: str, method: str, allowed: ReturnUrls) -> str:
    """The address of the login page that leads back to ``url``; to the host's root where the whole of it may not be.

    ``method`` is for the page's information alone: the way back is always a GET.
    """
    if not allowed.allow(url):
        parts = urlsplit(url)
        url = f"{parts.scheme}://{parts.netloc}/"
    location = f"{portal_url}/login?rd={quote(url, safe='/:?@~,')}"
    if len(location) > LONGEST_LOCATION:
        return login_location(portal_url, url[: url.index("/", 8) + 1], method, allowed)
    return location if method == "GET" or not _METHOD.fullmatch(method) else f"{location}&rm={method}"


def _is_local(text: str) -> bool:
    """A path that stays a path in every browser; what it holds percent-encoded is looked at, too."""
    path = re.split("[?#]", text, maxsplit=1)[0]
    return not any(_HIDDEN.search(form) or form.startswith("//") for form in (path, unquote(path)))


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    host, port = parse_authority(parts.netloc)
    return parts.scheme, host, port or DEFAULT_PORTS[parts.scheme]

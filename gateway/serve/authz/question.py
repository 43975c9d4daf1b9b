"""From a proxy's request to the question in it: which target, whose, from where (forward-auth.md 1-3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from multidict import CIMultiDict, CIMultiDictProxy, istr

from gateway.access.client_address import (
    LONGEST,
    UNIX_PEER,
    Address,
    Network,
    client_address,
    is_trusted,
    parse_address,
)
from gateway.access.decision import Endpoint
from gateway.access.target import Target, auth_request_target, ext_authz_target, forward_auth_target

PREFIX: Final = "/api/authz/"
REMEMBERED: Final = 4096
"""Clients that are remembered."""
_EXT_AUTHZ: Final = PREFIX + Endpoint.EXT_AUTHZ
_ENDPOINTS: Final = {PREFIX + endpoint: endpoint for endpoint in Endpoint}

Headers = CIMultiDictProxy[str] | CIMultiDict[str]

_URL: Final = istr("X-Original-URL")
_ORIGINAL_METHOD: Final = istr("X-Original-Method")
_METHOD: Final = istr("X-Forwarded-Method")
_SCHEME: Final = istr("X-Forwarded-Proto")
_AUTHORITY: Final = istr("X-Forwarded-Host")
_URI: Final = istr("X-Forwarded-Uri")
_HOST: Final = istr("Host")
FORWARDED_FOR: Final = istr("X-Forwarded-For")
_NONE: Final[Sequence[str]] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """May this request pass?"""

    endpoint: Endpoint
    target: Target
    client: Address | None
    """None where only a unix socket is known of it."""
    headers: Headers
    """Those of the request that asks, in which the proxy sent the client's on."""


class Clients:
    """Which peers are proxies of ours, and whom they speak for; found once for each, as it is asked every time."""

    def __init__(self, trusted: Sequence[Network]) -> None:
        self._trusted = trusted
        self._is_proxy = lru_cache(maxsize=256)(self._find_proxy)
        self._one = lru_cache(maxsize=REMEMBERED)(self._find)

    def is_proxy(self, peer: str) -> bool:
        """Whether to answer a peer at all. Raises MalformedAddress."""
        return self._is_proxy(peer)

    def client(self, peer: str, forwarded_for: Sequence[str]) -> Address | None:
        """The client behind a proxy of ours. Raises MalformedAddress."""
        if len(forwarded_for) == 1 and len(forwarded_for[0]) <= LONGEST:
            return self._one(peer, forwarded_for[0])
        return self._find(peer, *forwarded_for)

    def _find_proxy(self, peer: str) -> bool:
        return peer == UNIX_PEER or is_trusted(parse_address(peer), self._trusted)

    def _find(self, peer: str, *forwarded_for: str) -> Address | None:
        return client_address(peer, forwarded_for, self._trusted)


def endpoint_of(path: str) -> Endpoint | None:
    """The endpoint of an undecoded path; Envoy appends the path that it asks about."""
    if (known := _ENDPOINTS.get(path)) is not None:
        return known
    return Endpoint.EXT_AUTHZ if path.startswith(f"{_EXT_AUTHZ}/") else None


def read_question(
    endpoint: Endpoint,
    method: str,
    raw_target: str,
    headers: Headers,
    client: Address | None,
    *,
    insecure: bool,
) -> Question:
    """Read what a proxy of ours asks. Each endpoint knows one family of headers, and no query of its own.

    ``raw_target`` is the request target as it came. Raises Malformed.
    """
    return Question(endpoint, _target(endpoint, method, raw_target, headers, insecure=insecure), client, headers)


def _target(endpoint: Endpoint, method: str, raw_target: str, headers: Headers, *, insecure: bool) -> Target:
    def lines(name: istr) -> Sequence[str]:
        return headers.getall(name, _NONE)

    match endpoint:
        case Endpoint.AUTH_REQUEST:
            return auth_request_target(lines(_URL), lines(_ORIGINAL_METHOD), insecure=insecure)
        case Endpoint.FORWARD_AUTH:
            return forward_auth_target(
                lines(_METHOD), lines(_SCHEME), lines(_AUTHORITY), lines(_URI), insecure=insecure
            )
        case Endpoint.EXT_AUTHZ:
            uri = raw_target.removeprefix(_EXT_AUTHZ)
            return ext_authz_target(method, lines(_SCHEME), lines(_HOST), uri, insecure=insecure)

"""The address of the client behind a request, for lockout and audit."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from aiohttp import web

from gateway.access.client_address import UNIX_PEER, Address, MalformedAddress, Network, client_address


def client_of(request: web.BaseRequest, trusted: Sequence[Network]) -> Address | None:
    """Find the client of a request. Raises MalformedAddress."""
    return client_address(peer_of(request), request.headers.getall("X-Forwarded-For", []), trusted)


def peer_of(request: web.BaseRequest) -> str:
    """Address of the TCP peer, or UNIX_PEER.

    Raises MalformedAddress for a TCP peer that has gone and left no address: it must not pass for a unix peer, whom
    everything is believed.
    """
    transport = request.transport
    connection = transport.get_extra_info("socket") if transport is not None else None
    if connection is not None and connection.family == socket.AF_UNIX:
        return UNIX_PEER
    if not request.remote:
        raise MalformedAddress("the client has gone")
    return request.remote

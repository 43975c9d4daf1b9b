"""Who is calling: the client's address behind trusted proxies (forward-auth.md section 2)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

_PORT = r"(?::\d{1,5})?"
_ZONE = r"(?:%[\w.-]+)?"
_ELEMENT = re.compile(
    rf"\[(?P<bracketed>[0-9a-f:.]+){_ZONE}\]{_PORT}|(?P<four>[0-9.]+){_PORT}|(?P<six>[0-9a-f:.]+){_ZONE}",
    re.ASCII | re.IGNORECASE,
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LONGEST = 64
"""Characters of an element: an IPv6 address with brackets, zone and port. What is remembered must be bounded."""
_NO_ADDRESS = "X-Forwarded-For holds an element that is not an IP address"
MOST = 100
"""Elements of all ``X-Forwarded-For`` lines together; no way is that long."""
UNIX_PEER = ""
"""What stands for the peer of a unix socket, which is always trusted."""


class MalformedAddress(ValueError):
    """A trusted proxy forwarded something that is no address: answer 400, never "no restriction"."""


def parse_address(text: str) -> Address:
    """Read one element of ``X-Forwarded-For``: an address, maybe with brackets, a port or an IPv6 zone.

    An IPv4-mapped IPv6 address is the IPv4 address. Raises MalformedAddress.
    """
    if len(text) > LONGEST:
        raise MalformedAddress(_NO_ADDRESS)
    return _parse(text)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Address:
    match = _ELEMENT.fullmatch(text.strip())
    try:
        address = ipaddress.ip_address(match["bracketed"] or match["four"] or match["six"] if match else "")
    except ValueError:
        raise MalformedAddress(_NO_ADDRESS) from None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def is_trusted(address: Address, trusted: Iterable[Network]) -> bool:
    """Say whether an address lies in one of the networks."""
    return any(address.version == network.version and address in network for network in trusted)


class NetworkSet:
    """Networks prepared for looking an address up: comparing numbers costs a tenth of asking each network."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._ranges: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
        for network in networks:
            first, last = int(network.network_address), int(network.broadcast_address)
            self._ranges[network.version].append((first, last))

    def __contains__(self, address: Address) -> bool:
        number = int(address)
        return any(first <= number <= last for first, last in self._ranges[address.version])


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> Address | None:
    """Find the client's address.

    ``peer`` is the TCP peer's address or UNIX_PEER; ``forwarded_for`` are the ``X-Forwarded-For`` lines in order. From
    the right, trusted addresses are skipped and the first other one is the client; when all are trusted, the leftmost.
    None: a unix peer that forwarded nothing. Raises MalformedAddress.
    """
    current = None if peer == UNIX_PEER else parse_address(peer)
    if current is not None and not is_trusted(current, trusted):
        return current
    elements = [element for line in forwarded_for for element in line.split(",") if element.strip()]
    if len(elements) > MOST:
        raise MalformedAddress("X-Forwarded-For holds too many elements")
    for element in reversed(elements):
        current = parse_address(element)
        if not is_trusted(current, trusted):
            break
    return current

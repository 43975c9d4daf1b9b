"""forward-auth.md 2: the client's address behind trusted proxies."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from gateway.access.client_address import UNIX_PEER, MalformedAddress, client_address, parse_address

TRUSTED = [ip_network("127.0.0.1/32"), ip_network("::1/128"), ip_network("10.0.0.0/8")]

# peer, X-Forwarded-For lines, expected client
CLIENTS = [
    ("203.0.113.9", [], "203.0.113.9"),
    ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # an untrusted peer's header is ignored
    ("203.0.113.9", ["garbage"], "203.0.113.9"),
    ("127.0.0.1", [], "127.0.0.1"),
    ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
    ("127.0.0.1", ["198.51.100.1, 10.1.2.3"], "198.51.100.1"),  # trusted hops are skipped from the right
    ("127.0.0.1", ["6.6.6.6, 198.51.100.1, 10.1.2.3"], "198.51.100.1"),  # what the client forged stays left
    ("127.0.0.1", ["6.6.6.6", "198.51.100.1", "10.1.2.3"], "198.51.100.1"),  # lines are joined in order
    ("127.0.0.1", ["10.0.0.1, 10.0.0.2"], "10.0.0.1"),  # all trusted: the leftmost
    ("::1", ["2001:db8::7"], "2001:db8::7"),
    ("::1", ["[2001:db8::7]:443"], "2001:db8::7"),
    ("::1", ["[2001:db8::7]"], "2001:db8::7"),
    ("::ffff:127.0.0.1", ["198.51.100.1:5555"], "198.51.100.1"),  # mapped IPv4 is IPv4
    ("127.0.0.1", ["::ffff:198.51.100.1"], "198.51.100.1"),
    ("127.0.0.1", ["fe80::1%eth0"], "fe80::1"),
    (UNIX_PEER, ["198.51.100.1"], "198.51.100.1"),  # a unix peer is trusted
    (UNIX_PEER, [], None),
    ("127.0.0.1", [" , 198.51.100.1 , "], "198.51.100.1"),
    ("127.0.0.1", ["garbage, 198.51.100.1"], "198.51.100.1"),  # left of the client nothing is looked at
]


@pytest.mark.parametrize(("peer", "lines", "expected"), CLIENTS)
def test_client(peer: str, lines: list[str], expected: str | None) -> None:
    assert client_address(peer, lines, TRUSTED) == (ip_address(expected) if expected else None)


@pytest.mark.parametrize(
    "element",
    ["garbage", "1.2.3", "1.2.3.4.5", "1.2.3.4:port", "[::1", "[::1]x", "unknown", "_hidden", "1.2.3.4:999999", "a" * 999],
)
def test_what_is_no_address_is_refused(element: str) -> None:
    with pytest.raises(MalformedAddress) as refused:
        client_address("127.0.0.1", [element], TRUSTED)
    assert element not in str(refused.value)
    with pytest.raises(MalformedAddress):
        parse_address(element)

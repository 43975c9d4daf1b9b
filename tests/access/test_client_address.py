"""forward-auth.md 2: the client's address behind trusted proxies."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from gateway.access.client_address import UNIX_PEER, MalformedAddress, NetworkSet, client_address, parse_address

BAD = "refused"
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
    ("127.0.0.1", ["127.0.0.1"], "127.0.0.1"),
    ("127.0.0.1", ["::1"], "::1"),
    ("127.0.0.1", ["10.255.255.255, 9.255.255.255"], "9.255.255.255"),  # both edges of a network
    ("127.0.0.1", ["9.9.9.9, 10.0.0.0"], "9.9.9.9"),
    ("127.0.0.1", ["9.9.9.9, 11.0.0.0"], "11.0.0.0"),
    ("127.0.0.1", ["9.9.9.9, ::ffff:10.1.1.1"], "9.9.9.9"),  # a mapped hop is trusted as what it is
    ("127.0.0.1", ["10.0.0.1", "10.0.0.2", "10.0.0.3"], "10.0.0.1"),
    ("127.0.0.1", ["10.0.0.1,,10.0.0.2"], "10.0.0.1"),
    ("127.0.0.1", [""], "127.0.0.1"),
    ("127.0.0.1", ["", "198.51.100.1", ""], "198.51.100.1"),
    ("127.0.0.1", ["198.51.100.1\t"], "198.51.100.1"),
    ("127.0.0.1", ["198.51.100.1:0"], "198.51.100.1"),
    ("127.0.0.1", ["[::ffff:198.51.100.1]:80"], "198.51.100.1"),
    ("127.0.0.1", ["[fe80::1%25eth0]:80"], "fe80::1"),  # RFC 6874 writes the zone so
    ("127.0.0.1", ["[fe80::1%eth0]:80"], "fe80::1"),
    ("127.0.0.1", ["2001:DB8:0:0:0:0:0:7"], "2001:db8::7"),
    ("::1", ["::1", "2001:db8::1"], "2001:db8::1"),
    ("10.200.0.1", ["198.51.100.1"], "198.51.100.1"),
    ("11.0.0.1", ["198.51.100.1"], "11.0.0.1"),
    ("2001:db8::1", ["198.51.100.1"], "2001:db8::1"),
    (UNIX_PEER, ["10.0.0.1"], "10.0.0.1"),
    (UNIX_PEER, ["6.6.6.6, 198.51.100.1, 10.0.0.1"], "198.51.100.1"),
    (UNIX_PEER, [","], None),
    ("127.0.0.1", ["198.51.100.1, a"], BAD),  # CVE-2024-47070: never "no restriction"
    ("127.0.0.1", ["a"], BAD),
    ("127.0.0.1", ["198.51.100.1", "unknown"], BAD),
    ("127.0.0.1", ["198.51.100.1;x"], BAD),
    ("127.0.0.1", ['for="198.51.100.1"'], BAD),
    ("127.0.0.1", ['"198.51.100.1"'], BAD),
    ("127.0.0.1", ["198.51.100.1 10.0.0.1"], BAD),
    ("127.0.0.1", ["198.51.100.256"], BAD),
    ("127.0.0.1", ["198.51.100.01"], BAD),
    ("127.0.0.1", ["0xc6.51.100.1"], BAD),
    ("127.0.0.1", ["3325256705"], BAD),
    ("127.0.0.1", ["198.51.100.1/32"], BAD),
    ("127.0.0.1", ["2001:db8::7::1"], BAD),
    ("127.0.0.1", ["[2001:db8::7"], BAD),
    ("127.0.0.1", ["2001:db8::7]"], BAD),
    ("127.0.0.1", ["١.1.1.1"], BAD),
    ("127.0.0.1", ["fe80::1%" + "x" * 99], BAD),
    (UNIX_PEER, ["@"], BAD),
    ("203.0.113.9", ["a"], "203.0.113.9"),
    ("10.0.0.9", ["a"], BAD),
    ("fe80::1%eth0", ["198.51.100.1"], "fe80::1"),
]


@pytest.mark.parametrize(("peer", "lines", "expected"), CLIENTS)
def test_client(peer: str, lines: list[str], expected: str | None) -> None:
    if expected == BAD:
        with pytest.raises(MalformedAddress):
            client_address(peer, lines, TRUSTED)
        return
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


def test_there_are_rows_enough() -> None:
    assert len(CLIENTS) >= 60


@pytest.mark.parametrize(
    ("address", "within"),
    [("9.255.255.255", False), ("10.0.0.0", True), ("10.255.255.255", True), ("11.0.0.0", False), ("::a00:1", False), ("2001:db8::", True)],
)
def test_network_set(address: str, within: bool) -> None:
    networks = NetworkSet([ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")])
    assert (parse_address(address) in networks) is within

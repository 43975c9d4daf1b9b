"""clearml.md 8: who is invited, by address or by domain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.grants.whitelist import canonical_address, canonical_domain, domain_of, invited_role

ENTRIES = {"ada@example.com": "admin", "bob@other.example": "user"}
DOMAINS = frozenset({"example.com"})

INVITED = [
    ("ada@example.com", "admin"),
    ("ADA@Example.COM", "admin"),
    ("bob@other.example", "user"),
    ("carol@example.com", "user"),
    ("carol@EXAMPLE.com", "user"),
    ("carol@other.example", None),
    ("carol@sub.example.com", None),  # a domain does not cover its subdomains
    ("carol@notexample.com", None),
    ("carol@example.com.evil.example", None),
    ("attacker@evil.example@example.com", None),  # CVE-2026-40574
    ("@example.com", None),
    ("example.com", None),
    ("ada@", None),
    ("", None),
]


@pytest.mark.parametrize(("email", "role"), INVITED)
def test_invited(email: str, role: str | None) -> None:
    assert invited_role(email, ENTRIES, DOMAINS) == role


# text, canonical form; empty: none (RFC 5321 4.1.2, RFC 1035 2.3.4, RFC 5890 2.3.2.1)
ADDRESSES = [
    (" Ada@Example.COM ", "ada@example.com"),
    ("o'brien+tag@x.org", "o'brien+tag@x.org"),
    ("a@localhost", "a@localhost"),
    ("ada@bücher.example", "ada@xn--bcher-kva.example"),
    ("ada@BÜCHER.example", "ada@xn--bcher-kva.example"),
    ("ada@bu\u0308cher.example", "ada@xn--bcher-kva.example"),
    ("ada@XN--BCHER-KVA.example", "ada@xn--bcher-kva.example"),
    ("ada@straße.example", "ada@xn--strae-oqa.example"),  # not strasse.example
    ("jörg@x.org", "jörg@x.org"),
    ("a" * 64 + "@x.org", "a" * 64 + "@x.org"),
    ("a" * 65 + "@x.org", ""),
    ("a@" + "b" * 63 + ".org", "a@" + "b" * 63 + ".org"),
    ("a@" + "b" * 64 + ".org", ""),
    ("a@" + "ü" * 63 + ".org", ""),
    ("a@" + ".".join(["b" * 50] * 6), ""),
    ("a" * 2000, ""),
    ("a b@x.org", ""),
    ('"a b"@x.org', ""),
    ("a,b@x.org", ""),
    ("<a@x.org>", ""),
    ("a\x00@x.org", ""),
    ("a\u200b@x.org", ""),
    ("a\u202e@x.org", ""),
    ("a@x。org", ""),
    ("a@x\u200borg", ""),
    ("a@[127.0.0.1]", ""),
    ("a@x.org.", ""),
    ("a@.org", ""),
    ("a@-x.org", ""),
    ("a@x-.org", ""),
    ("a@*.org", ""),
    ("a@", ""),
    ("@x.org", ""),
    ("a@@x.org", ""),
]


@pytest.mark.parametrize(("text", "canonical"), ADDRESSES)
def test_canonical_address(text: str, canonical: str) -> None:
    assert canonical_address(text) == canonical
    assert canonical_address(canonical) == canonical
    assert domain_of(text) == canonical.partition("@")[2]


@given(st.text(max_size=40), st.text(max_size=40))
def test_a_canonical_address_stays_one(local_part: str, domain: str) -> None:
    address = canonical_address(f"{local_part}@{domain}")
    assert canonical_address(address) == address
    assert address.count("@") == (1 if address else 0)
    assert not address or canonical_domain(address.partition("@")[2]).isascii()

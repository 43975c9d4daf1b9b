"""clearml.md 8: who is invited, by address or by domain."""

from __future__ import annotations

import pytest

from gateway.grants.whitelist import domain_of, invited_role

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


def test_domain() -> None:
    assert domain_of("Ada@Example.com ") == "example.com"
    assert domain_of("a@b@c") == ""

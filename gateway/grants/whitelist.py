"""ClearML's whitelist: who may log in where no ``default_company`` opens the door to everyone (clearml.md 8).

Addresses and domains are compared in one canonical form: folded, and the domain as the DNS has it, so that
``ada@bücher.example`` and ``ADA@xn--bcher-kva.example`` are one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Set
from typing import TYPE_CHECKING, Final

from gateway.identity import fold_name

if TYPE_CHECKING:
    from gateway.config.schema import Configuration

DOMAIN_ROLE: Final = "user"
"""ClearML role of those who are invited by their domain alone."""

_MAX_TEXT: Final = 1000
_MAX_LABEL: Final = 63
_MAX_DOMAIN: Final = 253
"""Characters of a label and of a domain (RFC 1035 2.3.4)."""
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_LOCAL_PART: Final = re.compile(r'[^\s"(),:;<>\[\\\]]{1,64}')
"""RFC 5321 4.1.2 without quoted strings, which could hide an address within an address."""


def servers_by_invitation(configuration: Configuration) -> frozenset[str]:
    """The servers whose people the whitelist must name (DECISIONS 7)."""
    if configuration.clearml.registration != "whitelist":
        return frozenset()
    return frozenset(server.name for server in configuration.servers if not server.clearml.default_company)


def canonical_address(text: str) -> str:
    """An e-mail address in the form that is compared; empty for what is none.

    ``attacker@evil.example@corp.example`` has two at-signs and therefore is none (CVE-2026-40574).
    """
    if len(text) > _MAX_TEXT:
        return ""
    local_part, _, domain = fold_name(text).partition("@")
    canonical = canonical_domain(domain)
    if not canonical or not _LOCAL_PART.fullmatch(local_part) or not local_part.isprintable():
        return ""
    return f"{local_part}@{canonical}"


def canonical_domain(text: str) -> str:
    """A domain in the form that is compared; empty for what is none.

    Labels beyond ASCII become ``xn--`` (RFC 3492) as they are, without the mappings of IDNA 2003, which would take
    ``straße.example`` for ``strasse.example``.
    """
    if len(text) > _MAX_TEXT:
        return ""
    labels = [_ascii_label(label) for label in fold_name(text).split(".")]
    domain = ".".join(labels)
    return domain if len(domain) <= _MAX_DOMAIN and all(map(_LABEL.fullmatch, labels)) else ""


def _ascii_label(label: str) -> str:
    if label.isascii():
        return label
    usable = all(char.isalnum() or char == "-" or unicodedata.category(char).startswith("M") for char in label)
    return "xn--" + label.encode("punycode").decode() if usable and len(label) <= _MAX_LABEL else ""


def domain_of(email: str) -> str:
    """The canonical domain of an e-mail address; empty for what is none."""
    return canonical_address(email).partition("@")[2]


def invited_role(email: str, entries: Mapping[str, str], domains: Set[str]) -> str | None:
    """The role an address is invited with, or None where it is not.

    ``entries`` maps canonical addresses to roles, ``domains`` are canonical; a domain never covers its subdomains.
    """
    address = canonical_address(email)
    if not address:
        return None
    role = entries.get(address)
    if role is None and address.partition("@")[2] in domains:
        return DOMAIN_ROLE
    return role

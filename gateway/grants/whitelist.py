"""ClearML's whitelist: who may log in where no ``default_company`` opens the door to everyone (clearml.md 8)."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import TYPE_CHECKING

from gateway.identity import fold_name

if TYPE_CHECKING:
    from gateway.config.schema import Configuration


def servers_by_invitation(configuration: Configuration) -> frozenset[str]:
    """The servers whose people the whitelist must name (DECISIONS 7)."""
    if configuration.clearml.registration != "whitelist":
        return frozenset()
    return frozenset(server.name for server in configuration.servers if not server.clearml.default_company)


def domain_of(email: str) -> str:
    """The folded domain of an e-mail address; empty for what is none.

    ``attacker@evil.example@corp.example`` has two at-signs and therefore no domain (CVE-2026-40574).
    """
    local_part, at, domain = fold_name(email).partition("@")
    return "" if not at or not local_part or "@" in domain else domain


def invited_role(email: str, entries: Mapping[str, str], domains: Set[str]) -> str | None:
    """The role an address is invited with, or None where it is not.

    ``entries`` maps folded addresses to roles, ``domains`` are folded; a domain never covers its subdomains.
    """
    domain = domain_of(email)
    if not domain:
        return None
    role = entries.get(fold_name(email))
    if role is None and domain in domains:
        return "user"
    return role

"""Identities for the tests of access."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.identity import Account, Grant, Group, Identity


def person(
    username: str,
    *groups: str | Group,
    server: str = "local",
    name: str = "",
    email: str = "",
    policies: tuple[str, ...] = (),
    role: str = "user",
    org_roles: Mapping[int, str] | None = None,
    attributes: Mapping[str, tuple[str, ...]] | None = None,
) -> Identity:
    """One person."""
    held = tuple(Group(group) if isinstance(group, str) else group for group in groups)
    account = Account(server, username, username, name, email, groups=held, attributes=attributes or {})
    grant = Grant("company", "clearml", role, org_roles or {}, policies=policies)
    return Identity("0" * 32, "user", account, grant, 0)

"""Rows that the store's tests share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from gateway.identity import Account, Group
from gateway.store.interface import IdentityRow, KeyRow, Store, TokenRow, VaultRow

NOW = 1_700_000_000


@dataclass(frozen=True)
class LockoutSettings:
    """``lockout.*`` with the defaults of configuration.md 1.4."""

    failures: int = 5
    window: float = 900
    duration: float = 900
    address_failures: int = 50
    max_entries: int = 100_000


def account(number: int = 1, **changes: Any) -> Account:
    values: dict[str, Any] = {
        "server": "corp",
        "external_id": f"entry-{number}",
        "username": f"User{number}",
        "name": "Zoë Müller, Dr.",
        "email": f"user{number}@example.com",
        "dn": f"cn=Müller\\, Zoë {number},dc=example",
        "groups": (Group("admins", "cn=admins,dc=example", "cn=admins,dc=example"), Group("", "", "odd")),
        "attributes": {"phone": ("1", "2"), "empty": ()},
    }
    return Account(**values | changes)


async def save(store: Store, who: Account, now: int = NOW, **changes: Any) -> IdentityRow:
    values = {"company": "c1", "role": "user", "backend_id": f"b-{who.username}", "granted": {"roles": {"1": "Editor"}}}
    return await store.identity_save(who, **values | changes, now=now)


def token(number: int, **changes: Any) -> TokenRow:
    values: dict[str, Any] = {
        "hash": hashlib.sha256(str(number).encode()).digest(),
        "accessor": f"accessor-{number:06}",
        "kind": "session",
        "identity": "i1",
        "server": "corp",
        "created_at": NOW,
        "expires_at": NOW + 3600,
    }
    return TokenRow(**values | changes)


def signing_key(name: str, **changes: Any) -> KeyRow:
    values: dict[str, Any] = {
        "id": name, "purpose": "clearml", "algorithm": "HS256", "private": b"planted " + name.encode(),
        "public": b"", "not_before": 0,
    }  # fmt: skip
    return KeyRow(**values | changes)


def vault(name: str, **changes: Any) -> VaultRow:
    values: dict[str, Any] = {
        "id": name, "company": "c1", "scope": "group", "owner": "g1", "type": "config", "format": "yaml", "enabled": True,
        "description": f"about {name}", "text": f"planted: {name}", "delivered": f'{{"planted": "{name}"}}',
        "created_at": NOW, "updated_at": NOW, "updated_by": "ada",
    }  # fmt: skip
    return VaultRow(**values | changes)

"""Rows of the interface to columns of SQLite and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, TypeVar

from gateway.grants.lockout import Counter, Kind
from gateway.identity import Account, Group, fold_name
from gateway.store.interface import (
    PURGE_SECONDS,
    IdentityRow,
    KeyRow,
    Setting,
    SettingChange,
    TokenRow,
    VaultRow,
    VaultVersion,
    WhitelistRow,
)
from gateway.store.sealing import SealBroken, Sealer
from gateway.store.wrapped import WrappedRow

Values = Sequence[Any]
R = TypeVar("R")

KEYS_TABLE: Final = "signing_keys"
SETTINGS_TABLE: Final = "settings"
VAULTS_TABLE: Final = "vaults"
WRAPPED_TABLE: Final = "wrapped"
_IDENTITY_FIELDS: Final = tuple(field.name for field in fields(IdentityRow))
_TOKEN_FIELDS: Final = tuple(field.name for field in fields(TokenRow))
IDENTITY: Final = ", ".join(_IDENTITY_FIELDS)
TOKEN: Final = ", ".join(_TOKEN_FIELDS)
COUNTER: Final = ", ".join(field.name for field in fields(Counter)).replace("hash", "key_hash", 1)
WHITELIST: Final = ", ".join(field.name for field in fields(WhitelistRow))
WRAPPED: Final = ", ".join(field.name for field in fields(WrappedRow))
KEY: Final = ", ".join(field.name for field in fields(KeyRow)).replace("private", "private_sealed")
VAULT: Final = (
    "id, company, scope, owner, type, format, enabled, description, text_sealed, delivered_sealed, "
    "created_at, updated_at, updated_by, version"
)
VAULT_VERSION: Final = (
    'vault, version, company, scope, owner, type, format, enabled, description, text_sealed, at, "by", purge_at'
)
SETTING: Final = 'path, value, secret_sealed, generation, at, "by"'
"""The columns of a table in the order of its row's fields."""


def one(values: Sequence[Values], make: Callable[[Values], R]) -> R | None:
    """The row made of the only record, or None."""
    return make(values[0]) if values else None


def dump(value: object) -> str:
    """Compact JSON. ``ValueError`` or ``TypeError`` for what is not JSON."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def account_values(account: Account, granted: Mapping[str, object]) -> dict[str, object]:
    """The columns of ``identities`` that an account decides."""
    return {
        "server": account.server,
        "external_id": account.external_id,
        "username": account.username,
        "username_key": fold_name(account.username),
        "dn": account.dn,
        "name": account.name,
        "email": account.email,
        "groups": dump([(group.name, group.dn, group.value) for group in account.groups]),
        "attributes": dump({name: list(values) for name, values in account.attributes.items()}),
        "granted": dump(dict(granted)),
    }


def identity(values: Values) -> IdentityRow:
    """From the columns ``IDENTITY``."""
    named = dict(zip(_IDENTITY_FIELDS, values, strict=True))
    named["groups"] = tuple(Group(*group) for group in json.loads(named["groups"]))
    named["attributes"] = {name: tuple(texts) for name, texts in json.loads(named["attributes"]).items()}
    named["granted"] = json.loads(named["granted"])
    return IdentityRow(**named)


def token_values(row: TokenRow) -> list[object]:
    """For the columns ``TOKEN``."""
    encoded = {
        "policies": dump(row.policies), "meta": dump(dict(row.meta)), "limits": dump(dict(row.limits)),
        "renewable": int(row.renewable), "orphan": int(row.orphan), "remember": int(row.remember),
    }  # fmt: skip
    return [encoded[name] if name in encoded else getattr(row, name) for name in _TOKEN_FIELDS]


def token(values: Values) -> TokenRow:
    """From the columns ``TOKEN``."""
    named = dict(zip(_TOKEN_FIELDS, values, strict=True))
    named["policies"] = tuple(json.loads(named["policies"]))
    for name in ("meta", "limits"):
        named[name] = json.loads(named[name])
    for name in ("renewable", "orphan", "remember"):
        named[name] = bool(named[name])
    return TokenRow(**named)


def wrapped(values: Values) -> WrappedRow:
    """From the columns ``WRAPPED``."""
    return WrappedRow(*values)


def wrapped_values(row: WrappedRow, response: bytes, sealer: Sealer) -> tuple[object, ...]:
    """For the columns ``WRAPPED`` and ``response_sealed``."""
    sealed = sealer.seal(response, WRAPPED_TABLE, row.hash.hex())
    return (*(getattr(row, field.name) for field in fields(row)), sealed)


def counter_values(counter: Counter) -> tuple[object, ...]:
    """For the columns ``COUNTER``."""
    return (
        counter.hash, counter.shown, counter.kind.value, int(counter.known), counter.count,
        counter.first_at, counter.last_at, counter.locked_until, counter.expires_at,
    )  # fmt: skip


def counter(values: Values) -> Counter:
    """From the columns ``COUNTER``."""
    key_hash, shown, kind, known, *rest = values
    return Counter(key_hash, shown, Kind(kind), bool(known), *rest)


def whitelist(values: Values) -> WhitelistRow:
    """From the columns ``WHITELIST``."""
    return WhitelistRow(*values)


def key_values(row: KeyRow, sealer: Sealer) -> tuple[object, ...]:
    """For the columns ``KEY``."""
    sealed = sealer.seal(row.private, KEYS_TABLE, row.id)
    return (row.id, row.purpose, row.algorithm, sealed, row.public, row.not_before, row.not_after, row.retired_at)


def key(values: Values, sealer: Sealer) -> KeyRow:
    """From the columns ``KEY``; ``SealBroken``."""
    key_id, purpose, algorithm, sealed, *rest = values
    return KeyRow(key_id, purpose, algorithm, sealer.open(sealed, KEYS_TABLE, key_id), *rest)


def setting_path(path: tuple[str, ...]) -> str:
    """For the column ``path``. ``ValueError`` for an empty one."""
    if not path:
        raise ValueError("a setting needs a path")
    return dump(path)


def setting_values(change: SettingChange, sealer: Sealer) -> tuple[str, str | None, bytes | None]:
    """For the columns ``path``, ``value`` and ``secret_sealed``."""
    path = setting_path(change.path)
    if change.value is None:
        return path, None, None
    if change.secret:
        return path, None, sealer.seal(dump(change.value).encode(), SETTINGS_TABLE, path)
    return path, dump(change.value), None


def setting(values: Values, sealer: Sealer) -> Setting:
    """From the columns ``SETTING``; ``SealBroken``."""
    path, value, sealed, generation, at, by = values
    text = value if sealed is None else sealer.open(sealed, SETTINGS_TABLE, path)
    return Setting(
        tuple(json.loads(path)), None if text is None else json.loads(text), sealed is not None, at, by, generation
    )


def vault_values(row: VaultRow, version: int, sealer: Sealer) -> tuple[object, ...]:
    """For the columns ``VAULT``.

    A text is sealed for its vault and version: it is moved to the kept versions as it is, and opens as no other one.
    """
    text, delivered = (
        sealer.seal(content.encode(), VAULTS_TABLE, _sealed_for(row.id, version, what))
        for content, what in ((row.text, "text"), (row.delivered, "delivered"))
    )
    return (
        row.id, row.company, row.scope, row.owner, row.type, row.format, int(row.enabled), row.description, text,
        delivered, row.created_at, row.updated_at, row.updated_by, version,
    )  # fmt: skip


def vault(values: Values, sealer: Sealer) -> VaultRow:
    """From the columns ``VAULT``."""
    vault_id, company, scope, owner, kind, form, enabled, description, *sealed, created, updated, by, version = values
    opened = [
        _opened(text, vault_id, version, what, sealer)
        for text, what in zip(sealed, ("text", "delivered"), strict=True)
    ]
    damaged = None in opened
    text, delivered = ("", "") if damaged else map(str, opened)
    return VaultRow(
        id=vault_id, company=company, scope=scope, owner=owner, type=kind, format=form, enabled=bool(enabled),
        description=description, text=text, delivered=delivered, created_at=created, updated_at=updated,
        updated_by=by, version=version, damaged=damaged,
    )  # fmt: skip


def vault_version(values: Values, sealer: Sealer) -> VaultVersion:
    """From the columns ``VAULT_VERSION``."""
    vault_id, version, company, scope, owner, kind, form, enabled, description, sealed, at, by, purge_at = values
    text = _opened(sealed, vault_id, version, "text", sealer)
    return VaultVersion(
        vault=vault_id, version=version, company=company, scope=scope, owner=owner, type=kind, format=form,
        enabled=bool(enabled), description=description, text=text or "", at=at, by=by, damaged=text is None,
        deleted_at=None if purge_at is None else purge_at - PURGE_SECONDS,
    )  # fmt: skip


def _opened(sealed: bytes, vault_id: str, version: int, what: str, sealer: Sealer) -> str | None:
    """A text of a vault; None where it does not open, which must not cost anybody the other vaults."""
    try:
        return sealer.open(sealed, VAULTS_TABLE, _sealed_for(vault_id, version, what)).decode()
    except SealBroken:
        return None


def _sealed_for(vault_id: str, version: int, what: str) -> str:
    return f"{vault_id}\0{version}\0{what}"

"""What the Vault dialect says of a token: the ``data`` of look-ups and the ``auth`` block (vault.md 2, 8). Pure.

What has no column of its own stands in ``TokenRow.limits``: ``cidrs``, ``creation_ttl``, ``ttl``, ``max_ttl``,
``explicit_max_ttl``, ``role``, and ``type`` for batch tokens. ``TokenRow.label`` is the display name.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from gateway.store.interface import TokenRow
from gateway.tokens.vault_children import TokenType, cidrs_of


def type_of(row: TokenRow) -> TokenType:
    """``service`` or ``batch``."""
    return "batch" if row.limits.get("type") == "batch" else "service"


def seconds_of(row: TokenRow, name: str) -> int:
    """One of the lengths of time in ``limits``; 0 where it is not set."""
    value = row.limits.get(name)
    return value if isinstance(value, int) else 0


def remaining(row: TokenRow, now: int) -> int:
    """Seconds it has left; 0 for one without end, too, as a Vault says."""
    return 0 if row.expires_at is None else max(0, row.expires_at - now)


def lookup_data(row: TokenRow, now: int, text: str = "") -> dict[str, Any]:
    """The ``data`` of ``lookup``, ``lookup-self`` and ``lookup-accessor``; the last does not know the ``text``."""
    data: dict[str, Any] = {
        "id": text,
        "accessor": row.accessor,
        "policies": list(row.policies),
        "path": row.path,
        "meta": dict(row.meta) or None,
        "display_name": row.label,
        "num_uses": row.uses_left or 0,
        "orphan": row.orphan,
        "type": type_of(row),
        "creation_time": row.created_at,
        "creation_ttl": seconds_of(row, "creation_ttl"),
        "ttl": remaining(row, now),
        "explicit_max_ttl": seconds_of(row, "explicit_max_ttl"),
        "renewable": row.renewable,
        "issue_time": shown_time(row.created_at),
        "expire_time": None if row.expires_at is None else shown_time(row.expires_at),
        "entity_id": row.identity or "",
    }
    optional = {"period": row.period, "role": row.limits.get("role"), "bound_cidrs": list(cidrs_of(row))}
    return data | {name: value for name, value in optional.items() if value}


def auth_block(row: TokenRow, now: int, text: str) -> dict[str, Any]:
    """The ``auth`` of a login, a creation or a renewal."""
    block: dict[str, Any] = {
        "client_token": text,
        "accessor": row.accessor,
        "policies": list(row.policies),
        "token_policies": list(row.policies),
        "metadata": dict(row.meta) or None,
        "lease_duration": remaining(row, now),
        "renewable": row.renewable,
        "entity_id": row.identity or "",
        "token_type": type_of(row),
        "orphan": row.orphan,
        "mfa_requirement": None,
        "num_uses": row.uses_left or 0,
    }
    if not row.policies:
        del block["token_policies"]
    return block


def shown_time(seconds: int) -> str:
    """RFC 3339 in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()}Z"

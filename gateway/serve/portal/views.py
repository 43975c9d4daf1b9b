"""People, sessions and tokens as pages and programs see them: the same words for both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.tokens.personal import limits_of

if TYPE_CHECKING:
    from gateway.identity import Identity
    from gateway.runtime import Live
    from gateway.store.interface import TokenRow


def shown_person(identity: Identity) -> dict[str, Any]:
    """Who somebody is."""
    account = identity.account
    return {
        "username": account.username, "name": account.name, "email": account.email, "server": account.server,
        "groups": sorted({group.name for group in account.groups if group.name}),
    }  # fmt: skip


def shown_session(live: Live, row: TokenRow, current: str) -> dict[str, Any]:
    """One session; times in seconds since 1970. ``current`` is the accessor of the one that asks.

    ``ends_at`` is when it ends if nobody uses it, ``expires_at`` when it does in any case.
    """
    return {
        "accessor": row.accessor, "current": row.accessor == current, "domain": row.domain,
        "remembered": row.remember, "address": row.last_used_from, "created_at": row.created_at,
        "last_used_at": max(row.created_at, row.last_used_at or 0, live.activity.last(row.hash)),
        "expires_at": row.expires_at, "ends_at": int(live.sessions.ends_at(row)),
    }  # fmt: skip


def shown_token(live: Live, row: TokenRow) -> dict[str, Any]:
    """One personal token, but for its text; ``last_used_at`` is None where it never was."""
    limits = limits_of(row)
    return {
        "accessor": row.accessor, "label": row.label, "hosts": list(limits.hosts), "paths": list(limits.paths),
        "created_at": row.created_at, "expires_at": row.expires_at, "address": row.last_used_from,
        "last_used_at": max(row.last_used_at or 0, live.activity.last(row.hash)) or None,
    }  # fmt: skip

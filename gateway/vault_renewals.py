"""Vault tokens renewed: not before it is known that their owners still are who they were (vault.md 6).

A Vault repeats the login with a password that it keeps. Here the directory is asked through the service account, at
most once in ``session.refresh_interval``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gateway.directory.recheck import Recheck, Standing
from gateway.tokens.vault_children import NewToken, unchanged
from gateway.tokens.vault_login import login_path, login_token
from gateway.tokens.vault_tokens import Denied, Held, Renewed, VaultTokens
from gateway.tokens.vault_ttl import Caps, Refused

if TYPE_CHECKING:
    from gateway.identities import Identities
    from gateway.identity import Identity
    from gateway.vault_mounts import Mounts

Unchecked = Literal["limits", "refuse"]


class Renewals:
    """Renews tokens under one configuration."""

    def __init__(
        self,
        tokens: VaultTokens,
        recheck: Recheck,
        identities: Identities,
        mounts: Mounts,
        *,
        unchecked: Unchecked,
        caps: Caps,
    ) -> None:
        """``unchecked`` says what becomes of tokens of people whom nobody can ask about, ``caps`` are those of tokens
        that no login made."""
        self._tokens = tokens
        self._recheck = recheck
        self._identities = identities
        self._mounts = mounts
        self._unchecked = unchecked
        self._caps = caps

    async def renew(self, held: Held, now: int, increment: int = 0) -> Renewed:
        """Give a live token a new end. Raises Refused, Denied where its owner is gone, and StoreError."""
        row, today = held.row, None
        if held.identity is not None and row.renewable:
            today = self._login_of(held, await self._asked_about(held, held.identity, now))
        terms, caps = (today.terms, today.caps) if today else (None, self._caps)
        return await self._tokens.renew(row, now, increment=increment, terms=terms, caps=caps)

    async def _asked_about(self, held: Held, identity: Identity, now: int) -> Identity:
        """The owner, as the directory and the configuration make them today."""
        match await self._recheck.standing(identity.id, now):
            case Standing.GONE:
                raise Denied
            case Standing.UNKNOWN:
                raise Refused("the directory cannot be asked now, not renewing")
            case Standing.UNASKED if self._unchecked == "refuse":
                raise Refused("the directory cannot be asked without a password, not renewing")
        known = await self._identities.by_id(identity.id, held.row.created_at)
        if known is None:
            raise Denied
        return known

    def _login_of(self, held: Held, identity: Identity) -> NewToken | None:
        """What the token's login would give today; None for one that no login made."""
        path = held.row.path
        if path.startswith("auth/token/"):
            return None
        mounts = [mount for mount in self._mounts.all.values() if path.startswith(login_path(mount))]
        if not mounts:
            raise Refused("its auth method is gone, not renewing")
        mount = max(mounts, key=lambda one: len(one.path))
        typed = path.removeprefix(login_path(mount))
        today = login_token(mount, identity, self._identities.policies(identity, typed), typed)
        if not unchanged(held.row.policies, today.policies):
            raise Refused("policies have changed, not renewing")
        return today

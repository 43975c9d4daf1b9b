"""Sessions of people who logged in at the portal: rows of ``tokens``, bound to one domain (forward-auth.md 9).

A session ends at ``expires_at``, after ``session.inactivity`` without a use (unless it is remembered), with its row, or
with its person. The cookie's value is known to the browser alone; the store keeps its hash.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.activity import Activity
from gateway.directory.recheck import Standing
from gateway.store.interface import PAGE, RevokeBy, TokenRow
from gateway.tokens.opaque import digest, mint, mint_accessor

if TYPE_CHECKING:
    from gateway.access.client_address import Address
    from gateway.config.schema import Session as Settings
    from gateway.freshness import Freshness
    from gateway.identities import Identities
    from gateway.identity import Identity
    from gateway.store.interface import Store

KIND: Final = "session"


class Stale(Exception):
    """The person's directory cannot be asked, and its last answer is too old: 503."""


class NoPerson(Exception):
    """Services have keys and no row; they have neither sessions nor personal tokens."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session that lives, and whose it is."""

    row: TokenRow
    identity: Identity

    @property
    def accessor(self) -> str:
        """Names the session without being it."""
        return self.row.accessor


@dataclass(frozen=True, slots=True)
class NewSession:
    """What a login leads to."""

    value: str
    """For the cookie; never to be logged."""
    max_age: int | None
    """Seconds for the cookie; None: until the browser closes."""
    row: TokenRow

    def __repr__(self) -> str:
        return f"NewSession({self.row.accessor})"


class Sessions:
    """Sessions under one configuration."""

    def __init__(
        self, store: Store, identities: Identities, freshness: Freshness, activity: Activity, settings: Settings
    ) -> None:
        self._store = store
        self._identities = identities
        self._freshness = freshness
        self._activity = activity
        self._settings = settings

    def can_remember(self, identity: Identity) -> bool:
        """Whether this person may be remembered: only who can be looked up again (DECISIONS 11)."""
        return self._settings.remember_me > 0 and self._freshness.can_ask(identity)

    async def create(
        self, identity: Identity, domain: str, *, remember: bool, client: Address | None, now: int
    ) -> NewSession:
        """Begin a session; durable on return. Raises NoPerson and StoreError.

        ``domain`` is the ``host`` of the cookie's scope. Who cannot be remembered gets an ordinary session. Above
        ``session.max_per_user`` the oldest ones end.
        """
        if await self._store.identity(identity.id) is None:
            raise NoPerson
        remember = remember and self.can_remember(identity)
        lifetime = math.ceil(self._settings.remember_me if remember else self._settings.expiration)
        value = mint()
        row = TokenRow(
            hash=digest(value), accessor=mint_accessor(), kind=KIND, identity=identity.id,
            created_at=identity.issue_time(now), server=identity.account.server, expires_at=now + lifetime,
            domain=domain, remember=remember, last_used_at=now, last_used_from=str(client or ""),
        )  # fmt: skip
        await self._store.token_add(row)
        others = [old for old in await self.list(identity.id, now) if old.accessor != row.accessor]
        for old in others[self._settings.max_per_user - 1 :]:
            await self._store.tokens_revoke(RevokeBy.ACCESSOR, old.accessor, now)
        return NewSession(value, lifetime if remember else None, row)

    async def find(self, value: str, domain: str, now: int) -> Session | None:
        """The session of a cookie's value, if it lives and belongs to the domain. No directory is asked. Inline."""
        row = await self._store.token(digest(value))
        if row is None or row.kind != KIND or row.domain != domain or row.identity is None:
            return None
        if not row.alive(now) or now >= self.ends_at(row):
            return None
        identity = await self._identities.by_id(row.identity, row.created_at)
        return None if identity is None else Session(row, identity)

    async def current(self, values: Sequence[str], domain: str, now: int) -> Session | None:
        """The first of the values that is a session, of somebody who is still there; else None, and it is destroyed.

        Where several people have sessions among them it is nobody's: a host beside ours can give a browser a cookie,
        and whoever is logged in must not be taken for somebody else. Raises Stale and StoreError.
        """
        found = [await self._current(value, domain, now) for value in values]
        sessions = [session for session in found if session is not None]
        return sessions[0] if len({session.identity.id for session in sessions}) == 1 else None

    async def _current(self, value: str, domain: str, now: int) -> Session | None:
        if (session := await self.find(value, domain, now)) is None:
            return None
        match await self._freshness.standing(session.identity, now):
            case Standing.GONE:
                await self.revoke_all(session.identity.id, now)
                return None
            case Standing.UNKNOWN:
                raise Stale
            case _:
                # What was found of the person may be newer than the session that was read.
                return await self.find(value, domain, now)

    def ends_at(self, row: TokenRow) -> float:
        """When a session ends if nobody uses it; seconds since 1970."""
        absolute = row.expires_at or 0
        if row.remember:
            return absolute
        used = max(row.last_used_at or row.created_at, self._activity.last(row.hash))
        return min(absolute, used + self._settings.inactivity)

    def touch(self, session: Session, client: Address | None, now: int) -> None:
        """Note a use; it is written later."""
        self._activity.note(session.row.hash, now, str(client or ""))

    async def list(self, identity_id: str, now: int) -> list[TokenRow]:
        """The living sessions of a person, newest first."""
        rows = [row async for row in rows_of(self._store, KIND, identity_id)]
        alive = [row for row in rows if row.alive(now) and now < self.ends_at(row)]
        return sorted(alive, key=lambda row: (row.created_at, row.accessor), reverse=True)

    async def revoke(self, accessor: str, identity_id: str, now: int) -> bool:
        """End a session of this person; durable on return. False: it is none of theirs, or has ended."""
        return await revoke_own(self._store, KIND, accessor, identity_id, now)

    async def revoke_all(self, identity_id: str, now: int, *, but: str = "") -> int:
        """End every session of a person, except that of the accessor ``but``; how many there were."""
        ended = 0
        async for row in rows_of(self._store, KIND, identity_id):
            if row.accessor != but:
                ended += await self._store.tokens_revoke(RevokeBy.ACCESSOR, row.accessor, now)
        return ended


async def rows_of(store: Store, kind: str, identity_id: str) -> AsyncIterator[TokenRow]:
    """All stored tokens of a kind that a person has, dead ones included."""
    after = ""
    while page := await store.tokens(kind=kind, identity=identity_id, after=after):
        for row in page:
            yield row
        if len(page) < PAGE:
            return
        after = page[-1].accessor


async def revoke_own(store: Store, kind: str, accessor: str, identity_id: str, now: int) -> bool:
    """Revoke a token of a kind if this person has it; whether it was alive until then."""
    row = await store.token_by_accessor(accessor)
    if row is None or row.kind != kind or row.identity != identity_id:
        return False
    return await store.tokens_revoke(RevokeBy.ACCESSOR, accessor, now) > 0

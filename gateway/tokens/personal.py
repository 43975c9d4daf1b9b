"""Personal tokens: what people give to their programs, for some hosts and paths, until some day (forward-auth.md 7)."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.access.limits import Limits, parse_limits
from gateway.directory.recheck import Standing
from gateway.sessions import NoPerson, Stale, revoke_own, rows_of
from gateway.store.interface import Conflict, TokenRow
from gateway.tokens.opaque import PERSONAL_PREFIX, accessor_of, digest, mint, mint_accessor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.config.schema.people import Tokens as Settings
    from gateway.freshness import Freshness
    from gateway.identities import Identities
    from gateway.identity import Identity
    from gateway.store.interface import Store

KIND: Final = "personal"
MOST: Final = 100
"""Living tokens of one person."""
LONGEST_LABEL: Final = 100


class Refused(Exception):
    """No token for this; the text is for the person who asked."""


class MadeAlready(Refused):
    """It was asked for a second time."""


@dataclass(frozen=True, slots=True)
class PersonalToken:
    """A personal token that lives, and whose it is."""

    row: TokenRow
    identity: Identity
    limits: Limits


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made: the only time its text is known."""

    text: str
    row: TokenRow

    def __repr__(self) -> str:
        return f"NewToken({self.row.accessor})"


class PersonalTokens:
    """Personal tokens under one configuration."""

    def __init__(self, store: Store, identities: Identities, freshness: Freshness, settings: Settings) -> None:
        self._store = store
        self._identities = identities
        self._freshness = freshness
        self._settings = settings
        self._making = asyncio.Lock()

    async def create(
        self,
        identity: Identity,
        label: str,
        *,
        hosts: Sequence[str] = (),
        paths: Sequence[str] = (),
        lifetime_seconds: float | None = None,
        once: str = "",
        now: int,
    ) -> NewToken:
        """Make a token; durable on return. Raises Refused, NoPerson and StoreError.

        ``once`` makes no second token for the same text and person while the store keeps the first: MadeAlready. That
        holds across processes and restarts, because the accessor follows from it.

        Without a lifetime it is ``tokens.personal_lifetime``, which is also the longest. Only who can be looked up
        again gets one: it outlives the login (DECISIONS 11).
        """
        label = label.strip()
        if not label or len(label) > LONGEST_LABEL or not label.isprintable():
            raise Refused(f"a token needs a name of 1 to {LONGEST_LABEL} printable characters")
        try:
            limits = parse_limits(hosts, paths)
        except ValueError as error:
            raise Refused(str(error)) from None
        longest = self._settings.personal_lifetime
        lifetime = longest if lifetime_seconds is None else lifetime_seconds
        if not 0 < lifetime <= longest:
            raise Refused(f"a token may live for at most {longest / 86400:g} days")
        if await self._store.identity(identity.id) is None:
            raise NoPerson
        if not self._freshness.can_ask(identity):
            raise Refused("this directory cannot be asked about people later, so nothing may outlive their login")
        text = mint(PERSONAL_PREFIX)
        accessor = accessor_of(f"{identity.id} {once}") if once else mint_accessor()
        row = TokenRow(
            hash=digest(text), accessor=accessor, kind=KIND, identity=identity.id,
            created_at=identity.issue_time(now), server=identity.account.server,
            expires_at=now + math.ceil(lifetime), label=label,
            limits={"hosts": list(limits.hosts), "paths": list(limits.paths)},
        )  # fmt: skip
        async with self._making:
            if len(await self.list(identity.id, now)) >= MOST:
                raise Refused(f"there are {MOST} tokens already; revoke one first")
            try:
                await self._store.token_add(row)
            except Conflict:
                raise MadeAlready("this token was made already") from None
        return NewToken(text, row)

    async def find(self, text: str, now: int) -> PersonalToken | None:
        """The token of a text, if it lives. No directory is asked. Inline."""
        row = await self._store.token(digest(text))
        if row is None or row.kind != KIND or row.identity is None or not row.alive(now):
            return None
        identity = await self._identities.by_id(row.identity, row.created_at)
        return None if identity is None else PersonalToken(row, identity, limits_of(row))

    async def current(self, text: str, now: int) -> PersonalToken | None:
        """The token of a text, if it lives and its person is still there. Raises Stale and StoreError."""
        if (token := await self.find(text, now)) is None:
            return None
        match await self._freshness.standing(token.identity, now):
            case Standing.GONE:
                return None
            case Standing.UNKNOWN:
                raise Stale
            case _:
                return await self.find(text, now)

    async def list(self, identity_id: str, now: int) -> list[TokenRow]:
        """The living tokens of a person, newest first."""
        rows = [row async for row in rows_of(self._store, KIND, identity_id) if row.alive(now)]
        return sorted(rows, key=lambda row: (row.created_at, row.accessor), reverse=True)

    async def revoke(self, accessor: str, identity_id: str, now: int) -> bool:
        """End a token of this person; durable on return. False: it is none of theirs, or has ended."""
        return await revoke_own(self._store, KIND, accessor, identity_id, now)


def limits_of(row: TokenRow) -> Limits:
    """Where a token may be used, as it is stored."""
    hosts, paths = (row.limits.get(name) for name in ("hosts", "paths"))
    return Limits(_texts(hosts), _texts(paths))


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else ()

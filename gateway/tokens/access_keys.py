"""ClearML access keys: pairs that a person's programs log in with (clearml.md 9, configuration.md 3).

A key is a row of ``tokens``, known by itself; of its secret only the hash is stored. It is as good as its owner: the
role is the owner's present one, and whoever leaves the directory takes the keys along (DECISIONS 11).
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.directory.recheck import Standing
from gateway.store.interface import PAGE, RevokeBy, TokenRow
from gateway.tokens.opaque import digest

if TYPE_CHECKING:
    from gateway.activity import Activity
    from gateway.directory.recheck import Recheck
    from gateway.identities import Identities
    from gateway.identity import Identity
    from gateway.store.interface import Store

KIND: Final = "access_key"
MOST_KEYS: Final = 100
"""Keys of one person that are good at one time."""
_KEY_ALPHABET: Final = string.ascii_uppercase + string.digits
_KEY_LENGTH: Final = 30
_SECRET_BYTES: Final = 50
"""67 characters of base64url."""
_NO_HASH: Final = bytes(32)


class TooManyKeys(Exception):
    """The person has ``MOST_KEYS`` already."""


class Uncheckable(Exception):
    """Nobody could tell whether the owner of a new key is still there (``recheck = "none"``)."""


class KeyRefused(Exception):
    """A presented pair is not good. The text is for the operator."""

    def __init__(self, reason: str, *, guessed: bool = False) -> None:
        super().__init__(reason)
        self.guessed = guessed
        """Whether the secret was wrong, rather than the key no longer good."""


class KeyUndecided(Exception):
    """The owner's directory cannot be asked, and its last answer is too old."""


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key with its secret, which is shown once and kept nowhere."""

    access_key: str
    secret_key: str = field(repr=False)


class AccessKeys:
    """The keys under one snapshot."""

    def __init__(self, store: Store, identities: Identities, recheck: Recheck, activity: Activity) -> None:
        self._store = store
        self._identities = identities
        self._recheck = recheck
        self._activity = activity
        self._making = asyncio.Lock()

    async def create(self, owner: Identity, label: str, expires_at: int | None, now: int) -> NewKey:
        """Make a key, durable on return. Raises TooManyKeys and Uncheckable."""
        if not self._recheck.can_ask(owner):
            raise Uncheckable
        new = NewKey(_new_key(), _new_secret())
        row = TokenRow(
            hash=digest(new.secret_key), accessor=new.access_key, kind=KIND, identity=owner.id,
            created_at=owner.issue_time(now), server=owner.account.server, label=label, expires_at=expires_at,
        )  # fmt: skip
        async with self._making:
            if len(await self._alive(owner.id, now)) >= MOST_KEYS:
                raise TooManyKeys
            await self._store.token_add(row)
        return new

    async def of(self, identity_id: str, now: int) -> list[TokenRow]:
        """Somebody's good keys, oldest first, with all uses until now."""
        await self._activity.write()
        return sorted(await self._alive(identity_id, now), key=lambda row: (row.created_at, row.accessor))

    async def relabel(self, identity_id: str, key: str, label: str, now: int) -> bool:
        """Give somebody's key another label. False where it is not a good key of theirs."""
        return await self._owns(identity_id, key, now) and await self._store.token_label(key, label)

    async def revoke(self, identity_id: str, key: str, now: int) -> bool:
        """End somebody's key. False where it is not a good key of theirs."""
        owns = await self._owns(identity_id, key, now)
        return owns and await self._store.tokens_revoke(RevokeBy.ACCESSOR, key, now) > 0

    async def check(self, key: str, secret: str, worker: str, now: int) -> Identity:
        """Whose pair this is. Raises KeyRefused and KeyUndecided.

        The directory is asked about the owner where its last answer is older than ``session.refresh_interval``.
        """
        row = await self._store.token_by_accessor(key)
        expected = row.hash if row is not None and row.kind == KIND else _NO_HASH
        if not hmac.compare_digest(digest(secret), expected) or row is None or row.identity is None:
            raise KeyRefused("no key with this secret", guessed=True)
        if not row.alive(now):
            raise KeyRefused("the key was revoked or has expired")
        # Asked also for those whom what the directory said last does not let in: it may say something else by now.
        await self._require_good(row.identity, now)
        owner = await self._identities.by_id(row.identity, row.created_at)
        if owner is None:
            raise KeyRefused("the key's owner is gone, or may no longer log in")
        self._activity.note(row.hash, now, worker)
        return owner

    async def _require_good(self, owner: str, now: int) -> None:
        standing = await self._recheck.standing(owner, now)
        if standing is Standing.GOOD:
            return
        row = await self._store.identity(owner)
        label = f"{row.server}/{row.username}" if row is not None else owner
        match standing:
            case Standing.GONE:
                raise KeyRefused(f"the directory no longer lets the key's owner in ({label})")
            case Standing.UNASKED:
                raise KeyRefused(f"nobody can tell whether the key's owner is still there ({label})")
            case _:
                raise KeyUndecided(f"the directory cannot be asked about the key's owner ({label})")

    async def _owns(self, identity_id: str, key: str, now: int) -> bool:
        row = await self._store.token_by_accessor(key)
        if row is None or row.kind != KIND or row.identity != identity_id:
            return False
        return row.alive(now) and row.created_at >= await self._good_since(identity_id)

    async def _good_since(self, identity_id: str) -> int:
        """Keys made before died with their owner, though the owner may have come back."""
        owner = await self._store.identity(identity_id)
        return owner.valid_after if owner is not None else 0

    async def _alive(self, identity_id: str, now: int) -> list[TokenRow]:
        alive: list[TokenRow] = []
        after, since = "", await self._good_since(identity_id)
        while page := await self._store.tokens(kind=KIND, identity=identity_id, after=after):
            alive += (row for row in page if row.alive(now) and row.created_at >= since)
            if len(page) < PAGE:
                break
            after = page[-1].accessor
        return alive


def _new_key() -> str:
    return "".join(secrets.choice(_KEY_ALPHABET) for _ in range(_KEY_LENGTH))


def _new_secret() -> str:
    """Begins with a letter or digit, so that no shell takes it for an option."""
    while True:
        secret = secrets.token_urlsafe(_SECRET_BYTES)
        if secret[0].isalnum():
            return secret

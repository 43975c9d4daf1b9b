"""The key set: which keys sign the tokens for Grafana, and which are published for whoever checks these (grafana.md 5).

Verifiers keep the set for a while and do not ask again for a key that they do not know. So a new key is published for
``grafana.jwt.key_overlap`` before it signs, and an old one for as long after its last token has ended. Rows of the ring
say all of it: ``not_before`` is when a key begins to sign, ``retired_at`` when it leaves the set, and the newest one
that has begun signs. What one process does, the others see by the store's version.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from gateway.config.schema.grafana import LONGEST_LIFETIME
from gateway.store.interface import Conflict, KeyRow, Store
from gateway.tokens.grafana import Signer
from gateway.tokens.keys import JWKS, Algorithm, KeyRingError, ensure, new_pair, of_purpose

if TYPE_CHECKING:
    from gateway.config.schema.grafana import GrafanaJwt

_LONGEST_AGE: Final = 600
"""Seconds that verifiers and caches are let keep the set."""


class RotationPending(Exception):
    """A new key is published that does not sign yet; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Document:
    """The published set."""

    body: bytes
    """JSON (RFC 7517 5)."""
    etag: str
    """In quotes."""
    max_age: int
    """Seconds that it may be kept."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key pair of the ring."""

    row: KeyRow
    signer: Signer

    def published(self, now: int) -> bool:
        """Whether verifiers are told of it."""
        return all(end is None or now < end for end in (self.row.not_after, self.row.retired_at))


class KeySet:
    """The keys of purpose ``jwks`` as they were when ``follow`` was last called."""

    def __init__(self, store: Store, settings: GrafanaJwt) -> None:
        self._store = store
        self._algorithm: Algorithm = settings.algorithm
        self._overlap = int(settings.key_overlap)
        self._version: int | None = None
        self._keys: dict[str, Key] = {}

    @classmethod
    async def load(cls, store: Store, settings: GrafanaJwt, now: int) -> Self:
        """Open the set, with a first key where there is none, and a new one where another algorithm is wanted.

        Raises KeyRingError and StoreError.
        """
        made = cls(store, settings)
        await ensure(store, JWKS, settings.algorithm, now)
        heir = made._heir(await of_purpose(store, JWKS))
        if heir is None or heir.algorithm != settings.algorithm:
            await made._add(now + made._overlap, heir)
        await made._settle()
        await made.follow()
        return made

    @property
    def is_current(self) -> bool:
        """Whether nothing has changed since ``follow``. Raises StoreError."""
        return self._store.version() == self._version

    async def follow(self) -> None:
        """Take over what any process has changed. Raises KeyRingError and StoreError."""
        if self.is_current:
            return
        version = self._store.version()
        rows = await of_purpose(self._store, JWKS)
        known = {key_id: key.signer for key_id, key in self._keys.items()}
        if unknown := [row for row in rows if row.id not in known]:
            known |= await asyncio.to_thread(_signers, unknown)
        self._keys = {row.id: Key(row, known[row.id]) for row in rows}
        self._version = version

    def signer(self, now: int) -> Signer:
        """What signs at ``now``. Raises KeyRingError."""
        keys = self.published(now)
        if not keys:
            raise KeyRingError("the key set has no key left that could sign: reload, which makes one")
        begun = [key for key in keys if key.row.not_before <= now]
        # After the clock was set back: better one that verifiers know than none.
        return (begun or keys[:1])[-1].signer

    def published(self, now: int) -> list[Key]:
        """What verifiers are told of, oldest first."""
        return [key for key in self.all if key.published(now)]

    @property
    def all(self) -> list[Key]:
        """Every key, those that have ended too, oldest first."""
        return list(self._keys.values())

    def state(self, key: Key, now: int) -> str:
        """``waiting``, ``signs``, ``leaving`` or ``gone``."""
        if not key.published(now):
            return "gone"
        if key.signer is self.signer(now):
            return "signs"
        return "waiting" if key.row.not_before > now else "leaving"

    def document(self, now: int) -> Document:
        """What to publish at ``now``."""
        body = json.dumps({"keys": [key.signer.jwk for key in self.published(now)]}, separators=(",", ":")).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        return Document(body, etag, min(self._overlap // 2, _LONGEST_AGE))

    async def rotate(self, now: int, *, at_once: bool = False, force: bool = False) -> Key:
        """Begin with a new key, which signs when ``key_overlap`` is over.

        ``at_once`` it signs now and every other key goes, as tokens of theirs are no longer to count. Raises
        RotationPending where a new key has yet to sign, unless ``force`` or ``at_once``, or where another process has
        just made one; KeyRingError and StoreError.
        """
        rows = await of_purpose(self._store, JWKS)
        heir = self._heir(rows)
        if heir is not None and heir.not_before > now and not (force or at_once):
            raise RotationPending("a new key is published already and has yet to sign")
        added = await (self._add(now) if at_once else self._add(now + self._overlap, heir))
        if added is None:
            raise RotationPending("another process has just begun with a new key")
        if at_once:
            for row in rows:
                await self._store.key_retire(row.id, 0)
        await self._settle()
        await self.follow()
        return self._keys[added]

    def _heir(self, rows: list[KeyRow]) -> KeyRow | None:
        """The newest key without an end."""
        return next((row for row in reversed(rows) if row.retired_at is None and row.not_after is None), None)

    async def _add(self, not_before: int, heir: KeyRow | None = None) -> str | None:
        """Add a key that comes after ``heir``; None where another process was faster.

        Its id is made of the heir's, so that of several processes one adds a key.
        """
        key_id = hashlib.sha256(f"{heir.id} {self._algorithm}".encode()).hexdigest()[:32] if heir else ""
        # A clock that was set back must not put it before the one that it replaces.
        begins = max(not_before, heir.not_before + 1) if heir else not_before
        key = await new_pair(JWKS, self._algorithm, begins, key_id)
        try:
            await self._store.key_add(key)
        except Conflict:
            return None
        return key.id

    async def _settle(self) -> None:
        """Let every key but the newest go some time after that begins to sign; what was cut short is done here."""
        rows = await of_purpose(self._store, JWKS)
        heir = self._heir(rows)
        for row in rows:
            if heir is not None and row.id != heir.id and row.retired_at is None:
                end = heir.not_before + int(LONGEST_LIFETIME) + self._overlap
                await self._store.key_retire(row.id, end)


def _signers(rows: list[KeyRow]) -> dict[str, Signer]:
    try:
        return {row.id: Signer(row.private, row.public) for row in rows}
    except ValueError:
        raise KeyRingError("a signing key of purpose jwks cannot be read: delete its row of signing_keys") from None

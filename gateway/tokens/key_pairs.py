"""The key pairs of one purpose of the ring: which one signs, which still count, and their replacement.

Rows of the ring say all of it: ``not_before`` is when a key begins to sign, ``retired_at`` when it ceases to count, and
the newest one that has begun signs. What one process does, the others see by the store's version.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from gateway.store.interface import Conflict
from gateway.tokens.keys import KeyRingError, ensure, new_pair, of_purpose

if TYPE_CHECKING:
    from gateway.store.interface import KeyRow, Store
    from gateway.tokens.keys import Algorithm


class Signs(Protocol):
    """A private key that signs."""

    @property
    def key_id(self) -> str:
        """``kid`` in what it signs."""


S = TypeVar("S", bound=Signs)


class RotationPending(Exception):
    """There is a new key that does not sign yet; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Key(Generic[S]):
    """A key pair of the ring."""

    row: KeyRow
    signer: S

    def counts(self, now: int) -> bool:
        """Whether what it signs is good, or will be once it begins."""
        return all(end is None or now < end for end in (self.row.not_after, self.row.retired_at))


class KeyPairs(Generic[S]):
    """The keys of a purpose as they were when ``follow`` was last called."""

    def __init__(
        self, store: Store, purpose: str, algorithm: Algorithm, read: Callable[[KeyRow], S], *, lifetime: int,
        overlap: int = 0,
    ) -> None:  # fmt: skip
        """``lifetime``: seconds that a token counts at most. ``overlap``: seconds that a new key waits before it signs,
        and that an old one counts for longer than its tokens. ``read`` runs in a thread, and raises ValueError."""
        self.purpose = purpose
        self._store = store
        self._algorithm: Algorithm = algorithm
        self._read = read
        self._lifetime = lifetime
        self._overlap = overlap
        self._version: int | None = None
        self._keys: dict[str, Key[S]] = {}

    async def open(self, now: int) -> None:
        """To be called first: makes a first key where there is none, and a new one where another algorithm is wanted.

        Raises KeyRingError and StoreError.
        """
        await ensure(self._store, self.purpose, self._algorithm, now)
        heir = _heir(await of_purpose(self._store, self.purpose))
        if heir is None or heir.algorithm != self._algorithm:
            await self._add(now + self._overlap, heir)
        await self._settle()
        await self.follow()

    @property
    def is_current(self) -> bool:
        """Whether nothing has changed since ``follow``. Raises StoreError."""
        return self._store.version() == self._version

    async def follow(self) -> None:
        """Take over what any process has changed. Raises KeyRingError and StoreError."""
        if self.is_current:
            return
        version = self._store.version()
        rows = await of_purpose(self._store, self.purpose)
        known = {key_id: key.signer for key_id, key in self._keys.items()}
        if unknown := [row for row in rows if row.id not in known]:
            known |= await asyncio.to_thread(self._signers, unknown)
        self._keys = {row.id: Key(row, known[row.id]) for row in rows}
        self._version = version

    def signer(self, now: int) -> S:
        """What signs at ``now``. Raises KeyRingError."""
        keys = self.counting(now)
        if not keys:
            raise KeyRingError(f"no key left of purpose {self.purpose} could sign: reload, which makes one")
        begun = [key for key in keys if key.row.not_before <= now]
        # After the clock was set back: better one that verifiers know than none.
        return (begun or keys[:1])[-1].signer

    def counting(self, now: int) -> list[Key[S]]:
        """Those by which tokens are good at ``now``, or soon will be; oldest first."""
        return [key for key in self.all if key.counts(now)]

    @property
    def all(self) -> list[Key[S]]:
        """Every key, those that have ended too, oldest first."""
        return list(self._keys.values())

    def state(self, key: Key[S], now: int) -> str:
        """``waiting``, ``signs``, ``leaving`` or ``gone``."""
        if not key.counts(now):
            return "gone"
        if key.signer is self.signer(now):
            return "signs"
        return "waiting" if key.row.not_before > now else "leaving"

    async def rotate(self, now: int, *, at_once: bool = False, force: bool = False) -> Key[S]:
        """Begin with a new key, which signs when ``overlap`` is over.

        ``at_once`` it signs now and every other key goes, as tokens of theirs are no longer to count. Raises
        RotationPending where a new key has yet to sign, unless ``force`` or ``at_once``, or where another process has
        just made one; KeyRingError and StoreError.
        """
        rows = await of_purpose(self._store, self.purpose)
        heir = _heir(rows)
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

    async def _add(self, not_before: int, heir: KeyRow | None = None) -> str | None:
        """Add a key that comes after ``heir``; None where another process was faster.

        Its id is made of the heir's, so that of several processes one adds a key.
        """
        key_id = hashlib.sha256(f"{heir.id} {self._algorithm}".encode()).hexdigest()[:32] if heir else ""
        # A clock that was set back must not put it before the one that it replaces.
        begins = max(not_before, heir.not_before + 1) if heir else not_before
        key = await new_pair(self.purpose, self._algorithm, begins, key_id)
        try:
            await self._store.key_add(key)
        except Conflict:
            return None
        return key.id

    async def _settle(self) -> None:
        """Let every key but the newest go some time after that begins to sign; what was cut short is done here."""
        rows = await of_purpose(self._store, self.purpose)
        heir = _heir(rows)
        for row in rows:
            if heir is not None and row.id != heir.id and row.retired_at is None:
                await self._store.key_retire(row.id, heir.not_before + self._lifetime + self._overlap)

    def _signers(self, rows: list[KeyRow]) -> dict[str, S]:
        try:
            return {row.id: self._read(row) for row in rows}
        except ValueError:
            raise KeyRingError(
                f"a signing key of purpose {self.purpose} cannot be read: delete its row of signing_keys"
            ) from None


def _heir(rows: list[KeyRow]) -> KeyRow | None:
    """The newest key without an end."""
    return next((row for row in reversed(rows) if row.retired_at is None and row.not_after is None), None)

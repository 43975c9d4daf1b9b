"""The key ring: signing keys kept in the store, sealed with the master key (DECISIONS 19)."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence
from typing import Final, Self

from gateway.store.interface import KeyRow, Store, StoreError
from gateway.store.sealing import SealBroken

CLEARML: Final = "clearml"
"""The purpose of keys for ClearML tokens."""
_SECRET_LENGTH: Final = 64
"""Bytes of a new HS256 key: the block of SHA-256, beyond which HMAC gains nothing (RFC 2104 3)."""


class KeyRingError(StoreError):
    """The ring cannot be opened or has no key; the text says what to do."""


class KeyRing:
    """The keys as they were at ``load``; load again when the store's version moves."""

    def __init__(self, keys: Sequence[KeyRow], given: str | None) -> None:
        self._keys = tuple(keys)
        self._given = None if given is None else given.encode()

    @classmethod
    async def load(cls, store: Store, now: int, given: str | None = None) -> Self:
        """Read the ring, making a first ClearML key where there is none and no secret is configured.

        ``given`` is ``clearml.token_secret``; it wins over stored keys. Several processes loading at once end with the
        same key. ``KeyRingError`` when the stored keys do not open.
        """
        if given is not None and not given:
            raise KeyRingError("clearml.token_secret is empty: remove it, or give at least 32 random characters")
        try:
            keys = await store.keys()
            if given is None and not _live(keys, now):
                await store.key_add(_new_clearml_key(), unless_live_at=now)
                keys = await store.keys()
        except SealBroken:
            raise KeyRingError(
                "the stored signing keys do not open with this master key: put back the tokens.master_key or the "
                "master.key file that made them, or delete the rows of signing_keys, which ends every token signed "
                "with them"
            ) from None
        return cls(keys, given)

    def clearml_secret(self, now: int) -> bytes:
        """The secret that signs: the newest live one. ``KeyRingError`` when all have ended."""
        return self.clearml_secrets(now)[0]

    def clearml_secrets(self, now: int) -> tuple[bytes, ...]:
        """The secrets that verify, the one that signs first. ``KeyRingError`` when all have ended."""
        if self._given is not None:
            return (self._given,)
        found = tuple(key.private for key in reversed(_live(self._keys, now)))
        if not found:
            raise KeyRingError("the key ring has no live key for ClearML tokens")
        return found


def _live(keys: Sequence[KeyRow], now: int) -> list[KeyRow]:
    """Oldest first, as the store lists them."""
    return [key for key in keys if key.purpose == CLEARML and key.algorithm == "HS256" and key.live(now)]


def _new_clearml_key() -> KeyRow:
    # Live from the beginning of time: a clock that is set back must not leave the ring without a key.
    return KeyRow(uuid.uuid4().hex, CLEARML, "HS256", secrets.token_bytes(_SECRET_LENGTH), b"", not_before=0)

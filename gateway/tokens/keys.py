"""The key ring: signing keys kept in the store, sealed with the master key (DECISIONS 19)."""

from __future__ import annotations

import asyncio
import secrets
import uuid
from collections.abc import Sequence
from typing import Final, Literal, Self

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from gateway.store.interface import KeyRow, Store, StoreError
from gateway.store.sealing import SealBroken

Algorithm = Literal["ES256", "RS256"]
"""Of key pairs: P-256, or RSA with 2048 bits (RFC 7518 3.1)."""

CLEARML: Final = "clearml"
"""The purpose of keys for ClearML tokens."""
JWKS: Final = "jwks"
"""The purpose of the key pairs whose public halves are at ``/.well-known/jwks.json``."""
_RSA_BITS: Final = 2048
_BROKEN: Final = (
    "the stored signing keys do not open with this master key: put back the tokens.master_key or the master.key file "
    "that made them, or delete the rows of signing_keys, which ends every token signed with them"
)
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
            raise KeyRingError(_BROKEN) from None
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


async def ensure(store: Store, purpose: str, algorithm: Algorithm, now: int) -> list[KeyRow]:
    """The live key pairs of a purpose (``jwks``, ``conjur:ACCOUNT``), oldest first; a first one is made where there is
    none.

    Several processes at once end with the same one. ``KeyRingError`` when the stored keys do not open, and
    ``StoreError``.
    """
    keys = await of_purpose(store, purpose)
    if not any(key.live(now) for key in keys):
        # Live from the beginning of time: a clock that is set back must not leave the ring without a key.
        await store.key_add(await new_pair(purpose, algorithm, not_before=0), unless_live_at=now)
        keys = await of_purpose(store, purpose)
    return [key for key in keys if key.live(now)]


async def of_purpose(store: Store, purpose: str) -> list[KeyRow]:
    """All keys of a purpose, dead or alive, oldest first. Raises KeyRingError and StoreError."""
    try:
        return [key for key in await store.keys() if key.purpose == purpose]
    except SealBroken:
        raise KeyRingError(_BROKEN) from None


async def new_pair(purpose: str, algorithm: Algorithm, not_before: int, key_id: str = "") -> KeyRow:
    """A key pair that nobody has yet: private as PKCS #8, public as SubjectPublicKeyInfo, both DER."""
    private, public = await asyncio.to_thread(_generate, algorithm)
    return KeyRow(key_id or uuid.uuid4().hex, purpose, algorithm, private, public, not_before)


def _generate(algorithm: Algorithm) -> tuple[bytes, bytes]:
    """Takes long for RSA."""
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if algorithm == "ES256":
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return private, key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _live(keys: Sequence[KeyRow], now: int) -> list[KeyRow]:
    """Oldest first, as the store lists them."""
    return [key for key in keys if key.purpose == CLEARML and key.algorithm == "HS256" and key.live(now)]


def _new_clearml_key() -> KeyRow:
    # Live from the beginning of time: a clock that is set back must not leave the ring without a key.
    return KeyRow(uuid.uuid4().hex, CLEARML, "HS256", secrets.token_bytes(_SECRET_LENGTH), b"", not_before=0)

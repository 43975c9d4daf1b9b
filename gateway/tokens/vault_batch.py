"""Batch tokens of the Vault dialect: the token itself is its record, sealed (configuration.md 3).

``hvb.`` and base64url without padding of a random 96-bit nonce (NIST SP 800-38D 8.2.2), the ciphertext of compact JSON
under AES-256-GCM, and its tag. The claims: identity, policies, server, issue and end time and parent, and besides, for
look-ups and checks, path, name, meta, role and addresses.
"""

from __future__ import annotations

import hmac
import json
import os
import uuid
from collections.abc import Sequence
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.store.interface import KeyRow, Store, TokenRow
from gateway.tokens import base64url
from gateway.tokens.opaque import MAX_SIZE, digest
from gateway.tokens.vault_ttl import Refused

PREFIX: Final = "hvb."
PURPOSE: Final = "batch"
"""Of the key in the ring."""
_ALGORITHM: Final = "A256GCM"
_NONCE: Final = 12
_CONTEXT: Final = b"ldap-gateway vault batch 1"


class BatchTokens:
    """Seals with the first key and opens with any of them."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """``keys`` have 32 bytes; at least one."""
        self._ciphers = [AESGCM(key) for key in keys]
        self._accessors = keys[-1]

    def accessor(self, text: str) -> str:
        """Of a token that is configured: the same for each process and start, for as long as the oldest key lives.

        Accessors are shown and logged, and what people choose for a token could be guessed from a hash without a key.
        """
        return hmac.digest(self._accessors, b"accessor\0" + text.encode(), "sha256").hex()[:24]

    def seal(self, row: TokenRow) -> str:
        """The token. ``Refused`` when it would be longer than any presented string may be."""
        claims = {
            "i": row.identity, "p": row.policies, "s": row.server, "t": row.created_at, "e": row.expires_at,
            "o": row.parent, "w": row.path, "n": row.label, "m": dict(row.meta), "l": dict(row.limits),
        }  # fmt: skip
        nonce = os.urandom(_NONCE)
        content = json.dumps(claims, separators=(",", ":")).encode()
        sealed = nonce + self._ciphers[0].encrypt(nonce, content, _CONTEXT)
        text = PREFIX + base64url.encode(sealed).decode()
        if len(text) > MAX_SIZE:
            raise Refused("the metadata and policies are too long for a batch token")
        return text

    def open(self, text: str) -> TokenRow | None:
        """The token as a row without accessor that no store has; None for what is not one of ours."""
        if len(text) > MAX_SIZE or not text.startswith(PREFIX) or not text.isascii():
            return None
        try:
            sealed = base64url.decode(text.removeprefix(PREFIX).encode())
        except ValueError:
            return None
        for cipher in self._ciphers:
            try:
                return _row(json.loads(cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], _CONTEXT)), text)
            except (InvalidTag, ValueError):  # ValueError: the nonce is too short
                continue
        return None


def _row(claims: dict[str, Any], text: str) -> TokenRow:
    return TokenRow(
        hash=digest(text),
        accessor="",
        kind="vault",
        identity=claims["i"],
        created_at=claims["t"],
        parent=claims["o"],
        server=claims["s"],
        path=claims["w"],
        policies=tuple(claims["p"]),
        meta=claims["m"],
        limits=claims["l"],
        label=claims["n"],
        expires_at=claims["e"],
        orphan=claims["o"] is None,
    )


async def load_keys(store: Store, now: int) -> tuple[bytes, ...]:
    """The live keys of the ring, the newest first; a first one is made where there is none.

    Several processes loading at once end with the same key. Raises ``SealBroken`` and ``StoreUnavailable``.
    """
    found = await _live(store, now)
    if not found:
        key = KeyRow(uuid.uuid4().hex, PURPOSE, _ALGORITHM, AESGCM.generate_key(256), b"", not_before=0)
        await store.key_add(key, unless_live_at=now)
        found = await _live(store, now)
    return found


async def _live(store: Store, now: int) -> tuple[bytes, ...]:
    keys = [key for key in await store.keys() if key.purpose == PURPOSE and key.algorithm == _ALGORITHM]
    return tuple(key.private for key in reversed(keys) if key.live(now))

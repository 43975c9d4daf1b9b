"""The key set: which keys sign the tokens for Grafana, and which are published for whoever checks these (grafana.md 5).

Verifiers keep the set for a while and do not ask again for a key that they do not know. So a new key is published for
``grafana.jwt.key_overlap`` before it signs, and an old one for as long after its last token has ended.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from gateway.config.schema.grafana import LONGEST_LIFETIME
from gateway.tokens.grafana import Signer
from gateway.tokens.key_pairs import KeyPairs
from gateway.tokens.keys import JWKS

if TYPE_CHECKING:
    from gateway.config.schema.grafana import GrafanaJwt
    from gateway.store.interface import KeyRow, Store

_LONGEST_AGE: Final = 600
"""Seconds that caches are let keep the set. A verifier behind one keeps it on top of that, and both together must be
shorter than the overlap: ``cache_ttl`` of the printed settings is at most two thirds of that."""


@dataclass(frozen=True, slots=True)
class Document:
    """The published set."""

    body: bytes
    """JSON (RFC 7517 5)."""
    etag: str
    """In quotes."""
    max_age: int
    """Seconds that it may be kept: a quarter of the overlap at most."""


class KeySet(KeyPairs[Signer]):
    """The keys of purpose ``jwks``."""

    def __init__(self, store: Store, settings: GrafanaJwt) -> None:
        lifetime, overlap = int(LONGEST_LIFETIME), int(settings.key_overlap)
        super().__init__(store, JWKS, settings.algorithm, _read, lifetime=lifetime, overlap=overlap)

    @classmethod
    async def load(cls, store: Store, settings: GrafanaJwt, now: int) -> Self:
        """Open the set. Raises KeyRingError and StoreError."""
        made = cls(store, settings)
        await made.open(now)
        return made

    def document(self, now: int) -> Document:
        """What to publish at ``now``."""
        body = json.dumps({"keys": [key.signer.jwk for key in self.counting(now)]}, separators=(",", ":")).encode()
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        return Document(body, etag, min(self._overlap // 4, _LONGEST_AGE))


def _read(row: KeyRow) -> Signer:
    return Signer(row.private, row.public)

"""API keys of the Conjur dialect: derived instead of stored (configuration.md 3, conjur.md 5).

A key is HMAC-SHA256 of account, identity, the time since which what the identity holds counts, and a counter, under a
key derived from the master key; in lower-case base32 (RFC 4648 6) without padding. So a login gives the same key until
it is rotated. It is the identity's rather than the login's: a name that was given to somebody else is another person
(DECISIONS 1), and whoever left and came back, or whose tokens were all revoked, gets another key.
"""

from __future__ import annotations

import hmac
import re
from base64 import b32encode
from typing import TYPE_CHECKING, Final

from gateway.store.interface import Conflict

if TYPE_CHECKING:
    from gateway.store.interface import IdentityRow, Store

_PURPOSE: Final = "conjur api keys 1"
_FORM: Final = re.compile(r"[a-z2-7]{51}[aq]", re.ASCII | re.IGNORECASE)
"""256 bits: the last character holds one of them."""


def is_api_key(text: str) -> bool:
    """Whether a text has the form of a key, in whatever letter case and with blanks around it.

    Then it is decided here, and never sent to a directory (DECISIONS 14).
    """
    return _FORM.fullmatch(text.strip()) is not None


class ApiKeys:
    """The keys of one account. Nothing is remembered, so what another process rotates counts at once."""

    def __init__(self, store: Store, account: str) -> None:
        self._store = store
        self._account = account
        self._secret = store.derived_key(_PURPOSE)

    async def of(self, row: IdentityRow) -> str:
        """Somebody's key. Raises StoreError."""
        return self._key(row, await self._store.counter(self._counter(row)))

    async def rotate(self, row: IdentityRow, shown: str = "") -> str:
        """Somebody's next key; the one before has ended on return, for good. Raises StoreError.

        With ``shown``, the key that asks for it, Conflict where that is not theirs, or no longer at the moment of the
        change.
        """
        counted = await self._store.counter(self._counter(row))
        if shown and not _same(self._key(row, counted), shown):
            raise Conflict("the API key that asks for another one has ended")
        return self._key(row, await self._store.counter_next(self._counter(row), counted if shown else None))

    async def fits(self, row: IdentityRow, presented: str) -> bool:
        """Whether it is somebody's key, in constant time. Raises StoreError."""
        return _same(await self.of(row), presented)

    def _counter(self, row: IdentityRow) -> str:
        return f"conjur:{self._account}:{row.id}"

    def _key(self, row: IdentityRow, counter: int) -> str:
        message = "\0".join((self._account, row.id, str(row.valid_after), str(counter)))
        derived = hmac.digest(self._secret, message.encode(), "sha256")
        return b32encode(derived).rstrip(b"=").decode().lower()


def _same(key: str, presented: str) -> bool:
    return hmac.compare_digest(key.encode(), presented.encode("utf-8", "surrogatepass"))

"""Salts of the Conjur dialect's tokens, which tell whose a token is (conjur.md 6.1, 6.2, 9.9).

A token of v4 holds a name and nothing else, and names are given to others (DECISIONS 1); and where another account,
program or gateway signs with the same key, its tokens verify here, though they are about others of the same name. So
the salt of a token is HMAC-SHA256 of account, identity and the text that is signed, under a key derived from the master
key. The form of the token stays: a salt need only be unforeseeable, slosilo takes any, and it is signed itself.
"""

from __future__ import annotations

import hmac
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.store.interface import Store
    from gateway.tokens.conjur import ConjurToken, Salt

_PURPOSE: Final = "conjur token salts 1"


class Salts:
    """The salts of one account: the same for every process on one store."""

    def __init__(self, store: Store, account: str) -> None:
        self._account = account
        self._secret = store.derived_key(_PURPOSE)

    def of(self, identity_id: str) -> Salt:
        """What makes the salts of somebody's tokens."""
        return partial(self._salt, identity_id)

    def fits(self, identity_id: str, token: ConjurToken) -> bool:
        """Whether a token that verified was made here for somebody, in constant time."""
        return hmac.compare_digest(self._salt(identity_id, token.text), token.salt)

    def _salt(self, identity_id: str, text: bytes) -> bytes:
        message = b"\0".join((self._account.encode(), identity_id.encode(), text))
        return hmac.digest(self._secret, message, "sha256")

"""Credentials that can be decided without asking a directory: service keys, and passwords accepted moments ago."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gateway.identity import Identity, fold_name

if TYPE_CHECKING:
    from gateway.config.schema import Credential


class Services:
    """``clearml.credentials``: keys and secrets of programs, as the configuration writes them."""

    def __init__(self, credentials: Mapping[str, Credential], identities: Mapping[str, Identity]) -> None:
        self._by_key = {c.user_key: (c.user_secret, identities[name]) for name, c in credentials.items()}

    def owns(self, key: str) -> bool:
        """Say whether a presented user name is the key of a service."""
        return key in self._by_key

    def identity(self, key: str, secret: str) -> Identity | None:
        """The identity of a service; None where key or secret is wrong."""
        known = self._by_key.get(key)
        if known is None or not hmac.compare_digest(known[0].reveal().encode(), secret.encode()):
            return None
        return known[1]


class LoginCache:
    """Successful logins of the last seconds, by an HMAC under a key of this process; failures are never kept.

    An agent that logs in again before every request then costs its directory one bind, not thousands.
    """

    def __init__(self, lifetime_seconds: float, size: int) -> None:
        self._lifetime = lifetime_seconds
        self._size = size
        self._key = secrets.token_bytes(32)
        self._identities: OrderedDict[bytes, tuple[float, Identity]] = OrderedDict()

    def get(self, username: str, password: str) -> Identity | None:
        """The identity that this name and password proved within the lifetime."""
        if not self._identities:
            return None
        digest = self._digest(username, password)
        ends, identity = self._identities.get(digest, (0.0, None))
        if identity is not None and ends <= time.monotonic():
            del self._identities[digest]
            return None
        return identity

    def put(self, username: str, password: str, identity: Identity) -> None:
        """Remember a login that a directory has just accepted."""
        if self._lifetime <= 0 or self._size <= 0:
            return
        digest = self._digest(username, password)
        self._identities[digest] = (time.monotonic() + self._lifetime, identity)
        self._identities.move_to_end(digest)
        if len(self._identities) > self._size:
            self._identities.popitem(last=False)

    def _digest(self, username: str, password: str) -> bytes:
        return hmac.digest(self._key, f"{fold_name(username)}\0{password}".encode(), hashlib.sha256)

"""Credentials that can be decided without asking a directory: service keys, and passwords accepted moments ago."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.bounded import keep
from gateway.identity import Identity

if TYPE_CHECKING:
    from gateway.config.schema import Credential


@dataclass(frozen=True, slots=True)
class Remembered:
    """A login that succeeded."""

    identity_id: str
    server: str
    entry: str
    """Key of the entry, as the lockout counts it."""


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
        if known is None or not hmac.compare_digest(_octets(known[0].reveal()), _octets(secret)):
            return None
        return known[1]


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


class LoginCache:
    """Successful logins of the last seconds, by an HMAC under a key of this process; failures are never kept.

    An agent that logs in again before every request then costs its directory one bind, not thousands. The name counts
    as it was typed: only the directory knows which other spellings it would have taken.
    """

    def __init__(self, lifetime_seconds: float, size: int) -> None:
        self._lifetime = lifetime_seconds
        self._size = size
        self._key = secrets.token_bytes(32)
        self._logins: OrderedDict[bytes, tuple[float, Remembered]] = OrderedDict()

    def get(self, username: str, password: str, scope: str = "") -> Remembered | None:
        """The login that this name and password made within the lifetime, in the same ``Attempt.scope``."""
        if not self._logins:
            return None
        digest = self._digest(username, password, scope)
        ends, login = self._logins.get(digest, (0.0, None))
        if login is not None and ends <= time.monotonic():
            del self._logins[digest]
            return None
        return login

    def put(self, username: str, password: str, login: Remembered, scope: str = "") -> None:
        """Remember a login that a directory has just accepted."""
        if self._lifetime <= 0 or self._size <= 0:
            return
        digest = self._digest(username, password, scope)
        keep(self._logins, digest, (time.monotonic() + self._lifetime, login), self._size)

    def _digest(self, username: str, password: str, scope: str) -> bytes:
        presented = f"{username}\0{password}\0{scope}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, presented, hashlib.sha256)

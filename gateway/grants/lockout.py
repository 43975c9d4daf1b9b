"""When repeated failures lock an account or slow down an address. Pure: the store counts atomically with ``count``.

Three counters per failed login (DECISIONS 13): the folded typed name, known before any traffic; the entry, known after
the search; the client's address. A login goes::

    keys = (lockout.name_key(server, typed_name), lockout.address_key(address))
    verdict = lockout.check(await store.failures(keys), now, settings)          # before any traffic
    keys += (lockout.entry_key(server, external_id, username),)      # after the search: check again, then bind
    await store.failure_add(keys, now, settings)                     # the password was refused
    await store.failures_clear(keys)                                 # or it was right

A success never clears the address's counter, or one valid account would pay for guesses at all others.

Concurrent attempts on one account must take turns between the check and the count, or all of them pass the check.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from typing import Final, Protocol

from gateway.identity import fold_for_lockout

_SHOWN_LENGTH: Final = 200


class Settings(Protocol):
    """``lockout.*`` of the configuration; times in seconds. A limit of 0 switches that counter off."""

    @property
    def failures(self) -> int: ...
    @property
    def window(self) -> float: ...
    @property
    def duration(self) -> float: ...
    @property
    def address_failures(self) -> int: ...
    @property
    def max_entries(self) -> int: ...


@dataclass(frozen=True, slots=True)
class OwnSettings:
    """``Settings`` of one server."""

    failures: int
    window: float
    duration: float
    address_failures: int
    max_entries: int


def tuned(
    settings: Settings, *, failures: int = 0, window: float = 0.0, duration: float = 0.0, disabled: bool = False
) -> Settings:
    """The settings with what a server has of its own; 0 stands for "as everywhere" (vault.md 7)."""
    if not (failures or window or duration or disabled):
        return settings
    return OwnSettings(
        failures=0 if disabled else failures or settings.failures,
        window=window or settings.window,
        duration=duration or settings.duration,
        address_failures=settings.address_failures,
        max_entries=settings.max_entries,
    )


class Kind(StrEnum):
    """What a counter counts."""

    NAME = "name"
    ENTRY = "entry"
    ADDRESS = "address"


@dataclass(frozen=True, slots=True)
class Key:
    """What is counted: a hash for the store, a text for the operator."""

    hash: bytes
    shown: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Counter:
    """The stored state of one key. ``locked_until`` is 0 without a lock; ``known`` tells that an entry was found."""

    hash: bytes
    shown: str
    kind: Kind
    known: bool
    count: int
    first_at: int
    last_at: int
    locked_until: int
    expires_at: int
    """From here on the row means nothing."""


class Verdict(StrEnum):
    """``LOCKED`` looks like a wrong password to the client, ``THROTTLED`` is 429 with Retry-After."""

    ALLOWED = "allowed"
    LOCKED = "locked"
    THROTTLED = "throttled"


@dataclass(frozen=True, slots=True)
class LockoutDecision:
    """The verdict, what caused it, and the seconds until it ends."""

    verdict: Verdict
    shown: str = ""
    retry_after: int = 0


ALLOWED: Final = LockoutDecision(Verdict.ALLOWED)


def name_key(server: str, typed_name: str) -> Key:
    """Key of a name as it was typed on one server."""
    return _key(Kind.NAME, f"{server}/{fold_for_lockout(typed_name)}")


def address_key(address: IPv4Address | IPv6Address) -> Key:
    """Key of a client's address; of its /64 for IPv6, where one client has them all."""
    return _key(Kind.ADDRESS, _network(address))


def entry_key(server: str, external_id: str, username: str) -> Key:
    """Key of the entry that the search found, whatever name was typed."""
    return _key(Kind.ENTRY, f"{server}/{external_id}", shown=f"{server}/{username}")


def check(counters: Mapping[bytes, Counter], now: int, settings: Settings) -> LockoutDecision:
    """Whether the attempt may go on. An address's verdict comes first: it says nothing about the account."""
    locks = [c for c in counters.values() if c.locked_until > now and _limit(c.kind, settings)]
    if not locks:
        return ALLOWED
    worst = max(locks, key=lambda c: (c.kind is Kind.ADDRESS, c.locked_until))
    verdict = Verdict.THROTTLED if worst.kind is Kind.ADDRESS else Verdict.LOCKED
    return LockoutDecision(verdict, worst.shown, worst.locked_until - now)


def count(counter: Counter | None, key: Key, known: bool, now: int, settings: Settings) -> Counter:
    """The counter after one more failure.

    An account's counter is forgotten after ``window`` without a failure, as Vault does (vault.md 7); an
    address's after ``window`` from its first, since a busy office never has a quiet quarter of an hour. A lock is not
    prolonged by failures during it, and when it has ended counting starts anew.
    """
    if counter is None or _forgotten(counter, now, settings):
        counter = Counter(key.hash, key.shown, key.kind, False, 0, now, now, 0, now)
    failures = counter.count + 1
    locked_until = counter.locked_until
    limit = _limit(key.kind, settings)
    if limit and failures >= limit and not locked_until:
        locked_until = now + math.ceil(settings.duration)
    return Counter(
        key.hash, key.shown, key.kind, known or counter.known,
        failures, counter.first_at, now, locked_until, max(locked_until, now + math.ceil(settings.window)),
    )  # fmt: skip


def finds_entry(given: Iterable[Key]) -> bool:
    """Whether these keys belong to an attempt that found an entry, so that its typed name is a known one."""
    return any(key.kind is Kind.ENTRY for key in given)


def _forgotten(counter: Counter, now: int, settings: Settings) -> bool:
    if counter.locked_until:
        return counter.locked_until <= now
    since = counter.first_at if counter.kind is Kind.ADDRESS else counter.last_at
    return now - since >= settings.window


def _limit(kind: Kind, settings: Settings) -> int:
    return settings.address_failures if kind is Kind.ADDRESS else settings.failures


def _key(kind: Kind, what: str, shown: str = "") -> Key:
    # Lone surrogates come from JSON and from undecodable headers; they must count like any other name.
    digest = hashlib.sha256(f"{kind}\0{what}".encode("utf-8", "surrogatepass")).digest()
    text = (shown or what)[:_SHOWN_LENGTH]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return Key(digest, text, kind)


def _network(address: IPv4Address | IPv6Address) -> str:
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(IPv6Network((int(address), 64), strict=False))

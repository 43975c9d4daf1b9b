"""People written into the configuration itself: the embedded default, tried before any server."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Iterable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Final

import argon2
import bcrypt

from gateway.config.schema import PLAIN_FORM, Secret, plain_form
from gateway.directory.realm import Gate, Outcome, Rule, Verdict
from gateway.identity import LOCAL, Account, Group, fold_name

if TYPE_CHECKING:
    from gateway.config.schema import User

HASHER: Final = argon2.PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
"""Argon2id as OWASP's first recommendation has it: 33 ms and 19 MiB a check on the machine of perf.md."""

_BCRYPT_LIMIT: Final = 72
"""Bytes of a password that bcrypt looks at; newer libraries refuse longer ones, older ones cut them."""

_BCRYPT_COST_END: Final = len("$2b$12$")

_NOBODY: Final = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5LW5vYm9keQ$0uK0VmkDjvBaLSLOJxpTDNZSiKIsKMTz6SWuIFlKLvA"
"""What an unknown name is checked against where no local user has a slow hash."""


def hash_password(password: str) -> str:
    """Make the value for ``users[].password_hash``."""
    return HASHER.hash(password)


def verify_password(password_hash: str, password: str) -> bool:
    """Check a password against an argon2id, bcrypt or in-memory hash. Slow: not for the event loop."""
    if password_hash.startswith(PLAIN_FORM):
        salt = base64.b64decode(password_hash.removeprefix(PLAIN_FORM).partition("$")[0])
        return plain_form(password, salt) == Secret(password_hash)
    if password_hash.startswith("$argon2"):
        try:
            return HASHER.verify(password_hash, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False
    try:
        return bcrypt.checkpw(password.encode()[:_BCRYPT_LIMIT], password_hash.encode())
    except ValueError:
        return False


def _cost_of(password_hash: str) -> str:
    """What two hashes have in common that take as long: all before the salt."""
    if password_hash.startswith("$argon2"):
        return password_hash.rsplit("$", 2)[0]
    return password_hash[:_BCRYPT_COST_END]


def _slowest_seconds(hashes: Iterable[str]) -> float:
    slowest = 0.0
    for password_hash in hashes:
        started = time.perf_counter()
        verify_password(password_hash, "wrong")
        slowest = max(slowest, time.perf_counter() - started)
    return slowest


class LocalUsers:
    """The users of one configuration; passwords are checked in threads, at most ``at_once`` at a time.

    The threads are the process's: each one that has hashed keeps argon2's memory, so a reload must not make new ones.
    """

    name = LOCAL

    def __init__(self, users: Iterable[User], threads: Executor, at_once: int) -> None:
        self._users = {fold_name(user.username): user for user in users}
        slow = (user.password_hash.reveal() for user in self._users.values())
        self._nobody = next((given for given in slow if given and not given.startswith(PLAIN_FORM)), _NOBODY)
        """Checked for unknown names where no server follows, so that they take as long as known ones."""
        self._threads = threads
        self._slots = asyncio.Semaphore(at_once)
        self._measuring = asyncio.Lock()
        self._slowest: float | None = None

    def knows(self, username: str) -> bool:
        """Say whether the name is a local user's, in whatever case."""
        return fold_name(username) in self._users

    def account(self, username: str) -> Account | None:
        """The account of a local user, disabled or not; None for an unknown name."""
        user = self._users.get(fold_name(username))
        if user is None:
            return None
        return Account(
            server=LOCAL,
            external_id=fold_name(user.username),
            username=user.username,
            name=user.name,
            email=user.email,
            groups=tuple(Group(name=group, value=group) for group in user.groups),
            disabled=user.disabled,
        )

    def accounts(self) -> list[Account]:
        """All accounts."""
        return [account for name in self._users if (account := self.account(name))]

    async def slowest_seconds(self) -> float:
        """How long it takes to check the slowest of the hashes; found out when it is asked for the first time."""
        async with self._measuring:
            if self._slowest is None:
                hashes = (user.password_hash.reveal() for user in self._users.values())
                examples = {_cost_of(given): given for given in hashes if given and not given.startswith(PLAIN_FORM)}
                loop = asyncio.get_running_loop()
                self._slowest = await loop.run_in_executor(self._threads, _slowest_seconds, [*examples.values()])
        return self._slowest

    async def authenticate(self, username: str, password: str, gate: Gate, rule: Rule | None = None) -> Verdict:
        """Check a password; for an unknown name too, against the hash of nobody."""
        user = self._users.get(fold_name(username))
        if user is not None and not await gate.admits_entry(self.name, fold_name(user.username)):
            return Verdict(self.name, Outcome.LOCKED, "locked after too many failures", entry=fold_name(user.username))
        if rule and (account := self.account(username)) is not None and (refusal := rule(account)):
            return Verdict(self.name, Outcome.UNGRANTED, refusal)
        password_hash = user.password_hash.reveal() if user else self._nobody
        loop = asyncio.get_running_loop()
        async with self._slots:
            right = await loop.run_in_executor(self._threads, verify_password, password_hash, password)
        if user is None:
            return Verdict(self.name, Outcome.NOT_FOUND, "unknown name")
        entry = fold_name(user.username)
        if not right:
            return Verdict(self.name, Outcome.INVALID, "wrong password", entry=entry)
        if user.disabled:
            return Verdict(self.name, Outcome.INVALID, "the user is disabled in the configuration", entry=entry)
        return Verdict(self.name, Outcome.OK, account=self.account(username), entry=entry)

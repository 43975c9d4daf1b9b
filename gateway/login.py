"""The one use case: a name and a password become an identity, or a refusal that says nothing to the caller.

Lockout, realm, grants, whitelist, store and audit meet here and nowhere else; every dialect calls ``Login.check``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gateway.access.client_address import Address
from gateway.credentials import LoginCache, Services
from gateway.directory.realm import Outcome, Realm, conclude
from gateway.gate import AttemptGate, Turns
from gateway.grants.mapping import Refused
from gateway.grants.whitelist import domain_of, invited_role
from gateway.identity import Account, Identity, fold_name
from gateway.store.interface import StoreError
from gateway.telemetry.audit import Audit, new_event
from gateway.tokens.issuer import service_identities
from gateway.tokens.opaque import is_access_key

if TYPE_CHECKING:
    from gateway.config.load import Snapshot
    from gateway.identities import Identities
    from gateway.store.interface import Store

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 10
"""What ``Retry-After`` says while a directory cannot be asked."""

MAX_NAME: Final = 1024
"""Characters of a user name; directories stop well before."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One presented name and password."""

    username: str
    password: str = field(repr=False)
    client: Address | None
    dialect: str
    target: str = ""
    keys_only: bool = False
    """Only keys of programs count, as with ``clearml.password_login = false``."""


@dataclass(frozen=True, slots=True)
class Denied:
    """No. The reason is for the operator; the caller learns nothing."""

    reason: str
    server: str = ""


@dataclass(frozen=True, slots=True)
class Throttled:
    """Too many failures from this address."""

    retry_after: int
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """It could not be decided; trying again makes sense."""

    reason: str
    server: str = ""
    retry_after: int = RETRY_SECONDS


@dataclass(frozen=True, slots=True)
class Failed:
    """A directory answered something that trying again will not cure; the operator must look."""

    reason: str
    server: str = ""


LoginResult = Identity | Denied | Throttled | Unavailable | Failed


def unusable(attempt: Attempt) -> str:
    """Why a name or password must not reach a directory; empty where it may.

    Many directories take an empty password for an anonymous bind and say yes (RFC 4513 5.1.2).
    """
    if not attempt.username.strip() or not attempt.password.strip():
        return "empty name or password"
    if "\0" in attempt.username or "\0" in attempt.password:
        return "NUL in name or password"
    if len(attempt.username) > MAX_NAME:
        return f"name longer than {MAX_NAME} characters"
    return ""


class Login:
    """Checks passwords under one snapshot."""

    def __init__(self, snapshot: Snapshot, realm: Realm, store: Store, identities: Identities, audit: Audit) -> None:
        configuration = snapshot.configuration
        self._generation = snapshot.generation
        self._settings = configuration.login
        self._lockout = configuration.lockout
        self._realm = realm
        self._store = store
        self._identities = identities
        self._audit = audit
        self._services = Services(configuration.clearml.credentials, service_identities(configuration))
        self._invited_only = {
            server.name
            for server in configuration.servers
            if configuration.clearml.registration == "whitelist" and not server.clearml.default_company
        }
        self._cache = LoginCache(configuration.login.cache, configuration.login.cache_size)
        self._turns = Turns()
        self._slots = asyncio.Semaphore(configuration.login.concurrency)
        self._waiting = 0

    async def check(self, attempt: Attempt) -> LoginResult:
        """Decide one attempt, write its audit event, and let failures take as long as ``login.floor`` says."""
        started = time.monotonic()
        try:
            result = await self._decide(attempt)
        except StoreError as error:
            log.error("a login could not be decided: %s", error)
            result = Unavailable("the store cannot be used")
        self._record(attempt, result)
        if isinstance(result, Denied):
            await asyncio.sleep(self._settings.floor - (time.monotonic() - started))
        return result

    async def _decide(self, attempt: Attempt) -> LoginResult:
        if reason := unusable(attempt):
            return Denied(reason)
        async with AttemptGate(self._store, self._turns, self._lockout, attempt.username, attempt.client) as gate:
            if (seconds := await gate.throttled_seconds()) is not None:
                return Throttled(seconds)
            if self._services.owns(attempt.username) or is_access_key(attempt.username) or attempt.keys_only:
                return await self._check_key(attempt, gate)
            known = self._cache.get(attempt.username, attempt.password)
            if known is not None and await gate.admits_name(known.account.server):
                identity = await self._identities.by_id(known.id, int(time.time()))
                if identity is not None:
                    return identity
            if self._waiting >= self._settings.queue:
                return Unavailable("too many logins at once (login.concurrency, login.queue)", retry_after=1)
            return await self._in_turn(attempt, gate)

    async def _check_key(self, attempt: Attempt, gate: AttemptGate) -> LoginResult:
        """What is a key, or looks like one, is decided here and never sent to a directory (DECISIONS 14)."""
        service = self._services.identity(attempt.username, attempt.password)
        if service is None:
            await gate.count_for_address()
            return Denied("no key with this secret")
        return service

    async def _in_turn(self, attempt: Attempt, gate: AttemptGate) -> LoginResult:
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            return await self._ask_realm(attempt, gate)
        finally:
            self._slots.release()

    async def _ask_realm(self, attempt: Attempt, gate: AttemptGate) -> LoginResult:
        verdicts = await self._realm.authenticate(attempt.username, attempt.password, gate)
        for verdict in verdicts:
            if verdict.outcome in (Outcome.UNREACHABLE, Outcome.ERROR):
                log.warning("server %s: %s", verdict.server, verdict.reason)
        final = conclude(verdicts)
        match final.outcome:
            case Outcome.OK if final.account is not None:
                return await self._admit(attempt, final.account, gate)
            case Outcome.UNREACHABLE:
                return Unavailable(final.reason, final.server)
            case Outcome.ERROR:
                return Failed(final.reason, final.server)
            case _:
                await gate.count(verdicts)
                return Denied(final.reason, final.server)

    async def _admit(self, attempt: Attempt, account: Account, gate: AttemptGate) -> LoginResult:
        """The password was right; the configuration still has its say, and the store its record."""
        now = int(time.time())
        role = None
        try:
            if account.server in self._invited_only:
                role = await self._invitation(account)
            identity = await self._identities.save(account, now, role)
        except Refused as refusal:
            return Denied(str(refusal), account.server)
        if role is not None:
            await self._store.whitelist_accept(fold_name(account.email), identity.id, now)
        await gate.clear(account.server)
        self._cache.put(attempt.username, attempt.password, identity)
        return identity

    async def _invitation(self, account: Account) -> str:
        entries = {entry.email: entry.role for entry in await self._store.whitelist(account.email)}
        role = invited_role(account.email, entries, frozenset(await self._store.domains()))
        if role is None:
            shown = domain_of(account.email) or "no usable e-mail address"
            raise Refused(f"not on the whitelist ({shown}); set default_company to admit everyone")
        return role

    def _record(self, attempt: Attempt, result: LoginResult) -> None:
        if isinstance(result, Identity):
            outcome, reason, server, user = "success", "", result.account.server, result.account.username
        else:
            outcome = "failure" if isinstance(result, Denied | Throttled) else "error"
            reason = "too many failures from this address" if isinstance(result, Throttled) else result.reason
            server, user = getattr(result, "server", ""), attempt.username[:256]
        self._audit.write(
            new_event(
                time.time(),
                "login",
                outcome,  # type: ignore[arg-type]
                generation=self._generation,
                reason=reason,
                dialect=attempt.dialect,
                server=server,
                user=user,
                client=str(attempt.client or ""),
                target=attempt.target,
            )
        )

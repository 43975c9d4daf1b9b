"""The one use case: a name and a password become an identity, or a refusal that says nothing to the caller.

Lockout, realm, grants, whitelist, store and audit meet here and nowhere else; every dialect calls ``Login.check``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Final

from gateway.access.client_address import Address, is_trusted
from gateway.credentials import LoginCache, Remembered, Services
from gateway.directory.realm import Outcome, Privilege, Realm, Verdict, conclude
from gateway.gate import AttemptGate, Turns
from gateway.grants.lockout import Settings, tuned
from gateway.grants.mapping import Refused
from gateway.identity import LOCAL, Account, Identity
from gateway.padding import Padding
from gateway.slots import Asking, Full, Slots
from gateway.store.interface import StoreError
from gateway.telemetry.audit import Audit, new_event
from gateway.telemetry.audit import Outcome as AuditOutcome
from gateway.tokens.access_keys import KeyRefused, KeyUndecided
from gateway.tokens.conjur_keys import is_api_key
from gateway.tokens.issuer import service_identities
from gateway.tokens.opaque import is_access_key

if TYPE_CHECKING:
    from gateway.config.load import Snapshot
    from gateway.config.schema import Configuration
    from gateway.directory.local_users import LocalUsers
    from gateway.identities import Identities
    from gateway.store.interface import Store
    from gateway.tokens.access_keys import AccessKeys

log = logging.getLogger(__name__)

RETRY_SECONDS: Final = 10
"""What ``Retry-After`` says while a directory cannot be asked."""

MAX_NAME: Final = 1024
"""Characters of a user name; directories stop well before."""

MAX_SHOWN: Final = 256
"""Characters of a typed name in an audit event."""

_CROWDED: Final = "too many logins at once (login.concurrency, login.queue)"


Owner = Callable[[Asking], Awaitable[Identity | Verdict]]
"""Whose a key is; where it is nobody's, what its name comes to. May raise KeyUndecided, and what ``Asking`` raises."""


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
    worker: str = ""
    """Name of the machine, as its program tells it; noted as where a key was last used."""
    server: str = ""
    """The server that the dialect names, LOCAL among them; the realm where it names none (DECISIONS 3)."""
    no_keys: bool = False
    """Keys of programs do not count, as without ``clearml`` in ``access_control.accept``."""
    privilege: Privilege | None = None
    """Who may log in at all, where the dialect has an opinion."""
    owner: Owner | None = field(default=None, repr=False)
    """Where the password is a key of the dialect's own, which no directory may see."""

    @property
    def scope(self) -> str:
        """What its success may be remembered for: the same name and password may be another person's elsewhere."""
        if self.server or self.privilege is None:
            return self.server
        return "\0".join(("", *sorted(self.privilege)))


@dataclass(frozen=True, slots=True)
class Denied:
    """No. The reason is for the operator; the caller learns nothing."""

    reason: str
    server: str = ""
    outcome: Outcome = Outcome.INVALID

    @property
    def locked(self) -> bool:
        """Whether a lock was in the way, and the password was not looked at."""
        return self.outcome is Outcome.LOCKED


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


def refusal_of(privilege: Privilege | None, account: Account) -> str:
    """Why the dialect does not let an account in at all; empty where it does."""
    if privilege is None:
        return ""
    if account.server not in privilege:
        return f"people of {account.server} are not let in there"
    rule = privilege[account.server]
    return rule(account) if rule else ""


class Login:
    """Checks passwords under one snapshot."""

    def __init__(
        self,
        snapshot: Snapshot,
        realm: Realm,
        store: Store,
        identities: Identities,
        keys: AccessKeys,
        audit: Audit,
        turns: Turns,
        local: LocalUsers,
    ) -> None:
        configuration = snapshot.configuration
        self._generation = snapshot.generation
        self._settings = configuration.login
        self._lockout = configuration.lockout
        self._own_lockouts = _own_lockouts(configuration)
        self._proxies = configuration.trusted_proxies
        self._realm = realm
        self._store = store
        self._identities = identities
        self._keys = keys
        self._audit = audit
        self._turns = turns
        self._has_api_keys = bool(configuration.conjur.account)
        self._services = Services(configuration.clearml.credentials, service_identities(configuration))
        self._cache = LoginCache(configuration.login.cache, configuration.login.cache_size)
        # A directory that hangs must not keep local users waiting.
        self._local_slots, self._server_slots = (
            Slots(configuration.login.concurrency, configuration.login.queue) for _ in range(2)
        )
        self._local = local
        self.padding = Padding(configuration.login.floor)
        """How long failures take."""

    async def check(self, attempt: Attempt) -> LoginResult:
        """Decide one attempt, write its audit event, and let all failures take as long."""
        started = time.monotonic()
        try:
            result = await self._decide(attempt)
        except StoreError as error:
            log.error("a login could not be decided: %s", error)
            result = Unavailable("the store cannot be used")
        except TimeoutError:
            result = Unavailable("too many attempts on one account or from one address wait for each other")
        except Exception as error:
            log.exception("a login failed in an unforeseen way")
            result = Failed(f"unforeseen {type(error).__name__}")
        self._record(attempt, result)
        if isinstance(result, Denied):
            await self._hold_back(started)
        return result

    async def _hold_back(self, started: float) -> None:
        """Wait until a failure has taken as long as all do; the first one finds out how long that is."""
        if self._settings.floor:
            self.padding.raise_floor(await self._local.slowest_seconds())
            await asyncio.sleep(self.padding.remaining(time.monotonic() - started))

    async def _decide(self, attempt: Attempt) -> LoginResult:
        if reason := unusable(attempt):
            return Denied(reason)
        # Everybody behind a proxy that names no client would share its limit.
        client = None if attempt.client and is_trusted(attempt.client, self._proxies) else attempt.client
        own = self._own_lockouts
        async with AttemptGate(self._store, self._turns, self._lockout, attempt.username, client, own) as gate:
            # What the store decides of a key waits neither for other attempts nor for a directory.
            throttled = gate.throttled_seconds if attempt.owner is None else gate.locked_seconds
            if seconds := await throttled():
                return Throttled(seconds)
            # Blanks around a name do not count to a directory.
            name = attempt.username.strip()
            if self.is_key(name) or attempt.keys_only:
                return await self._check_key(attempt, gate)
            if attempt.owner is not None:
                return await self._check_own_key(attempt, attempt.owner, gate)
            if self._has_api_keys and is_api_key(attempt.password):
                await gate.count_for_address()
                return Denied("API keys are for the Conjur dialect")
            if (identity := await self._remembered(attempt, gate)) is not None:
                return identity
            return await self._ask_in_turn(attempt, gate)

    def is_key(self, name: str) -> bool:
        """Whether a name is, or looks like, the key of a program: such names are nobody's in a directory."""
        return self._services.owns(name) or is_access_key(name)

    async def _check_key(self, attempt: Attempt, gate: AttemptGate) -> LoginResult:
        """What is a key, or looks like one, is decided here and never sent to a directory (DECISIONS 14)."""
        if attempt.server:
            await gate.count_for_address()
            return Denied("keys are for dialects that name no server")
        if attempt.no_keys:
            await gate.count_for_address()
            return Denied("access_control.accept has no clearml, whose keys these are")
        service = self._services.identity(attempt.username, attempt.password)
        if service is not None:
            return service
        try:
            return await self._keys.check(attempt.username, attempt.password, attempt.worker, int(time.time()))
        except KeyUndecided as undecided:
            return Unavailable(str(undecided))
        except KeyRefused as refused:
            if refused.guessed:
                await gate.count_for_address()
            return Denied(str(refused))

    async def _check_own_key(self, attempt: Attempt, owner: Owner, gate: AttemptGate) -> LoginResult:
        """A wrong one counts for the address alone: nobody guesses a key, and an old one must not lock its owner."""
        try:
            found = await owner(partial(self._asking, gate))
        except Full:
            return Unavailable(_CROWDED, retry_after=1)
        except KeyUndecided as undecided:
            return Unavailable(str(undecided))
        if isinstance(found, Identity):
            if not (reason := refusal_of(attempt.privilege, found.account)):
                return found
            found = Verdict(found.account.server, Outcome.UNGRANTED, reason)
        if found.outcome in (Outcome.UNREACHABLE, Outcome.ERROR):
            log.warning("server %s: %s", found.server, found.reason)
            return _undecided(found)
        await gate.count_for_address()
        return Denied(found.reason, found.server, found.outcome)

    async def _remembered(self, attempt: Attempt, gate: AttemptGate) -> Identity | None:
        """The identity of a login that succeeded moments ago; a lock beats it."""
        known = self._cache.get(attempt.username, attempt.password, attempt.scope)
        if known is None or not await gate.admits_name(known.server):
            return None
        if not await gate.admits_entry(known.server, known.entry):
            return None
        identity = await self._identities.by_id(known.identity_id, int(time.time()))
        return identity if identity and not refusal_of(attempt.privilege, identity.account) else None

    @asynccontextmanager
    async def _asking(self, gate: AttemptGate) -> AsyncIterator[None]:
        """Around a question about the owner of a key."""
        if await gate.throttled_seconds():
            raise KeyUndecided("too many failures from this address")
        async with self._server_slots:
            yield

    async def _ask_in_turn(self, attempt: Attempt, gate: AttemptGate) -> LoginResult:
        alone = self._realm.asks_no_server(attempt.username, attempt.server, attempt.privilege)
        try:
            async with self._local_slots if alone else self._server_slots:
                return await self._ask_realm(attempt, gate)
        except Full:
            return Unavailable(_CROWDED, retry_after=1)

    async def _ask_realm(self, attempt: Attempt, gate: AttemptGate) -> LoginResult:
        started = time.monotonic()
        verdicts = await self._realm.authenticate(
            attempt.username, attempt.password, gate, attempt.server, attempt.privilege
        )
        refused = [verdict for verdict in verdicts if verdict.outcome is Outcome.INVALID]
        for verdict in refused:
            if verdict.entry:
                self.padding.note(verdict.server, time.monotonic() - started)
            if verdict.account is not None:
                await self._identities.refuse(verdict.account, int(time.time()))
        for verdict in verdicts:
            if verdict.outcome in (Outcome.UNREACHABLE, Outcome.ERROR):
                log.warning("server %s: %s", verdict.server, verdict.reason)
        final = conclude(verdicts)
        if final.outcome is Outcome.OK and final.account is not None:
            return await self._admit(attempt, final, final.account, gate)
        if final.outcome in (Outcome.UNREACHABLE, Outcome.ERROR):
            # A wrong password is one, whatever another server did; an unknown name may be that server's.
            await gate.count(refused)
            return _undecided(final)
        if final.outcome is Outcome.UNGRANTED:
            await gate.count_for_address()
        else:
            await gate.count(verdicts)
        return Denied(final.reason, final.server, final.outcome)

    async def _admit(self, attempt: Attempt, verdict: Verdict, account: Account, gate: AttemptGate) -> LoginResult:
        """The password was right; the configuration still has its say, and the store its record."""
        try:
            identity = await self._identities.admit(account, attempt.username, int(time.time()))
        except Refused as refusal:
            # Counted as a wrong password is, or who counts along would know that it was right.
            await gate.count([replace(verdict, outcome=Outcome.INVALID)])
            return Denied(str(refusal), account.server)
        await gate.clear(account.server)
        remembered = Remembered(identity.id, account.server, verdict.entry)
        self._cache.put(attempt.username, attempt.password, remembered, attempt.scope)
        return identity

    def _record(self, attempt: Attempt, result: LoginResult) -> None:
        server, user, reason = "", attempt.username[:MAX_SHOWN], ""
        outcome: AuditOutcome = "error"
        match result:
            case Identity(account=account):
                outcome, server, user = "success", account.server, account.username
            case Throttled():
                outcome, reason = "failure", "too many failures from this address"
            case Denied(reason=reason, server=server):
                outcome = "failure"
            case Unavailable(reason=reason, server=server) | Failed(reason=reason, server=server):
                pass
        event = new_event(
            time.time(), "login", outcome, generation=self._generation, reason=reason, dialect=attempt.dialect,
            server=server, user=user, client=str(attempt.client or ""), target=attempt.target,
        )  # fmt: skip
        self._audit.write(event)


def _undecided(verdict: Verdict) -> Unavailable | Failed:
    kind = Unavailable if verdict.outcome is Outcome.UNREACHABLE else Failed
    return kind(verdict.reason, verdict.server)


def _own_lockouts(configuration: Configuration) -> dict[str, Settings]:
    """Where the lockout of a server was tuned, as Vault's API can (DECISIONS 13)."""
    mounts = {LOCAL: configuration.vault.local, **{server.name: server.vault for server in configuration.servers}}
    tunings = {name: mount.lockout for name, mount in mounts.items()}
    shared = configuration.lockout
    return {
        name: tuned(
            shared, failures=own.failures, window=own.window, duration=own.duration, disabled=own.disabled
        )
        for name, own in tunings.items()
    }

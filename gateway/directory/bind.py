"""One server checks one name and password: finds the entry, binds as it, reads its groups (grafana.md 2.2, vault.md 4).

In the modes with a search (service, anonymous, unauthenticated) round trips are: search, bind, and the group search
where ``memberOf`` does not save it. An unknown name costs the same search and a bind as nobody, so that neither traffic
nor the directory's own time tell which names exist. In the other modes (single, upn, direct) the name to bind with is
made of the login; what follows the bind, only who knows the password ever sees.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.config.schema.servers import SEARCH_MODES
from gateway.directory.account import AccountReader, external_id, one_spelling
from gateway.directory.account_state import Attributes, entry_restrictions, login_restriction, state_attributes
from gateway.directory.connection import DirectoryError, EmptyPassword, Unreachable
from gateway.directory.escape import DnError, comparable_dn
from gateway.directory.filters import FilterError, compile_filter
from gateway.directory.groups import GROUP_VARIABLES, GroupReader
from gateway.directory.messages import Entry, Result, result_name
from gateway.directory.people import USER_VARIABLES, Ambiguous, People
from gateway.directory.proof import NAME_ATTRIBUTES, PROOF_ATTRIBUTES, disproof, may_bind_as
from gateway.directory.realm import Gate, Outcome, Rule, Verdict
from gateway.directory.searches import GENERAL_ADVICE, PASSING, SUCCESS, Connections, Searcher, SearchFailed, Session
from gateway.directory.templates import BindName, direct_name, principal_name, single_name
from gateway.directory.verbose import described

if TYPE_CHECKING:
    from gateway.config.schema import Server
    from gateway.directory.pool import Pool
    from gateway.identity import Account

log = logging.getLogger(__name__)

_WRONG_PASSWORD: Final = frozenset({
    49,  # invalidCredentials
    19,  # constraintViolation: how some servers say that an account is locked
    32,  # noSuchObject: the entry went away between search and bind
    34,  # invalidDNSyntax: the login does not fit the syntax of the attribute that it is put into
    48,  # inappropriateAuthentication: the entry has no password
    53,  # unwillingToPerform: the account may not log in, or not now
})  # fmt: skip


_SERVICE_ACCOUNT: Final = "this is the service account (bind_dn): guesses at its password would lock it"
_UNPROVED: Final = (
    "let search_filter find people by the very name that binds, such as (userPrincipalName=%s@example.org), or search "
    "first: set bind_dn and bind_password of a service account"
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A login that a directory could not decide."""

    at: float
    """Seconds since 1970."""
    text: str


class NotThem(Exception):
    """A person has bound, and the entry that is found afterwards is none, several, another's, or not proved theirs."""


class DirectoryServer:
    """One server of the realm, compiled from its configuration.

    ``through`` is asked in place of ``pool`` itself: the same connections with a trace.
    """

    def __init__(self, server: Server, pool: Pool, through: Connections | None = None) -> None:
        self.name = server.name
        self.in_realm = server.realm
        self.pool = pool
        self.connections: Connections = through or pool
        """What logins go through."""
        self.last_failure: Failure | None = None
        """The last login that failed by no fault of the person, for status pages."""
        self.timeout = server.login_timeout
        """Seconds for all that one login asks of it."""
        self.searches_first = server.mode in SEARCH_MODES
        """Whether a person is found before the password is checked."""
        server, self._unusable = _usable(server)
        self._by_own_dn = server.mode == "direct"
        self._bind_name = _bind_name(server)
        self._bound_by_dn = self._bind_name is not None and self._bind_name.is_dn
        self._service_name = server.bind_dn if server.mode == "service" else ""
        self._rechecks = server.recheck == "service"
        self._nobody = ",".join(filter(None, ("cn=nobody-has-this-name", server.user_bases[0])))
        self._verbose = server.verbose_logging
        self._groups = GroupReader(server)
        wanted = (*self._groups.wanted, *state_attributes(server.preset), *self._names_wanted())
        self._reader = AccountReader(server, wanted)
        self._people = People(server, self._reader.requested)

    async def authenticate(self, username: str, password: str, gate: Gate, rule: Rule | None = None) -> Verdict:
        """Check one name and password within ``login_timeout``; the ``rule`` first, where ``searches_first``."""
        if self._unusable:
            verdict = self._verdict(Outcome.ERROR, self._unusable)
        elif self.searches_first:
            verdict = await self._in_time(self._search_then_bind(username, password, gate, rule))
        else:
            verdict = await self._in_time(self._bind_then_search(username, password, rule))
        if verdict.outcome in (Outcome.ERROR, Outcome.UNREACHABLE):
            self.last_failure = Failure(time.time(), verdict.reason)
        return verdict

    def _names_wanted(self) -> tuple[str, ...]:
        """Attributes that tell whose a name to bind with is, where it is no DN."""
        if self._bind_name is not None:
            return () if self._bound_by_dn else PROOF_ATTRIBUTES
        return NAME_ATTRIBUTES if self._service_name and "=" not in self._service_name else ()

    @property
    def unusable(self) -> str:
        """Why nobody can log in, whatever the directory says; empty where it can be asked."""
        return self._unusable

    @property
    def requested(self) -> tuple[str, ...]:
        """Attributes that a login asks for."""
        return self._reader.requested

    async def look_up(self, username: str, *, evenly: bool = False) -> Verdict:
        """A login without its bind, within ``login_timeout``, where ``searches_first``.

        The account is given for a barred entry too. ``evenly``: for as many round trips whoever is found, or nobody.
        """
        if self._unusable:
            return self._verdict(Outcome.ERROR, self._unusable)
        return await self._in_time(self._search_only(username, evenly=evenly))

    def bind_name(self, username: str) -> str:
        """The name that a mode which binds first makes of a login. Raises ``DnError`` where it makes none."""
        if self._bind_name is None:
            raise DnError("user_dn is not set")
        return self._bind_name.fill(username)

    async def _in_time(self, decision: Awaitable[Verdict]) -> Verdict:
        try:
            async with asyncio.timeout(self.timeout):
                return await decision
        except TimeoutError:
            return self._verdict(Outcome.UNREACHABLE, f"no answer within login_timeout ({self.timeout:g} s)")
        except Unreachable as error:
            return self._verdict(Outcome.UNREACHABLE, str(error))
        except SearchFailed as error:
            return self._verdict(Outcome.UNREACHABLE if error.passing else Outcome.ERROR, str(error))
        except EmptyPassword:
            return self._verdict(Outcome.INVALID, "empty password")
        except UnicodeEncodeError:
            return self._verdict(Outcome.INVALID, "a name or password that is not valid UTF-8")
        except DirectoryError as error:
            return self._verdict(Outcome.UNREACHABLE, str(error))

    @property
    def searches_as_service(self) -> bool:
        """Whether people are looked up without their password when a token is renewed (DECISIONS 11)."""
        return self._rechecks

    async def find_again(self, known_id: str, names: Iterable[str]) -> tuple[Entry | None, str]:
        """The entry with that unique id and the name with which a login finds it; None where no login does.

        One of the names, or what the entry is called by now, should it have been renamed. Raises DirectoryError and
        SearchFailed.
        """
        if self._unusable:
            raise SearchFailed(self._unusable, passing=True)  # who is not looked for is not gone
        tried = dict.fromkeys(filter(None, names))
        entry, name = await self._find_by_name(known_id, tried)
        if entry is None and (renamed := await self._find_by_id(known_id)) is not None:
            account = self._reader.account(renamed, "")
            called = [each for each in (account.username, account.email) if each and each not in tried]
            entry, name = await self._find_by_name(known_id, called)
        return entry, name

    async def _find_by_id(self, known_id: str) -> Entry | None:
        """The entry with that unique id. What the directory does not answer in time, or refuses, nobody has: it has no
        index for this, and who was removed must not live on for that."""
        try:
            async with asyncio.timeout(self.timeout / 4):
                found = await self._people.by_id(self.pool, known_id)
        except TimeoutError:
            return None
        except SearchFailed as error:
            if error.passing:
                raise
            return None
        return next((entry for entry in found if external_id(entry) == known_id), None)

    async def _find_by_name(self, known_id: str, names: Iterable[str]) -> tuple[Entry | None, str]:
        for name in names:
            try:
                entry = await self._people.find(self.pool, name)
            except Ambiguous:
                continue
            if entry is not None and external_id(entry) == known_id:
                return entry, name
        return None, ""

    async def read(self, searcher: Searcher, entry: Entry, typed: str) -> Account:
        """The account of an entry, groups included. Raises DirectoryError and SearchFailed."""
        if self._unusable:
            raise SearchFailed(self._unusable, passing=True)
        groups = await self._groups.groups(searcher, entry, typed)
        return self._reader.account(entry, typed, groups)

    async def _search_only(self, username: str, *, evenly: bool) -> Verdict:
        entry, nobody = None, self._verdict(Outcome.NOT_FOUND, "unknown name")
        try:
            entry = await self._people.find(self.connections, username)
        except Ambiguous as error:
            nobody = self._verdict(Outcome.INVALID, str(error))
        if entry is None:
            if evenly:
                await self._groups.groups(self.connections, Entry(self._nobody, {}), username)
            return nobody
        if not entry.dn:
            return self._verdict(Outcome.ERROR, "the directory answered an entry without a name")
        texts = [found.text for found in entry_restrictions(entry.attributes, time.time())]
        barred = "; ".join([_SERVICE_ACCOUNT, *texts] if self._is_service(entry) else texts)
        account = await self.read(self.connections, entry, username)
        outcome = Outcome.INVALID if barred else Outcome.OK
        return Verdict(self.name, outcome, barred, account, external_id(entry), found=entry)

    async def _search_then_bind(self, username: str, password: str, gate: Gate, rule: Rule | None) -> Verdict:
        nobody = Entry(self._nobody, {})
        try:
            entry = await self._people.find(self.connections, username)
        except Ambiguous as error:
            return await self._as_nobody(nobody, username, rule, self._verdict(Outcome.INVALID, str(error)))
        if entry is None:
            return await self._as_nobody(nobody, username, rule, self._verdict(Outcome.NOT_FOUND, "unknown name"))
        if not entry.dn:
            return self._verdict(Outcome.ERROR, "the directory answered an entry without a name")
        key = external_id(entry)
        if not await gate.admits_entry(self.name, key):
            return self._verdict(Outcome.LOCKED, "locked after too many failures", key)
        if self._is_service(entry):
            return await self._as_nobody(entry, username, rule, self._verdict(Outcome.INVALID, _SERVICE_ACCOUNT, key))
        account = None if rule is None else await self.read(self.connections, entry, username)
        if rule and account and (refusal := rule(account)):
            return await self._as_nobody(entry, username, None, self._verdict(Outcome.UNGRANTED, refusal, key))
        if refused := self._refused(await self.connections.bind(entry.dn, password), entry.attributes, key):
            return refused
        return self._accepted(entry, account or await self.read(self.connections, entry, username))

    async def _bind_then_search(self, username: str, password: str, rule: Rule | None) -> Verdict:
        """The typed name alone is counted by the lockout: it is the entry's name, or of no entry at all."""
        try:
            bound_as = self.bind_name(username)
        except DnError as error:
            return self._verdict(Outcome.INVALID, str(error))
        async with self.connections.bound_as(bound_as, password) as session:
            if refused := self._refused(session.result, {}):
                return refused
            try:
                entry = await self._entry_of(session, username, bound_as)
            except NotThem as error:
                return self._verdict(Outcome.INVALID, str(error))
            key = external_id(entry)
            if refused := self._refused(session.result, entry.attributes, key):
                return refused
            account = await self.read(session, entry, username)
        if rule and (refusal := rule(account)):
            return self._verdict(Outcome.UNGRANTED, refusal, key)
        return self._accepted(entry, account)

    def _accepted(self, entry: Entry, account: Account) -> Verdict:
        if self._verbose:
            log.info("server %s: %s", self.name, described(entry, account))
        return Verdict(self.name, Outcome.OK, account=account, entry=external_id(entry))

    def _is_service(self, entry: Entry) -> bool:
        return bool(self._service_name) and may_bind_as(entry, self._service_name)

    async def _entry_of(self, session: Session, username: str, bound_as: str) -> Entry:
        """The entry of who has just bound. Raises ``NotThem``, SearchFailed and DirectoryError."""
        if self._by_own_dn:
            entry = await self._people.own(session, bound_as)
            return entry or Entry(self.bind_name(one_spelling(username)), {})
        try:
            entry = await self._people.find(session, username)
        except Ambiguous as error:
            raise NotThem(str(error)) from None
        if entry is None:
            raise NotThem("bound, but no entry is found for the name")
        if self._bound_by_dn:
            if comparable_dn(entry.dn) != comparable_dn(bound_as):
                raise NotThem(f"bound as {bound_as}, but search_filter finds {entry.dn}")
        elif unlike := await disproof(session, entry, bound_as):
            raise NotThem(f"bound as {bound_as}, {unlike}, but search_filter finds {entry.dn}: {_UNPROVED}")
        return entry

    async def _as_nobody(self, entry: Entry, username: str, rule: Rule | None, verdict: Verdict) -> Verdict:
        """``verdict`` after as many round trips as a wrong password costs, groups for the rule among them.

        While the directory is busy, what it would be to somebody it knows.
        """
        if rule is not None:
            await self._groups.groups(self.connections, entry, username)
        refused = self._refused(await self.connections.bind(self._nobody, "x"), {})
        return refused if refused and refused.outcome is Outcome.UNREACHABLE else verdict

    def _refused(self, result: Result, entry: Attributes, key: str = "") -> Verdict | None:
        """What a bind's result means with what is known of the entry; None for a success of an account that is not
        barred. Texts of the server go to the operator alone.
        """
        barred = login_restriction(entry, result, time.time())
        if result.code == SUCCESS:
            return self._verdict(Outcome.INVALID, f"the password is right, but {barred.text}", key) if barred else None
        reason = f"bind refused: {result_name(result.code)}" + (f" ({result.message})" if result.message else "")
        if barred:
            reason += f"; {barred.text}"
        reason += GENERAL_ADVICE.get(result.code, "")
        if result.code in _WRONG_PASSWORD:
            return self._verdict(Outcome.INVALID, reason, key)
        return self._verdict(Outcome.UNREACHABLE if result.code in PASSING else Outcome.ERROR, reason, key)

    def _verdict(self, outcome: Outcome, reason: str, entry: str = "") -> Verdict:
        return Verdict(self.name, outcome, reason, entry=entry)


def _usable(server: Server) -> tuple[Server, str]:
    """The server, and why nobody can log in to it: a filter that the Vault API was given, and that no directory could
    be sent (DECISIONS 24). The server then stands without it.
    """
    looked_at = server.mode not in ("direct", "upn")
    instead, problem = {}, ""
    for key, variables, attribute, neutral in (
        ("search_filter", USER_VARIABLES, server.user_attr, "(objectClass=*)"),
        ("group_search_filter", GROUP_VARIABLES, "", ""),
    ):
        try:
            compile_filter(getattr(server, key) or "(objectClass=*)", variables, attribute)
        except FilterError as error:
            instead[key] = neutral
            if key != "search_filter" or looked_at:
                problem = f"{key} cannot be used: {error}"
    return (server.model_copy(update=instead) if instead else server), problem


def _bind_name(server: Server) -> BindName | None:
    """What makes the name to bind with; None in modes with a search, and while ``user_dn`` is missing."""
    escape_equals = server.preset == "active_directory"
    match server.mode:
        case "single":
            return single_name(server.bind_dn, escape_equals=escape_equals)
        case "upn":
            return principal_name(server.upn_domain)
        case "direct" if server.user_dn:
            return direct_name(server.user_attr, server.user_dn, escape_equals=escape_equals)
    return None

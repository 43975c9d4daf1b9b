"""One server checks one name and password: find the entry, bind as it, read its groups (grafana.md 2.2-2.5).

Round trips of a login: search, bind, and the group search where ``memberOf`` does not save it. An unknown name costs
the same search and a bind as nobody, so that neither traffic nor the directory's own time tell which names exist.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from gateway.directory.account import AccountReader, external_id
from gateway.directory.connection import DirectoryError, EmptyPassword, Unreachable
from gateway.directory.escape import DnError, comparable_dn
from gateway.directory.filters import compile_filter
from gateway.directory.groups import GroupSearch, groups_of_values
from gateway.directory.messages import Dereference, Entry, Result, Scope, SearchRequest, result_name
from gateway.directory.realm import Gate, Outcome, Verdict
from gateway.directory.templates import DnTemplate

if TYPE_CHECKING:
    from gateway.config.schema import Server
    from gateway.directory.pool import Pool
    from gateway.identity import Account

log = logging.getLogger(__name__)

_T = TypeVar("_T")

PEOPLE_AT_MOST: Final = 20
"""Entries asked for in a search for one person; more than one is ambiguous already."""

_SUCCESS: Final = 0
_SIZE_LIMIT_EXCEEDED: Final = 4
_WRONG_PASSWORD: Final = frozenset({
    49,  # invalidCredentials
    19,  # constraintViolation: how some servers say that an account is locked
    32,  # noSuchObject: the entry went away between search and bind
    48,  # inappropriateAuthentication: the entry has no password
    53,  # unwillingToPerform: the account may not log in, or not now
})  # fmt: skip
_PASSING: Final = frozenset({
    3,  # timeLimitExceeded
    51,  # busy
    52,  # unavailable
})  # fmt: skip


_ADVICE: Final = {
    4: "; the server's size limit cuts the list of groups short: raise it for the service account",
    32: "; check search_base_dns and group_search_base_dns",
    50: "; the service account (bind_dn), or nobody in particular, may not search there",
}  # fmt: skip


class Searcher(Protocol):
    """The service connection, or one that is bound as a person."""

    async def search(self, request: SearchRequest, value: str = "") -> tuple[list[Entry], Result]:
        """Search with ``value`` in place of the filter's placeholder."""


class SearchFailed(Exception):
    """The directory refused a search; the text names result code and base."""

    def __init__(self, text: str, *, passing: bool) -> None:
        super().__init__(text)
        self.passing = passing
        """Whether trying again makes sense."""


class DirectoryServer:
    """One server of the realm, compiled from its configuration."""

    def __init__(self, server: Server, pool: Pool) -> None:
        self.name = server.name
        self.in_realm = server.realm
        self.pool = pool
        self._mode = server.mode
        self._timeout = server.login_timeout
        self._take_first = server.multiple_entries == "first"
        self._bases = server.search_base_dns
        self._group_bases = server.group_search_base_dns
        self._max_groups = server.max_groups
        self._reader = AccountReader(server)
        self._groups = GroupSearch(server) if server.group_search_filter else None
        self._template = DnTemplate(server.bind_dn) if self._mode == "single" else None
        compiled = compile_filter(server.search_filter)
        dereference = Dereference[server.dereference_aliases.upper()]
        self._people = tuple(
            SearchRequest(base, compiled, self._reader.requested, scope=Scope.SUBTREE, dereference=dereference,
                          size_limit=PEOPLE_AT_MOST)
            for base in self._bases
        )  # fmt: skip

    async def authenticate(self, username: str, password: str, gate: Gate) -> Verdict:
        """Check one name and password within ``login_timeout``."""
        try:
            async with asyncio.timeout(self._timeout):
                if self._template is not None:
                    return await self._single_bind(self._template, username, password)
                return await self._search_then_bind(username, password, gate)
        except TimeoutError:
            return self._verdict(Outcome.UNREACHABLE, f"no answer within login_timeout ({self._timeout:g} s)")
        except Unreachable as error:
            return self._verdict(Outcome.UNREACHABLE, str(error))
        except SearchFailed as error:
            return self._verdict(Outcome.UNREACHABLE if error.passing else Outcome.ERROR, str(error))
        except EmptyPassword:
            return self._verdict(Outcome.INVALID, "empty password")
        except DirectoryError as error:
            return self._verdict(Outcome.UNREACHABLE, str(error))

    @property
    def searches_as_service(self) -> bool:
        """Whether people can be looked up without their password."""
        return self._template is None

    async def find_again(self, known_id: str, names: Iterable[str]) -> Entry | None:
        """The entry with that unique id, where a login with one of the names would still find it; None elsewhere.

        Raises DirectoryError and SearchFailed.
        """
        for name in dict.fromkeys(filter(None, names)):
            try:
                entry = await self._find(self.pool, name)
            except Ambiguous:
                continue
            if entry is not None and external_id(entry) == known_id:
                return entry
        return None

    async def read(self, searcher: Searcher, entry: Entry, typed: str) -> Account:
        """The account of an entry, groups included. Raises DirectoryError and SearchFailed."""
        if self._groups is None:
            values = self._at_most_max_groups(self._reader.member_of(entry), entry)
            groups = groups_of_values(values, self._group_bases)
        else:
            value = self._reader.group_search_value(entry, typed)
            answers = await _ask_all(searcher, self._groups.requests, value) if value else []
            found = {group_entry.dn: group_entry for answer in answers for group_entry in answer}
            entries = self._at_most_max_groups(tuple(found.values()), entry)
            groups = tuple(self._groups.group(group_entry) for group_entry in entries)
        return self._reader.account(entry, typed, groups)

    def _at_most_max_groups(self, found: tuple[_T, ...], entry: Entry) -> tuple[_T, ...]:
        if len(found) > self._max_groups:
            told = (self.name, entry.dn, len(found), self._max_groups)
            log.warning("server %s: %s is in %d groups, only max_groups (%d) are used", *told)
        return found[: self._max_groups]

    async def _search_then_bind(self, username: str, password: str, gate: Gate) -> Verdict:
        try:
            entry = await self._find(self.pool, username)
        except Ambiguous as error:
            await self._bind_as_nobody()
            return self._verdict(Outcome.INVALID, str(error))
        if entry is None:
            await self._bind_as_nobody()
            return self._verdict(Outcome.NOT_FOUND, "unknown name")
        if not entry.dn:
            return self._verdict(Outcome.ERROR, "the directory answered an entry without a name")
        key = external_id(entry)
        if not await gate.admits_entry(self.name, key):
            return self._verdict(Outcome.LOCKED, "locked after too many failures", key)
        if refused := self._refused(await self.pool.bind(entry.dn, password), key):
            return refused
        account = await self.read(self.pool, entry, username)
        return Verdict(self.name, Outcome.OK, account=account, entry=key)

    async def _single_bind(self, template: DnTemplate, username: str, password: str) -> Verdict:
        """The typed name alone is counted by the lockout: it is the entry's name, or of no entry at all."""
        try:
            bind_dn = template.dn(username)
        except DnError as error:
            return self._verdict(Outcome.INVALID, str(error))
        async with self.pool.bound_as(bind_dn, password) as session:
            if refused := self._refused(session.result):
                return refused
            try:
                entry = await self._find(session, username)
            except Ambiguous as error:
                return self._verdict(Outcome.INVALID, str(error))
            if entry is None:
                return self._verdict(Outcome.INVALID, "bound, but search_filter finds no entry")
            if template.is_dn and comparable_dn(entry.dn) != comparable_dn(bind_dn):
                return self._verdict(Outcome.INVALID, f"bound as {bind_dn}, but search_filter finds {entry.dn}")
            account = await self.read(session, entry, username)
        return Verdict(self.name, Outcome.OK, account=account, entry=external_id(entry))

    async def _find(self, searcher: Searcher, username: str) -> Entry | None:
        """All bases are asked at once, so that the number of round trips does not tell where an entry is."""
        answers = await _ask_all(searcher, self._people, username, enough=True)
        for request, entries in zip(self._people, answers, strict=True):
            if len(entries) > 1 and not self._take_first:
                different = {comparable_dn(entry.dn) for entry in entries}
                if len(different) > 1:
                    raise Ambiguous(f"{len(different)} entries below {request.base} match; one was expected")
            if entries:
                return entries[0]
        return None

    async def _bind_as_nobody(self) -> None:
        await self.pool.bind(f"cn=nobody-has-this-name,{self._bases[0]}", "x")

    def _refused(self, result: Result, key: str = "") -> Verdict | None:
        """What a bind's result means; None for success. Texts of the server go to the operator alone."""
        if result.code == _SUCCESS:
            return None
        reason = f"bind refused: {result_name(result.code)}" + (f" ({result.message})" if result.message else "")
        if result.code in _WRONG_PASSWORD:
            return self._verdict(Outcome.INVALID, reason, key)
        return self._verdict(Outcome.UNREACHABLE if result.code in _PASSING else Outcome.ERROR, reason, key)

    def _verdict(self, outcome: Outcome, reason: str, entry: str = "") -> Verdict:
        return Verdict(self.name, outcome, reason, entry=entry)


class Ambiguous(Exception):
    """Several people match within one base."""


async def _ask_all(
    searcher: Searcher, requests: Sequence[SearchRequest], value: str, *, enough: bool = False
) -> list[list[Entry]]:
    """The answers to all requests, which go out together; a single one needs no task of its own.

    ``enough`` says that an answer cut short by a size limit is one. Raises DirectoryError and SearchFailed.
    """
    if len(requests) == 1:
        return [await _entries(searcher, requests[0], value, enough)]
    return await asyncio.gather(*(_entries(searcher, request, value, enough) for request in requests))


async def _entries(searcher: Searcher, request: SearchRequest, value: str, enough: bool) -> list[Entry]:
    entries, result = await searcher.search(request, value)
    if result.code == _SUCCESS or (enough and result.code == _SIZE_LIMIT_EXCEEDED):
        return entries
    detail = f" ({result.message})" if result.message else ""
    text = f"search below {request.base!r} refused: {result_name(result.code)}{detail}"
    raise SearchFailed(text + _ADVICE.get(result.code, ""), passing=result.code in _PASSING)

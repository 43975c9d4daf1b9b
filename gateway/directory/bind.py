"""One server checks one name and password: find the entry, bind as it, read its groups (grafana.md 2.2-2.5).

Round trips of a login: search, bind, and the group search where ``memberOf`` does not save it. An unknown name costs
the same search and a bind as nobody, so that neither traffic nor the directory's own time tell which names exist.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from gateway.directory.account import AccountReader, external_id
from gateway.directory.connection import DirectoryError, EmptyPassword, Unreachable
from gateway.directory.escape import DnError, normalise_dn
from gateway.directory.filters import compile_filter
from gateway.directory.groups import GroupSearch, groups_of_values
from gateway.directory.messages import Dereference, Entry, Result, Scope, SearchRequest
from gateway.directory.realm import Gate, Outcome, Verdict
from gateway.directory.templates import DnTemplate

if TYPE_CHECKING:
    from gateway.config.schema import Server
    from gateway.directory.pool import Pool
    from gateway.identity import Account

log = logging.getLogger(__name__)

PEOPLE_AT_MOST: Final = 20
"""Entries asked for in a search for one person; more than one is ambiguous already."""

_SUCCESS: Final = 0
_SIZE_LIMIT_EXCEEDED: Final = 4
_NO_SUCH_OBJECT: Final = 32
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
        self._filter = compile_filter(server.search_filter)
        dereference = Dereference[server.dereference_aliases.upper()]
        self._people = tuple(
            SearchRequest(base, self._filter, self._reader.requested, scope=Scope.SUBTREE, dereference=dereference,
                          size_limit=PEOPLE_AT_MOST)
            for base in self._bases
        )  # fmt: skip

    async def authenticate(self, username: str, password: str, gate: Gate) -> Verdict:
        """Check one name and password within ``login_timeout``."""
        try:
            async with asyncio.timeout(self._timeout):
                if self._template is not None:
                    return await self._single_bind(self._template, username, password, gate)
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

    async def find_again(self, dn: str, names: Iterable[str]) -> Entry | None:
        """The entry at ``dn``, if ``search_filter`` still finds it by one of the names; None where it does not.

        Raises DirectoryError and SearchFailed.
        """
        for name in filter(None, names):
            request = SearchRequest(dn, self._filter, self._reader.requested, scope=Scope.BASE)
            entries, result = await self.pool.search(request, name)
            if result.code not in (_SUCCESS, _NO_SUCH_OBJECT):
                raise refused_search(request, result)
            if entries:
                return entries[0]
        return None

    async def read(self, searcher: Searcher, entry: Entry, typed: str) -> Account:
        """The account of an entry, groups included. Raises DirectoryError and SearchFailed."""
        if self._groups is None:
            groups = groups_of_values(self._reader.member_of(entry), self._group_bases)
        else:
            value = self._reader.group_search_value(entry, typed)
            answers = await _ask_all(searcher, self._groups.requests, value) if value else []
            found = {group_entry.dn: group_entry for answer in answers for group_entry in answer}
            groups = tuple(self._groups.group(group_entry) for group_entry in found.values())
        if len(groups) > self._max_groups:
            log.warning("server %s: %s is in %d groups, only max_groups (%d) are used", self.name, entry.dn,
                        len(groups), self._max_groups)  # fmt: skip
        return self._reader.account(entry, typed, groups[: self._max_groups])

    async def _search_then_bind(self, username: str, password: str, gate: Gate) -> Verdict:
        try:
            entry = await self._find(self.pool, username)
        except Ambiguous as error:
            await self._bind_as_nobody()
            return self._verdict(Outcome.INVALID, str(error))
        if entry is None:
            await self._bind_as_nobody()
            return self._verdict(Outcome.NOT_FOUND, "unknown name")
        key = external_id(entry)
        if not await gate.admits_entry(self.name, key):
            return self._verdict(Outcome.LOCKED, "locked after too many failures", key)
        if refused := self._refused(await self.pool.bind(entry.dn, password), key):
            return refused
        account = await self.read(self.pool, entry, username)
        return Verdict(self.name, Outcome.OK, account=account, entry=key)

    async def _single_bind(self, template: DnTemplate, username: str, password: str, gate: Gate) -> Verdict:
        try:
            bind_dn = template.dn(username)
        except DnError as error:
            return self._verdict(Outcome.INVALID, str(error))
        key = _normalised(bind_dn)
        if not await gate.admits_entry(self.name, key):
            return self._verdict(Outcome.LOCKED, "locked after too many failures", key)
        async with self.pool.bound_as(bind_dn, password) as session:
            if refused := self._refused(session.result, key):
                return refused
            try:
                entry = await self._find(session, username)
            except Ambiguous as error:
                return self._verdict(Outcome.INVALID, str(error), key)
            if entry is None:
                return self._verdict(Outcome.INVALID, "bound, but search_filter finds no entry", key)
            account = await self.read(session, entry, username)
        return Verdict(self.name, Outcome.OK, account=account, entry=key)

    async def _find(self, searcher: Searcher, username: str) -> Entry | None:
        """All bases are asked at once, so that the number of round trips does not tell where an entry is."""
        answers = await _ask_all(searcher, self._people, username)
        for request, entries in zip(self._people, answers, strict=True):
            if len(entries) > 1 and not self._take_first:
                different = {_normalised(entry.dn) for entry in entries}
                if len(different) > 1:
                    raise Ambiguous(f"{len(different)} entries below {request.base} match; one was expected")
            if entries:
                return entries[0]
        return None

    async def _bind_as_nobody(self) -> None:
        await self.pool.bind(f"cn=nobody-has-this-name,{self._bases[0]}", "x")

    def _refused(self, result: Result, key: str) -> Verdict | None:
        """What a bind's result means; None for success. Texts of the server go to the operator alone."""
        if result.code == _SUCCESS:
            return None
        reason = f"bind refused: result {result.code}" + (f" ({result.message})" if result.message else "")
        if result.code in _WRONG_PASSWORD:
            return self._verdict(Outcome.INVALID, reason, key)
        return self._verdict(Outcome.UNREACHABLE if result.code in _PASSING else Outcome.ERROR, reason, key)

    def _verdict(self, outcome: Outcome, reason: str, entry: str = "") -> Verdict:
        return Verdict(self.name, outcome, reason, entry=entry)


class Ambiguous(Exception):
    """Several people match within one base."""


async def _ask_all(searcher: Searcher, requests: Sequence[SearchRequest], value: str) -> list[list[Entry]]:
    """The answers to all requests, which go out together; a single one needs no task of its own."""
    if len(requests) == 1:
        return [await _entries(searcher, requests[0], value)]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_entries(searcher, request, value)) for request in requests]
    return [task.result() for task in tasks]


async def _entries(searcher: Searcher, request: SearchRequest, value: str) -> list[Entry]:
    entries, result = await searcher.search(request, value)
    if result.code in (_SUCCESS, _SIZE_LIMIT_EXCEEDED):
        return entries
    raise refused_search(request, result)


def refused_search(request: SearchRequest, result: Result) -> SearchFailed:
    """The error for a search that the directory refused."""
    detail = f" ({result.message})" if result.message else ""
    text = f"search below {request.base!r} refused: result {result.code}{detail}"
    return SearchFailed(text, passing=result.code in _PASSING)


def _normalised(dn: str) -> str:
    try:
        return normalise_dn(dn)
    except DnError:
        return dn

"""One person and their groups, read as a login reads them: who was named, else the first that is found."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

from gateway.directory.account import AccountReader, first_value
from gateway.directory.account_state import entry_restrictions, state_attributes
from gateway.directory.connection import DirectoryError
from gateway.directory.doctor.advice import set_preset
from gateway.directory.doctor.narrowing import Narrowing, fitting_preset, somebody
from gateway.directory.doctor.report import NOT_FOUND
from gateway.directory.doctor.search import Searches
from gateway.directory.filters import compile_filter
from gateway.directory.groups import GroupReader
from gateway.directory.messages import Entry
from gateway.directory.people import Ambiguous, People
from gateway.directory.searches import SearchFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.directory.doctor.report import Mark
    from gateway.directory.doctor.root_dse import RootDse
    from gateway.identity import Group

_SHOWN: Final = 10
"""Groups that are named."""


class PersonLookup:
    """Looks at one person below the bases that exist. ``look`` raises DirectoryError and SearchFailed.

    ``own`` is the entry to look at, where it is known. Without ``group_bases_exist`` groups are not looked for.
    """

    def __init__(
        self,
        searches: Searches,
        bases: Sequence[str],
        root: RootDse | None = None,
        *,
        own: str = "",
        group_bases_exist: bool = True,
    ) -> None:
        server = searches.server
        self._searches = searches
        self._server = server
        self._bases = bases
        self._report = searches.report
        self._root = root
        self._own = own
        self._group_bases_exist = group_bases_exist
        self._groups = GroupReader(server)
        self._reader = AccountReader(server, (*self._groups.wanted, *state_attributes(server.preset)))
        self._people = People(server, self._reader.requested)

    async def look(self, user: str) -> None:
        """Look at ``user``; at anybody where that is empty."""
        typed = user or await self._anybody()
        if not typed:
            return
        for base in self._bases if not self._own else ():
            await self._searches.find(base, typed)
        started = time.perf_counter()
        try:
            entry = await self._entry(typed)
        except Ambiguous as error:
            advice = "make search_filter narrower, or set multiple_entries"
            self._report.add("person", "fail", str(error), subject=typed, advice=advice, key="search_filter")
            return
        seconds = time.perf_counter() - started
        if entry is None:
            await self._tell_missing(typed, named=bool(user))
            return
        if user:
            self._report.has_person = True
        self._tell_person(entry, typed, seconds)
        await self._look_at_groups(entry, typed, named=bool(user))

    async def _tell_missing(self, typed: str, *, named: bool) -> None:
        if not named:
            text = f"is not found: search_filter does not find people by {self._server.attributes.username}"
            advice = "give --user NAME, as people type it; check attributes.username too"
            self._report.add("person", "warn", text, subject=typed, advice=advice, key="search_filter")
            return
        cause = await Narrowing(self._searches, self._bases, typed, self._root).cause()
        text = f"{NOT_FOUND}: {cause.text}"
        self._report.add("person", "fail", text, subject=typed, advice=cause.advice, key=cause.key)

    async def _entry(self, typed: str) -> Entry | None:
        if self._own:
            return await self._people.own(self._searches.searcher, self._own) or Entry(self._own, {})
        return await self._people.find(self._searches.searcher, typed)

    async def _anybody(self) -> str:
        """The login name of the first person found; empty where there is none."""
        username = self._server.attributes.username
        anybody = somebody(self._searches, self._searches.filter.template)
        started = time.perf_counter()
        for base in self._bases:
            entry = await self._searches.any_entry(base, anybody, username)
            if entry is None:
                continue
            if name := first_value(entry, username.lower()):
                return name
            self._tell_nameless(entry.dn, "")
            return ""
        seconds = time.perf_counter() - started
        cause = await Narrowing(self._searches, self._bases, "", self._root).cause()
        text = f"{anybody.text()} finds nobody at all: {cause.text}"
        self._report.add("person", "fail", text, seconds=seconds, advice=cause.advice, key=cause.key)
        return ""

    def _tell_nameless(self, dn: str, typed: str) -> None:
        """An entry without ``attributes.username``: whatever somebody types becomes their name."""
        username = self._server.attributes.username
        advice, key = "check attributes.username", "attributes.username"
        if fitting := fitting_preset(self._searches, self._root, "attributes.username"):
            advice, key = f"{set_preset(self._report, fitting)}, which fits this directory, or {advice}", "preset"
            self._report.worsen("preset", "warn")
        missing = f"{dn} has no {username}" if username else "attributes.username is not set"
        text = f"{missing}: the name as typed is used"
        self._report.add("person", "warn", text, subject=typed, advice=advice, key=key)

    def _tell_person(self, entry: Entry, typed: str, seconds: float) -> None:
        account = self._reader.account(entry, typed)
        told = {"username": account.username, "name": account.name, "e-mail": account.email}
        text = ", ".join(f"{what} {value}" if value else f"no {what}" for what, value in told.items())
        barred = "; ".join(found.text for found in entry_restrictions(entry.attributes, time.time()))
        if barred:
            text = f"cannot log in: {barred}; {entry.dn}: {text}"
            advice = "it is the directory that bars the account"
            self._report.add("person", "warn", text, subject=typed, seconds=seconds, advice=advice)
        else:
            self._report.add("person", "ok", f"{entry.dn}: {text}", subject=typed, seconds=seconds)
        username = self._server.attributes.username
        if username and not first_value(entry, username.lower()):
            self._tell_nameless(entry.dn, typed)

    # Groups

    async def _look_at_groups(self, entry: Entry, typed: str, *, named: bool) -> None:
        server = self._server
        if server.group_search_filter and not server.use_token_groups and not server.group_bases:
            text = "groups are not looked for, because there is no group_search_base_dns"
            self._report.add("groups", "skipped", text, subject=typed)
            return
        searched = server.group_search_filter or server.nested_groups or server.primary_group
        if searched and not self._group_bases_exist:
            text = "not looked for, because a base of theirs is not there (see above): every login ends so"
            self._report.add("groups", "skipped", text, subject=typed)
            return
        started = time.perf_counter()
        try:
            groups = await self._groups.groups(self._searches.searcher, entry, typed)
        except (SearchFailed, DirectoryError) as error:
            advice = f"check {self._key}, and what bind_dn may search"
            self._report.add("groups", "fail", str(error), subject=typed, advice=advice, key=self._key)
            return
        seconds = time.perf_counter() - started
        if groups:
            self._tell_groups(groups, typed, seconds)
        elif self._key == "attributes.member_of":
            await self._look_for_member_of(typed, seconds)
        else:
            mark: Mark = "warn" if named else "ok"
            advice = f"check {self._key}" if named else "give --user NAME of somebody who is in a group"
            text, key = "in no group", self._key
            self._report.add("groups", mark, text, subject=typed, seconds=seconds, advice=advice, key=key)

    @property
    def _key(self) -> str:
        """The key that says where groups come from."""
        if self._server.use_token_groups:
            return "use_token_groups"
        return "group_search_filter" if self._server.group_search_filter else "attributes.member_of"

    def _tell_groups(self, groups: Sequence[Group], typed: str, seconds: float) -> None:
        names = [json.dumps(group.name, ensure_ascii=False) for group in groups if group.name]
        text = f"{len(groups)}: {', '.join(names[:_SHOWN])}{', ...' if len(names) > _SHOWN else ''}"
        self._report.add("groups", "ok", text, subject=typed, seconds=seconds)
        if nameless := len(groups) - len(names):
            text = f"{nameless} of them have no name"
            advice = "only groups with a cn, and below group_search_base_dns where that is set, have one"
            self._report.add("groups", "warn", text, subject=typed, advice=advice, key="group_search_base_dns")

    async def _look_for_member_of(self, typed: str, seconds: float) -> None:
        """Whether the attribute is empty for this person alone, or for all."""
        attribute = self._server.attributes.member_of
        if not attribute:
            self._report.add("groups", "skipped", "groups are not looked for", subject=typed, key=self._key)
            return
        anybody = compile_filter(f"({attribute}=*)")
        for base in self._bases:
            if await self._searches.any_entry(base, anybody, "1.1"):
                self._report.add("groups", "ok", "in no group", subject=typed, seconds=seconds)
                return
        text = f"nobody has {attribute}, as far as bind_dn may see"
        advice = "set group_search_filter, or see that the directory keeps this attribute and bind_dn may read it"
        self._report.add("groups", "warn", text, subject=typed, seconds=seconds, advice=advice, key=self._key)

"""Whether those are there whom ``conjur.services.X.allow`` names: a slip of the pen there lets nobody in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.config.schema.conjur import EVERYBODY
from gateway.directory.account import DN_ATTRIBUTE
from gateway.directory.connection import answer_of
from gateway.directory.escape import DnError, parse_dn
from gateway.directory.filters import Filter, compile_filter
from gateway.directory.group_names import GroupNames, naming_context
from gateway.directory.searches import AT_ONCE, NO_SUCH_OBJECT, SUCCESS, SearchFailed, in_chunks, together
from gateway.identity import fold_name

if TYPE_CHECKING:
    from gateway.config.schema import Configuration, Server
    from gateway.directory.doctor.search import Searches

ENTRIES_AT_MOST: Final = 200
"""Entries of the list that are looked for."""
_NO_PERSON: Final = "(!(objectClass=person))"
"""A person may be called as the group that is meant."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """The list of who may log in to a service."""

    path: tuple[str, ...]
    """Of its key."""
    entries: tuple[str, ...]

    @classmethod
    def of(cls, configuration: Configuration, server: str) -> Allowed | None:
        """That of a server; None where it is no service, or everybody's."""
        for name, service in configuration.conjur.services.items():
            if fold_name(name) == fold_name(server) and EVERYBODY not in service.allow:
                return cls(("conjur", "services", name, "allow"), tuple(dict.fromkeys(service.allow)))
        return None


async def look_at_allowed(searches: Searches, allowed: Allowed, bases: Sequence[str]) -> None:
    """Look for each entry, people below ``bases``, within ``login_timeout`` together. Raises DirectoryError."""
    started, key, add = time.perf_counter(), ".".join(allowed.path), searches.report.add
    lookup = _Lookup(searches, bases)
    faults: list[str] = []
    try:
        async with asyncio.timeout(searches.server.login_timeout):
            for some in in_chunks(allowed.entries[:ENTRIES_AT_MOST], AT_ONCE):
                faults += await together(*map(lookup.fault, some))
    except TimeoutError:
        seconds = f"{searches.server.login_timeout:g} s"
        text = f"no end within login_timeout ({seconds}): {len(faults)} of {len(allowed.entries)} were looked for"
        add("conjur", "warn", text, advice="see which search is slow", key="login_timeout")
    for entry, fault in zip(allowed.entries, faults, strict=False):
        if fault:
            advice = "check its spelling: it lets nobody in"
            add("conjur", "warn", fault, subject=entry, advice=advice, key=allowed.path)
    if faults and not any(faults):
        more = f" of {len(allowed.entries)}" if len(faults) < len(allowed.entries) else ""
        text = f"{len(faults)}{more} people and groups that {key} names are there"
        add("conjur", "ok", text, seconds=time.perf_counter() - started)


class _Lookup:
    def __init__(self, searches: Searches, bases: Sequence[str]) -> None:
        server = searches.server
        self._searches = searches
        self._own = f"{server.name.lower()}/"
        self._bases = bases
        username = server.attributes.username
        self._people = compile_filter(f"({username}=%s)") if username.lower() not in ("", DN_ATTRIBUTE) else None
        # What memberOf lists is called by the first cn of its DN.
        searched = server.group_search_filter and not GroupNames(server).listing
        self._groups = compile_filter(f"(&({server.group_attr if searched else 'cn'}=%s){_NO_PERSON})")
        self._group_bases = server.group_search_base_dns or _contexts(server)

    async def fault(self, entry: str) -> str:
        """What is wrong with an entry of the list; empty where nothing is. Raises DirectoryError."""
        kind, _, name = entry.partition(":")
        name = name.strip()
        name = name[len(self._own) :] if name.lower().startswith(self._own) else name
        try:
            if kind == "group" and _is_dn(name):
                return await self._read(name)
            if kind == "group":
                missing = await self._is_missing(self._groups, name, self._group_bases)
                return f"no group of this name below {'; '.join(self._group_bases) or 'the root'}" if missing else ""
            if self._people is None or not self._bases:
                return ""
            missing = await self._is_missing(self._people, name, self._bases)
            return f"nobody has this name below {'; '.join(self._bases) or 'the root'}" if missing else ""
        except SearchFailed as error:
            return f"cannot be looked for: {error}"

    async def _read(self, dn: str) -> str:
        entries, result = await self._searches.entry(dn)
        if entries:
            return ""
        if result.code not in (SUCCESS, NO_SUCH_OBJECT):
            return f"cannot be read: {answer_of(result)}"
        above = f"; above it there is {result.matched_dn}" if result.matched_dn else ""
        return f"there is no such entry, or it may not be seen{above}"

    async def _is_missing(self, compiled: Filter, name: str, bases: Sequence[str]) -> bool:
        for base in bases:
            if await self._searches.any_entry(base, compiled, "1.1", name) is not None:
                return False
        return True


def _is_dn(name: str) -> bool:
    try:
        return bool("=" in name and parse_dn(name))
    except DnError:
        return False


def _contexts(server: Server) -> tuple[str, ...]:
    """Where groups may be that nobody has given a base for: anywhere in the directories of the people."""
    found = []
    for base in server.user_bases:
        try:
            found.append(naming_context(base))
        except DnError:
            found.append(base)
    return tuple(dict.fromkeys(found))

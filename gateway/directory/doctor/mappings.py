"""Whether the groups are there that ``group_mappings`` name: a slip of the pen there gives nobody anything."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from gateway.directory.connection import answer_of
from gateway.directory.escape import DnError, comparable_dn, parse_dn
from gateway.directory.searches import AT_ONCE, NO_SUCH_OBJECT, SUCCESS, in_chunks, together

if TYPE_CHECKING:
    from gateway.config.schema import Server
    from gateway.directory.doctor.search import Searches
    from gateway.directory.messages import Entry, Result

GROUPS_AT_MOST: Final = 200
"""Groups that are looked for."""


async def look_at_mappings(searches: Searches) -> None:
    """Read the entry of each ``group_dn`` that is a DN, within ``login_timeout`` together. Raises DirectoryError."""
    server, report = searches.server, searches.report
    places = _places(server)
    if not places:
        return
    started = time.perf_counter()
    answers: list[tuple[list[Entry], Result]] = []
    try:
        async with asyncio.timeout(server.login_timeout):
            for some in in_chunks(list(places)[:GROUPS_AT_MOST], AT_ONCE):
                answers += await together(*(searches.entry(dn) for dn in some))
    except TimeoutError:
        text = f"no end within login_timeout ({server.login_timeout:g} s): {len(answers)} of {len(places)} were read"
        report.add("mappings", "warn", text, advice="see which search is slow", key="login_timeout")
    seen = list(zip(places, answers, strict=False))
    missing = sum(_tell(searches, dn, places[dn], *answer) for dn, answer in seen)
    if seen and not missing:
        more = f" of {len(places)}" if len(seen) < len(places) else ""
        text = f"{len(seen)}{more} groups that group_mappings name are there"
        report.add("mappings", "ok", text, seconds=time.perf_counter() - started)


def _places(server: Server) -> Mapping[str, int]:
    """Each ``group_dn`` that is a DN, with the place of the first mapping that has it."""
    places: dict[str, int] = {}
    for place, mapping in enumerate(server.group_mappings):
        try:
            if "=" in mapping.group_dn and parse_dn(mapping.group_dn):
                places.setdefault(mapping.group_dn, place)
        except DnError:
            continue
    return places


def _tell(searches: Searches, dn: str, place: int, entries: list[Entry], result: Result) -> bool:
    """Note what is wrong with a mapping; whether anything is."""
    server, key = searches.server, f"group_mappings.{place}.group_dn"
    add = searches.report.add
    if result.code in (SUCCESS, NO_SUCH_OBJECT) and not entries:
        text = "there is no such entry, or it may not be seen"
        above = f"; above it there is {result.matched_dn}" if result.matched_dn else ""
        advice = "check its spelling: this mapping gives nobody anything"
        add("mappings", "warn", text + above, subject=dn, advice=advice, key=key)
        return True
    if result.code != SUCCESS:
        text, advice = f"cannot be read: {answer_of(result)}", "check what bind_dn may read"
        add("mappings", "warn", text, subject=dn, advice=advice, key=key)
        return True
    named = entries[0].dn
    alike = comparable_dn(named) == comparable_dn(dn) and named.lower() != dn.lower()
    if server.group_comparison == "exact" and alike and not server.group_search_filter:
        advice = 'write it so, or set group_comparison = "dn"'
        add("mappings", "warn", f"the directory writes it as {named}", subject=dn, advice=advice, key=key)
        return True
    return False

"""The searches of a server as the service makes them: its bases, and a name that nobody has."""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from gateway.directory.connection import answer_of
from gateway.directory.doctor.advice import SET_ACCOUNT
from gateway.directory.doctor.second_opinion import Question
from gateway.directory.escape import DnError, comparable_dn, parse_dn
from gateway.directory.filters import Filling, Filter, compile_filter
from gateway.directory.messages import Dereference, Entry, Result, Scope, SearchRequest
from gateway.directory.people import PEOPLE_AT_MOST, filling, person_filter
from gateway.directory.searches import (
    ADVICE,
    NO_SUCH_OBJECT,
    PASSING,
    SIZE_LIMIT_EXCEEDED,
    SUCCESS,
    Searcher,
    SearchFailed,
)

if TYPE_CHECKING:
    from gateway.config.schema import Server
    from gateway.directory.doctor.report import Report

NOBODY: Final = "nobody-has-this-name"
ANY: Final = compile_filter("(objectClass=*)")
_REFERRAL: Final = 10
_ALIKE: Final = 0.7
"""How alike two names are, of 1, where one may be meant for the other."""
_SLOW_SECONDS: Final = 0.2
_SLOW_TIMES: Final = 10
_COMPARED: Final = re.compile(r"\(\s*([A-Za-z][\w.-]*)[^=()]*=[^()]*(?:%s|\{0\}|\{\{)")
"""An attribute that a filter compares with the name."""


def looks_unindexed(base_seconds: float, search_seconds: float) -> bool:
    """Whether finding nobody took so long, beside reading one entry, that the directory seems to have read them all."""
    return search_seconds > _SLOW_SECONDS and search_seconds > _SLOW_TIMES * base_seconds


class Searches:
    """Timed searches of one server. What they find is kept for the second opinion. All raise DirectoryError."""

    def __init__(self, server: Server, searcher: Searcher, report: Report) -> None:
        self.server = server
        self.searcher = searcher
        self.report = report
        self.questions: list[Question] = []
        self.slowest_base_seconds = 0.0
        self.filter = person_filter(server)
        self._dereference = Dereference[server.dereference_aliases.upper()]

    async def read(self, dn: str) -> tuple[list[Entry], Result, float]:
        """The entry of this name, without attributes, with the seconds that it took."""
        request = SearchRequest(dn, ANY, ("1.1",), scope=Scope.BASE, dereference=self._dereference)
        return await self._ask(f"the entry {dn}", request, "")

    async def entry(self, dn: str) -> tuple[list[Entry], Result]:
        """As ``read``, and kept for nobody."""
        request = SearchRequest(dn, ANY, ("1.1",), scope=Scope.BASE, dereference=self._dereference)
        return await self.searcher.search(request)

    async def find(self, base: str, name: str) -> tuple[list[Entry], Result, float]:
        """Whom ``search_filter`` finds below a base for a name, without attributes."""
        request = SearchRequest(
            base, self.filter, ("1.1",), dereference=self._dereference, size_limit=PEOPLE_AT_MOST
        )
        return await self._ask(f"search for {name} below {base or 'the root'}", request, self.filling(name))

    async def _ask(self, what: str, request: SearchRequest, value: Filling) -> tuple[list[Entry], Result, float]:
        started = time.perf_counter()
        entries, result = await self.searcher.search(request, value)
        seconds = time.perf_counter() - started
        if result.code != SIZE_LIMIT_EXCEEDED:  # who comes first is anybody's guess
            self.questions.append(Question(
                what=what,
                base=request.base,
                filter_text=request.filter.text(value),
                scope=Scope.BASE if request.filter is ANY else Scope.SUBTREE,
                dereference=self._dereference,
                size_limit=0 if request.filter is ANY else PEOPLE_AT_MOST,
                found=frozenset(comparable_dn(entry.dn) for entry in entries),
            ))  # fmt: skip
        return entries, result, seconds

    async def any_entry(
        self, base: str, compiled: Filter, attribute: str, name: str = "", scope: Scope = Scope.SUBTREE
    ) -> Entry | None:
        """One of the entries that a filter, for a name, finds below a base. Raises SearchFailed too."""
        request = SearchRequest(base, compiled, (attribute,), scope=scope, dereference=self._dereference, size_limit=1)
        entries, result = await self.searcher.search(request, self.filling(name))
        if result.code not in (SUCCESS, SIZE_LIMIT_EXCEEDED):
            text = f"search for {compiled.text()} below {base!r} refused: {answer_of(result)}"
            raise SearchFailed(text + ADVICE.get(result.code, ""), passing=result.code in PASSING)
        return entries[0] if entries else None

    def filling(self, name: str) -> Filling:
        """As a login fills ``search_filter``."""
        return filling(name, "" if self.server.mode == "upn" else self.server.upn_domain)


async def look_at_base(searches: Searches, base: str, key: str, contexts: Sequence[str] = ()) -> bool:
    """Whether the entry is there that ``key`` names as a base; ``contexts`` are what the directory holds."""
    entries, result, seconds = await searches.read(base)
    searches.slowest_base_seconds = max(searches.slowest_base_seconds, seconds)
    subject, add = base or "the root", searches.report.add
    if result.code == SUCCESS and entries:
        add("base", "ok", "exists", subject=subject, seconds=seconds)
        return True
    text, advice = f"cannot be read: {answer_of(result)}", "check what bind_dn may read"
    if result.code == _REFERRAL:
        advice = f"another directory holds this part: check {key}, or name that directory in urls"
    if result.code in (SUCCESS, NO_SUCH_OBJECT):
        text, advice = "there is no such entry, or it may not be seen", f"check {key}, and what bind_dn may read"
        if result.matched_dn:
            text += f"; above it there is {result.matched_dn}"
        elif meant := meant_base(base, contexts):
            text += f"; did you mean {meant}?"
    if searches.server.mode in ("anonymous", "unauthenticated") and result.code != _REFERRAL:
        advice = f"check {key} ({searches.report.origin(key)}); or {SET_ACCOUNT}"
        key = "bind_dn"
    add("base", "fail", text, subject=subject, seconds=seconds, advice=advice, key=key)
    return False


def meant_base(base: str, contexts: Sequence[str]) -> str:
    """``base`` with the end of it written as the naming context that it resembles; empty where it resembles none."""
    try:
        parts = base.split(",")
        for context in contexts:
            size = len(parse_dn(context))
            end = ",".join(parts[-size:]) if size else ""
            if difflib.SequenceMatcher(None, end.lower(), context.lower()).ratio() > _ALIKE and end != context:
                return ",".join([*parts[:-size], context])
    except DnError:
        pass
    return ""


async def look_for_nobody(searches: Searches, base: str) -> None:
    """A name that nobody has finds nobody, and does so at once."""
    entries, result, seconds = await searches.find(base, NOBODY)
    shown = searches.filter.text(searches.filling(NOBODY))
    subject, key, add = base or "the root", "search_filter", searches.report.add
    if result.code not in (SUCCESS, SIZE_LIMIT_EXCEEDED):
        text, advice = f"{shown} is refused: {answer_of(result)}", "check search_filter, and what bind_dn may search"
        if result.code == NO_SUCH_OBJECT:
            advice, key = "name the part of the directory that holds people in search_base_dns", "search_base_dns"
        add("search", "fail", text, subject=subject, seconds=seconds, advice=advice, key=key)
    elif entries:
        advice = "search_filter must compare an attribute with %s, such as (uid=%s)"
        text = f"{shown} finds entries ({len(entries)}), though nobody has this name"
        add("search", "fail", text, subject=subject, seconds=seconds, advice=advice, key=key)
    elif looks_unindexed(searches.slowest_base_seconds, seconds):
        compared = ", ".join(dict.fromkeys(_COMPARED.findall(searches.filter.template)))
        advice = f"has the directory an index of {compared or 'what search_filter compares'}? Every login searches so"
        add("search", "warn", f"{shown} finds nobody, but slowly", subject=subject, seconds=seconds, advice=advice)
    else:
        add("search", "ok", f"{shown} finds nobody, as it should", subject=subject, seconds=seconds)

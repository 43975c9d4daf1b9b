"""Why a search for people finds nobody: the parts of ``search_filter`` tried one by one, and a look outside the bases.

A handful of searches for one entry each. Whoever calls sets the time.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.directory.doctor.advice import set_preset, typed_name
from gateway.directory.filters import FilterError, compile_filter
from gateway.directory.messages import Scope
from gateway.directory.people import user_filter
from gateway.directory.searches import SearchFailed

if TYPE_CHECKING:
    from gateway.directory.doctor.root_dse import RootDse
    from gateway.directory.doctor.search import Searches
    from gateway.directory.filters import Filter
    from gateway.directory.messages import Entry

MAX_PARTS: Final = 10
"""Parts of a filter that are tried."""
_PLACE: Final = re.compile(r"%s|\{0\}|\{\{-?\s*\.Username\s*-?\}\}")
_AND: Final = re.compile(r"\(\s*&\s*")


@dataclass(frozen=True, slots=True)
class Cause:
    """What keeps people from being found, what to do about it, and the key of the server that says it."""

    text: str
    advice: str
    key: str


def conjuncts(template: str) -> list[str]:
    """The parts of a filter that must all match: those of ``(&...)`` and of an ``(&...)`` inside, else the filter."""
    text = template.strip()
    if not text.startswith("("):
        text = f"({text})"
    opening = _AND.match(text)
    if opening is None:
        return [text]
    parts, depth, start = [], 0, 0
    for place in range(opening.end(), len(text) - 1):  # parentheses in values are escaped (RFC 4515 3)
        if text[place] == "(":
            start = start if depth else place
            depth += 1
        elif text[place] == ")":
            depth -= 1
            if not depth:
                parts.append(text[start : place + 1])
    return [inner for part in parts for inner in conjuncts(part)]


def somebody(searches: Searches, template: str) -> Filter:
    """``template`` for any name at all; ``attributes.username`` being there, where that makes no filter."""
    server = searches.server
    try:
        return compile_filter(_PLACE.sub("*", template), (), server.user_attr)
    except FilterError:
        return compile_filter(f"({server.attributes.username}=*)")


class Narrowing:
    """Looks for the cause below the bases that exist. ``typed`` empty: anybody was looked for."""

    def __init__(self, searches: Searches, bases: Sequence[str], typed: str, root: RootDse | None) -> None:
        parts = conjuncts(searches.filter.template)
        self._searches = searches
        self._bases = bases
        self._typed = typed
        self._contexts = root.naming_contexts if root else ()
        self._fitting = fitting_preset(searches, root, "search_filter")
        self._naming = [part for part in parts if _PLACE.search(part)]
        self._others = [part for part in parts if not _PLACE.search(part)][:MAX_PARTS]

    async def cause(self) -> Cause:
        """The likeliest one. Raises DirectoryError."""
        advice, key = "check search_filter, search_base_dns, and what bind_dn may read", "search_filter"
        if not self._naming:
            return Cause("search_filter has no place for the name", advice, key)
        named = "".join(self._naming) if len(self._naming) == 1 else f"(&{''.join(self._naming)})"
        found = await self._first(self._bases, named) if self._others else None
        if found is not None and (excluding := await self._excluding(found)):
            text = f"{found.dn} would be found, but {' and '.join(excluding)} of search_filter excludes it"
            return self._cause(text, f"mend or remove {' and '.join(excluding)}", key)
        if self._typed and (other := await self._another()):
            text = f"search_filter finds others, such as {other.dn}, but nothing with this name"
            return self._by_name(await self._elsewhere(named), text)
        if elsewhere := await self._elsewhere(named):
            text = f"nothing below {self._told_bases()} fits {self._shown(named)}, but there is {elsewhere.dn}"
            return Cause(text, "check search_base_dns", "search_base_dns")
        text = f"nothing below {self._told_bases()} fits even {self._shown(named)} of search_filter"
        return self._cause(text, advice, key)

    def _cause(self, text: str, advice: str, key: str) -> Cause:
        if self._fitting:
            told = set_preset(self._searches.report, self._fitting)
            return Cause(text, f"{told}, which fits this directory", "preset")
        return Cause(text, advice, key)

    def _by_name(self, elsewhere: Entry | None, text: str) -> Cause:
        if hint := typed_name(self._searches.server, self._typed):
            return Cause(text, hint, "search_filter")
        if elsewhere is not None:
            advice = f"there is {elsewhere.dn}, outside of search_base_dns: name that part of the directory too"
            return Cause(text, advice, "search_base_dns")
        return Cause(text, "check the name; it may also be one that bind_dn may not see", "")

    async def _another(self) -> Entry | None:
        compiled = somebody(self._searches, self._searches.filter.template)
        return await self._first_of(self._bases, compiled, "")

    async def _elsewhere(self, named: str) -> Entry | None:
        below = tuple(base.lower() for base in self._bases)
        contexts = [context for context in self._contexts if context.lower() not in below]
        return await self._first(contexts, named)

    async def _excluding(self, found: Entry) -> list[str]:
        """The parts that do not match an entry."""
        matching = {part for part in self._others if await self._first([found.dn], part, Scope.BASE)}
        return [part for part in self._others if part not in matching]

    async def _first(self, bases: Sequence[str], template: str, scope: Scope = Scope.SUBTREE) -> Entry | None:
        if not self._typed:
            return await self._first_of(bases, somebody(self._searches, template), "", scope)
        return await self._first_of(bases, user_filter(self._searches.server, template), self._typed, scope)

    async def _first_of(
        self, bases: Sequence[str], compiled: Filter, typed: str, scope: Scope = Scope.SUBTREE
    ) -> Entry | None:
        for base in bases:
            with contextlib.suppress(SearchFailed):
                if found := await self._searches.any_entry(base, compiled, "1.1", typed, scope):
                    return found
        return None

    def _shown(self, template: str) -> str:
        if not self._typed:
            return somebody(self._searches, template).text()
        return user_filter(self._searches.server, template).text(self._searches.filling(self._typed))

    def _told_bases(self) -> str:
        return " | ".join(base or "the root" for base in self._bases)


def fitting_preset(searches: Searches, root: RootDse | None, key: str) -> str:
    """The preset of this product, where the server has another and ``key`` is not given besides; empty else.

    ``vault`` is a way of writing, not a product.
    """
    preset = root.preset if root else ""
    if not preset or searches.server.preset in (preset, "vault"):
        return ""
    return preset if searches.report.origin(key).startswith(("default", "preset ")) else ""

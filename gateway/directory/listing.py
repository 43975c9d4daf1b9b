"""Everybody whom one server can find, and all of its groups, read in pages; of an entry only what is used is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Final

from gateway.directory.account import DN_ATTRIBUTE, first_value, own_name, values
from gateway.directory.escape import comparable_dn
from gateway.directory.filters import Filter, compile_filter, for_any_name
from gateway.directory.messages import Dereference, Entry, SearchRequest
from gateway.directory.searches import Searcher, all_values, pages
from gateway.grants.conjur_policy import GroupEntry, PersonEntry

if TYPE_CHECKING:
    from gateway.config.schema import Server
    from gateway.config.schema.conjur import ConjurSync

PAGE: Final = 1000
"""Entries of a page: what Active Directory gives at most, and LDAP Sync asks for (conjur.md 7)."""
MEMBERS_AT_MOST: Final = 1_000_000
"""Members of one group that are read."""

_CLASSES: Final = ("group", "groupOfNames", "groupOfUniqueNames", "posixGroup")
_GROUPS: Final = f"(|{''.join(f'(objectClass={name})' for name in _CLASSES)})"
_UID, _UID_NUMBER, _MEMBER_UID = "uid", "uidNumber", "memberUid"
_MEMBERS: Final = ("member", "uniqueMember")


class Listing:
    """The searches for all people and all groups of one server, compiled once. Raises FilterError."""

    def __init__(self, server: Server, sync: ConjurSync, also: Iterable[str] = ()) -> None:
        """``also`` names attributes that others need of people."""
        self.user_attribute = sync.user_attr or server.attributes.username or _UID
        self.group_attribute = sync.group_attr or server.group_attr
        user_filter = sync.user_filter or for_any_name(server.search_filter)
        self._dereference = Dereference[server.dereference_aliases.upper()]
        self._people = self._requests(
            sync.base_dns or server.user_bases,
            compile_filter(user_filter, (), server.user_attr), self.user_attribute, _UID, _UID_NUMBER, *also,
        )  # fmt: skip
        self._groups = self._requests(
            sync.base_dns or server.group_bases,
            compile_filter(sync.group_filter or _GROUPS, ()), self.group_attribute, *_MEMBERS, _MEMBER_UID,
        )  # fmt: skip

    def _requests(self, bases: tuple[str, ...], compiled: Filter, *attributes: str) -> tuple[SearchRequest, ...]:
        named = {name.lower(): name for name in attributes if name.lower() != DN_ATTRIBUTE}
        asked = tuple(named.values())
        return tuple(SearchRequest(base, compiled, asked, dereference=self._dereference) for base in bases)

    async def people(self, searcher: Searcher) -> AsyncIterator[list[tuple[PersonEntry, Entry]]]:
        """Everybody below every base with their entries, page by page. Raises SearchFailed and DirectoryError."""
        async for page in _pages(searcher, self._people):
            yield [(self._person(entry), entry) for entry in page]

    def _person(self, entry: Entry) -> PersonEntry:
        name, number = own_name(entry, self.user_attribute.lower(), ""), first_value(entry, _UID_NUMBER.lower())
        return PersonEntry(name, entry.dn, values(entry, _UID), number)

    async def groups(self, searcher: Searcher) -> AsyncIterator[GroupEntry]:
        """Every group below every base; members that the directory gives in portions are read to the end.

        Raises SearchFailed and DirectoryError.
        """
        attribute = self.group_attribute.lower()
        async for page in _pages(searcher, self._groups):
            for entry in page:
                found = [dn for name in _MEMBERS for dn in await _all_texts(searcher, entry, name)]
                uids = await _all_texts(searcher, entry, _MEMBER_UID)
                name, members = own_name(entry, attribute, ""), tuple(map(comparable_dn, found))
                yield GroupEntry(name, entry.dn, members, tuple(uids))

    @property
    def no_groups(self) -> str:
        """Why there are no groups, in words: filter and bases of the search."""
        bases = "; ".join(request.base or "the root" for request in self._groups)
        return f"{self._groups[0].filter.text()} finds none below {bases}" if bases else "they have no base"


async def _pages(searcher: Searcher, requests: tuple[SearchRequest, ...]) -> AsyncIterator[list[Entry]]:
    for request in requests:
        async with searcher.alone() as own:
            async for page in pages(own, request, size=PAGE):
                yield page


async def _all_texts(searcher: Searcher, entry: Entry, attribute: str) -> list[str]:
    found = await all_values(searcher, entry, attribute.lower(), MEMBERS_AT_MOST)
    return [value.decode("utf-8", "replace") for value in found]

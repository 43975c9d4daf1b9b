"""Which groups an account is in (grafana.md 2.5, vault.md 5).

One of three sources gives the direct groups: the person's ``memberOf``, a search for groups that name the person, or
Active Directory's ``tokenGroups``, which holds the indirect ones too. To the first two the primary group may be added,
and the groups above them, level by level. Round trips: none for ``memberOf``, one for a search (the primary group is
asked for at the same time), two for ``tokenGroups``, one for each level.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from gateway.directory.account import DN_ATTRIBUTE, one_spelling, own_name
from gateway.directory.escape import DnError
from gateway.directory.filters import USER_DN, USERNAME, VALUE, Filling, Filter, any_of, compile_filter
from gateway.directory.group_names import GroupNames, naming_context
from gateway.directory.messages import Dereference, Entry, Scope, SearchRequest
from gateway.directory.nested import ancestors
from gateway.directory.searches import (
    NO_SUCH_OBJECT,
    Searcher,
    SearchFailed,
    all_values,
    ask,
    ask_all,
    ask_in_pages,
    in_chunks,
    together,
)
from gateway.directory.sids import is_sid, sibling

if TYPE_CHECKING:
    from gateway.config.schema import Server
    from gateway.identity import Group

log = logging.getLogger(__name__)

GROUP_VARIABLES: Final = (USERNAME, USER_DN)
"""What may stand in ``group_search_filter`` besides ``%s`` (vault.md 3)."""

CHUNK: Final = 100
"""Groups that one filter asks about. slapd takes no more than 256 KB from an anonymous connection."""

MAX_GROUP: Final = 2048
"""Octets of the name or DN of a group; what is longer is passed over."""

_MEMBERS: Final = ("member", "uniqueMember")
_OBJECT_SID, _PRIMARY_GROUP, _TOKEN_GROUPS = "objectSid", "primaryGroupID", "tokenGroups"
_ANY: Final = compile_filter("(objectClass=*)")
_NAMED_AT_MOST: Final = 3
"""Groups that the source of a group above them names."""
_Found = tuple[Entry, str]
"""An entry, and the base below which it was found."""


class GroupReader:
    """Finds the groups of the people of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server.name
        self._limit = server.max_groups
        self._page_size = server.page_size
        self._bases = server.group_search_base_dns
        self._names = GroupNames(server)
        user_attribute = server.group_search_filter_user_attribute or server.attributes.username
        self._user_attribute = user_attribute.lower()
        self._username = server.attributes.username.lower()
        self._fold_names = not server.case_sensitive_names
        self._dereference = Dereference[server.dereference_aliases.upper()]
        self._as_vault = server.preset == "vault"
        # vault.md 5: a missing base is no failure there.
        self._accept = frozenset({NO_SUCH_OBJECT}) if self._as_vault else frozenset()
        self._by_token = server.use_token_groups
        self._primary = server.primary_group and not self._by_token
        self._nested_depth = server.nested_depth if server.nested_groups and not self._by_token else 0
        text = server.group_search_filter
        self._filter = compile_filter(text, GROUP_VARIABLES) if text else None
        self._requests = tuple(self._request(base, self._filter) for base in server.group_bases) if self._filter else ()
        member_of = "" if self._by_token or self._filter else server.attributes.member_of
        self._member_of = member_of.lower()
        searches = self._by_token or self._primary or self._nested_depth or self._requests
        self._anonymous = server.anonymous_group_search and bool(searches)
        wanted = [user_attribute if self._filter else member_of]
        self.wanted = tuple(wanted + ([_OBJECT_SID, _PRIMARY_GROUP] if self._primary else []))
        """Attributes that a search for people must ask for."""

    async def groups(self, searcher: Searcher, entry: Entry, typed: str) -> tuple[Group, ...]:
        """The groups of the person with this entry, who logged in as ``typed``; at most ``max_groups``.

        It takes as many round trips as it takes: whoever calls sets the time. Raises DirectoryError and SearchFailed.
        """
        # With the rights of whoever read the entry, because the rest of its attribute may have to be read.
        listed = await self._of_member_of(searcher, entry) if self._member_of else []
        if self._anonymous:
            async with searcher.anonymous() as nobody:
                found = await self._find(nobody, entry, typed, listed)
        else:
            found = await self._find(searcher, entry, typed, listed)
        return self._at_most_max_groups(found, entry)

    async def _find(self, searcher: Searcher, entry: Entry, typed: str, listed: list[Group]) -> list[Group]:
        sources: list[Coroutine[None, None, list[Group]]] = []
        if self._by_token:
            sources.append(self._of_token(searcher, entry))
        elif self._filter is not None:
            sources.append(self._of_search(searcher, entry, typed))
        if self._primary and (sid := self._primary_sid(entry)):
            sources.append(self._of_sids(searcher, entry, [sid], "primary group"))
        found = [*listed, *chain(*await together(*sources))] if sources else listed
        if len(sources) > 1:
            found = list(dict.fromkeys(found))
        if self._nested_depth:
            found = await self._with_ancestors(searcher, entry, found[: self._limit + 1])
        return found

    def _at_most_max_groups(self, found: list[Group], entry: Entry) -> tuple[Group, ...]:
        if len(found) > self._limit:
            told = (self._server, entry.dn, self._limit)
            log.warning("server %s: %s is in more than %d groups, only so many are used (max_groups)", *told)
        return tuple(found[: self._limit])

    # Sources

    async def _of_member_of(self, searcher: Searcher, entry: Entry) -> list[Group]:
        texts = await self._texts(searcher, entry, self._member_of)
        return await _in_turns(texts, self._names.of_member_of)

    async def _of_search(self, searcher: Searcher, entry: Entry, typed: str) -> list[Group]:
        name = self._name(entry, typed)
        value = own_name(entry, self._user_attribute, typed) if self._user_attribute else name
        if self._filter is None or (not value and VALUE in self._filter.variables):
            return []
        username = name.lower() if self._fold_names else name
        found = await self._ask(searcher, self._requests, {VALUE: value, USERNAME: username, USER_DN: entry.dn})
        if self._names.listing:
            return await self._of_listings(searcher, found)
        return self._of_entries((one, f"group search below {base}") for one, base in found)

    def _of_entries(self, found: Iterable[_Found]) -> list[Group]:
        """The groups of entries, each with its ``Group.source``; ``max_groups`` and one more at most."""
        groups = (group for one, source in found for group in self._names.of_entry(one, source))
        short = (group for group in groups if max(map(len, (group.name, group.dn, group.value))) <= MAX_GROUP)
        return list(islice(short, self._limit + 1))

    def _name(self, entry: Entry, typed: str) -> str:
        """The account's name. To Vault it is what was typed (vault.md 4), which may be another's name where people are
        found by an attribute that they write themselves.
        """
        return typed.strip() if self._as_vault else own_name(entry, self._username, typed) or one_spelling(typed)

    async def _of_listings(self, searcher: Searcher, found: list[_Found]) -> list[Group]:
        """The entries found are people, one attribute of theirs lists the groups: Vault's ``groupattr=memberOf``."""
        groups: list[Group] = []
        for entry, base in found:
            texts = await self._texts(searcher, entry, self._names.listing)
            read = partial(self._names.of_listing, source=f"group search below {base}")
            groups += await _in_turns(texts or [entry.dn], read)
            if len(groups) > self._limit:
                break
        return list(dict.fromkeys(groups))

    async def _texts(self, searcher: Searcher, entry: Entry, attribute: str) -> list[str]:
        if attribute == DN_ATTRIBUTE:
            return [entry.dn]
        found = await all_values(searcher, entry, attribute, self._limit)
        texts = [value.decode("utf-8", "replace") for value in found if len(value) <= MAX_GROUP]
        if len(texts) < len(found):
            told = (self._server, entry.dn, attribute, MAX_GROUP)
            log.warning("server %s: %s: values of %s with more than %d octets are passed over", *told)
        return texts

    async def _of_token(self, searcher: Searcher, entry: Entry) -> list[Group]:
        """``tokenGroups`` is computed when it is asked for, and only by a search for the entry itself."""
        request = SearchRequest(entry.dn, _ANY, (_TOKEN_GROUPS,), scope=Scope.BASE, entries_at_most=1)
        answer = await ask(searcher, request)
        sids = answer[0].attributes.get(_TOKEN_GROUPS.lower(), []) if answer else []
        if not sids:
            log.warning("server %s: %s has no tokenGroups: is this Active Directory?", self._server, entry.dn)
        return await self._of_sids(searcher, entry, list(islice(filter(is_sid, sids), self._limit)), _TOKEN_GROUPS)

    async def _of_sids(self, searcher: Searcher, entry: Entry, sids: Sequence[bytes], source: str) -> list[Group]:
        return await self._groups_with(searcher, entry, (_OBJECT_SID,), sids, source)

    def _primary_sid(self, entry: Entry) -> bytes | None:
        """The group is named by its relative id in the person's own domain (MS-ADTS 3.1.1.3.1.3, primaryGroupID)."""
        sids, ids = entry.attributes.get(_OBJECT_SID.lower()), entry.attributes.get(_PRIMARY_GROUP.lower())
        return sibling(sids[0], ids[0]) if sids and ids else None

    async def _with_ancestors(self, searcher: Searcher, entry: Entry, found: list[Group]) -> list[Group]:
        async def parents(dns: Sequence[str]) -> list[Group]:
            return await self._groups_with(searcher, entry, _MEMBERS, [dn.encode() for dn in dns], _above(dns))

        return found + await ancestors(found, parents, depth=self._nested_depth, limit=self._limit)

    # Searches

    async def _groups_with(
        self, searcher: Searcher, entry: Entry, attributes: Sequence[str], values: Sequence[bytes], source: str
    ) -> list[Group]:
        """Groups with one of ``values``, below ``group_search_base_dns`` or anywhere in the person's directory."""
        try:
            bases = self._bases or (naming_context(entry.dn),)
        except DnError as error:
            raise SearchFailed(f"{entry.dn}: {error}", passing=False) from None
        filters = [any_of(attributes, some) for some in in_chunks(values, CHUNK)]
        requests = [self._request(base, compiled) for compiled in filters for base in bases]
        found = await self._ask(searcher, requests)
        return self._of_entries((one, source) for one, _ in found)

    async def _ask(
        self, searcher: Searcher, requests: Sequence[SearchRequest], filling: Filling = ""
    ) -> list[_Found]:
        """The entries that any of ``requests`` finds; one that several find, once."""
        if self._page_size:
            answers = await ask_in_pages(
                searcher, requests, filling, size=self._page_size, limit=self._limit, accept=self._accept
            )
        else:
            answers = await ask_all(searcher, requests, filling, accept=self._accept)
        pairs = zip(requests, answers, strict=True)
        return list({entry.dn: (entry, request.base) for request, entries in pairs for entry in entries}.values())

    def _request(self, base: str, compiled: Filter) -> SearchRequest:
        return SearchRequest(base, compiled, self._names.requested, dereference=self._dereference)


async def _in_turns(values: Sequence[str], read: Callable[[Sequence[str]], list[Group]]) -> list[Group]:
    """What ``read`` makes of ``values``, so many at once that others get their turn."""
    if len(values) <= CHUNK:
        return read(values)
    groups: list[Group] = []
    for some in in_chunks(values, CHUNK):
        groups += read(some)
        await asyncio.sleep(0)
    return groups


def _above(dns: Sequence[str]) -> str:
    """The source of groups that have one of these among their members."""
    if len(dns) > _NAMED_AT_MOST:
        return f"nested: holds one of {len(dns)} groups of this person"
    return f"nested: holds {'one of ' if len(dns) > 1 else ''}{' | '.join(dns)}"

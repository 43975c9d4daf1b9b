"""How one server finds the entry of a person: by filter, by User Principal Name, or under the name that was bound."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Final

from gateway.directory.account import UNIQUE_IDS
from gateway.directory.escape import comparable_dn, escape_filter_value
from gateway.directory.filters import USERNAME, VALUE, Filling, Filter, compile_filter
from gateway.directory.messages import Dereference, Entry, Scope, SearchRequest, result_name
from gateway.directory.searches import (
    NO_SUCH_OBJECT,
    PASSING,
    SIZE_LIMIT_EXCEEDED,
    SUCCESS,
    Searcher,
    SearchFailed,
    ask_all,
)

if TYPE_CHECKING:
    from gateway.config.schema import Server

PEOPLE_AT_MOST: Final = 20
"""Entries asked for in a search for one person; more than one is ambiguous already."""
_ANSWERED_AT_MOST: Final = 4 * PEOPLE_AT_MOST
"""Entries after which it is no use to go on reading: not every server heeds what is asked for."""
_OCTETS, _OCTETS_OF_A_GROUP = 1 << 20, 256
"""Of all the entries that a search for one person may answer, and for each of ``max_groups`` besides."""
USER_VARIABLES: Final = (USERNAME,)
"""What may stand in ``search_filter`` besides ``%s`` and ``{{.UserAttr}}`` (vault.md 3)."""

_PRINCIPAL: Final = "userPrincipalName"
_GUID: Final = "objectGUID"
_UNIQUE_ID: Final = re.compile(r"(?:-?[0-9a-f]{4}){8}")
"""32 digits, hyphens wherever a directory writes them."""
_INSUFFICIENT_ACCESS: Final = 50
_CUT_SHORT: Final = frozenset({SIZE_LIMIT_EXCEEDED})
_ANY: Final = compile_filter("(objectClass=*)")


class Ambiguous(Exception):
    """Several people match where one was expected; the text says where."""


class People:
    """The searches for people of one server, compiled once. ``attributes`` are those that it asks for."""

    def __init__(self, server: Server, attributes: tuple[str, ...]) -> None:
        self._attributes = attributes
        self._by_principal = server.mode == "upn"
        # Where a name that is no DN binds, the first of several need not be who it is.
        self._take_first = server.multiple_entries == "first" and (server.mode != "single" or "=" in server.bind_dn)
        self._domain = "" if self._by_principal else server.upn_domain
        compiled = person_filter(server)
        self._bases = server.user_bases
        self._dereference = Dereference[server.dereference_aliases.upper()]
        self._octets = _OCTETS + _OCTETS_OF_A_GROUP * server.max_groups
        self._requests = self._below_bases(compiled)

    def _below_bases(self, compiled: Filter) -> tuple[SearchRequest, ...]:
        return tuple(
            SearchRequest(base, compiled, self._attributes, scope=Scope.SUBTREE, dereference=self._dereference,
                          size_limit=PEOPLE_AT_MOST, entries_at_most=_ANSWERED_AT_MOST, octets_at_most=self._octets)
            for base in self._bases
        )  # fmt: skip

    async def find(self, searcher: Searcher, login: str) -> Entry | None:
        """The one entry that a login means: of the first base with any, by principal name of all bases together.

        All bases are asked at once, so that the number of round trips does not tell where an entry is. Raises
        ``Ambiguous``, SearchFailed and DirectoryError.
        """
        answers = await ask_all(searcher, self._requests, filling(login, self._domain), accept=_CUT_SHORT)
        if self._by_principal:
            return self._only([entry for entries in answers for entry in entries], "")
        for request, entries in zip(self._requests, answers, strict=True):
            if entries:
                return entries[0] if self._take_first else self._only(entries, f" below {request.base}")
        return None

    async def own(self, searcher: Searcher, dn: str) -> Entry | None:
        """The entry under the name that ``searcher`` is bound as; None where people may not read theirs.

        Raises SearchFailed and DirectoryError.
        """
        request = SearchRequest(
            dn, _ANY, self._attributes, scope=Scope.BASE, entries_at_most=1, octets_at_most=self._octets
        )
        entries, result = await searcher.search(request)
        if result.code not in (SUCCESS, NO_SUCH_OBJECT, _INSUFFICIENT_ACCESS):
            text = f"the own entry of {dn} cannot be read: {result_name(result.code)}"
            raise SearchFailed(text, passing=result.code in PASSING)
        return entries[0] if entries else None

    async def by_id(self, searcher: Searcher, known_id: str) -> list[Entry]:
        """The entries below all bases that may have a unique id, as ``external_id`` writes it; none for other ids.

        Raises SearchFailed and DirectoryError.
        """
        if not _UNIQUE_ID.fullmatch(known_id):
            return []
        requests = self._below_bases(compile_filter(_with_id(known_id)))
        answers = await ask_all(searcher, requests, accept=_CUT_SHORT)
        return [entry for entries in answers for entry in entries]

    @staticmethod
    def _only(entries: list[Entry], where: str) -> Entry | None:
        if len(entries) > 1 and (different := len({comparable_dn(entry.dn) for entry in entries})) > 1:
            raise Ambiguous(f"{different} entries{where} match; one was expected")
        return entries[0] if entries else None


def _with_id(known_id: str) -> str:
    """The filter for an id in every attribute it may be of; Active Directory compares its octets (MS-DTYP 2.3.4.2)."""
    texts = "".join(f"({attribute}={known_id})" for attribute in UNIQUE_IDS if attribute != _GUID)
    octets = "".join(f"\\{octet:02x}" for octet in uuid.UUID(known_id).bytes_le)
    return f"(|{texts}({_GUID}={octets}))"


def filling(login: str, domain: str) -> Filling:
    """What a login puts into a filter. With an ``upn_domain`` Vault's ``{{.Username}}`` is the principal name there
    (vault.md 4.2).
    """
    return {VALUE: login, USERNAME: f"{login}@{domain}"} if domain else login


def person_filter(server: Server) -> Filter:
    """The filter that finds who logs in. Raises ``FilterError``."""
    return _principal_filter(server) if server.mode == "upn" else user_filter(server)


def user_filter(server: Server, text: str = "") -> Filter:
    """``text``, by default ``search_filter``, compiled with what may stand in that. Raises ``FilterError``."""
    attribute = _PRINCIPAL if server.upn_domain else server.user_attr
    return compile_filter(text or server.search_filter, USER_VARIABLES, attribute)


def _principal_filter(server: Server) -> Filter:
    """Finds who logs in by User Principal Name (vault.md 4, step 9)."""
    domain = escape_filter_value(server.upn_domain).replace("%", "\\25").replace("{", "\\7b")
    by_principal = f"({_PRINCIPAL}=%s@{domain})"
    return compile_filter(f"(|{by_principal}(sAMAccountName=%s))" if server.samaccountname_login else by_principal)

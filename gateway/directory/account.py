"""From a directory entry to an account: which attributes to ask for, and what to make of their values."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.directory.escape import DnError, normalise_dn
from gateway.identity import Account, Group

if TYPE_CHECKING:
    from gateway.config.schema import Server
    from gateway.directory.messages import Entry

UNIQUE_IDS: Final = ("entryUUID", "objectGUID", "nsUniqueId", "ipaUniqueID")
"""Attributes that stay with an entry when it is renamed, and differ when a name is given away again: OpenLDAP,
Active Directory, 389 Directory Server, FreeIPA."""

DN_ATTRIBUTE: Final = "dn"
"""In place of an attribute's name, in whatever case, it means the entry's DN."""


class AccountReader:
    """Reads accounts from the entries of one server."""

    def __init__(self, server: Server) -> None:
        self._server = server.name
        names = server.attributes
        self._username = names.username
        self._name = (names.name, names.surname)
        self._email = names.emails
        self._user_id = names.user_id
        self._member_of = names.member_of
        self._extra = dict(names.extra)
        self._group_user_attribute = server.group_search_filter_user_attribute or names.username
        self.requested = self._requested(searches_groups=bool(server.group_search_filter))
        """Attributes that a search for people asks for."""

    def _requested(self, *, searches_groups: bool) -> tuple[str, ...]:
        wanted = [self._username, *self._name, *self._email, self._user_id, *self._extra.values()]
        wanted.append(self._group_user_attribute if searches_groups else self._member_of)
        wanted.extend(UNIQUE_IDS)
        named = {name.lower(): name for name in wanted if name and name.lower() != DN_ATTRIBUTE}
        return tuple(named.values())

    def account(self, entry: Entry, typed: str, groups: tuple[Group, ...] = ()) -> Account:
        """Make the account of an entry; ``typed`` is its name where no attribute gives one."""
        name, surname = (first_value(entry, attribute) for attribute in self._name)
        return Account(
            server=self._server,
            external_id=external_id(entry),
            username=first_value(entry, self._username) or typed,
            name=f"{name} {surname}".strip(),
            email=next(filter(None, (first_value(entry, attribute) for attribute in self._email)), ""),
            dn=entry.dn,
            groups=groups,
            attributes={key: values(entry, attribute) for key, attribute in self._extra.items()},
            user_id=first_value(entry, self._user_id),
        )

    def member_of(self, entry: Entry) -> tuple[str, ...]:
        """Values of the attribute that lists the entry's groups."""
        return values(entry, self._member_of)

    def group_search_value(self, entry: Entry, typed: str) -> str:
        """What stands for the person in the group search; ``typed`` where no attribute is named."""
        return first_value(entry, self._group_user_attribute) if self._group_user_attribute else typed


def values(entry: Entry, attribute: str) -> tuple[str, ...]:
    """All values of an attribute as text; the DN for ``dn``, nothing for an unnamed attribute."""
    if attribute.lower() == DN_ATTRIBUTE:
        return (entry.dn,)
    return tuple(value.decode("utf-8", "replace") for value in entry.attributes.get(attribute.lower(), ()))


def first_value(entry: Entry, attribute: str) -> str:
    """The first value of an attribute; empty where there is none."""
    return next(iter(values(entry, attribute)), "")


def external_id(entry: Entry) -> str:
    """What identifies the entry for good (DECISIONS 1): its unique id, else its normalised DN."""
    for attribute in UNIQUE_IDS:
        if found := entry.attributes.get(attribute.lower()):
            return _READERS.get(attribute, _text)(found[0])
    try:
        return normalise_dn(entry.dn)
    except DnError:
        return entry.dn


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace").lower()


def _guid(value: bytes) -> str:
    """Active Directory's sixteen bytes, of which the first three fields are little-endian (MS-DTYP 2.3.4.2)."""
    return str(uuid.UUID(bytes_le=value)) if len(value) == 16 else value.hex()


_READERS: Final[dict[str, Callable[[bytes], str]]] = {"objectGUID": _guid}

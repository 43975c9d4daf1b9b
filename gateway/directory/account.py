"""From a directory entry to an account: which attributes to ask for, and what to make of their values."""

from __future__ import annotations

import unicodedata
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from gateway.directory.escape import DnError, comparable_dn, parse_dn
from gateway.identity import Account, Group, fold_name

if TYPE_CHECKING:
    from gateway.config.schema import Server
    from gateway.directory.messages import Entry

UNIQUE_IDS: Final = ("entryUUID", "objectGUID", "nsUniqueId", "ipaUniqueID")
"""Attributes that stay with an entry when it is renamed, and differ when a name is given away again: OpenLDAP,
Active Directory, 389 Directory Server, FreeIPA."""

MAX_TEXT: Final = 1024
"""Characters of a name or address; it goes into tokens and headers, whatever a directory holds."""

_MAX_ID: Final = 256
"""Octets of a unique id; a longer one is none."""

_NAMES_AT_MOST: Final = 100
"""Values of the attribute that names people that are looked at."""

DN_ATTRIBUTE: Final = "dn"
"""In place of an attribute's name it means the entry's DN."""


class AccountReader:
    """Reads accounts from the entries of one server. ``also`` names attributes that others need of people."""

    def __init__(self, server: Server, also: Iterable[str] = ()) -> None:
        self._server = server.name
        names = server.attributes
        # Entries have their attributes in lower case.
        self._username = names.username.lower()
        self._name, self._surname = names.name.lower(), names.surname.lower()
        self._emails = tuple(map(str.lower, names.emails))
        self._user_id = names.user_id.lower()
        self._extra = {key: attribute.lower() for key, attribute in names.extra.items()}
        wanted = [names.username, names.name, names.surname, *names.emails, names.user_id, *names.extra.values()]
        named = {name.lower(): name for name in (*wanted, *also, *UNIQUE_IDS) if name and name.lower() != DN_ATTRIBUTE}
        self.requested = tuple(named.values())
        """Attributes that a search for people asks for."""

    def account(self, entry: Entry, typed: str, groups: tuple[Group, ...] = ()) -> Account:
        """Make the account of an entry; ``typed`` makes its name where no attribute does."""
        name, surname = first_value(entry, self._name), first_value(entry, self._surname)
        emails = (first_value(entry, attribute) for attribute in self._emails)
        return Account(
            server=self._server,
            external_id=external_id(entry),
            username=(own_name(entry, self._username, typed) or one_spelling(typed))[:MAX_TEXT],
            name=f"{name} {surname}".strip()[:MAX_TEXT],
            email=next(filter(None, emails), "")[:MAX_TEXT],
            dn=entry.dn,
            groups=groups,
            attributes={key: values(entry, attribute) for key, attribute in self._extra.items()},
            user_id=first_value(entry, self._user_id)[:MAX_TEXT],
        )


def values(entry: Entry, attribute: str) -> tuple[str, ...]:
    """All values of an attribute, named in lower case; the DN for ``dn``, nothing for an unnamed attribute."""
    if attribute == DN_ATTRIBUTE:
        return (entry.dn,)
    return tuple([value.decode("utf-8", "replace") for value in entry.attributes.get(attribute, ())])


def first_value(entry: Entry, attribute: str) -> str:
    """The first value of an attribute, named in lower case; empty where there is none."""
    if attribute == DN_ATTRIBUTE:
        return entry.dn
    found = entry.attributes.get(attribute)
    return found[0].decode("utf-8", "replace") if found else ""


def own_name(entry: Entry, attribute: str, typed: str) -> str:
    """The value of an attribute, named in lower case, that names the person; empty where there is none.

    Of several it is the one in the entry's DN, which nobody adds to their own entry and which stays the same whatever
    was typed; else the one that was typed; else the first.
    """
    found = values(entry, attribute)[:_NAMES_AT_MOST]
    if len(found) < 2:
        return found[0] if found else ""
    wanted = (*_naming_values(entry.dn, attribute), fold_name(typed))
    return next((value for name in wanted for value in found if fold_name(value) == name), found[0])


def _naming_values(dn: str, attribute: str) -> list[str]:
    try:
        first = parse_dn(dn)[:1]
    except DnError:
        return []
    return [fold_name(value) for rdn in first for kind, value in rdn if kind.lower() == attribute]


def one_spelling(typed: str) -> str:
    """The form of a name that no attribute gives: one for all that a directory takes for the same (RFC 4518)."""
    return fold_name(unicodedata.normalize("NFKC", typed)) or typed


def external_id(entry: Entry) -> str:
    """What identifies the entry for good (DECISIONS 1): its unique id, else its normalised DN."""
    for attribute in _UNIQUE_IDS:
        if (found := entry.attributes.get(attribute)) and len(found[0]) <= _MAX_ID:
            return _READERS.get(attribute, _text)(found[0])
    return comparable_dn(entry.dn)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace").lower()


def _guid(value: bytes) -> str:
    """Active Directory's sixteen bytes, of which the first three fields are little-endian (MS-DTYP 2.3.4.2)."""
    return str(uuid.UUID(bytes_le=value)) if len(value) == 16 else value.hex()


_UNIQUE_IDS: Final = tuple(map(str.lower, UNIQUE_IDS))
_READERS: Final[dict[str, Callable[[bytes], str]]] = {"objectguid": _guid}

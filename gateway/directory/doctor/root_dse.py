"""What a directory tells of itself: root DSE (RFC 4512 5.1), product, clock, the attributes it knows. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from gateway.directory.controls import PAGED_RESULTS, PASSWORD_POLICY
from gateway.directory.messages import START_TLS

if TYPE_CHECKING:
    from gateway.config.schema import Server
    from gateway.directory.messages import Entry

ATTRIBUTES: Final = (
    "namingContexts", "defaultNamingContext", "supportedLDAPVersion", "supportedControl", "supportedExtension",
    "supportedCapabilities", "vendorName", "vendorVersion", "subschemaSubentry", "currentTime", "objectClass",
)  # fmt: skip
"""What is asked of the root DSE; most of it is operational and must be named."""

_ACTIVE_DIRECTORY: Final = "1.2.840.113556.1.4.800"  # MS-ADTS 3.1.1.3.4.1.1
_FREEIPA: Final = "2.16.840.1.113730.3.8.10."  # its own extended operations
_TIME: Final = re.compile(r"(\d{14})(?:[.,]\d+)?Z", re.ASCII)
_TYPE: Final = re.compile(r"\(\s*([0-9][0-9.]*|[\w.-]+)")
_TYPE_NAMES: Final = re.compile(r"\sNAME\s+(?:'([^']*)'|\(([^)]*)\))")
_FILTER_CLASS: Final = re.compile(r"\(\s*objectClass\s*=\s*([A-Za-z0-9][\w.-]*)\s*\)", re.IGNORECASE)
_FILTER_ATTRIBUTE: Final = re.compile(r"\(\s*([A-Za-z][A-Za-z0-9_.-]*)[^=()]*=")


@dataclass(frozen=True, slots=True)
class RootDse:
    """The root DSE, as far as anybody here looks at it."""

    naming_contexts: tuple[str, ...]
    versions: tuple[str, ...]
    """LDAP versions it speaks; empty where it does not tell."""
    vendor: str
    """Name and version of the product in its own words."""
    preset: str
    """The preset that fits; empty where the product is none of ours."""
    paged_results: bool
    password_policy: bool
    start_tls: bool
    subschema_dn: str
    time: datetime | None
    """Its clock, where it shows one: to the second."""


def read_root_dse(entry: Entry) -> RootDse:
    """What the entry ``""`` says."""
    controls, extensions = _texts(entry, "supportedControl"), _texts(entry, "supportedExtension")
    return RootDse(
        naming_contexts=_texts(entry, "namingContexts"),
        versions=_texts(entry, "supportedLDAPVersion"),
        vendor=" ".join(_texts(entry, "vendorName")[:1] + _texts(entry, "vendorVersion")[:1]),
        preset=_preset(entry),
        paged_results=PAGED_RESULTS in controls,
        password_policy=PASSWORD_POLICY in controls,
        start_tls=START_TLS in extensions,
        subschema_dn=next(iter(_texts(entry, "subschemaSubentry")), ""),
        time=_time(next(iter(_texts(entry, "currentTime")), "")),
    )


def _preset(entry: Entry) -> str:
    """Active Directory, and Samba, by its capability; the others by vendor or class."""
    if _ACTIVE_DIRECTORY in _texts(entry, "supportedCapabilities"):
        return "active_directory"
    if any(name.startswith(_FREEIPA) for name in _texts(entry, "supportedExtension")):
        return "freeipa"
    vendor = " ".join(_texts(entry, "vendorName") + _texts(entry, "vendorVersion")).lower()
    if "lldap" in vendor:
        return "lldap"
    if "389" in vendor:
        return "389ds"
    classes = {name.lower() for name in _texts(entry, "objectClass")}
    return "openldap" if "openldaprootdse" in classes else ""


def _texts(entry: Entry, attribute: str) -> tuple[str, ...]:
    return tuple(value.decode("utf-8", "replace") for value in entry.attributes.get(attribute.lower(), ()))


def _time(text: str) -> datetime | None:
    """Generalised time (RFC 4517 3.3.13), in the one form that Active Directory gives."""
    match = _TIME.fullmatch(text)
    try:
        return datetime.strptime(match[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC) if match else None
    except ValueError:
        return None


def known_names(descriptions: Iterable[bytes]) -> frozenset[str]:
    """Names and object identifiers, in lower case, of attribute types or object classes (RFC 4512 4.1.1, 4.1.2)."""
    names: set[str] = set()
    for octets in descriptions:
        text = octets.decode("utf-8", "replace")
        if match := _TYPE.match(text):
            names.add(match[1].lower())
        if match := _TYPE_NAMES.search(text):
            names.update(name.strip("'").lower() for name in (match[1] or match[2]).split())
    return frozenset(names)


def wanted_attributes(server: Server) -> dict[str, str]:
    """Attributes that the configuration of a server names, each with the first key that does.

    Options (``;lang-de``) are left away; ``dn`` is no attribute.
    """
    names = server.attributes
    wanted: list[tuple[str, str]] = [("attributes.username", names.username), ("attributes.name", names.name)]
    wanted += [("attributes.surname", names.surname), ("attributes.user_id", names.user_id)]
    wanted += [("attributes.email", name) for name in names.emails]
    wanted += [(f"attributes.extra.{key}", name) for key, name in names.extra.items()]
    if server.mode not in ("direct", "upn"):
        wanted += [("search_filter", name) for name in filter_attributes(server.search_filter)]
        wanted += [("user_attr", server.user_attr)] if ".UserAttr" in server.search_filter else []
    elif server.mode == "direct":
        wanted.append(("user_attr", server.user_attr))
    wanted += _wanted_of_groups(server)
    found: dict[str, str] = {}
    for key, name in wanted:
        plain = name.partition(";")[0]
        if plain and plain.lower() != "dn":
            found.setdefault(plain, key)
    return found


def _wanted_of_groups(server: Server) -> list[tuple[str, str]]:
    if server.use_token_groups:
        return [("use_token_groups", "tokenGroups")]
    if not server.group_search_filter:
        return [("attributes.member_of", server.attributes.member_of)]
    wanted = [("group_search_filter", name) for name in filter_attributes(server.group_search_filter)]
    wanted.append(("group_search_filter_user_attribute", server.group_search_filter_user_attribute))
    return [*wanted, ("group_attr", server.group_attr)]


def wanted_classes(server: Server) -> dict[str, str]:
    """Object classes that the filters of a server name, each with the first key that does."""
    found: dict[str, str] = {}
    for key, template in (("search_filter", server.search_filter), ("group_search_filter", server.group_search_filter)):
        for name in _FILTER_CLASS.findall(template) if key != "search_filter" or server.mode in _FILTERING else ():
            found.setdefault(name, key)
    return found


_FILTERING: Final = frozenset({"service", "anonymous", "unauthenticated", "single"})
"""Bind modes in which ``search_filter`` is looked at."""


def filter_attributes(template: str) -> Sequence[str]:
    """Attributes that a filter names; ``uid=%s`` may stand without its parentheses."""
    text = template if template.lstrip().startswith("(") else f"({template}"
    return list(dict.fromkeys(_FILTER_ATTRIBUTE.findall(text)))

"""Whether an entry that was found is the one that has bound, where the name that was bound is no DN.

A directory has several kinds of such names (MS-ADTS 5.1.1.1.1) and takes each for whom it likes; ``search_filter``
finds people by whatever the operator wrote. So nobody is let in as an entry without a proof, the cheapest first:

1. the entry has the name that was bound as its own (``is_named``): no round trip;
2. the directory says who is bound (RFC 4532): one;
3. where it does not know the question, as Samba, the SIDs of the connection (MS-ADTS 3.1.1.3.2, tokenGroups): one more.
"""

from __future__ import annotations

from typing import Final

from gateway.directory.escape import DnError, comparable_dn, parse_dn
from gateway.directory.filters import compile_filter
from gateway.directory.messages import Entry, Scope, SearchRequest, plain_text, result_name
from gateway.directory.searches import PASSING, SUCCESS, SearchFailed, Session

NAME_ATTRIBUTES: Final = ("userPrincipalName", "sAMAccountName", "msDS-PrincipalName")
"""What ``is_named`` and ``may_bind_as`` read; the last is ``DOMAIN\\name``, which Samba does not have."""
PROOF_ATTRIBUTES: Final = (*NAME_ATTRIBUTES, "objectSid")
"""What ``disproof`` reads."""

_CONNECTION_SIDS: Final = SearchRequest("", compile_filter("(objectClass=*)"), ("tokenGroups",), scope=Scope.BASE)


def is_named(entry: Entry, name: str) -> bool:
    """Whether ``name`` is the entry's User Principal Name or its ``DOMAIN\\name``; only of ASCII case does not count.

    A principal name that follows from the account's name and its domain is none: another entry may have the same one
    written out, and is then the one that binds with it.
    """
    told = _octets(name)
    principal = _value(entry, "msds-principalname")
    if told in (_value(entry, "userprincipalname"), principal):
        return True
    domain, _, account = told.partition(b"\\")
    return not principal and bool(domain and account) and account == _value(entry, "samaccountname")


def may_bind_as(entry: Entry, name: str) -> bool:
    """Whether ``name``, a DN or of another kind, could be this entry's: what is enough to keep hands off it."""
    if "=" in name:
        return comparable_dn(entry.dn) == comparable_dn(name)
    account, _, domain = _octets(name).partition(b"@")
    implicit = bool(account and domain) and account == _value(entry, "samaccountname")
    return is_named(entry, name) or (implicit and (b"." not in domain or domain == _domain(entry.dn)))


async def disproof(session: Session, entry: Entry, bound_as: str) -> str:
    """Why ``entry`` is not known to be who has bound as ``bound_as``; empty where that is proved.

    Raises SearchFailed and DirectoryError.
    """
    if is_named(entry, bound_as):
        return ""
    answer = await session.who_am_i()
    if answer.code in PASSING:
        raise SearchFailed(f"who am i: {result_name(answer.code)}", passing=True)
    if answer.code != SUCCESS:
        return "" if await _has_first_sid(session, entry) else "the directory does not say who that is"
    who = answer.value.decode(errors="replace")
    kind, _, name = who.partition(":")
    same = comparable_dn(name) == comparable_dn(entry.dn) if kind == "dn" else kind == "u" and is_named(entry, name)
    return "" if same else f"who is {plain_text(who) or 'nobody'} to the directory"


async def _has_first_sid(session: Session, entry: Entry) -> bool:
    """Of a connection's SIDs the first is the person's own, those of groups follow (as Samba answers)."""
    entries, _ = await session.search(_CONNECTION_SIDS)
    sids = entries[0].attributes.get("tokengroups", []) if entries else []
    return bool(sids) and sids[:1] == entry.attributes.get("objectsid")


def _value(entry: Entry, attribute: str) -> bytes:
    """The only value there is, folded; of several, which somebody may have added, none."""
    found = entry.attributes.get(attribute, ())
    return found[0].lower() if len(found) == 1 else b""


def _octets(name: str) -> bytes:
    return name.encode().lower()


def _domain(dn: str) -> bytes:
    """``ad.example.org`` of a DN that ends in ``DC=ad,DC=example,DC=org``."""
    try:
        pairs = [pair for rdn in parse_dn(dn) for pair in rdn]
    except DnError:
        return b""
    return _octets(".".join(value for kind, value in pairs if kind.lower() == "dc"))

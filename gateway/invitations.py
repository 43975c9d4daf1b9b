"""The whitelist as administrators fill it: addresses and whole domains, through ClearML's API or the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.grants.whitelist import canonical_address, canonical_domain

if TYPE_CHECKING:
    from gateway.store.interface import Store

MOST_AT_ONCE: Final = 10_000
MOST_ENTRIES: Final = 20_000
"""Addresses in all; for more people there are domains."""
MOST_DOMAINS: Final = 1000
_SHOWN: Final = 100
"""Characters of a refused text that its error repeats."""


class Unusable(Exception):
    """An entry cannot be taken, and nothing was changed. The text is for whoever sent it."""


async def invite(store: Store, emails: Sequence[str], role: str, now: int, by: str) -> list[str]:
    """Put addresses on the whitelist with a ClearML role; the canonical forms of those that are new.

    An address that is there already stays as it is. Raises Unusable.
    """
    addresses = _canonical(emails, _address, "email address", MOST_AT_ONCE)
    known = {row.email for row in await store.whitelist()}
    if len(known.union(addresses)) > MOST_ENTRIES:
        raise Unusable(f"the whitelist may hold {MOST_ENTRIES} addresses")
    return await store.whitelist_add(dict.fromkeys(addresses, role), now, by)


async def withdraw(store: Store, emails: Sequence[str]) -> list[str]:
    """Take addresses off that nobody has accepted yet, or whose person is gone; those that went. Raises Unusable."""
    return await store.whitelist_remove(_canonical(emails, canonical_address, "email address", MOST_AT_ONCE))


async def set_domains(store: Store, domains: Iterable[str]) -> None:
    """Replace the domains whose people are all invited. Raises Unusable."""
    await store.domains_set(_canonical(domains, canonical_domain, "domain", MOST_DOMAINS))


async def invite_domains(store: Store, domains: Iterable[str]) -> list[str]:
    """Add domains; the canonical forms of those that are new. Raises Unusable."""
    wanted = _canonical(domains, canonical_domain, "domain", MOST_DOMAINS)
    known = await store.domains()
    if added := [domain for domain in wanted if domain not in known]:
        await set_domains(store, [*known, *added])
    return added


async def withdraw_domains(store: Store, domains: Iterable[str]) -> list[str]:
    """Remove domains; those that went. Raises Unusable."""
    unwanted = _canonical(domains, canonical_domain, "domain", MOST_DOMAINS)
    known = await store.domains()
    if removed := [domain for domain in unwanted if domain in known]:
        await set_domains(store, [domain for domain in known if domain not in removed])
    return removed


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry that a change left as it was."""

    email: str
    role: str
    accepted_by: str
    """Label of who accepted it; empty while it is pending."""


async def kept(store: Store, emails: Sequence[str], *, unless_role: str = "") -> list[Kept]:
    """Of these addresses those that are on the whitelist, but for those that have ``unless_role``. For usable ones."""
    found = []
    for email in dict.fromkeys(map(canonical_address, emails)):
        for entry in await store.whitelist(email):
            if entry.role != unless_role:
                person = await store.identity(entry.identity or "")
                label = f"{person.server}/{person.username}" if person is not None else entry.identity or ""
                found.append(Kept(email, entry.role, label))
    return found


def _address(text: str) -> str:
    """An address that somebody can have: who writes an asterisk means everyone of the domain."""
    address = canonical_address(text)
    return "" if "*" in address else address


def _hint(text: str) -> str:
    """What to write instead of an address that is none."""
    domain = canonical_domain(text.removeprefix("*").removeprefix("@"))
    return f" (everyone of a domain: domain {domain}, @{domain} on the command line)" if "." in domain else ""


def _canonical(texts: Iterable[str], form: Callable[[str], str], what: str, most: int) -> list[str]:
    """Each once, in the order given."""
    texts = list(texts)
    if len(texts) > most:
        raise Unusable(f"expected at most {most} of them")
    found: dict[str, None] = {}
    for text in texts:
        canonical = form(text)
        if not canonical:
            hint = _hint(text) if form is _address else ""
            raise Unusable(f"invalid {what} {text[:_SHOWN]!r}{hint}")
        found[canonical] = None
    return list(found)

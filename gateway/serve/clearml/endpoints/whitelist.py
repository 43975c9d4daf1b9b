"""``login.*``: the whitelist, who may log in where no ``default_company`` admits everyone (clearml.md 8)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Sequence
from typing import Any, Final, TypeVar

from gateway import invitations
from gateway.grants.mapping import ADMIN_ROLES, ROLES, SERVICE_ROLES
from gateway.grants.whitelist import DOMAIN_ROLE, canonical_address, canonical_domain, domain_of
from gateway.invitations import Unusable
from gateway.serve.clearml import errors
from gateway.serve.clearml.endpoint import Answer, Endpoint, Request, iso_time
from gateway.store.interface import WhitelistRow

_AT_A_TIME: Final = 100
"""Entries written out before others get a turn."""
_AUDITED: Final = 20
"""Addresses that one audit event names."""

T = TypeVar("T")


async def add_whitelist_entries(request: Request) -> Answer:
    """Invite addresses, as ``role``, or by the older ``is_admin`` as administrators."""
    _require_company(request)
    emails = request.required_texts("emails")
    role = "admin" if request.flag("is_admin", False) else "user"
    role = request.optional_text("role") or role
    if role not in ROLES:
        raise errors.validation(f"error for field 'role'. expected one of {', '.join(ROLES)}")
    by = request.caller.own.label
    added = await _usable(invitations.invite(request.live.store, emails, role, request.now, by))
    request.audit("whitelist.add", request.caller.own, _named(added), f"role {role}")
    return Answer({"added": added})


async def remove_whitelist_entries(request: Request) -> Answer:
    """Withdraw what nobody has accepted yet."""
    _require_company(request)
    removed = await _usable(invitations.withdraw(request.live.store, request.required_texts("emails")))
    request.audit("whitelist.remove", request.caller.own, _named(removed))
    return Answer({"removed": removed})


async def set_domains(request: Request) -> Answer:
    """Replace the domains whose people are all invited."""
    _require_company(request)
    domains = request.required_texts("domains")
    await _usable(invitations.set_domains(request.live.store, domains))
    request.audit("whitelist.domains", request.caller.own, _named(domains))
    return Answer()


async def get_settings(request: Request) -> Answer:
    """The whole whitelist, with those who came."""
    _require_company(request)
    store = request.live.store
    entries = []
    for row in await store.whitelist():
        entries.append(await _entry(request, row))
        if len(entries) % _AT_A_TIME == 0:
            await asyncio.sleep(0)
    return Answer({"domains": await store.domains(), "whitelist_entries": entries})


async def get_whitelist(request: Request) -> Answer:
    """What an address, or a domain, is invited by; without either, everything."""
    email, domain = (request.optional_text(name) for name in ("email", "domain"))
    if email and domain:
        raise errors.validation("only one of 'email' and 'domain' may be given")
    store = request.live.store
    rows = [] if domain else await store.whitelist(canonical_address(email) if email else None)
    domains = await store.domains()
    if email or domain:
        wanted = domain_of(email) if email else canonical_domain(domain)
        domains = [known for known in domains if known == wanted]
    company = request.live.configuration.clearml.company
    found = [_invitation(company, row.role, email=row.email) for row in rows]
    return Answer({"entries": found + [_invitation(company, DOMAIN_ROLE, domain=known) for known in domains]})


def _require_company(request: Request) -> None:
    """There is one whitelist, of the company that has no server to itself."""
    if request.identity.grant.reach not in (None, request.live.configuration.clearml.company):
        raise errors.other_company()


async def _usable(change: Awaitable[T]) -> T:
    try:
        return await change
    except Unusable as refused:
        raise errors.unusable_value(str(refused)) from None


async def _entry(request: Request, row: WhitelistRow) -> dict[str, Any]:
    entry: dict[str, Any] = {"email": row.email, "status": "pending", "added": iso_time(row.added_at)}
    if row.accepted_at is None:
        return entry
    entry |= {"status": "accepted", "accepted": iso_time(row.accepted_at)}
    person = await request.live.identities.by_id(row.identity or "")
    if person is not None:
        name = person.account.name or person.account.username
        entry["user"] = {"id": person.user_id, "name": name, "role": person.grant.clearml_role}
    return entry


def _invitation(company: str, role: str, *, email: str = "", domain: str = "") -> dict[str, Any]:
    id_ = hashlib.sha256(f"{email}@{domain}".encode()).hexdigest()[:32]
    invited = {"emails": [email]} if email else {"domain": domain}
    return {"id": id_, **invited, "company": company, "role": role, "is_admin": role == "admin"}


def _named(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _AUDITED} more" if len(texts) > _AUDITED else ""
    return ", ".join(texts[:_AUDITED]) + more


ENDPOINTS = (
    Endpoint("login.add_whitelist_entries", add_whitelist_entries, roles=ADMIN_ROLES, changes_state=True),
    Endpoint("login.remove_whitelist_entries", remove_whitelist_entries, roles=ADMIN_ROLES, changes_state=True),
    Endpoint("login.set_domains", set_domains, roles=ADMIN_ROLES, changes_state=True),
    Endpoint("login.get_settings", get_settings, roles=ADMIN_ROLES),
    Endpoint("login.get_whitelist", get_whitelist, roles=SERVICE_ROLES),
)

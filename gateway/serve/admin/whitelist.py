"""``/admin/whitelist``: ClearML's whitelist for the command line, which makes the first entry (DECISIONS 7).

===============================  ===================================================================================
``GET /admin/whitelist``         addresses, domains, and the servers whose people need them
``POST /admin/whitelist/add``    ``{"entries": ["ada@example.com", "@example.org"], "role": "user"}``: the new ones, and
                                 as ``kept`` those that are there with another role
``POST /admin/whitelist/remove`` ``{"entries": [...]}``: those that went, and as ``kept`` those of people who have come
                                 in already
===============================  ===================================================================================
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from gateway import invitations
from gateway.grants.mapping import ROLES
from gateway.invitations import Kept, Unusable
from gateway.serve.admin.call import Answer, Call
from gateway.serve.admin.callers import Refusal, audit
from gateway.telemetry.logs import utc


async def show(call: Call) -> Answer:
    """The whole whitelist."""
    store = call.live.store
    entries: list[dict[str, Any]] = [
        {
            "email": row.email,
            "role": row.role,
            "added": utc(row.added_at),
            "added_by": row.added_by,
            "accepted": "" if row.accepted_at is None else utc(row.accepted_at),
        }
        for row in await store.whitelist()
    ]
    servers = sorted(call.live.identities.invited_only)
    return 200, {"entries": entries, "domains": await store.domains(), "servers": servers}


async def add(call: Call) -> Answer:
    """Invite people and domains."""
    role = call.fields.get("role", "user")
    if role not in ROLES:
        raise Refusal(400, f"role: expected one of {', '.join(ROLES)}")
    emails, domains = _entries(call)
    if domains and role != "user":
        raise Refusal(400, "role: people who are invited by their domain have the role user")
    store, caller = call.live.store, call.caller
    try:
        added = await invitations.invite(store, emails, role, int(time.time()), f"{caller.server}/{caller.user}")
        new_domains = await invitations.invite_domains(store, domains)
        kept = await invitations.kept(store, emails, unless_role=role)
    except Unusable as unusable:
        raise Refusal(400, str(unusable)) from None
    return 200, _done(call, "add", "added", added, new_domains, kept)


async def remove(call: Call) -> Answer:
    """Withdraw invitations that nobody has accepted, and domains."""
    emails, domains = _entries(call)
    try:
        removed = await invitations.withdraw(call.live.store, emails)
        old_domains = await invitations.withdraw_domains(call.live.store, domains)
        kept = await invitations.kept(call.live.store, emails)
    except Unusable as unusable:
        raise Refusal(400, str(unusable)) from None
    return 200, _done(call, "remove", "removed", removed, old_domains, kept)


def _entries(call: Call) -> tuple[list[str], list[str]]:
    """Addresses and domains."""
    entries = call.fields.get("entries")
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise Refusal(400, "entries: expected a list of e-mail addresses and of domains with a leading @")
    emails = [entry for entry in entries if not entry.startswith("@")]
    return emails, [entry[1:] for entry in entries if entry.startswith("@")]


def _done(
    call: Call, action: str, word: str, emails: list[str], domains: list[str], kept: list[Kept]
) -> dict[str, Any]:
    done = [*emails, *(f"@{domain}" for domain in domains)]
    if done:
        audit(call.live, call.caller, f"whitelist.{action}", "success", target=", ".join(done))
    return {word: done, "kept": [asdict(entry) for entry in kept], "servers": sorted(call.live.identities.invited_only)}

"""``GET /admin/vaults/merged?user=USER&format=hocon|json|yaml``: what the vaults of somebody come to.

USER is a ClearML user id, ``SERVER/NAME`` or a name. Answers ``Effective.view`` with ``text``: the configuration in the
format, json where none is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from gateway.identity import Identity
from gateway.serve.admin.call import Answer, Call
from gateway.serve.admin.callers import Refusal, audit
from gateway.vaults.effective import Effective, effective
from gateway.vaults.merge import Format
from gateway.vaults.text import in_thread
from gateway.vaults.turns import TooManyWaiting

if TYPE_CHECKING:
    from gateway.runtime import Live


async def merged(call: Call) -> Answer:
    """Merge the vaults of one person, who has been here before."""
    named = call.query.get("format", "json")
    format_: Format | None = next((known for known in get_args(Format) if known == named), None)
    if format_ is None:
        raise Refusal(400, f"format: expected {', '.join(get_args(Format))}")
    identity = await _person(call.live, call.query.get("user", ""))
    audit(call.live, call.caller, "vault.merged", "success", target=identity.label)

    async def shown() -> dict[str, Any]:
        return await in_thread(_shown, await effective(call.live.vaults, identity), format_)

    try:
        return 200, await call.live.vaults.turns.run(call.caller.label, shown)
    except TooManyWaiting:
        raise Refusal(429, "too many requests of this user are waiting", {"Retry-After": "2"}) from None


def _shown(found: Effective, format_: Format) -> dict[str, Any]:
    return {**found.view(), "text": found.text(format_)}


async def _person(live: Live, user: str) -> Identity:
    if (by_id := await live.identities.by_user_id(user, None)) is not None:
        return by_id
    server, _, name = user.rpartition("/")
    rows = await live.store.identities(username=user) if user else []
    if server:
        rows += [row for row in await live.store.identities(username=name) if row.server == server]
    people = [identity for row in rows if (identity := await live.identities.by_id(row.id)) is not None]
    if len(people) > 1:
        labels = ", ".join(sorted({identity.label for identity in people}))
        raise Refusal(400, f"user: several people have this name: {labels}; name one by id or as SERVER/NAME")
    if not people:
        raise Refusal(404, "user: nobody of this name has logged in")
    return people[0]

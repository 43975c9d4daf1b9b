"""``/admin/sessions``: what people hold, and taking it from them. Accessors name it; no hash or value is ever told.

===============================  ===================================================================================
``GET /admin/sessions``          what counts, or would if its owner were let in (``barred``); ``?kind=``: ``session``,
                                 ``personal`` or ``access_key`` alone; ``?user=``: of one person. Else it comes in
                                 pages: where ``next`` is not empty, ``?after=`` it there is more. ``ends``: if nobody
                                 uses it; ``expires``: in any case
``POST /admin/sessions/revoke``  ``{"accessor": "..."}``: that one; ``{"user": "...", "kind": "session"}``: all of a
                                 kind; ``{"user": "..."}``: everything, ``unlisted`` included. Answers how many of each
                                 kind were ended; for a user also ``unlisted``: what nobody keeps a list of
===============================  ===================================================================================
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from gateway import sessions
from gateway.serve.admin.call import Answer, Call
from gateway.serve.admin.callers import Refusal, audit
from gateway.serve.admin.people import known_people, known_person, label_of
from gateway.store.interface import PAGE, RevokeBy, TokenRow
from gateway.telemetry.logs import utc
from gateway.tokens import access_keys, personal
from gateway.tokens.issuer import is_text

if TYPE_CHECKING:
    from gateway.runtime import Live
    from gateway.store.interface import IdentityRow

KINDS: Final = (sessions.KIND, personal.KIND, access_keys.KIND)


async def listing(call: Call) -> Answer:
    """What people hold."""
    kind = _kind(call.query.get("kind", ""))
    kinds = [kind] if kind else [*KINDS]
    live, now = call.live, int(time.time())
    user = call.query.get("user", "")
    after, rows = "", []
    if user:
        for person in await known_people(live.store, user):
            for each in kinds:
                rows += [row async for row in sessions.rows_of(live.store, each, person.id)]
    else:
        rows = await live.store.tokens(kind=kind or None, after=call.query.get("after", ""))
        after = rows[-1].accessor if len(rows) == PAGE else ""
    return 200, {"tokens": await _views(live, rows, now), "next": after}


async def revoke(call: Call) -> Answer:
    """End one, those of a kind, or everything that somebody holds."""
    accessor, user = call.fields.get("accessor"), call.fields.get("user")
    kind = _kind(call.fields.get("kind", ""))
    if (accessor is None) == (user is None) or (accessor is not None and kind):
        raise Refusal(400, "expected either accessor, or user with or without kind")
    if accessor is not None:
        return await _revoke_one(call, accessor)
    people = await known_person(call.live.store, user)
    label, now = label_of(people[0]), int(time.time())
    ended: Counter[str] = Counter(dict.fromkeys([kind] if kind else KINDS, 0))
    for person in people:
        ended.update(await _revoke_all(call.live, person, kind, now))
    # Whether or not there was something, so that the record shows what was asked for.
    audit(call.live, call.caller, "token.revoke", "success", target=f"{label}: every {kind or 'token'}")
    return 200, {"user": label, "revoked": ended, "unlisted": _unlisted(call.live)}


def _unlisted(live: Live) -> list[str]:
    """What people may hold besides, in words."""
    return ["ClearML tokens", *(["Conjur API key and tokens"] if live.conjur else [])]


async def _revoke_one(call: Call, accessor: object) -> Answer:
    live, now = call.live, int(time.time())
    row = await live.store.token_by_accessor(accessor) if isinstance(accessor, str) and is_text(accessor) else None
    if row is None:
        raise Refusal(404, "accessor: there is no session or token of this name, or it has ended")
    person = await live.store.identity(row.identity or "")
    label = label_of(person) if person else ""
    # What was made with it goes along.
    ended = await live.store.tokens_revoke(RevokeBy.TREE, row.accessor, now)
    if ended:
        audit(live, call.caller, "token.revoke", "success", target=f"{label} {row.kind} {row.accessor}")
    return 200, {"user": label, "revoked": {row.kind: ended}}


async def _revoke_all(live: Live, person: IdentityRow, kind: str, now: int) -> Counter[str]:
    """How many of each kind were alive."""
    held = [row for each in KINDS async for row in sessions.rows_of(live.store, each, person.id)]
    held = [row for row in held if kind in ("", row.kind)]
    ended = Counter(row.kind for row in held if _lives(live, row, person, now))
    if kind:
        for row in held:
            await live.store.tokens_revoke(RevokeBy.ACCESSOR, row.accessor, now)
        return ended
    await live.store.tokens_revoke(RevokeBy.IDENTITY, person.id, now)
    # Tokens that nobody keeps a list of; those of this very second, too.
    await live.store.identity_invalidate(person.id, now + 1)
    return ended


def _kind(value: object) -> str:
    if value not in ("", *KINDS):
        raise Refusal(400, f"kind: expected one of {', '.join(KINDS)}")
    return str(value)


async def _views(live: Live, rows: Sequence[TokenRow], now: int) -> list[dict[str, Any]]:
    views: list[dict[str, Any]] = []
    people: dict[str, tuple[IdentityRow, bool] | None] = {}
    for row in rows:
        owner = row.identity or ""
        if owner not in people:
            found = await live.store.identity(owner)
            is_let_in = await live.identities.by_id(owner) is not None
            people[owner] = None if found is None else (found, not is_let_in)
        if (known := people[owner]) is not None and _lives(live, row, known[0], now):
            views.append({**_view(live, row), "user": label_of(known[0]), "barred": known[1]})
    return views


def _lives(live: Live, row: TokenRow, person: IdentityRow, now: int) -> bool:
    if not row.alive(now) or row.created_at < person.valid_after:
        return False
    return row.kind != sessions.KIND or now < live.sessions.ends_at(row)


def _view(live: Live, row: TokenRow) -> dict[str, Any]:
    ends_at = live.sessions.ends_at(row) if row.kind == sessions.KIND else row.expires_at
    used_at = max(row.last_used_at or 0, live.activity.last(row.hash))
    limits = personal.limits_of(row)
    return {
        "accessor": row.accessor, "kind": row.kind, "label": row.label, "created": utc(row.created_at),
        "used": utc(used_at) if used_at else "", "used_from": row.last_used_from,
        "ends": "" if ends_at is None else utc(ends_at),
        "expires": "" if row.expires_at is None else utc(row.expires_at),
        "domain": row.domain, "remembered": row.remember,
        "hosts": list(limits.hosts), "paths": list(limits.paths),
    }  # fmt: skip

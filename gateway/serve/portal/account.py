"""The page after login: who somebody is, what they may reach, their sessions and tokens (forward-auth.md 9)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from aiohttp import web

from gateway.serve.answer import json_response
from gateway.serve.portal import pages
from gateway.serve.portal.call import ACCOUNT, Call
from gateway.serve.portal.forms import Refusal
from gateway.serve.portal.views import shown_person, shown_session, shown_token
from gateway.tokens.opaque import mint
from gateway.tokens.personal import MadeAlready, Refused

if TYPE_CHECKING:
    from gateway.serve.portal.forms import Fields
    from gateway.sessions import Session

DAY_SECONDS: Final = 86400
_DONE: Final = {
    "session": "The session has ended.",
    "others": "All your other sessions have ended.",
    "token": "The token is revoked.",
}
"""What a page says of what was just done, by the word in its URL."""
_MOST_SESSIONS: Final = 20
"""On the page; whoever has more ends all others at once."""
_FORM: Final = ("label", "hosts", "paths", "days")
TOKEN_FIELDS: Final = (*_FORM, "once")
"""Of ``POST /account/tokens``."""


async def show_account(call: Call) -> web.Response:
    """``GET /account``; ``label``, ``hosts``, ``paths`` and ``days`` fill the form for a new token."""
    session = await call.need_session(_here(call, call.query))
    return await account_page(call, session, form=call.query, done=_DONE.get(call.query.get("done", ""), ""))


async def account_page(
    call: Call, session: Session, *, form: Mapping[str, str], done: str = "", error: str = "", status: int = 200
) -> web.Response:
    """The page, or the same as JSON."""
    live, identity = call.live, session.identity
    longest = live.configuration.tokens.personal_lifetime
    data: dict[str, Any] = {
        "person": shown_person(identity),
        "links": [
            {"title": link.title, "url": link.url}
            for link in await call.reach.links(live.access.rules.terms(identity), call.client)
        ],
        "sessions": sorted(
            (shown_session(live, row, session.accessor) for row in await live.sessions.list(identity.id, call.now)),
            key=lambda shown: (shown["current"], shown["last_used_at"]), reverse=True,
        ),
        "tokens": [shown_token(live, row) for row in await live.personal.list(identity.id, call.now)],
    }
    if call.as_json:
        return json_response(status, data)
    longest_days = math.ceil(longest / DAY_SECONDS)
    words = {name: form.get(name, "") for name in _FORM}
    words["days"] = words["days"] or str(longest_days)
    words["once"] = mint()
    words_of_page = {"form": words, "longest_days": longest_days, "most_sessions": _MOST_SESSIONS}
    return call.page("account", {**data, **words_of_page, "done": done, "error": error}, status=status)


async def make_token(call: Call, fields: Fields) -> web.Response:
    """``POST /account/tokens``: ``label``, ``hosts``, ``paths``, ``days``. The text of the token is shown this once.

    ``once`` is of the form that was filled in: browsers send it again when somebody comes back to the answer. Filled in
    otherwise, a form that a browser kept asks for another token.
    """
    label, hosts, paths = fields.text("label"), fields.texts("hosts"), fields.texts("paths")
    once = fields.text("once")
    typed = {"label": label, "hosts": " ".join(hosts), "paths": " ".join(paths), "days": _text_of(fields, "days")}
    session = await call.need_session(_here(call, typed))
    identity = session.identity
    try:
        days = fields.number("days")
        lifetime = None if days is None else _lifetime(call, days)
        made = await call.live.personal.create(
            identity, label, hosts=hosts, paths=paths, lifetime_seconds=lifetime,
            once=once and json.dumps([once, label, hosts, paths, days]), now=call.now,
        )  # fmt: skip
    except MadeAlready:
        return _made_already(call, label)
    except (Refused, Refusal) as refused:
        call.audit("token.issue", "failure", identity, reason=str(refused))
        if call.as_json:
            return json_response(400, {"error": str(refused)})
        return await account_page(call, session, form=typed, error=f"No token was made: {refused}.", status=400)
    call.audit("token.issue", "success", identity, target=f"personal {made.row.accessor}")
    token = shown_token(call.live, made.row)
    if call.as_json:
        return json_response(201, {**token, "token": made.text})
    return call.page("token", {"token": token, "text": made.text, "username": identity.account.username})


async def revoke_token(call: Call, fields: Fields) -> web.Response:
    """``POST /account/tokens/revoke``: ``accessor``. One that is gone already is no error."""
    session = await call.need_session(call.path(ACCOUNT))
    accessor = fields.text("accessor")
    revoked = await call.live.personal.revoke(accessor, session.identity.id, call.now)
    if revoked:
        call.audit("token.revoke", "success", session.identity, target=f"personal {accessor}")
    return _done(call, "token", int(revoked))


async def revoke_session(call: Call, fields: Fields) -> web.Response:
    """``POST /account/sessions/revoke``: ``accessor``. One that is gone already is no error."""
    session = await call.need_session(call.path(ACCOUNT))
    accessor = fields.text("accessor")
    revoked = await call.live.sessions.revoke(accessor, session.identity.id, call.now)
    if revoked:
        call.audit("token.revoke", "success", session.identity, target=f"session {accessor}")
    if accessor != session.accessor or call.as_json:
        return _done(call, "session", int(revoked))
    return pages.see_other(call.path("/logout"))


async def revoke_other_sessions(call: Call, fields: Fields) -> web.Response:
    """``POST /account/sessions/revoke-others``: all but the one that asks."""
    session = await call.need_session(call.path(ACCOUNT))
    ended = await call.live.sessions.revoke_all(session.identity.id, call.now, but=session.accessor)
    call.audit("token.revoke", "success", session.identity, target=f"{ended} other sessions")
    return _done(call, "others", ended)


def _made_already(call: Call, label: str) -> web.Response:
    text = (
        f"{label} was made when this form was sent for the first time, and was shown that once. No second token was "
        "made. If you did not keep it, revoke it and make another."
    )
    return call.message(409, "This token was made already", text, links=[("Back to your account", call.path(ACCOUNT))])


def _done(call: Call, what: str, count: int) -> web.Response:
    if call.as_json:
        return json_response(200, {"revoked": count})
    return pages.see_other(f"{call.path(ACCOUNT)}?done={what}")


def _lifetime(call: Call, days: float) -> float:
    """Seconds; the last of the days that may be asked for need not be a whole one."""
    longest: float = call.live.configuration.tokens.personal_lifetime
    return min(days * DAY_SECONDS, longest) if days <= math.ceil(longest / DAY_SECONDS) else days * DAY_SECONDS


def _text_of(fields: Fields, name: str) -> str:
    return fields.text(name) if isinstance(fields.values.get(name), str) else ""


def _here(call: Call, typed: Mapping[str, str]) -> str:
    """The way back to the page with what was typed; without, where that is too long."""
    kept = {name: typed[name] for name in _FORM if typed.get(name)}
    way = f"{call.path(ACCOUNT)}?{urlencode(kept)}" if kept else ""
    return call.way_back(way) or call.path(ACCOUNT)

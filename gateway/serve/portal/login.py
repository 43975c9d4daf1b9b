"""Logging in and out (forward-auth.md 9): a name and a password become a session, and its cookie."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from aiohttp import web

from gateway.identity import Identity
from gateway.login import RETRY_SECONDS, Attempt, Denied, Throttled, Unavailable
from gateway.serve.answer import json_response
from gateway.serve.portal import pages
from gateway.serve.portal.call import ACCOUNT, ASK, DIALECT, Call
from gateway.serve.portal.views import shown_person
from gateway.sessions import NoPerson, Stale
from gateway.store.interface import StoreError
from gateway.tokens.opaque import is_access_key

if TYPE_CHECKING:
    from gateway.access.session_cookies import CookieScope
    from gateway.login import LoginResult
    from gateway.serve.portal.forms import Fields
    from gateway.sessions import NewSession, Session

log = logging.getLogger(__name__)

RETRY: Final = {"Retry-After": str(RETRY_SECONDS)}
WRONG: Final = "The user name or the password is not right."
"""One text for all who are refused: unknown, locked, or wrong."""
_UNENDED: Final = (
    "This browser has forgotten you, but your session could not be ended: whoever has its cookie may use it until it "
    "ends by itself. Sign in again shortly, and end it on the page of your account."
)
_UNSENT: Final = re.compile(r"(?!GET$|HEAD$)[A-Z]{1,20}", re.ASCII)
"""Methods of requests that do something; they are lost when somebody must log in first."""


async def show_login(call: Call) -> web.Response:
    """``GET /login``: the form, or the way on for somebody who is logged in already."""
    way_back = call.way_back(call.query.get("rd", ""))
    scope = call.places.scope_for(call.place, way_back)
    try:
        session = await call.session(scope)
    except Stale:
        # Somebody else may want to log in, and whoever it was is asked for a password.
        session = None
    if session is None:
        undelivered = _UNSENT.fullmatch(call.query.get("rm", "")) is not None
        return login_page(call, way_back, undelivered=undelivered)
    call.live.sessions.touch(session, call.client, call.now)
    if _is_refused(call, way_back, session.identity):
        return _refused_page(call, way_back, session)
    return pages.see_other(way_back or call.usual_way)


def login_page(
    call: Call,
    way_back: str,
    *,
    user: str = "",
    remember: bool = False,
    undelivered: bool = False,
    error: str = "",
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> web.Response:
    """The login form; what was typed stays, but for the password."""
    longest = call.live.configuration.session.remember_me
    words = {
        "rd": way_back, "host": urlsplit(way_back).netloc, "user": user, "undelivered": undelivered, "error": error,
        "remember": remember, "remember_days": pages.days_text(longest) if longest > 0 else "",
        "plain": _plain_notice(call, way_back),
    }  # fmt: skip
    targets = call.places.form_targets
    return call.page("login", words, status=status, headers=headers, form_targets=targets)


async def log_in(call: Call, fields: Fields) -> web.Response:
    """``POST /api/login``: ``user``, ``password``, ``remember``, ``rd``."""
    username, password, remember = fields.text("user"), fields.text("password"), fields.flag("remember")
    way_back = call.way_back(fields.text("rd"))
    result = await call.live.login.check(Attempt(username, password, call.client, DIALECT, "/api/login"))
    if isinstance(result, Identity):
        scope = call.places.scope_for(call.place, way_back)
        made = None if is_access_key(username.strip()) else await _begin(call, result, scope, remember=remember)
        if made is not None:
            return _logged_in(call, result, made, scope, way_back)
        call.audit("token.issue", "failure", result, reason="keys are for programs, not for the portal")
        result = Denied("")
    status, error, headers = _refusal(result)
    if call.as_json:
        return json_response(status, {"error": error}, headers)
    return login_page(
        call, way_back, user=username, remember=remember, error=error, status=status, headers=headers
    )


async def show_logout(call: Call) -> web.Response:
    """``GET /logout``: ask somebody who is logged in; tell everybody else that they are not."""
    way_back = call.way_back(call.query.get("rd", ""))
    try:
        session = await call.session()
    except Stale:
        return call.message(200, "Sign out?", "You are signed in.", logout="Sign out", way_back=way_back)
    if session is None:
        links = [("Sign in", call.login_path())]
        return call.message(200, "You are signed out", "Nobody is signed in here with this browser.", links=links)
    links = [("Back to your account", call.path(ACCOUNT))]
    text = f"You are signed in as {session.identity.account.username}."
    return call.message(200, "Sign out?", text, links=links, logout="Sign out", way_back=way_back)


async def log_out(call: Call, fields: Fields) -> web.Response:
    """``POST /api/logout``: end the sessions that the browser shows here, and make it forget them."""
    way_back = call.way_back(fields.text("rd"))
    try:
        for scope in call.place.scopes:
            await _end(call, scope, "logout")
        response = json_response(200, {}) if call.as_json else pages.see_other(way_back or call.path("/logout"))
    except StoreError as error:
        log.error("a session was not ended by its logout: %s", error)
        response = call.message(503, "You are signed out of this browser only", _UNENDED, headers=dict(RETRY))
    for scope in call.place.scopes:
        response.headers.add("Set-Cookie", scope.clear_cookie())
    return response


async def show_session(call: Call) -> web.Response:
    """``GET /api/session``: who is logged in, and until when if nothing more is asked. To ask is no use of it."""
    session = await call.session()
    if session is None:
        return json_response(401, {"error": "nobody is signed in"}, ASK)
    row = session.row
    data: dict[str, Any] = shown_person(session.identity)
    data |= {
        "created_at": row.created_at, "expires_at": row.expires_at, "remembered": row.remember,
        "ends_at": int(call.live.sessions.ends_at(row)),
    }  # fmt: skip
    return json_response(200, data)


async def _begin(call: Call, identity: Identity, scope: CookieScope, *, remember: bool) -> NewSession | None:
    """A new session; those that the browser showed before end, whosesoever they were. None: no person."""
    sessions = call.live.sessions
    try:
        made = await sessions.create(identity, scope.host, remember=remember, client=call.client, now=call.now)
    except NoPerson:
        return None
    await _end(call, scope, "replaced by a new login")
    return made


async def _end(call: Call, scope: CookieScope, reason: str) -> None:
    sessions = call.live.sessions
    for value in call.session_values(scope):
        found = await sessions.find(value, scope.host, call.now)
        if found is not None and await sessions.revoke(found.accessor, found.identity.id, call.now):
            call.audit("token.revoke", "success", found.identity, target=f"session {found.accessor}", reason=reason)


def _logged_in(
    call: Call, identity: Identity, made: NewSession, scope: CookieScope, way_back: str
) -> web.Response:
    if call.as_json:
        ends_at = int(call.live.sessions.ends_at(made.row))
        data = {**shown_person(identity), "redirect": way_back or call.usual_way}
        data |= {"expires_at": made.row.expires_at, "ends_at": ends_at}
        response = json_response(200, data)
    else:
        is_refused = _is_refused(call, way_back, identity)
        response = pages.see_other(call.login_path(way_back) if is_refused else way_back or call.usual_way)
    response.headers.add("Set-Cookie", scope.set_cookie(made.value, made.max_age))
    return response


def _plain_notice(call: Call, way_back: str) -> dict[str, str] | None:
    """What to tell somebody whose browser will not keep our cookie, because the page came by http; None where it will.

    Where to go instead, as a text and as a URL; both empty where the portal is set up by http itself.
    """
    scope = call.places.scope_for(call.place, way_back)
    if not call.is_plain or (call.is_local and not scope.domain):
        return None
    url = scope.portal_url
    if not url.startswith("https:"):
        return {"text": "", "url": ""}
    return {"text": url, "url": url.removesuffix(call.place.site.root) + call.login_path(way_back)}


def _is_refused(call: Call, way_back: str, identity: Identity) -> bool:
    """Whether the rules close the way back to somebody; to send them there would lead in a circle, or to a bare 403."""
    return call.reach.refuses(way_back, call.live.access.rules.terms(identity), call.client)


def _refused_page(call: Call, way_back: str, session: Session) -> web.Response:
    host, username = urlsplit(way_back).netloc, session.identity.account.username
    text = f"You are signed in as {username}, who may not see this page of {host}. Ask those who look after it."
    links = [("Your account", call.path(ACCOUNT))]
    return call.message(
        403, f"You may not see {host}", text, links=links, logout="Sign in as somebody else",
        way_back=call.login_path(way_back),
    )  # fmt: skip


def _refusal(result: LoginResult) -> tuple[int, str, dict[str, str]]:
    """Status, text for the person, and headers."""
    match result:
        case Denied():
            return 401, WRONG, dict(ASK)
        case Throttled(retry_after):
            text = "Too many attempts have failed from your network. Please wait a while, then try again."
            return 429, text, {"Retry-After": str(retry_after)}
        case Unavailable(retry_after=retry_after):
            text = "Your password cannot be checked at the moment. Please try again shortly."
            return 503, text, {"Retry-After": str(retry_after)}
        case _:
            return 500, "Your password cannot be checked. Please tell your administrator.", {}

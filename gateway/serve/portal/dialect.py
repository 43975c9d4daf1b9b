"""One request to the portal, from its raw target to a page or JSON (DECISIONS 28-30)."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import web

from gateway.access.client_address import MalformedAddress
from gateway.login import RETRY_SECONDS
from gateway.serve.answer import NAME, json_response
from gateway.serve.client import client_of
from gateway.serve.cross_site import comes_from_elsewhere, may_change_state
from gateway.serve.portal import account, login, pages, static_files
from gateway.serve.portal.call import ACCOUNT, ASK, Call, LoginNeeded
from gateway.serve.portal.forms import JSON, Fields, Refusal, kind_of, read_fields, speaks_json
from gateway.serve.portal.place import Places, is_loopback
from gateway.serve.portal.reach import Reach
from gateway.sessions import Stale
from gateway.store.interface import StoreError

if TYPE_CHECKING:
    from gateway.runtime import Live
    from gateway.serve.target import RawTarget

log = logging.getLogger(__name__)

Reader = Callable[[Call], Awaitable[web.Response]]
Changer = Callable[[Call, Fields], Awaitable[web.Response]]
LOGIN: Final = "/api/login"
_NOT_OURS: Final = "This was not sent by a page of this site. Go back, reload the page, and try again."
_UNTOLD: Final = "Your browser does not tell which page sent this. Open this site by https, with a current browser."
"""Browsers tell it to https alone, and hide the origin of a page that tells no referrer."""
_UNSAID: Final = "what changes something must say that this site sent it; programs send the header Origin: "


@dataclass(frozen=True, slots=True)
class Route:
    """What a path answers."""

    get: Reader | None = None
    post: Changer | None = None
    fields: tuple[str, ...] = ()
    """What a POST may hold."""

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods that are answered."""
        return (("GET", "HEAD") if self.get else ()) + (("POST",) if self.post else ())


async def show_root(call: Call) -> web.Response:
    """``GET /``: the account or the login form; to programs the version, for which some look here (DECISIONS 28)."""
    if call.as_json:
        version = call.live.configuration.conjur.version
        return json_response(200, {"service": NAME, "version": f"Version {version}"}, {"Vary": "Accept"})
    try:
        session = await call.session()
    except Stale:
        session = None
    return await (login.show_login(call) if session is None else account.show_account(call))


ROUTES: Final = {
    "/": Route(get=show_root),
    "/login": Route(get=login.show_login),
    "/logout": Route(get=login.show_logout),
    "/account": Route(get=account.show_account),
    "/account/tokens": Route(post=account.make_token, fields=account.TOKEN_FIELDS),
    "/account/tokens/revoke": Route(post=account.revoke_token, fields=("accessor",)),
    "/account/sessions/revoke": Route(post=account.revoke_session, fields=("accessor",)),
    "/account/sessions/revoke-others": Route(post=account.revoke_other_sessions),
    LOGIN: Route(post=login.log_in, fields=("user", "password", "remember", "rd")),
    "/api/logout": Route(post=login.log_out, fields=("rd",)),
    "/api/session": Route(get=login.show_session),
}


class Portal:
    """Answers people under one snapshot."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self._places = Places(live)
        self._reach = Reach(live, self._places.hosts)
        self._trusted = live.configuration.trusted_proxies

    async def answer(self, request: web.BaseRequest, target: RawTarget) -> web.Response:
        """Answer one request."""
        if target.path.startswith(static_files.PREFIX) or target.path in static_files.OTHERS:
            return static_files.answer(request, target)
        try:
            place, client = self._places.of(request), client_of(request, self._trusted)
            is_plain, is_local = self._places.is_plain(request), is_loopback(request)
        except MalformedAddress:
            return json_response(400, {"error": "malformed X-Forwarded-For header"})
        as_json, now = speaks_json(request), int(time.time())
        call = Call(
            self.live, self._places, self._reach, request, target, place, client, as_json, is_plain, is_local, now
        )
        response = await _answered(call)
        if response.status in (408, 413):
            response.force_close()
        return response


async def _answered(call: Call) -> web.Response:
    """The answer, whatever goes wrong."""
    try:
        return await _performed(call)
    except Refusal as refused:
        links = refused.links or [("Your account", call.path(ACCOUNT))]
        return call.message(refused.status, refused.title, refused.text, links=links, headers=refused.headers)
    except LoginNeeded as needed:
        if call.as_json:
            return json_response(401, {"error": "nobody is signed in"}, ASK)
        return pages.see_other(call.login_path(needed.way_back))
    except (Stale, StoreError) as error:
        log.error("%s: %s", call.target.path, str(error) or "the directory was silent for too long")
        text = "Who you are cannot be looked up at the moment. Please try again shortly."
        return call.message(503, "Please try again shortly", text, headers={"Retry-After": str(RETRY_SECONDS)})
    except Exception:
        log.exception("%s failed", call.target.path)
        return call.message(500, "Something went wrong", "It is not your fault. Please tell your administrator.")


async def _performed(call: Call) -> web.Response:
    route, method = ROUTES.get(call.target.path), call.request.method
    if route is None:
        raise Refusal(404, "There is no page at this address.", title="Page not found")
    if route.get is not None and method in ("GET", "HEAD"):
        return await route.get(call)
    if route.post is None or method != "POST":
        allowed = ", ".join(route.methods)
        raise Refusal(405, f"This address takes only {allowed}.", headers={"Allow": allowed})
    if not _is_ours(call):
        title, url = "Please try again from here", call.place.scopes[0].portal_url
        if "Sec-Fetch-Site" in call.request.headers:
            raise Refusal(403, _NOT_OURS, title=title)
        links = [(f"Sign in at {urlsplit(url).netloc}", f"{url}/login")] if url.startswith("https:") else ()
        text = f"{_UNSAID}{min(call.place.origins)}" if call.as_json else _UNTOLD
        raise Refusal(403, text, title=title, links=links)
    return await route.post(call, await read_fields(call.request, call.live.configuration.http, route.fields))


def _is_ours(call: Call) -> bool:
    """Whether no other site made a browser send it (DECISIONS 29).

    A login is authenticated by what it brings, so programs need not say where they come from; JSON is what no form of
    another site can send (Fetch standard, CORS-safelisted request headers).
    """
    headers, origins = call.request.headers, call.place.origins
    if may_change_state(call.request.method, headers, origins):
        return True
    is_login = call.target.path == LOGIN and kind_of(call.request) == JSON
    return is_login and not comes_from_elsewhere(headers, origins)

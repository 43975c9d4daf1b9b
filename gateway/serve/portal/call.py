"""One request to the portal, with what its endpoints need to answer it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, quote, urlencode

from aiohttp import web

from gateway.access.session_cookies import CookieScope, session_values
from gateway.config.schema.access import AccessControl
from gateway.serve.answer import json_response
from gateway.serve.portal import pages
from gateway.serve.portal.forms import MOST_FIELDS
from gateway.telemetry.audit import Outcome, new_event

if TYPE_CHECKING:
    from gateway.access.client_address import Address
    from gateway.identity import Identity
    from gateway.runtime import Live
    from gateway.serve.portal.place import Place, Places
    from gateway.serve.portal.reach import Reach
    from gateway.serve.target import RawTarget
    from gateway.sessions import Session

DIALECT: Final = "portal"
ACCOUNT: Final = AccessControl.model_fields["default_redirect"].default
"""The page after login."""
ASK: Final = {"WWW-Authenticate": 'Cookie realm="ldap-gateway"'}
"""A scheme that makes no browser ask by itself (RFC 9110 15.5.2 wants one)."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request, where it came in, and who sent it."""

    live: Live
    places: Places
    reach: Reach
    request: web.BaseRequest
    target: RawTarget
    place: Place
    client: Address | None
    as_json: bool
    """Whether a program asks."""
    is_plain: bool
    """Whether the page came by http, as far as can be told."""
    is_local: bool
    """Whether the browser is on the same machine: it may keep cookies that it would take by https alone elsewhere."""
    now: int

    @property
    def query(self) -> Mapping[str, str]:
        """Parameters of the URL, decoded once; none where they cannot be read."""
        try:
            return dict(parse_qsl(self.target.query, keep_blank_values=True, max_num_fields=MOST_FIELDS))
        except ValueError:
            return {}

    def path(self, path: str) -> str:
        """A path of the portal as its browsers see it."""
        return f"{self.place.site.root}{path}"

    def way_back(self, text: str) -> str:
        """A return URL if it may be followed, else nothing."""
        return text if self.live.access.return_urls.allow(text) else ""

    @property
    def usual_way(self) -> str:
        """Where people go who came from nowhere in particular."""
        way = self.live.configuration.access_control.default_redirect
        return self.path(ACCOUNT) if way == ACCOUNT else way

    def login_path(self, way_back: str = "") -> str:
        """The login page that leads to a URL."""
        query = urlencode({"rd": way_back}, safe="/:", quote_via=quote)
        return self.path("/login") + (f"?{query}" if way_back else "")

    def session_values(self, scope: CookieScope) -> Sequence[str]:
        """What may be session ids among the cookies of the request."""
        return session_values(self.request.headers.getall("Cookie", []), scope.name)

    async def session(self, *scopes: CookieScope) -> Session | None:
        """The session of one of the scopes, of all at this place where none is named. Raises Stale and StoreError."""
        for scope in scopes or self.place.scopes:
            session = await self.live.sessions.current(self.session_values(scope), scope.host, self.now)
            if session is not None:
                return session
        return None

    async def need_session(self, way_back: str) -> Session:
        """The session, whose use is noted. Raises LoginNeeded, Stale and StoreError."""
        session = await self.session()
        if session is None:
            raise LoginNeeded(way_back)
        self.live.sessions.touch(session, self.client, self.now)
        return session

    def page(self, template: str, words: Mapping[str, Any], *, status: int = 200, **options: Any) -> web.Response:
        """A page of this place."""
        return pages.page(template, self.place.site, words, status=status, **options)

    def message(
        self,
        status: int,
        heading: str,
        text: str,
        *,
        links: Sequence[tuple[str, str]] = (),
        logout: str = "",
        way_back: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> web.Response:
        """A page, or JSON, that says one thing. ``links`` are titles and URLs; ``logout`` names a button that logs out
        and leads to ``way_back``."""
        if self.as_json:
            return json_response(status, {"error": text} if status >= 400 else {"message": text}, headers)
        words = {
            "heading": heading, "text": text, "alert": status >= 400, "logout": logout, "rd": way_back,
            "links": [{"title": title, "url": url} for title, url in links],
        }  # fmt: skip
        targets = self.places.form_targets if logout else ()
        return self.page("message", words, status=status, headers=headers, form_targets=targets)

    def audit(self, action: str, outcome: Outcome, identity: Identity, *, target: str = "", reason: str = "") -> None:
        """Write the audit event of what somebody did."""
        account = identity.account
        event = new_event(
            time.time(), action, outcome, generation=self.live.generation, reason=reason, dialect=DIALECT,
            server=account.server, user=account.username, client=str(self.client or ""), target=target,
        )  # fmt: skip
        self.live.audit.write(event)


class LoginNeeded(Exception):
    """Nobody is logged in, or not any more; people log in and come back."""

    def __init__(self, way_back: str) -> None:
        super().__init__("nobody is logged in")
        self.way_back = way_back

"""The tour through forward auth: what a proxy is answered, without and with a session, a personal token, a password."""

from __future__ import annotations

import base64
import json
from typing import Any

from demo.steps import Tour
from tests.admin_client import by_socket
from tests.daemon import Answer

PORTAL = "https://auth.example.com"
APPLICATION = "https://app.example.com"
SETTINGS = {
    "CLEARML__public_url": PORTAL,
    "CLEARML__session__cookies": json.dumps([{"domain": "example.com", "portal_url": PORTAL}]),
    "CLEARML__access_control__rules": json.dumps([
        {"name": "public", "domain": "app.example.com", "resources": ["^/public/"], "policy": "bypass"},
        {"name": "app", "domain": "app.example.com", "subject": [["group:developers"]], "policy": "authenticated"},
    ]),
}  # fmt: skip
BROWSER = {"Accept": "text/html"}


class ForwardAuthTour(Tour):
    """As nginx asks."""

    def ask(self, path: str, headers: dict[str, str]) -> Answer:
        """The question of nginx about a path of the application."""
        asked = {"X-Original-URL": f"{APPLICATION}{path}", "X-Original-Method": "GET", "X-Forwarded-For": "192.0.2.1"}
        return self.daemon.call("/api/authz/auth-request", headers={**asked, **headers})

    def portal(self, path: str, fields: dict[str, Any], cookie: str = "") -> Answer:
        """What a page of the portal sends."""
        headers = {"Host": "auth.example.com", "Origin": PORTAL, "Content-Type": "application/json"}
        if cookie:
            headers["Cookie"] = cookie
        return self.daemon.call(path, method="POST", body=json.dumps(fields), headers=headers)

    def walk(self) -> None:
        """From nobody to a session, a token, and the end of both."""
        self.step("nobody asks for a public page", self.ask("/public/x", {}).status, 200)
        page = self.ask("/x", BROWSER)
        way = f"{PORTAL}/login?rd={APPLICATION}/x"
        self.step("nobody asks for another, in a browser", (page.status, page.headers["Location"]), (401, way))
        cookie = self.log_in("alan", "enigma")
        known = self.ask("/x", {**BROWSER, "Cookie": cookie})
        told = tuple(known.headers[f"Remote-{name}"] for name in ("User", "Groups", "Email"))
        self.step("alan logs in, and the application is told", (known.status, *told), (200, *ALAN))
        self.step("bob logs in, who is no developer", self.ask("/x", {"Cookie": self.log_in("bob", BOB)}).status, 403)
        made = self.portal("/account/tokens", {"label": "ci", "hosts": ["app.example.com"], "paths": ["/api"]}, cookie)
        bearer = {"Authorization": f"Bearer {made.json['token']}"}
        passes = tuple(self.ask(path, bearer).status for path in ("/api/jobs", "/x"))
        self.step("alan's personal token for /api passes /api, /x", passes, (200, 403))
        basic = base64.b64encode(b"alan:enigma").decode()
        self.step("alan shows his password", self.ask("/x", {"Authorization": f"Basic {basic}"}).status, 200)
        self.step("he logs out", self.portal("/api/logout", {}, cookie).status, 200)
        self.step("and his cookie is nobody's", self.ask("/x", {"Cookie": cookie}).status, 401)
        revoked = by_socket(self.daemon.directory, "/admin/sessions/revoke", "POST", {"user": "corp/alan"}).json
        self.step("an administrator revokes all he has", revoked["revoked"]["personal"], 1)
        self.step("and his token is nobody's, too", self.ask("/api/jobs", bearer).status, 401)

    def log_in(self, user: str, password: str) -> str:
        """The session's cookie, as the browser sends it back."""
        answer = self.portal("/api/login", {"user": user, "password": password})
        return (answer.headers["Set-Cookie"] or "").partition(";")[0]


ALAN = ("alan", "developers", "alan@example.com")
BOB = "st*r(light)\\"

"""Somebody at the portal: requests as browsers and programs send them, and a jar for the session cookie."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from tests.serve.gateway_room import Room, parsed

HTML = ("Accept", "text/html,application/xhtml+xml")
JSON = ("Accept", "application/json")
OWN = ("Sec-Fetch-Site", "same-origin")
FORM = "application/x-www-form-urlencoded"

PAGE_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "content-type": "text/html; charset=utf-8",
}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return html.unescape(self.body.decode())

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def location(self) -> str:
        return self.headers.get("location", "")

    @property
    def cookie(self) -> str:
        return self.headers.get("set-cookie", "")

    def values(self, name: str) -> list[str]:
        """Values of the inputs of a name."""
        return [html.unescape(value) for value in re.findall(rf'name="{name}"[^>]* value="([^"]*)"', self.body.decode())]


@dataclass
class Browser:
    """Keeps one cookie, and follows nothing."""

    room: Room
    host: str = "auth.example.com"
    jar: dict[str, str] = field(default_factory=dict)
    client: str = "192.0.2.1"
    scheme: str = "https"
    """What the proxy says of how they came; empty: nothing."""

    async def send(
        self, method: str, path: str, *headers: tuple[str, str], body: bytes | None = None, host: str | None = None
    ) -> Answer:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host or self.host}", f"X-Forwarded-For: {self.client}"]
        lines += [f"X-Forwarded-Proto: {self.scheme}"] if self.scheme else []
        lines += [f"{name}: {value}" for name, value in headers]
        if self.jar:
            lines.append("Cookie: " + "; ".join(f"{name}={value}" for name, value in self.jar.items()))
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        raw = "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape") + b"\r\n" + (body or b"")
        answer = Answer(*parsed(await self.room.raw(raw)))
        for line in answer.cookie.split("|") if answer.cookie else ():
            name, _, value = line.partition(";")[0].partition("=")
            self.jar[name] = value
            if not value:
                del self.jar[name]
        return answer

    async def get(self, path: str, *headers: tuple[str, str], **options: Any) -> Answer:
        return await self.send("GET", path, *(headers or (HTML,)), **options)

    async def post(self, path: str, fields: Mapping[str, str], *headers: tuple[str, str], **options: Any) -> Answer:
        """Submit a form of our own page."""
        body = urlencode(fields).encode()
        return await self.send("POST", path, *(headers or (HTML, OWN)), ("Content-Type", FORM), body=body, **options)

    async def call(self, path: str, data: Any, *headers: tuple[str, str], **options: Any) -> Answer:
        """Send JSON, as a program does."""
        body = json.dumps(data).encode()
        return await self.send("POST", path, *(headers or (OWN,)), ("Content-Type", "application/json"), body=body, **options)

    async def login(self, user: str = "ada", password: str = "lovelace", **fields: str) -> Answer:
        return await self.post("/api/login", {"user": user, "password": password, **fields})

"""A gateway with a Conjur account in front of a real slapd, spoken to in octets, its round trips recorded."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode, urlsafe_b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.directories.directory_logins import BIND, SEARCH, requests
from tests.directories.process import free_port
from tests.directories.relay import Relay
from tests.directories.slapd import BASE_DN, Slapd
from tests.serve.gateway_room import Room, parsed, room_of
from tests.serve.test_clearml_protocol import password_hash

ACCOUNT = "myorg"
SECRET = "a:b ü?"
INSIDE = "192.0.2.7"
KEY_FORM = "[a-z2-7]{52}"
LOGIN, AUTHENTICATE = "login", "authenticate"
FAMILIES = {
    "v4": "/api/authn-ldap/users",
    "service": f"/authn-ldap/corp/{ACCOUNT}",
    "no service": f"/authn-ldap/{ACCOUNT}",
    "authn": f"/authn/{ACCOUNT}",
}
"""What stands before ``/login`` and ``/LOGIN/authenticate``."""


def _person(name: str, parent: str = f"ou=people,{BASE_DN}") -> str:
    """Distinguished by ``cn``, so that the name may be anything."""
    rdn = "".join(f"\\{ord(letter):02x}" if not letter.isalnum() else letter for letter in name)
    return f"dn: cn={rdn},{parent}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: x\nuserPassword: {SECRET}\n"


GRANTED = ("nina", "host/apps/backup", "back~up?", "n i n a", "nina@example.com")
"""Have SECRET and, by name, the privilege."""
UNGRANTED = "grace"
PEOPLE = "\n".join(map(_person, (*GRANTED, "admin", "otto")))
OTHERS = _person("otherwise", f"ou=contractors,{BASE_DN}")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    trips: tuple[int, ...] = ()
    """Tags of what the directory was asked."""

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def claims(self) -> Any:
        """Of a token of v5, read as clients do that know standard base64 alone (conjur.md 6.1)."""
        return json.loads(b64decode(self.json["payload"], validate=True))

    @property
    def fixed(self) -> object:
        """All that a stranger could tell apart."""
        return self.status, {name: value for name, value in self.headers.items() if name != "date"}, self.body


def basic(login: str | bytes, password: str | bytes) -> str:
    octets = b":".join(part.encode() if isinstance(part, str) else part for part in (login, password))
    return "Authorization: Basic " + b64encode(octets).decode()


def token_header(token: bytes | str) -> str:
    encoded = b64encode(token).decode() if isinstance(token, bytes) else token
    return f'Authorization: Token token="{encoded}"'


def header_of(token: Answer) -> Any:
    return json.loads(urlsafe_b64decode(token.json["protected"]))


@dataclass
class ConjurRoom:
    room: Room
    relay: Relay
    """Before the only directory."""

    async def call(
        self, method: str, target: str, *headers: str, body: bytes | None = None, unix: bool = False
    ) -> Answer:
        lines = [f"{method} {target} HTTP/1.1", "Host: gateway", "Connection: close", *headers]
        if body is not None and not any(header.lower().startswith("transfer-encoding") for header in headers):
            lines.append(f"Content-Length: {len(body)}")
        sent = "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + (body or b"")
        before = len(self.relay.sent)
        status, found, content = parsed(await self.room.raw(sent, unix=unix))
        trips = [tag for tag, _ in requests(self.relay.sent[before:]) if tag in (BIND, SEARCH)]
        return Answer(status, found, content, tuple(trips))

    async def login(self, login: str | bytes, password: str | bytes, *headers: str, base: str = FAMILIES["service"]) -> Answer:
        return await self.call("GET", f"{base}/login", basic(login, password), *headers)

    async def authenticate(
        self, login: str, secret: str | bytes, *headers: str, base: str = FAMILIES["service"]
    ) -> Answer:
        body = secret.encode() if isinstance(secret, str) else secret
        return await self.call("POST", f"{base}/{quote(login, safe='')}/authenticate", *headers, body=body)

    async def key(self, login: str, password: str, base: str = FAMILIES["service"]) -> str:
        answer = await self.login(login, password, base=base)
        assert answer.status == 200, answer
        return answer.text

    async def token(self, login: str, secret: str, base: str = FAMILIES["service"]) -> Answer:
        answer = await self.authenticate(login, secret, base=base)
        assert answer.status == 200, answer
        return answer

    async def whoami(self, token: Answer, *headers: str) -> Answer:
        return await self.call("GET", "/whoami", token_header(token.body), *headers)


def configuration(**conjur: Any) -> str:
    """Services ``corp`` for some, ``apps/open`` and ``wide`` for all, ``inside`` for a network; ``staff`` is none."""
    allow = ["group:developers", *(f"user:{name}" for name in GRANTED), "user:o*(brien)", "user:admin"]
    services = {
        "corp": {"allow": allow},
        "apps/open": {"allow": "all"},
        "wide": {"allow": "all"},
        "inside": {"allow": "all", "networks": ["192.0.2.0/24"]},
        "gone": {"allow": "all"},
        "blind": {"allow": "all"},
    }
    users = [{"username": "ada", "password_hash": password_hash("lovelace")}]
    section = {"account": ACCOUNT, "version": "1.21.3", "services": services, **conjur}
    return f"conjur = {json.dumps(section)}\nusers = {json.dumps(users)}\n"


def servers(slapd: Slapd, port: int) -> list[dict[str, object]]:
    """All of them one directory behind a relay, but for ``gone``."""
    def server(name: str, **changes: object) -> dict[str, object]:
        return slapd.server(**{"name": name, "urls": [f"ldap://127.0.0.1:{port}"], "pool": {"backoff": 1}, **changes})

    people = f"ou=people,{BASE_DN}"
    return [
        server("corp"),
        server("staff", search_base_dns=[f"ou=contractors,{BASE_DN}"]),
        server("apps/open", realm=False),
        server("wide", realm=False, search_base_dns=[BASE_DN]),
        server("inside", realm=False),
        server("gone", realm=False, urls=[f"ldap://127.0.0.1:{free_port()}"]),
        {"name": "blind", "realm": False, "urls": [f"ldap://127.0.0.1:{port}"], "user_dn": people},
    ]


@asynccontextmanager
async def conjur_room(
    slapd: Slapd, directory: Path, text: str = "", *, environment: dict[str, str] | None = None, **conjur: Any
) -> AsyncIterator[ConjurRoom]:
    """``text`` is further configuration, ``conjur`` further keys of that section."""
    relay = await Relay.start("127.0.0.1", slapd.port)
    given = {
        "CLEARML__servers": json.dumps(servers(slapd, relay.port)), "CLEARML__login__floor": "0",
        "CLEARML__login__cache": "0", "CLEARML__lockout__failures": "1000", **(environment or {}),
    }  # fmt: skip
    try:
        async with room_of(directory, configuration(**conjur) + text, given) as room:
            yield ConjurRoom(room, relay)
    finally:
        await relay.close()

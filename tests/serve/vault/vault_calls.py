"""A daemon whose people get Vault policies, and calls of its Vault dialect as clients make them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher

from tests.daemon import Answer, Daemon, running

ROOT = "the-root-token"
PASSWORD = "lovelace"
_HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)


def p(path: str, *capabilities: str) -> str:
    """One rule of a policy."""
    return f'path "{path}" {{ capabilities = {json.dumps(capabilities)} }}\n'


@dataclass(frozen=True)
class Vault:
    """One daemon as clients of its Vault dialect see it."""

    daemon: Daemon

    def call(
        self, method: str, path: str, token: str = "", body: object = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        sent = {"X-Vault-Request": "true", **({"X-Vault-Token": token} if token else {}), **(headers or {})}
        text = None if body is None else json.dumps(body)
        return self.daemon.call(f"/v1/{path}", method=method, headers=sent, body=text)

    def ok(self, method: str, path: str, token: str = ROOT, body: object = None, **headers: str) -> Any:
        """The JSON of a success; None where it says nothing."""
        answer = self.call(method, path, token, body, {name.replace("_", "-"): text for name, text in headers.items()})
        assert answer.status in (200, 204), (method, path, answer.status, answer.body)
        return answer.json if answer.body else None

    def refused(self, method: str, path: str, token: str = ROOT, body: object = None, **headers: str) -> tuple[int, str]:
        """Status and text of a refusal."""
        answer = self.call(method, path, token, body, {name.replace("_", "-"): text for name, text in headers.items()})
        assert answer.status >= 400, (method, path, answer.status, answer.body)
        return answer.status, "\n".join(answer.json["errors"])

    def login(self, username: str = "ada", mount: str = "local") -> dict[str, Any]:
        """The ``auth`` block of a login."""
        auth: dict[str, Any] = self.ok("PUT", f"auth/{mount}/login/{username}", "", {"password": PASSWORD})["auth"]
        return auth

    def create(self, parent: str = ROOT, **asked: object) -> dict[str, Any]:
        """The ``auth`` block of a new token."""
        auth: dict[str, Any] = self.ok("POST", "auth/token/create", parent, asked)["auth"]
        return auth

    def lives(self, token: str) -> bool:
        status = self.call("GET", "auth/token/lookup-self", token).status
        assert status in (200, 403)
        return status == 200


def configuration(**top: Any) -> dict[str, Any]:
    """With ada, who is of the scientists and the engineers, and bob."""
    vault = {"root_token": ROOT, **top.pop("vault", {})}
    users = [
        {"username": "ada", "groups": ["scientists", "engineers"], "password_hash": _HASH},
        {"username": "bob", "password_hash": _HASH},
    ]
    return {"users": users, "vault": vault, **top}


@contextmanager
def serving(directory: Path, given: Mapping[str, Any], **options: Any) -> Iterator[Vault]:
    directory.mkdir(exist_ok=True)
    file = directory / "gateway.conf"
    file.write_text(json.dumps(given))
    with running(directory, files=[file], **options) as daemon:
        yield Vault(daemon)

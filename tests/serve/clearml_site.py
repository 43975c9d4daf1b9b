"""A daemon with a person or a service of every ClearML role (clearml.md 5), and calls on their behalf."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt

from tests.daemon import Answer, Daemon, running

COMPANY = "d1bd92a3b039400cbafc60a7a5b1e52b"
SECRET = "a token secret made for this test only"
PASSWORD = "lovelace"
HASH = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
PEOPLE = {"guest": "gail", "annotator": "anna", "user": "jane", "superuser": "sue", "admin": "ada"}
SERVICES = ("system", "root")
ROLES = (*PEOPLE, *SERVICES)


@dataclass
class Site:
    daemon: Daemon
    tokens: dict[str, str]
    """By role."""

    def call(self, role: str, endpoint: str, headers: Mapping[str, str] | None = None, /, **fields: Any) -> Answer:
        return self.by(self.tokens[role], endpoint, headers, **fields)

    def by(self, token: str, endpoint: str, headers: Mapping[str, str] | None = None, /, **fields: Any) -> Answer:
        return self.daemon.call(f"/{endpoint}", method="POST", bearer=token, body=json.dumps(fields), headers=headers)

    def id(self, role: str) -> str:
        found: str = self.daemon.user(self.tokens[role])["id"]
        return found


def environment(**more: str) -> dict[str, str]:
    users = [
        {"username": name, "name": f"{name.title()} Doe", "email": f"{name}@example.com", "clearml_role": role,
         "password_hash": HASH}
        for role, name in PEOPLE.items()
    ]  # fmt: skip
    services = {role: {"role": role, "user_key": f"{role}-key", "user_secret": f"{role}-secret"} for role in SERVICES}
    return {
        "CLEARML__users": json.dumps(users),
        "CLEARML__admins": "user:ada",
        "CLEARML__secure__auth__token_secret": SECRET,
        "CLEARML__clearml__credentials": json.dumps(services),
        "CLEARML__clearml__origins": '["https://app.example.com"]',
        "CLEARML__login__floor": "0",
        "CLEARML__lockout__address_failures": "100000",
        **more,
    }


def pair(role: str) -> tuple[str, str]:
    """Name and password, or key and secret."""
    return (PEOPLE[role], PASSWORD) if role in PEOPLE else (f"{role}-key", f"{role}-secret")


@contextmanager
def clearml_site(directory: Path, **more: str) -> Iterator[Site]:
    with running(directory, environment=environment(**more)) as daemon:
        yield Site(daemon, {role: daemon.token(*pair(role)) for role in ROLES})

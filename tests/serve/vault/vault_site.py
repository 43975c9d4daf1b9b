"""A daemon with local users and a root token, spoken to in octets."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.daemon import Daemon, running
from tests.serve.test_clearml_protocol import password_hash

ROOT = "root-token-of-the-tests"
PASSWORD = "lovelace"


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def errors(self) -> list[str]:
        found: list[str] = self.json["errors"]
        return found


def request(method: str, target: str, *headers: str, body: bytes | None = None) -> bytes:
    """The octets of a request."""
    lines = [f"{method} {target} HTTP/1.1", "Host: gateway", *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + (body or b"")


def exchange(port: int, sent: bytes) -> Answer:
    """Send octets on a connection of their own and read one answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(sent)
        return read_answer(connection, head_only=sent.startswith(b"HEAD"))


def read_answer(connection: socket.socket, *, head_only: bool = False) -> Answer:
    """Read one answer and not an octet more."""
    with connection.makefile("rb", buffering=0) as lines:
        status = int(lines.readline().split()[1])
        headers: dict[str, str] = {}
        while line := lines.readline().strip():
            name, _, value = line.decode().partition(":")
            assert name.lower() not in headers
            headers[name.lower()] = value.strip()
        left, body = 0 if head_only else int(headers.get("content-length", 0)), b""
        while left > len(body):
            body += lines.read(left - len(body)) or b""
    return Answer(status, headers, body)


def login(port: int, path: str, password: object = PASSWORD, *headers: str) -> Answer:
    body = json.dumps({"password": password}).encode()
    return exchange(port, request("PUT", f"/v1/auth/{path}", *headers, body=body))


@contextmanager
def site(directory: Path, configuration: str, **environment: str) -> Iterator[Daemon]:
    """``HASH`` in the configuration stands for the hash of PASSWORD."""
    file = directory / "gateway.conf"
    text = configuration.replace("HASH", password_hash(PASSWORD))
    file.write_text(f'login.floor = 0\nvault.root_token = "{ROOT}"\n{text}')
    settings = {f"CLEARML__{name}": value for name, value in environment.items()}
    with running(directory, files=[file], environment=settings) as daemon:
        yield daemon

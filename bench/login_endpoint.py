"""``auth.login`` over HTTP against slapd with 10,000 users, every login a different person, 32 connections.

Baselines of the same run: ``debug.ping`` of the same daemon, which is HTTP alone, and a Bearer call, which is HTTP and
a known token. The daemon is a process of its own; the login cache is off.
"""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path

import uvloop

from bench.directory import (
    GROUP_BASE,
    GROUP_FILTER,
    PEOPLE,
    SERVICE,
    SERVICE_PASSWORD,
    USERS,
    large_directory,
    name,
    password,
)
from bench.load import load
from bench.wrk import cpu_seconds
from tests.daemon import running

CONNECTIONS = 32
LOGINS, CALLS = 6_000, 20_000


def request(path: str, authorization: str = "") -> bytes:
    header = f"Authorization: {authorization}\r\n" if authorization else ""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n".encode()


def login_request(number: int) -> bytes:
    person = number * 7919 % USERS
    credentials = base64.b64encode(f"{name(person)}:{password(person)}".encode()).decode()
    return request("/auth.login", f"Basic {credentials}")


def main() -> None:
    with large_directory() as slapd, tempfile.TemporaryDirectory() as folder:
        server = {
            "name": "bench",
            "urls": [slapd.url],
            "bind_dn": SERVICE,
            "bind_password": SERVICE_PASSWORD,
            "search_base_dns": [PEOPLE],
            "group_search_filter": GROUP_FILTER,
            "group_search_filter_user_attribute": "dn",
            "group_search_base_dns": [GROUP_BASE],
        }
        environment = {
            "CLEARML__servers": json.dumps([server]),
            "CLEARML__login__cache": "0",
            "CLEARML__audit__to": f"file:{folder}/audit.json",
        }
        with running(Path(folder), environment=environment) as daemon:
            token = daemon.token(name(1), password(1))
            ping, bearer = request("/debug.ping"), request("/users.get_vaults?enabled=true", f"Bearer {token}")
            uvloop.run(load(daemon.port, 500, CONNECTIONS, login_request))
            before = cpu_seconds([daemon.process.pid])
            logins = uvloop.run(load(daemon.port, LOGINS, CONNECTIONS, login_request))
            cpu = (cpu_seconds([daemon.process.pid]) - before) / LOGINS
            pings = uvloop.run(load(daemon.port, CALLS, CONNECTIONS, lambda _: ping))
            calls = uvloop.run(load(daemon.port, CALLS, CONNECTIONS, lambda _: bearer))
    print(f"auth.login        {logins:8.0f} /s  {cpu * 1e6:7.0f} us CPU of the daemon per login")
    print(f"debug.ping        {pings:8.0f} /s")
    print(f"users.get_vaults  {calls:8.0f} /s  by a known token")
    print(f"ratio             {logins / pings:8.2f} x debug.ping for a login, {calls / pings:.2f} x for a known token")

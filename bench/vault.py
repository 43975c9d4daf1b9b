"""The Vault dialect against slapd with 10,000 users: ``auth/ldap/login``, its token durable before the answer, and
``auth/token/lookup-self``, as ratios to the ClearML login and to the bare ``debug.ping`` of the same run.

Then what failed logins take, which must tell nothing about a name: unknown, with a wrong password, ambiguous, in turn.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
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
from bench.login_endpoint import CONNECTIONS, login_request, request
from bench.wrk import cpu_seconds
from tests.daemon import Daemon, running
from tests.directories.slapd import Slapd

LOGINS, CALLS, FAILURES = 6_000, 20_000, 30


def server(slapd: Slapd, called: str, search_filter: str) -> dict[str, object]:
    return {
        "name": called,
        "urls": [slapd.url],
        "bind_dn": SERVICE,
        "bind_password": SERVICE_PASSWORD,
        "search_base_dns": [PEOPLE],
        "search_filter": search_filter,
        "group_search_filter": GROUP_FILTER,
        "group_search_filter_user_attribute": "dn",
        "group_search_base_dns": [GROUP_BASE],
        "realm": called == "bench",
    }


def vault_request(number: int) -> bytes:
    person = number * 7919 % USERS
    body = json.dumps({"password": password(person)})
    head = f"PUT /v1/auth/bench/login/{name(person)} HTTP/1.1\r\nHost: localhost\r\nX-Vault-Request: true\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def measured(daemon: Daemon, number: int, request_of: Callable[[int], bytes]) -> tuple[float, float]:
    """Requests per second, and the daemon's processor time for one, in microseconds."""
    before = cpu_seconds([daemon.process.pid])
    rate = uvloop.run(load(daemon.port, number, CONNECTIONS, request_of))
    return rate, (cpu_seconds([daemon.process.pid]) - before) / number * 1e6


def failures(daemon: Daemon) -> dict[str, list[float]]:
    """Milliseconds by kind. A name of three digits is the beginning of ten names in mount ``many``."""
    kinds = {"unknown": "nobody{:03d}", "wrong password": "user{:05d}", "ambiguous": "{:03d}"}
    found: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(FAILURES):
        for kind, pattern in kinds.items():
            started = time.perf_counter()
            answer = daemon.call(f"/v1/auth/many/login/{pattern.format(number)}", method="PUT", body='{"password":"x"}')
            found[kind].append((time.perf_counter() - started) * 1000)
            if answer.status != 400:
                raise RuntimeError(f"{kind}: {answer.status}")
    return found


def main() -> None:
    with large_directory() as slapd, tempfile.TemporaryDirectory() as folder:
        environment = {
            "CLEARML__servers": json.dumps(
                [server(slapd, "bench", "(uid=%s)"), server(slapd, "many", "(|(uid=%s)(uid=user00%s*))")]
            ),
            "CLEARML__login__cache": "0",
            "CLEARML__lockout__address_failures": "100000",
            "CLEARML__audit__to": f"file:{folder}/audit.json",
        }
        with running(Path(folder), environment=environment) as daemon:
            body = json.dumps({"password": password(1)})
            login = daemon.call(f"/v1/auth/bench/login/{name(1)}", method="PUT", body=body)
            token = login.json["auth"]["client_token"]
            lookup = request("/v1/auth/token/lookup-self", f"Bearer {token}")
            ping = request("/debug.ping")
            uvloop.run(load(daemon.port, 500, CONNECTIONS, vault_request))
            vault, vault_cpu = measured(daemon, LOGINS, vault_request)
            clearml, clearml_cpu = measured(daemon, LOGINS, login_request)
            pings, _ = measured(daemon, CALLS, lambda _: ping)
            lookups, lookup_cpu = measured(daemon, CALLS, lambda _: lookup)
            times = failures(daemon)
    print(f"auth/ldap/login         {vault:8.0f} /s  {vault_cpu:7.0f} us CPU of the daemon, token durable")
    print(f"auth.login              {clearml:8.0f} /s  {clearml_cpu:7.0f} us CPU of the daemon")
    print(f"auth/token/lookup-self  {lookups:8.0f} /s  {lookup_cpu:7.0f} us CPU of the daemon")
    print(f"debug.ping              {pings:8.0f} /s")
    print(f"ratio                   {vault / clearml:8.2f} x auth.login, {vault / pings:.2f} x debug.ping for a login")
    print(f"ratio                   {lookups / pings:8.2f} x debug.ping for a look-up")
    for kind, taken in times.items():
        low, *_, high = statistics.quantiles(taken, n=10)
        print(f"failed, {kind:15} {statistics.median(taken):8.1f} ms  (most from {low:.1f} to {high:.1f})")


if __name__ == "__main__":
    main()

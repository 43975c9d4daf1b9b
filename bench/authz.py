"""Forward auth with wrk: a known session against a bare aiohttp handler, nginx with and without auth_request, and the
answer's 99th percentile while four clients log in without pause.

In the first part the server has one core and wrk the other; in the others everything shares both. What cannot be
passed is measured too: a protocol that gives always the same answer on the same event loop, and auth_request to nginx
itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

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
from bench.wrk import SECONDS, Measured, Rounds, wrk
from gateway.directory.local_users import hash_password
from gateway.store.interface import TokenRow
from gateway.store.sealing import Sealer, load_master_key
from gateway.store.sqlite import SqliteStore
from gateway.tokens.opaque import digest, mint, mint_accessor
from tests.daemon import Daemon, running
from tests.proxies.servers import free_port, proxy

ROUNDS = 3
CLIENTS = 4
PATH = "/api/authz/auth-request"
HOST = "app.example.com"
BROWSER = {
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language": "en-GB,en;q=0.5",
    "Accept-Encoding": "gzip, deflate, br",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}
QUESTION = {
    "X-Original-URL": f"https://{HOST}/page",
    "X-Original-Method": "GET",
    "X-Forwarded-For": "192.0.2.1",
    **BROWSER,
}
DISTINCT = f"""
local number = 0
request = function()
  number = number + 1
  wrk.headers["X-Original-URL"] = "https://{HOST}/page/" .. number
  return wrk.format("GET", "{PATH}")
end
"""
BARE = """
import asyncio, sys, uvloop
from aiohttp import web

async def main():
    async def handle(request):
        return web.Response(status=200)
    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", int(sys.argv[1])).start()
    await asyncio.Event().wait()

uvloop.run(main())
"""
CONSTANT = """
import asyncio, sys, uvloop

ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nX: " + b"x" * 200 + b"\\r\\n\\r\\n"

class Protocol(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(ANSWER)

async def main():
    server = await asyncio.get_running_loop().create_server(Protocol, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()

uvloop.run(main())
"""
NGINX = """
worker_processes 2; error_log {folder}/error.log; pid {folder}/nginx.pid; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; root {folder}/site;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream gateway {{ server unix:{folder}/gateway.sock; keepalive 32; }}
  upstream yes {{ server unix:{folder}/yes.sock; keepalive 32; }}
  proxy_http_version 1.1; proxy_set_header Connection "";
  proxy_pass_request_body off; proxy_set_header Content-Length "";
  proxy_set_header Host gateway; proxy_set_header X-Original-URL https://app.example.com$request_uri;
  proxy_set_header X-Original-Method $request_method; proxy_set_header X-Forwarded-For $remote_addr;
  server {{ listen unix:{folder}/yes.sock; return 200; }}
  server {{ listen 127.0.0.1:{open}; }}
  server {{
    listen 127.0.0.1:{asking};
    location / {{ auth_request /authz; }}
    location = /authz {{ internal; proxy_pass http://gateway/api/authz/auth-request; }}
  }}
  server {{
    listen 127.0.0.1:{asking_nginx};
    location / {{ auth_request /authz; }}
    location = /authz {{ internal; proxy_pass http://yes/; }}
  }}
}}
"""


async def session_of(state: Path, username: str) -> str:
    """A session of somebody who has logged in, written as another process of the gateway would."""
    store = SqliteStore.open(state / "gateway.db", sealer=Sealer(load_master_key(state, None)))
    try:
        [identity] = await store.identities(username=username)
        value, now = mint(), int(time.time())
        await store.token_add(
            TokenRow(
                hash=digest(value), accessor=mint_accessor(), kind="session", identity=identity.id, created_at=now,
                expires_at=now + 3600, domain="example.com", remember=True,
            )
        )  # fmt: skip
        return value
    finally:
        await store.close()


@contextmanager
def program(source: str) -> Iterator[tuple[int, int]]:
    """Port and process id of a small server on the first core."""
    port = free_port()
    command = ["taskset", "-c", "0", sys.executable, "-c", source, str(port)]
    with tempfile.TemporaryDirectory() as folder, proxy(command, Path(folder), port) as pid:
        yield port, pid


@contextmanager
def gateway(folder: Path, servers: list[dict[str, object]]) -> Iterator[tuple[Daemon, str]]:
    """The daemon, and the session of somebody who has logged in to it."""
    (folder / "gateway.conf").write_text(
        'public_url = "https://auth.example.com"\n'
        'session.cookies = [{ domain = "example.com", portal_url = "https://auth.example.com" }]\n'
        'access_control.rules = [{ name = app, domain = "app.example.com", policy = authenticated }]\n'
        "login.cache = 0\n"
    )
    port, hashed = free_port(), hash_password("local")
    environment = {
        "CLEARML__servers": json.dumps(servers),
        "CLEARML__users": json.dumps(
            [{"username": f"local{number}", "password_hash": hashed} for number in range(CLIENTS)]
        ),
        "CLEARML__audit__to": f"file:{folder}/audit.json",
        "CLEARML__listen": json.dumps([f"127.0.0.1:{port}", f"unix:{folder}/gateway.sock"]),
    }
    with running(folder, files=[folder / "gateway.conf"], environment=environment) as daemon:
        daemon.token(name(1), password(1))
        yield daemon, asyncio.run(session_of(folder / "state", name(1)))


@contextmanager
def logging_in(daemon: Daemon, credentials: Callable[[int, int], tuple[str, str]]) -> Iterator[list[int]]:
    """Clients that log in without pause; how many logins each has made. ``credentials`` of a client's nth login."""
    stop, counts = threading.Event(), [0] * CLIENTS

    def client(number: int) -> None:
        while not stop.is_set():
            daemon.token(*credentials(number, counts[number]))
            counts[number] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def of_directory(client: int, login: int) -> tuple[str, str]:
    """Every login is another person's."""
    person = (client * USERS // CLIENTS + login) % USERS
    return name(person), password(person)


def of_configuration(client: int, _: int) -> tuple[str, str]:
    """A local user, whose password has an argon2id hash."""
    return f"local{client}", "local"


def answers(daemon: Daemon, headers: Mapping[str, str], folder: Path) -> None:
    """A known session against a bare handler, and against what any Python program could do at best."""
    script = folder / "distinct.lua"
    script.write_text(DISTINCT)
    with program(BARE) as (bare_port, bare), program(CONSTANT) as (constant_port, constant):
        ask = partial(wrk, headers=headers, core=1)
        url = f"http://127.0.0.1:{daemon.port}{PATH}"
        rows = {
            "bare aiohttp handler": partial(ask, f"http://127.0.0.1:{bare_port}/", serving=[bare]),
            "known session": partial(ask, url, serving=[daemon.process.pid]),
            "  every time another URL": partial(ask, url, serving=[daemon.process.pid], script=script),
            "limit: always the same": partial(ask, f"http://127.0.0.1:{constant_port}/", serving=[constant]),
        }
        os.sched_setaffinity(daemon.process.pid, {0})
        rounds = Rounds(rows, ROUNDS)
        os.sched_setaffinity(daemon.process.pid, range(os.cpu_count() or 1))
    for what in rows:
        row = rounds.median(what)
        ratio = rounds.ratio(what, "bare aiohttp handler", lambda measured: measured.per_second)
        by_cpu = 1 / rounds.ratio(what, "bare aiohttp handler", lambda measured: measured.cpu_us)
        aim = "  (aim: 4)" if what == "known session" else ""
        print(
            f"{what:26} {row.per_second:8.0f} /s  p99 {row.p99_ms:6.2f} ms  {row.cpu_us:5.1f} us CPU  "
            f"{ratio:5.2f} x, by CPU {by_cpu:5.2f} x{aim}"
        )


def beside_logins(daemon: Daemon, headers: Mapping[str, str]) -> None:
    """The 99th percentile of the same answer, with and without logins."""
    check = partial(wrk, f"http://127.0.0.1:{daemon.port}{PATH}", headers, [daemon.process.pid])
    made = {of_directory: 0, of_configuration: 0}

    def during(credentials: Callable[[int, int], tuple[str, str]]) -> Measured:
        with logging_in(daemon, credentials) as counts:
            measured = check()
            made[credentials] += sum(counts)
        return measured

    rows = {
        "known session, alone": check,
        "  4 clients log in, LDAP": partial(during, of_directory),
        "  4 clients, argon2id": partial(during, of_configuration),
    }
    rounds = Rounds(rows, ROUNDS)
    for what, count in zip(rows, (0, *made.values()), strict=True):
        row, ratio = rounds.median(what), rounds.ratio(what, "known session, alone", lambda measured: measured.p99_ms)
        logins = f"  {ratio:5.2f} x p99 (aim: at most 2), {count / ROUNDS / SECONDS:.0f} logins/s" if count else ""
        print(f"{what:26} {row.per_second:8.0f} /s  p99 {row.p99_ms:6.2f} ms{logins}")


def through_nginx(daemon: Daemon, headers: Mapping[str, str], folder: Path) -> None:
    """A static file, open and behind auth_request."""
    (folder / "site").mkdir()
    (folder / "site" / "page").write_bytes(b"x" * 1024)
    ports = {"open": free_port(), "asking": free_port(), "asking_nginx": free_port()}
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, user=user, **ports))
    file, log = str(folder / "nginx.conf"), str(folder / "error.log")
    command = ["nginx", "-p", str(folder), "-c", file, "-e", log, "-g", "daemon off;"]
    with proxy(command, folder, ports["asking_nginx"]) as nginx:
        workers = Path(f"/proc/{nginx}/task/{nginx}/children").read_text().split()
        serving = [daemon.process.pid, *map(int, workers)]
        rows = {
            what: partial(wrk, f"http://127.0.0.1:{ports[port]}/page", headers, serving)
            for what, port in (
                ("nginx, 1 KiB file", "open"), ("  asking for each request", "asking"),
                ("  limit: asking nginx", "asking_nginx"),
            )
        }  # fmt: skip
        rounds = Rounds(rows, ROUNDS)
    for what in rows:
        row, ratio = rounds.median(what), rounds.ratio(what, "nginx, 1 KiB file", lambda measured: measured.per_second)
        aim = "  (aim: 0.7)" if what.endswith("each request") else ""
        print(f"{what:26} {row.per_second:8.0f} /s  {row.cpu_us:5.1f} us CPU of all  {ratio:5.2f} x{aim}")


def main() -> None:
    with large_directory() as slapd, tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        server: dict[str, object] = {
            "name": "bench",
            "urls": [slapd.url],
            "bind_dn": SERVICE,
            "bind_password": SERVICE_PASSWORD,
            "search_base_dns": [PEOPLE],
            "group_search_filter": GROUP_FILTER,
            "group_search_filter_user_attribute": "dn",
            "group_search_base_dns": [GROUP_BASE],
        }
        with gateway(folder, [server]) as (daemon, value):
            cookie = {"Cookie": f"theme=dark; __Secure-gw={value}"}
            answers(daemon, {**QUESTION, **cookie}, folder)
            beside_logins(daemon, {**QUESTION, **cookie})
            through_nginx(daemon, {**BROWSER, **cookie}, folder)


if __name__ == "__main__":
    main()

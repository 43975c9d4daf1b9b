"""Forward auth with wrk: a known session against a bare aiohttp handler, nginx with and without auth_request, and the
answer's 99th percentile while four clients log in without pause.

The gateway has one core, wrk the other; nginx shares both. Baselines are measured in the same run, between the rows.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
from gateway.store.interface import TokenRow
from gateway.store.sealing import Sealer, load_master_key
from gateway.store.sqlite import SqliteStore
from gateway.tokens.opaque import digest, mint, mint_accessor
from tests.daemon import Daemon, running
from tests.proxies.servers import free_port, proxy

SECONDS = 4
CONNECTIONS = 32
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
NGINX = """
worker_processes 2; error_log {folder}/error.log; pid {folder}/nginx.pid; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; root {folder}/site;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  upstream gateway {{ server unix:{folder}/gateway.sock; keepalive 32; }}
  server {{ listen 127.0.0.1:{open}; }}
  server {{
    listen 127.0.0.1:{asking};
    location / {{ auth_request /authz; }}
    location = /authz {{
      internal; proxy_pass http://gateway/api/authz/auth-request; proxy_http_version 1.1;
      proxy_set_header Connection ""; proxy_pass_request_body off; proxy_set_header Content-Length "";
      proxy_set_header Host gateway; proxy_set_header X-Original-URL https://app.example.com$request_uri;
      proxy_set_header X-Original-Method $request_method; proxy_set_header X-Forwarded-For $remote_addr;
    }}
  }}
}}
"""


@dataclass(frozen=True)
class Measured:
    per_second: float
    p99_ms: float
    cpu_us: float = 0.0
    """Of the server, for one request: what a busy machine changes least."""


def wrk(
    port: int,
    headers: dict[str, str],
    *,
    path: str = PATH,
    core: int | None = 1,
    script: Path | None = None,
    server: int = 0,
) -> Measured:
    command = [] if core is None else ["taskset", "-c", str(core)]
    command += ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency"]
    for header, value in headers.items():
        command += ["-H", f"{header}: {value}"]
    command += ["-s", str(script)] if script else []
    command.append(f"http://127.0.0.1:{port}{path}")
    before = cpu_seconds(server) if server else 0.0
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    spent = cpu_seconds(server) - before if server else 0.0
    if "Non-2xx" in text or "Socket errors" in text:
        raise RuntimeError(text)
    number, unit = re.findall(r"99%\s+([\d.]+)(us|ms|s)", text)[0]
    milliseconds = float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]
    requests = int(re.findall(r"(\d+) requests in", text)[0])
    per_second = float(re.findall(r"Requests/sec:\s+([\d.]+)", text)[0])
    return Measured(per_second, milliseconds, spent / requests * 1e6)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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
def bare() -> Iterator[tuple[int, int]]:
    """Port and process id of a handler that only says 200."""
    port = free_port()
    command = ["taskset", "-c", "0", sys.executable, "-c", BARE, str(port)]
    with tempfile.TemporaryDirectory() as folder, proxy(command, Path(folder), port) as pid:
        yield port, pid


@contextmanager
def gateway(folder: Path, servers: list[dict[str, object]]) -> Iterator[tuple[Daemon, str]]:
    (folder / "gateway.conf").write_text(
        'public_url = "https://auth.example.com"\n'
        'session.cookies = [{ domain = "example.com", portal_url = "https://auth.example.com" }]\n'
        'access_control.rules = [{ name = app, domain = "app.example.com", policy = authenticated }]\n'
        "login.cache = 0\n"
    )
    port = free_port()
    environment = {
        "CLEARML__servers": json.dumps(servers),
        "CLEARML__audit__to": f"file:{folder}/audit.json",
        "CLEARML__listen": json.dumps([f"127.0.0.1:{port}", f"unix:{folder}/gateway.sock"]),
    }
    with running(folder, files=[folder / "gateway.conf"], environment=environment) as daemon:
        daemon.token(name(1), password(1))
        yield daemon, asyncio.run(session_of(folder / "state", name(1)))


@contextmanager
def logging_in(daemon: Daemon) -> Iterator[list[int]]:
    """Four clients that log in without pause; how many logins each has made."""
    stop, counts = threading.Event(), [0] * 4

    def client(number: int) -> None:
        while not stop.is_set():
            person = (number * 2500 + counts[number]) % USERS
            daemon.token(name(person), password(person))
            counts[number] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def through_nginx(folder: Path, cookie: dict[str, str]) -> None:
    (folder / "site").mkdir()
    (folder / "site" / "page").write_bytes(b"x" * 1024)
    open_port, asking = free_port(), free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, open=open_port, asking=asking, user=user))
    file, log = str(folder / "nginx.conf"), str(folder / "error.log")
    command = ["nginx", "-p", str(folder), "-c", file, "-e", log, "-g", "daemon off;"]
    with proxy(command, folder, asking):
        plain = wrk(open_port, {**BROWSER, **cookie}, path="/page", core=None)
        asked = wrk(asking, {**BROWSER, **cookie}, path="/page", core=None)
    print(f"nginx, 1 KiB file          {plain.per_second:9.0f} /s")
    ratio = asked.per_second / plain.per_second
    print(f"  asking for each request  {asked.per_second:9.0f} /s  {ratio:5.2f} x (aim: 0.7)")


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
        with gateway(folder, [server]) as (daemon, value), bare() as (bare_port, bare_pid):
            os.sched_setaffinity(daemon.process.pid, {0})
            cookie = {"Cookie": f"theme=dark; __Secure-gw={value}"}
            headers = {**QUESTION, **cookie}
            script = folder / "distinct.lua"
            script.write_text(DISTINCT)
            wrk(daemon.port, headers)
            baseline = wrk(bare_port, headers, path="/", server=bare_pid)
            known = wrk(daemon.port, headers, server=daemon.process.pid)
            distinct = wrk(daemon.port, headers, script=script, server=daemon.process.pid)
            rows = {"bare aiohttp handler": baseline, "known session": known, "  every time another URL": distinct}
            for what, row in rows.items():
                ratio, by_cpu = row.per_second / baseline.per_second, baseline.cpu_us / row.cpu_us
                print(
                    f"{what:26} {row.per_second:9.0f} /s  p99 {row.p99_ms:7.2f} ms  {row.cpu_us:6.1f} us CPU  "
                    f"{ratio:5.2f} x, by CPU {by_cpu:5.2f} x" + (" (aim: 4)" if row is known else "")
                )
            with logging_in(daemon) as counts:
                before = sum(counts)
                busy = wrk(daemon.port, headers)
                logins = (sum(counts) - before) / SECONDS
            print(
                f"  while 4 clients log in   {busy.per_second:9.0f} /s  p99 {busy.p99_ms:7.2f} ms  "
                f"{busy.p99_ms / known.p99_ms:5.2f} x p99 (aim: at most 2), {logins:.0f} logins/s"
            )
            os.sched_setaffinity(daemon.process.pid, range(os.cpu_count() or 1))
            through_nginx(folder, cookie)


if __name__ == "__main__":
    main()

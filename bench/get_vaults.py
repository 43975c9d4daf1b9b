"""``users.get_vaults`` as the SDK asks for it, 100 vaults of 2 KB for one person; baseline ``debug.ping``."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import uvloop

from bench.load import load
from bench.wrk import cpu_seconds
from gateway.config.schema import QUICKSTART_HASH
from tests.daemon import Daemon, running

CONNECTIONS = 32
VAULTS, SIZE = 100, 2048
CALLS = 20_000
EVERYONE = "30795571-a470-4717-a80d-e8705fc776bf"


def request(path: str, token: str = "") -> bytes:
    """As ``requests`` sends it, with which the SDK asks: compressed answers are welcome."""
    header = "Accept-Encoding: gzip, deflate\r\n" + (f"Authorization: Bearer {token}\r\n" if token else "")
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n".encode()


def text(number: int) -> str:
    """A vault as people write them: sections, short keys, a comment now and then."""
    lines, size = [f"# vault {number}"], 0
    while size < SIZE:
        entry = len(lines)
        lines.append(f'sdk.storage.bucket_{number}_{entry} {{ host: "s3-{entry}.example.com", secure: true }}')
        size += len(lines[-1]) + 1
    return "\n".join(lines)[:SIZE].rpartition("\n")[0]


def save_all(daemon: Daemon, token: str) -> None:
    for number in range(VAULTS):
        body = {"group": EVERYONE, "vault": {"scope": "group", "data": text(number)}}
        answer = daemon.call("/users.add_or_update_vault", bearer=token, method="POST", body=json.dumps(body))
        if answer.status != 200:
            raise RuntimeError(answer.body.decode())


def measured(daemon: Daemon, content: bytes, calls: int) -> tuple[float, float]:
    """Answers per second, and seconds of the daemon's CPU for one."""
    uvloop.run(load(daemon.port, calls // 20, CONNECTIONS, lambda _: content))
    before = cpu_seconds([daemon.process.pid])
    rate = uvloop.run(load(daemon.port, calls, CONNECTIONS, lambda _: content))
    return rate, (cpu_seconds([daemon.process.pid]) - before) / calls


def main() -> None:
    users = [{"username": "ada", "password_hash": QUICKSTART_HASH, "clearml_role": "admin"}]
    environment = {"CLEARML__users": json.dumps(users)}
    with tempfile.TemporaryDirectory() as folder, running(Path(folder), environment=environment) as daemon:
        token = daemon.token("ada", "lovelace")
        save_all(daemon, token)
        sdk = request("/users.get_vaults?enabled=true&types=config&types=config", token)
        size = len(daemon.call("/users.get_vaults?enabled=true&types=config", bearer=token).body)
        pings, ping_cpu = measured(daemon, request("/debug.ping"), CALLS)
        calls, call_cpu = measured(daemon, sdk, CALLS // 2)
        known, known_cpu = measured(daemon, request("/server.info", token), CALLS)
    print(f"debug.ping        {pings:8.0f} /s  {ping_cpu * 1e6:7.0f} us CPU of the daemon each")
    print(f"server.info       {known:8.0f} /s  {known_cpu * 1e6:7.0f} us, by a known token")
    print(f"users.get_vaults  {calls:8.0f} /s  {call_cpu * 1e6:7.0f} us, {VAULTS} vaults, {size} bytes an answer")
    print(
        f"ratio             {calls / pings:8.2f} x debug.ping, by CPU of the daemon {ping_cpu / call_cpu:.2f}; "
        f"{calls / known:.2f} x server.info, {known_cpu / call_cpu:.2f}"
    )

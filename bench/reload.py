"""20,000 group mappings: how long each format takes to load, and what a reload with them does to requests meanwhile.

The baseline of a load is the reader that others would take for the same text: pyhocon's time is extrapolated from a
hundredth of it, since it needs minutes. The baseline of a request is the same daemon a moment before. Requests come
four at a time from a process of their own, so that the longest wait is the daemon's.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pyhocon
import yaml

from gateway.config.load import load
from tests.daemon import Daemon, running

if TYPE_CHECKING:
    from multiprocessing.queues import Queue
    from multiprocessing.synchronize import Event

MAPPINGS = 20_000
RELOADS = 5
CONNECTIONS = 4
REQUEST = b"GET /debug.ping HTTP/1.1\r\nHost: localhost\r\n\r\n"
SERVER = {"name": "corp", "host": "127.0.0.1", "port": 9, "search_base_dns": ["dc=x"], "search_filter": "(uid=%s)"}


def mappings(count: int) -> list[dict[str, str]]:
    base = "ou=groups,dc=example,dc=com"
    return [{"group_dn": f"cn=g{number},{base}", "clearml_role": "user"} for number in range(count)]


def hocon(count: int, last: str = "user") -> str:
    given = mappings(count)
    given[-1]["clearml_role"] = last
    rows = "\n".join(f'    {{ group_dn = "{row["group_dn"]}", clearml_role = {row["clearml_role"]} }}' for row in given)
    server = ", ".join(f"{key} = {json.dumps(value)}" for key, value in SERVER.items())
    return f"{{\n  servers = [ {{ {server}\n  group_mappings = [\n{rows}\n  ] }} ]\n}}\n"


def toml() -> str:
    head = "\n".join(f"{key} = {json.dumps(value)}" for key, value in SERVER.items())
    header = "[[servers.group_mappings]]"
    rows = (f'{header}\ngroup_dn = "{row["group_dn"]}"\nclearml_role = "user"' for row in mappings(MAPPINGS))
    return "\n".join(("[[servers]]", head, *rows)) + "\n"


def tree() -> dict[str, object]:
    return {"servers": [{**SERVER, "group_mappings": mappings(MAPPINGS)}]}


def plain_yaml(text: str) -> object:
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


TEXTS: Mapping[str, tuple[Callable[[], str], Callable[[str], object], str]] = {
    "gateway.conf": (lambda: hocon(MAPPINGS), lambda text: None, "pyhocon"),
    "gateway.toml": (toml, tomllib.loads, "tomllib"),
    "gateway.yaml": (lambda: yaml.safe_dump(tree(), width=200), plain_yaml, "PyYAML's C loader"),
    "gateway.json": (lambda: json.dumps(tree()), json.loads, "json"),
}


def seconds(work: Callable[[], object], rounds: int = 3) -> float:
    """Median time."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return median(times)


def compare_loads(folder: Path) -> None:
    hundredth = hocon(MAPPINGS // 100)
    pyhocon_seconds = 100 * seconds(lambda: pyhocon.ConfigFactory.parse_string(hundredth), rounds=1)
    for name, (make, rival, who) in TEXTS.items():
        file = folder / name
        text = make()
        file.write_text(text)
        ours = seconds(lambda file=file: load([file], {}))  # type: ignore[misc]
        theirs = pyhocon_seconds if who == "pyhocon" else seconds(lambda text=text, rival=rival: rival(text))  # type: ignore[misc]
        what = f"{who}, parsing alone" + (", extrapolated" if who == "pyhocon" else "")
        print(f"{name:13} {len(text) / 1e6:5.1f} MB  {ours:6.2f} s loaded and checked, {theirs:6.2f} s {what}")


async def waits(port: int, until: Callable[[], bool]) -> list[float]:
    """Seconds of each request, over a few connections, until told to stop."""
    found: list[float] = []

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not until():
            started = time.perf_counter()
            writer.write(REQUEST)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            found.append(time.perf_counter() - started)
            await asyncio.sleep(0.001)
        writer.close()
        await writer.wait_closed()

    async with asyncio.timeout(120):
        await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    return found


def measure(port: int, stop: Event, answer: Queue[list[float]]) -> None:
    answer.put(sorted(asyncio.run(waits(port, stop.is_set))))


def meanwhile(daemon: Daemon, work: Callable[[], object]) -> list[float]:
    """The waits of requests, in order, while ``work`` is done."""
    context = multiprocessing.get_context("spawn")
    stop, answer = context.Event(), context.Queue()
    child = context.Process(target=measure, args=(daemon.port, stop, answer))
    child.start()
    try:
        time.sleep(1.0)
        work()
        stop.set()
        return list(answer.get(timeout=60))
    finally:
        stop.set()
        child.join()


def tell(what: str, found: list[float]) -> None:
    shown = {"median": found[len(found) // 2], "p99": found[int(len(found) * 0.99)], "longest": found[-1]}
    print(f"{what:15} " + "  ".join(f"{name} {value * 1e3:6.1f} ms" for name, value in shown.items()))


def reloads(daemon: Daemon, file: Path) -> None:
    for number in range(RELOADS):
        file.write_text(hocon(MAPPINGS, "admin" if number % 2 == 0 else "user"))
        answer = daemon.call("/admin/reload", method="POST", basic=("ada", "lovelace"))
        assert answer.status == 200, answer.body


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compare_loads(folder)
        file = folder / "gateway.conf"
        file.write_text(hocon(MAPPINGS))
        quickstart = Path(__file__).parents[1] / "conf" / "quickstart.conf"
        environment = {"CLEARML__reload__watch": "false", "CLEARML__reload__poll": "1h"}
        with running(folder, files=[quickstart, file], environment=environment) as daemon:
            idle = meanwhile(daemon, lambda: time.sleep(2.0))
            busy = meanwhile(daemon, lambda: reloads(daemon, file))
    tell("without reload", idle)
    tell(f"{RELOADS} reloads", busy)
    print(f"ratio           {busy[-1] / idle[-1]:6.1f} x the longest wait")

"""What one daemon's API writes is in force in another on the same store, and outlives a kill (DECISIONS 18, 22)."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from vault_calls import ROOT, Vault, configuration, p, serving

from tests.daemon import Daemon
from tests.directories.slapd import BASE_DN, COMPANY, Slapd

WITHIN_SECONDS = 15.0
MAKER = {"policies": {"maker": p("auth/token/create", "update")}}


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("slapd") / "company") as started:
        yield started


def shared(directory: Path) -> dict[str, Any]:
    key = directory / "master.key"
    key.write_text("a2V5IG9mIHRoZSBzdG9yZSBmb3IgYm90aCBvZiB0aGU=")
    store = {"url": f"sqlite:///{directory}/shared.db"}
    return configuration(vault=MAKER, store=store, tokens={"master_key_file": str(key)}, login={"floor": 0})


def awaited(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + WITHIN_SECONDS
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_mount_of_one_logs_people_in_in_the_other(tmp_path: Path, slapd: Slapd) -> None:
    given = shared(tmp_path)
    with serving(tmp_path / "one", given) as one, serving(tmp_path / "two", given) as two:
        config = {"url": slapd.url, "userattr": "uid", "userdn": f"ou=people,{BASE_DN}"}
        one.ok("POST", "sys/auth/corp", ROOT, {"type": "ldap"})
        one.ok("PUT", "auth/corp/config", ROOT, config)
        one.ok("PUT", "auth/corp/users/grace", ROOT, {"policies": "maker"})

        def policies() -> list[str]:
            answer = two.call("PUT", "auth/corp/login/grace", "", {"password": "cobol-1959"})
            return answer.json["auth"]["policies"] if answer.status == 200 else []

        awaited(lambda: policies() == ["default", "maker"])
        # A broken file in the way of reloads keeps nobody from seeing what is written.
        (tmp_path / "two" / "gateway.conf").write_text("{ broken")
        two.daemon.wait_for("reload failed")
        one.ok("DELETE", "auth/corp/users/grace")
        awaited(lambda: policies() == ["default"])
        one.ok("DELETE", "sys/auth/corp")
        awaited(lambda: two.call("GET", "sys/auth/corp", ROOT).status == 400)
        assert "written by another process" in two.daemon.log


def test_each_builds_on_what_the_other_has_written(tmp_path: Path) -> None:
    """At once, before anything is polled: a path that the other has taken is taken."""
    given = shared(tmp_path)
    with serving(tmp_path / "one", given) as one, serving(tmp_path / "two", given) as two:
        for number in range(6):
            first, second = (one, two) if number % 2 else (two, one)
            first.ok("POST", f"sys/auth/m{number}", ROOT, {"type": "ldap"})
            assert second.refused("POST", f"sys/auth/m{number}", ROOT, {"type": "ldap"}) == (
                400, f"path is already in use at m{number}/",
            )  # fmt: skip
        two.ok("PUT", "auth/m0/groups/same", ROOT, {"policies": "a"})
        one.ok("PUT", "auth/m0/groups/same", ROOT, {"policies": "a"})
        assert one.ok("GET", "auth/m0/groups/same")["data"] == {"policies": ["a"]}


def test_killed_when_a_write_is_committed(tmp_path: Path) -> None:
    """SIGKILL as soon as a write can be seen in the database, answered or not: it is whole, and in force afterwards."""
    file, database = tmp_path / "gateway.conf", tmp_path / "state" / "gateway.db"
    file.write_text(json.dumps(configuration()))
    daemon = Daemon(tmp_path, files=[file])
    acknowledged: set[str] = set()
    names = itertools.count()

    def write(vault: Vault) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            for number in names:
                vault.ok("PUT", f"auth/local/groups/g{number}", ROOT, {"policies": "p"})
                acknowledged.add(f"g{number}")

    for _ in range(4):
        vault = Vault(daemon.start())
        try:
            assert acknowledged <= groups(vault)
            wanted = generation(database) + 7
            writer = threading.Thread(target=write, args=(vault,))
            writer.start()
            deadline = time.monotonic() + 30
            while generation(database) < wanted and time.monotonic() < deadline:
                pass
        finally:
            daemon.kill()
        writer.join()
    vault = Vault(daemon.start())
    try:
        assert acknowledged
        assert acknowledged <= groups(vault)
        assert len(groups(vault)) == generation(database), "each generation is one write, and all are in force"
    finally:
        assert daemon.stop() == 0


def groups(vault: Vault) -> set[str]:
    answer = vault.call("LIST", "auth/local/groups", ROOT)
    return set(answer.json["data"]["keys"]) if answer.status == 200 else set()


def generation(database: Path) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT number FROM settings_generation").fetchone()[0])

"""DECISIONS 13 at its edges: whose counter a success clears, keys, and a cached login among failures."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.daemon import running
from tests.directories.slapd import BASE_DN, COMPANY, Slapd


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("slapd") / "slapd") as started:
        yield started


def environment(slapd: Slapd, *branches: str, **more: str) -> dict[str, str]:
    servers = [{"name": b, "urls": [slapd.url], "search_base_dns": [f"ou={b},{BASE_DN}"]} for b in branches]
    return {
        "CLEARML__servers": json.dumps(servers),
        "CLEARML__login__floor": "0",
        "CLEARML__lockout__failures": "3",
        **{f"CLEARML__{key}": value for key, value in more.items()},
    }


def test_a_name_on_one_server_wipes_no_guesses_at_another(slapd: Slapd, tmp_path: Path) -> None:
    """Sam Spade, who has the same login as Sam Carter, guesses Carter's password between own logins."""
    with running(tmp_path, environment=environment(slapd, "people", "contractors", login__cache="0")) as daemon:
        for _ in range(2):
            for _ in range(2):
                assert daemon.login("sam", "guess").status == 401
            daemon.login("sam", "falcon")
        assert daemon.login("sam", "stargate").verdict == (401, 22), "Carter's account is locked by now"


def test_guessed_keys_count_for_the_address(slapd: Slapd, tmp_path: Path) -> None:
    services = {"files": {"role": "system", "user_key": "FILES", "user_secret": "a secret"}}
    given = environment(slapd, clearml__credentials=json.dumps(services), lockout__address_failures="3")
    with running(tmp_path, environment=given) as daemon:
        far = {"X-Forwarded-For": "198.51.100.7"}
        assert [daemon.login("FILES", "guess", headers=far).status for _ in range(4)] == [401, 401, 401, 429]
        assert daemon.login("FILES", "a secret", headers=far).status == 429
        assert daemon.login("FILES", "a secret").status == 200


def test_a_cached_login_of_somebody_who_left_waits_for_nobody(tmp_path: Path) -> None:
    """The cache and the realm ask for the same turn; one attempt must not wait for itself."""
    with Slapd.start(COMPANY, directory=tmp_path / "slapd") as slapd:
        given = environment(slapd, "people", lockout__failures="1", session__refresh_interval="0s")
        with running(tmp_path, environment=given) as daemon:
            token = daemon.token("alan", "enigma")
            with slapd.administration() as admin:
                admin.delete(f"uid=alan,ou=people,{BASE_DN}")
            assert daemon.call("/auth.login", bearer=token).verdict == (401, 30)
            assert daemon.login("alan", "enigma", timeout=5).verdict == (401, 22)


def test_counters_are_bounded_and_locks_stay(slapd: Slapd, tmp_path: Path) -> None:
    """lockout.max_entries: a flood of names pushes out other names, never a lock of an account."""
    given = environment(slapd, "people", lockout__max_entries="1000")
    with running(tmp_path, environment=given) as daemon:
        for _ in range(3):
            assert daemon.login("alan", "guess").status == 401
        with ThreadPoolExecutor(8) as threads:
            flood = threads.map(lambda number: daemon.login(f"nobody{number}", "guess").status, range(1200))
            assert set(flood) == {401}
        assert daemon.login("alan", "enigma").verdict == (401, 22)
        daemon.wait_for_event(action="login", user="alan", reason="the name is locked after too many failures")
    with sqlite3.connect(f"file:{tmp_path}/state/gateway.db?mode=ro", uri=True) as rows:
        (count,) = rows.execute("SELECT count(*) FROM failures").fetchone()
    rows.close()
    assert 500 < count <= 1000


def test_a_person_of_many_spellings_has_no_more_guesses_in_modes_without_a_search(slapd: Slapd, tmp_path: Path) -> None:
    """bugzilla.samba.org 14847: there the typed name alone is counted, so what a directory may take for one is one."""
    direct = [{"name": "corp", "urls": [slapd.url], "user_dn": f"ou=people,{BASE_DN}"}]
    with running(tmp_path, environment=environment(slapd, login__cache="0", servers=json.dumps(direct))) as daemon:
        for name in ("jurgen", "JÜRGEN", " júrgen "):
            assert daemon.login(name, "guess").status == 401
        assert daemon.login("jürgen", "pä:ss").verdict == (401, 22)
        daemon.wait_for("the name is locked after too many failures")

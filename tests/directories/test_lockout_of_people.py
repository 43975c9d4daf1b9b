"""DECISIONS 13 at its edges: whose counter a success clears, keys, and a cached login among failures."""

from __future__ import annotations

import json
from collections.abc import Iterator
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

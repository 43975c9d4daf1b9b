"""What people of a directory may try to be taken for somebody else, through a running daemon."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import ldap3
import pytest

from tests.daemon import running
from tests.directories.slapd import BASE_DN, COMPANY, Slapd

PASSWORD = "boss of the directory"
LOCAL_HASH = "$argon2id$v=19$m=8,t=1,p=1$wRlDSJ6MU3WI3L2ssOJxdw$IRPl61uASjb9Me4PNKMQm2z1XUfVspDJRVXCy3k69cI"
"""Of ``boss of the gateway``."""


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("slapd") / "slapd") as started:
        with started.administration() as connection:
            boss = {"uid": "boss", "cn": "Boss", "sn": "Boss", "mail": "boss@example.com", "userPassword": PASSWORD}
            connection.add(f"uid=boss,ou=people,{BASE_DN}", "inetOrgPerson", boss)
            assert connection.result["result"] == ldap3.core.results.RESULT_SUCCESS
        yield started


def environment(slapd: Slapd, users: list[dict[str, str]] | None = None, **server: object) -> dict[str, str]:
    given = {
        "CLEARML__servers": json.dumps([slapd.server(**server)]),
        "CLEARML__login__floor": "0",
        "CLEARML__lockout__address_failures": "3",
    }
    return given | ({"CLEARML__users": json.dumps(users)} if users else {})


# spellings under which the filter finds the directory's boss, of which "boss" itself is the local user's
SPELLINGS = ["boss@example.com", "ｂｏｓｓ", "boss"]


@pytest.mark.parametrize("login", SPELLINGS)
def test_a_local_users_name_is_nobody_elses(slapd: Slapd, tmp_path: Path, login: str) -> None:
    """DECISIONS 1, 2: to whoever sees the name alone, the two would be one person."""
    found_by = "(|(uid=%s)(mail=%s))"
    without, beside = tmp_path / "without", tmp_path / "beside"
    without.mkdir()
    beside.mkdir()
    with running(without, environment=environment(slapd, search_filter=found_by)) as daemon:
        assert daemon.login(login, PASSWORD).status == 200
    local = [{"username": "Boss", "password_hash": LOCAL_HASH}]
    with running(beside, environment=environment(slapd, local, search_filter=found_by)) as daemon:
        assert daemon.login(login, PASSWORD).verdict == (401, 22)
        assert daemon.login("boss", "boss of the gateway").status == 200


@pytest.mark.parametrize("password", [PASSWORD, "wrong"])
def test_whom_the_configuration_refuses_learns_nothing_by_counting(slapd: Slapd, tmp_path: Path, password: str) -> None:
    """DECISIONS 13: a right password counts as a failure where nobody is let in by it."""
    nobody = {"require_mapping": True, "group_mappings": [{"group_dn": "cn=none", "org_role": "Viewer"}]}
    with running(tmp_path, environment=environment(slapd, **nobody)) as daemon:
        far = {"X-Forwarded-For": "198.51.100.7"}
        assert [daemon.login("boss", password, headers=far).status for _ in range(4)] == [401, 401, 401, 429]

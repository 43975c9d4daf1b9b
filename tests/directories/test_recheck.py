"""DECISIONS 11: renewing a token asks the directory, using one does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import ldap3
import pytest

from tests.daemon import Daemon, running
from tests.directories.slapd import BASE_DN, COMPANY, Slapd

ALAN = f"uid=alan,ou=people,{BASE_DN}"


@pytest.fixture
def slapd(tmp_path: Path) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path / "slapd") as started:
        yield started


@pytest.fixture
def admin(slapd: Slapd) -> Iterator[ldap3.Connection]:
    with slapd.administration() as connection:
        yield connection


def environment(slapd: Slapd, refresh: str = "0s", stale: str = "1h", **server: object) -> dict[str, str]:
    given = slapd.server(**{"request_timeout": 1, "clearml": {"groups": {"admins": ["developers"]}}, **server})
    return {
        "CLEARML__servers": json.dumps([given]),
        "CLEARML__session__refresh_interval": refresh,
        "CLEARML__session__max_stale": stale,
    }


def renew(daemon: Daemon, token: str) -> tuple[int, int]:
    return daemon.call("/auth.login", bearer=token).verdict


def test_who_was_removed_gets_no_new_token(slapd: Slapd, admin: ldap3.Connection, tmp_path: Path) -> None:
    with running(tmp_path, environment=environment(slapd)) as daemon:
        token = daemon.token("alan", "enigma")
        assert renew(daemon, token) == (200, 0)
        admin.delete(ALAN)
        assert daemon.user(token)["name"] == "Alan Turing"  # not asked
        assert renew(daemon, token) == (401, 30)
        assert daemon.call("/users.get_current_user", bearer=token).verdict == (401, 30)


def test_a_filter_that_finds_the_person_no_more_ends_renewal(slapd: Slapd, admin: ldap3.Connection, tmp_path: Path) -> None:
    """How a directory without account states says disabled."""
    given = environment(slapd, search_filter="(&(uid=%s)(!(employeeType=left)))")
    with running(tmp_path, environment=given) as daemon:
        token = daemon.token("alan", "enigma")
        admin.modify(ALAN, {"employeeType": [(ldap3.MODIFY_ADD, ["left"])]})
        assert renew(daemon, token) == (401, 30)


def test_lost_groups_are_lost_at_renewal(slapd: Slapd, admin: ldap3.Connection, tmp_path: Path) -> None:
    with running(tmp_path, environment=environment(slapd)) as daemon:
        token = daemon.token("alan", "enigma")
        assert daemon.user(token)["role"] == "admin"
        admin.modify(f"cn=developers,ou=groups,{BASE_DN}", {"member": [(ldap3.MODIFY_DELETE, [ALAN])]})
        assert renew(daemon, token) == (200, 0)
        assert daemon.user(token)["role"] == "user"


def test_a_rehired_name_is_somebody_else(slapd: Slapd, admin: ldap3.Connection, tmp_path: Path) -> None:
    with running(tmp_path, environment=environment(slapd)) as daemon:
        token = daemon.token("alan", "enigma")
        admin.delete(ALAN)
        names = {"uid": "alan", "cn": "Another Alan", "sn": "Alan"}
        admin.add(ALAN, "inetOrgPerson", {**names, "userPassword": "enigma"})
        assert renew(daemon, token) == (401, 30)
        assert daemon.login("alan", "enigma").status == 200
        assert renew(daemon, token) == (401, 30)


def test_within_the_interval_nobody_is_asked(slapd: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, environment=environment(slapd, refresh="5m")) as daemon:
        token = daemon.token("alan", "enigma")
        slapd.stop()
        assert renew(daemon, token) == (200, 0)


# max_stale, verdict of a renewal while the directory is down
STALE = [("1h", (200, 0)), ("0s", (503, 0))]


@pytest.mark.parametrize(("stale", "verdict"), STALE)
def test_the_last_answer_counts_for_a_while(slapd: Slapd, tmp_path: Path, stale: str, verdict: tuple[int, int]) -> None:
    with running(tmp_path, environment=environment(slapd, stale=stale)) as daemon:
        token = daemon.token("alan", "enigma")
        slapd.stop()
        assert renew(daemon, token) == verdict
        assert daemon.user(token)["name"] == "Alan Turing"


def test_single_bind_renews_within_limits(slapd: Slapd, tmp_path: Path) -> None:
    """There is nobody to ask with: recheck is none."""
    given = environment(slapd, bind_dn=f"uid=%s,ou=people,{BASE_DN}", bind_password="")
    with running(tmp_path, environment=given) as daemon:
        token = daemon.token("alan", "enigma")
        slapd.stop()
        assert renew(daemon, token) == (200, 0)

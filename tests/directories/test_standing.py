"""What ends what somebody holds, and what does not: acting for others, renaming, the configuration's and the whitelist's word.

DECISIONS 7, 8, 11; clearml.md 2 and 8.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ldap3
import pytest

from tests.daemon import Answer, Daemon, running
from tests.directories.directory_logins import one_server, renewal, use
from tests.directories.slapd import BASE_DN, COMPANY, Slapd

GOOD, DEAD = (200, 0), (401, 30)
SERVICE = {"svc": {"role": "system", "user_key": "svc-key", "user_secret": "svc-secret-svc-secret"}}
KEYS = {"clearml__credentials": json.dumps(SERVICE)}


@pytest.fixture
def slapd(tmp_path: Path) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path / "slapd") as started:
        yield started


@pytest.fixture
def admin(slapd: Slapd) -> Iterator[ldap3.Connection]:
    with slapd.administration() as connection:
        yield connection


def named(uid: str) -> str:
    return f"uid={uid},ou=people,{BASE_DN}"


def of(slapd: Slapd, changes: dict[str, Any] | None = None, **more: str) -> dict[str, str]:
    given = {"clearml": {"admin_users": ["grace"], "groups": {"admins": ["developers"]}}, **(changes or {})}
    return one_server(slapd.server(**given), **KEYS, **more)


def acting(daemon: Daemon, token: str, user_id: str, header: str = "Impersonate") -> Answer:
    return daemon.call("/auth.login", bearer=token, headers={f"X-Clearml-{header}-As": user_id})


def key_of(daemon: Daemon, token: str) -> tuple[str, str]:
    made = daemon.call("/auth.create_credentials", bearer=token).data["credentials"]
    return made["access_key"], made["secret_key"]


# acting for others


def test_a_token_of_an_actor_makes_no_other(slapd: Slapd, tmp_path: Path) -> None:
    """Else the actor would be whom the first one was made for."""
    with running(tmp_path, environment=of(slapd)) as daemon:
        grace, alan = daemon.token("grace", "cobol-1959"), daemon.token("alan", "enigma")
        ids = [daemon.user(token)["id"] for token in (grace, alan)]
        as_alan = acting(daemon, grace, ids[1]).data["token"]
        for header in ("Impersonate", "Act"):
            for user_id in ids:
                refused = acting(daemon, as_alan, user_id, header)
                assert (*refused.verdict, refused.meta["result_msg"]) == (
                    400, 6, "Impersonation error (this token acts for a user already)")  # fmt: skip


def test_renewal_asks_about_the_actor_too(slapd: Slapd, admin: ldap3.Connection, tmp_path: Path) -> None:
    with running(tmp_path, environment=of(slapd)) as daemon:
        grace, alan = daemon.token("grace", "cobol-1959"), daemon.token("alan", "enigma")
        as_alan = acting(daemon, grace, daemon.user(alan)["id"]).data["token"]
        assert renewal(daemon, as_alan) == GOOD
        admin.delete(named("grace"))
        assert (renewal(daemon, as_alan), use(daemon, as_alan), use(daemon, alan)) == (DEAD, DEAD, GOOD)


def test_an_actor_without_the_role_acts_no_more(slapd: Slapd, admin: ldap3.Connection, tmp_path: Path) -> None:
    with running(tmp_path, environment=of(slapd)) as daemon:
        alan, mary = daemon.token("alan", "enigma"), daemon.token("mary", "forty-two")
        as_mary = acting(daemon, alan, daemon.user(mary)["id"]).data["token"]
        admin.modify(f"cn=developers,ou=groups,{BASE_DN}", {"member": [(ldap3.MODIFY_DELETE, [named("alan")])]})
        assert renewal(daemon, as_mary) == DEAD
        assert (use(daemon, as_mary), use(daemon, alan), use(daemon, mary)) == (DEAD, GOOD, GOOD)


def test_what_is_done_for_others_names_who_did_it(slapd: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, environment=of(slapd)) as daemon:
        grace, alan = daemon.token("grace", "cobol-1959"), daemon.token("alan", "enigma")
        key, _ = key_of(daemon, alan)
        user = daemon.user(alan)
        as_alan = acting(daemon, grace, user["id"]).data["token"]
        renewal(daemon, as_alan)
        assert daemon.wait_for_event(action="token.issue", user="alan", reason="renewal, by corp/grace")
        daemon.call("/auth.revoke_credentials", bearer=as_alan, body=json.dumps({"access_key": key}))
        assert daemon.wait_for_event(action="key.revoke", user="alan", target=key, reason="by corp/grace")
        asked = json.dumps({"user": user["id"], "company": user["company"]["id"]})
        made = daemon.call("/auth.get_token_for_user", basic=("svc-key", "svc-secret-svc-secret"), body=asked).data["token"]
        daemon.call("/auth.logout", bearer=made, method="POST")
        assert daemon.wait_for_event(action="token.revoke", user="alan", reason="by service svc")


def test_nobody_is_proved_longer_than_their_own_login(slapd: Slapd, tmp_path: Path) -> None:
    """A bind mode in which nobody can be asked about anybody."""
    single = {"bind_dn": f"uid=%s,ou=people,{BASE_DN}", "bind_password": ""}
    given = of(slapd, single, tokens__lifetime="3s", tokens__max_lifetime="1d")
    with running(tmp_path, environment=given) as daemon:
        user = daemon.user(daemon.token("alan", "enigma"))
        asked = {"user": user["id"], "company": user["company"]["id"], "expiration_sec": 86400}
        pair = ("svc-key", "svc-secret-svc-secret")

        def made() -> Answer:
            return daemon.call("/auth.get_token_for_user", basic=pair, body=json.dumps(asked))

        assert use(daemon, token := made().data["token"]) == GOOD
        deadline = time.monotonic() + 20
        while (refused := made()).status == 200 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert (*refused.verdict, use(daemon, token)) == (400, 6, DEAD)
        assert refused.meta["result_msg"].startswith("Impersonation error (user has to log in again)")


# renaming


def test_who_is_renamed_keeps_what_they_hold(slapd: Slapd, admin: ldap3.Connection, tmp_path: Path) -> None:
    with running(tmp_path, environment=of(slapd)) as daemon:
        token = daemon.token("alan", "enigma")
        key = key_of(daemon, token)
        before = daemon.user(token)
        admin.modify_dn(named("alan"), "uid=turing")
        admin.modify(named("turing"), {"mail": [(ldap3.MODIFY_REPLACE, ["turing@example.com"])]})
        assert renewal(daemon, token) == GOOD
        assert daemon.login(*key).status == 200
        after = daemon.user(token)
        assert (after["name"], after["id"] == before["id"]) == (before["name"], False)  # made of the name: DECISIONS 1
        admin.add(named("alan"), "inetOrgPerson", {"uid": "alan", "cn": "Another", "sn": "A", "userPassword": "x"})
        assert renewal(daemon, token) == GOOD
        assert daemon.user(token)["name"] == before["name"]
        admin.delete(named("turing"))
        assert (renewal(daemon, token), daemon.login(*key).verdict) == (DEAD, (401, 22))


def test_renamed_out_of_what_a_login_finds(slapd: Slapd, admin: ldap3.Connection, tmp_path: Path) -> None:
    """The entry is there, but search_filter no longer lets it in under any name."""
    with running(tmp_path, environment=of(slapd, {"search_filter": "(&(uid=%s)(!(employeeType=left)))"})) as daemon:
        token = daemon.token("alan", "enigma")
        admin.modify_dn(named("alan"), "uid=turing")
        admin.modify(named("turing"), {"employeeType": [(ldap3.MODIFY_ADD, ["left"])]})
        assert renewal(daemon, token) == DEAD


# the configuration's word


def test_who_is_refused_holds_nothing_until_let_in_again(slapd: Slapd, admin: ldap3.Connection, tmp_path: Path) -> None:
    """require_mapping: what the directory says decides, and a key finds out by itself that it says something else."""
    group, member = f"cn=developers,ou=groups,{BASE_DN}", [named("alan")]
    mapped = {"require_mapping": True, "group_mappings": [{"group_dn": group, "clearml_role": "superuser"}]}
    with running(tmp_path, environment=of(slapd, mapped)) as daemon:
        token = daemon.token("alan", "enigma")
        key = key_of(daemon, token)
        admin.modify(group, {"member": [(ldap3.MODIFY_DELETE, member)]})
        assert (renewal(daemon, token), use(daemon, token), daemon.login(*key).verdict) == (DEAD, DEAD, (401, 22))
        admin.modify(group, {"member": [(ldap3.MODIFY_ADD, member)]})
        assert daemon.login(*key).status == 200
        assert use(daemon, token) == GOOD


def test_a_login_that_is_refused_ends_what_was_held(slapd: Slapd, admin: ldap3.Connection, tmp_path: Path) -> None:
    group = f"cn=developers,ou=groups,{BASE_DN}"
    mapped = {"require_mapping": True, "group_mappings": [{"group_dn": group, "clearml_role": "superuser"}]}
    with running(tmp_path, environment=of(slapd, mapped, session__refresh_interval="1h")) as daemon:
        token = daemon.token("alan", "enigma")
        admin.modify(group, {"member": [(ldap3.MODIFY_DELETE, [named("alan")])]})
        assert (daemon.login("alan", "enigma").verdict, use(daemon, token)) == ((401, 22), DEAD)


def test_the_whitelist_counts_at_use(slapd: Slapd, admin: ldap3.Connection, tmp_path: Path) -> None:
    """A domain that is withdrawn ends what its people hold, and so does an address that is no longer theirs."""
    with running(tmp_path, environment=of(slapd, {"clearml": {}}, clearml__registration="whitelist")) as daemon:

        def listed(endpoint: str, **fields: object) -> Answer:
            return daemon.call(f"/login.{endpoint}", basic=("svc-key", "svc-secret-svc-secret"), body=json.dumps(fields))

        listed("set_domains", domains=["example.com"])
        listed("add_whitelist_entries", emails=["grace@example.com"], role="admin")
        alan, grace = daemon.token("alan", "enigma"), daemon.token("grace", "cobol-1959")
        key = key_of(daemon, alan)
        listed("set_domains", domains=[])
        assert (use(daemon, alan), daemon.login(*key).verdict, use(daemon, grace)) == (DEAD, (401, 22), GOOD)
        listed("add_whitelist_entries", emails=["alan@example.com"])
        assert use(daemon, alan) == DEAD  # a pending entry is nobody's yet
        assert daemon.login(*key).status == 200
        assert use(daemon, alan) == GOOD
        admin.modify(named("grace"), {"mail": [(ldap3.MODIFY_REPLACE, ["grace@elsewhere.org"])]})
        assert (renewal(daemon, grace), use(daemon, grace)) == (DEAD, DEAD)
        admin.modify(named("grace"), {"mail": [(ldap3.MODIFY_REPLACE, ["grace@example.com"])]})
        assert daemon.user(daemon.token("grace", "cobol-1959"))["role"] == "admin"


def test_whitelist_mode_begins(slapd: Slapd, tmp_path: Path) -> None:
    """Who was never invited is let in no more by what they hold."""
    with running(tmp_path, environment=of(slapd)) as daemon:
        token = daemon.token("alan", "enigma")
    with running(tmp_path, environment=of(slapd, clearml__registration="whitelist")) as daemon:
        assert (use(daemon, token), renewal(daemon, token)) == (DEAD, DEAD)

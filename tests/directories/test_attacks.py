"""What hostile testers got through with, one row or test each, so that nobody does again."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import ldap3
import pytest

from gateway.store.sealing import Sealer, load_master_key
from gateway.store.sqlite import SqliteStore
from tests.daemon import Daemon, running
from tests.directories.slapd import BASE_DN, COMPANY, Slapd
from tests.serve.test_clearml_protocol import password_hash

TWINS = f"""
dn: uid=strasse,ou=people,{BASE_DN}
objectClass: inetOrgPerson
uid: strasse
cn: Boss Strasse
sn: Strasse
displayName: Boss Strasse
userPassword: initial

dn: uid=straße,ou=people,{BASE_DN}
objectClass: inetOrgPerson
uid: straße
cn: Other Straße
sn: Straße
displayName: Other Straße
userPassword: initial
"""
FAR = {"X-Forwarded-For": "198.51.100.7"}


@pytest.fixture
def slapd(tmp_path: Path) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, TWINS, directory=tmp_path / "slapd") as started:
        yield started


@pytest.fixture
def admin(slapd: Slapd) -> Iterator[ldap3.Connection]:
    with slapd.administration() as connection:
        yield connection


def server(slapd: Slapd, **changes: object) -> dict[str, object]:
    return slapd.server(**{"request_timeout": 2, "clearml": {"admin_users": ["grace"]}, **changes})


def variables(*servers: dict[str, object], **changes: str) -> dict[str, str]:
    return {
        "CLEARML__servers": json.dumps(servers),
        "CLEARML__login__floor": "0",
        "CLEARML__login__cache": "0",
        "CLEARML__session__refresh_interval": "0",
        **{f"CLEARML__{key}": value for key, value in changes.items()},
    }


def impersonating(daemon: Daemon, token: str, user_id: str, path: str = "/auth.login") -> Any:
    return daemon.call(path, bearer=token, headers={"X-Clearml-Impersonate-As": user_id})


def test_a_reset_makes_nobody_trusted(slapd: Slapd, tmp_path: Path) -> None:
    """uvloop forgets the address of a peer that reset its connection; its X-Forwarded-For must not be believed then."""
    head = "GET /auth.login HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YWRhOng=\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n"
    with running(tmp_path, environment=variables(server(slapd))) as daemon:
        for _ in range(30):
            with socket.socket() as stranger:
                stranger.bind(("127.0.0.2", 0))
                stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                stranger.connect(("127.0.0.1", daemon.port))
                stranger.sendall(head.encode())
        daemon.login("ada", "x", headers=FAR)
        daemon.wait_for_event(action="login", client="198.51.100.7")
        assert not [event for event in daemon.events if event["client"] == "203.0.113.7"]


def test_a_single_bind_must_find_whom_it_bound_as(slapd: Slapd, tmp_path: Path) -> None:
    hosts = server(
        slapd,
        bind_dn=f"uid=%s,ou=contractors,{BASE_DN}",
        bind_password="",
        search_base_dns=[f"ou=people,{BASE_DN}", f"ou=contractors,{BASE_DN}"],
    )
    with running(tmp_path, environment=variables(hosts)) as daemon:
        assert daemon.login("sam", "falcon").verdict == (401, 22)
        daemon.wait_for("but search_filter finds uid=sam,ou=people")


def test_a_single_bind_renewal_prolongs_nothing(slapd: Slapd, tmp_path: Path) -> None:
    hosts = server(slapd, bind_dn=f"uid=%s,ou=people,{BASE_DN}", bind_password="")
    with running(tmp_path, environment=variables(hosts)) as daemon:
        token = daemon.token("alan", "enigma")
        renewed = daemon.call("/auth.login?expiration_sec=31536000", bearer=token).data["token"]
        ends = [jwt.decode(text, options={"verify_signature": False})["exp"] for text in (token, renewed)]
        assert ends[1] <= ends[0]


@pytest.mark.parametrize("broken", [{"search_base_dns": ["ou=typo,dc=example,dc=com"]}, {"urls": ["ldap://127.0.0.1:1"]}])
def test_guesses_count_whatever_another_server_does(slapd: Slapd, tmp_path: Path, broken: dict[str, object]) -> None:
    other = server(slapd, name="other", **broken)
    with running(tmp_path, environment=variables(server(slapd), other, lockout__failures="3")) as daemon:
        for _ in range(3):
            assert daemon.login("alan", "guess").status in (401, 500)
        assert daemon.login("alan", "enigma").status != 200


@pytest.mark.parametrize("kind", ["search_base_dns", "group_search_base_dns"])
def test_two_bases_of_a_dead_directory(slapd: Slapd, tmp_path: Path, kind: str) -> None:
    bases = [f"ou=people,{BASE_DN}", f"ou=contractors,{BASE_DN}"]
    hosts = server(slapd, **{kind: bases}, group_search_filter="(member=%s)", group_search_filter_user_attribute="dn")
    with running(tmp_path, environment=variables(hosts)) as daemon:
        assert daemon.login("alan", "enigma").status == 200
        slapd.kill()
        answer = daemon.login("alan", "enigma")
        assert answer.verdict == (503, 0)
        assert answer.headers["Retry-After"]
        assert "Traceback" not in daemon.log


def test_a_removed_administrator_does_not_live_on_in_others(
    slapd: Slapd, admin: ldap3.Connection, tmp_path: Path
) -> None:
    with running(tmp_path, environment=variables(server(slapd), admins="user:corp/linus")) as daemon:
        alan = daemon.user(daemon.token("alan", "enigma"))["id"]
        linus = daemon.user(daemon.token("linus", "dontpanic"))["id"]
        grace = daemon.token("grace", "cobol-1959")
        made = impersonating(daemon, grace, alan).data["token"]
        assert daemon.user(made)["id"] == alan
        assert daemon.wait_for_event(action="token.issue", user="grace", reason="acting for corp/alan")
        as_linus = impersonating(daemon, grace, linus).data["token"]
        assert jwt.decode(as_linus, options={"verify_signature": False})["act"]["sub"]
        admin.delete(f"uid=grace,ou=people,{BASE_DN}")
        assert impersonating(daemon, grace, alan).verdict == (401, 30)
        for dead in (grace, made, as_linus):
            assert daemon.call("/users.get_current_user", bearer=dead).verdict == (401, 30)


async def test_a_whitelisted_role_stays_and_belongs_to_one(
    slapd: Slapd, admin: ldap3.Connection, tmp_path: Path
) -> None:
    """clearml.md 8: the entry's role survives renewal; a second person with the same address is not invited."""
    environment = variables(server(slapd), clearml__registration="whitelist")
    with running(tmp_path, environment=environment) as daemon:
        state = tmp_path / "state"
        store = SqliteStore.open(state / "gateway.db", sealer=Sealer(load_master_key(state, None)))
        await store.whitelist_add({"alan@example.com": "guest"}, int(time.time()), "test")
        await store.close()
        assert daemon.login("linus", "dontpanic").verdict == (401, 22)
        token = daemon.token("alan", "enigma")
        assert daemon.user(token)["role"] == "guest"
        renewed = daemon.call("/auth.login", bearer=token).data["token"]
        assert daemon.user(renewed)["role"] == "guest"
        admin.modify(f"uid=bare,ou=people,{BASE_DN}", {"mail": [(ldap3.MODIFY_ADD, ["alan@example.com"])]})
        assert daemon.login("bare", "minimum").verdict == (401, 22)
        assert daemon.login("alan", "enigma").status == 200


def test_renewal_finds_people_as_the_login_did(slapd: Slapd, admin: ldap3.Connection, tmp_path: Path) -> None:
    """By the name that was typed, and wherever below the bases the entry has moved to."""
    hosts = server(slapd, search_filter="(employeeNumber=%s)", search_base_dns=[BASE_DN])
    with running(tmp_path, environment=variables(hosts)) as daemon:
        token = daemon.token("1906", "cobol-1959")
        assert daemon.call("/auth.login", bearer=token).status == 200
        admin.modify_dn(f"uid=grace,ou=people,{BASE_DN}", "uid=grace", new_superior=f"ou=contractors,{BASE_DN}")
        assert daemon.call("/auth.login", bearer=token).status == 200


def test_two_people_whom_case_folding_makes_one(slapd: Slapd, tmp_path: Path) -> None:
    hosts = server(slapd, clearml={"admin_users": ["strasse"]})
    with running(tmp_path, environment=variables(hosts, login__cache="30s")) as daemon:
        other = daemon.user(daemon.token("straße", "initial"))
        boss = daemon.user(daemon.token("strasse", "initial"))
        assert (other["name"], other["role"]) == ("Other Straße", "user")
        assert (boss["name"], boss["role"]) == ("Boss Strasse", "admin")
        assert other["id"] != boss["id"]


def test_a_burst_does_not_pass_the_address_limit(slapd: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, environment=variables(server(slapd), lockout__address_failures="5")) as daemon:
        with ThreadPoolExecutor(40) as threads:
            statuses = list(threads.map(lambda n: daemon.login(f"nobody{n}", "x", headers=FAR).status, range(80)))
        assert statuses.count(401) == 5
        assert statuses.count(429) == 75


def test_a_proxy_is_no_client(slapd: Slapd, tmp_path: Path) -> None:
    with running(tmp_path, environment=variables(server(slapd), lockout__address_failures="3")) as daemon:
        assert {daemon.login(f"nobody{n}", "x").status for n in range(6)} == {401}
        assert daemon.login("alan", "enigma").status == 200


def test_a_lock_of_the_entry_beats_a_remembered_login(slapd: Slapd, tmp_path: Path) -> None:
    hosts = server(slapd, search_filter="(|(uid=%s)(mail=%s))")
    with running(tmp_path, environment=variables(hosts, login__cache="60s", lockout__failures="2")) as daemon:
        assert daemon.login("alan", "enigma").status == 200
        for _ in range(2):
            assert daemon.login("alan@example.com", "guess").status == 401
        assert daemon.login("alan", "enigma").verdict == (401, 22)


def test_a_hung_directory_keeps_no_local_user_waiting(slapd: Slapd, tmp_path: Path) -> None:
    local = json.dumps([{"username": "ada", "password_hash": password_hash("lovelace")}])
    environment = variables(server(slapd, request_timeout=8, login_timeout=8), users=local, login__concurrency="2")
    with running(tmp_path, environment=environment) as daemon:
        assert daemon.login("alan", "enigma").status == 200
        slapd.pause()
        waiting = [threading.Thread(target=daemon.login, args=("alan", "enigma")) for _ in range(4)]
        for thread in waiting:
            thread.start()
        time.sleep(0.5)
        started = time.monotonic()
        assert daemon.login("ada", "lovelace").status == 200
        assert time.monotonic() - started < 4
        slapd.resume()
        for thread in waiting:
            thread.join(20)


def test_root_crosses_companies_and_admins_do_not(slapd: Slapd, tmp_path: Path) -> None:
    """clearml.md 2."""
    elsewhere = server(slapd, clearml={"default_company": "e" * 32})
    users = json.dumps([{"username": "ada", "password_hash": password_hash("lovelace"), "clearml_role": "admin"}])
    services = json.dumps({"root": {"role": "root", "user_key": "ROOT", "user_secret": "root-secret"}})
    with running(tmp_path, environment=variables(elsewhere, users=users, clearml__credentials=services)) as daemon:
        alan = daemon.user(daemon.token("alan", "enigma"))["id"]
        root, ada = daemon.token("ROOT", "root-secret"), daemon.token("ada", "lovelace")
        assert impersonating(daemon, root, alan, "/users.get_current_user").data["user"]["id"] == alan
        assert impersonating(daemon, ada, alan).verdict == (400, 6)
        assert impersonating(daemon, ada, "\xff\xfe").verdict == (400, 6)


def test_a_cookie_from_elsewhere_changes_no_cookie(slapd: Slapd, tmp_path: Path) -> None:
    """DECISIONS 29: neither shortened, nor prolonged, nor removed."""
    with running(tmp_path, environment=variables(server(slapd))) as daemon:
        cookie = {"Cookie": f"clearml_token_basic={daemon.token('alan', 'enigma')}"}
        foreign = {"Sec-Fetch-Site": "cross-site"}
        renewed = daemon.call("/auth.login?expiration_sec=1", headers={**cookie, **foreign})
        assert (renewed.status, renewed.headers["Set-Cookie"]) == (200, None)
        ours = daemon.call("/auth.login", method="POST", headers={**cookie, "Sec-Fetch-Site": "same-origin"})
        assert ours.headers["Set-Cookie"]
        assert daemon.call("/login.logout", method="POST", headers=foreign).headers["Set-Cookie"] is None
        evil = {"Origin": "https://evil.example"}
        assert daemon.call("/login.logout", method="POST", headers=evil).headers["Set-Cookie"] is None


def test_a_second_encoding_is_seen(slapd: Slapd, tmp_path: Path) -> None:
    head = b"POST /debug.ping HTTP/1.1\r\nHost: x\r\nContent-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"
    with running(tmp_path) as daemon, socket.create_connection(("127.0.0.1", daemon.port), timeout=5) as connection:
        connection.sendall(head)
        assert b" 415 " in connection.recv(100)


def test_a_list_of_groups_cut_short_is_no_list(tmp_path: Path) -> None:
    """slapd answers 500 entries at most by default: who knows which; no role may hang on that."""
    everyone = "".join(
        f"\ndn: cn=g{number},ou=groups,{BASE_DN}\nobjectClass: groupOfNames\ncn: g{number}\n"
        f"member: uid=alan,ou=people,{BASE_DN}\n"
        for number in range(600)
    )
    with Slapd.start(COMPANY, everyone, directory=tmp_path / "slapd") as slapd:
        hosts = server(slapd, group_search_filter="(member=%s)", group_search_filter_user_attribute="dn")
        hosts["group_search_base_dns"] = [f"ou=groups,{BASE_DN}"]
        with running(tmp_path, environment=variables(hosts)) as daemon:
            assert daemon.login("alan", "enigma").verdict == (500, 0)
            daemon.wait_for("size limit cuts the answer short")
            assert daemon.login("grace", "cobol-1959").status == 200


def test_a_name_without_end_is_cut(slapd: Slapd, admin: ldap3.Connection, tmp_path: Path) -> None:
    admin.modify(f"uid=alan,ou=people,{BASE_DN}", {"displayName": [(ldap3.MODIFY_REPLACE, ["x" * 500_000])]})
    with running(tmp_path, environment=variables(server(slapd))) as daemon:
        assert len(daemon.user(daemon.token("alan", "enigma"))["name"]) == 1024

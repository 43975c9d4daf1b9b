"""Grafana's diagnostic API on a real slapd and an unedited ``ldap.toml`` (grafana.md 3)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import jsonschema
import ldap3
import pytest
import yaml

from gateway.directory.local_users import hash_password
from gateway.serve.openapi import DOCUMENT
from tests.admin_client import by_socket
from tests.daemon import Daemon, running
from tests.directories.slapd import BASE_DN, COMPANY, SERVICE_DN, SERVICE_PASSWORD, Slapd
from tests.directories.test_openldap_states import OTHERS, PERSON, STATES_LDIF, PolicySlapd

GROUPS = f"ou=groups,{BASE_DN}"
ADMIN = ("root", "lovelace")
LDAP_TOML = f"""
[[servers]]
host = "127.0.0.1 localhost"
port = PORT
bind_dn = "{SERVICE_DN}"
bind_password = "{SERVICE_PASSWORD}"
search_filter = "(uid=%s)"
search_base_dns = ["ou=people,{BASE_DN}"]
[servers.attributes]
username = "uid"
name = "givenName"
surname = "SN"
email = "mail"
member_of = "memberOf"
[[servers.group_mappings]]
group_dn = "CN=admins,{GROUPS}"
org_role = "Admin"
grafana_admin = true
[[servers.group_mappings]]
group_dn = "cn=developers,{GROUPS}"
org_role = "Editor"
org_id = 2
[[servers.group_mappings]]
group_dn = "*"
org_role = "Viewer"

[[servers]]
host = "127.0.0.1"
port = CLOSED
bind_dn = "uid=%s,ou=people,{BASE_DN}"
search_filter = "(uid=%s)"
search_base_dns = ["ou=people,{BASE_DN}"]
[servers.attributes]
username = "uid"
"""
OWN: dict[str, Any] = {
    "users": [
        {"username": name, "password_hash": hash_password("lovelace")} for name in ("root", "ada", "alan-local", "reload")
    ],
    "admins": ["user:root"],
    "login": {"floor": 0},
    "lockout": {"address_failures": 1000},
    "reload": {"watch": False},
}
PREFIX = "/api/admin/ldap"
PATHS = yaml.safe_load(DOCUMENT)["paths"]


def conforms(path: str, answer: Any) -> None:
    """To the openapi.yaml that is served."""
    described = PATHS[f"{PREFIX}/{path}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(answer, described)


@dataclass
class Site:
    daemon: Daemon
    slapd: Slapd
    files: list[Path]

    def get(self, path: str, **options: Any) -> tuple[int, Any]:
        answer = self.daemon.call(f"{PREFIX}/{path}", **{"basic": ADMIN, **options})
        assert answer.headers["Content-Type"] == "application/json"
        return answer.status, answer.json

    def post(self, path: str) -> tuple[int, Any]:
        return self.get(path, method="POST", body="")


@contextmanager
def site_in(directory: Path) -> Iterator[Site]:
    """A daemon that was given ``LDAP_TOML``, on a slapd of its own."""
    with Slapd.start(COMPANY, directory=directory / "slapd") as slapd, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and never listens
        text = LDAP_TOML.replace("PORT", str(slapd.port)).replace("CLOSED", str(closed.getsockname()[1]))
        files = [directory / "ldap.toml", directory / "own.yaml"]
        files[0].write_text(text)
        files[1].write_text(json.dumps(OWN))
        with running(directory, files=files) as daemon:
            yield Site(daemon, slapd, files)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site_in(tmp_path_factory.mktemp("diagnostics")) as opened:
        yield opened


def attribute(configured: str, value: str) -> dict[str, str]:
    return {"cfgAttrValue": configured, "ldapValue": value}


def role(org: int, name: str, group: str) -> dict[str, Any]:
    return {"orgId": org, "orgName": "", "orgRole": name, "groupDN": group}


# login as it is asked for, name, surname, email, login as it is stored, administrator, roles
PEOPLE = [
    ("grace", "Grace", "Hopper", "grace@example.com", "grace", True, [
        role(1, "Admin", f"CN=admins,{GROUPS}"),
        role(0, "", f"cn=research\\, development,{GROUPS}"),
    ]),
    ("ALAN", "Alan", "Turing", "alan@example.com", "alan", False, [
        role(2, "Editor", f"cn=developers,{GROUPS}"), role(1, "Viewer", "*"),
    ]),
    ("j%C3%BCrgen", "Jürgen", "Müßig", "juergen@example.com", "jürgen", False, [
        role(2, "Editor", f"cn=developers,{GROUPS}"), role(1, "Viewer", "*"),
    ]),
    # Trap 9: no first name, no mail.
    ("bare", "", "Bare", "", "bare", False, [role(1, "Viewer", "*")]),
    # 2.3: special in a filter; %2A is decoded once.
    ("o%2A%28brien%29", "Miles", "O'Brien", "obrien@example.com", "o*(brien)", False, [role(1, "Viewer", "*")]),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "name", "surname", "email", "login", "admin", "roles"), PEOPLE, ids=[p[4] for p in PEOPLE])
def test_a_person(
    site: Site, asked: str, name: str, surname: str, email: str, login: str, admin: bool, roles: list[dict[str, Any]]
) -> None:
    """3, 2.4-2.6; and ``explain login`` says the same."""
    status, found = site.get(asked)
    assert (status, found) == (200, {
        "name": attribute("givenName", name), "surname": attribute("SN", surname), "email": attribute("mail", email),
        "login": attribute("uid", login), "isGrafanaAdmin": admin, "isDisabled": False, "roles": roles, "teams": None,
    })  # fmt: skip
    conforms("{login}", found)
    told = explained(site, login)
    assert told["account"]["username"] == login
    assert told["account"]["email"] == found["email"]["ldapValue"]
    assert told["account"]["name"] == f"{name} {surname}".strip()
    assert told["grant"]["grafana_admin"] is found["isGrafanaAdmin"]
    assert told["grant"]["org_roles"] == {str(one["orgId"]): one["orgRole"] for one in found["roles"] if one["orgId"]}
    groups = {group["value"].lower() for group in told["account"]["groups"]}
    assert groups == {one["groupDN"].lower() for one in found["roles"]} - {"*"}


def explained(site: Site, login: str) -> Any:
    command = [sys.executable, "-m", "gateway", "explain", "login", "--json", login]
    for file in site.files:
        command += ["-c", str(file)]
    done = subprocess.run(command, capture_output=True, check=True, env={"PATH": os.environ["PATH"]}, timeout=60)
    return json.loads(done.stdout)["servers"][0]


UNKNOWN = (404, {"message": "No user was found in the LDAP server(s) with that username"})
# path, answer: nobody, a pattern, twice encoded, two people of one login, a local user, a key's form, then paths
NOBODY = [
    ("nobody", UNKNOWN),
    ("al%2A", UNKNOWN),
    ("j%25C3%25BCrgen", UNKNOWN),
    ("alan-local", UNKNOWN),
    ("A" * 30, UNKNOWN),
    ("reload", UNKNOWN),  # a login like any other
    ("%73tatus", UNKNOWN),  # so is this
    ("%FF", (400, {"message": "the name is not valid UTF-8"})),
    ("%00", (400, {"message": "no usable name"})),
    ("%20", (400, {"message": "no usable name"})),
    ("a" * 1025, (400, {"message": "no usable name"})),
    ("", (404, {"message": "Not found"})),
    ("sync/x", (404, {"message": "Not found"})),
]


@pytest.mark.parametrize(("path", "answer"), NOBODY, ids=[str(place) for place in range(len(NOBODY))])
def test_nobody(site: Site, path: str, answer: tuple[int, Any]) -> None:
    """3: 404, without a query for what can be nobody's login."""
    assert site.get(path) == answer


def test_status(site: Site) -> None:
    """3: each block in order, the host as it is written; a dead one is still 200 (trap 1)."""
    status, blocks = site.get("status")
    assert status == 200
    conforms("status", blocks)
    assert blocks[0] == {"host": "127.0.0.1 localhost", "port": site.slapd.port, "available": True, "error": ""}
    assert (blocks[1]["host"], blocks[1]["available"], len(blocks)) == ("127.0.0.1", False, 2)
    assert "refused" in blocks[1]["error"]


# what is sent, status, message
CALLERS: list[tuple[dict[str, Any], int, str]] = [
    ({"basic": None}, 401, "Unauthorized"),
    ({"basic": ("root", "wrong")}, 401, "Invalid username or password"),
    ({"basic": None, "bearer": "x.y.z"}, 401, "Invalid username or password"),
    ({"basic": ("ada", "lovelace")}, 403, "Permission denied"),
    ({"basic": ("alan", "enigma")}, 403, "Permission denied"),
]


@pytest.mark.parametrize(("sent", "status", "message"), CALLERS, ids=[str(place) for place in range(len(CALLERS))])
def test_callers(site: Site, sent: dict[str, Any], status: int, message: str) -> None:
    """3: administrators alone, for each of the four."""
    for method, path in (("GET", "status"), ("GET", "alan"), ("POST", "reload"), ("POST", "sync/alan")):
        assert site.get(path, method=method, **sent) == (status, {"message": message})


# method, path, action, whom
REFUSED = [
    ("GET", "status", "directory.status", ""),
    ("GET", "j%C3%BCrgen", "directory.look_up", "jürgen"),
    ("GET", "status%FF", "directory.look_up", "status\N{REPLACEMENT CHARACTER}"),
    ("GET", "a" * 2000, "directory.look_up", "a" * 256),
    ("POST", "sync/ldap%2Fseven", "directory.sync", "ldap/seven"),
    ("POST", "reload", "configuration.reload", ""),
    ("DELETE", "alan", "admin /api/admin/ldap/alan", ""),
]


@pytest.mark.parametrize(("method", "path", "action", "whom"), REFUSED, ids=[f"{row[0]} {row[2]}" for row in REFUSED])
def test_refusals_are_audited_as_answers_are(site: Site, method: str, path: str, action: str, whom: str) -> None:
    """DECISIONS 33: one action for one question, whoever asks; and what somebody lacks is told as ``admins`` has it."""
    for user, password, server, name in (("alan", "enigma", "ldap", "ldap/alan"), ("ada", "lovelace", "local", "ada")):
        assert site.get(path, method=method, basic=(user, password))[0] == 403
        event = site.daemon.wait_for_event(action=action, user=user, outcome="failure", target=whom)
        assert event["server"] == server
        assert event["reason"] == f"not an administrator: admins names neither user:{name} nor one of their groups"


def test_the_admin_socket(site: Site) -> None:
    """DECISIONS 26: the way in where every administrator's own directory is what is down."""
    directory = site.daemon.directory
    blocks = by_socket(directory, f"{PREFIX}/status")
    assert (blocks.status, [one["available"] for one in blocks.json]) == (200, [True, False])
    person = by_socket(directory, f"{PREFIX}/grace")
    assert (person.status, person.json["login"]["ldapValue"]) == (200, "grace")
    assert by_socket(directory, f"{PREFIX}/reload", "POST").json == {"message": "LDAP config reloaded"}
    assert by_socket(directory, f"{PREFIX}/sync/nobody", "POST").json == {"message": "user not found"}
    assert by_socket(directory, f"{PREFIX}/status", "PUT").status == 405
    assert by_socket(directory, "/auth.login").status == 404
    assert site.daemon.wait_for_event(action="directory.look_up", user=f"uid {os.geteuid()}", target="ldap/grace")


def test_cookies_and_other_sites(site: Site) -> None:
    """DECISIONS 29: a cookie is nobody here, and what another site made a browser send does nothing."""
    token = site.daemon.token(*ADMIN)
    cookie = {"headers": {"Cookie": f"clearml_token_basic={token}"}, "basic": None}
    assert site.get("status", **cookie) == (401, {"message": "Unauthorized"})
    assert site.get("status", bearer=token, basic=None)[0] == 200
    elsewhere = {"headers": {"Origin": "https://evil.example"}, "method": "POST", "body": ""}
    assert site.get("reload", **elsewhere) == (403, {"message": "Permission denied"})
    assert site.get("status", method="PUT")[0] == 405


def test_reload(site: Site) -> None:
    """3: 500 and the old configuration stays, then the new one counts."""
    before = site.files[0].read_text()
    try:
        site.files[0].write_text(before.replace('org_role = "Admin"', 'org_role = "Owner"'))
        status, data = site.post("reload")
        assert status == 500
        assert data["message"].startswith("Failed to reload LDAP config: ")
        assert "Owner" in data["message"] or "Viewer, Editor, Admin" in data["message"]
        assert SERVICE_PASSWORD not in data["message"]
        assert site.get("grace")[1]["roles"][0]["orgRole"] == "Admin"
        site.files[0].write_text(before.replace('org_role = "Admin"', 'org_role = "Editor"'))
        assert site.post("reload") == (200, {"message": "LDAP config reloaded"})
        assert site.get("grace")[1]["roles"][0]["orgRole"] == "Editor"
        site.files[0].write_text(before)
        site.files[1].write_text(json.dumps({**OWN, "grafana": {"skip_org_role_sync": True}}))
        assert site.post("reload")[0] == 200
        found = site.get("grace")[1]
        assert (found["isGrafanaAdmin"], {role["orgId"] for role in found["roles"]}) == (False, {0})
    finally:
        site.files[0].write_text(before)
        site.files[1].write_text(json.dumps(OWN))
        assert site.post("reload")[0] == 200
    assert site.daemon.wait_for_event(action="configuration.reload", user="root", outcome="success")


def test_a_refused_service_account_is_told_loudly(site: Site) -> None:
    """Trap 2: it looks like nothing at all to the one who logs in."""
    before = site.files[0].read_text()
    try:
        site.files[0].write_text(before.replace(SERVICE_PASSWORD, "planted-wrong"))
        assert site.post("reload")[0] == 200
        status, data = site.get("grace")
        assert (status, SERVICE_DN in data["message"]) == (503, True)
        assert site.get("status")[1][0]["available"] is True  # nothing but a connection is tried
        told = [json.loads(line) for line in site.daemon.log.splitlines() if "a look-up for an administrator" in line]
        assert [(line["level"], SERVICE_DN in line["message"]) for line in told] == [("error", True)]
        assert "planted-wrong" not in site.daemon.log + data["message"]
    finally:
        site.files[0].write_text(before)
        assert site.post("reload")[0] == 200
    assert site.get("grace")[0] == 200


def test_servers_that_bind_as_the_person(site: Site) -> None:
    """2.2, single bind: nobody is looked up without a password, and that is said."""
    before = site.files[0].read_text()
    try:
        site.files[0].write_text(before[before.index("[[servers]]", before.index("*")) :])
        assert site.post("reload")[0] == 200
        told = (400, {"message": "The servers bind as the person, and look nobody up without a password"})
        assert site.get("grace") == told
    finally:
        site.files[0].write_text(before)
        assert site.post("reload")[0] == 200


NOT_IN = (400, {"message": "User not found in LDAP, or not let in any more. What was issued to them counts no longer"})


def test_sync(site: Site) -> None:
    """3: 200, 404, and 400 of who has gone; what they hold is refused from then on (traps 12, 13)."""
    unknown = (404, {"message": "user not found"})
    assert site.post("sync/seven") == unknown  # has never logged in
    assert site.post("sync/ada") == unknown  # local
    assert site.post("sync/" + "0" * 32) == unknown
    token = site.daemon.token("seven", "sieben")
    dn = f"cn=\\#7 \\+ Söhne,ou=people,{BASE_DN}"
    with site.slapd.administration() as connection:
        connection.modify(dn, {"givenName": [(ldap3.MODIFY_ADD, ["Seven"])]})
    assert site.daemon.user(token)["name"] == "Söhne"
    assert site.post("sync/seven") == (200, {"message": "User synced successfully"})
    assert site.post("sync/ldap%2Fseven")[0] == 200
    assert site.daemon.user(token)["name"] == "Seven Söhne"
    with site.slapd.administration() as connection:
        connection.delete(dn)
    assert site.post("sync/seven") == NOT_IN
    assert site.daemon.call("/users.get_current_user", bearer=token).status == 401
    assert site.post("sync/seven") == NOT_IN
    assert site.daemon.wait_for_event(action="directory.sync", outcome="failure", target="ldap/seven", user="root")


def test_a_flood_is_bounded_and_logins_go_on(site: Site) -> None:
    """Eighty look-ups while the directory hangs: some wait, the others are told to come back."""
    site.slapd.pause()
    try:
        with ThreadPoolExecutor(80) as threads:
            answers = [threads.submit(site.get, "alan") for _ in range(80)]
            logins = [threads.submit(site.daemon.login, *ADMIN) for _ in range(3)]
            assert [one.result().status for one in logins] == [200] * 3
            turned_away = islice(as_completed(answers, timeout=20), 80 - 36)
            assert {answer.result()[0] for answer in turned_away} == {429}
            site.slapd.resume()
            found = [answer.result()[0] for answer in answers]
    finally:
        site.slapd.resume()
    assert sorted(found) == [200] * (4 + 32) + [429] * (80 - 36)


def test_a_dead_directory(site: Site) -> None:
    """Who cannot be asked for is not unknown; and syncing says so, whatever was known."""
    site.daemon.token("bob", "st*r(light)\\")
    site.slapd.stop()
    try:
        status, data = site.get("bob")
        assert (status, "could not be asked" in data["message"]) == (503, True)
        assert site.post("sync/bob") == (503, {"message": "The server of this user could not be asked; see the log"})
        assert site.get("status")[1][0]["available"] is False
        assert by_socket(site.daemon.directory, f"{PREFIX}/status").json[0]["available"] is False
        told = (503, {"message": "the login cannot be decided now: server ldap cannot be asked"})
        assert site.get("status", basic=("grace", "cobol-1959")) == told
    finally:
        site.slapd.run()
    began = time.monotonic()
    while not site.get("status")[1][0]["available"]:  # an answer is everybody's for a second
        assert time.monotonic() - began < 20
    assert SERVICE_PASSWORD not in site.daemon.log


# who, whether barred
BARRED = [("ended", True), ("early", True), ("alan", False), ("grace", True)]


def test_whom_the_gateway_lets_in_with_no_password(tmp_path: Path) -> None:
    """3: ``isDisabled`` of people below the search base: by the directory's word, and the service account itself."""
    own, toml = tmp_path / "own.yaml", tmp_path / "ldap.toml"
    people = [PERSON.format(uid=uid, base=BASE_DN, state=OTHERS[uid]) for uid in ("ended", "early")]
    with PolicySlapd.start(COMPANY, STATES_LDIF, *people, directory=tmp_path / "slapd") as slapd:
        own.write_text(json.dumps(OWN))
        block = LDAP_TOML.split("\n\n")[0].replace("PORT", str(slapd.port))
        block = block.replace(SERVICE_DN, f"uid=grace,ou=people,{BASE_DN}").replace(SERVICE_PASSWORD, "cobol-1959")
        toml.write_text(block)
        with running(tmp_path, files=[toml, own]) as daemon:
            for login, barred in BARRED:
                answer = daemon.call(f"{PREFIX}/{login}", basic=ADMIN)
                assert answer.status == 200, login
                conforms("{login}", answer.json)
                assert (answer.json["login"]["ldapValue"], answer.json["isDisabled"]) == (login, barred)


def test_without_servers(tmp_path: Path) -> None:
    """3: 400, for administrators."""
    own = tmp_path / "own.yaml"
    own.write_text(json.dumps(OWN))
    with running(tmp_path, files=[own]) as daemon:
        for method, path in (("GET", "status"), ("GET", "alan"), ("POST", "reload"), ("POST", "sync/alan")):
            answer = daemon.call(f"{PREFIX}/{path}", method=method, basic=ADMIN)
            assert (answer.status, answer.json) == (400, {"message": "LDAP is not enabled"})
            assert daemon.call(f"{PREFIX}/{path}", method=method).status == 401

"""Whole logins through the daemon against a real slapd, configured by ClearML's variables and by Grafana's file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import Daemon, running
from tests.directories.slapd import BASE_DN, COMPANY, SERVICE_DN, SERVICE_PASSWORD, Slapd

COMPANY_ID = "d1bd92a3b039400cbafc60a7a5b1e52b"
PROVIDER = "CLEARML__apiserver__auth__fixed_user_providers__ldap__"

# login, password, name, e-mail; the hard cases of company.ldif
PEOPLE = [
    ("grace", "cobol-1959", "Grace Hopper", "grace@example.com"),
    ("GRACE", "cobol-1959", "Grace Hopper", "grace@example.com"),
    ("alan", "enigma", "Alan Turing", "alan@example.com"),
    ("jürgen", "pä:ss", "Jürgen Müßig", "juergen@example.com"),
    ("lovelace", "notes,on#engine", "Ada Lovelace", "lovelace@example.com"),
    ("seven", "sieben", "#7 + Söhne", "seven@example.com"),
    ("bob", "st*r(light)\\", 'Bob "The (*) Star" \\ Smith', "bob@example.com"),
    ("mary", "forty-two", "Mary Ann", "mary@example.com"),
    ("o*(brien)", "transporter", "Miles O'Brien", "obrien@example.com"),
    ("nomail", "paper", "Nora Mail", ""),
    ("bare", "minimum", "bare", ""),
    ("linus", "dontpanic", "Linus T.", "linus@example.com"),
]

# login, password, why the operator is told it failed
REFUSED = [
    ("grace", "wrong", "bind refused: 49 invalidCredentials"),
    ("grace", "COBOL-1959", "bind refused: 49 invalidCredentials"),
    ("nobody", "x", "unknown name"),
    ("*", "enigma", "unknown name"),
    ("al*", "enigma", "unknown name"),
    ("alan)(uid=*", "enigma", "unknown name"),
    ("o\\2a(brien)", "transporter", "unknown name"),
    ("sam", "stargate", "2 entries below dc=example,dc=com match; one was expected"),
    ("sam", "falcon", "2 entries below dc=example,dc=com match; one was expected"),
    ("locked", "x", "bind refused: "),
    ("grace", "", "empty name or password"),
    ("grace", "  ", "empty name or password"),
    ("svc", SERVICE_PASSWORD, "unknown name"),
]


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("slapd") / "slapd", tls=True) as started:
        yield started


def clearml_variables(slapd: Slapd, quote: str = "", url: str = "") -> dict[str, str]:
    """The configuration of ClearML's LDAP document, with or without literal quotes around its values."""
    values = {
        f"{PROVIDER}server": url or slapd.url,
        f"{PROVIDER}base_dn": BASE_DN,
        f"{PROVIDER}default_company": COMPANY_ID,
        "CLEARML__secure__fixed_user_providers__ldap__dn": SERVICE_DN,
        "CLEARML__secure__fixed_user_providers__ldap__password": SERVICE_PASSWORD,
    }
    return {
        "CLEARML__apiserver__auth__fixed_users__enabled": "true",
        "CLEARML__apiserver__auth__fixed_users__provider": "ldap",
        f"{PROVIDER}admin_users": '["grace"]',
        f"{PROVIDER}attributes__badge": "employeeNumber",
        **{key: f"{quote}{value}{quote}" for key, value in values.items()},
        "CLEARML__login__floor": "0",
        "CLEARML__lockout__failures": "100",
    }


@pytest.fixture(scope="module", params=["bare", "quoted", "starttls", "ldaps"])
def daemon(request: pytest.FixtureRequest, slapd: Slapd, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    url = slapd.ldaps_url if request.param == "ldaps" else slapd.url
    environment = clearml_variables(slapd, '"' if request.param == "quoted" else "", url)
    if request.param in ("starttls", "ldaps"):
        environment["CLEARML__servers__ldap__root_ca_cert"] = str(slapd.ca_file)
        environment["CLEARML__servers__ldap__start_tls"] = str(request.param == "starttls").lower()
    with running(tmp_path_factory.mktemp("daemon"), environment=environment) as started:
        yield started


@pytest.mark.parametrize(("login", "password", "name", "email"), PEOPLE)
def test_people_log_in(daemon: Daemon, login: str, password: str, name: str, email: str) -> None:
    user = daemon.user(daemon.token(login, password))
    assert user["name"] == name
    assert user["role"] == ("admin" if login.lower() == "grace" else "user")
    assert user["company"]["id"] == COMPANY_ID
    event = daemon.wait_for_event(action="login", outcome="success", server="ldap", user=login.lower())
    assert event["reason"] == ""


@pytest.mark.parametrize(("login", "password", "reason"), REFUSED)
def test_others_do_not(daemon: Daemon, login: str, password: str, reason: str) -> None:
    answer = daemon.login(login, password)
    assert answer.verdict == (401, 22)
    assert answer.meta["result_msg"] == "Unauthorized (invalid credentials) (bad username or password)"
    daemon.wait_for(json.dumps(reason, ensure_ascii=False)[1:-1])


GRAFANA = """\
verbose_logging = false
[[servers]]
host = "127.0.0.1"
port = {port}
use_ssl = false
start_tls = false
bind_dn = "{service}"
bind_password = '{password}'
search_filter = "(uid=%s)"
search_base_dns = ["ou=people,{base}"]
{groups}
[servers.attributes]
name = "givenName"
surname = "sn"
username = "uid"
member_of = "{member_of}"
email =  "mail"
[[servers.group_mappings]]
group_dn = "{admins}"
org_role = "Admin"
{more}
"""
EVERYONE = '[[servers.group_mappings]]\ngroup_dn = "*"\norg_role = "Viewer"\n'
POSIX = 'group_search_filter = "(& (objectClass=posixGroup)(memberUid=%s))"\n'


def grafana_file(folder: Path, slapd: Slapd, **changes: str) -> Path:
    values = {
        "groups": "",
        "member_of": "memberOf",
        "admins": f"cn=admins,ou=groups,{BASE_DN}",
        "more": EVERYONE,
        **changes,
    }
    file = folder / "ldap.toml"
    file.write_text(
        GRAFANA.format(port=slapd.port, service=SERVICE_DN, password=SERVICE_PASSWORD, base=BASE_DN, **values)
    )
    return file


def test_a_grafana_file_works_unchanged(slapd: Slapd, tmp_path: Path) -> None:
    """grafana.md 1, 2.4: two names joined, one base, memberOf compared as it is."""
    with running(tmp_path, files=[grafana_file(tmp_path, slapd)]) as daemon:
        assert daemon.user(daemon.token("grace", "cobol-1959"))["name"] == "Grace Hopper"
        assert daemon.user(daemon.token("alan", "enigma"))["role"] == "user"
        assert daemon.user(daemon.token("sam", "stargate"))["name"] == "Sam Carter"
        assert daemon.login("sam", "falcon").verdict == (401, 22)


def test_a_grafana_file_refuses_whom_no_mapping_matches(slapd: Slapd, tmp_path: Path) -> None:
    """grafana.md 2.2 step 4, after the password (DECISIONS 5)."""
    with running(tmp_path, files=[grafana_file(tmp_path, slapd, more="")]) as daemon:
        assert daemon.login("grace", "cobol-1959").status == 200
        assert daemon.login("alan", "enigma").verdict == (401, 22)
        daemon.wait_for("no group mapping matched")


def test_posix_groups(slapd: Slapd, tmp_path: Path) -> None:
    """grafana.md 2.5: a group search, compared by bare name."""
    bases = f'group_search_base_dns = ["ou=groups,{BASE_DN}"]'
    file = grafana_file(tmp_path, slapd, groups=POSIX + bases, member_of="cn", admins="operators", more="")
    with running(tmp_path, files=[file]) as daemon:
        assert daemon.login("grace", "cobol-1959").status == 200
        assert daemon.login("alan", "enigma").verdict == (401, 22)


def test_single_bind(slapd: Slapd, tmp_path: Path) -> None:
    """grafana.md 2.2: the person's own bind is the only one; the login is escaped in the DN."""
    text = grafana_file(tmp_path, slapd).read_text()
    text = text.replace(SERVICE_DN, f"uid=%s,ou=people,{BASE_DN}").replace(f"bind_password = '{SERVICE_PASSWORD}'\n", "")
    (tmp_path / "ldap.toml").write_text(text)
    with running(tmp_path, files=[tmp_path / "ldap.toml"]) as daemon:
        assert daemon.user(daemon.token("grace", "cobol-1959"))["name"] == "Grace Hopper"
        assert daemon.login("jürgen", "pä:ss").status == 200
        for login, password in (("grace", "x"), ("nobody", "x"), ("grace,ou=people", "cobol-1959"), ("grace", "")):
            assert daemon.login(login, password).verdict == (401, 22)


def test_anonymous_search(slapd: Slapd, tmp_path: Path) -> None:
    server = {"name": "corp", "urls": [slapd.url], "search_base_dns": [BASE_DN]}
    with running(tmp_path, environment={"CLEARML__servers": json.dumps([server])}) as daemon:
        assert daemon.user(daemon.token("alan", "enigma"))["name"] == "Alan Turing"
        assert daemon.login("alan", "x").verdict == (401, 22)


def test_whitelist_mode_admits_nobody_unasked(slapd: Slapd, tmp_path: Path) -> None:
    """clearml.md 8, DECISIONS 7: without default_company a fresh whitelist is empty, and the log says so."""
    environment = clearml_variables(slapd)
    del environment[f"{PROVIDER}default_company"]
    environment["CLEARML__users__ada__password_hash_FILE"] = str(tmp_path / "hash")
    (tmp_path / "hash").write_text("$argon2id$v=19$m=19456,t=2,p=1$kRTMEb27vzE1PahsnelJzg$RD07Rez3+TT8ajorUznSupppKk+BBamZS72dh4zl6cg\n")
    with running(tmp_path, environment=environment) as daemon:
        assert daemon.login("grace", "cobol-1959").verdict == (401, 22)
        daemon.wait_for("not on the whitelist (example.com)")
        assert daemon.login("ada", "lovelace").status == 200  # local users are exempt
        daemon.wait_for("default_company: is not set")


def test_roles_by_groups(slapd: Slapd, tmp_path: Path) -> None:
    """clearml.md 1.3: groups.admins by first CN; the admins of another branch do not count by accident."""
    environment = {
        **clearml_variables(slapd),
        f"{PROVIDER}admin_users": "[]",
        f"{PROVIDER}groups__admins": '["admins"]',
        "CLEARML__servers__ldap__group_search_base_dns": json.dumps([f"ou=groups,{BASE_DN}"]),
    }
    with running(tmp_path, environment=environment) as daemon:
        roles = {name: daemon.user(daemon.token(name, word))["role"] for name, word in
                 (("grace", "cobol-1959"), ("linus", "dontpanic"), ("alan", "enigma"))}  # fmt: skip
    assert roles == {"grace": "admin", "linus": "user", "alan": "user"}


def test_people_survive_a_restart(slapd: Slapd, tmp_path: Path) -> None:
    """A token of before the restart is still its owner's; a revoked one stays revoked, even after SIGKILL."""
    daemon = Daemon(tmp_path, environment=clearml_variables(slapd)).start()
    try:
        kept, ended = daemon.token("alan", "enigma"), daemon.token("grace", "cobol-1959")
        assert daemon.call("/login.logout", bearer=ended).status == 200
        daemon.kill()
        daemon.log_path.unlink()
        daemon.start()
        assert daemon.user(kept)["name"] == "Alan Turing"
        assert daemon.call("/users.get_current_user", bearer=ended).verdict == (401, 30)
    finally:
        daemon.stop()

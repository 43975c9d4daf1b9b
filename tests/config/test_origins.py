"""Where every value came from: file, line and column, variable, store or default; and what it overrides."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from config_lookup import load_text

from gateway.config.load import ConfigurationError, Snapshot, load

TEXTS = {
    "gateway.conf": """{
  # a comment
  log { level = debug, format = json }
  lockout.failures = 7
  lockout {
    window = 10 minutes
  }
  servers = [
    { name = corp
      host = dc1.example.com
      search_base_dns = [
        "ou=a,dc=example,dc=com"
        "ou=b,dc=example,dc=com"
      ]
      group_mappings = [
        { group_dn = "cn=x,dc=example,dc=com", clearml_role = user }
        { group_dn = "cn=y,dc=example,dc=com", clearml_role = admin }
      ]
    }
  ]
}
""",
    "gateway.toml": """# a comment
lockout.failures = 7
[log]
level = "debug"
format = "json"
[lockout]
[[servers]]
name = "corp"
host = "dc1.example.com"
search_base_dns = [
  "ou=a,dc=example,dc=com",
  "ou=b,dc=example,dc=com",
]
[[servers.group_mappings]]
group_dn = "cn=x,dc=example,dc=com"
clearml_role = "user"
[[servers.group_mappings]]
group_dn = "cn=y,dc=example,dc=com"
clearml_role = "admin"
""".replace("[lockout]\n", ""),
    "gateway.yaml": """# a comment
log:
  level: debug
  format: json
lockout: {failures: 7}
servers:
  - name: corp
    host: dc1.example.com
    search_base_dns:
      - ou=a,dc=example,dc=com
      - ou=b,dc=example,dc=com
    group_mappings:
      - {group_dn: "cn=x,dc=example,dc=com", clearml_role: user}
      - group_dn: cn=y,dc=example,dc=com
        clearml_role: admin
""",
    "gateway.json": """{
  "log": {"level": "debug",
          "format": "json"},
  "lockout": {"failures": 7},
  "servers": [{"name": "corp", "host": "dc1.example.com",
    "search_base_dns": ["ou=a,dc=example,dc=com",
                        "ou=b,dc=example,dc=com"],
    "group_mappings": [{"group_dn": "cn=x,dc=example,dc=com", "clearml_role": "user"},
      {"group_dn": "cn=y,dc=example,dc=com", "clearml_role": "admin"}]}]
}
""",
}
PATHS = (
    "log.level",
    "log.format",
    "lockout.failures",
    "servers.corp.name",
    "servers.corp.host",
    "servers.corp.search_base_dns",
    "servers.corp.group_mappings.0.group_dn",
    "servers.corp.group_mappings.1.clearml_role",
)


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("path", PATHS)
def test_position_is_that_of_the_key(tmp_path: Path, name: str, path: str) -> None:
    """Issue text: TOML and YAML values carry line and column as well."""
    snapshot = load_text(tmp_path, TEXTS[name], name)
    origin = snapshot.origin(path)
    assert origin.place == str(tmp_path / name)
    line = TEXTS[name].splitlines()[origin.line - 1]
    key = path.rpartition(".")[2]
    if name == "gateway.toml" and path == "lockout.failures":
        key = "failures"
    assert re.match(rf'"?{key}"?\b', line[origin.column - 1 :]), (origin, line)
    assert sum(key in text for text in TEXTS[name].splitlines()[: origin.line]) >= 1


@pytest.mark.parametrize("name", TEXTS)
def test_the_second_mapping_is_not_the_first(tmp_path: Path, name: str) -> None:
    snapshot = load_text(tmp_path, TEXTS[name], name)
    first, second = (snapshot.origin(f"servers.corp.group_mappings.{index}.group_dn") for index in (0, 1))
    lines = TEXTS[name].splitlines()
    assert "cn=x" in lines[first.line - 1]
    assert "cn=y" in lines[second.line - 1]


@dataclass(frozen=True)
class Row:
    """A text, and how the message about it begins."""

    name: str
    text: str
    said: str


ERRORS = [
    Row("a.conf", "log {\n  levle = debug\n}", "a.conf:2:3: log.levle: unknown key"),
    Row("a.toml", "[log]\n\nlevle = 'debug'", "a.toml:3:1: log.levle: unknown key"),
    Row("a.yaml", "log:\n  levle: debug", "a.yaml:2:3: log.levle: unknown key"),
    Row("a.json", '{"log":\n {"levle": "debug"}}', "a.json:2:3: log.levle: unknown key"),
    Row("a.yaml", "servres:\n  - name: x", "a.yaml:1:1: servres: unknown key"),
    Row("a.conf", "lockout {\n  failures = many }", "a.conf:2:3: lockout.failures: expected a whole number"),
    Row("a.toml", "trusted_proxies = [\n '10.0.0.0/8',\n 'x']", "a.toml:3:2: trusted_proxies: item 2: expected a network"),
    Row("a.conf", "trusted_proxies = [\n 10.0.0.0/8\n x]", "a.conf:3:2: trusted_proxies: item 2: expected a network"),
    Row("a.yaml", "trusted_proxies:\n- 10.0.0.0/8\n- x", "a.yaml:3:3: trusted_proxies: item 2: expected a network"),
    Row("a.conf", "servers = [\n {name=a, search_base_dns=[dc=x]} ]".replace("[dc=x]", '["dc=x"]'), "a.conf:2:2: servers.a.host: is needed"),
    Row("a.conf", "a = [\n", "a.conf:1:5: not valid HOCON: "),
    Row("a.conf", "users = [{ username = x\n password_hash = \"pw#1\" ", "a.conf:"),
    Row("a.toml", "x = \n", "a.toml:1:5: not valid TOML"),
    Row("a.yaml", "a: [1\nb: 2", "a.yaml:2:"),
    Row("a.json", '{"a": 1,}', "a.json:1:9: not valid JSON"),
    Row("a.yaml", "log: {level: info}\nlog: {level: info}", "a.yaml:2:1: not valid YAML"),
]  # fmt: skip


@pytest.mark.parametrize("row", ERRORS, ids=lambda row: f"{row.name}: {row.text[:30]!r}")
def test_errors_say_where(tmp_path: Path, row: Row) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_text(tmp_path, row.text, row.name)
    first = next(str(problem) for problem in caught.value.problems if problem.severity == "error")
    assert first.startswith(f"{tmp_path}/{row.said}"), first


def test_errors_of_a_file_come_in_the_order_of_its_lines(tmp_path: Path) -> None:
    text = "log.level = loud\nhttp { keepalive = soon }\nunknown = 1\nlockout.failures = 0\n"
    with pytest.raises(ConfigurationError) as caught:
        load_text(tmp_path, text, "a.conf")
    assert [problem.line for problem in caught.value.problems if problem.severity == "error"] == [1, 2, 3, 4]


@dataclass(frozen=True)
class Setting:
    path: tuple[str, ...]
    value: Any
    by: str = "root"


def layered(tmp_path: Path, *stored: Setting, **environment: str) -> Snapshot:
    (tmp_path / "a.conf").write_text("log.level = error\nlog.level = info\nusers = [{username=ada, email=x, disabled=true}]\n")
    (tmp_path / "b.toml").write_text("[log]\nlevel = 'warning'\n[http]\nkeepalive = 60\n")
    files = [tmp_path / "a.conf", tmp_path / "b.toml"]
    return load(files, environment, working_directory=tmp_path, stored=stored)


def origins(snapshot: Snapshot, path: str, tmp_path: Path) -> list[str]:
    return [str(origin).replace(f"{tmp_path}/", "") for origin in snapshot.origins[tuple(path.split("."))]]


def test_overridden_origins_are_remembered(tmp_path: Path) -> None:
    snapshot = layered(tmp_path, Setting(("log", "level"), "debug"), CLEARML__log__level="error")
    assert snapshot.configuration.log.level == "error"
    expected = ["CLEARML__log__level", "stored by root", "b.toml:2:1", "a.conf:2:5", "a.conf:1:5"]
    assert origins(snapshot, "log.level", tmp_path) == expected


def test_stored_values_lie_between_files_and_environment(tmp_path: Path) -> None:
    """Issue: defaults < files in order < what an API wrote (store) < environment and credentials."""
    settings = [Setting(("log", "level"), "debug"), Setting(("http", "keepalive"), 30)]
    snapshot = layered(tmp_path, *settings, CLEARML__http__keepalive="10")
    assert snapshot.configuration.log.level == "debug"
    assert snapshot.configuration.http.keepalive == 10
    assert snapshot.origin("log.level").kind == "stored"


def test_a_stored_server(tmp_path: Path) -> None:
    settings = [
        Setting(("servers", "corp", "host"), "h"),
        Setting(("servers", "corp", "search_base_dns"), ["dc=x"]),
    ]
    snapshot = layered(tmp_path, *settings)
    (server,) = snapshot.configuration.servers
    assert (server.name, server.host) == ("corp", "h")


def test_a_stored_deletion_is_a_tombstone(tmp_path: Path) -> None:
    """DECISIONS 22: a deletion made through an API removes what a file gives, and is told."""
    snapshot = layered(tmp_path, Setting(("users", "ada"), None), Setting(("http", "keepalive"), None))
    assert snapshot.configuration.users == ()
    assert snapshot.configuration.http.keepalive == 90
    assert origins(snapshot, "http.keepalive", tmp_path) == ["stored by root", "b.toml:4:1"]
    assert snapshot.origin("users.ada").kind == "stored"


def test_what_a_stored_value_hides_is_told(tmp_path: Path) -> None:
    """DECISIONS 22: names file values that a stored one hides."""
    snapshot = layered(tmp_path, Setting(("users", "ada"), None), Setting(("http", "keepalive"), 30))
    said = [str(problem).replace(f"{tmp_path}/", "") for problem in snapshot.warnings if "hidden" in str(problem)]
    drops = "ldap-gateway config forget"
    assert said == [
        f"a.conf:3:10: users.ada: hidden by what was stored by root; {drops} users.ada drops that",
        f"b.toml:4:1: http.keepalive: hidden by what was stored by root; {drops} http.keepalive drops that",
    ]


def test_what_was_removed_can_be_given_again(tmp_path: Path) -> None:
    snapshot = layered(tmp_path, Setting(("users", "ada"), None), CLEARML__users__ada__name="Ada", CLEARML__users__ada__disabled="true")
    (user,) = snapshot.configuration.users
    assert (user.username, user.name, user.email) == ("ada", "Ada", "")


def test_a_stored_value_of_an_unknown_key_is_a_warning(tmp_path: Path) -> None:
    snapshot = layered(tmp_path, Setting(("vault", "x", "y"), 1), Setting(("log", "level", "deep"), 1))
    said = [str(problem) for problem in snapshot.warnings if problem.origin.kind == "stored"]
    assert len(said) == 2 and all("unknown key" in text for text in said)


def test_a_stored_value_that_is_wrong_names_who_wrote_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"stored by root: http\.keepalive: expected a duration"):
        layered(tmp_path, Setting(("http", "keepalive"), "soon"))


def test_relative_paths_belong_to_the_including_file_or_the_included_one(tmp_path: Path) -> None:
    below = tmp_path / "conf.d"
    below.mkdir()
    (tmp_path / "a.conf").write_text('include "conf.d/more.conf"\n')
    (below / "more.conf").write_text("tokens { master_key_file = key }\n")
    (below / "key").write_text("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n")
    snapshot = load([tmp_path / "a.conf"], {}, working_directory=tmp_path)
    assert snapshot.origin("tokens.master_key").place == str(below / "more.conf")
    assert set(snapshot.contents) == {tmp_path / "a.conf", below / "more.conf", below / "key"}


def test_what_a_failed_load_has_read_is_known(tmp_path: Path) -> None:
    """ops.md 1.3, 34: the watch set is an output of each load, also of a failed one."""
    (tmp_path / "a.conf").write_text("users = [{username=a, password_hash_file=secret}]\nlog.level = loud\n")
    with pytest.raises(ConfigurationError) as caught:
        load([tmp_path / "a.conf", tmp_path / "b.conf"], {}, working_directory=tmp_path)
    read = {path.name: content.data for path, content in caught.value.contents.items()}
    assert read["b.conf"] is None and read["secret"] is None and read["a.conf"]


def test_conjurs_variables(tmp_path: Path) -> None:
    """conjur.md 4, configuration.md 1.7."""
    environment = {
        "LDAP_URI": "ldaps://dc1.example.com",
        "LDAP_BASE": "dc=example,dc=com",
        "LDAP_FILTER": "(&(objectClass=person)(description=50%%)(uid=%s))",
        "LDAP_BINDDN": "cn=svc,dc=example,dc=com",
        "LDAP_BINDPW": "planted-secret",
        "CONJUR_AUTHENTICATORS": "authn-ldap/ldap",
        "CLEARML__conjur__services__ldap__allow": "all",
    }
    snapshot = load([], environment, working_directory=tmp_path)
    (server,) = snapshot.configuration.servers
    assert (server.name, server.urls, server.mode) == ("ldap", ("ldaps://dc1.example.com",), "service")
    assert server.search_filter == "(&(objectClass=person)(description=50\\25)(uid=%s))"
    assert server.search_base_dns == ("dc=example,dc=com",)
    assert snapshot.configuration.conjur.services["ldap"].allow == ("all",)
    assert snapshot.configuration.conjur.authn_alias is False
    assert snapshot.origin("servers.ldap.bind_password").place == "LDAP_BINDPW"


def test_conjurs_default_filter(tmp_path: Path) -> None:
    snapshot = load([], {"LDAP_URI": "ldap://h", "LDAP_BASE": "dc=x"}, working_directory=tmp_path)
    assert snapshot.configuration.servers[0].search_filter == "(&(objectClass=posixAccount)(uid=%s))"
    assert snapshot.configuration.clearml.registration == "open"


CLASHES = [
    (
        {"LDAP_URI": "ldap://a", "LDAP_BASE": "dc=x", "CLEARML__servers__ldap__urls": "ldap://b"},
        ("LDAP_URI", "CLEARML__servers__ldap__urls"),
    ),
    ({"SLOSILO_KEY": "k", "SLOSILO_KEY_FILE": "/k"}, ("SLOSILO_KEY_FILE", "SLOSILO_KEY")),
    (
        {
            "LDAP_URI": "ldap://a",
            "LDAP_BASE": "dc=x",
            "LDAP_BINDPW": "planted-one",
            "CLEARML__secure__fixed_user_providers__ldap__password": "planted-two",
        },
        ("LDAP_BINDPW", "CLEARML__secure__fixed_user_providers__ldap__password"),
    ),
]


@pytest.mark.parametrize(("environment", "places"), CLASHES, ids=lambda value: str(value)[:40])
def test_clashes_name_both_places(tmp_path: Path, environment: dict[str, str], places: tuple[str, str]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load([], environment, working_directory=tmp_path)
    errors = [str(problem) for problem in caught.value.problems if problem.severity == "error"]
    (said,) = [error for error in errors if places[0] in error and places[1] in error]
    assert "planted" not in said


def test_clashes_within_a_file_name_both_lines(tmp_path: Path) -> None:
    text = 'servers = [{name=ldap, host=h, search_base_dns=["dc=x"]\nbind_dn = a }]\nsecure.fixed_user_providers.ldap.dn = b\n'
    with pytest.raises(ConfigurationError) as caught:
        load_text(tmp_path, text, "a.conf")
    assert f"means the same key as {tmp_path}/a.conf:2:1 (servers.ldap.bind_dn)" in str(caught.value)
    assert f"{tmp_path}/a.conf:3:" in str(caught.value)


def test_other_peoples_ldap_variables_are_left_alone(tmp_path: Path) -> None:
    snapshot = load([], {"LDAP_BASE": "dc=x"}, working_directory=tmp_path)
    assert snapshot.configuration.servers == ()
    assert any("LDAP_URI is not set" in str(problem) for problem in snapshot.warnings)

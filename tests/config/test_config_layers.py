"""Layers: what wins, what merges, what removes, and where each value came from (DECISIONS 22, configuration.md 1.1)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from config_lookup import at, load_text, problems_of

from gateway.config.load import DEFAULT, ConfigurationError, load

BASE = """
log.level = "debug"
admins = ["user:a", "user:b"]
[[servers]]
name = "corp-eu"
host = "a"
search_base_dns = ["dc=x"]
[[servers.group_mappings]]
group_dn = "g0"
org_role = "Admin"
[[servers.group_mappings]]
group_dn = "g1"
org_role = "Viewer"
[[servers]]
name = "Other"
host = "b"
search_base_dns = ["dc=y", "dc=z"]
[[users]]
username = "Ada"
disabled = true
groups = ["x"]
[vaults.groups.Science]
id = "1"
"""

MAPPING = '[{"group_dn": "*", "admin": true}]'
ROWS = [
    ("CLEARML__log__level", "error", "log.level", "error", "the environment wins"),
    ("CLEARML__admins", "user:c", "admins", ["user:c"], "other lists replace"),
    ("CLEARML__admins__1", "user:c", "admins", ["user:a", "user:c"], "any list by index"),
    ("CLEARML__admins__2", "user:c", "admins", ["user:a", "user:b", "user:c"], "an index may append"),
    ("CLEARML__admins__0", "", "admins", ["", "user:b"], "an empty text is a text"),
    ("CLEARML__servers__corp_eu__host", "c", "servers.0.host", "c", "_ also matches -"),
    ("CLEARML__servers__CORP_EU__host", "c", "servers.0.host", "c", "names are compared lower-cased"),
    ("CLEARML__servers__other__host", "c", "servers.1.host", "c", "by key field, without regard to case"),
    ("CLEARML__servers__other__host", "c", "servers.1.name", "Other", "the name stays as it was written"),
    ("CLEARML__servers__1__host", "c", "servers.1.host", "c", "by index"),
    ("CLEARML__servers__other__host", "c", "servers.0.host", "a", "others stay"),
    ("CLEARML__servers__other__search_base_dns__1", "dc=q", "servers.1.search_base_dns", ["dc=y", "dc=q"], "in items"),
    ("CLEARML__servers__0__group_mappings__1__org_id", "7", "servers.0.group_mappings.1.org_id", 7, "tables by index"),
    ("CLEARML__servers__0__group_mappings__1__org_role", "None", "servers.0.group_mappings.1.group_dn", "g1", "merges"),
    ("CLEARML__servers__0__group_mappings", MAPPING, "servers.0.group_mappings.0.group_dn", "*", "other lists replace"),
    ("CLEARML__users__ada__groups", "p,q", "users.0.groups", ["p", "q"], "users by name"),
    ("CLEARML__users__ada__groups", "p,q", "users.0.username", "Ada", "users by name, as written"),
    ("CLEARML__vaults__groups__science__id", "2", "vaults.groups.Science.id", "2", "maps by key, in any case"),
    ("CLEARML__vaults__groups__new__id", "2", "vaults.groups.new.id", "2", "maps grow"),
    ("CLEARML__servers__0__urls", "ldaps://c", "servers.0.host", "", "another way to say where drops the first"),
    ("CLEARML__servers__0__port", "null", "servers.0.port", 0, "null removes"),
]


@pytest.mark.parametrize(("name", "value", "key", "holds", "proves"), ROWS)
def test_environment_over_file(tmp_path: Path, name: str, value: str, key: str, holds: object, proves: str) -> None:
    try:
        configuration = load_text(tmp_path, BASE, **{name: value}).configuration
    except ConfigurationError as error:
        assert value == "", (proves, error)  # an empty administrator is a text, and refused as one
        assert error.problems[0].path == "admins.0"
        return
    assert at(configuration, key) == holds, proves


def test_files_in_order(tmp_path: Path) -> None:
    """defaults < files in order; keyed lists merge by key field and new items are appended."""
    (tmp_path / "a.toml").write_text(BASE)
    (tmp_path / "b.yaml").write_text(
        "log: {format: json}\nadmins: ['user:z']\nservers:\n- {name: corp-eu, port: 390}\n"
        "- {name: new, host: n, search_base_dns: [dc=n]}\nusers: [{username: ADA, email: a@b}]\n"
    )
    snapshot = load([tmp_path / "a.toml", tmp_path / "b.yaml"], {})
    configuration = snapshot.configuration
    assert [server.name for server in configuration.servers] == ["corp-eu", "Other", "new"]
    assert (configuration.servers[0].host, configuration.servers[0].port) == ("a", 390)
    assert (configuration.log.level, configuration.log.format) == ("debug", "json")
    assert configuration.admins == ("user:z",)
    assert (configuration.users[0].email, configuration.users[0].groups) == ("a@b", ("x",))
    assert snapshot.files == (tmp_path / "a.toml", tmp_path / "b.yaml")


def test_null_removes_what_an_earlier_layer_gave(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(BASE)
    removed = ("log.level", "servers.other", "vaults", "admins", "users.ada")
    (tmp_path / "b.conf").write_text("\n".join(f"{key} = null" for key in removed))
    configuration = load([tmp_path / "a.toml", tmp_path / "b.conf"], {}).configuration
    assert configuration.log.level == "info"
    assert [server.name for server in configuration.servers] == ["corp-eu"]
    assert configuration.vaults.groups == {}
    assert configuration.admins == configuration.users == ()


def test_origins(tmp_path: Path) -> None:
    """Every leaf remembers the file or the variable that gave it."""
    file = str(tmp_path / "gateway.toml")
    snapshot = load_text(tmp_path, BASE, CLEARML__servers__corp_eu__port="390", CLEARML__users__new__disabled="true")
    places = {".".join(path): origins[0].place for path, origins in snapshot.origins.items()}
    assert places["log.level"] == places["servers.corp-eu.host"] == places["users.ada.groups"] == file
    assert places["servers.corp-eu.group_mappings.1.org_role"] == file
    assert places["servers.corp-eu.port"] == "CLEARML__servers__corp_eu__port"
    assert places["users.new.username"] == "CLEARML__users__new__disabled"
    assert snapshot.origin("http.max_body") is DEFAULT
    assert snapshot.origin("log.level").kind == "file"
    assert snapshot.origin("servers.corp-eu.port").kind == "variable"


def test_unnamed_servers(tmp_path: Path) -> None:
    """configuration.md 1.1: ldap, ldap2, ... in order, and names that are taken are passed over."""
    text = "servers = [{host = a}, {host = b, name = ldap2}, {host = c}, {host = d}]"
    text = text.replace("{", '{search_base_dns = ["dc=x"], ')
    servers = load_text(tmp_path, text, "a.conf").configuration.servers
    assert [server.name for server in servers] == ["ldap", "ldap2", "ldap3", "ldap4"]
    assert [server.host for server in servers] == ["a", "b", "c", "d"]


def test_a_server_from_the_environment_alone() -> None:
    for address, name in (("new", "new"), ("0", "ldap")):
        server = f"CLEARML__servers__{address}__"
        environment = {server + "host": "h", server + "search_base_dns": "dc=x"}
        assert load([], environment).configuration.servers[0].name == name
    listed = {"CLEARML__servers": json.dumps([{"name": "x", "host": "h", "search_base_dns": ["dc=x"]}])}
    listed["CLEARML__servers__x__port"] = "390"
    assert load([], listed).configuration.servers[0].port == 390


def test_a_user_by_index_needs_a_name() -> None:
    with pytest.raises(ConfigurationError, match=r"users\.0\.username: is needed"):
        load([], {"CLEARML__users__0__email": "a@b"})
    named = {"CLEARML__users__0__username": "bob", "CLEARML__users__0__disabled": "true"}
    assert load([], named).configuration.users[0].username == "bob"


NAMES = [
    ("local", "is the name of the local users"),
    ("Local", "is the name of the local users"),
    ("12", "expected letters, digits"),
    ("-a", "expected letters, digits"),
    ("a b", "expected letters, digits"),
    ("ü", "expected letters, digits"),
]


@pytest.mark.parametrize(("name", "message"), NAMES)
def test_server_names(tmp_path: Path, name: str, message: str) -> None:
    text = f'[[servers]]\nname = "{name}"\nhost = "h"\nsearch_base_dns = ["dc=x"]\n[log]\n'
    assert message in problems_of(tmp_path, text)[0]


@pytest.mark.parametrize("second", ["corp-eu", "CORP-EU"])
def test_two_servers_of_one_name(tmp_path: Path, second: str) -> None:
    """Names are unique without regard to case."""
    text = f'{BASE}\n[[servers]]\nname = "{second}"\n'.replace("[vaults.groups.Science]\nid = \"1\"\n", "")
    problem = f"servers.corp-eu (2).name: there are two of the name {second}: rename one"
    assert problem in problems_of(tmp_path, text)


def test_renaming_onto_another(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"servers\.other\.name: there are two of the name corp-eu: rename one"):
        load_text(tmp_path, BASE, CLEARML__servers__1__name="corp-eu")


def test_a_missing_file_hides_only_what_is_missing(tmp_path: Path) -> None:
    """What an unreadable file may have held is not reported as missing; what is wrong elsewhere is."""
    (tmp_path / "b.conf").write_text("servers.corp.port = 99999")
    with pytest.raises(ConfigurationError) as caught:
        load([tmp_path / "a.conf", tmp_path / "b.conf"], {})
    assert [problem.path for problem in caught.value.problems] == ["", "servers.corp.port"]


def test_same_input_same_configuration(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(BASE)
    first, second = (load([tmp_path / "a.toml"], {}, generation=generation) for generation in (1, 2))
    assert first.configuration == second.configuration
    assert (first.generation, second.generation) == (1, 2)


def test_snapshot_is_frozen(tmp_path: Path) -> None:
    snapshot = load_text(tmp_path, BASE)
    with pytest.raises(AttributeError):
        snapshot.generation = 5  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        snapshot.configuration.log.level = "info"
    with pytest.raises(TypeError):
        snapshot.configuration.vaults.groups["x"] = None  # type: ignore[index]
    with pytest.raises(TypeError):
        load([], {}).configuration.clearml.credentials["x"] = None  # type: ignore[index]


def test_twenty_thousand_mappings(tmp_path: Path) -> None:
    """The spine's scale: they load, keep their order, and one address reaches the last."""
    mappings = [{"group_dn": f"cn=group-{n},ou=groups,dc=example,dc=com", "org_role": "Viewer"} for n in range(20_000)]
    tree = {"servers": [{"name": "corp", "host": "h", "search_base_dns": ["dc=x"], "group_mappings": mappings}]}
    (tmp_path / "a.json").write_text(json.dumps(tree))
    last = {"CLEARML__servers__corp__group_mappings__19999__org_role": "Admin"}
    server = load([tmp_path / "a.json"], last).configuration.servers[0]
    assert [mapping.group_dn for mapping in server.group_mappings] == [mapping["group_dn"] for mapping in mappings]
    assert server.group_mappings[-1].org_role == "Admin"

"""What an attack on the loading of configurations found, each as it was mended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from config_lookup import at, load_text

from gateway.config.difference import changes
from gateway.config.load import ConfigurationError, load
from gateway.config.show import shown_tree, written


def put(directory: Path, **files: str) -> list[Path]:
    paths = [directory / name.replace("_", ".") for name in files]
    for path, text in zip(paths, files.values(), strict=True):
        path.write_text(text)
    return paths


def test_a_table_that_was_removed_begins_afresh(tmp_path: Path) -> None:
    """configuration.md 1.1: null removes, also where the same file then gives the table again."""
    files = put(
        tmp_path,
        a_conf='servers.corp { host = dc1, search_base_dns = "dc=x", ssl_skip_verify = true, use_ssl = true }',
        b_conf='servers.corp = null\nservers.corp { host = dc9, search_base_dns = "dc=y" }',
    )
    (server,) = load(files, {}).configuration.servers
    assert (server.host, server.ssl_skip_verify, server.use_ssl) == ("dc9", False, False)


def test_nothing_given_is_no_other_address(tmp_path: Path) -> None:
    files = put(
        tmp_path, a_conf='servers.corp { host = dc1, search_base_dns = "dc=x" }', b_conf="servers.corp.urls = null"
    )
    assert load(files, {}).configuration.servers[0].host == "dc1"


SPELLED = "apiserver.auth.fixed_user_providers.ldap"


def test_clearmls_lists_by_index(tmp_path: Path) -> None:
    files = put(tmp_path, a_conf=f'{SPELLED} {{ server = dc1, base_dn = "dc=x", default_company = c }}')
    name = "CLEARML__" + SPELLED.replace(".", "__") + "__admin_users__0"
    assert at(load(files, {name: "ada"}).configuration, "servers.ldap.clearml.admin_users") == ["ada"]


def test_clearmls_server_removed(tmp_path: Path) -> None:
    files = put(
        tmp_path, a_conf=f'{SPELLED} {{ server = dc1, base_dn = "dc=x", default_company = c }}', b_conf=f"{SPELLED} = null"
    )
    assert load(files, {}).configuration.servers == ()


def test_an_added_path_belongs_to_the_file_that_adds_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "base.conf").write_text('servers.corp { host = h, search_base_dns = "dc=x", root_ca_cert = ["a.pem"] }')
    (tmp_path / "a.conf").write_text('include "sub/base.conf"\nservers.corp.root_ca_cert += "b.pem"\n')
    with pytest.raises(ConfigurationError) as caught:
        load([tmp_path / "a.conf"], {})
    assert set(caught.value.contents) >= {tmp_path / "sub" / "a.pem", tmp_path / "b.pem"}


@pytest.mark.parametrize("number", ["0x" + "f" * 5000, "9007199254740993"])
def test_numbers_have_an_end(tmp_path: Path, number: str) -> None:
    with pytest.raises(ConfigurationError, match=r"lockout\.failures: expected a whole number of at most"):
        load_text(tmp_path, f"lockout.failures = {number}", "a.toml")


HOSTILE = {
    "many servers": ("a.toml", "[[servers]]\n" * 1000),
    "many mistakes": ("a.json", json.dumps({"users": [{"username": f"u{number}"} for number in range(16_000)]})),
    "tables without end": ("a.toml", "users=[" + "{}," * 1_500_000 + "]"),
    "unknown keys": ("a.conf", "".join(f"k{number} = 1\n" for number in range(100_000))),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_many_mistakes_take_no_time(tmp_path: Path, name: str) -> None:
    """Each took a minute, or gigabytes. The problems that are told are bounded."""
    file, text = HOSTILE[name]
    with pytest.raises(ConfigurationError) as caught:
        load_text(tmp_path, text, file)
    assert 0 < len(caught.value.problems) <= 1001


LEAKS = [
    ("a.yaml", "tokens: {master_key:S3CRETSECRET}"),
    ("a.conf", "servers.corp { bind_password S3CRETSECRET = x }"),
    ("a.conf", "servers.corp { bind_password = ${S3CRETSECRET} }"),
    ("a.toml", 'tokens."master_key=S3CRETSECRET" = 1'),
]


@pytest.mark.parametrize(("name", "text"), LEAKS)
def test_a_slip_of_the_pen_tells_no_secret(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_text(tmp_path, text, name)
    assert "S3CRET" not in str(caught.value)
    assert caught.value.problems[0].line == 1


MAPPINGS = 'servers.corp {{ host = h, search_base_dns = "dc=x", group_mappings = [{}] }}'
A, B, C = "{group_dn=A,org_role=Admin}", "{group_dn=B,org_role=Viewer}", "{group_dn=C,admin=true}"
DIFFERENT = [
    ([A, B], [B, A, C], 2, "the order counts, and is told besides what came"),
    ([A], [A.replace("}", ",org_id=1}"), C], 1, "a default that is written is no change"),
    ([A, A], [A], 1, "one of two equal ones"),
]


@pytest.mark.parametrize(("old", "new", "count", "proves"), DIFFERENT)
def test_differences_of_mappings(tmp_path: Path, old: list[str], new: list[str], count: int, proves: str) -> None:
    before, after = (load_text(tmp_path, MAPPINGS.format(",".join(rows)), "a.conf").configuration for rows in (old, new))
    assert len(changes(before, after)) == count, proves


@pytest.mark.parametrize("text", ["9ms", "0.009", "1500ms", "90", "1h30m", "0"])
def test_durations_come_back_as_they_were(tmp_path: Path, text: str) -> None:
    snapshot = load_text(tmp_path, f"login.floor = {text}", "a.conf")
    shown = written(shown_tree(snapshot.configuration, snapshot.origins), "hocon")
    again = load_text(tmp_path, shown, "b.conf")
    assert changes(snapshot.configuration, again.configuration) == ()


@pytest.mark.parametrize("form", ["hocon", "toml", "yaml", "json"])
def test_odd_names_come_back_as_they_were(tmp_path: Path, form: str) -> None:
    names = {f"a{letter}b": "x" for letter in "\x80\x85\u2028\u2029\ufeff\x7f\U0001f600é\"\\' "}
    snapshot = load_text(tmp_path, json.dumps({"vaults": {"groups": {name: {"group": name} for name in names}}}), "a.json")
    shown = written(shown_tree(snapshot.configuration, snapshot.origins), form)
    again = load_text(tmp_path, shown, f"b.{form}")
    assert again.configuration.vaults == snapshot.configuration.vaults


def test_names_that_look_like_numbered_ones(tmp_path: Path) -> None:
    text = ", ".join(f'{{username="{name}",disabled=true}}' for name in ("bob", "bob", "bob (2)"))
    with pytest.raises(ConfigurationError, match="there are two of the name bob"):
        load_text(tmp_path, f"users = [{text}]", "a.conf")


def test_keys_of_a_map_differ_by_case(tmp_path: Path) -> None:
    snapshot = load_text(tmp_path, "vaults.groups {\nFoo { group = a }\nfoo { group = b }\n}", "a.conf")
    lines = [line for line in written(shown_tree(snapshot.configuration, snapshot.origins), "hocon", origin=True).splitlines() if "group = " in line]  # fmt: skip
    assert [line.rpartition("a.conf:")[2].partition(":")[0] for line in lines] == ["2", "3"]


def test_a_masked_secret_is_none(tmp_path: Path) -> None:
    """What config show prints is pasted back sooner or later."""
    with pytest.raises(ConfigurationError, match="expected the secret itself"):
        load_text(tmp_path, 'clearml.token_secret = "******"', "a.conf")


WARNED = [
    ("a.yaml", "servers: [{name: c, host: h, search_base_dns: [ou=a,dc=b,dc=c]}]", {}, "write it in quotes"),
    ("a.conf", "clearml.company_name = 'acme'", {}, "single quotes are part of the text"),
    ("a.conf", "", {"clearml__lockout__failures": "3"}, "must be in capitals"),
    ("a.conf", "", {"CLEARML__lockout__failures": "3", "CLEARML__LOCKOUT__FAILURES": "4"}, "to another value"),
]


@pytest.mark.parametrize(("name", "text", "environment", "said"), WARNED)
def test_warnings(tmp_path: Path, name: str, text: str, environment: dict[str, str], said: str) -> None:
    snapshot = load_text(tmp_path, text, name, **environment)
    assert any(said in str(problem) for problem in snapshot.warnings), snapshot.warnings


NOTED = [
    ("a.conf", 'include "severs.conf"', "which does not exist and is passed over"),
    ("a.toml", '[[servers]]\nhost="h"\nsearch_filter="(a=%s)"\nsearch_base_dns=["dc=x"]', "read by the rules of Grafana"),
]


@pytest.mark.parametrize(("name", "text", "said"), NOTED)
def test_notes(tmp_path: Path, name: str, text: str, said: str) -> None:
    assert any(said in str(note) for note in load_text(tmp_path, text, name).notes)

"""Files: the four formats, their traps, and what refuses them (configuration.md 1.1, research ops 2.1 to 2.3)."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
from config_lookup import at, load_text, problems_of
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.load import ConfigurationError, load
from gateway.config.origin import Origin, Problems, plain_value
from gateway.config.reading import Reading, SourceError
from gateway.config.sources import SUFFIXES, parse

SAME = {
    ".toml": """
        clearml.company_name = "Ünïted"
        users = [{ username = "a", disabled = true }]
        [http]
        shutdown = "1h30m"
        max_body = 2048""",
    ".yaml": """
        clearml:
          company_name: "Ünïted"
        http:
          shutdown: 1h30m
          max_body: 2048
        users:
        - username: a
          disabled: yes""",
    ".yml": """
        clearml: {company_name: Ünïted}
        http: {shutdown: 5400, max_body: 2 KiB}
        users: [{username: a, disabled: on}]""",
    ".json": """{
        "clearml": {"company_name": "Ünïted"},
        "http": {"shutdown": 5400, "max_body": 2048},
        "users": [{"username": "a", "disabled": true}]}""",
    ".conf": """
        clearml.company_name = "Ünïted"
        http { shutdown = 1h30m, max_body = 2 KiB }
        users = [{ username = a, disabled = true }]""",
    ".hocon": """
        clearml { company_name = Ünïted }
        http.shutdown = 90 minutes
        http.max_body = 2048
        users.a.disabled = true""",
}


@pytest.mark.parametrize("suffix", SAME)
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_one_tree_in_every_format(tmp_path: Path, suffix: str, mark: str) -> None:
    configuration = load_text(tmp_path, mark + SAME[suffix], f"a{suffix}").configuration
    assert configuration.clearml.company_name == "Ünïted"
    assert (configuration.http.shutdown, configuration.http.max_body) == (5400.0, 2048)
    assert (configuration.users[0].username, configuration.users[0].disabled) == ("a", True)


DURATIONS = [
    ("10s", 10),
    ("30 days", 2592000),
    ("5 minutes", 300),
    ("1h30m", 5400),
    ("90", 90),
    ("1500ms", 1.5),
    ("2w", 1209600),
]


@pytest.mark.parametrize(("text", "seconds"), DURATIONS)
@pytest.mark.parametrize("suffix", [".conf", ".yaml"])
def test_duration_without_quotes(tmp_path: Path, suffix: str, text: str, seconds: float) -> None:
    """configuration.md 1.1; pyhocon alone would make 30 days an object and, with dateutil, another object."""
    line = f"lockout.window = {text}" if suffix == ".conf" else f"lockout:\n  window: {text}"
    assert load_text(tmp_path, line, f"a{suffix}").configuration.lockout.window == seconds


def test_a_duration_is_text_for_a_text_key(tmp_path: Path) -> None:
    assert load_text(tmp_path, "clearml.company_name = 10s", "a.conf").configuration.clearml.company_name == "10s"


WRONG = [
    (".yaml", "clearml:\n  company_name: no", "clearml.company_name: expected text; write it in quotes"),
    (".yaml", "log:\n  level: on", "log.level: expected 'debug', 'info', 'warning' or 'error'"),
    (".yaml", "clearml:\n  company_name: 12", "clearml.company_name: expected text; write it in quotes"),
    (".conf", "clearml.company_name = 12345", "clearml.company_name: expected text; write it in quotes"),
    (".conf", "clearml.company_name = true", "clearml.company_name: expected text; write it in quotes"),
    (".toml", "clearml.company_name = 2020-01-01", "clearml.company_name: expected text; write it in quotes"),
    (".toml", "[tokens]\nmaster_key = 5", "tokens.master_key: expected text; write it in quotes"),
    (".toml", 'uvloop = "yes"', "uvloop: expected true or false"),
    (".toml", 'login.queue = "5"', "login.queue: expected a whole number"),
    (".toml", "login.queue = 5.0", "login.queue: expected a whole number"),
    (".toml", "login.queue = -1", "login.queue: expected at least 0"),
    (".toml", "login.hash_threads = 65", "login.hash_threads: expected at most 64"),
    (".toml", 'tokens.lifetime = "soon"', "tokens.lifetime: expected a duration"),
    (".toml", "tokens.lifetime = " + "9" * 400, "tokens.lifetime: expected a duration between"),
    (".toml", "tokens.lifetime = nan", "tokens.lifetime: expected a duration between"),
    (".toml", "http.max_body = -1", "http.max_body: expected a size"),
    (".toml", 'listen = "h"', "listen: expected host:port, [v6]:port, https://host:port or unix:PATH"),
    (".toml", 'listen = ["http://h:1"]', "listen: expected host:port, [v6]:port, https://host:port or unix:PATH"),
    (".toml", 'listen = [1]', "listen: expected a list of texts in quotes"),
    (".toml", "listen = []", "listen: needs at least one address"),
    (".toml", 'trusted_proxies = ["10.0.0.1/8"]', "trusted_proxies: expected a network such as 10.0.0.0/8"),
    (".toml", "http = 5", "http: expected a table of keys and values"),
    (".toml", "servers = 5", "servers: expected a list of tables"),
    (".toml", "servers = [5]", "servers.0: expected a table of keys and values"),
    (".toml", "users = [{}]", "users.0.username: is needed"),
    (".toml", 'users = [{username = ""}]', "users.0.username: is needed"),
    (".toml", "[clearml.credentials]\nci = 5", "clearml.credentials.ci: expected a table of keys and values"),
    (".toml", 'store.url = "postgresql://a"', "store.url: expected sqlite or sqlite:///PATH"),
    (".toml", 'store.url = "sqlite://a"', "store.url: expected sqlite or sqlite:///PATH"),
    (".toml", 'audit.to = "syslog"', "audit.to: expected stderr, off or file:PATH"),
    (".toml", 'admins = ["ada"]', "admins.0: expected user:NAME"),
    (".toml", 'public_url = "auth.example.com"', "public_url: expected an http:// or https:// URL"),
    (".toml", 'clearml.company = "acme"', "clearml.company: expected 32 hexadecimal digits"),
    (".toml", 'clearml.origins = ["https://a/b"]', "clearml.origins: expected a web origin"),
    (".toml", 'tokens.lifetime = 10\ntokens.max_lifetime = 9', "tokens.max_lifetime: is shorter than tokens.lifetime"),
    (".toml", 'tokens.master_key = "short"', "tokens.master_key: expected 32 bytes in base64"),
    (".toml", '[clearml.cookie]\nsame_site = "None"', "clearml.cookie.same_site: browsers drop"),
    (".toml", '[[users]]\nusername="a"\npassword_hash="secret"', "users.a.password_hash: expected an argon2id"),
    (".toml", '[[users]]\nusername="a"', "users.a.password_hash: is needed, unless"),
    (".toml", '[[users]]\nusername="a"\ndisabled=true\nclearml_role="root"', "users.a.clearml_role: expected"),
    (".toml", '[[group_mappings]]\ngroup_dn="a"', "group_mappings.0: has no effect"),
    (".toml", '[[group_mappings]]\ngroup_dn="a"\norg_role="Owner"', "group_mappings.0.org_role: expected"),
    (".toml", '[[group_mappings]]\norg_role="Admin"', "group_mappings.0.group_dn: is needed"),
    (".toml", '[clearml.credentials.ci]\nrole="king"', "clearml.credentials.ci.role: expected"),
    (".toml", "workers = 2", "workers: unknown key"),
    (".toml", "metrics.listen = ''", "metrics: unknown key"),
    (".toml", "tls.cert = ''", "tls.cert: unknown key"),
    (".toml", "logs.level = 'info'", 'logs: unknown key; did you mean "log"?'),
    (".toml", "Listen = []", 'Listen: unknown key; did you mean "listen"?'),
    (".toml", "lifetime = 5", 'lifetime: unknown key; did you mean "tokens.lifetime"?'),
    (".toml", "log = {lvel = 'info'}", 'log.lvel: unknown key; did you mean "level"?'),
    (".toml", "[tokens]\nlifetime_file = 'x'", 'tokens.lifetime_file: unknown key; did you mean "lifetime"?'),
]


@pytest.mark.parametrize(("suffix", "text", "problem"), WRONG, ids=lambda value: str(value)[:60])
def test_wrong_value(tmp_path: Path, suffix: str, text: str, problem: str) -> None:
    """Wrong types, near misses and contradictions: what was expected, at which key, in which file."""
    found = problems_of(tmp_path, text, f"a{suffix}")
    assert any(line.startswith(problem) for line in found), found


BROKEN = [
    (".toml", b"a = [", "not valid TOML"),
    (".toml", b"a = 1\na = 2", "not valid TOML"),
    (".toml", b"a = " + b"9" * 5000, "not valid TOML"),
    (".toml", b"a = " + b"[" * 5000, "nested too deeply"),
    (".yaml", b"a: [", "not valid YAML"),
    (".yaml", b"log:\n  level: info\n  level: debug", "a key is given twice, first in line 2"),
    (".yaml", b"a: 1\n---\nb: 2", "more than one document"),
    (".yaml", b"a: !!python/object:os.system x", "tags are not supported"),
    (".yaml", b"a: !secret x", "tags are not supported"),
    (".yaml", b"a: &x", "an anchor (&) of nothing"),
    (".yaml", b"a: *secretpassword", "an alias (*) of nothing"),
    (".yaml", b"a: &a [*a]", "an alias (*) of nothing"),
    (".yaml", b"a: &a {x: 1}\nb:\n  <<: *a", "merge keys (<<) are not supported"),
    (".yaml", b"? [a]\n: b", "a list or table as a key"),
    (".yaml", b"a: " + b"[" * 100, "nested too deeply"),
    (".yaml", b"a: " + b"{" * 100000, "a list or table as a key"),
    (".yaml", b"a: \x01", "a character that YAML forbids"),
    (".yaml", b"a: @x", "not valid YAML"),
    (".yaml", b"- a", "expected keys and values at the top level"),
    (".json", b"{", "not valid JSON"),
    (".json", b'{"a":1,"a":2}', "a key is given twice"),
    (".json", b'{"a":NaN}', "NaN is not a number"),
    (".json", b"[]", "expected keys and values at the top level"),
    (".json", b"[" * 100000, "nested too deeply"),
    (".conf", b"a = {", "not valid HOCON: "),
    (".conf", b"a = dc=x,dc=y", "not valid HOCON: "),
    (".conf", b'a = "unterminated secret', "not valid HOCON: "),
    (".conf", b"a = ${HOME}", "the substitution finds nothing"),
    (".conf", b"a = ${b}\nb = ${a}", "not valid HOCON"),
    (".conf", b"a = " + b"[" * 3000, "nested too deeply"),
    (".conf", b"[1]", "expected keys and values at the top level"),
    (".conf", b'include "/etc/passwd"', "only files can be included"),
    (".conf", b'include file("/etc/passwd")', "only files can be included"),
    (".conf", b'include url("http://127.0.0.1:9/")', "only files can be included"),
    (".conf", b'include required(file("/etc/passwd"))', "only files can be included"),
    (".conf", b'include package("os:x")', "only files can be included"),
    (".conf", b'include "*.conf"', "only files can be included"),
    (".conf", b"a = \xff", "not UTF-8 text (byte 4)"),
    (".toml", b"\xff\xfea\x00", "not UTF-8 text (byte 0)"),
    (".conf", b" " * (8 * 1024 * 1024 + 1), "larger than 8388608 bytes"),
    (".toml", b" " * (8 * 1024 * 1024 + 1), "larger than 8388608 bytes"),
    (".txt", b"", "unknown kind of file; expected one of .conf, .hocon, .toml, .yaml, .yml, .json, or a grafana.ini"),
]


@pytest.mark.parametrize(("suffix", "data", "message"), BROKEN, ids=lambda value: str(value)[:40])
def test_broken_file(tmp_path: Path, suffix: str, data: bytes, message: str) -> None:
    """A file that cannot be read says why, and never quotes what stands in it."""
    file = tmp_path / f"a{suffix}"
    file.write_bytes(data)
    with pytest.raises(ConfigurationError) as caught:
        load([file], {})
    assert len(caught.value.problems) == 1
    assert message in caught.value.problems[0].message
    assert caught.value.problems[0].place == str(file)
    assert "secret" not in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "directory.conf").mkdir()
    os.mkfifo(tmp_path / "pipe.conf")
    for name, message in (("none", "No such file"), ("directory", "Is a directory"), ("pipe", "not a regular file")):
        with pytest.raises(ConfigurationError, match=message):
            load([tmp_path / f"{name}.conf"], {})


def test_alias_bomb(tmp_path: Path) -> None:
    """Eight levels of ten aliases are 10^8 values."""
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "too many values" in problems_of(tmp_path, "\n".join(lines), "a.yaml")[0]


def test_aliases_within_reason(tmp_path: Path) -> None:
    text = 'users:\n- {username: a, disabled: true, groups: &g [x, "y"]}\n- {username: b, disabled: true, groups: *g}\n'
    assert at(load_text(tmp_path, text, "a.yaml").configuration, "users.b.groups") == ["x", "y"]


def test_hocon_substitution_within_the_file(tmp_path: Path) -> None:
    text = 'clearml.company_name = "x"\nclearml.feature_set = ${clearml.company_name}-y\n'
    assert load_text(tmp_path, text, "a.conf").configuration.clearml.feature_set == "x-y"


def tree_of(text: str, suffix: str) -> Any:
    return plain_value(parse(text, suffix, Origin("file", f"/nowhere/a{suffix}"), Reading(), Problems()))


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(sorted(SUFFIXES)), st.text(max_size=60))
def test_no_text_breaks_a_parser(suffix: str, text: str) -> None:
    with contextlib.suppress(SourceError):
        assert isinstance(tree_of(text, suffix), dict)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(st.characters(exclude_categories=["C"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text("abc", min_size=1), VALUES, max_size=4))
def test_json_is_yaml(tree: dict[str, object]) -> None:
    """JSON is a subset of YAML: both readers give the same tree."""
    text = json.dumps(tree, ensure_ascii=False)
    assert tree_of(text, ".yaml") == tree_of(text, ".json") == tree


def test_paths_belong_to_their_file(tmp_path: Path, certificate: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(certificate.read_bytes())
    (tmp_path / "password").write_text("p\n")
    text = """state_dir = state
    listen = ["unix:http.sock", "127.0.0.1:1"]
    audit.to = "file:audit.log"
    servers.a { host = h, search_base_dns = ["dc=x"], root_ca_cert = ca.pem, bind_dn = "cn=a" }
    servers.a.bind_password_file = password"""
    (tmp_path / "a.conf").write_text(text)
    configuration = load([Path("a.conf")], {}, working_directory=tmp_path).configuration
    assert configuration.state_dir == tmp_path / "state"
    assert at(configuration, "listen") == [f"unix:{tmp_path}/http.sock", "127.0.0.1:1"]
    assert configuration.audit.to == f"file:{tmp_path}/audit.log"
    assert configuration.servers[0].root_ca_cert == (tmp_path / "ca.pem",)
    assert configuration.servers[0].bind_password.reveal() == "p"
    assert configuration.database == tmp_path / "state" / "gateway.db"
    assert configuration.public_url == "http://127.0.0.1:1"


def test_state_directory(tmp_path: Path) -> None:
    """configuration.md 1.2: $STATE_DIRECTORY, else var in the working directory."""
    for environment, expected in (({"STATE_DIRECTORY": "/a:/b"}, Path("/a")), ({}, tmp_path / "var")):
        assert load([], environment, working_directory=tmp_path).configuration.state_dir == expected


def test_everything_at_once(tmp_path: Path) -> None:
    """Acceptance 8 of the spine: broken TOML, near miss, wrong type, unreadable CA file, two servers of one name."""
    (tmp_path / "broken.toml").write_text("a = [\n")
    (tmp_path / "typo.yaml").write_text("tokens:\n  lifetme: 5\n")
    (tmp_path / "servers.conf").write_text(
        """servers = [
          { name = corp, host = localhost, search_base_dns = ["dc=x"], root_ca_cert = missing.pem, search_filter = "(uid=%s" }
          { name = Corp, host = localhost, search_base_dns = ["dc=x"] }
        ]"""
    )
    files = [tmp_path / name for name in ("broken.toml", "typo.yaml", "servers.conf")]
    with pytest.raises(ConfigurationError) as caught:
        load(files, {"CLEARML__http__shutdown": "soon"})
    problems = {(problem.place.removeprefix(f"{tmp_path}/"), problem.path) for problem in caught.value.problems}
    assert problems == {
        ("broken.toml", ""),
        ("typo.yaml", "tokens.lifetme"),
        ("servers.conf", "servers.corp (2).name"),
        ("servers.conf", "servers.corp.root_ca_cert"),
        ("servers.conf", "servers.corp.search_filter"),
        ("CLEARML__http__shutdown", "http.shutdown"),
    }


BACKSLASHES = [
    ("a.conf", 'name = "EXAMPLE{}"', "not valid HOCON: not an escape that JSON has: write \\\\ for one backslash"),
    ("a.toml", 'name = "EXAMPLE{}"', "for one backslash, or use single quotes"),
    ("a.yaml", 'name: "EXAMPLE{}"', "for one backslash, or use single quotes"),
]


@pytest.mark.parametrize("account", ["\\svc", "\\uwe"])
@pytest.mark.parametrize(("name", "text", "hint"), BACKSLASHES)
def test_a_backslash_that_was_meant(tmp_path: Path, name: str, text: str, hint: str, account: str) -> None:
    """``DOMAIN\\name`` is the first thing people with Active Directory write."""
    (problem,) = problems_of(tmp_path, text.format(account), name)
    assert problem.endswith(hint)

"""A Grafana ldap.toml by Grafana's rules (grafana.md 1; configuration.md 1.1)."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from config_lookup import load_text, problems_of, said

from gateway.config.load import ConfigurationError, load
from gateway.config.schema import Server

BLOCK = """
[[servers]]
host = "127.0.0.1"
search_filter = "(cn=%s)"
search_base_dns = ["dc=grafana,dc=org"]
"""
REFERENCE = """
# Set to true to log user information returned from LDAP
verbose_logging = false
[[servers]]
host = "127.0.0.1"
port = 389
use_ssl = false
start_tls = false
ssl_skip_verify = false
# root_ca_cert = "/path/to/certificate.crt"
bind_dn = "cn=admin,dc=grafana,dc=org"
bind_password = 'grafana'
search_filter = "(cn=%s)"
search_base_dns = ["dc=grafana,dc=org"]
[servers.attributes]
name = "givenName"
surname = "sn"
username = "cn"
member_of = "memberOf"
email = "email"
[[servers.group_mappings]]
group_dn = "cn=admins,dc=grafana,dc=org"
org_role = "Admin"
[[servers.group_mappings]]
group_dn = "cn=users,dc=grafana,dc=org"
org_role = "Editor"
[[servers.group_mappings]]
group_dn = "*"
org_role = "Viewer"
"""


def server(tmp_path: Path, text: str, **environment: str) -> Server:
    return load_text(tmp_path, text, "ldap.toml", **environment).configuration.servers[0]


def warnings(tmp_path: Path, text: str) -> list[str]:
    return [str(warning).split(": ", 1)[1] for warning in load_text(tmp_path, text, "ldap.toml").warnings]


def test_the_documented_file(tmp_path: Path) -> None:
    """references/grafana-ldap.md, unchanged: no warning, and every key where it belongs."""
    assert warnings(tmp_path, REFERENCE) == []
    found = server(tmp_path, REFERENCE)
    assert (found.name, found.endpoints, found.mode) == ("ldap", (("127.0.0.1", 389, "none"),), "service")
    assert found.attributes.model_dump(exclude={"user_id", "extra"}) == {
        "username": "cn", "name": "givenName", "surname": "sn", "email": "email", "member_of": "memberOf",
    }  # fmt: skip
    assert [mapping.org_role for mapping in found.group_mappings] == ["Admin", "Editor", "Viewer"]
    assert found.require_mapping
    assert found.group_search_filter_user_attribute == "cn"


def test_what_an_absent_key_means(tmp_path: Path) -> None:
    """grafana.md 1.2: no attributes by default; the port by the kind of TLS; the group bases are the user bases."""
    found = server(tmp_path, BLOCK)
    assert {getattr(found.attributes, name) for name in ("username", "name", "surname", "email", "member_of")} == {""}
    assert (found.mode, found.timeout, found.group_bases) == ("anonymous", 10.0, ("dc=grafana,dc=org",))


ENDPOINTS = [
    ("", [("127.0.0.1", 389, "none")], "CHOICE: 389"),
    ("port = 0", [("127.0.0.1", 389, "none")], "0 is absent"),
    ("port = 1389", [("127.0.0.1", 1389, "none")], "as given"),
    ("use_ssl = true", [("127.0.0.1", 636, "ldaps")], "LDAPS"),
    ("use_ssl = true\nstart_tls = true", [("127.0.0.1", 389, "starttls")], "StartTLS"),
    ("use_ssl = true\nport = 1636", [("127.0.0.1", 1636, "ldaps")], "LDAPS on a port"),
    ("start_tls = true", [("127.0.0.1", 389, "starttls")], "CHOICE: upgrade anyway"),
]


@pytest.mark.parametrize(("lines", "endpoints", "proves"), ENDPOINTS)
def test_endpoints(tmp_path: Path, lines: str, endpoints: list[tuple[str, int, str]], proves: str) -> None:
    assert list(server(tmp_path, BLOCK + lines).endpoints) == endpoints, proves


def test_several_hosts(tmp_path: Path) -> None:
    text = BLOCK.replace('"127.0.0.1"', '"a  [::1] fe80::2 b"')
    assert [host for host, _, _ in server(tmp_path, text).endpoints] == ["a", "::1", "fe80::2", "b"]


ROLES = [("editor", "Editor"), ("Editor", "Editor"), ("", "Viewer"), ("none", "None"), ("admin", "Admin")]


@pytest.mark.parametrize(("written", "role"), ROLES)
def test_role(tmp_path: Path, written: str, role: str) -> None:
    """grafana.md 1.2: the first letter is raised, nothing else; present but empty is Viewer."""
    text = f'{BLOCK}[[servers.group_mappings]]\ngroup_dn = "g"\norg_role = "{written}"\norg_id = 0\n'
    mapping = server(tmp_path, text).group_mappings[0]
    assert (mapping.org_role, mapping.org_id) == (role, 1)


REFUSED = [
    ("verbose_logging = true", "servers: no server is defined"),
    ("servers = []", "servers: no server is defined"),
    ("servers = 5", "servers: expected a list of tables"),
    (BLOCK.replace("search_filter", "# search_filter"), "servers.ldap.search_filter: is needed in block 1"),
    (BLOCK + BLOCK.replace("search_base_dns", "# x"), "servers.ldap2.search_base_dns: is needed in block 2"),
    (BLOCK.replace('["dc=grafana,dc=org"]', "[]"), "servers.ldap.search_base_dns: is needed in block 1"),
    (BLOCK + "[[servers.group_mappings]]", "servers.ldap.group_mappings.0: the first mapping of block 1 has neither"),
    (
        BLOCK + "[[servers.group_mappings]]\ngroup_dn='cn=a'\norg_role='Viewer'\n[[servers.group_mappings]]\ngroup_dn='b'",
        "servers.ldap.group_mappings.1: the second mapping of block 1 has neither",
    ),
    (
        BLOCK + "[[servers.group_mappings]]\ngroup_dn='cn=a'\norg_role='EDITOR'",
        "servers.ldap.group_mappings.0.org_role: the first mapping of block 1: expected Viewer, Editor, Admin, None",
    ),
    (BLOCK + "port = '389'", "servers.ldap.port: expected a whole number"),
    (BLOCK + "Host = 'b'", "a key is given twice, in different case"),
    (BLOCK + "# $__file{/nonexistent}", "$__file{/nonexistent}: cannot be read: No such file or directory"),
    (BLOCK + "port = [", "not valid TOML"),
    (BLOCK.replace("(cn=%s)", "(cn=%s"), "servers.ldap.search_filter: "),
]


@pytest.mark.parametrize(("text", "problem"), REFUSED, ids=lambda value: value[-50:])
def test_what_refuses_the_file(tmp_path: Path, text: str, problem: str) -> None:
    """grafana.md 1.3, with what the report should name."""
    found = problems_of(tmp_path, text, "ldap.toml")
    assert found[0].startswith(problem), found


WARNED = [
    ("", []),
    ("colour = 'red'", ["servers.ldap.colour: unknown key"]),
    ("hots = 'red'", ['servers.ldap.hots: unknown key; did you mean "host"?']),
    (
        "start_tls = true",
        ["servers.ldap.start_tls: Grafana ignores it without use_ssl; here the connection is upgraded"],
    ),
    ("min_tls_version = 'SSL3'", ["servers.ldap.min_tls_version: unknown TLS version, ignored"]),
    ("start_tls = true\nuse_ssl = true\ntls_ciphers = ['NO_SUCH']", ["servers.ldap.tls_ciphers: unknown TLS cipher 'NO_SUCH', ignored"]),
    ("use_ssl = true\nmin_tls_version = 'tls1.3'", []),
]


@pytest.mark.parametrize(("lines", "expected"), WARNED)
def test_what_is_warned_of(tmp_path: Path, lines: str, expected: list[str]) -> None:
    assert warnings(tmp_path, BLOCK + lines) == expected


def test_missing_host_loads_and_never_connects(tmp_path: Path) -> None:
    text = BLOCK.replace("host =", "# host =")
    assert warnings(tmp_path, text) == ["servers.ldap.host: block 1 has no host: no connection will succeed"]
    assert server(tmp_path, text).endpoints == (("no-host.invalid", 389, "none"),)


def test_key_case_does_not_matter(tmp_path: Path) -> None:
    text = REFERENCE
    for key in ("search_filter", "[servers", "org_role", "surname"):
        text = text.replace(key, key.upper())
    assert server(tmp_path, text) == server(tmp_path, REFERENCE)


def test_our_keys_in_a_grafana_file(tmp_path: Path) -> None:
    found = server(tmp_path, BLOCK + "name = 'corp'\nrequire_mapping = false\n[servers.pool]\nbinds = 4\n")
    assert (found.name, found.require_mapping, found.pool.binds) == ("corp", False, 4)


def test_a_file_with_our_keys_is_ours(tmp_path: Path) -> None:
    """configuration.md 1.1: only where the top level holds nothing else are Grafana's rules in force."""
    found = server(tmp_path, "uvloop = true\n" + BLOCK)
    assert (found.attributes.username, found.require_mapping) == ("uid", False)


EXPRESSIONS = [
    ("${PORT}", 1389, "an environment value, unquoted"),
    ("$__env{PORT}", 1389, "by provider"),
    ("$__file{DIRECTORY/port}", 1390, "a file, without white space around"),
    ("${VIA_FILE}", 1390, "an environment value may hold a file expression"),
    ("0 # ${} $PORT $$PORT $_x{y} $__other{PORT}", 0, "left as they are"),
    ("0 # ${UNDEFINED}", 0, "undefined is empty"),
]


@pytest.mark.parametrize(("expression", "port", "proves"), EXPRESSIONS)
def test_expression(tmp_path: Path, expression: str, port: int, proves: str) -> None:
    """grafana.md 1.4."""
    (tmp_path / "port").write_text(" 1390\n")
    environment = {"PORT": "1389", "VIA_FILE": f"$__file{{{tmp_path}/port}}"}
    text = f"{BLOCK}port = {expression.replace('DIRECTORY', str(tmp_path))}\n"
    assert server(tmp_path, text, **environment).port == port, proves


def test_file_expressions_give_no_environment(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("${PORT}")
    text = f'{BLOCK}bind_dn = "cn=a"\nbind_password = "$__file{{{tmp_path}/secret}}"\n'
    assert server(tmp_path, text, PORT="1389").bind_password.reveal() == "${PORT}"


def test_hostname(tmp_path: Path) -> None:
    assert server(tmp_path, f'{BLOCK}bind_dn = "${{HOSTNAME}}"').bind_dn == socket.gethostname()
    assert server(tmp_path, f'{BLOCK}bind_dn = "${{HOSTNAME}}"', HOSTNAME="h").bind_dn == "h"


def test_a_value_that_breaks_the_file_is_explained(tmp_path: Path) -> None:
    text = BLOCK + 'bind_password = "${SECRET}"'
    problems = problems_of(tmp_path, text, "ldap.toml", SECRET='hunter2"x')
    assert "a value put in by an expression may hold quotes" in problems[0]
    assert "hunter2" not in problems[0]


def test_certificates(tmp_path: Path, certificate: Path) -> None:
    """root_ca_cert holds paths separated by blanks, relative to the file."""
    for name in ("a.pem", "b.pem"):
        (tmp_path / name).write_bytes(certificate.read_bytes())
    text = f'{BLOCK}use_ssl = true\nroot_ca_cert = "a.pem  b.pem"\n'
    assert server(tmp_path, text).root_ca_cert == (tmp_path / "a.pem", tmp_path / "b.pem")


def test_named_and_unnamed_blocks(tmp_path: Path) -> None:
    text = BLOCK + 'name = "Corp"\n' + BLOCK + BLOCK + 'name = "ldap2"\n' + BLOCK
    servers = load_text(tmp_path, text, "ldap.toml").configuration.servers
    assert [found.name for found in servers] == ["Corp", "ldap", "ldap2", "ldap3"]
    assert all(found.require_mapping for found in servers)


def test_servers_by_name_are_ours(tmp_path: Path) -> None:
    text = '[servers.corp]\nhost = "h"\nsearch_base_dns = ["dc=x"]\n'
    found = server(tmp_path, text)
    assert (found.name, found.attributes.username, found.require_mapping) == ("corp", "uid", False)


def test_several_blocks(tmp_path: Path) -> None:
    servers = load_text(tmp_path, BLOCK * 3, "ldap.toml").configuration.servers
    assert [found.name for found in servers] == ["ldap", "ldap2", "ldap3"]
    assert all(found.require_mapping for found in servers)


def several(tmp_path: Path, *texts: str) -> list[Path]:
    """Files of the names a.toml, b.toml, ...; what begins with a brace is our own."""
    files = [tmp_path / f"{letter}{'.conf' if text[:1] == '{' else '.toml'}" for letter, text in zip("abc", texts, strict=False)]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    return files


OTHER = BLOCK.replace("127.0.0.1", "localhost").replace("cn=%s", "uid=%s")
SECRET = 'bind_dn = "cn=svc"\nbind_password = "corp-secret"\n'
NAMED_OTHER = OTHER + "name = 'corp'\n"
A1, B1 = "ldap (D/a.toml:2:1)", "ldap2 (D/b.toml:2:1)"
# texts of files, names and hosts, the blocks that one warning names
SEVERAL: list[tuple[list[str], list[tuple[str, str]], str]] = [
    ([BLOCK + SECRET, OTHER], [("ldap", "127.0.0.1"), ("ldap2", "localhost")], f"{A1}, {B1}"),
    ([BLOCK * 2, OTHER * 2], [("ldap", "127.0.0.1"), ("ldap2", "127.0.0.1"), ("ldap3", "localhost"), ("ldap4", "localhost")],
     f"{A1}, ldap2 (D/a.toml:7:1), ldap3 (D/b.toml:2:1), ldap4 (D/b.toml:7:1)"),
    ([BLOCK, NAMED_OTHER + OTHER], [("ldap", "127.0.0.1"), ("corp", "localhost"), ("ldap2", "localhost")],
     f"{A1}, ldap2 (D/b.toml:8:1)"),
    ([BLOCK + "name = 'corp'\n", OTHER], [("corp", "127.0.0.1"), ("ldap", "localhost")], "ldap (D/b.toml:2:1)"),
    ([BLOCK, "{ servers.ldap { port = 1389 } }", OTHER], [("ldap", "127.0.0.1"), ("ldap2", "localhost")], f"{A1}, ldap2 (D/c.toml:2:1)"),
    ([BLOCK], [("ldap", "127.0.0.1")], ""),
    ([BLOCK + "name = 'h1'\n", NAMED_OTHER], [("h1", "127.0.0.1"), ("corp", "localhost")], ""),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "servers", "named"), SEVERAL, ids=[str(i) for i in range(len(SEVERAL))])
def test_blocks_of_several_files(tmp_path: Path, texts: list[str], servers: list[tuple[str, str]], named: str) -> None:
    """1.1 of configuration.md: unnamed servers are called in order, which is warned of, since what people hold hangs on
    the names. Two blocks are never one: the password of the first would go to the hosts of the second."""
    snapshot = load(several(tmp_path, *texts), {})
    assert [(one.name, one.host) for one in snapshot.configuration.servers] == servers
    said = f"servers: only their order gives these blocks their names: {named}. Once a block goes or moves, rights"
    assert [said in str(warning).replace(str(tmp_path), "D") for warning in snapshot.warnings] == [True] * bool(named)
    assert [one.host for one in snapshot.configuration.servers if one.bind_password] in (["127.0.0.1"], [])


TWICE = [
    ([BLOCK + "name = 'corp'\n", OTHER + "name = 'Corp'\n"], "b.toml:6:1: servers.Corp.name: is the name of the block at D/a.toml:6:1, too: rename one"),
    ([BLOCK, OTHER + "name = 'ldap'\n"], "b.toml:6:1: servers.ldap.name: is the name of the block at D/a.toml:2:1, too: rename one"),
]


@pytest.mark.parametrize(("texts", "problem"), TWICE, ids=["given", "called"])
def test_one_name_in_two_files(tmp_path: Path, texts: list[str], problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(several(tmp_path, *texts), {})
    assert str(caught.value).replace(str(tmp_path), "D") == f"D/{problem}"


def test_our_own_file_still_adds_to_a_block(tmp_path: Path) -> None:
    snapshot = load(several(tmp_path, BLOCK, "{ servers = [{ name = ldap, port = 1389 }] }"), {})
    assert [(one.name, one.host, one.port) for one in snapshot.configuration.servers] == [("ldap", "127.0.0.1", 1389)]


NUMBERED = "they would become one. Give it a name, the same in both places if one server is meant"
TWO = BLOCK + OTHER
OWN = '{ servers = [{ host = own, search_base_dns = ["dc=x"] }] }'
OWN_2 = '{ servers = [{ name = ldap2, host = own, search_base_dns = ["dc=x"] }] }'
# texts of files; the server, in which file it is told, where the other one has its address, which one lacks a name
ALIKE = [
    ([TWO, OWN_2], "b.conf:1:14: servers.ldap2", "a.toml:8:1", "that"),
    ([OWN_2, TWO], "b.toml:7:1: servers.ldap2", "a.conf:1:30", "this"),
    ([TWO, "{ servers.ldap2.host = own }"], "b.conf:1:11: servers.ldap2", "a.toml:8:1", "that"),
    ([TWO, "{ servers.ldap2.port = 1389 }", OWN_2], "c.conf:1:14: servers.ldap2", "a.toml:8:1", "that"),
    ([BLOCK, OWN], "b.conf:1:14: servers.ldap", "a.toml:3:1", "this"),
    ([BLOCK, '{ servers = [{ urls = ["ldap://own"] }] }'], "b.conf:1:14: servers.ldap", "a.toml:3:1", "this"),
    ([BLOCK + "name = 'ldap'\n", OWN], "b.conf:1:14: servers.ldap", "a.toml:3:1", "this"),
    ([OWN, BLOCK], "b.toml:2:1: servers.ldap", "a.conf:1:16", "this"),
    ([OWN, "{ servers = [{ name = ldap, host = own }] }"], "b.conf:1:14: servers.ldap", "a.conf:1:16", "that"),
]


@pytest.mark.parametrize(("texts", "server", "other", "which"), ALIKE, ids=[str(place) for place in range(len(ALIKE))])
def test_an_address_for_a_server_that_nobody_named(tmp_path: Path, texts: list[str], server: str, other: str, which: str) -> None:
    """1.1 of configuration.md merges tables of equal key; of two servers the one would get the password and the mappings
    of the other, and its people would be lost."""
    with pytest.raises(ConfigurationError) as caught:
        load(several(tmp_path, *texts), {})
    said = [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems if problem.severity == "error"]
    name = server.rpartition(".")[2]
    expected = f"{server}: has an address, and so has the server at {other}: {which} one is called {name} by its order alone, and {NUMBERED}"
    assert said == [expected]


ADDED = '{ servers.ldap { require_mapping = false, bind_dn = "cn=x", bind_password = x } }'
ANEW = '{ servers.ldap = null, servers.ldap { host = own, search_base_dns = ["dc=x"], search_filter = "(cn=%s)", attributes.username = cn } }'
# texts of files
TOGETHER = [
    [BLOCK + "name = 'ldap'\n", "{ servers = [{ name = ldap, host = localhost }] }"],
    [BLOCK + "name = 'ldap'\n", "{ servers.ldap.host = localhost }"],
    [BLOCK, "{ servers = [{ port = 1389 }] }"],
    [BLOCK, ADDED],
    [ADDED, BLOCK],
    [BLOCK, ANEW],
    [BLOCK, ANEW, "{ servers.ldap.host = another }"],
]


@pytest.mark.parametrize("texts", TOGETHER, ids=[str(place) for place in range(len(TOGETHER))])
def test_what_still_adds_to_a_server(tmp_path: Path, texts: list[str]) -> None:
    """DECISIONS 22: by a name that both have, without an address, or in the place of one that was removed."""
    (server,) = load(several(tmp_path, *texts), {}).configuration.servers
    assert server.name == "ldap"


def test_variables_may_give_the_address_of_a_block(tmp_path: Path) -> None:
    snapshot = load(several(tmp_path, TWO), {"CLEARML__servers__ldap2__host": "elsewhere"})
    assert [server.host for server in snapshot.configuration.servers] == ["127.0.0.1", "elsewhere"]


NAMED = {
    "b.yaml": "servers:\n- name: ldap\n  host: localhost\n", "b.json": '{"servers":[{"name":"ldap","host":"localhost"}]}',
    "b.toml": "uvloop = true\nservers = [{name='ldap',host='localhost'}]",
}  # fmt: skip


def test_one_that_says_so_by_its_name(tmp_path: Path) -> None:
    """Whatever the kind of file, and as a variable."""
    [first] = several(tmp_path, BLOCK + "name = 'ldap'\n")
    for name, text in NAMED.items():
        (tmp_path / name).write_text(text)
        assert load([first, tmp_path / name], {}).warnings == ()
    assert load([first], {"CLEARML__servers": '[{"name":"ldap","host":"localhost"}]'}).warnings == ()
    (tmp_path / "b.yaml").write_text("servers:\n- host: localhost\n")
    with pytest.raises(ConfigurationError, match="this one is called ldap by its order alone"):
        load([first, tmp_path / "b.yaml"], {})


def test_one_file_given_twice(tmp_path: Path) -> None:
    """By whatever name: its blocks are no other servers the second time."""
    [file] = several(tmp_path, BLOCK)
    (tmp_path / "link.toml").symlink_to(file)
    (tmp_path / "grafana.ini").write_text("[auth.ldap]\nenabled = true\nconfig_file = link.toml")
    for again in (file, tmp_path / "link.toml", tmp_path / "grafana.ini"):
        snapshot = load([file, again], {})
        assert [one.name for one in snapshot.configuration.servers] == ["ldap"]
        once = again.suffix == ".ini"  # what a grafana.ini names is not read again, and nothing is said of it
        assert [warning.message for warning in snapshot.warnings] == ([] if once else [f"is the same file as {file}, and passed over"])
        assert not [note for note in snapshot.notes if "link.toml is read" in str(note)]


FILES = "root_ca_cert = 'a b'\nclient_cert = 'c'\nclient_key = 'd'\n"
NO_FILE = "No such file or directory"
OFF = f"cannot be read: {NO_FILE}; ignored, because neither use_ssl nor start_tls is on"
LENIENT: list[tuple[str, dict[str, str], list[str], str]] = [
    ("client_cert = 'a'", {}, ["warning: servers.ldap.client_cert: ignored without client_key"], "1.2: only both"),
    ("client_cert = ''\nclient_key = 'a'", {}, ["warning: servers.ldap.client_key: ignored without client_cert"], "1.2: only both"),
    (
        FILES,
        {},
        [f"warning: servers.ldap.root_ca_cert: D/a: {OFF}", f"warning: servers.ldap.client_cert: D/c: {OFF}"],
        "1.3: no error at load",
    ),
    (
        "use_ssl = true\n" + FILES,
        {},
        [f"error: servers.ldap.root_ca_cert: D/a: cannot be read: {NO_FILE}", f"error: servers.ldap.client_cert: D/c: cannot be read: {NO_FILE}"],
        "with TLS no connection would succeed",
    ),
    (
        "root_ca_cert = 'a'",
        {"CLEARML__servers__ldap__start_tls": "true"},
        [f"error: servers.ldap.root_ca_cert: D/a: cannot be read: {NO_FILE}"],
        "a variable turns TLS on",
    ),
    (
        "root_ca_cert = 5\nclient_cert = 5\nclient_key = 'x'",
        {},
        [
            "error: servers.ldap.root_ca_cert: expected a text in quotes, as Grafana does",
            "error: servers.ldap.client_cert: expected a text in quotes, as Grafana does",
        ],
        "1.1: a wrong type refuses the file",
    ),
    (
        "[[servers.group_mappings]]\norg_role = 'Admin'",
        {},
        ["warning: servers.ldap.group_mappings.0.group_dn: the first mapping of block 1 has none: it matches nobody"],
        "1.2: absent is empty, which no group is",
    ),
    (
        "bind_dn = 'cn=${WHO}'\nbind_password = '$__env{SECRET}'\n# ${COMMENT} ${HOSTNAME}",
        {"SECRET": "x"},
        ["warning: ${WHO} becomes empty, because WHO is not set"],
        "1.4: undefined is empty",
    ),
    (
        "timeout = ${SECONDS}",
        {},
        [
            "warning: ${SECONDS} becomes empty, because SECONDS is not set",
            ("error: not valid TOML: Invalid value (at end of document); a value put in by an expression may hold"
            " quotes, or be empty"),
        ],
        "1.4: undefined, without quotes",
    ),
    (
        f"name = 'a'\n{BLOCK}name = 'A'\nport = 'x'\ncolour = 1\n".replace('["dc=grafana,dc=org"]', "[]"),
        {},
        [
            "error: servers.A (2).search_base_dns: is needed in block 2",
            "error: servers.a (2).name: there are two of the name A: rename one",
            "error: servers.A (2).port: expected a whole number, as Grafana does",
            "warning: servers.A (2).colour: unknown key",
        ],
        "a block of a name that is taken is looked at all the same",
    ),
]


@pytest.mark.parametrize(("lines", "environment", "expected", "proves"), LENIENT)
def test_as_lenient_as_grafana(
    tmp_path: Path, lines: str, environment: dict[str, str], expected: list[str], proves: str
) -> None:
    """grafana.md 1.2 to 1.4: a file that works there works here, with a word about what has no effect."""
    assert said(tmp_path, BLOCK + lines, "ldap.toml", **environment) == expected, proves


def test_a_mapping_without_group_keeps_the_door_shut(tmp_path: Path) -> None:
    """Were it dropped, there would be no mapping left to require."""
    text = BLOCK + "[[servers.group_mappings]]\ngroup_dn = ''\norg_role = 'Admin'\n"
    assert [mapping.group_dn for mapping in server(tmp_path, text).group_mappings] == ["no-group.invalid"]

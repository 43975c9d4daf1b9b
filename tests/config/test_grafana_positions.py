"""Positions of an ldap.toml: those of the file as it is written, whatever its expressions become (grafana.md 1.4)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from positions import FILE, at, below, places, rest

from gateway.config.grafana import GrafanaReader, read_grafana
from gateway.config.origin import Given, Problems, plain_value
from gateway.config.reading import Reading, SourceError

BLOCK = "[[servers]]\nhost = 'h'\nsearch_filter = '(cn=%s)'\nsearch_base_dns = ['dc=x']\n"
LONG = "one\ntwo\nthree"
PLACES: list[tuple[str, str, dict[str, str], dict[str, tuple[int, int]]]] = [
    ("no expression", "[[servers]]\nHost = 'h'", {}, {"servers": (1, 3), "servers.0": (1, 1), "servers.0.host": (2, 1)}),
    (
        "lines within a value",
        "[[servers]]\nbind_password = '''${LONG}'''\nport = 1",
        {"LONG": LONG},
        {"servers.0.bind_password": (2, 1), "servers.0.port": (3, 1)},
    ),
    (
        "in one line behind another",
        "[[servers]]\nsearch_base_dns = ['${A}', 'b', '${A}${A}', 'c']",
        {"A": "longer"},
        {f"servers.0.search_base_dns.{index}": (2, column) for index, column in enumerate((20, 28, 33, 45))},
    ),
    (
        "keys that a value brings are written at its expression",
        "# c\n[[servers]] # ${KEYS}\nport = 2",
        {"KEYS": "\nhost = 'h'\nuse_ssl = true"},
        {"servers.0.host": (2, 15), "servers.0.use_ssl": (2, 15), "servers.0.port": (3, 1)},
    ),
    (
        "an expression within the value of another",
        "[[servers]]\nhost = '${OUTER}'\nport = 1",
        {"OUTER": "a $__file{DIRECTORY/long} b"},
        {"servers.0.host": (2, 1), "servers.0.port": (3, 1)},
    ),
    (
        "an empty value",
        "[[servers]]\nhost = '${EMPTY}${EMPTY}'\nport = 1",
        {"EMPTY": ""},
        {"servers.0.host": (2, 1), "servers.0.port": (3, 1)},
    ),
    (
        "CRLF in the file and in the value",
        "[[servers]]\r\nhost = '''${LINES}'''\r\nport = 1\r\n",
        {"LINES": "a\r\nb"},
        {"servers.0.host": (2, 1), "servers.0.port": (3, 1)},
    ),
]


def read(text: str, environment: dict[str, str], reading: Reading | None = None) -> tuple[Given | None, list[str]]:
    """The tree, and what was said of it."""
    problems = Problems()
    tree = read_grafana(text, environment, FILE, problems, reading or Reading())
    return tree, [str(problem) for problem in problems.all]


@pytest.mark.parametrize(("what", "text", "environment", "expected"), PLACES, ids=[row[0] for row in PLACES])
def test_positions(
    tmp_path: Path, what: str, text: str, environment: dict[str, str], expected: dict[str, tuple[int, int]]
) -> None:
    (tmp_path / "long").write_text(LONG.replace("\n", "\t\\\\"))
    environment = {name: value.replace("DIRECTORY", str(tmp_path)) for name, value in environment.items()}
    tree, said = read(text, environment)
    assert tree is not None
    assert expected.items() <= places(tree).items(), what
    assert said == []


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["x", "${A}", "$__env{B}", "${NONE}", "$x", "$__x{\n}", "ü"]), max_size=6).map("".join),
    st.text("ab\nü$}{_", max_size=9),
    st.text("ab\nü", max_size=9),
)
def test_an_expanded_file_keeps_its_places(written: str, first: str, second: str) -> None:
    """Keys behind expressions stand where they are written, however long the values are."""
    text = f"[[servers]]\nname = '''{written}'''\nport = 17 # ${{NONE}}\n[servers.attributes]\n  email = '''{written}''' \n"
    tree, _ = read(text, {"A": first, "B": second})
    assert tree is not None
    for path, item in below(tree):
        step = path[-1]
        assert rest(text, item.origin).startswith("[[servers]]" if isinstance(step, int) else step)


def test_files_are_watched_and_read_once(tmp_path: Path) -> None:
    """The reload goes by what was read, so every file that an expression names is noted."""
    secret, missing = tmp_path / "secret", tmp_path / "missing"
    secret.write_text(" s3cret\n")
    reading = Reading()
    tree, _ = read(f"{BLOCK}bind_password = '$__file{{{secret}}}' # $__file{{{secret}}}\n", {}, reading)
    assert tree is not None
    assert at(tree, "servers.0.bind_password").value == "s3cret"
    with pytest.raises(SourceError) as caught:
        read(f"{BLOCK}\n  bind_password = '$__file{{{missing}}}'", {}, reading)
    assert str(caught.value) == f"$__file{{{missing}}}: cannot be read: No such file or directory"
    assert (caught.value.line, caught.value.column) == (6, 20)
    assert {path: (content.role, content.data) for path, content in reading.contents.items()} == {
        secret: ("other", b" s3cret\n"),
        missing: ("other", None),
    }


UNSET: list[tuple[str, list[str]]] = [
    ("bind_dn = '${WHO}'", ["/etc/gateway:5:12: ${WHO} becomes empty, because WHO is not set"]),
    ("bind_dn = '$__env{WHO}${HOSTNAME}'", ["/etc/gateway:5:12: $__env{WHO} becomes empty, because WHO is not set"]),
    ("  # ${WHO}", []),
    ("bind_dn = 'x' # ${WHO}", ["/etc/gateway:5:17: ${WHO} becomes empty, because WHO is not set"]),
    (
        "bind_password = '''planted${planted\n}'''",
        ["/etc/gateway:5:27: an expression becomes empty, because it names no variable"],
    ),
]


@pytest.mark.parametrize(("line", "expected"), UNSET)
def test_an_unset_variable(line: str, expected: list[str]) -> None:
    """A warning where the expression is; what only looks like one may be part of a password."""
    tree, said = read(BLOCK + line, {})
    assert tree is not None
    assert said == expected


WRONG: list[tuple[str, dict[str, str], str, int, int]] = [
    ("host = '''${A}'''\nport = [", {"A": LONG}, "not valid TOML: Invalid value (at end of document); a value", 3, 9),
    ("name = '${A}' # c", {"A": "x'y"}, "not valid TOML: Expected newline or end of document after a statement; a", 2, 9),
    ("host = '''${A}'''\n port = !", {"A": LONG}, "not valid TOML: Invalid value; a value put in", 3, 9),
    ("host = '''${A}'''\nhost = 1", {"A": LONG}, "not valid TOML: a key is given twice, first in line 2; a", 3, 1),
    ("host = 1\n Host = 2", {}, "a key is given twice, in different case, first in line 2", 3, 2),
    ("host = '" + "${A}" * 9 + "'", {"A": "x" * 1024 * 1024}, "larger than 8388608 characters with the values", 0, 0),
]


@pytest.mark.parametrize(("lines", "environment", "message", "line", "column"), WRONG, ids=[row[2][:50] for row in WRONG])
def test_errors(lines: str, environment: dict[str, str], message: str, line: int, column: int) -> None:
    with pytest.raises(SourceError) as caught:
        read(f"[[servers]]\n{lines}", environment)
    assert str(caught.value).startswith(message)
    assert (caught.value.line, caught.value.column) == (line, column)


OTHERS = ["", "# c", "uvloop = true", "[log]\n[[servers]]", "[servers.corp]\nhost = 'h'", "'servers'.corp = {}", "\n# [[servers]]\n[ tokens ]"]


@pytest.mark.parametrize("text", OTHERS)
def test_a_file_of_ours(text: str) -> None:
    """configuration.md 1.1: Grafana's rules hold only where the top level has nothing else."""
    assert read(text, {}) == (None, [])


def test_hostile_text_takes_no_time() -> None:
    """Expressions without an end, each of which could run to the end of the file."""
    text = BLOCK + "# " + "${" * 900_000
    tree, said = read(text, {})
    assert tree is not None
    assert said == []


ADAPTED: list[tuple[str, list[str]]] = [
    ("verbose_logging = true", ["/etc/gateway: servers: no server is defined"]),
    ("servers = []", ["/etc/gateway:1:1: servers: no server is defined"]),
    (
        "[[servers]]\n[[servers]]\nsearch_filter = ''\n  search_base_dns = []\nhost = ''\nuse_ssl = false\nstart_tls = true\nmin_tls_version = 'x'",
        [
            "/etc/gateway:1:1: servers.ldap.search_filter: is needed in block 1",
            "/etc/gateway:1:1: servers.ldap.search_base_dns: is needed in block 1",
            "/etc/gateway:1:1: servers.ldap.host: block 1 has no host: no connection will succeed",
            "/etc/gateway:3:1: servers.ldap2.search_filter: is needed in block 2",
            "/etc/gateway:4:3: servers.ldap2.search_base_dns: is needed in block 2",
            "/etc/gateway:5:1: servers.ldap2.host: block 2 has no host: no connection will succeed",
            "/etc/gateway:7:1: servers.ldap2.start_tls: Grafana ignores it without use_ssl; here the connection is upgraded",
            "/etc/gateway:8:1: servers.ldap2.min_tls_version: unknown TLS version, ignored",
        ],
    ),
    (
        f"{BLOCK}[[servers.group_mappings]]\n[[servers.group_mappings]]\ngroup_dn = ''\norg_role = 'EDITOR'",
        [
            "/etc/gateway:5:1: servers.ldap.group_mappings.0: the first mapping of block 1 has neither org_role nor grafana_admin",
            "/etc/gateway:5:1: servers.ldap.group_mappings.0.group_dn: the first mapping of block 1 has none: it matches nobody",
            "/etc/gateway:7:1: servers.ldap.group_mappings.1.group_dn: the second mapping of block 1 has none: it matches nobody",
            "/etc/gateway:8:1: servers.ldap.group_mappings.1.org_role: the second mapping of block 1: expected Viewer, Editor, Admin, None",
        ],
    ),
]


@pytest.mark.parametrize(("text", "expected"), ADAPTED)
def test_what_is_said_of_a_block(text: str, expected: list[str]) -> None:
    """grafana.md 1.3, at the key, or at the table that lacks it."""
    problems = Problems()
    tree = read_grafana(text, {}, FILE, problems, Reading())
    assert tree is not None
    adapted = GrafanaReader(FILE, problems, {}).adapt(tree)
    assert [str(problem) for problem in problems.all] == expected
    assert all(item.origin.line for _, item in below(adapted))


def test_what_is_put_in_has_the_place_of_its_table() -> None:
    text = BLOCK.replace("host", "# ") + "root_ca_cert = 'a  b'\n[[servers.group_mappings]]\norg_role = ''\norg_id = 0"
    tree, _ = read(text, {})
    assert tree is not None
    server = at(GrafanaReader(FILE, Problems(), {}).adapt(tree), "servers.0")
    assert plain_value(server) == {
        "name": "ldap",
        "host": "no-host.invalid",
        "search_filter": "(cn=%s)",
        "search_base_dns": ["dc=x"],
        "root_ca_cert": ["a", "b"],
        "group_mappings": [{"group_dn": "no-group.invalid", "org_role": "Viewer", "org_id": 1}],
    }
    lines = {path: at(server, path).origin.line for path in ("name", "host", "root_ca_cert.1", "group_mappings.0.group_dn")}
    assert lines == {"name": 1, "host": 1, "root_ca_cert.1": 5, "group_mappings.0.group_dn": 6}

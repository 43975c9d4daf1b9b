"""What one configuration changes of another, and which changes are not applied by themselves (DECISIONS 25)."""

from __future__ import annotations

from pathlib import Path

import pytest
from config_lookup import load_text

from gateway.config.difference import RESTART_KEYS, changes
from gateway.config.hold import cut_short, shrinks
from gateway.config.reading import Content

SERVER = 'servers = [{ name = corp, host = h, search_base_dns = ["dc=x"], bind_dn = "cn=a", bind_password = "planted-1" }]'
MAPPED = SERVER.replace(" }]", ', group_mappings = [{ group_dn = "cn=x", admin = true }, { group_dn = "cn=y", admin = true }] }]')

ROWS = [
    ("the same", SERVER, "# a comment\n" + SERVER, []),
    ("changed", "log.level = info", "log.level = debug", ['~ log.level: "info" -> "debug"']),
    ("a default", "", "lockout.failures = 7", ["~ lockout.failures: 5 -> 7"]),
    ("a duration", "lockout.window = 900", "lockout.window = 1h", ['~ lockout.window: "15m" -> "1h"']),
    ("restart", 'listen = ["127.0.0.1:1"]', 'listen = ["127.0.0.1:2"]',
        ['~ listen: ["127.0.0.1:1"] -> ["127.0.0.1:2"] (needs a restart)',
         '~ public_url: "http://127.0.0.1:1" -> "http://127.0.0.1:2"']),
    ("a secret is never shown", SERVER, SERVER.replace("planted-1", "planted-2"),
        ['~ servers.corp.bind_password: "******" -> "******"']),
    ("a server", "", SERVER,
        ['+ servers.corp = {"name": "corp", "host": "h", "bind_dn": "cn=a", "bind_password": "******", "search_base_dns": ["dc=x"]}']),
    ("a server less", SERVER, "",
        ['- servers.corp = {"name": "corp", "host": "h", "bind_dn": "cn=a", "bind_password": "******", "search_base_dns": ["dc=x"]}']),
    ("a mapping less", MAPPED, MAPPED.replace('{ group_dn = "cn=x", admin = true }, ', ""),
        ['- servers.corp.group_mappings = {"group_dn": "cn=x", "admin": true}']),
    ("another order of mappings", MAPPED, MAPPED.replace("cn=x", "cn=z").replace("cn=y", "cn=x").replace("cn=z", "cn=y"),
        ["~ servers.corp.group_mappings: the old order -> another order"]),
    ("another order of users", "users = [{username=a, disabled=true}, {username=b, disabled=true}]",
        "users = [{username=b, disabled=true}, {username=a, disabled=true}]", ['~ users: ["a", "b"] -> ["b", "a"]']),
    ("a map", "vaults.groups { a { group = x } }", "vaults.groups { a { group = y }, b { users = [z] } }",
        ['~ vaults.groups.a.group: "x" -> "y"', '+ vaults.groups.b = {"users": ["z"]}']),
]  # fmt: skip


@pytest.mark.parametrize(("proves", "old", "new", "expected"), ROWS, ids=[row[0] for row in ROWS])
def test_changes(tmp_path: Path, proves: str, old: str, new: str, expected: list[str]) -> None:
    before, after = (load_text(tmp_path, text, "a.conf").configuration for text in (old, new))
    assert [str(change) for change in changes(before, after)] == expected, proves


def test_a_clear_text_password_is_not_new_each_time(tmp_path: Path) -> None:
    text = "apiserver.auth.fixed_users.users = [{ username = jane, password = pa }]"
    before, after = (load_text(tmp_path, text, "a.conf").configuration for _ in range(2))
    assert changes(before, after) == ()


def test_restart_keys_exist(tmp_path: Path) -> None:
    configuration = load_text(tmp_path, "", "a.conf").configuration
    for key in RESTART_KEYS:
        value: object = configuration
        for name in key.split("."):
            assert hasattr(value, name), key
            value = getattr(value, name)


OLD = {
    Path("/a.conf"): Content("configuration", b"{ a = 1\nb = 2 }\n", 1000),
    Path("/more.conf"): Content("configuration", b"c = 1\n", 1000),
    Path("/password"): Content("secret", b"hunter22\n", 1000),
    Path("/ca.pem"): Content("other", b"-----BEGIN", 1000),
    Path("/empty"): Content("configuration", b"", 1000),
}
CUTS = [
    ("/a.conf", b"{ a = 1\nb = 2 }", True, "the line end less"),
    ("/a.conf", b"{ a = 1\nb = 2 ", True, "one sign less"),
    ("/a.conf", b"{ a = 1\n\n", True, "a beginning, and an empty line"),
    ("/a.conf", b"{", True, "a beginning"),
    ("/a.conf", b"", True, "emptied"),
    ("/a.conf", b" \n\n", True, "only blanks"),
    ("/a.conf", b"{ a = 1\nb = 2 }\n", False, "the same"),
    ("/a.conf", b"{ a = 1\nb = 2 }\n# more", False, "longer"),
    ("/a.conf", b"{ a = 1 }\n", False, "shorter, and something else"),
    ("/more.conf", None, True, "an optional include is gone"),
    ("/password", b"hunter22", False, "a line end is none of the secret"),
    ("/password", b"hunter", True, "half a secret"),
    ("/password", b"other", False, "another secret"),
    ("/password", b"", True, "no secret"),
    ("/ca.pem", b"-----BE", True, "half a certificate"),
    ("/ca.pem", b"-----NEW", False, "another certificate"),
    ("/ca.pem", b"", True, "no certificate"),
    ("/empty", b"", False, "it was empty"),
    ("/new", b"", False, "it is new"),
]


@pytest.mark.parametrize(("path", "data", "cut", "proves"), CUTS, ids=[row[3] for row in CUTS])
def test_cut_short(path: str, data: bytes | None, cut: bool, proves: str) -> None:
    role = OLD[Path(path)].role if Path(path) in OLD else "configuration"
    new = OLD | {Path(path): Content(role, data, 1000)}
    assert cut_short(OLD, new) == (Path(path) if cut else None), proves


def users(count: int, letter: str = "u") -> str:
    return f"users = [{', '.join(f'{{ username = {letter}{number}, disabled = true }}' for number in range(count))}]"


GONE = "more than half of {} would be gone: {} of {}"
SHRINKS = [
    (users(4), users(2), "", "half is not more than half"),
    (users(4), users(1), GONE.format("users", 3, 4), ""),
    (users(1), "", GONE.format("users", 1, 1), ""),
    (users(1), users(9), "", "more is no loss"),
    (users(4), users(4, "v"), GONE.format("users", 4, 4), "what takes their place does not count"),
    (MAPPED, SERVER, GONE.format("group_mappings", 2, 2), ""),
    (SERVER, "", GONE.format("servers", 1, 1), ""),
]


@pytest.mark.parametrize(("old", "new", "expected", "proves"), SHRINKS)
def test_shrinks(tmp_path: Path, old: str, new: str, expected: str, proves: str) -> None:
    before, after = (load_text(tmp_path, text, "a.conf").configuration for text in (old, new))
    assert shrinks(before, after) == expected, proves

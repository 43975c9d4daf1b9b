"""What one configuration changes of another, and which changes are not applied by themselves (DECISIONS 25)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from config_lookup import load_text
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.config.difference import RESTART_KEYS, changes
from gateway.config.hold import cut_short, shrinks
from gateway.config.reading import Content
from gateway.reload_tried import examine
from gateway.store.interface import Layer

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


FILES = (
    "state_dir = D/var, tls { cert_file = D/a.pem, key_file = D/a.key }, servers = [{ name = corp, host = h, "
    'use_ssl = true, search_base_dns = ["dc=x"], root_ca_cert = [D/ca.pem, D/more.pem] }]'
)
ADDED = (
    '+ servers.corp = {"name": "corp", "host": "h", "use_ssl": true, "root_ca_cert": ["D/ca.pem", "D/more.pem"], '
    '"search_base_dns": ["dc=x"]}'
)
ANOTHER = "~ {}: the old content -> another content"
# what it proves, the configuration before and after with D for the directory, files that change, changes
OF_FILES = [
    ("nothing", FILES, FILES, [], []),
    ("a renewed pair", FILES, FILES, ["a.pem", "a.key"], [ANOTHER.format("tls.cert_file"), ANOTHER.format("tls.key_file")]),
    ("one of several", FILES, FILES, ["more.pem"], [ANOTHER.format("servers.corp.root_ca_cert")]),
    ("all of several", FILES, FILES, ["more.pem", "ca.pem"], [ANOTHER.format("servers.corp.root_ca_cert")]),
    ("another file is told by its name", FILES, FILES.replace("a.key", "ca.pem"), ["ca.pem"],
        ['~ tls.key_file: "D/a.key" -> "D/ca.pem"', ANOTHER.format("servers.corp.root_ca_cert")]),
    ("a new server is told as a whole", FILES.partition(", servers")[0], FILES, ["a.pem"],
        [ADDED, ANOTHER.format("tls.cert_file")]),
]  # fmt: skip


@pytest.mark.parametrize(("proves", "old", "new", "touched", "expected"), OF_FILES, ids=[row[0] for row in OF_FILES])
def test_files_that_keys_name(
    tmp_path: Path, pem: str, proves: str, old: str, new: str, touched: list[str], expected: list[str]
) -> None:
    """DESIGN 4.5: what they hold counts, so a renewed certificate is a change of its key."""
    for name in ("a.pem", "a.key", "ca.pem", "more.pem"):
        (tmp_path / name).write_text(pem)
    before = load_text(tmp_path, old.replace("D/", f"{tmp_path}/"), "a.conf")
    for name in touched:
        (tmp_path / name).write_text(f"{pem}\n{pem}")
    tried = examine([_written(tmp_path, new)], {}, Layer(0, ()), before, before.configuration)
    assert tried.snapshot is not None, tried.problems
    assert [str(change).replace(f"{tmp_path}/", "D/").partition(", valid")[0] for change in tried.changes] == expected, proves
    assert [change.remark.startswith("valid until 20") for change in tried.changes] == [
        change.path == "tls.cert_file" for change in tried.changes
    ]


def _written(directory: Path, text: str) -> Path:
    path = directory / "a.conf"
    path.write_text(text.replace("D/", f"{directory}/"))
    return path


@pytest.fixture(scope="module")
def pem() -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


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

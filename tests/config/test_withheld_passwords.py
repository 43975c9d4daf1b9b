"""A bind password never goes where somebody else has sent its server (DECISIONS 15); origins of names with dots (22)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import Snapshot, load
from gateway.settings import declared_in
from gateway.store.interface import Setting

PASSWORD = "planted-bind-password"
SERVER = 'servers.corp { preset = vault, host = dc1, port = 636, use_ssl = true, bind_dn = "cn=svc", user_dn = "dc=x"'
INLINE = f'{SERVER}, bind_password = "{PASSWORD}" }}'
VARIABLE = "CLEARML__servers__corp__bind_password"


def stored(*path: str, value: Any) -> Setting:
    return Setting(path, value, path[-1] == "bind_password", 0, "ada", 1)


def of(key: str, value: Any) -> Setting:
    return stored("servers", "corp", key, value=value)


def loaded(directory: Path, text: str, settings: list[Setting], **environment: str) -> Snapshot:
    file = directory / "gateway.conf"
    file.write_text(text)
    return load([file], environment, stored=settings)


EVIL = of("urls", ["ldap://evil"])

# file, what an API wrote, variables, whether the password is used
PASSWORDS: list[tuple[str, list[Setting], dict[str, str], bool]] = [
    (INLINE, [], {}, True),
    (INLINE, [EVIL], {}, False),
    (INLINE, [of("host", "evil")], {}, False),
    (INLINE, [of("use_ssl", value=False)], {}, False),
    (INLINE, [of("start_tls", value=True)], {}, False),
    (INLINE, [of("ssl_skip_verify", value=True)], {}, False),
    (INLINE, [of("min_tls_version", "TLS1.0")], {}, False),
    (INLINE, [of("port", None)], {}, False),
    # what an API says as the file does sends it nowhere else
    (INLINE, [of("use_ssl", value=True)], {}, True),
    (INLINE, [of("user_dn", "dc=y"), of("bind_dn", "cn=other"), of("timeout", 5)], {}, True),
    # written together through the API
    (INLINE, [EVIL, of("bind_password", "mine")], {}, True),
    (SERVER + "}", [EVIL, of("bind_password", "mine")], {}, True),
    # from the environment, on a server of a file and on one that an API made
    (SERVER + "}", [EVIL], {VARIABLE: PASSWORD}, False),
    (SERVER + "}", [EVIL, of("bind_password", "mine")], {VARIABLE: PASSWORD}, False),
    ("users = []", [of("preset", "vault"), of("bind_dn", "cn=svc"), EVIL], {VARIABLE: PASSWORD}, False),
    # the environment decides where the server is, too
    (INLINE, [EVIL], {"CLEARML__servers__corp__urls": "ldaps://dc9"}, True),
    # the server cannot do without it by its own words, and the others start nevertheless
    (f'{SERVER}, bind_mode = service, recheck = service, bind_password = "{PASSWORD}" }}', [EVIL], {}, False),
]


@pytest.mark.parametrize(
    ("text", "settings", "variables", "used"), PASSWORDS, ids=[f"row{number}" for number in range(len(PASSWORDS))]
)
def test_where_a_bind_password_is_used(
    tmp_path: Path, text: str, settings: list[Setting], variables: dict[str, str], used: bool
) -> None:
    snapshot = loaded(tmp_path, text, settings, **variables)
    (server,) = snapshot.configuration.servers
    assert bool(server.bind_password) is used
    assert (server.mode == "service") is used
    told = [str(problem) for problem in snapshot.warnings if "is not used" in problem.message]
    assert len(told) == (not used)
    if told:
        # Both places, and the way out.
        assert told[0].startswith(VARIABLE if variables else f"{tmp_path / 'gateway.conf'}:1:")
        assert "was stored by ada" in told[0]
        assert "config forget servers.corp." in told[0]
        assert PASSWORD not in told[0]


def test_names_with_dots_are_not_taken_apart(tmp_path: Path) -> None:
    """22: what is said of ``corp.example``, or of a group ``bind_password``, is not said of another server."""
    text = f'servers {{ "corp.vault.groups" {{ host = dc1, bind_dn = a, bind_password = "{PASSWORD}", user_dn = "dc=x" }} }}'
    settings = [of("preset", "vault"), stored("servers", "corp", "vault", "groups", "bind_password", value=["a"])]
    snapshot = loaded(tmp_path, text, settings)
    dotted = ("servers", "corp.vault.groups")
    assert snapshot.origin((*dotted, "bind_password")).kind == "file"
    assert snapshot.origin(("servers", "corp", "vault", "groups", "bind_password")).kind == "stored"
    assert declared_in(snapshot, ("servers", "corp")) == ""
    assert declared_in(snapshot, dotted)

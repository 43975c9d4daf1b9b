"""The files in conf/: they load, and gateway.conf knows every key with its default."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import argon2

from gateway.config.load import load
from gateway.config.origin import Origin, Problems, plain_value
from gateway.config.reading import Reading
from gateway.config.schema import QUICKSTART_HASH, Configuration, Secret, Section, TcpAddress
from gateway.config.schema.shape import leaves, shape_of
from gateway.config.sources import parse

CONF = Path(__file__).parents[2] / "conf"
MOUNTS = ("vault.", "vault.local.", "vault.realm.", "servers.*.vault.")
EXAMPLES = {
    "state_dir",
    *(f"servers.*.{key}" for key in ("name", "host", "search_base_dns", "bind_dn", "bind_password")),
    *(f"users.*.{key}" for key in ("username", "name", "email", "groups", "password_hash")),
    *(f"{place}group_mappings.*.{key}" for place in ("", "servers.*.") for key in ("group_dn", "org_role")),
    "servers.*.attributes.extra.*",
    "clearml.credentials.*.user_key",
    "clearml.credentials.*.user_secret",
    "vaults.groups.*.group",
    "vaults.declared.*.data",
    "conjur.services.*.allow",
    "vault.policies.*",
    "vault.mounts.*",
    *(f"{place}groups.*" for place in MOUNTS),
    *(f"{place}users.*.{key}" for place in MOUNTS for key in ("groups", "policies")),
    "session.cookies.*.domain",
    "session.cookies.*.portal_url",
    *(f"access_control.rules.*.{key}" for key in ("name", "domain", "resources", "methods", "networks", "query", "subject", "policy")),
    "access_control.networks.*",
    "identity_headers.presets.*.*",
    "portal.links.*.url",
    "portal.links.*.title",
    "tls.cert_file",
    "tls.key_file",
}
"""Keys of gateway.conf that show an example, because the default is nothing."""


def uncommented() -> str:
    """gateway.conf with every ``#key`` line in force; prose has a blank behind its #."""
    text = (CONF / "gateway.conf").read_text(encoding="utf-8")
    return re.sub(r"^(\s*)#(?=\S)", r"\1", text, flags=re.MULTILINE)


def written(tree: Any, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Every value of a plain tree; items of lists and maps as ``*``."""
    if isinstance(tree, list) and tree and isinstance(tree[0], dict):
        return written(tree[0], (*path, "*"))
    if not isinstance(tree, dict):
        return {".".join(path): tree}
    named = {"extra", "credentials", "groups", "services", "declared", "networks", "presets"} & {*path[-1:]}
    named = named or {"policies", "mounts", "token_roles"} & {*path[-1:]} or ("vault" in path and path[-1] == "users")
    items = (named or path[-2:-1] == ("presets",)) and "clearml.groups" not in ".".join(path)
    values: dict[str, Any] = {}
    for key, value in tree.items():
        values |= written(value, (*path, "*" if items else key))
    return values


def test_every_key_is_written() -> None:
    keys = {".".join(path) for path, _ in leaves(shape_of(Configuration))}
    tree = plain_value(parse(uncommented(), ".conf", Origin("file", "gateway.conf"), Reading(), Problems()))
    assert set(written(tree)) == keys


def test_every_default_is_written(tmp_path: Path) -> None:
    """The uncommented file is good, and apart from the examples it is the defaults."""
    text = uncommented().replace("$argon2id$...", QUICKSTART_HASH).replace('"..."', '"0123456789abcdef"')
    file = tmp_path / "gateway.conf"
    file.write_text(text, encoding="utf-8")
    loaded = load([file], {}).configuration
    mounts = {name: {"users": {"tesla": {}}} for name in ("local", "realm")}
    defaults = Configuration(
        servers=({"name": "corp", "group_mappings": ({},), "vault": {"users": {"tesla": {}}}},),  # type: ignore[arg-type]
        users=({"username": "grace"},),  # type: ignore[arg-type]
        group_mappings=({},),  # type: ignore[arg-type]
        clearml={"credentials": {"ci": {}}},  # type: ignore[arg-type]
        vaults={"groups": {"scientists": {}}, "declared": {"storage": {}}},  # type: ignore[arg-type]
        vault={"users": {"tesla": {}}, "token_roles": {"builds": {}}, **mounts},  # type: ignore[arg-type]
        conjur={"services": {"corp": {}}},  # type: ignore[arg-type]
        session={"cookies": ({"domain": "x.test", "portal_url": "https://x.test"},)},  # type: ignore[arg-type]
        access_control={"rules": ({"name": "x", "policy": "deny"},)},  # type: ignore[arg-type]
        identity_headers={"presets": {"wiki": {}}},  # type: ignore[arg-type]
        portal={"links": ({"url": "https://x.test"},)},  # type: ignore[arg-type]
    )
    differences = {path for path in compared(loaded, defaults) if path not in EXAMPLES}
    assert differences == set()


def compared(loaded: Any, default: Any, path: str = "") -> list[str]:
    """Paths at which two configurations differ."""
    if isinstance(loaded, tuple) and loaded and isinstance(loaded[0], Section):
        return compared(loaded[0], default[0], f"{path}.*")
    if isinstance(loaded, Section):
        names = type(loaded).model_fields
        differences = [compared(getattr(loaded, name), getattr(default, name), f"{path}.{name}") for name in names]
        return [found for difference in differences for found in difference]
    if isinstance(loaded, Mapping):
        return [found for key in loaded for found in compared(loaded[key], default.get(key), f"{path}.*")]
    return [] if loaded == default else [path.removeprefix(".")]


def test_gateway_conf_as_it_is() -> None:
    """Nothing in it is in force before a # is taken away."""
    assert load([CONF / "gateway.conf"], {}).configuration == load([], {}).configuration


def test_quickstart() -> None:
    snapshot = load([CONF / "quickstart.conf"], {})
    configuration = snapshot.configuration
    assert snapshot.warnings == ()
    assert configuration.listen == (TcpAddress("127.0.0.1", 8008),)
    assert configuration.admins == ("group:admins",)
    (user,) = configuration.users
    assert (user.username, user.groups, user.password_hash) == ("ada", ("admins",), Secret(QUICKSTART_HASH))
    assert argon2.PasswordHasher().verify(QUICKSTART_HASH, "lovelace")


def test_ldap_toml() -> None:
    snapshot = load([CONF / "ldap.toml"], {"LDAP_BIND_PASSWORD": "secret"})
    (server,) = snapshot.configuration.servers
    assert snapshot.warnings == ()
    assert (server.mode, server.bind_password.reveal(), server.require_mapping) == ("service", "secret", True)
    assert [mapping.org_role for mapping in server.group_mappings] == ["Admin", "Editor", "Viewer"]


def test_lines_are_short() -> None:
    for file in CONF.glob("*.*"):
        lines = file.read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if len(line) > 120 or "\t" in line] == []

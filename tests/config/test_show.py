"""``config show``: every value, in four formats that can be loaded again, with origins, and never a secret."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from config_lookup import load_text

from gateway.config.load import load
from gateway.config.schema import QUICKSTART_HASH, Configuration
from gateway.config.schema.shape import leaves, shape_of
from gateway.config.show import FORMATS, only_set, rows, shown_tree, written

TEXT = """
log.level = debug
public_url = "https://auth.example.com"
listen = ["127.0.0.1:8008", "[::1]:8008", "unix:/run/x.sock"]
lockout { window = 90m, duration = 1500ms }
session.refresh_interval = always
session.max_stale = never
http.max_body = 3 MiB
servers = [
  { name = "corp/eu.1", host = "a b", search_base_dns = ["ou=ä\\\\\\"x,dc=x"], bind_dn = "cn=svc", bind_password = "planted-secret"
    attributes.extra { "phone number" = telephoneNumber, x = y }
    group_mappings = [
      { group_dn = "cn=x", clearml_role = admin }
      { group_dn = "*", org_role = Viewer, policies = [a, b] }
    ] }
  { name = second, host = h, search_base_dns = ["dc=y"] }
]
users = [ { username = "Ada.L", name = "Ada", password_hash = "HASH" } ]
vaults.groups { "data scientists" { group = x } }
""".replace("HASH", QUICKSTART_HASH)


def test_it_is_every_key(tmp_path: Path) -> None:
    snapshot = load_text(tmp_path, TEXT, "a.conf")
    shown = {".".join(row.path) for row in rows(shown_tree(snapshot.configuration, snapshot.origins))}
    plain_keys = {".".join(path) for path, _ in leaves(shape_of(Configuration)) if "*" not in path}
    assert plain_keys <= shown
    assert "servers.corp/eu.1.group_mappings.1.policies" in shown


@pytest.mark.parametrize("origin", [False, True])
@pytest.mark.parametrize("name", ["hocon", "toml", "yaml", "json"])
def test_what_is_shown_can_be_loaded(tmp_path: Path, name: str, origin: bool) -> None:
    """The same configuration, but for the secrets."""
    if name == "json" and origin:
        return  # a list of rows, for programs
    snapshot = load_text(tmp_path, TEXT, "a.conf")
    text = written(shown_tree(snapshot.configuration, snapshot.origins), name, origin=origin)
    assert "planted" not in text and "$argon2" not in text
    text = re.sub(r'(password_hash"?( =|:)) "\*{6}"', rf'\1 "{QUICKSTART_HASH}"', text).replace("******", "secret")
    (tmp_path / f"b.{name}").write_text(text)
    again = load([tmp_path / f"b.{name}"], {}, working_directory=tmp_path).configuration
    assert written(shown_tree(again, {}), "json") == written(shown_tree(snapshot.configuration, {}), "json")


@pytest.mark.parametrize("form", FORMATS)
def test_origins_are_told(tmp_path: Path, form: str) -> None:
    (tmp_path / "a.conf").write_text("log.level = info\nlog.format = json")
    (tmp_path / "b.toml").write_text("[log]\nlevel = 'error'\n")
    files = [tmp_path / "a.conf", tmp_path / "b.toml"]
    snapshot = load(files, {"CLEARML__lockout__failures": "7"}, working_directory=tmp_path)
    text = written(shown_tree(snapshot.configuration, snapshot.origins), form, origin=True)
    if form == "json":
        told = {".".join(row["path"]): row for row in json.loads(text)}
        assert told["log.level"]["origin"] == {"kind": "file", "place": f"{tmp_path}/b.toml", "line": 2, "column": 1}
        assert told["log.level"]["overrides"] == [
            {"kind": "file", "place": f"{tmp_path}/a.conf", "line": 1, "column": 5}
        ]
        assert told["lockout.failures"]["origin"] == {"kind": "variable", "place": "CLEARML__lockout__failures"}
        return
    lines = [line.strip() for line in text.splitlines()]
    (level,) = [line for line in lines if "error" in line]
    assert level.endswith(f"# {tmp_path}/b.toml:2:1 (overrides {tmp_path}/a.conf:1:5)")
    assert any(line.endswith("7  # CLEARML__lockout__failures") for line in lines)
    assert any(line.startswith("window") and line.endswith("# default") for line in lines)


@pytest.mark.parametrize("form", FORMATS)
def test_only_what_is_set(tmp_path: Path, form: str) -> None:
    """No default, a preset's neither; what is shown loads as the same configuration."""
    text = TEXT.replace("name = second,", "name = second, preset = openldap,")
    snapshot = load_text(tmp_path, text, "a.conf")
    tree = only_set(shown_tree(snapshot.configuration, snapshot.origins))
    keys = {".".join(row.path) for row in rows(tree)}
    assert {key for key in keys if key.startswith("servers.second.")} == {
        f"servers.second.{key}" for key in ("name", "preset", "host", "search_base_dns")
    }
    assert not keys & {"log.format", "tokens.lifetime"}
    text = written(tree, form).replace("******", "secret")
    text = re.sub(r'(password_hash"?( =|:)) "secret"', rf'\1 "{QUICKSTART_HASH}"', text)
    (tmp_path / f"b.{form}").write_text(text)
    again = load([tmp_path / f"b.{form}"], {}, working_directory=tmp_path).configuration
    assert written(shown_tree(again, {}), "json") == written(shown_tree(snapshot.configuration, {}), "json")


def test_a_hostile_name_stays_on_its_line(tmp_path: Path) -> None:
    """A file's name or a variable's may hold a line end; in a comment it would end the comment."""
    directory = tmp_path / "x\nadmins = [all]"
    directory.mkdir()
    snapshot = load_text(directory, "log.level = error", "a.conf")
    text = written(shown_tree(snapshot.configuration, snapshot.origins), "hocon", origin=True)
    assert not [line for line in text.splitlines() if line.startswith("admins = [all]")]

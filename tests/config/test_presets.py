"""What ``servers.preset`` gives, and which bind mode follows (configuration.md 1.3, grafana.md 2.2, vault.md 4.2)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.config.load import load
from gateway.config.schema import Secret, Server
from gateway.config.schema.presets import PRESETS
from gateway.config.schema.servers import SEARCH_MODES
from tests.config.config_lookup import load_text, said

DOCUMENTED = Path(__file__).parents[2] / "docs" / "directories.md"
NEEDED = 'host = dc1, search_base_dns = ["dc=x"]'


def server(**settings: Any) -> Server:
    return load([], {"CLEARML__servers": json.dumps([{"name": "corp", "host": "dc1", **settings}])}).configuration.servers[0]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_presets_give_defaults_only(preset: str) -> None:
    """What is given wins, key by key; the rest is the preset's."""
    found = server(preset=preset, search_base_dns=["dc=x"], attributes={"name": "cn"}, request_timeout="3s")
    assert (found.attributes.name, found.request_timeout) == ("cn", 3.0)
    for key, value in PRESETS[preset].items():
        if key == "attributes":
            assert all(getattr(found.attributes, name) == text for name, text in value.items() if name != "name")
        elif key not in ("urls", "request_timeout"):
            assert getattr(found, key) == value, key


def test_presets_are_documented() -> None:
    """docs/directories.md has a row for each, with its filter."""
    text = DOCUMENTED.read_text()
    for preset, values in PRESETS.items():
        assert f"| `{preset}` |" in text
        assert f"`{values.get('search_filter', '(uid=%s)')}`".replace("|", "\\|") in text


def test_the_origin_is_the_preset(tmp_path: Path) -> None:
    snapshot = load_text(tmp_path, f"servers.ad {{ {NEEDED}, preset = active_directory }}", "gateway.conf")
    origin = snapshot.origin("servers.ad.attributes.username")
    assert (origin.kind, origin.place) == ("default", "preset active_directory")
    assert snapshot.origin("servers.ad.attributes.surname").place == "default"
    assert snapshot.configuration.servers[0].primary_group


def test_a_preset_goes_before_other_defaults(tmp_path: Path) -> None:
    """One that is given means more than what ClearML's or Grafana's spelling implies; without one nothing changes."""
    spelled = {"CLEARML__apiserver__auth__fixed_user_providers__ldap__server": "dc1",
               "CLEARML__apiserver__auth__fixed_user_providers__ldap__base_dn": "dc=x"}  # fmt: skip
    assert load([], spelled).configuration.servers[0].search_filter == "(&(objectClass=person)(uid={0}))"
    found = load([], {**spelled, "CLEARML__servers__ldap__preset": "active_directory"}).configuration.servers[0]
    assert "sAMAccountName=%s" in found.search_filter
    file = tmp_path / "ldap.toml"
    file.write_text('[[servers]]\nhost = "dc1"\nsearch_filter = "(cn=%s)"\nsearch_base_dns = ["dc=x"]\n')
    assert load([file], {}).configuration.servers[0].attributes.username == ""
    found = load([file], {"CLEARML__servers__ldap__preset": "active_directory"}).configuration.servers[0]
    assert (found.search_filter, found.attributes.username) == ("(cn=%s)", "sAMAccountName")


def test_an_unknown_preset() -> None:
    with pytest.raises(Exception, match="expected 'active_directory', 'openldap'"):
        server(preset="novell", search_base_dns=["dc=x"])


BOTH = {"bind_dn": "cn=svc", "bind_password": "x"}
MODES: list[tuple[str, dict[str, Any], str]] = [
    ("grafana.md 2.2", {}, "anonymous"),
    ("grafana.md 2.2", BOTH, "service"),
    ("grafana.md 2.2, %s is literal", {"bind_dn": "cn=%s", "bind_password": "x"}, "service"),
    ("grafana.md 2.2", {"bind_dn": "cn=%s,dc=x"}, "single"),
    ("grafana.md 2.2, {0}", {"bind_dn": "X\\{0}"}, "single"),
    ("grafana.md 2.2, Go", {"bind_dn": "cn={{.Username}},dc=x"}, "single"),
    ("grafana.md 2.2", {"bind_dn": "cn=svc"}, "unauthenticated"),
    ("configuration.md 1.3", {"user_dn": "dc=x"}, "direct"),
    ("configuration.md 1.3", {"upn_domain": "x.org"}, "upn"),
    ("a service account is used where there is one", {**BOTH, "user_dn": "dc=x", "upn_domain": "x.org"}, "service"),
    ("what is said counts", {**BOTH, "bind_mode": "direct", "user_dn": "dc=x"}, "direct"),
    ("what is said counts", {**BOTH, "bind_mode": "anonymous"}, "anonymous"),
    ("vault.md 4.2, 1", {"preset": "vault", **BOTH}, "service"),
    ("vault.md 4.2, 1", {"preset": "vault", **BOTH, "discover_dn": True, "upn_domain": "x.org"}, "service"),
    ("vault.md 4.2, 1", {"preset": "vault", "discover_dn": True}, "anonymous"),
    ("vault.md 4.2, 1", {"preset": "vault", "discover_dn": True, "upn_domain": "x.org"}, "anonymous"),
    ("vault.md 4.2, 1", {"preset": "vault", "discover_dn": True, "bind_dn": "cn=svc"}, "unauthenticated"),
    ("vault.md 4.2, 2", {"preset": "vault", "upn_domain": "x.org"}, "upn"),
    ("vault.md 4.2, 2, one half of a service account", {"preset": "vault", "upn_domain": "x.org", "bind_dn": "cn=svc"}, "upn"),
    ("vault.md 4.2, 3", {"preset": "vault", "user_dn": "dc=x"}, "direct"),
    ("vault.md 4.2, 3", {"preset": "vault", "user_dn": "dc=x", "bind_dn": "cn=svc"}, "direct"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "settings", "mode"), MODES)
def test_modes(rule: str, settings: dict[str, Any], mode: str) -> None:
    """And DECISIONS 11: people are looked up again only where they are searched before they bind."""
    found = server(search_base_dns=["dc=x"], **settings)
    assert found.mode == mode, rule
    assert found.recheck == ("service" if mode in SEARCH_MODES else "none")
    secret = {"bind_password": Secret(settings.get("bind_password", ""))}
    assert Server(name="corp", **{**settings, **secret}).mode == mode


# what is written, what is said
SAID = [
    ("host = dc1, user_dn = \"dc=x\"", []),
    ("host = dc1", ["error: servers.corp.search_base_dns: is needed"]),
    ("host = dc1, bind_mode = direct", ["error: servers.corp.user_dn: is needed in bind_mode direct: until then nobody can log in"]),
    ("preset = vault, host = dc1", ["warning: servers.corp.user_dn: is needed in bind_mode direct: until then nobody can log in"]),
    ("preset = vault, host = dc1, discover_dn = true", []),
    (f"{NEEDED}, bind_mode = upn", ["error: servers.corp.upn_domain: is needed in bind_mode upn"]),
    ('host = dc1, upn_domain = "x.org"', ["error: servers.corp.search_base_dns: is needed"]),
    ('host = dc1, user_dn = "people"', ["error: servers.corp.user_dn: not a distinguished name: no usable type=value at position 0"]),
    ('host = dc1, user_dn = "X\\\\%s"', ["error: servers.corp.user_dn: not a distinguished name: a name of another kind belongs in bind_dn"]),
    ('host = dc1, user_dn = "cn={{.User}},dc=x"', ["error: servers.corp.user_dn: only {{.Username}} is known here, at position 3"]),
    (f'{NEEDED}, bind_dn = "cn={{{{.UserDN}}}},dc=x"', ["error: servers.corp.bind_dn: only {{.Username}} is known here, at position 3"]),
    ('host = dc1, user_dn = "dc=x", recheck = service', ["error: servers.corp.recheck: bind_mode direct leaves nobody to look people up as: set none"]),
    (f"{NEEDED}, recheck = none", []),
    ('host = dc1, user_dn = "dc=x", search_filter = "(&(a=b)(uid=%s))"', [
        "warning: servers.corp.search_filter: is not looked at in bind_mode direct: it keeps nobody out"]),
    ('host = dc1, user_dn = "dc=x", preset = active_directory', []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), SAID)
def test_what_is_said(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert said(tmp_path, f"servers.corp {{ {text} }}") == expected

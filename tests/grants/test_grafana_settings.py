"""What ``ldap-gateway grafana settings`` prints, whole and as Grafana reads it (grafana.md 4, 5)."""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gateway.config.ini_source import read_section
from gateway.config.load import load
from gateway.config.origin import Origin
from gateway.config.schema import GroupMapping
from gateway.grants.grafana_settings import GrafanaSettings, Unwritable, grafana_settings, lowered_admins
from gateway.grants.mapping import organisation_roles
from tests.grafana.grafana_ini import read_ini

ROWS = tomllib.loads(Path(__file__).with_name("grafana_settings.toml").read_text())["rows"]


def settings(tmp_path: Path, row: dict[str, Any]) -> GrafanaSettings:
    file = tmp_path / "gateway.conf"
    file.write_text(row["configuration"])
    return grafana_settings(load([file], {}).configuration, row["delivery"] or None, row["url"])


def ini(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return parser


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_whole_output(tmp_path: Path, row: dict[str, Any]) -> None:
    made = settings(tmp_path, row)
    assert made.text == row["expected"], row["proves"]
    comments = [line for line in made.text.splitlines() if line.startswith("# WARNING: ")]
    assert comments == [f"# WARNING: {warning}." for warning in made.warnings]
    read = ini(made.text)
    assert not read.getboolean("auth.ldap", "enabled")
    assert read.has_section("auth.proxy") != read.has_section("auth.jwt")


def test_what_grafana_reads(tmp_path: Path) -> None:
    """By readers of Grafana's dialect, in which ; and # begin a comment and ${x} is replaced: the tests' own, and the one
    by which the gateway reads a grafana.ini."""
    row = next(row for row in ROWS if row["name"] == "several_organisations")
    text = settings(tmp_path, row).text
    read = read_ini(text)
    for name, section in read.items():
        ours = read_section(text, name, Origin("file", "grafana.ini"))
        assert ours is not None
        assert {key: given.value for key, given in ours.items()} == section
    assert read["server"] == {"root_url": "https://grafana.harbor.example/a;b"}
    jwt = read["auth.jwt"]
    assert not set(jwt["expect_claims"]) & set("#;$%`")
    expected = {"iss": "https://gateway.harbor.example", "aud": "grafana; #1 ${HOME} %(x)s"}
    assert json.loads(jwt["expect_claims"]) == expected
    assert jwt["org_mapping"].split() == [
        "o1_Admin:1:Admin", "o1_Viewer:1:Viewer", "o2_Admin:2:Admin", "o12_Editor:12:Editor", "o12_None:12:None",
    ]  # fmt: skip


# URL, as it is written; None: it cannot be
URLS = [
    ("https://g.example/", "https://g.example/"),
    ("https://g.example/a;b#c", "`https://g.example/a;b#c`"),
    ("https://g.example/`", '"""https://g.example/`"""'),
    ("https://g.example/\\", "`https://g.example/\\`"),
    ("https://g.example/%28", "https://g.example/%28"),
    ("https://g.example/$x", "https://g.example/$x"),
    ("https://g.example/${x}", None),
    ("https://g.example/$__file{/x}", None),
    ("https://g.example/%(x)s", None),
    ('https://g.example/`"""', None),
    ("https://g.example/a\nenabled = true", None),
]


@pytest.mark.parametrize(("url", "written"), URLS, ids=[str(place) for place in range(len(URLS))])
def test_values(tmp_path: Path, url: str, written: str | None) -> None:
    row = {**ROWS[0], "url": url}
    if written is None:
        with pytest.raises(Unwritable):
            settings(tmp_path, row)
        return
    text = settings(tmp_path, row).text
    assert ini(text)["server"]["root_url"] == written
    assert read_ini(text)["server"]["root_url"] == url


# mappings: group, role, organisation, administrator; the organisations in which Grafana would raise an administrator
LOWERED: list[tuple[list[tuple[str, str, int, bool | None]], list[int]]] = [
    ([("a", "Admin", 1, True), ("*", "Viewer", 1, None)], []),
    ([("a", "Admin", 1, True), ("b", "Viewer", 2, None)], [2]),
    ([("b", "Viewer", 2, None), ("a", "Admin", 1, True)], [2]),
    ([("a", "Admin", 1, True), ("b", "Admin", 2, None)], []),
    ([("a", "Editor", 1, True)], [1]),
    ([("a", "", 1, True), ("*", "Viewer", 1, None)], [1]),
    ([("*", "Viewer", 1, None), ("a", "", 1, True)], []),
    ([("a", "Admin", 1, False), ("b", "Viewer", 2, None)], []),
    ([("a", "Admin", 1, None), ("b", "None", 2, None)], []),
]


@pytest.mark.parametrize(("rows", "expected"), LOWERED, ids=[str(place) for place in range(len(LOWERED))])
def test_lowered_administrators(rows: list[tuple[str, str, int, bool | None]], expected: list[int]) -> None:
    """5, as ``organisation_roles`` decides: who is in every group is lowered exactly where it says so."""
    mappings = [
        GroupMapping.model_validate({"group_dn": group, "org_role": role, "org_id": org, "grafana_admin": admin})
        for group, role, org, admin in rows
    ]
    assert [row.org_id for _, row in lowered_admins(mappings)] == expected
    roles, admin = organisation_roles(mappings)
    assert [org for org, role in roles.items() if admin and role != "Admin"] == expected


# mappings of the only server, what they make of role_attribute_strict
STRICT = [
    ("{ group_dn = a, org_role = Viewer }", True),
    ("{ group_dn = a, org_role = Viewer, org_id = 7 }", True),
    ("{ group_dn = a, grafana_admin = true }", True),  # and no roles at all
    ("{ group_dn = a, grafana_admin = false, policies = [p] }", False),
    ("", False),
]


@pytest.mark.parametrize(("mappings", "strict"), STRICT, ids=[str(place) for place in range(len(STRICT))])
def test_strict_where_mappings_give_anything(tmp_path: Path, mappings: str, strict: bool) -> None:
    """5: who has no usable role is refused, unless nobody has one."""
    file = tmp_path / "gateway.conf"
    server = f'name = x, host = h, search_base_dns = ["dc=x"], group_mappings = [{mappings}]'
    file.write_text(f"servers = [{{ {server} }}], vault.policies.p = \"\"")
    text = grafana_settings(load([file], {}).configuration, "jwt").text
    assert read_ini(text)["auth.jwt"]["role_attribute_strict"] == str(strict).lower()


# organisations with roles, the default one, whether only Grafana 12 knows what is told of them by token
NEEDS_12 = [((1,), 1, False), ((7,), 7, False), ((7,), 1, True), ((1, 2), 1, True), ((), 1, False)]


@pytest.mark.parametrize(("orgs", "default", "needed"), NEEDS_12)
def test_the_version_that_is_needed(tmp_path: Path, orgs: tuple[int, ...], default: int, needed: bool) -> None:
    """5: claim ``orgs``, without which a role is one in the default organisation."""
    mappings = ", ".join(f"{{ group_dn = a, org_role = Viewer, org_id = {org} }}" for org in orgs)
    file = tmp_path / "gateway.conf"
    server = f'name = x, host = h, search_base_dns = ["dc=x"], group_mappings = [{mappings}]'
    file.write_text(f"servers = [{{ {server} }}], grafana.default_org = {default}")
    text = grafana_settings(load([file], {}).configuration, "jwt").text
    assert ("# Needs Grafana 12 or later" in text) is needed


# what is added to one organisation by headers; the delivery, and a word of the reason
DELIVERIES = [
    ("", "proxy", "one organisation"),
    ('servers.corp.group_mappings = [{ group_dn = a, org_role = Viewer, org_id = 2 }]', "jwt", "organisation 2,"),
    ("grafana.default_org = 2", "jwt", "speak of 2 alone"),
    ('servers.corp.group_mappings = [{ group_dn = a, grafana_admin = true }]', "jwt", "server administrators"),
    ('servers.corp.group_mappings = [{ group_dn = a, grafana_admin = false, org_role = Admin }]', "proxy", "no server"),
    ('users = [{ username = ada, disabled = true }], group_mappings = [{ group_dn = a, org_role = Admin, org_id = 3 }]', "jwt", "1, 3"),
    ('access_control.rules.other { domain = "x.harbor.example", policy = authenticated, headers = grafana-jwt }', "jwt", "rule other"),
    ('access_control.rules.other { domain = "x.harbor.example", policy = deny, headers = grafana-jwt }', "proxy", "one organisation"),
    ('access_control.default_policy = authenticated, identity_headers.preset = grafana-jwt', "jwt", "default_policy"),
]


@pytest.mark.parametrize(("added", "delivery", "reason"), DELIVERIES, ids=[str(place) for place in range(len(DELIVERIES))])
def test_the_delivery_that_is_chosen(tmp_path: Path, added: str, delivery: str, reason: str) -> None:
    """4, 5: the token where headers cannot say it."""
    (tmp_path / "more.conf").write_text(added)
    (tmp_path / "gateway.conf").write_text(ROWS[0]["configuration"])
    text = grafana_settings(load([tmp_path / "gateway.conf", tmp_path / "more.conf"], {}).configuration).text
    assert (f"\n[auth.{delivery}]\n" in text, reason in text.splitlines()[0]) == (True, True), text.splitlines()[0]


# what is added to mappings that make administrators by token; whether Grafana is let set and take its flag
FLAGS = [
    ("", "true"),
    ('servers.corp.group_mappings = [{ group_dn = "*", org_role = Viewer }]', "true"),  # who was one is none any more
    ('servers.corp.group_mappings = []', "true"),
    ("grafana.skip_org_role_sync = true", "false"),
]


@pytest.mark.parametrize(("added", "flag"), FLAGS, ids=[str(place) for place in range(len(FLAGS))])
def test_the_administrators_flag(tmp_path: Path, added: str, flag: str) -> None:
    """2.6: an explicit true or false with each login, as with Grafana's own LDAP; absent without role sync."""
    (tmp_path / "more.conf").write_text(added)
    (tmp_path / "gateway.conf").write_text(next(row for row in ROWS if row["name"] == "several_organisations")["configuration"])
    made = grafana_settings(load([tmp_path / "gateway.conf", tmp_path / "more.conf"], {}).configuration, "jwt")
    assert ini(made.text)["auth.jwt"]["allow_assign_grafana_admin"] == flag


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", "grafana", "settings", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]}, timeout=60, check=False)


def test_command(tmp_path: Path) -> None:
    """Warnings go to standard error, too, and the exit code says what was wrong."""
    file = tmp_path / "gateway.conf"
    row = next(row for row in ROWS if row["name"] == "wrong_delivery")
    file.write_text(row["configuration"])
    done = run(tmp_path, "-c", str(file), "--delivery", "proxy", "--grafana-url", row["url"])
    assert (done.returncode, done.stdout) == (0, row["expected"])
    assert "warning: server administrators (grafana_admin) are not made by headers" in done.stderr
    assert sorted(done.stderr.splitlines()) == sorted(f"warning: {text}" for text in settings(tmp_path, row).warnings)
    wrong = run(tmp_path, "-c", str(file), "--grafana-url", "grafana.example")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    file.write_text("servers = [{ name = x }]")
    assert run(tmp_path, "-c", str(file)).returncode == 78

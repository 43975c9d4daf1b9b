"""From an ``ldap.toml`` on a real slapd to roles in a Grafana that was given the printed settings (grafana.md 4, 5).

The consumer begins with roles that somebody changed by hand, reads what ``ldap-gateway grafana settings`` prints for the
very files of a daemon, and then what that daemon tells a proxy.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from tests.daemon import Answer, Daemon, running
from tests.directories.slapd import Slapd
from tests.grafana.grafana_consumer import Grafana, User
from tests.grafana.grafana_ini import consumer, read_ini
from tests.grafana.ldap_toml import DEV, SRE, block, mapping

HARBOR = Path(__file__).with_name("harbor.ldif")
ORGS = (1, 2, 3)
BY_HAND = {1: "Editor", 2: "Admin", 3: "Viewer"}
PEOPLE = ("nina", "dora", "otto")
"""In sre and dev, in dev, in neither."""
Outcome = tuple[dict[int, str], bool] | int
"""Roles and flag; the status of who is not sent on."""


@dataclass
class Row:
    name: str
    mappings: tuple[dict[str, Any], ...]
    delivery: str
    outcomes: tuple[Outcome, Outcome, Outcome]
    """Of ``PEOPLE``, by hand from the mappings; the flag was set by hand before."""
    grafana: dict[str, Any] = field(default_factory=dict)


ROWS = [
    # 4: one organisation; the header cannot take the flag away
    Row("one organisation", (mapping(SRE, "Admin"), mapping(DEV, "Editor"), mapping("*", "Viewer")), "proxy",
        (({1: "Admin"}, True), ({1: "Editor"}, True), ({1: "Viewer"}, True))),
    Row("another one than the first", (mapping(DEV, "Editor", org_id=2), mapping("*", "Viewer", org_id=2)), "proxy",
        (({2: "Editor"}, True), ({2: "Editor"}, True), ({2: "Viewer"}, True)), {"default_org": 2}),
    # 5: several; GrafanaAdmin is Admin wherever there is a role; everybody else loses the flag
    Row("several and an administrator",
        (mapping(SRE, "Viewer", grafana_admin=True), mapping(DEV, "Editor", org_id=2), mapping("*", "Viewer")), "jwt",
        (({1: "Admin", 2: "Admin"}, True), ({1: "Viewer", 2: "Editor"}, False), ({1: "Viewer"}, False))),
    Row("several and nobody administrator",
        (mapping(SRE, "None"), mapping(DEV, "Admin", org_id=3), mapping("*", "Editor", org_id=2)), "jwt",
        (({1: "None", 2: "Editor", 3: "Admin"}, False), ({2: "Editor", 3: "Admin"}, False), ({2: "Editor"}, False))),
    # 5, trap: none in organisation 1, and no Viewer there by auto_assign_org_role; otto has none at all
    Row("one that is not the default", (mapping(DEV, "Viewer", org_id=2),), "jwt",
        (({2: "Viewer"}, False), ({2: "Viewer"}, False), 401)),
    Row("administrators alone", (mapping(SRE, None, grafana_admin=True),), "jwt", (({1: "Admin"}, True), 401, 401)),
    # 2.6: no roles are told, and those of Grafana stay
    Row("roles are Grafana's own", (mapping(SRE, "Admin", grafana_admin=True),), "proxy", ((BY_HAND, True),) * 3,
        {"skip_org_role_sync": True}),
]  # fmt: skip


@dataclass
class Site:
    """A daemon and its files: an ``ldap.toml`` as it was, and beside it what a gateway needs to know besides."""

    daemon: Daemon
    slapd: Slapd
    files: list[Path]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("followed")
    with Slapd.start(HARBOR, directory=folder / "slapd") as slapd:
        files = [folder / "ldap.toml", folder / "gateway.yaml"]
        write(ROWS[0], files, slapd)
        with running(folder, files=files) as daemon:
            yield Site(daemon, slapd, files)


def write(row: Row, files: list[Path], slapd: Slapd) -> None:
    rule = {"name": "grafana", "domain": "grafana.example.com", "policy": "authenticated", "headers": f"grafana-{row.delivery}"}
    tree = {
        "public_url": "https://auth.example.com", "admins": ["user:ldap/nina"], "login": {"floor": 0},
        "access_control": {"rules": [rule]}, "reload": {"watch": False}, "grafana": row.grafana,
        "session": {"cookies": [{"domain": "example.com", "portal_url": "https://auth.example.com"}]},
    }  # fmt: skip
    files[0].write_text(block(row.mappings).replace("@PORT@", str(slapd.port)))
    files[1].write_text(json.dumps(tree))


def ask(daemon: Daemon, name: str) -> Answer:
    shown = base64.b64encode(f"{name}:pw".encode()).decode()
    headers = {"X-Original-URL": "https://grafana.example.com/", "X-Original-Method": "GET", "Authorization": f"Basic {shown}"}
    return daemon.call("/api/authz/auth-request", headers={**headers, "X-Forwarded-For": "192.0.2.1"})


@pytest.mark.parametrize("row", ROWS, ids=[row.name.replace(" ", "-") for row in ROWS])
def test_roles_end_as_the_mapping_has_them(row: Row, site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    write(row, site.files, site.slapd)
    assert site.daemon.call("/admin/reload", method="POST", basic=("nina", "pw")).status == 200
    given = [text for file in site.files for text in ("-c", str(file))]
    assert main(["grafana", "settings", "--grafana-url", "https://grafana.example.com", *given]) == 0
    ini = read_ini(capsys.readouterr().out)
    assert f"auth.{row.delivery}" in ini
    for name, outcome in zip(PEOPLE, row.outcomes, strict=True):
        answer = ask(site.daemon, name)
        if isinstance(outcome, int):
            assert answer.status == outcome, name
            continue
        assert answer.status == 200, name
        keeper = User("keeper", roles=dict.fromkeys(ORGS, "Admin"))
        grafana = Grafana(orgs=ORGS, users={"keeper": keeper, name: User(name, roles=dict(BY_HAND), admin=True)})
        made = consumer(ini, grafana, lambda path: site.daemon.call(path).json)
        user = made.request(dict(answer.headers.items()), time.time())
        assert user is not None
        assert (user.login, user.roles, user.admin) == (name, *outcome)

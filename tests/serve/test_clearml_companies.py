"""Two companies behind one gateway: nobody's vaults and groups are the other's (clearml.md 7.1)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tests.daemon import Answer
from tests.directories.slapd import COMPANY as LDIF
from tests.directories.slapd import Slapd
from tests.serve.clearml_site import COMPANY, Site, clearml_site

OTHER = "a" * 32
SDK = "users.get_vaults?enabled=true&types=config&types=config"
EVERYONE = "30795571-a470-4717-a80d-e8705fc776bf"
DECLARED = {
    "all": {"data": "sdk.declared = all"},
    "ours": {"data": "sdk.declared = first", "company": COMPANY},
    "theirs": {"data": "sdk.declared = other", "company": OTHER},
    "alan": {"data": "sdk.alan = other", "scope": "user", "user": "corp/alan", "company": OTHER},
    "not-alan": {"data": "sdk.alan = first", "scope": "user", "user": "corp/alan", "company": COMPANY},
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("companies")
    with Slapd.start(LDIF, directory=directory / "slapd") as slapd:
        server = slapd.server(clearml={"default_company": OTHER, "admin_users": ["grace"]})
        more = {"CLEARML__servers": json.dumps([server]), "CLEARML__vaults__declared": json.dumps(DECLARED)}
        with clearml_site(directory, **more) as started:
            started.tokens["other admin"] = started.daemon.token("grace", "cobol-1959")
            started.tokens["other user"] = started.daemon.token("alan", "enigma")
            yield started


def save(site: Site, role: str, group: str | None = None, user: str | None = None, **vault: Any) -> Answer:
    others = {name: value for name, value in (("group", group), ("user", user)) if value}
    return site.call(role, "users.add_or_update_vault", vault=vault, **others)


def texts(site: Site, role: str, endpoint: str = SDK) -> list[str]:
    answer = site.daemon.call(f"/{endpoint}", bearer=site.tokens[role])
    assert answer.status == 200, answer.body
    return [vault["data"] for vault in answer.data["vaults"] if vault["data"]]


def merged(site: Site, role: str) -> dict[str, Any]:
    found: dict[str, Any] = site.daemon.call("/api/vaults/merged", bearer=site.tokens[role]).json["config"]
    return found


ALL, FIRST, SECOND = (f"sdk.declared = {name}" for name in ("all", "first", "other"))


def test_the_site_has_two(site: Site) -> None:
    assert site.daemon.user(site.tokens["admin"])["company"]["id"] == COMPANY
    grace = site.daemon.user(site.tokens["other admin"])
    assert (grace["company"]["id"], grace["role"]) == (OTHER, "admin")


def test_a_vault_of_the_organisation_is_of_one_company(site: Site) -> None:
    """The known answer of one company's token is never that of the other's."""
    for _ in range(2):
        assert texts(site, "user") == [ALL, FIRST]
        assert texts(site, "other user") == [ALL, SECOND, "sdk.alan = other"]
    vault = save(site, "admin", scope="organization", data="sdk.key = planted_first").data["vault"]
    for _ in range(2):
        assert texts(site, "user") == [ALL, FIRST, "sdk.key = planted_first"]
        assert texts(site, "other user") == [ALL, SECOND, "sdk.alan = other"]
    assert merged(site, "user") == {"sdk": {"declared": "first", "key": "planted_first"}}
    assert merged(site, "other user") == {"sdk": {"declared": "other", "alan": "other"}}
    for endpoint in ("users.get_vaults", "users.get_organization_vaults"):
        assert texts(site, "other admin", endpoint) == [ALL, SECOND]
        assert texts(site, "system", endpoint) == [ALL, FIRST, "sdk.key = planted_first"]
    assert save(site, "other admin", id=vault, data="sdk.key = evil").verdict == (400, 10)
    assert save(site, "other user", id=vault, data="sdk.key = evil").verdict == (400, 10)
    assert site.call("other admin", "users.delete_vaults", vaults=[vault]).data == {"deleted": 0}
    assert texts(site, "user")[-1] == "sdk.key = planted_first"
    assert site.call("admin", "users.delete_vaults", vaults=[vault]).data == {"deleted": 1}


def test_personal_vaults_are_changed_within_the_company(site: Site) -> None:
    assert save(site, "user", data="sdk.jane = 1").status == 200
    vault = next(row["id"] for row in site.call("user", "users.get_vaults").data["vaults"] if row["scope"] == "user")
    for role, verdict in (("other admin", (400, 10)), ("other user", (400, 10)), ("superuser", (403, 20))):
        assert save(site, role, id=vault, data="sdk.jane = evil").verdict == verdict
    assert save(site, "other admin", user=site.id("user"), data="sdk.jane = evil").verdict == (400, 301)
    assert site.call("other admin", "users.delete_vaults", vaults=[vault]).data == {"deleted": 0}
    assert texts(site, "user")[-1] == "sdk.jane = 1"
    assert save(site, "root", user=site.id("other user"), data="sdk.gift = root").status == 200
    assert texts(site, "other user")[-1] == "sdk.gift = root"
    other = next(row["id"] for row in site.call("other user", "users.get_vaults").data["vaults"] if row["editable"])
    assert save(site, "admin", id=other, data="").verdict == (400, 10)
    assert save(site, "other admin", id=other, data="").status == 200
    assert save(site, "admin", id=vault, data="").status == 200


def test_groups_are_of_one_company(site: Site) -> None:
    def group(role: str, **fields: Any) -> Answer:
        return site.call(role, "permissions.add_or_update_user_group", **fields)

    def listed(role: str) -> list[dict[str, Any]]:
        return [g for g in site.call(role, "permissions.get_user_groups").data["groups"] if g["assignable"]]

    jane, alan = site.id("user"), site.id("other user")
    first = group("admin", name="team", users=[jane]).data["id"]
    vault = save(site, "admin", first, scope="group", data="sdk.team = planted_first").data["vault"]
    assert listed("other admin") == []
    for fields in ({"users": [alan]}, {"users": []}, {}):
        assert group("other admin", id=first, name="team", **fields).verdict == (400, 10)
    assert site.call("other admin", "permissions.delete_user_groups", groups=[first]).data == {"deleted": 0}
    assert group("other admin", name="x", users=[jane]).verdict == (400, 301)
    assert save(site, "other admin", first, scope="group", data="sdk.team = evil").verdict == (400, 12)
    second = group("other admin", name="team", users=[alan]).data["id"]
    assert [g["users"] for g in listed("admin")] == [[{"id": jane, "name": "Jane Doe", "email": "jane@example.com"}]]
    assert [g["id"] for g in listed("other admin")] == [second]
    assert [[user["id"] for user in g["users"]] for g in listed("root")] == [[jane], [alan]]
    everyone = next(g for g in site.call("root", "permissions.get_user_groups").data["groups"] if g["id"] == EVERYONE)
    assert {jane, alan} <= {user["id"] for user in everyone["users"]}
    assert "sdk.team = planted_first" in texts(site, "user")
    assert "sdk.team = planted_first" not in texts(site, "other user")
    assert save(site, "other admin", EVERYONE, scope="group", data="sdk.users = other").status == 200
    assert "sdk.users = other" in texts(site, "other user") and "sdk.users = other" not in texts(site, "user")
    assert save(site, "admin", second, id=vault).verdict == (400, 12), "it cannot be moved to another company's group"
    assert save(site, "root", second, id=vault).verdict == (400, 12)
    assert group("root", id=second, name="team", users=[jane]).verdict == (400, 301), "people of the group's company"
    assert save(site, "root", second, scope="group", data="sdk.root = other").status == 200
    assert "sdk.root = other" in texts(site, "other user")
    everything = site.call("root", "users.get_organization_vaults").data["vaults"]
    assert {row["data"]: row.get("company") for row in everything} == {
        ALL: None, FIRST: COMPANY, SECOND: OTHER, "sdk.team = planted_first": COMPANY, "sdk.users = other": OTHER,
        "sdk.root = other": OTHER,
    }  # fmt: skip
    assert texts(site, "root") == [ALL, FIRST], "as a client, root gets what its own company does"
    made = [row["id"] for row in everything if row["editable"]]
    assert site.call("root", "users.delete_vaults", vaults=made).data == {"deleted": 3}
    assert site.call("root", "permissions.delete_user_groups", groups=[first, second]).data == {"deleted": 2}


def test_declared_vaults_of_another_company_are_unknown(site: Site) -> None:
    ids = {row["data"]: row["id"] for row in site.call("root", "users.get_organization_vaults").data["vaults"]}
    assert save(site, "admin", id=ids[FIRST], data="").verdict == (400, 12)
    assert save(site, "admin", id=ids[SECOND], data="").verdict == (400, 10)
    assert save(site, "other admin", id=ids[SECOND], data="").verdict == (400, 12)


def test_a_damaged_vault_costs_nobody_the_others(site: Site) -> None:
    """It is named in the log, shown to its editors, and can be written anew or deleted."""
    good = save(site, "admin", scope="organization", data="sdk.good = 1").data["vault"]
    bad = save(site, "admin", scope="organization", data="sdk.bad = 1", description="the bad one").data["vault"]
    other = save(site, "admin", scope="organization", data="sdk.other = 1").data["vault"]
    with closing(sqlite3.connect(site.daemon.directory / "state" / "gateway.db")) as connection:
        connection.execute("UPDATE vaults SET text_sealed = zeroblob(40) WHERE id = ?", (bad,))
        connection.execute("UPDATE vaults_revision SET number = number + 1")
        connection.commit()
    assert texts(site, "user") == [ALL, FIRST, "sdk.good = 1", "sdk.other = 1"]
    assert merged(site, "user")["sdk"] == {"declared": "first", "good": 1, "other": 1}
    site.daemon.wait_for(f"vault {bad} does not open and is left out")
    shown = next(row for row in site.call("admin", "users.get_organization_vaults").data["vaults"] if row["id"] == bad)
    assert (shown["damaged"], shown["data"], shown["description"]) == (True, "", "the bad one")
    assert all(row["id"] != bad for row in site.call("user", "users.get_vaults").data["vaults"])
    refused = save(site, "admin", id=bad, enabled=True)
    assert refused.verdict == (400, 12) and "damaged: give it anew" in refused.meta["result_msg"]
    assert save(site, "admin", id=bad, data="sdk.bad = 2").status == 200
    assert texts(site, "user") == [ALL, FIRST, "sdk.good = 1", "sdk.bad = 2", "sdk.other = 1"]
    assert site.call("admin", "users.delete_vaults", vaults=[good, bad, other]).data == {"deleted": 3}

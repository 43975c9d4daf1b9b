"""Who is in which group, who sees which vault, and what an edit makes of one (clearml.md 1.3, 7.1; DECISIONS 9, 32)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.config.schema import Configuration
from gateway.identity import Account, Grant, Group, Identity
from gateway.store.interface import GroupRow, VaultRow
from gateway.vaults.groups import USERS_ID, Groups
from gateway.vaults.model import (
    Edit,
    InvalidField,
    Wanted,
    blank,
    declared_vault_id,
    edited,
    owner_of,
    shared_with,
    user_vault_id,
)
from gateway.vaults.rendered import MASK, preview


def somebody(server: str = "corp", username: str = "ada", role: str = "user", groups: tuple[str, ...] = ()) -> Identity:
    held = tuple(Group(name, f"cn={name},dc=x", f"cn={name},dc=x") for name in groups)
    return Identity("i1", "u1", Account(server, "e1", username, groups=held), Grant("c", "c", role), 0)


def groups_of(vaults: dict[str, Any], server: dict[str, Any] | None = None) -> Groups:
    servers = [{"name": name, "host": "h", "search_base_dns": ["dc=x"], "clearml": server or {}} for name in ("corp", "other")]
    return Groups(Configuration.model_validate({"servers": servers, "vaults": {"groups": vaults}}))


DS = {"ds": {"id": "ds", "group": "DS"}}
SYNC = {"groups": {"enabled": True}}
# what it proves, declared groups, server.clearml, person, ids beside that of everyone
MEMBERS: list[tuple[str, dict[str, Any], dict[str, Any], Identity, set[str]]] = [
    ("everyone", {}, {}, somebody(), set()),
    ("a service", {}, {}, somebody(server="", groups=("ds",)), set()),
    ("by name of the first cn, folded", DS, {}, somebody(groups=("ds",)), {"ds"}),
    ("of any server", DS, {}, somebody(server="other", groups=("Ds",)), {"ds"}),
    ("not by the name of the vault's group", {"ds": {"id": "ds", "users": ["x"]}}, {}, somebody(groups=("ds",)), set()),
    ("of one server", {"ds": {"id": "ds", "group": "corp/ds"}}, {}, somebody(groups=("ds",)), {"ds"}),
    ("not of another", {"ds": {"id": "ds", "group": "corp/ds"}}, {}, somebody(server="other", groups=("ds",)), set()),
    ("by DN", {"ds": {"id": "ds", "group_dn": "CN=ds, DC=x"}}, {}, somebody(groups=("ds",)), {"ds"}),
    ("not by another DN", {"ds": {"id": "ds", "group_dn": "cn=ds,dc=y"}}, {}, somebody(groups=("ds",)), set()),
    ("a local user by name", {"ds": {"id": "ds", "users": ["Ada"]}}, {}, somebody(server="local"), {"ds"}),
    ("not that of a directory", {"ds": {"id": "ds", "users": ["ada"]}}, {}, somebody(), set()),
    ("who is named with the server", {"ds": {"id": "ds", "users": ["corp/ada"]}}, {}, somebody(), {"ds"}),
    ("administrators", {"admins": {"id": "adm"}}, {}, somebody(role="admin"), {"adm"}),
    ("services that administrate", {"admins": {"id": "adm"}}, {}, somebody(server="", role="system"), {"adm"}),
    ("not superusers", {"admins": {"id": "adm"}}, {}, somebody(role="superuser"), set()),
    ("built in ones can be given members", {"admins": {"id": "adm", "group": "ops"}}, {}, somebody(groups=("ops",)), {"adm"}),
    ("1.3 groups.enabled: by the same name", {"ds": {"id": "ds"}}, SYNC, somebody(groups=("ds",)), {"ds"}),
    ("1.3 case counts", {"ds": {"id": "ds"}}, SYNC, somebody(groups=("DS",)), set()),
    ("1.3 made ones too", {}, SYNC, somebody(groups=("Made",)), {"made"}),
    ("1.3 not of local users", {"ds": {"id": "ds"}}, SYNC, somebody(server="local", groups=("ds",)), set()),
    ("1.3 built in ones too", {"queue_admins": {"id": "qa"}}, SYNC, somebody(groups=("queue_admins",)), {"qa"}),
]


@pytest.mark.parametrize(("proves", "declared", "server", "person", "expected"), MEMBERS, ids=[row[0] for row in MEMBERS])
def test_members(
    proves: str, declared: dict[str, Any], server: dict[str, Any], person: Identity, expected: set[str]
) -> None:
    made = [GroupRow("made", "c", "Made", "", frozenset())]
    assert groups_of(declared, server).of(person, made) - {USERS_ID} == expected, proves
    assert USERS_ID in groups_of(declared, server).of(person, made)


MADE = [
    GroupRow("g", "c", "g", "", frozenset({"i1"})),
    GroupRow("h", "c", "h", "", frozenset({"i2"})),
    GroupRow("f", "other company", "f", "", frozenset({"i1"})),
]


def test_made_groups_and_ids() -> None:
    groups = groups_of({"Data Science": {}, "users": {"id": "everyone"}})
    assert groups.of(somebody(), MADE) == {"everyone", "g"}
    named = groups.named("data  SCIENCE")
    assert named is not None
    assert groups.named(named.id) is named
    again = groups_of({"data science": {}}).named("data science")
    assert again is not None
    assert again.id == named.id, "stable, whatever the case"
    assert groups.named("nobody") is None
    assert len({group.id for group in groups.fixed}) == len(groups.fixed)


def vault(scope: str, owner: str = "", **changes: Any) -> VaultRow:
    return replace(blank("v", "c", scope, owner), **changes)


OFF = {"enabled": False}
# vault, filters, administrator, seen by a member of g
SEEN = [
    (vault("organization"), Wanted(), False, True),
    (vault("group", "g"), Wanted(), False, True),
    (vault("group", "h"), Wanted(), False, False),
    (vault("group", "h"), Wanted(), True, True),
    (vault("group", "h"), Wanted(enabled=True), True, False),
    (vault("group", "h"), Wanted(types=("config",)), True, False),
    (vault("group", "g", **OFF), Wanted(), False, False),
    (vault("organization", **OFF), Wanted(types=("config",)), False, False),
    (vault("group", "g", **OFF), Wanted(), True, True),
    (vault("group", "g", **OFF), Wanted(types=("config",)), True, False),
    (vault("organization", **OFF), Wanted(types=("config",)), True, False),
    (vault("group", "g", damaged=True), Wanted(enabled=True), False, False),
    (vault("group", "g", damaged=True), Wanted(), True, True),
    (vault("organization", company="other"), Wanted(), False, False),
    (vault("organization", company="other"), Wanted(), True, False),
    (vault("organization", company="other"), Wanted(enabled=True), False, False),
    (vault("organization", company=""), Wanted(enabled=True), False, True),
    (vault("group", "g", **OFF), Wanted(enabled=True), True, False),
    (vault("group", "g", type="ssh"), Wanted(types=("config",)), True, False),
    (vault("group", "g", type="ssh"), Wanted(types=("config", "ssh")), False, True),
]


@pytest.mark.parametrize(("row", "wanted", "administrator", "seen"), SEEN)
def test_who_sees_shared_vaults(row: VaultRow, wanted: Wanted, administrator: bool, seen: bool) -> None:
    """DECISIONS 32; 7.1: non-admins must not see disabled ones."""
    assert shared_with(row, "c", {"g"}, wanted, administrator=administrator) is seen


def test_ids_are_stable_and_distinct() -> None:
    person, service = somebody(), somebody(server="")
    ids = [user_vault_id("i1"), user_vault_id("i1", "ssh"), user_vault_id("i2"), declared_vault_id("i1")]
    assert len(set(ids)) == 4
    assert declared_vault_id("Base") == declared_vault_id("base ")
    assert (owner_of(person), owner_of(service)) == ("i1", "service:e1")
    assert owner_of(replace(service, id="another secret")) == owner_of(service)


@pytest.mark.parametrize(
    ("before", "edit", "name"),
    [
        (vault("group", "g"), Edit(scope="organization"), "scope"),
        (vault("user", "i"), Edit(type="ssh"), "type"),
        (vault("user", "i"), Edit(group="g"), "group"),
        (vault("organization"), Edit(group="g"), "group"),
        (vault("group", "g"), Edit(format="toml"), "format"),
        (vault("group", "g"), Edit(type=""), "type"),
        (vault("group", "g", damaged=True), Edit(enabled=True), "data"),
    ],
)
def test_edits_that_cannot_be(before: VaultRow, edit: Edit, name: str) -> None:
    with pytest.raises(InvalidField) as caught:
        edited(before, edit)
    assert caught.value.name == name


def test_an_edit_changes_what_it_names() -> None:
    before = vault("group", "g", description="d", text="t", format="yaml")
    assert edited(before, Edit()) == before
    after = edited(before, Edit(group="h", enabled=False, description="", text=""))
    assert (after.owner, after.enabled, after.description, after.text, after.format) == ("h", False, "", "", "yaml")
    assert "secret" not in repr(Edit(text="secret"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        (" \n", ""),
        ("a = {", MASK),
        ("a = 1, b = s", '{"a":1,"b":"******"}'),
        ('{"a": ["x", null, true, 1.5, {"b": "y"}]}', '{"a":["******",null,true,1.5,{"b":"******"}]}'),
        ("a = ${X}, b = x ${X}", '{"a":"******","b":"******"}'),
        ("[" * 5000, MASK),
        ("a." * 2000 + "b = 1", MASK),
    ],
)
def test_previews(text: str, expected: str) -> None:
    assert preview(text) == expected

"""Groups over HTTP (clearml.md 7.1): built in, declared, and made through ``permissions.*``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.daemon import Answer, Daemon, running

EVERYONE = "30795571-a470-4717-a80d-e8705fc776bf"


def password_hash() -> str:
    import bcrypt

    return bcrypt.hashpw(b"lovelace", bcrypt.gensalt(4)).decode()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    people = [("ada", ["admins"]), ("jane", ["ds"]), ("bob", [])]
    users = [
        {"username": name, "name": name.title(), "email": f"{name}@x.org", "groups": groups, "password_hash": password_hash()}
        for name, groups in people
    ]
    groups = {"science": {"group": "DS", "id": "science-id"}, "queue_admins": {"users": ["bob"]}}
    environment = {
        "CLEARML__users": json.dumps(users),
        "CLEARML__admins": "group:admins",
        "CLEARML__vaults__groups": json.dumps(groups),
    }
    with running(tmp_path_factory.mktemp("groups"), environment=environment) as started:
        yield started


class Client:
    def __init__(self, daemon: Daemon, name: str) -> None:
        self.daemon = daemon
        self.token = daemon.token(name, "lovelace")
        self.id = daemon.user(self.token)["id"]

    def call(self, action: str, **fields: Any) -> Answer:
        return self.daemon.call(f"/{action}", bearer=self.token, method="POST", body=json.dumps(fields))

    def group(self, **fields: Any) -> Answer:
        return self.call("permissions.add_or_update_user_group", **fields)

    def groups(self, *ids: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("permissions.get_user_groups", **({"groups": ids} if ids else {})).data["groups"]
        return found

    def texts(self) -> list[str]:
        listed = self.call("users.get_vaults", enabled=True, types=["config"]).data["vaults"]
        return [vault["data"] for vault in listed if vault["scope"] == "group"]


@pytest.fixture(scope="module")
def ada(daemon: Daemon) -> Client:
    return Client(daemon, "ada")


@pytest.fixture(scope="module")
def bob(daemon: Daemon) -> Client:
    return Client(daemon, "bob")


def test_golden_listing(ada: Client, bob: Client) -> None:
    """7.1: fields in order; people as far as they have been here, by their groups of now."""
    jane = Client(ada.daemon, "jane")
    ops = ada.group(name="Ops", description="on call", users=[bob.id]).data["id"]
    groups = {group["name"]: group for group in ada.groups()}
    assert list(groups) == ["users", "admins", "queue_admins", "science", "Ops"]
    assert list(groups["Ops"]) == ["id", "name", "description", "system", "assignable", "users"]
    assert list(groups["users"]) == ["id", "name", "system", "assignable", "users"]
    assert groups["users"]["id"] == EVERYONE
    assert groups["science"]["id"] == "science-id"
    assert [group["system"] for group in groups.values()] == [True, True, True, False, False]
    assert [group["assignable"] for group in groups.values()] == [False, False, False, False, True]
    members = {name: sorted(user["name"] for user in group["users"]) for name, group in groups.items()}
    assert members == {
        "users": ["Ada", "Bob", "Jane"], "admins": ["Ada"], "queue_admins": ["Bob"], "science": ["Jane"], "Ops": ["Bob"],
    }  # fmt: skip
    assert groups["science"]["users"] == [{"id": jane.id, "name": "Jane", "email": "jane@x.org"}]
    assert ada.groups(ops, "unknown") == [groups["Ops"]]
    assert ada.call("permissions.delete_user_groups", groups=[ops, "unknown"]).data == {"deleted": 1}


def test_a_vault_follows_its_group(ada: Client, bob: Client) -> None:
    answer = ada.group(name="Night", users=[])
    group = answer.data["id"]
    assert answer.data == {"id": group, "name": "Night"}
    vault = {"scope": "group", "data": "sdk.night = 1"}
    vault_id = ada.call("users.add_or_update_vault", group=group, vault=vault).data["vault"]
    assert bob.texts() == []
    assert ada.group(id=group, name="Night", users=[bob.id, bob.id]).data == {"id": group, "name": "Night"}
    assert bob.texts() == ["sdk.night = 1"]
    assert ada.group(id=group, name="Night shift").data["name"] == "Night shift"
    assert bob.texts() == ["sdk.night = 1"], "people that are not given stay"
    assert ada.group(id=group, name="Night", users=[]).status == 200
    assert bob.texts() == []
    ada.group(id=group, name="Night", users=[bob.id])
    assert ada.call("permissions.delete_user_groups", groups=[group]).data == {"deleted": 1}
    assert bob.texts() == []
    [left] = [found for found in ada.call("users.get_vaults").data["vaults"] if found["id"] == vault_id]
    assert (left["group"], "group_name" in left) == (group, False)
    assert ada.call("users.add_or_update_vault", group=EVERYONE, vault={"id": vault_id}).status == 200
    assert bob.texts() == ["sdk.night = 1"]
    assert ada.call("users.delete_vaults", vaults=[vault_id]).data == {"deleted": 1}


# fields, verdict, text of the answer
REFUSED: list[tuple[dict[str, Any], tuple[int, int], str]] = [
    ({}, (400, 12), "'name'. field is required!"),
    ({"name": "  "}, (400, 12), "'name'"),
    ({"name": "x" * 129}, (400, 12), "'name'"),
    ({"name": "USERS"}, (400, 12), "the group users is built in"),
    ({"name": "Science"}, (400, 12), "the group science is declared in the configuration"),
    ({"name": "x", "id": EVERYONE}, (400, 12), "the group users is built in"),
    ({"name": "x", "id": "science-id"}, (400, 12), "declared in the configuration"),
    ({"name": "x", "id": "0" * 32}, (400, 10), "Invalid object id"),
    ({"name": "taken "}, (400, 12), "another group has this name"),
    ({"name": "x", "users": ["nobody"]}, (400, 301), "Invalid user id: id=nobody"),
    ({"name": "x", "users": [5]}, (400, 12), "'users'"),
    ({"name": "x", "description": "x" * 5000}, (400, 12), "'description'"),
]


@pytest.mark.parametrize(("fields", "verdict", "text"), REFUSED, ids=lambda value: str(value)[:50])
def test_refused(ada: Client, fields: dict[str, Any], verdict: tuple[int, int], text: str) -> None:
    if not any(group["name"] == "Taken" for group in ada.groups()):
        assert ada.group(name="Taken").status == 200
    before = ada.groups()
    answer = ada.group(**fields)
    assert answer.verdict == verdict
    assert text in answer.meta["result_msg"]
    assert ada.groups() == before


def test_built_in_and_declared_groups_stay(ada: Client) -> None:
    for group in (EVERYONE, "science-id"):
        assert ada.call("permissions.delete_user_groups", groups=["x", group]).verdict == (400, 12)
    assert ada.call("permissions.delete_user_groups").verdict == (400, 12)
    assert {EVERYONE, "science-id"} <= {group["id"] for group in ada.groups()}


@pytest.mark.parametrize("action", ["get_user_groups", "add_or_update_user_group", "delete_user_groups"])
def test_for_administrators_alone(bob: Client, action: str) -> None:
    assert bob.call(f"permissions.{action}", name="x", groups=["x"]).verdict == (403, 20)


def test_changes_are_recorded(ada: Client) -> None:
    group = ada.group(name="recorded").data["id"]
    ada.call("permissions.delete_user_groups", groups=[group])
    for action in ("group.write", "group.delete"):
        assert ada.daemon.wait_for_event(action=action, target=group)["user"] == "ada"

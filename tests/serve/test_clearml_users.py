"""clearml.md 9, DECISIONS 12: people, what they see of each other, and their preferences."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon import running
from tests.directories.slapd import COMPANY as LDIF
from tests.directories.slapd import Slapd
from tests.serve.clearml_site import COMPANY, HASH, PEOPLE, Site, clearml_site, environment


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with clearml_site(tmp_path_factory.mktemp("users")) as started:
        yield started


def test_everyone_of_the_company(site: Site) -> None:
    users = site.call("guest", "users.get_all").data["users"]
    assert {user["name"] for user in users} == {f"{name.title()} Doe" for name in PEOPLE.values()}
    for user in users:
        assert list(user) == ["id", "company", "name", "given_name", "family_name", "created"]
        assert user["company"] == COMPANY


# page, page_size, how many
PAGES: list[tuple[Any, Any, int]] = [
    (0, 2, 2), (1, 2, 2), (2, 2, 1), (3, 2, 0), (0, 0, 5), (None, None, 5), (0, 10**6, 5), (10**6, 500, 0),
]  # fmt: skip


@pytest.mark.parametrize(("page", "size", "count"), PAGES)
def test_pages(site: Site, page: Any, size: Any, count: int) -> None:
    assert len(site.call("user", "users.get_all", page=page, page_size=size).data["users"]) == count


def test_pages_together_are_everyone(site: Site) -> None:
    pages = [site.call("user", "users.get_all", page=page, page_size=2).data["users"] for page in range(3)]
    assert [user for page in pages for user in page] == site.call("user", "users.get_all").data["users"]
    for wrong in ({"page": -1}, {"page_size": "many"}, {"page": 10**7}, {"page": True}):
        assert site.call("user", "users.get_all", **wrong).verdict == (400, 12)


def test_a_page_has_at_most_five_hundred(tmp_path: Path) -> None:
    users = [{"username": f"u{number}", "password_hash": HASH} for number in range(501)]
    more = {"CLEARML__users": json.dumps(users), "CLEARML__admins": "[]"}
    with running(tmp_path, environment=environment(**more)) as daemon:
        token = daemon.token("u7", "lovelace")
        sizes = [
            len(daemon.call(f"/users.get_all?page={page}&page_size=1000", bearer=token).data["users"]) for page in range(3)
        ]
        assert sizes == [500, 1, 0]


def test_one_person(site: Site) -> None:
    jane = site.id("user")
    plain = ["id", "company", "name", "given_name", "family_name", "created"]
    for role, fields in (
        ("guest", plain),
        ("superuser", plain),
        ("user", [*plain, "role", "email"]),
        ("admin", [*plain, "role", "email"]),
        ("system", [*plain, "role", "email"]),
        ("root", [*plain, "role", "email"]),
    ):
        user = site.call(role, "users.get_by_id", user=jane).data["user"]
        assert (list(user), user["name"]) == (fields, "Jane Doe"), role


def test_nobody(site: Site) -> None:
    """2.2: 400/301."""
    answer = site.call("user", "users.get_by_id", user="x")
    assert (*answer.verdict, answer.meta["result_msg"]) == (400, 301, f"Invalid user id: id=x, company={COMPANY}")
    missing = site.call("user", "users.get_by_id")
    assert (*missing.verdict, missing.meta["result_msg"]) == (
        400, 12, "Validation error (error for field 'user'. field is required!)")  # fmt: skip


def test_companies_apart_and_custom_attributes(tmp_path: Path) -> None:
    """DECISIONS 12: what the directory says besides; and who is of another company is nobody."""
    with Slapd.start(LDIF, directory=tmp_path / "slapd") as slapd:
        attributes = {**slapd.server().get("attributes", {}), "extra": {"number": "employeeNumber"}}  # type: ignore[dict-item]
        given = slapd.server(attributes=attributes, clearml={"default_company": "c" * 32})
        with running(tmp_path, environment=environment(CLEARML__servers=json.dumps([given]))) as daemon:
            grace, jane = daemon.token("grace", "cobol-1959"), daemon.token("jane", "lovelace")
            root = daemon.token("root-key", "root-secret")
            grace_id, jane_id = daemon.user(grace)["id"], daemon.user(jane)["id"]

            def by_id(token: str, user: str) -> Any:
                return daemon.call(f"/users.get_by_id?user={user}", bearer=token)

            assert by_id(grace, grace_id).data["user"]["attributes"] == {"number": ["1906"]}
            assert by_id(root, grace_id).data["user"]["attributes"] == {"number": ["1906"]}
            assert by_id(jane, grace_id).verdict == by_id(grace, jane_id).verdict == (400, 301)
            everyone = daemon.call("/users.get_all", bearer=grace).data["users"]
            assert [user["name"] for user in everyone] == ["Grace Hopper"]


# preferences

# changes in turn, and what there is after each
CHANGES: list[tuple[dict[str, Any], int, dict[str, Any]]] = [
    ({"a.b": 1}, 1, {"a": {"b": 1}}),
    ({"a.b": 1}, 0, {"a": {"b": 1}}),
    ({"a.c": {"d": [1, {"e": 2}]}}, 1, {"a": {"b": 1, "c": {"d": [1, {"e": 2}]}}}),
    ({"a.b": None}, 1, {"a": {"c": {"d": [1, {"e": 2}]}}}),
    ({"a.c.d": "text"}, 1, {"a": {"c": {"d": "text"}}}),
    ({"a.c.d.e": 1}, 1, {"a": {"c": {"d": {"e": 1}}}}),  # a value gives way to a branch
    ({"a.c": 5, "x": {}}, 1, {"a": {"c": 5}, "x": {}}),  # and a branch to a value
    ({"x.y": False}, 1, {"a": {"c": 5}, "x": {"y": False}}),
    ({"a": {"k": None, "l": 0}}, 1, {"a": {"l": 0}, "x": {"y": False}}),
    ({"ü b": "Grüße"}, 1, {"a": {"l": 0}, "x": {"y": False}, "ü b": "Grüße"}),
    ({"a": None, "x": None, "ü b": None}, 1, {}),
    ({}, 0, {}),
]


def test_preferences(site: Site) -> None:
    for changes, updated, after in CHANGES:
        answer = site.call("user", "users.set_preferences", preferences=changes)
        assert answer.data == {"updated": updated, "fields": {"preferences": after} if updated else {}}, changes
        assert site.call("user", "users.get_preferences").data == {"preferences": after}
    assert site.call("admin", "users.get_preferences").data == {"preferences": {}}


LIMITS: list[Any] = [
    None, 5, [], {"": 1}, {"a..b": 1}, {"$a": 1}, {"a": {"$b": 1}}, {"a": {"b.c": 1}}, {"a": [{"b.c": 1}]}, {".": 1},
    {"a\x00": 1}, {"\ud800": 1}, {"a": {"\ud800": 1}}, {"a" * 513: 1}, {".".join("a" * 33): 1},
    {f"k{number}": 1 for number in range(1001)}, {"a": "x" * 300_000},
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(LIMITS)))
def test_limits_of_preferences(site: Site, number: int) -> None:
    assert site.call("superuser", "users.set_preferences", preferences=LIMITS[number]).verdict == (400, 12)
    assert site.call("superuser", "users.get_preferences").data == {"preferences": {}}


def test_limits_hold_for_all_of_them_together(site: Site) -> None:
    for number in range(3):
        assert site.call("annotator", "users.set_preferences", preferences={f"p{number}": "x" * 80_000}).status == 200
    assert site.call("annotator", "users.set_preferences", preferences={"p3": "x" * 80_000}).verdict == (400, 12)
    assert site.call("annotator", "users.set_preferences", preferences={"p0": None}).status == 200
    assert site.call("annotator", "users.set_preferences", preferences={"p3": "x" * 80_000}).status == 200


def test_services_have_none(site: Site) -> None:
    assert site.call("system", "users.set_preferences", preferences={"a": 1}).verdict == (400, 300)
    assert site.call("system", "users.get_preferences").data == {"preferences": {}}


def test_one_object_a_line(site: Site) -> None:
    """2: application/json-lines is for batches; one object is a call, several are none of ours."""
    headers = {"Content-Type": "application/json-lines"}
    one = site.daemon.call("/users.get_by_id", bearer=site.tokens["user"], headers=headers, body=json.dumps({"user": site.id("user")}) + "\n")
    assert one.status == 200
    two = site.daemon.call("/debug.ping", headers=headers, body='{"a":1}\n{"a":2}\n')
    assert two.verdict == (400, 0)

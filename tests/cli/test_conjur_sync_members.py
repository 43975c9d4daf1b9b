"""``ldap-gateway conjur sync-policy`` (conjur.md 7): names in ``memberUid`` that are not one person's, and aliases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_conjur_sync_policy import SUFFIX, Read, group, person, run_here, uid, write
from tests.directories.slapd import BASE_DN, Slapd

BOTH = "shared"
ALIAS = f"""dn: uid=link,ou=people,{BASE_DN}
objectClass: alias
objectClass: extensibleObject
aliasedObjectName: {uid("far", "left")}"""


def people_of_two_names() -> list[str]:
    """Both are also called ``shared``, and known by their ``cn``."""
    names = ("first", "second")
    return [person(name).replace("cn: x", f"cn: {name}") + f"\nuid: {BOTH}" for name in names]


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    ldif = [
        SUFFIX, *people_of_two_names(), person("far", ou="left").replace("cn: x", "cn: far"), ALIAS,
        group("build", [BOTH, "first"], kind="posixGroup"), group("ops", [BOTH.upper(), "second"], kind="posixGroup"),
        group("none", [BOTH], kind="posixGroup"),
    ]  # fmt: skip
    with Slapd.start("\n\n".join(ldif), directory=tmp_path_factory.mktemp("members") / "slapd") as started:
        yield started


def test_a_uid_of_two_people_makes_neither_a_member(
    slapd: Slapd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """DECISIONS 4: two people must not become one right."""
    file = write(tmp_path, slapd, attributes={"username": "cn"}, search_filter="(&(objectClass=person)(cn=%s))")
    code, text, errors = run_here(capsys, file)
    found = Read(text)
    assert (code, set(found.users)) == (0, {"first", "second", "far"})
    assert sorted(found.grants) == [("build", ("user", "first")), ("ops", ("user", "second"))]
    for name in ("build", "ops", "none"):
        assert f"group {name}: 1 of its members are no user and no group" in errors


# configuration.md 1.3 ``dereference_aliases``; whom a search below ou=people then finds besides those two
ALIASES = [("never", False), ("finding", False), ("searching", True), ("always", True)]


@pytest.mark.parametrize(("dereference", "followed"), ALIASES)
def test_aliases_are_followed_as_at_a_login(
    slapd: Slapd, tmp_path: Path, capsys: pytest.CaptureFixture[str], dereference: str, followed: bool
) -> None:
    """RFC 4511 4.5.1.3."""
    file = write(
        tmp_path, slapd, attributes={"username": "cn"}, dereference_aliases=dereference,
        search_base_dns=[f"ou=people,{BASE_DN}"], search_filter="(&(objectClass=person)(cn=%s))",
    )  # fmt: skip
    code, text, errors = run_here(capsys, file)
    assert code == 0, errors
    users = Read(text).users
    assert users.keys() == {"first", "second"} | ({"far"} if followed else set())
    if followed:
        assert users["far"]["ldap-sync/upstream-dn"] == uid("far", "left")

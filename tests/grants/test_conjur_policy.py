"""Whom a ``memberUid`` means in the policy of a directory (conjur.md 7, DECISIONS 4 and 9). Pure."""

from __future__ import annotations

import pytest

from gateway.grants.conjur_policy import Draft, GroupEntry, PersonEntry

# people as (name, uids), memberUid of a group, who is in it
MEMBERS = [
    ("the only one of a name", [("nina", ["nina"])], ["NINA"], ["nina"]),
    ("two, and a third who is also called so", [("nina", ["nina"]), ("nina", ["nina"]), ("carol", ["carol", "nina"])], ["nina"], []),
    ("one who is left out, and another who is also called so", [("a/b", ["bob"]), ("dave", ["dave", "Bob"])], ["bob"], []),
    ("the administrator's", [("admin", ["admin"]), ("eve", ["eve", "admin"])], ["admin"], []),
    ("two, in capitals or not", [("x", ["x", "shared"]), ("w", ["w", "SHARED"])], ["shared", "w"], ["w"]),
    ("one who is left out alone", [("a/b", ["bob"])], ["bob"], []),
    ("an entry that comes twice", [("x", ["x"]), None, ("w", ["w"])], ["x"], ["x"]),
]


@pytest.mark.parametrize(("proves", "people", "uids", "inside"), MEMBERS, ids=[row[0] for row in MEMBERS])
def test_members_by_uid(
    proves: str, people: list[tuple[str, list[str]] | None], uids: list[str], inside: list[str]
) -> None:
    drafts = [(number, *given) for number, given in enumerate(people) if given]
    for order in (drafts, drafts[::-1]):
        draft = Draft("ldap.example:636")
        for number, name, named in order:
            for _ in range(1 + (None in people)):
                draft.add_person(PersonEntry(name, f"uid={number},dc=x", tuple(named), ""))
        draft.add_group(GroupEntry("ops", "cn=ops,dc=x", (), tuple(uids)))
        granted = [line for line in draft.finish().lines() if line.startswith("- !grant")]
        assert granted == [f"- !grant {{role: !group ops, member: !user {name}}}" for name in inside], proves

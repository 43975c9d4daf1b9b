"""Policies by name and group: one mapping for tokens and for ``policy:`` in access rules (vault.md 2, 6; DECISIONS 6)."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.config.schema import Configuration
from gateway.grants.mapping import Grants
from gateway.identity import Account, Group

EVERYWHERE = {
    "groups": {"scientists": ["foo"], "engineers": ["foobar"]},
    "users": {"tesla": {"groups": ["engineers"], "policies": ["zoobar"]}},
}
OF_CORP = {"groups": {"Scientists": ["bar"]}, "users": {"TESLA": {"policies": ["own"]}}}


def grants(*, in_realm: bool = True, case_sensitive: bool = False, **vault: Any) -> Grants:
    server = {
        "name": "corp", "host": "ldap.example.com", "search_base_dns": ("dc=example,dc=com",), "realm": in_realm,
        "vault": OF_CORP, "case_sensitive_names": case_sensitive,
        "group_mappings": ({"group_dn": "cn=scientists", "policies": ("mapped",)},),
    }  # fmt: skip
    given = {"state_dir": "/var/empty", "servers": (server,), "vault": {**EVERYWHERE, **vault}}
    return Grants(Configuration.model_validate(given))


def account(name: str, *groups: str, server: str = "corp") -> Account:
    return Account(server, f"id-{name}", name, groups=tuple(Group(one, f"cn={one}", f"cn={one}") for one in groups))


ROWS = [
    # name in the directory, typed at a mount, groups, policies there
    ("6 groups of the directory", "ada", "", ("scientists",), {"mapped", "foo", "bar"}),
    ("6 groups of users/<name>, and its own policies", "tesla", "tesla", (), {"foobar", "zoobar", "own"}),
    ("6 fold when case-insensitive", "tesla", "Tesla", ("ENGINEERS",), {"foobar", "zoobar", "own"}),
    ("4 the typed name counts", "Nikola Tesla", " tesla", (), {"foobar", "zoobar", "own"}),
    ("4 and no other, which people may be able to write", "tesla", "ada", (), set()),
    ("6 none at all is allowed", "nobody", "nobody", ("others",), set()),
    ("5 a group without cn goes by its value", "ada", "", (), set()),
]


@pytest.mark.parametrize(("proves", "name", "typed", "groups", "policies"), ROWS, ids=[row[0] for row in ROWS])
def test_policies_of_people(
    proves: str, name: str, typed: str, groups: tuple[str, ...], policies: set[str]
) -> None:
    found = grants().policies(account(name, *groups), typed)
    assert set(found) == policies, proves
    assert len(found) == len(set(found))


def test_a_group_without_a_name_goes_by_its_value() -> None:
    """vault.md 5: if it is no DN, or has no cn, the value stays as it is."""
    who = Account("corp", "id", "ada", groups=(Group("", "ou=x", "scientists"),))
    assert set(grants().grant(who).policies) == {"foo", "bar"}


def test_elsewhere_the_name_of_the_directory_counts() -> None:
    """forward-auth.md, ``policy:``: who has logged in elsewhere has typed nothing at a mount."""
    assert set(grants().grant(account("tesla")).policies) == {"foobar", "zoobar", "own"}
    assert not grants().grant(account("Nikola Tesla")).policies


def test_names_with_case() -> None:
    """vault.md 2: names fold only when case_sensitive_names is false."""
    exact = grants(case_sensitive=True)
    assert set(exact.grant(account("ada", "scientists")).policies) == {"mapped", "foo"}
    assert set(exact.grant(account("ada", "Scientists")).policies) == {"mapped", "bar"}
    assert set(exact.grant(account("Tesla")).policies) == set()


@pytest.mark.parametrize("case_sensitive", [False, True])
@pytest.mark.parametrize("written", ["Big Team", " Big  Team ", "Big\tTeam"])
def test_blanks_do_not_count(written: str, *, case_sensitive: bool) -> None:
    """RFC 4518 2.6.1: as directories compare, so do we; what a mount lists is what its people get."""
    given = grants(case_sensitive=case_sensitive, groups={written: ["x"]})
    assert given.grant(account("ada", "Big Team")).policies == given.grant(account("ada", "Big  Team ")).policies == ("x",)


def test_mounts_of_others() -> None:
    """configuration.md 1.6: what is written for local users, and for the realm, is theirs alone."""
    more = {"local": {"groups": {"scientists": ["of-local"]}}, "realm": {"groups": {"scientists": ["of-realm"]}}}
    assert set(grants(**more).grant(account("eve", "scientists", server="local")).policies) == {
        "foo", "of-local", "of-realm",
    }  # fmt: skip
    assert "of-realm" in grants(**more).grant(account("eve", "scientists")).policies
    assert "of-realm" not in grants(in_realm=False, **more).grant(account("eve", "scientists")).policies

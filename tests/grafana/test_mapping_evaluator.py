"""Grafana's rule for mappings, typed anew from grafana.md 2.6, against what the gateway makes of the same file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.load import load
from gateway.grants.mapping import Grants, Refused
from gateway.identity import Account, Group
from tests.grafana.ldap_toml import block, mapping

Mapping = dict[str, object]
Verdict = tuple[dict[int, str], bool] | None
"""Roles and flag; None for somebody who is refused."""


def evaluate(mappings: list[Mapping], groups: list[str]) -> Verdict:
    """The pseudo code of grafana.md 2.6, and step 4 of 2.2."""
    roles: dict[int, str] = {}
    admin = False
    for one in mappings:
        org_id = int(str(one.get("org_id") or 1))
        if org_id in roles:
            continue
        group_dn = str(one["group_dn"])
        if group_dn == "*" or any(group.lower() == group_dn.lower() for group in groups):
            if "org_role" in one:
                role = str(one["org_role"])
                roles[org_id] = role[:1].upper() + role[1:] or "Viewer"
            if one.get("grafana_admin") is True:
                admin = True
    return None if mappings and not roles and not admin else (roles, admin)


SRE, DEV, DEV2, ALL = (
    mapping("cn=sre", "Admin"), mapping("cn=dev", "Editor"), mapping("cn=dev", "Admin", org_id=2), mapping("*", "Viewer"),
)  # fmt: skip
BY_HAND: list[tuple[list[Mapping], list[str], Verdict]] = [
    ([SRE, DEV, DEV2, ALL], ["cn=sre", "cn=dev"], ({1: "Admin", 2: "Admin"}, False)),
    ([SRE, DEV, DEV2, ALL], ["cn=dev"], ({1: "Editor", 2: "Admin"}, False)),
    ([SRE, DEV, DEV2, ALL], [], ({1: "Viewer"}, False)),
    ([SRE, DEV2], ["cn=dev"], ({2: "Admin"}, False)),
    ([SRE], ["cn=dev"], None),
    ([SRE], ["CN=SRE"], ({1: "Admin"}, False)),
    ([], ["cn=dev"], ({}, False)),
    ([ALL, mapping("cn=sre", "Admin", grafana_admin=True)], ["cn=sre"], ({1: "Viewer"}, False)),
    ([mapping("cn=sre", grafana_admin=True), ALL], ["cn=sre"], ({1: "Viewer"}, True)),
    ([mapping("*", grafana_admin=False)], [], None),
    ([mapping("*", "", org_id=0)], [], ({1: "Viewer"}, False)),
]


@pytest.mark.parametrize(("mappings", "groups", "expected"), BY_HAND, ids=[str(i) for i in range(len(BY_HAND))])
def test_the_evaluator_itself(mappings: list[Mapping], groups: list[str], expected: Verdict) -> None:
    """The table of grafana.md 2.6 and more rows by hand: the judge is judged first (DECISIONS 41)."""
    assert evaluate(mappings, groups) == expected


def granted(folder: Path, mappings: list[Mapping], groups: list[str]) -> Verdict:
    file = folder / "ldap.toml"
    file.write_text(block(tuple(mappings), extra="port = 389"), "utf-8")
    grants = Grants(load([file], {}).configuration)
    held = tuple(Group(group, value=group) for group in groups)
    try:
        grant = grants.grant(Account("ldap", "1", "nina", groups=held))
    except Refused:
        return None
    assert grant.grafana_admin is not None
    return dict(grant.org_roles), grant.grafana_admin


NAMES = st.sampled_from(["cn=a", "CN=A", "cn=b", "cn=b ", "cn=c, dc=x", "cn=c,dc=x", "a", "cn=*"])
MAPPINGS = st.lists(
    st.fixed_dictionaries(
        {"group_dn": st.one_of(NAMES, st.just("*"))},
        optional={
            "org_id": st.integers(0, 3),
            "org_role": st.sampled_from(["Viewer", "Editor", "Admin", "None", "admin", "viewer", ""]),
            "grafana_admin": st.booleans(),
        },
    ).filter(lambda one: "org_role" in one or "grafana_admin" in one),
    max_size=8,
)


@settings(max_examples=300, deadline=None)
@given(mappings=MAPPINGS, groups=st.lists(NAMES, max_size=4, unique=True))
def test_the_gateway_agrees(tmp_path_factory: pytest.TempPathFactory, mappings: list[Mapping], groups: list[str]) -> None:
    """Any mappings, any groups: from the text of the file to the grant."""
    folder = tmp_path_factory.getbasetemp()
    assert granted(folder, mappings, groups) == evaluate(mappings, groups)

"""hvac 2.4, whose own methods configure, map, log in, and look after tokens: one row, one test (vault.md 12, 17)."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from hvac.api.auth_methods import Ldap
from hvac.exceptions import ParamValidationError

from tests.clients import hvac_ldap_cases, hvac_system_cases, hvac_token_cases
from tests.clients.hvac_case import (
    ABSENT,
    CORP,
    PASSWORD,
    ROOT,
    Case,
    Refused,
    Site,
    between,
    differences,
    service_token,
)
from tests.daemon import running
from tests.directories.slapd import BASE_DN, Slapd, make_certificates

PEOPLE = {"tesla": (), "einstein": ("scientists",), "boole": ("Engineers", "scientists"), "curie": (), "noether": ()}
LDIF = "\n".join([
    f"dn: {BASE_DN}\nobjectClass: dcObject\nobjectClass: organization\ndc: example\no: Example\n",
    f"dn: ou=Users,{BASE_DN}\nobjectClass: organizationalUnit\nou: Users\n",
    f"dn: ou=Groups,{BASE_DN}\nobjectClass: organizationalUnit\nou: Groups\n",
    *(f"dn: cn={name},ou=Users,{BASE_DN}\nobjectClass: inetOrgPerson\n"
      f"cn: {name}\nsn: {name}\nuserPassword: {PASSWORD}\n"
      for name in PEOPLE),
    *(f"dn: cn={group},ou=Groups,{BASE_DN}\nobjectClass: groupOfNames\ncn: {group}\n"
      + "".join(f"member: cn={name},ou=Users,{BASE_DN}\n" for name, groups in PEOPLE.items() if group in groups)
      for group in ("scientists", "Engineers")),
])  # fmt: skip
SERVER = {
    "name": CORP,
    "userdn": f"ou=Users,{BASE_DN}",
    "groupdn": f"ou=Groups,{BASE_DN}",
    "vault": {
        "groups": {"scientists": ["foo", "bar"], "engineers": ["foobar"]},
        "users": {"tesla": {"groups": ["engineers"], "policies": ["zoobar"]}},
        "listing_visibility": "unauth",
        "description": "everybody",
    },
}
CASES: tuple[Case, ...] = (*hvac_ldap_cases.CASES, *hvac_token_cases.CASES, *hvac_system_cases.CASES)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, ...]]:
    directory = tmp_path_factory.mktemp("hvac")
    make_certificates(directory / "certificates")
    with Slapd.start(LDIF, directory=directory / "slapd") as slapd:
        vault = {"root_token": ROOT, "policies": hvac_token_cases.POLICIES}
        file = directory / "gateway.conf"
        file.write_text(json.dumps({"servers": [SERVER | {"url": slapd.url}], "vault": vault, "login": {"floor": 0}}))
        with running(directory, files=[file]) as daemon:
            with requests.Session() as session:
                session.trust_env = False
                given = {"url": slapd.url, "userdn": SERVER["userdn"], "groupdn": SERVER["groupdn"]}
                yield f"http://127.0.0.1:{daemon.port}", session, given, directory / "certificates"
            for secret in (ROOT, PASSWORD, hvac_ldap_cases.BINDPASS, "hvs."):
                assert secret not in daemon.log


@pytest.fixture
def site(places: tuple[Any, ...]) -> Iterator[Site]:
    made = Site(*places)
    yield made
    made.close()


@pytest.mark.parametrize("case", CASES, ids=[f"{case.section}-{case.name}" for case in CASES])
def test_hvac(site: Site, case: Case) -> None:
    if not isinstance(case.expected, Refused):
        assert differences(case.call(site), case.expected) == []
        return
    with pytest.raises(case.expected.error) as refused:
        case.call(site)
    assert type(refused.value) is case.expected.error
    if case.expected.error is ParamValidationError:  # hvac's own, before it asked anybody
        assert case.expected.text in str(refused.value)
        return
    # None if the content type were not exactly what hvac expects (vault.md 1).
    errors = refused.value.errors
    assert bool(errors) == bool(case.expected.text)
    assert case.expected.text in "\n".join(errors)


JUDGED: tuple[tuple[Any, Any, bool], ...] = (
    ({"a": 1, "b": 2}, {"a": 1}, True), ({"a": 1}, {"a": 2}, False), ({"a": 1}, {"b": 1}, False),
    ({}, {"b": None}, False), ({"a": {"b": 1}}, {"a": {"b": 2}}, False), ({"a": 1}, {"a": ABSENT}, False),
    ({}, {"a": ABSENT}, True),
    ({"a": 5}, {"a": between(1, 4)}, False), ({"a": 3}, {"a": between(1, 4)}, True), (True, 1, False),
    (None, {}, False), (["b", "a"], ["a", "b"], False), ([], {"a": 1}, False),
    ("hvs.short", service_token, False), (None, ABSENT, False),
)  # fmt: skip


@pytest.mark.parametrize(("answer", "expected", "agrees"), JUDGED, ids=range(len(JUDGED)))
def test_the_judge(answer: Any, expected: Any, agrees: bool) -> None:
    """DECISIONS 41."""
    assert (differences(answer, expected) == []) is agrees


def test_each_argument_of_configure_stands_in_a_row() -> None:
    own = set(inspect.signature(Ldap.configure).parameters) - {"self", "mount_point"}
    assert own == hvac_ldap_cases.WRITTEN

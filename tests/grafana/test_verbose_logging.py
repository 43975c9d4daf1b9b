"""``verbose_logging``: attributes and groups of each login, never a secret, always one bounded line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.directory.messages import Entry
from gateway.directory.verbose import LONGEST_LINE, described
from gateway.identity import Account, Group

DN = "uid=nina,ou=people"


def line(attributes: dict[str, list[bytes]], *groups: str) -> str:
    return described(Entry(DN, attributes), Account("ldap", "1", "nina", groups=tuple(Group(g, value=g) for g in groups)))


LINES = [
    ({"uid": [b"nina"], "mail": [b"a@x", b"b@x"]}, ("cn=a", "cn=b"), "uid=nina; mail=a@x | b@x; groups: cn=a | cn=b"),
    ({}, (), "groups: none"),
    ({"uid": []}, (), "groups: none"),
    ({"memberof": [b"cn=a"]}, ("cn=a",), "groups: cn=a"),
    ({"objectguid": [b"\xff\x00"]}, (), "objectguid=0xff00; groups: none"),
    ({"sn": ["Björk\n\x1b[31mlevel=error".encode()]}, (), "sn=Björk\\n\\x1b[31mlevel=error; groups: none"),
    ({"userpassword": [b"hunter2"]}, (), "userpassword=(hidden); groups: none"),
    ({"description": [b"{SSHA}hunter2"]}, (), "description=(hidden); groups: none"),
]


@pytest.mark.parametrize(("attributes", "groups", "expected"), LINES, ids=[str(i) for i in range(len(LINES))])
def test_line(attributes: dict[str, list[bytes]], groups: tuple[str, ...], expected: str) -> None:
    assert line(attributes, *groups) == f"nina logged in: dn={DN}; {expected}"


SECRETS = [
    "userPassword", "unicodePwd", "sambaNTPassword", "sambaLMPassword", "ipaNTHash", "krbPrincipalKey", "ntPwdHistory",
    "supplementalCredentials", "userPKCS12", "ms-Mcs-AdmPwd", "msDS-ManagedPassword", "authPassword", "apiToken", "oathSecret",
]  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret(name: str) -> None:
    assert "hunter2" not in line({name: [b"hunter2"], name.lower(): [b"hunter2"]})


@given(
    st.dictionaries(st.text(max_size=30), st.lists(st.binary(max_size=400), max_size=80), max_size=20),
    st.lists(st.text(max_size=400), max_size=80),
)
def test_one_bounded_printable_line(attributes: dict[str, list[bytes]], groups: list[str]) -> None:
    told = line(attributes, *groups)
    assert told.isprintable()
    assert len(told) <= 10 * LONGEST_LINE  # an escape is ten characters at most


def test_it_says_that_it_was_cut() -> None:
    told = line({"uid": [b"n" * 300]}, *(f"cn={number}" for number in range(60)))
    assert "..." in told
    assert told.endswith("cn=49 and 10 more")

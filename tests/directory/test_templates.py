"""Names to bind with that are made of a login (grafana.md 2.2 and 2.3, vault.md 4.2 and 4.3)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.directory.escape import DnError, parse_dn
from gateway.directory.templates import direct_name, principal_name, single_name

SINGLE = [
    ("grafana.md 2.3, DN", "cn=%s,ou=people,dc=x", "ada", "cn=ada,ou=people,dc=x"),
    ("grafana.md 2.3, injection", "cn=%s,ou=people,dc=x", "x,ou=other", r"cn=x\,ou=other,ou=people,dc=x"),
    ("clearml.md 1.3, {0}", "uid={0},dc=x", "#1", r"uid=\#1,dc=x"),
    ("vault.md 3, Go", "uid={{.Username}},dc=x", "a+b", r"uid=a\+b,dc=x"),
    ("vault.md 3, blanks", "uid={{ .Username }},dc=x", "a", "uid=a,dc=x"),
    ("vault.md 3, trim markers", "uid= {{- .Username -}} ,dc=x", "a", "uid=a,dc=x"),
    ("vault.md 3, one trim marker", "uid=a {{- .Username }} b,dc=x", "-", "uid=a- b,dc=x"),
    ("all spellings, several times", "uid=%s+cn={0}+sn={{.Username}},dc=x", "a", "uid=a+cn=a+sn=a,dc=x"),
    ("a login is not a template", "uid=%s,dc=x", "{{.Username}}%s{0}", "uid={{.Username}}%s{0},dc=x"),
    ("inside a value", "cn=dev %s,dc=x", " a", r"cn=dev \ a,dc=x"),
    ("grafana.md 2.3, domain", "HARBOR\\%s", "ada,x", "HARBOR\\ada,x"),
    ("grafana.md 2.3, UPN", "%s@harbor.example", "jürgen", "jürgen@harbor.example"),
    ("bare", "%s", "anything", "anything"),
]


@pytest.mark.parametrize(("template", "login", "name"), [row[1:] for row in SINGLE], ids=[row[0] for row in SINGLE])
def test_single_names(template: str, login: str, name: str) -> None:
    assert single_name(template).fill(login) == name


# vault.md 4.3, with its examples
DIRECT = [
    ("#x", r"cn=\#x,dc=x"),
    ("a#x", r"cn=a\#x,dc=x"),
    ("a,b", r"cn=a\,b,dc=x"),
    (" a ", r"cn=\ a\ ,dc=x"),
    ("Ž", r"cn=\c5\bd,dc=x"),
    ("a\\2cb", r"cn=a\\2cb,dc=x"),
    ("a=b", "cn=a=b,dc=x"),
    ('"+;<>', r"cn=\"\+\;\<\>,dc=x"),
    ("\n", r"cn=\0a,dc=x"),
]


@pytest.mark.parametrize(("login", "name"), DIRECT)
def test_direct_names(login: str, name: str) -> None:
    assert direct_name("cn", "dc=x").fill(login) == name
    assert direct_name("uid", "cn=%s,dc=x").fill(login) == name


def test_equals_signs_in_active_directory() -> None:
    """vault.md 4.3: ``=`` stays (RFC 4514) or becomes ``\\=``; what is in the template stays in any case."""
    assert direct_name("cn", "dc=x", escape_equals=True).fill("a=b") == r"cn=a\=b,dc=x"
    assert single_name("cn=%s,dc=x", escape_equals=True).fill(" =") == r"cn=\ \=,dc=x"


def test_principal_names_are_sent_as_they_are() -> None:
    """vault.md 4.2: escapes would break ``#`` and all but ASCII."""
    name = principal_name("corp.example")
    assert [name.fill(login) for login in ("#ada", "jürgen", "a,b\\")] == [
        "#ada@corp.example", "jürgen@corp.example", "a,b\\@corp.example",
    ]  # fmt: skip
    assert not name.is_dn


UNUSABLE = [
    ("", "no %s or {0}"),
    ("cn=admin,dc=x", "no %s or {0}"),
    ("cn=%s,dc", "not a distinguished name"),
    ("%s=x,dc=x", "not a distinguished name"),
    ("cn=#%s", "not a distinguished name"),
    ("cn=\\%s,dc=x", "not a distinguished name"),
    ("cn=\\2%s,dc=x", "not a distinguished name"),
    ("cn=a\\{0},dc=x", "not a distinguished name"),
    ("cn={{.UserDN}},dc=x", "only {{.Username}} is known here, at position 3"),
    ("cn=%s{{.Username", "only {{.Username}} is known here, at position 5"),
    ("cn={{Username}},dc=x", "only {{.Username}} is known here, at position 3"),
    ("cn={{-.Username}},dc=x", "only {{.Username}} is known here, at position 3"),
    ("cn={{.Username | html}},dc=x", "only {{.Username}} is known here, at position 3"),
    ("cn={{}},dc=x", "only {{.Username}} is known here, at position 3"),
]


@pytest.mark.parametrize(("template", "reason"), UNUSABLE)
def test_unusable_templates(template: str, reason: str) -> None:
    with pytest.raises(DnError, match=re.escape(reason)):
        single_name(template)


@pytest.mark.parametrize("user_dn", ["", " ", "people", "ou=people,", "CORP\\%s", "cn={{.UserAttr}},dc=x"])
def test_unusable_parents(user_dn: str) -> None:
    """vault.md 4.2: an empty ``userdn`` is refused instead of making a DN that ends in a comma."""
    with pytest.raises(DnError):
        direct_name("uid", user_dn)


@pytest.mark.parametrize("login", ["a\0b", "a\n", "a\x7f", "\x1b", ""])
@pytest.mark.parametrize("template", ["%s@x", "D\\%s"])
def test_unusable_logins(template: str, login: str) -> None:
    with pytest.raises(DnError):
        single_name(template).fill(login)
    with pytest.raises(DnError):
        principal_name("x").fill(login)


def test_no_login_makes_no_name() -> None:
    with pytest.raises(DnError):
        single_name("cn=%s,dc=x").fill("")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), st.booleans())
def test_no_login_changes_the_dn(login: str, escape_equals: bool) -> None:
    name = direct_name("cn", "ou=people", escape_equals=escape_equals)
    assert parse_dn(name.fill(login)) == [[("cn", login)], [("ou", "people")]]


@given(st.text(st.sampled_from("%s{}0.-Username \t=,xD"), max_size=40))
def test_any_template_is_used_or_refused(template: str) -> None:
    try:
        name = single_name(template)
    except DnError:
        return
    assert name.fill("ada")

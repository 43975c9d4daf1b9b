"""Names for the single bind (grafana.md 2.2, 2.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.directory.escape import DnError, parse_dn
from gateway.directory.templates import DnTemplate

NAMES = [
    ("grafana.md 2.3, DN", "cn=%s,ou=people,dc=x", "ada", "cn=ada,ou=people,dc=x"),
    ("grafana.md 2.3, injection", "cn=%s,ou=people,dc=x", "x,ou=other", r"cn=x\,ou=other,ou=people,dc=x"),
    ("clearml.md 1.3, {0}", "uid={0},dc=x", "#1", r"uid=\#1,dc=x"),
    ("both spellings, several times", "uid=%s+cn={0},dc=x", "a", "uid=a+cn=a,dc=x"),
    ("inside a value", "cn=dev %s,dc=x", " a", r"cn=dev \ a,dc=x"),
    ("grafana.md 2.3, domain", "HARBOR\\%s", "ada,x", "HARBOR\\ada,x"),
    ("grafana.md 2.3, UPN", "%s@harbor.example", "jürgen", "jürgen@harbor.example"),
    ("bare", "%s", "anything", "anything"),
]


@pytest.mark.parametrize(("template", "login", "name"), [row[1:] for row in NAMES], ids=[row[0] for row in NAMES])
def test_names(template: str, login: str, name: str) -> None:
    assert DnTemplate(template).dn(login) == name


@pytest.mark.parametrize(
    "template",
    ["", "cn=admin,dc=x", "cn=%s,dc", "%s=x,dc=x", "cn=#%s", "cn=\\%s,dc=x", "cn=\\2%s,dc=x", "cn=a\\{0},dc=x"],
)
def test_unusable_templates(template: str) -> None:
    with pytest.raises(DnError):
        DnTemplate(template)


@pytest.mark.parametrize(
    ("template", "login"), [("%s@x", "a\0b"), ("D\\%s", "a\n"), ("%s@x", "a\x7f"), ("%s@x", ""), ("cn=%s", "")]
)
def test_unusable_logins(template: str, login: str) -> None:
    with pytest.raises(DnError):
        DnTemplate(template).dn(login)


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_no_login_changes_the_dn(login: str) -> None:
    assert parse_dn(DnTemplate("cn=%s,ou=people").dn(login)) == [[("cn", login)], [("ou", "people")]]

"""forward-auth.md 5, grafana.md 4, DECISIONS 30: what applications are told about who calls."""

from __future__ import annotations

import quopri
from email.header import decode_header, make_header
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from people import person

from gateway.access.identity_headers import HeaderPresets
from gateway.config.schema import Configuration, IdentityHeaders
from gateway.grants.organisations import Organisations

ADA = person(
    "ada",
    "dev",
    "ops",
    name="Ada Lovelace",
    email="ada@example.com",
    org_roles={1: "Editor"},
    attributes={"phone": ("1", "2")},
)


def presets(**settings: Any) -> HeaderPresets:
    return HeaderPresets(IdentityHeaders.model_validate(settings), Organisations(Configuration()))


def value(identity: Any, field: str, **settings: Any) -> str:
    """What one field becomes."""
    rendered = presets(presets={"x": {"X-F": field}}, **settings).render(identity, "x")
    return dict(rendered.headers)["X-F"]


BUILT_IN = [
    ("remote", {"Remote-User": "ada", "Remote-Groups": "dev,ops", "Remote-Name": "Ada Lovelace", "Remote-Email": "ada@example.com"}),
    ("auth-request", {"X-Auth-Request-User": "ada", "X-Auth-Request-Email": "ada@example.com", "X-Auth-Request-Groups": "dev,ops", "X-Auth-Request-Preferred-Username": "ada"}),
    ("forwarded", {"X-Forwarded-User": "ada", "X-Forwarded-Email": "ada@example.com", "X-Forwarded-Groups": "dev,ops"}),
    ("grafana-proxy", {"X-WEBAUTH-USER": "ada", "X-WEBAUTH-NAME": "Ada Lovelace", "X-WEBAUTH-EMAIL": "ada@example.com", "X-WEBAUTH-ROLE": "Editor", "X-WEBAUTH-GROUPS": "dev,ops"}),
    ("grafana-jwt", {"X-JWT-Assertion": "a.b.c"}),
]  # fmt: skip

NAMES = {name for _, expected in BUILT_IN for name in expected}
REMOTE = BUILT_IN[0][1]


@pytest.mark.parametrize(("preset", "expected"), BUILT_IN)
def test_built_in(preset: str, expected: dict[str, str]) -> None:
    made = presets()
    rendered = made.render(ADA, preset, token="a.b.c")
    assert dict(rendered.headers) == expected
    assert rendered.block == "".join(f"{name}: {text}\r\n" for name, text in expected.items()).encode()
    # Of the other presets: an application may expect those of another one.
    others = {name for name in NAMES if name not in expected}
    assert set(rendered.removed) == others
    anonymous = made.anonymous(preset)  # DECISIONS 30: always there
    assert dict(anonymous.headers) == dict.fromkeys(expected, "")
    assert set(anonymous.removed) == NAMES
    assert len(anonymous.removed) == len(NAMES)
    assert made.needs_token(preset) is (preset == "grafana-jwt")


def test_the_default_preset() -> None:
    made = presets(preset="mine", presets={"mine": {"X-Who": "username", "X-Phone": "attr:phone", "X-None": "attr:none"}})
    assert made.render(ADA).headers == (("X-Who", "ada"), ("X-Phone", "1,2"), ("X-None", ""))
    assert set(made.render(ADA).removed) == NAMES | {"X-None"}
    assert set(made.anonymous().removed) == NAMES | {"X-Who", "X-Phone", "X-None"}


def test_headers_of_other_presets_are_removed_by_any_spelling_once() -> None:
    """5: but not what clients log in to applications with, unless the preset is theirs."""
    own = {"jwt": {"Authorization": "token", "remote-user": "username"}, "proxy": {"Proxy-Authorization": "token"}}
    made = presets(presets=own)
    assert {name.lower() for name in made.render(ADA).removed} == {name.lower() for name in NAMES} - {"remote-user", *map(str.lower, REMOTE)}
    jwt = made.render(ADA, "jwt", token="a.b.c")
    assert not {name.lower() for name in jwt.removed} & {"authorization", "proxy-authorization", "remote-user"}
    assert {"Authorization", "remote-user"} <= set(made.anonymous("jwt").removed)
    assert len({name.lower() for name in made.anonymous("jwt").removed}) == len(made.anonymous("jwt").removed)


# field, identity, settings, value
ROWS: list[tuple[str, Any, dict[str, Any], str]] = [
    ("name", person("a", name="Jörg"), {}, "Jörg"),
    ("name", person("a", name="Jörg"), {"encoding": "percent"}, "J%C3%B6rg"),
    ("name", person("a", name="Jörg"), {"encoding": "quoted-printable"}, "J=C3=B6rg"),
    ("name", person("a", name="a=b"), {"encoding": "quoted-printable"}, "a=3Db"),
    ("name", person("a", name="Jörg"), {"encoding": "rfc2047"}, "=?utf-8?B?SsO2cmc=?="),
    ("name", person("a", name="Ada"), {"encoding": "rfc2047"}, "Ada"),
    ("name", person("a", name="=?utf-8?B?eA==?="), {"encoding": "rfc2047"}, "=?utf-8?B?PT91dGYtOD9CP2VBPT0/PQ==?="),
    ("name", person("a", name="a b,c%"), {"encoding": "percent"}, "a%20b%2Cc%25"),
    ("email", person("a", email="a@b.test"), {"encoding": "percent"}, "a@b.test"),
    ("name", person("a", name="A\r\nX-Evil: 1"), {}, "AX-Evil: 1"),
    ("name", person("a", name="A\0\x07\x7f\x85\u2028B"), {}, "AB"),
    ("name", person("a", name="  A  "), {}, "A"),
    ("name", person("a", name="A\ud800"), {}, "A"),
    ("username", person("ad\0min"), {}, ""),  # stripped, it would be somebody else
    ("username", person("admin\n"), {}, ""),
    ("groups", person("a", "b,c", "d"), {}, "d"),
    ("groups", person("a", "b,c", "d"), {"comma_groups": "percent"}, "b%2Cc,d"),
    ("groups", person("a", "b%2Cc", "b,c"), {"comma_groups": "percent"}, "b%252Cc,b%2Cc"),
    ("groups", person("a", "b,c", "d"), {"encoding": "percent", "comma_groups": "percent"}, "b%2Cc,d"),
    ("groups", person("a", "b,c", "d"), {"encoding": "percent"}, "d"),
    ("groups", person("a", "d\ne", "f"), {}, "f"),
    ("groups", person("a", "", "f", "f", " f "), {}, "f"),
    ("groups", person("a", "App-x", "y", "app-z"), {"group_prefix": "app-"}, "App-x,app-z"),
    ("groups", person("a", "x", "y", "z"), {"max_groups": 2}, "x,y"),
    ("groups", person("a", "x"), {"max_groups": 0}, ""),
    ("groups", person("a", "Jörg", "x"), {"encoding": "percent"}, "J%C3%B6rg,x"),
    ("role", person("a"), {}, ""),
    ("role", person("a", org_roles={2: "Admin"}), {}, "None"),  # grafana.md 4
    ("role", person("a", org_roles={1: "Viewer", 2: "Admin"}), {}, "Viewer"),
]


@pytest.mark.parametrize(("field", "identity", "settings", "expected"), ROWS)
def test_value(field: str, identity: Any, settings: dict[str, Any], expected: str) -> None:
    assert value(identity, field, **settings) == expected


def test_grafana_is_always_quoted_printable() -> None:
    rendered = presets(encoding="utf8").render(person("a", name="Bjørk"), "grafana-proxy")
    assert dict(rendered.headers)["X-WEBAUTH-NAME"] == "Bj=C3=B8rk"


@pytest.mark.parametrize("token", ["a\r\nb", "a\0", "ü", "a b\n"])
def test_a_token_with_anything_else_in_it_is_left_out(token: str) -> None:
    assert presets().render(ADA, "grafana-jwt", token=token).headers == (("X-JWT-Assertion", ""),)


@pytest.mark.parametrize("name", ["ad\0min", "admin\r\nX-Evil: 1", "admin\u2028", "admin\x85"])
def test_who_cannot_be_named_in_a_token_is_refused(name: str) -> None:
    """grafana.md 5, 7.11: ``sub`` and ``login`` would be another name, and the header be empty."""
    made = presets()
    assert made.refusal(person(name, org_roles={1: "Editor"}), "grafana-jwt") == "control characters in the name"
    assert made.refusal(person(name, org_roles={1: "Editor"}), "grafana-proxy") == ""
    assert made.refusal(ADA, "grafana-jwt") == ""


def test_a_token_without_room() -> None:
    """grafana.md 5: whoever renders it is told. Longer values beside it go first."""
    own = {"signed": {"X-Token": "token", "Remote-User": "username", "Remote-Name": "name"}}
    made = presets(max_size=1024, presets=own)
    fits = made.render(person("ada", name="x" * 900), "signed", token="t" * 800)
    assert (fits.lacks_token, dict(fits.headers)["X-Token"]) == (False, "t" * 800)
    long = made.render(ADA, "signed", token="t" * 1000)
    assert (long.lacks_token, dict(long.headers)["X-Token"]) == (True, "")
    assert long.dropped == ("X-Token is too long (identity_headers.max_size)",)
    assert not made.anonymous("signed").lacks_token


def test_groups_are_left_out_whole() -> None:
    many = person("ada", *(f"group-{number:04}" for number in range(500)), name="Ada")
    rendered = presets(max_groups=500).render(many)
    groups = dict(rendered.headers)["Remote-Groups"].split(",")
    assert groups == [f"group-{number:04}" for number in range(len(groups))]
    assert 4096 - 11 < len(rendered.block) <= 4096
    assert rendered.dropped == (f"{500 - len(groups)} of 500 groups: no room (identity_headers.max_groups, max_size)",)


def test_a_name_that_is_too_long_is_left_out_and_the_user_goes_last() -> None:
    rendered = presets(max_size=1024).render(person("ada", "dev", name="x" * 5000))
    assert dict(rendered.headers) == {"Remote-User": "ada", "Remote-Groups": "dev", "Remote-Name": "", "Remote-Email": ""}
    assert rendered.dropped == ("Remote-Name is too long (identity_headers.max_size)",)
    assert dict(presets(max_size=1024).render(person("x" * 5000)).headers)["Remote-User"] == ""


texts = st.text(max_size=60)
encodings = st.sampled_from(["utf8", "rfc2047", "percent", "quoted-printable"])


@settings(max_examples=150, deadline=None)
@given(texts, texts, texts, st.lists(texts, max_size=40), encodings, st.sampled_from(["drop", "percent"]))
def test_never_more_than_its_lines(username: str, name: str, email: str, groups: list[str], encoding: str, comma: str) -> None:
    """No value ends a line, and all together keep to the limit."""
    made = presets(encoding=encoding, comma_groups=comma, max_size=1024)
    for preset in ("remote", "auth-request", "grafana-proxy"):
        rendered = made.render(person(username, *groups, name=name, email=email), preset)
        lines = rendered.block.decode().split("\r\n")
        assert lines.pop() == "" and len(lines) == len(rendered.headers) and len(rendered.block) <= 1024
        for line, (header, text) in zip(lines, rendered.headers, strict=True):
            assert line == f"{header}: {text}"
            assert all(letter.isprintable() or letter >= "\xa0" for letter in text)
            assert not set("\r\n\0") & set(text)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["C", "Z"]), max_size=200))
def test_what_is_encoded_can_be_read(name: str) -> None:
    """By the standard library's own readers."""
    assert unquote(value(person("a", name=name), "name", encoding="percent")) == name
    coded = value(person("a", name=name), "name", encoding="quoted-printable")
    assert quopri.decodestring(coded.encode()).decode() == name
    words = value(person("a", name=name), "name", encoding="rfc2047")
    assert all(len(word) <= 75 for word in words.split(" ")) or words == name
    if "=?" in words:
        assert str(make_header(decode_header(words))) == name

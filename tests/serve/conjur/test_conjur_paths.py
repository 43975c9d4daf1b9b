"""conjur.md 1, 2: which raw path is which route, decoded exactly once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from gateway.serve.conjur.headers import NoToken, UnreadableToken, accepts_base64, basic_credentials, token_of
from gateway.serve.conjur.paths import NOBODY, Action, Family, Route, is_conjur, route_of

LDAP, AUTHN, V4 = Family.LDAP, Family.AUTHN, Family.V4
# section 2 unless said; path; route
ROUTES = [
    ("/api/authn-ldap/users/login", Route(Action.LOGIN, V4)),
    ("/api/authn-ldap/users/nina/authenticate", Route(Action.AUTHENTICATE, V4, login="nina")),
    ("/api/authn-ldap/users/login/authenticate", Route(Action.AUTHENTICATE, V4, login="login")),
    ("/authn-ldap/corp/myorg/login", Route(Action.LOGIN, LDAP, "corp", "myorg")),
    ("/authn-ldap/myorg/login", Route(Action.LOGIN, LDAP, "", "myorg")),
    ("/authn-ldap/corp/myorg/nina/authenticate", Route(Action.AUTHENTICATE, LDAP, "corp", "myorg", "nina")),
    ("/authn-ldap/myorg/nina/authenticate", Route(Action.AUTHENTICATE, LDAP, "", "myorg", "nina")),
    ("/authn-ldap/myorg/login/authenticate", Route(Action.AUTHENTICATE, LDAP, "", "myorg", "login")),
    ("/authn-ldap/login/login", Route(Action.LOGIN, LDAP, "", "login")),
    ("/authn/myorg/login", Route(Action.LOGIN, AUTHN, "", "myorg")),
    ("/authn/myorg/nina/authenticate", Route(Action.AUTHENTICATE, AUTHN, "", "myorg", "nina")),
    ("/authn/myorg/api_key", Route(Action.ROTATE, AUTHN, "", "myorg")),
    ("/authn-ldap/myorg/api_key", Route(Action.ROTATE, LDAP, "", "myorg")),
    ("/authn-ldap/corp/myorg/api_key", Route(Action.ROTATE, LDAP, "corp", "myorg")),
    ("/authn-ldap/corp/myorg/status", Route(Action.STATUS, LDAP, "corp", "myorg")),
    ("/authn-ldap/myorg/public_key", Route(Action.PUBLIC_KEY, LDAP, "", "myorg")),
    ("/whoami", Route(Action.WHOAMI, Family.SERVER)),
    ("/authenticators", Route(Action.AUTHENTICATORS, Family.SERVER)),
    # 1: one segment, decoded once
    ("/authn-ldap/o/host%2Fapps%2Fbackup/authenticate", Route(Action.AUTHENTICATE, LDAP, "", "o", "host/apps/backup")),
    ("/authn-ldap/apps%2Fopen/o/login", Route(Action.LOGIN, LDAP, "apps/open", "o")),
    ("/authn/o/nina@example.com/authenticate", Route(Action.AUTHENTICATE, AUTHN, "", "o", "nina@example.com")),
    ("/authn/o/nina%40example.com/authenticate", Route(Action.AUTHENTICATE, AUTHN, "", "o", "nina@example.com")),
    ("/authn/o/n%20i/authenticate", Route(Action.AUTHENTICATE, AUTHN, "", "o", "n i")),
    ("/authn/o/n+i/authenticate", Route(Action.AUTHENTICATE, AUTHN, "", "o", "n+i")),
    ("/authn/o/n%252Fi/authenticate", Route(Action.AUTHENTICATE, AUTHN, "", "o", "n%2Fi")),
    ("/authn/o/j%C3%BCrgen/authenticate", Route(Action.AUTHENTICATE, AUTHN, "", "o", "jürgen")),
    ("/authn/o/jürgen/authenticate", Route(Action.AUTHENTICATE, AUTHN, "", "o", "jürgen")),
    ("/authn/o/../authenticate", Route(Action.AUTHENTICATE, AUTHN, "", "o", "..")),
    ("/authn/o/%6Eina/%61uthenticate", None),  # the words of a route have one spelling
    ("/authn/o/%ff/authenticate", Route(Action.AUTHENTICATE, AUTHN, "", "o", NOBODY)),
    ("/authn/o/%zz/authenticate", Route(Action.AUTHENTICATE, AUTHN, "", "o", NOBODY)),
    ("/authn/o/nina%/authenticate", Route(Action.AUTHENTICATE, AUTHN, "", "o", NOBODY)),
    ("/authn/o/\udcff/authenticate", Route(Action.AUTHENTICATE, AUTHN, "", "o", NOBODY)),
    # 3: an empty segment
    ("/authn-ldap//myorg/login", None),
    ("/authn-ldap/corp//login", None),
    ("/authn-ldap/corp/myorg//authenticate", None),
    ("/authn-ldap/corp/myorg/login/", None),
    ("/authn-ldap/", None),
    ("/authn/myorg/status", None),
    ("/authn-ldap/corp/myorg/nina/extra/authenticate", None),
    ("/api/authn-ldap/corp/myorg/login", None),
    ("/api/authn-ldap/users/corp/nina/authenticate", None),
]


@pytest.mark.parametrize(("path", "route"), ROUTES)
def test_route(path: str, route: Route | None) -> None:
    assert is_conjur(path)
    assert route_of(path) == route


@given(some.text(min_size=1))
def test_each_name_survives(name: str) -> None:
    """1: any name, each of its octets escaped, is itself again."""
    octets = name.encode("utf-8", "ignore")
    if octets:
        path = f"/authn/o/{''.join(f'%{octet:02X}' for octet in octets)}/authenticate"
        assert route_of(path) == Route(Action.AUTHENTICATE, AUTHN, "", "o", octets.decode())


@given(some.text(alphabet="/%2Fa\udcff:."))
def test_hostile_paths(tail: str) -> None:
    for family in (V4, LDAP, AUTHN):
        route = route_of(family.value + tail)
        assert route is None or "" not in tail.split("/")


# 2.2: lines of Accept-Encoding, whether they ask for base64
ENCODINGS = [
    ([], False), (["base64"], True), (["gzip, base64"], True), (["gzip", "deflate,BASE64 "], True), (["gzip"], False),
    (["base64;q=0"], False), (["base64; q=0.000"], False), (["base64;q=0.5"], True), (["*"], False), (["xbase64"], False),
]  # fmt: skip


@pytest.mark.parametrize(("lines", "expected"), ENCODINGS)
def test_accept_encoding(lines: list[str], expected: bool) -> None:
    assert accepts_base64(lines) is expected


# 2.3: Authorization, the token in it
TOKENS = [
    ('Token token="eyJ="', "eyJ="), ('token TOKEN="eyJ="', "eyJ="), ('Token   token = "e-_+/="', "e-_+/="),
    ("Token token=eyJ=", "eyJ="), ('  Token token="eyJ=" ', "eyJ="), ('Token token="eyJ=",', "eyJ="), ('Token token=""', ""),
]  # fmt: skip
NO_TOKENS = ["", "Basic YTpi", "Bearer eyJ=", "Tokenx token=x"]
UNREADABLE = ["Token", "Token ", "Token eyJ=", 'Token token="eyJ', 'Token tokens="x"', 'Token token="a" b="c"']


@pytest.mark.parametrize(("line", "token"), TOKENS)
def test_token(line: str, token: str) -> None:
    assert token_of([line]) == token


@pytest.mark.parametrize("line", NO_TOKENS)
def test_no_token(line: str) -> None:
    with pytest.raises(NoToken):
        token_of([line])


@pytest.mark.parametrize("line", UNREADABLE)
def test_unreadable_token(line: str) -> None:
    with pytest.raises(UnreadableToken):
        token_of([line])


def test_two_tokens_contradict_each_other() -> None:
    assert token_of(['Token token="a"', 'Token token="a"']) == "a"
    with pytest.raises(UnreadableToken):
        token_of(['Token token="a"', 'Token token="b"'])


def test_basic() -> None:
    """2.1: UTF-8, the password may hold colons; no Bearer in its place."""
    assert basic_credentials(["basic asO8cmdlbjpwOsOkOg=="]) == ("jürgen", "p:ä:")
    assert basic_credentials(["Basic avxyZ2VuOuQ="]) == ("jürgen", "ä")  # Latin-1, as conjur-api 0.2.0 sends it
    assert basic_credentials(["Basic bjqAk/w="]) == ("n", "\x80\x93ü")  # and not Windows-1252, where 80 is a euro sign
    for line in ("Basic ", "Basic YTo=", "Basic OmI=", "Basic YQ==", "Basic !!", "Basic YQA6Yg==", "Bearer YTpi", "Basic"):
        assert basic_credentials([line]) is None
    assert basic_credentials([]) is None

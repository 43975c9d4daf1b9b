"""forward-auth.md 7: the first credential that is there decides."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.credentials import Kind, Presented, presented

ID, OTHER = "a" * 43, "B_-" + "0" * 40
COOKIE = f"__Host-gw={ID}"
NAME = "__Host-gw"


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def of(authorization: list[str], proxy: list[str], cookies: list[str], allowed: bool = True) -> Presented:
    return presented(authorization, proxy, cookies, cookie_name=NAME, basic=allowed, is_ours=lambda text: text.startswith("lgp_"))


TOKEN, PASSWORD, SESSION, INVALID, NOTHING = Kind.TOKEN, Kind.PASSWORD, Kind.SESSION, Kind.INVALID, Kind.NOTHING
# Authorization, Proxy-Authorization, Cookie, basic allowed, what decides, whether it is the proxy's
ORDER: list[tuple[list[str], list[str], list[str], bool, Kind, bool]] = [
    ([], [], [], True, NOTHING, False),
    ([""], [""], [""], True, NOTHING, False),
    ([], [], [COOKIE], True, SESSION, False),
    (["Bearer lgp_x"], [], [COOKIE], True, TOKEN, False),
    (["bearer lgp_x"], [], [], True, TOKEN, False),
    (["BEARER   lgp_x "], [], [], True, TOKEN, False),
    (["Bearer foreign"], [], [COOKIE], True, SESSION, False),  # the application's own
    (["Bearer foreign"], [], [], True, NOTHING, False),
    (["Bearer"], [], [COOKIE], True, SESSION, False),
    (["Bearer lgp_x"], [basic("a:b")], [COOKIE], True, TOKEN, False),
    (["Bearer foreign"], [basic("a:b")], [COOKIE], True, PASSWORD, True),
    ([basic("a:b")], [basic("c:d")], [COOKIE], True, PASSWORD, True),
    ([basic("a:b")], ["Bearer lgp_x"], [], True, TOKEN, True),
    ([], ["Bearer foreign"], [COOKIE], True, INVALID, True),
    ([], ["Basic !"], [COOKIE], True, INVALID, True),
    ([], ["Negotiate abc"], [COOKIE], True, SESSION, False),
    ([basic("a:b")], [], [COOKIE], True, PASSWORD, False),
    ([basic("a:b")], [], [COOKIE], False, SESSION, False),  # not enabled: the application's own
    ([basic("a:b")], [basic("c:d")], [], False, PASSWORD, True),
    (["Basic"], [], [COOKIE], True, INVALID, False),  # no fall-through
    (["Basic !!!"], [], [COOKIE], True, INVALID, False),
    (["Digest x"], [], [COOKIE], True, SESSION, False),
    (['Token token="x"'], [], [COOKIE], True, SESSION, False),
    ([basic("a:b"), basic("a:b")], [], [], True, PASSWORD, False),
    ([basic("a:b"), basic("a:c")], [], [COOKIE], True, INVALID, False),
    ([], [basic("a:b"), "Bearer lgp_x"], [COOKIE], True, INVALID, True),
]


@pytest.mark.parametrize(("authorization", "proxy", "cookies", "allowed", "kind", "by_proxy"), ORDER)
def test_order(authorization: list[str], proxy: list[str], cookies: list[str], allowed: bool, kind: Kind, by_proxy: bool) -> None:
    decides = of(authorization, proxy, cookies, allowed)
    assert (decides.kind, decides.proxy) == (kind, by_proxy)


# user-pass, name and password (None: invalid without asking a directory)
BASIC: list[tuple[str, tuple[str, str] | None]] = [
    ("ada:x", ("ada", "x")),
    ("ada:x:y", ("ada", "x:y")),
    ("jörg:pä ß", ("jörg", "pä ß")),
    ("ada: ", ("ada", " ")),
    ("CORP\\ada:x", ("CORP\\ada", "x")),
    ("ada:", None),
    (":x", None),
    (" :x", None),
    (":", None),
    ("ada", None),
    ("", None),
    ("ada:x\0", None),
    ("ad\na:x", None),
    ("ada:" + "x" * 4000, None),
]


@pytest.mark.parametrize(("text", "expected"), BASIC, ids=lambda value: str(value)[:30])
def test_basic(text: str, expected: tuple[str, str] | None) -> None:
    decides = of([basic(text)], [], [])
    assert (decides.kind is INVALID) if expected is None else ((decides.username, decides.password) == expected)


@pytest.mark.parametrize("text", ["Basic YTpi\n", "Basic YTpi=", "Basic YTp", "Basic YT pi", "Basic /w==", "Basic _-__", "Basic ü"])
def test_no_basic(text: str) -> None:
    assert of([text], [], []).kind in (INVALID, PASSWORD)
    assert of([text], [], []).password in ("", "b")


def test_nothing_shows() -> None:
    for decides in (of([basic("planted:planted")], [], []), of(["Bearer lgp_planted"], [], []), of([], [], [COOKIE])):
        assert "planted" not in repr(decides) and ID not in repr(decides)


@given(st.lists(st.text(max_size=60), max_size=2), st.lists(st.text(max_size=60), max_size=2), st.lists(st.text(max_size=60), max_size=2))
def test_anything_is_classified(authorization: list[str], proxy: list[str], cookies: list[str]) -> None:
    decides = of(authorization, proxy, cookies)
    assert decides.kind is not PASSWORD or (decides.username.strip() and decides.password)

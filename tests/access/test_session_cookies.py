"""forward-auth.md 6 and 9: the session cookie."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.access.session_cookies import MOST_CANDIDATES, CookieScopes, domain_problem, session_values

NAME, A, B = "__Secure-gw", "a" * 43, "B_-" + "0" * 40
TWO = CookieScopes([("Example.com", "https://auth.example.com/"), ("eu.example.com", "https://auth.eu.example.com"), ("other.test", "https://sso.other.test")], "https://x.test")
ONE = CookieScopes([], "https://Auth.example.com:8443/")

# Cookie lines, session ids to try
LINES: list[tuple[list[str], tuple[str, ...]]] = [
    ([], ()),
    ([f"{NAME}={A}"], (A,)),
    ([f"x=1; {NAME}={A}; y=2"], (A,)),
    ([f"x=1;{NAME}={A};y=2"], (A,)),
    ([f"x=1;  {NAME} = {A} ;"], (A,)),
    (["x=1", f"{NAME}={A}"], (A,)),
    ([f"{NAME}={A}; {NAME}={B}"], (A, B)),  # duplicates: each
    ([f"{NAME}={B}", f"{NAME}={A}"], (B, A)),
    ([f"{NAME}={A}; {NAME}={A}"], (A,)),
    ([f"s=1, {NAME}={A}"], (A,)),  # lines that HAProxy merged
    ([f"{NAME}={A}, a=2"], (A,)),
    ([f"{NAME}={A},a=2"], (A,)),
    ([f"{NAME}={A}, b"], ()),  # a comma of the value's own
    ([f'x="a, b"; {NAME}={A}'], (A,)),
    ([f"{NAME}="], ()),
    ([f"{NAME}"], ()),
    ([f"{NAME}={A}x"], ()),
    ([f"{NAME}={A[1:]}"], ()),
    ([f"{NAME}={A[1:]}!"], ()),
    ([f'{NAME}="{A}"'], ()),
    ([f"{NAME.lower()}={A}"], ()),
    ([f"x{NAME}={A}"], ()),
    ([f"{NAME}x={A}"], ()),
    ([f"__Host-gw={A}"], ()),
    ([f"{NAME}=%61{A[1:]}"], ()),
    ([f"{NAME}={A}\0"], ()),
    ([f"x={NAME}={A}"], ()),
    ([";;;,,=;=,"], ()),
    ([f"{NAME}=short; {NAME}={A}"], (A,)),  # a stranger's malformed twin
]


@pytest.mark.parametrize(("lines", "expected"), LINES)
def test_values(lines: list[str], expected: tuple[str, ...]) -> None:
    assert session_values(lines, NAME) == expected


def test_not_every_twin_is_tried() -> None:
    assert len(session_values([f"{NAME}={number:043}" for number in range(50)], NAME)) == MOST_CANDIDATES


@given(st.lists(st.text(max_size=100), max_size=3))
def test_any_cookie(lines: list[str]) -> None:
    """CVE-2026-25748: what cannot be read is nobody."""
    assert session_values([*lines, f"{NAME}=x"], NAME) == ()


@pytest.mark.parametrize(
    ("scopes", "host", "portal"),
    [
        (TWO, "example.com", "https://auth.example.com"),
        (TWO, "app.example.com", "https://auth.example.com"),
        (TWO, "app.eu.example.com", "https://auth.eu.example.com"),
        (TWO, "a.b.other.test", "https://sso.other.test"),
        (TWO, "badexample.com", None),
        (TWO, "example.com.evil.test", None),
        (TWO, "x.test", None),
        (ONE, "auth.example.com", "https://Auth.example.com:8443"),
        (ONE, "app.auth.example.com", None),
        (ONE, "example.com", None),
    ],
)
def test_scope_of_a_host(scopes: CookieScopes, host: str, portal: str | None) -> None:
    scope = scopes.for_host(host)
    assert (scope.portal_url if scope else None) == portal


def test_attributes() -> None:
    shared, single = TWO.for_host("example.com"), ONE.for_host("auth.example.com")
    assert shared and single
    assert shared.set_cookie(A) == f"__Secure-gw={A}; Path=/; Domain=example.com; HttpOnly; Secure; SameSite=Lax"
    assert single.set_cookie(A, 60) == f"__Host-gw={A}; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax"
    assert single.clear_cookie() == "__Host-gw=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"
    assert [scope.host for scope in TWO.all] == ["eu.example.com", "example.com", "other.test"]


GOOD = ["example.com", "Example.COM", "a.b.example.co.uk", "example.co.uk", "bücher.example", "corp.internal", "company.io", "my.github.io"]
BAD = ["com", "localhost", "co.uk", "com.au", "org.uk", "ac.jp", "github.io", "GitHub.io.", "herokuapp.com", "127.0.0.1", "[::1]", "::1", ".example.com", "*.example.com", "", "a b.test", "example.com/", "https://example.com", "example.com:443"]  # fmt: skip


@pytest.mark.parametrize("domain", GOOD)
def test_good_domain(domain: str) -> None:
    assert domain_problem(domain) == ""


@pytest.mark.parametrize("domain", BAD)
def test_bad_domain(domain: str) -> None:
    assert domain_problem(domain)


@pytest.mark.parametrize("url", ["http://[::1]:8008", "http://127.0.0.1:8008", "http://localhost:8008"])
def test_a_portal_by_address(url: str) -> None:
    (scope,) = CookieScopes([], url).all
    assert (scope.name, scope.portal_url) == ("__Host-gw", url)

"""forward-auth.md 4: how each endpoint says a decision."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from gateway.access.decision import Caller, Endpoint, Outcome, answer, caller_of

NGINX, FORWARD, ENVOY = Endpoint.AUTH_REQUEST, Endpoint.FORWARD_AUTH, Endpoint.EXT_AUTHZ
BROWSER, SCRIPT, PROGRAM = Caller.BROWSER, Caller.SCRIPT, Caller.PROGRAM
PORTAL = "https://auth.example.com/login?rd=x"
PASS, CHALLENGE, FORBID = Outcome.PASS, Outcome.CHALLENGE, Outcome.FORBID
BAD, BAD_PROXY = Outcome.BAD_CREDENTIALS, Outcome.BAD_PROXY_CREDENTIALS

# outcome, method, caller, statuses (auth-request, forward-auth, ext-authz), headers beside Cache-Control
STATUS: list[tuple[Outcome, str, Caller, tuple[int, int, int], tuple[str, ...]]] = [
    (PASS, "GET", BROWSER, (200, 200, 200), ()),
    (PASS, "POST", PROGRAM, (200, 200, 200), ()),
    (CHALLENGE, "GET", BROWSER, (401, 302, 302), ("Location", "Vary")),
    (CHALLENGE, "HEAD", BROWSER, (401, 302, 302), ("Location", "Vary")),
    (CHALLENGE, "POST", BROWSER, (401, 303, 303), ("Location", "Vary")),
    (CHALLENGE, "GET", SCRIPT, (401, 401, 401), ("Vary", "WWW-Authenticate")),
    (CHALLENGE, "GET", PROGRAM, (401, 401, 401), ("Vary", "WWW-Authenticate")),
    (CHALLENGE, "DELETE", PROGRAM, (401, 401, 401), ("Vary", "WWW-Authenticate")),
    (BAD, "GET", BROWSER, (401, 401, 401), ("WWW-Authenticate",)),
    (BAD, "GET", PROGRAM, (401, 401, 401), ("WWW-Authenticate",)),
    (FORBID, "GET", BROWSER, (403, 403, 403), ("Link", "Vary")),
    (FORBID, "POST", BROWSER, (403, 403, 403), ("Link", "Vary")),
    (FORBID, "GET", SCRIPT, (403, 403, 403), ()),
    (FORBID, "GET", PROGRAM, (403, 403, 403), ()),
    (Outcome.MALFORMED, "GET", BROWSER, (403, 400, 400), ()),
    (Outcome.UNAVAILABLE, "GET", BROWSER, (503, 503, 503), ("Retry-After",)),
    (Outcome.THROTTLED, "GET", PROGRAM, (401, 429, 429), ("Retry-After",)),
]


@pytest.mark.parametrize(("outcome", "method", "caller", "statuses", "names"), STATUS)
def test_status(outcome: Outcome, method: str, caller: Caller, statuses: tuple[int, ...], names: tuple[str, ...]) -> None:
    for endpoint, status in zip((NGINX, FORWARD, ENVOY), statuses, strict=True):
        said = answer(outcome, endpoint, method=method, caller=caller, location=PORTAL)
        assert said.status == status
        assert sorted(name for name, _ in said.headers) == sorted([*names, "Cache-Control"])
        assert dict(said.headers)["Cache-Control"] == "no-store"


def test_proxy_credentials() -> None:
    """Section 7: nginx knows only 401; others get the proxy's own status."""
    for endpoint, status, name in ((NGINX, 401, "WWW-Authenticate"), (FORWARD, 407, "Proxy-Authenticate"), (ENVOY, 407, "Proxy-Authenticate")):
        said = answer(BAD_PROXY, endpoint)
        assert (said.status, dict(said.headers)[name][:5]) == (status, "Basic")


@pytest.mark.parametrize(
    ("caller", "basic", "scheme"),
    [(PROGRAM, True, "Basic"), (PROGRAM, False, "Bearer"), (SCRIPT, True, "Bearer"), (BROWSER, True, "Bearer")],
)
def test_a_page_opens_no_password_box(caller: Caller, basic: bool, scheme: str) -> None:
    said = dict(answer(BAD, FORWARD, caller=caller, basic=basic).headers)
    assert said["WWW-Authenticate"].startswith(f'{scheme} realm="ldap-gateway"')


def test_a_browser_without_a_portal_is_no_loop() -> None:
    assert answer(CHALLENGE, FORWARD, caller=BROWSER).status == 401
    assert answer(FORBID, FORWARD, caller=BROWSER).headers == (("Cache-Control", "no-store"),)


HTML = "text/html,application/xhtml+xml,*/*;q=0.8"
# method, headers, who that is
CALLERS: list[tuple[str, dict[str, str], Caller]] = [
    ("GET", {"Accept": HTML}, BROWSER),
    ("HEAD", {"accept": HTML}, BROWSER),
    ("GET", {"Accept": "TEXT/HTML"}, BROWSER),
    ("GET", {"Accept": HTML, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, BROWSER),
    ("POST", {"Accept": HTML, "Content-Type": "application/x-www-form-urlencoded"}, BROWSER),
    ("POST", {"Accept": HTML, "Content-Type": "multipart/form-data; boundary=x"}, BROWSER),
    ("POST", {"Accept": HTML, "Sec-Fetch-Mode": "navigate"}, BROWSER),  # nginx drops the type with the body
    ("POST", {"Accept": HTML}, PROGRAM),
    ("POST", {"Accept": HTML, "Content-Type": "application/json"}, PROGRAM),
    ("PUT", {"Accept": HTML}, PROGRAM),
    ("OPTIONS", {"Accept": HTML}, PROGRAM),
    ("GET", {}, PROGRAM),
    ("GET", {"Accept": "*/*"}, PROGRAM),
    ("GET", {"Accept": "application/json"}, PROGRAM),
    ("GET", {"User-Agent": "Mozilla/5.0"}, PROGRAM),
    ("GET", {"User-Agent": "GoogleHC/1.0", "Accept": HTML}, BROWSER),
    ("GET", {"Accept": HTML, "X-Requested-With": "XMLHttpRequest"}, SCRIPT),
    ("GET", {"Accept": HTML, "X-Requested-With": "xmlhttprequest"}, SCRIPT),
    ("GET", {"Accept": HTML, "Sec-Fetch-Mode": "cors"}, SCRIPT),
    ("GET", {"Accept": HTML, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, SCRIPT),
    ("GET", {"Accept": "*/*", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, SCRIPT),
    ("GET", {"Accept": "*/*", "Sec-Fetch-Mode": "websocket"}, SCRIPT),
]


@pytest.mark.parametrize(("method", "headers", "caller"), CALLERS)
def test_caller(method: str, headers: dict[str, str], caller: Caller) -> None:
    assert caller_of(method, CIMultiDict(headers)) is caller

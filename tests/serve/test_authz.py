"""The three endpoints of forward auth as proxies ask them (forward-auth.md 1-7), over real connections."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from tests.serve.asking import CONFIGURATION, ENDPOINTS, HTML, question
from tests.serve.gateway_room import Room, one_answer, parsed, room_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

Header = tuple[str, str]
IDENTITY = ("remote-user", "remote-groups", "remote-name", "remote-email")


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()




@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with room_of(tmp_path_factory.mktemp("authz"), CONFIGURATION) as opened:
        yield opened


async def ask(room: Room, endpoint: str, *args: object, **options: object) -> tuple[int, dict[str, str], bytes]:
    return parsed(await room.raw(question(endpoint, *args, **options)))  # type: ignore[arg-type]


# section; URL; headers of the client; method; status by endpoint (auth-request, forward-auth, ext-authz)
# {ada}, {bob}: their session cookies; {token}: ada's personal token for /api on app.example.com; {jwt}: ada's ClearML token
APP = "https://app.example.com"
DECISIONS: list[tuple[str, str, list[Header], str, tuple[int, int, int]]] = [
    ("4 bypass", f"{APP}/public/x", [], "GET", (200, 200, 200)),
    ("4 bypass, browser", f"{APP}/public/x", [HTML], "GET", (200, 200, 200)),
    ("4 bypass looks at no credential", f"{APP}/public/x", [("Authorization", "Bearer lgp_wrong")], "GET", (200, 200, 200)),
    ("7 bypass with the application's Basic", f"{APP}/public/x", [("Authorization", "Basic !!!")], "GET", (200, 200, 200)),
    ("4 bypass outside of cookie domains", "https://static.test/", [], "GET", (200, 200, 200)),
    ("4 browser, not logged in", f"{APP}/x", [HTML], "GET", (401, 302, 302)),
    ("4 browser, HEAD", f"{APP}/x", [HTML], "HEAD", (401, 302, 302)),
    ("4 form post", f"{APP}/x", [HTML, ("Content-Type", "application/x-www-form-urlencoded")], "POST", (401, 303, 303)),
    ("4 JSON post", f"{APP}/x", [HTML, ("Content-Type", "application/json")], "POST", (401, 401, 401)),
    ("4 program", f"{APP}/x", [("Accept", "application/json")], "GET", (401, 401, 401)),
    ("4 */* alone is no browser", f"{APP}/x", [("Accept", "*/*")], "GET", (401, 401, 401)),
    ("4 script", f"{APP}/x", [HTML, ("X-Requested-With", "XMLHttpRequest")], "GET", (401, 401, 401)),
    ("4 fetch", f"{APP}/x", [HTML, ("Sec-Fetch-Mode", "cors")], "GET", (401, 401, 401)),
    ("4 navigation", f"{APP}/x", [HTML, ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")], "GET", (401, 302, 302)),
    ("4 health checks are no exception", f"{APP}/x", [("User-Agent", "GoogleHC/1.0")], "GET", (401, 401, 401)),
    ("4 deny", f"{APP}/secret/x", [HTML], "GET", (403, 403, 403)),
    ("4 deny, logged in", f"{APP}/secret/x", [("Cookie", "{ada}")], "GET", (403, 403, 403)),
    ("4 no rule", "https://unknown.example.com/", [HTML], "GET", (403, 403, 403)),
    ("4 outside every cookie domain", "https://other.test/", [HTML], "GET", (403, 403, 403)),
    ("4 outside, by password", "https://other.test/", [("Authorization", basic("ada", "lovelace"))], "GET", (200, 200, 200)),
    ("4 outside, wrong password", "https://other.test/", [("Authorization", basic("ada", "x"))], "GET", (401, 401, 401)),
    ("4 malformed: http", "http://app.example.com/x", [], "GET", (403, 400, 400)),
    ("4 malformed: fragment", f"{APP}/x#y", [], "GET", (403, 400, 400)),
    ("4 malformed: bad escape", f"{APP}/%zz", [], "GET", (403, 400, 400)),
    ("4 malformed: double encoding", f"{APP}/%2561", [], "GET", (403, 400, 400)),
    ("4 malformed: encoded backslash", f"{APP}/a%5cb", [], "GET", (403, 400, 400)),
    ("4 malformed: encoded NUL", f"{APP}/a%00b", [], "GET", (403, 400, 400)),
    ("3 the rule of the cleaned path", f"{APP}/public/../secret", [], "GET", (403, 403, 403)),
    ("3 the strictest reading", f"{APP}/public/..%2fsecret", [], "GET", (403, 403, 403)),
    ("3 servlet containers", f"{APP}/public/..;/secret", [], "GET", (403, 403, 403)),
    ("3 doubled slash", f"{APP}//secret", [], "GET", (403, 403, 403)),
    ("3 .. for who takes it for a name", f"{APP}/secret/../public/x", [], "GET", (403, 403, 403)),
    ("3 .. that takes an empty segment along", f"{APP}/secret//../public/x", [], "GET", (403, 403, 403)),
    ("3 .. from one open place to another", f"{APP}/public/../public/x", [], "GET", (200, 200, 200)),
    ("3 the query is never part of it", f"{APP}/x?/public/", [], "GET", (401, 401, 401)),
    ("7 session", f"{APP}/x", [("Cookie", "{ada}")], "GET", (200, 200, 200)),
    ("7 session, any method", f"{APP}/x", [("Cookie", "{ada}")], "DELETE", (200, 200, 200)),
    ("7 session among others", f"{APP}/x", [("Cookie", "a=1; {ada}; b=2")], "GET", (200, 200, 200)),
    ("6 two cookie lines", f"{APP}/x", [("Cookie", "a=1"), ("Cookie", "{ada}")], "GET", (200, 200, 200)),
    ("6 cookie lines joined by a comma", f"{APP}/x", [("Cookie", "a=1, {ada}, b=2")], "GET", (401, 200, 401)),
    ("6 duplicates: each is tried", f"{APP}/x", [("Cookie", "__Secure-gw=" + "A" * 43 + "; {ada}")], "GET", (200, 200, 200)),
    ("6 as many duplicates as a neighbour may have set", f"{APP}/x", [("Cookie", "; ".join(f"__Secure-gw={number:043}" for number in range(15)) + "; {ada}")], "GET", (200, 200, 200)),
    ("9 cookie of another name", f"{APP}/x", [("Cookie", "__Host-gw={ada:value}")], "GET", (401, 401, 401)),
    ("9 unknown session", f"{APP}/x", [("Cookie", "__Secure-gw=" + "A" * 43), HTML], "GET", (401, 302, 302)),
    ("9 malformed cookie (CVE-2026-25748)", f"{APP}/x", [("Cookie", "__Secure-gw=%00%ff\\")], "GET", (401, 401, 401)),
    ("9 session of another domain", "https://app.example.org/x", [("Cookie", "{ada}")], "GET", (401, 401, 401)),
    ("10 subject", f"{APP}/admin/x", [("Cookie", "{ada}")], "GET", (200, 200, 200)),
    ("10 not the subject", f"{APP}/admin/x", [("Cookie", "{bob}")], "GET", (403, 403, 403)),
    ("10 not the subject, browser", f"{APP}/admin/x", [("Cookie", "{bob}"), HTML], "GET", (403, 403, 403)),
    ("10 subject, anonymous", f"{APP}/admin/x", [HTML], "GET", (401, 302, 302)),
    ("7 personal token", f"{APP}/api/1", [("Authorization", "Bearer {token}")], "GET", (200, 200, 200)),
    ("7 scheme in capitals", f"{APP}/api/1", [("Authorization", "BEARER {token}")], "GET", (200, 200, 200)),
    ("7 token, elsewhere", f"{APP}/x", [("Authorization", "Bearer {token}")], "GET", (403, 403, 403)),
    ("7 token, a longer name", f"{APP}/apix", [("Authorization", "Bearer {token}")], "GET", (403, 403, 403)),
    ("7 token, a trick", f"{APP}/api/..%2fx", [("Authorization", "Bearer {token}")], "GET", (403, 403, 403)),
    ("7 token, .. for who takes it for a name", f"{APP}/x/../api/1", [("Authorization", "Bearer {token}")], "GET", (403, 403, 403)),
    ("7 token, .. that takes an empty segment along", f"{APP}/x//../api/1", [("Authorization", "Bearer {token}")], "GET", (403, 403, 403)),
    ("7 token, .. within its limits", f"{APP}/api/../api/1", [("Authorization", "Bearer {token}")], "GET", (200, 200, 200)),
    ("7 token, another host", "https://grafana.example.com/api", [("Authorization", "Bearer {token}")], "GET", (403, 403, 403)),
    ("7 token as password", f"{APP}/api/1", [("Authorization", "{token:ada}")], "GET", (200, 200, 200)),
    ("7 token as password, in other letters", f"{APP}/api/1", [("Authorization", "{token:ADA}")], "GET", (200, 200, 200)),
    ("7 token as another's password", f"{APP}/api/1", [("Authorization", "{token:bob}")], "GET", (401, 401, 401)),
    ("7 wrong token: no cookie helps", f"{APP}/x", [("Authorization", "Bearer lgp_" + "A" * 43), ("Cookie", "{ada}")], "GET", (401, 401, 401)),
    ("7 wrong token is never a redirect", f"{APP}/x", [("Authorization", "Bearer lgp_x"), HTML], "GET", (401, 401, 401)),
    ("7 another's Bearer is skipped", f"{APP}/x", [("Authorization", "Bearer abc"), ("Cookie", "{ada}")], "GET", (200, 200, 200)),
    ("7 another's Bearer alone", f"{APP}/x", [("Authorization", "Bearer abc"), HTML], "GET", (401, 302, 302)),
    ("7 ClearML token", f"{APP}/x", [("Authorization", "Bearer {jwt}")], "GET", (200, 200, 200)),
    ("D21 a JWT of somebody else's", f"{APP}/x", [("Authorization", "Bearer {jwt}x"), ("Cookie", "{ada}")], "GET", (200, 200, 200)),
    ("7 password", f"{APP}/x", [("Authorization", basic("ada", "lovelace"))], "GET", (200, 200, 200)),
    ("7 wrong password: no cookie helps", f"{APP}/x", [("Authorization", basic("ada", "no")), ("Cookie", "{ada}")], "GET", (401, 401, 401)),
    ("7 empty password", f"{APP}/x", [("Authorization", basic("ada", ""))], "GET", (401, 401, 401)),
    ("7 empty name", f"{APP}/x", [("Authorization", basic("", "x"))], "GET", (401, 401, 401)),
    ("7 no base64", f"{APP}/x", [("Authorization", "Basic %%%"), ("Cookie", "{ada}")], "GET", (401, 401, 401)),
    ("7 two Authorization lines", f"{APP}/x", [("Authorization", basic("ada", "lovelace")), ("Authorization", "Bearer x")], "GET", (401, 401, 401)),
    ("7 proxy password", f"{APP}/x", [("Proxy-Authorization", basic("ada", "lovelace"))], "GET", (200, 200, 200)),
    ("7 proxy password, wrong", f"{APP}/x", [("Proxy-Authorization", basic("ada", "no"))], "GET", (401, 407, 407)),
    ("7 proxy token", f"{APP}/api/x", [("Proxy-Authorization", "Bearer {token}"), ("Authorization", "Basic own")], "GET", (200, 200, 200)),
    ("7 proxy Bearer of somebody else's", f"{APP}/x", [("Proxy-Authorization", "Bearer x"), ("Cookie", "{ada}")], "GET", (401, 407, 407)),
    ("7 Basic where the rule takes none", f"{APP}/nobasic", [("Authorization", basic("ada", "lovelace"))], "GET", (401, 401, 401)),
    ("7 and then the session counts", f"{APP}/nobasic", [("Authorization", basic("x", "y")), ("Cookie", "{ada}")], "GET", (200, 200, 200)),
    ("7 proxy password where the rule takes none", f"{APP}/nobasic", [("Proxy-Authorization", basic("ada", "lovelace"))], "GET", (401, 407, 407)),
    ("7 Basic where the rule that decides in the end takes some", "https://keys.example.com/", [("Authorization", basic("ada", "lovelace"))], "GET", (200, 200, 200)),
    ("7 Basic where it takes none", "https://keys.example.com/", [("Authorization", basic("bob", "lovelace"))], "GET", (401, 401, 401)),
    ("7 session there", "https://keys.example.com/", [("Cookie", "{bob}")], "GET", (200, 200, 200)),
    ("D8 a token made by impersonation", f"{APP}/x", [("Authorization", "Bearer {acting}")], "GET", (401, 401, 401)),
    ("7 service key", f"{APP}/x", [("Authorization", basic("ROBOTKEY", "robot-secret"))], "GET", (200, 200, 200)),
    ("7 service key, wrong secret", f"{APP}/x", [("Authorization", basic("ROBOTKEY", "x"))], "GET", (401, 401, 401)),
    ("6 OPTIONS is a method like any other", f"{APP}/x", [("Origin", "https://x"), ("Access-Control-Request-Method", "GET")], "OPTIONS", (401, 401, 401)),
]  # fmt: skip


class Secrets:
    """Fills in what rows name."""

    def __init__(self, ada: str, bob: str, token: str, jwt: str, acting: str) -> None:
        self._texts = {"{ada}": f"__Secure-gw={ada}", "{bob}": f"__Secure-gw={bob}", "{token}": token, "{jwt}": jwt, "{ada:value}": ada, "{acting}": acting}
        self._texts |= {f"{{token:{name}}}": basic(name, token) for name in ("ada", "ADA", "bob")}

    def fill(self, headers: list[Header]) -> list[Header]:
        return [(name, self._filled(value)) for name, value in headers]

    def _filled(self, value: str) -> str:
        for mark, text in self._texts.items():
            value = value.replace(mark, text)
        return value


async def secrets_of(room: Room) -> Secrets:
    now = int(time.time())
    ada = await room.login("ada")
    token = await room.live.personal.create(ada, "ci", hosts=["app.example.com"], paths=["/api"], now=now)
    jwt = room.live.issuer.issue(ada, 3600, now).text
    acting = room.live.issuer.issue(replace(ada, actor=(await room.login("bob")).id), 3600, now).text
    return Secrets((await room.session("ada")).value, (await room.session("bob")).value, token.text, jwt, acting)


async def test_decisions(room: Room) -> None:
    secrets = await secrets_of(room)
    wrong = []
    for section, url, headers, method, expected in DECISIONS:
        for _ in range(2):  # the second time what is known answers
            found = []
            for endpoint in ENDPOINTS:
                status, sent, body = await ask(room, endpoint, url, *secrets.fill(headers), method=method)
                found.append(status)
                assert sent["cache-control"] == "no-store", section
                assert len(body) < 1024
                assert (sent.keys() >= set(IDENTITY)) is (status == 200 and "grafana" not in url), section
                assert ("location" in sent) is (HTML in headers and expected[1] in (302, 303)), section
                challenged = [name for name in ("www-authenticate", "proxy-authenticate") if name in sent]
                assert len(challenged) == (status in (401, 407) and "location" not in sent), section
            if tuple(found) != expected:
                wrong.append((section, expected, found))
    assert not wrong


async def test_identity_headers(room: Room) -> None:
    """5: always every header of the preset, and Envoy is told which are empty, and those of other presets."""
    cookie = ("Cookie", f"__Secure-gw={(await room.session('ada')).value}")
    for endpoint in ENDPOINTS:
        _, known, _ = await ask(room, endpoint, f"{APP}/x", cookie)
        assert [known[name] for name in IDENTITY] == ["ada", "dev,ops", "Ada Lovelace", "ada@example.com"]
        others = set(filter(None, known.get("x-envoy-auth-headers-to-remove", "").split(", ")))
        assert "X-WEBAUTH-USER" in others if endpoint == "ext-authz" else not others
        assert not {name.lower() for name in others} & set(IDENTITY)
        _, nobody, _ = await ask(room, endpoint, f"{APP}/public", cookie)
        assert [nobody[name] for name in IDENTITY] == ["", "", "", ""]
        removed = set(filter(None, nobody.get("x-envoy-auth-headers-to-remove", "").split(", ")))
        assert {name.lower() for name in removed - others} == (set(IDENTITY) if endpoint == "ext-authz" else set())
        assert others <= removed
        _, grafana, _ = await ask(room, endpoint, "https://grafana.example.com/", cookie)
        assert grafana["x-webauth-user"] == "ada"
        assert "remote-user" not in grafana


async def test_the_way_back(room: Room) -> None:
    """3.7, 8: the whole URL as it was asked for; the portal of the target's own domain."""
    _, headers, body = await ask(room, "forward-auth", f"{APP}/a%2Fb?c=d&e=%26", HTML)
    assert headers["location"] == "https://auth.example.com/login?rd=https://app.example.com/a%252Fb?c%3Dd%26e%3D%2526"
    assert headers["vary"] == "Accept, Cookie"
    assert body.startswith(b'<a href="https://auth.example.com/login?rd=')
    _, headers, _ = await ask(room, "forward-auth", "https://app.example.org/", HTML)
    assert headers["location"].startswith("https://auth.example.org/login?rd=https://app.example.org/")


async def test_who_may_not_is_told_more_by_the_portal(room: Room) -> None:
    """4, 6: a page with a link, for a browser of somebody who is signed in; for everybody else a line."""
    bob, ada = [("Cookie", f"__Secure-gw={(await room.session(name)).value}") for name in ("bob", "ada")]
    form = ("Content-Type", "application/x-www-form-urlencoded")
    portal = "https://auth.example.com/login?rd=https://app.example.com/admin"
    for endpoint in ENDPOINTS:
        status, headers, body = await ask(room, endpoint, f"{APP}/admin/%22%3E?x='\"<b>&y", HTML, bob)
        link = f"{portal}/%2522%253E?x%3D%27%22%3Cb%3E%26y"
        assert (status, headers["content-type"], "location" in headers) == (403, "text/html; charset=utf-8", False)
        assert (headers["link"], headers["vary"]) == (f'<{link}>; rel="help"', "Accept, Cookie")
        assert body.count(b"<a ") == 1 and f'<p><a href="{link}">'.encode() in body and len(body) < 1024
        _, headers, body = await ask(room, endpoint, f"{APP}/admin", HTML, form, bob, method="POST")
        assert (headers["link"], f'"{portal}&amp;rm=POST"'.encode() in body) == (f'<{portal}&rm=POST>; rel="help"', True)
        for url, *shown in ((f"{APP}/admin", bob), (f"{APP}/secret", HTML, ada), (f"{APP}/secret", HTML), ("https://other.test/", HTML)):
            status, headers, body = await ask(room, endpoint, url, *shown)
            assert (status, body, "link" in headers) == (403, b"You may not see this.\n", False)


# 1, 2, 5: what a client sends beside, or in place of, what the proxy says; nothing of it helps
SPOOFS: list[tuple[str, str, Header]] = [
    *[("forward-auth", "ignored", header) for header in [
        ("X-Original-URL", f"{APP}/public"), ("X-Original-URI", "/public"), ("X-Original-Method", "OPTIONS"),
        ("X-Rewrite-URL", "/public"), ("Forwarded", "for=10.0.0.1;host=static.test;proto=https"),
        ("X-Forwarded_Uri", "/public"), ("X_Forwarded_Uri", "/public"), ("X-Forwarded-Port", "443"),
        ("X-Forwarded-Prefix", "/public"), ("X-Forwarded-Server", "static.test"), ("X-Forwarded-Path", "/public"),
        ("X-HTTP-Method-Override", "OPTIONS"), ("X-Real-IP", "10.0.0.1"), ("X-Client-IP", "10.0.0.1"),
        ("Remote-User", "ada"), ("Remote_User", "ada"), ("X-Auth-Request-User", "ada"), ("X-Forwarded-User", "ada"),
        ("X-WEBAUTH-USER", "ada"), ("Remote-Groups", "ops"), ("X-Ldap-URL", "ldap://evil"), ("User-Agent", "GoogleHC/1.0"),
        ("X-Authorization-Filter", "(objectClass=*)"), ("Connection", "Remote-Groups"), ("X-CookieName", "gw"),
    ]],
    *[("auth-request", "ignored", header) for header in [
        ("X-Forwarded-Uri", "/public"), ("X-Forwarded-Host", "static.test"), ("X-Forwarded-Method", "OPTIONS"),
        ("X-Forwarded-Proto", "http"), ("X-Original-URI", "/public"), ("X_Original_URL", f"{APP}/public"),
        ("X-Rewrite-URL", "/public"), ("Forwarded", "host=static.test"), ("X-Real-IP", "10.0.0.1"),
        ("Remote-User", "ada"), ("Remote_User", "ada"), ("X-Auth-Request-User", "ada"), ("X-Forwarded-User", "ada"),
        ("Remote-Groups", "ops"), ("X-Accel-Redirect", "/public"), ("Connection", "Remote-User"),
    ]],
    *[("ext-authz", "ignored", header) for header in [
        ("X-Forwarded-Uri", "/public"), ("X-Forwarded-Host", "static.test"), ("X-Original-URL", f"{APP}/public"),
        ("X-Envoy-Original-Path", "/public"), ("X-Envoy-Auth-Partial-Body", "true"), ("Remote-User", "ada"),
        ("Remote_User", "ada"), ("X-Forwarded-User", "ada"), ("Forwarded", "host=static.test"), ("X-Forwarded-Method", "GET"),
    ]],
    *[("forward-auth", "malformed", header) for header in [
        ("X-Forwarded-Uri", "/public"), ("X-Forwarded-Host", "static.test"), ("X-Forwarded-Proto", "http"),
        ("X-Forwarded-Method", "OPTIONS"), ("X-Forwarded-For", "junk"), ("X-Forwarded-For", "127.0.0.1," * 101), ("X-Forwarded-For", "10.0.0.1, 1.2.3.4.5"),
    ]],
    ("auth-request", "malformed", ("X-Original-URL", f"{APP}/public")),
    ("auth-request", "malformed", ("X-Original-Method", "HEAD")),
    ("ext-authz", "malformed", ("X-Forwarded-Proto", "http")),
]  # fmt: skip


async def test_spoofs(room: Room) -> None:
    cookie = ("Cookie", f"__Secure-gw={(await room.session('bob')).value}")
    for endpoint, kind, header in SPOOFS:
        malformed = 403 if endpoint == "auth-request" else 400
        anonymous = await ask(room, endpoint, f"{APP}/admin", header)
        assert anonymous[0] == (401 if kind == "ignored" else malformed), header
        status, headers, _ = await ask(room, endpoint, f"{APP}/x", header, cookie)
        assert status == (200 if kind == "ignored" else malformed), header
        assert headers.get("remote-user", "bob") == "bob"
        assert headers.get("remote-groups", "guests") == "guests"
        assert (await ask(room, endpoint, f"{APP}/admin", header, cookie))[0] == (403 if kind == "ignored" else malformed)


async def test_the_network_of_the_client(room: Room) -> None:
    """2: from the right, the first that is not a proxy of ours."""
    rows = [("10.0.0.1", 200), ("10.0.0.1, 192.0.2.1", 401), ("192.0.2.1, 10.0.0.1", 200), ("10.0.0.1, 127.0.0.1", 200), ("", 401)]
    for forwarded, expected in rows:
        for endpoint in ENDPOINTS:
            assert (await ask(room, endpoint, f"{APP}/office", client=forwarded))[0] == expected, forwarded
            answer = await room.raw(question(endpoint, f"{APP}/office", client=forwarded), unix=True)
            assert parsed(answer)[0] == expected, forwarded


async def test_who_is_no_proxy_of_ours_is_not_answered(tmp_path: Path) -> None:
    async with room_of(tmp_path, CONFIGURATION + 'trusted_proxies = ["192.0.2.0/24"]\n') as room:
        cookie = ("Cookie", f"__Secure-gw={(await room.session('ada')).value}")
        for endpoint in ENDPOINTS:
            for _ in range(2):  # the second time the other peer's answers are known
                for url in (f"{APP}/public", f"{APP}/x", "http://malformed"):
                    assert (await ask(room, endpoint, url, cookie))[0] == 403
                for url in (f"{APP}/public", f"{APP}/x"):
                    assert parsed(await room.raw(question(endpoint, url, cookie), unix=True))[0] == 200


async def test_the_query_of_the_question_says_nothing(room: Room) -> None:
    """1: Caddy keeps the client's own query on the question."""
    for endpoint in ("auth-request", "forward-auth"):
        sent = question(endpoint, f"{APP}/admin").replace(b" HTTP/1.1", b"?q=1&policy=bypass HTTP/1.1", 1)
        assert parsed(await room.raw(sent))[0] == 401


async def test_preflights(tmp_path: Path) -> None:
    """6: only with both headers, by the endpoint's own method, and never where everybody is refused."""
    both = [("Origin", "https://x.test"), ("Access-Control-Request-Method", "PUT")]
    async with room_of(tmp_path, CONFIGURATION + "access_control.preflight = pass\n") as room:
        for endpoint in ENDPOINTS:
            status, headers, _ = await ask(room, endpoint, f"{APP}/x", *both, method="OPTIONS")
            assert (status, headers["remote-user"]) == (200, "")
            assert (await ask(room, endpoint, f"{APP}/secret", *both, method="OPTIONS"))[0] == 403
            assert (await ask(room, endpoint, f"{APP}/x", *both, method="POST"))[0] == 401
            for header in both:
                assert (await ask(room, endpoint, f"{APP}/x", header, method="OPTIONS"))[0] == 401


# 6: what is odd about the request that asks; after it the connection is kept or not
ODD: list[tuple[str, list[Header], bytes, str]] = [
    ("a declared body that never comes", [("Content-Length", "11")], b"", "close"),
    ("a chunked body that never comes", [("Transfer-Encoding", "chunked")], b"", "close"),
    ("a body", [("Content-Length", "3")], b"abc", "close"),
    ("Expect", [("Expect", "100-continue"), ("Content-Length", "5")], b"", "close"),
    ("Upgrade", [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")], b"", "keep"),
    ("an upgrade to nothing known", [("Connection", "Upgrade"), ("Upgrade", "h2c")], b"", "keep"),
    ("close", [("Connection", "close")], b"", "close"),
    ("a 20 KiB cookie", [("Cookie", "big=" + "x" * 20_000)], b"", "keep"),
    ("127 headers", [(f"X-{number}", "x") for number in range(118)], b"", "keep"),
]


@pytest.mark.parametrize(("what", "headers", "body", "connection"), ODD, ids=lambda value: value if isinstance(value, str) else "")
async def test_odd_requests(room: Room, what: str, headers: list[Header], body: bytes, connection: str) -> None:
    cookie = ("Cookie", f"__Secure-gw={(await room.session('ada')).value}")
    sent = question("forward-auth", f"{APP}/x", *headers, cookie)
    reader, writer = await asyncio.open_connection("127.0.0.1", room.port)
    try:
        for _ in range(1 if connection == "close" else 3):
            writer.write(sent + body)
            async with asyncio.timeout(1.5):
                status, said, _ = parsed(await one_answer(reader))
            assert (status, said["remote-user"]) == (200, "ada")
            assert said.get("connection", "") == ("close" if connection == "close" else "")
    finally:
        writer.close()
        await writer.wait_closed()


async def test_old_http(room: Room) -> None:
    """nginx asks with HTTP/1.0 unless it is told otherwise."""
    answer = await room.raw(question("auth-request", f"{APP}/public", ("Connection", "close"), http="1.0"))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize("header", [("Cookie", "x" * 33_000), ("X-Original-URL", "https://a/" + "x" * 40_000)], ids=["cookie", "url"])
async def test_too_long_headers(room: Room, header: Header) -> None:
    assert parsed(await room.raw(question("auth-request", f"{APP}/x", header)))[0] == 431
    many = [(f"X-{number}", "x") for number in range(140)]
    assert parsed(await room.raw(question("auth-request", f"{APP}/x", *many)))[0] == 431


async def test_head_questions(room: Room) -> None:
    """6: HAProxy's auth-request action asks with HEAD: status and headers of GET, no body."""
    sent = question("forward-auth", f"{APP}/x", HTML)
    asked = await room.raw(sent.replace(b"GET ", b"HEAD ", 1))
    plain = await room.raw(sent)
    assert asked.split(b"Date")[0] == plain.split(b"Date")[0]
    assert asked.endswith(b"\r\n\r\n")


async def test_nothing_of_what_was_shown_is_written(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    headers = [("Authorization", "Bearer lgp_planted-secret"), ("Cookie", "__Secure-gw=planted-cookie")]
    await ask(room, "forward-auth", f"{APP}/x?token=planted-query", *headers, client="192.0.2.77")
    await ask(room, "forward-auth", f"{APP}/x?planted-query#", *headers)
    written = caplog.text + repr(room.audit.events)
    assert room.audit.events[-1].reason == "the token is not valid"
    assert "planted" not in written


async def test_keys_where_clearml_is_not_accepted(tmp_path: Path) -> None:
    """7, DECISIONS 14, 21: keys of people and of services, however they are shown; passwords and personal tokens go on."""
    text = CONFIGURATION.replace("accept = [personal, clearml]", "accept = [personal]")
    async with room_of(tmp_path, text) as room:
        ada, now = await room.login("ada"), int(time.time())
        key = await room.live.keys.create(ada, "ci", None, now)
        token = await room.live.personal.create(ada, "ci", now=now)
        pairs = [("ROBOTKEY", "robot-secret"), (" ROBOTKEY ", "robot-secret"), ("ROBOTKEY", "x"), (key.access_key, key.secret_key), ("A" * 30, "x")]
        for name, secret in pairs:
            for header, statuses in (("Authorization", [401, 401, 401]), ("Proxy-Authorization", [401, 407, 407])):
                shown = (header, basic(name, secret))
                assert [(await ask(room, endpoint, f"{APP}/x", shown))[0] for endpoint in ENDPOINTS] == statuses, name
        assert room.audit.events[-1].reason == "access_control.accept has no clearml, whose keys these are"
        for password in ("lovelace", token.text):
            assert (await ask(room, "forward-auth", f"{APP}/x", ("Authorization", basic("ada", password))))[0] == 200
    (tmp_path / "accepting").mkdir()
    async with room_of(tmp_path / "accepting", CONFIGURATION) as room:
        key = await room.live.keys.create(await room.login("ada"), "ci", None, int(time.time()))
        assert (await ask(room, "forward-auth", f"{APP}/x", ("Authorization", basic(key.access_key, key.secret_key))))[0] == 200


async def test_junk_tokens_are_told_of_seldom(room: Room) -> None:
    """DECISIONS 33: one event a minute and network; sessions that are nobody's have none at all."""
    before = len(room.audit.events)
    for number in range(40):
        shown = [("Authorization", f"Bearer lgp_{number}"), ("Authorization", basic("ada", f"lgp_{number}")), ("Cookie", f"__Secure-gw={number:043}")]
        for header in shown:
            for client in ("198.51.100.1", f"2001:db8:7::{number}"):
                assert (await ask(room, "forward-auth", f"{APP}/x", header, client=client))[0] == 401
    events = room.audit.events[before:]
    assert [(event.client, event.reason) for event in events] == [("198.51.100.1", "the token is not valid"), ("2001:db8:7::", "the token is not valid")]


async def test_no_text_makes_the_gateway_stand_still(tmp_path: Path) -> None:
    """peers.md 7: innocent expressions, and what a stranger can send within http.max_header."""
    patterns = """
      { name = dates, domain = "slow.example.com", query = [{ key = range, operator = pattern, value = "[0-9]+-[0-9]+" }], policy = deny }
      { name = edit, domain = "slow.example.com", resources = ["^/.*/.*/.*/edit$", "^/(.*)/files/(.*)/edit$"], policy = deny }
      { name = rest, domain = "slow.example.com", policy = bypass }"""
    asked = [("?range=" + "1" * 30_000, 403), ("?range=" + "1" * 1000, 200), ("a/" * 2000, 200), ("a/" * 2000 + "edit", 403), ("files/" * 600, 200)]
    async with room_of(tmp_path, CONFIGURATION.replace("rules = [", f"rules = [{patterns}")) as room:
        began = time.process_time()
        for rest, status in asked:
            assert (await ask(room, "forward-auth", f"https://slow.example.com/{rest}"))[0] == status
        assert time.process_time() - began < 1.5


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


# section; the question without what stands here; what the log says of it
TROUBLES = [
    ("2", "forward-auth", "X-Forwarded-Uri", "X-Forwarded-Uri is missing"),
    ("2", "forward-auth", "X-Forwarded-Proto", "X-Forwarded-Proto is missing"),
    ("2", "auth-request", "X-Original-Method", "X-Original-Method is missing"),
    ("3", "ext-authz", "X-Forwarded-Proto", "X-Forwarded-Proto is missing"),
]


@pytest.mark.parametrize(("section", "endpoint", "header", "reason"), TROUBLES)
async def test_a_proxy_that_is_set_up_wrongly_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture, section: str, endpoint: str, header: str, reason: str) -> None:
    """Once in a minute and peer, in the log and to nobody else."""
    async with room_of(tmp_path, CONFIGURATION) as room:
        lines = question(endpoint, f"{APP}/x").split(b"\r\n")
        sent = b"\r\n".join(line for line in lines if not line.startswith(header.encode()))
        for _ in range(3):
            assert header.encode() not in await room.raw(sent)
        assert warned(caplog) == [f"{endpoint}: a question from 127.0.0.1 was refused: {reason}"]


async def test_what_the_operator_can_change_is_named_once_a_minute(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """2, 3: other peers, and targets by http; of targets that clients malform nothing is said."""
    async with room_of(tmp_path, CONFIGURATION + '\ntrusted_proxies = "192.0.2.0/24"') as room:
        for _ in range(3):
            assert (await ask(room, "forward-auth", f"{APP}/x"))[0] == 403
        assert warned(caplog) == ["forward-auth: a question from 127.0.0.1 was refused: it is not in trusted_proxies"]
    caplog.clear()
    (tmp_path / "b").mkdir()
    async with room_of(tmp_path / "b", CONFIGURATION) as room:
        for url in (f"{APP}/x#y", f"{APP}/%zz", f"{APP}/x", "https://a:b@app.example.com/"):
            await ask(room, "auth-request", url)
        assert warned(caplog) == []
        for _ in range(2):
            assert (await ask(room, "auth-request", "http://app.example.com/"))[0] == 403
        reason = "the target is not https (access_control.allow_insecure_targets)"
        assert warned(caplog) == [f"auth-request: a question from 127.0.0.1 was refused: {reason}"]


async def test_groups_that_are_left_out_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """5: once for a session; once a minute where each request shows the password."""
    text = CONFIGURATION.replace("groups = [guests]", 'groups = [guests, "a,b"]', 1)
    told = "identity headers of local/bob: 1 of 2 groups: a comma in the name (identity_headers.comma_groups)"
    async with room_of(tmp_path, text) as room:
        made = await room.session("bob")
        for headers in ([("Cookie", f"__Secure-gw={made.value}")], [("Authorization", basic("bob", "lovelace"))]):
            for _ in range(2):
                status, answered, _ = await ask(room, "forward-auth", f"{APP}/x", *headers)
                assert (status, answered["remote-groups"]) == (200, "guests")
        assert warned(caplog) == [told]

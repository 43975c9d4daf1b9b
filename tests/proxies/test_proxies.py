"""nginx, Caddy and HAProxy with the files of conf/proxy, in front of a real gateway (forward-auth.md 11, 12)."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.directories.slapd import COMPANY, Slapd
from tests.proxies.servers import (
    TWINS,
    Ports,
    Reply,
    browse,
    caddy,
    free_port,
    haproxy,
    log_of,
    nginx,
    proxy,
    running_application,
)
from tests.serve.asking import CONFIGURATION, HTML
from tests.serve.gateway_room import Room, room_of

IDENTITY = ("remote-user", "remote-groups", "remote-name", "remote-email")
BASIC = ("Authorization", "Basic " + base64.b64encode(b"ada:lovelace").decode())
ALAN = ("Authorization", "Basic " + base64.b64encode(b"alan:enigma").decode())
"""Of the directory."""
HEALTH = re.compile(r"Server gateway/gateway is (DOWN|UP)")
PROXIES: dict[str, Callable[[Path, Ports], list[str]]] = {"nginx": nginx, "caddy": caddy, "haproxy": haproxy}


@dataclass
class Site:
    """A proxy, the gateway behind it, and two people who are logged in."""

    kind: str
    port: int
    room: Room
    ada: tuple[str, str]
    bob: tuple[str, str]
    directory: Path

    async def get(self, path: str = "/x", *headers: tuple[str, str], **options: str | bytes) -> Reply:
        try:
            return await browse(self.port, path, *headers, **options)  # type: ignore[arg-type]
        except (TimeoutError, asyncio.IncompleteReadError) as error:
            raise AssertionError(f"{type(error).__name__}: {log_of(self.directory)}") from None

    def url(self, path: str) -> str:
        """As the portal is told it: the test's proxy listens on a port of its own."""
        return f"https://app.example.com:{self.port}{path}"


@asynccontextmanager
async def site_of(kind: str, directory: Path, **options: object) -> AsyncIterator[Site]:
    async with running_application() as application:
        ports = Ports(free_port(), free_port(), application)
        preset = "grafana-jwt" if options.get("signed") else "grafana-proxy"
        if kind != "caddy":
            options.pop("signed", None)
        text = CONFIGURATION.replace("grafana-proxy", preset) + f'access_control {{ redirect_ports = [{ports.https}], networks.office = "127.0.0.2/32" }}\n'
        async with room_of(directory, text, port=ports.gateway) as room:
            if options.pop("over_unix", False):
                options["unix"] = room.socket
            command = PROXIES[kind](directory, ports, **options)  # type: ignore[call-arg]
            with proxy(command, directory, ports.https):
                people = [("Cookie", f"__Secure-gw={(await room.session(name)).value}") for name in ("ada", "bob")]
                yield Site(kind, ports.https, room, people[0], people[1], directory)


@pytest.fixture(params=sorted(PROXIES))
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    async with site_of(request.param, tmp_path) as opened:
        yield opened


def encoded(url: str) -> str:
    return url.replace("%", "%25").replace("&", "%26").replace("=", "%3D")


async def check_logging_in(site: Site) -> None:
    """12.1: an anonymous page leads to the portal and back; then the application sees who it is."""
    answer = await site.get("/a%2Fb?c=d&e=%26", HTML)
    assert answer.status == 302
    assert answer.headers["location"] == f"https://auth.example.com/login?rd={encoded(site.url('/a%2Fb?c=d&e=%26'))}"
    assert "www-authenticate" not in answer.headers
    known = await site.get("/a%2Fb?c=d&e=%26", HTML, site.ada)
    assert known.status == 200, known.body
    assert [known.seen.get(name) for name in IDENTITY] == ["ada", "dev,ops", "Ada Lovelace", "ada@example.com"]
    assert b"/a%2Fb?c=d&e=%26" in known.body
    assert (await site.get("/admin", HTML, site.bob)).status == 403
    nobody = await site.get("/public/x")
    assert nobody.status == 200
    assert [nobody.seen.get(name, "") for name in IDENTITY] == ["", "", "", ""]
    portal = await site.get("/healthz/live", host="auth.example.com")
    assert (portal.status, portal.body) == (200, b'{"status": "ok"}')
    for path in ("/api/admin/ldap/status", "//api/admin/../x", "/api/authz/forward-auth", "/api/authz/ext-authz/../../../x", "/api/authz/ext-authz/%2e%2e/x", "//admin/../x", "/admin/../x", "/admin/status", "/x/../admin/status"):
        hidden = await site.get(path, host="auth.example.com")
        by_gateway = hidden.headers.get("server", "").startswith("ldap-gateway")
        assert (hidden.status, by_gateway) == (404, path.startswith("/x/") and site.kind == "haproxy"), path


async def check_all_kinds_of_requests(site: Site) -> None:
    """12.2."""
    program = await site.get("/x", ("Accept", "application/json"))
    assert program.status == 401
    assert program.headers["www-authenticate"].startswith("Basic realm=")
    assert "location" not in program.headers
    post = ("Content-Length", "11")
    # headers, method, body, status for nobody, status for ada, octets that the application receives
    rows: list[tuple[list[tuple[str, str]], str, bytes, int, int, int]] = [
        ([("Content-Length", "0")], "POST", b"", 401, 200, 0),
        ([post], "POST", b"hello world", 401, 200, 11),
        ([post, ("Content-Type", "application/x-www-form-urlencoded"), HTML], "POST", b"hello=world", 303, 200, 11),
        ([], "HEAD", b"", 401, 200, 0),
        ([], "OPTIONS", b"", 401, 200, 0),
        ([("Transfer-Encoding", "chunked")], "PUT", b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", 401, 200, 11),
        ([post, ("Expect", "100-continue")], "PUT", b"hello world", 401, 200, 11),
        ([("Cookie", "big=" + "x" * 20_000)], "GET", b"", 401, 200, 0),
        ([("Cookie", "a=1")], "GET", b"", 401, 200, 0),
        ([("Authorization", "Bearer of-the-application")], "GET", b"", 401, 200, 0),
    ]
    for headers, method, body, anonymous, known, received in rows:
        refused = await site.get("/x", *headers, method=method, body=body)
        expected = 302 if anonymous == 303 and site.kind == "nginx" else anonymous
        assert refused.status == expected, (headers, method, refused)
        passed = await site.get("/x", *headers, site.ada, method=method, body=body)
        assert passed.status == known, (headers, method, passed)
        if method != "HEAD":
            assert json.loads(passed.body)["received"] == received, (headers, method)
    websocket = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13")]
    assert (await site.get("/ws", *websocket)).status == 401
    echoed = await site.get("/ws", *websocket, site.ada)
    assert (echoed.status, echoed.body) == (101, b"hello")
    shouted = await site.get("/ws", ("Connection", "keep-alive, upgrade"), ("Upgrade", "WebSocket"), *websocket[2:], site.ada)
    assert (shouted.status, shouted.body) == (101, b"hello")
    assert (await site.get("/x", BASIC)).seen["remote-user"] == "ada"
    wrong = await site.get("/x", HTML, ("Authorization", "Basic YWRhOng="))
    assert (wrong.status, "location" in wrong.headers) == (401, False)


SPOOFS = [
    ("Remote-User", "root"), ("Remote_User", "root"), ("REMOTE-GROUPS", "ops"), ("Remote_Groups", "ops"), ("Remote-Email", "root@x"),
    ("X-Forwarded-Method", "OPTIONS"), ("X-Forwarded-Proto", "http"), ("X-Forwarded-Host", "static.test"), ("X-Forwarded-Uri", "/public"),
    ("X-Forwarded-For", "10.0.0.1"), ("X_Forwarded_For", "10.0.0.1"), ("X-Forwarded-User", "root"), ("X-Original-URL", "https://app.example.com/public"),
    ("X-Original-Method", "OPTIONS"), ("X-Rewrite-URL", "/public"), ("Forwarded", "for=10.0.0.1;host=static.test"), ("X-Real-IP", "10.0.0.1"),
    ("Connection", "Remote-Groups"), ("Connection", "Cookie"), ("Connection", "X-Forwarded-Uri"), ("X-HTTP-Method-Override", "OPTIONS"),
    ("Connection", "X-Forwarded-For"), ("X-Auth-Request-User", "root"),
]  # fmt: skip


async def check_spoofs(site: Site) -> None:
    """12.3: nothing that a client says beside changes anything."""
    for header in SPOOFS:
        assert (await site.get("/admin", header)).status == 401, header
        assert (await site.get("/office", header)).status == 401, header
        assert (await site.get("/admin", header, site.bob)).status in (403, 401), header
        passed = await site.get("/x", header, site.bob)
        assert passed.status in (200, 401), header
        if passed.status == 200:
            assert passed.seen.get("remote-user", "bob") == "bob", header
            assert passed.seen.get("remote-groups", "guests") == "guests", header
            assert not passed.seen.keys() & {"remote_user", "remote_groups"}, header
        free = await site.get("/public", header)
        assert free.status == 200
        assert "root" not in " ".join(free.seen.get(name, "") for name in (*IDENTITY, "remote_user")), header


async def check_twins(site: Site) -> None:
    """12.3, 5: no other spelling of an identity header reaches an application that was told who it is."""
    for host, who, given in (("app", site.bob, "remote"), ("grafana", site.ada, "webauth")):
        answer = await site.get("/x", who, *((name, "root") for name in TWINS), host=f"{host}.example.com")
        assert not [name for name, value in answer.seen.items() if given in name and "root" in value], answer.seen
    free = await site.get("/public", *((name, "root") for name in TWINS))
    assert not [name for name, value in free.seen.items() if "remote" in name and "root" in value], free.seen


async def check_upgrades(site: Site) -> None:
    """11: an upgrade to anything but a websocket would be a tunnel to paths that nobody was asked about."""
    settings = ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA")
    for protocols in (["h2c"], ["H2C"], ["h2c, websocket"], ["websocket, h2c"], ["TLS/1.0"], ["foo"], ["websocket", "h2c"], ["h2c", "websocket"]):
        upgrades = [("Upgrade", protocol) for protocol in protocols]
        key = [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Version", "13")]
        answer = await site.get("/public", ("Connection", "Upgrade, HTTP2-Settings"), settings, *upgrades, *key)
        if answer.status == 101:
            assert (answer.headers["upgrade"], len(protocols)) == ("websocket", 2), (protocols, answer)
        elif answer.from_application:
            assert not answer.seen.keys() & {"upgrade", "http2-settings"}, (protocols, answer.seen)
            assert "pgrade" not in answer.seen.get("connection", ""), (protocols, answer.seen)


async def check_connection(site: Site) -> None:
    """5: what a client lists in ``Connection`` takes no identity header away, here or further on."""
    for listed in ("Remote-Groups", "close, Remote-User", "X-WEBAUTH-ROLE,remote-groups", "keep-alive, Remote-User, X-Forwarded-For"):
        answer = await site.get("/x", ("Connection", listed), site.bob)
        assert (answer.seen["remote-user"], answer.seen["remote-groups"]) == ("bob", "guests"), listed
        assert answer.seen.get("connection", "close").lower() in ("close", "keep-alive", ""), listed
        session = [("Connection", f"Upgrade, {listed}"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
        echoed = await site.get("/ws", *session, ("Sec-WebSocket-Version", "13"), site.bob)
        assert (echoed.status, echoed.headers["seen-groups"]) == (101, "guests"), listed


async def check_grafana(site: Site) -> None:
    """11: its own headers, none of the client's in either spelling, and no Authorization, which it would take for its own."""
    claims = [(f"X{sign}WEBAUTH{sign}{name}", "Admin") for sign in "-_" for name in ("USER", "NAME", "EMAIL", "ROLE", "GROUPS")]
    claims += [(name, "Admin") for name in ("X-JWT-Assertion", "x-jwt-assertion", "X_JWT_ASSERTION", "X-JWT.Assertion")]
    for header in (site.ada, BASIC):
        answer = await site.get("/", header, *claims, host="grafana.example.com")
        told = {name: value for name, value in answer.seen.items() if ("webauth" in name or "jwt" in name) and value}
        assert told == {
            "x-webauth-user": "ada", "x-webauth-name": "Ada Lovelace", "x-webauth-email": "ada@example.com",
            "x-webauth-groups": "dev,ops",
        }  # fmt: skip
        assert "authorization" not in answer.seen
    assert (await site.get("/", *claims, host="grafana.example.com")).status == 401
    websocket = [
        ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"), ("Origin", "https://grafana.example.com"),
    ]  # fmt: skip
    live = await site.get("/api/live/ws", *websocket, site.ada, *claims, host="grafana.example.com")
    told = {name: value for name, value in live.seen.items() if ("webauth" in name or "assertion" in name) and value}
    assert (live.status, told["x-webauth-user"], "Admin" in told.values()) == (101, "ada", False)
    kept = [live.seen[name] for name in ("origin", "upgrade", "x-forwarded-proto")]
    assert kept == ["https://grafana.example.com", "websocket", "https"]
    assert live.seen["host"].partition(":")[0] == "grafana.example.com"
    assert (await site.get("/api/live/ws", *websocket, *claims, host="grafana.example.com")).status == 401
    for path in ("/.gateway/authz", "/?auth_token=x", "/?a=b&%61uth%5Ftoken=x", "/api/search"):
        answer = await site.get(path, site.ada, *claims, ("Authorization", "Bearer glsa_x_1"), host="grafana.example.com")
        assert answer.from_application == (path == "/api/search" or (path[1] == "." and site.kind != "nginx")), path
        assert not answer.from_application or "authorization" not in answer.seen
    assert (await site.get("/", HTML, *claims, host="grafana.example.com")).status == 302


CLAIMED = ("X-WEBAUTH-USER", "X-WEBAUTH-ROLE", "X-WEBAUTH-EMAIL", "X-WEBAUTH-NAME", "X-WEBAUTH-GROUPS", "X-JWT-Assertion")
SPELLINGS: list[tuple[str, Callable[[str], list[str]]]] = [
    ("as it is", lambda name: [name]),
    ("in another case", lambda name: [name.swapcase()]),
    ("with _", lambda name: [name.replace("-", "_")]),
    ("with _ in another case", lambda name: [name.replace("-", "_").swapcase()]),
    ("with _ in one place", lambda name: [name.replace("-", "_", 1)]),
    ("twice", lambda name: [name, name]),
    ("twice in different spellings", lambda name: [name.lower(), name.replace("-", "_")]),
]


async def check_claims_one_by_one(site: Site, told: dict[str, str]) -> None:
    """grafana.md 4, trap 10: each header that Grafana believes, in each spelling, by itself: nothing of it comes through,
    and nobody becomes somebody. ``told`` is what Grafana is told of ada; values of tokens differ."""
    for name, (spelling, spelled) in itertools.product(CLAIMED, SPELLINGS):
        sent = [(one, f"root{number}") for number, one in enumerate(spelled(name))]
        seen = (await site.get("/", *sent, site.ada, host="grafana.example.com")).seen
        found = {key: value for key, value in seen.items() if ("webauth" in key or "assertion" in key) and value}
        assert found.keys() == told.keys(), (name, spelling)
        assert all(found[key] == value for key, value in told.items() if value), (name, spelling)
        assert "root" not in json.dumps(seen), (name, spelling)
        assert (await site.get("/", *sent, host="grafana.example.com")).status == 401, (name, spelling)


# Cookies of the client, {s} is ada's session; what the application is sent of them, lines joined by |
KEPT: list[tuple[list[str], str]] = [
    (["{s}"], ""),
    (["a=1; {s}; b=2"], "a=1; b=2"),
    (["{s}; a=1"], "a=1"),
    (["a=1; {s}"], "a=1"),
    (["a=1;{s};b=2"], "a=1;b=2"),
    (["{s}; __Host-gw=x; a=1"], "a=1"),
    (["a=1; __Secure-gw=x; {s}; b=2"], "a=1; b=2"),
    (["a=1", "{s}; b=2"], "a=1|b=2"),
    (["a=1; __secure-gw=x; {s}; Secure-gw=1; gw=2; __Secure-gwx=3"], "a=1; __secure-gw=x; Secure-gw=1; gw=2; __Secure-gwx=3"),
    (["a=__Secure-gw; {s}; b=\"x\"; c= __x"], "a=__Secure-gw; b=\"x\"; c= __x"),
]


async def check_what_applications_do_not_get(site: Site) -> None:
    """7: no password, no token of ours and no session; the cookies of the application as they were."""
    session = site.ada[1]
    for host in ("app.example.com", "grafana.example.com"):
        for lines, expected in KEPT:
            cookies = [("Cookie", line.replace("{s}", session)) for line in lines]
            seen = (await site.get("/x", *cookies, host=host)).seen.get("cookie", "")
            assert seen.replace("|", "; ").rstrip("; ") == expected.replace("|", "; "), (lines, seen)
        many = "; ".join(["a=1", *(f"__Secure-gw={index}" for index in range(5)), session, "b=2"])
        assert session not in (await site.get("/x", ("Cookie", many), host=host)).seen.get("cookie", "")
        proxied = ("Proxy-Authorization", BASIC[1])
        for shown in ([BASIC], [proxied, site.ada], [("Authorization", "Bearer of-the-application"), site.ada]):
            answer = await site.get("/x", *shown, host=host)
            assert answer.status == 200, shown
            assert not answer.seen.keys() & {"authorization", "proxy-authorization"}, shown
    assert session not in (await site.get("/public", site.ada)).seen.get("cookie", "")


async def check_who_may_not(site: Site) -> None:
    """4: somebody who is signed in and may not see a page finds the way to the portal, which says more."""
    answer = await site.get("/admin/?a='\"<&b", HTML, site.bob)
    portal = f"https://auth.example.com/login?rd={site.url('/admin/?a%3D%27%22%3C%26b')}"
    assert (answer.status, answer.headers["content-type"].partition(";")[0]) == (403, "text/html")
    assert f'<p><a href="{portal}">'.encode() in answer.body
    assert (answer.headers["cache-control"], "location" in answer.headers) == ("no-store", False)
    for shown in ([site.bob], [HTML]):
        plain = await site.get("/admin" if shown == [site.bob] else "/secret", *shown)
        assert (plain.status, b"auth.example.com" in plain.body) == (403, False)


async def check_path_tricks(site: Site) -> None:
    """12.6: no spelling of a path reaches another rule than the plain one."""
    for path in (
        "/public/../secret", "/public/%2e%2e/secret", "/public/..%2fsecret", "/public/..;/secret", "//secret", "/./secret",
        "/%73ecret", "/secret/", "/secret%2f", "/secret;x", "/SECRET/../secret", "/public/%2e%2e%2fsecret", "/%2e/secret",
    ):  # fmt: skip
        assert (await site.get(path, site.ada)).status == 403, path
        assert (await site.get(path, HTML)).status == 403, path
    for path in ("/public%00", "/%zz", "/%2573ecret", "/public/%5c..%5csecret", "/a%c0%ae"):
        assert (await site.get(path, site.ada)).status in (400, 403), path
    for first in ("GET /secret#/public HTTP/1.1", "GET /x#/public HTTP/1.1", "get /x HTTP/1.1"):
        assert not (await site.get("", first=first)).from_application, first
    for host in ("APP.example.com", "app.example.com.", f"App.Example.Com:{site.port}"):
        assert not (await site.get("/secret", site.ada, ("Host", host))).from_application, host


async def check_host_confusion(site: Site) -> None:
    """2, 3: the host that decides is the one whose application answers; static.test is free for all, but not served."""
    for host in ("static.test", "app.example.com.evil.test", "user@app.example.com", "app.example.com\\@static.test", "", "static.test:443"):
        for path in ("/x", "/secret"):
            assert not (await site.get(path, ("Host", host))).from_application, host
    for authority, host in (("static.test", "app.example.com"), ("app.example.com", "static.test"), ("grafana.example.com", "app.example.com")):
        answer = await site.get("", ("Host", f"{host}:{site.port}"), first=f"GET https://{authority}:{site.port}/public HTTP/1.1")
        assert not answer.from_application or json.loads(answer.body)["host"].startswith("app.example.com"), (authority, host)
    twice = await site.get("/x", ("Host", f"app.example.com:{site.port}"), ("Host", "static.test"))
    assert not twice.from_application
    for hosts in itertools.permutations(("app.example.com", "grafana.example.com", "static.test"), 2):
        for sign in (",", ", ", " ", ";", "\t"):
            answer = await site.get("/public", ("Host", sign.join(hosts)))
            assert not answer.from_application, hosts
            assert site.kind != "haproxy" or answer.status == 400 or "," not in sign, hosts
        answer = await site.get("/public", ("Host", hosts[0]), ("Host", hosts[1]))
        assert not answer.from_application, hosts


async def check_sessions_end(site: Site) -> None:
    """12.5: a logout counts at the next request."""
    session = await site.room.session("ada")
    cookie = ("Cookie", f"__Secure-gw={session.value}")
    assert (await site.get("/x", cookie)).status == 200
    assert await site.room.live.sessions.revoke(session.row.accessor, session.row.identity, int(time.time()))
    assert (await site.get("/x", cookie)).status == 401


async def test_one_proxy(site: Site) -> None:
    """One proxy and one gateway for all lines of the checklist: starting them is most of the time."""
    await check_logging_in(site)
    await check_all_kinds_of_requests(site)
    await check_spoofs(site)
    await check_twins(site)
    await check_upgrades(site)
    await check_connection(site)
    await check_grafana(site)
    told = {"user": "ada", "name": "Ada Lovelace", "email": "ada@example.com", "groups": "dev,ops"}
    await check_claims_one_by_one(site, {f"x-webauth-{name}": value for name, value in told.items()})
    await check_what_applications_do_not_get(site)
    await check_who_may_not(site)
    await check_path_tricks(site)
    await check_host_confusion(site)
    await check_sessions_end(site)


# path, Authorization; whether it goes to Grafana without a question to the gateway
SERVICE_TOKENS = [
    ("/api/search", "Bearer glsa_x_1", True),
    ("/api/search?query=x&a=%2e", "Bearer glsa_x_1", True),
    ("/api/dashboards/uid/a-b_c", "Bearer glsa_x_1", True),
    ("/api/datasources/proxy/uid/x/api/v1", "Bearer glsa_x_1", True),
    ("/api/search", "Bearer x", False),
    ("/api/search", "Basic YWRtaW46YWRtaW4=", False),
    ("/api/search", "Bearer glsa_x_1, Basic YWRtaW46YWRtaW4=", False),
    ("/api/searching", "Bearer glsa_x_1", False),
    ("/api/search/../admin", "Bearer glsa_x_1", False),
    ("/api/search/%2e%2e/admin", "Bearer glsa_x_1", False),
    ("/api/admin/settings", "Bearer glsa_x_1", False),
    ("/x?/api/search", "Bearer glsa_x_1", False),
]


@pytest.mark.parametrize("kind", sorted(PROXIES))
async def test_tokens_of_grafanas_own(kind: str, tmp_path: Path) -> None:
    """grafana.md 4: off unless these lines are let in, and then for the listed paths alone, with nobody's identity."""
    async with site_of(kind, tmp_path, tokens=True) as site:
        for path, shown, passes in SERVICE_TOKENS:
            claims = [("X-WEBAUTH-USER", "root"), ("X-JWT-Assertion", "x"), ("Authorization", shown)]
            answer = await site.get(path, *claims, host="grafana.example.com")
            assert answer.from_application == passes, (path, shown, answer)
            known = await site.get(path, *claims, site.ada, host="grafana.example.com")
            if shown.startswith("Basic "):  # a password of the directory's, and a wrong one
                assert known.status == 401
                continue
            assert known.from_application, (path, shown)
            told = [known.seen.get(name, "") for name in ("x-webauth-user", "authorization", "x-jwt-assertion")]
            assert told == (["", shown, ""] if passes else ["ada", "", ""]), (path, shown)
            assert site.ada[1] not in known.seen.get("cookie", "")
        twice = [("Authorization", "Bearer glsa_x_1"), ("Authorization", "Basic YWRtaW46YWRtaW4=")]
        for both in (twice, twice[::-1]):
            answer = await site.get("/api/search", *both, host="grafana.example.com")
            assert not answer.from_application or "Basic" not in answer.seen.get("authorization", "")
        elsewhere = await site.get("/api/search", ("Authorization", "Bearer glsa_x_1"))
        assert not elsewhere.from_application


@pytest.mark.parametrize("kind", sorted(PROXIES))
async def test_signed_tokens_reach_grafana_and_nobody_elses(kind: str, tmp_path: Path) -> None:
    """grafana.md 4, 5: the token alone, and no header of the client's that outranks or imitates it."""
    claims = [(name, "x.y.z") for name in ("X-JWT-Assertion", "x_jwt_assertion", "X-Jwt.Assertion", "Authorization")]
    claims += [("X-WEBAUTH-USER", "root"), ("X_WEBAUTH_ROLE", "Admin")]
    upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
    async with site_of(kind, tmp_path, signed=True) as site:
        for path, more in (("/", []), ("/api/live/ws", [*upgrade, ("Sec-WebSocket-Version", "13")])):
            answer = await site.get(path, site.ada, *claims[:3], *claims[4:], *more, host="grafana.example.com")
            names = ("webauth", "assertion", "authorization")
            told = {name: value for name, value in answer.seen.items() if any(one in name for one in names) and value}
            assert list(told) == ["x-jwt-assertion"], told
            claim = json.loads(base64.urlsafe_b64decode(told["x-jwt-assertion"].split(".")[1] + "=="))
            assert (claim["login"], claim["aud"]) == ("ada", "grafana")
            assert (await site.get(path, *claims, *more, host="grafana.example.com")).status == 401
        await check_claims_one_by_one(site, {"x-jwt-assertion": ""})


async def test_clients_behind_a_load_balancer_in_front_of_caddy(tmp_path: Path) -> None:
    """2, 3: of whom Caddy trusts the client's address counts, not its host, method and URI."""
    async with site_of("caddy", tmp_path, balanced=True) as site:
        lies = [("X-Forwarded-Host", "static.test"), ("X-Forwarded-Uri", "/public"), ("X-Forwarded-Method", "OPTIONS")]
        for lie in [[each] for each in lies] + [lies]:
            assert (await site.get("/admin", *lie)).status == 401, lie
            assert (await site.get("/secret", *lie, site.ada)).status == 403, lie
        assert (await site.get("/office", ("X-Forwarded-For", "127.0.0.2"), *lies)).status == 200
        assert (await site.get("/office", ("X-Forwarded-For", "127.0.0.3"), *lies)).status == 401


async def health(kind: str, directory: Path, *states: str) -> None:
    """Wait until HAProxy has told that the gateway is ``DOWN``, ``UP``, ...; the others look for it with each request."""
    deadline = time.monotonic() + 20
    while kind == "haproxy" and tuple(HEALTH.findall((directory / "proxy.log").read_text())) != states:
        assert time.monotonic() < deadline, log_of(directory)
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", sorted(PROXIES))
async def test_without_the_gateway_nobody_gets_in(kind: str, tmp_path: Path) -> None:
    """12.4: nor without the store, nor by a password without the directory; and recovery without a restart of anything."""
    denial = {"nginx": 500, "caddy": 502, "haproxy": 503}[kind]
    undecided = {"nginx": 500, "caddy": 503, "haproxy": 503}[kind]
    with Slapd.start(COMPANY, directory=tmp_path / "slapd") as slapd:
        given = slapd.server(pool={"backoff": 0.2, "probe": 0.2})
        text = f"{CONFIGURATION}\nlogin.cache = 0\nservers = [{json.dumps(given)}]\n"
        async with running_application() as application:
            ports = Ports(free_port(), free_port(), application)
            (tmp_path / "gateway").mkdir()
            with proxy(PROXIES[kind](tmp_path, ports), tmp_path, ports.https):

                async def status(*header: str, path: str = "/x") -> int:
                    return (await browse(ports.https, path, *([(header[0], header[1])] if header else []))).status

                await health(kind, tmp_path, "DOWN")
                answer = await browse(ports.https, "/public")
                # HAProxy's own word, without trying.
                assert (answer.status, answer.headers.get("retry-after")) == (denial, "1" if kind == "haproxy" else None)
                async with room_of(tmp_path / "gateway", text, port=ports.gateway) as room:
                    await health(kind, tmp_path, "DOWN", "UP")
                    cookie = ("Cookie", f"__Secure-gw={(await room.session('ada')).value}")
                    assert [await status(*cookie), await status(*ALAN)] == [200, 200]
                    slapd.stop()
                    assert [await status(*cookie), await status(*ALAN)] == [200, undecided]
                    slapd.run()
                    deadline = time.monotonic() + 20
                    while (found := await status(*ALAN)) == undecided and time.monotonic() < deadline:
                        await asyncio.sleep(0.1)
                    assert found == 200
                    await room.runtime.store.close()
                    assert [await status(*cookie), await status(*BASIC)] == [undecided, undecided]
                    assert await status(path="/public") == 200
                # HAProxy may or may not have noticed.
                assert await status(*cookie) == denial
                async with room_of(tmp_path / "gateway", text, port=ports.gateway):
                    await health(kind, tmp_path, "DOWN", "UP", "DOWN", "UP")
                    assert await status(*cookie) == 200


async def test_nginx_over_a_unix_socket_with_a_cache(tmp_path: Path) -> None:
    """The two lines of nginx.conf that are commented out; who has no session is never answered from the cache."""
    async with site_of("nginx", tmp_path, over_unix=True, cache=True) as site:
        assert (await site.get("/x", site.ada)).seen["remote-user"] == "ada"
        assert (await site.get("/x", site.bob)).seen["remote-user"] == "bob"
        assert (await site.get("/x")).status == 401
        assert (await site.get("/admin", site.ada)).status == 200
        assert (await site.get("/admin", site.bob)).status == 403
        assert (await site.get("/office")).status == 401
        # The same letters in a row, but other requests.
        assert (await site.get("/office", source="127.0.0.2")).status == 200
        assert (await site.get("/office", source="127.0.0.3")).status == 401
        assert (await site.get("/officeGET127.0.0.3", source="127.0.0.2")).status == 200
        assert (await site.get("/office", ("Cookie", "GET127.0.0.2"), source="127.0.0.3")).status == 401
        assert (await site.get("/off", ("Cookie", "iceGET127.0.0.3"), source="127.0.0.2")).status == 401
        session = await site.room.session("ada")
        cookie = ("Cookie", f"__Secure-gw={session.value}")
        assert (await site.get("/x", cookie)).status == 200
        await site.room.live.sessions.revoke(session.row.accessor, session.row.identity, int(time.time()))
        deadline = time.monotonic() + 10
        while (await site.get("/x", cookie)).status != 401:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)

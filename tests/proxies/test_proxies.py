"""nginx, Caddy and HAProxy with the files of conf/proxy, in front of a real gateway (forward-auth.md 11, 12)."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.proxies.servers import (
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
BASIC = "Basic " + base64.b64encode(b"ada:lovelace").decode()
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
        text = CONFIGURATION + f"access_control.redirect_ports = [{ports.https}]\n"
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
    assert (await site.get("/api/authz/forward-auth", host="auth.example.com")).status == 404
    assert (await site.get("/admin/status", host="auth.example.com")).status == 404
    grafana = await site.get("/", site.ada, ("X-WEBAUTH-USER", "root"), ("X-WEBAUTH-ROLE", "Admin"), host="grafana.example.com")
    assert (grafana.seen["x-webauth-user"], grafana.seen.get("x-webauth-role", "")) == ("ada", "")


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
    assert (await site.get("/x", ("Authorization", BASIC))).seen["remote-user"] == "ada"
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
    await check_path_tricks(site)
    await check_host_confusion(site)
    await check_sessions_end(site)


@pytest.mark.parametrize("kind", sorted(PROXIES))
async def test_without_the_gateway_nobody_gets_in(kind: str, tmp_path: Path) -> None:
    """12.4, and recovery without a restart; a store that is gone is not taken for consent either."""
    denial = {"nginx": 500, "caddy": 502, "haproxy": 503}[kind]
    undecided = {"nginx": 500, "caddy": 503, "haproxy": 503}[kind]
    async with running_application() as application:
        ports = Ports(free_port(), free_port(), application)
        (tmp_path / "gateway").mkdir()
        with proxy(PROXIES[kind](tmp_path, ports), tmp_path, ports.https):
            assert (await browse(ports.https, "/public")).status == denial
            async with room_of(tmp_path / "gateway", CONFIGURATION, port=ports.gateway) as room:
                cookie = ("Cookie", f"__Secure-gw={(await room.session('ada')).value}")
                assert (await browse(ports.https, "/x", cookie)).status == 200
                await room.runtime.store.close()
                assert (await browse(ports.https, "/x", cookie)).status == undecided
                assert (await browse(ports.https, "/x", ("Authorization", BASIC))).status == undecided
            assert (await browse(ports.https, "/x", cookie)).status == denial
            async with room_of(tmp_path / "gateway", CONFIGURATION, port=ports.gateway):
                assert (await browse(ports.https, "/x", cookie)).status == 200


async def test_nginx_over_a_unix_socket_with_a_cache(tmp_path: Path) -> None:
    """The two lines of nginx.conf that are commented out; who has no session is never answered from the cache."""
    async with site_of("nginx", tmp_path, over_unix=True, cache=True) as site:
        assert (await site.get("/x", site.ada)).seen["remote-user"] == "ada"
        assert (await site.get("/x", site.bob)).seen["remote-user"] == "bob"
        assert (await site.get("/x")).status == 401
        assert (await site.get("/admin", site.ada)).status == 200
        assert (await site.get("/admin", site.bob)).status == 403
        assert (await site.get("/office")).status == 401
        session = await site.room.session("ada")
        cookie = ("Cookie", f"__Secure-gw={session.value}")
        assert (await site.get("/x", cookie)).status == 200
        await site.room.live.sessions.revoke(session.row.accessor, session.row.identity, int(time.time()))
        deadline = time.monotonic() + 10
        while (await site.get("/x", cookie)).status != 401:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.1)

"""The portal at several addresses, behind proxies of all kinds (forward-auth.md 2, 9)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.serve.gateway_room import Room, parsed, room_of
from tests.serve.portal_browser import HTML, JSON, OWN, Browser
from tests.serve.test_clearml_protocol import password_hash

pytestmark = pytest.mark.asyncio(loop_scope="module")

BASE = """
users = [
  { username = ada, password_hash = "HASH" }
  { username = bob, password_hash = "HASH" }
]
login.floor = 0
access_control.default_policy = authenticated
tokens.master_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
""".replace("HASH", password_hash("lovelace"))
SEVERAL = BASE + """
public_url = "https://auth.example.com"
session.cookies = [
  { domain = "example.com", portal_url = "https://auth.example.com" }
  { domain = "example.org", portal_url = "https://auth.example.org:443/sso/" }
  { domain = "lab.example.com", portal_url = "https://auth.lab.example.com" }
  { domain = "sub.example.net", portal_url = "https://auth.sub.example.net" }
  { domain = "example.net", portal_url = "https://auth.sub.example.net" }
]
"""
ALONE = BASE + 'public_url = "https://gateway.test"\n'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with room_of(tmp_path_factory.mktemp("places"), SEVERAL) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def untrusting(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    """Where nobody is a proxy of ours."""
    text = SEVERAL + 'trusted_proxies = ["192.0.2.0/24"]\n'
    async with room_of(tmp_path_factory.mktemp("untrusting"), text) as opened:
        yield opened


# section; Host; other headers; Domain of the cookie; where the pages stand
PLACES = [
    ("9 the host itself", "auth.example.com", [], "example.com", ""),
    ("9 another domain", "auth.example.org", [], "example.org", "/sso"),
    ("3.3 as typed", "AUTH.Example.ORG.:443", [], "example.org", "/sso"),
    ("9 narrowest domain", "auth.lab.example.com", [], "lab.example.com", ""),
    ("9 any host of a domain", "sso.example.org", [], "example.org", "/sso"),
    ("9 unknown host", "gateway:8008", [], "example.com", ""),
    ("9 no host that can be read", "a b", [], "example.com", ""),
    ("2 a proxy that renames the host", "gateway:8008", [("X-Forwarded-Host", "auth.example.org")], "example.org", "/sso"),
    ("2 Host comes first", "auth.example.com", [("X-Forwarded-Host", "auth.example.org")], "example.com", ""),
    ("2 nonsense", "gateway", [("X-Forwarded-Host", "auth.example.org, evil.test")], "example.com", ""),
    ("2 other families count for nothing", "gateway", [("Forwarded", "host=auth.example.org"), ("X-Original-URL", "https://auth.example.org/")], "example.com", ""),
]


@pytest.mark.parametrize(("section", "host", "headers", "domain", "root"), PLACES)
async def test_places(room: Room, section: str, host: str, headers: list[tuple[str, str]], domain: str, root: str) -> None:
    browser = Browser(room, host=host)
    page = await browser.get("/login", HTML, *headers)
    assert f'action="{root}/api/login"' in page.text
    assert f'href="{root}/static/portal.css' in page.text
    answer = await browser.post("/api/login", {"user": "ada", "password": "lovelace"}, HTML, OWN, *headers)
    assert (answer.status, answer.location) == (303, f"{root}/account")
    assert f"; Domain={domain};" in answer.cookie
    sessions = (await browser.get("/account", JSON, *headers)).json["sessions"]
    assert [session["domain"] for session in sessions if session["current"]] == [domain]


async def test_a_session_counts_in_its_domain_only(room: Room) -> None:
    """9: bound to its domain, rejected elsewhere, though the cookie has the same name."""
    browser = Browser(room)
    await browser.login()
    for host, status in (("auth.example.com", 200), ("auth.example.org", 401), ("auth.lab.example.com", 401)):
        assert (await browser.get("/api/session", host=host)).status == status


# where somebody wants to go; Domain of the cookie that they get at one portal of two domains
BOTH = [
    ("https://app.sub.example.net/", "sub.example.net"), ("https://sub.example.net/", "sub.example.net"),
    ("https://app.example.net/", "example.net"), ("https://example.net/", "example.net"), ("", "sub.example.net"),
    ("/account", "sub.example.net"), ("https://app.example.com/", "sub.example.net"),
]  # fmt: skip


@pytest.mark.parametrize(("way_back", "domain"), BOTH)
async def test_a_portal_of_two_domains(room: Room, way_back: str, domain: str) -> None:
    """9: whoever comes from a domain gets its cookie, even where the other's is good already."""
    browser = Browser(room, host="auth.sub.example.net")
    await browser.login("bob", rd="https://app.example.net/" if domain == "sub.example.net" else "")
    shown = await browser.get(f"/login?rd={way_back}")
    assert shown.status == 200
    answer = await browser.login(rd=way_back)
    assert f"; Domain={domain};" in answer.cookie
    assert (await browser.get(f"/login?rd={way_back}")).status == 303
    assert (await browser.get("/api/session")).json["username"] == "ada"
    assert answer.cookie.count("__Secure-gw") == 1
    out = await browser.post("/api/logout", {})
    assert out.cookie.count("Max-Age=0") == 2


async def test_origins_of_a_place(room: Room) -> None:
    """9: the portal's own origin as browsers write it; another portal is another site."""
    for host, origin, status in (
        ("auth.example.org", "https://auth.example.org", 303), ("auth.example.org", "https://auth.example.com", 403),
        ("auth.lab.example.com", "https://auth.example.com", 403), ("gateway", "https://auth.example.com", 303),
    ):  # fmt: skip
        fields = {"user": "ada", "password": "lovelace"}
        answer = await Browser(room, host=host).post("/api/login", fields, HTML, ("Origin", origin))
        assert answer.status == status, (host, origin)


async def test_a_cookie_for_one_host(tmp_path_factory: pytest.TempPathFactory) -> None:
    """9: without domains, ``__Host-`` and nothing but the host."""
    async with room_of(tmp_path_factory.mktemp("alone"), ALONE) as room:
        browser = Browser(room, host="gateway.test")
        answer = await browser.login(rd="https://app.gateway.test/")
        assert (answer.status, answer.location) == (303, "/account")
        name, value = next(iter(browser.jar.items()))
        assert answer.cookie == f"__Host-gw={value}; Path=/; HttpOnly; Secure; SameSite=Lax"
        assert name == "__Host-gw"
        assert (await browser.get("/account")).status == 200
        out = await browser.post("/api/logout", {})
        assert out.cookie == "__Host-gw=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"


async def test_strangers_are_not_believed(tmp_path_factory: pytest.TempPathFactory) -> None:
    """2: from a peer that is no proxy of ours, every X-Forwarded-* is ignored; a unix peer is believed."""
    async with room_of(tmp_path_factory.mktemp("strangers"), SEVERAL + 'trusted_proxies = ["192.0.2.0/24"]\n') as room:
        lines = "Host: gateway\r\nX-Forwarded-Host: auth.example.org\r\nX-Forwarded-For: nonsense\r\nAccept: text/html\r\n"
        request = f"GET /login HTTP/1.1\r\n{lines}\r\n".encode()
        status, _, body = parsed(await room.raw(request))
        assert (status, b'action="/api/login"' in body) == (200, True)
        status, _, body = parsed(await room.raw(request.replace(b"nonsense", b"192.0.2.1"), unix=True))
        assert (status, b'action="/sso/api/login"' in body) == (200, True)
        assert parsed(await room.raw(request, unix=True))[0] == 400
        before = len(room.audit.events)
        await Browser(room, client="203.0.113.9").login()
        assert room.audit.events[before].client == "127.0.0.1"


# section; Host; scheme that the proxy tells, empty: nothing; by which peer (a proxy or a stranger); whether it came by http
SCHEMES = [
    ("2 a proxy that ends TLS", "gateway:8008", "https", True, False), ("2 the same, as others write it", "gateway:8008", "HTTPS", True, False),
    ("2 two proxies", "gateway:8008", "https, http", True, False), ("9 a proxy without TLS", "gateway:8008", "http", True, True),
    ("9 nobody tells", "gateway:8008", "", True, True), ("2 strangers tell what they like", "gateway:8008", "https", False, True),
    ("9 a stranger by http", "gateway:8008", "", False, True), ("9 our address, at the port of https", "auth.example.com", "", True, False),
    ("9 the same in full", "AUTH.example.com.:443", "", False, False), ("9 our name, at another port", "auth.example.com:8008", "", True, True),
    ("9 a host of our domain", "app.example.com", "", True, True), ("9 on the same machine, where the cookie is for a domain", "localhost:8008", "", True, True),
]  # fmt: skip


@pytest.mark.parametrize(("section", "host", "scheme", "known", "plain"), SCHEMES)
async def test_a_page_that_came_by_http(
    room: Room, untrusting: Room, section: str, host: str, scheme: str, known: bool, plain: bool
) -> None:
    """9: browsers take a Secure cookie by https alone; the form says so before a password is typed."""
    for way_back in ("", "https://app.example.com/x?a=1&b=2"):
        browser = Browser(room if known else untrusting, host=host, scheme=scheme)
        form = await browser.get(f"/login?rd={way_back.replace('&', '%26')}")
        assert (form.status, "This page came over plain http" in form.text) == (200, plain)
        if plain:
            there = form.text.partition('Open <a href="https://auth.example.com')[2].partition('"')[0]
            assert there.startswith("/login")
            assert (await browser.get(there, host="auth.example.com")).values("rd") == ([way_back] if way_back else [])
            assert ("came over plain http" in (await browser.login("nobody", "x")).text), "and afterwards"
        answer = await browser.login(rd=way_back)
        assert (answer.status, answer.location) == (303, way_back or "/account"), "8: to the target itself"


# section; Host; whether browsers keep a Secure cookie of http there (Secure Contexts 3.1)
ALONE_BY_HTTP = [
    ("9 by http elsewhere", "gateway.test:8008", False), ("9 the same machine", "localhost:8008", True), ("9 by address", "127.0.0.1:8008", True),
    ("9 by address", "127.1.2.3", True), ("9 by address", "[::1]:8008", True), ("9 below it", "gateway.localhost", True),
    ("9 not quite", "127.evil.test", False), ("9 not quite", "localhost.evil.test", False), ("9 nothing to be read", "a b", False),
]  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def by_http(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    """Set up by http: then no address would help, and it is not for the person to mend."""
    text = BASE + 'public_url = "http://gateway.test:8008"\n'
    async with room_of(tmp_path_factory.mktemp("http"), text) as opened:
        yield opened


@pytest.mark.parametrize(("section", "host", "kept"), ALONE_BY_HTTP)
async def test_a_portal_that_is_set_up_by_http(by_http: Room, section: str, host: str, kept: bool) -> None:
    form = await Browser(by_http, host=host, scheme="").get("/login")
    assert ("came over plain http" in form.text, "administrator" in form.text) == (not kept, not kept)
    assert "<a href" not in form.text.partition("<main")[2].partition("</main")[0]


async def test_a_reload_is_seen_at_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    async with room_of(tmp_path_factory.mktemp("reloaded"), SEVERAL) as room:
        browser = Browser(room)
        assert "<h1>Sign in</h1>" in (await browser.get("/login")).text
        await room.reload(SEVERAL + f'portal.title = "Example & Co"\nstate_dir = "{room.directory / "state"}"\n')
        page = (await browser.get("/login")).text
        assert "<h1>Sign in</h1>" in page and '<p class="owner">Example & Co</p>' in page

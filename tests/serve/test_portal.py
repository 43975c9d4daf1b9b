"""The portal over real connections: routes, headers, logging in and out (forward-auth.md 8, 9; DECISIONS 28-30)."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import time
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import pytest_asyncio

from gateway import __version__
from gateway.serve.dispatch import Owner, dispatch
from gateway.serve.portal.dialect import ROUTES
from gateway.serve.portal.login import WRONG
from gateway.serve.target import parse_target
from tests.serve.asking import CONFIGURATION, question
from tests.serve.gateway_room import Room, parsed, room_of
from tests.serve.portal_browser import FORM, HTML, JSON, OWN, PAGE_HEADERS, Answer, Browser

pytestmark = pytest.mark.asyncio(loop_scope="module")

SESSION = re.compile(r"__Secure-gw=[A-Za-z0-9_-]{43}; Path=/; Domain=example\.com; HttpOnly; Secure; SameSite=Lax")
APP = "https://app.example.com"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with room_of(tmp_path_factory.mktemp("portal"), CONFIGURATION) as opened:
        yield opened


@pytest.fixture
def browser(room: Room) -> Browser:
    return Browser(room)


# section; path; headers; status; what the Location or the body is
GETS = [
    ("DECISIONS 28 portal for HTML", "/", [HTML], 200, f"Version {__version__}"),
    ("DECISIONS 28 JSON otherwise", "/", [], 200, f'"version": "Version {__version__}"'),
    ("DECISIONS 28 JSON otherwise", "/", [("Accept", "*/*")], 200, '"service": "ldap-gateway"'),
    ("9 login page", "/login", [HTML], 200, 'action="/api/login"'),
    ("9 login page, whatever is accepted", "/login", [], 200, 'action="/api/login"'),
    ("9 its password is for password managers", "/login", [HTML], 200, 'autocomplete="current-password"'),
    ("9 logout shows a page", "/logout", [HTML], 200, "You are signed out"),
    ("9 account wants a login", "/account", [HTML], 303, "/login?rd=/account"),
    ("9 account wants a login", "/account", [JSON], 401, '"error"'),
    ("9 session", "/api/session", [JSON], 401, '"error"'),
    ("9 session", "/api/session", [HTML], 401, '"error"'),
    ("28 unknown below the portal", "/account/x", [HTML], 404, "Page not found"),
    ("28 unknown", "/nowhere", [HTML], 404, "Page not found"),
    ("28 unknown", "/nowhere", [JSON], 404, '"error"'),
    ("28 style", "/static/portal.css", [], 200, "{"),
    ("28 icon", "/favicon.ico", [], 200, "<svg"),
    ("28 robots", "/robots.txt", [], 200, "Disallow: /"),
    ("28 no file", "/static/nothing.css", [], 404, "not found"),
    ("28 nothing above", "/static/../pages.py", [], 404, "not found"),
    ("28 nothing above", "/static/..%2fpages.py", [], 404, "not found"),
    ("28 nothing above", "/static/", [], 404, "not found"),
]


@pytest.mark.parametrize(("section", "path", "headers", "status", "holds"), GETS)
async def test_get(
    browser: Browser, section: str, path: str, headers: list[tuple[str, str]], status: int, holds: str
) -> None:
    answer = await browser.send("GET", path, *headers)
    assert answer.status == status
    assert holds in (answer.location if status == 303 else answer.body.decode())
    if "text/html" in answer.headers.get("content-type", ""):
        assert PAGE_HEADERS.items() <= answer.headers.items()
        policy = answer.headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "style-src 'self'", "img-src 'self' data:", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy)
        assert "<script" not in answer.text
        assert " style=" not in answer.text
    head = await browser.send("HEAD", path, *headers)
    assert (head.status, head.body) == (status, b"")
    own = {"date": "", **({"content-length": "0"} if status == 303 else {})}
    assert {**head.headers, **own} == {**answer.headers, **own}


async def test_every_route_answers_its_methods_and_no_other(browser: Browser) -> None:
    """DECISIONS 28: each path has one owner; 405 names the methods there are (RFC 9110 15.5.6)."""
    for path, route in ROUTES.items():
        owner, target = dispatch(parse_target(path))
        assert (owner, target.path) == (Owner.ROOT if path == "/" else Owner.PORTAL, path)
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = await browser.send(method, path, HTML, OWN, body=None if method in ("GET", "HEAD") else b"")
            assert (answer.status == 405) is (method not in route.methods), (method, path)
            if answer.status == 405:
                assert answer.headers["allow"] == ", ".join(route.methods)
            assert answer.status < 500
    for path in ("/static/portal.css", "/favicon.ico", "/robots.txt"):
        refused = await browser.send("POST", path, body=b"")
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


async def test_files_are_kept_by_their_version(browser: Browser) -> None:
    page = await browser.get("/login")
    for path in re.findall(r'(?:href|src)="(/static/[^"]+)"', page.body.decode()):
        answer = await browser.get(path)
        assert answer.status == 200
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["x-content-type-options"] == "nosniff"
        plain = path.partition("?")[0]
        assert (await browser.get(plain)).headers["cache-control"] == "no-cache"
        again = await browser.get(plain, ("If-None-Match", answer.headers["etag"]))
        assert (again.status, again.body) == (304, b"")


async def test_a_login_and_what_it_opens(room: Room, browser: Browser) -> None:
    """9 and 12.1: the cookie's exact form, 303 to where somebody came from, and the proxy's question passes."""
    before = len(room.audit.events)
    answer = await browser.login(rd=f"{APP}/x?a=1&b=%2F#c")
    assert (answer.status, answer.location, answer.body) == (303, f"{APP}/x?a=1&b=%2F#c", b"")
    assert SESSION.fullmatch(answer.cookie)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"
    event = room.audit.events[before]
    assert (event.action, event.outcome, event.dialect, event.user) == ("login", "success", "portal", "ada")
    assert event.client == "192.0.2.1"
    cookie = ("Cookie", f"__Secure-gw={browser.jar['__Secure-gw']}")
    status, headers, _ = parsed(await room.raw(question("forward-auth", f"{APP}/x", HTML, cookie)))
    assert (status, headers["remote-user"], headers["remote-groups"]) == (200, "ada", "dev,ops")


async def test_a_login_that_is_remembered(browser: Browser) -> None:
    """9: a persistent cookie, only where it is asked for."""
    for remember, persistent in (("on", True), ("", False), ("off", False)):
        answer = await browser.login(remember=remember)
        assert ("; Max-Age=2592000;" in answer.cookie) is persistent
    assert (await browser.call("/api/login", {"user": "ada", "password": "lovelace", "remember": True})).status == 200
    assert (await browser.get("/api/session")).json["remembered"] is True


async def test_the_old_session_dies_at_login(room: Room, browser: Browser) -> None:
    """9 and GHSA-f24x-5g9q-753f: no fixation, whoever logs in; a session that others hold is left alone."""
    await browser.login("bob")
    first = browser.jar["__Secure-gw"]
    other = Browser(room)
    await other.login("bob")
    await browser.login("ada")
    assert browser.jar["__Secure-gw"] != first
    assert (await browser.get("/api/session")).json["username"] == "ada"
    stale = Browser(room, jar={"__Secure-gw": first})
    assert (await stale.get("/api/session")).status == 401
    assert (await other.get("/api/session")).json["username"] == "bob"
    planted = Browser(room, jar={"__Secure-gw": "A" * 43})
    assert "A" * 43 not in (await planted.login()).cookie


async def test_json(browser: Browser) -> None:
    """9: the same by JSON; times are numbers, and the way back is told."""
    answer = await browser.call("/api/login", {"user": "ada", "password": "lovelace", "rd": f"{APP}/y"}, JSON)
    assert answer.status == 200
    assert SESSION.fullmatch(answer.cookie)
    told = answer.json
    assert (told["username"], told["groups"], told["redirect"]) == ("ada", ["dev", "ops"], f"{APP}/y")
    session = (await browser.get("/api/session")).json
    now = time.time()
    assert session["name"] == "Ada Lovelace"
    assert now + 290 < session["ends_at"] <= now + 300 < session["expires_at"] <= now + 3600
    wrong = await browser.call("/api/login", {"user": "ada", "password": "x"})
    assert (wrong.status, wrong.json, wrong.cookie) == (401, {"error": WRONG}, "")
    assert (await browser.get("/api/session")).status == 200
    out = await browser.call("/api/logout", {})
    assert (out.status, out.json) == (200, {})
    assert (await browser.get("/api/session")).status == 401


# section, fields, status
REFUSED = [
    ("9 wrong password", {"user": "ada", "password": "wrong"}, 401), ("9 unknown", {"user": "nobody", "password": "lovelace"}, 401),
    ("7 empty password", {"user": "ada", "password": ""}, 401), ("7 empty name", {"user": "", "password": "lovelace"}, 401),
    ("7 blanks", {"user": " ", "password": " "}, 401), ("7 nothing", {}, 401), ("7 NUL", {"user": "ada\0", "password": "lovelace"}, 401),
    ("9 keys of programs are none of people", {"user": "ROBOTKEY", "password": "robot-secret"}, 401),
]  # fmt: skip


@pytest.mark.parametrize(("section", "fields", "status"), REFUSED)
async def test_refused(browser: Browser, section: str, fields: dict[str, str], status: int) -> None:
    answer = await browser.post("/api/login", {**fields, "rd": f"{APP}/x"})
    assert (answer.status, answer.cookie) == (status, "")
    assert WRONG in answer.text
    assert 'role="alert"' in answer.text
    assert answer.values("rd") == [f"{APP}/x"]
    assert "lovelace" not in answer.text
    assert PAGE_HEADERS.items() <= answer.headers.items()
    assert answer.text.count("autofocus") == 1
    told = await browser.call("/api/login", fields)
    assert (told.status, told.json) == (status, {"error": WRONG})


async def test_access_keys_of_people_are_refused(room: Room, browser: Browser) -> None:
    """What a program holds must not make tokens that outlive it."""
    ada = await room.login("ada")
    made = await room.live.keys.create(ada, "ci", None, int(time.time()))
    answer = await browser.login(made.access_key, made.secret_key)
    assert (answer.status, answer.cookie) == (401, "")
    assert room.audit.events[-1].reason == "keys are for programs, not for the portal"


# section; sent with a form, then with JSON: status of each. The cookie is good throughout.
SITES: list[tuple[str, list[tuple[str, str]], int, int]] = [
    ("9 own page", [("Sec-Fetch-Site", "same-origin")], 1, 1),
    ("9 typed by the person", [("Sec-Fetch-Site", "none")], 1, 1),
    ("9 own origin", [("Origin", "https://auth.example.com")], 1, 1),
    ("9 own page; privacy hides the origin", [("Sec-Fetch-Site", "same-origin"), ("Origin", "null")], 1, 1),
    ("9 nothing told", [], 0, 0),
    ("9 sibling host", [("Sec-Fetch-Site", "same-site"), ("Origin", "https://app.example.com")], 0, 0),
    ("9 another site", [("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.test")], 0, 0),
    ("9 another site without Origin", [("Sec-Fetch-Site", "cross-site")], 0, 0),
    ("9 another origin", [("Origin", "https://evil.test")], 0, 0),
    ("9 hidden origin", [("Origin", "null")], 0, 0),
    ("9 another scheme", [("Origin", "http://auth.example.com")], 0, 0),
    ("9 another port", [("Origin", "https://auth.example.com:8443")], 0, 0),
    ("9 longer host", [("Origin", "https://auth.example.com.evil.test")], 0, 0),
    ("9 another portal of ours", [("Origin", "https://auth.example.org")], 0, 0),
    ("9 referrer says nothing", [("Referer", "https://auth.example.com/login")], 0, 0),
]


@pytest.mark.parametrize(("section", "headers", "form", "program"), SITES)
async def test_cross_site(
    browser: Browser, section: str, headers: list[tuple[str, str]], form: int, program: int
) -> None:
    """9 and DECISIONS 29: every route that changes something."""
    from_elsewhere = any(name != "Referer" for name, _ in headers)
    fields = {"user": "ada", "password": "wrong"}
    for path in [path for path, route in ROUTES.items() if route.post]:
        await browser.login()
        sent = await browser.post(path, fields, HTML, *headers)
        assert (sent.status != 403) is bool(form), path
        if not form:
            assert ("by https" in sent.text) is ("Sec-Fetch-Site" not in dict(headers))
            assert (await browser.get("/api/session")).status == 200
        told = await browser.call(path, fields, *(headers or [JSON]))
        # Programs log in without saying where they come from: no other site can send JSON.
        lenient = path == "/api/login" and not from_elsewhere
        assert (told.status != 403) is (bool(program) or lenient), path


# section; Content-Type; body; status
BODIES = [
    ("30 JSON", "application/json", b'{"user": "ada", "password": "lovelace"}', 200),
    ("30 JSON, charset", "Application/JSON; charset=utf-8", b'{"user": "ada", "password": "lovelace"}', 200),
    ("30 form", FORM, b"user=ada&password=lovelace", 303),
    ("30 form, charset", FORM + ";charset=UTF-8", b"user=ada&password=lovelace", 303),
    ("30 form, one decoding", FORM, b"user=%61da&password=lovelace&rd=https%3A%2F%2Fapp.example.com%2Fx%2541", 303),
    ("30 broken JSON", "application/json", b'{"user": ', 400),
    ("30 not an object", "application/json", b'["ada", "lovelace"]', 400),
    ("30 numbers", "application/json", b'{"user": 1, "password": "x"}', 400),
    ("30 lists", "application/json", b'{"user": "ada", "password": ["lovelace"]}', 400),
    ("30 remember", "application/json", b'{"user": "ada", "password": "lovelace", "remember": 1}', 400),
    ("30 half a character", "application/json", b'{"user": "\\ud800", "password": "x"}', 400),
    ("30 deep", "application/json", b"[" * 1000 + b"]" * 1000, 400),
    ("30 no UTF-8", "application/json", b'{"user": "\xff"}', 400),
    ("30 null is nothing", "application/json", b'{"user": null, "password": null}', 401),
    ("30 field twice", FORM, b"user=ada&password=wrong&password=lovelace", 400),
    ("30 no UTF-8", FORM, b"user=%ff&password=lovelace", 400),
    ("30 raw octets", FORM, b"user=\xff&password=lovelace", 400),
    ("30 too many fields", FORM, b"&".join(b"f%d=1" % number for number in range(60)), 400),
    ("30 form of another kind", "multipart/form-data; boundary=x", b"--x\r\n\r\n--x--", 415),
    ("30 text", "text/plain", b'{"user": "ada", "password": "lovelace"}', 415),
    ("30 nothing said", "", b"user=ada&password=lovelace", 415),
    ("30 largest", FORM, b"user=ada&password=" + b"x" * (65536 - 18), 401),
    ("30 too large", FORM, b"user=ada&password=" + b"x" * (65536 - 17), 413),
    ("30 too large", "application/json", b'{"user": "' + b"x" * 65536 + b'"}', 413),
]


@pytest.mark.parametrize(("section", "kind", "body", "status"), BODIES, ids=lambda value: repr(value)[:40])
async def test_bodies(browser: Browser, section: str, kind: str, body: bytes, status: int) -> None:
    """DECISIONS 30: 64 KiB, and nothing that two readers could take for two things."""
    headers = [("Content-Type", kind)] if kind else []
    answer = await browser.send("POST", "/api/login", OWN, *headers, body=body)
    assert answer.status == status
    assert answer.headers.get("connection", "") == ("close" if status in (408, 413) else "")
    assert ("set-cookie" in answer.headers) is (status in (200, 303))


async def test_chunked_and_compressed_bodies(room: Room, browser: Browser) -> None:
    """DECISIONS 30: the limit holds for what comes, not only for what is announced."""
    head = "POST /api/login HTTP/1.1\r\nHost: auth.example.com\r\nSec-Fetch-Site: same-origin\r\n"
    form = f"Content-Type: {FORM}\r\n"
    chunked = f"{head}{form}Transfer-Encoding: chunked\r\n\r\n1a\r\nuser=ada&password=lovelace\r\n0\r\n\r\n"
    assert parsed(await room.raw(chunked.encode(), pieces=7))[0] == 303
    large = f"{head}{form}Transfer-Encoding: chunked\r\n\r\n20000\r\n".encode() + b"x" * 0x20000 + b"\r\n0\r\n\r\n"
    assert parsed(await room.raw(large))[0] == 413
    zipped = gzip.compress(b"user=ada&password=lovelace")
    answer = await browser.send("POST", "/api/login", OWN, ("Content-Type", FORM), ("Content-Encoding", "gzip"), body=zipped)
    assert answer.status == 415
    expecting = f"{head}{form}Expect: 100-continue\r\nContent-Length: 26\r\n\r\nuser=ada&password=lovelace"
    assert (await room.raw(expecting.encode())).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")


async def test_logging_out(room: Room, browser: Browser) -> None:
    """9: GET asks and changes nothing; POST ends the session at the server and in the browser; 12.5: at once."""
    await browser.login()
    value = browser.jar["__Secure-gw"]
    page = await browser.get(f"/logout?rd={APP}/bye")
    assert (page.status, page.values("rd")) == (200, [f"{APP}/bye"])
    assert (await browser.get("/api/session")).status == 200
    answer = await browser.post("/api/logout", {"rd": f"{APP}/bye"})
    assert (answer.status, answer.location) == (303, f"{APP}/bye")
    assert answer.cookie == "__Secure-gw=; Path=/; Domain=example.com; Max-Age=0; HttpOnly; Secure; SameSite=Lax"
    stale = Browser(room, jar={"__Secure-gw": value})
    assert (await stale.get("/api/session")).status == 401
    assert (await stale.get("/account")).location == "/login?rd=/account"
    cookie = ("Cookie", f"__Secure-gw={value}")
    assert parsed(await room.raw(question("forward-auth", f"{APP}/x", HTML, cookie)))[0] == 302
    again = await stale.post("/api/logout", {"rd": "https://evil.test/"})
    assert (again.status, again.location) == (303, "/logout")
    assert "You are signed out" in (await browser.get("/logout")).text


async def test_many_tabs(room: Room, browser: Browser) -> None:
    """9: forms of several tabs all work, in any order, each with its own way back."""
    pages = [await browser.get(f"/login?rd={APP}/{number}") for number in range(4)]
    ways = [page.values("rd")[0] for page in pages]
    assert ways == [f"{APP}/{number}" for number in range(4)]
    for way in (ways[2], ways[0], ways[3], ways[1]):
        answer = await browser.login(rd=way)
        assert (answer.status, answer.location) == (303, way)
    together = await asyncio.gather(*(Browser(room, jar=dict(browser.jar)).login(rd=way) for way in ways))
    assert [answer.status for answer in together] == [303] * 4


async def test_logged_in_already(browser: Browser) -> None:
    """8: the way back is looked at again when the form need not be shown."""
    await browser.login()
    for rd, location in ((f"{APP}/x", f"{APP}/x"), ("https://evil.test/", "/account"), ("//evil.test", "/account"), ("", "/account")):
        answer = await browser.get(f"/login?rd={rd}")
        assert (answer.status, answer.location) == (303, location)


async def test_a_page_that_the_rules_close(browser: Browser) -> None:
    """4: no circle between a proxy's 403 and the portal; somebody else may sign in, and is led on."""
    answer = await browser.login("bob", rd=f"{APP}/admin/x")
    assert (answer.status, answer.location) == (303, "/login?rd=https://app.example.com/admin/x")
    page = await browser.get(answer.location)
    assert page.status == 403
    assert "bob" in page.text
    assert "app.example.com" in page.text
    out = await browser.post("/api/logout", {"rd": page.values("rd")[0]})
    assert out.location == "/login?rd=https://app.example.com/admin/x"
    form = await browser.get(out.location)
    answer = await browser.login("ada", rd=form.values("rd")[0])
    assert (answer.status, answer.location) == (303, f"{APP}/admin/x")


async def test_what_was_not_delivered(browser: Browser) -> None:
    """8: ``rm`` informs, nothing else."""
    for method, said in (("POST", True), ("GET", False), ("HEAD", False), ("<b>", False), ("", False)):
        page = await browser.get(f"/login?rd={APP}/x&rm={method}")
        assert ("was not delivered" in page.text) is said
        assert "<b>" not in page.text


HOSTILE = ['"><script>alert(1)</script>', "' onload=x", "{{ 7*7 }}", "{% raw %}", "</input>", "&lt;b&gt;", "\u202eevil", "%00", "<!--"]


def brackets(answer: Answer) -> int:
    return len(re.findall(rb"[<>]", answer.body))


@pytest.mark.parametrize("text", HOSTILE)
async def test_nothing_is_echoed_unescaped(browser: Browser, text: str) -> None:
    """8: never echoed unescaped, wherever it comes in."""
    plain = await browser.login("x", "x", rd=f"{APP}/")
    answer = await browser.login(text, "x", rd=f"{APP}/?{quote(text)}")
    assert answer.status == 401
    assert answer.values("user") == [text]
    assert answer.values("rd") == [f"{APP}/?{quote(text)}"]
    assert brackets(answer) == brackets(plain)
    for name in ("rd", "rm", "user", text):
        page = await browser.get(f"/login?{quote(name)}={quote(text)}")
        assert brackets(page) == brackets(await browser.get("/login"))


async def test_malformed_forwarding(room: Room) -> None:
    """2: an element that is no address ends the request."""
    answer = await Browser(room, client="unknown").get("/login")
    assert answer.status == 400


async def test_programs_that_send_forms(browser: Browser) -> None:
    answer = await browser.post("/api/login", {"user": "ada", "password": "x"}, JSON, OWN)
    assert (answer.status, json.loads(answer.body)) == (401, {"error": WRONG})


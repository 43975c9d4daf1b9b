"""forward-auth.md 8 and 12.6: every return URL of the tables, at every use: the form, the login, the shortcut, the way out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.access.test_redirects import BAD, GOOD
from tests.serve.gateway_room import Room, room_of
from tests.serve.portal_browser import Browser
from tests.serve.test_clearml_protocol import password_hash

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIGURATION = """
public_url = "http://127.0.0.1:8008"
session.cookies = [{ domain = "example.com", portal_url = "https://auth.example.com" }]
users = [{ username = ada, password_hash = "HASH" }]
access_control { redirect_hosts = ["partner.test"], redirect_ports = [8443] }
login.floor = 0
lockout { failures = 1000, address_failures = 100000 }
tokens.master_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
""".replace("HASH", password_hash("lovelace"))

USUAL = "/account"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with room_of(tmp_path_factory.mktemp("returns"), CONFIGURATION) as opened:
        yield opened


@pytest.mark.parametrize(("text", "good"), [(text, True) for text in GOOD] + [(text, False) for text in BAD], ids=lambda value: ascii(value)[:50])
async def test_every_use(room: Room, text: str, good: bool) -> None:
    browser = Browser(room)
    encoded = quote(text, safe="", errors="surrogatepass")
    form = await browser.get(f"/login?rd={encoded}")
    assert form.values("rd") == ([text] if good else [])
    answer = await browser.login(rd=text)
    assert (answer.status, answer.location) == (303, text if good else USUAL)
    assert (await browser.call("/api/login", {"user": "ada", "password": "lovelace", "rd": text})).json["redirect"] == (
        text if good else USUAL
    )
    shortcut = await browser.get(f"/login?rd={encoded}")
    assert (shortcut.status, shortcut.location) == (303, text if good else USUAL)
    asked = await browser.get(f"/logout?rd={encoded}")
    assert asked.values("rd") == ([text] if good else [])
    out = await browser.post("/api/logout", {"rd": text})
    assert (out.status, out.location) == (303, text if good else "/logout")
    wrong = await browser.login(password="x", rd=text)
    assert (wrong.status, wrong.values("rd")) == (401, [text] if good else [])


async def test_the_form_may_lead_where_return_urls_may(room: Room) -> None:
    """9: Chromium holds ``form-action`` against redirects too, so the login page names its targets, and no others."""
    policy = (await Browser(room).get("/login")).headers["content-security-policy"]
    action = policy.partition("form-action ")[2].split()
    hosts = ("partner.test", "example.com", "*.example.com")
    assert sorted(action) == sorted(["'self'", *(f"https://{host}{port}" for host in hosts for port in ("", ":8443"))])

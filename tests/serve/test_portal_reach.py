"""What the portal says of where somebody may go, held against the rules (forward-auth.md 4, 10; configuration.md 1.5)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import ValidationError

from gateway.config.schema.session import PortalLink
from gateway.serve.portal.reach import Reach
from tests.serve.gateway_room import Room, room_of
from tests.serve.portal_browser import JSON, Browser
from tests.serve.test_clearml_protocol import password_hash

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIGURATION = """
public_url = "https://auth.example.com"
session.cookies = [{ domain = "example.com", portal_url = "https://auth.example.com" }]
users = [
  { username = ada, groups = [ops], password_hash = "HASH" }
  { username = bob, password_hash = "HASH" }
]
access_control {
  redirect_hosts = ["partner.test", "closed.test"]
  rules = [
    { name = office, domain = "office.example.com", networks = "10.0.0.0/8", policy = authenticated }
    { name = officerest, domain = "office.example.com", policy = deny }
    { name = api, domain = "api.example.com", resources = "^/v1(/|$)", policy = authenticated }
    { name = closed, domain = "closed.test", policy = authenticated }
    { name = all, domain = "*.example.com", subject = "group:ops", policy = authenticated }
  ]
}
portal.links = [
  { url = "https://wiki.example.com/start", title = "Wiki & more" }
  { url = "https://office.example.com/" }
  { url = "https://elsewhere.test/", title = Elsewhere }
  { url = "http://old.example.com/", title = Old }
  { url = "https://closed.test/", title = Closed }
  { url = "https://api.example.com/v1/docs", title = API }
  { url = "https://office.example.com/d/cpu?orgId=1&from=now-6h#panel", title = Dashboard }
]
login.floor = 0
tokens.master_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
""".replace("HASH", password_hash("lovelace"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with room_of(tmp_path_factory.mktemp("reach"), CONFIGURATION) as opened:
        yield opened


# section; who; from where; titles of the links
LINKS = [
    ("1.5 what the rules close is left out", "ada", "192.0.2.1", ["Wiki & more", "Elsewhere", "Old", "API"]),
    ("10 by network", "ada", "10.1.2.3", ["Wiki & more", "office.example.com", "Elsewhere", "Old", "API", "Dashboard"]),
    ("10 by group", "bob", "192.0.2.1", ["Elsewhere", "Old", "API"]),
]


@pytest.mark.parametrize(("section", "user", "client", "titles"), LINKS)
async def test_links(room: Room, section: str, user: str, client: str, titles: list[str]) -> None:
    """What no rule speaks of need not be behind us; where no cookie of ours goes (closed.test), nobody gets in."""
    browser = Browser(room, client=client)
    await browser.login(user)
    assert [link["title"] for link in (await browser.get("/account", JSON)).json["links"]] == titles
    assert ("Wiki & more" in (await browser.get("/account")).text) is ("Wiki & more" in titles)


# what is written; whether it is taken
ADDRESSES = [
    ("https://grafana.example.com/d/cpu?orgId=1&from=now-6h#panel", True), ("http://old.example.com", True), ("https://x.test/", True),
    ("https://x.test:8443/a%20b?c=%22", True), ("https://[::1]:3000/#", True), ("https://b\u00fccher.test/\u00fc?\u00fc", True), ("HTTPS://X.TEST/A/", True),
    ("https://ada@x.test/", False), ("https://ada:secret@x.test/", False), ("https:///path", False), ("https://", False), ("x.test", False),
    ("//x.test/", False), ("/account", False), ("javascript:alert(1)", False), ("data:text/html,x", False), ("ftp://x.test/", False),
    ("https:x.test", False), ("https:/\\x.test", False), ("https://x.test\\@evil.test/", False), ("https://x.test/a b", False), ("java\nscript:alert(1)", False),
    ("https://x.te\nst/", False), ("https://x.test/\0", False), ("https://x.test/\x1b[0m", False), ("https://x.test/\u202eabc", False),
    ("https://x.test:99999/", False), ("https://x.test:x/", False), ("https://[::1/", False), ("https://x%2etest/", False), ("", False),
]  # fmt: skip


@pytest.mark.parametrize(("url", "taken"), ADDRESSES)
async def test_addresses_of_links(url: str, taken: bool) -> None:
    """1.5: one dashboard is an address, too; it stays as it is written, and it is no place for a password."""
    if taken:
        assert PortalLink.model_validate({"url": url}).url == url
    else:
        with pytest.raises(ValidationError) as refused:
            PortalLink.model_validate({"url": url})
        assert "secret" not in str(refused.value)


async def test_a_link_to_one_dashboard(room: Room) -> None:
    browser = Browser(room, client="10.1.2.3")
    await browser.login()
    page = (await browser.get("/account")).body.decode()
    assert '<a href="https://office.example.com/d/cpu?orgId=1&amp;from=now-6h#panel">Dashboard</a>' in page


# section; who; where to; whether they are led there
WAYS = [
    ("4 open", "ada", "https://wiki.example.com/x", True), ("4 closed", "bob", "https://wiki.example.com/x", False),
    ("4 closed, without a path", "bob", "https://wiki.example.com", False), ("4 by path", "bob", "https://api.example.com/v1/x#y", True),
    ("4 by path", "bob", "https://api.example.com/v2/x", False), ("4 by network", "ada", "https://office.example.com/", False),
    ("8 not ours to say", "bob", "https://partner.test/x", True), ("8 no cookie goes there", "ada", "https://closed.test/", False),
    ("8 the portal itself", "bob", "https://auth.example.com/account", True), ("8 a path of the portal", "bob", "/account", True),
    ("3.5 what proxies refuse", "bob", "https://wiki.example.com/%zz", True),
]  # fmt: skip


@pytest.mark.parametrize(("section", "user", "way_back", "led"), WAYS)
async def test_ways_back(room: Room, section: str, user: str, way_back: str, led: bool) -> None:
    browser = Browser(room)
    answer = await browser.login(user, rd=way_back)
    assert (answer.status, answer.location == way_back) == (303, led)
    page = await browser.get(f"/login?rd={way_back.replace('%', '%25').replace('#', '%23')}")
    assert page.status == (303 if led else 403)
    if not led:
        assert answer.location == f"/login?rd={way_back}"
        assert user in page.text


MANY = """
public_url = "https://auth.example.com"
session.cookies = [{ domain = "example.com", portal_url = "https://auth.example.com" }]
users = [{ username = ada, groups = [ops], password_hash = "HASH" }]
access_control.rules = [RULES]
login.floor = 0
tokens.master_key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
""".replace("HASH", password_hash("lovelace"))


async def test_many_links_let_others_in_between(tmp_path: Path) -> None:
    """1.5, 6: every rule here speaks of every host, so that links times rules must be looked at."""
    rules = ", ".join(
        f'{{ domain = ["h{number}.example.com", "*.example.com"], subject = "group:g{number}", policy = authenticated }}' for number in range(300)
    )
    async with room_of(tmp_path, MANY.replace("RULES", rules)) as opened:
        live, turns = opened.live, 0
        terms = live.access.rules.terms(await opened.login("ada"))

        async def count() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        found = await Reach(live, ()).links(terms, None)
        counting.cancel()
        await asyncio.gather(counting, return_exceptions=True)
        assert (found, turns > 3) == ([], True)

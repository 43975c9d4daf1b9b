"""The page after login: what one may reach, sessions and tokens of one's own (forward-auth.md 7, 9)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.tokens.opaque import digest
from tests.serve.asking import CONFIGURATION, question
from tests.serve.gateway_room import Room, parsed, room_of
from tests.serve.portal_browser import HTML, JSON, OWN, PAGE_HEADERS, Browser
from tests.serve.test_clearml_protocol import password_hash

pytestmark = pytest.mark.asyncio(loop_scope="module")

APP = "https://app.example.com"
EVE = """users = [
  { username = eve, name = "<b>Eve</b>", email = "<script>@example.com", groups = ["<i>", "a,b", "{{ 7*7 }}"], password_hash = "HASH" }"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    text = CONFIGURATION.replace("users = [", EVE.replace("HASH", password_hash("lovelace")), 1)
    async with room_of(tmp_path_factory.mktemp("account"), text) as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def browser(room: Room) -> Browser:
    made = Browser(room)
    await made.login()
    return made


async def answer_of(room: Room, url: str, *headers: tuple[str, str]) -> int:
    return parsed(await room.raw(question("forward-auth", url, *headers)))[0]


# section; who; links
LINKS = [
    ("10 all groups", "ada", ["app.example.com", "app.example.org", "grafana.example.com", "keys.example.com", "static.test"]),
    ("10 no group of a rule", "bob", ["app.example.com", "app.example.org", "grafana.example.com", "static.test"]),
]


@pytest.mark.parametrize(("section", "user", "links"), LINKS)
async def test_what_one_may_reach(room: Room, section: str, user: str, links: list[str]) -> None:
    """DECISIONS 37: by the rules themselves; other.test takes no cookie of ours, so nobody gets there."""
    browser = Browser(room)
    await browser.login(user)
    data = (await browser.get("/account", JSON)).json
    if user == "bob":
        links = [*links[:3], "keys.example.com", links[3]]  # keysrest lets everybody in
    assert [link["title"] for link in data["links"]] == links
    assert [link["url"] for link in data["links"]] == [f"https://{link}/" for link in links]
    page = await browser.get("/account")
    for link in links:
        assert f'<a href="https://{link}/">{link}</a>' in page.body.decode()
        cookie = ("Cookie", f"__Secure-gw={browser.jar['__Secure-gw']}")
        if link.endswith("example.com"):
            assert await answer_of(room, f"https://{link}/", HTML, cookie) == 200


async def test_who_one_is_however_hostile_the_directory(room: Room) -> None:
    """8: names, addresses and groups are texts."""
    browser = Browser(room)
    await browser.login("eve")
    page = await browser.get("/account")
    assert page.status == 200
    assert PAGE_HEADERS.items() <= page.headers.items()
    for text in ("<b>Eve</b>", "<script>@example.com", "<i>", "{{ 7*7 }}"):
        assert text in page.text
    assert not any(text in page.body.decode() for text in ("<b>", "<script", "<i>"))
    assert (await browser.get("/account", JSON)).json["person"]["groups"] == ["<i>", "a,b", "{{ 7*7 }}"]
    assert page.headers["content-security-policy"].endswith("form-action 'self'")


async def test_a_page_of_many_sessions(room: Room, browser: Browser) -> None:
    """9: the page shows the twenty used last, its own first, and says how many there are besides; JSON has them all."""
    for _ in range(24):
        await room.session("ada")
    sessions = (await browser.get("/account", JSON)).json["sessions"]
    page = await browser.get("/account")
    shown = page.values("accessor")
    assert (sessions[0]["current"], len(shown), shown[0]) == (True, 20, sessions[0]["accessor"])
    assert f"And {len(sessions) - 20} more, used longer ago." in page.text
    assert (await browser.post("/account/sessions/revoke-others", {})).location == "/account?done=others"
    assert len((await browser.get("/account", JSON)).json["sessions"]) == 1
    assert "more, used longer ago" not in (await browser.get("/account")).text


async def test_sessions_are_listed_and_ended(room: Room, browser: Browser) -> None:
    """9: with address and last use; which one is this; one, or all others; nobody else's."""
    await browser.call("/account/sessions/revoke-others", {})
    other = Browser(room, client="198.51.100.7")
    await other.login(remember="on")
    third = Browser(room)
    await third.login()
    sessions = (await browser.get("/account", JSON)).json["sessions"]
    assert [session["current"] for session in sessions].count(True) == 1
    remembered = next(session for session in sessions if session["remembered"])
    assert (remembered["address"], remembered["domain"], remembered["current"]) == ("198.51.100.7", "example.com", False)
    assert abs(remembered["last_used_at"] - time.time()) < 60
    page = await browser.get("/account")
    assert sorted(page.values("accessor")) == sorted(session["accessor"] for session in sessions)
    stranger = Browser(room)
    await stranger.login("bob")
    assert (await stranger.call("/account/sessions/revoke", {"accessor": remembered["accessor"]})).json == {"revoked": 0}
    assert (await other.get("/api/session")).status == 200
    answer = await browser.post("/account/sessions/revoke", {"accessor": remembered["accessor"]})
    assert (answer.status, answer.location) == (303, "/account?done=session")
    assert 'role="status"' in (await browser.get(answer.location)).text
    assert (await other.get("/api/session")).status == 401
    assert (await browser.post("/account/sessions/revoke", {"accessor": remembered["accessor"]})).status == 303
    assert (await browser.post("/account/sessions/revoke-others", {})).location == "/account?done=others"
    assert (await third.get("/api/session")).status == 401
    assert len((await browser.get("/account", JSON)).json["sessions"]) == 1
    own = (await browser.get("/account", JSON)).json["sessions"][0]["accessor"]
    assert (await browser.post("/account/sessions/revoke", {"accessor": own})).location == "/logout"
    assert (await browser.get("/api/session")).status == 401


async def test_a_token_is_shown_once_and_works(room: Room, browser: Browser) -> None:
    """7: made with limits, used as Bearer, listed without its text, revoked at the next request."""
    fields = {"label": "nightly <ci>", "hosts": "app.example.com, *.example.org", "paths": "/api", "days": "3"}
    made = await browser.post("/account/tokens", fields)
    assert made.status == 200
    assert PAGE_HEADERS.items() <= made.headers.items()
    text = next(value for value in made.text.replace('"', " ").split() if value.startswith("lgp_"))
    assert "nightly <ci>" in made.text
    assert "<ci>" not in made.body.decode()
    bearer = ("Authorization", f"Bearer {text}")
    assert await answer_of(room, f"{APP}/api/x", bearer) == 200
    assert await answer_of(room, f"{APP}/x", bearer) == 403
    page = await browser.get("/account")
    assert text not in page.text
    token = (await browser.get("/account", JSON)).json["tokens"][0]
    assert (token["label"], token["hosts"], token["paths"]) == ("nightly <ci>", ["app.example.com", "*.example.org"], ["/api"])
    assert abs(token["expires_at"] - time.time() - 3 * 86400) < 60
    assert "token" not in token
    stranger = Browser(room)
    await stranger.login("bob")
    assert (await stranger.call("/account/tokens/revoke", {"accessor": token["accessor"]})).json == {"revoked": 0}
    assert await answer_of(room, f"{APP}/api/x", bearer) == 200
    assert (await browser.post("/account/tokens/revoke", {"accessor": token["accessor"]})).location == "/account?done=token"
    assert await answer_of(room, f"{APP}/api/x", bearer) == 401
    assert text not in repr(room.audit.events)
    actions = [(event.action, event.outcome) for event in room.audit.events]
    assert ("token.issue", "success") in actions
    assert ("token.revoke", "success") in actions


async def test_tokens_by_json(room: Room, browser: Browser) -> None:
    made = await browser.call("/account/tokens", {"label": "robot", "hosts": ["app.example.com"], "days": 0.5})
    assert made.status == 201
    told = made.json
    assert told["token"].startswith("lgp_")
    assert abs(told["expires_at"] - time.time() - 43200) < 60
    assert (await browser.call("/account/tokens", {"label": "usual"})).json["expires_at"] > time.time() + 89 * 86400


# section; fields
REFUSED: list[tuple[str, dict[str, str]]] = [
    ("7 without a name", {"label": " "}), ("7 long name", {"label": "x" * 101}), ("7 unprintable name", {"label": "a\u202eb"}),
    ("7 host", {"label": "x", "hosts": "app.example.com:8080"}), ("7 host", {"label": "x", "hosts": "a*.example.com"}),
    ("7 path", {"label": "x", "paths": "api"}), ("7 path", {"label": "x", "paths": "/a/../b"}),
    ("7 many", {"label": "x", "hosts": " ".join(["a.test"] * 21)}), ("7 too long", {"label": "x", "days": "91"}),
    ("7 never", {"label": "x", "days": "0"}), ("7 never", {"label": "x", "days": "-1"}), ("7 no number", {"label": "x", "days": "soon"}),
    ("7 infinite", {"label": "x", "days": "inf"}), ("7 no number", {"label": "x", "days": "nan"}), ("7 huge", {"label": "x", "days": "1e999"}),
]  # fmt: skip


@pytest.mark.parametrize(("section", "fields"), REFUSED)
async def test_refused_tokens(browser: Browser, section: str, fields: dict[str, str]) -> None:
    """What was typed stays in the form, with the reason beside it."""
    before = (await browser.get("/account", JSON)).json["tokens"]
    answer = await browser.post("/account/tokens", fields)
    assert answer.status == 400
    assert 'id="error" role="alert"' in answer.text
    for name, value in fields.items():
        assert answer.values(name) == [value]
    told = await browser.call("/account/tokens", fields)
    assert (told.status, set(told.json)) == (400, {"error"})
    assert (await browser.get("/account", JSON)).json["tokens"] == before


async def test_a_form_that_is_sent_again(room: Room, browser: Browser) -> None:
    """7: Back to a new token, and a browser sends its form once more: no second token, though another page was open."""
    once, second_tab = [(await browser.get("/account")).values("once")[0] for _ in range(2)]
    fields = {"label": "again <b>", "hosts": "", "paths": "/x", "days": "7", "once": once}
    events = len(room.audit.events)
    answers = await asyncio.gather(*(browser.post("/account/tokens", fields) for _ in range(5)))
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409, 409]
    issued = [event for event in room.audit.events[events:] if event.action == "token.issue"]
    assert [event.outcome for event in issued] == ["success"]
    again = next(answer for answer in answers if answer.status == 409)
    assert "made already" in again.text
    assert "again <b>" in again.text
    assert "<b>" not in again.body.decode()
    assert PAGE_HEADERS.items() <= again.headers.items()
    assert (await browser.call("/account/tokens", {**fields, "days": 7})).status == 409
    assert (await browser.call("/account/tokens", {**fields, "once": second_tab})).status == 201
    assert (await browser.call("/account/tokens", {**fields, "label": "another"})).status == 201, "a kept form, filled in anew"
    stranger = Browser(room)
    await stranger.login("bob")
    assert (await stranger.call("/account/tokens", fields)).status == 201, "what others send is theirs"
    token = next(token for token in (await browser.get("/account", JSON)).json["tokens"] if token["label"] == "again <b>")
    assert re.fullmatch(r"[A-Za-z0-9]{24}", token["accessor"])
    await browser.post("/account/tokens/revoke", {"accessor": token["accessor"]})
    assert [(await browser.post("/account/tokens", {**fields, "label": label})).status for label in ("another", "")] == [409, 400]


async def test_a_form_that_is_sent_again_after_a_restart(tmp_path_factory: pytest.TempPathFactory) -> None:
    """7: nothing of it is remembered in the process."""
    directory = tmp_path_factory.mktemp("again")
    statuses = []
    for _ in range(2):
        async with room_of(directory, CONFIGURATION) as room:
            browser = Browser(room)
            await browser.login()
            statuses.append((await browser.call("/account/tokens", {"label": "x", "once": "1"})).status)
    assert statuses == [201, 409]


async def test_an_expired_session_in_the_middle_of_a_form(room: Room, browser: Browser) -> None:
    """9: the login leads back to the form, with what was typed still in it; nothing was made meanwhile."""
    await room.live.sessions.revoke_all((await room.login("ada")).id, int(time.time()))
    fields = {"label": "a & b", "hosts": "app.example.com", "paths": "/api /x", "days": "7"}
    answer = await browser.post("/account/tokens", fields)
    assert answer.status == 303
    form = await browser.get(answer.location)
    back = form.values("rd")[0]
    assert back.startswith("/account?label=a+%26+b&")
    answer = await browser.login(rd=back)
    assert answer.location == back
    page = await browser.get(back)
    assert {name: page.values(name)[0] for name in fields} == fields
    await room.live.sessions.revoke_all((await room.login("ada")).id, int(time.time()))
    told = await browser.call("/account/tokens", fields)
    assert (told.status, told.headers["www-authenticate"].split()[0]) == (401, "Cookie")
    endless = await browser.post("/account/tokens", {"label": "x" * 3000})
    assert endless.location == "/login?rd=/account"
    for path, named in (("/account/tokens/revoke", {"accessor": "x"}), ("/account/sessions/revoke", {"accessor": "x"}), ("/account/sessions/revoke-others", {})):
        assert (await browser.post(path, named)).location == "/login?rd=/account"


async def test_hostile_accessors(browser: Browser) -> None:
    for accessor in ("", "x", "\0", "'; drop table tokens", "\u202e", "x" * 60_000):
        for path in ("/account/tokens/revoke", "/account/sessions/revoke"):
            assert (await browser.post(path, {"accessor": accessor})).status == 303
            assert (await browser.call(path, {"accessor": accessor}, OWN)).json == {"revoked": 0}
    for accessor in (["x"], 1, "\ud800", {"x": 1}):
        assert (await browser.call("/account/tokens/revoke", {"accessor": accessor})).status == 400
    for days in ("\ud800", "\udfff1", ["1"], True):
        assert (await browser.call("/account/tokens", {"label": "x", "days": days})).status == 400
    for hosts in (["\ud800"], [1], {"x": 1}, 7):
        assert (await browser.call("/account/tokens", {"label": "x", "hosts": hosts})).status == 400
    assert (await browser.get("/account")).status == 200


async def test_hostile_queries(room: Room, browser: Browser) -> None:
    """8: octets that are no text, half escapes, too many parameters: a page, and never a 500."""
    for query in ("label=%ff%00%ed%a0%80", "label=%", "days=%3Cb%3E", "done=%3Cb%3E", "&".join(["x=1"] * 100), "done=session&done=token"):
        for visitor in (browser, Browser(room)):
            answer = await visitor.get(f"/account?{query}")
            assert answer.status == (200 if visitor.jar else 303)
            assert b"<b>" not in answer.body
            assert answer.location.isascii()


async def test_using_the_portal_is_a_use(room: Room, browser: Browser) -> None:
    """9: hits of the portal count as activity; asking who is signed in does not."""
    held = digest(browser.jar["__Secure-gw"])
    room.live.activity.note(held, int(time.time()) - 200)
    await browser.get("/api/session")
    assert room.live.activity.last(held) <= time.time() - 200
    await browser.get("/account")
    assert room.live.activity.last(held) >= time.time() - 60


# path; a field that it does not know; those that there are
UNKNOWN = [
    ("/account/tokens", {"label": "x", "host": ["app.example.com"]}, "host", "there are label, hosts, paths, days, once"),
    ("/account/tokens/revoke", {"accesor": "x"}, "accesor", "there are accessor"),
    ("/account/sessions/revoke", {"user": "ada"}, "user", "there are accessor"),
    ("/account/sessions/revoke-others", {"but": "x"}, "but", "there are none"),
    ("/api/login", {"username": "ada", "password": "lovelace"}, "username", "there are user, password, remember, rd"),
    ("/api/logout", {"to": "/"}, "to", "there are rd"),
    ("/account/tokens", {"label": "x", "": "x"}, "", "there are label, hosts, paths, days, once"),
    ("/account/tokens", {"label": "x", "\ud800\n" + "h" * 100: "x"}, "\\ud800\\n" + "h" * 62 + "...", "there are label, hosts, paths, days, once"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "data", "name", "there"), UNKNOWN)
async def test_a_field_that_is_not_known_is_refused(room: Room, browser: Browser, path: str, data: dict[str, object], name: str, there: str) -> None:
    """7: a misspelled limit must not make a token without limits, by JSON or by form."""
    before = (await browser.get("/account", JSON)).json["tokens"]
    refused = await browser.call(path, data)
    assert (refused.status, refused.json) == (400, {"error": f"unknown field {name}; {there}"})
    if name.isascii() and "\\" not in name:
        page = await browser.post(path, {key: str(value) for key, value in data.items()})
        assert (page.status, f"unknown field {name}; {there}" in page.text) == (400, True)
    assert (await browser.get("/account", JSON)).json["tokens"] == before


async def test_programs_are_told_which_header_is_missing(browser: Browser) -> None:
    """DECISIONS 29."""
    refused = await browser.call("/account/tokens", {"label": "x"}, JSON)
    assert refused.status == 403
    assert refused.json["error"].endswith("programs send the header Origin: https://auth.example.com")
    assert (await browser.call("/account/tokens", {"label": "told"}, ("Origin", "https://auth.example.com"))).status == 201


async def test_sessions_end_when_nobody_uses_them(browser: Browser) -> None:
    """9: the earliest end everywhere, with the absolute one beside it."""
    shown = (await browser.get("/account", JSON)).json["sessions"][0]
    told = (await browser.get("/api/session", JSON)).json
    assert shown["current"]
    assert abs(shown["ends_at"] - shown["last_used_at"] - 300) <= 1
    assert shown["expires_at"] == shown["created_at"] + 3600 == told["expires_at"]
    assert abs(told["ends_at"] - shown["ends_at"]) <= 1

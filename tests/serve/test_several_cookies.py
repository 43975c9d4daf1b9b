"""Session cookies that hosts beside ours have set, at everybody who reads cookies (forward-auth.md 6, 9)."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.serve.asking import CONFIGURATION, ENDPOINTS, question
from tests.serve.gateway_room import Room, parsed, room_of
from tests.serve.portal_browser import JSON, Browser

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME = "__Secure-gw"
DEAD = "0" * 43


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with room_of(tmp_path_factory.mktemp("cookies"), CONFIGURATION) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def unmerged(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    text = CONFIGURATION + "session.merged_cookies = false\n"
    async with room_of(tmp_path_factory.mktemp("unmerged"), text) as opened:
        yield opened


async def people(room: Room, line: str) -> dict[str, str]:
    """Whom a line of Cookie is taken for, by everybody who reads cookies; twice, for the fast path."""
    sessions = [await room.session(user) for user in ("ada", "ada", "bob")]
    for letter, made in zip("ACB", sessions, strict=True):
        line = line.replace(f"<{letter}>", made.value)
    taken = {}
    for endpoint in ENDPOINTS:
        answers = [parsed(await room.raw(question(endpoint, "https://app.example.com/x", ("Cookie", line)))) for _ in range(2)]
        [taken[endpoint]] = {headers.get("remote-user", "") for _, headers, _ in answers}
    found = await Browser(room).send("GET", "/api/session", JSON, ("Cookie", line))
    taken["portal"] = found.json["username"] if found.status == 200 else ""
    return taken


def all_take(user: str, **others: str) -> dict[str, str]:
    return {**dict.fromkeys((*ENDPOINTS, "portal"), user), **{name.replace("_", "-"): who for name, who in others.items()}}


# section; Cookie; whom it is taken for
COOKIES = [
    ("9 one's own", f"{NAME}=<A>", all_take("ada")),
    ("9 with a dead twin", f"{NAME}={DEAD}; {NAME}=<A>", all_take("ada")),
    ("9 two sessions of one person", f"{NAME}=<C>; {NAME}=<A>", all_take("ada")),
    ("9 sessions of two people", f"{NAME}=<A>; {NAME}=<B>", all_take("")),
    ("9 the stranger's first", f"{NAME}=<B>; {NAME}=<A>", all_take("")),
    ("6 hidden in a value, before", f"x=1,{NAME}=<B>; {NAME}=<A>", all_take("ada")),
    ("6 hidden in a value, behind", f"{NAME}=<A>; x=1,{NAME}=<B>", all_take("ada")),
    ("6 hidden in a value, alone", f"x=1,{NAME}=<B>", all_take("", forward_auth="bob")),
    ("6 merged lines", f"x=1, {NAME}=<A>, y=2", all_take("", forward_auth="ada")),
    ("6 merged lines of two people", f"x=1, {NAME}=<A>, y=2,{NAME}=<B>", all_take("")),
    ("6 the first of merged lines", f"{NAME}=<A>, y=2", all_take("ada")),
]


@pytest.mark.parametrize(("section", "line", "taken"), COOKIES)
async def test_whom_cookies_are_taken_for(room: Room, section: str, line: str, taken: dict[str, str]) -> None:
    assert await people(room, line) == taken


@pytest.mark.parametrize("line", [f"x=1,{NAME}=<B>", f"x=1, {NAME}=<A>, y=2"])
async def test_merged_lines_may_be_turned_off(unmerged: Room, line: str) -> None:
    assert await people(unmerged, line) == all_take("")


async def test_a_login_ends_what_others_have_set(room: Room) -> None:
    """9: whoever is nobody by a stranger's cookie logs in, and is somebody again though it stays."""
    strangers = await room.session("bob")
    browser = Browser(room, jar={NAME: strangers.value})
    await browser.login("ada")
    line = f"{NAME}={strangers.value}; {NAME}={browser.jar[NAME]}"
    found = await Browser(room).send("GET", "/api/session", JSON, ("Cookie", line))
    assert (found.status, found.json["username"]) == (200, "ada")

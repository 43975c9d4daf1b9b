"""What a local user holds ends when the configuration has them no more, and stays so for the next of the name
(DECISIONS 1, 20)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gateway.tokens.issuer import Revoked
from tests.serve.asking import CONFIGURATION
from tests.serve.gateway_room import Room, room_of

WITHOUT = CONFIGURATION.replace("username = ada,", "username = zoe,")


async def held(room: Room, clearml: str, personal: str, session: str) -> list[str]:
    """Which of them count, a moment after anything that was done."""
    now, found = int(time.time()) + 5, []
    try:
        await room.live.issuer.identity_of(clearml, now)
        found.append("clearml")
    except Revoked:
        pass
    if await room.live.personal.find(personal, now):
        found.append("personal")
    if await room.live.sessions.find(session, "example.com", now):
        found.append("session")
    return found


@pytest.mark.parametrize("stopped", [False, True], ids=["by a reload", "while the daemon was stopped"])
async def test_the_next_person_of_a_name_inherits_nothing(tmp_path: Path, stopped: bool) -> None:
    now = int(time.time())
    async with room_of(tmp_path, CONFIGURATION) as room:
        ada, bob = await room.login("ada"), await room.login("bob")
        tokens = [
            (room.live.issuer.issue(person, 3600, now).text,
             (await room.live.personal.create(person, "ci", now=now)).text,
             (await room.session(person.account.username)).value)
            for person in (ada, bob)
        ]  # fmt: skip
        assert [len(await held(room, *each)) for each in tokens] == [3, 3]
        if not stopped:
            await room.reload(WITHOUT)
            assert [len(await held(room, *each)) for each in tokens] == [0, 3]
            await room.reload(CONFIGURATION)
    if stopped:
        async with room_of(tmp_path, WITHOUT):
            pass
    async with room_of(tmp_path, CONFIGURATION) as room:
        assert [len(await held(room, *each)) for each in tokens] == [0, 3]
        again = await room.login("ada")
        assert again.id == ada.id
        later = int(time.time()) + 2
        assert await room.live.issuer.identity_of(room.live.issuer.issue(again, 3600, later).text, later) == again

"""Another signing key for the Conjur dialect while daemons run: ``keys rotate conjur`` as clients, forward auth and other
daemons on the store see it (conjur.md 6; configuration.md 2)."""

from __future__ import annotations

import asyncio
import base64
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.tokens.conjur import MAX_LIFETIME, InvalidConjurToken
from gateway.tokens.key_pairs import RotationPending
from tests.serve.asking import CONFIGURATION, ENDPOINTS, question
from tests.serve.gateway_room import Room, parsed, room_of

TEXT = CONFIGURATION + """
conjur { account = myorg, token_lifetime = 5h }
access_control.accept = [personal, conjur]
admins = ["user:ada"]
"""
APP = "https://app.example.com/x"
BASIC = base64.b64encode(b"ada:lovelace").decode()


@asynccontextmanager
async def beside(room: Room) -> AsyncIterator[Room]:
    """Another daemon on the same store."""
    directory = room.directory / "other"
    directory.mkdir(exist_ok=True)
    async with room_of(directory, TEXT, {"CLEARML__state_dir": str(room.directory / "state")}) as other:
        yield other


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with room_of(tmp_path, TEXT) as opened:
        yield opened


async def ask(room: Room, method: str, path: str, authorization: str = "", body: str = "") -> tuple[int, str]:
    named = f"Authorization: {authorization}\r\n" if authorization else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: gw\r\n{named}Content-Length: {len(body)}\r\n\r\n"
    status, _, answer = parsed(await room.raw((head + body).encode()))
    return status, answer.decode()


async def rotate(room: Room, **fields: object) -> tuple[int, Any]:
    fields = {"purpose": "conjur", **fields}
    status, answer = await ask(room, "POST", "/admin/keys/rotate", f"Basic {BASIC}", json.dumps(fields))
    return status, json.loads(answer)


async def states(room: Room) -> list[str]:
    status, answer = await ask(room, "GET", "/admin/keys", f"Basic {BASIC}")
    assert status == 200
    return [key["state"] for key in json.loads(answer)["keys"] if key["purpose"] == "conjur:myorg"]


async def token(room: Room) -> str:
    status, text = await ask(room, "POST", "/authn/myorg/ada/authenticate", body="lovelace")
    assert status == 200, text
    return text


def kid(text: str) -> str:
    found: str = json.loads(base64.urlsafe_b64decode(json.loads(text)["protected"]))["kid"]
    return found


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def whoami(room: Room, text: str) -> int:
    return (await ask(room, "GET", "/whoami", f'Token token="{encoded(text)}"'))[0]


async def forward_auth(room: Room, text: str, endpoint: str = "forward-auth") -> int:
    return parsed(await room.raw(question(endpoint, APP, ("Authorization", f"Bearer {encoded(text)}"))))[0]


async def statuses(room: Room, text: str) -> set[int]:
    """Of whoami, and of every endpoint of forward auth."""
    return {await whoami(room, text), *[await forward_auth(room, text, endpoint) for endpoint in ENDPOINTS]}


async def public_key(room: Room) -> str:
    status, text = await ask(room, "GET", "/authn-ldap/myorg/public_key")
    assert status == 200
    return text


async def test_every_daemon_signs_with_the_new_key_and_takes_the_old(room: Room) -> None:
    """Without a reload: who asked before is known from before, and asks again."""
    async with beside(room) as other:
        old, published = await token(room), await public_key(other)
        assert await statuses(other, old) == await statuses(room, old) == {200}
        status, made = await rotate(room)
        assert (status, made["key"]["state"], made["key"]["purpose"]) == (200, "signs", "conjur:myorg")
        for each in (other, room):
            assert await public_key(each) != published
            new = await token(each)
            assert kid(new) == made["key"]["id"] != kid(old)
            assert await statuses(each, new) == await statuses(each, old) == {200}
            assert await states(each) == ["leaving", "signs"]
        events = [(event.target, event.reason) for event in room.audit.events if event.action == "keys.rotate"]
        assert events == [("conjur:myorg", "")]


FIRST = {
    "whoami": (whoami, 200, 401),
    "forward auth": (forward_auth, 200, 401),
    "public key": (lambda room, _: public_key(room), None, None),
    "authenticate": (lambda room, _: kid_of_another(room), None, None),
}


async def kid_of_another(room: Room) -> str:
    return kid(await token(room))


@pytest.mark.parametrize("first", FIRST)
async def test_the_first_request_after_it_knows(room: Room, first: str) -> None:
    """Each by itself, of a daemon that has not been asked anything since another one rotated."""
    asked, good, refused = FIRST[first]
    async with beside(room) as other:
        text = await token(other)
        before = await asked(other, text)
        assert good in (None, before)
        await rotate(room, now=True)
        after = await asked(other, text)
        assert after != before and refused in (None, after)


async def test_the_old_one_counts_as_long_as_its_last_token(room: Room) -> None:
    """5 h at most; then what claims to be signed with it is refused, whatever its time."""
    conjur, old = room.live.conjur, await token(room)
    issued_at = conjur.verify(encoded(old), int(time.time())).issued_at
    await rotate(room)
    assert conjur.verify(encoded(old), issued_at + MAX_LIFETIME - 1).login == "ada"
    [leaving, _] = conjur.ring.all
    assert 0 < leaving.row.retired_at - issued_at - MAX_LIFETIME < 90
    assert [len(conjur.ring.counting(leaving.row.retired_at - more)) for more in (1, 0)] == [2, 1]
    with pytest.raises(InvalidConjurToken, match="another's key"):
        conjur.verify(encoded(old), leaving.row.retired_at)


async def test_at_once_every_token_ends(room: Room) -> None:
    """Everywhere, at the next request; what one of them left over from a rotation before has signed, too."""
    async with beside(room) as other:
        first = await token(room)
        await rotate(room)
        second = await token(other)
        for each in (room, other):
            assert await statuses(each, first) == await statuses(each, second) == {200}
        status, made = await rotate(other, now=True)
        assert (status, made["key"]["state"]) == (200, "signs")
        for each in (room, other):
            assert await statuses(each, first) == await statuses(each, second) == {401}
            assert sorted(await states(each)) == ["gone", "gone", "signs"]
            assert await statuses(each, await token(each)) == {200}
        with pytest.raises(InvalidConjurToken, match="another's key"):
            room.live.conjur.verify(encoded(second), int(time.time()) - 10**6)  # the clock was set back


async def test_through_a_restart(tmp_path: Path) -> None:
    """One that was killed after the new key was written and before the old one got its end finishes at the next start."""

    class Killed(Exception): ...

    async def killed(key_id: str, at: int) -> bool:
        raise Killed

    async with room_of(tmp_path, TEXT) as room:
        old = await token(room)
        room.live.store.key_retire = killed
        with pytest.raises(Killed):
            await room.live.conjur.ring.rotate(int(time.time()))
        del room.live.store.key_retire
    async with room_of(tmp_path, TEXT) as room:
        assert [bool(key.row.retired_at) for key in room.live.conjur.ring.all] == [True, False]
        new = await token(room)
        assert kid(new) != kid(old)
        assert await statuses(room, old) == await statuses(room, new) == {200}
        await room.reload(TEXT + f'state_dir = "{tmp_path}/state"\n')
        assert await states(room) == ["leaving", "signs"], "a reload makes no third one"


async def test_of_several_at_once_one_does(room: Room) -> None:
    async with beside(room) as other:
        rings = [each.live.conjur.ring for each in (room, other, room, other)]
        results = await asyncio.gather(*(ring.rotate(int(time.time())) for ring in rings), return_exceptions=True)
        assert sum(isinstance(result, RotationPending) for result in results) == 3, results
        assert await states(other) == ["leaving", "signs"]


async def test_no_token_is_lost_while_keys_change(room: Room) -> None:
    async with beside(room) as other:

        async def ask_often(each: Room) -> list[set[int]]:
            return [await statuses(each, await token(each)) for _ in range(5)]

        async def rotate_often() -> None:
            for _ in range(4):  # in one second, so that keys wait for the next ones
                assert (await rotate(room, force=True))[0] == 200

        *found, _ = await asyncio.gather(ask_often(room), ask_often(other), rotate_often())
        assert all(each == {200} for one in found for each in one)
        assert len(await states(room)) == 5


async def test_the_ring_cannot_be_opened(room: Room) -> None:
    """503, not 401: clients would throw a good token away (conjur.md 3)."""
    text = await token(room)

    async def answers() -> list[int]:
        published, _ = await ask(room, "GET", "/authn-ldap/myorg/public_key")
        return [await whoami(room, text), await forward_auth(room, text), published]

    def write(sealed: bytes) -> None:
        database.execute("UPDATE signing_keys SET private_sealed = ? WHERE purpose = 'conjur:myorg'", (sealed,))
        database.commit()

    with closing(sqlite3.connect(room.directory / "state" / "gateway.db")) as database:
        [[sealed]] = database.execute("SELECT private_sealed FROM signing_keys WHERE purpose = 'conjur:myorg'").fetchall()
        write(bytes(len(sealed)))
        assert await answers() == [503, 503, 503]
        write(sealed)
        assert await answers() == [200, 200, 200]


@pytest.mark.parametrize("purpose", ["conjur:myorg", "conjur:other", "CONJUR", "batch", ["conjur"]])
async def test_other_purposes(room: Room, purpose: object) -> None:
    status, answer = await rotate(room, purpose=purpose)
    assert (status, answer["error"].partition(";")[0]) == (400, "purpose: expected jwks or conjur")
    assert await states(room) == ["signs"]


async def test_where_the_ring_does_not_sign(room: Room) -> None:
    """configuration.md 1.6: a configured key is replaced in the configuration; without an account there is none."""
    state = f'state_dir = "{room.directory}/state"\n'
    private = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (room.directory / "key.pem").write_bytes(private)
    for text, words in (
        (f'{TEXT}{state}conjur.signing_key_file = "{room.directory}/key.pem"\n', "conjur.signing_key signs the tokens"),
        (f"{TEXT}{state}conjur.account = \"\"\n", "the Conjur API is off"),
    ):
        await room.reload(text)
        for now in (False, True):
            status, answer = await rotate(room, now=now)
            assert status == 409 and words in answer["error"]
        assert await states(room) == []
    await room.reload(TEXT + state)
    assert await states(room) == ["signs"]

"""Tokens of the Conjur dialect as Bearer in forward auth (DECISIONS 3, 21; configuration.md 3; conjur.md 6)."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.identity import Account, Identity
from gateway.tokens.conjur import Signer
from tests.serve.asking import CONFIGURATION, ENDPOINTS, question
from tests.serve.gateway_room import Room, parsed, room_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

APP = "https://app.example.com/x"
SERVER = '{ name = NAME, host = "127.0.0.1", port = 1, search_base_dns = ["dc=x"], bind_dn = "cn=s,dc=x", bind_password = p MORE }'
TEXT = f"""
servers = [{SERVER.replace("NAME", "corp").replace("MORE", "")}, {SERVER.replace("NAME", "guests").replace("MORE", ", realm = false")}]
conjur {{ account = myorg, services {{ corp.allow = all, guests.allow = all }} }}
access_control.accept = [personal, conjur]
session.max_stale = 1h
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with room_of(tmp_path_factory.mktemp("authz"), CONFIGURATION + TEXT) as opened:
        yield opened


def now() -> int:
    return int(time.time())


async def known(room: Room, name: str, server: str = "corp", ago: int = 0) -> Identity:
    account = Account(server, f"id-{name}", name, email=f"{name}@example.com", dn=f"uid={name},dc=x")
    identity: Identity = await room.live.identities.admit(account, name, now() - ago)
    return identity


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def token(room: Room, identity: Identity, version: str = "v5", networks: tuple[str, ...] = (), ago: int = 0) -> str:
    name = identity.account.username
    return encoded(await room.live.conjur.issue(identity, name, now() - ago, version, networks))


async def asked(room: Room, text: str, client: str = "192.0.2.1", endpoint: str = "forward-auth", *more: tuple[str, str]) -> tuple[int, str]:
    sent = question(endpoint, APP, ("Authorization", f"Bearer {text}"), *more, client=client)
    status, headers, _ = parsed(await room.raw(sent))
    return status, headers.get("remote-user", "")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("version", ["v5", "v4"])
async def test_it_counts(room: Room, version: str, endpoint: str) -> None:
    """21: where accept names conjur; by every endpoint, again and again, in either alphabet."""
    text = await token(room, await known(room, "Nina"), version)
    assert [await asked(room, text, endpoint=endpoint) for _ in range(3)] == [(200, "Nina")] * 3
    assert await asked(room, text.replace("+", "-").replace("/", "_")) == (200, "Nina")
    ada = await token(room, await room.login("ada"), version)
    assert await asked(room, ada, endpoint=endpoint) == (200, "ada")


async def test_networks(room: Room) -> None:
    """conjur.md 3, DECISIONS 21: who was let in from one address opens no door from another."""
    text = await token(room, await known(room, "nina"), networks=("10.0.0.0/8", "2001:db8::/32"))
    clients = ("10.1.1.1", "192.0.2.1", "2001:db8::1", "10.1.1.1", "2001:db9::1")
    assert [(await asked(room, text, client))[0] for client in clients] == [200, 401, 200, 200, 401]


async def test_an_expired_one_is_ours(room: Room) -> None:
    """21, forward-auth.md 7: it is refused, and never falls through to the session beside it."""
    for version in ("v5", "v4"):
        text = await token(room, await known(room, "nina"), version, ago=481)
        assert [(await asked(room, text, "192.0.2.1", "forward-auth", *more))[0] for more in ((), (await cookie(room),))] == [401, 401]


async def cookie(room: Room) -> tuple[str, str]:
    return "Cookie", f"__Secure-gw={(await room.session('ada')).value}"


def others(room: Room, identity: Identity) -> dict[str, str]:
    """Tokens of the right form that are not ours."""
    signer = Signer.load(rsa.generate_private_key(65537, 2048).private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    foreign = signer.sign_v5("nina", now(), 480, (), identity.id)
    renamed = foreign.replace(signer.fingerprint, "0" * 64)
    return {
        "9.9 another gateway's": encoded(foreign),
        "another kid": encoded(renamed),
        "9.10 alg none": encoded(json.dumps({
            "protected": base64.urlsafe_b64encode(b'{"alg":"none","kid":"x"}').decode(), "payload": "e30=", "signature": "",
        })),
        "v4 by another": encoded(signer.sign_v4("nina", now())),
        "no token": encoded('{"protected":1}'),
        "deep": encoded('{"data":' + "[" * 2000 + "]" * 2000 + "}"),
    }  # fmt: skip


async def test_anothers_belongs_to_the_application(room: Room) -> None:
    """21: it is skipped, and the session counts."""
    session = await cookie(room)
    for proves, text in others(room, await known(room, "nina")).items():
        assert (await asked(room, text))[0] == 401, proves
        assert await asked(room, text, "192.0.2.1", "forward-auth", session) == (200, "ada"), proves


async def test_ours_that_is_not_good_hides_the_session(room: Room) -> None:
    """forward-auth.md 7: a bad credential never falls through to a weaker one."""
    bound = await token(room, await known(room, "nina"), networks=("10.0.0.0/8",))
    assert (await asked(room, bound, "192.0.2.1", "forward-auth", await cookie(room)))[0] == 401


async def test_people_outside_the_realm(room: Room) -> None:
    """DECISIONS 3: who may enable a mount must not make an ada for these rules."""
    guest = await known(room, "guest", "guests")
    assert [(await asked(room, await token(room, guest, version)))[0] for version in ("v5", "v4")] == [401, 401]


async def test_it_ends_with_its_owner(room: Room) -> None:
    """18: at the next request."""
    leaver = await known(room, "leaver")
    texts = [await token(room, leaver, version) for version in ("v5", "v4")]
    assert [(await asked(room, text))[0] for text in texts] == [200, 200]
    await room.live.store.identity_gone(leaver.id, now())
    assert [(await asked(room, text))[0] for text in texts] == [401, 401]


async def test_a_silent_directory(room: Room) -> None:
    """session.max_stale: what it said two hours ago counts no longer, and nobody can be asked: 503."""
    stale = await known(room, "stale", ago=7200)
    assert (await asked(room, await token(room, stale)))[0] == 503


async def test_it_ends_in_time(room: Room) -> None:
    """configuration.md 3: with exp, though its holder is known."""
    ends_at = now() + 2
    text = await token(room, await known(room, "nina"), ago=478)
    assert (await asked(room, text))[0] == 200
    async with asyncio.timeout(20):
        while (await asked(room, text))[0] == 200:
            await asyncio.sleep(0.05)
    assert now() >= ends_at


@pytest.mark.parametrize(("old", "new"), [("personal, conjur", "personal"), ("account = myorg, ", "")], ids=["accept", "off"])
async def test_not_accepted(room: Room, tmp_path: Path, old: str, new: str) -> None:
    """21: where accept does not name conjur, or there is no Conjur dialect, they belong to the application."""
    text = await token(room, await known(room, "nina"))
    settings = CONFIGURATION + TEXT.replace(old, new)
    async with room_of(tmp_path, settings, {"CLEARML__state_dir": str(room.directory / "state")}) as other:
        assert (await asked(other, text))[0] == 401
        assert await asked(other, text, "192.0.2.1", "forward-auth", await cookie(other)) == (200, "ada")

"""What is issued in the very second of a revocation, or of several, counts from that moment on in every dialect."""

from __future__ import annotations

import json
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.identity import Identity
from gateway.tokens.conjur import LIFETIME, Version
from gateway.tokens.issuer import Revoked, acted_for
from gateway.tokens.jwt import unverified_claims
from gateway.tokens.vault_children import CreateRequest, TokenType, child
from gateway.tokens.vault_login import login_token
from tests.serve.asking import CONFIGURATION
from tests.serve.gateway_room import Room, parsed, room_of

TEXT = CONFIGURATION + "conjur.account = myorg\nlogin.floor = 0\n"
REVOCATIONS = (1, 5)
"""In one second; each moves the time from which on things count by one."""


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with room_of(tmp_path, TEXT) as opened:
        yield opened


@pytest.fixture(params=REVOCATIONS)
async def ada(room: Room, request: pytest.FixtureRequest) -> Identity:
    """Ada as she has logged in, right after all she had was revoked."""
    before = await room.login("ada")
    for _ in range(request.param):
        await room.live.store.identity_invalidate(before.id, now() + 1)
    after = await room.login("ada")
    assert after.valid_after > before.valid_after
    return after


def now() -> int:
    return int(time.time())


async def test_clearml(room: Room, ada: Identity) -> None:
    """DECISIONS 16: for people, for who acts for them, and for keys of programs."""
    live = room.live
    token = live.issuer.issue(ada, 60, now()).text
    assert (await live.issuer.identity_of(token, now())).id == ada.id
    assert live.issuer.expires_at(token) <= now() + 60
    bob = await room.login("bob")
    acting = live.issuer.issue(acted_for(bob, replace(ada, grant=replace(ada.grant, clearml_role="root"))), 60, now())
    claims = unverified_claims(acting.text)
    assert claims is not None and claims["iat"] >= ada.valid_after > bob.valid_after
    key = await live.keys.create(ada, "", None, now())
    assert (await live.keys.check(key.access_key, key.secret_key, "", now())).id == ada.id
    assert key.access_key in [row.accessor for row in await live.keys.of(ada.id, now())]
    await live.keys.revoke(ada.id, key.access_key, now())


async def test_sessions_and_personal_tokens(room: Room, ada: Identity) -> None:
    live = room.live
    made = await live.sessions.create(ada, "example.com", remember=False, client=None, now=now())
    session = await live.sessions.current([made.value], "example.com", now())
    assert session is not None and session.identity.id == ada.id
    assert live.sessions.ends_at(made.row) <= now() + live.configuration.session.inactivity
    token = await live.personal.create(session.identity, "x", now=now())
    assert await live.personal.current(token.text, now()) is not None
    assert token.row.expires_at <= now() + live.configuration.tokens.personal_lifetime


@pytest.mark.parametrize("kind", ["service", "batch"])
async def test_vault(room: Room, ada: Identity, kind: TokenType) -> None:
    """vault.md 8: a login's token, and what it makes."""
    tokens, mount = room.live.vault.tokens, room.live.vault.mounts.all["local"]
    issued = await tokens.issue(replace(login_token(mount, ada, (), "ada"), type=kind), now())
    assert await tokens.find(issued.text, now()) is not None
    if kind == "service":
        made = await tokens.issue(child(issued.row, CreateRequest(), sudo=False), now())
        assert await tokens.find(made.text, now()) is not None


@pytest.mark.parametrize("version", ["v4", "v5"])
async def test_conjur(room: Room, ada: Identity, version: Version) -> None:
    """conjur.md 6.1, 6.2."""
    conjur, at = room.live.conjur, now()
    text = b64encode((await conjur.issue(ada, "ada", at, version)).encode()).decode()
    token = conjur.verify(text, at)
    assert await conjur.identity_of(token) == ada
    assert version == "v4" or token.expires_at == at + LIFETIME


async def test_what_was_there_before_stays_dead(room: Room) -> None:
    """Also what was issued in that very second, or to who had logged in before."""
    ada = await room.login("ada")
    live, at = room.live, max(now(), ada.valid_after)
    token = live.issuer.issue(ada, 60, at).text
    await live.store.identity_invalidate(ada.id, at + 1)
    for dead in (token, live.issuer.issue(ada, 60, at).text):
        with pytest.raises(Revoked):
            await live.issuer.identity_of(dead, at)
    bob = await room.login("bob")
    first = live.issuer.issue(await room.login("ada"), 60, at).text
    await live.store.identity_invalidate(ada.id, at + 1)
    with pytest.raises(Revoked):
        await live.issuer.identity_of(first, at)
    assert bob.valid_after == 0


async def test_over_http(room: Room) -> None:
    """An administrator ends everything that somebody has, who logs in again at once."""
    basic = "Authorization: Basic " + b64encode(b"ada:lovelace").decode()
    ada = await room.login("ada")
    await room.live.store.identity_invalidate(ada.id, now() + 1)
    status, _, body = await call(room, "GET", "/auth.login", basic)
    bearer = f"Authorization: Bearer {json.loads(body)['data']['token']}"
    assert (status, (await call(room, "GET", "/users.get_current_user", bearer))[0]) == (200, 200)
    status, _, key = await call(room, "GET", "/authn-ldap/myorg/login", basic)
    assert status == 200
    status, _, token = await call(room, "POST", "/authn-ldap/myorg/ada/authenticate", body=key)
    header = f'Authorization: Token token="{b64encode(token).decode()}"'
    assert (status, (await call(room, "GET", "/whoami", header))[0]) == (200, 200)


async def call(room: Room, method: str, target: str, *headers: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    head = "\r\n".join([f"{method} {target} HTTP/1.1", "Host: g", f"Content-Length: {len(body)}", *headers, "", ""])
    return parsed(await room.raw(head.encode() + body))

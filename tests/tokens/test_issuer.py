"""Tokens and the identities they prove, over a real store (configuration.md 3, DECISIONS 18, 20)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.config.schema import Configuration
from gateway.directory.local_users import LocalUsers
from gateway.identities import Identities
from gateway.identity import Account, Group, Identity
from gateway.store.sealing import Sealer
from gateway.store.sqlite import SqliteStore
from gateway.tokens import jwt
from gateway.tokens.issuer import CLOCK_SKEW, Issuer, Revoked
from gateway.tokens.jwt import InvalidToken
from gateway.tokens.opaque import digest

NOW = int(time.time())
BASE = "dc=example,dc=com"
ADA = Account("corp", "uuid-1", "ada", "Ada L", "ada@example.com", f"uid=ada,{BASE}", (Group("ops", value="cn=ops"),))


def configuration(**changes: Any) -> Configuration:
    server = {"name": "corp", "host": "ldap.example.com", "search_base_dns": (BASE,), **changes.pop("server", {})}
    return Configuration.model_validate({"state_dir": "/var/empty", "servers": (server,), **changes})


class Room:
    """An issuer over a store, as one process has it."""

    def __init__(self, path: Path, secrets: tuple[bytes, ...] = (b"s" * 32,), **changes: Any) -> None:
        self.store = SqliteStore.open(path, sealer=Sealer(b"k" * 32))
        self.threads = ThreadPoolExecutor(1)
        self.configure(secrets, **changes)

    def configure(self, secrets: tuple[bytes, ...] = (b"s" * 32,), **changes: Any) -> None:
        settings = configuration(**changes)
        self.local = LocalUsers(settings.users, self.threads, 1)
        self.identities = Identities(self.store, settings, self.local)
        self.issuer = Issuer(secrets, self.store, self.identities, settings)

    async def token(self, account: Account = ADA) -> tuple[Identity, str]:
        identity = await self.identities.admit(account, account.username, NOW)
        return identity, self.issuer.issue(identity, 60, NOW).text

    async def close(self) -> None:
        self.threads.shutdown()
        await self.store.close()


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    opened = Room(tmp_path / "gateway.db")
    await opened.store.migrate()
    yield opened
    await opened.close()


@pytest.fixture
async def other(room: Room, tmp_path: Path) -> AsyncIterator[Room]:
    """Another process on the same file, as far as the store can tell."""
    opened = Room(tmp_path / "gateway.db")
    yield opened
    await opened.close()


async def test_a_token_is_its_owners(room: Room) -> None:
    identity, token = await room.token()
    for _ in range(2):
        assert await room.issuer.identity_of(token, NOW) == identity


async def test_it_ends(room: Room) -> None:
    _, token = await room.token()
    assert await room.issuer.identity_of(token, NOW + 59)
    with pytest.raises(InvalidToken, match="Signature has expired"):
        await room.issuer.identity_of(token, NOW + 60)


async def test_revocation_is_seen_by_every_process(room: Room, other: Room) -> None:
    _, token = await room.token()
    _, kept = await room.token()
    assert await other.issuer.identity_of(token, NOW)
    await room.issuer.revoke(token, NOW)
    for side in (room, other):
        with pytest.raises(Revoked):
            await side.issuer.identity_of(token, NOW)
        assert await side.issuer.identity_of(kept, NOW)


async def test_all_tokens_of_a_time_can_be_revoked(room: Room, other: Room) -> None:
    identity, token = await room.token()
    assert await other.issuer.identity_of(token, NOW)
    await room.store.identity_invalidate(identity.id, NOW + 1)
    for side in (room, other):
        with pytest.raises(Revoked):
            await side.issuer.identity_of(token, NOW)
    assert await room.issuer.identity_of(room.issuer.issue(identity, 60, NOW + 1).text, NOW + 1)


async def test_who_is_gone_has_no_token(room: Room) -> None:
    identity, token = await room.token()
    await room.store.identity_gone(identity.id, NOW)
    with pytest.raises(Revoked):
        await room.issuer.identity_of(token, NOW)


async def test_grants_are_those_in_force(room: Room) -> None:
    """DECISIONS 20: a role lost by a reload, or in the directory, is lost by the token too."""
    room.configure(admins=("group:ops",))
    _, token = await room.token()
    assert (await room.issuer.identity_of(token, NOW)).grant.admin
    room.configure()
    assert not (await room.issuer.identity_of(token, NOW)).grant.admin
    room.configure(admins=("group:ops",))
    assert (await room.issuer.identity_of(token, NOW)).grant.admin
    await room.identities.admit(replace(ADA, groups=()), "ada", NOW)
    assert not (await room.issuer.identity_of(token, NOW)).grant.admin


async def test_a_removed_server_takes_its_people_along(room: Room) -> None:
    _, token = await room.token()
    room.configure(server={"name": "elsewhere"})
    with pytest.raises(Revoked):
        await room.issuer.identity_of(token, NOW)


async def test_a_rehired_name_is_another_person(room: Room) -> None:
    """DECISIONS 1: the entry counts, not the name; ClearML's user id, made of the name, finds the newer one."""
    first, token = await room.token()
    second = await room.identities.admit(replace(ADA, external_id="uuid-2", name="Another Ada"), "ada", NOW + 5)
    assert first.id != second.id
    assert (await room.issuer.identity_of(token, NOW)).account.name == "Ada L"
    found = await room.identities.by_user_id(second.user_id, second.grant.company)
    assert found is not None and found.id == second.id


async def test_a_key_that_no_longer_signs_still_verifies(room: Room) -> None:
    old, new = b"o" * 32, b"n" * 32
    room.configure((old,))
    _, token = await room.token()
    room.configure((new, old))
    assert await room.issuer.identity_of(token, NOW)
    room.configure((new,))
    with pytest.raises(InvalidToken, match="Signature verification failed"):
        await room.issuer.identity_of(token, NOW)


CLAIMS = {"iat": NOW, "exp": NOW + 60, "session_id": "s", "sub": "x"}
# changes to the claims of a token with a good signature, what the refusal says
ODD: list[tuple[dict[str, Any], str]] = [
    ({"exp": 1 << 60}, 'Invalid "exp" claim'),
    ({"exp": 10**400}, 'Invalid "exp" claim'),
    ({"exp": 1e300}, 'Token is missing the "exp" claim'),
    ({"exp": True}, "Expiration Time claim (exp) must be an integer."),
    ({"iat": -1}, 'Invalid "iat" claim'),
    ({"iat": NOW + 31}, "The token is not yet valid (iat)"),
    ({"session_id": "\ud800"}, 'Invalid "session_id" claim'),
    ({"session_id": 5}, 'Token is missing the "session_id" claim'),
    ({"sub": "\ud800"}, 'Invalid "sub" claim'),
    ({"sub": None}, "Subject must be a string"),
    ({"act": None}, 'Invalid "act" claim'),
    ({"act": {}}, 'Invalid "act" claim'),
    ({"act": {"sub": ["x"]}}, 'Invalid "act" claim'),
    ({"act": {"sub": "\ud800"}}, 'Invalid "act" claim'),
]


@pytest.mark.parametrize(("changes", "reason"), ODD)
async def test_odd_claims(room: Room, changes: dict[str, Any], reason: str) -> None:
    """Another program that knows the secret may write what the store could not look up."""
    with pytest.raises(InvalidToken) as caught:
        await room.issuer.identity_of(jwt.encode({**CLAIMS, **changes}, b"s" * 32), NOW)
    assert caught.value.reason == reason


async def test_a_token_of_some_seconds_ahead(room: Room) -> None:
    """The clock was set back, or is another machine's."""
    identity, _ = await room.token()
    assert await room.issuer.identity_of(room.issuer.issue(identity, 60, NOW + CLOCK_SKEW).text, NOW) == identity


async def test_the_cache_is_bounded(room: Room) -> None:
    room.configure(tokens={"cache_size": 3})
    tokens = [(await room.token())[1] for _ in range(5)]
    for token in tokens:
        assert await room.issuer.identity_of(token, NOW)
    held = room.issuer._cache
    assert list(held) == [digest(token) for token in tokens[2:]]

"""Tokens of the Vault dialect as Bearer in forward auth, and ``policy:`` in rules (DECISIONS 21; forward-auth.md 7, 10)."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.tokens.vault_children import CreateRequest, NewToken, child
from gateway.tokens.vault_login import login_token
from gateway.tokens.vault_tokens import Issued
from tests.serve.asking import CONFIGURATION, question
from tests.serve.gateway_room import Room, parsed, room_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

OPS, APP, APP2 = "https://ops.example.com/", "https://app.example.com/x", "https://two.example.com/"
TEXT = """
vault {
  root_token = "the-root-token"
  groups { ops = [Ops, other], dev = [reading] }
  local.token_policies = [common]
}
access_control.accept = [personal, clearml, vault]
access_control.rules = [
  { name = ops, domain = "ops.example.com", subject = "policy:OPS", policy = authenticated }
  { name = two, domain = "two.example.com", subject = [["policy:ops", "policy:reading"]], policy = authenticated }
  { name = app, domain = "app.example.com", policy = authenticated }
]
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Room]:
    async with room_of(tmp_path_factory.mktemp("authz"), CONFIGURATION + TEXT) as opened:
        yield opened


async def login(room: Room, name: str = "ada", **changes: object) -> Issued:
    identity = await room.login(name)
    new = login_token(room.live.vault.mounts.all["local"], identity, identity.grant.policies, name)
    return await issue(room, replace(new, **changes))


async def issue(room: Room, new: NewToken) -> Issued:
    issued: Issued = await room.live.vault.tokens.issue(new, int(time.time()))
    return issued


async def status(room: Room, text: str, url: str = APP, client: str = "192.0.2.1", *more: tuple[str, str]) -> int:
    asked = question("forward-auth", url, ("Authorization", f"Bearer {text}"), *more, client=client)
    return parsed(await room.raw(asked))[0]


async def test_a_service_token(room: Room) -> None:
    """21: accepted where access_control.accept names vault; its person's policies are those that rules see."""
    text = (await login(room)).text
    asked = question("forward-auth", APP, ("Authorization", f"Bearer {text}"))
    code, headers, _ = parsed(await room.raw(asked))
    assert (code, headers["remote-user"]) == (200, "ada")
    assert [await status(room, text, url) for url in (OPS, APP2)] == [200, 200]
    bob = (await login(room, "bob")).text
    assert [await status(room, bob, url) for url in (APP, OPS, APP2)] == [200, 403, 403]


async def test_one_mapping_serves_both(room: Room) -> None:
    """Issue: a password in forward auth gives the same policies as the token of a login."""
    basic = "Basic " + base64.b64encode(b"ada:lovelace").decode()
    for url, expected in ((OPS, 200), (APP2, 200)):
        assert parsed(await room.raw(question("forward-auth", url, ("Authorization", basic))))[0] == expected
    other = "Basic " + base64.b64encode(b"bob:lovelace").decode()
    assert parsed(await room.raw(question("forward-auth", OPS, ("Authorization", other))))[0] == 403


async def test_a_child_shows_no_policy_it_does_not_hold(room: Room) -> None:
    parent = await login(room)
    made = await issue(room, child(parent.row, CreateRequest(policies=["reading"]), sudo=False))
    assert [await status(room, made.text, url) for url in (APP, OPS, APP2)] == [200, 403, 403]


NEVER = [
    ("21 a limit of uses", {"num_uses": 5}, "192.0.2.1", 401),
    ("21 another address", {"cidrs": ("10.0.0.0/8",)}, "192.0.2.1", 401),
    ("21 its address", {"cidrs": ("10.0.0.0/8",)}, "10.1.1.1", 200),
    ("nobody's", {"identity": None}, "192.0.2.1", 401),
    ("a batch token", {"type": "batch"}, "192.0.2.1", 200),
]


@pytest.mark.parametrize(("proves", "changes", "client", "expected"), NEVER, ids=[row[0] for row in NEVER])
async def test_what_counts(room: Room, proves: str, changes: dict[str, object], client: str, expected: int) -> None:
    issued = await login(room, **changes)
    assert await status(room, issued.text, client=client) == expected, proves
    if issued.row.uses_left is not None:
        row = await room.live.store.token(issued.row.hash)
        assert row.uses_left == issued.row.uses_left


async def test_the_same_token_from_two_addresses(room: Room) -> None:
    """21: who was let in from one address opens no door from another."""
    issued = await login(room, cidrs=("10.0.0.0/8",))
    answers = [await status(room, issued.text, client=client) for client in ("10.1.1.1", "192.0.2.1", "10.1.1.1")]
    assert answers == [200, 401, 200]


async def test_wrapping_tokens_and_root(room: Room) -> None:
    """21: wrapping tokens never pass; root is nobody."""
    wrapping, _ = await room.live.vault.wrappings.wrap(b"{}", creation_path="x", ttl=60, now=int(time.time()))
    assert [await status(room, text) for text in (wrapping, "the-root-token")] == [401, 401]
    assert await room.live.vault.wrappings.peek(wrapping, int(time.time()))


async def test_anothers_token_is_skipped(room: Room) -> None:
    """21: one of the same form that is not found belongs to the application, and the session counts."""
    session = await room.session("ada")
    cookie = ("Cookie", f"__Secure-gw={session.value}")
    asked = question("forward-auth", APP, ("Authorization", "Bearer hvs." + "x" * 43), cookie)
    assert parsed(await room.raw(asked))[0] == 200


async def test_revoked(room: Room) -> None:
    """18: at the next request, by itself and with its parent, also on the fast path."""
    parent = await login(room)
    made = await issue(room, child(parent.row, CreateRequest(), sudo=False))
    assert [await status(room, made.text) for _ in range(3)] == [200] * 3
    await room.live.vault.tokens.revoke(parent.text, int(time.time()))
    assert await status(room, made.text) == 401


async def test_not_accepted(tmp_path: Path) -> None:
    """21: where accept does not name vault, its tokens belong to the application."""
    text = TEXT.replace("[personal, clearml, vault]", "[personal]")
    async with room_of(tmp_path, CONFIGURATION + text) as other:
        issued = await login(other)
        assert await status(other, issued.text) == 401


async def test_tokens_of_2017(tmp_path: Path) -> None:
    """vault.md 13: UUID tokens are looked up where they are made."""
    text = TEXT + '\nvault.compatibility = "0.7"\n'
    async with room_of(tmp_path, CONFIGURATION + text) as other:
        issued = await login(other)
        assert issued.text.count("-") == 4
        assert await status(other, issued.text, OPS) == 200

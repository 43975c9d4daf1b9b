"""Batch tokens (configuration.md 3; vault.md 6), and wrapping tokens (vault.md 10)."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vault_room import NOW, Room, login

from gateway.store.interface import TokenRow
from gateway.tokens.vault_batch import BatchTokens, load_keys
from gateway.tokens.vault_children import NewToken
from gateway.tokens.vault_lookup import auth_block, lookup_data
from gateway.tokens.vault_ttl import Refused, Terms

KEY, OTHER = b"k" * 32, b"o" * 32
ROW = TokenRow(
    hash=b"", accessor="", kind="vault", identity="i1", created_at=NOW, parent="above", server="corp", path="auth/x/login/ä",
    policies=("a",), meta={"username": "ä"}, limits={"type": "batch", "cidrs": ["10.0.0.0/8"]}, label="x-ä", expires_at=NOW + 5,
)  # fmt: skip


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    opened = Room(tmp_path / "gateway.db")
    await opened.start()
    yield opened
    await opened.close()


def test_what_is_sealed_opens() -> None:
    text = BatchTokens([KEY]).seal(ROW)
    assert re.fullmatch(r"hvb\.[A-Za-z0-9_-]+", text)
    opened = BatchTokens([OTHER, KEY]).open(text)
    assert opened is not None
    same = ("identity", "created_at", "parent", "server", "path", "policies", "meta", "limits", "label", "expires_at", "orphan")
    assert [getattr(opened, name) for name in same] == [getattr(ROW, name) for name in same]
    assert BatchTokens([KEY]).seal(ROW) != text
    assert "corp" not in base64.urlsafe_b64decode(text[4:] + "==").decode("latin-1")


def test_accessors_of_configured_tokens() -> None:
    """vault.md 8: the same for every process and after a new key, and no help for whoever guesses at the token."""
    accessor = BatchTokens([KEY]).accessor("root")
    assert BatchTokens([OTHER, KEY]).accessor("root") == accessor
    assert len({accessor, BatchTokens([KEY]).accessor("other"), BatchTokens([OTHER]).accessor("root")}) == 3


TEXT = BatchTokens([KEY]).seal(ROW)


@pytest.mark.parametrize(
    "text",
    ["", "hvb.", "hvb.AAAA", "hvb.A", "hvb." + "A" * 100, "hvs." + TEXT[4:], TEXT + "=", TEXT + "\n", " " + TEXT, TEXT[:-1], TEXT + "é", "hvb." + "A" * 10**6],
    ids=range(12),
)  # fmt: skip
def test_what_is_not_ours(text: str) -> None:
    assert BatchTokens([KEY]).open(TEXT) is not None
    assert BatchTokens([KEY]).open(text) is None
    assert BatchTokens([OTHER]).open(TEXT) is None


@given(st.integers(4, len(TEXT) - 1), st.sampled_from("AZaz09-_+/=. "))
def test_no_character_may_change(place: int, character: str) -> None:
    changed = TEXT[:place] + character + TEXT[place + 1 :]
    assert (BatchTokens([KEY]).open(changed) is not None) is (changed == TEXT)


def test_a_token_that_no_header_carries_is_not_made() -> None:
    long = login(meta={"x": "y" * 20_000})
    with pytest.raises(Refused, match="too long for a batch token"):
        BatchTokens([KEY]).seal(TokenRow(hash=b"", accessor="", kind="vault", identity=None, created_at=0, meta=long.meta))


async def test_keys_are_made_once_and_end(room: Room, tmp_path: Path) -> None:
    keys = await asyncio.gather(*(load_keys(room.store, NOW) for _ in range(4)))
    assert len({key for found in keys for key in found}) == 1
    made = await room.tokens.issue(login(type="batch"), NOW)
    [stored] = [key for key in await room.store.keys() if key.purpose == "batch"]
    await room.store.key_retire(stored.id, NOW)
    await room.start()
    assert await room.tokens.find(made.text, NOW) is None, "its key is gone"
    assert await load_keys(room.store, NOW) != keys[0]
    assert KEY not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


async def test_a_batch_login(room: Room) -> None:
    """vault.md 6: no accessor, not renewable, nothing stored; it ends by itself."""
    ada = await room.ada()
    made = await room.tokens.issue(login(ada.id, type="batch", terms=Terms(ttl=60)), NOW)
    assert await room.store.tokens() == []
    block = auth_block(made.row, NOW, made.text)
    assert (block["accessor"], block["renewable"], block["token_type"], block["lease_duration"]) == ("", False, "batch", 60)
    held = await room.tokens.find(made.text, NOW + 59)
    assert held is not None
    assert held.identity is not None
    data = lookup_data(held.row, NOW + 59, made.text)
    assert (data["type"], data["ttl"], data["creation_ttl"], data["path"], data["orphan"]) == ("batch", 1, 60, "auth/corp/login/ada", True)
    assert await room.tokens.find(made.text, NOW + 60) is None
    with pytest.raises(Refused, match="batch tokens cannot be revoked"):
        await room.tokens.revoke(made.text, NOW)


@pytest.mark.parametrize("new", [login(type="batch", num_uses=1), login(type="batch", terms=Terms(period=60))])
async def test_what_nothing_could_count_is_not_made(room: Room, new: NewToken) -> None:
    """vault.md 3."""
    with pytest.raises(Refused, match="'token_type' cannot be 'batch'"):
        await room.tokens.issue(new, NOW)


async def test_wrapping(room: Room) -> None:
    """vault.md 10: looked at as often as one likes, opened once, good for nothing else."""
    text, row = await room.wrappings.wrap(b"answer", creation_path="auth/ldap/login/x", ttl=300, now=NOW, wrapped_accessor="a1")
    assert text.startswith("hvs.")
    assert (row.expires_at - row.created_at, row.creation_path, row.wrapped_accessor) == (300, "auth/ldap/login/x", "a1")
    assert await room.tokens.find(text, NOW) is None
    assert await room.wrappings.peek(text, NOW) == row == await room.wrappings.peek(text, NOW + 299)
    opened = await asyncio.gather(*(room.wrappings.unwrap(text, NOW) for _ in range(8)))
    assert (opened.count(b"answer"), opened.count(None)) == (1, 7)
    assert await room.wrappings.peek(text, NOW) is None


async def test_wrappings_end(room: Room) -> None:
    text, _ = await room.wrappings.wrap(b"answer", creation_path="", ttl=300, now=NOW)
    assert await room.wrappings.unwrap(text, NOW + 300) is None
    text, _ = await room.wrappings.wrap(b"answer", creation_path="", ttl=300, now=NOW)
    assert await room.tokens.revoke(text, NOW)
    assert await room.wrappings.unwrap(text, NOW) is None

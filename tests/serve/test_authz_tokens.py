"""Tokens for Grafana in answers of forward auth, the fast way too: made anew in time, gone with their key and with the
session behind them (grafana.md 5; DECISIONS 17, 18, 20)."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest
from joserfc import jws
from joserfc.jwk import KeySet

from gateway.sessions import NewSession
from tests.serve.asking import CONFIGURATION, ENDPOINTS, question
from tests.serve.gateway_room import Room, parsed, room_of

RULES = """
group_mappings = [
  { group_dn = dev, org_role = Editor }
  { group_dn = ops, org_role = Admin, org_id = 2 }
]
access_control.rules = [
  { name = jwt, domain = "grafana.example.com", policy = authenticated, headers = grafana-jwt }
  { name = open, domain = "open.example.com", policy = bypass, headers = grafana-jwt }
  { name = plain, domain = "plain.example.com", policy = authenticated }
  { name = own, domain = "own.example.com", policy = authenticated, headers = own }
]
identity_headers.presets.own { Authorization = token, X-Role = role, X-Who = username }
admins = ["user:ada"]
"""
TEXT = CONFIGURATION + RULES
URL = "https://grafana.example.com/d/x"
DEADLINE = 20.0


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with room_of(tmp_path, TEXT) as opened:
        yield opened


def cookie(session: NewSession) -> tuple[str, str]:
    return "Cookie", f"__Secure-gw={session.value}"


async def ask(room: Room, *header: tuple[str, str], endpoint: str = "forward-auth", url: str = URL) -> tuple[int, dict[str, str]]:
    status, headers, _ = parsed(await room.raw(question(endpoint, url, *header)))
    return status, headers


async def token_of(room: Room, *header: tuple[str, str], **asked: Any) -> str:
    status, headers = await ask(room, *header, **asked)
    assert status == 200, headers
    return headers["x-jwt-assertion"]


async def key_set(room: Room) -> dict[str, Any]:
    sent = b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: gateway\r\n\r\n"
    status, _, body = parsed(await room.raw(sent))
    assert status == 200
    found: dict[str, Any] = json.loads(body)
    return found


async def verified(room: Room, token: str) -> dict[str, Any]:
    """By joserfc, with what is published now."""
    keys: Any = await key_set(room)
    claims: dict[str, Any] = json.loads(jws.deserialize_compact(token, KeySet.import_key_set(keys), algorithms=["ES256", "RS256"]).payload)
    return claims


async def administrate(room: Room, path: str, fields: dict[str, Any] | None = None) -> tuple[int, Any]:
    basic = base64.b64encode(b"ada:lovelace").decode()
    body = b"" if fields is None else json.dumps(fields).encode()
    head = f"{'GET' if fields is None else 'POST'} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {basic}\r\nContent-Length: {len(body)}\r\n\r\n"
    status, _, answer = parsed(await room.raw(head.encode() + body))
    return status, json.loads(answer)


def kid(token: str) -> str:
    found: str = pyjwt.get_unverified_header(token)["kid"]
    return found


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_every_endpoint_hands_it_out(room: Room, endpoint: str) -> None:
    """Twice, so that the second question goes the fast way."""
    shown = cookie(await room.session("ada"))
    first = await token_of(room, shown, endpoint=endpoint)
    assert await token_of(room, shown, endpoint=endpoint) == first
    claims = await verified(room, first)
    assert (claims["iss"], claims["aud"], claims["login"]) == ("https://auth.example.com", "grafana", "ada")
    assert claims["orgs"] == ["o1_Editor", "o2_Admin"] and "role" not in claims
    assert claims["exp"] - claims["iat"] == 300 and abs(claims["iat"] - time.time()) < 60


async def test_nobody_gets_an_empty_one(room: Room) -> None:
    """DECISIONS 30."""
    status, headers = await ask(room, url="https://open.example.com/")
    assert (status, headers["x-jwt-assertion"]) == (200, "")


async def test_who_has_no_role_is_refused_the_fast_way_too(room: Room) -> None:
    shown = cookie(await room.session("bob"))
    for endpoint in ENDPOINTS * 2:
        status, headers = await ask(room, shown, endpoint=endpoint)
        assert (status, headers.get("x-jwt-assertion")) == (403, None)
        status, headers = await ask(room, shown, endpoint=endpoint, url="https://own.example.com/")
        assert (status, headers.get("authorization")) == (403, None)


async def test_a_preset_of_ones_own(room: Room) -> None:
    status, headers = await ask(room, cookie(await room.session("ada")), url="https://own.example.com/")
    assert (status, headers["x-role"], headers["x-who"]) == (200, "Editor", "ada")
    assert (await verified(room, headers["authorization"]))["sub"] == "ada"


async def test_it_is_made_anew_at_half_its_life(tmp_path: Path) -> None:
    """DECISIONS 17: what is cached, the fast way too, carries its own end."""
    async with room_of(tmp_path, TEXT) as room:
        room.live.grafana._lifetime = 4  # the shortest that can be configured is a minute
        shown = cookie(await room.session("ada"))
        begun = time.monotonic()
        first = await token_of(room, shown)
        while (token := await token_of(room, shown)) == first:
            assert time.monotonic() < begun + DEADLINE
            claims = pyjwt.decode(token, options={"verify_signature": False})
            assert claims["exp"] - time.time() >= 1, "at least half is left, of whole seconds"
            await asyncio.sleep(0.1)
        assert pyjwt.decode(token, options={"verify_signature": False})["iat"] >= claims["iat"] + 2


async def test_a_session_that_ends_gives_none(room: Room) -> None:
    """A revoked session's cached answers die as others do."""
    shown = cookie(await room.session("ada"))
    await token_of(room, shown)
    await token_of(room, shown)
    await room.live.sessions.revoke_all((await room.login("ada")).id, int(time.time()))
    for endpoint in ENDPOINTS * 2:
        status, headers = await ask(room, shown, endpoint=endpoint)
        assert (status, headers.get("x-jwt-assertion")) == (401, None)


async def test_a_rotation_changes_nothing_that_verifiers_would_miss(room: Room) -> None:
    shown = cookie(await room.session("ada"))
    before = await token_of(room, shown)
    status, made = await administrate(room, "/admin/keys/rotate", {"purpose": "jwks"})
    assert (status, made["key"]["state"]) == (200, "waiting")
    assert (await administrate(room, "/admin/keys/rotate", {}))[0] == 409
    assert {key["kid"] for key in (await key_set(room))["keys"]} == {kid(before), made["key"]["id"]}
    assert await token_of(room, shown) == before
    status, listed = await administrate(room, "/admin/keys")
    assert [key["state"] for key in listed["keys"]] == ["signs", "waiting"]
    assert "private" not in json.dumps(listed).lower()


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_a_stolen_key_is_gone_at_once(tmp_path: Path, endpoint: str) -> None:
    """From the answers of every process on the store."""
    (tmp_path / "other").mkdir()
    shared = {"CLEARML__state_dir": str(tmp_path / "state")}
    async with room_of(tmp_path, TEXT) as room, room_of(tmp_path / "other", TEXT, shared) as other:
        shown = cookie(await room.session("ada"))
        before = [await token_of(each, shown, endpoint=endpoint) for each in (room, other, room, other)]
        assert len({kid(token) for token in before}) == 1
        status, made = await administrate(room, "/admin/keys/rotate", {"purpose": "jwks", "now": True})
        assert (status, made["key"]["state"]) == (200, "signs")
        # Asked about another host, the other process finds the session again, and could answer the fast way.
        assert (await ask(other, shown, endpoint=endpoint, url="https://plain.example.com/"))[0] == 200
        for each in (other, room):
            assert kid(await token_of(each, shown, endpoint=endpoint)) == made["key"]["id"]
            assert [key["kid"] for key in (await key_set(each))["keys"]] == [made["key"]["id"]]
        status, made = await administrate(room, "/admin/keys/rotate", {"now": True})
        password = "Authorization", "Basic " + base64.b64encode(b"ada:lovelace").decode()
        assert kid(await token_of(other, password, endpoint=endpoint)) == made["key"]["id"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"purpose": "clearml"}, 400), ({"purpose": None}, 400), ({"now": "yes"}, 400), ({"force": 1}, 400), ({"pupose": "jwks"}, 400)],
    ids=["other purpose", "no purpose", "now", "force", "misspelt"],
)
async def test_what_is_refused(room: Room, fields: dict[str, Any], status: int) -> None:
    assert (await administrate(room, "/admin/keys/rotate", fields))[0] == status
    assert len((await key_set(room))["keys"]) == 1


async def test_another_algorithm_by_reload(room: Room) -> None:
    """DECISIONS 20; 5: the new key is published first."""
    shown = cookie(await room.session("ada"))
    before = await token_of(room, shown)
    await room.reload(TEXT + f'grafana.jwt.algorithm = RS256\nstate_dir = "{room.directory}/state"\n')
    keys = (await key_set(room))["keys"]
    assert [key["alg"] for key in keys] == ["ES256", "RS256"]
    assert kid(await token_of(room, shown)) == kid(before) == keys[0]["kid"]


async def test_roles_follow_the_configuration(room: Room) -> None:
    """DECISIONS 20; 2.6: skip_org_role_sync."""
    shown = cookie(await room.session("bob"))
    assert (await ask(room, shown))[0] == 403
    await room.reload(TEXT + f'grafana.skip_org_role_sync = true\nstate_dir = "{room.directory}/state"\n')
    claims = await verified(room, await token_of(room, shown))
    assert not claims.keys() & {"role", "orgs"}


async def test_no_key_is_left_behind_by_a_question_in_the_middle(room: Room) -> None:
    """Many at once, while keys are replaced: every token verifies against the set at its end."""
    shown = cookie(await room.session("ada"))

    async def ask_often() -> list[str]:
        return [await token_of(room, shown) for _ in range(15)]

    async def rotate_often() -> None:
        for _ in range(5):
            assert (await administrate(room, "/admin/keys/rotate", {"now": True}))[0] == 200

    *found, _ = await asyncio.gather(*(ask_often() for _ in range(3)), rotate_often())
    assert all(found)
    assert (await verified(room, await token_of(room, shown)))["sub"] == "ada"

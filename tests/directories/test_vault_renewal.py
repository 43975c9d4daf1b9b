"""Vault tokens are renewed for whom the directory still has, with the policies they had (vault.md 6, 14), over slapd."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import ldap3
import pytest

from gateway.tokens.vault_children import CreateRequest, child
from gateway.tokens.vault_login import login_token
from gateway.tokens.vault_tokens import Denied, Held, Issued
from gateway.tokens.vault_ttl import Refused
from tests.directories.alan import ALAN, DEVELOPERS, alan_restored, room_with
from tests.directories.relay import Relay
from tests.directories.slapd import BASE_DN, COMPANY, Slapd
from tests.serve.gateway_room import Room

ROOM = """
session.refresh_interval = always
login { floor = 0, cache = 0 }
vault.groups { developers = [dev], others = [more] }
"""


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(COMPANY, directory=tmp_path_factory.mktemp("slapd") / "slapd") as started:
        yield started


@pytest.fixture
async def opened(slapd: Slapd, tmp_path: Path) -> AsyncIterator[tuple[Room, Relay]]:
    async with room_with(ROOM, slapd, tmp_path, vault={"token_ttl": 600, "token_max_ttl": 1200}) as (room, relay):
        yield room, relay


@pytest.fixture
def alan(slapd: Slapd) -> Iterator[ldap3.Connection]:
    with alan_restored(slapd) as connection:
        yield connection


async def login(room: Room) -> Issued:
    identity = await room.login("alan", "enigma")
    mount = room.live.vault.mounts.all[identity.account.server]
    new = login_token(mount, identity, room.live.identities.policies(identity, "alan"), "alan")
    made: Issued = await room.live.vault.tokens.issue(new, int(time.time()))
    return made


async def held(room: Room, token: Issued) -> Held:
    found = await room.live.vault.tokens.find(token.text, int(time.time()))
    assert isinstance(found, Held)
    return found


async def renewed(room: Room, token: Issued, after: int = 0, increment: int = 0) -> int:
    """For how many seconds it is good then."""
    now = int(time.time()) + after
    made = await room.live.vault.renewals.renew(await held(room, token), now, increment)
    return int(made.row.expires_at) - now


async def test_renewed(opened: tuple[Room, Relay]) -> None:
    room, relay = opened
    token = await login(room)
    assert token.row.policies == ("default", "dev")
    asked = len(relay.sent)
    assert await renewed(room, token, 60) == 600
    assert len(relay.sent) > asked
    assert await renewed(room, token, 60, increment=90) == 90


async def test_never_without_an_end(opened: tuple[Room, Relay]) -> None:
    """14, CVE-2021-32923: in the last second, and behind the last one."""
    room, _ = opened
    token = await login(room)
    assert await renewed(room, token, 599) == 600
    assert await renewed(room, token, 1199) == 1
    with pytest.raises(Refused, match="past the max TTL"):
        await renewed(room, token, 1200)


async def test_by_the_settings_of_today(slapd: Slapd, tmp_path: Path) -> None:
    """6: as a login would do now, within what the token was made with (DECISIONS 20)."""
    async with room_with(ROOM, slapd, tmp_path, vault={"token_ttl": 600, "token_max_ttl": 1200}) as (room, _):
        token = await login(room)
        for ttl, longest, expected in ((300, 1200, 300), (3000, 9000, 1200), (900, 900, 900)):
            server = slapd.server(vault={"token_ttl": ttl, "token_max_ttl": longest})
            settings = {"servers": [server], "session": {"refresh_interval": "always"}}
            settings["vault"] = {"groups": {"developers": ["dev"]}}
            await room.reload(json.dumps(settings))
            assert abs(await renewed(room, token) - expected) <= 2


async def test_somebody_who_is_gone(opened: tuple[Room, Relay], alan: ldap3.Connection) -> None:
    """6: refused, and the token with everything made by it is dead from then on."""
    room, _ = opened
    token = await login(room)
    below = await room.live.vault.tokens.issue(child(token.row, CreateRequest(), sudo=False), int(time.time()))
    found = await held(room, token)
    alan.delete(ALAN)
    with pytest.raises(Denied):
        await room.live.vault.renewals.renew(found, int(time.time()))
    for each in (token, below):
        assert await room.live.vault.tokens.find(each.text, int(time.time())) is None


async def test_changed_policies(opened: tuple[Room, Relay], alan: ldap3.Connection) -> None:
    """6: another policy than at login: refused; the token goes on as it was to its end (DECISIONS 20)."""
    room, _ = opened
    token = await login(room)
    alan.modify(DEVELOPERS, {"member": [(ldap3.MODIFY_DELETE, [ALAN])]})
    with pytest.raises(Refused, match="policies have changed, not renewing"):
        await renewed(room, token)
    assert (await held(room, token)).row.policies == ("default", "dev")
    alan.modify(DEVELOPERS, {"member": [(ldap3.MODIFY_ADD, [ALAN])]})
    assert await renewed(room, token) == 600


async def test_a_child_of_somebody_who_is_gone(opened: tuple[Room, Relay], alan: ldap3.Connection) -> None:
    """6: also a token that was made by another one is renewed for its person alone."""
    room, _ = opened
    token = await login(room)
    below = await room.live.vault.tokens.issue(child(token.row, CreateRequest(ttl=60), sudo=False), int(time.time()))
    assert await renewed(room, below, increment=90) == 90
    found = await held(room, below)
    alan.delete(ALAN)
    with pytest.raises(Denied):
        await room.live.vault.renewals.renew(found, int(time.time()))


async def test_a_directory_that_does_not_answer(slapd: Slapd, tmp_path: Path) -> None:
    """6: within max_stale the last answer counts; behind it a token is not renewed, and lives to its end."""
    async with room_with(ROOM + "session.max_stale = 1h", slapd, tmp_path) as (room, relay):
        token = await login(room)
        await relay.close()
        assert await renewed(room, token, increment=60) == 60
        with pytest.raises(Refused, match="cannot be asked now"):
            await renewed(room, token, 3601)
        assert await held(room, token)


@pytest.mark.parametrize("unchecked", ["limits", "refuse"])
async def test_where_nobody_can_ask(slapd: Slapd, tmp_path: Path, unchecked: str) -> None:
    """6, configuration.md 1.6: recheck = none renews within the limits, or not at all."""
    direct = {"bind_dn": "", "bind_password": "", "bind_mode": "direct", "user_dn": f"uid=%s,ou=people,{BASE_DN}"}
    text = f"vault.renew_unchecked = {unchecked}\n"
    async with room_with(ROOM + text, slapd, tmp_path, vault={"token_max_ttl": 900}, **direct) as (room, _):
        token = await login(room)
        if unchecked == "limits":
            assert await renewed(room, token, 600) == 300
        else:
            with pytest.raises(Refused, match="without a password"):
                await renewed(room, token)


async def test_a_server_and_a_mount_that_are_gone(slapd: Slapd, tmp_path: Path) -> None:
    """DECISIONS 20: people of a server that is gone are refused at once; of a mount that is gone, at renewal."""
    async with room_with(ROOM, slapd, tmp_path) as (room, _):
        token = await login(room)
        server = slapd.server()
        await room.reload(json.dumps({"servers": [server], "vault": {"mounts": {"elsewhere": server["name"]}}}))
        with pytest.raises(Refused, match="auth method is gone"):
            await renewed(room, token)
        assert await held(room, token)
        await room.reload(ROOM)
        assert await room.live.vault.tokens.find(token.text, int(time.time())) is None

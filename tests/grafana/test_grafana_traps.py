"""Traps of grafana.md 7 that are no login: what a file may hold, and what happens while a session lives.

The others have scenarios of their own (``scenarios.py``: 1, 2, 3, 6 to 9) or belong to the delivery (10, 11).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import ldap3
import pytest

from gateway.config.load import ConfigurationError, load
from gateway.login import Attempt, Denied
from gateway.sessions import Session
from tests.directories.slapd import Slapd
from tests.grafana.ldap_toml import DEV, SRE, block, mapping
from tests.serve.gateway_room import Room, room_of

HARBOR = Path(__file__).with_name("harbor.ldif")
DOMAIN = "example.com"
INTERVAL = 300
ROOM = """
public_url = "https://auth.example.com"
session { cookies = [{ domain = "example.com", portal_url = "https://auth.example.com" }], inactivity = 1d, expiration = 1d }
login { floor = 0, cache = 0 }
"""
TOML = block((mapping(SRE, "Admin", grafana_admin=True), mapping(DEV, "Editor"), mapping(DEV, "Viewer", org_id=2)))
DORA = "uid=dora,ou=people,dc=example,dc=com"
NINA = "uid=nina,ou=people,dc=example,dc=com"


def test_trap_4_no_port(tmp_path: Path) -> None:
    """Grafana would dial port 0; here it is that of the protocol (CHOICE)."""
    (tmp_path / "ldap.toml").write_text(block(extra="") + block(extra="use_ssl = true"))
    servers = load([tmp_path / "ldap.toml"], {}).configuration.servers
    assert [server.endpoints[0][1] for server in servers] == [389, 636]


def test_trap_5_an_expression_in_a_comment(tmp_path: Path) -> None:
    """It is expanded as anywhere; the error says where it is written."""
    (tmp_path / "ldap.toml").write_text(f"# $__file{{{tmp_path}/none}}\n{block()}".replace("@PORT@", "389"))
    with pytest.raises(ConfigurationError, match=r"ldap.toml:1:3: \$__file\{.*/none\}: cannot be read"):
        load([tmp_path / "ldap.toml"], {})
    (tmp_path / "none").write_text("text")
    assert load([tmp_path / "ldap.toml"], {}).configuration.servers[0].port == 389


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd.start(HARBOR, directory=tmp_path_factory.mktemp("harbor") / "slapd") as started:
        yield started


@pytest.fixture
async def room(slapd: Slapd, tmp_path: Path) -> AsyncIterator[Room]:
    """A gateway that variables of a Grafana container lead to its ``ldap.toml``."""
    file = tmp_path / "ldap.toml"
    file.write_text(TOML.replace("@PORT@", str(slapd.port)))
    async with room_of(tmp_path, ROOM, {"GF_AUTH_LDAP_ENABLED": "true", "GF_AUTH_LDAP_CONFIG_FILE": str(file)}) as opened:
        yield opened


@pytest.fixture
def admin(slapd: Slapd) -> Iterator[ldap3.Connection]:
    """An administrator of the directory, after whom Nina is in both groups."""
    with slapd.administration() as connection:
        yield connection
        for group in (SRE, DEV):
            members = [NINA, DORA]
            connection.modify(group, {"member": [(ldap3.MODIFY_REPLACE, members)]})


async def session_of(room: Room, username: str) -> str:
    identity = await room.login(username, "pw")
    made = await room.live.sessions.create(identity, DOMAIN, remember=False, client=None, now=int(time.time()))
    value: str = made.value
    return value


async def later(room: Room, value: str, seconds: int) -> Session | None:
    """The session as it is so many seconds from now, when those who are asked about were answered for."""
    now = int(time.time()) + seconds
    await room.live.sessions.current([value], DOMAIN, now)
    async with asyncio.timeout(10):
        while asking := list(room.live.freshness._asking.values()):
            await asyncio.gather(*asking)
            await asyncio.sleep(0)
    found: Session | None = await room.live.sessions.current([value], DOMAIN, now + 1)
    return found


EVERYBODY_ELSE = {"member": [(ldap3.MODIFY_REPLACE, [DORA])]}


async def test_trap_12_demotion_while_a_session_lives(room: Room, admin: ldap3.Connection) -> None:
    """2.8: roles and flag follow the directory within ``session.refresh_interval``."""
    value = await session_of(room, "nina")
    session = await later(room, value, 1)
    assert session is not None
    assert (session.identity.grant.org_roles, session.identity.grant.grafana_admin) == ({1: "Admin", 2: "Viewer"}, True)
    admin.modify(SRE, EVERYBODY_ELSE)
    demoted = await later(room, value, INTERVAL + 5)
    assert demoted is not None
    assert (demoted.identity.grant.org_roles, demoted.identity.grant.grafana_admin) == ({1: "Editor", 2: "Viewer"}, False)


async def test_trap_12_out_of_all_groups_while_a_session_lives(room: Room, admin: ldap3.Connection) -> None:
    """2.8: whom no mapping matches any more is out."""
    value = await session_of(room, "nina")
    for group in (SRE, DEV):
        admin.modify(group, EVERYBODY_ELSE)
    assert await later(room, value, INTERVAL + 5) is None


async def test_a_login_without_mapping_ends_what_an_earlier_one_gave(room: Room, admin: ldap3.Connection) -> None:
    """2.7: the next server would be asked, and what this one said counts at once, within any interval."""
    value = await session_of(room, "nina")
    for group in (SRE, DEV):
        admin.modify(group, EVERYBODY_ELSE)
    assert await later(room, value, 1) is not None
    result = await room.live.login.check(Attempt("nina", "pw", None, "test"))
    assert isinstance(result, Denied)
    assert "no group mapping matched" in result.reason
    assert await later(room, value, 2) is None


async def test_trap_13_removal_while_a_session_lives(room: Room, admin: ldap3.Connection) -> None:
    """2.8: Grafana's own active sync is for Enterprise; here the session ends within ``session.refresh_interval``."""
    value = await session_of(room, "dora")
    admin.search(DORA, "(objectClass=*)", ldap3.BASE, attributes=["*"])
    entry = dict(admin.response[0]["raw_attributes"])
    admin.delete(DORA)
    try:
        assert await later(room, value, INTERVAL + 5) is None
    finally:
        admin.add(DORA, attributes=entry)

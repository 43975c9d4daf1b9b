"""A gateway in this process in front of a real slapd, and Alan, who leaves and comes back."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import ldap3

from tests.directories.relay import Relay
from tests.directories.slapd import BASE_DN, Slapd
from tests.serve.gateway_room import Room, room_of

ALAN = f"uid=alan,ou=people,{BASE_DN}"
DEVELOPERS = f"cn=developers,ou=groups,{BASE_DN}"


@asynccontextmanager
async def room_with(text: str, slapd: Slapd, directory: Path, **server: object) -> AsyncIterator[tuple[Room, Relay]]:
    """A gateway with this configuration, and the relay on its way to the directory."""
    relay = await Relay.start("127.0.0.1", slapd.port)
    given = slapd.server(urls=[f"ldap://127.0.0.1:{relay.port}"], request_timeout=1, **server)
    try:
        async with room_of(directory, text, {"CLEARML__servers": json.dumps([given])}) as room:
            yield room, relay
    finally:
        await relay.close()


@contextmanager
def alan_restored(slapd: Slapd) -> Iterator[ldap3.Connection]:
    """An administrator, who leaves things as they were."""
    with slapd.administration() as connection:
        connection.search(ALAN, "(objectClass=*)", ldap3.BASE, attributes=["*"])
        entry = {name: values for name, values in connection.response[0]["raw_attributes"].items() if name != "uid"}
        yield connection
        with suppress(ldap3.core.exceptions.LDAPNoSuchObjectResult):
            connection.delete(ALAN)
        connection.add(ALAN, attributes={**entry, "uid": "alan"})
        with suppress(ldap3.core.exceptions.LDAPAttributeOrValueExistsResult):
            connection.modify(DEVELOPERS, {"member": [(ldap3.MODIFY_ADD, [ALAN])]})

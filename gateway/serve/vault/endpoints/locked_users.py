"""``sys/locked-users``: let somebody in again before the lock ends (vault.md 7)."""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.grants.lockout import Key, Kind, name_key
from gateway.identity import LOCAL, fold_for_lockout
from gateway.serve.vault.call import Call, Operation
from gateway.serve.vault.reply import Reply, VaultError
from gateway.serve.vault.routes import Route
from gateway.vault_mounts import MountPoint


async def unlock(call: Call) -> Reply:
    """Forget the failures of a name, and of the entries that it was tried on; done also where there are none."""
    mount = call.live.vault.mounts.by_accessor(call.parameters["accessor"])
    if mount is None:
        raise VaultError(400, "there is no mount with this accessor")
    servers, name = _servers(call, mount), call.parameters["name"].strip()
    wanted = {f"{server}/{fold_for_lockout(name)}" for server in servers}
    keys = [name_key(server, name) for server in servers]
    store, after = call.live.store, b""
    while page := await store.failures_list(after):
        after = page[-1].hash
        found = (each for each in page if each.kind is Kind.ENTRY and _folded(each.shown) in wanted)
        keys += [Key(each.hash, each.shown, each.kind) for each in found]
        await asyncio.sleep(0)
    await store.failures_clear(keys)
    return Reply()


def _folded(shown: str) -> str:
    """``server/name`` of a counter. Names of servers may hold slashes; those of people in a directory hardly do."""
    server, _, name = shown.rpartition("/")
    return f"{server}/{fold_for_lockout(name)}"


def _servers(call: Call, mount: MountPoint) -> tuple[str, ...]:
    """Whose counters a login at the mount looks at."""
    if mount.login_server:
        return (mount.login_server,)
    return (LOCAL, *(server.name for server in call.live.configuration.servers if server.realm))


ROUTES: Final = (
    Route("sys/locked-users/{accessor}/unlock/{name*}", {Operation.UPDATE: unlock},
          help="Forgets the failed logins of a user name."),
)  # fmt: skip

"""What clients ask before anything else: whether this is a Vault, awake, and what can be logged in to (vault.md 9).

There is nothing to unseal here and no standby: who answers is active.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

from gateway.serve.vault.authority import Holder, authorise
from gateway.serve.vault.call import Call, Operation
from gateway.serve.vault.fields import Field, Type
from gateway.serve.vault.paths import shown_path
from gateway.serve.vault.reply import Reply, VaultError
from gateway.serve.vault.routes import Route, mount_of

if TYPE_CHECKING:
    from gateway.vault_mounts import MountPoint

_CLUSTERS: Final = uuid.UUID("0b7f0c2b-6a0e-4b43-8f5e-5d0c4a3b9f11")
_CODES: Final = ("activecode", "standbycode", "performancestandbycode", "drsecondarycode", "sealedcode", "uninitcode")


async def health(call: Call) -> Reply:
    """Active, with the status that the caller wants for it."""
    status = call.integer("activecode") if call.given("activecode") else 200
    if not 200 <= status <= 599:
        raise VaultError(400, "expected a status between 200 and 599 as activecode")
    body = {
        "initialized": True,
        "sealed": False,
        "standby": False,
        "performance_standby": False,
        "replication_performance_mode": "disabled",
        "replication_dr_mode": "disabled",
        "server_time_utc": call.now,
        **_cluster(call),
    }
    return Reply(bare=body, status=status)


async def seal_status(call: Call) -> Reply:
    """Never sealed."""
    body = {
        "type": "shamir",
        "initialized": True,
        "sealed": False,
        "t": 1,
        "n": 1,
        "progress": 0,
        "nonce": "",
        "build_date": "",
        "migration": False,
        "recovery_seal": False,
        "storage_type": "sqlite",
        **_cluster(call),
    }
    return Reply(bare=body)


async def leader(call: Call) -> Reply:
    """No cluster of Vaults, so nobody leads one."""
    body = {
        "ha_enabled": False,
        "is_self": False,
        "leader_address": "",
        "leader_cluster_address": "",
        "performance_standby": False,
    }
    return Reply(bare=body)


async def initialised(call: Call) -> Reply:
    """It always is."""
    return Reply(bare={"initialized": True})


async def visible_mounts(call: Call) -> Reply:
    """The mounts that anybody may see, and those that the token, if one was sent, may do something with."""
    holder = await _holder(call)
    mounts = call.live.vault.mounts.all
    shown = {f"{path}/": _entry(mount) for path, mount in mounts.items() if _sees(holder, mount)}
    return Reply({"auth": shown, "secret": {}})


async def mount_of_path(call: Call) -> Reply:
    """The mount that a path belongs to. There are no secrets here, so ``kv`` commands end with this refusal."""
    path = call.text("path")
    holder, mounts = await _holder(call), call.live.vault.mounts.all
    name = mount_of(path, mounts)
    if name is None or holder is None or not _sees(holder, mounts[name]):
        text = "preflight capability check returned 403, please ensure client's policies grant access to path"
        raise VaultError(403, f'{text} "{shown_path(path)}/"')
    return Reply({"path": f"auth/{name}/", **_entry(mounts[name])})


async def _holder(call: Call) -> Holder | None:
    if not call.token_text:
        return None
    try:
        return await authorise(call)
    except VaultError:
        return None


def _sees(holder: Holder | None, mount: MountPoint) -> bool:
    if mount.settings.listing_visibility == "unauth":
        return True
    return holder is not None and holder.acl.capabilities(f"auth/{mount.path}/") != ["deny"]


def _entry(mount: MountPoint) -> dict[str, Any]:
    return {"type": "ldap", "description": mount.settings.description, "options": None}


def _cluster(call: Call) -> dict[str, Any]:
    settings = call.live.configuration.vault
    name = settings.cluster_name
    return {"version": settings.version, "cluster_name": name, "cluster_id": str(uuid.uuid5(_CLUSTERS, name))}


_HEALTH: Final = (
    *(Field(name, Type.INTEGER, "Status to answer in that state.") for name in _CODES),
    Field("standbyok", Type.FLAG, "Whether a standby answers as an active one."),
    Field("perfstandbyok", Type.FLAG, "Whether a performance standby answers as an active one."),
)

ROUTES = (
    Route("sys/health", {Operation.READ: health}, _HEALTH, open=True, help="Tells whether the server is active."),
    Route("sys/seal-status", {Operation.READ: seal_status}, open=True, help="Tells that nothing is sealed."),
    Route("sys/leader", {Operation.READ: leader}, open=True, help="Tells that there is no high availability."),
    Route("sys/init", {Operation.READ: initialised}, open=True, help="Tells that the server is initialised."),
    Route(
        "sys/internal/ui/mounts",
        {Operation.READ: visible_mounts},
        open=True,
        help="Lists the auth methods that the caller may see.",
    ),
    Route(
        "sys/internal/ui/mounts/{path*}",
        {Operation.READ: mount_of_path},
        open=True,
        help="Tells which mount a path belongs to.",
    ),
)

"""``sys/leases/*``: logins have no leases here, so none is ever found; tokens are revoked by the path that made them
(vault.md 9)."""

from __future__ import annotations

from typing import Final

from gateway.serve.vault.call import Call, Operation
from gateway.serve.vault.fields import Field, Type
from gateway.serve.vault.reply import Reply, VaultError, not_found
from gateway.serve.vault.routes import Route
from gateway.serve.vault.trail import note

_LEASE: Final = Field("lease_id", help="The lease.")
_IN_PATH: Final = Field("url_lease_id", help="The same, as part of the path.")
_INCREMENT: Final = Field("increment", Type.DURATION, "How much longer it is asked to live.")
_SYNC: Final = Field("sync", Type.FLAG, "Makes no difference: what is revoked has ended before the answer.")


async def lookup(call: Call) -> Reply:
    """Find no lease."""
    _named(call)
    raise VaultError(400, "invalid lease")


async def renew(call: Call) -> Reply:
    """Renew no lease."""
    _named(call)
    raise VaultError(400, "lease not found")


async def revoke(call: Call) -> Reply:
    """End a lease: it has ended already."""
    _named(call)
    return Reply()


async def listed(call: Call) -> Reply:
    """List none."""
    raise not_found()


async def revoke_prefix(call: Call) -> Reply:
    """End all tokens that were made at a path or below it, and those they made."""
    prefix = call.text("prefix")
    ended = await call.live.vault.tokens.revoke_path(prefix, call.now)
    note(call, "token.revoke", f"{ended} stored tokens, and all batch tokens, below {prefix}")
    return Reply()


def _named(call: Call) -> str:
    given = call.text("lease_id") or call.text("url_lease_id")
    if not given:
        raise VaultError(400, "lease_id must be specified")
    return given


_UPDATE: Final = Operation.UPDATE
ROUTES = (
    Route("sys/leases/lookup", {_UPDATE: lookup}, (_LEASE,), help="Tells of a lease."),
    Route("sys/leases/lookup/{prefix*}", {Operation.LIST: listed}, help="Lists leases."),
    *(
        Route(pattern, {_UPDATE: renew}, (_LEASE, _IN_PATH, _INCREMENT), help="Renews a lease.")
        for pattern in (
            "sys/leases/renew", "sys/leases/renew/{url_lease_id*}", "sys/renew", "sys/renew/{url_lease_id*}",
        )
    ),
    *(
        Route(pattern, {_UPDATE: revoke}, (_LEASE, _IN_PATH, _SYNC), help="Ends a lease.")
        for pattern in (
            "sys/leases/revoke", "sys/leases/revoke/{url_lease_id*}", "sys/revoke", "sys/revoke/{url_lease_id*}",
        )
    ),
    *(
        Route(pattern, {_UPDATE: revoke_prefix}, (_SYNC,), help="Ends all tokens made below a path. Needs sudo.")
        for pattern in (
            "sys/leases/revoke-prefix/{prefix*}", "sys/revoke-prefix/{prefix*}", "sys/leases/revoke-force/{prefix*}",
            "sys/revoke-force/{prefix*}",
        )
    ),
)  # fmt: skip

"""``sys/capabilities*``: what a token may do on paths (vault.md 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.serve.vault.authority import acl_of
from gateway.serve.vault.call import Call, Operation
from gateway.serve.vault.fields import Field, Type
from gateway.serve.vault.reply import Reply, VaultError
from gateway.serve.vault.routes import Route

if TYPE_CHECKING:
    from gateway.grants.policies.acl import Acl

_MOST: Final = 1000
_PATHS: Final = (
    Field("paths", Type.TEXTS, "Paths."),
    Field("path", Type.TEXTS, "The same, as it was called once.", same_as="paths"),
)


async def own(call: Call) -> Reply:
    """Of the request's own token."""
    return _told(call, call.holder.acl)


async def of_token(call: Call) -> Reply:
    """Of a token."""
    text = call.required("token", "missing token")
    held = await call.live.vault.tokens.find(text, call.now)
    if held is None:
        raise VaultError(400, "invalid token")
    return _told(call, acl_of(call.live, held))


async def of_accessor(call: Call) -> Reply:
    """Of the token with an accessor."""
    held = await call.live.vault.tokens.find_accessor(call.required("accessor", "missing accessor"), call.now)
    if held is None:
        raise VaultError(400, "invalid accessor")
    return _told(call, acl_of(call.live, held))


def _told(call: Call, acl: Acl) -> Reply:
    paths = list(dict.fromkeys(path for path in (*call.texts("paths"), *call.texts("path")) if path))
    if not paths:
        raise VaultError(400, "paths must be supplied")
    if len(paths) > _MOST:
        raise VaultError(400, f"no more than {_MOST} paths can be asked for at once")
    data: dict[str, Any] = {path: acl.capabilities(path) for path in paths}
    if len(paths) == 1:
        data["capabilities"] = data[paths[0]]
    return Reply(data, top_level=True)


ROUTES = (
    Route(
        "sys/capabilities-self", {Operation.UPDATE: own}, (*_PATHS, Field("token", help="Not looked at.")),
        help="Tells what the own token may do.",
    ),
    Route(
        "sys/capabilities", {Operation.UPDATE: of_token}, (*_PATHS, Field("token", help="The token.")),
        help="Tells what a token may do.",
    ),
    Route(
        "sys/capabilities-accessor", {Operation.UPDATE: of_accessor}, (*_PATHS, Field("accessor", help="Accessor.")),
        help="Tells what the token with an accessor may do.",
    ),
)  # fmt: skip

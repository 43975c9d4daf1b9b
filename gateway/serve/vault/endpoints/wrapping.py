"""``sys/wrapping/*``: what wrapping tokens are for (vault.md 10)."""

from __future__ import annotations

import json

from gateway.serve.vault.authority import authorise, permit
from gateway.serve.vault.call import Call, Operation
from gateway.serve.vault.fields import Field
from gateway.serve.vault.reply import Reply, VaultError
from gateway.serve.vault.routes import Route
from gateway.tokens.vault_lookup import shown_time

_TOKEN = Field("token", help="The wrapping token; not given, the request's own is it.")


async def wrap(call: Call) -> Reply:
    """Give back what was sent, for the dialect to wrap."""
    if not call.wrap_ttl:
        raise VaultError(400, "endpoint requires response wrapping to be used")
    return Reply(dict(call.data))


async def lookup(call: Call) -> Reply:
    """Tell of a wrapping token, using nothing up."""
    row = await call.live.vault.wrappings.peek(_wrapping_token(call), call.now)
    if row is None:
        raise _invalid()
    told = {
        "creation_path": row.creation_path,
        "creation_time": shown_time(row.created_at),
        "creation_ttl": row.expires_at - row.created_at,
    }
    return Reply(told)


async def unwrap(call: Call) -> Reply:
    """Give the answer that was put away, once.

    Whoever names the wrapping token in the body and shows a token of their own besides, must be allowed to.
    """
    text = _wrapping_token(call)
    if call.token_text not in ("", text):
        permit(await authorise(call), call, None, call.data)
    answer = await call.live.vault.wrappings.unwrap(text, call.now)
    if answer is None:
        raise _invalid()
    return Reply(bare=json.loads(answer))


def _wrapping_token(call: Call) -> str:
    text = call.text("token") or call.token_text
    if not text:
        raise VaultError(400, 'missing "token" value in input')
    return text


def _invalid() -> VaultError:
    return VaultError(400, "wrapping token is not valid or does not exist")


ROUTES = (
    Route("sys/wrapping/wrap", {Operation.UPDATE: wrap}, help="Response-wraps an arbitrary JSON object."),
    Route(
        "sys/wrapping/lookup",
        {Operation.READ: lookup, Operation.UPDATE: lookup},
        (_TOKEN,),
        open=True,
        help="Looks up the properties of a response-wrapping token.",
    ),
    Route(
        "sys/wrapping/unwrap",
        {Operation.UPDATE: unwrap},
        (_TOKEN,),
        open=True,
        help="Unwraps a response-wrapped answer, once.",
    ),
)

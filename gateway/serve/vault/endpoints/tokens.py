"""``auth/token/*``: tokens looked up, renewed, revoked and made by other tokens (vault.md 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.serve.vault.call import Call, Operation
from gateway.serve.vault.fields import Field, Type
from gateway.serve.vault.reply import Reply, VaultError, not_found
from gateway.serve.vault.routes import Route
from gateway.serve.vault.trail import note
from gateway.tokens.vault_children import CreateRequest, child
from gateway.tokens.vault_lookup import auth_block, lookup_data

if TYPE_CHECKING:
    from gateway.tokens.vault_tokens import Held

_TOKEN: Final = Field("token", help="The token.")
_ACCESSOR: Final = Field("accessor", help="The accessor of the token.")
_INCREMENT: Final = Field("increment", Type.DURATION, "How much longer it is asked to live.")
_CREATE: Final = (
    Field("policies", Type.TEXTS, "Policies; not given, those of the token that asks."),
    Field("ttl", Type.DURATION, "How long it lives."),
    Field("lease", Type.DURATION, "The same, as it was called once.", same_as="ttl"),
    Field("explicit_max_ttl", Type.DURATION, "Its hard end."),
    Field("period", Type.DURATION, "What each renewal gives, for ever. Needs sudo."),
    Field("renewable", Type.FLAG, "Whether it can be renewed."),
    Field("num_uses", Type.INTEGER, "Requests that it is good for; 0 means any number."),
    Field("meta", Type.MAPPING, "What look-ups tell of it."),
    Field("display_name", help="Its name."),
    Field("type", help="service or batch."),
    Field("no_parent", Type.FLAG, "Whether it outlives the token that asks. Needs sudo."),
    Field("no_default_policy", Type.FLAG, "Leave policy default out."),
    Field("id", help="The token itself. Needs sudo."),
    Field("entity_alias", help="Not taken: tokens act for whom their parents do."),
)


async def lookup_self(call: Call) -> Reply:
    """Tell what the request's own token is."""
    return Reply(lookup_data(call.holder.row, call.now, call.holder.text))


async def lookup(call: Call) -> Reply:
    """Tell what a token is; the own one where none is given."""
    text = call.text("token") or call.holder.text
    if text == call.holder.text:
        return await lookup_self(call)
    held = await call.live.vault.tokens.find(text, call.now)
    if held is None:
        raise VaultError(403, "bad token")
    return Reply(lookup_data(held.row, call.now, text))


async def lookup_accessor(call: Call) -> Reply:
    """Tell what the token with an accessor is, but not the token."""
    held = await _by_accessor(call)
    if held is None:
        raise VaultError(400, "invalid accessor")
    return Reply(lookup_data(held.row, call.now))


async def renew_self(call: Call) -> Reply:
    """Renew the request's own token."""
    return await _renewed(call, call.holder.held, call.holder.text)


async def renew(call: Call) -> Reply:
    """Renew a token."""
    text = call.required("token", "missing token ID")
    return await _renewed(call, await call.live.vault.tokens.find(text, call.now), text)


async def renew_accessor(call: Call) -> Reply:
    """Renew the token with an accessor, which is not told."""
    return await _renewed(call, await _by_accessor(call), "")


async def revoke_self(call: Call) -> Reply:
    """End the request's own token, and those it made."""
    await call.live.vault.tokens.revoke(call.holder.text, call.now)
    note(call, "token.revoke", call.holder.row.accessor)
    return Reply()


async def revoke(call: Call) -> Reply:
    """End a token and those it made; an unknown one has ended already."""
    text = call.required("token", "missing token ID")
    held = await call.live.vault.tokens.find(text, call.now)
    if await call.live.vault.tokens.revoke(text, call.now):
        note(call, "token.revoke", held.row.accessor if held else "a wrapping token")
    return Reply()


async def revoke_accessor(call: Call) -> Reply:
    """End the token with an accessor, and those it made."""
    accessor = call.required("accessor", "missing accessor")
    if not await call.live.vault.tokens.revoke_accessor(accessor, call.now):
        return Reply(warnings=["No token found with this accessor"])
    note(call, "token.revoke", accessor)
    return Reply()


async def revoke_orphan(call: Call) -> Reply:
    """End a token alone; those it made live on."""
    text = call.required("token", "missing token ID")
    held = await call.live.vault.tokens.find(text, call.now)
    if held is None or not await call.live.vault.tokens.revoke_orphan(text, call.now):
        raise VaultError(400, "token to revoke not found")
    note(call, "token.revoke", held.row.accessor)
    return Reply()


async def accessors(call: Call) -> Reply:
    """List the accessors of all tokens."""
    keys = await call.live.vault.tokens.accessors(call.now)
    if not keys:
        raise not_found()
    return Reply({"keys": keys})


async def create(call: Call) -> Reply:
    """Make a token below the request's own, or as a role says."""
    return await _created(call, orphan=False)


async def create_orphan(call: Call) -> Reply:
    """Make a token that has no parent."""
    return await _created(call, orphan=True)


async def _created(call: Call, *, orphan: bool) -> Reply:
    vault, name = call.live.vault, call.text("role_name")
    role = vault.roles.get(name)
    if name and role is None:
        raise VaultError(400, f"unknown role {name}")
    if call.text("entity_alias"):
        raise VaultError(400, "'entity_alias' is not supported")
    sudo, asked = call.holder.acl.sudo(call.path), _asked(call)
    new = child(call.holder.row, asked, sudo=sudo, orphan=orphan, role=role, caps=vault.caps)
    made = await vault.tokens.issue(new, call.now)
    note(call, "token.issue", made.row.accessor or "a batch token")
    return Reply(auth=auth_block(made.row, call.now, made.text), warnings=made.warnings)


def _asked(call: Call) -> CreateRequest:
    meta = call.mapping("meta")
    if not all(isinstance(value, str) for value in meta.values()):
        raise VaultError(400, "values of meta must be strings")
    return CreateRequest(
        policies=call.texts("policies"),
        ttl=call.duration("ttl") or call.duration("lease"),
        explicit_max_ttl=call.duration("explicit_max_ttl"),
        period=call.duration("period"),
        renewable=call.flag("renewable") or not call.given("renewable"),
        num_uses=call.integer("num_uses"),
        meta=meta,
        display_name=call.text("display_name"),
        type=call.text("type"),
        no_parent=call.flag("no_parent"),
        no_default_policy=call.flag("no_default_policy"),
        id=call.text("id"),
    )


async def _by_accessor(call: Call) -> Held | None:
    return await call.live.vault.tokens.find_accessor(call.required("accessor", "missing accessor"), call.now)


async def _renewed(call: Call, held: Held | None, text: str) -> Reply:
    if held is None:
        raise VaultError(400, "token not found")
    renewed = await call.live.vault.renewals.renew(held, call.now, call.duration("increment"))
    note(call, "token.renew", held.row.accessor)
    return Reply(auth=auth_block(renewed.row, call.now, text), warnings=renewed.warnings)


_UPDATE: Final = Operation.UPDATE
ROUTES = (
    Route("auth/token/lookup-self", {Operation.READ: lookup_self, _UPDATE: lookup_self}, help="Tells of the own."),
    Route("auth/token/lookup", {Operation.READ: lookup, _UPDATE: lookup}, (_TOKEN,), help="Tells of a token."),
    Route("auth/token/lookup-accessor", {_UPDATE: lookup_accessor}, (_ACCESSOR,), help="Tells of it by accessor."),
    Route("auth/token/renew-self", {_UPDATE: renew_self}, (_INCREMENT, _TOKEN), help="Renews the own token."),
    Route("auth/token/renew", {_UPDATE: renew}, (_TOKEN, _INCREMENT), help="Renews a token."),
    Route("auth/token/renew-accessor", {_UPDATE: renew_accessor}, (_ACCESSOR, _INCREMENT), help="Renews by accessor."),
    Route("auth/token/revoke-self", {_UPDATE: revoke_self}, (_TOKEN,), help="Ends the own token and all it made."),
    Route("auth/token/revoke", {_UPDATE: revoke}, (_TOKEN,), help="Ends a token and all it made."),
    Route("auth/token/revoke-accessor", {_UPDATE: revoke_accessor}, (_ACCESSOR,), help="Ends a token by accessor."),
    Route("auth/token/revoke-orphan", {_UPDATE: revoke_orphan}, (_TOKEN,), help="Ends a token alone."),
    Route("auth/token/accessors", {Operation.LIST: accessors}, help="Lists the accessors of all tokens."),
    Route("auth/token/create", {_UPDATE: create}, _CREATE, help="Makes a token."),
    Route("auth/token/create-orphan", {_UPDATE: create_orphan}, _CREATE, help="Makes a token without parent."),
    Route("auth/token/create/{role_name}", {_UPDATE: create}, _CREATE, help="Makes a token as a role says."),
)

"""``auth/token/roles``: kinds of tokens that others may make (vault.md 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gateway.config.schema.vault import TokenRole
from gateway.serve.vault.call import Call, Operation
from gateway.serve.vault.fields import Field, Type
from gateway.serve.vault.reply import Reply, VaultError, not_found
from gateway.serve.vault.routes import Route
from gateway.serve.vault.stored import Values, store

if TYPE_CHECKING:
    from gateway.config.load import Snapshot

_SECTION: Final = ("vault", "token_roles")
_FIELDS: Final = (
    Field("allowed_policies", Type.TEXTS, "Policies that may be asked for."),
    Field("disallowed_policies", Type.TEXTS, "Policies that may not."),
    Field("allowed_policies_glob", Type.TEXTS, "The same with * for any text."),
    Field("disallowed_policies_glob", Type.TEXTS, "The same with * for any text."),
    Field("orphan", Type.FLAG, "Tokens outlive the token that made them."),
    Field("renewable", Type.FLAG, "Tokens can be renewed."),
    Field("path_suffix", help="Put behind the path that tokens are filed under."),
    Field("token_explicit_max_ttl", Type.DURATION, "Hard end."),
    Field("token_period", Type.DURATION, "What each renewal gives, for ever."),
    Field("token_bound_cidrs", Type.TEXTS, "Networks from which tokens can be used."),
    Field("token_no_default_policy", Type.FLAG, "Leave policy default out."),
    Field("token_num_uses", Type.INTEGER, "Requests that a token is good for."),
    Field("token_type", help="service, batch, default-service or default-batch."),
)
_OLD: Final = (
    Field("explicit_max_ttl", Type.DURATION, "As token_explicit_max_ttl was called once.", "token_explicit_max_ttl"),
    Field("period", Type.DURATION, "As token_period was called once.", "token_period"),
    Field("bound_cidrs", Type.TEXTS, "As token_bound_cidrs was called once.", "token_bound_cidrs"),
    Field("allowed_entity_aliases", Type.TEXTS, "Not taken: tokens act for whom their parents do."),
)
_GETTERS: Final = {
    Type.TEXTS: Call.texts,
    Type.FLAG: Call.flag,
    Type.DURATION: Call.duration,
    Type.INTEGER: Call.integer,
    Type.TEXT: Call.text,
}


async def listed(call: Call) -> Reply:
    """All names."""
    if not (names := sorted(call.live.configuration.vault.token_roles)):
        raise not_found()
    return Reply({"keys": names})


async def read(call: Call) -> Reply:
    """One role."""
    role = call.live.configuration.vault.token_roles.get(call.text("role_name"))
    if role is None:
        raise not_found()
    shown = _shown(role)
    same = {"explicit_max_ttl": shown["token_explicit_max_ttl"], "period": shown["token_period"]}
    return Reply({"name": call.text("role_name"), "allowed_entity_aliases": None, **shown, **same})


async def write(call: Call) -> Reply:
    """Keep a role. What is not given stays as it is."""
    if call.texts("allowed_entity_aliases"):
        raise VaultError(400, "'allowed_entity_aliases' is not supported")
    if call.integer("token_num_uses") < 0:
        raise VaultError(400, "'token_num_uses' cannot be negative")
    name, given = call.text("role_name"), _given(call)

    def values(snapshot: Snapshot) -> Values:
        role = snapshot.configuration.vault.token_roles.get(name, TokenRole())
        return {(*_SECTION, name): _shown(role) | given}

    return await store(call, values)


async def delete(call: Call) -> Reply:
    """Forget a role; one that is not there, is gone already."""
    return await store(call, lambda _: {(*_SECTION, call.text("role_name")): None})


def _given(call: Call) -> dict[str, Any]:
    given = {field.name: _GETTERS[field.type](call, field.name) for field in _FIELDS if call.given(field.name)}
    for name in ("explicit_max_ttl", "period", "bound_cidrs"):
        if call.given(name):
            given.setdefault(f"token_{name}", call.texts(name) if name == "bound_cidrs" else call.duration(name))
    return given


def _shown(role: TokenRole) -> dict[str, Any]:
    shown: dict[str, Any] = {field.name: getattr(role, field.name) for field in _FIELDS}
    for field in _FIELDS:
        if field.type is Type.TEXTS:
            shown[field.name] = list(shown[field.name])
        elif field.type is Type.DURATION:
            shown[field.name] = int(shown[field.name])
    return shown


ROUTES = (
    Route("auth/token/roles", {Operation.LIST: listed}, help="Lists roles."),
    Route(
        "auth/token/roles/{role_name}",
        {Operation.READ: read, Operation.UPDATE: write, Operation.DELETE: delete},
        (*_FIELDS, *_OLD),
        help="Reads, writes and deletes a kind of tokens.",
    ),
)

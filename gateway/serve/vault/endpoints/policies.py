"""``sys/policies/acl`` and the older ``sys/policy``: policy documents by name (vault.md 9)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from gateway.grants.policies.book import DEFAULT_POLICY, ROOT_POLICY, fold
from gateway.grants.policies.document import PolicyError
from gateway.grants.policies.policy import decode, parse
from gateway.serve.vault.call import Call, Operation
from gateway.serve.vault.fields import Field
from gateway.serve.vault.reply import Reply, VaultError, not_found
from gateway.serve.vault.routes import Route
from gateway.serve.vault.stored import store
from gateway.tokens.vault_children import UNASSIGNABLE

if TYPE_CHECKING:
    from gateway.config.load import Snapshot

_SECTION: Final = ("vault", "policies")
_LONGEST_NAME: Final = 512


async def listed(call: Call) -> Reply:
    """All names."""
    return Reply({"keys": call.live.vault.policies.names()}, top_level=True)


async def listed_twice(call: Call) -> Reply:
    """All names, as they were listed once, too."""
    names = call.live.vault.policies.names()
    return Reply({"keys": names, "policies": names}, top_level=True)


async def read(call: Call) -> Reply:
    """One document."""
    return Reply({"name": _name(call), "policy": _text(call)}, top_level=True)


async def read_rules(call: Call) -> Reply:
    """One document, as it was called once."""
    return Reply({"name": _name(call), "rules": _text(call)}, top_level=True)


async def write(call: Call) -> Reply:
    """Keep a document, if it can be understood."""
    name = _name(call)
    if name == ROOT_POLICY or name in UNASSIGNABLE:
        raise VaultError(400, f'cannot update "{name}" policy')
    if len(name) > _LONGEST_NAME:
        raise VaultError(400, "policy name is too long")
    text = decode(call.text("policy") or call.text("rules"))
    if not text.strip():
        raise VaultError(400, "'policy' parameter not supplied or empty")
    try:
        await asyncio.to_thread(parse, text)
    except PolicyError as error:
        raise VaultError(400, str(error)) from None
    return await store(call, lambda snapshot: {_place(snapshot, name): text})


async def delete(call: Call) -> Reply:
    """Forget a document; one that is not there, is gone already."""
    name = _name(call)
    if name in (ROOT_POLICY, DEFAULT_POLICY) or name in UNASSIGNABLE:
        raise VaultError(400, f'cannot delete "{name}" policy')
    return await store(call, lambda snapshot: {_place(snapshot, name): None})


def _name(call: Call) -> str:
    return fold(call.text("name"))


def _place(snapshot: Snapshot, name: str) -> tuple[str, ...]:
    """Where a document stands: a file may write its name in capitals."""
    known = (key for key in snapshot.configuration.vault.policies if fold(key) == name)
    return (*_SECTION, next(known, name))


def _text(call: Call) -> str:
    text = call.live.vault.policies.text(_name(call))
    if text is None:
        raise not_found()
    return text


_FIELDS: Final = (
    Field("policy", help="The document, in HCL or JSON, or base64 of it."),
    Field("rules", help="The same, as it was called once.", same_as="policy"),
)
ROUTES = (
    Route("sys/policies/acl", {Operation.LIST: listed}, help="Lists policies."),
    Route(
        "sys/policies/acl/{name*}",
        {Operation.READ: read, Operation.UPDATE: write, Operation.DELETE: delete},
        _FIELDS,
        kept=lambda _, parameters: fold(parameters["name"]),
        help="Reads, writes and deletes a policy.",
    ),
    Route("sys/policy", {Operation.READ: listed_twice, Operation.LIST: listed_twice}, help="Lists policies."),
    Route(
        "sys/policy/{name*}",
        {Operation.READ: read_rules, Operation.UPDATE: write, Operation.DELETE: delete},
        _FIELDS,
        kept=lambda _, parameters: fold(parameters["name"]),
        help="Reads, writes and deletes a policy.",
    ),
)

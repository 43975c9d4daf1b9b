"""``users.*_vaults``: configuration vaults (clearml.md 7.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from gateway.grants.mapping import ADMIN_ROLES
from gateway.identity import Identity
from gateway.serve.clearml import errors
from gateway.serve.clearml.endpoint import Answer, Endpoint, Request
from gateway.vaults.groups import is_administrator
from gateway.vaults.model import Edit, InvalidField, NotAllowed, UnknownVault, Wanted
from gateway.vaults.ready import stored
from gateway.vaults.turns import TooManyWaiting

_BEFORE: Final = stored(b'{"vaults":[')
_BEHIND: Final = stored(b"]}")


async def get_vaults(request: Request) -> Answer:
    """The caller's vaults. The SDK asks for enabled ones of type ``config`` and gets what it can read; without these
    filters they are listed for editing, as they were written (DECISIONS 32)."""
    listed = await request.live.vaults.listing(request.identity, _wanted(request))
    return Answer(rendered=(_BEFORE, *listed, _BEHIND))


async def get_organization_vaults(request: Request) -> Answer:
    """Every vault of organisation and groups, as it was written."""
    listed = await request.live.vaults.organization(request.identity, _wanted(request))
    return Answer(rendered=(_BEFORE, *listed, _BEHIND))


async def add_or_update_vault(request: Request) -> Answer:
    """Create a vault, or change the one whose id is given; fields that are not given stay as they are."""
    edit = await _edit(request)
    async with _told(request):
        saved = await request.live.vaults.save(request.identity, edit, by=request.caller.own.label, now=request.now)
    _audit(request, "vault.write", saved.id)
    answer: dict[str, Any] = {"vault": saved.id}
    if saved.warnings:
        answer["warnings"] = [remark._asdict() for remark in saved.warnings]
    return Answer(answer)


async def delete_vaults(request: Request) -> Answer:
    """Delete vaults; the personal one of a user only becomes empty, and counts."""
    book, ids = request.live.vaults, request.required_texts("vaults")
    async with _told(request):
        deleted = await book.delete(request.identity, ids, by=request.caller.own.label, now=request.now)
    for vault_id in deleted:
        _audit(request, "vault.delete", vault_id)
    return Answer({"deleted": len(deleted)})


def _wanted(request: Request) -> Wanted:
    types = tuple(sorted(set(request.texts("types"))))
    return Wanted(request.flag("enabled", default=False), types, request.flag("preview_data", default=False))


async def _edit(request: Request) -> Edit:
    given = request.parameters.get("vault")
    if given is None:
        raise errors.required_field("vault")
    if not isinstance(given, dict):
        raise errors.validation("error for field 'vault'. expected an object")
    vault = replace(request, parameters=given)
    enabled = None if given.get("enabled") is None else vault.flag("enabled", default=True)
    return Edit(
        id=_text(vault, "id"), scope=_text(vault, "scope"), group=_text(request, "group") or _text(vault, "group"),
        person=await _person(request), enabled=enabled, type=_text(vault, "type"), format=_text(vault, "format"),
        description=_text(vault, "description"), text=_text(vault, "data"),
    )  # fmt: skip


def _text(request: Request, name: str) -> str | None:
    return None if request.parameters.get(name) is None else request.text(name)


async def _person(request: Request) -> Identity | None:
    """Whose vault it is where ``user`` says so, which is for administrators alone."""
    user_id = _text(request, "user")
    identity = request.identity
    if user_id is None or user_id == identity.user_id:
        return None
    if not is_administrator(identity):
        raise errors.role_refused(identity.grant.clearml_role, ADMIN_ROLES)
    person = await request.live.identities.by_user_id(user_id, identity.grant.reach)
    if person is None:
        raise errors.invalid_user_id(user_id, identity.grant.company)
    return person


@asynccontextmanager
async def _told(request: Request) -> AsyncIterator[None]:
    """Say what is wrong in the API's words."""
    try:
        yield
    except UnknownVault as error:
        raise errors.invalid_object_id(error.vault_id, request.identity.grant.company) from None
    except NotAllowed:
        raise errors.role_refused(request.identity.grant.clearml_role, ADMIN_ROLES) from None
    except TooManyWaiting:
        text = "Too many texts of this user are waiting to be read"
        raise errors.ApiError(429, 0, text, retry_after=2) from None
    except InvalidField as error:
        raise errors.validation(f"error for field '{error.name}'. {error.message}") from None


def _audit(request: Request, action: str, vault_id: str) -> None:
    caller = request.caller
    reason = f"acting for {caller.subject.label}" if caller.impersonates else ""
    request.audit(action, caller.own, vault_id, reason)


ENDPOINTS = (
    Endpoint("users.get_vaults", get_vaults, repeatable=True),
    Endpoint("users.get_organization_vaults", get_organization_vaults, roles=ADMIN_ROLES),
    Endpoint("users.add_or_update_vault", add_or_update_vault, changes_state=True),
    Endpoint("users.delete_vaults", delete_vaults, changes_state=True),
)

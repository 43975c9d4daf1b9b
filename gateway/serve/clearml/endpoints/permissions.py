"""``permissions.*``: the groups that vaults belong to (clearml.md 7.1). For administrators."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from gateway.grants.mapping import ADMIN_ROLES
from gateway.identity import Identity
from gateway.serve.clearml import errors
from gateway.serve.clearml.endpoint import Answer, Endpoint, Request
from gateway.vaults.groups import VaultsGroup
from gateway.vaults.made_groups import delete_groups, group_before, groups_within, save_group
from gateway.vaults.model import InvalidField, UnknownGroup

_PAGE: Final = 100
"""People looked at before the event loop serves others."""


async def get_user_groups(request: Request) -> Answer:
    """All groups, or those named by id, with the people who are in them as far as they have ever been here."""
    wanted, groups = set(request.texts("groups")), request.live.vaults.groups
    company = request.identity.grant.reach
    made = await groups_within(request.live.store, company)
    shown = [
        *(_shown(group.id, group.name, "", group) for group in groups.fixed),
        *(_shown(group.id, group.name, group.description, None) for group in made),
    ]
    shown = [group for group in shown if not wanted or group["id"] in wanted]
    by_id = {group["id"]: group["users"] for group in shown}
    for each in groups.companies if company is None else (company,):
        async for person in _people(request, each):
            for group_id in groups.of(person, made) & by_id.keys():
                by_id[group_id].append(_user(person))
    return Answer({"groups": shown})


async def _people(request: Request, company: str) -> AsyncIterator[Identity]:
    offset = 0
    while rows := await request.live.store.identities_of_company(company, offset=offset, limit=_PAGE):
        for person in await request.live.identities.of_company(company, offset, _PAGE):
            yield person
        offset += len(rows)


async def add_or_update_user_group(request: Request) -> Answer:
    """Create a group, or change the one whose id is given; ``users`` replaces its people."""
    name = request.text("name")
    given = {field: request.text(field) for field in ("id", "description") if request.parameters.get(field) is not None}
    store, groups = request.live.store, request.live.vaults.groups
    try:
        before = await group_before(store, groups, request.identity, given.get("id"))
        members = None if request.parameters.get("users") is None else await _members(request, before.company)
        saved = await save_group(store, groups, before, name, given.get("description"), members)
    except (InvalidField, UnknownGroup) as error:
        raise _told(request, error) from None
    request.audit("group.write", request.caller.own, saved.id)
    return Answer({"id": saved.id, "name": saved.name})


async def delete_user_groups(request: Request) -> Answer:
    """Delete groups; their vaults stay, and apply to nobody until they get another group."""
    ids = request.required_texts("groups")
    try:
        deleted = await delete_groups(request.live.store, request.live.vaults.groups, request.identity, ids)
    except InvalidField as error:
        raise _told(request, error) from None
    request.audit("group.delete", request.caller.own, ", ".join(ids))
    return Answer({"deleted": deleted})


async def _members(request: Request, company: str) -> list[str]:
    """Ids of the identities of a company whose ClearML user ids are given."""
    members = []
    for user_id in dict.fromkeys(request.texts("users")):
        person = await request.live.identities.by_user_id(user_id, company)
        if person is None:
            raise errors.invalid_user_id(user_id, company)
        members.append(person.id)
    return members


def _shown(group_id: str, name: str, description: str, fixed: VaultsGroup | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": group_id, "name": name}
    if description:
        shown["description"] = description
    return {**shown, "system": fixed is not None and fixed.system, "assignable": fixed is None, "users": []}


def _user(person: Identity) -> dict[str, str]:
    account = person.account
    shown = {"id": person.user_id, "name": account.name or account.username, "email": account.email}
    return {key: value for key, value in shown.items() if value}


def _told(request: Request, error: InvalidField | UnknownGroup) -> errors.ApiError:
    if isinstance(error, UnknownGroup):
        return errors.invalid_object_id(error.group_id, request.identity.grant.company)
    return errors.validation(f"error for field '{error.name}'. {error.message}")


ENDPOINTS = (
    Endpoint("permissions.get_user_groups", get_user_groups, roles=ADMIN_ROLES),
    Endpoint("permissions.add_or_update_user_group", add_or_update_user_group, roles=ADMIN_ROLES, changes_state=True),
    Endpoint("permissions.delete_user_groups", delete_user_groups, roles=ADMIN_ROLES, changes_state=True),
)

"""``users.*``: people and their preferences (clearml.md 9)."""

from __future__ import annotations

from typing import Any, Final

from gateway.grants.mapping import ADMIN_ROLES, SERVICE_ROLES
from gateway.identity import Identity
from gateway.serve.clearml import errors
from gateway.serve.clearml.endpoint import Answer, Endpoint, Request, iso_time
from gateway.serve.clearml.preferences import changed, differences, tree_of

PAGE: Final = 500
"""People in one answer, at most."""
_MOST_PAGES: Final = 1_000_000


async def get_current_user(request: Request) -> Answer:
    """The record that the web UI starts with; services have none."""
    identity = request.identity
    grant = identity.grant
    if grant.clearml_role in SERVICE_ROLES and not identity.account.server:
        raise errors.failed_loading_user()
    names = _names(identity)
    user = {
        "id": identity.user_id,
        **names,
        "role": grant.clearml_role,
        "company": {"id": grant.company, "name": grant.company_name},
        "created": iso_time(identity.created_at),
    }
    return Answer({"user": user, "getting_started": {}, "settings": {"max_download_items": 50000}})


async def get_all(request: Request) -> Answer:
    """The people of the caller's company who have been here, by pages; who is gone leaves a gap in theirs."""
    size = min(request.number("page_size", PAGE, _MOST_PAGES), PAGE)
    page = request.number("page", 0, _MOST_PAGES)
    people = await request.live.identities.of_company(request.identity.grant.company, page * size, size)
    return Answer({"users": [_record(person) for person in people]})


async def get_by_id(request: Request) -> Answer:
    """One person of the caller's company; services of role system or root see every company.

    What the directory says besides is for the person and for administrators (DECISIONS 12).
    """
    user_id = request.text("user")
    grant = request.identity.grant
    company = None if grant.clearml_role in SERVICE_ROLES else grant.company
    person = await request.live.identities.by_user_id(user_id, company)
    if person is None:
        raise errors.invalid_user_id(user_id, grant.company)
    shown = _record(person)
    if person.id == request.identity.id or grant.clearml_role in ADMIN_ROLES:
        account = person.account
        attributes = {name: list(values) for name, values in account.attributes.items()}
        details = {"role": person.grant.clearml_role, "email": account.email, "attributes": attributes}
        shown |= {name: value for name, value in details.items() if value}
    return Answer({"user": shown})


async def get_preferences(request: Request) -> Answer:
    """What the web UI stored about itself."""
    return Answer({"preferences": tree_of(await request.live.store.preferences(request.identity.id))})


async def set_preferences(request: Request) -> Answer:
    """Change some of it; the answer has all of it, where anything changed."""
    changes = request.parameters.get("preferences")
    if changes is None:
        raise errors.required_field("preferences")
    if not isinstance(changes, dict):
        raise errors.validation("error for field 'preferences'. expected an object")
    store, person = request.live.store, request.person
    before = tree_of(await store.preferences(person.id))
    after = changed(before, changes)
    if not (written := differences(before, after)):
        return Answer({"updated": 0, "fields": {}})
    await store.preferences_set(person.id, written)
    return Answer({"updated": 1, "fields": {"preferences": after}})


def _record(person: Identity) -> dict[str, Any]:
    return {
        "id": person.user_id,
        "company": person.grant.company,
        **_names(person),
        "created": iso_time(person.created_at),
    }


def _names(person: Identity) -> dict[str, str]:
    name = person.account.name or person.account.username
    given_name, _, family_name = name.partition(" ")
    names = {"name": name, "given_name": given_name, "family_name": family_name}
    return {key: value for key, value in names.items() if value}


ENDPOINTS = (
    Endpoint("users.get_current_user", get_current_user),
    Endpoint("users.get_all", get_all),
    Endpoint("users.get_by_id", get_by_id),
    Endpoint("users.get_preferences", get_preferences),
    Endpoint("users.set_preferences", set_preferences, changes_state=True),
)

"""Groups made through ``permissions.*``: what may be saved and deleted (clearml.md 7.1)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from gateway.identity import Identity
from gateway.store.interface import Conflict, GroupRow
from gateway.vaults.groups import Groups
from gateway.vaults.model import MAX_DESCRIPTION, InvalidField, UnknownGroup

if TYPE_CHECKING:
    from gateway.store.interface import Store

MAX_NAME: Final = 128
"""Characters of a group's name."""
MAX_GROUPS: Final = 10_000
"""Groups made through the API."""


async def groups_within(store: Store, company: str | None) -> list[GroupRow]:
    """The made groups of a company; None: of every one."""
    return [group for group in await store.groups() if company in (None, group.company)]


async def group_before(store: Store, groups: Groups, editor: Identity, group_id: str | None) -> GroupRow:
    """The group that an administrator is about to change, or an empty one of the own company to begin with.

    Raises UnknownGroup, also for those of other companies, and InvalidField.
    """
    company = editor.grant.company
    if group_id is None:
        if len(await groups_within(store, company)) >= MAX_GROUPS:
            raise InvalidField("name", f"there are {MAX_GROUPS} groups already")
        return GroupRow(uuid.uuid4().hex, company, "", "", frozenset())
    before = next((group for group in await groups_within(store, editor.grant.reach) if group.id == group_id), None)
    if before is None:
        _refuse_fixed(groups, group_id, "id")
        raise UnknownGroup(group_id)
    return before


async def save_group(
    store: Store, groups: Groups, before: GroupRow, name: str, description: str | None, members: Iterable[str] | None
) -> GroupRow:
    """Write a group; what is None stays as it is. ``members`` are ids of identities of its company.

    Raises InvalidField.
    """
    if not name.strip() or len(name) > MAX_NAME:
        raise InvalidField("name", f"expected up to {MAX_NAME} characters")
    _refuse_fixed(groups, name, "name")
    if description is not None and len(description) > MAX_DESCRIPTION:
        raise InvalidField("description", f"expected at most {MAX_DESCRIPTION} characters")
    after = GroupRow(
        before.id, before.company, name, before.description if description is None else description,
        before.members if members is None else frozenset(members),
    )  # fmt: skip
    try:
        await store.group_save(after)
    except Conflict:
        raise InvalidField("name", "another group has this name") from None
    return after


async def delete_groups(store: Store, groups: Groups, editor: Identity, group_ids: Sequence[str]) -> int:
    """Delete groups that the editor may, and say how many there were.

    Raises InvalidField, and deletes nothing, for built-in ones.
    """
    for group_id in group_ids:
        _refuse_fixed(groups, group_id, "groups")
    known = {group.id for group in await groups_within(store, editor.grant.reach)}
    return await store.groups_delete([group_id for group_id in group_ids if group_id in known])


def _refuse_fixed(groups: Groups, name_or_id: str, field: str) -> None:
    fixed = groups.named(name_or_id)
    if fixed is not None:
        where = "is built in" if fixed.system else "is declared in the configuration"
        raise InvalidField(field, f"the group {fixed.name} {where} (vaults.groups)")

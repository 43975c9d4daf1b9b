"""ClearML vaults that the configuration declares, and the groups that vaults belong to (configuration.md 1.6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

from pydantic import Field

from gateway.grants.mapping import BUILT_IN_GROUPS
from gateway.identity import fold_name

from .fields import Flag, Int, Items, OptionalPath, Secret, SecretText, Size, Text, Texts, matching, no_items
from .section import Finding, Section, not_both

PersonNamed = tuple[tuple[str | int, ...], str, str]
VaultScope = Literal["organization", "group", "user"]
VaultFormat = Literal["hocon", "json", "yaml"]
GroupId = Annotated[Text, matching(r"[0-9A-Za-z_-]*", "letters, digits, _ and - alone")]


class VaultGroup(Section):
    """A group that vaults can belong to."""

    id: GroupId = ""
    """Stable id; made from the name where not given."""
    group: Text = ""
    """Members of this group are in it: ``NAME`` of any directory and of local users, or ``SERVER/NAME``."""
    group_dn: Text = ""
    """The same by DN."""
    users: Texts = ()
    """Who is in it besides: ``NAME`` for a local user, ``SERVER/NAME`` for one of a directory."""

    def findings(self) -> Iterator[Finding]:
        yield from not_both("group", "group_dn", (self.group, self.group_dn))


class DeclaredVault(Section):
    """A vault that the configuration holds; the API shows it and cannot change it."""

    scope: VaultScope = "organization"
    """Whom it is for: everyone, one group, or one person."""
    company: Text = ""
    """Id of the company it is for; those of all companies where not given."""
    group: Text = ""
    """With scope ``group``: name or id of a group of ``vaults.groups``, or ``users``, ``admins``, ``queue_admins``."""
    user: Text = ""
    """With scope ``user``: ``NAME`` of a local user, or ``SERVER/NAME``."""
    format: VaultFormat = "hocon"
    """How its text is written."""
    type: Annotated[Text, matching(r".{1,64}", "up to 64 characters")] = "config"
    """SDKs ask for ``config``."""
    enabled: Flag = True
    """Whether clients get it."""
    description: Text = ""
    """A few words about it; its name where not given."""
    data: SecretText = Field(default_factory=Secret)
    """The text itself, never shown with the configuration."""
    file: OptionalPath = None
    """File with the text; read again when it changes."""

    def findings(self) -> Iterator[Finding]:
        for scope, value in (("group", self.group), ("user", self.user)):
            if self.scope == scope and not value:
                yield Finding((scope,), f"is needed with scope {scope}", absence=True, rests_on=(("scope",),))
            elif self.scope != scope and value:
                yield Finding((scope,), f"is for scope {scope} alone", rests_on=(("scope",),))


def people_of(groups: Mapping[str, VaultGroup], declared: Mapping[str, DeclaredVault]) -> Iterator[PersonNamed]:
    """Whom vaults and their groups name: place below ``vaults``, ``user`` or ``group``, and the name."""
    for name, group in groups.items():
        for index, user in enumerate(group.users):
            yield ("groups", name, "users", index), "user", user
        if group.group:
            yield ("groups", name, "group"), "group", group.group
    for name, vault in declared.items():
        if vault.user:
            yield ("declared", name, "user"), "user", vault.user


class Vaults(Section):
    """ClearML configuration vaults."""

    groups: Items[VaultGroup] = Field(default_factory=no_items)
    """Groups that vaults can belong to, by name; ``users`` (everyone), ``admins`` and ``queue_admins`` always exist.
    One that names nobody holds who is in a directory group of its name, on servers with ``clearml.groups.enabled``."""
    declared: Items[DeclaredVault] = Field(default_factory=no_items)
    """Vaults by name, which the API cannot change."""
    max_size: Annotated[Size, Field(ge=1024, le=1024 * 1024)] = 256 * 1024
    """Largest text of one vault."""
    history: Annotated[Int, Field(ge=0, le=1000)] = 20
    """Earlier versions of a vault that are kept."""

    def findings(self) -> Iterator[Finding]:
        seen: dict[str, str] = {}
        for name, group in self.groups.items():
            if group.id and seen.setdefault(group.id, name) != name:
                yield Finding(("groups", name, "id"), f"is the same as of {seen[group.id]}")
        for name, vault in self.declared.items():
            if vault.type != "config":
                message = "no ClearML SDK or agent asks for vaults of this type: they want config"
                yield Finding(("declared", name, "type"), message, "warning")
        known = {fold_name(name) for name in (*BUILT_IN_GROUPS, *self.groups)}
        for name, vault in self.declared.items():
            if vault.group and vault.group not in seen and fold_name(vault.group) not in known:
                message = f"there is no group {vault.group}: declare it in vaults.groups"
                yield Finding(("declared", name, "group"), message, rests_on=(("groups",),))

"""What vaults are: ids, who sees which, and what an edit makes of one (clearml.md 7.1, DECISIONS 32)."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gateway.identity import Identity, fold_name
from gateway.store.interface import VaultRow

ORGANIZATION: Final = "organization"
GROUP: Final = "group"
USER: Final = "user"
SCOPES: Final = (ORGANIZATION, GROUP, USER)
"""In the order in which clients merge them: personal settings win."""
FORMATS: Final = ("hocon", "json", "yaml")
CONFIG: Final = "config"
"""The type that SDKs and agents read as configuration; other types are passed on as they are."""
MAX_TYPE: Final = 64
MAX_DESCRIPTION: Final = 4096
"""Both in characters."""


class UnknownVault(Exception):
    """There is no vault with this id."""

    def __init__(self, vault_id: str) -> None:
        super().__init__(f"no vault {vault_id}")
        self.vault_id = vault_id


class UnknownGroup(Exception):
    """There is no group with this id."""

    def __init__(self, group_id: str) -> None:
        super().__init__(f"no group {group_id}")
        self.group_id = group_id


class NotAllowed(Exception):
    """Only administrators may write vaults of others."""


class InvalidField(Exception):
    """A field cannot be used; the text is for whoever sent it, and never quotes a vault."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(f"{name}: {message}")
        self.name = name
        self.message = message


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a listing is asked for."""

    enabled: bool = False
    """Only enabled ones."""
    types: tuple[str, ...] = ()
    """Only these types; empty: all."""
    preview: bool = False
    """Texts with their strings masked."""

    @property
    def by_client(self) -> bool:
        """Whether an SDK asks, which applies what it gets; else somebody wants to see and edit (DECISIONS 32)."""
        return self.enabled or bool(self.types)

    def admits(self, vault: VaultRow) -> bool:
        """Whether the filters let a vault through."""
        return (vault.enabled or not self.enabled) and (not self.types or vault.type in self.types)


@dataclass(frozen=True, slots=True)
class Edit:
    """What somebody wants a vault to be; None leaves a field as it is, or takes the default for a new vault."""

    id: str | None = None
    scope: str | None = None
    group: str | None = None
    """Id of a group, for scope ``group``."""
    person: Identity | None = None
    """Whose, for scope ``user``; None: the editor's own."""
    enabled: bool | None = None
    type: str | None = None
    format: str | None = None
    description: str | None = None
    text: str | None = field(default=None, repr=False)


def owner_of(identity: Identity) -> str:
    """The owner of personal vaults. A service keeps its own when its secret, and with it its identity, changes."""
    return identity.id if identity.account.server else f"service:{identity.account.external_id}"


def user_vault_id(owner: str, type: str = CONFIG) -> str:  # noqa: A002
    """The id of a person's vault of a type, of which there is one: known before the first write stores anything."""
    named = owner if type == CONFIG else f"{owner}\0{type}"
    return hashlib.sha256(f"user vault of {named}".encode()).hexdigest()[:32]


def declared_vault_id(name: str) -> str:
    """The id of a vault that the configuration declares."""
    return hashlib.sha256(f"declared vault {fold_name(name)}".encode()).hexdigest()[:32]


def blank(vault_id: str, company: str, scope: str, owner: str, kind: str = CONFIG) -> VaultRow:
    """An empty vault that is not stored."""
    return VaultRow(
        id=vault_id, company=company, scope=scope, owner=owner, type=kind, format="hocon", enabled=True,
        description="", text="", delivered="", created_at=0, updated_at=0, updated_by="",
    )  # fmt: skip


def shared_with(
    vault: VaultRow, company: str | None, groups: Collection[str], wanted: Wanted, *, administrator: bool
) -> bool:
    """Whether somebody of this company (None: of every one), in these groups, gets a vault of organisation or group.

    An administrator who edits sees all of the company; nobody else learns of one that is disabled (clearml.md 7.1).
    """
    if not wanted.admits(vault) or not belongs_to(vault, company):
        return False
    if administrator and not wanted.by_client:
        return True
    return applies(vault) and (vault.scope == ORGANIZATION or vault.owner in groups)


def belongs_to(vault: VaultRow, company: str | None) -> bool:
    """Whether a vault is of this company, or of all as a declared one may be; None stands for every company."""
    return company is None or vault.company in ("", company)


def applies(vault: VaultRow) -> bool:
    """Whether clients get it at all."""
    return vault.enabled and not vault.damaged


def edited(before: VaultRow, edit: Edit) -> VaultRow:
    """The vault after an edit, its text not yet checked. Raises InvalidField."""
    if edit.scope not in (None, before.scope):
        raise InvalidField("scope", f"of this vault is {before.scope} and cannot be changed; make another vault")
    if before.damaged and edit.text is None:
        raise InvalidField("data", "of this vault is damaged: give it anew, or delete the vault")
    if before.scope == USER and edit.type not in (None, before.type):
        raise InvalidField("type", "of a user vault cannot be changed")
    if before.scope != GROUP and edit.group is not None:
        raise InvalidField("group", "is for scope group alone; say so as the vault's scope")
    given: dict[str, Any] = {
        "owner": edit.group, "enabled": edit.enabled, "type": edit.type, "format": edit.format,
        "description": edit.description, "text": edit.text,
    }  # fmt: skip
    after = replace(before, **{name: value for name, value in given.items() if value is not None})
    if after.format not in FORMATS:
        raise InvalidField("format", f"expected {', '.join(FORMATS)}")
    if not 0 < len(after.type) <= MAX_TYPE:
        raise InvalidField("type", f"expected up to {MAX_TYPE} characters")
    if len(after.description) > MAX_DESCRIPTION:
        raise InvalidField("description", f"expected at most {MAX_DESCRIPTION} characters")
    return after

"""The vaults of a daemon: who gets which, and who may change them (clearml.md 7.1, DECISIONS 32).

The texts are checked, converted and sealed when they are written. Reading one again costs a look at the store's
revision: what was shown once is kept as ready bytes until any process writes a vault or a group.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from gateway.identity import Identity, fold_name
from gateway.store.interface import OWN_VAULTS, Conflict, GroupRow, OverLimit, OwnersRoom, VaultRow, VaultVersion
from gateway.vaults.declared import Declared, declared_vaults
from gateway.vaults.groups import Groups, is_administrator
from gateway.vaults.model import (
    CONFIG,
    GROUP,
    ORGANIZATION,
    SCOPES,
    USER,
    Edit,
    InvalidField,
    NotAllowed,
    UnknownVault,
    Wanted,
    applies,
    belongs_to,
    blank,
    edited,
    owner_of,
    shared_with,
    user_vault_id,
)
from gateway.vaults.problems import Remark, UnusableText
from gateway.vaults.ready import Cache, Ready, stored
from gateway.vaults.rendered import Style, render
from gateway.vaults.text import Prepared, prepare_in_thread
from gateway.vaults.turns import Turns

if TYPE_CHECKING:
    from gateway.config.schema import Configuration
    from gateway.store.interface import Store

log = logging.getLogger(__name__)

OWN_TEXTS: Final = 8
"""Times ``vaults.max_size`` that the texts of one person may have together."""
_ATTEMPTS: Final = 50
"""How often a save begins again because somebody else was faster."""
_MEMBERSHIPS: Final = 10_000
"""People whose groups are remembered."""
_SHARED: Final = (ORGANIZATION, GROUP)
_COMMA: Final = stored(b",")
_NOTHING: Final = stored(b"")
CLIENT: Final = Wanted(enabled=True, types=(CONFIG,))
"""What the SDK asks for."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A vault that was written."""

    id: str
    version: int
    warnings: tuple[Remark, ...]


@dataclass(frozen=True, slots=True)
class Undone(Saved):
    """A vault that is what it was."""

    restored: int
    """The version that it was."""
    deleted: bool
    """Whether it had been deleted."""


class NothingToUndo(Exception):
    """The vault is already what it would become."""

    def __init__(self, version: int) -> None:
        super().__init__(f"the vault already is what it was in version {version}")


@dataclass(frozen=True, slots=True)
class _Shared:
    """What one revision of the store holds for more than one person."""

    vaults: Sequence[VaultRow]
    """In the order in which clients merge them, declared ones first within each scope."""
    made: Sequence[GroupRow]


class Book:
    """The vaults under one configuration. Making one reads every declared text: not for the event loop."""

    def __init__(self, store: Store, configuration: Configuration) -> None:
        self._store = store
        self._settings = configuration.vaults
        self.groups = Groups(configuration)
        self.turns = Turns()
        """At the thread that reads texts."""
        self._room = OwnersRoom(OWN_VAULTS, OWN_TEXTS * self._settings.max_size)
        self._declared = declared_vaults(configuration, self.groups)
        self._revision = -1
        self._shared: _Shared | None = None
        self._cache = Cache()
        self._making: dict[Hashable, asyncio.Lock] = {}
        self._memberships: OrderedDict[str, tuple[object, str, str, frozenset[str]]] = OrderedDict()

    # reading

    async def listing(self, identity: Identity, wanted: Wanted) -> list[Ready]:
        """The vaults somebody gets, as JSON with commas between."""
        self._look()
        administrator, company = is_administrator(identity), identity.grant.company
        groups = await self._groups_of(identity)
        everything = administrator and not wanted.by_client
        within = identity.grant.reach if everything else company
        shared = await self._ready(
            ("shared", within, None if everything else groups, administrator, wanted),
            lambda: self._render_shared(within, groups, wanted, administrator=administrator),
        )
        own = await self._ready(
            ("own", owner_of(identity), identity.account.username, company, wanted),
            lambda: self._render_own(identity, wanted),
        )
        return [shared, _COMMA, own] if shared.plain and own.plain else [shared, own]

    async def organization(self, identity: Identity, wanted: Wanted) -> list[Ready]:
        """Every vault of organisation and groups that an administrator manages, as its editors see it, as JSON."""
        self._look()
        within = identity.grant.reach
        key = ("organization", within, wanted)
        return [await self._ready(key, lambda: self._render_organization(within, wanted))]

    async def applied(self, identity: Identity, wanted: Wanted = CLIENT) -> list[VaultRow]:
        """The vaults that somebody's clients get, in the order in which they merge them."""
        self._look()
        groups = await self._groups_of(identity)
        shared = (await self._load()).vaults
        company = identity.grant.company
        visible = [vault for vault in shared if shared_with(vault, company, groups, wanted, administrator=False)]
        return [*visible, *await self._own(identity, wanted)]

    async def history(self, vault_id: str) -> tuple[VaultRow | None, list[VaultVersion]]:
        """A vault as it is, where it exists, and what it was before, the newest first."""
        return await self._store.vault(vault_id), await self._store.vault_versions(vault_id)

    async def group_names(self) -> dict[str, str]:
        """Name of every group by its id."""
        return self.groups.names(await self._store.groups())

    async def listed(self, *, deleted: bool) -> list[VaultRow | VaultVersion]:
        """Every stored vault, or the last version of every deleted one that is kept, for the operator."""
        found: list[VaultRow | VaultVersion] = []
        found.extend(await self._store.vaults_deleted() if deleted else await self._store.vaults(SCOPES))
        return found

    # writing

    async def save(self, editor: Identity, edit: Edit, *, by: str, now: int) -> Saved:
        """Create or change a vault; durable on return, and what was there before is kept.

        Of two editors at once the later one wins. Raises UnknownVault, NotAllowed, InvalidField, TooManyWaiting.
        """
        new_id = uuid.uuid4().hex
        prepared, of = Prepared(""), None
        for _ in range(_ATTEMPTS):
            before = await self._before(editor, edit, new_id)
            after = await self._in_group(edited(before, edit))
            if of != (after.text, after.format, after.type):  # only once, however often somebody else is faster
                kept_format = edit.format is None and bool(before.version) and before.format != "hocon"
                prepared = await self._prepare(after, owner_of(editor), kept_format=kept_format)
                of = (after.text, after.format, after.type)
            after = replace(after, delivered=prepared.delivered, created_at=now, updated_at=now, updated_by=by)
            try:
                return Saved(after.id, await self._write(after, before.version), prepared.warnings)
            except Conflict:
                continue
        raise Conflict("a vault is written to faster than it can be saved")

    async def delete(self, editor: Identity, vault_ids: Sequence[str], *, by: str, now: int) -> list[str]:
        """Delete vaults, or empty those of scope user; the ids of those that exist.

        A personal one of another type than config goes when it is deleted empty. Nothing is done where one of them may
        not be. Raises NotAllowed, InvalidField.
        """
        found = [await self._find(editor, vault_id, CONFIG, editor) for vault_id in dict.fromkeys(vault_ids)]
        vaults = [vault for vault in found if vault is not None]
        emptied = {vault.id for vault in vaults if vault.scope == USER and (vault.text or vault.damaged)}
        for vault in vaults:
            if vault.id in emptied:
                await self.save(editor, Edit(id=vault.id, text=""), by=by, now=now)
        gone = [v.id for v in vaults if v.scope != USER or (v.id not in emptied and v.type != CONFIG)]
        if gone:
            await self._store.vaults_delete(gone, now)
        return [vault.id for vault in vaults]

    async def undo(self, vault_id: str, version: int | None, *, by: str, now: int) -> Undone:
        """Make a vault again what it was: in the version before the present one, or in this one; also a deleted one.

        Raises UnknownVault where there is no such version, InvalidField where its text is no longer accepted and for
        declared vaults, NothingToUndo, TooManyWaiting.
        """
        if (declared := self._declared.get(vault_id)) is not None:
            raise _declared_one(declared)
        current, versions = await self.history(vault_id)
        kept = next((row for row in versions if version in (None, row.version)), None)
        if current is not None and (version == current.version or (kept is not None and _same(current, kept))):
            raise NothingToUndo(current.version if kept is None else kept.version)
        if kept is None:
            raise UnknownVault(vault_id)
        if kept.damaged:
            raise InvalidField("version", f"{kept.version} is damaged and cannot be brought back")
        row = replace(
            blank(vault_id, kept.company, kept.scope, kept.owner, kept.type), format=kept.format, enabled=kept.enabled,
            description=kept.description, text=kept.text, created_at=now, updated_at=now,
            updated_by=f"{by} (undo to version {kept.version})",
        )  # fmt: skip
        prepared = await self._prepare(await self._in_group(row), by)
        row = replace(row, delivered=prepared.delivered)
        new = await self._write(row, current.version if current is not None else 0)
        return Undone(vault_id, new, prepared.warnings, kept.version, deleted=current is None)

    async def _write(self, vault: VaultRow, expected: int) -> int:
        """Raises Conflict, and InvalidField where a person would have too much."""
        room = self._room if vault.scope == USER else None
        try:
            return await self._store.vault_save(vault, expected, keep=self._settings.history, room=room)
        except OverLimit as error:
            raise InvalidField("vault", str(error)) from None

    async def _before(self, editor: Identity, edit: Edit, new_id: str) -> VaultRow:
        """What an edit is made on: the stored vault, or an empty one."""
        kind, person = edit.type or CONFIG, edit.person or editor
        company = editor.grant.company
        if edit.id is not None:
            known = await self._find(editor, edit.id, kind, person)
            if known is None:
                raise UnknownVault(edit.id)
            return known
        scope = edit.scope or USER
        if scope not in SCOPES:
            raise InvalidField("scope", f"expected {', '.join(SCOPES)}")
        if not is_administrator(editor) and (scope != USER or owner_of(person) != owner_of(editor)):
            raise NotAllowed
        if scope == USER:
            vault_id = user_vault_id(owner_of(person), kind)
            own = blank(vault_id, person.grant.company, USER, owner_of(person), kind)
            return await self._store.vault(vault_id) or own
        if scope == GROUP and edit.group is None:
            raise InvalidField("group", "is required with scope group; permissions.get_user_groups lists their ids")
        if scope == GROUP and editor.grant.reach is None:
            company = next((group.company for group in await self._store.groups() if group.id == edit.group), company)
        return blank(new_id, company, scope, edit.group or "", kind)

    async def _find(self, editor: Identity, vault_id: str, kind: str, person: Identity) -> VaultRow | None:
        """A vault that the editor may change; None where there is none."""
        administrator = is_administrator(editor)
        if (declared := self._declared.get(vault_id)) is not None:
            if not belongs_to(declared.row, editor.grant.reach):
                return None
            if not administrator and not declared.personal_to(editor):
                raise NotAllowed
            raise _declared_one(declared)
        found = await self._store.vault(vault_id)
        if found is None and vault_id == user_vault_id(owner_of(person), kind):
            found = blank(vault_id, person.grant.company, USER, owner_of(person), kind)
        if found is None or (found.scope, found.owner) == (USER, owner_of(editor)):
            return found
        if editor.grant.reach not in (None, await self._company_of(found)):
            return None
        if not administrator:
            raise NotAllowed
        return found

    async def _company_of(self, vault: VaultRow) -> str:
        """The company whose administrators may change a vault: of a personal one that of its owner today."""
        owner = await self._store.identity(vault.owner) if vault.scope == USER else None
        return vault.company if owner is None else self.groups.company_of(owner.server)

    async def _in_group(self, vault: VaultRow) -> VaultRow:
        """The vault itself; Raises InvalidField where its group is none of its company."""
        if vault.scope != GROUP:
            return vault
        made = [group for group in await self._store.groups() if group.company == vault.company]
        if vault.owner in self.groups.names(made):
            return vault
        known = self.groups.named(vault.owner)
        ids = [known.id] if known else [group.id for group in made if fold_name(group.name) == fold_name(vault.owner)]
        hint = f"; give the id of the group, {ids[0]}" if ids else "; permissions.get_user_groups lists their ids"
        raise InvalidField("group", f"there is no group with this id{hint}")

    async def _prepare(self, vault: VaultRow, person: str, *, kept_format: bool = False) -> Prepared:
        """The text as clients get it, checked when it is this person's turn. Raises InvalidField, TooManyWaiting."""
        size, most = len(vault.text.encode("utf-8", "surrogatepass")), self._settings.max_size
        if size > most:
            raise InvalidField("data", f"has {size} bytes, and may have {most} (vaults.max_size)")
        if vault.type != CONFIG:
            return Prepared(vault.text)
        try:
            return await self.turns.run(
                person, lambda: prepare_in_thread(vault.text, vault.format, shared=vault.scope != USER)
            )
        except UnusableText as error:
            place = f"line {error.line}, column {error.column}: " if error.line else ""
            kept = f" (read as {vault.format}, as before: format says otherwise)" if kept_format else ""
            raise InvalidField("data", f"{place}{error.message}{kept}") from None

    # what was read before

    def _look(self) -> None:
        """Forget everything when any process has written."""
        revision = self._store.vaults_revision()
        if revision != self._revision:
            self._revision, self._shared = revision, None
            self._cache.clear()
            self._memberships.clear()

    async def _ready(self, key: Hashable, make: Callable[[], Awaitable[Ready]]) -> Ready:
        """Bytes that were made before, or are made now, once for all who ask at the same time."""
        found = self._cache.get(key)
        if found is not None:
            return found
        lock = self._making.setdefault(key, asyncio.Lock())
        try:
            async with lock:
                found = self._cache.get(key)
                if found is None:
                    revision = self._revision
                    found = await make()
                    if revision == self._revision:
                        self._cache.put(key, found)
        finally:
            self._making.pop(key, None)
        return found

    async def _load(self) -> _Shared:
        if self._shared is not None:
            return self._shared
        revision = self._revision
        stored = await self._vaults(_SHARED)
        everything = [*(declared.row for declared in self._declared.values() if declared.person is None), *stored]
        everything.sort(key=lambda vault: SCOPES.index(vault.scope))
        shared = _Shared(everything, await self._store.groups())
        if revision == self._revision:
            self._shared = shared
        return shared

    async def _groups_of(self, identity: Identity) -> frozenset[str]:
        """Ids of the groups of somebody, found anew when the directory has said something new."""
        role, company = identity.grant.clearml_role, identity.grant.company
        known = self._memberships.get(identity.id)
        if known is not None and known[0] is identity.account and known[1:3] == (role, company):
            return known[3]
        groups = self.groups.of(identity, (await self._load()).made)
        self._memberships[identity.id] = (identity.account, role, company, groups)
        if len(self._memberships) > _MEMBERSHIPS:
            self._memberships.popitem(last=False)
        return groups

    async def _own(self, identity: Identity, wanted: Wanted) -> list[VaultRow]:
        """Somebody's personal vaults: declared, then stored; the one of type config is always there."""
        owner = owner_of(identity)
        declared = [each.row for each in self._declared.values() if each.personal_to(identity)]
        stored = await self._vaults((USER,), owner)
        if all(vault.type != CONFIG for vault in stored):
            stored.insert(0, blank(user_vault_id(owner), identity.grant.company, USER, owner))
        found = [vault for vault in (*declared, *stored) if wanted.admits(vault)]
        return [vault for vault in found if applies(vault)] if wanted.by_client else found

    async def _vaults(self, scopes: Sequence[str], owner: str | None = None) -> list[VaultRow]:
        found = await self._store.vaults(scopes, owner)
        for vault in found:
            if vault.damaged:
                log.error("vault %s does not open and is left out: write it anew, or delete it", vault.id)
        return found

    async def _render_shared(
        self, company: str | None, groups: frozenset[str], wanted: Wanted, *, administrator: bool
    ) -> Ready:
        shared = await self._load()
        seen = [v for v in shared.vaults if shared_with(v, company, groups, wanted, administrator=administrator)]
        by_client = wanted.by_client
        several = company is None
        return await self._render(
            seen, wanted, shared.made, delivered=by_client, editable=administrator, companies=several
        )

    async def _render_organization(self, company: str | None, wanted: Wanted) -> Ready:
        shared = await self._load()
        seen = [vault for vault in shared.vaults if wanted.admits(vault) and belongs_to(vault, company)]
        return await self._render(
            seen, wanted, shared.made, delivered=False, editable=True, companies=company is None
        )

    async def _render_own(self, identity: Identity, wanted: Wanted) -> Ready:
        seen = await self._own(identity, wanted)
        return await self._render(seen, wanted, (), delivered=wanted.by_client, editable=True)

    async def _render(
        self,
        vaults: Sequence[VaultRow],
        wanted: Wanted,
        made: Sequence[GroupRow],
        *,
        delivered: bool,
        editable: bool,
        companies: bool = False,
    ) -> Ready:
        if not vaults:
            return _NOTHING
        style = Style(
            groups=self.groups.names(made), delivered=delivered, preview=wanted.preview, companies=companies,
            editable={vault.id for vault in vaults if editable and vault.id not in self._declared},
        )  # fmt: skip
        return await asyncio.to_thread(render, vaults, style)


def _declared_one(declared: Declared) -> InvalidField:
    return InvalidField("vault", f"is declared in the configuration (vaults.declared.{declared.name}): change it there")


def _same(current: VaultRow, kept: VaultVersion) -> bool:
    """Whether a vault still, or again, is what it was in a version."""
    names = ("owner", "type", "format", "enabled", "description", "text", "damaged")
    return all(getattr(current, name) == getattr(kept, name) for name in names)
